//! A detector file, and the model in it on a device.

use burn::prelude::{Device, Tensor};
use sha2::{Digest, Sha256};
#[cfg(feature = "webgpu")]
use unmask_core::detector::reference;
use unmask_core::detector::spec::{DetectorSpec, SPEC_KEY};
use unmask_core::detector::{Detector, Scores};
use unmask_core::weights::{Adapted, SafetensorsFile, WeightsError};
use wasm_bindgen::prelude::*;
use web_sys::Blob;

use crate::blob::BlobBytes;
use crate::device::Input;
use crate::error::of_detector;
use crate::explaining::{self, Explained};
use crate::media::MediaError;

/// How much of a file goes into the hash at once.
const HASH_PIECE: u64 = 4 << 20;

/// The description in the header of the detector file in `blob`, as JSON.
///
/// # Errors
/// What is wrong with the file, in a sentence that begins after the file's name.
#[wasm_bindgen(js_name = readSpec)]
pub fn read_spec(blob: Blob) -> Result<String, JsValue> {
    open(blob).and_then(|file| spec_of(&file)?.to_json()).map_err(of_detector)
}

/// SHA-256 of all bytes of `blob`, lower-case hexadecimal.
///
/// # Errors
/// The file can no longer be read.
#[wasm_bindgen]
pub fn sha256(blob: Blob) -> Result<String, JsValue> {
    let bytes = BlobBytes::new(blob).map_err(MediaError::from)?;
    let mut hash = Sha256::new();
    let mut position = 0;
    while position < bytes.size() {
        let piece = bytes.slice(position, HASH_PIECE).map_err(MediaError::from)?.to_vec();
        position += piece.len() as u64;
        hash.update(&piece);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A detector that is ready to score.
#[wasm_bindgen]
pub struct Scorer {
    detector: Detector,
    input: Input,
}

#[wasm_bindgen]
impl Scorer {
    /// Loads the detector in `blob`, tensor by tensor: an adapter over the detector in `base`, anything else by itself.
    ///
    /// # Errors
    /// What is wrong with the file, in a sentence that begins after the file's name; or that the device does not work.
    pub async fn load(blob: Blob, base: Option<Blob>) -> Result<Scorer, JsValue> {
        let file = open(blob).map_err(of_detector)?;
        let spec = spec_of(&file).map_err(of_detector)?;
        let (input, device) = Input::open(&spec).await?;
        let detector = read(file, base, spec, &device).map_err(of_detector)?;
        Ok(Self { detector, input })
    }

    /// P(fake) of each clip, and then, of models that say so, the uncertainty of each, among `crops`: aligned faces of three bytes a pixel and of the size that the detector crops
    /// to, one after the other.
    ///
    /// # Errors
    /// Bytes that are no whole number of crops, or scores that cannot be read back.
    pub async fn score(&self, crops: Vec<u8>) -> Result<Vec<f32>, JsError> {
        let pixels = self.input.pixels(&crops, &self.detector)?;
        let answers = self.detector.model().forward(pixels).answers();
        let Scores { fake, uncertainty } = self.detector.scores(&values(answers).await?);
        Ok([fake, uncertainty].concat())
    }

    /// Where the detector looked in the middle one of the crops of one clip, which are as [`Scorer::score`] takes them.
    ///
    /// # Errors
    /// Bytes that are no clip of crops, a model that this module cannot explain, or a device that does not answer.
    pub async fn explain(&self, crops: Vec<u8>) -> Result<Explained, JsValue> {
        let pixels = self.input.pixels(&crops, &self.detector)?;
        explaining::explain(&self.detector, pixels, &crops).await
    }

    /// Whether the device computes this very detector as its file says that a CPU does; of a file that says nothing, too. It
    /// also compiles what scoring runs.
    ///
    /// # Errors
    /// The difference, in words that go on after "the device"; or the device does not answer.
    #[cfg(feature = "webgpu")]
    pub async fn check(&self) -> Result<(), JsError> {
        let crops = reference::crops(self.detector.spec());
        let crops: Vec<u8> = crops.iter().flat_map(|crop| crop.pixels().iter().copied()).collect();
        let pixels = self.input.pixels(&crops, &self.detector)?;
        let found = values(self.detector.model().forward(pixels).logits).await?;
        let expected = self.detector.spec().reference;
        expected.map_or(Ok(()), |expected| expected.compare(&found)).map_err(|problem| JsError::new(&problem))
    }
}

/// A tensor's values, read back from the device.
async fn values(tensor: Tensor<2>) -> Result<Vec<f32>, JsError> {
    let failed = |error: &dyn std::fmt::Debug| JsError::new(&format!("the scores cannot be read back: {error:?}"));
    tensor.into_data_async().await.map_err(|error| failed(&error))?.try_into_vec().map_err(|error| failed(&error))
}

/// The detector that a file describes, over its base where it is an adapter.
fn read(
    mut file: SafetensorsFile<BlobBytes>,
    base: Option<Blob>,
    spec: DetectorSpec,
    device: &Device,
) -> Result<Detector, WeightsError> {
    match (&spec.adapter, base) {
        (Some(_), Some(base)) => Detector::load(spec, &mut Adapted::new(file, open(base)?), device),
        (Some(adapter), None) => Err(WeightsError::BaseNeeded(adapter.base_sha256.clone())),
        (None, _) => Detector::load(spec, &mut file, device),
    }
}

fn open(blob: Blob) -> Result<SafetensorsFile<BlobBytes>, WeightsError> {
    SafetensorsFile::open(BlobBytes::new(blob).map_err(|error| WeightsError::Read(error.to_string()))?)
}

fn spec_of(file: &SafetensorsFile<BlobBytes>) -> Result<DetectorSpec, WeightsError> {
    DetectorSpec::from_json(file.metadata(SPEC_KEY).ok_or(WeightsError::NotADetector)?)
}
