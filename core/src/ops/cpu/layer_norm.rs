//! Layer normalisation of rows.

use alloc::vec::Vec;

use pulp::{Simd, WithSimd};

use super::buffers::unwritten;
use super::parallel::{cores, for_each_task, processor, shares};
use super::vector::sum;

/// Numbers of a piece of work.
const LEAST: usize = 16 * 1024;

/// `(row - mean) / sqrt(variance + epsilon) * weight + bias` of each row, which is as long as `weight` and `bias`.
pub(in crate::ops) fn layer_norm(input: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    let width = weight.len();
    let mut output = unwritten(input.len());
    if output.is_empty() {
        return output;
    }
    let pieces = (input.len() / LEAST).clamp(1, 4 * cores());
    let mut tasks = Vec::with_capacity(pieces);
    let mut rest = output.as_mut_slice();
    for share in shares(input.len() / width, 1, pieces) {
        let (output, after) = rest.split_at_mut(share.len() * width);
        rest = after;
        let input = &input[share.start * width..share.end * width];
        tasks.push(Piece { input, weight, bias, epsilon, output });
    }
    for_each_task(processor(), tasks);
    output
}

/// A few rows.
struct Piece<'a> {
    input: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
    output: &'a mut [f32],
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.weight.len();
        for (row, output) in self.input.chunks_exact(width).zip(self.output.chunks_exact_mut(width)) {
            normalise(simd, row, self.weight, self.bias, self.epsilon, output);
        }
    }
}

/// The mean, negative, and what the distance from it is multiplied by.
#[inline(always)]
pub(in crate::ops) fn statistics<S: Simd>(simd: S, row: &[f32], epsilon: f32) -> (S::f32s, S::f32s) {
    let count = row.len() as f32;
    let mean = sum(
        simd,
        row,
        #[inline(always)]
        |x| x,
    ) / count;
    let minus = simd.splat_f32s(-mean);
    // Around the mean: the difference of two large sums would lose digits.
    let squares = sum(
        simd,
        row,
        #[inline(always)]
        |x| {
            let x = simd.add_f32s(x, minus);
            simd.mul_f32s(x, x)
        },
    );
    let factor = 1.0 / libm::sqrtf(squares / count + epsilon);
    (minus, simd.splat_f32s(factor))
}

#[inline(always)]
fn normalise<S: Simd>(simd: S, row: &[f32], weight: &[f32], bias: &[f32], epsilon: f32, output: &mut [f32]) {
    let (minus, factor) = statistics(simd, row, epsilon);
    let (rows, row_end) = S::as_simd_f32s(row);
    let (weights, weight_end) = S::as_simd_f32s(weight);
    let (biases, bias_end) = S::as_simd_f32s(bias);
    let (outputs, output_end) = S::as_mut_simd_f32s(output);
    for (((output, x), weight), bias) in outputs.iter_mut().zip(rows).zip(weights).zip(biases) {
        let x = simd.mul_f32s(simd.add_f32s(*x, minus), factor);
        *output = simd.mul_add_e_f32s(x, *weight, *bias);
    }
    if !row_end.is_empty() {
        let [x, weight, bias] = [row_end, weight_end, bias_end].map(|end| simd.partial_load_f32s(end));
        let x = simd.mul_f32s(simd.add_f32s(x, minus), factor);
        simd.partial_store_f32s(output_end, simd.mul_add_e_f32s(x, weight, bias));
    }
}
