//! Functions of vectors, for whichever length the processor has.

use pulp::Simd;

use crate::ops::Activation;

/// `e^x` to a few units in the last place (Cody and Waite's reduction, the polynomial of Cephes' `expf`); inputs outside of
/// what f32 has a normal answer for are taken to the nearest that has one, and NaN stays NaN.
#[inline(always)]
pub(in crate::ops) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// Adding it leaves the nearest whole number in the lowest bits.
    const ROUNDER: f32 = 12_582_912.0;
    const POLYNOMIAL: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
    let x = clamp(simd, x, -87.0, 88.0);
    let splat = |value| simd.splat_f32s(value);
    let shifted = simd.mul_add_e_f32s(x, splat(core::f32::consts::LOG2_E), splat(ROUNDER));
    let whole = simd.sub_f32s(shifted, splat(ROUNDER));
    // The logarithm of 2 in two parts, of which the first times a small whole number is exact.
    let rest = simd.mul_add_e_f32s(whole, splat(-0.693_359_4), x);
    let rest = simd.mul_add_e_f32s(whole, splat(2.121_944_4e-4), rest);
    let mut sum = splat(POLYNOMIAL[0]);
    for factor in &POLYNOMIAL[1..] {
        sum = simd.mul_add_e_f32s(sum, rest, splat(*factor));
    }
    let sum = simd.mul_add_e_f32s(sum, simd.mul_f32s(rest, rest), simd.add_f32s(rest, splat(1.0)));
    // Added to the exponent's bits, a whole number multiplies by that power of two.
    let power = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(sum), power))
}

/// The nearest number in `low..=high`; NaN stays NaN.
#[inline(always)]
pub(in crate::ops) fn clamp<S: Simd>(simd: S, x: S::f32s, low: f32, high: f32) -> S::f32s {
    let high = simd.splat_f32s(high);
    let x = at_least(simd, x, low);
    simd.select_f32s(simd.less_than_f32s(high, x), high, x)
}

/// The greater of `x` and `low`; NaN stays NaN, since it is not less than anything. A processor's own greatest of two numbers may
/// be the one that is a number.
#[inline(always)]
fn at_least<S: Simd>(simd: S, x: S::f32s, low: f32) -> S::f32s {
    let low = simd.splat_f32s(low);
    simd.select_f32s(simd.less_than_f32s(x, low), low, x)
}

/// The activation of each number.
#[inline(always)]
pub(in crate::ops) fn activated<S: Simd>(simd: S, x: S::f32s, activation: Option<Activation>) -> S::f32s {
    match activation {
        None => x,
        Some(Activation::Relu) => at_least(simd, x, 0.0),
        Some(Activation::Relu6) => clamp(simd, x, 0.0, 6.0),
        Some(Activation::QuickGelu) => simd.mul_f32s(x, sigmoid(simd, simd.mul_f32s(x, simd.splat_f32s(1.702)))),
        Some(Activation::Silu) => simd.mul_f32s(x, sigmoid(simd, x)),
        Some(Activation::Gelu) => gelu(simd, x),
    }
}

/// The activation of each number, and its slope there. Where a clamp bends, the slope is 0, as in PyTorch.
#[inline(always)]
pub(in crate::ops) fn activated_with_slope<S: Simd>(
    simd: S,
    x: S::f32s,
    activation: Option<Activation>,
) -> (S::f32s, S::f32s) {
    /// `1 / sqrt(2π)`
    const DENSITY: f32 = 0.398_942_3;
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let value = activated(simd, x, activation);
    let slope = match activation {
        None => one,
        Some(Activation::Relu) => simd.select_f32s(simd.less_than_f32s(zero, x), one, zero),
        Some(Activation::Relu6) => {
            let is_below = simd.select_f32s(simd.less_than_f32s(x, simd.splat_f32s(6.0)), one, zero);
            simd.select_f32s(simd.less_than_f32s(zero, x), is_below, zero)
        }
        Some(Activation::QuickGelu) => return swish(simd, x, 1.702),
        Some(Activation::Silu) => return swish(simd, x, 1.0),
        Some(Activation::Gelu) => {
            let (share, fall) = normal(simd, x);
            let slope = simd.mul_add_e_f32s(simd.mul_f32s(x, simd.splat_f32s(DENSITY)), fall, share);
            return (simd.mul_f32s(x, share), slope);
        }
    };
    (value, slope)
}

