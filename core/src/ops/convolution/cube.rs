//! The bodies for graphics devices: kernels of our own, of which each computes a convolution with the affine and the
//! activation after it.
//!
//! burn's own operations are several launches a layer, and its convolution of many groups has no fast way where it may not
//! try out which is fastest, as in a browser.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Shape, TensorMetadata, backend_extension};
use burn_cubecl::Cube;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::geometry::Steps;
use super::kernels::Bounds;

/// Outputs of a pixel that a thread computes together: one load of four weights serves all its pixels.
const OUTPUTS: usize = 4;
/// Pixels that a thread computes together: as many as registers hold.
const PIXELS: usize = 8;

/// The convolutions as operations of graphics devices.
#[backend_extension(Cube)]
pub(super) trait DeviceConvolutions: Backend {
    /// `clamp((input · weightᵀ) * scale + shift)`; the number of outputs is a multiple of [`OUTPUTS`].
    fn device_pointwise(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        bounds: Option<(f32, f32)>,
    ) -> FloatTensor<Self>;

    /// `clamp(depthwise(input, weight) * scale + shift)`
    fn device_depthwise(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        steps: Steps,
        bounds: Option<(f32, f32)>,
    ) -> FloatTensor<Self>;
}

/// Whether the kernel for 1 × 1 serves so many outputs.
pub(super) fn serves_outputs(outputs: usize) -> bool {
    outputs.is_multiple_of(OUTPUTS)
}

impl DeviceConvolutions for Cube {
    fn device_pointwise(
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

    fn device_depthwise(
        input: CubeTensor,
        weight: CubeTensor,
        scale: CubeTensor,
        shift: CubeTensor,
        steps: Steps,
        bounds: Option<Bounds>,
    ) -> CubeTensor {
        let [images, rows, columns, channels] = input.shape().dims();
        let [_, _, side, _] = weight.shape().dims();
        let (rows, columns) = (steps.axis(rows, side), steps.axis(columns, side));
        let output = like(&input, [images, rows.output, columns.output, channels]);
        let flat = burn_cubecl::ops::reshape(into_contiguous(weight), Shape::from([channels, side * side]));
        let taps = into_contiguous(burn_cubecl::ops::permute(flat, &[1, 0]));
        let limits = Limits::new(bounds);
        let (count, dim) = launch_size(&output, output.shape().num_elements());
        depthwise_kernel::launch(
            &output.client.clone(),
            count,
            dim,
            into_contiguous(input).into_buffer_arg(),
            taps.into_buffer_arg(),
            into_contiguous(scale).into_buffer_arg(),
            into_contiguous(shift).into_buffer_arg(),
            output.clone().into_buffer_arg(),
            DepthwiseSizesLaunch::new(
                channels,
                rows.input,
                columns.input,
                rows.output,
                columns.output,
                rows.before,
                columns.before,
            ),
            limits.low,
            limits.high,
            limits.has_low,
            limits.has_high,
            side,
            steps.stride,
        );
        output
    }
}

/// An uninitialised f32 tensor beside `tensor`.
fn like(tensor: &CubeTensor, shape: [usize; 4]) -> CubeTensor {
    empty_device_contiguous_dtype(tensor.client.clone(), tensor.device.clone(), Shape::from(shape), tensor.dtype)
}

/// How many workgroups of which size compute `threads` things.
fn launch_size(output: &CubeTensor, threads: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(&output.client, threads);
    (calculate_cube_count_elemwise(&output.client, threads, dim), dim)
}

/// What is clamped to, and whether it is at all: shaders have no infinity that would stand for no limit.
struct Limits {
    low: f32,
    high: f32,
    has_low: bool,
    has_high: bool,
}

impl Limits {
    fn new(bounds: Option<Bounds>) -> Self {
        let (low, high) = bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let finite = |value: f32| if value.is_finite() { value } else { 0.0 };
        Self { low: finite(low), high: finite(high), has_low: low.is_finite(), has_high: high.is_finite() }
    }
}

/// The value within the limits there are. NaN stays NaN: a wrong number must not look like a right one.
#[cube]
fn clamped<C: CubePrimitive<Scalar: Float>>(
    value: C,
    low: C,
    high: C,
    #[comptime] has_low: bool,
    #[comptime] has_high: bool,
) -> C {
    let above = if comptime!(has_low) { max_nan(value, low) } else { value };
    if comptime!(has_high) { min_nan(above, high) } else { above }
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

/// Sizes of a depthwise convolution.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct DepthwiseSizes {
    channels: usize,
    rows: usize,
    columns: usize,
    output_rows: usize,
    output_columns: usize,
    rows_before: usize,
    columns_before: usize,
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
