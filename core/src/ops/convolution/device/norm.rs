//! The norm by the statistics of the batch, and its kernels.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::sums::{column_sums, pieces};
use super::{Limits, SERVED, clamped, in_f32, launch_size, like};
use crate::ops::Activation;
use crate::ops::convolution::kernels::Bounds;
use crate::ops::convolution::norm::{self, BatchMoments, BatchNorms};
use crate::ops::extension::cast;

impl BatchMoments for CubeBackend {
    fn moments(input: CubeTensor) -> (CubeTensor, CubeTensor) {
        if !SERVED.contains(&input.dtype()) {
            return norm::moments::<Self>(input);
        }
        let input = into_contiguous(cast::<Self>(input, DType::F32));
        let [images, rows, columns, channels] = input.shape().dims();
        let mean = divided(column_sums(input.clone(), channels), images * rows * columns);
        (mean.clone(), variance(input, mean))
    }
}

impl BatchNorms for CubeBackend {
    fn fused_batch_norm(
        input: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        mean: CubeTensor,
        variance: CubeTensor,
        epsilon: f64,
        activation: Option<Activation>,
    ) -> CubeTensor {
        if !SERVED.contains(&input.dtype()) {
            return norm::composed::<Self>(input, weight, bias, epsilon, activation);
        }
        let channels = [weight, bias, mean, variance].map(into_contiguous);
        let bounds = activation.and_then(Activation::bounds);
        in_f32::<Self>(input, |input| forward(into_contiguous(input), channels, epsilon as f32, bounds))
    }
}

/// The values over `count`.
fn divided(values: CubeTensor, count: usize) -> CubeTensor {
    let output = like(&values, values.shape());
    let (cubes, dim) = launch_size(&output, output.shape().num_elements());
    let client = output.client.clone();
    divided_kernel::launch(
        &client,
        cubes,
        dim,
        values.into_buffer_arg(),
        output.clone().into_buffer_arg(),
        count as f32,
    );
    output
}

#[cube(launch)]
fn divided_kernel(values: &[f32], output: &mut [f32], count: f32) {
    if ABSOLUTE_POS < output.len() {
        output[ABSOLUTE_POS] = values[ABSOLUTE_POS] / count;
    }
}

/// The mean squared distance from `mean` in each channel.
fn variance(input: CubeTensor, mean: CubeTensor) -> CubeTensor {
    let [images, rows, columns, channels] = input.shape().dims();
    let pixels = images * rows * columns;
    let pieces = pieces(pixels, channels);
    let squares = like(&input, [pieces, channels]);
    let (count, dim) = launch_size(&squares, pieces * channels);
    squares_kernel::launch(
        &squares.client.clone(),
        count,
        dim,
        input.into_buffer_arg(),
        mean.into_buffer_arg(),
        squares.clone().into_buffer_arg(),
        pixels,
        channels,
        pieces,
    );
    divided(column_sums(squares, channels), pixels)
}

/// Each thread adds up the squared distances of every `pieces`-th pixel in a channel.
#[cube(launch)]
fn squares_kernel(input: &[f32], mean: &[f32], squares: &mut [f32], pixels: usize, channels: usize, pieces: usize) {
    if ABSOLUTE_POS >= squares.len() {
        terminate!();
    }
    let channel = ABSOLUTE_POS % channels;
    let middle = mean[channel];
    let mut sum = 0.0f32;
    for pixel in range_stepped(ABSOLUTE_POS / channels, pixels, pieces) {
        let distance = input[pixel * channels + channel] - middle;
        sum += distance * distance;
    }
    squares[ABSOLUTE_POS] = sum;
}

/// `clamp((input - mean) / sqrt(variance + epsilon) * weight + bias)`
fn forward(
    input: CubeTensor,
    [weight, bias, mean, variance]: [CubeTensor; 4],
    epsilon: f32,
    bounds: Option<Bounds>,
) -> CubeTensor {
    let shape: [usize; 4] = input.shape().dims();
    let (output, limits) = (like(&input, shape), Limits::new(bounds));
    let (count, dim) = launch_size(&output, output.shape().num_elements());
    forward_kernel::launch(
        &output.client.clone(),
        count,
        dim,
        input.into_buffer_arg(),
        weight.into_buffer_arg(),
        bias.into_buffer_arg(),
        mean.into_buffer_arg(),
        variance.into_buffer_arg(),
        output.clone().into_buffer_arg(),
        shape[3],
        epsilon,
        limits.low,
        limits.high,
        limits.has_low,
        limits.has_high,
    );
    output
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "the arguments of a kernel are its bindings")]
fn forward_kernel(
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
    mean: &[f32],
    variance: &[f32],
    output: &mut [f32],
    channels: usize,
    epsilon: f32,
    low: f32,
    high: f32,
    #[comptime] has_low: bool,
    #[comptime] has_high: bool,
) {
    if ABSOLUTE_POS >= output.len() {
        terminate!();
    }
    let channel = ABSOLUTE_POS % channels;
    let factor = weight[channel] / (variance[channel] + epsilon).sqrt();
    let value = (input[ABSOLUTE_POS] - mean[channel]) * factor + bias[channel];
    output[ABSOLUTE_POS] = clamped::<f32>(value, low, high, has_low, has_high);
}
