//! Every change against OpenCV, albumentations, Pillow, SciPy or scikit-image.

use std::path::Path;

use safetensors::SafeTensors;
use unmask_core::image::RgbImage;

use crate::augment::colour::{brightness_contrast, hsv_shift, rgb_shift};
use crate::augment::denoise::bilateral;
use crate::augment::elastic::Displacement;
use crate::augment::fancy_pca::{shift_of, shifted};
use crate::augment::filter::{decimate, downscale, gaussian_blur, sharpen};
use crate::augment::jpeg::recompress;
use crate::augment::mask::Mask;
use crate::augment::warp::{Border, Placement, warp};

/// The file of goldens.
struct Goldens(Vec<u8>);

impl Goldens {
    fn open() -> Self {
        Self::of("augment")
    }

    fn of(script: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens");
        Self(std::fs::read(folder.join(format!("{script}.safetensors"))).unwrap())
    }

    fn bytes(&self, name: &str) -> (Vec<usize>, Vec<u8>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        (tensor.shape().to_vec(), tensor.data().to_vec())
    }

    fn image(&self, name: &str) -> RgbImage {
        let (shape, bytes) = self.bytes(name);
        RgbImage::new(shape[1], shape[0], bytes).unwrap()
    }

    fn values(&self, name: &str) -> Vec<f32> {
        let (_, bytes) = self.bytes(name);
        bytes.as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
    }

    fn mask(&self, name: &str) -> Mask {
        let (shape, _) = self.bytes(name);
        Mask::new(shape[1], shape[0], self.values(name)).unwrap()
    }

    /// Asserts that an image is a golden one, with levels `most` apart at the most and `mean` on average.
    fn assert_image(&self, name: &str, found: &RgbImage, most: u8, mean: f32) {
        let expected = self.image(name);
        assert_eq!((found.width(), found.height()), (expected.width(), expected.height()), "{name}");
        let differences: Vec<u8> =
            found.pixels().iter().zip(expected.pixels()).map(|(one, other)| one.abs_diff(*other)).collect();
        let average =
            differences.iter().map(|difference| f32::from(*difference)).sum::<f32>() / differences.len() as f32;
        let largest = differences.iter().max().copied().unwrap();
        assert!(largest <= most && average <= mean, "{name}: {largest} at the most, {average} on average");
    }
}

