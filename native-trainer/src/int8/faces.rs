//! What a detector says about the faces that it is measured on, and how two detectors differ on them.

use anyhow::{Result, anyhow, bail};
use rayon::prelude::*;
use unmask_core::detector::Detector;
use unmask_core::detector::spec::QuantizationCheck;
use unmask_core::image::RgbImage;
use unmask_core::metrics::{Ranking, Scored};
use unmask_core::pipeline::report::Verdict;
use unmask_core::pipeline::verdict::by_score;

use crate::datasets::{Label, Video};
use crate::evaluation::calibration::measured_on;
use crate::predict::{clips_of, stored_crops};
use crate::progress::Progress;

/// Images that go through the model together.
const BATCH: usize = 16;

/// Faces of known label, in clips for detectors of these.
pub(super) struct Faces {
    videos: Vec<Video>,
    /// Index of the video, and of the crops in it.
    clips: Vec<(usize, Vec<usize>)>,
}

/// What a detector says about each face.
pub(super) struct Answers {
    features: Vec<Vec<f32>>,
    scores: Vec<f32>,
    verdicts: Vec<Verdict>,
}

impl Faces {
    /// At most `most` clips of the videos, spread evenly over `frames` crops of each.
    pub(super) fn new(videos: Vec<Video>, frames: usize, length: usize, most: usize) -> Self {
        let all = videos
            .iter()
            .enumerate()
            .flat_map(|(index, video)| clips_of(video.crops.len(), frames, length).map(move |crops| (index, crops)));
        let clips = spread(all.collect(), most);
        Self { videos, clips }
    }

    /// At most `most` of these.
    pub(super) fn some(&self, most: usize) -> Self {
        Self { videos: self.videos.clone(), clips: spread(self.clips.clone(), most) }
    }

    pub(super) fn len(&self) -> usize {
        self.clips.len()
    }

    fn is_fake(&self) -> impl Iterator<Item = bool> {
        self.clips.iter().map(|(video, _)| self.videos[*video].label == Label::Fake)
    }

    /// What `detector` says about each of them; `progress` is told of every one.
    ///
    /// # Errors
    /// A crop that cannot be read, or an answer that is no number.
    pub(super) fn answers(&self, detector: &Detector, progress: &Progress) -> Result<Answers> {
        let mut answers = Answers { features: Vec::new(), scores: Vec::new(), verdicts: Vec::new() };
        let at_once = (BATCH / detector.spec().clip_length()).max(1);
        for group in self.clips.chunks(at_once) {
            let crops: Vec<Vec<RgbImage>> = group
                .par_iter()
                .map(|(video, crops)| stored_crops(&self.videos[*video], crops))
                .collect::<Result<_>>()?;
            let output = detector.model().forward(detector.preprocess(&crops.concat()));
            let read = |data: burn::tensor::TensorData| {
                data.try_into_vec::<f32>().map_err(|error| anyhow!("the answers could not be read back: {error:?}"))
            };
            let features = read(output.features.clone().into_data())?;
            let scores = detector.scores(&read(output.answers().into_data())?);
            if let Some(place) = scores.fake.iter().position(|score| !score.is_finite()) {
                let video = group.get(place).map_or_else(String::new, |(video, _)| self.videos[*video].identity());
                bail!("{video} has no score: the detector's answer is not a finite number, so its weights are damaged");
            }
            let width = (features.len() / group.len()).max(1);
            answers.features.extend(features.chunks(width).map(<[f32]>::to_vec));
            let uncertainty = |place| scores.uncertainty.get(place).copied();
            let calibration = &detector.spec().calibration;
            let verdicts = scores.fake.iter().enumerate();
            answers.verdicts.extend(verdicts.map(|(place, score)| by_score(*score, uncertainty(place), calibration)));
            answers.scores.extend(scores.fake);
            group.iter().for_each(|_| progress.step());
        }
        Ok(answers)
    }

    /// How the answers `after` differ from those `before`. Whether scores rank the faces well is asked where they mean
    /// anything: where the detector `is_trained`.
    pub(super) fn compare(&self, before: &Answers, after: &Answers, is_trained: bool) -> QuantizationCheck {
        let count = self.len().max(1) as f64;
        let cosines: Vec<f64> = before.features.iter().zip(&after.features).map(|(a, b)| cosine(a, b)).collect();
        let differences = before.scores.iter().zip(&after.scores).map(|(a, b)| f64::from((a - b).abs()));
        let auc = |answers: &Answers| {
            let scored = answers.scores.iter().zip(self.is_fake());
            Ranking::new(scored.map(|(score, fake)| Scored { score: f64::from(*score), fake }))
                .and_then(|r| r.auc())
                .ok()
        };
        let fake = self.is_fake().filter(|fake| *fake).count();
        QuantizationCheck {
            faces: measured_on(&self.videos),
            real: self.len() - fake,
            fake,
            cosine: cosines.iter().sum::<f64>() / count,
            least_cosine: cosines.iter().copied().min_by(f64::total_cmp).unwrap_or(1.0),
            score_difference: differences.sum::<f64>() / count,
            verdicts_changed: before.verdicts.iter().zip(&after.verdicts).filter(|(a, b)| a != b).count(),
            auc: auc(before).zip(auc(after)).filter(|_| is_trained).map(|(before, after)| [before, after]),
        }
    }
}

/// The cosine of the angle between two vectors; 1 for two of zeros.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let size = (dot(a, a) * dot(b, b)).sqrt();
    match size {
        0.0 => f64::from(u8::from(dot(a, a) == dot(b, b))),
        // Rounding may leave a little more than 1; what is none stays so.
        size => (dot(a, b) / size).clamp(-1.0, 1.0),
    }
}

/// `most` of the items at most, evenly spaced from the first to the last.
fn spread<T>(items: Vec<T>, most: usize) -> Vec<T> {
    let (count, most) = (items.len(), most.max(1));
    if count <= most {
        return items;
    }
    let is_taken = |index: usize| (index * most) / count != ((index + 1) * most) / count;
    items.into_iter().enumerate().filter(|(index, _)| is_taken(*index)).map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_of_many_are_spread_evenly() {
        assert_eq!(spread((0..10).collect(), 5), [1, 3, 5, 7, 9]);
        assert_eq!(spread((0..7).collect(), 3).len(), 3);
        assert_eq!(spread((0..3).collect(), 5), [0, 1, 2]);
    }

    #[test]
    fn a_cosine_is_one_for_the_same_direction_alone() {
        assert!((cosine(&[1.0, 2.0], &[2.0, 4.0]) - 1.0).abs() < 1e-12);
        assert!((cosine(&[1.0, 0.0], &[1.0, 1.0]) - 0.5f64.sqrt()).abs() < 1e-7);
        assert_eq!((cosine(&[0.0; 2], &[0.0; 2]), cosine(&[0.0; 2], &[1.0, 0.0])), (1.0, 0.0));
        assert!(cosine(&[f32::NAN, 1.0], &[1.0, 1.0]).is_nan());
    }
}
