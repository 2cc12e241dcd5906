//! From the network's answer to boxes and points, and how they move when an image is turned or scaled.

use alloc::vec::Vec;

use super::boxes::{Overlap, ScoredBox, suppress};
use super::centerface::{CHANNELS, STRIDE};
use super::quality::{misfit, roll_degrees};
use super::{Face, Landmarks, Rect};

/// What is one face within an answer: the published decoding's limit for the union. The limit for the smaller box takes
/// away a face's parts, which close views of large faces bring up at times.
pub(super) const ONE_FACE: Overlap = Overlap { of_union: 0.3, of_smaller: 0.6 };
/// Most places of an answer that are looked at, best first: bounds the time that a crowd takes.
const MOST_PLACES: usize = 2000;
/// Most faces of a frame.
pub(super) const MOST_FACES: usize = 200;
/// Logarithm of the longest side in fours of pixels: longer than any input.
const LONGEST: f32 = 9.0;

/// A face as the network sees it, in pixels of an image counted from its upper left corner: pixel `i` covers `i..i + 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Detection {
    pub(super) window: ScoredBox,
    pub(super) points: Landmarks,
}

/// The faces in one image's answer `[rows, columns, 15]` of which the network believes `threshold` or more, best first, in
/// pixels of its input.
pub(super) fn decode(answer: &[f32], columns: usize, threshold: f32) -> Vec<Detection> {
    let (places, _) = answer.as_chunks::<CHANNELS>();
    let mut found: Vec<(usize, &[f32; CHANNELS])> = places
        .iter()
        .enumerate()
        .filter(|(_, numbers)| sigmoid(numbers[0]) >= threshold && numbers.iter().all(|number| number.is_finite()))
        .collect();
    found.sort_by(|one, other| other.1[0].total_cmp(&one.1[0]).then(one.0.cmp(&other.0)));
    found.truncate(MOST_PLACES);
    let detections = found.into_iter().map(|(index, numbers)| detection(index % columns, index / columns, numbers));
    suppress(detections.collect(), &ONE_FACE, MOST_FACES, |detection| &detection.window)
}

fn detection(column: usize, row: usize, numbers: &[f32; CHANNELS]) -> Detection {
    let [heat, width, height, right, down, points @ ..] = numbers;
    let stride = STRIDE as f32;
    let [width, height] = [width, height].map(|logarithm| stride * libm::expf(logarithm.min(LONGEST)));
    let left = stride * (column as f32 + 0.5 + right) - width / 2.0;
    let top = stride * (row as f32 + 0.5 + down) - height / 2.0;
    let (points, _) = points.as_chunks::<2>();
    Detection {
        window: ScoredBox { left, top, right: left + width, bottom: top + height, score: sigmoid(*heat) },
        points: core::array::from_fn(|point| {
            points.get(point).map_or([left, top], |[x, y]| [left + x * width, top + y * height])
        }),
    }
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + libm::expf(-logit))
}

impl Detection {
    /// How sure it is that this is a face which is upright in its image: the network's belief less how badly the points fit a
    /// face. On 569 faces of photographs and clips, turned by quarters, the upright view had the most in every case; by belief
    /// alone it was 412 of them.
    pub(super) fn merit(&self) -> f32 {
        self.window.score - misfit(&self.points)
    }

    /// How far the points are turned, without sign, in degrees.
    pub(super) fn turn(&self) -> f32 {
        roll_degrees(&self.points).abs()
    }

    /// The clockwise quarter turns of the frame, 1 to 3, that make this face upright; `None` if it is so.
    pub(super) fn quarters(&self) -> Option<usize> {
        let quarters = libm::roundf(-roll_degrees(&self.points) / 90.0) as i32;
        Some(quarters.rem_euclid(4) as usize).filter(|quarters| *quarters > 0)
    }

    /// The detection with every point moved.
    pub(super) fn moved(&self, place: impl Fn([f32; 2]) -> [f32; 2]) -> Self {
        let ScoredBox { left, top, right, bottom, score } = self.window;
        // A quarter turn exchanges corners.
        let (one, other) = (place([left, top]), place([right, bottom]));
        let window = ScoredBox {
            left: one[0].min(other[0]),
            top: one[1].min(other[1]),
            right: one[0].max(other[0]),
            bottom: one[1].max(other[1]),
            score,
        };
        Self { window, points: self.points.map(place) }
    }

