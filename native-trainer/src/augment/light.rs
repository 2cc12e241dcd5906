//! Light and what a sensor makes of it.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use unmask_core::image::RgbImage;

use super::colour::{looked_up, table};
use super::draw::{Limit, Probability, Range};
use super::{level, rebuilt};

/// A power law over the levels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gamma {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// How many times the exponent is larger or smaller than 1 at most, both equally likely (default 2).
    pub factor: Range<1, 8>,
}

impl Default for Gamma {
    fn default() -> Self {
        Self { probability: Probability(0.0), factor: Range(1.0, 2.0) }
    }
}

impl Gamma {
    /// The exponent, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<f32> {
        let is_done = self.probability.draw(rng);
        let factor = self.factor.draw(rng) as f32;
        let darkens = rng.random::<bool>();
        is_done.then_some(if darkens { factor } else { 1.0 / factor })
    }
}

/// `255·(v / 255)^exponent` (albumentations' `RandomGamma`, whose limits are in hundredths): darker above 1.
pub(super) fn gamma(image: &RgbImage, exponent: f32) -> RgbImage {
    looked_up(image, &[table(|value| 255.0 * (value / 255.0).powf(exponent)); 3])
}

/// Noise of a sensor: each level of each pixel for itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Noise {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// Standard deviation in levels (default 2 to 12).
    pub deviation: Range<0, 128>,
}

impl Default for Noise {
    fn default() -> Self {
        Self { probability: Probability(0.0), deviation: Range(2.0, 12.0) }
    }
}

impl Noise {
    /// The deviation and what the noise is drawn from, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<(f32, u64)> {
        let is_done = self.probability.draw(rng);
        let deviation = self.deviation.draw(rng) as f32;
        let seed = rng.random();
        is_done.then_some((deviation, seed))
    }
}

/// Adds normally distributed numbers of this standard deviation, the same for the same seed and size.
pub(super) fn noise(image: &RgbImage, (deviation, seed): (f32, u64)) -> RgbImage {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut noisy = |value: &u8| {
        let drawn: f32 = StandardNormal.sample(&mut rng);
        level(f32::from(*value) + deviation * drawn)
    };
    rebuilt(image, image.pixels().iter().map(&mut noisy).collect())
}

/// Too little light: darker, with noise where it is darkest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LowLight {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// The exponent of the power law that darkens (default 1.1 to 1.7).
    pub gamma: Range<1, 8>,
    /// Standard deviation of the noise in black, in levels (default 3 to 10).
    pub deviation: Range<0, 128>,
}

impl Default for LowLight {
    fn default() -> Self {
        Self { probability: Probability(0.0), gamma: Range(1.1, 1.7), deviation: Range(3.0, 10.0) }
    }
}

impl LowLight {
    /// Exponent, deviation, and what the noise is drawn from, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<(f32, f32, u64)> {
        let is_done = self.probability.draw(rng);
        let (exponent, deviation) = (self.gamma.draw(rng) as f32, self.deviation.draw(rng) as f32);
        let seed = rng.random();
        is_done.then_some((exponent, deviation, seed))
    }
}

/// How strong the noise of a single channel is beside that which all three share.
const NOISE_OF_COLOUR: f32 = 0.5;

/// Darkens as [`gamma`] does and adds normally distributed noise, of `deviation` levels in black and less in proportion to the
/// light that is left: one number for the three channels of a pixel, and one of half that deviation for each.
pub(super) fn low_light(image: &RgbImage, (exponent, deviation, seed): (f32, f32, u64)) -> RgbImage {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dark = gamma(image, exponent);
    let mut pixels = dark.pixels().to_vec();
    for colour in pixels.as_chunks_mut::<3>().0 {
        let shared: f32 = StandardNormal.sample(&mut rng);
        for value in colour {
            let own: f32 = StandardNormal.sample(&mut rng);
            let before = f32::from(*value);
            let strength = deviation * (1.0 - before / 255.0);
            *value = level(before + strength * (shared + NOISE_OF_COLOUR * own));
        }
    }
    rebuilt(image, pixels)
}

/// Corners that are darker than the middle.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vignette {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// How much of the light the darkest corner lacks, in hundredths (default 10 to 45).
    pub percent: Range<0, 100>,
    /// How far the brightest place is from the image's centre at most, across and down each, in parts of the sides: a face is
    /// seldom in the middle of its frame (default 0.5).
    pub centre: Limit<4>,
}

impl Default for Vignette {
    fn default() -> Self {
        Self { probability: Probability(0.0), percent: Range(10.0, 45.0), centre: Limit(0.5) }
    }
}

impl Vignette {
    /// Strength and centre as [`vignette`] takes them, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<(f32, [f32; 2])> {
        let is_done = self.probability.draw(rng);
        let strength = self.percent.draw(rng) as f32 / 100.0;
        let centre = [self.centre.draw(rng) as f32, self.centre.draw(rng) as f32];
        is_done.then_some((strength, centre))
    }
}

