//! What scores a face: one file a model, its config beside it, and [`Detector`] around whichever it is.

pub mod clip;
pub mod efficientnet;
pub mod layers;
mod parameters;
pub mod stan;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::activation::softmax;
use rand_chacha::ChaCha8Rng;

pub use parameters::{Strategy, Visit, for_each_parameter, is_norm, is_statistic, parameters, trainable};

use crate::image::RgbImage;
use crate::weights::spec::{Architecture, Calibration, DetectorSpec, InputSpec};
use crate::weights::{Loader, TensorSource, WeightsError};
use clip::Clip;
use efficientnet::EfficientNet;
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
    device: Device,
    /// The type that the model is given pixels in, and so computes in.
    dtype: DType,
}

impl Detector {
    /// Loads the detector that `spec` describes.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(spec: DetectorSpec, source: &mut dyn TensorSource, device: &Device) -> Result<Self, WeightsError> {
        spec.check()?;
        let model = Model::load(&spec.architecture, source, device)?;
        Ok(Self { spec, model, device: device.clone(), dtype: DType::F32 })
    }

    /// The same detector with another model of its architecture.
    #[must_use]
    pub fn with_model(self, model: Model) -> Self {
        Self { model, ..self }
    }

    /// The same detector with its activations in `dtype`, f32 or bf16. Features and logits are f32 in any case.
    #[must_use]
    pub fn computing_in(self, dtype: DType) -> Self {
        Self { dtype, ..self }
    }

    /// The same detector with another calibration.
    #[must_use]
    pub fn with_calibration(mut self, calibration: Calibration) -> Self {
        self.spec.calibration = calibration;
        self
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
        &self.device
    }

    /// Crops to the model's input `[clips, T, 3, size, size]`: resized, scaled to 0..1, minus mean, over std. Each `T`
    /// crops that follow each other are a clip; a last short clip repeats its last crop.
    pub fn preprocess(&self, crops: &[RgbImage]) -> Tensor<5> {
        let InputSpec { size, .. } = self.spec.input;
        let (length, image) = (self.spec.clip_length(), 3 * size * size);
        let clips = crops.len().div_ceil(length);
        let mut values = Vec::with_capacity(clips * length * image);
        for crop in crops {
            push_normalised(&mut values, crop, &self.spec.input);
        }
        while values.len() < clips * length * image {
            values.extend_from_within(values.len() - image..);
        }
        let pixels = Tensor::<5>::from_data(TensorData::new(values, [clips, length, 3, size, size]), &self.device);
        pixels.cast(self.dtype)
    }

    /// Calibrated P(fake), `[clips]`, of logits `[clips, 2]`: `softmax(logits / temperature)[1]`.
    pub fn probability(&self, logits: Tensor<2>) -> Tensor<1> {
        let count = logits.dims()[0];
        softmax(logits / self.spec.calibration.temperature, 1).narrow(1, 1, 1).reshape([count])
    }

    /// Calibrated P(fake) of each clip of [`Detector::preprocess`], still on the device.
    pub fn score(&self, crops: &[RgbImage]) -> Tensor<1> {
        self.probability(self.model.forward(self.preprocess(crops)).logits)
    }
}

/// Appends one crop's channels, each row by row.
fn push_normalised(values: &mut Vec<f32>, crop: &RgbImage, input: &InputSpec) {
    let resized = crop.resize(input.size, input.size, input.interpolation);
    for channel in 0..3 {
        let (mean, std) = (input.mean[channel], input.std[channel]);
        values.extend(resized.pixels().iter().skip(channel).step_by(3).map(|v| (f32::from(*v) / 255.0 - mean) / std));
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
