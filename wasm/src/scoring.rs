//! The detector, and one input on its way from frames to a report.

use std::rc::Rc;

use burn::prelude::*;
use sha2::{Digest, Sha256};
use unmask_core::face::finder::{FaceFinder, FindOptions};
use unmask_core::image::RgbImage;
use unmask_core::pipeline::report::{ModelInfo, Report, Timing, VideoSummary};
use unmask_core::pipeline::{Faces, Session};
use unmask_core::weights::spec::{DetectorSpec, SPEC_KEY};
use unmask_core::weights::{SafetensorsFile, WeightsError};
use wasm_bindgen::prelude::*;
use web_sys::Blob;

use crate::blob::BlobBytes;

/// The face finder's weights, part of the module.
const FACE_WEIGHTS: &[u8] = include_bytes!("../../models/mtcnn.safetensors");
/// The weights of the network that corrects its landmarks, part of the module.
const REFINER_WEIGHTS: &[u8] = include_bytes!("../../models/landmark_refiner.safetensors");

/// Crops that go through the model together: one core gains nothing from more, and between batches the worker can be
/// told to stop.
const BATCH: usize = 1;

/// How much of a file goes into the hash at once.
const HASH_PIECE: u64 = 4 << 20;

/// What everything that is scored shares.
struct Loaded {
    detector: unmask_core::detector::Detector,
    finder: FaceFinder,
    sha256: String,
}

/// A loaded detector with its face finder, on the CPU.
#[wasm_bindgen]
pub struct Detector {
    loaded: Rc<Loaded>,
}

#[wasm_bindgen]
impl Detector {
    /// Loads the detector file in `blob`, tensor by tensor.
    ///
    /// # Errors
    /// What is wrong with the file, in one sentence that begins after the file's name.
    #[wasm_bindgen(constructor)]
    pub fn new(blob: Blob) -> Result<Detector, JsError> {
        let bytes = || BlobBytes::new(blob.clone()).map_err(|error| WeightsError::Read(error.to_string()));
        let mut file = SafetensorsFile::open(bytes()?)?;
        let spec = DetectorSpec::from_json(file.metadata(SPEC_KEY).ok_or(WeightsError::NotADetector)?)?;
        if let Some(adapter) = &spec.adapter {
            return Err(WeightsError::BaseNeeded(adapter.base_sha256.clone()).into());
        }
        let device = Device::flex();
        let detector = unmask_core::detector::Detector::load(spec, &mut file, &device)?;
        let finder = FaceFinder::from_safetensors(FACE_WEIGHTS, REFINER_WEIGHTS, &device)?;
        let sha256 = sha256(&bytes()?).map_err(|error| WeightsError::Read(error.to_string()))?;
        Ok(Self { loaded: Rc::new(Loaded { detector, finder, sha256 }) })
    }

    /// The detector's name.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.loaded.detector.spec().name.clone()
    }

    /// SHA-256 of its file, lower-case hexadecimal.
    #[wasm_bindgen(getter)]
    pub fn sha256(&self) -> String {
        self.loaded.sha256.clone()
    }

    /// How many frames of a video it looks at unless told otherwise.
    #[wasm_bindgen(getter)]
    pub fn frames(&self) -> usize {
        self.loaded.detector.spec().sampling.frames
    }

    /// Begins with an input: of everybody's faces, or those of the person who is largest.
    #[wasm_bindgen]
    pub fn begin(&self, everybody: bool) -> Scoring {
        let faces = if everybody { Faces::All } else { Faces::Largest };
        Scoring { loaded: self.loaded.clone(), session: Session::new(self.loaded.detector.spec(), faces) }
    }
}

