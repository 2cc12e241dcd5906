//! Figures of an evaluation, each as SVG and PNG with the data that it shows as CSV beside it ([docs/analysis.md] describes them
//! and the columns).
//!
//! `curves` draws ROC, precision-recall and reliability, `counts` histograms and confusion matrices, `breakdown` the AUC by what
//! videos are, `errors` the sheet of the most confident errors, `projection` features in the plane, and [`robustness`] what becomes
//! of all that on degraded crops. `parquet_files` writes predictions and features for other programs. They are drawn of what
//! [`seen`] keeps of each clip. What a data set does not give is left out of a figure, and the [`Entry`] says why.
//!
//! [docs/analysis.md]: ../../../docs/analysis.md

mod breakdown;
mod counts;
mod curves;
mod errors;
mod parquet_files;
mod projection;
pub mod robustness;
pub mod seen;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use unmask_core::metrics::{Ranking, Undefined};

use seen::Seen;
use unmask_core::image::RgbImage;

use super::{Prediction, ScoredVideo, Summary, Thresholds, group};
use crate::datasets::Video;
use crate::datasets::list::Attributes;
use crate::figures::Figure;

/// The folder of the figures beside the summary.
pub const FIGURES: &str = "figures";

/// Letters of a data set's name in a figure.
const NAME: usize = 30;

/// A figure in the list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it shows.
    pub title: String,
    /// Its files in [`FIGURES`]; none where there was nothing to draw.
    pub files: Vec<String>,
    /// What is not in it, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// A figure before it is written.
pub struct Drawn {
    /// Its files' name without their endings.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// The figure; none where there is nothing to draw.
    pub figure: Option<Figure>,
    /// The data that it shows.
    pub csv: Vec<u8>,
    /// What is not in it, and why.
    pub left_out: Vec<String>,
}

impl Drawn {
    /// Writes its files into `folder`, if there is anything to draw.
    ///
    /// # Errors
    /// Those of [`Figure::write`].
    pub fn write(self, folder: &Path) -> Result<Entry> {
        let Self { name, title, figure, csv, left_out } = self;
        let files = match figure {
            Some(figure) => figure.write(folder, &name, &csv)?,
            None => Vec::new(),
        };
        Ok(Entry { title, files, left_out })
    }
}

/// The scores of each data set at one level.
pub struct Level {
    /// `videos` or `frames`.
    pub name: &'static str,
    /// By the data sets' names.
    pub sets: Vec<(String, Ranking)>,
    /// The threshold chosen on validation data.
    pub threshold: Option<f64>,
}

impl Level {
    /// Both levels of `videos`, which are sorted by data set.
    ///
    /// # Errors
    /// [`Undefined::NotFinite`]
    pub fn both(videos: &[ScoredVideo], thresholds: &Thresholds) -> Result<[Self; 2], Undefined> {
        let by_set = || videos.chunk_by(|one, next| one.dataset == next.dataset);
        let name = |videos: &[ScoredVideo]| videos.first().map_or(String::new(), |video| video.dataset.to_owned());
        let whole = by_set().map(|of_set| Ok((name(of_set), Ranking::new(of_set.iter().map(ScoredVideo::scored))?)));
        let frames = by_set()
            .map(|of_set| Ok((name(of_set), Ranking::new(of_set.iter().flat_map(ScoredVideo::scored_frames))?)));
        Ok([
            Self { name: "videos", sets: whole.collect::<Result<_, _>>()?, threshold: thresholds.videos },
            Self { name: "frames", sets: frames.collect::<Result<_, _>>()?, threshold: thresholds.frames },
        ])
    }
}

/// What figures are drawn of.
pub struct Evidence<'a> {
    /// The videos that are reported.
    pub videos: &'a [Video],
    /// Their clips.
    pub seen: &'a [Seen],
    /// The clips' predictions, in their order.
    pub predictions: &'a [Prediction],
    /// What tables say of the videos.
    pub attributes: &'a Attributes,
}

/// Draws all figures but [`robustness`] into the folder [`FIGURES`] in `out`, and writes predictions and features as Parquet
/// beside it. `summary` says which thresholds, columns and intervals they are drawn with; `images` brings crops.
///
/// # Errors
/// A file cannot be written, or a crop cannot be read.
pub fn write(
    out: &Path,
    summary: &Summary,
    evidence: &Evidence,
    temperature: f32,
    images: impl Fn(&Video, &[usize]) -> Result<Vec<RgbImage>>,
) -> Result<Vec<Entry>> {
    let Evidence { videos, seen, predictions, attributes } = evidence;
    let (folder, scored) = (folder(out)?, group(predictions)?);
    let mut entries = Vec::new();
    for level in Level::both(&scored, &summary.thresholds)? {
        for draw in [curves::roc, curves::precision_recall, curves::reliability, counts::histograms, counts::confusions]
        {
            entries.push(draw(&level)?.write(&folder)?);
        }
    }
    let breakdowns = summary.verdicts.iter().flat_map(|verdicts| &verdicts.by);
    let columns: Vec<&str> = breakdowns.map(|breakdown| breakdown.column.as_str()).collect();
    let by = breakdown::draw(&scored, &columns, attributes, (videos, seen), &summary.bootstrap)?;
    entries.push(by.write(&folder)?);
    entries.push(errors::write(&folder, &scored, videos, (seen, predictions), images)?);
    entries.push(projection::draw(seen, predictions)?.write(&folder)?);
    let about = parquet_files::About {
        detector: &summary.title,
        sha256: summary.sha256.as_deref().unwrap_or_default(),
        temperature,
    };
    parquet_files::write(out, videos, seen, predictions, &about)?;
    Ok(entries)
}

/// The folder of figures in `out`, made where it is not there.
///
/// # Errors
/// It cannot be made.
pub fn folder(out: &Path) -> Result<PathBuf> {
    let folder = out.join(FIGURES);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be made; choose another folder for the results", folder.display()))?;
    Ok(folder)
}

/// Sorts out the data sets that do not give what a figure shows, each with the reason.
fn sorted_out<T>(
    level: &Level,
    value: impl Fn(&Ranking) -> Result<T, Undefined>,
) -> (Vec<(&str, &Ranking, T)>, Vec<String>) {
    let (mut given, mut left_out) = (Vec::new(), Vec::new());
    for (name, ranking) in &level.sets {
        match value(ranking) {
            Ok(value) => given.push((name.as_str(), ranking, value)),
            Err(reason) => left_out.push(format!("{name}: {reason}")),
        }
    }
    (given, left_out)
}
