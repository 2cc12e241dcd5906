//! EfficientNet (Tan & Le, 2019; `efficientnet` and `efficientnet/lite` of tensorflow/tpu) with a classification head.
//!
//! The features are the last convolution's output averaged over the image. Batch norms use the statistics that stand in
//! the file, so that a score does not depend on what else is in its batch. Training may use those of each batch instead
//! ([`Pass::by_batch`]), of which the running averages then belong into the file. Pretraining applied dropout to the
//! features; nothing is dropped there.

mod config;

use alloc::format;
use alloc::vec::Vec;

use burn::prelude::*;

pub use config::{EfficientNetConfig, Stage, Variant};

use self::config::{BlockSizes, STEM_KERNEL};
use crate::detector::{Network, Output, flatten_clips};
use crate::layers::{Convolution, ConvolutionSizes, Head, Pass, SqueezeExcite, mean_over_places, pass_by};
use crate::ops::{self, Activation, InvertedResidual, InvertedResidualOfBatch, KeptLayout, Moments, Steps};
use crate::weights::{Loader, WeightsError};

/// What keeps the division by the deviation finite, in every batch norm of the reference.
const EPSILON: f64 = 1e-3;

/// A convolution of the network: channels in, channels out, side.
fn convolution(loader: &mut Loader, inputs: usize, outputs: usize, side: usize) -> Result<Convolution, WeightsError> {
    Convolution::load(loader, ConvolutionSizes { inputs, outputs, side }, EPSILON)
}

/// An inverted residual block: expand, filter each channel, weigh the channels (where the network does), project, and add the
/// input where the shape stays.
#[derive(Module, Debug)]
pub struct Block {
    expand: Option<Convolution>,
    depthwise: Convolution,
    squeeze: Option<SqueezeExcite>,
    project: Convolution,
    #[module(skip)]
    steps: Steps,
    #[module(skip)]
    activation: Activation,
    #[module(skip)]
    residual: bool,
    /// The probability that an image goes through in training.
    #[module(skip)]
    keep: f32,
    #[module(skip)]
    kept: KeptLayout,
}

impl Block {
    fn load(loader: &mut Loader, sizes: BlockSizes, activation: Activation, keep: f32) -> Result<Self, WeightsError> {
        let BlockSizes { inputs, inside, squeezed, outputs, kernel, steps } = sizes;
        let expand = match inside == inputs {
            true => None,
            false => Some(loader.within("expand", |l| convolution(l, inputs, inside, 1))?),
        };
        let depthwise = loader.within("depthwise", |l| convolution(l, 1, inside, kernel))?;
        let squeeze = match squeezed {
            Some(within) => Some(loader.within("squeeze", |l| SqueezeExcite::load(l, inside, within, activation))?),
            None => None,
        };
        Ok(Self {
            expand,
            depthwise,
            squeeze,
            project: loader.within("project", |l| convolution(l, inside, outputs, 1))?,
            steps,
            activation,
            residual: steps.stride == 1 && inputs == outputs,
            keep,
            kept: KeptLayout::default(),
        })
    }

    /// `[n, h, w, in]` to `[n, h', w', out]`, as its steps say.
    fn forward(&self, input: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        match (&self.squeeze, pass.moments()) {
            (Some(squeeze), _) => self.forward_squeezed(squeeze, input, pass),
            (None, None) => self.forward_by_stored(input),
            (None, Some(found)) => self.forward_by_batch(input, found),
        }
    }

    /// In two parts, since all pixels of an image decide about each channel between them.
    fn forward_squeezed(&self, squeeze: &SqueezeExcite, input: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let activation = Some(self.activation);
        let filtered = match &self.expand {
            Some(expand) if pass.moments().is_none() => {
                let expand = (expand.matrix(), expand.norm.affine());
                let filter = (self.depthwise.weight.val(), self.depthwise.norm.affine());
                ops::expanded_depthwise_kept(input.clone(), expand, filter, self.steps, activation, &self.kept)
            }
            Some(expand) => {
                let expanded = expand.forward(input.clone(), Steps::same(1), activation, pass);
                self.depthwise.forward_depthwise(expanded, self.steps, activation, pass)
            }
            None => self.depthwise.forward_depthwise(input.clone(), self.steps, activation, pass),
        };
        let output = self.project.forward(squeeze.forward(filtered), Steps::same(1), None, pass);
        if self.residual { pass_by(output, self.keep, pass) + input } else { output }
    }

