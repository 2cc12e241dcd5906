//! How much fine detail a face shows, in parts of its coarser detail: what enlarging takes away and nothing brings back.

use alloc::vec;
use alloc::vec::Vec;
use core::f64::consts::PI;

use super::quality::{inner, luma};
use crate::image::{Interpolation, RgbImage};

/// Side of the input that detectors look at. Detail that a crop loses where it is brought to this size was never seen,
/// so what a larger face lacks of it weakens nothing.
const INPUT_SIDE: usize = 224;
/// Fewer pixels than this across the measured part say nothing about frequencies.
const LEAST_SIDE: usize = 16;

/// The bounds of coarser and of fine detail, in parts of the highest frequency that pixels can hold. A picture enlarged
/// three times holds nothing beyond the second.
const COARSE: f64 = 1.0 / 8.0;
const FINE: f64 = 1.0 / 3.0;

/// Energy of the luma beyond a third of the highest frequency, in parts of that from an eighth to a third, in the middle
/// of an aligned crop. `frame_side` is the side of the crop in pixels of the frame it was cut from: a face smaller than
/// its crop is measured at its own size, so that only what its pixels could hold is asked for.
///
/// Frequencies are those of the discrete cosine transform along both axes, under a Hann window; the higher of the two
/// counts. Infinite for a crop with nothing coarse to compare with, or too small to tell.
pub fn fineness(crop: &RgbImage, frame_side: f32) -> f32 {
    // Casting sends NaN and negative numbers to 0 and large ones to the largest.
    let side = crop.width().min(crop.height()).min(INPUT_SIDE).min(libm::roundf(frame_side) as usize);
    let measured = inner(side);
    if measured.len() < LEAST_SIDE {
        return f32::INFINITY;
    }
    let small = crop.resize(side, side, Interpolation::Bilinear);
    let (pixels, _) = small.pixels().as_chunks::<3>();
    let rows = measured.clone().map(|row| &pixels[row * side..][measured.clone()]);
    let levels: Vec<f32> = rows.flatten().map(luma).collect();
    Energies::of(&windowed(levels, measured.len()), measured.len()).fineness()
}

/// The square of `side` levels less their mean, falling to nothing at its edges.
fn windowed(mut levels: Vec<f32>, side: usize) -> Vec<f32> {
    let mean = levels.iter().map(|level| f64::from(*level)).sum::<f64>() / levels.len() as f64;
    let window: Vec<f32> =
        (1..=side).map(|place| (0.5 - 0.5 * libm::cos(2.0 * PI * place as f64 / (side + 1) as f64)) as f32).collect();
    for (row, down) in levels.chunks_exact_mut(side).zip(&window) {
        row.iter_mut().zip(&window).for_each(|(level, across)| *level = (*level - mean as f32) * across * down);
    }
    levels
}

/// Energies by frequency.
struct Energies {
    coarse: f64,
    fine: f64,
}

impl Energies {
    /// Those of a square of `side` levels. The transform keeps the energy, so that what is not below [`FINE`] is beyond.
    fn of(levels: &[f32], side: usize) -> Self {
        let kept = libm::ceil(side as f64 * FINE) as usize;
        let basis = cosines(side, kept);
        // First along rows, `[side, kept]`, then along columns, `[kept, kept]`.
        let mut along_rows = vec![0.0f32; side * kept];
        for (row, sums) in levels.chunks_exact(side).zip(along_rows.chunks_exact_mut(kept)) {
            add_products(row, &basis, sums);
        }
        let mut coefficients = vec![0.0f32; kept * kept];
        for (line, cosines) in along_rows.chunks_exact(kept).zip(basis.chunks_exact(kept)) {
            for (cosine, sums) in cosines.iter().zip(coefficients.chunks_exact_mut(kept)) {
                sums.iter_mut().zip(line).for_each(|(sum, value)| *sum += cosine * value);
            }
        }
        let square = |value: &f32| f64::from(*value) * f64::from(*value);
        let total: f64 = levels.iter().map(square).sum();
        let (mut lowest, mut coarse) = (0.0, 0.0);
        for (index, coefficient) in coefficients.iter().enumerate() {
            let frequency = (index / kept).max(index % kept) as f64 / side as f64;
            *(if frequency < COARSE { &mut lowest } else { &mut coarse }) += square(coefficient);
        }
        Self { coarse, fine: (total - lowest - coarse).max(0.0) }
    }

