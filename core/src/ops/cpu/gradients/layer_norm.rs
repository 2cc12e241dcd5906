//! Gradients of layer normalisation.
//!
//! With `x` a normed number before weight and bias, `g` its gradient and `f` the factor of its row, the input's gradient is
//! `f * (g - mean(g) - x * mean(g * x))`.

use alloc::vec;
use alloc::vec::Vec;

use pulp::{Simd, WithSimd};

use crate::ops::cpu::buffers::unwritten;
use crate::ops::cpu::layer_norm::statistics;
use crate::ops::cpu::parallel::{for_each_task, processor};

/// Numbers of a piece of work, whose sums over rows are taken first.
const PIECE: usize = 32 * 1024;

/// What a norm is computed of; `input` is rows as long as the weight.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Norm<'a> {
    pub(in crate::ops) input: &'a [f32],
    pub(in crate::ops) weight: &'a [f32],
    pub(in crate::ops) epsilon: f32,
}

/// The gradients of a norm.
pub(in crate::ops) struct OfNorm {
    /// In the input's shape.
    pub(in crate::ops) input: Vec<f32>,
    pub(in crate::ops) weight: Vec<f32>,
    pub(in crate::ops) bias: Vec<f32>,
}

impl Norm<'_> {
    /// The gradients for that of the output.
    pub(in crate::ops) fn gradients(&self, gradient: &[f32]) -> OfNorm {
        let width = self.weight.len();
        let mut output = unwritten(gradient.len());
        let length = (PIECE / width.max(1)).max(1) * width.max(1);
        let pieces = gradient.len().div_ceil(length);
        let mut sums = vec![0.0; pieces * 2 * width];
        if !gradient.is_empty() {
            let parts = output.chunks_mut(length).zip(sums.chunks_exact_mut(2 * width)).enumerate();
            let tasks = parts.map(|(index, (output, sums))| {
                let part = index * length..index * length + output.len();
                let (of_weight, of_bias) = sums.split_at_mut(width);
                let norm = Norm { input: &self.input[part.clone()], ..*self };
                Part { norm, gradient: &gradient[part], output, of_weight, of_bias }
            });
            for_each_task(processor(), tasks.collect());
        }
        let (mut of_weight, mut of_bias) = (vec![0.0; width], vec![0.0; width]);
        for sums in sums.chunks_exact(2 * width.max(1)) {
            let (weight, bias) = sums.split_at(width);
            of_weight.iter_mut().zip(weight).for_each(|(sum, part)| *sum += part);
            of_bias.iter_mut().zip(bias).for_each(|(sum, part)| *sum += part);
        }
        OfNorm { input: output, weight: of_weight, bias: of_bias }
    }
}

/// A few rows.
struct Part<'a> {
    norm: Norm<'a>,
    gradient: &'a [f32],
    output: &'a mut [f32],
    of_weight: &'a mut [f32],
    of_bias: &'a mut [f32],
}

impl WithSimd for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { norm: Norm { input, weight, epsilon }, gradient, output, of_weight, of_bias } = self;
        let width = weight.len();
        let rows = input.chunks_exact(width).zip(gradient.chunks_exact(width)).zip(output.chunks_exact_mut(width));
        for ((row, gradient), output) in rows {
            let (minus, factor) = statistics(simd, row, epsilon);
            let scale = Scale { minus, factor };
            let means = scale.means(simd, row, gradient, weight);
            scale.back(simd, row, gradient, weight, means, output);
            scale.add(simd, row, gradient, of_weight, of_bias);
        }
    }
}

/// How a row is normed.
struct Scale<V> {
    minus: V,
    factor: V,
}

impl<V: Copy> Scale<V> {
    #[inline(always)]
    fn normed<S: Simd<f32s = V>>(&self, simd: S, x: V) -> V {
        simd.mul_f32s(simd.add_f32s(x, self.minus), self.factor)
    }