/// `x * sigmoid(factor * x)`, and its slope `s + factor * x * s * (1 - s)`.
#[inline(always)]
fn swish<S: Simd>(simd: S, x: S::f32s, factor: f32) -> (S::f32s, S::f32s) {
    let share = sigmoid(simd, simd.mul_f32s(x, simd.splat_f32s(factor)));
    let value = simd.mul_f32s(x, share);
    let rest = simd.mul_f32s(simd.sub_f32s(simd.splat_f32s(1.0), share), simd.splat_f32s(factor));
    (value, simd.mul_add_e_f32s(value, rest, share))
}

/// `1 / (1 + e^-x)` to within 3e-7, by the rational function that Eigen and ONNX Runtime use: cheaper than an exponential, which
/// counts where the sums before it are short. NaN stays NaN.
#[inline(always)]
fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// Beyond it, f32 tells no difference from 1, and hardly one from 0.
    const LARGEST: f32 = 18.0;
    const ABOVE: [f32; 5] = [4.370_31e-11, 1.156_273_2e-7, 6.085_749e-5, 8.513_771e-3, 0.248_287_95];
    const BELOW: [f32; 6] = [6.102_473_7e-13, 5.761_021e-9, 6.291_068e-6, 1.701_988_2e-3, 0.116_817_65, 0.993_151_9];
    let is_far_below = simd.less_than_f32s(x, simd.splat_f32s(-LARGEST));
    let x = clamp(simd, x, -LARGEST, LARGEST);
    let square = simd.mul_f32s(x, x);
    let (mut above, mut below) = (simd.splat_f32s(ABOVE[0]), simd.splat_f32s(BELOW[0]));
    for factor in &ABOVE[1..] {
        above = simd.mul_add_e_f32s(above, square, simd.splat_f32s(*factor));
    }
    for factor in &BELOW[1..] {
        below = simd.mul_add_e_f32s(below, square, simd.splat_f32s(*factor));
    }
    let found = simd.add_f32s(simd.div_f32s(simd.mul_f32s(above, x), below), simd.splat_f32s(0.5));
    simd.select_f32s(is_far_below, simd.splat_f32s(0.0), found)
}

/// `x * Φ(x)`.
#[inline(always)]
fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    simd.mul_f32s(x, normal(simd, x).0)
}

/// `Φ(x)` and `e^(-x² / 2)`, with the complementary error function by formula 7.1.26 of Abramowitz and Stegun, whose error is
/// below 1.5e-7.
#[inline(always)]
fn normal<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    const POLYNOMIAL: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];
    let splat = |value| simd.splat_f32s(value);
    let one = splat(1.0);
    let scaled = simd.mul_f32s(simd.abs_f32s(x), splat(core::f32::consts::FRAC_1_SQRT_2));
    let place = simd.div_f32s(one, simd.mul_add_e_f32s(scaled, splat(0.327_591_1), one));
    let mut sum = splat(POLYNOMIAL[0]);
    for factor in &POLYNOMIAL[1..] {
        sum = simd.mul_add_e_f32s(sum, place, splat(*factor));
    }
    let fall = exp(simd, simd.neg_f32s(simd.mul_f32s(scaled, scaled)));
    let beyond = simd.mul_f32s(simd.mul_f32s(simd.mul_f32s(sum, place), fall), splat(0.5));
    let is_negative = simd.less_than_f32s(x, splat(0.0));
    (simd.select_f32s(is_negative, beyond, simd.sub_f32s(one, beyond)), fall)
}

