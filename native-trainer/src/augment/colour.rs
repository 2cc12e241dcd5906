//! Shifts of colour, brightness and contrast. Levels are 0..255, cut there and rounded to the nearest.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmask_core::image::RgbImage;

use super::draw::{Limit, Probability};
use super::{level, mapped};

/// Adding a number of levels to each channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RgbShift {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// Most levels that a channel moves to either side (default 20).
    pub levels: Limit<255>,
}

impl Default for RgbShift {
    fn default() -> Self {
        Self { probability: Probability(0.0), levels: Limit(20.0) }
    }
}

impl RgbShift {
    /// Levels to add to red, green and blue, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<[f32; 3]> {
        let is_done = self.probability.draw(rng);
        let shift = [(); 3].map(|()| self.levels.draw(rng) as f32);
        is_done.then_some(shift)
    }
}

/// Adding to hue, saturation and value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HsvShift {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// Most degrees that the hue turns to either side (default 0.6, the 0.3 steps of 2 degrees of Shiohara & Yamasaki).
    pub hue: Limit<180>,
    /// Most levels of 255 that the saturation moves to either side (default 0.3, as theirs).
    pub saturation: Limit<255>,
    /// Most levels of 255 that the value moves to either side (default 0.3, as theirs).
    pub value: Limit<255>,
}

impl Default for HsvShift {
    fn default() -> Self {
        Self { probability: Probability(0.0), hue: Limit(0.6), saturation: Limit(0.3), value: Limit(0.3) }
    }
}

impl HsvShift {
    /// Degrees to turn the hue, and levels to add to saturation and value, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<[f32; 3]> {
        let is_done = self.probability.draw(rng);
        let shift = [self.hue.draw(rng), self.saturation.draw(rng), self.value.draw(rng)].map(|shift| shift as f32);
        is_done.then_some(shift)
    }
}

/// Multiplying levels and adding to them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrightnessContrast {
    /// Chance that it is done (default 0.5).
    pub probability: Probability,
    /// Most that is added to either side, in parts of the 255 levels (default 0.1).
    pub brightness: Limit<1>,
    /// Most that the factor differs from 1 to either side (default 0.1).
    pub contrast: Limit<1>,
}

impl Default for BrightnessContrast {
    fn default() -> Self {
        Self { probability: Probability(0.5), brightness: Limit(0.1), contrast: Limit(0.1) }
    }
}

impl BrightnessContrast {
    /// Brightness and contrast as [`brightness_contrast`] takes them, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<[f32; 2]> {
        let is_done = self.probability.draw(rng);
        let drawn = [self.brightness.draw(rng) as f32, self.contrast.draw(rng) as f32];
        is_done.then_some(drawn)
    }
}

/// Adds levels to each channel (albumentations' `RGBShift`).
pub(super) fn rgb_shift(image: &RgbImage, shift: [f32; 3]) -> RgbImage {
    looked_up(image, &shift.map(|shift| table(|value| value + shift)))
}

/// `v·(1 + contrast) + 255·brightness` (albumentations' `RandomBrightnessContrast`, brightness by the largest level).
pub(super) fn brightness_contrast(image: &RgbImage, [brightness, contrast]: [f32; 2]) -> RgbImage {
    looked_up(image, &[table(|value| value * (1.0 + contrast) + 255.0 * brightness); 3])
}

/// What becomes of each level.
pub(super) fn table(new: impl Fn(f32) -> f32) -> [u8; 256] {
    std::array::from_fn(|value| level(new(value as f32)))
}

pub(super) fn looked_up(image: &RgbImage, [red, green, blue]: &[[u8; 256]; 3]) -> RgbImage {
    mapped(image, |[r, g, b]| [red[usize::from(r)], green[usize::from(g)], blue[usize::from(b)]])
}

/// Turns the hue by degrees and adds levels to saturation and value, each of which stays within 0..255.
///
/// Hue, saturation and value are those of Smith (1978) and of OpenCV's `COLOR_RGB2HSV` on floating-point images; nothing
/// is rounded between, which OpenCV's 8-bit conversion does, with steps of 2 degrees.
pub(super) fn hsv_shift(image: &RgbImage, [hue, saturation, value]: [f32; 3]) -> RgbImage {
    let turn = (hue / 60.0).rem_euclid(6.0);
    mapped(image, |[red, green, blue]| {
        let (h, s, v) = hsv([f32::from(red), f32::from(green), f32::from(blue)]);
        let s = (s + saturation / 255.0).clamp(0.0, 1.0);
        let v = (v + value).clamp(0.0, 255.0);
        let h = h + turn;
        let [red, green, blue] = rgb(if h >= 6.0 { h - 6.0 } else { h }, s, v);
        [level(red), level(green), level(blue)]
    })
}

/// Hue in sixths of the circle from red, saturation 0..1, value 0..255.
fn hsv([red, green, blue]: [f32; 3]) -> (f32, f32, f32) {
    let value = red.max(green).max(blue);
    let range = value - red.min(green).min(blue);
    if range <= 0.0 {
        return (0.0, 0.0, value);
    }
    let hue = if value == red {
        // Where blue is above green, red is reached from the other end of the circle.
        let hue = (green - blue) / range;
        if hue < 0.0 { hue + 6.0 } else { hue }
    } else if value == green {
        2.0 + (blue - red) / range
    } else {
        4.0 + (red - green) / range
    };
    (hue, range / value, value)
}

/// The inverse of [`hsv`], for a hue within 0..6.
fn rgb(hue: f32, saturation: f32, value: f32) -> [f32; 3] {
    // Red is full within one sixth of hue 0, gone beyond two sixths, and falls between; green and blue follow it by two
    // and four sixths.
    let channel = |offset: f32| {
        let sixth = hue + offset;
        let sixth = if sixth >= 6.0 { sixth - 6.0 } else { sixth };
        value - value * saturation * sixth.min(4.0 - sixth).clamp(0.0, 1.0)
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(colour: [u8; 3]) -> RgbImage {
        RgbImage::new(1, 1, colour.to_vec()).unwrap()
    }

    #[test]
    fn a_hue_turned_by_120_degrees_takes_red_to_green_and_green_to_blue() {
        assert_eq!(hsv_shift(&pixel([200, 10, 10]), [120.0, 0.0, 0.0]).pixels(), [10, 200, 10]);
        assert_eq!(hsv_shift(&pixel([10, 200, 60]), [120.0, 0.0, 0.0]).pixels(), [60, 10, 200]);
        assert_eq!(hsv_shift(&pixel([10, 200, 60]), [-120.0, 0.0, 0.0]).pixels(), [200, 60, 10]);
    }

    #[test]
    fn there_and_back_every_colour_stays_what_it_is() {
        for index in 0..16 * 16 * 16u32 {
            let colour = [index / 256, index / 16 % 16, index % 16].map(|step| (step * 17) as u8);
            assert_eq!(hsv_shift(&pixel(colour), [0.0; 3]).pixels(), colour);
        }
    }

    #[test]
    fn levels_stay_within_0_and_255() {
        assert_eq!(rgb_shift(&pixel([250, 5, 100]), [20.0, -20.0, 0.5]).pixels(), [255, 0, 101]);
        assert_eq!(brightness_contrast(&pixel([250, 5, 100]), [0.1, 0.1]).pixels(), [255, 31, 136]);
    }
}
