//! Random smooth displacements (elastic deformation: Simard, Steinkraus & Platt 2003).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::filter::{convolve, gaussian};

/// How many points of the grid there are for each deviation of the smoothing: displacements between them are linear.
const POINTS_A_DEVIATION: f64 = 2.0;

/// How far each place of an image is displaced: random numbers smoothed by a Gaussian.
///
/// Displacements are kept on a grid that is coarser than the pixels, since smoothed noise has no detail finer than that.
#[derive(Clone, Debug, PartialEq)]
pub struct Displacement {
    /// Pixels from one point of the grid to the next.
    spacing: f64,
    /// Points of the grid across and down.
    size: [usize; 2],
    /// Displacement to the right and down at each point, in pixels.
    values: [Vec<f32>; 2],
}

impl Displacement {
    /// Displacements for an image of `[width, height]`: numbers within -1..1, smoothed with a deviation of `sigma` pixels,
    /// times `alpha`. Each has a deviation of `alpha / sigma · sqrt(1 / (12·π))`, so 1.2 pixels for 50 and 7.
    pub fn draw(rng: &mut ChaCha8Rng, [width, height]: [usize; 2], alpha: f64, sigma: f64) -> Self {
        let spacing = (sigma / POINTS_A_DEVIATION).max(1.0);
        let deviation = sigma / spacing;
        // Smoothing over fewer points leaves more of the noise, in proportion.
        let factor = alpha / spacing;
        let size = [width, height].map(|length| (length as f64 / spacing) as usize + 2);
        let kernel = gaussian(2 * (4.0 * deviation).ceil() as usize + 1, Some(deviation));
        let values = [(); 2].map(|()| {
            let mut noise = || ((2.0 * rng.random::<f64>() - 1.0) * factor) as f32;
            let noise: Vec<f32> = (0..size[0] * size[1]).map(|_| noise()).collect();
            convolve(&noise, size[0], 1, &kernel)
        });
        Self { spacing, size, values }
    }

    /// The displacements to the right and down of a row of pixels, from left to right.
    pub(super) fn row(&self, row: usize, width: usize) -> [Vec<f32>; 2] {
        let place = row as f64 / self.spacing;
        let upper = (place as usize).min(self.size[1] - 2);
        let part = (place - upper as f64) as f32;
        [0, 1].map(|axis| {
            let start = upper * self.size[0];
            let (one, two) = self.values[axis][start..start + 2 * self.size[0]].split_at(self.size[0]);
            let points: Vec<f32> = one.iter().zip(two).map(|(one, two)| one + part * (two - one)).collect();
            self.between(&points, width)
        })
    }

    /// A row of the grid, looked at from pixel to pixel.
    fn between(&self, points: &[f32], width: usize) -> Vec<f32> {
        let (step, last) = ((1.0 / self.spacing) as f32, self.size[0] - 2);
        let mut values = vec![0.0; width];
        for (column, value) in values.iter_mut().enumerate() {
            let place = column as f32 * step;
            let left = (place as usize).min(last);
            *value = points[left] + (place - left as f32) * (points[left + 1] - points[left]);
        }
        values
    }

    /// Displacements given for each pixel, `[height, width]` in pixels to the right and down.
    #[cfg(test)]
    pub(super) fn of_pixels([width, height]: [usize; 2], right: &[f32], down: &[f32]) -> Self {
        let size = [width + 1, height + 1];
        let padded = |values: &[f32]| {
            let index = |place: usize| (place / size[0]).min(height - 1) * width + (place % size[0]).min(width - 1);
            (0..size[0] * size[1]).map(|place| values[index(place)]).collect()
        };
        Self { spacing: 1.0, size, values: [padded(right), padded(down)] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn displacements_are_as_strong_and_as_smooth_as_the_formula_says() {
        let (side, alpha, sigma) = (256, 50.0, 7.0);
        let (mut count, mut squares, mut products) = (0.0, 0.0, 0.0);
        for seed in 0..8 {
            let displacement = Displacement::draw(&mut ChaCha8Rng::seed_from_u64(seed), [side; 2], alpha, sigma);
            for row in (0..side).step_by(3) {
                let values: Vec<f64> = displacement.row(row, side)[0].iter().map(|right| f64::from(*right)).collect();
                let apart = values.iter().zip(&values[14..]);
                squares += values[..side - 14].iter().map(|value| value * value).sum::<f64>();
                products += apart.map(|(one, other)| one * other).sum::<f64>();
                count += (side - 14) as f64;
            }
        }
        let expected = alpha / sigma * (1.0 / (12.0 * std::f64::consts::PI)).sqrt();
        let deviation = (squares / count).sqrt();
        assert!((deviation / expected - 1.0).abs() < 0.06, "{deviation} is not {expected}");
        // Smoothed noise is correlated over d pixels by exp(-d²/(4·sigma²)), so exp(-1) over two deviations.
        let correlation = products / squares;
        assert!((correlation - (-1.0f64).exp()).abs() < 0.06, "{correlation}");
    }

    #[test]
    fn images_without_pixels_and_odd_limits_do_not_panic() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (size, sigma) in [([0, 0], 7.0), ([1, 1], 0.1), ([3, 2], 0.0), ([5, 4], 300.0)] {
            let displacement = Displacement::draw(&mut rng, size, 50.0, sigma);
            assert!(displacement.row(size[1].saturating_sub(1), size[0]).iter().all(|row| row.len() == size[0]));
        }
    }
}
