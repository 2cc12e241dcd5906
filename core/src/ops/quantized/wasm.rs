//! Products of bytes in WebAssembly, for which `rten-gemm` has no instructions that are as fast.
//!
//! A byte `b` is multiplied as `b - 128` and a weight's integer `w` as `w + added` ([`Dots::ADDED`]). What that adds to a sum
//! over the inputs is known of the sum of the row's bytes and of the integers, and taken off again, exactly:
//! `Σ (b - zero) · w = Σ (b - 128) · (w + added) - added · Σ (b - 128) + (128 - zero) · Σ w`.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt::{Debug, Formatter, Result};
use core::ops::Range;

use pulp::{Simd, WithSimd};

use super::dots::{Block, Dots, INPUTS, OUTPUTS};
use super::{After, IntegerProduct, is_multiplied};
use crate::ops::Activation;
use crate::ops::cpu::parallel::processor;
use crate::ops::cpu::vector::activated;

/// Rows that are summed together.
const TILE: usize = 4;
/// Rows that are multiplied with all weights before the next are.
const ROWS: usize = 256;
/// Steps between the smallest and the largest number of a row.
const STEPS: f32 = 255.0;
/// A row whose numbers lie within this holds zeros: the factor of a narrower one has no inverse in f32.
const NOTHING: f32 = 1e-30;
/// Numbers of a row that are looked at together, which a compiler makes vectors of.
const LANES: usize = 16;
/// Adding it to a number within ±2^22 leaves the nearest whole number in the lowest bits, of two the even one.
const ROUNDER: f32 = 12_582_912.0;

/// A weight as `D` reads it.
pub(super) struct Packed<D> {
    dots: D,
    /// For every few outputs, the blocks of all inputs.
    blocks: Vec<Block>,
    shape: [usize; 2],
    /// The integers that are stored as one less, since with what is added they are no byte of 7 bits: output and input, in
    /// the order of outputs.
    larger: Vec<[usize; 2]>,
    /// The sum of each output's integers, as they are stored.
    totals: Vec<i32>,
    /// Negative where integers are stored with the other sign.
    factors: Vec<f32>,
}

impl<D: Dots> Packed<D> {
    /// A weight of integers; `None` for those that are not [multiplied](is_multiplied).
    pub(super) fn new(dots: D, integers: &[i8], factors: &[f32], [outputs, inputs]: [usize; 2]) -> Option<Self> {
        if !is_multiplied(integers, factors, [outputs, inputs]) {
            return None;
        }
        let depth = inputs.div_ceil(INPUTS);
        let mut blocks = vec![[0; INPUTS * OUTPUTS]; depth * outputs.div_ceil(OUTPUTS)];
        let mut larger = Vec::new();
        let (mut totals, mut factors) = (Vec::with_capacity(outputs), factors.to_vec());
        for (output, row) in integers.chunks(inputs).enumerate() {
            let is_too_large = |integer: &i8| integer.checked_add(D::ADDED).is_none();
            // With the other sign, and that of the factor, a row's largest integer is mostly none that is too large.
            let sign = if row.iter().any(is_too_large) { -1 } else { 1 };
            factors[output] *= f32::from(sign);
            totals.push(row.iter().map(|integer| i32::from(sign * integer)).sum());
            for (input, integer) in row.iter().enumerate() {
                let block = &mut blocks[output / OUTPUTS * depth + input / INPUTS];
                let stored = (sign * integer).checked_add(D::ADDED);
                if stored.is_none() {
                    larger.push([output, input]);
                }
                block[D::place(input % INPUTS, output % OUTPUTS)] = stored.unwrap_or(i8::MAX);
            }
        }
        Some(Self { dots, blocks, shape: [outputs, inputs], larger, totals, factors })
    }

    /// Inputs with those that fill the last block.
    fn width(&self) -> usize {
        self.shape[1].next_multiple_of(INPUTS)
    }

    /// The part of `larger` that is about these outputs.
    fn larger(&self, outputs: Range<usize>) -> &[[usize; 2]] {
        let place = |output| self.larger.partition_point(|[other, _]| *other < output);
        &self.larger[place(outputs.start)..place(outputs.end)]
    }
}

impl<D> Debug for Packed<D> {
    fn fmt(&self, formatter: &mut Formatter) -> Result {
        write!(formatter, "int8 {:?}", self.shape)
    }
}

