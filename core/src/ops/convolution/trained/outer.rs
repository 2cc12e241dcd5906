//! The gradient of a matrix of weights: for every two channels the sum of their product over the pixels.

use pulp::Simd;

/// Channels of one side that are multiplied with vectors of the other at a time, where registers are many and elsewhere.
const ROWS: usize = 8;
const FEW_ROWS: usize = 4;
/// Vectors of the other side that are summed together.
const VECTORS: usize = 2;

/// Pixels, and how many floats there are from one to the next.
#[derive(Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) values: &'a [f32],
    pub(super) pixel: usize,
}

/// Adds `leftᵀ · right` over `pixels` to `sums`, `[rows, right.pixel]`; the right pixels are whole vectors.
#[inline(always)]
pub(super) fn add_outer<S: Simd>(simd: S, left: Run, rows: usize, right: Run, pixels: usize, sums: &mut [f32]) {
    let vectors = right.pixel / S::F32_LANES;
    let mut vector = 0;
    while vector + VECTORS <= vectors {
        strip::<S, VECTORS>(simd, left, rows, right, pixels, vector, sums);
        vector += VECTORS;
    }
    if vector < vectors {
        strip::<S, 1>(simd, left, rows, right, pixels, vector, sums);
    }
}

/// All rows by a few vectors.
#[inline(always)]
fn strip<S: Simd, const V: usize>(
    simd: S,
    left: Run,
    rows: usize,
    right: Run,
    pixels: usize,
    vector: usize,
    sums: &mut [f32],
) {
    let mut row = 0;
    if S::F32_LANES >= 16 {
        while row + ROWS <= rows {
            tile::<S, ROWS, V>(simd, left, row, right, pixels, vector, sums);
            row += ROWS;
        }
    }
    while row + FEW_ROWS <= rows {
        tile::<S, FEW_ROWS, V>(simd, left, row, right, pixels, vector, sums);
        row += FEW_ROWS;
    }
    while row < rows {
        tile::<S, 1, V>(simd, left, row, right, pixels, vector, sums);
        row += 1;
    }
}

/// A few rows by a few vectors, summed in registers.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "with iterators the compiler keeps some of the sums in memory")]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    left: Run,
    row: usize,
    right: Run,
    pixels: usize,
    vector: usize,
    sums: &mut [f32],
) {
    let width = right.pixel / S::F32_LANES;
    let (rights, _) = S::as_simd_f32s(right.values);
    let mut tile = [[simd.splat_f32s(0.0); V]; R];
    for pixel in 0..pixels {
        let factors = &left.values[pixel * left.pixel + row..][..R];
        let values = &rights[pixel * width + vector..][..V];
        for place in 0..R {
            let factor = simd.splat_f32s(factors[place]);
            for index in 0..V {
                tile[place][index] = simd.mul_add_e_f32s(factor, values[index], tile[place][index]);
            }
        }
    }
    let (sums, _) = S::as_mut_simd_f32s(sums);
    for place in 0..R {
        for index in 0..V {
            let sum = &mut sums[(row + place) * width + vector + index];
            *sum = simd.add_f32s(*sum, tile[place][index]);
        }
    }
}
