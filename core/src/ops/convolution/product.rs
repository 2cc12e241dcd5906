//! Products of pixels and a convolution's weights.
//!
//! A few pixels by two vectors of output channels are summed at a time, in registers, and what follows the sum (factor,
//! summand, clamp, residual) is done before they are stored. The weights are laid out for that once: the two vectors of
//! each input side by side. Every sum runs over the inputs in their order, wherever its pixel falls in a tile.

use alloc::vec;
use alloc::vec::Vec;

use pulp::Simd;

use super::kernels::Bounds;

/// Vectors of output channels that are summed together.
const VECTORS: usize = 2;
/// Pixels that are summed together, where registers are wide and many, and elsewhere.
const PIXELS: usize = 8;
const FEW_PIXELS: usize = 4;
/// Floats of a cache line: a vector that lies across two of them takes two loads.
const LINE: usize = 16;

/// Zeros that begin with a cache line.
#[derive(Debug)]
pub(super) struct Aligned {
    values: Vec<f32>,
    start: usize,
}

impl Aligned {
    pub(super) fn zeros(length: usize) -> Self {
        let values = vec![0.0; length + LINE];
        let start = values.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        Self { values, start }
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values[self.start..]
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..]
    }
}

/// What a convolution multiplies with, and what it does with the sum: `clamp(sum * scale + shift)`.
#[derive(Clone, Copy)]
pub(super) struct Filters<'a> {
    pub(super) weights: &'a [f32],
    /// From an input's weight to that of the next, and from an output's to that of the next.
    pub(super) strides: [usize; 2],
    /// Inputs that are summed for an output.
    pub(super) depth: usize,
    /// `[outputs]`
    pub(super) scale: &'a [f32],
    /// `[outputs]`
    pub(super) shift: &'a [f32],
    pub(super) bounds: Option<Bounds>,
}

/// [`Filters`] laid out for [`product`] with vectors of one length.
#[derive(Debug)]
pub(super) struct Packed {
    /// For every two vectors of outputs, and for the last one if it has no other: `[depth, vectors * lanes]`.
    panels: Aligned,
    depth: usize,
    outputs: usize,
    scale: Vec<f32>,
    shift: Vec<f32>,
    bounds: Option<Bounds>,
}

impl Packed {
    #[inline(always)]
    pub(super) fn new<S: Simd>(filters: &Filters) -> Self {
        let (depth, outputs) = (filters.depth, filters.scale.len());
        let mut panels = Aligned::zeros(depth * outputs.next_multiple_of(S::F32_LANES));
        let mut rest = panels.values_mut();
        let mut first = 0;
        while first < outputs {
            let wide = panel_vectors::<S>(outputs - first) * S::F32_LANES;
            let (panel, after) = rest.split_at_mut(depth * wide);
            let used = wide.min(outputs - first);
            for (input, row) in panel.chunks_exact_mut(wide).enumerate() {
                let [by_input, by_output] = filters.strides;
                let weights = &filters.weights[input * by_input + first * by_output..];
                if by_output == 1 {
                    row[..used].copy_from_slice(&weights[..used]);
                } else {
                    let weights = weights.iter().step_by(by_output);
                    row[..used].iter_mut().zip(weights).for_each(|(place, weight)| *place = *weight);
                }
            }
            rest = after;
            first += wide;
        }
        let [scale, shift] = [filters.scale, filters.shift].map(|values| padded(values, S::F32_LANES));
        Self { panels, depth, outputs, scale, shift, bounds: filters.bounds }
    }

    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }
}

/// The values with zeros after them, up to a multiple of `lanes`.
pub(super) fn padded(values: &[f32], lanes: usize) -> Vec<f32> {
    let mut padded = values.to_vec();
    padded.resize(values.len().next_multiple_of(lanes), 0.0);
    padded
}

/// Vectors of the next panel where so many outputs are left.
#[inline(always)]
fn panel_vectors<S: Simd>(outputs: usize) -> usize {
    outputs.div_ceil(S::F32_LANES).min(VECTORS)
}

/// Where pixels are read.
pub(super) struct Pixels<'a> {
    pub(super) values: &'a [f32],
    /// Where each pixel begins.
    pub(super) origins: &'a [usize],
    /// How far from there the runs begin that are summed over, …
    pub(super) runs: &'a [usize],
    /// … and how long each of them is.
    pub(super) run: usize,
}

/// Where sums are stored.
pub(super) struct Target<'a> {
    pub(super) values: &'a mut [f32],
    /// Where each pixel begins.
    pub(super) places: &'a [usize],
    /// What is added at the end, in the places of `values`.
    pub(super) residual: Option<&'a [f32]>,
}

