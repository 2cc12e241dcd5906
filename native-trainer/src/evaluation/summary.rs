//! All figures of an evaluation.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use unmask_core::metrics::{Bootstrap, Ranking, Scored, balanced_threshold};

use super::analysis::Entry;
use super::figures::{Figures, Metric};
use super::verdicts::Verdicts;
use super::videos::{EvaluationError, ScoredVideo, group};
use super::{Omitted, Prediction};
use crate::datasets::Label;

/// The version of the summary's layout.
pub(super) const SUMMARY_VERSION: u32 = 1;

/// Thresholds chosen on validation data, never on what is reported: those with the highest balanced accuracy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// For the scores of frames.
    pub frames: Option<f64>,
    /// For the scores of videos.
    pub videos: Option<f64>,
    /// Why one is missing, where validation data was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
}

impl Thresholds {
    /// No thresholds, although there is validation data.
    pub fn none(reason: String) -> Self {
        Self { undefined: Some(reason), ..Self::default() }
    }

    /// Chooses both thresholds.
    ///
    /// # Errors
    /// Those of [`group`].
    pub fn choose(validation: &[Prediction]) -> Result<Self, EvaluationError> {
        let videos = group(validation)?;
        let frames = Ranking::new(videos.iter().flat_map(ScoredVideo::scored_frames));
        let whole = Ranking::new(videos.iter().map(ScoredVideo::scored));
        let [frames, videos] = [frames, whole].map(|ranking| ranking.and_then(|ranking| balanced_threshold(&ranking)));
        let undefined = frames.err().or(videos.err()).map(|reason| reason.to_string());
        Ok(Self { frames: frames.ok(), videos: videos.ok(), undefined })
    }
}

/// What an evaluation depends on besides the predictions.
#[derive(Clone, Debug, Default)]
pub struct EvaluationOptions {
    /// What the summary is about, such as the detector's name.
    pub title: String,
    /// SHA-256 of the detector's file, which tells it from another of its name.
    pub sha256: Option<String>,
    /// Thresholds chosen on validation data; the default is none.
    pub thresholds: Thresholds,
    /// How intervals are found.
    pub bootstrap: Bootstrap,
    /// In what the data differs from what scoring sees, in sentences.
    pub remarks: Vec<String>,
    /// What the detector's thresholds make of the videos.
    pub verdicts: Option<Verdicts>,
}

/// Everything that is reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// `SUMMARY_VERSION`.
    pub version: u32,
    /// What it is about.
    pub title: String,
    /// SHA-256 of the detector's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The thresholds that were chosen on validation data.
    pub thresholds: Thresholds,
    /// How the intervals were found.
    pub bootstrap: Bootstrap,
    /// Each data set, sorted by name.
    pub datasets: Vec<DatasetSummary>,
    /// The unweighted means over data sets.
    pub mean: Vec<Mean>,
    /// In what the data differs from what scoring sees.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// The figures that were drawn, in the folder [`FIGURES`](super::analysis::FIGURES) beside the summary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Entry>,
    /// What the detector's thresholds make of the videos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdicts: Option<Verdicts>,
}

/// The figures of one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetSummary {
    pub name: String,
    /// Videos that the figures are without, by label and reason.
    pub dropped: Vec<DroppedCount>,
    /// All its videos.
    #[serde(flatten)]
    pub levels: Levels,
    /// The fakes of each manipulation against all reals of the data set, sorted by name.
    pub manipulations: Vec<ManipulationSummary>,
}

/// The figures of one manipulation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManipulationSummary {
    pub name: String,
    #[serde(flatten)]
    pub levels: Levels,
}

/// The same videos at both levels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    /// All frames pooled.
    pub frames: Figures,
    /// Each video with its mean score.
    pub videos: Figures,
}

/// How many videos were dropped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedCount {
    /// What they are.
    pub label: Label,
    /// Why they have no score.
    pub reason: String,
    /// How many there are.
    pub count: usize,
}

/// A metric's mean over the data sets in which it is defined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    pub metric: Metric,
    /// At the level of frames.
    pub frames: MeanFigure,
    /// At the level of videos.
    pub videos: MeanFigure,
}

/// A mean, and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeanFigure {
    /// `None` where no data set defines the metric.
    pub value: Option<f64>,
    /// How many data sets define it.
    pub datasets: usize,
}

