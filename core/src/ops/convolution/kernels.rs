//! The arithmetic of convolutions on slices, for images whose channels lie side by side: `[images, rows, columns, channels]`.
//!
//! Neighbouring channels are treated alike, so every loop's innermost dimension is a run of memory that the compiler
//! turns into vector instructions. Work is cut by image or by row, never by what a sum runs over, and partial sums are
//! added in the order of the images: the result does not depend on the number of cores.

use alloc::vec;
use alloc::vec::Vec;
#[cfg(any(test, feature = "autodiff"))]
use core::ops::Range;

use super::geometry::{Axis, Meeting};
use crate::ops::cpu::parallel::for_each_chunk;
#[cfg(any(test, feature = "autodiff"))]
use crate::ops::cpu::parallel::for_each_chunk_pair;

/// What an activation clamps to: the least and the greatest value.
pub(super) type Bounds = (f32, f32);

/// Both axes and the depth of a depthwise convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Depthwise {
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    pub(super) channels: usize,
}

/// Channels that are summed together in registers.
const WIDE: usize = 32;
const NARROW: usize = 8;

/// Calls `$body` with `$start` and a constant `$lanes` for runs of channels that together are `0..$channels`.
macro_rules! for_each_run {
    ($channels:expr, |$start:ident, $lanes:ident| $body:expr) => {{
        let mut $start = 0;
        while $channels - $start >= WIDE {
            const $lanes: usize = WIDE;
            $body;
            $start += $lanes;
        }
        while $channels - $start >= NARROW {
            const $lanes: usize = NARROW;
            $body;
            $start += $lanes;
        }
        while $start < $channels {
            const $lanes: usize = 1;
            $body;
            $start += $lanes;
        }
    }};
}

impl Depthwise {
    fn input_image(&self) -> usize {
        self.rows.input * self.columns.input * self.channels
    }

    fn output_image(&self) -> usize {
        self.rows.output * self.columns.output * self.channels
    }

    /// `clamp(convolution(input) * scale + shift)`; `weight` is `[side, side, channels]`.
    pub(super) fn forward(
        &self,
        input: &[f32],
        weight: &[f32],
        scale: &[f32],
        shift: &[f32],
        bounds: Option<Bounds>,
    ) -> Vec<f32> {
        let images = input.len() / self.input_image();
        let mut output = vec![0.0; images * self.output_image()];
        let (rows, columns) = (self.rows.sources(), self.columns.sources());
        for_each_chunk(
            &mut output,
            self.columns.output * self.channels,
            #[inline(always)]
            |index, row| {
                let image = &input[index / self.rows.output * self.input_image()..][..self.input_image()];
                let gather = Gather { image, columns: self.columns.input, weight, side: self.rows.side };
                gather.row(&rows[index % self.rows.output], &columns, row);
                finish(row, scale, shift, bounds);
            },
        );
        output
    }

    /// The gradient of the input, from that of the convolution's output; `weight` is `[side, side, channels]`.
    #[cfg(any(test, feature = "autodiff"))]
    pub(super) fn input_gradient(&self, gradient: &[f32], weight: &[f32]) -> Vec<f32> {
        let images = gradient.len() / self.output_image();
        let mut result = vec![0.0; images * self.input_image()];
        let (rows, columns) = (self.rows.targets(), self.columns.targets());
        for_each_chunk(
            &mut result,
            self.columns.input * self.channels,
            #[inline(always)]
            |index, row| {
                let image = &gradient[index / self.rows.input * self.output_image()..][..self.output_image()];
                let gather = Gather { image, columns: self.columns.output, weight, side: self.rows.side };
                gather.row(&rows[index % self.rows.input], &columns, row);
            },
        );
        result
    }