/// SHA-256 of all bytes, lower-case hexadecimal.
fn sha256(bytes: &BlobBytes) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut position = 0;
    while position < bytes.size() {
        let piece = bytes.slice(position, HASH_PIECE)?.to_vec();
        position += piece.len() as u64;
        hash.update(&piece);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// One input on its way from frames to a report.
#[wasm_bindgen]
pub struct Scoring {
    loaded: Rc<Loaded>,
    session: Session,
}

#[wasm_bindgen]
impl Scoring {
    /// Takes the next frame in order of time, `width` × `height` pixels of four bytes (the last is ignored), to be turned
    /// clockwise by `rotation` degrees, and finds its faces.
    ///
    /// # Errors
    /// Bytes that do not fit the size.
    #[wasm_bindgen]
    pub fn push(
        &mut self,
        time_s: f64,
        rgba: &[u8],
        width: usize,
        height: usize,
        rotation: u32,
    ) -> Result<(), JsError> {
        let image = upright(rgba, width, height, rotation).ok_or_else(|| {
            JsError::new("the browser gave a frame of another size than it said; try another browser")
        })?;
        let faces = self.loaded.finder.find(&image, &FindOptions::default());
        self.session.push(time_s, &image, &faces);
        Ok(())
    }

    /// Says that there are no more frames.
    #[wasm_bindgen]
    pub fn seal(&mut self) {
        self.session.seal();
    }

    /// Scores some of what is ready; false where nothing is.
    ///
    /// # Errors
    /// The scores could not be read back.
    #[wasm_bindgen(js_name = scoreSome)]
    pub fn score_some(&mut self) -> Result<bool, JsError> {
        let Some(batch) = self.session.next_batch(BATCH) else {
            return Ok(false);
        };
        let scores = self.loaded.detector.score(&batch.crops).into_data().try_into_vec::<f32>();
        let failed = |error| JsError::new(&format!("the scores could not be read back: {error:?}"));
        self.session.accept(&batch, &scores.map_err(failed)?);
        Ok(true)
    }

    /// How many frames were taken.
    #[wasm_bindgen(getter, js_name = frameCount)]
    pub fn frame_count(&self) -> usize {
        self.session.frame_count()
    }

    /// The report as JSON, the same document as `unmask score --json` prints. `surroundings` is what the worker alone
    /// knows, as JSON: the report's `input`, `video` and `timing_s`.
    ///
    /// # Errors
    /// `surroundings` is not such a document.
    #[wasm_bindgen]
    pub fn finish(self, surroundings: &str) -> Result<String, JsError> {
        let Surroundings { input, video, timing_s } = serde_json::from_str(surroundings)?;
        let spec = self.loaded.detector.spec();
        let model =
            ModelInfo { name: spec.name.clone(), sha256: self.loaded.sha256.clone(), training: spec.training.status };
        let report: Report = self.session.finish(input, spec, model, video, timing_s);
        Ok(serde_json::to_string(&report)?)
    }
}

/// What a report says that is not seen in frames.
#[derive(serde::Deserialize)]
struct Surroundings {
    input: String,
    video: VideoSummary,
    timing_s: Timing,
}

/// The image that four-byte pixels show once they are turned clockwise by `rotation` degrees; `None` if their number
/// does not fit.
fn upright(rgba: &[u8], width: usize, height: usize, rotation: u32) -> Option<RgbImage> {
    let pixels = rgba.as_chunks::<4>().0;
    if width.checked_mul(height)?.checked_mul(4)? != rgba.len() {
        return None;
    }
    let source = |x: usize, y: usize| pixels[y * width + x];
    let (turned_width, turned_height) = if rotation % 180 == 90 { (height, width) } else { (width, height) };
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..turned_height {
        for x in 0..turned_width {
            let [red, green, blue, _] = match rotation {
                90 => source(y, height - 1 - x),
                180 => source(width - 1 - x, height - 1 - y),
                270 => source(width - 1 - y, x),
                _ => source(x, y),
            };
            rgb.extend([red, green, blue]);
        }
    }
    RgbImage::new(turned_width, turned_height, rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three pixels beside two rows, each pixel its number.
    fn turned(rotation: u32) -> (usize, usize, Vec<u8>) {
        let rgba: Vec<u8> = (0..6u8).flat_map(|number| [number, 0, 0, 255]).collect();
        let image = upright(&rgba, 3, 2, rotation).unwrap();
        (image.width(), image.height(), image.pixels().iter().step_by(3).copied().collect())
    }

    #[test]
    fn frames_are_turned_clockwise() {
        assert_eq!(turned(0), (3, 2, vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(turned(90), (2, 3, vec![3, 0, 4, 1, 5, 2]));
        assert_eq!(turned(180), (3, 2, vec![5, 4, 3, 2, 1, 0]));
        assert_eq!(turned(270), (2, 3, vec![2, 5, 1, 4, 0, 3]));
    }

    #[test]
    fn bytes_that_do_not_fit_the_size_are_no_image() {
        assert!(upright(&[0; 23], 3, 2, 0).is_none());
        assert!(upright(&[], usize::MAX, 2, 0).is_none());
    }
}
