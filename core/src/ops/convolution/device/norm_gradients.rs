//! The gradients of the norm by the statistics of the batch: their operations and kernels.
//!
//! With `x̂ = (x - mean) / sqrt(variance + epsilon)` and `g` the gradient of what stood before the clamp, the gradient of the
//! bias is `Σ g`, that of the weight `Σ g x̂`, and that of the input, through mean and variance as well,
//! `weight / sqrt(variance + epsilon) * (g - Σ g / n - x̂ Σ g x̂ / n)` over `n` pixels (Ioffe and Szegedy, 2015, section 3).

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Shape, TensorMetadata, backend_extension};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::reshape;
use burn_cubecl::tensor::CubeTensor;

use super::sums::{column_sums, pieces};
use super::{Limits, launch_size, like};
use crate::ops::convolution::kernels::Bounds;

/// The gradients of [`BatchNorms`](crate::ops::convolution::norm::BatchNorms).
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(super) trait BatchNormGradients: Backend {
    /// The gradients of bias and weight, `[2, channels]`: the sums of the gradient, and of the gradient times what the weight
    /// was multiplied with. The gradient is 0 where `output` was clamped.
    #[fusion(dtype = input, shape = Shape::from([2, input[3]]))]
    fn norm_gradient_sums(
        gradient: FloatTensor<Self>,
        input: FloatTensor<Self>,
        output: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f32,
        bounds: Option<(f32, f32)>,
    ) -> FloatTensor<Self>;

    /// The gradient of the input, with `sums` of [`BatchNormGradients::norm_gradient_sums`].
    #[fusion(dtype = input, shape = input)]
    #[allow(clippy::too_many_arguments, reason = "a gradient depends on all that the operation did")]
    fn norm_input_gradient(
        gradient: FloatTensor<Self>,
        input: FloatTensor<Self>,
        output: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        sums: FloatTensor<Self>,
        epsilon: f32,
        bounds: Option<(f32, f32)>,
    ) -> FloatTensor<Self>;
}

impl BatchNormGradients for CubeBackend {
    fn norm_gradient_sums(
        gradient: CubeTensor,
        input: CubeTensor,
        output: CubeTensor,
        mean: CubeTensor,
        variance: CubeTensor,
        epsilon: f32,
        bounds: Option<(f32, f32)>,
    ) -> CubeTensor {
        let images = [gradient, input, output].map(into_contiguous);
        gradient_sums(images, [mean, variance].map(into_contiguous), epsilon, bounds)
    }

    fn norm_input_gradient(
        gradient: CubeTensor,
        input: CubeTensor,
        output: CubeTensor,
        weight: CubeTensor,
        mean: CubeTensor,
        variance: CubeTensor,
        sums: CubeTensor,
        epsilon: f32,
        bounds: Option<(f32, f32)>,
    ) -> CubeTensor {
        let images = [gradient, input, output].map(into_contiguous);
        let channels = [weight, mean, variance, sums].map(into_contiguous);
        input_gradient(images, channels, epsilon, bounds)
    }
}

/// `Σ g` and `Σ g x̂` of each channel, `[2, channels]`.
fn gradient_sums(
    [gradient, input, output]: [CubeTensor; 3],
    [mean, variance]: [CubeTensor; 2],
    epsilon: f32,
    bounds: Option<Bounds>,
) -> CubeTensor {
    let [images, rows, columns, channels] = input.shape().dims();
    let (pixels, limits) = (images * rows * columns, Limits::new(bounds));
    let pieces = pieces(pixels, channels);
    let sums = like(&input, [pieces, 2 * channels]);
    let (count, dim) = launch_size(&sums, pieces * channels);
    gradient_sums_kernel::launch(
        &sums.client.clone(),
        count,
        dim,
        gradient.into_buffer_arg(),
        input.into_buffer_arg(),
        output.into_buffer_arg(),
        mean.into_buffer_arg(),
        variance.into_buffer_arg(),
        sums.clone().into_buffer_arg(),
        pixels,
        channels,
        pieces,
        epsilon,
        limits.low,
        limits.high,
        limits.has_low,
        limits.has_high,
    );
    reshape(column_sums(sums, 2 * channels), Shape::from([2, channels]))
}