/// The largest difference of two masks.
fn largest(one: &Mask, other: &Mask) -> f32 {
    assert_eq!((one.width(), one.height()), (other.width(), other.height()));
    one.values().iter().zip(other.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn blurs_are_opencvs() {
    let goldens = Goldens::open();
    for side in [3, 5, 7, 11] {
        let blurred = gaussian_blur(&goldens.image("picture"), side);
        goldens.assert_image(&format!("blur.{side}"), &blurred, 1, 0.06);
    }
}

#[test]
fn smoothing_that_stops_at_edges_is_opencvs() {
    let goldens = Goldens::open();
    for radius in [1, 3] {
        let smooth = bilateral(&goldens.image("picture"), (radius, 40.0));
        goldens.assert_image(&format!("bilateral.{radius}"), &smooth, 1, 0.06);
    }
}

#[test]
fn shifts_of_levels_contrast_and_sharpening_are_those_of_albumentations() {
    let goldens = Goldens::open();
    let picture = goldens.image("picture");
    goldens.assert_image("rgb_shift", &rgb_shift(&picture, [12.0, -20.0, 7.0]), 0, 0.0);
    goldens.assert_image("brightness_contrast", &brightness_contrast(&picture, [0.1, -0.08]), 1, 0.6);
    goldens.assert_image("sharpen", &sharpen(&picture, 0.3, 0.7), 1, 0.6);
}

#[test]
fn shifts_along_an_images_own_colours_are_those_of_albumentations() {
    let goldens = Goldens::of("fancy_pca");
    let factors = goldens.values("factors");
    for name in ["picture", "skin"] {
        let picture = goldens.image(name);
        for (index, factor) in factors.iter().enumerate() {
            let shift = shift_of(&picture, f64::from(*factor));
            goldens.assert_image(&format!("{name}.{index}"), &shifted(&picture, shift), 0, 0.0);
        }
        let shifts = goldens.values(&format!("{name}.shift"));
        let found = shift_of(&picture, 1.0);
        assert!(found.iter().zip(&shifts).all(|(one, other)| (one - f64::from(*other)).abs() < 1e-4), "{found:?}");
    }
}

#[test]
fn shifts_of_hue_are_those_of_opencvs_exact_conversion() {
    let goldens = Goldens::open();
    let picture = goldens.image("hsv.picture");
    let (shifts, exact) = (goldens.values("hsv.shifts"), goldens.values("hsv.exact"));
    for (shift, expected) in shifts.as_chunks::<3>().0.iter().zip(exact.chunks_exact(picture.pixels().len())) {
        let shifted = hsv_shift(&picture, *shift);
        let differences = shifted.pixels().iter().zip(expected).map(|(found, exact)| (f32::from(*found) - exact).abs());
        let worst = differences.fold(0.0, f32::max);
        assert!(worst < 0.51, "{shift:?}: {worst}");
    }
}

#[test]
fn turns_scales_and_shifts_are_opencvs_and_those_of_albumentations() {
    let goldens = Goldens::open();
    let picture = goldens.image("picture");
    let turn = Placement { degrees: 10.0, ..Placement::default() };
    goldens.assert_image("rotate.mirrored", &warp(&picture, &turn, Border::Mirrored), 1, 0.05);
    goldens.assert_image("rotate.black", &warp(&picture, &turn, Border::Black), 1, 0.05);
    let placement = Placement { degrees: 0.0, scale: [0.95, 1.04], shift: [2.0 / 56.0, -2.0 / 40.0] };
    goldens.assert_image("affine", &warp(&picture, &placement, Border::Mirrored), 1, 0.05);
    let (points, moved) = (goldens.values("affine.points"), goldens.values("affine.moved"));
    for (point, expected) in points.as_chunks::<2>().0.iter().zip(moved.as_chunks::<2>().0) {
        let found = placement.apply([picture.width(), picture.height()], point.map(f64::from));
        assert!((0..2).all(|axis| (found[axis] - f64::from(expected[axis])).abs() < 1e-3), "{found:?} {expected:?}");
    }
}

#[test]
fn loss_of_resolution_is_pillows_and_opencvs() {
    let goldens = Goldens::open();
    let picture = goldens.image("picture");
    goldens.assert_image("downscale.2.5", &downscale(&picture, 2.5), 2, 0.3);
    goldens.assert_image("decimate.2", &decimate(&picture, 2.0), 1, 0.3);
    goldens.assert_image("decimate.4", &decimate(&picture, 4.0), 1, 0.3);
}

#[test]
fn compression_loses_what_libjpeg_loses() {
    let goldens = Goldens::open();
    let picture = goldens.image("jpeg.picture");
    for quality in [40, 75, 95] {
        goldens.assert_image(&format!("jpeg.{quality}"), &recompress(&picture, quality), 8, 0.5);
    }
}

#[test]
fn hulls_hold_the_pixels_that_scikit_image_finds_inside() {
    let goldens = Goldens::open();
    let (shape, inside) = goldens.bytes("hull.masks");
    let points = goldens.values("hull.points");
    for (points, inside) in points.chunks_exact(28).zip(inside.chunks_exact(shape[1] * shape[2])) {
        let points: Vec<[f64; 2]> = points.as_chunks::<2>().0.iter().map(|point| point.map(f64::from)).collect();
        let mask = Mask::hull([shape[2], shape[1]], &points);
        // Points on whole pixels leave centres exactly on the outline, where either answer is right.
        let different = mask.values().iter().zip(inside).filter(|(found, expected)| **found != f32::from(**expected));
        let on_pixels = points.iter().flatten().all(|coordinate| coordinate.fract() == 0.0);
        assert!(different.count() <= if on_pixels { 60 } else { 0 });
    }
}

#[test]
fn masks_are_deformed_resized_shrunk_and_softened_as_opencv_does() {
    let goldens = Goldens::open();
    let mask = goldens.mask("mask");
    let fields = goldens.values("mask.displacement");
    let (right, down) = fields.split_at(fields.len() / 2);
    let displacement = Displacement::of_pixels([mask.width(), mask.height()], right, down);
    let displaced = largest(&mask.displaced(&displacement), &goldens.mask("mask.displaced"));
    // OpenCV 4 rounds places to 1/32 pixel, OpenCV 5 to less.
    assert!(displaced < 1e-3, "{displaced}");
    let resized = largest(&mask.resized(47, 50), &goldens.mask("mask.resized"));
    assert!(resized < 1e-4, "{resized}");
    for side in [5, 13] {
        assert_eq!(mask.eroded(side), goldens.mask(&format!("mask.eroded.{side}")));
    }
    let blurred = largest(&mask.blurred(25, 31.0), &goldens.mask("mask.blurred.25.31"));
    assert!(blurred < 1e-5, "{blurred}");
}
