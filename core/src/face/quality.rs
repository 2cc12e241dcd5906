//! Whether a face is large and sharp enough for its score to mean something.

use alloc::vec::Vec;

use super::Landmarks;
use crate::image::{Interpolation, RgbImage};

/// Side to which a crop is brought before its sharpness is measured, so that the figure does not depend on the crop's.
const MEASURED_SIDE: usize = 128;
/// The border of the measured crop that does not count: hair, background, and black where the frame ends.
const BORDER: usize = 24;

/// Distance between the eyes in pixels.
pub fn eye_distance(landmarks: &Landmarks) -> f32 {
    let [left, right, ..] = landmarks;
    libm::hypotf(right[0] - left[0], right[1] - left[1])
}

/// Variance of the Laplacian (Pech-Pacheco et al. 2000) of the luma in the middle of an aligned crop, after the crop
/// was brought to 128 × 128 pixels. In squared levels of 0..255; 0 for a crop of one colour. The more detail, the
/// higher.
pub fn sharpness(crop: &RgbImage) -> f32 {
    let small = crop.resize(MEASURED_SIDE, MEASURED_SIDE, Interpolation::Bilinear);
    let (pixels, _) = small.pixels().as_chunks::<3>();
    let luma: Vec<f32> = pixels.iter().map(luma).collect();
    let (mut sum, mut sum_of_squares) = (0.0f64, 0.0f64);
    for row in BORDER..MEASURED_SIDE - BORDER {
        for column in BORDER..MEASURED_SIDE - BORDER {
            let value = f64::from(laplacian(&luma, row * MEASURED_SIDE + column));
            sum += value;
            sum_of_squares += value * value;
        }
    }
    let side = (MEASURED_SIDE - 2 * BORDER) as f64;
    let mean = sum / (side * side);
    (sum_of_squares / (side * side) - mean * mean).max(0.0) as f32
}

/// Luma of ITU-R BT.601.
fn luma(pixel: &[u8; 3]) -> f32 {
    let [red, green, blue] = pixel.map(f32::from);
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// The four neighbours less four times the pixel.
fn laplacian(luma: &[f32], index: usize) -> f32 {
    let across = luma[index - 1] + luma[index + 1];
    let down = luma[index - MEASURED_SIDE] + luma[index + MEASURED_SIDE];
    across + down - 4.0 * luma[index]
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn image(side: usize, level: impl Fn(usize, usize) -> u8) -> RgbImage {
        let pixels = (0..side * side).flat_map(|i| [level(i % side, i / side); 3]).collect();
        RgbImage::new(side, side, pixels).unwrap()
    }

    #[test]
    fn one_colour_and_even_slopes_have_no_sharpness() {
        assert_eq!(sharpness(&image(128, |_, _| 130)), 0.0);
        assert!(sharpness(&image(128, |x, y| (x + y) as u8)) < 1e-3);
    }

    #[test]
    fn a_checkerboard_has_the_variance_computed_by_hand() {
        // Neighbours differ by 10 all around: the Laplacian is +40 or -40, its variance 1600.
        let board = image(128, |x, y| if (x + y) % 2 == 0 { 100 } else { 110 });
        assert!((sharpness(&board) - 1600.0).abs() < 1.0);
    }

    #[test]
    fn blur_lowers_the_figure() {
        let stripes = image(256, |x, _| if x / 8 % 2 == 0 { 60 } else { 190 });
        let blurred = stripes.resize(32, 32, Interpolation::Bilinear).resize(256, 256, Interpolation::Bilinear);
        assert!(sharpness(&blurred) < 0.7 * sharpness(&stripes));
    }

    #[test]
    fn the_border_does_not_count() {
        let framed = image(128, |x, y| if x < 16 || y < 16 || x > 111 || y > 111 { 0 } else { 200 });
        assert_eq!(sharpness(&framed), 0.0);
    }

    #[test]
    fn an_image_without_pixels_has_no_sharpness() {
        assert_eq!(sharpness(&RgbImage::new(0, 0, vec![]).unwrap()), 0.0);
    }

    #[test]
    fn the_eye_distance_is_euclidean() {
        let points = [[1.0, 1.0], [4.0, 5.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]];
        assert!((eye_distance(&points) - 5.0).abs() < 1e-6);
    }
}
