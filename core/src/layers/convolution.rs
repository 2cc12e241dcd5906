//! A convolution and the batch norm after it.

use burn::module::Param;
use burn::prelude::*;

use super::{BatchNorm, Pass};
use crate::ops::{self, Activation, Steps};
use crate::weights::{Init, Loader, WeightsError};

/// What a convolution reads and makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvolutionSizes {
    /// Channels that come in; 1 where each channel has a kernel of its own.
    pub inputs: usize,
    /// Channels that go out.
    pub outputs: usize,
    /// Side of the kernel.
    pub side: usize,
}

/// A convolution without bias, and the batch norm after it.
#[derive(Module, Debug)]
pub struct Convolution {
    /// `[out, in, side, side]`; `in` is 1 in a depthwise convolution.
    pub weight: Param<Tensor<4>>,
    /// After the convolution.
    pub norm: BatchNorm,
}

impl Convolution {
    /// Loads `weight` and the norm's tensors under `norm.`, which has this epsilon.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, sizes: ConvolutionSizes, epsilon: f64) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: weight(loader, sizes)?,
            norm: loader.within("norm", |l| BatchNorm::load(l, sizes.outputs, epsilon))?,
        })
    }

    /// The weight of a convolution of 1 × 1, `[out, in]`.
    pub fn matrix(&self) -> Tensor<2> {
        self.weight.val().flatten(1, 3)
    }

    /// A convolution over all channels with norm and activation, `[n, h, w, in]` to `[n, h', w', out]`, which follow from
    /// `steps`.
    pub fn forward(&self, x: Tensor<4>, steps: Steps, activation: Option<Activation>, pass: &mut Pass) -> Tensor<4> {
        match pass.moments() {
            None => ops::convolution(x, self.weight.val(), steps, self.norm.affine(), activation),
            Some(found) => {
                let layer = self.norm.of_batch(self.weight.val());
                let (output, moments) = ops::convolution_of_batch(x, layer, steps, activation, self.norm.epsilon);
                found.push(moments);
                output
            }
        }
    }

    /// [`Convolution::forward`] where each channel has a kernel of its own, `[n, h, w, channels]`.
    pub fn forward_depthwise(
        &self,
        x: Tensor<4>,
        steps: Steps,
        activation: Option<Activation>,
        pass: &mut Pass,
    ) -> Tensor<4> {
        match pass.moments() {
            None => ops::depthwise_convolution(x, self.weight.val(), steps, self.norm.affine(), activation),
            Some(found) => {
                let (layer, epsilon) = (self.norm.of_batch(self.weight.val()), self.norm.epsilon);
                let (output, moments) = ops::depthwise_convolution_of_batch(x, layer, steps, activation, epsilon);
                found.push(moments);
                output
            }
        }
    }
}

/// The weight of a convolution, which starts with a variance of 2 over the number of outputs that an input reaches.
pub(super) fn weight(loader: &mut Loader, sizes: ConvolutionSizes) -> Result<Param<Tensor<4>>, WeightsError> {
    let ConvolutionSizes { inputs, outputs, side } = sizes;
    let reached = if inputs == 1 { side * side } else { outputs * side * side };
    loader.param("weight", [outputs, inputs, side, side], Init::Normal(libm::sqrtf(2.0 / reached as f32)))
}