/// The sum of `of` each number.
#[inline(always)]
pub(in crate::ops) fn sum<S: Simd>(simd: S, row: &[f32], of: impl Fn(S::f32s) -> S::f32s) -> f32 {
    /// Numbers of the longest vector.
    const LONGEST: usize = 16;
    /// Sums that do not wait for each other.
    const SUMS: usize = 4;
    let (vectors, end) = S::as_simd_f32s(row);
    let (groups, rest) = vectors.as_chunks::<SUMS>();
    let mut sums = [simd.splat_f32s(0.0); SUMS];
    for group in groups {
        for (sum, x) in sums.iter_mut().zip(group) {
            *sum = simd.add_f32s(*sum, of(*x));
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum = simd.add_f32s(*sum, of(*x));
    }
    let [a, b, c, d] = sums;
    let mut total = simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)));
    if !end.is_empty() {
        // What lies beyond the row's end does not count, whatever `of` makes of it.
        let mut last = [0.0; LONGEST];
        simd.partial_store_f32s(&mut last[..end.len()], of(simd.partial_load_f32s(end)));
        total += last[..end.len()].iter().sum::<f32>();
    }
    total
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use pulp::{Arch, WithSimd};

    use super::*;

    /// A function of each number of a slice.
    struct Mapped<'a>(&'a [f32], Option<Activation>);

    impl WithSimd for Mapped<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let mut values = self.0.to_vec();
            let mut buffer = [0.0; 64];
            for value in &mut values {
                let x = simd.splat_f32s(*value);
                let y = match self.1 {
                    Some(activation) => activated(simd, x, Some(activation)),
                    None => exp(simd, x),
                };
                simd.partial_store_f32s(&mut buffer[..S::F32_LANES], y);
                *value = buffer[0];
            }
            values
        }
    }

    fn grid(from: f32, to: f32) -> Vec<f32> {
        (0..=20_000).map(|step| from + (to - from) * step as f32 / 20_000.0).collect()
    }

    #[test]
    fn the_exponential_is_right_to_the_last_places() {
        let grid = grid(-86.9, 87.9);
        for (x, found) in grid.iter().zip(Arch::new().dispatch(Mapped(&grid, None))) {
            let expected = libm::exp(f64::from(*x));
            assert!((f64::from(found) / expected - 1.0).abs() < 3e-7, "exp({x}) is not {found}");
        }
        let beyond = Arch::new().dispatch(Mapped(&[f32::NEG_INFINITY, -1e9, f32::INFINITY, f32::NAN], None));
        assert!(beyond[0] < 1e-37 && beyond[1] < 1e-37 && beyond[2] > 1e38 && beyond[3].is_nan(), "{beyond:?}");
    }

    /// The slopes of an activation.
    struct Slopes<'a>(&'a [f32], Option<Activation>);

    impl WithSimd for Slopes<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let mut buffer = [0.0; 64];
            let mut slope_of = |value: &f32| {
                let x = simd.splat_f32s(*value);
                let (y, slope) = activated_with_slope(simd, x, self.1);
                simd.partial_store_f32s(&mut buffer[..S::F32_LANES], simd.sub_f32s(y, activated(simd, x, self.1)));
                assert_eq!(buffer[0], 0.0, "the activation is the same as without the slope");
                simd.partial_store_f32s(&mut buffer[..S::F32_LANES], slope);
                buffer[0]
            };
            self.0.iter().map(&mut slope_of).collect()
        }
    }

    #[test]
    fn slopes_are_those_of_the_formulas() {
        // Off the places where a clamp bends.
        let grid: Vec<f32> = grid(-12.0, 12.0).into_iter().map(|x| x + 1e-4).collect();
        for activation in Activation::NONE_OR_ANY {
            let found = Arch::new().dispatch(Slopes(&grid, activation));
            let of = |x: f64| activation.map_or(x, |activation| activation.of_scalar(x));
            for (x, found) in grid.iter().zip(found) {
                let (x, step) = (f64::from(*x), 1e-5);
                let expected = (of(x + step) - of(x - step)) / (2.0 * step);
                assert!((f64::from(found) - expected).abs() < 3e-6, "{activation:?} at {x}: {expected}, not {found}");
            }
        }
    }

    #[test]
    fn activations_are_near_their_formulas_and_of_nan_is_nan() {
        use Activation::{Gelu, QuickGelu, Relu, Relu6, Silu};
        let grid = grid(-12.0, 12.0);
        for activation in [Relu, Relu6, QuickGelu, Gelu, Silu] {
            let found = Arch::new().dispatch(Mapped(&grid, Some(activation)));
            for (x, found) in grid.iter().zip(found) {
                let expected = activation.of_scalar(f64::from(*x));
                let error = (f64::from(found) - expected).abs();
                assert!(error < 2e-6 * expected.abs().max(1.0), "{activation:?} of {x} is {expected}, not {found}");
            }
            for arch in [Arch::new(), Arch::Scalar] {
                assert!(arch.dispatch(Mapped(&[f32::NAN], Some(activation)))[0].is_nan(), "{activation:?} by {arch:?}");
            }
        }
    }
}
