//! Whether a face is large, sharp, light and upright enough for its score to mean something.

use alloc::vec::Vec;
use core::ops::Range;

use super::Landmarks;
use super::alignment::{CropGeometry, Similarity, template};
use super::fineness::fineness;
use crate::image::{Interpolation, RgbImage};

/// Side to which a crop is brought before its sharpness is measured, so that the figure does not depend on the crop's.
const MEASURED_SIDE: usize = 128;
/// The border of the measured crop that does not count: hair, background, and black where the frame ends.
const BORDER: usize = 24;
/// Side of the part that counts, …
const INNER_SIDE: usize = MEASURED_SIDE - 2 * BORDER;
/// … in so many blocks along either axis …
const BLOCKS: usize = 5;
/// … of this side.
const BLOCK_SIDE: usize = INNER_SIDE / BLOCKS;

/// Distance between the eyes in pixels.
pub fn eye_distance(landmarks: &Landmarks) -> f32 {
    let [left, right, ..] = landmarks;
    libm::hypotf(right[0] - left[0], right[1] - left[1])
}

/// How far a face is turned in the image plane, in degrees within -180..=180: 0 is upright, 90 is turned clockwise by a
/// quarter, as in a frame that was turned clockwise. It is the turn that alignment undoes, so it rests on all five points;
/// 0 for points that determine none.
///
/// ```
/// use unmask_core::face::quality::roll_degrees;
/// let upright = [[30.0, 40.0], [70.0, 40.0], [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]];
/// assert!(roll_degrees(&upright).abs() < 1e-3);
/// assert!((roll_degrees(&upright.map(|[x, y]: [f32; 2]| [-y, x])) - 90.0).abs() < 1e-3);
/// ```
pub fn roll_degrees(landmarks: &Landmarks) -> f32 {
    let upright = template(CropGeometry::Gend, 1, 1.0);
    Similarity::estimate(&upright, landmarks).map_or(0.0, |turn| turn.angle().to_degrees() as f32)
}

/// How badly five points fit a face seen from the front, however it is turned, sized and placed: the mean distance from the
/// template, laid onto them as well as it can be, in its eye distances. Faces that look at the camera have 0.05, looking
/// aside 0.15; points on what is no face or on a face that is turned have more. Infinite for points that determine no face.
pub(super) fn misfit(landmarks: &Landmarks) -> f32 {
    let upright = template(CropGeometry::Gend, 1, 1.0);
    let Some(laid) = Similarity::estimate(&upright, landmarks) else { return f32::INFINITY };
    let pairs = upright.iter().zip(landmarks);
    let distances = pairs.map(|(from, to)| {
        let [x, y] = laid.apply(from.map(f64::from));
        libm::hypot(x - f64::from(to[0]), y - f64::from(to[1]))
    });
    let eyes = laid.scale() * f64::from(eye_distance(&upright));
    (distances.sum::<f64>() / upright.len() as f64 / eyes) as f32
}

/// What a crop shows of a face's quality.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropQuality {
    /// See [`sharpness`].
    pub sharpness: f32,
    /// See [`detail`].
    pub detail: f32,
    /// See [`brightness`].
    pub brightness: f32,
    /// See [`fineness`].
    pub fineness: f32,
    /// See [`shading`].
    pub shading: f32,
}

impl CropQuality {
    /// Measures an aligned crop whose side is `frame_side` pixels in the frame it was cut from.
    pub fn of(crop: &RgbImage, frame_side: f32) -> Self {
        let middle = Middle::of(crop);
        let laplacian = middle.laplacian();
        Self {
            sharpness: laplacian.variance(),
            detail: laplacian.median_variance(),
            brightness: brightness(crop),
            fineness: fineness(crop, frame_side),
            shading: middle.shading(),
        }
    }
}

/// Mean luma in the middle of an aligned crop, where the face is: 0 for black, 255 for white.
pub fn brightness(crop: &RgbImage) -> f32 {
    let (width, height) = (crop.width(), crop.height());
    let (pixels, _) = crop.pixels().as_chunks::<3>();
    let rows = inner(height).map(|row| &pixels[row * width..][..width][inner(width)]);
    let (count, sum) =
        rows.flatten().fold((0usize, 0.0f64), |(count, sum), pixel| (count + 1, sum + f64::from(luma(pixel))));
    (sum / count.max(1) as f64) as f32
}

