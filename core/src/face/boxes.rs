//! Boxes with a score, and how overlapping ones are thinned out.

use alloc::vec::Vec;
use core::cmp::Ordering;

/// A box with a score, in pixels of an image; edges, not pixel indices, so that width = right - left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ScoredBox {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) right: f32,
    pub(super) bottom: f32,
    pub(super) score: f32,
}

impl ScoredBox {
    pub(super) fn width(&self) -> f32 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f32 {
        self.bottom - self.top
    }

    pub(super) fn centre(&self) -> [f32; 2] {
        [(self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0]
    }

    fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// The square around the same centre whose side is `factor` times the longer side.
    pub(super) fn squared(&self, factor: f32) -> Self {
        let half = self.width().max(self.height()) * factor / 2.0;
        let [x, y] = self.centre();
        Self { left: x - half, top: y - half, right: x + half, bottom: y + half, score: self.score }
    }

    /// Whether the two are one face: more than `union` of their union is common, or more than `smaller` of the smaller.
    fn is_same(&self, other: &Self, limits: &Overlap) -> bool {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        let common = width.max(0.0) * height.max(0.0);
        let (union, smaller) = (self.area() + other.area() - common, self.area().min(other.area()));
        common > limits.of_union * union || common > limits.of_smaller * smaller
    }

    /// Best score first; equal scores by position, so that the order never depends on the input's.
    fn by_score(&self, other: &Self) -> Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then(self.left.total_cmp(&other.left))
            .then(self.top.total_cmp(&other.top))
            .then(self.right.total_cmp(&other.right))
            .then(self.bottom.total_cmp(&other.bottom))
    }
}

/// How much of two boxes must be common for them to be one face.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overlap {
    /// More than this part of their union, …
    pub(super) of_union: f32,
    /// … or more than this part of the smaller one, which catches a box inside another.
    pub(super) of_smaller: f32,
}

/// Non-maximum suppression: keeps, best score first, every item that is no face kept before, up to `most`.
pub(super) fn suppress<T>(
    mut items: Vec<T>,
    limits: &Overlap,
    most: usize,
    box_of: impl Fn(&T) -> &ScoredBox,
) -> Vec<T> {
    items.sort_by(|one, other| box_of(one).by_score(box_of(other)));
    let mut kept: Vec<T> = Vec::new();
    for item in items {
        if kept.len() == most {
            break;
        }
        if !kept.iter().any(|better| box_of(better).is_same(box_of(&item), limits)) {
            kept.push(item);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const HALF: Overlap = Overlap { of_union: 0.5, of_smaller: 1.0 };

    fn square(left: f32, top: f32, side: f32, score: f32) -> ScoredBox {
        ScoredBox { left, top, right: left + side, bottom: top + side, score }
    }

    #[test]
    fn suppression_keeps_the_best_of_overlapping_boxes_and_all_others() {
        let best = square(0.0, 0.0, 10.0, 0.9);
        let apart = square(30.0, 0.0, 10.0, 0.5);
        let boxes = vec![square(1.0, 0.0, 10.0, 0.8), apart, best];
        assert_eq!(suppress(boxes, &HALF, 9, |item| item), [best, apart]);
    }

    #[test]
    fn no_more_boxes_are_kept_than_asked_for_and_the_best_of_them() {
        let boxes: Vec<ScoredBox> = (0..9).map(|i| square(20.0 * i as f32, 0.0, 10.0, 0.1 * i as f32)).collect();
        assert_eq!(suppress(boxes.clone(), &HALF, 2, |item| item), [boxes[8], boxes[7]]);
    }

    #[test]
    fn a_box_inside_another_goes_only_when_the_smaller_one_counts() {
        let boxes = vec![square(0.0, 0.0, 10.0, 0.9), square(2.0, 2.0, 4.0, 0.8)];
        assert_eq!(suppress(boxes.clone(), &HALF, 9, |item| item).len(), 2);
        assert_eq!(suppress(boxes, &Overlap { of_smaller: 0.7, ..HALF }, 9, |item| item).len(), 1);
    }

    #[test]
    fn squaring_keeps_the_centre_and_multiplies_the_longer_side() {
        let tall = ScoredBox { left: 4.0, top: 0.0, right: 8.0, bottom: 10.0, score: 1.0 };
        assert_eq!(tall.squared(2.0), square(-4.0, -5.0, 20.0, 1.0));
    }

    #[test]
    fn boxes_without_area_are_never_the_same() {
        let point = square(3.0, 3.0, 0.0, 1.0);
        assert!(!point.is_same(&point, &HALF));
    }
}
