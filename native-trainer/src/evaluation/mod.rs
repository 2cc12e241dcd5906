//! From predictions to the figures that a detector is reported with.
//!
//! A [`Prediction`] is the score of one frame (or of one clip, for a model of clips). [`evaluate`] makes a [`Summary`] of
//! them: metrics with intervals at the level of frames, all pooled, and of videos, whose score is the mean of theirs; for
//! each data set, for each manipulation against all reals of its data set, and the mean over data sets. [`write()`] puts it
//! on disk as Markdown, JSON and CSV, and [`analysis`] draws figures of it. Nothing here runs a model.
//!
//! An example to check by hand, four videos of two frames each:
//!
//! | video | label | frame scores | video score |
//! |---|---|---|---|
//! | r1 | real | 0.1, 0.3 | 0.2 |
//! | r2 | real | 0.6, 0.4 | 0.5 |
//! | f1 | fake | 0.9, 0.7 | 0.8 |
//! | f2 | fake | 0.4, 0.4 | 0.4 |
//!
//! Of the four pairs of a real and a fake video, f2 and r2 alone are in the wrong order: the AUC of videos is 3/4. Of the
//! 16 pairs of frames, 12 are in order and two are equal, which count half: the AUC of frames is 13/16. At 0.5, r2 is
//! called fake, f2 real and the others what they are: accuracy and F1 of videos are 1/2.

pub mod analysis;
pub mod calibration;
pub mod csv_files;
pub mod figures;
pub mod markdown;
mod summary;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod verdicts;
mod videos;

use std::path::Path;

use anyhow::{Context, Result};

use crate::datasets::{Dataset, Dropped, Label, Split};
use crate::files;

pub use markdown::document;
pub use summary::{DroppedCount, EvaluationOptions, MeanFigure, Summary, Thresholds, evaluate};
pub use videos::{ScoredVideo, group};

/// The score of one frame, or of one clip for a model of clips.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The data set of the video.
    pub dataset: String,
    /// How the video was manipulated; [`crate::datasets::ORIGINAL`] for real ones.
    pub manipulation: String,
    /// The video's name, unique within data set and manipulation.
    pub video: String,
    /// As [`crate::datasets::Video::group`].
    pub group: String,
    /// What the video is.
    pub label: Label,
    /// When the frame is shown, or the first of the clip, in seconds; none for photographs.
    pub time_s: Option<f64>,
    /// Calibrated P(fake).
    pub score: f64,
    /// How little the detector knows of it, 0..1; of detectors that say so.
    pub uncertainty: Option<f64>,
}

/// A video without a prediction. Every figure has the number of these beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Omitted {
    /// The data set it belongs to.
    pub dataset: String,
    /// What it is.
    pub label: Label,
    /// Why there is no prediction, in a sentence without the video's name, so that equal reasons are counted together.
    pub reason: String,
}

impl Omitted {
    /// What was dropped when `dataset` was made, of the splits that `takes` accepts.
    pub fn of(dataset: &Dataset, takes: impl Fn(Split) -> bool) -> Vec<Self> {
        let omitted = |Dropped { dataset, label, kind, .. }: &Dropped| Self {
            dataset: dataset.clone(),
            label: *label,
            reason: (*kind).to_string(),
        };
        dataset.dropped.iter().filter(|dropped| takes(dropped.split)).map(omitted).collect()
    }
}

/// Writes `summary.md`, `summary.json`, `frames.csv` and `videos.csv` into `folder`, each whole or not at all.
pub fn write(folder: &Path, summary: &Summary, predictions: &[Prediction]) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made; choose another folder for the results", folder.display()))?;
    files::write_json(&folder.join("summary.json"), summary)?;
    files::write_bytes(&folder.join("summary.md"), markdown::document(summary).as_bytes())?;
    files::write_bytes(&folder.join("frames.csv"), &csv_files::frames(predictions)?)?;
    files::write_bytes(&folder.join("videos.csv"), &csv_files::videos(&group(predictions)?)?)
}
