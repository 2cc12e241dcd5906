//! The boxes that pass through the cascade, and how overlapping ones are thinned out.

use alloc::vec::Vec;
use core::cmp::Ordering;

/// A box with a score, in pixels of the frame; edges, not pixel indices, so that width = right - left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ScoredBox {
    pub(super) left: f32,
    pub(super) top: f32,
    pub(super) right: f32,
    pub(super) bottom: f32,
    pub(super) score: f32,
}

/// How much of two boxes is common, as a part of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OverlapOf {
    /// Of their union.
    Union,
    /// Of the smaller one: also catches a box inside another.
    Smaller,
}

impl ScoredBox {
    pub(super) fn width(&self) -> f32 {
        self.right - self.left
    }

    pub(super) fn height(&self) -> f32 {
        self.bottom - self.top
    }

    fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// Moves the four edges by `offsets`, given in parts of the width and the height.
    pub(super) fn shifted(&self, offsets: [f32; 4]) -> Self {
        let (width, height) = (self.width(), self.height());
        Self {
            left: self.left + offsets[0] * width,
            top: self.top + offsets[1] * height,
            right: self.right + offsets[2] * width,
            bottom: self.bottom + offsets[3] * height,
            score: self.score,
        }
    }

    /// The square around the same centre that has the longer side.
    pub(super) fn squared(&self) -> Self {
        let half = self.width().max(self.height()) / 2.0;
        let (x, y) = ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0);
        Self { left: x - half, top: y - half, right: x + half, bottom: y + half, score: self.score }
    }

    fn overlap(&self, other: &Self, of: OverlapOf) -> f32 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        let common = width.max(0.0) * height.max(0.0);
        let whole = match of {
            OverlapOf::Union => self.area() + other.area() - common,
            OverlapOf::Smaller => self.area().min(other.area()),
        };
        if whole > 0.0 { common / whole } else { 0.0 }
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

/// Non-maximum suppression: keeps, best score first, every item whose box overlaps none of those kept before by more
/// than `limit`.
pub(super) fn suppress<T>(mut items: Vec<T>, limit: f32, of: OverlapOf, box_of: impl Fn(&T) -> &ScoredBox) -> Vec<T> {
    items.sort_by(|one, other| box_of(one).by_score(box_of(other)));
    let mut kept: Vec<T> = Vec::new();
    for item in items {
        if kept.iter().all(|better| box_of(better).overlap(box_of(&item), of) <= limit) {
            kept.push(item);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn square(left: f32, top: f32, side: f32, score: f32) -> ScoredBox {
        ScoredBox { left, top, right: left + side, bottom: top + side, score }
    }

    #[test]
    fn suppression_keeps_the_best_of_overlapping_boxes_and_all_others() {
        let best = square(0.0, 0.0, 10.0, 0.9);
        let apart = square(30.0, 0.0, 10.0, 0.5);
        let boxes = vec![square(1.0, 0.0, 10.0, 0.8), apart, best];
        assert_eq!(suppress(boxes, 0.5, OverlapOf::Union, |item| item), [best, apart]);
    }

    #[test]
    fn a_box_inside_another_goes_only_when_the_smaller_one_counts() {
        let boxes = vec![square(0.0, 0.0, 10.0, 0.9), square(2.0, 2.0, 4.0, 0.8)];
        assert_eq!(suppress(boxes.clone(), 0.7, OverlapOf::Union, |item| item).len(), 2);
        assert_eq!(suppress(boxes, 0.7, OverlapOf::Smaller, |item| item).len(), 1);
    }

    #[test]
    fn squaring_keeps_the_centre_and_the_longer_side() {
        let tall = ScoredBox { left: 4.0, top: 0.0, right: 8.0, bottom: 10.0, score: 1.0 };
        assert_eq!(tall.squared(), square(1.0, 0.0, 10.0, 1.0));
    }

    #[test]
    fn offsets_are_parts_of_the_side() {
        let moved = square(0.0, 0.0, 10.0, 1.0).shifted([0.1, -0.1, 0.2, 0.0]);
        assert_eq!(moved, ScoredBox { left: 1.0, top: -1.0, right: 12.0, bottom: 10.0, score: 1.0 });
    }

    #[test]
    fn boxes_without_area_do_not_overlap() {
        let point = square(3.0, 3.0, 0.0, 1.0);
        assert_eq!(point.overlap(&point, OverlapOf::Smaller), 0.0);
    }
}