    /// The gradient of the weight `[side, side, channels]`, from that of the convolution's output.
    #[cfg(any(test, feature = "autodiff"))]
    pub(super) fn weight_gradient(&self, input: &[f32], gradient: &[f32]) -> Vec<f32> {
        let images = gradient.len() / self.output_image();
        let length = self.rows.side * self.rows.side * self.channels;
        let mut parts = vec![0.0; images * length];
        let rows = self.rows.sources();
        for_each_chunk(
            &mut parts,
            length,
            #[inline(always)]
            |index, sums| {
                let input = &input[index * self.input_image()..][..self.input_image()];
                let gradient = &gradient[index * self.output_image()..][..self.output_image()];
                let width = self.columns.output * self.channels;
                for (row, sources) in gradient.chunks_exact(width).zip(&rows) {
                    self.add_row_products(row, input, sources, sums);
                }
            },
        );
        sum_parts(&parts, length)
    }

    /// Adds to `sums` `[side, side, channels]` what one row of the output's gradient contributes.
    #[cfg(any(test, feature = "autodiff"))]
    #[inline(always)]
    fn add_row_products(&self, gradient: &[f32], image: &[f32], rows: &[Meeting], sums: &mut [f32]) {
        let (channels, width) = (self.channels, self.columns.input * self.channels);
        for_each_run!(channels, |start, LANES| {
            for &Meeting { tap, pixel } in rows {
                let input = &image[pixel * width..][..width];
                for column_tap in 0..self.columns.side {
                    let places = self.columns.range(column_tap);
                    let first = (places.start * self.columns.stride + column_tap).saturating_sub(self.columns.before);
                    let products = Products { gradient, input, channels, step: self.columns.stride * channels };
                    let sum = products.sum::<LANES>(places, first * channels, start);
                    let place = (tap * self.columns.side + column_tap) * channels + start;
                    for (total, value) in sums[place..place + LANES].iter_mut().zip(sum) {
                        *total += value;
                    }
                }
            }
        });
    }
}

/// Two rows whose pixels are multiplied one by one.
#[cfg(any(test, feature = "autodiff"))]
struct Products<'a> {
    gradient: &'a [f32],
    input: &'a [f32],
    channels: usize,
    /// From an input pixel to the next that is met.
    step: usize,
}

#[cfg(any(test, feature = "autodiff"))]
impl Products<'_> {
    /// The sums over `places` for the channels from `start` on; `first` is where the first input pixel met begins.
    #[inline(always)]
    fn sum<const LANES: usize>(&self, places: Range<usize>, first: usize, start: usize) -> [f32; LANES] {
        let mut sum = [0.0; LANES];
        let mut input = first + start;
        for place in places {
            let gradient = place * self.channels + start;
            let pairs = self.gradient[gradient..gradient + LANES].iter().zip(&self.input[input..input + LANES]);
            for (total, (g, x)) in sum.iter_mut().zip(pairs) {
                *total += g * x;
            }
            input += self.step;
        }
        sum
    }
}

/// An image that is read, and the weights its pixels are multiplied with.
struct Gather<'a> {
    image: &'a [f32],
    /// Pixels of a row of the image.
    columns: usize,
    /// `[side, side, channels]`
    weight: &'a [f32],
    side: usize,
}

impl Gather<'_> {
    /// Fills a row: each pixel becomes the sum over what it meets.
    #[inline(always)]
    fn row(&self, rows: &[Meeting], columns: &[Vec<Meeting>], row: &mut [f32]) {
        let channels = row.len() / columns.len();
        for (pixel, columns) in row.chunks_exact_mut(channels).zip(columns) {
            for_each_run!(channels, |start, LANES| {
                let sum = self.sum::<LANES>(rows, columns, channels, start);
                pixel[start..start + LANES].copy_from_slice(&sum);
            });
        }
    }

    #[inline(always)]
    fn sum<const LANES: usize>(
        &self,
        rows: &[Meeting],
        columns: &[Meeting],
        channels: usize,
        start: usize,
    ) -> [f32; LANES] {
        let mut sum = [0.0; LANES];
        for row in rows {
            for column in columns {
                let pixel = (row.pixel * self.columns + column.pixel) * channels + start;
                let tap = (row.tap * self.side + column.tap) * channels + start;
                let pairs = self.image[pixel..pixel + LANES].iter().zip(&self.weight[tap..tap + LANES]);
                for (total, (x, w)) in sum.iter_mut().zip(pairs) {
                    *total += x * w;
                }
            }
        }
        sum
    }
}

