//! Where a detector looked in faces of an input that was scored.

use burn::prelude::*;
use unmask_core::detector::Detector;
use unmask_core::detector::explain::heat::over;
use unmask_core::detector::explain::{Asked, EvidenceMap, can_explain, largest};
use unmask_core::detector::spec::DetectorSpec;
use unmask_core::face::crop::crop;
use unmask_core::image::RgbImage;
use wasm_bindgen::prelude::*;

use crate::error::of_detector;
use crate::frame::upright;

/// How many crops the detector that `spec` describes sees together, where this module can explain it.
///
/// # Errors
/// `spec` is no description of a detector.
#[wasm_bindgen(js_name = explainedTogether)]
pub fn explained_together(spec: &str) -> Result<Option<usize>, JsError> {
    let spec = DetectorSpec::from_json(spec)?;
    Ok(can_explain(&spec.architecture).then(|| spec.clip_length().max(1)))
}

/// The crop of a face as the detector that `spec` describes sees it, of three bytes a pixel: out of a frame as
/// [`FaceFinder::find`](crate::FaceFinder::find) takes it, by the x and y of the five landmarks that its report has.
///
/// # Errors
/// `spec` is no description of a detector, bytes that do not fit the frame's size, or no five points in several places.
#[wasm_bindgen(js_name = cropFace)]
pub fn crop_face(
    pixels: &[u8],
    width: usize,
    height: usize,
    orientation: u32,
    landmarks: &[f32],
    spec: &str,
) -> Result<Vec<u8>, JsValue> {
    let spec = DetectorSpec::from_json(spec).map_err(JsError::from)?;
    let frame = upright(pixels, width, height, orientation)?;
    let points = <[[f32; 2]; 5]>::try_from(landmarks.as_chunks::<2>().0).ok();
    let face = points.and_then(|points| crop(&frame, &points, &spec.crop));
    Ok(face.ok_or_else(|| JsError::new("the points are none of a face"))?.pixels().to_vec())
}

/// A face and where the detector looked in it, as pictures of three bytes a pixel.
#[wasm_bindgen]
pub struct Explained {
    /// P(fake) of the clip that it is in.
    #[wasm_bindgen(readonly)]
    pub score: f32,
    /// Width and height of the pictures.
    #[wasm_bindgen(readonly)]
    pub size: usize,
    fake: Vec<u8>,
    real: Vec<u8>,
}

#[wasm_bindgen]
impl Explained {
    /// What speaks for a fake. Only once: it is moved out.
    #[wasm_bindgen(js_name = takeFake)]
    pub fn take_fake(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.fake)
    }

    /// What speaks for a real face. Only once.
    #[wasm_bindgen(js_name = takeReal)]
    pub fn take_real(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.real)
    }
}

/// Explains the middle one of the crops of a clip, whose input `pixels` are.
///
/// # Errors
/// A model that this module cannot explain, or a device that does not answer.
pub(crate) async fn explain(detector: &Detector, pixels: Tensor<5>, crops: &[u8]) -> Result<Explained, JsValue> {
    let asked = Asked::of(detector.model(), &detector.spec().architecture, pixels).map_err(of_detector)?;
    let values = asked.values.clone().into_data_async().await;
    let values = values.map_err(|error| JsError::new(&format!("the maps cannot be read back: {error:?}")))?;
    let explanation = asked.explanations(detector, values).map_err(of_detector)?.into_iter().next();
    let size = detector.spec().crop.size;
    let clip: Vec<&[u8]> = crops.chunks_exact(size * size * 3).collect();
    // Clips are filled up at their end with their last crop, so the middle one is a crop of their own.
    let middle = clip.len() / 2;
    let found = explanation.and_then(|explanation| Some((clip.get(middle)?.to_vec(), explanation)));
    let Some((face, explanation)) = found else {
        return Err(JsError::new("there is no crop to explain").into());
    };
    let empty = EvidenceMap { side: 1, fake: vec![0.0], real: vec![0.0] };
    let (largest, map) = (largest(&explanation.maps), explanation.maps.get(middle).unwrap_or(&empty));
    let face = RgbImage::new(size, size, face).ok_or_else(|| JsError::new("the crop has another size"))?;
    let laid = |values: &[f32]| over(&face, values, map.side, largest).pixels().to_vec();
    Ok(Explained { score: explanation.score, size, fake: laid(&map.fake), real: laid(&map.real) })
}
