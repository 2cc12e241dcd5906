//! Light and what a sensor makes of it.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use unmask_core::image::RgbImage;

use super::colour::{looked_up, table};
use super::draw::{Probability, Range};
use super::{level, rebuilt};

/// A power law over the levels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Gamma {
    /// Chance that it is done (default 0).
    pub(crate) probability: Probability,
    /// How many times the exponent is larger or smaller than 1 at most, both equally likely (default 2).
    pub(crate) factor: Range<1, 8>,
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
pub(crate) fn gamma(image: &RgbImage, exponent: f32) -> RgbImage {
    looked_up(image, &[table(|value| 255.0 * (value / 255.0).powf(exponent)); 3])
}

/// Noise of a sensor: each level of each pixel for itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Noise {
    /// Chance that it is done (default 0).
    pub(crate) probability: Probability,
    /// Standard deviation in levels (default 2 to 12).
    pub(crate) deviation: Range<0, 128>,
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
pub(crate) fn noise(image: &RgbImage, (deviation, seed): (f32, u64)) -> RgbImage {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut noisy = |value: &u8| {
        let drawn: f32 = StandardNormal.sample(&mut rng);
        level(f32::from(*value) + deviation * drawn)
    };
    rebuilt(image, image.pixels().iter().map(&mut noisy).collect())
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
}
