//! Attention without a copy of anything but keys and values: each head's queries are read where they lie among the others', a
//! few of them are scored against all keys, and their softmax and the sum of values follow while the scores are in a cache
//! near the core.

use alloc::vec;
use alloc::vec::Vec;

use pulp::{Simd, WithSimd};

use super::buffers::{Buffer, unwritten};
use super::parallel::{cores, for_each_task, map_tasks, processor, shares};
use super::product::{Filters, Packed, Rows, TILE, Target, product};
use super::vector::exp;

/// Queries of a piece of work, at most.
const QUERIES: usize = 64;

/// What attention is computed of. All slices are row by row and without gaps.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Attention<'a> {
    /// `[batch, queries, width]`
    pub(in crate::ops) query: &'a [f32],
    /// `[batch, keys, width]`
    pub(in crate::ops) key: &'a [f32],
    /// `[batch, keys, width]`
    pub(in crate::ops) value: &'a [f32],
    /// `[1 or batch, heads, queries, keys]`
    pub(in crate::ops) bias: Option<&'a [f32]>,
    pub(in crate::ops) batch: usize,
    pub(in crate::ops) queries: usize,
    pub(in crate::ops) keys: usize,
    pub(in crate::ops) width: usize,
    pub(in crate::ops) heads: usize,
}

impl Attention<'_> {
    /// `[batch, queries, width]`
    pub(in crate::ops) fn forward(&self) -> Vec<f32> {
        let Self { batch, queries, width, heads, .. } = *self;
        let mut output = unwritten(batch * queries * width);
        if output.is_empty() {
            return output;
        }
        let processor = processor();
        let heads: Vec<Head> = (0..batch * heads).map(|index| Head { attention: self, index }).collect();
        let packed = map_tasks(processor, heads);
        let pieces = cores().div_ceil(batch).max(queries.div_ceil(QUERIES));
        let mut tasks = Vec::new();
        let mut rest = output.as_mut_slice();
        for image in 0..batch {
            for share in shares(queries, TILE, pieces) {
                let (output, after) = rest.split_at_mut(share.len() * width);
                rest = after;
                tasks.push(Piece { attention: self, packed: &packed, image, first: share.start, output });
            }
        }
        for_each_task(processor, tasks);
        output
    }

    pub(in crate::ops) fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// The biases of queries from `first` on in head `head` of image `image`.
    pub(in crate::ops) fn bias(&self, image: usize, head: usize, first: usize) -> Option<&[f32]> {
        let bias = self.bias?;
        let length = self.heads * self.queries * self.keys;
        let image = if bias.len() == length { 0 } else { image };
        Some(&bias[image * length + (head * self.queries + first) * self.keys..])
    }
}

/// One head of one image.
struct Head<'a> {
    attention: &'a Attention<'a>,
    index: usize,
}

/// Keys and values of a head, as products read them.
struct PackedHead {
    keys: Packed,
    values: Packed,
}

impl WithSimd for Head<'_> {
    type Output = PackedHead;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> PackedHead {
        let Attention { key, value, keys, width, heads, .. } = *self.attention;
        let within = self.attention.head_width();
        let start = self.index / heads * keys * width + self.index % heads * within;
        let scale = vec![1.0 / libm::sqrtf(within as f32); keys];
        let keys = Packed::new::<S>(&Filters {
            weights: &key[start..],
            strides: [1, width],
            depth: within,
            scale: &scale,
            shift: &vec![0.0; keys],
        });
        let values = Packed::new::<S>(&Filters {
            weights: &value[start..],
            strides: [width, 1],
            depth: self.attention.keys,
            scale: &vec![1.0; within],
            shift: &vec![0.0; within],
        });
        PackedHead { keys, values }
    }
}

/// A few queries of all heads of an image.
struct Piece<'a> {
    attention: &'a Attention<'a>,
    packed: &'a [PackedHead],
    image: usize,
    first: usize,
    output: &'a mut [f32],
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Attention { query, queries, keys, width, heads, .. } = *self.attention;
        let (count, within) = (self.output.len() / width, self.attention.head_width());
        let query = &query[(self.image * queries + self.first) * width..][..count * width];
        let mut scores = Buffer::unwritten(count * keys);
        let by_row: Vec<usize> = (0..count).map(|row| row * keys).collect();
        for head in 0..heads {
            let packed = &self.packed[self.image * heads + head];
            let places: Vec<usize> = (0..count).map(|row| row * width + head * within).collect();
            let rows = Rows { values: query, origins: &places, runs: &[0], run: within };
            let residual = self.attention.bias(self.image, head, self.first);
            product(
                simd,
                &packed.keys,
                &rows,
                &mut Target { values: &mut scores, places: &by_row, residual, activation: None, slopes: None },
            );
            for row in scores.chunks_exact_mut(keys) {
                softmax(simd, row);
            }
            let rows = Rows { values: &scores, origins: &by_row, runs: &[0], run: keys };
            let target =
                &mut Target { values: self.output, places: &places, residual: None, activation: None, slopes: None };
            product(simd, &packed.values, &rows, target);
        }
    }
}

/// Numbers whose exponentials are divided by the sum of these.
#[inline(always)]
pub(in crate::ops) fn softmax<S: Simd>(simd: S, row: &mut [f32]) {
    let (vectors, end) = S::as_mut_simd_f32s(row);
    let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
    for x in &*vectors {
        largest = simd.max_f32s(largest, *x);
    }
    let last = end.iter().fold(simd.reduce_max_f32s(largest), |largest, x| largest.max(*x));
    let largest = simd.splat_f32s(last);
    let mut sum = simd.splat_f32s(0.0);
    for x in &mut *vectors {
        *x = exp(simd, simd.sub_f32s(*x, largest));
        sum = simd.add_f32s(sum, *x);
    }
    let mut total = simd.reduce_sum_f32s(sum);
    if !end.is_empty() {
        let x = exp(simd, simd.sub_f32s(simd.partial_load_f32s(end), largest));
        simd.partial_store_f32s(end, x);
        total += end.iter().sum::<f32>();
    }
    let factor = 1.0 / total;
    for x in &mut *vectors {
        *x = simd.mul_f32s(*x, simd.splat_f32s(factor));
    }
    end.iter_mut().for_each(|x| *x *= factor);
}
