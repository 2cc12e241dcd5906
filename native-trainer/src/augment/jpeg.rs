//! Loss by JPEG compression.

use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::{DynamicImage, ImageDecoder};
use jpeg_encoder::{ChromaSubsamplingMethod, ColorType, Encoder, SamplingFactor};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmask_core::image::{Interpolation, RgbImage};

use super::draw::{Probability, Range};
use super::filter::reduced;

/// Compressing and decompressing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jpeg {
    /// Chance that it is done (default 0.5).
    pub probability: Probability,
    /// Quality, 1 to 100 (default 40 to 100).
    pub quality: Range<1, 100>,
}

impl Default for Jpeg {
    fn default() -> Self {
        Self { probability: Probability(0.5), quality: Range(40.0, 100.0) }
    }
}

impl Jpeg {
    /// The quality, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<u8> {
        let is_done = self.probability.draw(rng);
        let quality = self.quality.draw_whole(rng) as u8;
        is_done.then_some(quality)
    }
}

/// Going from hand to hand: made smaller or larger, and compressed, several times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resave {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// How many times (default 1 to 4).
    pub rounds: Range<1, 5>,
    /// How many times smaller than at first the image is in a round (default 1 to 2.5).
    pub factor: Range<1, 8>,
    /// Quality in a round (default 30 to 95).
    pub quality: Range<1, 100>,
}

impl Default for Resave {
    fn default() -> Self {
        Self {
            probability: Probability(0.0),
            rounds: Range(1.0, 4.0),
            factor: Range(1.0, 2.5),
            quality: Range(30.0, 95.0),
        }
    }
}

/// The most rounds there can be.
const MOST_ROUNDS: usize = 5;

impl Resave {
    /// Factor and quality of each round, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<Vec<(f64, u8)>> {
        let is_done = self.probability.draw(rng);
        let rounds = self.rounds.draw_whole(rng);
        let mut drawn: Vec<(f64, u8)> =
            (0..MOST_ROUNDS).map(|_| (self.factor.draw(rng), self.quality.draw_whole(rng) as u8)).collect();
        drawn.truncate(rounds);
        is_done.then_some(drawn)
    }
}

/// The image resized to a size `factor` times smaller than its own and compressed with the quality, for each of `rounds` in
/// turn, and then enlarged to its size again; all resizing is bilinear.
pub(super) fn resave(image: &RgbImage, rounds: &[(f64, u8)]) -> RgbImage {
    let resized = |current: &RgbImage, [width, height]: [usize; 2]| {
        if [current.width(), current.height()] == [width, height] {
            current.clone()
        } else {
            current.resize(width, height, Interpolation::Bilinear)
        }
    };
    let last = rounds.iter().fold(image.clone(), |current, (factor, quality)| {
        recompress(&resized(&current, reduced(image, *factor)), *quality)
    });
    resized(&last, [image.width(), image.height()])
}

/// The image after JPEG compression with a quality of 1 to 100: libjpeg's quantisation tables, colour at half the
/// resolution (4:2:0), as OpenCV and Pillow write by default. An image without pixels, or with more than 65,535 on a side,
/// which JPEG does not know, stays as it is.
pub(super) fn recompress(image: &RgbImage, quality: u8) -> RgbImage {
    compressed(image, quality.clamp(1, 100)).and_then(|bytes| decompressed(&bytes)).unwrap_or_else(|| image.clone())
}

/// The image as a JPEG file with colour at half the resolution; `None` where JPEG cannot hold it.
pub fn compressed(image: &RgbImage, quality: u8) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    let (width, height) = (u16::try_from(image.width()).ok()?, u16::try_from(image.height()).ok()?);
    encoder.encode(image.pixels(), width, height, ColorType::Rgb).ok()?;
    Some(bytes)
}

fn decompressed(bytes: &[u8]) -> Option<RgbImage> {
    let decoder = JpegDecoder::new(Cursor::new(bytes)).ok()?;
    let (width, height) = decoder.dimensions();
    let pixels = DynamicImage::from_decoder(decoder).ok()?.into_rgb8().into_raw();
    RgbImage::new(width as usize, height as usize, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(width: usize, height: usize) -> RgbImage {
        let wave = |i: usize, step: f32| (127.0 + 90.0 * (i as f32 * step).sin()) as u8;
        let pixels = (0..width * height).flat_map(|i| [wave(i % width, 0.2), wave(i / width, 0.3), 90]);
        RgbImage::new(width, height, pixels.collect()).unwrap()
    }

    fn mean_difference(one: &RgbImage, other: &RgbImage) -> f32 {
        let differences = one.pixels().iter().zip(other.pixels()).map(|(a, b)| f32::from(a.abs_diff(*b)));
        differences.sum::<f32>() / one.pixels().len() as f32
    }

    #[test]
    fn lower_quality_loses_more() {
        let image = waves(61, 47);
        let losses = [100, 80, 40, 5].map(|quality| mean_difference(&image, &recompress(&image, quality)));
        assert!(losses.is_sorted() && losses[0] < 2.0 && losses[3] > 3.0, "{losses:?}");
    }

    #[test]
    fn what_jpeg_cannot_hold_stays_as_it_is() {
        let empty = RgbImage::new(0, 5, Vec::new()).unwrap();
        assert_eq!(recompress(&empty, 50), empty);
        let wide = RgbImage::new(70_000, 1, vec![9; 210_000]).unwrap();
        assert_eq!(recompress(&wide, 50), wide);
    }
}
