//! Convolutions for images whose channels lie side by side, `[images, rows, columns, channels]`.
//!
//! In that layout a convolution of 1 × 1 is one matrix product over all pixels, and every step of a depthwise one is a run
//! of neighbouring numbers. Each is one operation with the frozen batch norm and the activation after it, so that no
//! tensor but input and output is ever written, going forward or back: on a CPU, the time goes into memory and not
//! into arithmetic. [`Steps`] says how a kernel moves and what it meets beyond the edge.
//!
//! In training a batch norm may use the statistics of its batch instead: `norm`, by the kernels of `norm_kernels`; `trained`
//! has whole blocks of such convolutions.
//!
//! `composed` declares the convolutions, with bodies in burn's own operations for every backend; `flex` and `gradients` have
//! those for CPUs, `device` those for graphics devices. `fused` has those for CPUs where no gradients are asked for: `direct`
//! for a convolution of any side, `residual` for a whole block, both made of the matrix products of `cpu::product`.

mod composed;
#[cfg(feature = "cube")]
mod device;
#[cfg(feature = "simd")]
mod direct;
mod flex;
mod folded;
#[cfg(feature = "simd")]
mod fused;
#[cfg(test)]
mod fused_tests;
mod geometry;
#[cfg(feature = "autodiff")]
mod gradients;
mod kernels;
mod norm;
mod norm_kernels;
#[cfg(test)]
mod norm_tests;
#[cfg(feature = "simd")]
mod residual;
#[cfg(test)]
mod tests;
mod trained;

use burn::backend::Dispatch;
#[cfg(feature = "simd")]
use burn::backend::DispatchDevice;
use burn::prelude::*;
use burn::tensor::DType;

pub use folded::folded_norm;
pub use geometry::{Axis, Padding, Steps};
pub use norm::{Moments, batch_norm};
pub use trained::{
    InvertedResidualOfBatch, NormedConvolution, bare_depthwise, convolution_of_batch, depthwise_convolution_of_batch,
    inverted_residual_of_batch,
};

use super::{Activation, KeptLayout};
use composed::Convolutions;

/// A factor and a summand for each output channel: what is left of a batch norm whose statistics are frozen.
#[derive(Clone, Debug)]
pub struct ChannelAffine {
    /// Multiplies each channel, `[channels]`.
    pub scale: Tensor<1>,
    /// Is added after that, `[channels]`.
    pub shift: Tensor<1>,
}

impl ChannelAffine {
    /// What changes none of `channels`; it has no gradients.
    pub fn neutral(channels: usize, device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        Self { scale: Tensor::ones([channels], &device), shift: Tensor::zeros([channels], &device) }
    }

    /// Panics unless there are as many numbers as `channels`.
    fn check(&self, channels: usize) {
        let found = (self.scale.dims(), self.shift.dims());
        assert_eq!(found, ([channels], [channels]), "a factor and a summand for each channel");
    }
}

/// `activation(input · weightᵀ * scale + shift)` at every pixel: a convolution of 1 × 1.
///
/// # Shapes
/// - input: `[images, rows, columns, in]`, weight: `[out, in]`, affine: `[out]`
/// - output: `[images, rows, columns, out]`
///
/// # Panics
/// Where the shapes are others.
pub fn pointwise_convolution(
    input: Tensor<4>,
    weight: Tensor<2>,
    affine: ChannelAffine,
    activation: Option<Activation>,
) -> Tensor<4> {
    let [outputs, inputs] = weight.dims();
    assert_eq!(input.dims()[3], inputs, "the input's channels are what the weight reads");
    affine.check(outputs);
    #[cfg(feature = "simd")]
    if fused::serve(&input, &weight, &affine) {
        return fused::convolution(input, &weight, Steps::same(1), &affine, activation, &KeptLayout::default());
    }
    if let Some(smooth) = smooth(activation) {
        return smooth.apply(pointwise_convolution(input, weight, affine, None));
    }
    let ChannelAffine { scale, shift } = affine;
    let (input, weight) = (input.into_dispatch(), weight.cast(DType::F32).into_dispatch());
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(Dispatch::pointwise(input, weight, scale, shift, activation))
}

