//! Seamless cloning: a part of one image in another with no step at its border (Pérez, Gangnet & Blake, *Poisson Image Editing*,
//! SIGGRAPH 2003).

use unmask_core::image::RgbImage;

use super::{level, rebuilt};

/// Sweeps over all places of a level of the pyramid: what the coarser level leaves is rough, and goes within a few.
const SWEEPS: usize = 32;
/// How much farther than to the mean of the neighbours a sweep goes (successive over-relaxation): the best for a part about 28
/// places wide, `2 / (1 + sin(π/28))`; a coarser level has seen to what is wider.
const RELAXATION: f32 = 1.8;

/// What is known of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It belongs to neither the part nor its border.
    Beside,
    /// On the border, where the value is given.
    Border,
    /// In the part, where it is wanted.
    Within,
}

/// Values of three channels, given at some places and wanted at others.
#[derive(Clone, Debug)]
struct Membrane {
    width: usize,
    places: Vec<Place>,
    values: Vec<[f32; 3]>,
}

/// `target` with the pixels of `source` where `is_within`, which keep their differences to each other, and meet the target at the
/// border: what the two differ by there is spread over the part as smoothly as possible (Laplace's equation). At the edge of the
/// image the difference does not change. All three have one size.
pub(super) fn cloned(source: &RgbImage, target: &RgbImage, is_within: &[bool]) -> RgbImage {
    let (from, to) = (source.pixels().as_chunks::<3>().0, target.pixels().as_chunks::<3>().0);
    let mut membrane = Membrane::new(from, to, target.width(), is_within);
    membrane.solve();
    let mut pixels = target.pixels().to_vec();
    let colours = pixels.as_chunks_mut::<3>().0.iter_mut();
    for (((colour, source), added), place) in colours.zip(from).zip(&membrane.values).zip(&membrane.places) {
        if *place == Place::Within {
            *colour = [0, 1, 2].map(|channel| level(f32::from(source[channel]) + added[channel]));
        }
    }
    rebuilt(target, pixels)
}

impl Membrane {
    fn new(source: &[[u8; 3]], target: &[[u8; 3]], width: usize, is_within: &[bool]) -> Self {
        let mut membrane = Self {
            width: width.max(1),
            places: is_within.iter().map(|within| if *within { Place::Within } else { Place::Beside }).collect(),
            values: vec![[0.0; 3]; is_within.len()],
        };
        for (place, within) in is_within.iter().enumerate() {
            let is_border = !within && membrane.neighbours(place).any(|near| is_within[near]);
            if is_border {
                membrane.places[place] = Place::Border;
                let (target, source) = (target[place].map(f32::from), source[place].map(f32::from));
                membrane.values[place] = [0, 1, 2].map(|channel| target[channel] - source[channel]);
            }
        }
        membrane
    }

    /// The places above, to the left, to the right and below.
    fn neighbours(&self, place: usize) -> impl Iterator<Item = usize> + use<> {
        let (column, width, count) = (place % self.width, self.width, self.places.len());
        let near = [
            place.checked_sub(width),
            (column > 0).then(|| place - 1),
            (column + 1 < width).then_some(place + 1),
            (place + width < count).then_some(place + width),
        ];
        near.into_iter().flatten()
    }

    /// Fills in what is wanted: the solution at half the size first, then from there.
    fn solve(&mut self) {
        if !self.places.contains(&Place::Within) {
            return;
        }
        if self.places.len() > 16 {
            let mut half = self.halved();
            half.solve();
            for place in 0..self.places.len() {
                if self.places[place] == Place::Within {
                    let (column, row) = (place % self.width, place / self.width);
                    self.values[place] = half.values[row / 2 * half.width + column / 2];
                }
            }
        }
        let wanted: Vec<(usize, [usize; 4], usize)> = (0..self.places.len())
            .filter(|place| self.places[*place] == Place::Within)
            .map(|place| {
                let (mut near, mut count) = ([0; 4], 0);
                for neighbour in self.neighbours(place).filter(|near| self.places[*near] != Place::Beside) {
                    near[count] = neighbour;
                    count += 1;
                }
                (place, near, count)
            })
            .filter(|(_, _, count)| *count > 0)
            .collect();
        for _ in 0..SWEEPS {
            for (place, near, count) in &wanted {
                let share = RELAXATION / *count as f32;
                let mut value = self.values[*place].map(|value| (1.0 - RELAXATION) * value);
                for near in &near[..*count] {
                    let other = self.values[*near];
                    value.iter_mut().zip(other).for_each(|(sum, other)| *sum += share * other);
                }
                self.values[*place] = value;
            }
        }
    }