    fn fineness(&self) -> f32 {
        // Less than what rounding the levels leaves of a crop of one colour.
        if self.coarse > 1e-3 { (self.fine / self.coarse) as f32 } else { f32::INFINITY }
    }
}

/// Adds each level times its line of the basis.
fn add_products(levels: &[f32], basis: &[f32], sums: &mut [f32]) {
    for (level, cosines) in levels.iter().zip(basis.chunks_exact(sums.len())) {
        sums.iter_mut().zip(cosines).for_each(|(sum, cosine)| *sum += level * cosine);
    }
}

/// The first `kept` functions of the orthonormal cosine transform (type II) of `side` values, `[side, kept]`.
fn cosines(side: usize, kept: usize) -> Vec<f32> {
    let count = side as f64;
    let function = |place: usize, index: usize| {
        let scale = libm::sqrt(if index == 0 { 1.0 } else { 2.0 } / count);
        (scale * libm::cos(PI * (place as f64 + 0.5) * index as f64 / count)) as f32
    };
    (0..side).flat_map(|place| (0..kept).map(move |index| function(place, index))).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn image(side: usize, level: impl Fn(usize, usize) -> f64) -> RgbImage {
        let pixels = (0..side * side).flat_map(|i| [level(i % side, i / side) as u8; 3]).collect();
        RgbImage::new(side, side, pixels).unwrap()
    }

    /// Noise, which has all frequencies alike.
    fn noise(side: usize) -> RgbImage {
        image(side, |x, y| ((x * 7919 + y * 104_729 + x * y * 31) % 251) as f64)
    }

    /// Noise whose coarser octaves are the stronger ones, as in pictures of things.
    pub(crate) fn natural(side: usize) -> RgbImage {
        let octaves = [1, 2, 4, 8, 16].map(|size| noise(side / size).resize(side, side, Interpolation::Bilinear));
        let level = |index: usize| octaves.iter().fold(0, |sum, image| sum / 2 + u32::from(image.pixels()[index]) / 2);
        RgbImage::new(side, side, (0..side * side * 3).map(|index| level(index) as u8).collect()).unwrap()
    }

    /// Waves across of this many pixels each.
    fn waves(length: f64) -> RgbImage {
        image(224, |x, _| 128.0 + 60.0 * libm::sin(2.0 * PI * x as f64 / length))
    }

    #[test]
    fn all_frequencies_alike_give_the_ratio_of_the_bands_areas() {
        // Beyond a third: 1 - 1/9; from an eighth to a third: 1/9 - 1/64.
        let expected = (1.0 - 1.0 / 9.0) / (1.0 / 9.0 - 1.0 / 64.0);
        let found = f64::from(fineness(&noise(224), 224.0));
        assert!((found / expected - 1.0).abs() < 0.15, "{found} is not {expected}");
    }

    #[test]
    fn waves_count_by_their_length() {
        // The highest frequency has waves of two pixels, so the bounds are waves of 16 and of 6 pixels.
        for (length, is_fine) in [(3.0, true), (5.0, true), (7.0, false), (12.0, false)] {
            let found = fineness(&waves(length), 224.0);
            assert!(if is_fine { found > 10.0 } else { found < 0.1 }, "{length}: {found}");
        }
    }

    #[test]
    fn enlarging_takes_the_fine_detail_away_and_a_face_is_measured_at_its_own_size() {
        let whole = natural(224);
        let enlarged = whole.resize(75, 75, Interpolation::Bilinear).resize(224, 224, Interpolation::Bicubic);
        let found = [fineness(&whole, 224.0), fineness(&enlarged, 224.0), fineness(&enlarged, 75.0)];
        // The same crop of a face that has only 75 pixels in its frame lacks nothing.
        assert!(found[0] > 0.1 && found[1] < 0.025 && found[2] > 0.04, "{found:?}");
    }

    #[test]
    fn detail_that_the_detectors_input_has_no_room_for_is_not_asked_for() {
        let enlarged = natural(300).resize(900, 900, Interpolation::Bicubic);
        assert!(fineness(&enlarged, 900.0) > 0.06, "{}", fineness(&enlarged, 900.0));
    }

    #[test]
    fn one_colour_few_pixels_and_none_tell_nothing() {
        for crop in [image(224, |_, _| 90.0), RgbImage::new(0, 0, vec![]).unwrap(), noise(20)] {
            assert_eq!(fineness(&crop, 224.0), f32::INFINITY);
        }
        for side in [0.0, -5.0, f32::NAN] {
            assert_eq!(fineness(&noise(224), side), f32::INFINITY);
        }
    }
}
