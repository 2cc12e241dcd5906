//! What a detector says about faces that lie on disk as crops: for validation while training, and for evaluation.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use burn::tensor::Tensor;
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

/// A clip as the model saw it.
pub struct SeenClip<'a> {
    /// The model's answer.
    pub logits: ClipLogits,
    /// What the model made of it before its head, `[d]`.
    pub features: &'a [f32],
    /// Its crops.
    pub pictures: &'a [RgbImage],
}

/// Which crops of which video a clip is of.
pub type ClipCrops<'a> = (&'a Video, Vec<usize>);

/// Runs `detector` over `frames` evenly spaced crops of each video, in clips as [`aggregate`] has them. `images` brings the
/// crops of a video by their indices; `progress` is told how many videos are done.
///
/// # Errors
/// Those of [`predict_each`].
pub fn predict(
    detector: &Detector,
    videos: &[Video],
    frames: usize,
    images: impl Fn(&Video, &[usize]) -> Result<Vec<RgbImage>> + Sync,
    progress: impl FnMut(usize),
) -> Result<Vec<ClipLogits>> {
    let mut found = Vec::new();
    let keep = |clip: SeenClip| {
        found.push(clip.logits);
        Ok(())
    };
    predict_each(detector, videos, frames, one_by_one(images), keep, progress)?;
    Ok(found)
}

/// Brings the clips of a batch each for itself.
pub fn one_by_one(
    images: impl Fn(&Video, &[usize]) -> Result<Vec<RgbImage>> + Sync,
) -> impl Fn(&[ClipCrops]) -> Result<Vec<Vec<RgbImage>>> {
    move |clips| clips.par_iter().map(|(video, crops)| images(video, crops)).collect()
}

/// As [`predict`], with the crops of a batch of clips brought together, and each clip shown to `each` with its answer.
///
/// # Errors
/// Those of `images` and `each`; and a video without crops, or for which the detector gives no finite number, by its name.
pub fn predict_each(
    detector: &Detector,
    videos: &[Video],
    frames: usize,
    images: impl Fn(&[ClipCrops]) -> Result<Vec<Vec<RgbImage>>>,
    mut each: impl FnMut(SeenClip) -> Result<()>,
    mut progress: impl FnMut(usize),
) -> Result<()> {
    let length = detector.spec().clip_length();
    let clips: Vec<(usize, Vec<usize>)> = videos
        .iter()
        .enumerate()
        .flat_map(|(video, crops)| clips_of(crops.crops.len(), frames, length).map(move |clip| (video, clip)))
        .collect();
    if let Some(video) = videos.iter().find(|video| video.crops.is_empty()) {
        bail!("{} has no crops to score; preprocess it again", video.identity());
    }
    for group in clips.chunks((BATCH / length).max(1)) {
        let wanted: Vec<ClipCrops> = group.iter().map(|(video, crops)| (&videos[*video], crops.clone())).collect();
        let pictures = images(&wanted)?;
        let output = detector.model().forward(detector.preprocess(&pictures.concat()));
        let features = values(output.features.clone())?;
        let answers = values(output.answers())?;
        let [width, columns] = [&features, &answers].map(|values| (values.len() / group.len()).max(1));
        let uncertainties = detector.scores(&answers).uncertainty;
        let rows = features.chunks_exact(width).zip(answers.chunks_exact(columns)).zip(&pictures);
        for (place, ((video, crops), ((features, answer), pictures))) in group.iter().zip(rows).enumerate() {
            let [real, fake, ..] = *answer else { bail!("the detector gives no two logits; import it again") };
            if !answer.iter().all(|value| value.is_finite()) {
                bail!(
                    "{} has no score: the detector's answer is not a finite number, so its weights are damaged, or its \
                     training has diverged (then lower optimizer.learning_rate)",
                    videos[*video].identity()
                );
            }
            let uncertainty = uncertainties.get(place).copied();
            let logits = ClipLogits { video: *video, crop: crops[0], logits: [real, fake], uncertainty };
            each(SeenClip { logits, features, pictures })?;
        }
        progress(group.last().map_or(0, |(video, _)| video + 1));
    }
    Ok(())
}

/// A tensor's values.
pub(crate) fn values(tensor: Tensor<2>) -> Result<Vec<f32>> {
    tensor.into_data().try_into_vec().map_err(|error| anyhow!("the scores could not be read back: {error:?}"))
}

/// [`predict`] with a progress bar that says `what` is scored.
pub fn predict_visibly(
    detector: &Detector,
    videos: &[Video],
    frames: usize,
    what: &str,
    images: impl Fn(&Video, &[usize]) -> Result<Vec<RgbImage>> + Sync,
) -> Result<Vec<ClipLogits>> {
    let bar = progress_bar(videos.len() as u64, what);
    let found = predict(detector, videos, frames, images, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    found
}

/// A bar that says `what` is scored.
pub fn progress_bar(length: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(length).with_message(what.to_owned());
    // The template is a constant.
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}, {eta} left") {
        bar.set_style(style);
    }
    bar
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
