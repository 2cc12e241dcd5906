//! Blurring, sharpening and loss of resolution. Beyond the edge an image goes on mirrored, the edge itself once.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmask_core::image::{Interpolation, RgbImage};

use super::draw::{Probability, Range};
use super::{level, rebuilt};

/// A Gaussian blur.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Blur {
    /// Chance that it is done (default 0.5).
    pub probability: Probability,
    /// Side of the kernel in pixels, an odd number (default 3 to 7); its deviation follows, see [`gaussian`].
    pub kernel: Range<1, 99>,
}

impl Default for Blur {
    fn default() -> Self {
        Self { probability: Probability(0.5), kernel: Range(3.0, 7.0) }
    }
}

impl Blur {
    /// Side of the kernel, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<usize> {
        let is_done = self.probability.draw(rng);
        let side = self.kernel.draw_odd(rng);
        is_done.then_some(side)
    }
}

/// Making the image smaller and large again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Downscale {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// How many times smaller (default 1.5 to 4).
    pub factor: Range<1, 32>,
}

impl Default for Downscale {
    fn default() -> Self {
        Self { probability: Probability(0.0), factor: Range(1.5, 4.0) }
    }
}

impl Downscale {
    /// How many times smaller, if at all.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<f64> {
        let is_done = self.probability.draw(rng);
        let factor = self.factor.draw(rng);
        is_done.then_some(factor)
    }
}

/// Sharpening, as cameras do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sharpen {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// How much of the sharpened image there is in the result, in hundredths (default 5 to 25).
    pub percent: Range<0, 100>,
}

impl Default for Sharpen {
    fn default() -> Self {
        Self { probability: Probability(0.0), percent: Range(5.0, 25.0) }
    }
}

impl Sharpen {
    /// The strength as [`sharpen`] takes it, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<f32> {
        let is_done = self.probability.draw(rng);
        let strength = self.percent.draw(rng) as f32 / 100.0;
        is_done.then_some(strength)
    }
}

/// The weights of a Gaussian on an odd number of pixels, which sum to 1.
///
/// Without a deviation it is `0.3·((side - 1)/2 - 1) + 0.8`, and the sides 3, 5 and 7 have OpenCV's binomial-like weights
/// (`getGaussianKernel`), since those are what recipes written for OpenCV mean.
pub(super) fn gaussian(side: usize, deviation: Option<f64>) -> Vec<f32> {
    match (side, deviation) {
        (3, None) => return vec![0.25, 0.5, 0.25],
        (5, None) => return vec![0.0625, 0.25, 0.375, 0.25, 0.0625],
        (7, None) => return vec![0.031_25, 0.109_375, 0.218_75, 0.281_25, 0.218_75, 0.109_375, 0.031_25],
        _ => (),
    }
    let radius = (side / 2) as f64;
    let deviation = deviation.unwrap_or(0.3 * (radius - 1.0) + 0.8);
    let weight = |place: usize| (-0.5 * ((place as f64 - radius) / deviation).powi(2)).exp();
    let weights: Vec<f64> = (0..side / 2 * 2 + 1).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

/// Blurs an image with a Gaussian on `side` pixels, see [`gaussian`].
pub(super) fn gaussian_blur(image: &RgbImage, side: usize) -> RgbImage {
    let values: Vec<f32> = image.pixels().iter().copied().map(f32::from).collect();
    let blurred = convolve(&values, image.width(), 3, &gaussian(side, None));
    rebuilt(image, blurred.into_iter().map(level).collect())
}

/// Convolves rows and columns with a symmetric kernel of odd length; `values` are `[height, width, channels]`.
pub(super) fn convolve(values: &[f32], width: usize, channels: usize, kernel: &[f32]) -> Vec<f32> {
    let length = width * channels;
    if values.is_empty() || length == 0 {
        return Vec::new();
    }
    let (height, radius) = (values.len() / length, kernel.len() / 2);
    let weights = &kernel[radius..];
    let mut across = vec![0.0; values.len()];
    let mut padded = vec![0.0; length + 2 * radius * channels];
    for (row, blurred) in values.chunks_exact(length).zip(across.chunks_exact_mut(length)) {
        for (place, pixel) in padded.chunks_exact_mut(channels).enumerate() {
            let column = mirrored(place as i64 - radius as i64, width);
            pixel.copy_from_slice(&row[column * channels..][..channels]);
        }
        let shifted = |steps: usize| &padded[steps * channels..][..length];
        sum_of_pairs(blurred, weights, |step| (shifted(radius - step), shifted(radius + step)));
    }
    let mut down = vec![0.0; values.len()];
    for (row, blurred) in down.chunks_exact_mut(length).enumerate() {
        let shifted = |steps: i64| &across[mirrored(row as i64 + steps, height) * length..][..length];
        sum_of_pairs(blurred, weights, |step| (shifted(-(step as i64)), shifted(step as i64)));
    }
    down
}

/// `sum = weights[0]·centre + Σ weights[step]·(before + after)`, where `pair(step)` gives the slices before and after.
fn sum_of_pairs<'a>(sum: &mut [f32], weights: &[f32], pair: impl Fn(usize) -> (&'a [f32], &'a [f32])) {
    for (step, &weight) in weights.iter().enumerate() {
        let (before, after) = pair(step);
        if step == 0 {
            sum.iter_mut().zip(before).for_each(|(sum, value)| *sum = weight * value);
        } else {
            let pairs = before.iter().zip(after);
            sum.iter_mut().zip(pairs).for_each(|(sum, (before, after))| *sum += weight * (before + after));
        }
    }
}

