//! Convolutions whose batch norms use the statistics of the batch, as networks are trained.
//!
//! An inverted residual block is one operation on CPUs, with gradients of its own. A norm needs the sums over the whole batch
//! before it can give its first number, so a block is four passes over memory forward (`forward`) and four back (`backward`);
//! what lies between two sums is done in one. Only what a convolution makes is kept: norm and activation are computed anew
//! wherever they are needed, which takes less time than reading them. `outer` and `rows` are the arithmetic, `buffers` the
//! memory, `operation` makes an operation of burn's of it all. `single` and `single_operation` are the same for one
//! convolution.

#[cfg(all(feature = "simd", feature = "autodiff"))]
mod backward;
#[cfg(all(feature = "simd", feature = "autodiff"))]
mod forward;
#[cfg(all(feature = "simd", feature = "autodiff"))]
mod operation;
#[cfg(all(feature = "simd", feature = "autodiff"))]
mod outer;
#[cfg(all(feature = "simd", feature = "autodiff"))]
mod rows;
#[cfg(all(feature = "simd", feature = "autodiff"))]
mod single;
#[cfg(all(feature = "simd", feature = "autodiff"))]
mod single_operation;
#[cfg(feature = "autodiff")]
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use burn::backend::Dispatch;
use burn::prelude::*;
use burn::tensor::DType;

use super::composed::Convolutions;
#[cfg(feature = "simd")]
use super::{ChannelAffine, fused};
use super::{Moments, Steps, batch_norm, pixels_read, smooth};
use crate::ops::Activation;
#[cfg(feature = "simd")]
use crate::ops::KeptLayout;

/// A convolution, and the batch norm after it by the statistics of the batch.
#[derive(Clone, Debug)]
pub struct NormedConvolution<const D: usize> {
    /// `[out, in]` for a side of 1, or `[channels, 1, side, side]`.
    pub weight: Tensor<D>,
    /// Multiplies what is normed, `[out]`.
    pub norm_weight: Tensor<1>,
    /// Is added after that, `[out]`.
    pub norm_bias: Tensor<1>,
}

impl<const D: usize> NormedConvolution<D> {
    /// Norm and activation after `convolution`, which is given the weight.
    fn after(
        self,
        epsilon: f64,
        activation: Option<Activation>,
        convolution: impl FnOnce(Tensor<D>) -> Tensor<4>,
    ) -> (Tensor<4>, Moments) {
        batch_norm(convolution(self.weight), self.norm_weight, self.norm_bias, epsilon, activation)
    }
}

/// A convolution of any side with norm and activation, and the statistics of the norm; the gradient goes through them as well.
///
/// # Shapes
/// - input: `[images, rows, columns, in]`, weight: `[out, in, side, side]`
/// - output: `[images, ⌈rows / stride⌉, ⌈columns / stride⌉, out]`
pub fn convolution_of_batch(
    input: Tensor<4>,
    layer: NormedConvolution<4>,
    steps: Steps,
    activation: Option<Activation>,
    epsilon: f64,
) -> (Tensor<4>, Moments) {
    if let Some(smooth) = smooth(activation) {
        let (output, moments) = convolution_of_batch(input, layer, steps, None, epsilon);
        return (smooth.apply(output), moments);
    }
    #[cfg(all(feature = "simd", feature = "autodiff"))]
    if let Some(found) = single_operation::convolution(&input, &layer, steps, activation, epsilon) {
        return found;
    }
    layer.after(epsilon, activation, |weight| bare_convolution(input, weight, steps))
}

/// [`convolution_of_batch`] where each channel is convolved with a kernel of its own.
///
/// # Shapes
/// - input: `[images, rows, columns, channels]`, weight: `[channels, 1, side, side]`
/// - output: `[images, rows', columns', channels]`, as `steps` say
pub fn depthwise_convolution_of_batch(
    input: Tensor<4>,
    layer: NormedConvolution<4>,
    steps: Steps,
    activation: Option<Activation>,
    epsilon: f64,
) -> (Tensor<4>, Moments) {
    layer.after(epsilon, activation, |weight| bare_depthwise(input, weight, steps))
}

