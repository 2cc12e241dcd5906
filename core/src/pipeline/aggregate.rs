//! From the crops of a track to its score: the one way that scoring, evaluation and training go.
//!
//! Crops that follow each other form clips of as many frames as the detector sees together ([`clips`], [`complete`]); its
//! logits give each clip a probability ([`fake_probability`]); the mean over the clips is the score of the track
//! ([`mean_score`]), and that of the one person who counts is the video's.

use alloc::vec::Vec;
use core::ops::Range;

/// The clips of `crops` crops in order of time: consecutive groups of `length`, the last of which may be shorter.
///
/// ```
/// use unmask_core::pipeline::aggregate::clips;
/// assert_eq!(clips(5, 2).collect::<Vec<_>>(), [0..2, 2..4, 4..5]);
/// ```
pub fn clips(crops: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    let length = length.max(1);
    (0..crops).step_by(length).map(move |start| start..(start + length).min(crops))
}

/// The clip that crop `index` of a track belongs to.
pub fn clip_of(index: usize, length: usize) -> usize {
    index / length.max(1)
}

/// Makes the last clip among `members` whole: its last member is repeated until the members are a multiple of `length`.
///
/// ```
/// let mut crops = vec!['a', 'b', 'c', 'd'];
/// unmask_core::pipeline::aggregate::complete(&mut crops, 3);
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
/// use unmask_core::pipeline::aggregate::fake_probability;
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

/// The score of a track: the mean P(fake) of its clips. `None` without any; NaN if one of them is.
pub fn mean_score(clips: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0u32);
    for score in clips {
        sum += score;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_are_consecutive_and_cover_every_crop_once() {
        for (crops, length) in [(0, 4), (1, 4), (4, 4), (5, 4), (12, 4), (7, 1), (3, 0)] {
            let clips: Vec<Range<usize>> = clips(crops, length).collect();
            assert!(clips.iter().cloned().flatten().eq(0..crops), "{crops} crops in clips of {length}");
            for (number, clip) in clips.iter().enumerate() {
                assert!(clip.clone().all(|crop| clip_of(crop, length) == number));
                assert!(clip.len() == length.max(1) || number + 1 == clips.len());
            }
        }
    }

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

    #[test]
    fn a_track_has_the_mean_of_its_clips_and_one_without_clips_has_none() {
        assert_eq!(mean_score([0.25, 0.75, 0.5]), Some(0.5));
        assert_eq!(mean_score([]), None);
        assert!(mean_score([0.1, f64::NAN]).is_some_and(f64::is_nan));
    }
}
