//! Matrix products: of tokens and a linear layer's weights, of pixels and a convolution's.
//!
//! A few rows by some vectors of outputs ([`panel_vectors`]) are summed at a time, in registers, and what follows the sum (factor, summand,
//! activation, residual) is done before they are stored. The weights are laid out for that once: the vectors of
//! each input side by side. Rows are read where they lie, in runs: a token is one, what a kernel meets of an image is one for each row
//! of the kernel. Of many rows and long sums a part is taken at a time that stays in a cache near the core
//! ([`ROWS`], [`DEPTH`]). Every sum runs over the inputs in their order, wherever its row falls in a tile.

use alloc::vec::Vec;
use core::ops::{DerefMut, Range};

use pulp::{Simd, WithSimd};

use super::buffers::Buffer;
use super::parallel::for_each_piece;
use super::vector::{activated, activated_with_slope};
use crate::ops::Activation;

/// Rows that are summed together at most: of this all pieces of work are multiples.
pub(in crate::ops) const TILE: usize = 8;
/// Rows that are multiplied with all weights before the next are.
const ROWS: usize = 96;
/// Inputs that are summed before those after them are.
const DEPTH: usize = 768;
/// Numbers of the vectors of WebAssembly, NEON and SSE.
const SHORT: usize = 4;
/// Floats of a cache line: a vector that lies across two of them takes two loads.
const LINE: usize = 16;

/// Numbers that begin with a cache line.
#[derive(Debug)]
pub(in crate::ops) struct Aligned<V = Vec<f32>> {
    values: V,
    start: usize,
}

/// Aligned numbers that are put back when dropped.
pub(in crate::ops) type Scratch = Aligned<Buffer>;

#[cfg(feature = "autodiff")]
impl Aligned {
    pub(in crate::ops) fn zeros(length: usize) -> Self {
        Self::within(alloc::vec![0.0; length + LINE])
    }
}

impl Scratch {
    /// So many numbers of any value: all of them have to be written.
    pub(in crate::ops) fn unwritten(length: usize) -> Self {
        Self::within(Buffer::unwritten(length + LINE))
    }
}

impl<V: DerefMut<Target = [f32]>> Aligned<V> {
    /// `values` without those before the first cache line, which are fewer than a line.
    fn within(values: V) -> Self {
        let start = values.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        Self { values, start }
    }

    pub(in crate::ops) fn values(&self) -> &[f32] {
        &self.values[self.start..]
    }

    pub(in crate::ops) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..]
    }
}

/// What rows are multiplied with, and what becomes of the sum: `sum * scale + shift`.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Filters<'a> {
    pub(in crate::ops) weights: &'a [f32],
    /// From an input's weight to that of the next, and from an output's to that of the next.
    pub(in crate::ops) strides: [usize; 2],
    /// Inputs that are summed for an output.
    pub(in crate::ops) depth: usize,
    /// `[outputs]`
    pub(in crate::ops) scale: &'a [f32],
    /// `[outputs]`
    pub(in crate::ops) shift: &'a [f32],
}

/// [`Filters`] laid out for [`product`] with vectors of one length.
#[derive(Debug)]
pub(in crate::ops) struct Packed {
    /// For each group of vectors of outputs: `[depth, vectors * lanes]`.
    panels: Scratch,
    depth: usize,
    outputs: usize,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

/// Lays weights out for the processor's vectors.
pub(in crate::ops) struct Packing<'a>(pub(in crate::ops) &'a Filters<'a>);

impl WithSimd for Packing<'_> {
    type Output = Packed;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Packed {
        Packed::new::<S>(self.0)
    }
}

impl Packed {
    pub(in crate::ops) fn new<S: Simd>(filters: &Filters) -> Self {
        let (depth, outputs, wide) = (filters.depth, filters.scale.len(), most_vectors::<S>() * S::F32_LANES);
        let length = depth * outputs.next_multiple_of(S::F32_LANES);
        let mut panels = Scratch::unwritten(length);
        for_each_piece(&mut panels.values_mut()[..length], depth * wide, |index, panel| {
            let first = index * wide;
            let wide = panel_vectors::<S>(outputs - first) * S::F32_LANES;
            let outputs = first..(first + wide).min(outputs);
            if outputs.len() < wide {
                panel.fill(0.0);
            }
            lay_out(filters, outputs, panel, wide);
        });
        let [scale, shift] = [filters.scale, filters.shift].map(|values| padded(values, S::F32_LANES));
        Self { panels, depth, outputs, scale, shift }
    }

    pub(in crate::ops) fn outputs(&self) -> usize {
        self.outputs
    }
}

/// Fills `panel`, `[depth, wide]`, with the weights of these outputs.
fn lay_out(filters: &Filters, outputs: Range<usize>, panel: &mut [f32], wide: usize) {
    /// Inputs that are read of one output and then of the next: few enough that what is written stays in the nearest cache.
    const INPUTS: usize = 64;
    let [by_input, by_output] = filters.strides;
    if by_output == 1 {
        for (input, row) in panel.chunks_exact_mut(wide).enumerate() {
            let weights = &filters.weights[input * by_input..][outputs.clone()];
            row[..weights.len()].copy_from_slice(weights);
        }
        return;
    }
    for (block, rows) in panel.chunks_mut(INPUTS * wide).enumerate() {
        for (place, output) in outputs.clone().enumerate() {
            let weights = &filters.weights[block * INPUTS * by_input + output * by_output..];
            for (row, weight) in rows.chunks_exact_mut(wide).zip(weights.iter().step_by(by_input)) {
                row[place] = *weight;
            }
        }
    }
}

