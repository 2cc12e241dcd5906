//! Rows of numbers to bytes before a product, and sums of products to numbers behind it.

use rten_simd::ops::{BitOps, FloatOps, NarrowSaturate, NumOps, ToFloat};
use rten_simd::{Isa, Simd, SimdIterable, SimdOp, SimdUnaryOp};
use rten_vecmath::{Gelu, Silu, Swish};

use super::After;
use crate::ops::Activation;

/// Steps between the smallest and the largest number of a row.
const STEPS: f32 = 255.0;
/// A row whose numbers lie within this holds zeros: the factor of a narrower one has no inverse in f32.
const NOTHING: f32 = 1e-30;

/// How a row's bytes are its numbers: `(byte - zero) · factor`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Scale {
    /// NaN where one of the row's numbers is not finite, so that nothing made of it is.
    pub(super) factor: f32,
    pub(super) zero: u8,
}

/// Makes bytes of a row. Zero is always among the numbers that bytes stand for, whatever the row holds.
pub(super) fn quantize(row: &[f32], bytes: &mut [u8]) -> Scale {
    let Reach { low, high, is_finite } = Range(row).dispatch();
    let (low, high) = (low.min(0.0), high.max(0.0));
    if !is_finite {
        bytes.fill(0);
        return Scale { factor: f32::NAN, zero: 0 };
    }
    // Halves, since the difference of two numbers may be more than f32 holds.
    let factor = (high / STEPS) - (low / STEPS);
    if factor * STEPS < NOTHING {
        bytes.fill(0);
        return Scale { factor: 0.0, zero: 0 };
    }
    let inverse = 1.0 / factor;
    let zero = libm::rintf(-low * inverse).clamp(0.0, STEPS) as u8;
    Bytes { row, bytes, inverse, zero }.dispatch();
    Scale { factor, zero }
}

/// The smallest and the largest number of a row.
struct Range<'a>(&'a [f32]);

struct Reach {
    low: f32,
    high: f32,
    is_finite: bool,
}

impl SimdOp for Range<'_> {
    type Output = Reach;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> Reach {
        let ops = isa.f32();
        let zero = ops.zero();
        // What is not finite is NaN once it is multiplied by zero.
        let [low, high, none] = self.0.simd_iter(ops).fold_n::<3>(
            [zero; 3],
            #[inline(always)]
            |[low, high, none], x| [ops.min(x, low), ops.max(x, high), ops.mul_add(x, zero, none)],
        );
        let least = |x: I::F32| x.to_array().as_ref().iter().copied().fold(0.0, f32::min);
        let most = |x: I::F32| x.to_array().as_ref().iter().copied().fold(0.0, f32::max);
        Reach { low: least(low), high: most(high), is_finite: none.to_array().as_ref().iter().all(|x| *x == 0.0) }
    }
}

/// The bytes of a row, whose numbers are finite.
struct Bytes<'a> {
    row: &'a [f32],
    bytes: &'a mut [u8],
    inverse: f32,
    zero: u8,
}

/// Vectors of f32 that fill one of bytes.
const QUARTERS: usize = 4;

impl SimdOp for Bytes<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (floats, integers, shorts, bytes) = (isa.f32(), isa.i32(), isa.i16(), isa.u8());
        let (inverse, zero) = (floats.splat(self.inverse), integers.splat(i32::from(self.zero)));
        let width = QUARTERS * floats.len();
        let mut rows = self.row.chunks_exact(width);
        let mut targets = self.bytes.chunks_exact_mut(width);
        for (row, target) in rows.by_ref().zip(targets.by_ref()) {
            let [a, b, c, d] = floats
                .load_many::<QUARTERS>(row)
                .map(|x| integers.add(floats.to_int_round(floats.mul(x, inverse)), zero));
            let (low, high) = (integers.narrow_saturate(a, b), integers.narrow_saturate(c, d));
            bytes.store(shorts.narrow_saturate(low, high), target);
        }
        for (x, byte) in rows.remainder().iter().zip(targets.into_remainder()) {
            *byte = (libm::rintf(x * self.inverse) + f32::from(self.zero)).clamp(0.0, STEPS) as u8;
        }
    }
}

/// Makes the numbers of a row of sums: `activation(sum · row factor · factor + bias)`, put or added to `output`.
pub(super) struct Finish<'a> {
    /// `[out]`
    pub(super) sums: &'a [i32],
    /// Of the row that was multiplied.
    pub(super) row_factor: f32,
    /// Of the weight, `[out]`.
    pub(super) factors: &'a [f32],
    pub(super) after: &'a After<'a>,
    /// `[out]`
    pub(super) output: &'a mut [f32],
}

impl SimdOp for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (ops, integers) = (isa.f32(), isa.i32());
        let Self { sums, row_factor, factors, after: After { bias, activation, is_added }, output } = self;
        let row_factor = ops.splat(row_factor);
        let whole = sums.len() - sums.len() % ops.len();
        for start in (0..whole).step_by(ops.len()) {
            let place = start..start + ops.len();
            let (sum, factor) = (integers.load(&sums[place.clone()]), ops.load(&factors[place.clone()]));
            let shift = bias.map_or(ops.zero(), |bias| ops.load(&bias[place.clone()]));
            let value = ops.mul_add(integers.to_float(sum), ops.mul(factor, row_factor), shift);
            let value = activated(isa, *activation, value);
            let target = &mut output[place];
            let value = if *is_added { ops.add(value, ops.load(target)) } else { value };
            ops.store(value, target);
        }
        // What is left is less than a vector.
        let (sum, factor) = (integers.load_pad(&sums[whole..]).0, ops.load_pad(&factors[whole..]).0);
        let shift = bias.map_or(ops.zero(), |bias| ops.load_pad(&bias[whole..]).0);
        let value = ops.mul_add(integers.to_float(sum), ops.mul(factor, row_factor), shift);
        let values = activated(isa, *activation, value).to_array();
        for (target, value) in output[whole..].iter_mut().zip(values.as_ref()) {
            *target = if *is_added { *target + value } else { *value };
        }
    }
}

/// The activation of a vector; NaN stays NaN.
#[inline(always)]
fn activated<I: Isa>(isa: I, activation: Option<Activation>, x: I::F32) -> I::F32 {
    let ops = isa.f32();
    let clamped = |x: I::F32, most: f32| {
        let (least, most) = (ops.zero(), ops.splat(most));
        let x = ops.select(least, x, ops.lt(x, least));
        ops.select(most, x, ops.gt(x, most))
    };
    match activation {
        None => x,
        Some(Activation::Relu) => clamped(x, f32::INFINITY),
        Some(Activation::Relu6) => clamped(x, 6.0),
        Some(Activation::QuickGelu) => Swish { alpha: 1.702 }.eval(isa, x),
        Some(Activation::Gelu) => Gelu {}.eval(isa, x),
        Some(Activation::Silu) => Silu {}.eval(isa, x),
    }
}