/// An [`InvertedResidual`](super::InvertedResidual) whose batch norms use the statistics of the batch.
#[derive(Clone, Debug)]
pub struct InvertedResidualOfBatch {
    /// To many channels, `[inside, in]`; absent where the input's are filtered as they are.
    pub expand: Option<NormedConvolution<2>>,
    /// A kernel for each channel, `[inside, 1, side, side]`.
    pub filter: NormedConvolution<4>,
    /// To few channels, `[out, inside]`.
    pub project: NormedConvolution<2>,
    /// How the filter moves.
    pub steps: Steps,
    /// After expansion and filter; nothing follows the projection.
    pub activation: Activation,
    /// Whether the input is added to the output, which then has its shape.
    pub residual: bool,
    /// What keeps the division by a deviation finite.
    pub epsilon: f64,
}

/// The block's output, and the statistics of its norms in their order, two without an expansion and three with one. The
/// gradient goes through them as well.
///
/// # Shapes
/// - input: `[images, rows, columns, in]`
/// - output: `[images, ⌈rows / stride⌉, ⌈columns / stride⌉, out]`
pub fn inverted_residual_of_batch(input: Tensor<4>, block: InvertedResidualOfBatch) -> (Tensor<4>, Vec<Moments>) {
    #[cfg(all(feature = "simd", feature = "autodiff"))]
    if let Some(found) = operation::inverted_residual(&input, &block) {
        return found;
    }
    let InvertedResidualOfBatch { expand, filter, project, steps, activation, residual, epsilon } = block;
    let mut moments = Vec::new();
    let mut keep = |(output, found): (Tensor<4>, Moments)| {
        moments.push(found);
        output
    };
    let expanded = match expand {
        Some(layer) => keep(layer.after(epsilon, Some(activation), |weight| bare_pointwise(input.clone(), weight))),
        None => input.clone(),
    };
    let filtered = keep(filter.after(epsilon, Some(activation), |weight| bare_depthwise(expanded, weight, steps)));
    let output = keep(project.after(epsilon, None, |weight| bare_pointwise(filtered, weight)));
    (if residual { output + input } else { output }, moments)
}

/// [`pointwise_convolution`](super::pointwise_convolution) with nothing after it.
fn bare_pointwise(input: Tensor<4>, weight: Tensor<2>) -> Tensor<4> {
    #[cfg(feature = "simd")]
    if fused::serve(&input, &weight, &neutral(&weight)) {
        return fused::convolution(input, &weight, Steps::same(1), &neutral(&weight), None, &KeptLayout::default());
    }
    let (input, weight) = (input.into_dispatch(), weight.cast(DType::F32).into_dispatch());
    Tensor::from_dispatch(Dispatch::bare_pointwise(input, weight))
}

/// [`depthwise_convolution`](super::depthwise_convolution) with nothing after it.
///
/// # Shapes
/// - input: `[images, rows, columns, channels]`, weight: `[channels, 1, side, side]`
/// - output: `[images, rows', columns', channels]`, as `steps` say
pub fn bare_depthwise(input: Tensor<4>, weight: Tensor<4>, steps: Steps) -> Tensor<4> {
    let (input, weight) = (input.into_dispatch(), weight.cast(DType::F32).into_dispatch());
    Tensor::from_dispatch(Dispatch::bare_depthwise(input, weight, steps))
}

/// [`convolution`](super::convolution) with nothing after it.
fn bare_convolution(input: Tensor<4>, weight: Tensor<4>, steps: Steps) -> Tensor<4> {
    #[cfg(feature = "simd")]
    if fused::serve(&input, &weight, &neutral(&weight)) {
        return fused::convolution(input, &weight, steps, &neutral(&weight), None, &KeptLayout::default());
    }
    let read = pixels_read(input, weight.dims()[2], steps);
    bare_pointwise(read, weight.flatten(1, 3))
}

/// A scale and a shift for what comes out of `weight`, `[out, …]`, that change nothing.
#[cfg(feature = "simd")]
fn neutral<const D: usize>(weight: &Tensor<D>) -> ChannelAffine {
    let (channels, device) = (weight.dims()[0], weight.device());
    ChannelAffine { scale: Tensor::ones([channels], &device), shift: Tensor::zeros([channels], &device) }
}
