//! Layer normalisation as one kernel: a workgroup a row.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::{like, serves, workgroups};
use crate::ops::extension::cast;
use crate::ops::layer_norm::{self, FusedLayerNorm};

/// Threads of a workgroup, which share a row's numbers.
const THREADS: usize = 32;

impl FusedLayerNorm for CubeBackend {
    fn fused_layer_norm(input: CubeTensor, weight: CubeTensor, bias: CubeTensor, epsilon: f64) -> CubeTensor {
        if !serves(&input) {
            return layer_norm::composed::<Self>(input, weight, bias, epsilon);
        }
        let [input, weight, bias] =
            [input, weight, bias].map(|tensor| into_contiguous(cast::<Self>(tensor, DType::F32)));
        let ([width], shape) = (weight.shape().dims(), input.shape());
        let rows = shape.num_elements() / width;
        let (output, dim) = (like(&input, shape), CubeDim::new_1d(THREADS as u32));
        layer_norm_kernel::launch(
            &output.client.clone(),
            workgroups(&output, rows, dim),
            dim,
            input.into_buffer_arg(),
            weight.into_buffer_arg(),
            bias.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            rows,
            width,
            epsilon as f32,
        );
        output
    }
}

/// Each workgroup normalises a row: its mean first, then the mean squared distance from it, as it is defined.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "the arguments of a kernel are its bindings")]
fn layer_norm_kernel(
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
    output: &mut [f32],
    rows: usize,
    width: usize,
    epsilon: f32,
) {
    // Every thread of a workgroup has to come to the barriers: those without a row do the last one again.
    let start = min(CUBE_POS, rows - 1) * width;
    let thread = UNIT_POS as usize;
    let mut sum = 0.0f32;
    for channel in range_stepped(thread, width, THREADS) {
        sum += input[start + channel];
    }
    let mut sums = Shared::<[f32]>::new_slice(THREADS);
    let mean = sum_of_all(&mut sums, sum) / width as f32;
    let mut square = 0.0f32;
    for channel in range_stepped(thread, width, THREADS) {
        let distance = input[start + channel] - mean;
        square += distance * distance;
    }
    let mut squares = Shared::<[f32]>::new_slice(THREADS);
    let variance = sum_of_all(&mut squares, square) / width as f32;
    let factor = 1.0f32 / (variance + epsilon).sqrt();
    if CUBE_POS < rows {
        for channel in range_stepped(thread, width, THREADS) {
            output[start + channel] = (input[start + channel] - mean) * factor * weight[channel] + bias[channel];
        }
    }
}

/// The sum of what each thread of the workgroup gives, in the same order for all.
#[cube]
fn sum_of_all(shared: &mut Shared<[f32]>, value: f32) -> f32 {
    shared[UNIT_POS as usize] = value;
    sync_cube();
    let mut sum = 0.0f32;
    for thread in 0..THREADS {
        sum += shared[thread];
    }
    sum
}
