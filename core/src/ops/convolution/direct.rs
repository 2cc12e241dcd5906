//! A convolution as products of pixels and weights, without writing down the pixels that each place reads: a row of the
//! kernel meets neighbouring pixels, whose channels are one run of memory.

use alloc::vec::Vec;

use pulp::{Simd, WithSimd};

use super::geometry::Axis;
use crate::ops::Activation;
use crate::ops::cpu::buffers::{Buffer, unwritten};
use crate::ops::cpu::parallel::{for_each_task, processor};
use crate::ops::cpu::product::{Packed, Rows, Target, product};

/// Floats that a piece of work reads: few enough to stay in a cache near the core.
const READ_AT_ONCE: usize = 32 * 1024;

/// A convolution of images `[rows, columns, channels]`.
pub(super) struct Direct {
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    pub(super) channels: usize,
    pub(super) activation: Option<Activation>,
}

impl Direct {
    /// `[images, rows, columns, channels]` to `[images, rows, columns, outputs]`; `packed` are the filters, laid out.
    pub(super) fn forward(&self, input: &[f32], packed: &Packed) -> Vec<f32> {
        let image_length = self.rows.input * self.columns.input * self.channels;
        let row_length = self.columns.output * packed.outputs();
        let output_length = self.rows.output * row_length;
        let mut output = unwritten(input.len().checked_div(image_length).unwrap_or(0) * output_length);
        if output.is_empty() {
            return output;
        }
        let processor = processor();
        let rows = (READ_AT_ONCE / (self.columns.input * self.channels * self.rows.stride)).clamp(1, self.rows.output);
        let mut pieces = Vec::new();
        for (image, output) in input.chunks_exact(image_length).zip(output.chunks_exact_mut(output_length)) {
            for (index, output) in output.chunks_mut(rows * row_length).enumerate() {
                pieces.push(Piece { convolution: self, packed, image, first_row: index * rows, output });
            }
        }
        for_each_task(processor, pieces);
        output
    }

    fn is_padded(&self) -> bool {
        [self.rows, self.columns].iter().any(|axis| axis.before > 0 || axis.after > 0)
    }
}

/// A few rows of an output image.
struct Piece<'a> {
    convolution: &'a Direct,
    packed: &'a Packed,
    image: &'a [f32],
    first_row: usize,
    output: &'a mut [f32],
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Direct { rows, columns, channels, .. } = *self.convolution;
        let outputs = self.packed.outputs();
        let count = self.output.len() / (columns.output * outputs);
        let padded;
        let (values, width) = if self.convolution.is_padded() {
            let width = (columns.before + columns.input + columns.after) * channels;
            padded = self.padded(count, width);
            (&*padded, width)
        } else {
            let width = columns.input * channels;
            (&self.image[self.first_row * rows.stride * width..], width)
        };
        let (mut origins, mut places) = (Vec::new(), Vec::new());
        for row in 0..count {
            for column in 0..columns.output {
                origins.push(row * rows.stride * width + column * columns.stride * channels);
                places.push((row * columns.output + column) * outputs);
            }
        }
        let runs: Vec<usize> = (0..rows.side).map(|row| row * width).collect();
        let pixels = Rows { values, origins: &origins, runs: &runs, run: columns.side * channels };
        product(
            simd,
            self.packed,
            &pixels,
            &mut Target {
                values: self.output,
                places: &places,
                residual: None,
                activation: self.convolution.activation,
                slopes: None,
            },
        );
    }
}

impl Piece<'_> {
    /// The input rows that `count` output rows read, with zeros around them; each has `width` floats.
    fn padded(&self, count: usize, width: usize) -> Buffer {
        let Direct { rows, columns, channels, .. } = *self.convolution;
        let mut padded = Buffer::unwritten(((count - 1) * rows.stride + rows.side) * width);
        for (index, row) in padded.chunks_exact_mut(width).enumerate() {
            let source = (self.first_row * rows.stride + index).checked_sub(rows.before);
            let Some(source) = source.filter(|source| *source < rows.input) else {
                row.fill(0.0);
                continue;
            };
            let length = columns.input * channels;
            let (before, rest) = row.split_at_mut(columns.before * channels);
            let (within, after) = rest.split_at_mut(length);
            before.fill(0.0);
            within.copy_from_slice(&self.image[source * length..][..length]);
            after.fill(0.0);
        }
        padded
    }
}
