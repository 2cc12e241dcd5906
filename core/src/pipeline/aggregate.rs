//! From the crops of a track to its score: the one way that scoring, evaluation and training go.
//!
//! Crops that follow each other form clips of as many frames as the detector sees together ([`clips`], [`complete`]); its
//! logits give each clip a probability ([`fake_probability`]); the mean over the clips is the score of the track
//! ([`mean_score`]), and that of the one person who counts is the video's.

use core::ops::Range;

pub use crate::detector::clips::{complete, fake_probabilities, fake_probability};

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
    use alloc::vec::Vec;

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
    fn a_track_has_the_mean_of_its_clips_and_one_without_clips_has_none() {
        assert_eq!(mean_score([0.25, 0.75, 0.5]), Some(0.5));
        assert_eq!(mean_score([]), None);
        assert!(mean_score([0.1, f64::NAN]).is_some_and(f64::is_nan));
    }
}
