//! Turning, scaling, shifting and mirroring an image.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmask_core::image::RgbImage;

use super::draw::{Limit, Probability};
use super::filter::mirrored;
use super::rebuilt;

/// A turn about the centre.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rotate {
    /// Chance that it is done (default 0.5).
    pub probability: Probability,
    /// Most degrees to either side (default 10).
    pub degrees: Limit<180>,
}

impl Default for Rotate {
    fn default() -> Self {
        Self { probability: Probability(0.5), degrees: Limit(10.0) }
    }
}

impl Rotate {
    /// The turn, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<Placement> {
        let is_done = self.probability.draw(rng);
        let degrees = self.degrees.draw(rng);
        is_done.then_some(Placement { degrees, ..Placement::default() })
    }
}

/// A zoom and a shift, as if the face's points had been found a little elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reframe {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// Most that the size differs to either side, in parts of it (default 0.08).
    pub zoom: Limit<1>,
    /// Farthest to either side across and down, in parts of the image's sides (default 0.03).
    pub shift: Limit<1>,
}

impl Default for Reframe {
    fn default() -> Self {
        Self { probability: Probability(0.0), zoom: Limit(0.08), shift: Limit(0.03) }
    }
}

impl Reframe {
    /// The new place, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<Placement> {
        let is_done = self.probability.draw(rng);
        let zoom = self.zoom.draw(rng).exp();
        let shift = [self.shift.draw(rng), self.shift.draw(rng)];
        is_done.then_some(Placement { scale: [zoom; 2], shift, ..Placement::default() })
    }
}

/// What lies beyond the edge of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Border {
    /// Black.
    Black,
    /// The image mirrored, the edge itself once (OpenCV's `BORDER_REFLECT_101`).
    Mirrored,
}

/// Where an image goes: scaled, then turned about its centre, then shifted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Placement {
    /// Degrees counter-clockwise as one sees it.
    pub degrees: f64,
    /// Factors across and down, not 0.
    pub scale: [f64; 2],
    /// Shift to the right and down, in parts of width and height.
    pub shift: [f64; 2],
}

impl Default for Placement {
    fn default() -> Self {
        Self { degrees: 0.0, scale: [1.0; 2], shift: [0.0; 2] }
    }
}

impl Placement {
    /// Where the point `[x, y]` of an image of `[width, height]` goes, all in pixels.
    pub(super) fn apply(&self, [width, height]: [usize; 2], [x, y]: [f64; 2]) -> [f64; 2] {
        let (sine, cosine) = self.degrees.to_radians().sin_cos();
        let centre = centre([width, height]);
        let (u, v) = ((x - centre[0]) * self.scale[0], (y - centre[1]) * self.scale[1]);
        let [right, down] = [self.shift[0] * width as f64, self.shift[1] * height as f64];
        [cosine * u + sine * v + centre[0] + right, cosine * v - sine * u + centre[1] + down]
    }

    /// The inverse of [`apply`](Self::apply) as `x = m[0]·u + m[1]·v + m[2]`, `y = m[3]·u + m[4]·v + m[5]`.
    fn to_source(self, size: [usize; 2]) -> [f64; 6] {
        let (sine, cosine) = self.degrees.to_radians().sin_cos();
        let ([across, down], centre) = (self.scale, centre(size));
        let [a, b, c, d] = [cosine / across, -sine / across, sine / down, cosine / down];
        let origin = [0, 1].map(|axis| centre[axis] + self.shift[axis] * size[axis] as f64);
        let offset = [centre[0] - a * origin[0] - b * origin[1], centre[1] - c * origin[0] - d * origin[1]];
        [a, b, offset[0], c, d, offset[1]]
    }
}

/// The centre of an image, where whole numbers are centres of pixels.
fn centre(size: [usize; 2]) -> [f64; 2] {
    size.map(|length| (length as f64 - 1.0) / 2.0)
}

/// Moves an image within its size. Pixels between pixels are bilinear (OpenCV's `warpAffine`).
pub(super) fn warp(image: &RgbImage, placement: &Placement, border: Border) -> RgbImage {
    warp_where(image, placement, border, |_| true)
}

/// Moves an image as [`warp`] does, but leaves all pixels black except those, counted row by row, that are wanted.
pub(super) fn warp_where(
    image: &RgbImage,
    placement: &Placement,
    border: Border,
    is_wanted: impl Fn(usize) -> bool,
) -> RgbImage {
    let width = image.width();
    let [a, b, c, d, e, f] = placement.to_source([width, image.height()]);
    let mut pixels = vec![0; image.pixels().len()];
    let (colours, _) = pixels.as_chunks_mut::<3>();
    for (row, colours) in colours.chunks_exact_mut(width.max(1)).enumerate() {
        let (left, top) = (b * row as f64 + c, e * row as f64 + f);
        let wanted = colours.iter_mut().enumerate().filter(|(column, _)| is_wanted(row * width + column));
        for (column, colour) in wanted {
            *colour = sample(image, a * column as f64 + left, d * column as f64 + top, border);
        }
    }
    rebuilt(image, pixels)
}