    /// The membrane with a quarter of the places: on the border where one of four is, with the mean of their values.
    fn halved(&self) -> Self {
        let height = self.places.len() / self.width;
        let (width, rows) = (self.width.div_ceil(2), height.div_ceil(2));
        let mut half = Self { width, places: vec![Place::Beside; width * rows], values: vec![[0.0; 3]; width * rows] };
        let mut counts = vec![0.0f32; width * rows];
        for (place, (kind, value)) in self.places.iter().zip(&self.values).enumerate() {
            let coarse = place / self.width / 2 * width + place % self.width / 2;
            match kind {
                Place::Border => {
                    counts[coarse] += 1.0;
                    half.places[coarse] = Place::Border;
                    half.values[coarse].iter_mut().zip(value).for_each(|(sum, value)| *sum += value);
                }
                Place::Within if half.places[coarse] == Place::Beside => half.places[coarse] = Place::Within,
                Place::Within | Place::Beside => {}
            }
        }
        for (value, count) in half.values.iter_mut().zip(counts) {
            *value = value.map(|sum| sum / count.max(1.0));
        }
        half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(seed: usize, side: usize) -> RgbImage {
        let wave = |i: usize, step: f64| (128.0 + 40.0 * (i as f64 * step + seed as f64).sin()) as u8;
        let pixel = |i: usize| [wave(i % side, 0.21), wave(i / side, 0.33), wave(i % side + i / side, 0.9)];
        RgbImage::new(side, side, (0..side * side).flat_map(pixel).collect()).unwrap()
    }

    fn disc(side: usize, centre: [f64; 2], radius: f64) -> Vec<bool> {
        let is_within = |i: usize| ((i % side) as f64 - centre[0]).hypot((i / side) as f64 - centre[1]) < radius;
        (0..side * side).map(is_within).collect()
    }

    /// What very many plain sweeps from nothing end at.
    fn slow(source: &RgbImage, target: &RgbImage, is_within: &[bool], side: usize) -> Vec<f64> {
        let difference = |place: usize, channel: usize| {
            f64::from(target.pixels()[place * 3 + channel]) - f64::from(source.pixels()[place * 3 + channel])
        };
        let mut values: Vec<f64> = (0..side * side * 3)
            .map(|index| if is_within[index / 3] { 0.0 } else { difference(index / 3, index % 3) })
            .collect();
        for _ in 0..6000 {
            for place in (0..side * side).filter(|place| is_within[*place]) {
                let (column, row) = (place % side, place / side);
                let mut near = Vec::new();
                near.extend((column > 0).then(|| place - 1));
                near.extend((column + 1 < side).then_some(place + 1));
                near.extend((row > 0).then(|| place - side));
                near.extend((row + 1 < side).then_some(place + side));
                for channel in 0..3 {
                    let sum: f64 = near.iter().map(|near| values[near * 3 + channel]).sum();
                    values[place * 3 + channel] = sum / near.len() as f64;
                }
            }
        }
        let cloned = |index: usize| {
            let added = if is_within[index / 3] { values[index] } else { difference(index / 3, index % 3) };
            f64::from(source.pixels()[index]) + added
        };
        (0..side * side * 3).map(cloned).collect()
    }

    #[test]
    fn a_part_meets_its_surroundings_as_the_equation_says() {
        let side = 48;
        let (source, target) = (picture(1, side), picture(4, side));
        for (centre, radius) in [([24.0, 24.0], 17.0), ([5.0, 40.0], 14.0), ([24.0, 10.0], 3.0)] {
            let within = disc(side, centre, radius);
            let found = cloned(&source, &target, &within);
            let expected = slow(&source, &target, &within, side);
            let worst = found.pixels().iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b.clamp(0.0, 255.0)).abs());
            let worst = worst.fold(0.0, f64::max);
            assert!(worst < 2.0, "{centre:?}: {worst}");
        }
    }

    #[test]
    fn a_part_that_is_brighter_by_one_level_everywhere_vanishes() {
        let target = picture(2, 40);
        let brighter = RgbImage::new(40, 40, target.pixels().iter().map(|value| value + 30).collect()).unwrap();
        assert_eq!(cloned(&brighter, &target, &disc(40, [20.0, 20.0], 12.0)), target);
    }

    #[test]
    fn all_or_nothing_of_an_image_and_no_pixels_are_no_trouble() {
        let (source, target) = (picture(1, 9), picture(2, 9));
        assert_eq!(cloned(&source, &target, &[false; 81]), target);
        assert_eq!(cloned(&source, &target, &[true; 81]), source);
        let empty = RgbImage::new(0, 0, Vec::new()).unwrap();
        assert_eq!(cloned(&empty, &empty, &[]), empty);
    }
}
