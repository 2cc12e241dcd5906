//! EfficientNet-Lite (Tan & Le, 2019; `efficientnet/lite` of tensorflow/tpu) with a classification head.
//!
//! The features are the last convolution's output averaged over the image. Batch norms use the statistics that stand in
//! the file, so that a score does not depend on what else is in its batch. Training may use those of each batch instead
//! ([`Statistics::OfBatch`]), of which the running averages then belong into the file. Pretraining applied dropout to the
//! features; nothing is dropped here.

mod config;

use alloc::format;
use alloc::vec::Vec;

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::DType;

pub use config::{EfficientNetConfig, Stage};

use self::config::{BlockSizes, STEM_KERNEL, STEM_STRIDE};
use super::Output;
use super::clip::Head;
use crate::ops::{
    self, Activation, ChannelAffine, InvertedResidual, InvertedResidualOfBatch, Moments, NormedConvolution, Steps,
};
use crate::weights::{Init, Loader, WeightsError};

/// What keeps the division by the deviation finite, in every batch norm of the reference.
const EPSILON: f64 = 1e-3;

/// Where batch norms have their statistics from.
#[derive(Debug)]
pub enum Statistics<'a> {
    /// From the file.
    Stored,
    /// From the batch itself. Each norm adds its own here, in the order of the model.
    OfBatch(&'a mut Vec<Moments>),
}

/// Batch normalisation.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// `[channels]`
    pub weight: Param<Tensor<1>>,
    /// `[channels]`
    pub bias: Param<Tensor<1>>,
    /// The mean of each channel in training, `[channels]`; has no gradient.
    pub running_mean: Param<Tensor<1>>,
    /// The variance of each channel in training, `[channels]`; has no gradient.
    pub running_var: Param<Tensor<1>>,
}

impl BatchNorm {
    fn load(loader: &mut Loader, channels: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: loader.param("weight", [channels], Init::Ones)?,
            bias: loader.param("bias", [channels], Init::Zeros)?,
            running_mean: loader.constant("running_mean", [channels], Init::Zeros)?,
            running_var: loader.constant("running_var", [channels], Init::Ones)?,
        })
    }

    /// `(x - mean) / sqrt(variance + epsilon) * weight + bias` as a factor and a summand.
    fn affine(&self) -> ChannelAffine {
        let scale = self.weight.val() / (self.running_var.val() + EPSILON).sqrt();
        ChannelAffine { shift: self.bias.val() - self.running_mean.val() * scale.clone(), scale }
    }

    /// The norm by the statistics of the batch after a convolution of this weight.
    fn of_batch<const D: usize>(&self, weight: Tensor<D>) -> NormedConvolution<D> {
        NormedConvolution { weight, norm_weight: self.weight.val(), norm_bias: self.bias.val() }
    }
}

/// A convolution without bias, and the batch norm after it.
#[derive(Module, Debug)]
pub struct Convolution {
    /// `[out, in, side, side]`; `in` is 1 in a depthwise convolution.
    weight: Param<Tensor<4>>,
    norm: BatchNorm,
}

impl Convolution {
    fn load(loader: &mut Loader, [outputs, inputs, side]: [usize; 3]) -> Result<Self, WeightsError> {
        // The reference's initialisation: the variance is 2 over the number of outputs that an input reaches.
        let reached = if inputs == 1 { side * side } else { outputs * side * side };
        let deviation = libm::sqrtf(2.0 / reached as f32);
        Ok(Self {
            weight: loader.param("weight", [outputs, inputs, side, side], Init::Normal(deviation))?,
            norm: loader.within("norm", |l| BatchNorm::load(l, outputs))?,
        })
    }

    /// The weight of a convolution of 1 × 1, `[out, in]`.
    fn matrix(&self) -> Tensor<2> {
        self.weight.val().flatten(1, 3)
    }

    /// With norm and activation, `[n, h, w, in]` to `[n, ⌈h / stride⌉, ⌈w / stride⌉, out]`.
    fn forward(&self, x: Tensor<4>, stride: usize, statistics: &mut Statistics) -> Tensor<4> {
        let (weight, steps, relu6) = (self.weight.val(), Steps::same(stride), Some(Activation::Relu6));
        match statistics {
            Statistics::Stored => ops::convolution(x, weight, steps, self.norm.affine(), relu6),
            Statistics::OfBatch(found) => {
                let layer = self.norm.of_batch(weight);
                let (output, moments) = ops::convolution_of_batch(x, layer, steps, relu6, EPSILON);
                found.push(moments);
                output
            }
        }
    }
}

/// An inverted residual block: expand, filter each channel, project, and add the input where the shape stays.
#[derive(Module, Debug)]
pub struct Block {
    expand: Option<Convolution>,
    depthwise: Convolution,
    project: Convolution,
    #[module(skip)]
    stride: usize,
    #[module(skip)]
    residual: bool,
}