    /// As a face of a frame of this size: its box cut at the edges, its points counted from the centre of the first pixel.
    /// `None` if nothing of it is inside.
    pub(super) fn face(&self, width: usize, height: usize) -> Option<Face> {
        let (x, y) = (self.window.left.max(0.0), self.window.top.max(0.0));
        let bounds = Rect {
            x,
            y,
            width: self.window.right.min(width as f32) - x,
            height: self.window.bottom.min(height as f32) - y,
        };
        let landmarks = self.points.map(|point| point.map(|coordinate| coordinate - 0.5));
        let is_inside = bounds.width > 0.0 && bounds.height > 0.0;
        is_inside.then_some(Face { bounds, landmarks, confidence: self.window.score })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer of 3 × 5 places with nothing in it but what `faces` put at (column, row).
    fn answer(faces: &[(usize, usize, [f32; CHANNELS])]) -> Vec<f32> {
        let mut answer = [-9.0, 1.0, 1.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5].repeat(15);
        for (column, row, numbers) in faces {
            answer[(row * 5 + column) * CHANNELS..][..CHANNELS].copy_from_slice(numbers);
        }
        answer
    }

    /// Twelve pixels wide, eight high.
    fn numbers(logit: f32) -> [f32; CHANNELS] {
        let (width, height) = (3.0f32.ln(), 2.0f32.ln());
        [logit, width, height, 0.25, -0.5, 0.25, 0.5, 0.75, 0.5, 0.5, 0.625, 0.25, 0.75, 0.75, 0.75]
    }

    #[test]
    fn a_place_becomes_a_box_and_points_by_the_published_formula() {
        let found = decode(&answer(&[(2, 1, numbers(0.0))]), 5, 0.4);
        // The centre is 4 * (2 + 0.5 + 0.25) = 11 across and 4 * (1 + 0.5 - 0.5) = 4 down.
        let expected = ScoredBox { left: 5.0, top: 0.0, right: 17.0, bottom: 8.0, score: 0.5 };
        assert_eq!(found.len(), 1);
        let Detection { window, points } = found[0];
        for (found, expected) in [
            (window.left, expected.left),
            (window.top, expected.top),
            (window.right, expected.right),
            (window.bottom, expected.bottom),
            (window.score, expected.score),
        ] {
            assert!((found - expected).abs() < 1e-5, "{window:?}");
        }
        let expected = [[8.0, 4.0], [14.0, 4.0], [11.0, 5.0], [8.0, 6.0], [14.0, 6.0]];
        for (found, expected) in points.as_flattened().iter().zip(expected.as_flattened()) {
            assert!((found - expected).abs() < 1e-5, "{points:?}");
        }
    }

    #[test]
    fn neighbouring_places_are_one_face_the_best() {
        let found = decode(&answer(&[(2, 1, numbers(1.0)), (3, 1, numbers(2.0)), (0, 2, numbers(-3.0))]), 5, 0.3);
        assert_eq!(found.len(), 1);
        assert!((found[0].window.score - 1.0 / (1.0 + (-2.0f32).exp())).abs() < 1e-6);
    }

    #[test]
    fn numbers_that_are_not_finite_or_absurd_make_no_face_or_a_finite_one() {
        let (mut broken, mut huge) = (numbers(3.0), numbers(3.0));
        broken[7] = f32::NAN;
        huge[1] = 1e30;
        assert!(decode(&answer(&[(1, 1, broken)]), 5, 0.3).is_empty());
        let found = decode(&answer(&[(1, 1, huge)]), 5, 0.3);
        assert!(found.iter().all(|detection| detection.window.width().is_finite()));
    }

    #[test]
    fn the_box_is_cut_at_the_edges_and_points_count_from_centres() {
        let window = ScoredBox { left: -2.0, top: 1.0, right: 6.0, bottom: 12.0, score: 0.7 };
        let face = Detection { window, points: [[3.0, 4.0]; 5] }.face(5, 9).unwrap();
        assert_eq!(face.bounds, Rect { x: 0.0, y: 1.0, width: 5.0, height: 8.0 });
        assert_eq!(face.landmarks, [[2.5, 3.5]; 5]);
        assert_eq!(Detection { window: ScoredBox { right: -1.0, ..window }, points: [[0.0; 2]; 5] }.face(5, 9), None);
    }

    #[test]
    fn the_turn_that_makes_a_face_upright_undoes_its_own() {
        let upright = [[30.0, 40.0], [70.0, 40.0], [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]];
        let window = ScoredBox { left: 20.0, top: 20.0, right: 80.0, bottom: 90.0, score: 0.9 };
        let mut face = Detection { window, points: upright };
        for quarters in [None, Some(3), Some(2), Some(1), None] {
            assert_eq!(face.quarters(), quarters);
            // Clockwise by a quarter in a frame of 100 lines.
            face = face.moved(|[x, y]| [100.0 - y, x]);
        }
    }

    #[test]
    fn a_face_that_points_fit_has_more_merit() {
        let upright = [[30.0, 40.0], [70.0, 40.0], [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]];
        let window = ScoredBox { left: 20.0, top: 20.0, right: 80.0, bottom: 90.0, score: 0.9 };
        let fitting = Detection { window, points: upright };
        let mut bent = fitting;
        bent.points[2] = [90.0, 30.0];
        assert!(fitting.merit() > bent.merit() + 0.1);
        assert!(fitting.merit() <= 0.9);
    }
}
