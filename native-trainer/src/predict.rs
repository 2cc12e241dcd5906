//! What a detector says about faces that lie on disk as crops: for validation while training, and for evaluation.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use unmask_core::detector::Detector;
use unmask_core::image::RgbImage;
use unmask_core::pipeline::aggregate;
use unmask_core::pipeline::sampling::frame_indices;

use crate::datasets::Video;
use crate::evaluation::Prediction;

/// Images that go through the model together.
const BATCH: usize = 32;

/// The model's answer to one clip (one face, for models of single frames).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipLogits {
    /// Index of the video.
    pub video: usize,
    /// Index of the clip's first crop.
    pub crop: usize,
    /// Real, fake; before calibration.
    pub logits: [f32; 2],
    /// How little the model knows of it, 0..1; of models that say so.
    pub uncertainty: Option<f32>,
}

impl ClipLogits {
    /// P(fake) at a temperature.
    pub fn score(&self, temperature: f32) -> f32 {
        aggregate::fake_probability(self.logits, temperature)
    }
}

/// Runs `detector` over `frames` evenly spaced crops of each video, in clips as [`aggregate`] has them. `images` brings the
/// crops of a video by their indices; `progress` is told how many videos are done.
///
/// # Errors
/// Those of `images`; and a video without crops, or for which the detector gives no finite number, by its name.
pub fn predict(
    detector: &Detector,
    videos: &[Video],
    frames: usize,
    images: impl Fn(&Video, &[usize]) -> Result<Vec<RgbImage>> + Sync,
    mut progress: impl FnMut(usize),
) -> Result<Vec<ClipLogits>> {
    let length = detector.spec().clip_length();
    let clips: Vec<(usize, Vec<usize>)> = videos
        .iter()
        .enumerate()
        .flat_map(|(video, crops)| clips_of(crops.crops.len(), frames, length).map(move |clip| (video, clip)))
        .collect();
    if let Some(video) = videos.iter().find(|video| video.crops.is_empty()) {
        bail!("{} has no crops to score; preprocess it again", video.identity());
    }
    let mut predictions = Vec::with_capacity(clips.len());
    for group in clips.chunks((BATCH / length).max(1)) {
        let pictures: Vec<Vec<RgbImage>> =
            group.par_iter().map(|(video, crops)| images(&videos[*video], crops)).collect::<Result<_>>()?;
        let output = detector.model().forward(detector.preprocess(&pictures.concat()));
        let answers: Vec<f32> = output
            .answers()
            .into_data()
            .try_into_vec()
            .map_err(|error| anyhow!("the scores could not be read back: {error:?}"))?;
        let columns = answers.len() / group.len();
        let uncertainties = detector.scores(&answers).uncertainty;
        for (place, (video, crops)) in group.iter().enumerate() {
            let answer = answers.chunks_exact(columns.max(1)).nth(place);
            let Some([real, fake, ..]) = answer.filter(|answer| answer.iter().all(|value| value.is_finite())) else {
                bail!(
                    "{} has no score: the detector's answer is not a finite number, so its weights are damaged, or its \
                     training has diverged (then lower optimizer.learning_rate)",
                    videos[*video].identity()
                );
            };
            let (logits, uncertainty) = ([*real, *fake], uncertainties.get(place).copied());
            predictions.push(ClipLogits { video: *video, crop: crops[0], logits, uncertainty });
        }
        progress(group.last().map_or(0, |(video, _)| video + 1));
    }
    Ok(predictions)
}

/// [`predict`] with a progress bar that says `what` is scored.
pub fn predict_visibly(
    detector: &Detector,
    videos: &[Video],
    frames: usize,
    what: &str,
    images: impl Fn(&Video, &[usize]) -> Result<Vec<RgbImage>> + Sync,
) -> Result<Vec<ClipLogits>> {
    let bar = ProgressBar::new(videos.len() as u64).with_message(what.to_owned());
    // The template is a constant.
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}, {eta} left") {
        bar.set_style(style);
    }
    let found = predict(detector, videos, frames, images, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    found
}

/// The scores of the detector's answers by the names of their videos.
pub fn predictions(videos: &[Video], logits: &[ClipLogits], temperature: f32) -> Vec<Prediction> {
    let prediction = |clip: &ClipLogits| {
        let video = &videos[clip.video];
        Prediction {
            dataset: video.dataset.clone(),
            manipulation: video.manipulation.clone(),
            video: video.name.clone(),
            group: video.group.clone(),
            label: video.label,
            time_s: video.crops[clip.crop].time_s,
            score: f64::from(clip.score(temperature)),
            uncertainty: clip.uncertainty.map(f64::from),
        }
    };
    logits.iter().map(prediction).collect()
}

/// The crops of a video as they lie on disk.
pub fn stored_crops(video: &Video, indices: &[usize]) -> Result<Vec<RgbImage>> {
    indices.iter().map(|index| read_crop(&video.crops[*index].path)).collect()
}

/// Reads a crop from disk.
pub fn read_crop(path: &Path) -> Result<RgbImage> {
    let shown = path.display();
    let image = image::open(path)
        .with_context(|| format!("{shown} cannot be read as an image; run `unmask preprocess` again"))?
        .into_rgb8();
    let (width, height) = (image.width() as usize, image.height() as usize);
    RgbImage::new(width, height, image.into_raw()).ok_or_else(|| anyhow!("{shown} is an image without pixels"))
}

/// The crops of each clip of a video, by their indices: `frames` of them evenly spaced, in clips of `length`.
pub(crate) fn clips_of(crops: usize, frames: usize, length: usize) -> impl Iterator<Item = Vec<usize>> {
    let chosen = evenly_spaced(crops, frames);
    aggregate::clips(chosen.len(), length).map(move |clip| {
        let mut members = chosen[clip].to_vec();
        aggregate::complete(&mut members, length);
        members
    })
}

/// `count` of `crops` indices, evenly spaced from the first to the last as [`frame_indices`] has them; the middle one
/// where only one is asked for.
fn evenly_spaced(crops: usize, count: usize) -> Vec<usize> {
    match (crops, count) {
        (0, _) => Vec::new(),
        (_, 0 | 1) => vec![(crops - 1) / 2],
        _ => frame_indices(crops, count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenly_spaced_crops_reach_from_the_first_to_the_last() {
        assert_eq!(evenly_spaced(10, 4), [0, 3, 6, 9]);
        assert_eq!(evenly_spaced(3, 8), [0, 1, 2]);
        assert_eq!(evenly_spaced(9, 1), [4]);
        assert!(evenly_spaced(0, 4).is_empty());
    }

    #[test]
    fn a_short_clip_repeats_its_last_crop() {
        assert_eq!(clips_of(10, 6, 4).collect::<Vec<_>>(), [[0, 1, 3, 5], [7, 9, 9, 9]]);
        assert_eq!(clips_of(3, 8, 1).collect::<Vec<_>>(), [[0], [1], [2]]);
    }
}