/// The gradient of a value that became `output`: 0 where it was clamped. NaN was not, and its gradient goes on.
#[cube]
fn unclamped(
    gradient: f32,
    output: f32,
    low: f32,
    high: f32,
    #[comptime] has_low: bool,
    #[comptime] has_high: bool,
) -> f32 {
    let mut is_clamped = false;
    if comptime!(has_low) {
        is_clamped = output <= low;
    }
    if comptime!(has_high) {
        is_clamped = is_clamped || output >= high;
    }
    select(is_clamped, 0.0f32, gradient)
}

/// Each thread adds up every `pieces`-th pixel in a channel.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "the arguments of a kernel are its bindings")]
fn gradient_sums_kernel(
    gradient: &[f32],
    input: &[f32],
    output: &[f32],
    mean: &[f32],
    variance: &[f32],
    sums: &mut [f32],
    pixels: usize,
    channels: usize,
    pieces: usize,
    epsilon: f32,
    low: f32,
    high: f32,
    #[comptime] has_low: bool,
    #[comptime] has_high: bool,
) {
    let channel = ABSOLUTE_POS % channels;
    let piece = ABSOLUTE_POS / channels;
    if piece >= pieces {
        terminate!();
    }
    let middle = mean[channel];
    let mut sum = 0.0f32;
    let mut weighted = 0.0f32;
    for pixel in range_stepped(piece, pixels, pieces) {
        let place = pixel * channels + channel;
        let value = unclamped(gradient[place], output[place], low, high, has_low, has_high);
        sum += value;
        weighted += value * (input[place] - middle);
    }
    let first = piece * 2 * channels + channel;
    sums[first] = sum;
    sums[first + channels] = weighted / (variance[channel] + epsilon).sqrt();
}

/// The gradient of the input; `sums` are those of [`gradient_sums`].
fn input_gradient(
    [gradient, input, output]: [CubeTensor; 3],
    [weight, mean, variance, sums]: [CubeTensor; 4],
    epsilon: f32,
    bounds: Option<Bounds>,
) -> CubeTensor {
    let shape: [usize; 4] = input.shape().dims();
    let [images, rows, columns, channels] = shape;
    let (result, limits) = (like(&input, shape), Limits::new(bounds));
    let (count, dim) = launch_size(&result, result.shape().num_elements());
    input_gradient_kernel::launch(
        &result.client.clone(),
        count,
        dim,
        gradient.into_buffer_arg(),
        input.into_buffer_arg(),
        output.into_buffer_arg(),
        weight.into_buffer_arg(),
        mean.into_buffer_arg(),
        variance.into_buffer_arg(),
        sums.into_buffer_arg(),
        result.clone().into_buffer_arg(),
        channels,
        (images * rows * columns) as f32,
        epsilon,
        limits.low,
        limits.high,
        limits.has_low,
        limits.has_high,
    );
    result
}

#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "the arguments of a kernel are its bindings")]
fn input_gradient_kernel(
    gradient: &[f32],
    input: &[f32],
    output: &[f32],
    weight: &[f32],
    mean: &[f32],
    variance: &[f32],
    sums: &[f32],
    result: &mut [f32],
    channels: usize,
    pixels: f32,
    epsilon: f32,
    low: f32,
    high: f32,
    #[comptime] has_low: bool,
    #[comptime] has_high: bool,
) {
    if ABSOLUTE_POS >= result.len() {
        terminate!();
    }
    let channel = ABSOLUTE_POS % channels;
    let deviation = (variance[channel] + epsilon).sqrt();
    let normed = (input[ABSOLUTE_POS] - mean[channel]) / deviation;
    let value = unclamped(gradient[ABSOLUTE_POS], output[ABSOLUTE_POS], low, high, has_low, has_high);
    let through_moments = (sums[channel] + normed * sums[channels + channel]) / pixels;
    result[ABSOLUTE_POS] = weight[channel] / deviation * (value - through_moments);
}