/// `activation(convolution * scale + shift)`, where each channel is convolved with a kernel of its own.
///
/// # Shapes
/// - input: `[images, rows, columns, channels]`, weight: `[channels, 1, side, side]`, affine: `[channels]`
/// - output: `[images, ⌈rows / stride⌉, ⌈columns / stride⌉, channels]`
///
/// # Panics
/// Where the shapes are others.
pub fn depthwise_convolution(
    input: Tensor<4>,
    weight: Tensor<4>,
    steps: Steps,
    affine: ChannelAffine,
    activation: Option<Activation>,
) -> Tensor<4> {
    depthwise_convolution_kept(input, weight, steps, affine, activation, &KeptLayout::default())
}

/// [`depthwise_convolution`] by whoever holds on to its weights: `kept` is theirs alone.
///
/// # Panics
/// Those of [`depthwise_convolution`].
pub fn depthwise_convolution_kept(
    input: Tensor<4>,
    weight: Tensor<4>,
    steps: Steps,
    affine: ChannelAffine,
    activation: Option<Activation>,
    #[cfg_attr(not(feature = "simd"), allow(unused_variables))] kept: &KeptLayout,
) -> Tensor<4> {
    let ([_, _, _, channels], [_, _, side, _]) = (input.dims(), weight.dims());
    assert_eq!(weight.dims(), [channels, 1, side, side], "a square kernel for each channel");
    affine.check(channels);
    #[cfg(feature = "simd")]
    {
        let filter = (&weight, &affine);
        let filtering = fused::Filtering {
            expand: None,
            filter,
            steps,
            inside: activation,
            project: None,
            after: None,
            residual: false,
        };
        if filtering.serves(&input) {
            return filtering.forward(input, kept);
        }
    }
    if let Some(smooth) = smooth(activation) {
        return smooth.apply(depthwise_convolution(input, weight, steps, affine, None));
    }
    let ChannelAffine { scale, shift } = affine;
    let (input, weight) = (input.into_dispatch(), weight.cast(DType::F32).into_dispatch());
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(Dispatch::depthwise(input, weight, scale, shift, steps, activation))
}

/// The pixels that each place of a convolution reads, side by side, with zeros beyond the edge: as the input of
/// [`pointwise_convolution`] they make any convolution, with its weight `[out, channels, side, side]` flattened to
/// `[out, channels * side * side]`.
///
/// # Shapes
/// - pixels: `[images, channels, rows, columns]`, channels **first**
/// - output: `[images, ⌈rows / stride⌉, ⌈columns / stride⌉, channels * side * side]`
pub fn patches(pixels: Tensor<4>, side: usize, steps: Steps) -> Tensor<4> {
    composed::patches(pixels, side, steps)
}

/// `activation(convolution(input, weight) * scale + shift)`
///
/// # Shapes
/// - input: `[images, rows, columns, in]`, weight: `[out, in, side, side]`, affine: `[out]`
/// - output: `[images, rows', columns', out]`, as `steps` say
///
/// # Panics
/// Where the shapes are others.
///
/// ```
/// use burn::prelude::*;
/// use unmask_core::ops::{Activation, ChannelAffine, Steps, convolution};
/// let device = Device::flex();
/// // Three quarters of the sum of 3 × 3 ones, clamped to 6 where the kernel lies within the image.
/// let affine = ChannelAffine { scale: Tensor::full([1], 0.75, &device), shift: Tensor::zeros([1], &device) };
/// let (image, kernel) = (Tensor::ones([1, 3, 3, 1], &device), Tensor::ones([1, 1, 3, 3], &device));
/// let sums = convolution(image, kernel, Steps::same(1), affine, Some(Activation::Relu6));
/// let sums: Vec<f32> = sums.into_data().try_into_vec().unwrap();
/// assert_eq!(sums, [3.0, 4.5, 3.0, 4.5, 6.0, 4.5, 3.0, 4.5, 3.0]);
/// ```
pub fn convolution(
    input: Tensor<4>,
    weight: Tensor<4>,
    steps: Steps,
    affine: ChannelAffine,
    activation: Option<Activation>,
) -> Tensor<4> {
    convolution_kept(input, weight, steps, affine, activation, &KeptLayout::default())
}