/// `clamp(values * scale + shift)` of pixels `[…, channels]`, in place.
#[inline(always)]
pub(super) fn finish(values: &mut [f32], scale: &[f32], shift: &[f32], bounds: Option<Bounds>) {
    for pixel in values.chunks_exact_mut(scale.len()) {
        let parameters = scale.iter().zip(shift);
        match bounds {
            Some((low, high)) => {
                for (value, (scale, shift)) in pixel.iter_mut().zip(parameters) {
                    *value = clamped(*value * scale + shift, low, high);
                }
            }
            None => {
                for (value, (scale, shift)) in pixel.iter_mut().zip(parameters) {
                    *value = *value * scale + shift;
                }
            }
        }
    }
}

/// The value within its bounds. NaN stays NaN, which `f32::max` and `f32::min` would turn into a bound: a wrong number
/// must not look like a right one.
#[inline(always)]
pub(super) fn clamped(value: f32, low: f32, high: f32) -> f32 {
    let value = if value < low { low } else { value };
    if value > high { high } else { value }
}

/// [`finish`] on all cores. What changes nothing, as before a norm by the statistics of the batch, reads nothing.
pub(super) fn scale_shift_clamp(values: &mut [f32], scale: &[f32], shift: &[f32], bounds: Option<Bounds>) {
    let changes_nothing = scale.iter().all(|scale| *scale == 1.0) && shift.iter().all(|shift| *shift == 0.0);
    if changes_nothing && bounds.is_none() {
        return;
    }
    for_each_chunk(
        values,
        scale.len() * PIXELS_AT_ONCE,
        #[inline(always)]
        |_, pixels| finish(pixels, scale, shift, bounds),
    );
}

/// Pixels of one piece of work: enough to be worth a task, few enough to share out evenly.
pub(super) const PIXELS_AT_ONCE: usize = 256;

/// Sets `gradient` to zero where `output` was clamped, and returns the sums over all pixels, `[channels]`.
#[cfg(any(test, feature = "autodiff"))]
pub(super) fn clamp_gradient(gradient: &mut [f32], output: Option<(&[f32], Bounds)>, channels: usize) -> Vec<f32> {
    let length = channels * PIXELS_AT_ONCE;
    let mut parts = vec![0.0; gradient.len().div_ceil(length) * channels];
    for_each_chunk_pair(
        gradient,
        length,
        &mut parts,
        channels,
        #[inline(always)]
        |index, gradient, sums| {
            let output = output.map(|(values, bounds)| (&values[index * length..][..gradient.len()], bounds));
            mask_and_sum(gradient, output, sums);
        },
    );
    sum_parts(&parts, channels)
}

#[cfg(any(test, feature = "autodiff"))]
#[inline(always)]
fn mask_and_sum(gradient: &mut [f32], output: Option<(&[f32], Bounds)>, sums: &mut [f32]) {
    let channels = sums.len();
    match output {
        Some((output, (low, high))) => {
            for (gradient, output) in gradient.chunks_exact_mut(channels).zip(output.chunks_exact(channels)) {
                for ((g, y), sum) in gradient.iter_mut().zip(output).zip(sums.iter_mut()) {
                    *g = masked(*g, *y, (low, high));
                    *sum += *g;
                }
            }
        }
        None => {
            for gradient in gradient.chunks_exact(channels) {
                for (g, sum) in gradient.iter().zip(sums.iter_mut()) {
                    *sum += g;
                }
            }
        }
    }
}

/// The gradient `g` of a value that became `y`: 0 where it was clamped. NaN was not, and its gradient goes on.
#[cfg(any(test, feature = "autodiff"))]
#[inline(always)]
pub(super) fn masked(g: f32, y: f32, (low, high): Bounds) -> f32 {
    if y <= low || y >= high { 0.0 } else { g }
}

/// The element-wise sum of parts of `length`, in their order.
#[cfg(any(test, feature = "autodiff"))]
pub(super) fn sum_parts(parts: &[f32], length: usize) -> Vec<f32> {
    let mut total = vec![0.0; length];
    for part in parts.chunks_exact(length) {
        for (sum, value) in total.iter_mut().zip(part) {
            *sum += value;
        }
    }
    total
}
