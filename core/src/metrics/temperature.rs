//! Temperature scaling: logits divided by one number, so that scores can be read as probabilities.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Undefined, both_classes};

/// The lowest temperature that is fitted.
pub const MIN_TEMPERATURE: f64 = 0.05;

/// The highest temperature that is fitted; with it, logits five apart still give a score of 0.56.
pub const MAX_TEMPERATURE: f64 = 20.0;

/// Halvings of the interval the optimum lies in: more than f64 can tell apart.
const STEPS: usize = 80;

/// A fitted temperature.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemperatureFit {
    /// What logits are divided by.
    pub temperature: f64,
    /// What to know about it.
    pub note: TemperatureNote,
    /// The mean negative log-likelihood of the labels with temperature 1, in nats.
    pub nll_before: f64,
    /// The same with the fitted temperature.
    pub nll_after: f64,
}

/// How a temperature came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemperatureNote {
    /// It minimises the negative log-likelihood.
    Fitted,
    /// It is 1: every logit is on the right side, so the likelihood grows without end as the temperature falls, and the
    /// data says nothing about how sure to be.
    Separated,
    /// The best one lies outside [`MIN_TEMPERATURE`]..[`MAX_TEMPERATURE`], and this is the nearer end.
    AtLimit,
}

/// Fits the temperature `T` that minimises the negative log-likelihood of `softmax(logits / T)` (Guo et al., "On
/// Calibration of Modern Neural Networks", 2017). Each sample is its logits, real then fake, and whether it is fake.
///
/// With two classes the likelihood depends on the margin, fake minus real, alone, and is convex in `1 / T`: the sign of
/// the slope tells on which side the optimum lies, so halving finds it from anywhere, the same on every platform.
///
/// # Errors
/// [`Undefined`] unless there are reals and fakes, or where a logit is not finite.
///
/// ```
/// use unmask_core::metrics::fit_temperature;
/// // Margins of ±3 that are right in three of four cases deserve the odds 3 : 1, so T = 3 / ln 3.
/// let fakes = [([0.0, 3.0], true), ([0.0, 3.0], true), ([0.0, 3.0], true), ([3.0, 0.0], true)];
/// let reals = [([3.0, 0.0], false), ([3.0, 0.0], false), ([3.0, 0.0], false), ([0.0, 3.0], false)];
/// let fit = fit_temperature(fakes.into_iter().chain(reals))?;
/// assert!((fit.temperature - 3.0 / 3f64.ln()).abs() < 1e-9);
/// # Ok::<(), unmask_core::metrics::Undefined>(())
/// ```
pub fn fit_temperature(samples: impl IntoIterator<Item = ([f32; 2], bool)>) -> Result<TemperatureFit, Undefined> {
    let samples: Vec<Margin> = samples.into_iter().map(|(logits, fake)| Margin::new(logits, fake)).collect();
    if samples.iter().any(|sample| !sample.value.is_finite()) {
        return Err(Undefined::NotFinite);
    }
    let fakes = samples.iter().filter(|sample| sample.fake).count();
    both_classes(fakes as u64, (samples.len() - fakes) as u64)?;
    let (temperature, note) = best_temperature(&samples);
    let (nll_before, nll_after) = (nll(&samples, 1.0), nll(&samples, 1.0 / temperature));
    Ok(TemperatureFit { temperature, note, nll_before, nll_after })
}

/// The difference of a sample's logits, fake minus real.
struct Margin {
    value: f64,
    fake: bool,
}

impl Margin {
    fn new([real, fake_logit]: [f32; 2], fake: bool) -> Self {
        Self { value: f64::from(fake_logit) - f64::from(real), fake }
    }

    /// Positive where the larger logit is that of the right class.
    fn towards_truth(&self) -> f64 {
        if self.fake { self.value } else { -self.value }
    }
}

