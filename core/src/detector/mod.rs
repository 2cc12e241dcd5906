//! What scores a face: one file a model, its config beside it, and [`Detector`] around whichever it is.

pub mod clip;
pub mod efficientnet;
mod front_end;
pub mod layers;
mod parameters;
pub mod stan;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use burn::prelude::*;
use burn::tensor::DType;
use rand_chacha::ChaCha8Rng;

pub use front_end::FrontEnd;
pub use parameters::{Strategy, Values, Visit, for_each_parameter, is_norm, is_statistic, parameters, trainable};

use crate::image::RgbImage;
use crate::ops::Moments;
use crate::pipeline::aggregate;
use crate::weights::spec::{Architecture, DetectorSpec};
use crate::weights::{Loader, TensorSource, WeightsError};
use clip::Clip;
use efficientnet::{EfficientNet, Statistics};
use stan::Stan;

/// What a model says about its inputs, a row for each clip.
#[derive(Clone, Debug)]
pub struct Output {
    /// `[clips, d]`
    pub features: Tensor<2>,
    /// `[clips, 2]`: real, fake
    pub logits: Tensor<2>,
}

/// The models. All of them see clips; to a model of single frames a clip is one frame.
#[derive(Module, Debug)]
pub enum Model {
    /// A CLIP vision tower with a head.
    Clip(Clip),
    /// A CLIP vision tower with a spatial-temporal branch and a head.
    Stan(Stan),
    /// An EfficientNet with a head.
    EfficientNet(EfficientNet),
}

impl Model {
    /// Loads all tensors of `architecture` from `source`, and refuses tensors left over.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(
        architecture: &Architecture,
        source: &mut dyn TensorSource,
        device: &Device,
    ) -> Result<Self, WeightsError> {
        let mut loader = Loader::new(source, device);
        let model = match architecture {
            Architecture::Clip(config) => Self::Clip(Clip::load(&mut loader, config)?),
            Architecture::Stan(config) => Self::Stan(Stan::load(&mut loader, config)?),
            Architecture::EfficientNet(config) => Self::EfficientNet(EfficientNet::load(&mut loader, config)?),
        };
        loader.finish()?;
        Ok(model)
    }

    /// Normalised pixels `[clips, T, 3, h, w]` to features and logits, one row a clip; `T` is
    /// [`Architecture::clip_length`]. Activations have the pixels' type, features and logits are f32.
    pub fn forward(&self, pixels: Tensor<5>) -> Output {
        self.forward_training(pixels, None)
    }

    /// [`Model::forward`] in training, where clips pass by parts of the model as `masks` say. They are those of
    /// [`drop_path_masks`] for as many clips.
    pub fn forward_training(&self, pixels: Tensor<5>, masks: Option<Tensor<3>>) -> Output {
        match self {
            Self::Clip(clip) => clip.forward(flatten_clips(pixels)),
            Self::EfficientNet(network) => network.forward(flatten_clips(pixels)),
            Self::Stan(stan) => stan.forward(pixels, masks),
        }
    }

    /// [`Model::forward_training`] with batch norms that use the statistics of this batch, and those statistics in the order in which
    /// [`parameters`] names them. A model without batch norms has none, and computes as ever.
    pub fn forward_by_batch(&self, pixels: Tensor<5>, masks: Option<Tensor<3>>) -> (Output, Vec<Moments>) {
        let mut found = Vec::new();
        let output = match self {
            Self::EfficientNet(network) => network.forward_with(flatten_clips(pixels), Statistics::OfBatch(&mut found)),
            Self::Clip(_) | Self::Stan(_) => self.forward_training(pixels, masks),
        };
        (output, found)
    }
}

/// The masks of one training step for a model of this architecture, where it has parts that clips pass by.
pub fn drop_path_masks(
    architecture: &Architecture,
    rng: &mut ChaCha8Rng,
    clips: usize,
    device: &Device,
) -> Option<Tensor<3>> {
    match architecture {
        Architecture::Stan(config) if config.drop_path > 0.0 => Some(config.drop_path_masks(rng, clips, device)),
        _ => None,
    }
}

/// Clips `[clips, T, 3, h, w]` to frames `[clips·T, 3, h, w]`.
fn flatten_clips(pixels: Tensor<5>) -> Tensor<4> {
    let [clips, frames, channels, height, width] = pixels.dims();
    pixels.reshape([clips * frames, channels, height, width])
}

/// A model with everything that its scores depend on.
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
        let model = Model::load(&spec.architecture, source, device)?;
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

    /// Calibrated P(fake) of each clip from the values of its logits `[clips, 2]`; NaN where a logit is not a finite number.
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f32> {
        aggregate::fake_probabilities(logits, self.spec.calibration.temperature)
    }
}

/// The smallest length that vectors are divided by, PyTorch's default in `F.normalize`.
const NORMALISE_EPSILON: f32 = 1e-12;

/// Rows `[n, d]` divided by their Euclidean length, in f32.
pub(crate) fn l2_normalise(rows: Tensor<2>) -> Tensor<2> {
    let rows = rows.cast(DType::F32);
    let length = (rows.clone() * rows.clone()).sum_dim(1).sqrt().clamp_min(NORMALISE_EPSILON);
    rows / length
}
