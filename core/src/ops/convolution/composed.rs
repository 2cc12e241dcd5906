//! The bodies in burn's own operations: they run on every backend and can be differentiated.

use alloc::vec::Vec;

use burn::prelude::*;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Slice};

use super::{ChannelAffine, Steps};
use crate::ops::{Activation, linear};

pub(super) fn pointwise(
    input: Tensor<4>,
    weight: Tensor<2>,
    affine: ChannelAffine,
    activation: Option<Activation>,
) -> Tensor<4> {
    finish(linear(input, weight, None, None, None), affine, activation)
}

pub(super) fn depthwise(
    input: Tensor<4>,
    weight: Tensor<4>,
    steps: Steps,
    affine: ChannelAffine,
    activation: Option<Activation>,
) -> Tensor<4> {
    let [_, _, _, channels] = input.dims();
    let [_, _, side, _] = weight.dims();
    let weight = weight.cast(input.dtype());
    let padded = pad(input.permute([0, 3, 1, 2]), side, steps);
    let output = conv2d(padded, weight, None, ConvOptions::new([steps.stride; 2], [0; 2], [1; 2], channels));
    finish(output.permute([0, 2, 3, 1]), affine, activation)
}

pub(super) fn patches(pixels: Tensor<4>, side: usize, steps: Steps) -> Tensor<4> {
    let [images, channels, rows, columns] = pixels.dims();
    let (rows, columns) = (steps.axis(rows, side).output, steps.axis(columns, side).output);
    let padded = pad(pixels, side, steps);
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

/// `[images, channels, rows, columns]` with zeros around it as `steps` says.
fn pad(images: Tensor<4>, side: usize, steps: Steps) -> Tensor<4> {
    let [_, _, rows, columns] = images.dims();
    let (rows, columns) = (steps.axis(rows, side), steps.axis(columns, side));
    images.pad([(rows.before, rows.after), (columns.before, columns.after)], 0.0)
}

/// Scale, shift and activation after a convolution.
pub(super) fn finish(output: Tensor<4>, affine: ChannelAffine, activation: Option<Activation>) -> Tensor<4> {
    let dtype = output.dtype();
    // What is left of a norm is computed in f32, as norms are.
    let output = output.cast(DType::F32) * affine.scale.unsqueeze() + affine.shift.unsqueeze();
    let output = match activation {
        Some(activation) => activation.apply(output),
        None => output,
    };
    output.cast(dtype)
}