/// The values with zeros after them, up to a multiple of `lanes`.
pub(in crate::ops) fn padded(values: &[f32], lanes: usize) -> Vec<f32> {
    let mut padded = values.to_vec();
    padded.resize(values.len().next_multiple_of(lanes), 0.0);
    padded
}

/// Vectors of the next panel where so many outputs are left.
#[inline(always)]
fn panel_vectors<S: Simd>(outputs: usize) -> usize {
    outputs.div_ceil(S::F32_LANES).min(most_vectors::<S>())
}

/// Vectors of outputs that are summed together at most. Of short ones more, with fewer rows: each number of a row is spread over a vector
/// first, and that counts as much as a sum.
#[inline(always)]
const fn most_vectors<S: Simd>() -> usize {
    if S::F32_LANES == SHORT { 4 } else { 2 }
}

/// Rows that are read.
pub(in crate::ops) struct Rows<'a> {
    pub(in crate::ops) values: &'a [f32],
    /// Where each row begins.
    pub(in crate::ops) origins: &'a [usize],
    /// How far from there the runs begin that are summed over, …
    pub(in crate::ops) runs: &'a [usize],
    /// … and how long each of them is.
    pub(in crate::ops) run: usize,
}

/// Where sums are stored.
pub(in crate::ops) struct Target<'a> {
    pub(in crate::ops) values: &'a mut [f32],
    /// Where each row begins.
    pub(in crate::ops) places: &'a [usize],
    pub(in crate::ops) activation: Option<Activation>,
    /// What is added at the end, in the places of `values`.
    pub(in crate::ops) residual: Option<&'a [f32]>,
    /// Where the activation's slope at each sum is stored as well, in the places of `values`.
    pub(in crate::ops) slopes: Option<&'a mut [f32]>,
}

/// Stores `activation(row · weights * scale + shift) + residual` for every row.
#[inline(always)]
pub(in crate::ops) fn product<S: Simd>(simd: S, packed: &Packed, rows: &Rows, target: &mut Target) {
    let (count, runs) = (rows.origins.len(), rows.runs.len());
    // Short runs are taken together, or else one after the other, and long ones in pieces.
    let (groups, pieces) = match packed.depth <= DEPTH {
        true => (1, 1),
        false => (runs, rows.run.div_ceil(DEPTH)),
    };
    let piece = rows.run.div_ceil(pieces);
    for first in (0..count).step_by(ROWS) {
        for step in 0..groups * pieces {
            let (group, start) = (step / pieces, step % pieces * piece);
            let part = Part {
                rows: first..(first + ROWS).min(count),
                runs: if groups == 1 { 0..runs } else { group..group + 1 },
                within: start..(start + piece).min(rows.run),
                is_first: step == 0,
                is_last: step + 1 == groups * pieces,
            };
            all_panels::<S>(simd, packed, rows, &part, target);
        }
    }
}

/// A part of the rows, of the runs, and of each of these.
#[derive(Clone)]
struct Part {
    rows: Range<usize>,
    runs: Range<usize>,
    within: Range<usize>,
    /// Whether sums begin and end with it.
    is_first: bool,
    is_last: bool,
}

#[inline(always)]
fn all_panels<S: Simd>(simd: S, packed: &Packed, rows: &Rows, part: &Part, target: &mut Target) {
    let mut rest = packed.panels.values();
    let mut first = 0;
    while first < packed.outputs {
        let vectors = panel_vectors::<S>(packed.outputs - first);
        let (weights, after) = rest.split_at(packed.depth * vectors * S::F32_LANES);
        let panel = Panel { packed, weights, first };
        // As many rows as leave all sums in registers, of which there are 16, or 32 where vectors are longest. Compilers of
        // WebAssembly keep few of these for themselves: 9 sums are fast there and 10 are not.
        match (S::F32_LANES, vectors) {
            (SHORT, 4) => panel.product::<S, 2, 4>(simd, rows, part, target),
            (SHORT, 3) => panel.product::<S, 3, 3>(simd, rows, part, target),
            (LINE, 2) => panel.product::<S, TILE, 2>(simd, rows, part, target),
            (LINE, _) => panel.product::<S, TILE, 1>(simd, rows, part, target),
            (_, 2) => panel.product::<S, 4, 2>(simd, rows, part, target),
            _ => panel.product::<S, 4, 1>(simd, rows, part, target),
        }
        rest = after;
        first += vectors * S::F32_LANES;
    }
}

/// The weights of a few vectors of outputs.
struct Panel<'a> {
    packed: &'a Packed,
    weights: &'a [f32],
    /// The first output.
    first: usize,
}

