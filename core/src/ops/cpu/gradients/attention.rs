//! Gradients of attention, head by head.
//!
//! What the softmax gave is computed anew, in less time than it would take to keep and read it. With `p` a row of it and `g`
//! its gradient, that of the scores is `p * (g - Σ p g)`.

use alloc::vec;
use alloc::vec::Vec;

use pulp::{Simd, WithSimd};

use super::turn;
use crate::ops::cpu::attention::{Attention, softmax};
use crate::ops::cpu::buffers::{Buffer, unwritten};
use crate::ops::cpu::parallel::{for_each_piece, for_each_task, processor};
use crate::ops::cpu::product::{Filters, Packed, Rows, Target, product};

impl Attention<'_> {
    /// The gradients of queries, keys and values, in their shapes, for that of the output.
    pub(in crate::ops) fn gradients(&self, gradient: &[f32]) -> [Vec<f32>; 3] {
        let Self { batch, queries, keys, width, heads, .. } = *self;
        let within = self.head_width();
        let sizes = [queries, keys, keys].map(|tokens| tokens * within);
        let mut by_head = Buffer::unwritten(batch * (queries + 2 * keys) * width);
        if !by_head.is_empty() {
            let parts = by_head.chunks_exact_mut(sizes.iter().sum()).enumerate();
            let tasks = parts.map(|(index, output)| {
                let (of_query, rest) = output.split_at_mut(sizes[0]);
                let (of_key, of_value) = rest.split_at_mut(sizes[1]);
                Head { attention: self, index, gradient, of_query, of_key, of_value }
            });
            for_each_task(processor(), tasks.collect());
        }
        [(0, queries), (sizes[0], keys), (sizes[0] + sizes[1], keys)]
            .map(|(first, tokens)| side_by_side(&by_head, sizes.iter().sum(), first, [batch, tokens, heads, within]))
    }
}

/// `[batch, tokens, heads * within]` of what lies from `first` on in each head's numbers, `[tokens, within]`.
fn side_by_side(by_head: &[f32], length: usize, first: usize, [batch, tokens, heads, within]: [usize; 4]) -> Vec<f32> {
    let width = heads * within;
    let mut output = unwritten(batch * tokens * width);
    if output.is_empty() {
        return output;
    }
    for_each_piece(&mut output, tokens * width, |image, output| {
        for head in 0..heads {
            let found = &by_head[(image * heads + head) * length + first..][..tokens * within];
            for (token, found) in output.chunks_exact_mut(width).zip(found.chunks_exact(within)) {
                token[head * within..][..within].copy_from_slice(found);
            }
        }
    });
    output
}

/// One head of one image.
struct Head<'a> {
    attention: &'a Attention<'a>,
    index: usize,
    /// `[batch, queries, width]`
    gradient: &'a [f32],
    /// `[queries, within]`
    of_query: &'a mut [f32],
    /// `[keys, within]`
    of_key: &'a mut [f32],
    /// `[keys, within]`
    of_value: &'a mut [f32],
}

