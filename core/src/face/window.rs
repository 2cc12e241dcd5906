//! What a frame shows in a square, of which parts may lie outside it.

use crate::image::Kernel;

use super::boxes::ScoredBox;
use crate::image::{Region, RgbImage};

/// Whether the window covers at least one pixel of the frame and has a sensible size.
pub(super) fn is_usable(frame: &RgbImage, window: &ScoredBox) -> bool {
    let width = window.right.min(frame.width() as f32) - window.left.max(0.0);
    let height = window.bottom.min(frame.height() as f32) - window.top.max(0.0);
    width >= 1.0 && height >= 1.0 && window.width() <= 4.0 * (frame.width() + frame.height()) as f32
}

/// What the frame shows in the square `window`, as an image of `side` pixels; black outside the frame.
pub(super) fn look(frame: &RgbImage, window: &ScoredBox, side: usize) -> RgbImage {
    let columns = Span::new(window.left, window.right, frame.width(), side);
    let rows = Span::new(window.top, window.bottom, frame.height(), side);
    let region = Region { left: columns.start, top: rows.start, width: columns.length, height: rows.length };
    let filter = if window.width() > side as f32 { Kernel::Box } else { Kernel::Triangle };
    let seen = frame.resample(region, columns.pixels, rows.pixels, filter);
    if seen.width() == side && seen.height() == side {
        return seen;
    }
    let mut image = RgbImage::black(side, side);
    let target_rows = image.pixels_mut().chunks_exact_mut(side * 3).skip(rows.first);
    for (target, source) in target_rows.zip(seen.pixels().chunks_exact((seen.width() * 3).max(1))) {
        target[columns.first * 3..][..source.len()].copy_from_slice(source);
    }
    image
}

/// The part of a window's side that lies inside the frame, along one axis, cut at whole pixels of the view.
struct Span {
    /// Where the part begins, in pixels of the frame.
    start: f64,
    /// How long it is, in pixels of the frame.
    length: f64,
    /// First pixel of the view that is wholly inside the frame.
    first: usize,
    /// Number of such pixels.
    pixels: usize,
}

impl Span {
    fn new(from: f32, to: f32, limit: usize, side: usize) -> Self {
        let (from, limit) = (f64::from(from), limit as f64);
        let step = (f64::from(to) - from) / side as f64;
        let first = if from < 0.0 { libm::ceil(-from / step) } else { 0.0 };
        let last = if from + step * side as f64 > limit { libm::floor((limit - from) / step) } else { side as f64 };
        let start = (from + first * step).max(0.0);
        let length = ((last - first).max(0.0) * step).min(limit - start);
        Self { start, length, first: first as usize, pixels: (last - first).max(0.0) as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_over_the_edge_is_black_outside_and_in_place_inside() {
        let window = ScoredBox { left: -12.0, top: 0.0, right: 12.0, bottom: 24.0, score: 1.0 };
        let grey = RgbImage::new(24, 24, [200; 24 * 24 * 3].to_vec()).unwrap();
        let image = look(&grey, &window, 24);
        let (pixels, _) = image.pixels().as_chunks::<3>();
        for (index, pixel) in pixels.iter().enumerate() {
            assert_eq!(*pixel, if index % 24 < 12 { [0; 3] } else { [200; 3] });
        }
    }
}
