//! Depthwise convolutions row by row, of rows that lie in a ring with zeros at both ends of each.

use pulp::Simd;

use crate::ops::cpu::product::Aligned;

/// Places of a row that are computed together.
const PLACES: usize = 4;
/// Largest side of the kernel.
const LARGEST_SIDE: usize = 5;

/// Whether there is a body for a depthwise kernel of this side and stride.
pub(super) fn serves(side: usize, stride: usize) -> bool {
    matches!((side, stride), (3 | LARGEST_SIDE, 1 | 2))
}

/// The rows that were needed last, and one of zeros for those beyond the image.
pub(super) struct Ring {
    values: Aligned,
    rows: usize,
    /// Floats of a row.
    row: usize,
}

impl Ring {
    pub(super) fn new(rows: usize, row: usize) -> Self {
        Self { values: Aligned::zeros((rows + 1) * row), rows, row }
    }

    /// A row that was put in and not replaced since; zeros for `None`.
    fn row(&self, index: Option<usize>) -> &[f32] {
        let place = index.map_or(self.rows, |index| index % self.rows);
        &self.values.values()[place * self.row..][..self.row]
    }

    /// A row that was put in and not replaced since.
    pub(super) fn values_of(&self, index: usize) -> &[f32] {
        self.row(Some(index))
    }

    pub(super) fn row_mut(&mut self, index: usize) -> &mut [f32] {
        let place = index % self.rows;
        &mut self.values.values_mut()[place * self.row..][..self.row]
    }
}

/// Rows of a ring that a kernel's rows meet, from above; `None` beyond the image.
#[derive(Clone, Copy)]
pub(super) struct Met {
    rows: [Option<usize>; LARGEST_SIDE],
    side: usize,
}

impl Met {
    pub(super) fn new(side: usize, row: impl Fn(usize) -> Option<usize>) -> Self {
        let mut rows = [None; LARGEST_SIDE];
        rows.iter_mut().take(side).enumerate().for_each(|(tap, place)| *place = row(tap));
        Self { rows, side }
    }

    fn of<'a, const SIDE: usize>(&self, ring: &'a Ring) -> [&'a [f32]; SIDE] {
        core::array::from_fn(|tap| ring.row(self.rows[tap]))
    }
}

/// Fills `target` `[places, channels]` with a row of the convolution of the ring's rows, which have whole vectors; `taps` are
/// `[side, side, whole vectors]`.
#[inline(always)]
pub(super) fn filter_row<S: Simd>(
    simd: S,
    ring: &Ring,
    met: Met,
    stride: usize,
    taps: &[f32],
    channels: usize,
    target: &mut [f32],
) {
    let is_wide = target.len() >= PLACES * channels;
    match (met.side, stride, is_wide) {
        (3, 1, true) => filter::<S, PLACES, 3, 1>(simd, met.of(ring), taps, channels, target),
        (3, 1, false) => filter::<S, 1, 3, 1>(simd, met.of(ring), taps, channels, target),
        (3, _, true) => filter::<S, PLACES, 3, 2>(simd, met.of(ring), taps, channels, target),
        (3, _, false) => filter::<S, 1, 3, 2>(simd, met.of(ring), taps, channels, target),
        (_, 1, true) => filter::<S, PLACES, LARGEST_SIDE, 1>(simd, met.of(ring), taps, channels, target),
        (_, 1, false) => filter::<S, 1, LARGEST_SIDE, 1>(simd, met.of(ring), taps, channels, target),
        (_, _, true) => filter::<S, PLACES, LARGEST_SIDE, 2>(simd, met.of(ring), taps, channels, target),
        (_, _, false) => filter::<S, 1, LARGEST_SIDE, 2>(simd, met.of(ring), taps, channels, target),
    }
}

