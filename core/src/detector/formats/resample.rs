//! Grids of embeddings for another number of places, as PyTorch's `interpolate` makes them (`align_corners=False`).
//!
//! A grid is square, `[side · side, channels]`, row by row.

use alloc::vec;
use alloc::vec::Vec;

/// What one place of an axis takes of others: the first of them, and how much of each that follows.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

/// `mode="bilinear"` without antialiasing.
pub(super) fn bilinear(grid: &[f32], channels: usize, from: usize, to: usize) -> Vec<f32> {
    resample(grid, channels, from, &linear_taps(from, to))
}

/// `mode="bicubic"` with `antialias=True`.
pub(super) fn bicubic_antialiased(grid: &[f32], channels: usize, from: usize, to: usize) -> Vec<f32> {
    resample(grid, channels, from, &cubic_taps(from, to))
}

/// Two neighbours, by their distance.
fn linear_taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f32 / to as f32;
    let tap = |index: usize| {
        let place = ((index as f32 + 0.5) * scale - 0.5).max(0.0);
        let first = (place as usize).min(from - 1);
        let part = place - first as f32;
        let weights = if first + 1 < from { vec![1.0 - part, part] } else { vec![1.0] };
        Taps { first, weights }
    };
    (0..to).map(tap).collect()
}

/// Keys' cubic of a = -0.5 (Pillow's), as wide as the places are apart where there are fewer of them; what lies beyond the edge is
/// left out of the mean.
fn cubic_taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f32 / to as f32;
    let width = scale.max(1.0);
    let tap = |index: usize| {
        let centre = (index as f32 + 0.5) * scale;
        let first = (centre - 2.0 * width + 0.5).max(0.0) as usize;
        let end = ((centre + 2.0 * width + 0.5) as usize).min(from);
        let weights: Vec<f32> = (first..end).map(|place| cubic((place as f32 - centre + 0.5) / width)).collect();
        let sum: f32 = weights.iter().sum();
        Taps { first, weights: weights.into_iter().map(|weight| weight / sum).collect() }
    };
    (0..to).map(tap).collect()
}

fn cubic(x: f32) -> f32 {
    const A: f32 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

/// The same taps down and across.
fn resample(grid: &[f32], channels: usize, from: usize, taps: &[Taps]) -> Vec<f32> {
    let to = taps.len();
    let mut down = vec![0.0; to * from * channels];
    for (row, Taps { first, weights }) in down.chunks_exact_mut(from * channels).zip(taps) {
        for (weight, source) in weights.iter().zip(grid.chunks_exact(from * channels).skip(*first)) {
            row.iter_mut().zip(source).for_each(|(value, source)| *value += weight * source);
        }
    }
    let mut across = vec![0.0; to * to * channels];
    for (row, source) in across.chunks_exact_mut(to * channels).zip(down.chunks_exact(from * channels)) {
        for (place, Taps { first, weights }) in row.chunks_exact_mut(channels).zip(taps) {
            for (weight, source) in weights.iter().zip(source.chunks_exact(channels).skip(*first)) {
                place.iter_mut().zip(source).for_each(|(value, source)| *value += weight * source);
            }
        }
    }
    across
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_stays_and_a_slope_stays_one_away_from_the_edge() {
        let constant = [2.5; 36];
        for resampled in [bilinear(&constant, 1, 6, 9), bicubic_antialiased(&constant, 1, 6, 4)] {
            assert!(resampled.iter().all(|value| (value - 2.5).abs() < 1e-6));
        }
        let slope: Vec<f32> = (0..64).map(|index| (index % 8) as f32).collect();
        let found = bilinear(&slope, 1, 8, 16);
        assert!((2..14).all(|column| (found[column] - (column as f32 - 0.5) / 2.0).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn the_same_side_changes_nothing() {
        let grid: Vec<f32> = (0..50).map(|index| (index * 7 % 13) as f32).collect();
        for found in [bilinear(&grid, 2, 5, 5), bicubic_antialiased(&grid, 2, 5, 5)] {
            assert!(found.iter().zip(&grid).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }
}
