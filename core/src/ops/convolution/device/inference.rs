//! Convolutions with the affine and the activation after them, each one kernel.

use burn::backend::TensorMetadata;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::{DepthwiseSizes, Limits, SERVED, clamped, depthwise_sizes, in_f32, launch_size, like, taps};
use crate::ops::Activation;
use crate::ops::convolution::Steps;
use crate::ops::convolution::composed::{self, Convolutions};
use crate::ops::convolution::kernels::Bounds;

/// Outputs of a pixel that a thread computes together: one load of four weights serves all its pixels.
const OUTPUTS: usize = 4;
/// Pixels that a thread computes together: as many as registers hold.
const PIXELS: usize = 8;

/// Whether the kernel for 1 × 1 serves so many outputs.
pub(super) fn serves_outputs(outputs: usize) -> bool {
    outputs.is_multiple_of(OUTPUTS)
}

impl Convolutions for CubeBackend {
    fn pointwise(
        input: CubeTensor,
        weight: CubeTensor,
        scale: CubeTensor,
        shift: CubeTensor,
        activation: Option<Activation>,
    ) -> CubeTensor {
        if !(SERVED.contains(&input.dtype()) && serves_outputs(weight.shape()[0])) {
            return composed::pointwise::<Self>(input, weight, scale, shift, activation);
        }
        let bounds = activation.and_then(Activation::bounds);
        in_f32::<Self>(input, |input| pointwise(input, weight, scale, shift, bounds))
    }

    fn depthwise(
        input: CubeTensor,
        weight: CubeTensor,
        scale: CubeTensor,
        shift: CubeTensor,
        steps: Steps,
        activation: Option<Activation>,
    ) -> CubeTensor {
        if !SERVED.contains(&input.dtype()) {
            return composed::depthwise::<Self>(input, weight, scale, shift, steps, activation);
        }
        let bounds = activation.and_then(Activation::bounds);
        in_f32::<Self>(input, |input| depthwise(input, weight, scale, shift, steps, bounds))
    }
}

fn pointwise(
    input: CubeTensor,
    weight: CubeTensor,
    scale: CubeTensor,
    shift: CubeTensor,
    bounds: Option<Bounds>,
) -> CubeTensor {
    let [images, rows, columns, inputs] = input.shape().dims();
    let [outputs, _] = weight.shape().dims();
    let pixels = images * rows * columns;
    let output = like(&input, [images, rows, columns, outputs]);
    let threads = pixels.div_ceil(PIXELS) * outputs / OUTPUTS;
    let by_input = into_contiguous(burn_cubecl::ops::permute(weight, &[1, 0]));
    let limits = Limits::new(bounds);
    let (count, dim) = launch_size(&output, threads);
    pointwise_kernel::launch(
        &output.client.clone(),
        count,
        dim,
        into_contiguous(input).into_buffer_arg(),
        by_input.into_buffer_arg(),
        into_contiguous(scale).into_buffer_arg(),
        into_contiguous(shift).into_buffer_arg(),
        output.clone().into_buffer_arg(),
        pixels,
        inputs,
        outputs / OUTPUTS,
        limits.low,
        limits.high,
        limits.has_low,
        limits.has_high,
    );
    output
}

fn depthwise(
    input: CubeTensor,
    weight: CubeTensor,
    scale: CubeTensor,
    shift: CubeTensor,
    steps: Steps,
    bounds: Option<Bounds>,
) -> CubeTensor {
    let shape: [usize; 4] = input.shape().dims();
    let [_, _, side, _] = weight.shape().dims();
    let [images, rows, columns, channels] = shape;
    let output_side = |input| steps.axis(input, side).output;
    let output = like(&input, [images, output_side(rows), output_side(columns), channels]);
    let limits = Limits::new(bounds);
    let (count, dim) = launch_size(&output, output.shape().num_elements());
    depthwise_kernel::launch(
        &output.client.clone(),
        count,
        dim,
        into_contiguous(input).into_buffer_arg(),
        taps(weight).into_buffer_arg(),
        into_contiguous(scale).into_buffer_arg(),
        into_contiguous(shift).into_buffer_arg(),
        output.clone().into_buffer_arg(),
        depthwise_sizes(shape, side, steps),
        limits.low,
        limits.high,
        limits.has_low,
        limits.has_high,
        side,
        steps.stride,
    );
    output
}