fn best_temperature(samples: &[Margin]) -> (f64, TemperatureNote) {
    if samples.iter().all(|sample| sample.towards_truth() > 0.0) {
        return (1.0, TemperatureNote::Separated);
    }
    let (mut low, mut high) = (1.0 / MAX_TEMPERATURE, 1.0 / MIN_TEMPERATURE);
    if slope(samples, low) >= 0.0 {
        return (MAX_TEMPERATURE, TemperatureNote::AtLimit);
    }
    if slope(samples, high) <= 0.0 {
        return (MIN_TEMPERATURE, TemperatureNote::AtLimit);
    }
    for _ in 0..STEPS {
        let middle = (low + high) / 2.0;
        if slope(samples, middle) < 0.0 { low = middle } else { high = middle }
    }
    (2.0 / (low + high), TemperatureNote::Fitted)
}

/// The mean negative log-likelihood with the inverse temperature `beta`: `mean ln(1 + exp(−β·m))`, `m` towards truth.
fn nll(samples: &[Margin], beta: f64) -> f64 {
    let losses = samples.iter().map(|sample| softplus(-beta * sample.towards_truth()));
    losses.sum::<f64>() / samples.len() as f64
}

/// The slope of [`nll`] in `beta`, up to a positive factor: `Σ −m·σ(−β·m)`.
fn slope(samples: &[Margin], beta: f64) -> f64 {
    samples.iter().map(|sample| sample.towards_truth()).map(|m| -m / (1.0 + libm::exp(beta * m))).sum()
}

/// `ln(1 + exp(x))` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn fit(margins: &[(f32, bool)]) -> TemperatureFit {
        fit_temperature(margins.iter().map(|(margin, fake)| ([0.0, *margin], *fake))).expect("both classes")
    }

    #[test]
    fn logits_scaled_by_a_factor_need_a_temperature_larger_by_that_factor() {
        let margins = [(2.0, true), (1.0, true), (-0.5, true), (-2.0, false), (-1.0, false), (0.25, false)];
        let scaled = margins.map(|(margin, fake)| (margin * 4.0, fake));
        assert!((fit(&scaled).temperature / fit(&margins).temperature - 4.0).abs() < 1e-12);
        assert_eq!(fit(&margins).note, TemperatureNote::Fitted);
    }

    #[test]
    fn fitting_never_makes_the_likelihood_worse() {
        for margins in [
            vec![(9.0, true), (-9.0, true), (-9.0, false)],
            vec![(0.01, true), (-0.02, true), (-0.03, false), (0.01, false)],
            vec![(1e30, true), (-1e30, false), (1e30, false)],
        ] {
            let fit = fit(&margins);
            assert!(fit.nll_after <= fit.nll_before && fit.nll_after.is_finite(), "{fit:?}");
        }
    }

    #[test]
    fn separated_classes_keep_the_logits_as_they_are() {
        let fit = fit(&[(2.0, true), (0.1, true), (-0.1, false)]);
        assert_eq!((fit.temperature, fit.note), (1.0, TemperatureNote::Separated));
        assert_eq!(fit.nll_before, fit.nll_after);
    }

    #[test]
    fn logits_that_say_nothing_or_the_contrary_get_the_highest_temperature() {
        let nothing = fit(&[(1.0, true), (-1.0, true), (1.0, false), (-1.0, false)]);
        assert_eq!((nothing.temperature, nothing.note), (MAX_TEMPERATURE, TemperatureNote::AtLimit));
        assert_eq!(fit(&[(0.0, true), (0.0, false)]).temperature, MAX_TEMPERATURE);
        let reversed = fit(&[(-1.0, true), (1.0, false)]);
        assert_eq!((reversed.temperature, reversed.note), (MAX_TEMPERATURE, TemperatureNote::AtLimit));
    }

    #[test]
    fn one_class_alone_or_a_logit_that_is_no_number_is_refused() {
        assert_eq!(fit_temperature([([0.0, 1.0], true)]), Err(Undefined::NoReal));
        assert_eq!(fit_temperature([([0.0, 1.0], false)]), Err(Undefined::NoFake));
        assert_eq!(fit_temperature([]), Err(Undefined::Empty));
        assert_eq!(fit_temperature([([f32::NAN, 1.0], true)]), Err(Undefined::NotFinite));
    }
}
