//! What scores a face: one file a model in [`models`], the list of them in `kinds`, and [`Detector`] around whichever it is.
//!
//! [`spec`] is the document in a detector file's header, [`formats`] reads other people's checkpoints, [`FrontEnd`] makes a
//! model's input of crops, [`clips`] a probability of its logits, [`mod@explain`] shows what they came from, and [`mod@reference`] tells whether a device computes it rightly.

pub mod clips;
pub mod explain;
pub mod formats;
mod front_end;
mod groups;
mod kinds;
pub mod models;
mod parameters;
pub mod reference;
pub mod spec;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use burn::prelude::*;
use burn::tensor::DType;

pub use front_end::FrontEnd;
pub use groups::{Group, Strategy, is_norm, is_statistic};
pub use kinds::{Architecture, Model, Network, Output, Sizes};
pub use models::{clip, dicome, efficientnet, stan, swin, tall, timesformer, udd, vit, xception};
pub use parameters::{Values, Visit, for_each_parameter, parameters};

use crate::image::RgbImage;
use crate::weights::{Loader, TensorSource, WeightsError};
use spec::DetectorSpec;

/// What a detector says of clips, a value for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Calibrated P(fake); NaN where a logit is not a finite number.
    pub fake: Vec<f32>,
    /// How little the model knows, 0..1; empty for models that do not say.
    pub uncertainty: Vec<f32>,
}

/// A model with everything that its scores depend on.
///
/// ```
/// use burn::prelude::Device;
/// use unmask_core::detector::Detector;
/// use unmask_core::detector::spec::{DetectorSpec, SPEC_KEY};
/// use unmask_core::image::RgbImage;
/// use unmask_core::weights::SafetensorsFile;
///
/// let bytes = std::fs::read("../models/unmask-lite.safetensors").unwrap();
/// let mut file = SafetensorsFile::open(bytes.as_slice()).unwrap();
/// let spec = DetectorSpec::from_json(file.metadata(SPEC_KEY).unwrap()).unwrap();
/// let detector = Detector::load(spec, &mut file, &Device::flex()).unwrap();
/// // An aligned crop of a face, here a grey one.
/// let crop = RgbImage::new(160, 160, vec![128; 160 * 160 * 3]).unwrap();
/// let logits: Vec<f32> = detector.logits(&[crop]).into_data().try_into_vec().unwrap();
/// assert!((0.0..=1.0).contains(&detector.probabilities(&logits)[0]));
/// ```
#[derive(Clone, Debug)]
pub struct Detector {
    spec: DetectorSpec,
    model: Model,
    front_end: FrontEnd,
}

impl Detector {
    /// Loads the detector that `spec` describes.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(spec: DetectorSpec, source: &mut dyn TensorSource, device: &Device) -> Result<Self, WeightsError> {
        spec.check()?;
        let loader = match &spec.low_rank {
            Some(low_rank) => Loader::new(source, device).with_low_rank(low_rank.clone()),
            None => Loader::new(source, device),
        };
        let model = Model::load_by(&spec.architecture, loader)?;
        let front_end = FrontEnd::new(&spec, device, DType::F32);
        Ok(Self { spec, model, front_end })
    }

    /// A detector of its parts: `model` is of the architecture in `spec`, and `front_end` made for it.
    pub fn from_parts(spec: DetectorSpec, model: Model, front_end: FrontEnd) -> Self {
        Self { spec, model, front_end }
    }

    /// The parts of [`Detector::from_parts`].
    pub fn into_parts(self) -> (DetectorSpec, Model, FrontEnd) {
        (self.spec, self.model, self.front_end)
    }

    /// The detector's description.
    pub fn spec(&self) -> &DetectorSpec {
        &self.spec
    }

    /// The model alone.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The device the model is on.
    pub fn device(&self) -> &Device {
        self.front_end.device()
    }

    /// Crops to the model's input, see [`FrontEnd::pixels`].
    pub fn preprocess(&self, crops: &[RgbImage]) -> Tensor<5> {
        self.front_end.pixels(crops)
    }

    /// The logits of each clip of [`Detector::preprocess`], `[clips, 2]`, still on the device.
    pub fn logits(&self, crops: &[RgbImage]) -> Tensor<2> {
        self.model.forward(self.preprocess(crops)).logits
    }

    /// What the scores of each clip of [`Detector::preprocess`] are made of, still on the device ([`Output::answers`]).
    pub fn answers(&self, crops: &[RgbImage]) -> Tensor<2> {
        self.model.forward(self.preprocess(crops)).answers()
    }

    /// The scores of clips from the values of [`Output::answers`].
    pub fn scores(&self, answers: &[f32]) -> Scores {
        if !self.spec.architecture.sizes().says_uncertainty() {
            return Scores { fake: self.probabilities(answers), uncertainty: Vec::new() };
        }
        let rows = answers.as_chunks::<3>().0;
        let logits: Vec<f32> = rows.iter().flat_map(|[real, fake, _]| [*real, *fake]).collect();
        // A device's division may give a little more than one where there is no evidence at all.
        let uncertainty = rows.iter().map(|[_, _, uncertainty]| uncertainty.clamp(f32::MIN, 1.0)).collect();
        Scores { fake: self.probabilities(&logits), uncertainty }
    }

    /// Calibrated P(fake) of each clip from the values of its logits `[clips, 2]`; NaN where a logit is not a finite number.
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f32> {
        clips::fake_probabilities(logits, self.spec.calibration.temperature)
    }
}

/// Clips `[clips, T, 3, h, w]` to frames `[clips·T, 3, h, w]`.
pub(crate) fn flatten_clips(pixels: Tensor<5>) -> Tensor<4> {
    let [clips, frames, channels, height, width] = pixels.dims();
    pixels.reshape([clips * frames, channels, height, width])
}