/// `v·(1 - strength·d²/D²)`, where d is a pixel's distance from the brightest place and D that of the farthest corner. `centre`
/// is the brightest place's distance to the right and down from the image's centre, in parts of its sides.
pub(super) fn vignette(image: &RgbImage, (strength, centre): (f32, [f32; 2])) -> RgbImage {
    let squared = |length: usize, centre: f32| -> Vec<f32> {
        let middle = (length as f32 - 1.0) / 2.0 + centre * length as f32;
        (0..length).map(|place| (place as f32 - middle).powi(2)).collect()
    };
    let (across, down) = (squared(image.width(), centre[0]), squared(image.height(), centre[1]));
    let farthest = |squared: &[f32]| squared.iter().fold(0.0f32, |most, value| most.max(*value));
    // An image of one pixel is its own farthest corner.
    let part = strength / (farthest(&across) + farthest(&down)).max(f32::MIN_POSITIVE);
    let mut pixels = image.pixels().to_vec();
    for (row, down) in pixels.chunks_exact_mut(image.width().max(1) * 3).zip(&down) {
        for (colour, across) in row.as_chunks_mut::<3>().0.iter_mut().zip(&across) {
            let light = 1.0 - part * (across + down);
            colour.iter_mut().for_each(|value| *value = level(f32::from(*value) * light));
        }
    }
    rebuilt(image, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(value: u8) -> RgbImage {
        RgbImage::new(64, 64, vec![value; 64 * 64 * 3]).unwrap()
    }

    #[test]
    fn an_exponent_of_two_squares_parts_of_the_range_and_one_changes_nothing() {
        assert_eq!(gamma(&grey(128), 2.0), grey(64));
        assert_eq!(gamma(&grey(64), 0.5), grey(128));
        assert_eq!(gamma(&grey(77), 1.0), grey(77));
        assert_eq!((gamma(&grey(0), 2.0), gamma(&grey(255), 0.5)), (grey(0), grey(255)));
    }

    #[test]
    fn noise_has_the_deviation_asked_for_no_mean_and_is_the_same_for_a_seed() {
        let noisy = noise(&grey(128), (8.0, 3));
        let apart: Vec<f64> = noisy.pixels().iter().map(|value| f64::from(*value) - 128.0).collect();
        let mean = apart.iter().sum::<f64>() / apart.len() as f64;
        let deviation = (apart.iter().map(|value| value * value).sum::<f64>() / apart.len() as f64).sqrt();
        assert!(mean.abs() < 0.3 && (deviation - 8.0).abs() < 0.3, "{mean} {deviation}");
        assert_eq!(noise(&grey(128), (8.0, 3)), noisy);
        assert_ne!(noise(&grey(128), (8.0, 4)), noisy);
    }

    #[test]
    fn exponents_darken_as_often_as_they_lighten() {
        let recipe = Gamma { probability: Probability(1.0), factor: Range(1.5, 2.0) };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let drawn: Vec<f32> = (0..1000).filter_map(|_| recipe.draw(&mut rng)).collect();
        let darkening = drawn.iter().filter(|exponent| **exponent > 1.0).count();
        assert!((450..550).contains(&darkening), "{darkening}");
        assert!(drawn.iter().all(|e| (0.5..=1.0 / 1.5 + 1e-6).contains(e) || (1.5..=2.0).contains(e)));
    }

    #[test]
    fn low_light_darkens_and_its_noise_grows_towards_black() {
        let noise_of = |value: u8| {
            let noisy = low_light(&grey(value), (2.0, 8.0, 5));
            let dark = f64::from(gamma(&grey(value), 2.0).pixels()[0]);
            let apart: Vec<f64> = noisy.pixels().iter().map(|value| f64::from(*value) - dark).collect();
            let mean = apart.iter().sum::<f64>() / apart.len() as f64;
            (mean, (apart.iter().map(|value| value * value).sum::<f64>() / apart.len() as f64).sqrt(), dark)
        };
        for value in [128, 180, 230] {
            let (mean, deviation, dark) = noise_of(value);
            let expected = 8.0 * (1.0 - dark / 255.0) * 1.25f64.sqrt();
            assert!(mean.abs() < 0.4 && (deviation - expected).abs() < 0.4, "{value}: {mean} {deviation} {expected}");
        }
        assert_eq!(low_light(&grey(77), (1.0, 0.0, 5)), grey(77));
        assert_ne!(low_light(&grey(77), (1.0, 8.0, 5)), low_light(&grey(77), (1.0, 8.0, 6)));
    }

    #[test]
    fn a_vignette_takes_its_share_of_the_farthest_corner_and_nothing_of_the_brightest_place() {
        let image = RgbImage::new(41, 31, vec![200; 41 * 31 * 3]).unwrap();
        let centre = [0.25, -0.1];
        let dark = vignette(&image, (0.4, centre));
        let (x, y) = (20.0 + 0.25 * 41.0, 15.0 - 0.1 * 31.0);
        let distance = |column: f64, row: f64| (column - x).powi(2) + (row - y).powi(2);
        let corners = [distance(0.0, 0.0), distance(40.0, 0.0), distance(0.0, 30.0), distance(40.0, 30.0)];
        let farthest = corners.into_iter().fold(0.0, f64::max);
        for index in 0..41 * 31 {
            let part = distance((index % 41) as f64, (index / 41) as f64) / farthest;
            let expected = 200.0 * (1.0 - 0.4 * part);
            assert!((f64::from(dark.pixels()[index * 3]) - expected).abs() < 0.51, "{index}");
        }
        let darkest = dark.pixels().iter().min().unwrap();
        assert_eq!(*darkest, 120);
        let one = RgbImage::new(1, 1, vec![9; 3]).unwrap();
        assert_eq!(vignette(&one, (1.0, [0.0; 2])), one);
    }
}