/// An image of `[width, height]` that shows at `(u, v)` what `image` shows at `(m[0]·u + m[1]·v + m[2], m[3]·u + m[4]·v + m[5])`,
/// bilinearly; beyond its edge, which has to be somewhere, it is mirrored.
pub(super) fn warp_by(image: &RgbImage, [width, height]: [usize; 2], m: [f64; 6]) -> RgbImage {
    let mut pixels = Vec::with_capacity(width * height * 3);
    for row in 0..height {
        let (left, top) = (m[1] * row as f64 + m[2], m[4] * row as f64 + m[5]);
        for column in 0..width {
            pixels.extend(sample(image, m[0] * column as f64 + left, m[3] * column as f64 + top, Border::Mirrored));
        }
    }
    RgbImage::new(width, height, pixels).unwrap_or_else(|| image.clone())
}

/// The colour at `(x, y)`.
fn sample(image: &RgbImage, x: f64, y: f64, border: Border) -> [u8; 3] {
    let (column, row) = (floor(x), floor(y));
    let (right, lower) = ((x - column as f64) as f32, (y - row as f64) as f32);
    let (width, height) = (image.width() as i64, image.height() as i64);
    if column >= 0 && row >= 0 && column + 1 < width && row + 1 < height {
        let start = ((row * width + column) * 3) as usize;
        let (upper, below) = (&image.pixels()[start..], &image.pixels()[start + width as usize * 3..]);
        if let (Some(upper), Some(below)) = (upper.first_chunk::<6>(), below.first_chunk::<6>()) {
            return mixed(upper, below, right, lower);
        }
    }
    let [one, two] = [row, row + 1].map(|row| {
        let [[a, b, c], [d, e, f]] = [column, column + 1].map(|column| beyond(image, column, row, border));
        [a, b, c, d, e, f]
    });
    mixed(&one, &two, right, lower)
}

/// The largest whole number that is not above; `f64::floor` is a call of a function on processors without SSE 4.1.
fn floor(value: f64) -> i64 {
    let cut = value as i64;
    if cut as f64 > value { cut - 1 } else { cut }
}

/// Two pixels of a row and the two below, mixed by the parts that the right and the lower ones have.
fn mixed(upper: &[u8; 6], below: &[u8; 6], right: f32, lower: f32) -> [u8; 3] {
    let mut colour = [0; 3];
    for (channel, level) in colour.iter_mut().enumerate() {
        let (one, two) = (f32::from(upper[channel]), f32::from(upper[channel + 3]));
        let (three, four) = (f32::from(below[channel]), f32::from(below[channel + 3]));
        let (above, under) = (one + right * (two - one), three + right * (four - three));
        *level = (above + lower * (under - above) + 0.5) as u8;
    }
    colour
}

/// The pixel at a place that may be beyond the edge.
fn beyond(image: &RgbImage, column: i64, row: i64, border: Border) -> [u8; 3] {
    let (width, height) = (image.width(), image.height());
    let is_inside = (0..width as i64).contains(&column) && (0..height as i64).contains(&row);
    if border == Border::Black && !is_inside {
        return [0; 3];
    }
    let start = (mirrored(row, height) * width + mirrored(column, width)) * 3;
    [image.pixels()[start], image.pixels()[start + 1], image.pixels()[start + 2]]
}

/// The image as in a mirror: left is right.
pub(super) fn flip(image: &RgbImage) -> RgbImage {
    let mut pixels = image.pixels().to_vec();
    let (colours, _) = pixels.as_chunks_mut::<3>();
    if image.width() > 0 {
        colours.chunks_exact_mut(image.width()).for_each(<[_]>::reverse);
    }
    rebuilt(image, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> RgbImage {
        let pixels = (0..7 * 5 * 3usize).map(|i| ((i * 37 + (i * i) % 91) % 256) as u8).collect();
        RgbImage::new(7, 5, pixels).unwrap()
    }

    #[test]
    fn a_placement_that_moves_nothing_gives_the_image_itself() {
        assert_eq!(warp(&picture(), &Placement::default(), Border::Black), picture());
    }

    #[test]
    fn a_shift_by_whole_pixels_moves_them_and_brings_in_the_border() {
        let image = picture();
        let placement = Placement { shift: [2.0 / 7.0, 0.0], ..Placement::default() };
        let colour = |image: &RgbImage, column: usize| image.pixels()[column * 3..column * 3 + 3].to_vec();
        let black = warp(&image, &placement, Border::Black);
        assert_eq!((colour(&black, 1), colour(&black, 2)), (vec![0; 3], colour(&image, 0)));
        let mirrored = warp(&image, &placement, Border::Mirrored);
        assert_eq!((colour(&mirrored, 0), colour(&mirrored, 1)), (colour(&image, 2), colour(&image, 1)));
    }

    #[test]
    fn the_way_to_the_source_undoes_the_placement() {
        let placement = Placement { degrees: 23.0, scale: [0.9, 1.2], shift: [0.1, -0.05] };
        let [u, v] = placement.apply([64, 48], [10.0, 31.0]);
        let [a, b, c, d, e, f] = placement.to_source([64, 48]);
        assert!((a * u + b * v + c - 10.0).abs() < 1e-9 && (d * u + e * v + f - 31.0).abs() < 1e-9);
    }

    #[test]
    fn mirroring_twice_gives_the_image_itself() {
        let once = flip(&picture());
        assert_eq!(once.pixels()[..3], picture().pixels()[6 * 3..7 * 3]);
        assert_eq!(flip(&once), picture());
    }
}