/// [`convolution`] by whoever holds on to its weights: `kept` is theirs alone.
///
/// # Panics
/// Those of [`convolution`].
pub fn convolution_kept(
    input: Tensor<4>,
    weight: Tensor<4>,
    steps: Steps,
    affine: ChannelAffine,
    activation: Option<Activation>,
    #[cfg_attr(not(feature = "simd"), allow(unused_variables))] kept: &KeptLayout,
) -> Tensor<4> {
    #[cfg(feature = "simd")]
    if fused::serve(&input, &weight, &affine) {
        return fused::convolution(input, &weight, steps, &affine, activation, kept);
    }
    if let Some(smooth) = smooth(activation) {
        return smooth.apply(convolution(input, weight, steps, affine, None));
    }
    let read = pixels_read(input, weight.dims()[2], steps);
    pointwise_convolution(read, weight.flatten(1, 3), affine, activation)
}

/// What a kernel of `side` reads of `[images, rows, columns, channels]`, as the input of a convolution of 1 × 1: the pixels
/// themselves, or their [`patches`].
fn pixels_read(input: Tensor<4>, side: usize, steps: Steps) -> Tensor<4> {
    if (side, steps.stride) == (1, 1) { input } else { patches(input.permute([0, 3, 1, 2]), side, steps) }
}

/// An inverted residual block (Sandler et al., "MobileNetV2", 2018) as one operation: 1 × 1 to many channels, a filter for
/// each of these, 1 × 1 to few.
#[derive(Clone, Debug)]
pub struct InvertedResidual {
    /// To many channels, `[inside, in]`; absent where the input's are filtered as they are.
    pub expand: Option<(Tensor<2>, ChannelAffine)>,
    /// A kernel for each channel, `[inside, 1, side, side]`.
    pub filter: Tensor<4>,
    /// After the filter, `[inside]`.
    pub filter_affine: ChannelAffine,
    /// To few channels, `[out, inside]`.
    pub project: Tensor<2>,
    /// After the projection, `[out]`.
    pub project_affine: ChannelAffine,
    /// How the filter moves.
    pub steps: Steps,
    /// After expansion and filter; nothing follows the projection.
    pub activation: Activation,
    /// Whether the input is added to the output, which then has its shape.
    pub residual: bool,
}

/// A convolution of 1 × 1 and then one with a kernel for each channel, both followed by `activation`: what comes before squeeze
/// and excitation. The weights are `[inside, in]` and `[inside, 1, side, side]`; `kept` belongs to whoever holds on to them.
///
/// # Shapes
/// - input: `[images, rows, columns, in]`
/// - output: `[images, rows', columns', inside]`, as `steps` say
///
/// # Panics
/// Where the shapes are others.
pub fn expanded_depthwise_kept(
    input: Tensor<4>,
    (expand, expand_affine): (Tensor<2>, ChannelAffine),
    (filter, filter_affine): (Tensor<4>, ChannelAffine),
    steps: Steps,
    activation: Option<Activation>,
    #[cfg_attr(not(feature = "simd"), allow(unused_variables))] kept: &KeptLayout,
) -> Tensor<4> {
    #[cfg(feature = "simd")]
    {
        let filtering = fused::Filtering {
            expand: Some((&expand, &expand_affine)),
            filter: (&filter, &filter_affine),
            steps,
            inside: activation,
            project: None,
            after: None,
            residual: false,
        };
        if filtering.serves(&input) {
            return filtering.forward(input, kept);
        }
    }
    let expanded = pointwise_convolution(input, expand, expand_affine, activation);
    depthwise_convolution(expanded, filter, steps, filter_affine, activation)
}

/// A filter for each channel and a convolution of 1 × 1 (Chollet, "Xception", 2017) as one operation.
#[derive(Clone, Debug)]
pub struct SeparableConvolution {
    /// A kernel for each channel, `[in, 1, side, side]`.
    pub filter: Tensor<4>,
    /// What follows the filter, `[in]`: [`ChannelAffine::neutral`].
    pub neutral: ChannelAffine,
    /// `[out, in]`
    pub project: Tensor<2>,
    /// After the projection, `[out]`.
    pub project_affine: ChannelAffine,
    /// How the filter moves.
    pub steps: Steps,
    /// After the projection.
    pub activation: Option<Activation>,
}

