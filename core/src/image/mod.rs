//! An 8-bit RGB image in memory: what decoders hand in and what faces are cropped from. `resample` changes its size,
//! `orientation` turns it, `tone` makes it of a higher dynamic range.

#[cfg(any(test, not(feature = "std")))]
mod convolve;
#[cfg(feature = "std")]
pub mod jpeg;
mod kernel;
mod orientation;
mod resample;
mod tone;

use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub(crate) use kernel::Kernel;
pub use orientation::Orientation;
pub use tone::{Primaries, ToneMap, Transfer};

/// How pixels between pixels are made when an image changes its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Triangle kernel, one pixel to each side.
    Bilinear,
    /// Cubic kernel with a = -0.5 (Catmull-Rom), two pixels to each side.
    Bicubic,
}

impl Interpolation {
    /// Its name, as detector files have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        }
    }

    fn kernel(self) -> Kernel {
        match self {
            Self::Bilinear => Kernel::Triangle,
            Self::Bicubic => Kernel::CatmullRom,
        }
    }
}

/// An image of 8-bit RGB pixels, rows from top to bottom, three bytes a pixel, no padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// A rectangle inside an image, in fractions of pixels; pixel `i` covers `i..i + 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Region {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl RgbImage {
    /// Wraps `pixels`, `[height, width, 3]` bytes; `None` if their number does not fit the size.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Option<Self> {
        let expected = width.checked_mul(height)?.checked_mul(3)?;
        (pixels.len() == expected).then_some(Self { width, height, pixels })
    }

    /// Puts together the planes of green, blue and red that lie one after the other, `[3, height, width]` bytes; `None` if their
    /// number does not fit the size.
    ///
    /// ```
    /// use unmask_core::image::RgbImage;
    /// let (green, blue, red) = ([1, 2], [3, 4], [5, 6]);
    /// let image = RgbImage::of_planes(2, 1, &[green, blue, red].concat()).unwrap();
    /// assert_eq!(image.pixels(), [5, 1, 3, 6, 2, 4]);
    /// ```
    pub fn of_planes(width: usize, height: usize, planes: &[u8]) -> Option<Self> {
        let mut pixels = vec![0; planes.len()];
        let (green, rest) = planes.split_at(planes.len() / 3);
        let (blue, red) = rest.split_at(rest.len() / 2);
        let levels = red.iter().zip(green).zip(blue);
        for (pixel, ((red, green), blue)) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(levels) {
            *pixel = [*red, *green, *blue];
        }
        Self::new(width, height, pixels)
    }

    /// An image in which every pixel is black.
    pub(crate) fn black(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![0; width * height * 3] }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes, `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The bytes, `[height, width, 3]`, to write into.
    pub(crate) fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The image in another size.
    ///
    /// When the image shrinks, the kernel widens with it, so that every source pixel counts (antialiasing, as Pillow's
    /// `Image.resize` does; results differ from Pillow's by one level at most). A size with a zero in it gives an
    /// image without pixels, and an image without pixels becomes black.
    ///
    /// ```
    /// use unmask_core::image::{Interpolation, RgbImage};
    /// let image = RgbImage::new(2, 1, vec![0, 0, 0, 100, 100, 100]).unwrap();
    /// assert_eq!(image.resize(1, 1, Interpolation::Bilinear).pixels(), [50, 50, 50]);
    /// ```
    pub fn resize(&self, width: usize, height: usize, interpolation: Interpolation) -> Self {
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        // Across first, then down, each rounded and cut to 0..255 for itself: Pillow's order, seen in sharp edges.
        let across = self.resample(self.region(), width, self.height, interpolation.kernel());
        across.resample(across.region(), width, height, interpolation.kernel())
    }

    /// All of the image.
    pub(crate) fn region(&self) -> Region {
        Region { left: 0.0, top: 0.0, width: self.width as f64, height: self.height as f64 }
    }

    /// What `region` shows, in `width` × `height` pixels. A region that is not inside the image gives black.
    pub(crate) fn resample(&self, region: Region, width: usize, height: usize, kernel: Kernel) -> Self {
        resample::resample(self, region, width, height, kernel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: usize, height: usize) -> RgbImage {
        let pixels = (0..width * height).flat_map(|i| [(i % width * 7) as u8, (i / width * 11) as u8, 60]).collect();
        RgbImage::new(width, height, pixels).unwrap()
    }

    #[test]
    fn bytes_that_do_not_fit_the_size_are_refused() {
        assert!(RgbImage::new(2, 2, vec![0; 11]).is_none());
        assert!(RgbImage::new(usize::MAX, 2, vec![0; 11]).is_none());
        assert!(RgbImage::new(0, 7, Vec::new()).is_some());
        assert!(RgbImage::of_planes(2, 2, &[0; 11]).is_none());
        assert!(RgbImage::of_planes(0, 7, &[]).is_some());
    }

    #[test]
    fn the_same_size_gives_the_same_image() {
        let image = gradient(9, 5);
        assert_eq!(image.resize(9, 5, Interpolation::Bicubic), image);
    }

    #[test]
    fn shrinking_averages_over_all_pixels() {
        let stripes = (0..64 * 64).flat_map(|i| [if i % 2 == 0 { 0 } else { 200 }; 3]).collect();
        let image = RgbImage::new(64, 64, stripes).unwrap();
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
            let small = image.resize(8, 8, interpolation);
            assert!(small.pixels().iter().all(|&level| (96..=104).contains(&level)), "{interpolation:?}");
        }
    }

    #[test]
    fn smaller_and_larger_sizes_equal_pillows_to_one_level() {
        let pixels = (0..6 * 5 * 3usize).map(|i| ((i * 37 + (i * i) % 91) % 256) as u8).collect();
        let image = RgbImage::new(6, 5, pixels).unwrap();
        let cases: [(Interpolation, usize, usize, &[u8]); 4] = [
            (
                Interpolation::Bilinear,
                3,
                2,
                &[115, 101, 117, 137, 125, 144, 126, 112, 120, 147, 115, 112, 142, 104, 109, 115, 137, 130],
            ),
            (
                Interpolation::Bilinear,
                4,
                7,
                &[
                    45, 85, 128, 59, 97, 148, 168, 90, 119, 144, 114, 91, 111, 61, 91, 104, 135, 172, 187, 108, 123,
                    108, 101, 98, 152, 74, 85, 133, 161, 164, 171, 125, 139, 86, 107, 129, 132, 153, 137, 122, 152, 98,
                    95, 133, 173, 97, 144, 193, 165, 97, 111, 160, 106, 82, 129, 115, 113, 96, 144, 109, 158, 101, 117,
                    149, 96, 94, 146, 95, 93, 112, 152, 125, 132, 135, 139, 114, 107, 119, 150, 78, 99, 134, 162, 191,
                ],
            ),
            (
                Interpolation::Bicubic,
                3,
                2,
                &[111, 99, 115, 138, 129, 150, 125, 109, 116, 150, 119, 111, 144, 100, 105, 111, 142, 135],
            ),
            (
                Interpolation::Bicubic,
                4,
                7,
                &[
                    39, 89, 132, 45, 97, 152, 178, 84, 114, 149, 115, 86, 111, 49, 83, 96, 142, 188, 207, 106, 116,
                    104, 98, 91, 161, 62, 72, 135, 176, 178, 185, 127, 141, 74, 102, 131, 135, 156, 137, 128, 157, 89,
                    89, 127, 179, 96, 143, 192, 169, 96, 112, 168, 102, 72, 128, 115, 112, 93, 147, 96, 160, 97, 117,
                    149, 91, 93, 154, 91, 85, 111, 156, 120, 128, 137, 140, 106, 107, 121, 156, 70, 94, 133, 167, 204,
                ],
            ),
        ];
        for (interpolation, width, height, pillow) in cases {
            let resized = image.resize(width, height, interpolation);
            assert_eq!(resized.pixels().len(), pillow.len());
            let differences = resized.pixels().iter().zip(pillow).map(|(ours, theirs)| ours.abs_diff(*theirs));
            assert!(differences.max() <= Some(1), "{interpolation:?} to {width}x{height}");
        }
    }

    #[test]
    fn empty_images_and_empty_sizes_do_not_panic() {
        let image = gradient(3, 3);
        assert!(image.resize(0, 4, Interpolation::Bilinear).pixels().is_empty());
        let empty = RgbImage::black(0, 4);
        assert_eq!(empty.resize(2, 2, Interpolation::Bicubic), RgbImage::black(2, 2));
    }

    #[test]
    fn a_region_outside_the_image_is_black() {
        let region = Region { left: 1.0, top: 0.0, width: 3.0, height: 1.0 };
        assert_eq!(gradient(3, 3).resample(region, 2, 2, Kernel::Box), RgbImage::black(2, 2));
    }

    #[test]
    fn interpolation_is_written_in_lower_case() {
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
            assert_eq!(serde_json::to_value(interpolation).unwrap(), interpolation.name());
        }
        assert_eq!(serde_json::to_string(&Interpolation::Bicubic).unwrap(), "\"bicubic\"");
        assert_eq!(serde_json::from_str::<Interpolation>("\"bilinear\"").unwrap(), Interpolation::Bilinear);
    }
}