/// Each thread computes [`PIXELS`] pixels' [`OUTPUTS`] neighbouring outputs. `weight` is `[inputs, outputs]`.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "the arguments of a kernel are its bindings")]
fn pointwise_kernel(
    input: &[f32],
    weight: &[Vector<f32, Const<4>>],
    scale: &[Vector<f32, Const<4>>],
    shift: &[Vector<f32, Const<4>>],
    output: &mut [Vector<f32, Const<4>>],
    pixels: usize,
    inputs: usize,
    groups: usize,
    low: f32,
    high: f32,
    #[comptime] has_low: bool,
    #[comptime] has_high: bool,
) {
    let group = ABSOLUTE_POS % groups;
    let first = ABSOLUTE_POS / groups * PIXELS;
    if first >= pixels {
        terminate!();
    }
    let mut sums = Array::<Vector<f32, Const<4>>>::new(PIXELS);
    #[unroll]
    for pixel in 0..PIXELS {
        sums[pixel] = Vector::new(0.0f32);
    }
    for index in 0..inputs {
        let weights = weight[index * groups + group];
        #[unroll]
        for pixel in 0..PIXELS {
            // What hangs over the end is computed for the last pixel again and not written.
            let place = min(first + pixel, pixels - 1);
            sums[pixel] += weights * Vector::new(input[place * inputs + index]);
        }
    }
    #[unroll]
    for pixel in 0..PIXELS {
        if first + pixel < pixels {
            let value = sums[pixel] * scale[group] + shift[group];
            output[(first + pixel) * groups + group] =
                clamped::<Vector<f32, Const<4>>>(value, Vector::new(low), Vector::new(high), has_low, has_high);
        }
    }
}

/// Each thread computes one output. `taps` is `[side * side, channels]`.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "the arguments of a kernel are its bindings")]
fn depthwise_kernel(
    input: &[f32],
    taps: &[f32],
    scale: &[f32],
    shift: &[f32],
    output: &mut [f32],
    sizes: DepthwiseSizes,
    low: f32,
    high: f32,
    #[comptime] has_low: bool,
    #[comptime] has_high: bool,
    #[comptime] side: usize,
    #[comptime] stride: usize,
) {
    if ABSOLUTE_POS >= output.len() {
        terminate!();
    }
    let channel = ABSOLUTE_POS % sizes.channels;
    let place = ABSOLUTE_POS / sizes.channels;
    let column = place % sizes.output_columns * stride;
    let row = place / sizes.output_columns % sizes.output_rows * stride;
    let image = place / (sizes.output_columns * sizes.output_rows);
    let mut sum = 0.0f32;
    for tap_row in 0..side {
        // Counted from the first row of the padding.
        let y = row + tap_row;
        if y >= sizes.rows_before && y < sizes.rows + sizes.rows_before {
            let line = (image * sizes.rows + y - sizes.rows_before) * sizes.columns;
            for tap_column in 0..side {
                let x = column + tap_column;
                if x >= sizes.columns_before && x < sizes.columns + sizes.columns_before {
                    let pixel = line + x - sizes.columns_before;
                    sum += input[pixel * sizes.channels + channel]
                        * taps[(tap_row * side + tap_column) * sizes.channels + channel];
                }
            }
        }
    }
    output[ABSOLUTE_POS] = clamped::<f32>(sum * scale[channel] + shift[channel], low, high, has_low, has_high);
}
