//! Noise taken away, as phones do: skin becomes smooth, and edges stay.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmask_core::image::RgbImage;

use super::draw::{Probability, Range};
use super::filter::mirrored;
use super::{level, rebuilt};

/// A smoothing that stops at edges.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Denoise {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// How far a pixel is smoothed over, in pixels (default 1 to 2).
    pub radius: Range<1, 9>,
    /// How far apart colours are that are hardly mixed, in levels of the three channels together (default 15 to 60).
    pub levels: Range<1, 765>,
}

impl Default for Denoise {
    fn default() -> Self {
        Self { probability: Probability(0.0), radius: Range(1.0, 2.0), levels: Range(15.0, 60.0) }
    }
}

impl Denoise {
    /// Radius and levels as [`bilateral`] takes them, if it is done.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<(usize, f32)> {
        let is_done = self.probability.draw(rng);
        let drawn = (self.radius.draw_whole(rng), self.levels.draw(rng) as f32);
        is_done.then_some(drawn)
    }
}

/// The bilateral filter of Tomasi & Manduchi (1998) as OpenCV has it: a pixel becomes the mean of those within `radius`, each
/// weighted by a Gaussian of its distance, of deviation `radius`, and by one of the sum of the differences of the three channels,
/// of deviation `levels`. Beyond its edge the image is mirrored.
pub(super) fn bilateral(image: &RgbImage, (radius, levels): (usize, f32)) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    if width == 0 || height == 0 {
        return image.clone();
    }
    let by_difference: Vec<f32> =
        (0..=765).map(|difference| (-0.5 * (difference as f32 / levels).powi(2)).exp()).collect();
    let columns: Vec<usize> =
        (0..width + 2 * radius).map(|place| mirrored(place as i64 - radius as i64, width)).collect();
    let mut padded: Vec<[u8; 3]> = Vec::with_capacity(columns.len() * height);
    for row in image.pixels().chunks_exact(width * 3) {
        padded.extend(columns.iter().map(|column| [row[column * 3], row[column * 3 + 1], row[column * 3 + 2]]));
    }
    let taps = taps(radius);
    let mut pixels = Vec::with_capacity(image.pixels().len());
    let mut sums = vec![[0.0f32; 4]; width];
    for (row, centres) in image.pixels().chunks_exact(width * 3).enumerate() {
        sums.fill([0.0; 4]);
        let centres = centres.as_chunks::<3>().0;
        for (right, down, weight) in &taps {
            let start = mirrored(row as i64 + down, height) * columns.len() + (radius as i64 + right) as usize;
            let neighbours = &padded[start..start + width];
            for ((sum, [red, green, blue]), centre) in sums.iter_mut().zip(neighbours).zip(centres) {
                let difference =
                    [red.abs_diff(centre[0]), green.abs_diff(centre[1]), blue.abs_diff(centre[2])].map(usize::from);
                let weight = weight * by_difference[difference.iter().sum::<usize>()];
                sum[0] += weight * f32::from(*red);
                sum[1] += weight * f32::from(*green);
                sum[2] += weight * f32::from(*blue);
                sum[3] += weight;
            }
        }
        // A pixel counts for itself, so no sum of weights is 0.
        pixels.extend(sums.iter().flat_map(|[red, green, blue, all]| [red, green, blue].map(|sum| level(sum / all))));
    }
    rebuilt(image, pixels)
}

/// The pixels within a circle, with their weights by distance.
fn taps(radius: usize) -> Vec<(i64, i64, f32)> {
    let reach = radius as i64;
    let square = (-reach..=reach).flat_map(|down| (-reach..=reach).map(move |right| (right, down)));
    let within = square.filter(|(right, down)| right * right + down * down <= reach * reach);
    let deviation = radius as f32;
    within
        .map(|(right, down)| {
            let squared = (right * right + down * down) as f32;
            (right, down, (-0.5 * squared / (deviation * deviation)).exp())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy_edge() -> RgbImage {
        let level = |i: usize| if i % 16 < 8 { 60 + (i * 7919 % 9) as u8 } else { 180 + (i * 104_729 % 9) as u8 };
        RgbImage::new(16, 12, (0..16 * 12).flat_map(|i| [level(i); 3]).collect()).unwrap()
    }

    #[test]
    fn noise_is_smoothed_on_both_sides_of_an_edge_and_the_edge_stays() {
        let image = noisy_edge();
        let smooth = bilateral(&image, (3, 40.0));
        let spread = |image: &RgbImage, left: bool| {
            let of_side = |index: &usize| (index / 3 % 16 < 8) == left;
            let levels: Vec<u8> = (0..16 * 12 * 3).filter(of_side).map(|index| image.pixels()[index]).collect();
            levels.iter().max().unwrap() - levels.iter().min().unwrap()
        };
        for left in [true, false] {
            assert!(spread(&smooth, left) <= 4 && spread(&image, left) == 8, "{}", spread(&smooth, left));
        }
        let step = |row: usize| smooth.pixels()[(row * 16 + 8) * 3] - smooth.pixels()[(row * 16 + 7) * 3];
        assert!((0..12).all(|row| step(row) > 110));
    }

    #[test]
    fn one_colour_stays_as_it_is_whatever_the_radius() {
        let image = RgbImage::new(3, 2, vec![77; 18]).unwrap();
        assert_eq!(bilateral(&image, (9, 1.0)), image);
    }
}