/// The place within `0..length` that `place` is the mirror image of: `-1` is 1, `length` is `length - 2`.
pub(super) fn mirrored(place: i64, length: usize) -> usize {
    let last = length as i64 - 1;
    if (0..=last).contains(&place) {
        return place as usize;
    }
    let period = (2 * last).max(1);
    let place = place.rem_euclid(period);
    place.min(period - place).min(last) as usize
}

/// Sharpens: `(1 - strength)·v + strength·(8·v - the 8 neighbours + lightness·v)` (albumentations' `Sharpen`).
pub(super) fn sharpen(image: &RgbImage, strength: f32, lightness: f32) -> RgbImage {
    let values: Vec<f32> = image.pixels().iter().copied().map(f32::from).collect();
    let sums = convolve(&values, image.width(), 3, &[1.0; 3]);
    let centre = 1.0 + strength * (8.0 + lightness);
    let sharpened = values.iter().zip(sums).map(|(value, sum)| level(centre * value - strength * sum));
    rebuilt(image, sharpened.collect())
}

/// The image with the detail it would have if it were `factor` times smaller: reduced with antialiasing, and enlarged
/// again, both bilinearly.
pub(super) fn downscale(image: &RgbImage, factor: f64) -> RgbImage {
    let [width, height] = reduced(image, factor);
    image.resize(width, height, Interpolation::Bilinear).resize(image.width(), image.height(), Interpolation::Bilinear)
}

/// Reduces by leaving pixels out, with the aliasing that brings, and enlarges bilinearly.
pub(super) fn decimate(image: &RgbImage, factor: f64) -> RgbImage {
    let [width, height] = reduced(image, factor);
    let (across, down) = (image.width() as f64 / width as f64, image.height() as f64 / height as f64);
    let columns: Vec<usize> = (0..width).map(|column| (column as f64 * across) as usize * 3).collect();
    let mut pixels = Vec::with_capacity(width * height * 3);
    for row in 0..height {
        let row = &image.pixels()[(row as f64 * down) as usize * image.width() * 3..];
        columns.iter().for_each(|column| pixels.extend_from_slice(&row[*column..*column + 3]));
    }
    match RgbImage::new(width, height, pixels) {
        Some(small) => small.resize(image.width(), image.height(), Interpolation::Bilinear),
        None => image.clone(),
    }
}

/// Width and height of an image made `factor` times smaller, at least a pixel each where there are any.
pub(super) fn reduced(image: &RgbImage, factor: f64) -> [usize; 2] {
    [image.width(), image.height()].map(|length| ((length as f64 / factor) as usize).max(1).min(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_beyond_the_edge_are_mirrored_without_repeating_it() {
        let places: Vec<usize> = (-5..9).map(|place| mirrored(place, 4)).collect();
        assert_eq!(places, [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert!((-3..4).all(|place| mirrored(place, 1) == 0));
    }

    #[test]
    fn a_blur_wider_than_the_image_leaves_one_colour_as_it_is() {
        let image = RgbImage::new(2, 3, vec![77; 18]).unwrap();
        assert_eq!(gaussian_blur(&image, 21), image);
        let empty = RgbImage::new(0, 0, Vec::new()).unwrap();
        assert_eq!(gaussian_blur(&empty, 3), empty);
        assert_eq!(decimate(&empty, 2.0), empty);
        assert_eq!(downscale(&empty, 2.0), empty);
    }

    #[test]
    fn decimating_stripes_keeps_one_of_them_and_downscaling_averages_them() {
        let stripes = (0..16 * 16).flat_map(|index| [if index % 2 == 0 { 0 } else { 200 }; 3]).collect();
        let image = RgbImage::new(16, 16, stripes).unwrap();
        assert!(decimate(&image, 2.0).pixels().iter().all(|level| *level == 0));
        assert!(downscale(&image, 4.0).pixels().iter().all(|level| (75..=125).contains(level)));
    }
}
