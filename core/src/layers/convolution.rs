//! A convolution and the batch norm after it, or a bias.

use burn::module::Param;
use burn::prelude::*;

use super::{BatchNorm, Pass};
use crate::ops::{self, Activation, ChannelAffine, KeptLayout, Steps};
use crate::weights::{Init, Loader, Usage, WeightsError};

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
    #[module(skip)]
    kept: KeptLayout,
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
            kept: KeptLayout::default(),
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
            None => ops::convolution_kept(x, self.weight.val(), steps, self.norm.affine(), activation, &self.kept),
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
            None => {
                let affine = self.norm.affine();
                ops::depthwise_convolution_kept(x, self.weight.val(), steps, affine, activation, &self.kept)
            }
            Some(found) => {
                let (layer, epsilon) = (self.norm.of_batch(self.weight.val()), self.norm.epsilon);
                let (output, moments) = ops::depthwise_convolution_of_batch(x, layer, steps, activation, epsilon);
                found.push(moments);
                output
            }
        }
    }
}

/// A convolution with a bias and without a norm, such as one that its norm was folded into.
#[derive(Module, Debug)]
pub struct BiasedConvolution {
    /// `[out, in, side, side]`, in memory `[side, side, in, out]`: as it is read. Where each channel has a kernel of its own,
    /// `[channels, 1, side, side]`, and in memory so.
    pub weight: Param<Tensor<4>>,
    /// Ones, `[out]`.
    scale: Param<Tensor<1>>,
    /// `[out]`
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    kept: KeptLayout,
}

impl BiasedConvolution {
    /// Loads `weight` `[out, in, side, side]` and `bias`.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, sizes: ConvolutionSizes) -> Result<Self, WeightsError> {
        let weight = weight(loader, sizes)?;
        Self::with_weight(loader, weight.val())
    }

    /// [`BiasedConvolution::load`] of one of 1 × 1, whose `weight` in the file is `[out, in]`.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load_pointwise(loader: &mut Loader, inputs: usize, outputs: usize) -> Result<Self, WeightsError> {
        let deviation = libm::sqrtf(2.0 / outputs as f32);
        let weight: Param<Tensor<2>> = loader.param("weight", [outputs, inputs], Init::Normal(deviation))?;
        Self::with_weight(loader, weight.val().reshape([outputs, inputs, 1, 1]))
    }

    fn with_weight(loader: &mut Loader, weight: Tensor<4>) -> Result<Self, WeightsError> {
        let [outputs, inputs, ..] = weight.dims();
        let bias: Param<Tensor<1>> = loader.param("bias", [outputs], Init::Zeros)?;
        let weight = match inputs {
            1 => weight,
            _ => laid_out(weight.permute([2, 3, 1, 0])).permute([3, 2, 0, 1]),
        };
        Ok(Self {
            weight: Param::from_tensor(weight),
            scale: Param::from_tensor(bias.val().ones_like()),
            bias,
            kept: KeptLayout::default(),
        })
    }

    /// The weight of a convolution of 1 × 1, `[out, in]`, in memory `[in, out]`.
    pub fn matrix(&self) -> Tensor<2> {
        let [outputs, inputs, ..] = self.weight.dims();
        self.weight.val().permute([2, 3, 1, 0]).reshape([inputs, outputs]).transpose()
    }

    /// The bias, as what follows a convolution.
    pub fn affine(&self) -> ChannelAffine {
        ChannelAffine { scale: self.scale.val(), shift: self.bias.val() }
    }

    /// `[n, h, w, in]` to `[n, h', w', out]`, which follow from `steps`.
    pub fn forward(&self, x: Tensor<4>, steps: Steps, activation: Option<Activation>) -> Tensor<4> {
        ops::convolution_kept(x, self.weight.val(), steps, self.affine(), activation, &self.kept)
    }
}

/// The tensor with its values in memory in the order of its shape.
fn laid_out<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    let device = tensor.device();
    Tensor::from_data(tensor.into_data(), &device)
}

/// The weight of a convolution, which starts with a variance of 2 over the number of outputs that an input reaches.
pub(super) fn weight(loader: &mut Loader, sizes: ConvolutionSizes) -> Result<Param<Tensor<4>>, WeightsError> {
    let ConvolutionSizes { inputs, outputs, side } = sizes;
    let reached = if inputs == 1 { side * side } else { outputs * side * side };
    loader.param_for(
        Usage::Kernels,
        "weight",
        [outputs, inputs, side, side],
        Init::Normal(libm::sqrtf(2.0 / reached as f32)),
    )
}
