//! From crops to clips, and from a clip's logits to its probability.

use alloc::vec::Vec;

/// Makes the last clip among `members` whole: its last member is repeated until the members are a multiple of `length`.
///
/// ```
/// let mut crops = vec!['a', 'b', 'c', 'd'];
/// unmask_core::detector::clips::complete(&mut crops, 3);
/// assert_eq!(crops, ['a', 'b', 'c', 'd', 'd', 'd']);
/// ```
pub fn complete<T: Clone>(members: &mut Vec<T>, length: usize) {
    if let Some(last) = members.last().cloned() {
        members.resize(members.len().next_multiple_of(length.max(1)), last);
    }
}

/// P(fake) of a clip with the logits `[real, fake]`: `softmax(logits / temperature)[1]`. It is NaN where a logit is not a
/// finite number: an infinite one would else become a plain 0 or 1.
///
/// ```
/// use unmask_core::detector::clips::fake_probability;
/// assert_eq!(fake_probability([2.0, 2.0], 1.0), 0.5);
/// assert!((fake_probability([0.0, 3f32.ln()], 1.0) - 0.75).abs() < 1e-6);
/// ```
pub fn fake_probability([real, fake]: [f32; 2], temperature: f32) -> f32 {
    if !real.is_finite() || !fake.is_finite() {
        return f32::NAN;
    }
    let margin = (f64::from(fake) - f64::from(real)) / f64::from(temperature);
    (1.0 / (1.0 + libm::exp(-margin))) as f32
}

/// [`fake_probability`] of each pair in `logits`, the rows of `[clips, 2]`.
pub fn fake_probabilities(logits: &[f32], temperature: f32) -> Vec<f32> {
    logits.as_chunks::<2>().0.iter().map(|pair| fake_probability(*pair, temperature)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_short_clip_gets_repeats_and_of_its_last_crop() {
        for (count, whole) in [(0, 0), (1, 4), (4, 4), (6, 8)] {
            let mut members: Vec<usize> = (0..count).collect();
            complete(&mut members, 4);
            assert_eq!(members.len(), whole);
            assert!(members.iter().enumerate().all(|(place, member)| *member == place.min(count - 1)));
        }
    }

    #[test]
    fn the_probability_is_the_softmax_of_the_logits_over_the_temperature() {
        for (logits, temperature) in
            [([1.0f32, 3.0f32], 1.0f32), ([1.0, 3.0], 2.0), ([-4.0, 0.5], 0.5), ([0.0, 0.0], 7.0)]
        {
            let [real, fake] = logits.map(|logit| libm::exp(f64::from(logit) / f64::from(temperature)));
            let found = f64::from(fake_probability(logits, temperature));
            assert!((found - fake / (real + fake)).abs() < 1e-7, "{logits:?} over {temperature}: {found}");
        }
        assert_eq!(fake_probabilities(&[0.0, 0.0, 500.0, -500.0, -500.0, 500.0], 1.0), [0.5, 0.0, 1.0]);
    }

    #[test]
    fn logits_that_are_no_numbers_give_no_probability() {
        for logits in [[f32::NAN, 0.0], [0.0, f32::INFINITY], [f32::INFINITY, 0.0], [f32::NEG_INFINITY; 2]] {
            assert!(fake_probability(logits, 1.0).is_nan(), "{logits:?}");
        }
    }
}