    /// The means of the gradient before the weight, and of that times the normed row.
    #[inline(always)]
    fn means<S: Simd<f32s = V>>(&self, simd: S, row: &[f32], gradient: &[f32], weight: &[f32]) -> [V; 2] {
        let mut sums = [simd.splat_f32s(0.0); 2];
        let ((rows, row_end), (gradients, gradient_end)) = (S::as_simd_f32s(row), S::as_simd_f32s(gradient));
        let (weights, weight_end) = S::as_simd_f32s(weight);
        for ((x, gradient), weight) in rows.iter().zip(gradients).zip(weights) {
            sums = self.added(simd, sums, *x, simd.mul_f32s(*gradient, *weight));
        }
        if !row_end.is_empty() {
            // Beyond the end, gradients are 0.
            let [x, gradient, weight] = [row_end, gradient_end, weight_end].map(|end| simd.partial_load_f32s(end));
            sums = self.added(simd, sums, x, simd.mul_f32s(gradient, weight));
        }
        sums.map(|sum| simd.splat_f32s(simd.reduce_sum_f32s(sum) / row.len() as f32))
    }

    #[inline(always)]
    fn added<S: Simd<f32s = V>>(&self, simd: S, [of_all, along]: [V; 2], x: V, gradient: V) -> [V; 2] {
        [simd.add_f32s(of_all, gradient), simd.mul_add_e_f32s(gradient, self.normed(simd, x), along)]
    }

    /// The input's gradient.
    #[inline(always)]
    fn back<S: Simd<f32s = V>>(
        &self,
        simd: S,
        row: &[f32],
        gradient: &[f32],
        weight: &[f32],
        means: [V; 2],
        output: &mut [f32],
    ) {
        let ((rows, row_end), (gradients, gradient_end)) = (S::as_simd_f32s(row), S::as_simd_f32s(gradient));
        let (weights, weight_end) = S::as_simd_f32s(weight);
        let (outputs, output_end) = S::as_mut_simd_f32s(output);
        for (((output, x), gradient), weight) in outputs.iter_mut().zip(rows).zip(gradients).zip(weights) {
            *output = self.of_number(simd, means, *x, simd.mul_f32s(*gradient, *weight));
        }
        if !row_end.is_empty() {
            let [x, gradient, weight] = [row_end, gradient_end, weight_end].map(|end| simd.partial_load_f32s(end));
            let output = self.of_number(simd, means, x, simd.mul_f32s(gradient, weight));
            simd.partial_store_f32s(output_end, output);
        }
    }

    #[inline(always)]
    fn of_number<S: Simd<f32s = V>>(&self, simd: S, [of_all, along]: [V; 2], x: V, gradient: V) -> V {
        let rest = simd.sub_f32s(gradient, of_all);
        simd.mul_f32s(self.factor, simd.sub_f32s(rest, simd.mul_f32s(self.normed(simd, x), along)))
    }

    /// Adds what weight and bias get of this row.
    #[inline(always)]
    fn add<S: Simd<f32s = V>>(
        &self,
        simd: S,
        row: &[f32],
        gradient: &[f32],
        of_weight: &mut [f32],
        of_bias: &mut [f32],
    ) {
        let ((rows, row_end), (gradients, gradient_end)) = (S::as_simd_f32s(row), S::as_simd_f32s(gradient));
        let (of_weights, weight_end) = S::as_mut_simd_f32s(of_weight);
        let (of_biases, bias_end) = S::as_mut_simd_f32s(of_bias);
        for (((x, gradient), weight), bias) in rows.iter().zip(gradients).zip(of_weights).zip(of_biases) {
            *weight = simd.mul_add_e_f32s(*gradient, self.normed(simd, *x), *weight);
            *bias = simd.add_f32s(*bias, *gradient);
        }
        if !row_end.is_empty() {
            let [x, gradient] = [row_end, gradient_end].map(|end| simd.partial_load_f32s(end));
            let weight = simd.partial_load_f32s(weight_end);
            simd.partial_store_f32s(weight_end, simd.mul_add_e_f32s(gradient, self.normed(simd, x), weight));
            let bias = simd.partial_load_f32s(bias_end);
            simd.partial_store_f32s(bias_end, simd.add_f32s(bias, gradient));
        }
    }
}