/// Stores `clamp(pixel · weights * scale + shift) + residual` for every pixel.
#[inline(always)]
pub(super) fn product<S: Simd>(simd: S, packed: &Packed, pixels: &Pixels, target: &mut Target) {
    if S::F32_LANES >= LINE {
        all_panels::<S, PIXELS>(simd, packed, pixels, target);
    } else {
        all_panels::<S, FEW_PIXELS>(simd, packed, pixels, target);
    }
}

#[inline(always)]
fn all_panels<S: Simd, const P: usize>(simd: S, packed: &Packed, pixels: &Pixels, target: &mut Target) {
    let mut rest = packed.panels.values();
    let mut first = 0;
    while first < packed.outputs {
        let vectors = panel_vectors::<S>(packed.outputs - first);
        let (weights, after) = rest.split_at(packed.depth * vectors * S::F32_LANES);
        let panel = Panel { packed, weights, first };
        match vectors {
            VECTORS => panel.product::<S, P, VECTORS>(simd, pixels, target),
            _ => panel.product::<S, P, 1>(simd, pixels, target),
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
    fn product<S: Simd, const P: usize, const V: usize>(&self, simd: S, pixels: &Pixels, target: &mut Target) {
        let count = pixels.origins.len();
        let mut pixel = 0;
        while pixel < count {
            let mut sums = [[simd.splat_f32s(0.0); V]; P];
            for (index, run) in pixels.runs.iter().enumerate() {
                let mut rows: [&[f32]; P] = [&[]; P];
                for (place, row) in rows.iter_mut().enumerate() {
                    // Beyond the last pixel it is summed again, and not stored.
                    let origin = pixels.origins[(pixel + place).min(count - 1)];
                    *row = &pixels.values[origin + run..][..pixels.run];
                }
                let weights = &self.weights[index * pixels.run * V * S::F32_LANES..];
                add_products::<S, P, V>(simd, &mut sums, &rows, weights);
            }
            for (sums, place) in sums.iter().zip(&target.places[pixel..]) {
                self.store::<S, V>(simd, sums, target.values, *place + self.first, target.residual);
            }
            pixel += P;
        }
    }

    #[inline(always)]
    fn store<S: Simd, const V: usize>(
        &self,
        simd: S,
        sums: &[S::f32s; V],
        values: &mut [f32],
        place: usize,
        residual: Option<&[f32]>,
    ) {
        let (scale, _) = S::as_simd_f32s(&self.packed.scale[self.first..]);
        let (shift, _) = S::as_simd_f32s(&self.packed.shift[self.first..]);
        for (index, sum) in sums.iter().enumerate() {
            let mut value = finished(simd, *sum, scale[index], shift[index], self.packed.bounds);
            let start = index * S::F32_LANES;
            let used = S::F32_LANES.min(self.packed.outputs - self.first - start);
            let place = place + start..place + start + used;
            if used == S::F32_LANES {
                if let Some(residual) = residual {
                    value = simd.add_f32s(value, S::as_simd_f32s(&residual[place.clone()]).0[0]);
                }
                S::as_mut_simd_f32s(&mut values[place]).0[0] = value;
            } else {
                if let Some(residual) = residual {
                    value = simd.add_f32s(value, simd.partial_load_f32s(&residual[place.clone()]));
                }
                simd.partial_store_f32s(&mut values[place], value);
            }
        }
    }
}

/// Adds to `sums` the products of each row with the weights `[row length, V vectors]`.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "with iterators the compiler keeps some of the sums in memory")]
fn add_products<S: Simd, const P: usize, const V: usize>(
    simd: S,
    sums: &mut [[S::f32s; V]; P],
    rows: &[&[f32]; P],
    weights: &[f32],
) {
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
}

/// `clamp(sum * scale + shift)`; NaN stays NaN, since it is neither less nor more than a bound.
#[inline(always)]
pub(super) fn finished<S: Simd>(
    simd: S,
    sum: S::f32s,
    scale: S::f32s,
    shift: S::f32s,
    bounds: Option<Bounds>,
) -> S::f32s {
    let value = simd.mul_add_e_f32s(sum, scale, shift);
    let Some((low, high)) = bounds else { return value };
    let (low, high) = (simd.splat_f32s(low), simd.splat_f32s(high));
    let value = simd.select_f32s(simd.less_than_f32s(value, low), low, value);
    simd.select_f32s(simd.less_than_f32s(high, value), high, value)
}