impl WithSimd for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Attention { query, key, value, queries, keys, width, heads, .. } = *self.attention;
        let (image, head, within) = (self.index / heads, self.index % heads, self.attention.head_width());
        let scale = 1.0 / libm::sqrtf(within as f32);
        let of_head = |tokens: usize| image * tokens * width + head * within;
        let (query, gradient) = (&query[of_head(queries)..], &self.gradient[of_head(queries)..]);
        let (key, value) = (&key[of_head(keys)..], &value[of_head(keys)..]);
        let by_token: Vec<usize> = (0..queries).map(|token| token * width).collect();
        let by_query: Vec<usize> = (0..queries).map(|row| row * keys).collect();

        let mut weights = Buffer::unwritten(queries * keys);
        let rows = Rows { values: query, origins: &by_token, runs: &[0], run: within };
        let residual = self.attention.bias(image, head, 0);
        let target = &mut Target { values: &mut weights, places: &by_query, activation: None, residual, slopes: None };
        product(simd, &across::<S>(key, [keys, within, width], scale), &rows, target);
        for row in weights.chunks_exact_mut(keys) {
            softmax(simd, row);
        }

        let mut scores = Buffer::unwritten(queries * keys);
        let rows = Rows { values: gradient, origins: &by_token, runs: &[0], run: within };
        plain(simd, &across::<S>(value, [keys, within, width], 1.0), &rows, &mut scores, &by_query);
        for (scores, weights) in scores.chunks_exact_mut(keys).zip(weights.chunks_exact(keys)) {
            of_scores(simd, scores, weights, scale);
        }

        let rows = Rows { values: &scores, origins: &by_query, runs: &[0], run: keys };
        let places: Vec<usize> = (0..queries.max(keys)).map(|token| token * within).collect();
        plain(simd, &along::<S>(key, [keys, within, width]), &rows, self.of_query, &places[..queries]);
        let by_key: Vec<usize> = (0..keys).map(|row| row * queries).collect();
        let mut turned = Buffer::unwritten(queries * keys);
        for (values, of, output) in [(&weights, gradient, self.of_value), (&scores, query, self.of_key)] {
            turn(values, keys, 0..keys, &mut turned);
            let rows = Rows { values: &turned, origins: &by_key, runs: &[0], run: queries };
            plain(simd, &along::<S>(of, [queries, within, width]), &rows, output, &places[..keys]);
        }
    }
}

/// The product with nothing after it.
#[inline(always)]
fn plain<S: Simd>(simd: S, packed: &Packed, rows: &Rows, values: &mut [f32], places: &[usize]) {
    product(simd, packed, rows, &mut Target { values, places, activation: None, residual: None, slopes: None });
}

/// A head's numbers of tokens, to be multiplied with each token's: the outputs are the tokens.
#[inline(always)]
fn across<S: Simd>(values: &[f32], [tokens, within, width]: [usize; 3], scale: f32) -> Packed {
    Packed::new::<S>(&Filters {
        weights: values,
        strides: [1, width],
        depth: within,
        scale: &vec![scale; tokens],
        shift: &vec![0.0; tokens],
    })
}

/// A head's numbers of tokens, to be summed over the tokens.
#[inline(always)]
fn along<S: Simd>(values: &[f32], [tokens, within, width]: [usize; 3]) -> Packed {
    Packed::new::<S>(&Filters {
        weights: values,
        strides: [width, 1],
        depth: tokens,
        scale: &vec![1.0; within],
        shift: &vec![0.0; within],
    })
}

/// A row of the softmax's gradient becomes that of the products of query and keys.
#[inline(always)]
fn of_scores<S: Simd>(simd: S, gradient: &mut [f32], weights: &[f32], scale: f32) {
    let (gradients, gradient_end) = S::as_mut_simd_f32s(gradient);
    let (weights, weight_end) = S::as_simd_f32s(weights);
    let mut sum = simd.splat_f32s(0.0);
    for (gradient, weight) in gradients.iter().zip(weights) {
        sum = simd.mul_add_e_f32s(*gradient, *weight, sum);
    }
    let (last, weight) = (simd.partial_load_f32s(gradient_end), simd.partial_load_f32s(weight_end));
    sum = simd.mul_add_e_f32s(last, weight, sum);
    let sum = simd.splat_f32s(simd.reduce_sum_f32s(sum));
    let scale = simd.splat_f32s(scale);
    for (gradient, weight) in gradients.iter_mut().zip(weights) {
        *gradient = simd.mul_f32s(simd.mul_f32s(*weight, scale), simd.sub_f32s(*gradient, sum));
    }
    simd.partial_store_f32s(gradient_end, simd.mul_f32s(simd.mul_f32s(weight, scale), simd.sub_f32s(last, sum)));
}
