//! Masks: which part of an image is replaced, and how much of each pixel.

use super::elastic::Displacement;
use super::filter::{convolve, gaussian};

/// How much of each pixel is replaced, from 0 (nothing) to 1 (all), rows from top to bottom.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Mask {
    /// Wraps `values`, `[height, width]`; `None` if their number does not fit the size.
    #[cfg(test)]
    pub fn new(width: usize, height: usize, values: Vec<f32>) -> Option<Self> {
        (width.checked_mul(height)? == values.len()).then_some(Self { width, height, values })
    }

    /// The convex hull of `points`, `[x, y]` in pixels with whole numbers in the centres: 1 in pixels whose centre is within
    /// it, 0 elsewhere. Fewer than three points, or one that is not finite, give an empty mask.
    pub fn hull([width, height]: [usize; 2], points: &[[f64; 2]]) -> Self {
        let hull = convex_hull(points);
        let mut values = vec![0.0; width * height];
        if width > 0 {
            for (row, values) in values.chunks_exact_mut(width).enumerate() {
                let Some((left, right)) = span(&hull, row as f64) else { continue };
                let first = left.ceil().max(0.0);
                let end = (right.floor() + 1.0).min(width as f64);
                if first < end {
                    values[first as usize..end as usize].fill(1.0);
                }
            }
        }
        Self { width, height, values }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The values, `[height, width]`, 0..=1.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Whether nothing is replaced anywhere.
    pub fn is_empty(&self) -> bool {
        self.values.iter().all(|value| *value <= 0.0)
    }

    /// The mask whose every pixel shows what lies at its displacement, bilinearly; the edge goes on beyond it.
    pub fn displaced(&self, displacement: &Displacement) -> Self {
        let mut values = vec![0.0; self.values.len()];
        for (row, values) in values.chunks_exact_mut(self.width.max(1)).enumerate() {
            let [right, down] = displacement.row(row, self.width);
            for (column, value) in values.iter_mut().enumerate() {
                let (left, next, across) = neighbours(column as f32 + right[column], self.width);
                let (upper, lower, part) = neighbours(row as f32 + down[column], self.height);
                let (upper, lower) = (&self.values[upper * self.width..], &self.values[lower * self.width..]);
                let above = upper[left] + across * (upper[next] - upper[left]);
                let below = lower[left] + across * (lower[next] - lower[left]);
                *value = above + part * (below - above);
            }
        }
        Self { values, ..*self }
    }

    /// The mask in another size, bilinearly (OpenCV's `resize`, without antialiasing). A mask without pixels becomes empty.
    pub fn resized(&self, width: usize, height: usize) -> Self {
        let mut values = vec![0.0; width * height];
        if self.values.is_empty() || values.is_empty() {
            return Self { width, height, values };
        }
        let (across, down) = (self.width as f32 / width as f32, self.height as f32 / height as f32);
        let columns: Vec<_> =
            (0..width).map(|column| neighbours((column as f32 + 0.5) * across - 0.5, self.width)).collect();
        for (row, values) in values.chunks_exact_mut(width).enumerate() {
            let (upper, lower, part) = neighbours((row as f32 + 0.5) * down - 0.5, self.height);
            let (upper, lower) = (&self.values[upper * self.width..], &self.values[lower * self.width..]);
            let mixed = upper.iter().zip(lower).take(self.width).map(|(upper, lower)| upper + part * (lower - upper));
            let mixed: Vec<f32> = mixed.collect();
            for (value, &(left, right, part)) in values.iter_mut().zip(&columns) {
                *value = mixed[left] + part * (mixed[right] - mixed[left]);
            }
        }
        Self { width, height, values }
    }

    /// 1 where all pixels of the square of `side` pixels around are at least a half, 0 elsewhere; what is beyond the edge
    /// does not count. `side` is odd.
    pub fn eroded(&self, side: usize) -> Self {
        let radius = side / 2;
        let mut across = vec![0u16; self.values.len()];
        let length = self.width.max(1);
        for (row, full) in self.values.chunks_exact(length).zip(across.chunks_exact_mut(length)) {
            // The next empty pixel to the left, or the start of the row.
            let mut filled = usize::MAX / 2;
            for (value, full) in row.iter().zip(full.iter_mut()) {
                filled = if *value >= 0.5 { filled + 1 } else { 0 };
                *full = u16::from(filled > radius);
            }
            let mut filled = usize::MAX / 2;
            for (value, full) in row.iter().zip(full.iter_mut()).rev() {
                filled = if *value >= 0.5 { filled + 1 } else { 0 };
                *full &= u16::from(filled > radius);
            }
        }
        let mut values = Vec::with_capacity(self.values.len());
        let mut counts = vec![0u16; self.width];
        for row in 0..self.height {
            // Rows `row - radius ..= row + radius` are counted; one comes in and one goes out with each step.
            let entering = if row == 0 { 0..radius.min(self.height - 1) + 1 } else { row + radius..row + radius + 1 };
            for row in entering.filter(|row| *row < self.height) {
                let full = &across[row * self.width..][..self.width];
                counts.iter_mut().zip(full).for_each(|(count, full)| *count += full);
            }
            if let Some(leaving) = row.checked_sub(radius + 1) {
                let full = &across[leaving * self.width..][..self.width];
                counts.iter_mut().zip(full).for_each(|(count, full)| *count -= full);
            }
            let rows = (row + radius).min(self.height - 1) + 1 - row.saturating_sub(radius);
            values.extend(counts.iter().map(|count| f32::from(u8::from(usize::from(*count) == rows))));
        }
        Self { values, ..*self }
    }

    /// The mask blurred by a Gaussian on `side` pixels.
    pub fn blurred(&self, side: usize, deviation: f64) -> Self {
        Self { values: convolve(&self.values, self.width, 1, &gaussian(side, Some(deviation))), ..*self }
    }

    /// The mask without a soft edge: its largest value wherever it is at least half of that and not 0, and 0 elsewhere.
    pub fn hardened(mut self) -> Self {
        let largest = self.values.iter().fold(0.0f32, |largest, value| largest.max(*value));
        let hard = |value: f32| if value > 0.0 && value >= 0.5 * largest { largest } else { 0.0 };
        self.values.iter_mut().for_each(|value| *value = hard(*value));
        self
    }

    /// The mask multiplied so that its largest value is `most`; an empty one stays empty.
    pub fn scaled_to(mut self, most: f32) -> Self {
        let largest = self.values.iter().fold(0.0f32, |largest, value| largest.max(*value));
        if largest > 0.0 {
            self.values.iter_mut().for_each(|value| *value *= most / largest);
        }
        self
    }
}