/// The figures of `predictions`. Data sets of which every video was dropped are there with their counts alone.
///
/// # Errors
/// `EvaluationError` with the first video that cannot be right.
pub fn evaluate(
    predictions: &[Prediction],
    omitted: &[Omitted],
    options: &EvaluationOptions,
) -> Result<Summary, EvaluationError> {
    let videos = group(predictions)?;
    let names: BTreeSet<&str> = videos
        .iter()
        .map(|video| video.dataset)
        .chain(omitted.iter().map(|omitted| omitted.dataset.as_str()))
        .collect();
    let mut datasets = Vec::with_capacity(names.len());
    for name in names {
        let of_dataset: Vec<&ScoredVideo> = videos.iter().filter(|video| video.dataset == name).collect();
        datasets.push(DatasetSummary {
            name: name.to_string(),
            dropped: count_dropped(omitted.iter().filter(|omitted| omitted.dataset == name)),
            levels: levels(&of_dataset, options)?,
            manipulations: manipulations(&of_dataset, options)?,
        });
    }
    let mean = Metric::ALL.map(|metric| Mean {
        metric,
        frames: mean(&datasets, |levels| levels.frames.get(metric)?.value),
        videos: mean(&datasets, |levels| levels.videos.get(metric)?.value),
    });
    Ok(Summary {
        version: SUMMARY_VERSION,
        title: options.title.clone(),
        sha256: options.sha256.clone(),
        thresholds: options.thresholds.clone(),
        bootstrap: options.bootstrap,
        datasets,
        mean: mean.to_vec(),
        remarks: options.remarks.clone(),
        figures: Vec::new(),
        verdicts: options.verdicts.clone(),
    })
}

/// The figures of these videos at both levels.
pub(super) fn levels(videos: &[&ScoredVideo], options: &EvaluationOptions) -> Result<Levels, EvaluationError> {
    let EvaluationOptions { thresholds, bootstrap, .. } = options;
    let mut groups: BTreeMap<&str, Vec<&ScoredVideo>> = BTreeMap::new();
    for video in videos {
        groups.entry(video.group).or_default().push(video);
    }
    let of_group = |videos: &Vec<&ScoredVideo>| videos.iter().map(|video| video.scored()).collect();
    let whole: Vec<Vec<Scored>> = groups.values().map(of_group).collect();
    let of_group = |videos: &Vec<&ScoredVideo>| videos.iter().flat_map(|video| video.scored_frames()).collect();
    let frames: Vec<Vec<Scored>> = groups.values().map(of_group).collect();
    Ok(Levels {
        frames: Figures::new(&frames, thresholds.frames, bootstrap)?,
        videos: Figures::new(&whole, thresholds.videos, bootstrap)?,
    })
}

fn manipulations(
    videos: &[&ScoredVideo],
    options: &EvaluationOptions,
) -> Result<Vec<ManipulationSummary>, EvaluationError> {
    let fakes = videos.iter().filter(|video| video.label == Label::Fake);
    let names: BTreeSet<&str> = fakes.map(|video| video.manipulation).collect();
    names
        .into_iter()
        .map(|name| {
            let with_reals: Vec<&ScoredVideo> = videos
                .iter()
                .filter(|video| video.label == Label::Real || video.manipulation == name)
                .copied()
                .collect();
            Ok(ManipulationSummary { name: name.to_string(), levels: levels(&with_reals, options)? })
        })
        .collect()
}

fn count_dropped<'a>(omitted: impl Iterator<Item = &'a Omitted>) -> Vec<DroppedCount> {
    let mut counts: BTreeMap<(Label, &str), usize> = BTreeMap::new();
    for omitted in omitted {
        *counts.entry((omitted.label, &omitted.reason)).or_default() += 1;
    }
    let count = |((label, reason), count): ((Label, &str), usize)| DroppedCount { label, reason: reason.into(), count };
    counts.into_iter().map(count).collect()
}

fn mean(datasets: &[DatasetSummary], value: impl Fn(&Levels) -> Option<f64>) -> MeanFigure {
    let values: Vec<f64> = datasets.iter().filter_map(|dataset| value(&dataset.levels)).collect();
    let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    MeanFigure { value: mean, datasets: values.len() }
}