#[inline(always)]
fn filter<S: Simd, const P: usize, const SIDE: usize, const STRIDE: usize>(
    simd: S,
    rows: [&[f32]; SIDE],
    taps: &[f32],
    channels: usize,
    target: &mut [f32],
) {
    let vectors = channels.div_ceil(S::F32_LANES);
    let (taps, _) = S::as_simd_f32s(taps);
    let places = target.len() / channels;
    for block in 0..places.div_ceil(P) {
        // The last places may overlap those before, and become the same again.
        let first = (block * P).min(places - P);
        for vector in 0..vectors {
            let mut sums = [simd.splat_f32s(0.0); P];
            for (row, values) in rows.iter().enumerate() {
                let values = &S::as_simd_f32s(values).0[first * STRIDE * vectors + vector..];
                let values = &values[..((P - 1) * STRIDE + SIDE - 1) * vectors + 1];
                for tap in 0..SIDE {
                    let weight = taps[(row * SIDE + tap) * vectors + vector];
                    for (place, sum) in sums.iter_mut().enumerate() {
                        *sum = simd.mul_add_e_f32s(values[(place * STRIDE + tap) * vectors], weight, *sum);
                    }
                }
            }
            let start = vector * S::F32_LANES;
            let used = S::F32_LANES.min(channels - start);
            for (place, sum) in sums.iter().enumerate() {
                let target = &mut target[(first + place) * channels + start..][..used];
                if used == S::F32_LANES {
                    S::as_mut_simd_f32s(target).0[0] = *sum;
                } else {
                    simd.partial_store_f32s(target, *sum);
                }
            }
        }
    }
}

/// A row of the output's gradient, whose places are `stride` pixels apart.
#[derive(Clone, Copy)]
pub(super) struct GradientRow<'a> {
    /// From the first place on.
    pub(super) values: &'a [f32],
    pub(super) places: usize,
    pub(super) stride: usize,
}

/// Adds to `sums` `[side, side, whole vectors]` the products of a row of the output's gradient with the ring's rows it
/// meets.
#[inline(always)]
pub(super) fn add_tap_products<S: Simd>(simd: S, gradient: GradientRow, ring: &Ring, met: Met, sums: &mut [f32]) {
    let many = S::F32_LANES >= 16;
    match met.side {
        3 => {
            let length = sums.len() / 9;
            products::<S, 3, 3>(simd, gradient, met.of::<3>(ring), length, sums);
        }
        _ if many => {
            let length = sums.len() / (LARGEST_SIDE * LARGEST_SIDE);
            products::<S, LARGEST_SIDE, LARGEST_SIDE>(simd, gradient, met.of::<LARGEST_SIDE>(ring), length, sums);
        }
        _ => {
            let length = sums.len() / (LARGEST_SIDE * LARGEST_SIDE);
            let rows = met.of::<LARGEST_SIDE>(ring);
            for (row, sums) in rows.into_iter().zip(sums.chunks_exact_mut(LARGEST_SIDE * length)) {
                products::<S, 1, LARGEST_SIDE>(simd, gradient, [row], length, sums);
            }
        }
    }
}

/// Some rows of the kernel; `length` floats are a pixel.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "with iterators the compiler keeps some of the sums in memory")]
fn products<S: Simd, const ROWS: usize, const SIDE: usize>(
    simd: S,
    gradient: GradientRow,
    rows: [&[f32]; ROWS],
    length: usize,
    sums: &mut [f32],
) {
    let vectors = length / S::F32_LANES;
    let (gradients, _) = S::as_simd_f32s(gradient.values);
    let rows = rows.map(|row| S::as_simd_f32s(row).0);
    let (sums, _) = S::as_mut_simd_f32s(sums);
    let step = gradient.stride * vectors;
    for vector in 0..vectors {
        let mut tile = [[simd.splat_f32s(0.0); SIDE]; ROWS];
        for place in 0..gradient.places {
            let start = place * step + vector;
            let g = gradients[start];
            for row in 0..ROWS {
                let values = &rows[row][start..][..(SIDE - 1) * vectors + 1];
                for tap in 0..SIDE {
                    tile[row][tap] = simd.mul_add_e_f32s(g, values[tap * vectors], tile[row][tap]);
                }
            }
        }
        for row in 0..ROWS {
            for tap in 0..SIDE {
                let sum = &mut sums[(row * SIDE + tap) * vectors + vector];
                *sum = simd.add_f32s(*sum, tile[row][tap]);
            }
        }
    }
}
