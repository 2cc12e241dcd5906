//! Moiré: what a camera sees of a screen's pixels when it films one.

use std::f64::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmask_core::image::RgbImage;

use super::draw::{Limit, Probability, Range};
use super::{level, rebuilt};

/// Faint stripes across and down, brighter and darker, with fringes of colour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Moire {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// How much brighter or darker the stripes make a pixel at most, in hundredths (default 1 to 6).
    pub percent: Range<0, 100>,
    /// Pixels from one stripe to the next, across and down each (default 2.5 to 12, the smallest number 2).
    pub period: Range<2, 1024>,
    /// Most degrees that the stripes are turned to either side (default 15).
    pub degrees: Limit<90>,
    /// How much wider the stripes are at most at one edge than in the middle, in parts of the width: the screen is seen
    /// at an angle (default 0.15).
    pub perspective: Limit<1>,
}

impl Default for Moire {
    fn default() -> Self {
        Self {
            probability: Probability(0.0),
            percent: Range(1.0, 6.0),
            period: Range(2.5, 12.0),
            degrees: Limit(15.0),
            perspective: Limit(0.15),
        }
    }
}

/// A grid of stripes that was decided on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stripes {
    /// Part of a level by which it is changed at most.
    pub strength: f64,
    /// Pixels from one stripe to the next, across and down.
    pub periods: [f64; 2],
    pub degrees: f64,
    /// How much farther away the screen is at the right and lower edges than in the middle, in parts of that distance.
    pub perspective: [f64; 2],
    /// Where the stripes begin, in parts of a turn.
    pub phases: [f64; 2],
    /// How far green is behind red and blue behind green, in parts of a turn.
    pub fringe: f64,
}

/// The screen's three colours lie beside each other, a third of a pixel apart at most.
const WIDEST_FRINGE: f64 = 1.0 / 3.0;

impl Moire {
    /// The stripes, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<Stripes> {
        let is_done = self.probability.draw(rng);
        let stripes = Stripes {
            strength: self.percent.draw(rng) / 100.0,
            periods: [self.period.draw(rng), self.period.draw(rng)],
            degrees: self.degrees.draw(rng),
            perspective: [self.perspective.draw(rng), self.perspective.draw(rng)],
            phases: [rng.random(), rng.random()],
            fringe: WIDEST_FRINGE * rng.random::<f64>(),
        };
        is_done.then_some(stripes)
    }
}

/// `v·(1 + strength·(sin(2π·(x/period₀ + phase₀ - c·fringe)) + sin(2π·(y/period₁ + phase₁ - c·fringe)))/2)` for the channels
/// c = 0, 1, 2, where x and y are the pixel's place on the screen: from the image's centre, turned, and divided by the distance.
pub(super) fn moire(image: &RgbImage, stripes: &Stripes) -> RgbImage {
    let (width, height) = (image.width() as f64, image.height() as f64);
    let (sine, cosine) = stripes.degrees.to_radians().sin_cos();
    // The sine of a sum, so that a pixel takes two sines and not six.
    let behind = [0.0, 1.0, 2.0].map(|channel: f64| {
        let (sine, cosine) = (-TAU * channel * stripes.fringe).sin_cos();
        [sine as f32, cosine as f32]
    });
    let strength = stripes.strength as f32 / 2.0;
    let mut pixels = image.pixels().to_vec();
    for (row, colours) in pixels.chunks_exact_mut(image.width().max(1) * 3).enumerate() {
        let v = row as f64 - (height - 1.0) / 2.0;
        for (column, colour) in colours.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let u = column as f64 - (width - 1.0) / 2.0;
            let away = 2.0 * (stripes.perspective[0] * u / width + stripes.perspective[1] * v / height);
            // Nothing is behind the camera: at an edge the distance can be 0.
            let distance = (1.0 + away).max(0.1);
            let place = [(cosine * u - sine * v) / distance, (sine * u + cosine * v) / distance];
            let mut sums = [0.0f32; 2];
            for axis in [0, 1] {
                let turns = place[axis] / stripes.periods[axis] + stripes.phases[axis];
                let (sine, cosine) = ((turns - turns.floor()) * TAU).sin_cos();
                sums = [sums[0] + sine as f32, sums[1] + cosine as f32];
            }
            for (value, [sine, cosine]) in colour.iter_mut().zip(behind) {
                *value = level(f32::from(*value) * (1.0 + strength * (sums[0] * cosine + sums[1] * sine)));
            }
        }
    }
    rebuilt(image, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> RgbImage {
        let pixels = (0..33 * 21 * 3usize).map(|i| ((i * 37 + (i * i) % 91) % 256) as u8).collect();
        RgbImage::new(33, 21, pixels).unwrap()
    }

    const STRIPES: Stripes = Stripes {
        strength: 0.2,
        periods: [3.7, 8.1],
        degrees: 9.0,
        perspective: [0.1, -0.2],
        phases: [0.3, 0.8],
        fringe: 0.21,
    };

    #[test]
    fn stripes_are_those_of_the_formula() {
        let (image, striped) = (picture(), moire(&picture(), &STRIPES));
        for index in 0..33 * 21 * 3 {
            let (u, v, channel) = ((index / 3 % 33) as f64 - 16.0, (index / 99) as f64 - 10.0, (index % 3) as f64);
            let distance = 1.0 + 2.0 * (0.1 * u / 33.0 - 0.2 * v / 21.0);
            let angle = 9.0f64.to_radians();
            let x = (u * angle.cos() - v * angle.sin()) / distance;
            let y = (u * angle.sin() + v * angle.cos()) / distance;
            let across = (TAU * (x / 3.7 + 0.3 - channel * 0.21)).sin();
            let down = (TAU * (y / 8.1 + 0.8 - channel * 0.21)).sin();
            let expected = (f64::from(image.pixels()[index]) * (1.0 + 0.2 * (across + down) / 2.0)).clamp(0.0, 255.0);
            assert!((f64::from(striped.pixels()[index]) - expected).abs() < 0.51, "{index}");
        }
    }

    #[test]
    fn without_strength_nothing_changes_and_a_screen_on_edge_does_not_panic() {
        assert_eq!(moire(&picture(), &Stripes { strength: 0.0, ..STRIPES }), picture());
        let on_edge = Stripes { perspective: [1.0, -1.0], ..STRIPES };
        assert_eq!(moire(&picture(), &on_edge).width(), 33);
    }
}
