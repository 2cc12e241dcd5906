//! How good a detector is on one data set.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use unmask_core::detector::Detector;

use super::config::{DataSet, FACES, Method};
use super::detectors::Ready;
use super::results::{Measured, MissingKind};
use super::{Halt, Options, results_folder, store, stored};
use crate::datasets::{self, Dataset, LoadOptions, Part, Video};
use crate::detector_file;
use crate::evaluation::tables::{Prepared, prepare};
use crate::evaluation::{EvaluationOptions, Omitted, Prediction, evaluate};
use crate::predict::{predict_visibly, predictions, stored_crops};
use crate::twins::{Twins, with_twins};

/// What a measurement depends on; only where all of it is the same, an earlier one counts.
#[derive(PartialEq, Serialize, Deserialize)]
struct Key {
    version: u32,
    /// SHA-256 of the detector's file.
    detector: String,
    split: Part,
    #[serde(default)]
    self_blended: bool,
    /// Frames of each video.
    frames: usize,
    /// [`datasets::fingerprint`] of the videos.
    videos: String,
}

/// The layout of [`Measured`].
const VERSION: u32 = 1;

/// Measures the detector of `method` on `set`, unless that was done. `loaded` holds the detector from its first use on.
pub(super) fn measure(
    method: &Method,
    ready: &Ready,
    set: &DataSet,
    loaded: &mut Option<Detector>,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Measured, Halt> {
    if !set.path.exists() {
        let reason = format!("{}: there is no such file or folder; check the path", set.path.display());
        return Err(Halt::missing(MissingKind::NoData, reason));
    }
    let frames = ready.spec.sampling.frames;
    let data = read_data(set, ready, options)?;
    let videos: Vec<Video> =
        data.iter().flat_map(|set| &set.videos).filter(|video| set.part.takes(video.split)).cloned().collect();
    let videos = if set.self_blended { with_twins(videos) } else { videos };
    if videos.is_empty() {
        let reason = format!("{} holds no usable video of the chosen split; choose another", set.path.display());
        return Err(Halt::missing(MissingKind::NoData, reason));
    }
    let fingerprint = datasets::fingerprint(&videos);
    let key = Key {
        version: VERSION,
        detector: ready.sha256.clone(),
        split: set.part,
        self_blended: set.self_blended,
        frames,
        videos: fingerprint,
    };
    let path = results_folder(method, options).join(format!("{}.json", set.folder));
    if let Some(measured) = stored(&path, &key).filter(|_| !options.fresh) {
        eprintln!("{} on {}: measured before", method.name, set.name);
        return Ok(measured);
    }
    let detector = match loaded {
        Some(detector) => detector,
        None => loaded.insert(detector_file::load_whole(&ready.source, &options.device.open()?)?.detector),
    };
    let what = format!("{} on {}", method.name, set.name);
    let twins = Twins::to_measure(ready.spec.crop);
    let logits = predict_visibly(detector, &videos, frames, &what, |video, crops| {
        if stop.load(Ordering::Relaxed) {
            bail!("it was stopped");
        }
        if set.self_blended { twins.images(video, crops) } else { stored_crops(video, crops) }
    })?;
    let found = predictions(&videos, &logits, detector.spec().calibration.temperature);
    let measured = figures(&set.name, &data, set.part, frames, found)?;
    store(&path, &key, &measured)?;
    Ok(measured)
}

/// The data with crops as this detector cuts them; detectors that cut alike share those of a table of videos.
fn read_data(set: &DataSet, ready: &Ready, options: &Options) -> anyhow::Result<Vec<Dataset>> {
    let (crop, frames) = (ready.spec.crop, ready.spec.sampling.frames);
    let cut = format!("{:?}-{}-{}-{frames}", crop.geometry, crop.size, crop.margin).to_lowercase();
    let faces = options.out.join(FACES).join(&set.folder).join(cut);
    let Prepared { data, .. } = prepare(std::slice::from_ref(&set.path), &[], &faces, crop, frames)?;
    datasets::load_all(&data, &LoadOptions::default(), &crop)
}

/// The figures of all videos as one data set.
fn figures(
    name: &str,
    data: &[Dataset],
    part: Part,
    frames: usize,
    found: Vec<Prediction>,
) -> anyhow::Result<Measured> {
    // What stands under one name may be several data sets, whose videos and persons are different ones all the same.
    let pooled = |prediction: Prediction| Prediction {
        video: format!("{}/{}", prediction.dataset, prediction.video),
        group: format!("{}/{}", prediction.dataset, prediction.group),
        dataset: name.to_owned(),
        ..prediction
    };
    let found: Vec<Prediction> = found.into_iter().map(pooled).collect();
    let omitted: Vec<Omitted> = data
        .iter()
        .flat_map(|set| Omitted::of(set, |split| part.takes(split)))
        .map(|omitted| Omitted { dataset: name.to_owned(), ..omitted })
        .collect();
    let summary = evaluate(&found, &omitted, &EvaluationOptions::default())?;
    let of_set = summary.datasets.into_iter().next().context("no video was measured; check the data")?;
    let remarks = datasets::remarks(data, frames);
    Ok(Measured { figures: of_set.levels.videos, dropped: of_set.dropped, remarks })
}
