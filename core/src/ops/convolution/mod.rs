//! Convolutions for images whose channels lie side by side, `[images, rows, columns, channels]`.
//!
//! In that layout a convolution of 1 × 1 is one matrix product over all pixels, and every step of a depthwise one is a run
//! of neighbouring numbers. Each is one operation with the frozen batch norm and the activation after it, so that no
//! tensor but input and output is ever written, going forward or back: on a CPU, the time goes into memory and not
//! into arithmetic. [`Steps`] says how a kernel moves and what it meets beyond the edge.
//!
//! `composed` has the bodies in burn's own operations, for every backend; `flex` and `gradients` those for CPUs, `cube`
//! those for graphics devices.

mod composed;
#[cfg(feature = "webgpu")]
mod cube;
mod flex;
mod geometry;
#[cfg(feature = "autodiff")]
mod gradients;
mod kernels;
mod parallel;
#[cfg(test)]
mod tests;

use burn::backend::{Dispatch, DispatchDevice};
use burn::prelude::*;
use burn::tensor::DType;

pub use geometry::{Axis, Padding, Steps};

use super::Activation;
#[cfg(feature = "webgpu")]
use cube::DeviceConvolutions;
use flex::Convolutions;

/// A factor and a summand for each output channel: what is left of a batch norm whose statistics are frozen.
#[derive(Clone, Debug)]
pub struct ChannelAffine {
    /// Multiplies each channel, `[channels]`.
    pub scale: Tensor<1>,
    /// Is added after that, `[channels]`.
    pub shift: Tensor<1>,
}

/// `activation(input · weightᵀ * scale + shift)` at every pixel: a convolution of 1 × 1.
///
/// # Shapes
/// - input: `[images, rows, columns, in]`, weight: `[out, in]`, affine: `[out]`
/// - output: `[images, rows, columns, out]`
pub fn pointwise_convolution(
    input: Tensor<4>,
    weight: Tensor<2>,
    affine: ChannelAffine,
    activation: Option<Activation>,
) -> Tensor<4> {
    let Some((body, bounds)) = fast_body(&input, activation) else {
        return composed::pointwise(input, weight, affine, activation);
    };
    let body = match body {
        Body::Flex => Dispatch::pointwise,
        #[cfg(feature = "webgpu")]
        Body::Cube if cube::serves_outputs(weight.dims()[0]) => Dispatch::device_pointwise,
        #[cfg(feature = "webgpu")]
        Body::Cube => return composed::pointwise(input, weight, affine, activation),
    };
    let ChannelAffine { scale, shift } = affine;
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(body(input, weight, scale.into_dispatch(), shift.into_dispatch(), bounds))
}

/// `activation(convolution * scale + shift)`, where each channel is convolved with a kernel of its own.
///
/// # Shapes
/// - input: `[images, rows, columns, channels]`, weight: `[channels, 1, side, side]`, affine: `[channels]`
/// - output: `[images, ⌈rows / stride⌉, ⌈columns / stride⌉, channels]`
pub fn depthwise_convolution(
    input: Tensor<4>,
    weight: Tensor<4>,
    steps: Steps,
    affine: ChannelAffine,
    activation: Option<Activation>,
) -> Tensor<4> {
    let Some((body, bounds)) = fast_body(&input, activation) else {
        return composed::depthwise(input, weight, steps, affine, activation);
    };
    let body = match body {
        Body::Flex => Dispatch::depthwise,
        #[cfg(feature = "webgpu")]
        Body::Cube => Dispatch::device_depthwise,
    };
    let ChannelAffine { scale, shift } = affine;
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(body(input, weight, scale, shift, steps, bounds))
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

/// Whose bodies are faster than the composed ones.
#[derive(Clone, Copy, Debug)]
enum Body {
    Flex,
    #[cfg(feature = "webgpu")]
    Cube,
}

/// The faster body and what it clamps to; `None` where there is none for the device, the type or the activation.
fn fast_body(input: &Tensor<4>, activation: Option<Activation>) -> Option<(Body, Option<(f32, f32)>)> {
    if input.dtype() != DType::F32 {
        return None;
    }
    let bounds = match activation {
        None => None,
        Some(Activation::Relu6) => Some((0.0, 6.0)),
        Some(Activation::Relu) => Some((0.0, f32::INFINITY)),
        Some(Activation::QuickGelu) => return None,
    };
    let device = input.device();
    let body = match device.clone().without_autodiff().as_dispatch() {
        DispatchDevice::Flex(_) if !device.is_autodiff() || cfg!(feature = "autodiff") => Body::Flex,
        // These have no gradients.
        #[cfg(feature = "webgpu")]
        DispatchDevice::Cube(_) if !device.is_autodiff() => Body::Cube,
        _ => return None,
    };
    Some((body, bounds))
}