/// The pixels before and after a place within `0..length`, and how far it is from the first to the second, 0 to 1. What is
/// outside counts as the nearest end. `length` is not 0.
fn neighbours(place: f32, length: usize) -> (usize, usize, f32) {
    let place = place.clamp(0.0, (length - 1) as f32);
    let before = place as usize;
    (before, (before + 1).min(length - 1), place - before as f32)
}

/// The corners of the convex hull in order (Andrew's monotone chain, 1979); empty where a point is not finite.
fn convex_hull(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    if points.iter().flatten().any(|coordinate| !coordinate.is_finite()) {
        return Vec::new();
    }
    let mut sorted = points.to_vec();
    sorted.sort_by(|one, other| one[0].total_cmp(&other[0]).then(one[1].total_cmp(&other[1])));
    let mut hull = half_hull(sorted.iter());
    hull.extend(half_hull(sorted.iter().rev()));
    hull
}

/// The hull's corners on one side, without the last, which is the first of the other side.
fn half_hull<'a>(points: impl Iterator<Item = &'a [f64; 2]>) -> Vec<[f64; 2]> {
    let mut half: Vec<[f64; 2]> = Vec::new();
    for point in points {
        while let [.., one, two] = half[..]
            && (two[0] - one[0]) * (point[1] - one[1]) <= (two[1] - one[1]) * (point[0] - one[0])
        {
            half.pop();
        }
        half.push(*point);
    }
    half.pop();
    half
}

/// Where a convex outline is crossed at a height, from left to right.
fn span(hull: &[[f64; 2]], y: f64) -> Option<(f64, f64)> {
    let mut ends: Option<(f64, f64)> = None;
    for (index, &[from_x, from_y]) in hull.iter().enumerate() {
        let [to_x, to_y] = hull[(index + 1) % hull.len()];
        let is_crossed = from_y.min(to_y) <= y && y <= from_y.max(to_y);
        if !is_crossed || from_y == to_y {
            continue;
        }
        let x = from_x + (y - from_y) / (to_y - from_y) * (to_x - from_x);
        ends = Some(ends.map_or((x, x), |(left, right)| (left.min(x), right.max(x))));
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(side: usize, inside: std::ops::Range<usize>) -> Mask {
        let is_inside = |index: usize| inside.contains(&(index % side)) && inside.contains(&(index / side));
        Mask::new(side, side, (0..side * side).map(|index| f32::from(u8::from(is_inside(index)))).collect()).unwrap()
    }

    #[test]
    fn a_hull_holds_the_pixels_whose_centres_are_within() {
        let points = [[1.0, 1.0], [5.2, 1.0], [3.0, 2.0], [5.2, 4.9], [1.0, 4.9]];
        let mask = Mask::hull([7, 7], &points);
        let inside = |index: usize| (1..=5).contains(&(index % 7)) && (1..=4).contains(&(index / 7));
        assert!(mask.values().iter().enumerate().all(|(index, value)| (*value == 1.0) == inside(index)));
    }

    #[test]
    fn points_without_an_area_or_not_finite_give_an_empty_mask() {
        assert!(Mask::hull([9, 9], &[]).is_empty());
        assert!(Mask::hull([9, 9], &[[2.5, 2.5], [2.5, 2.5]]).is_empty());
        assert!(Mask::hull([9, 9], &[[1.0, 1.0], [7.0, 1.0], [f64::NAN, 7.0]]).is_empty());
        assert!(Mask::hull([9, 9], &[[-9.0, -9.0], [-2.0, -9.0], [-5.0, -3.0]]).is_empty());
        assert!(Mask::hull([0, 0], &[[1.0, 1.0], [7.0, 1.0], [3.0, 7.0]]).is_empty());
    }

    #[test]
    fn erosion_takes_a_margin_away_and_leaves_the_edge_of_the_image() {
        assert_eq!(square(11, 2..9).eroded(5), square(11, 4..7));
        assert_eq!(square(11, 0..9).eroded(5), square(11, 0..7));
        assert!(square(11, 3..6).eroded(5).is_empty());
        assert_eq!(square(4, 0..4).eroded(25), square(4, 0..4));
    }

    #[test]
    fn scaling_reaches_the_wanted_level_and_an_empty_mask_stays_empty() {
        let blurred = square(21, 5..16).blurred(9, 30.0);
        assert_eq!(blurred.clone().scaled_to(0.75).values().iter().fold(0.0f32, |most, value| most.max(*value)), 0.75);
        assert!(square(5, 0..0).scaled_to(1.0).is_empty());
        let hard = blurred.scaled_to(0.5).hardened();
        assert!(hard.values().iter().all(|value| [0.0, 0.5].contains(value)) && !hard.is_empty());
    }
}
