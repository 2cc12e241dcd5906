//! Resizing by convolution, as Pillow does it: the kernel widens with the reduction, so every source pixel counts.
//!
//! [`resample`] is the fast body where there is std (SIMD chosen at run time), else the clear one of `convolve`, which the
//! fast one is held against.

use super::{Kernel, Region, RgbImage};

/// What `region` of `image` shows, in `width` × `height` pixels. A region that is not inside the image gives black.
#[cfg(feature = "std")]
pub(super) fn resample(image: &RgbImage, region: Region, width: usize, height: usize, kernel: Kernel) -> RgbImage {
    use fast_image_resize::images::{TypedImage, TypedImageRef};
    use fast_image_resize::pixels::U8x3;
    use fast_image_resize::{ResizeAlg, ResizeOptions, Resizer};
    let mut resized = RgbImage::black(width, height);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(kernel.filter())).crop(
        region.left,
        region.top,
        region.width,
        region.height,
    );
    let source = TypedImageRef::<U8x3>::from_buffer(image.width as u32, image.height as u32, &image.pixels);
    let target = TypedImage::<U8x3>::from_buffer(width as u32, height as u32, &mut resized.pixels);
    // The buffers fit their sizes by construction; only a region outside the image can be refused, before any pixel is
    // written.
    if let (Ok(source), Ok(mut target)) = (source, target) {
        Resizer::new().resize_typed(&source, &mut target, &options).ok();
    }
    resized
}

/// What `region` of `image` shows, in `width` × `height` pixels. A region that is not inside the image gives black.
#[cfg(not(feature = "std"))]
pub(super) fn resample(image: &RgbImage, region: Region, width: usize, height: usize, kernel: Kernel) -> RgbImage {
    super::convolve::convolve(image, region, width, height, kernel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::convolve::convolve;

    #[test]
    fn the_fast_body_equals_the_clear_one_to_one_level() {
        let pixels = (0..23 * 17 * 3usize).map(|i| ((i * 37 + (i * i) % 91) % 256) as u8).collect();
        let image = RgbImage::new(23, 17, pixels).unwrap();
        let whole = image.region();
        let part = Region { left: 3.25, top: 2.5, width: 11.5, height: 9.0 };
        for kernel in [Kernel::Box, Kernel::Triangle, Kernel::CatmullRom] {
            for (region, width, height) in [(whole, 23, 8), (whole, 9, 17), (whole, 40, 17), (part, 23, 17)] {
                // One direction at a time, since the fast body rounds once and the clear one after each.
                let (width, height) = if region == part { (7, 17) } else { (width, height) };
                let region = if region == part { Region { top: 0.0, height: 17.0, ..part } } else { region };
                let fast = resample(&image, region, width, height, kernel);
                let clear = convolve(&image, region, width, height, kernel);
                let worst = fast.pixels.iter().zip(&clear.pixels).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst <= Some(1), "{kernel:?} to {width}x{height}: {worst:?}");
            }
        }
    }

    #[test]
    fn a_region_outside_the_image_is_black_in_both_bodies() {
        let image = RgbImage::new(2, 2, alloc::vec![200; 12]).unwrap();
        let outside = Region { left: 1.0, top: 0.0, width: 2.0, height: 2.0 };
        for body in [resample, convolve] {
            assert!(body(&image, outside, 2, 2, Kernel::Box).pixels.iter().all(|level| *level == 0));
        }
    }
}