impl<D: Dots + Send + Sync> IntegerProduct for Packed<D>
where
    D::Input: Send + Sync,
{
    fn forward(&self, rows: &[f32], after: &After, output: &mut [f32]) {
        let [outputs, inputs] = self.shape;
        for (rows, output) in rows.chunks(ROWS * inputs).zip(output.chunks_mut(ROWS * outputs)) {
            processor().dispatch(Product { weight: self, rows, after, output });
        }
    }

    fn dequantized(&self) -> Vec<f32> {
        let [outputs, inputs] = self.shape;
        let depth = inputs.div_ceil(INPUTS);
        let mut weight = Vec::with_capacity(outputs * inputs);
        for (output, factor) in self.factors.iter().enumerate() {
            let larger = self.larger(output..output + 1);
            for input in 0..inputs {
                let block = &self.blocks[output / OUTPUTS * depth + input / INPUTS];
                let stored = block[D::place(input % INPUTS, output % OUTPUTS)] - D::ADDED;
                weight.push(f32::from(stored + i8::from(larger.contains(&[output, input]))) * factor);
            }
        }
        weight
    }

    fn shape(&self) -> [usize; 2] {
        self.shape
    }
}

/// A row as it is multiplied: `(byte - zero) · factor`.
#[derive(Clone, Copy, Default)]
struct Scale {
    /// NaN where one of the row's numbers is not finite, so that nothing made of it is.
    factor: f32,
    zero: i32,
    /// Of the bytes less 128.
    sum: i32,
}

/// Makes bytes less 128 of a row. Zero is always among the numbers that bytes stand for.
#[inline(always)]
fn quantize<I: Copy + Default + From<i8>>(row: &[f32], bytes: &mut [I]) -> Scale {
    let (low, high, is_finite) = reach(row);
    // Halves, since the difference of two numbers may be more than f32 holds.
    let factor = (high / STEPS) - (low / STEPS);
    if !is_finite || factor * STEPS < NOTHING {
        bytes.fill(I::default());
        return Scale { factor: if is_finite { 0.0 } else { f32::NAN }, zero: 128, sum: 0 };
    }
    let inverse = 1.0 / factor;
    let zero = libm::rintf(-low * inverse).clamp(0.0, STEPS);
    let mut sum = 0;
    for (x, byte) in row.iter().zip(bytes.iter_mut()) {
        let whole = (x * inverse + ROUNDER) - ROUNDER;
        let shifted = ((whole + zero).clamp(0.0, STEPS) - 128.0) as i32;
        sum += shifted;
        *byte = I::from(shifted as i8);
    }
    bytes[row.len()..].fill(I::default());
    Scale { factor, zero: zero as i32, sum }
}

/// The smallest and the largest of a row's numbers and zero, and whether all are finite.
#[inline(always)]
fn reach(row: &[f32]) -> (f32, f32, bool) {
    let [mut low, mut high, mut none] = [[0.0f32; LANES]; 3];
    let mut look = |lane: usize, x: f32| {
        low[lane] = if x < low[lane] { x } else { low[lane] };
        high[lane] = if x > high[lane] { x } else { high[lane] };
        // What is not finite is NaN once it is multiplied by zero.
        none[lane] += x * 0.0;
    };
    let (groups, rest) = row.as_chunks::<LANES>();
    for group in groups {
        for (lane, x) in group.iter().enumerate() {
            look(lane, *x);
        }
    }
    for (lane, x) in rest.iter().enumerate() {
        look(lane, *x);
    }
    let (low, high) = (low.iter().fold(0.0f32, |low, x| low.min(*x)), high.iter().fold(0.0f32, |high, x| high.max(*x)));
    (low, high, none.iter().all(|none| *none == 0.0))
}

/// Some rows multiplied with a weight.
struct Product<'a, D> {
    weight: &'a Packed<D>,
    rows: &'a [f32],
    after: &'a After<'a>,
    output: &'a mut [f32],
}

impl<D: Dots> WithSimd for Product<'_, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ([outputs, inputs], width) = (self.weight.shape, self.weight.width());
        let count = self.rows.len() / inputs;
        let mut bytes = vec![D::Input::default(); count * width];
        let mut scales = vec![Scale::default(); count];
        for ((row, bytes), scale) in self.rows.chunks_exact(inputs).zip(bytes.chunks_exact_mut(width)).zip(&mut scales)
        {
            *scale = quantize(row, bytes);
        }
        for (panel, blocks) in self.weight.blocks.chunks_exact(width / INPUTS).enumerate() {
            let first = panel * OUTPUTS;
            let finish = Finish::new(self.weight, first, self.after);
            let mut tile = 0;
            while tile < count {
                let sums = tile_sums(self.weight.dots, blocks, &bytes[tile * width..], width);
                let mut values = [[0.0; OUTPUTS]; TILE];
                for ((row, values), sums) in (tile..count).zip(&mut values).zip(sums) {
                    let bytes = &bytes[row * width..][..width];
                    *values = finish.numbers(self.weight.dots.numbers(sums), bytes, &scales[row], D::ADDED);
                }
                // Of several rows at once: each activation is a long chain of steps.
                activate(simd, values.as_flattened_mut(), self.after.activation);
                for (row, values) in (tile..count).zip(&values) {
                    finish.store(values, &mut self.output[row * outputs + first..(row + 1) * outputs]);
                }
                tile += TILE;
            }
        }
    }
}

