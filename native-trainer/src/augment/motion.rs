//! Blur by motion: of the camera, or of who is filmed.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmask_core::image::RgbImage;

use super::draw::{Probability, Range};
use super::filter::mirrored;
use super::{level, rebuilt};

/// A blur along a straight line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MotionBlur {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// Length of the line in pixels, an odd number (default 3 to 11).
    pub length: Range<1, 99>,
}

impl Default for MotionBlur {
    fn default() -> Self {
        Self { probability: Probability(0.0), length: Range(3.0, 11.0) }
    }
}

impl MotionBlur {
    /// Length in pixels and angle in degrees, any one equally likely, if it is done.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<(usize, f64)> {
        let is_done = self.probability.draw(rng);
        let length = self.length.draw_odd(rng);
        let degrees = 180.0 * rng.random::<f64>();
        is_done.then_some((length, degrees))
    }
}

/// What a pixel at some distance counts for.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tap {
    right: i64,
    down: i64,
    weight: f32,
}

/// The mean over `length` places a pixel apart on a line through each pixel, its middle; `degrees` are counter-clockwise from
/// the horizontal as one sees it. Between pixels the image is bilinear, beyond its edge it is mirrored.
pub(super) fn motion_blur(image: &RgbImage, (length, degrees): (usize, f64)) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    if width == 0 || height == 0 {
        return image.clone();
    }
    let taps = taps(length, degrees);
    // Places of a tap are at most half the length away, and one more for what is between pixels.
    let margin = length / 2 + 1;
    let columns: Vec<usize> =
        (0..width + 2 * margin).map(|place| mirrored(place as i64 - margin as i64, width)).collect();
    let row_length = columns.len() * 3;
    let mut padded = Vec::with_capacity(row_length * height);
    for row in image.pixels().chunks_exact(width * 3) {
        let channels = columns.iter().flat_map(|column| &row[column * 3..column * 3 + 3]);
        padded.extend(channels.map(|value| f32::from(*value)));
    }
    let mut pixels = Vec::with_capacity(image.pixels().len());
    let mut sums = vec![0.0f32; width * 3];
    for row in 0..height {
        sums.fill(0.0);
        for tap in &taps {
            let start = mirrored(row as i64 + tap.down, height) * row_length + (margin as i64 + tap.right) as usize * 3;
            let values = &padded[start..start + width * 3];
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += tap.weight * value);
        }
        pixels.extend(sums.iter().map(|sum| level(*sum)));
    }
    rebuilt(image, pixels)
}

/// The line as a kernel, whose weights sum to 1: each place on it is shared among the four pixels around.
fn taps(length: usize, degrees: f64) -> Vec<Tap> {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let mut taps: Vec<Tap> = Vec::new();
    for step in 0..length {
        let along = step as f64 - (length as f64 - 1.0) / 2.0;
        let (x, y) = (along * cosine, -along * sine);
        let (left, upper) = (x.floor(), y.floor());
        let shares = [(0.0, 1.0 - (x - left)), (1.0, x - left)];
        let halves = [(0.0, 1.0 - (y - upper)), (1.0, y - upper)];
        for ((right, across), (down, part)) in shares.into_iter().flat_map(|one| halves.map(|other| (one, other))) {
            let (right, down) = ((left + right) as i64, (upper + down) as i64);
            let weight = (across * part / length as f64) as f32;
            match taps.iter_mut().find(|tap| (tap.right, tap.down) == (right, down)) {
                Some(tap) => tap.weight += weight,
                None if weight > 0.0 => taps.push(Tap { right, down, weight }),
                None => {}
            }
        }
    }
    taps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> RgbImage {
        let pixels = (0..23 * 17 * 3usize).map(|i| ((i * 37 + (i * i) % 91) % 256) as u8).collect();
        RgbImage::new(23, 17, pixels).unwrap()
    }

    /// The mean over the line, place by place and without a kernel.
    fn slow(image: &RgbImage, length: usize, degrees: f64) -> Vec<f64> {
        let (width, height) = (image.width(), image.height());
        let at = |x: i64, y: i64, channel: usize| {
            f64::from(image.pixels()[(mirrored(y, height) * width + mirrored(x, width)) * 3 + channel])
        };
        let between = |x: f64, y: f64, channel: usize| {
            let (left, upper) = (x.floor(), y.floor());
            let (across, part) = (x - left, y - upper);
            let (left, upper) = (left as i64, upper as i64);
            (1.0 - part) * ((1.0 - across) * at(left, upper, channel) + across * at(left + 1, upper, channel))
                + part * ((1.0 - across) * at(left, upper + 1, channel) + across * at(left + 1, upper + 1, channel))
        };
        let mut means = Vec::new();
        for index in 0..width * height * 3 {
            let (x, y, channel) = ((index / 3 % width) as f64, (index / 3 / width) as f64, index % 3);
            let places = (0..length).map(|step| step as f64 - (length as f64 - 1.0) / 2.0);
            let angle = degrees.to_radians();
            let sum: f64 = places.map(|t| between(x + t * angle.cos(), y - t * angle.sin(), channel)).sum();
            means.push(sum / length as f64);
        }
        means
    }

    #[test]
    fn a_line_at_any_angle_averages_what_lies_along_it() {
        for (length, degrees) in [(1, 30.0), (3, 0.0), (5, 90.0), (7, 45.0), (9, 17.0), (15, 133.0), (33, 71.0)] {
            let blurred = motion_blur(&picture(), (length, degrees));
            for (found, expected) in blurred.pixels().iter().zip(slow(&picture(), length, degrees)) {
                assert!((f64::from(*found) - expected).abs() < 0.51, "{length} at {degrees}: {found} {expected}");
            }
        }
    }

    #[test]
    fn weights_sum_to_one_and_a_line_of_one_pixel_changes_nothing() {
        for (length, degrees) in [(3, 0.0), (7, 12.0), (15, 179.0)] {
            let sum: f32 = taps(length, degrees).iter().map(|tap| tap.weight).sum();
            assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        }
        assert_eq!(motion_blur(&picture(), (1, 40.0)), picture());
    }
}
