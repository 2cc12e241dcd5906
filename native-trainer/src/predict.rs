//! What a detector says about faces that lie on disk as crops: for validation while training, and for evaluation.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;
use unmask_core::detector::Detector;
use unmask_core::image::RgbImage;
use unmask_core::pipeline::sampling::frame_indices;

use crate::datasets::Video;

/// Images that go through the model together.
const BATCH: usize = 32;

/// The model's answer to one clip (one face, for models of single frames).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClipLogits {
    /// Index of the video.
    pub(crate) video: usize,
    /// Index of the clip's first crop.
    pub(crate) crop: usize,
    /// Real, fake; before calibration.
    pub(crate) logits: [f32; 2],
}

impl ClipLogits {
    /// P(fake) at a temperature: `softmax(logits / temperature)[1]`.
    pub(crate) fn score(&self, temperature: f32) -> f32 {
        let [real, fake] = self.logits;
        1.0 / (1.0 + ((real - fake) / temperature).exp())
    }
}

/// Runs `detector` over `frames` evenly spaced crops of each video, in consecutive clips where it sees several frames
/// together; a last short clip repeats its last crop. `images` brings the crops of a video by their indices; `progress`
/// is told how many videos are done.
pub(crate) fn predict(
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
        .flat_map(|(video, crops)| {
            let chosen = evenly_spaced(crops.crops.len(), frames);
            chosen.chunks(length).map(|clip| (video, padded(clip, length))).collect::<Vec<_>>()
        })
        .collect();
    let mut predictions = Vec::with_capacity(clips.len());
    for group in clips.chunks((BATCH / length).max(1)) {
        let pictures: Vec<Vec<RgbImage>> =
            group.par_iter().map(|(video, crops)| images(&videos[*video], crops)).collect::<Result<_>>()?;
        let output = detector.model().forward(detector.preprocess(&pictures.concat()));
        let logits: Vec<f32> = output
            .logits
            .into_data()
            .try_into_vec()
            .map_err(|error| anyhow!("the scores could not be read back: {error:?}"))?;
        predictions.extend(group.iter().zip(logits.as_chunks::<2>().0).map(|((video, crops), logits)| ClipLogits {
            video: *video,
            crop: crops[0],
            logits: *logits,
        }));
        progress(group.last().map_or(0, |(video, _)| video + 1));
    }
    Ok(predictions)
}

/// The crops of a video as they lie on disk.
pub(crate) fn stored_crops(video: &Video, indices: &[usize]) -> Result<Vec<RgbImage>> {
    indices.iter().map(|index| read_crop(&video.crops[*index].path)).collect()
}

/// Reads a crop from disk.
pub(crate) fn read_crop(path: &Path) -> Result<RgbImage> {
    let shown = path.display();
    let image = image::open(path)
        .with_context(|| format!("{shown} cannot be read as an image; run `unmask preprocess` again"))?
        .into_rgb8();
    let (width, height) = (image.width() as usize, image.height() as usize);
    RgbImage::new(width, height, image.into_raw()).ok_or_else(|| anyhow!("{shown} is an image without pixels"))
}

fn padded(clip: &[usize], length: usize) -> Vec<usize> {
    (0..length).map(|place| clip[place.min(clip.len() - 1)]).collect()
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
        assert_eq!(padded(&[4, 7], 4), [4, 7, 7, 7]);
        assert_eq!(padded(&[1, 2, 3], 3), [1, 2, 3]);
    }

    #[test]
    fn the_score_is_the_softmax_of_the_logits_over_the_temperature() {
        let prediction = ClipLogits { video: 0, crop: 0, logits: [1.0, 3.0] };
        let expected = 3f32.exp() / (1f32.exp() + 3f32.exp());
        assert!((prediction.score(1.0) - expected).abs() < 1e-6);
        let expected = 1.5f32.exp() / (0.5f32.exp() + 1.5f32.exp());
        assert!((prediction.score(2.0) - expected).abs() < 1e-6);
    }
}