impl Block {
    fn load(loader: &mut Loader, sizes: BlockSizes) -> Result<Self, WeightsError> {
        let BlockSizes { inputs, inside, outputs, kernel, stride } = sizes;
        let expand = if inside == inputs {
            None
        } else {
            Some(loader.within("expand", |l| Convolution::load(l, [inside, inputs, 1]))?)
        };
        Ok(Self {
            expand,
            depthwise: loader.within("depthwise", |l| Convolution::load(l, [inside, 1, kernel]))?,
            project: loader.within("project", |l| Convolution::load(l, [outputs, inside, 1]))?,
            stride,
            residual: stride == 1 && inputs == outputs,
        })
    }

    /// `[n, h, w, in]` to `[n, ⌈h / stride⌉, ⌈w / stride⌉, out]`.
    fn forward(&self, input: Tensor<4>, statistics: &mut Statistics) -> Tensor<4> {
        match statistics {
            Statistics::Stored => self.forward_by_stored(input),
            Statistics::OfBatch(found) => self.forward_by_batch(input, found),
        }
    }

    /// In one operation.
    fn forward_by_stored(&self, input: Tensor<4>) -> Tensor<4> {
        let block = InvertedResidual {
            expand: self.expand.as_ref().map(|expand| (expand.matrix(), expand.norm.affine())),
            filter: self.depthwise.weight.val(),
            filter_affine: self.depthwise.norm.affine(),
            project: self.project.matrix(),
            project_affine: self.project.norm.affine(),
            steps: Steps::same(self.stride),
            activation: Activation::Relu6,
            residual: self.residual,
        };
        ops::inverted_residual(input, block)
    }

    /// In one operation as well, whose norms wait for the whole batch.
    fn forward_by_batch(&self, input: Tensor<4>, found: &mut Vec<Moments>) -> Tensor<4> {
        let Convolution { weight, norm } = &self.depthwise;
        let block = InvertedResidualOfBatch {
            expand: self.expand.as_ref().map(|expand| expand.norm.of_batch(expand.matrix())),
            filter: norm.of_batch(weight.val()),
            project: self.project.norm.of_batch(self.project.matrix()),
            steps: Steps::same(self.stride),
            activation: Activation::Relu6,
            residual: self.residual,
            epsilon: EPSILON,
        };
        let (output, moments) = ops::inverted_residual_of_batch(input, block);
        found.extend(moments);
        output
    }
}

/// Everything before the head.
#[derive(Module, Debug)]
pub struct Trunk {
    stem: Convolution,
    blocks: Vec<Block>,
    last: Convolution,
}

impl Trunk {
    fn load(loader: &mut Loader, config: &EfficientNetConfig) -> Result<Self, WeightsError> {
        Ok(Self {
            stem: loader.within("stem", |l| Convolution::load(l, [config.stem, 3, STEM_KERNEL]))?,
            blocks: config
                .blocks()
                .into_iter()
                .enumerate()
                .map(|(index, sizes)| loader.within(&format!("blocks.{index}"), |l| Block::load(l, sizes)))
                .collect::<Result<_, _>>()?,
            last: loader.within("last", |l| Convolution::load(l, [config.width, config.last_channels(), 1]))?,
        })
    }

    /// Normalised pixels `[n, 3, h, w]` to the last convolution's output, channels last: `[n, h / 32, w / 32, d]`.
    pub fn maps(&self, pixels: Tensor<4>, mut statistics: Statistics) -> Tensor<4> {
        let x = self.stem.forward(pixels.permute([0, 2, 3, 1]), STEM_STRIDE, &mut statistics);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, &mut statistics));
        self.last.forward(x, 1, &mut statistics)
    }
}

/// The trunk and its head.
#[derive(Module, Debug)]
pub struct EfficientNet {
    trunk: Trunk,
    head: Head,
}

impl EfficientNet {
    /// Loads every tensor that `config` asks for, under `trunk.` and `head.`.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, config: &EfficientNetConfig) -> Result<Self, WeightsError> {
        config.check().map_err(WeightsError::ImpossibleSpec)?;
        Ok(Self {
            trunk: loader.within("trunk", |l| Trunk::load(l, config))?,
            head: loader.within("head", |l| Head::load(l, config.width, config.head))?,
        })
    }

    /// Everything before the head.
    pub fn trunk(&self) -> &Trunk {
        &self.trunk
    }

    /// Normalised pixels `[n, 3, h, w]` to features `[n, d]` and logits `[n, 2]`.
    pub fn forward(&self, pixels: Tensor<4>) -> Output {
        self.forward_with(pixels, Statistics::Stored)
    }

    /// [`EfficientNet::forward`] with statistics from wherever `statistics` says.
    pub fn forward_with(&self, pixels: Tensor<4>, statistics: Statistics) -> Output {
        let maps = self.trunk.maps(pixels, statistics).cast(DType::F32);
        let [count, rows, columns, width] = maps.dims();
        let features: Tensor<2> = maps.reshape([count, rows * columns, width]).mean_dim(1).squeeze_dim(1);
        Output { logits: self.head.forward(features.clone()), features }
    }
}

#[cfg(test)]
mod tests;