    /// In one operation.
    fn forward_by_stored(&self, input: Tensor<4>) -> Tensor<4> {
        let block = InvertedResidual {
            expand: self.expand.as_ref().map(|expand| (expand.matrix(), expand.norm.affine())),
            filter: self.depthwise.weight.val(),
            filter_affine: self.depthwise.norm.affine(),
            project: self.project.matrix(),
            project_affine: self.project.norm.affine(),
            steps: self.steps,
            activation: self.activation,
            residual: self.residual,
        };
        ops::inverted_residual_kept(input, block, &self.kept)
    }

    /// In one operation as well, whose norms wait for the whole batch.
    fn forward_by_batch(&self, input: Tensor<4>, found: &mut Vec<Moments>) -> Tensor<4> {
        let Convolution { weight, norm, .. } = &self.depthwise;
        let block = InvertedResidualOfBatch {
            expand: self.expand.as_ref().map(|expand| expand.norm.of_batch(expand.matrix())),
            filter: norm.of_batch(weight.val()),
            project: self.project.norm.of_batch(self.project.matrix()),
            steps: self.steps,
            activation: self.activation,
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
    #[module(skip)]
    stem_steps: Steps,
    #[module(skip)]
    activation: Activation,
}

impl Trunk {
    pub(super) fn load(loader: &mut Loader, config: &EfficientNetConfig) -> Result<Self, WeightsError> {
        let (sizes, activation) = (config.blocks(), config.variant.activation());
        let count = sizes.len();
        let keep = |index: usize| 1.0 - config.drop_path * index as f32 / count as f32;
        let mut blocks = Vec::with_capacity(count);
        for (index, sizes) in sizes.into_iter().enumerate() {
            let name = format!("blocks.{index}");
            blocks.push(loader.within(&name, |l| Block::load(l, sizes, activation, keep(index)))?);
        }
        Ok(Self {
            stem: loader.within("stem", |l| convolution(l, 3, config.stem, STEM_KERNEL))?,
            blocks,
            last: loader.within("last", |l| convolution(l, config.last_channels(), config.width, 1))?,
            stem_steps: config.stem_steps(),
            activation,
        })
    }

    /// Normalised pixels `[n, 3, h, w]` to the last convolution's output, channels last: about `[n, h / 32, w / 32, d]`.
    pub fn maps(&self, pixels: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let activation = Some(self.activation);
        let x = self.stem.forward(pixels.permute([0, 2, 3, 1]), self.stem_steps, activation, pass);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, pass));
        let maps = self.last.forward(x, Steps::same(1), activation, pass);
        pass.through_maps(maps)
    }
}

/// The trunk and its head.
#[derive(Module, Debug)]
pub struct EfficientNet {
    trunk: Trunk,
    head: Head,
}

impl EfficientNet {
    /// Everything before the head.
    pub fn trunk(&self) -> &Trunk {
        &self.trunk
    }
}

impl Network for EfficientNet {
    type Sizes = EfficientNetConfig;

    /// Loads every tensor that `config` asks for, under `trunk.` and `head.`.
    fn load(loader: &mut Loader, config: &EfficientNetConfig) -> Result<Self, WeightsError> {
        Ok(Self {
            trunk: loader.within("trunk", |l| Trunk::load(l, config))?,
            head: loader.within("head", |l| Head::load(l, config.width, config.head))?,
        })
    }

    fn forward(&self, clips: Tensor<5>, pass: &mut Pass) -> Output {
        let features = mean_over_places(self.trunk.maps(flatten_clips(clips), pass));
        Output::new(features.clone(), self.head.forward(features))
    }

    fn margin_gradient(&self, features: Tensor<2>) -> Option<Tensor<2>> {
        Some(self.head.margin_gradient(features))
    }
}

#[cfg(test)]
mod tests;
