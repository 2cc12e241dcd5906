//! Shifts of colour along what the colours of an image vary in ("Fancy PCA").
//!
//! Krizhevsky, Sutskever and Hinton (2012) add `α·λ` times the eigenvectors of the colours' covariance to every pixel. This is
//! that as albumentations 1.1.0 computes it, the release that DeepfakeBench trains with: one α for all eigenvalues, the matrix
//! of eigenvectors transposed, and fractions of levels cut off, not rounded. Albumentations 2.0 changes each pixel's distance from
//! the mean instead, by less than a level on average.

use nalgebra::{Matrix3, SymmetricEigen};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use unmask_core::image::RgbImage;

use super::colour::looked_up;
use super::draw::{Limit, Probability};

/// Adding what the image's own colours vary in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FancyPca {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// Standard deviation of the factor α (default 0.1).
    pub deviation: Limit<10>,
}

impl Default for FancyPca {
    fn default() -> Self {
        Self { probability: Probability(0.0), deviation: Limit(0.1) }
    }
}

impl FancyPca {
    /// The factor α, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<f64> {
        let is_done = self.probability.draw(rng);
        // A normally distributed number takes more or fewer values from its generator, which is therefore its own.
        let normal: f64 = StandardNormal.sample(&mut ChaCha8Rng::seed_from_u64(rng.random()));
        is_done.then_some(normal * self.deviation.0)
    }
}

/// Signs of the red parts of the eigenvectors, the largest eigenvalue's first. An eigenvector may point either way; of 200
/// photographs of LFW, LAPACK's point these ways, or all three the other way, on 172 (there α's sign makes up for it).
const SIGNS: [f64; 3] = [1.0, 1.0, -1.0];

/// Levels that α adds to red, green and blue by the colours of `image`; none where it has fewer than two pixels.
pub(super) fn shift_of(image: &RgbImage, alpha: f64) -> [f64; 3] {
    let pixels = image.pixels().as_chunks::<3>().0;
    if pixels.len() < 2 {
        return [0.0; 3];
    }
    let eigen = eigen(covariance(pixels));
    let values = eigen.map(|(value, _)| value);
    std::array::from_fn(|channel| {
        let vector = eigen[channel].1;
        let sign = if vector[0] * SIGNS[channel] < 0.0 { -1.0 } else { 1.0 };
        let along: f64 = vector.iter().zip(values).map(|(part, value)| part * value).sum();
        255.0 * alpha * sign * along
    })
}

/// Adds levels to each channel and cuts off their fractions and what is outside of 0..=255.
pub(super) fn shifted(image: &RgbImage, shift: [f64; 3]) -> RgbImage {
    // The conversion cuts off both.
    looked_up(image, &shift.map(|shift| std::array::from_fn(|level| (level as f64 + shift) as u8)))
}

/// Covariance of the channels of two pixels or more, of levels within 0..1.
fn covariance(pixels: &[[u8; 3]]) -> [[f64; 3]; 3] {
    let count = pixels.len() as f64;
    let (mut sums, mut products) = ([0u64; 3], [[0u64; 3]; 3]);
    for pixel in pixels {
        let levels = pixel.map(u64::from);
        for (row, level) in levels.into_iter().enumerate() {
            sums[row] += level;
            products[row].iter_mut().zip(levels).for_each(|(sum, other)| *sum += level * other);
        }
    }
    let means = sums.map(|sum| sum as f64 / count);
    std::array::from_fn(|row| {
        std::array::from_fn(|column| {
            let product = products[row][column] as f64 - count * means[row] * means[column];
            product / (count - 1.0) / (255.0 * 255.0)
        })
    })
}

/// Eigenvalues of a symmetric matrix, the largest first, each with its eigenvector of length 1.
fn eigen(matrix: [[f64; 3]; 3]) -> [(f64, [f64; 3]); 3] {
    // Rows and columns of a symmetric matrix are the same; the vectors are the columns of theirs.
    let found = SymmetricEigen::new(Matrix3::from(matrix));
    let vectors: [[f64; 3]; 3] = found.eigenvectors.into();
    let mut pairs = [0, 1, 2].map(|index| (found.eigenvalues[index], vectors[index]));
    pairs.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(colours: &[[u8; 3]]) -> RgbImage {
        RgbImage::new(colours.len(), 1, colours.concat()).unwrap()
    }

    #[test]
    fn eigenvectors_are_of_length_1_and_stretched_by_their_eigenvalues() {
        let matrix = [[4.0, 1.0, -2.0], [1.0, 3.0, 0.5], [-2.0, 0.5, 6.0]];
        let pairs = eigen(matrix);
        assert!(pairs.is_sorted_by(|(one, _), (other, _)| one >= other));
        for (value, vector) in pairs {
            let length: f64 = vector.iter().map(|part| part * part).sum();
            assert!((length - 1.0).abs() < 1e-12);
            for row in 0..3 {
                let found: f64 = (0..3).map(|column| matrix[row][column] * vector[column]).sum();
                assert!((found - value * vector[row]).abs() < 1e-12, "{value}: {vector:?}");
            }
        }
    }

    #[test]
    fn one_colour_and_too_few_pixels_stay_as_they_are() {
        for same in [image(&[[9, 80, 200]; 5]), image(&[[1, 2, 3]]), image(&[])] {
            assert_eq!(shift_of(&same, 3.0), [0.0; 3]);
        }
    }

    #[test]
    fn levels_stay_within_their_limits_and_lose_their_fractions() {
        let changed = shifted(&image(&[[0, 250, 100], [254, 3, 7]]), [1.9, 9.5, -0.1]);
        assert_eq!(changed.pixels(), [1, 255, 99, 255, 12, 6]);
    }

    #[test]
    fn the_factor_has_the_deviation_that_was_asked_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let always = FancyPca { probability: Probability(1.0), deviation: Limit(0.1) };
        let drawn: Vec<f64> = (0..4000).map(|_| always.draw(&mut rng).unwrap()).collect();
        let mean = drawn.iter().sum::<f64>() / 4000.0;
        let deviation = (drawn.iter().map(|factor| (factor - mean).powi(2)).sum::<f64>() / 4000.0).sqrt();
        assert!(mean.abs() < 0.006 && (deviation - 0.1).abs() < 0.005, "{mean} {deviation}");
    }
}
