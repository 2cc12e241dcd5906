//! Crops as image files.

use clap::ValueEnum;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::codecs::webp::WebPEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageResult};
use unmask_core::image::RgbImage;

/// The format of the crops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PictureFormat {
    /// Nothing is lost; about 70 kB at 256 pixels
    Png,
    /// Nothing is lost; about 50 kB
    Webp,
    /// About 18 kB at quality 95; adds traces of compression of its own
    Jpeg,
}

impl PictureFormat {
    /// The name in files: also the extension.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Webp => "webp",
            Self::Jpeg => "jpg",
        }
    }

    /// The image as a file's bytes. `quality`, 1 to 100, counts for JPEG only.
    pub(super) fn encode(self, image: &RgbImage, quality: u8) -> ImageResult<Vec<u8>> {
        let mut bytes = Vec::new();
        let (width, height, pixels) = (image.width() as u32, image.height() as u32, image.pixels());
        let rgb = ExtendedColorType::Rgb8;
        match self {
            Self::Png => PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
                .write_image(pixels, width, height, rgb),
            Self::Webp => WebPEncoder::new_lossless(&mut bytes).write_image(pixels, width, height, rgb),
            Self::Jpeg => JpegEncoder::new_with_quality(&mut bytes, quality).write_image(pixels, width, height, rgb),
        }?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern() -> RgbImage {
        let pixels = (0..64 * 64).flat_map(|i| [(i % 64 * 3) as u8, (i / 64 * 3) as u8, (i % 7 * 9) as u8]).collect();
        RgbImage::new(64, 64, pixels).unwrap()
    }

    #[test]
    fn png_and_webp_keep_every_pixel() {
        for format in [PictureFormat::Png, PictureFormat::Webp] {
            let bytes = format.encode(&pattern(), 1).unwrap();
            let read = image::load_from_memory(&bytes).unwrap().into_rgb8();
            assert_eq!(read.as_raw(), pattern().pixels(), "{format:?}");
        }
    }

    #[test]
    fn jpeg_of_a_higher_quality_is_nearer_and_larger() {
        let of = |quality: u8| {
            let bytes = PictureFormat::Jpeg.encode(&pattern(), quality).unwrap();
            let read = image::load_from_memory(&bytes).unwrap().into_rgb8();
            let pairs = read.as_raw().iter().zip(pattern().pixels().to_vec());
            (pairs.map(|(one, other)| u64::from(one.abs_diff(other))).sum::<u64>(), bytes.len())
        };
        let ((far, small), (near, large)) = (of(30), of(95));
        assert!(near < far && large > small, "{near} {far} {large} {small}");
    }
}