/// The part of a side of this length that counts.
pub(super) fn inner(length: usize) -> Range<usize> {
    length * BORDER / MEASURED_SIDE..length - length * BORDER / MEASURED_SIDE
}

/// Variance of the Laplacian (Pech-Pacheco et al. 2000) of the luma in the middle of an aligned crop, after the crop
/// was brought to 128 × 128 pixels. In squared levels of 0..255; 0 for a crop of one colour. The more detail, the
/// higher.
pub fn sharpness(crop: &RgbImage) -> f32 {
    Middle::of(crop).laplacian().variance()
}

/// As [`sharpness`], but the median over the variances in 5 × 5 blocks of the same part of the crop: a single edge, such as
/// that of another picture laid over a blurred face, does not raise it.
pub fn detail(crop: &RgbImage) -> f32 {
    Middle::of(crop).laplacian().median_variance()
}

/// How much of a face shades from place to place, from 0 to 2, on filmed faces mostly 0.4 to 0.7: the median of the steps between neighbouring levels, along
/// rows and columns, in parts of their mean, in the same part of the crop. On filmed skin brightness changes a little nearly
/// everywhere, by the form of the face and by noise; a drawing has even surfaces with all of its steps in a few lines.
/// Infinite for a crop of one colour, which tells nothing.
pub fn shading(crop: &RgbImage) -> f32 {
    Middle::of(crop).shading()
}

/// The luma of a crop that was brought to [`MEASURED_SIDE`], whose middle counts.
struct Middle(Vec<f32>);

impl Middle {
    fn of(crop: &RgbImage) -> Self {
        let small = crop.resize(MEASURED_SIDE, MEASURED_SIDE, Interpolation::Bilinear);
        let (pixels, _) = small.pixels().as_chunks::<3>();
        Self(pixels.iter().map(luma).collect())
    }

    /// The indices of the pixels that count, row by row.
    fn places() -> impl Iterator<Item = usize> {
        let inner = BORDER..MEASURED_SIDE - BORDER;
        inner.clone().flat_map(move |row| inner.clone().map(move |column| row * MEASURED_SIDE + column))
    }

    fn laplacian(&self) -> Laplacian {
        Laplacian(Self::places().map(|place| laplacian(&self.0, place)).collect())
    }

    fn shading(&self) -> f32 {
        let luma = &self.0;
        let step = |place: usize, next: usize| (luma[next] - luma[place]).abs();
        let mut steps: Vec<f32> =
            Self::places().flat_map(|place| [step(place, place + 1), step(place, place + MEASURED_SIDE)]).collect();
        steps.sort_by(f32::total_cmp);
        let mean = steps.iter().map(|step| f64::from(*step)).sum::<f64>() / steps.len() as f64;
        if mean > 0.0 { (f64::from(steps[steps.len() / 2]) / mean) as f32 } else { f32::INFINITY }
    }
}

/// The Laplacian of the luma in the middle of a crop of [`MEASURED_SIDE`], row by row.
struct Laplacian(Vec<f32>);

impl Laplacian {
    fn variance(&self) -> f32 {
        variance(self.0.iter().copied())
    }

    fn median_variance(&self) -> f32 {
        let block = |index: usize| {
            let (top, left) = (index / BLOCKS * BLOCK_SIDE, index % BLOCKS * BLOCK_SIDE);
            let rows = (top..top + BLOCK_SIDE).map(|row| &self.0[row * INNER_SIDE + left..][..BLOCK_SIDE]);
            variance(rows.flatten().copied())
        };
        let mut variances: Vec<f32> = (0..BLOCKS * BLOCKS).map(block).collect();
        variances.sort_by(f32::total_cmp);
        variances[BLOCKS * BLOCKS / 2]
    }
}

fn variance(values: impl Iterator<Item = f32>) -> f32 {
    let (mut count, mut sum, mut sum_of_squares) = (0.0f64, 0.0f64, 0.0f64);
    for value in values.map(f64::from) {
        count += 1.0;
        sum += value;
        sum_of_squares += value * value;
    }
    let mean = sum / count;
    (sum_of_squares / count - mean * mean).max(0.0) as f32
}