impl Panel<'_> {
    #[inline(always)]
    fn product<S: Simd, const P: usize, const V: usize>(&self, simd: S, rows: &Rows, part: &Part, target: &mut Target) {
        let mut tile = part.rows.start;
        while tile < part.rows.end {
            let count = P.min(part.rows.end - tile);
            let mut sums = [[simd.splat_f32s(0.0); V]; P];
            if !part.is_first {
                for (sums, place) in sums.iter_mut().zip(&target.places[tile..tile + count]) {
                    self.load::<S, V>(simd, sums, target.values, *place + self.first);
                }
            }
            for index in part.runs.clone() {
                let mut cut: [&[f32]; P] = [&[]; P];
                for (place, row) in cut.iter_mut().enumerate() {
                    // Beyond the last row it is summed again, and not stored.
                    let origin = rows.origins[tile + place.min(count - 1)];
                    *row = &rows.values[origin + rows.runs[index]..][part.within.clone()];
                }
                let weights = &self.weights[(index * rows.run + part.within.start) * V * S::F32_LANES..];
                sums = add_products::<S, P, V>(simd, sums, &cut, weights);
            }
            for (sums, place) in sums.iter().zip(&target.places[tile..tile + count]) {
                let place = *place + self.first;
                match part.is_last {
                    true => self.finish::<S, V>(simd, sums, target, place),
                    false => self.store::<S, V>(simd, sums, target.values, place),
                }
            }
            tile += P;
        }
    }

    /// How many numbers of vector `index` are outputs.
    #[inline(always)]
    fn used<S: Simd>(&self, index: usize) -> usize {
        S::F32_LANES.min(self.packed.outputs - self.first - index * S::F32_LANES)
    }

    #[inline(always)]
    fn load<S: Simd, const V: usize>(&self, simd: S, sums: &mut [S::f32s; V], values: &[f32], place: usize) {
        for (index, sum) in sums.iter_mut().enumerate() {
            let values = &values[place + index * S::F32_LANES..][..self.used::<S>(index)];
            *sum = simd.partial_load_f32s(values);
        }
    }

    #[inline(always)]
    fn store<S: Simd, const V: usize>(&self, simd: S, sums: &[S::f32s; V], values: &mut [f32], place: usize) {
        for (index, sum) in sums.iter().enumerate() {
            let values = &mut values[place + index * S::F32_LANES..][..self.used::<S>(index)];
            simd.partial_store_f32s(values, *sum);
        }
    }

    #[inline(always)]
    fn finish<S: Simd, const V: usize>(&self, simd: S, sums: &[S::f32s; V], target: &mut Target, place: usize) {
        let (scale, _) = S::as_simd_f32s(&self.packed.scale[self.first..]);
        let (shift, _) = S::as_simd_f32s(&self.packed.shift[self.first..]);
        for (index, sum) in sums.iter().enumerate() {
            let used = self.used::<S>(index);
            let place = place + index * S::F32_LANES..place + index * S::F32_LANES + used;
            let sum = simd.mul_add_e_f32s(*sum, scale[index], shift[index]);
            let mut value = match &mut target.slopes {
                None => activated(simd, sum, target.activation),
                Some(slopes) => {
                    let (value, slope) = activated_with_slope(simd, sum, target.activation);
                    store_vector(simd, &mut slopes[place.clone()], slope);
                    value
                }
            };
            if let Some(residual) = target.residual {
                let residual = &residual[place.clone()];
                let added = match used == S::F32_LANES {
                    true => S::as_simd_f32s(residual).0[0],
                    false => simd.partial_load_f32s(residual),
                };
                value = simd.add_f32s(value, added);
            }
            store_vector(simd, &mut target.values[place], value);
        }
    }
}

/// Stores as many numbers of the vector as there are places.
#[inline(always)]
fn store_vector<S: Simd>(simd: S, places: &mut [f32], vector: S::f32s) {
    match places.len() == S::F32_LANES {
        true => S::as_mut_simd_f32s(places).0[0] = vector,
        false => simd.partial_store_f32s(places, vector),
    }
}

/// `sums` and the products of each row with the weights `[row length, V vectors]`. They are passed by value: a compiler that sees only a
/// place to change writes it to memory at every input.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "with iterators the compiler keeps some of the sums in memory")]
fn add_products<S: Simd, const P: usize, const V: usize>(
    simd: S,
    mut sums: [[S::f32s; V]; P],
    rows: &[&[f32]; P],
    weights: &[f32],
) -> [[S::f32s; V]; P] {
    let depth = rows[0].len();
    // All of one length, as the compiler then knows.
    let mut cut: [&[f32]; P] = [&[]; P];
    for place in 0..P {
        cut[place] = &rows[place][..depth];
    }
    let (weights, _) = S::as_simd_f32s(weights).0.as_chunks::<V>();
    let weights = &weights[..depth];
    for input in 0..depth {
        let weight = weights[input];
        for place in 0..P {
            let x = simd.splat_f32s(cut[place][input]);
            for vector in 0..V {
                sums[place][vector] = simd.mul_add_e_f32s(x, weight[vector], sums[place][vector]);
            }
        }
    }
    sums
}
