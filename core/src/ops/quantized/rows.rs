//! Rows of numbers to bytes before a product, and sums of products to numbers behind it.

use rten_simd::ops::{BitOps, FloatOps, NarrowSaturate, NumOps, ToFloat};
use rten_simd::{Isa, Simd, SimdOp, SimdUnaryOp};
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

/// Vectors that are looked at together: as many of f32 as fill one of bytes.
const UNROLLED: usize = 4;

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
    #[allow(clippy::needless_range_loop, reason = "iterators need not be compiled for the instructions at hand")]
    fn eval<I: Isa>(self, isa: I) -> Reach {
        let ops = isa.f32();
        let zero = ops.zero();
        let [mut low, mut high, mut none] = [[zero; UNROLLED]; 3];
        let mut blocks = self.0.chunks_exact(UNROLLED * ops.len());
        for block in blocks.by_ref() {
            let x = ops.load_many::<UNROLLED>(block);
            for lane in 0..UNROLLED {
                low[lane] = ops.min(x[lane], low[lane]);
                high[lane] = ops.max(x[lane], high[lane]);
                // What is not finite is NaN once it is multiplied by zero.
                none[lane] = ops.mul_add(x[lane], zero, none[lane]);
            }
        }
        for part in blocks.remainder().chunks(ops.len()) {
            let x = ops.load_pad(part).0;
            low[0] = ops.min(x, low[0]);
            high[0] = ops.max(x, high[0]);
            none[0] = ops.mul_add(x, zero, none[0]);
        }
        let (mut reach, mut is_finite) = ([0.0f32; 2], true);
        for lane in 0..UNROLLED {
            let (low, high) = (low[lane].to_array(), high[lane].to_array());
            reach[0] = low.as_ref().iter().fold(reach[0], |least, x| least.min(*x));
            reach[1] = high.as_ref().iter().fold(reach[1], |most, x| most.max(*x));
            is_finite &= none[lane].to_array().as_ref().iter().all(|x| *x == 0.0);
        }
        Reach { low: reach[0], high: reach[1], is_finite }
    }
}

/// The bytes of a row, whose numbers are finite.
struct Bytes<'a> {
    row: &'a [f32],
    bytes: &'a mut [u8],
    inverse: f32,
    zero: u8,
}

impl SimdOp for Bytes<'_> {
    type Output = ();

    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "iterators need not be compiled for the instructions at hand")]
    fn eval<I: Isa>(self, isa: I) {
        let (floats, integers, shorts, bytes) = (isa.f32(), isa.i32(), isa.i16(), isa.u8());
        let (inverse, zero) = (floats.splat(self.inverse), integers.splat(i32::from(self.zero)));
        let width = UNROLLED * floats.len();
        let mut rows = self.row.chunks_exact(width);
        let mut targets = self.bytes.chunks_exact_mut(width);
        for (row, target) in rows.by_ref().zip(targets.by_ref()) {
            let x = floats.load_many::<UNROLLED>(row);
            let mut byte = [zero; UNROLLED];
            for lane in 0..UNROLLED {
                byte[lane] = integers.add(floats.to_int_round(floats.mul(x[lane], inverse)), zero);
            }
            let low = integers.narrow_saturate(byte[0], byte[1]);
            let high = integers.narrow_saturate(byte[2], byte[3]);
            bytes.store(shorts.narrow_saturate(low, high), target);
        }
        for (x, byte) in rows.remainder().iter().zip(targets.into_remainder()) {
            *byte = (libm::rintf(x * self.inverse) + f32::from(self.zero)).clamp(0.0, STEPS) as u8;
        }
    }
}

/// Makes the numbers of a row of sums: `activation((sum - zero · total) · row factor · factor + bias)`, put or added to `output`.
pub(super) struct Finish<'a> {
    /// `[out]`
    pub(super) sums: &'a [i32],
    /// Of the row that was multiplied.
    pub(super) scale: Scale,
    /// The sums of the weight's integers, `[out]`.
    pub(super) totals: &'a [i32],
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
        let Self { sums, scale, totals, factors, after: After { bias, activation, is_added }, output } = self;
        let (row_factor, zero) = (ops.splat(scale.factor), integers.splat(i32::from(scale.zero)));
        let whole = sums.len() - sums.len() % ops.len();
        for start in (0..whole).step_by(ops.len()) {
            let place = start..start + ops.len();
            let (sum, total) = (integers.load(&sums[place.clone()]), integers.load(&totals[place.clone()]));
            let shift = bias.map_or(ops.zero(), |bias| ops.load(&bias[place.clone()]));
            let factor = ops.mul(ops.load(&factors[place.clone()]), row_factor);
            let value = activated(isa, *activation, number(isa, [sum, zero, total], factor, shift));
            let target = &mut output[place];
            let value = if *is_added { ops.add(value, ops.load(target)) } else { value };
            ops.store(value, target);
        }
        // What is left is less than a vector.
        let (sum, total) = (integers.load_pad(&sums[whole..]).0, integers.load_pad(&totals[whole..]).0);
        let shift = bias.map_or(ops.zero(), |bias| ops.load_pad(&bias[whole..]).0);
        let factor = ops.mul(ops.load_pad(&factors[whole..]).0, row_factor);
        let values = activated(isa, *activation, number(isa, [sum, zero, total], factor, shift)).to_array();
        for (target, value) in output[whole..].iter_mut().zip(values.as_ref()) {
            *target = if *is_added { *target + value } else { *value };
        }
    }
}

/// `(sum - zero · total) · factor + shift`
#[inline(always)]
fn number<I: Isa>(isa: I, [sum, zero, total]: [I::I32; 3], factor: I::F32, shift: I::F32) -> I::F32 {
    let integers = isa.i32();
    let sum = integers.sub(sum, integers.mul(zero, total));
    isa.f32().mul_add(integers.to_float(sum), factor, shift)
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
