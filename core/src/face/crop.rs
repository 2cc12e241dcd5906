//! Cutting an aligned face out of a frame.

use super::Landmarks;
use super::alignment::{CropSpec, Similarity, template};
use crate::image::RgbImage;

/// The face with these landmarks, turned, scaled and moved so that they lie on the template: `spec.size` pixels square.
///
/// Every pixel is interpolated bilinearly between the four nearest pixels of the frame; pixels outside the frame are
/// black. A face much larger than the crop is *not* smoothed before (below half size some of the frame's pixels are
/// skipped): detectors were trained on crops made this way (DeepfakeBench's `warpAffine`), and the noise that skipping
/// keeps is part of what they saw.
///
/// `None` if the landmarks determine no transform (see [`Similarity::estimate`]).
pub fn crop(frame: &RgbImage, landmarks: &Landmarks, spec: &CropSpec) -> Option<RgbImage> {
    let to_crop = Similarity::estimate(landmarks, &template(spec.geometry, spec.size, spec.margin))?;
    Some(warp(frame, &to_crop.inverse(), spec.size))
}

/// Samples the frame at the places to which `to_frame` takes the pixels of a square of `size` pixels.
fn warp(frame: &RgbImage, to_frame: &Similarity, size: usize) -> RgbImage {
    let mut warped = RgbImage::black(size, size);
    let (pixels, _) = warped.pixels_mut().as_chunks_mut::<3>();
    for (index, pixel) in pixels.iter_mut().enumerate() {
        let [x, y] = to_frame.apply([(index % size) as f64, (index / size) as f64]);
        *pixel = sample(frame, x, y);
    }
    warped
}

/// The colour at `(x, y)`, where whole numbers are centres of pixels.
fn sample(frame: &RgbImage, x: f64, y: f64) -> [u8; 3] {
    let (width, height) = (frame.width() as f64, frame.height() as f64);
    let is_near = x > -1.0 && y > -1.0 && x < width && y < height;
    if !is_near {
        return [0; 3];
    }
    // Both are above -1, so adding 1 before cutting off the fraction rounds down.
    let (column, row) = ((x + 1.0) as i64 - 1, (y + 1.0) as i64 - 1);
    let (right, lower) = ((x - column as f64) as f32, (y - row as f64) as f32);
    let [[upper_left, upper_right], [lower_left, lower_right]] = neighbours(frame, column, row);
    let corners = [
        (upper_left, (1.0 - right) * (1.0 - lower)),
        (upper_right, right * (1.0 - lower)),
        (lower_left, (1.0 - right) * lower),
        (lower_right, right * lower),
    ];
    [0, 1, 2].map(|channel| {
        let level: f32 = corners.iter().map(|(colour, weight)| f32::from(colour[channel]) * weight).sum();
        (level + 0.5) as u8
    })
}

/// The pixel at `(column, row)` and the one to its right, and the two below them.
fn neighbours(frame: &RgbImage, column: i64, row: i64) -> [[[u8; 3]; 2]; 2] {
    let (pixels, _) = frame.pixels().as_chunks::<3>();
    let pair = |row: i64| {
        let start = usize::try_from(row * frame.width() as i64 + column).ok()?;
        pixels.get(start..)?.first_chunk::<2>().copied()
    };
    // Most lie within the frame, where no edge need be looked for.
    let is_inside = column >= 0 && row >= 0 && column + 1 < frame.width() as i64 && row + 1 < frame.height() as i64;
    if is_inside && let (Some(upper), Some(lower)) = (pair(row), pair(row + 1)) {
        return [upper, lower];
    }
    [row, row + 1].map(|row| [column, column + 1].map(|column| pixel(frame, column, row)))
}

fn pixel(frame: &RgbImage, column: i64, row: i64) -> [u8; 3] {
    if column < 0 || row < 0 || column >= frame.width() as i64 || row >= frame.height() as i64 {
        return [0; 3];
    }
    let start = (row as usize * frame.width() + column as usize) * 3;
    [frame.pixels()[start], frame.pixels()[start + 1], frame.pixels()[start + 2]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::alignment::CropGeometry;

    const SPEC: CropSpec = CropSpec { geometry: CropGeometry::Dfb, size: 64, margin: 1.3 };

    /// Red grows by 2 a column, green by 2 a row.
    fn ramp(width: usize, height: usize) -> RgbImage {
        let pixels = (0..width * height).flat_map(|i| [(i % width * 2) as u8, (i / width * 2) as u8, 9]).collect();
        RgbImage::new(width, height, pixels).unwrap()
    }

    #[test]
    fn landmarks_on_the_template_give_the_frame_itself() {
        let frame = ramp(64, 64);
        assert_eq!(crop(&frame, &template(SPEC.geometry, 64, SPEC.margin), &SPEC).unwrap(), frame);
    }

    #[test]
    fn a_face_twice_as_large_and_shifted_is_sampled_where_it_lies() {
        let landmarks = template(SPEC.geometry, 32, SPEC.margin).map(|[x, y]| [x + 5.0, y + 3.0]);
        let cropped = crop(&ramp(64, 64), &landmarks, &SPEC).unwrap();
        let (pixels, _) = cropped.pixels().as_chunks::<3>();
        for (index, &[red, green, _]) in pixels.iter().enumerate() {
            let (column, row) = (index % 64, index / 64);
            assert_eq!((usize::from(red), usize::from(green)), (column + 10, row + 6));
        }
    }

    #[test]
    fn outside_the_frame_is_black() {
        let landmarks = template(SPEC.geometry, 64, SPEC.margin).map(|[x, y]| [x - 20.0, y]);
        let white = RgbImage::new(64, 64, [255; 64 * 64 * 3].to_vec()).unwrap();
        let cropped = crop(&white, &landmarks, &SPEC).unwrap();
        let (pixels, _) = cropped.pixels().as_chunks::<3>();
        assert_eq!(pixels[19], [0; 3]);
        assert_eq!(pixels[21], [255; 3]);
    }

    #[test]
    fn landmarks_that_fix_no_transform_give_no_crop() {
        assert_eq!(crop(&ramp(8, 8), &[[3.0, 3.0]; 5], &SPEC), None);
        assert_eq!(crop(&ramp(8, 8), &[[f32::INFINITY; 2]; 5], &SPEC), None);
    }

    #[test]
    fn a_frame_without_pixels_gives_a_black_crop() {
        let empty = RgbImage::black(0, 0);
        let landmarks = template(SPEC.geometry, 64, SPEC.margin);
        assert_eq!(crop(&empty, &landmarks, &SPEC), Some(RgbImage::black(64, 64)));
    }
}
