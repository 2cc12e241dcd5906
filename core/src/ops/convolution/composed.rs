//! The convolutions as operations of a backend, with bodies in burn's own operations: they run on every backend and can be
//! differentiated.

use alloc::vec::Vec;

use burn::backend::ops::{ConvOptions, PadMode};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Shape, TensorMetadata, backend_extension};
use burn::prelude::*;
use burn::tensor::{DType, FloatDType, Slice};

use super::Steps;
use crate::ops::extension::{Optional, cast};
use crate::ops::linear::FusedLinear;
use crate::ops::{Activation, KeptLayout};

/// The convolutions as operations of a backend. An activation is one that clamps, and weights are in f32, whatever the type of
/// the input.
#[backend_extension(
    Flex,
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "fusion"),
    Autodiff: cfg(feature = "autodiff")
)]
pub(super) trait Convolutions: FusedLinear {
    /// `activation((input · weightᵀ) * scale + shift)` at every pixel.
    #[fusion(dtype = input, shape = with_channels(input, weight[0]))]
    fn pointwise(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Option<Activation>,
    ) -> FloatTensor<Self> {
        pointwise::<Self>(input, weight, scale, shift, activation)
    }

    /// `activation(depthwise(input, weight) * scale + shift)`
    #[fusion(dtype = input, shape = convolved(input, weight[2], *steps))]
    fn depthwise(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        steps: Steps,
        activation: Option<Activation>,
    ) -> FloatTensor<Self> {
        depthwise::<Self>(input, weight, scale, shift, steps, activation)
    }

    /// [`Convolutions::pointwise`] with nothing after it.
    #[fusion(dtype = input, shape = with_channels(input, weight[0]))]
    fn bare_pointwise(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let (scale, shift) = neutral::<Self>(&weight);
        Self::pointwise(input, weight, scale, shift, None)
    }

    /// [`Convolutions::depthwise`] with nothing after it.
    #[fusion(dtype = input, shape = convolved(input, weight[2], *steps))]
    fn bare_depthwise(input: FloatTensor<Self>, weight: FloatTensor<Self>, steps: Steps) -> FloatTensor<Self> {
        let (scale, shift) = neutral::<Self>(&weight);
        Self::depthwise(input, weight, scale, shift, steps, None)
    }
}

/// `[images, rows, columns, …]` with so many channels.
#[cfg(feature = "fusion")]
fn with_channels(images: &Shape, channels: usize) -> Shape {
    Shape::from([images[0], images[1], images[2], channels])
}

/// What a kernel of `side` makes of `[images, rows, columns, channels]`.
#[cfg(feature = "fusion")]
fn convolved(images: &Shape, side: usize, steps: Steps) -> Shape {
    let output = |input| steps.axis(input, side).output;
    Shape::from([images[0], output(images[1]), output(images[2]), images[3]])
}

/// A scale and a shift for what comes out of `weight`, `[out, …]`, that change nothing.
pub(super) fn neutral<B: Backend>(weight: &FloatTensor<B>) -> (FloatTensor<B>, FloatTensor<B>) {
    let (shape, device) = (Shape::from([weight.shape()[0]]), weight.device());
    (B::float_ones(shape.clone(), &device, FloatDType::F32), B::float_zeros(shape, &device, FloatDType::F32))
}

/// [`Convolutions::pointwise`]
pub(super) fn pointwise<B: FusedLinear>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    activation: Option<Activation>,
) -> FloatTensor<B> {
    let output = B::fused_linear(input, weight, Optional::Absent, None, Optional::Absent, KeptLayout::default());
    finish::<B>(output, scale, shift, activation)
}

/// [`Convolutions::depthwise`]
pub(super) fn depthwise<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    steps: Steps,
    activation: Option<Activation>,
) -> FloatTensor<B> {
    finish::<B>(bare_depthwise::<B>(input, weight, steps), scale, shift, activation)
}

/// [`Convolutions::bare_depthwise`]
pub(super) fn bare_depthwise<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    steps: Steps,
) -> FloatTensor<B> {
    let [_, rows, columns, channels] = input.shape().dims();
    let [_, _, side, _] = weight.shape().dims();
    let (rows, columns) = (steps.axis(rows, side), steps.axis(columns, side));
    let weight = cast::<B>(weight, input.dtype());
    let padding = [(0, 0), (0, 0), (rows.before, rows.after), (columns.before, columns.after)];
    let padded = B::float_pad(B::float_permute(input, &[0, 3, 1, 2]), &padding, PadMode::Constant(0.0));
    let options = ConvOptions::new([steps.stride; 2], [0; 2], [1; 2], channels);
    B::float_permute(B::conv2d(padded, weight, None, options), &[0, 2, 3, 1])
}

/// Scale, shift and activation after a convolution.
pub(super) fn finish<B: Backend>(
    output: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    activation: Option<Activation>,
) -> FloatTensor<B> {
    let dtype = output.dtype();
    let [channels] = scale.shape().dims();
    let [scale, shift] = [scale, shift].map(|values| B::float_reshape(values, Shape::from([1, 1, 1, channels])));
    // What is left of a norm is computed in f32, as norms are.
    let output = B::float_add(B::float_mul(cast::<B>(output, DType::F32), scale), shift);
    let output = match activation {
        Some(activation) => activation.apply_on::<B>(output),
        None => output,
    };
    cast::<B>(output, dtype)
}

pub(super) fn patches(pixels: Tensor<4>, side: usize, steps: Steps) -> Tensor<4> {
    let [images, channels, rows, columns] = pixels.dims();
    let (vertical, horizontal) = (steps.axis(rows, side), steps.axis(columns, side));
    let (rows, columns) = (vertical.output, horizontal.output);
    let padded = pixels.pad([(vertical.before, vertical.after), (horizontal.before, horizontal.after)], 0.0);
    let (stride, step) = (steps.stride, steps.stride as isize);
    let places = |first: usize, count: usize| {
        Slice::new(first as isize, Some((first + (count - 1) * stride + 1) as isize), step)
    };
    let shifted = |index: usize| {
        let (row, column) = (index / side, index % side);
        let every = Slice::new(0, None, 1);
        padded.clone().slice([every, every, places(row, rows), places(column, columns)])
    };
    let taps: Vec<Tensor<4>> = (0..side * side).map(shifted).collect();
    let stacked: Tensor<5> = Tensor::stack(taps, 2);
    stacked.permute([0, 3, 4, 1, 2]).reshape([images, rows, columns, channels * side * side])
}
