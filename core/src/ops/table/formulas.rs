//! What the operations compute, in burn's own operations and as textbooks say it.

use alloc::vec::Vec;

use burn::prelude::*;
use burn::tensor::activation::{gelu, relu, sigmoid, silu, softmax};
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};

use crate::ops::{Activation, ChannelAffine, InvertedResidual, InvertedResidualOfBatch, NormedConvolution, Steps};

pub(super) fn activation<const D: usize>(x: Tensor<D>, activation: Option<Activation>) -> Tensor<D> {
    match activation {
        None => x,
        Some(Activation::Relu) => relu(x),
        Some(Activation::Relu6) => x.clamp(0.0, 6.0),
        Some(Activation::QuickGelu) => x.clone() * sigmoid(x * 1.702),
        Some(Activation::Gelu) => gelu(x),
        Some(Activation::Silu) => silu(x),
    }
}

pub(super) fn linear(x: Tensor<3>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let output = x.matmul(weight.transpose().unsqueeze());
    match bias {
        Some(bias) => output + bias.unsqueeze(),
        None => output,
    }
}

/// The attention, and its weights.
pub(super) fn attention(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    heads: usize,
    bias: Option<Tensor<4>>,
) -> (Tensor<3>, Tensor<4>) {
    let [batch, queries, width] = query.dims();
    let split = |x: Tensor<3>| {
        let [batch, tokens, width] = x.dims();
        x.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2)
    };
    let scores = split(query).matmul(split(key).transpose()) / libm::sqrt((width / heads) as f64);
    let scores = match bias {
        Some(bias) => scores + bias,
        None => scores,
    };
    let weights = softmax(scores, 3);
    let attended = weights.clone().matmul(split(value));
    (attended.swap_dims(1, 2).reshape([batch, queries, width]), weights)
}

pub(super) fn layer_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let centred = x.clone() - x.mean_dim(D - 1);
    let variance = (centred.clone() * centred.clone()).mean_dim(D - 1);
    centred / (variance + epsilon).sqrt() * weight.unsqueeze() + bias.unsqueeze()
}

pub(super) fn patch_embedding(pixels: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<3> {
    let patch = weight.dims()[2];
    let options = ConvOptions::new([patch; 2], [0; 2], [1; 2], 1);
    conv2d(pixels, weight, bias, options).flatten::<3>(2, 3).swap_dims(1, 2)
}

/// A convolution of `[images, rows, columns, channels]` in so many groups.
fn convolved(input: Tensor<4>, weight: Tensor<4>, steps: Steps, groups: usize) -> Tensor<4> {
    let [_, rows, columns, _] = input.dims();
    let side = weight.dims()[2];
    let (rows, columns) = (steps.axis(rows, side), steps.axis(columns, side));
    let padded = input.permute([0, 3, 1, 2]).pad([(rows.before, rows.after), (columns.before, columns.after)], 0.0);
    conv2d(padded, weight, None, ConvOptions::new([steps.stride; 2], [0; 2], [1; 2], groups)).permute([0, 2, 3, 1])
}

pub(super) fn convolution(input: Tensor<4>, weight: Tensor<4>, steps: Steps) -> Tensor<4> {
    convolved(input, weight, steps, 1)
}

pub(super) fn depthwise(input: Tensor<4>, weight: Tensor<4>, steps: Steps) -> Tensor<4> {
    let channels = input.dims()[3];
    convolved(input, weight, steps, channels)
}

pub(super) fn pointwise(input: Tensor<4>, weight: Tensor<2>) -> Tensor<4> {
    let [outputs, inputs] = weight.dims();
    convolution(input, weight.reshape([outputs, inputs, 1, 1]), Steps::same(1))
}

pub(super) fn finished(output: Tensor<4>, affine: ChannelAffine, with: Option<Activation>) -> Tensor<4> {
    activation(output * affine.scale.unsqueeze() + affine.shift.unsqueeze(), with)
}

pub(super) fn inverted_residual(input: Tensor<4>, block: InvertedResidual) -> Tensor<4> {
    let with = Some(block.activation);
    let expanded = match block.expand {
        Some((weight, affine)) => finished(pointwise(input.clone(), weight), affine, with),
        None => input.clone(),
    };
    let filtered = finished(depthwise(expanded, block.filter, block.steps), block.filter_affine, with);
    let output = finished(pointwise(filtered, block.project), block.project_affine, None);
    if block.residual { output + input } else { output }
}

/// What is normed by the statistics of the batch, its mean and its variance.
pub(super) fn batch_norm(
    input: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    with: Option<Activation>,
) -> [Tensor<4>; 3] {
    let mean = input.clone().mean_dim(0).mean_dim(1).mean_dim(2);
    let centred = input - mean.clone();
    let variance = (centred.clone() * centred.clone()).mean_dim(0).mean_dim(1).mean_dim(2);
    let normed = centred / (variance.clone() + epsilon).sqrt();
    let output = activation(normed * weight.unsqueeze() + bias.unsqueeze(), with);
    [output, mean.without_autodiff(), variance.without_autodiff()]
}

/// The norm of `layer` after the convolution, and its statistics.
pub(super) fn normed<const D: usize>(
    convolved: Tensor<4>,
    layer: NormedConvolution<D>,
    epsilon: f64,
    with: Option<Activation>,
) -> [Tensor<4>; 3] {
    batch_norm(convolved, layer.norm_weight, layer.norm_bias, epsilon, with)
}

/// The block's output, and mean and variance of each of its norms.
pub(super) fn inverted_residual_of_batch(input: Tensor<4>, block: InvertedResidualOfBatch) -> Vec<Tensor<4>> {
    let InvertedResidualOfBatch { expand, filter, project, steps, activation, residual, epsilon } = block;
    let mut moments = Vec::new();
    let mut keep = |[output, mean, variance]: [Tensor<4>; 3]| {
        moments.extend([mean, variance]);
        output
    };
    let expanded = match expand {
        Some(layer) => keep(normed(pointwise(input.clone(), layer.weight.clone()), layer, epsilon, Some(activation))),
        None => input.clone(),
    };
    let filtered = keep(normed(depthwise(expanded, filter.weight.clone(), steps), filter, epsilon, Some(activation)));
    let output = keep(normed(pointwise(filtered, project.weight.clone()), project, epsilon, None));
    let output = if residual { output + input } else { output };
    core::iter::once(output).chain(moments).collect()
}

pub(super) fn channel_means(maps: Tensor<4>) -> Tensor<2> {
    maps.mean_dim(1).mean_dim(2).squeeze_dims(&[1, 2])
}

pub(super) fn scale_channels(maps: Tensor<4>, factors: Tensor<2>) -> Tensor<4> {
    let [images, channels] = factors.dims();
    maps * factors.reshape([images, 1, 1, channels])
}

pub(super) fn max_pool(maps: Tensor<4>, side: usize, stride: usize) -> Tensor<4> {
    let options = MaxPoolOptions {
        kernel_size: [side; 2],
        stride: [stride; 2],
        padding: [(side / 2, side / 2); 2],
        dilation: [1; 2],
        ceil_mode: false,
    };
    max_pool2d(maps.permute([0, 3, 1, 2]), options).permute([0, 2, 3, 1])
}
