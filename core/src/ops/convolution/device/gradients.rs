//! The gradients of convolutions: their operations and kernels.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Shape, TensorMetadata, backend_extension};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::{permute, reshape};
use burn_cubecl::tensor::CubeTensor;

use super::sums::{ROWS, column_sums, pieces};
use super::{DepthwiseSizes, depthwise_sizes, launch_size, like, taps};
use crate::ops::convolution::Steps;

/// The gradients of the bare [`Convolutions`](crate::ops::convolution::composed::Convolutions).
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(super) trait ConvolutionGradients: Backend {
    /// `gradientᵀ · input` over all pixels, `[out, in]`.
    #[fusion(dtype = input, shape = Shape::from([gradient[3], input[3]]))]
    fn pointwise_weight_gradient(input: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradient of the input, which has `rows` and `columns`.
    #[fusion(dtype = gradient, shape = Shape::from([gradient[0], *rows, *columns, gradient[3]]))]
    fn depthwise_input_gradient(
        gradient: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        rows: usize,
        columns: usize,
        steps: Steps,
    ) -> FloatTensor<Self>;

    /// The gradient of the weight, `[channels, 1, side, side]`.
    #[fusion(dtype = input, shape = Shape::from([input[3], 1, *side, *side]))]
    fn depthwise_weight_gradient(
        input: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        side: usize,
        steps: Steps,
    ) -> FloatTensor<Self>;
}

impl ConvolutionGradients for CubeBackend {
    fn pointwise_weight_gradient(input: CubeTensor, gradient: CubeTensor) -> CubeTensor {
        of_pointwise_weight(into_contiguous(input), into_contiguous(gradient))
    }

    fn depthwise_input_gradient(
        gradient: CubeTensor,
        weight: CubeTensor,
        rows: usize,
        columns: usize,
        steps: Steps,
    ) -> CubeTensor {
        of_depthwise_input(into_contiguous(gradient), taps(weight), [rows, columns], steps)
    }

    fn depthwise_weight_gradient(input: CubeTensor, gradient: CubeTensor, side: usize, steps: Steps) -> CubeTensor {
        let [_, _, _, channels] = input.shape().dims();
        let taps = of_taps(into_contiguous(input), into_contiguous(gradient), side, steps);
        let by_channel = into_contiguous(permute(reshape(taps, Shape::from([side * side, channels])), &[1, 0]));
        reshape(by_channel, Shape::from([channels, 1, side, side]))
    }
}

/// Outputs and inputs of a 1 × 1 convolution whose products a thread adds up together.
const BLOCK: usize = 4;

/// `gradientᵀ · input` over all pixels, `[out, in]`.
fn of_pointwise_weight(input: CubeTensor, gradient: CubeTensor) -> CubeTensor {
    let [images, rows, columns, inputs] = input.shape().dims();
    let [_, _, _, outputs] = gradient.shape().dims();
    let pixels = images * rows * columns;
    let blocks = outputs.div_ceil(BLOCK) * inputs.div_ceil(BLOCK);
    let pieces = pieces(pixels, blocks);
    let products = like(&input, [pieces, outputs * inputs]);
    let (count, dim) = launch_size(&products, pieces * blocks);
    pointwise_weight_kernel::launch(
        &products.client.clone(),
        count,
        dim,
        input.into_buffer_arg(),
        gradient.into_buffer_arg(),
        products.clone().into_buffer_arg(),
        pixels,
        inputs,
        outputs,
        pieces,
    );
    let sums = column_sums(products, outputs * inputs);
    reshape(sums, Shape::from([outputs, inputs]))
}

/// Each thread adds up [`BLOCK`] by [`BLOCK`] products over every `pieces`-th pixel. What hangs over the end is computed for
/// the last channel again and not written.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "the arguments of a kernel are its bindings")]
fn pointwise_weight_kernel(
    input: &[f32],
    gradient: &[f32],
    products: &mut [f32],
    pixels: usize,
    inputs: usize,
    outputs: usize,
    pieces: usize,
) {
    let across = inputs.div_ceil(BLOCK);
    let blocks = outputs.div_ceil(BLOCK) * across;
    let piece = ABSOLUTE_POS / blocks;
    if piece >= pieces {
        terminate!();
    }
    let block = ABSOLUTE_POS % blocks;
    let (first_output, first_input) = (block / across * BLOCK, block % across * BLOCK);
    let mut sums = Array::<f32>::new(BLOCK * BLOCK);
    #[unroll]
    for place in 0..BLOCK * BLOCK {
        sums[place] = 0.0f32;
    }
    let mut values = Array::<f32>::new(BLOCK);
    for pixel in range_stepped(piece, pixels, pieces) {
        #[unroll]
        for index in 0..BLOCK {
            values[index] = input[pixel * inputs + min(first_input + index, inputs - 1)];
        }
        #[unroll]
        for row in 0..BLOCK {
            let factor = gradient[pixel * outputs + min(first_output + row, outputs - 1)];
            #[unroll]
            for index in 0..BLOCK {
                sums[row * BLOCK + index] += factor * values[index];
            }
        }
    }
    #[unroll]
    for row in 0..BLOCK {
        #[unroll]
        for index in 0..BLOCK {
            let (at_output, at_input) = (first_output + row, first_input + index);
            if at_output < outputs && at_input < inputs {
                products[(piece * outputs + at_output) * inputs + at_input] = sums[row * BLOCK + index];
            }
        }
    }
}

/// The gradient of a depthwise convolution's input of `rows` and `columns`; `taps` is `[side * side, channels]`.
fn of_depthwise_input(gradient: CubeTensor, taps: CubeTensor, [rows, columns]: [usize; 2], steps: Steps) -> CubeTensor {
    let [images, _, _, channels] = gradient.shape().dims();
    let side = taps.shape()[0].isqrt();
    let shape = [images, rows, columns, channels];
    let output = like(&gradient, shape);
    let (count, dim) = launch_size(&output, output.shape().num_elements());
    depthwise_input_kernel::launch(
        &output.client.clone(),
        count,
        dim,
        gradient.into_buffer_arg(),
        taps.into_buffer_arg(),
        output.clone().into_buffer_arg(),
        depthwise_sizes(shape, side, steps),
        side,
        steps.stride,
    );
    output
}

/// Each thread adds up, for one input, what it gave to every output.
#[cube(launch)]
fn depthwise_input_kernel(
    gradient: &[f32],
    taps: &[f32],
    output: &mut [f32],
    sizes: DepthwiseSizes,
    #[comptime] side: usize,
    #[comptime] stride: usize,
) {
    if ABSOLUTE_POS >= output.len() {
        terminate!();
    }
    let channel = ABSOLUTE_POS % sizes.channels;
    let pixel = ABSOLUTE_POS / sizes.channels;
    // Counted from the first row and column of the padding.
    let x = pixel % sizes.columns + sizes.columns_before;
    let y = pixel / sizes.columns % sizes.rows + sizes.rows_before;
    let image = pixel / (sizes.columns * sizes.rows);
    let mut sum = 0.0f32;
    for tap_row in 0..side {
        let row = (y - min(tap_row, y)) / stride;
        if y >= tap_row && row * stride + tap_row == y && row < sizes.output_rows {
            let line = (image * sizes.output_rows + row) * sizes.output_columns;
            for tap_column in 0..side {
                let column = (x - min(tap_column, x)) / stride;
                if x >= tap_column && column * stride + tap_column == x && column < sizes.output_columns {
                    sum += gradient[(line + column) * sizes.channels + channel]
                        * taps[(tap_row * side + tap_column) * sizes.channels + channel];
                }
            }
        }
    }
    output[ABSOLUTE_POS] = sum;
}

/// The gradient of a depthwise convolution's taps, `[side * side * channels]`.
fn of_taps(input: CubeTensor, gradient: CubeTensor, side: usize, steps: Steps) -> CubeTensor {
    let shape: [usize; 4] = input.shape().dims();
    let [images, rows, _, channels] = shape;
    let lines = images * steps.axis(rows, side).output;
    // A line of pixels is work enough for a thread.
    let pieces = pieces(lines * ROWS, channels);
    let products = like(&input, [pieces, side * side * channels]);
    let (count, dim) = launch_size(&products, pieces * channels);
    taps_kernel::launch(
        &products.client.clone(),
        count,
        dim,
        input.into_buffer_arg(),
        gradient.into_buffer_arg(),
        products.clone().into_buffer_arg(),
        depthwise_sizes(shape, side, steps),
        lines,
        pieces,
        side,
        steps.stride,
    );
    column_sums(products, side * side * channels)
}

/// Each thread adds up, for one channel and all taps, the products over every `pieces`-th line of the output.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "the arguments of a kernel are its bindings")]
fn taps_kernel(
    input: &[f32],
    gradient: &[f32],
    products: &mut [f32],
    sizes: DepthwiseSizes,
    lines: usize,
    pieces: usize,
    #[comptime] side: usize,
    #[comptime] stride: usize,
) {
    let channel = ABSOLUTE_POS % sizes.channels;
    let piece = ABSOLUTE_POS / sizes.channels;
    if piece >= pieces {
        terminate!();
    }
    let mut sums = Array::<f32>::new(side * side);
    #[unroll]
    for tap in 0..side * side {
        sums[tap] = 0.0f32;
    }
    for line in range_stepped(piece, lines, pieces) {
        let image = line / sizes.output_rows;
        let first_row = line % sizes.output_rows * stride;
        for column in 0..sizes.output_columns {
            let factor = gradient[(line * sizes.output_columns + column) * sizes.channels + channel];
            #[unroll]
            for tap_row in 0..side {
                // Counted from the first row and column of the padding.
                let y = first_row + tap_row;
                if y >= sizes.rows_before && y < sizes.rows + sizes.rows_before {
                    let first_pixel = (image * sizes.rows + y - sizes.rows_before) * sizes.columns;
                    #[unroll]
                    for tap_column in 0..side {
                        let x = column * stride + tap_column;
                        if x >= sizes.columns_before && x < sizes.columns + sizes.columns_before {
                            let pixel = first_pixel + x - sizes.columns_before;
                            sums[tap_row * side + tap_column] += factor * input[pixel * sizes.channels + channel];
                        }
                    }
                }
            }
        }
    }
    #[unroll]
    for tap in 0..side * side {
        products[(piece * side * side + tap) * sizes.channels + channel] = sums[tap];
    }
}