/// The convolution's output; `kept` belongs to whoever holds on to the weights.
///
/// # Shapes
/// - input: `[images, rows, columns, in]`
/// - output: `[images, rows', columns', out]`, as the steps say
///
/// # Panics
/// Where the shapes are others.
pub fn separable_convolution_kept(
    input: Tensor<4>,
    layers: SeparableConvolution,
    #[cfg_attr(not(feature = "simd"), allow(unused_variables))] kept: &KeptLayout,
) -> Tensor<4> {
    #[cfg(feature = "simd")]
    if layers.filtering().serves(&input) {
        return layers.filtering().forward(input, kept);
    }
    let SeparableConvolution { filter, project, project_affine, steps, activation, .. } = layers;
    let filtered = bare_depthwise(input, filter, steps);
    pointwise_convolution(filtered, project, project_affine, activation)
}

#[cfg(feature = "simd")]
impl SeparableConvolution {
    fn filtering(&self) -> fused::Filtering<'_> {
        fused::Filtering {
            expand: None,
            filter: (&self.filter, &self.neutral),
            steps: self.steps,
            inside: None,
            project: Some((&self.project, &self.project_affine)),
            after: self.activation,
            residual: false,
        }
    }
}

#[cfg(feature = "simd")]
impl InvertedResidual {
    fn filtering(&self) -> fused::Filtering<'_> {
        fused::Filtering {
            expand: self.expand.as_ref().map(|(weight, affine)| (weight, affine)),
            filter: (&self.filter, &self.filter_affine),
            steps: self.steps,
            inside: Some(self.activation),
            project: Some((&self.project, &self.project_affine)),
            after: None,
            residual: self.residual,
        }
    }
}

/// The block's output.
///
/// # Shapes
/// - input: `[images, rows, columns, in]`
/// - output: `[images, ⌈rows / stride⌉, ⌈columns / stride⌉, out]`
pub fn inverted_residual(input: Tensor<4>, block: InvertedResidual) -> Tensor<4> {
    inverted_residual_kept(input, block, &KeptLayout::default())
}

/// [`inverted_residual`] by whoever holds on to the block's weights: `kept` is theirs alone.
pub fn inverted_residual_kept(
    input: Tensor<4>,
    block: InvertedResidual,
    #[cfg_attr(not(feature = "simd"), allow(unused_variables))] kept: &KeptLayout,
) -> Tensor<4> {
    #[cfg(feature = "simd")]
    if block.filtering().serves(&input) {
        return block.filtering().forward(input, kept);
    }
    let activation = Some(block.activation);
    let expanded = match block.expand {
        Some((weight, affine)) => pointwise_convolution(input.clone(), weight, affine, activation),
        None => input.clone(),
    };
    let filtered = depthwise_convolution(expanded, block.filter, block.steps, block.filter_affine, activation);
    let output = pointwise_convolution(filtered, block.project, block.project_affine, None);
    if block.residual { output + input } else { output }
}

/// The activation, where the faster bodies do not know it: it then follows as an operation of its own.
fn smooth(activation: Option<Activation>) -> Option<Activation> {
    activation.filter(|activation| activation.bounds().is_none())
}

/// What a body for CPUs clamps to; `None` where the input is on another device or not in f32, or the activation does not
/// clamp.
#[cfg(all(feature = "simd", feature = "autodiff"))]
fn clamp_on_cpu(input: &Tensor<4>, activation: Option<Activation>) -> Option<Option<kernels::Bounds>> {
    let bounds = match activation {
        None => None,
        Some(activation) => Some(activation.bounds()?),
    };
    is_on_cpu(input).then_some(bounds)
}

/// Whether a tensor is where the bodies for CPUs compute, and of their type.
#[cfg(feature = "simd")]
fn is_on_cpu(input: &Tensor<4>) -> bool {
    let device = input.device().without_autodiff();
    matches!(device.as_dispatch(), DispatchDevice::Flex(_)) && input.dtype() == DType::F32
}