/// Luma of ITU-R BT.601.
pub(super) fn luma(pixel: &[u8; 3]) -> f32 {
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
    fn one_edge_across_a_smooth_face_makes_no_detail_and_a_checkerboard_does() {
        let edge = image(128, |x, _| if x < 50 { 40 } else { 200 });
        assert!(sharpness(&edge) > 400.0 && detail(&edge) == 0.0);
        let board = image(128, |x, y| if (x + y) % 2 == 0 { 100 } else { 110 });
        assert!((detail(&board) - 1600.0).abs() < 1.0);
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
    fn an_image_without_pixels_has_no_sharpness_and_no_brightness() {
        let empty = RgbImage::new(0, 0, vec![]).unwrap();
        let (fineness, shading) = (f32::INFINITY, f32::INFINITY);
        let expected = CropQuality { sharpness: 0.0, detail: 0.0, brightness: 0.0, fineness, shading };
        assert_eq!(CropQuality::of(&empty, 100.0), expected);
    }

    #[test]
    fn the_brightness_is_the_mean_luma_of_the_middle() {
        assert!((brightness(&image(200, |_, _| 77)) - 77.0).abs() < 1e-3);
        let framed = image(128, |x, y| if x < 24 || y < 24 || x > 103 || y > 103 { 0 } else { 200 });
        assert!((brightness(&framed) - 200.0).abs() < 1e-3);
        let red = RgbImage::new(8, 8, [100, 0, 0].repeat(64)).unwrap();
        assert!((brightness(&red) - 29.9).abs() < 1e-3);
    }

    #[test]
    fn the_eye_distance_is_euclidean() {
        let points = [[1.0, 1.0], [4.0, 5.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]];
        assert!((eye_distance(&points) - 5.0).abs() < 1e-6);
    }

    #[test]
    fn the_roll_is_the_turn_from_upright_whatever_size_and_place() {
        let upright = [[30.0, 42.0], [70.0, 42.0], [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]];
        for degrees in [0.0f32, 12.5, 90.0, 179.0, -45.0, -90.0, -135.0] {
            let (sine, cosine) = degrees.to_radians().sin_cos();
            let turned =
                upright.map(|[x, y]: [f32; 2]| [900.0 + 3.0 * (x * cosine - y * sine), 3.0 * (x * sine + y * cosine)]);
            assert!((roll_degrees(&turned) - degrees).abs() < 0.01, "{degrees}: {}", roll_degrees(&turned));
        }
        let upside_down = upright.map(|[x, y]: [f32; 2]| [-x, -y]);
        assert!((roll_degrees(&upside_down).abs() - 180.0).abs() < 0.01);
    }

    #[test]
    fn points_that_determine_no_turn_have_no_roll_and_fit_no_face() {
        for points in [[[3.0; 2]; 5], [[f32::NAN; 2]; 5]] {
            assert_eq!(roll_degrees(&points), 0.0);
            assert_eq!(misfit(&points), f32::INFINITY);
        }
    }

    #[test]
    fn the_misfit_is_in_eye_distances_whatever_turn_and_size() {
        let fitting = template(CropGeometry::Gend, 1, 1.0).map(|[x, y]| [700.0 - 90.0 * y, 90.0 * x - 20.0]);
        assert!(misfit(&fitting) < 1e-5);
        // One point moves by half an eye distance: 0.4 of it remain there and 0.1 at the others, less what turn and size take.
        let mut bent = fitting;
        bent[2][0] += 0.5 * eye_distance(&fitting);
        assert!((0.1..0.17).contains(&misfit(&bent)), "{}", misfit(&bent));
    }

    #[test]
    fn a_slope_shades_everywhere_and_even_surfaces_between_lines_nowhere() {
        // Every step down a column is 1 and along a row 0: half of each.
        let slope = shading(&image(128, |_, y| y as u8));
        assert!((slope - 2.0).abs() < 0.1, "{slope}");
        let lines = shading(&image(128, |x, y| if x % 16 == 0 || y % 16 == 0 { 20 } else { 220 }));
        assert_eq!(lines, 0.0);
        assert_eq!(shading(&image(128, |_, _| 90)), f32::INFINITY);
    }
}
