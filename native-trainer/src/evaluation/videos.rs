//! Predictions gathered by video.

use std::collections::BTreeMap;

use unmask_core::metrics::{Scored, Undefined};
use unmask_core::pipeline::aggregate::mean_score;

use super::Prediction;
use crate::datasets::Label;

/// What can be wrong with predictions.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// A score that is no probability.
    #[error("the video {video} has the score {score}, which is no number from 0 to 1; check the detector's weights")]
    BadScore {
        /// Data set, manipulation and name.
        video: String,
        /// The score as written.
        score: String,
    },
    /// One video with both labels.
    #[error("the video {video} is labelled both real and fake; check the data set's labels")]
    MixedLabels {
        /// Data set, manipulation and name.
        video: String,
    },
    /// What the metrics refuse as a whole.
    #[error("the predictions cannot be measured: {0}; check the detector's weights")]
    Unmeasurable(#[from] Undefined),
}

/// A video with the scores of its frames. Its identity is (data set, manipulation, name).
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredVideo<'a> {
    /// The data set.
    pub dataset: &'a str,
    /// How it was made, `original` of real ones.
    pub manipulation: &'a str,
    /// Its name in the data set.
    pub name: &'a str,
    /// What it is.
    pub label: Label,
    /// As [`crate::datasets::Video::group`].
    pub group: &'a str,
    /// At least one, in the order of the predictions.
    pub frames: Vec<f64>,
    /// The uncertainty of each frame; none of detectors that do not say it.
    pub uncertainties: Vec<f64>,
}

impl ScoredVideo<'_> {
    /// Whether a prediction is of this video.
    pub fn holds(&self, prediction: &Prediction) -> bool {
        let Prediction { dataset, manipulation, video, .. } = prediction;
        (self.dataset, self.manipulation, self.name) == (dataset, manipulation, video)
    }

    /// The mean of the frames' scores, as [`mean_score`] has it.
    pub fn score(&self) -> f64 {
        mean_score(self.frames.iter().copied()).unwrap_or(f64::NAN)
    }

    /// The mean of the frames' uncertainties.
    pub fn uncertainty(&self) -> Option<f64> {
        mean_score(self.uncertainties.iter().copied())
    }

    /// The video's score with its label.
    pub fn scored(&self) -> Scored {
        Scored { score: self.score(), fake: self.label == Label::Fake }
    }

    /// Each frame's score with the video's label.
    pub fn scored_frames(&self) -> Vec<Scored> {
        self.frames.iter().map(|score| Scored { score: *score, fake: self.label == Label::Fake }).collect()
    }
}

/// The videos of `predictions`, sorted by data set, manipulation and name.
///
/// # Errors
/// `EvaluationError` with the first video that cannot be right.
pub fn group(predictions: &[Prediction]) -> Result<Vec<ScoredVideo<'_>>, EvaluationError> {
    let mut videos: BTreeMap<(&str, &str, &str), ScoredVideo> = BTreeMap::new();
    for prediction in predictions {
        let Prediction { dataset, manipulation, video: name, label, score, group, uncertainty, .. } = prediction;
        let shown = || format!("{dataset}/{manipulation}/{name}");
        if !(0.0..=1.0).contains(score) {
            return Err(EvaluationError::BadScore { video: shown(), score: score.to_string() });
        }
        let video = videos.entry((dataset, manipulation, name)).or_insert_with(|| ScoredVideo {
            dataset,
            manipulation,
            name,
            label: *label,
            group,
            frames: Vec::new(),
            uncertainties: Vec::new(),
        });
        if video.label != *label {
            return Err(EvaluationError::MixedLabels { video: shown() });
        }
        video.frames.push(*score);
        video.uncertainties.extend(uncertainty);
    }
    Ok(videos.into_values().collect())
}
