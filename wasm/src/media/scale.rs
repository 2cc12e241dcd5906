//! Planes in another size, with the filters and the integers of ffmpeg's `swscale` (`bicubic`, `accurate_rnd`).

/// Bits of the weights across, and of those down.
const ACROSS_BITS: u32 = 14;
const DOWN_BITS: u32 = 12;

/// What each of some points is made of: as many samples that follow each other, each by its weight.
struct Filter {
    taps: usize,
    /// The first sample of each point, counted from [`Filter::taps`] before the first sample of all.
    firsts: Vec<usize>,
    /// The weights, point after point.
    weights: Vec<i32>,
}

impl Filter {
    /// How `points` are made of `samples` over the same length, by Keys' cubic with a = -0.6, which widens where there are
    /// fewer points than samples. Weights add up to 2 to the power of `bits`.
    fn new(samples: usize, points: usize, bits: u32) -> Self {
        // In 1/65536 of a sample, as `swscale` steps: where sizes are odd, the last point falls short of the last sample's end.
        let step = ((samples << 16) + points / 2) / points;
        let stretch = if step > 1 << 16 { samples as f64 / points as f64 } else { 1.0 };
        let taps = (4.0 * stretch).ceil() as usize;
        let one = f64::from(1 << bits);
        let (mut firsts, mut weights) = (Vec::with_capacity(points), Vec::with_capacity(points * taps));
        for point in 0..points {
            let place = (point as f64 + 0.5) * step as f64 / 65_536.0 - 0.5;
            let first = (place - 2.0 * stretch).floor() + 1.0;
            let exact: Vec<f64> = (0..taps).map(|tap| cubic((first + tap as f64 - place) / stretch)).collect();
            let sum: f64 = exact.iter().sum();
            let mut error = 0.0;
            weights.extend(exact.iter().map(|weight| {
                let wanted = weight / sum * one + error;
                error = wanted - wanted.round();
                wanted.round() as i32
            }));
            firsts.push((first + taps as f64) as usize);
        }
        Self { taps, firsts, weights }
    }

    fn point(&self, point: usize) -> (usize, &[i32]) {
        (self.firsts[point], &self.weights[point * self.taps..][..self.taps])
    }

    /// Which of `samples` an index counted as in [`Filter::firsts`] means, the ends repeated.
    fn sample(&self, index: usize, samples: usize) -> usize {
        index.saturating_sub(self.taps).min(samples - 1)
    }
}

fn cubic(distance: f64) -> f64 {
    let d = distance.abs();
    if d < 1.0 {
        (1.4 * d - 2.4) * d * d + 1.0
    } else if d < 2.0 {
        ((-0.6 * d + 3.0) * d - 4.8) * d + 2.4
    } else {
        0.0
    }
}

/// Values between scaling across and scaling down: as many bits as `swscale` gives them for what it makes in the end.
pub(super) trait Value: Copy + Default + Into<i32> {
    const DEPTH: u32;
    /// What is added before the last bits are dropped.
    const ROUNDING: i32;
    fn cut(value: i32) -> Self;
}

/// For eight bits a channel.
impl Value for i16 {
    const DEPTH: u32 = 15;
    const ROUNDING: i32 = 1 << 9;

    fn cut(value: i32) -> Self {
        value.min(Self::MAX.into()) as Self
    }
}

/// For sixteen bits a channel.
impl Value for i32 {
    const DEPTH: u32 = 19;
    const ROUNDING: i32 = 0;

    fn cut(value: i32) -> Self {
        value.min((1 << Self::DEPTH) - 1)
    }
}

/// Bits of a line's values: 1/512 of a level of eight bits.
pub(super) const LINE_BITS: u32 = 17;

/// A plane whose rows have the wanted width, and what makes the wanted number of lines of them.
pub(super) struct Plane<V> {
    width: usize,
    /// Row after row.
    rows: Vec<V>,
    down: Filter,
}

impl<V: Value> Plane<V> {
    /// The plane of `columns` × `rows` samples of `depth` bits, to be `width` wide and `height` high.
    pub(super) fn new(
        sample: impl Fn(usize, usize) -> i32,
        (columns, rows): (usize, usize),
        depth: u32,
        (width, height): (usize, usize),
    ) -> Self {
        let across = Filter::new(columns, width, ACROSS_BITS);
        let narrower = ACROSS_BITS + depth - V::DEPTH;
        let mut wide = vec![V::default(); rows * width];
        let mut padded = vec![0; columns + 2 * across.taps];
        for (row, wide) in wide.chunks_exact_mut(width).enumerate() {
            for (index, padded) in padded.iter_mut().enumerate() {
                *padded = sample(row, across.sample(index, columns));
            }
            for (point, wide) in wide.iter_mut().enumerate() {
                let (first, weights) = across.point(point);
                let samples = &padded[first..first + across.taps];
                let sum: i32 = samples.iter().zip(weights).map(|(sample, weight)| sample * weight).sum();
                *wide = V::cut(sum >> narrower);
            }
        }
        Self { width, rows: wide, down: Filter::new(rows, height, DOWN_BITS) }
    }

    /// A line's values about the middle level, 128, in 1/512 of a level.
    pub(super) fn line(&self, line: usize, values: &mut [i32]) {
        let bits = V::DEPTH + DOWN_BITS;
        let (first, weights) = self.down.point(line);
        let rows = self.rows.len() / self.width;
        // The sum itself needs a bit more than there are; what is left after the middle is taken off does not.
        values.fill(V::ROUNDING.wrapping_sub(1 << (bits - 1)));
        for (tap, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight != 0) {
            let row = &self.rows[self.down.sample(first + tap, rows) * self.width..][..self.width];
            let add = |(value, sample): (&mut i32, &V)| {
                *value = value.wrapping_add(weight.wrapping_mul((*sample).into()));
            };
            values.iter_mut().zip(row).for_each(add);
        }
        values.iter_mut().for_each(|value| *value >>= bits - LINE_BITS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_line_of_one_value<V: Value>(samples: usize, points: usize) -> Vec<i32> {
        let plane = Plane::<V>::new(|_, _| 77, (samples, samples), 8, (points, points));
        let mut line = vec![0; points];
        plane.line(points - 1, &mut line);
        line
    }

    #[test]
    fn weights_add_up_and_a_plane_of_one_value_keeps_it() {
        for (samples, points) in [(1, 1), (1, 5), (4, 8), (7, 7), (9, 4), (100, 3), (3, 100)] {
            let filter = Filter::new(samples, points, DOWN_BITS);
            for point in 0..points {
                assert_eq!(filter.point(point).1.iter().sum::<i32>(), 1 << DOWN_BITS, "{samples} to {points}");
            }
            let expected = vec![(77 - 128) << 9; points];
            assert_eq!(last_line_of_one_value::<i16>(samples, points), expected);
            assert_eq!(last_line_of_one_value::<i32>(samples, points), expected);
        }
    }
}