/// The sums of the first few rows; where there are fewer, the last one's again.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "with iterators the compiler keeps some of the sums in memory")]
fn tile_sums<D: Dots>(dots: D, blocks: &[Block], bytes: &[D::Input], width: usize) -> [D::Sums; TILE] {
    let count = bytes.len() / width;
    let mut rows: [&[[D::Input; INPUTS]]; TILE] = [&[]; TILE];
    for place in 0..TILE {
        let (row, _) = bytes[place.min(count - 1) * width..][..width].as_chunks::<INPUTS>();
        rows[place] = &row[..blocks.len()];
    }
    let mut sums = [dots.zeros(); TILE];
    for index in 0..blocks.len() {
        let weights = dots.read(&blocks[index]);
        for place in 0..TILE {
            sums[place] = dots.add(sums[place], &rows[place][index], weights);
        }
    }
    sums
}

/// What makes numbers of the sums of a few outputs; beyond the last output there are zeros.
struct Finish<'a> {
    /// How many outputs there are.
    count: usize,
    totals: [i32; OUTPUTS],
    factors: [f32; OUTPUTS],
    bias: [f32; OUTPUTS],
    /// Whether the result is added to what is in its place.
    is_added: bool,
    /// As in [`Packed`], with outputs from the first of these on.
    larger: &'a [[usize; 2]],
    first: usize,
}

impl<'a> Finish<'a> {
    fn new<D: Dots>(weight: &'a Packed<D>, first: usize, after: &After) -> Self {
        let outputs = first..(first + OUTPUTS).min(weight.shape[0]);
        Self {
            count: outputs.len(),
            totals: filled(&weight.totals[outputs.clone()]),
            factors: filled(&weight.factors[outputs.clone()]),
            bias: after.bias.map_or([0.0; OUTPUTS], |bias| filled(&bias[outputs.clone()])),
            is_added: after.is_added,
            larger: weight.larger(outputs),
            first,
        }
    }

    /// `(sum - zero · total) · factor + bias` of a row's sums of `bytes` and integers with so much added.
    #[inline(always)]
    fn numbers<I: Copy + Into<i32>>(
        &self,
        mut sums: [i32; OUTPUTS],
        bytes: &[I],
        scale: &Scale,
        added: i8,
    ) -> [f32; OUTPUTS] {
        for [output, input] in self.larger {
            sums[output - self.first] += bytes[*input].into();
        }
        let mut values = [0.0; OUTPUTS];
        for place in 0..OUTPUTS {
            let sum = sums[place] - i32::from(added) * scale.sum + (128 - scale.zero) * self.totals[place];
            values[place] = sum as f32 * (self.factors[place] * scale.factor) + self.bias[place];
        }
        values
    }

    /// Puts or adds them to the beginning of `output`.
    #[inline(always)]
    fn store(&self, values: &[f32; OUTPUTS], output: &mut [f32]) {
        match output.first_chunk_mut::<OUTPUTS>() {
            // Their number is known when this is compiled.
            Some(output) if self.count == OUTPUTS => put(values, output, self.is_added),
            _ => put(&values[..self.count], &mut output[..self.count], self.is_added),
        }
    }
}

#[inline(always)]
fn put(values: &[f32], output: &mut [f32], is_added: bool) {
    for (target, value) in output.iter_mut().zip(values) {
        *target = if is_added { *target + value } else { *value };
    }
}

/// The activation of each number.
#[inline(always)]
fn activate<S: Simd>(simd: S, values: &mut [f32], activation: Option<Activation>) {
    if activation.is_none() {
        return;
    }
    let (vectors, rest) = S::as_mut_simd_f32s(values);
    for x in vectors {
        *x = activated(simd, *x, activation);
    }
    if !rest.is_empty() {
        let x = activated(simd, simd.partial_load_f32s(rest), activation);
        simd.partial_store_f32s(rest, x);
    }
}

/// The numbers with zeros after them.
fn filled<T: Copy + Default>(numbers: &[T]) -> [T; OUTPUTS] {
    let mut filled = [T::default(); OUTPUTS];
    filled[..numbers.len()].copy_from_slice(numbers);
    filled
}
