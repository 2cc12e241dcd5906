//! The linear layer as one kernel: the matrix product with everything that follows it.
//!
//! A thread computes a rectangle of outputs, so that a number it has read serves many products: reading, not multiplying, is
//! what takes time. Input and weight are both read along the axis that is summed over, four numbers at once, from where they
//! lie, `[rows, in]` and `[out, in]`: nothing is transposed or copied, on the device or in its memory. There is no memory that
//! a workgroup shares either, since waiting for each other takes longer in an imitation of a device than reading again.

use core::f32::consts::FRAC_1_SQRT_2;

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::reshape;
use burn_cubecl::tensor::CubeTensor;

use super::{like, serves, vector_size, workgroups};
use crate::ops::extension::{Optional, cast};
use crate::ops::linear::{self, FusedLinear};
use crate::ops::patch_embedding::FusedPatchEmbedding;
use crate::ops::{Activation, KeptLayout};

/// Rows that a thread computes: four threads' are 40, of which ViT's 197 and 257 tokens fill most.
const ROWS: usize = 10;
/// Outputs of each row that a thread computes. With the rows, as many sums as a thread has registers for.
const OUTPUTS: usize = 8;
/// Threads of a workgroup: neighbours read the same rows of the input, and other rows of the weight.
const ACROSS: usize = 16;
const DOWN: usize = 4;

impl FusedLinear for CubeBackend {
    fn fused_linear(
        input: CubeTensor,
        weight: CubeTensor,
        bias: Optional<Self>,
        activation: Option<Activation>,
        residual: Optional<Self>,
        _kept: KeptLayout,
    ) -> CubeTensor {
        if !serves(&input) {
            return linear::composed::<Self>(input, weight, bias, activation, residual);
        }
        let in_f32 = |tensor| into_contiguous(cast::<Self>(tensor, DType::F32));
        let given = |optional| match optional {
            Optional::Given(tensor) => Some(in_f32(tensor)),
            Optional::Absent => None,
        };
        fused(in_f32(input), in_f32(weight), given(bias), activation, given(residual))
    }
}

// It goes through the linear layer.
impl FusedPatchEmbedding for CubeBackend {}

fn fused(
    input: CubeTensor,
    weight: CubeTensor,
    bias: Option<CubeTensor>,
    activation: Option<Activation>,
    residual: Option<CubeTensor>,
) -> CubeTensor {
    let ([outside, inside], mut shape) = (weight.shape().dims(), input.shape());
    let rows = shape.num_elements() / inside;
    let output = like(&input, [rows, outside]);
    let (blocks, dim) = (outside.div_ceil(ACROSS * OUTPUTS), CubeDim::new_2d(ACROSS as u32, DOWN as u32));
    let size = vector_size(inside);
    linear_kernel::launch(
        &output.client.clone(),
        workgroups(&output, blocks * rows.div_ceil(DOWN * ROWS), dim),
        dim,
        size,
        input.into_buffer_arg(),
        weight.into_buffer_arg(),
        bias.map(CubeTensor::into_buffer_arg).into(),
        residual.map(CubeTensor::into_buffer_arg).into(),
        output.clone().into_buffer_arg(),
        rows,
        inside / size,
        outside,
        activation,
        outside.is_multiple_of(OUTPUTS),
    );
    let last = shape.num_dims() - 1;
    shape[last] = outside;
    reshape(output, shape)
}

/// Each thread computes [`ROWS`] by [`OUTPUTS`] numbers. What hangs over the end is computed for the last row or output again
/// and not written; `whole` says that there is no such output. `inside` counts vectors.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "the arguments of a kernel are its bindings")]
#[allow(clippy::if_same_then_else, reason = "a kernel has the one branch or the other")]
fn linear_kernel<N: Size>(
    input: &[Vector<f32, N>],
    weight: &[Vector<f32, N>],
    bias: ComptimeOption<&[f32]>,
    residual: ComptimeOption<&[f32]>,
    output: &mut [f32],
    rows: usize,
    inside: usize,
    outside: usize,
    #[comptime] activation: Option<Activation>,
    #[comptime] whole: bool,
) {
    let blocks = outside.div_ceil(ACROSS * OUTPUTS);
    let first_row = (CUBE_POS / blocks * DOWN + UNIT_POS_Y as usize) * ROWS;
    let first_output = (CUBE_POS % blocks * ACROSS + UNIT_POS_X as usize) * OUTPUTS;
    if first_row >= rows || first_output >= outside {
        terminate!();
    }
    let mut from_input = Array::<usize>::new(ROWS);
    #[unroll]
    for row in 0..ROWS {
        from_input[row] = min(first_row + row, rows - 1) * inside;
    }
    let mut from_weight = Array::<usize>::new(OUTPUTS);
    #[unroll]
    for place in 0..OUTPUTS {
        from_weight[place] = min(first_output + place, outside - 1) * inside;
    }
    let mut sums = Array::<f32>::new(ROWS * OUTPUTS);
    #[unroll]
    for index in 0..ROWS * OUTPUTS {
        sums[index] = 0.0f32;
    }
    let mut values = Array::<Vector<f32, N>>::new(ROWS);
    for index in 0..inside {
        #[unroll]
        for row in 0..ROWS {
            values[row] = input[from_input[row] + index];
        }
        #[unroll]
        for place in 0..OUTPUTS {
            let weights = weight[from_weight[place] + index];
            #[unroll]
            for row in 0..ROWS {
                sums[row * OUTPUTS + place] += values[row].dot(weights);
            }
        }
    }
    #[unroll]
    for row in 0..ROWS {
        if first_row + row < rows {
            #[unroll]
            for place in 0..OUTPUTS {
                let at = (first_row + row) * outside + first_output + place;
                if comptime!(whole) {
                    output[at] = sums[row * OUTPUTS + place];
                } else if first_output + place < outside {
                    output[at] = sums[row * OUTPUTS + place];
                }
            }
        }
    }
    // What follows is done to what was written, in a loop: unrolled like the sums, it was most of what devices compile.
    for row in first_row..min(first_row + ROWS, rows) {
        for column in first_output..min(first_output + OUTPUTS, outside) {
            let at = row * outside + column;
            let before: ComptimeOption<f32> = bias.as_ref().map(|bias| bias[column]);
            let after: ComptimeOption<f32> = residual.as_ref().map(|residual| residual[at]);
            let biased = output[at] + before.unwrap_or(f32::new(0.0f32));
            output[at] = activated(biased, activation) + after.unwrap_or(f32::new(0.0f32));
        }
    }
}

/// The activation of a number. NaN stays NaN: a wrong number must not look like a right one.
#[cube]
fn activated(value: f32, #[comptime] activation: Option<Activation>) -> f32 {
    match comptime!(activation) {
        None => value,
        Some(Activation::Relu) => max_nan(value, 0.0f32),
        Some(Activation::Relu6) => min_nan(max_nan(value, 0.0f32), 6.0f32),
        Some(Activation::QuickGelu) => value / (1.0f32 + (-1.702f32 * value).exp()),
        Some(Activation::Gelu) => 0.5f32 * value * (1.0f32 + Erf::erf(value * FRAC_1_SQRT_2)),
        Some(Activation::Silu) => value / (1.0f32 + (-value).exp()),
    }
}
