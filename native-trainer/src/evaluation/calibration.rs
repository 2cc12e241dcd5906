//! Fitting a detector's calibration on validation data.

use unmask_core::metrics::{
    Misses, Scored, TemperatureFit, TemperatureNote, VerdictBasis, VerdictFit, fit_temperature, fit_verdict_thresholds,
};
use unmask_core::weights::spec::Calibration;

use crate::datasets::{Label, Video};
use crate::predict::ClipLogits;

/// A calibration and what it rests on; `None` where the data does not determine a part, whose default stands.
pub(crate) struct Calibrated {
    pub(crate) calibration: Calibration,
    temperature: Option<TemperatureFit>,
    verdict: Option<VerdictFit>,
}

impl Calibrated {
    /// Fits the temperature on the logits of clips, then the verdict thresholds on the scores of videos.
    pub(crate) fn fit(videos: &[Video], predictions: &[ClipLogits]) -> Self {
        let fake = |prediction: &ClipLogits| videos[prediction.video].label == Label::Fake;
        let samples = predictions.iter().map(|prediction| (prediction.logits, fake(prediction)));
        let temperature = fit_temperature(samples).ok();
        let mut calibration = Calibration::default();
        if let Some(fit) = &temperature {
            calibration.temperature = fit.temperature as f32;
        }
        let scores = video_scores(videos, predictions, calibration.temperature);
        let verdict = fit_verdict_thresholds(&scores, &Misses::default()).ok();
        if let Some(fit) = &verdict {
            calibration.real_below = fit.real_below;
            calibration.fake_above = fit.fake_above;
        }
        Self { calibration, temperature, verdict }
    }

    /// What was fitted, in two sentences.
    pub(crate) fn words(&self) -> String {
        let Calibration { temperature, real_below, fake_above } = self.calibration;
        let fitted = match &self.temperature {
            Some(fit) if fit.note == TemperatureNote::Separated => {
                "Temperature 1, because every validation clip is on the right side, which does not say how sure to be"
                    .to_string()
            }
            Some(fit) => format!(
                "Temperature {temperature:.3}{} (negative log-likelihood {:.4} before, {:.4} after)",
                if fit.note == TemperatureNote::AtLimit { ", the end of what is tried" } else { "" },
                fit.nll_before,
                fit.nll_after
            ),
            None => "Temperature 1, because the validation data does not determine one".to_string(),
        };
        let basis = match self.verdict.as_ref().map(|fit| (&fit.basis, fit.decided, fit.videos)) {
            Some((VerdictBasis::Fitted, decided, videos)) => format!(
                "fitted so that at most 5 % of each class is called the other, which decides {decided} of {videos} videos"
            ),
            Some((VerdictBasis::TooFewVideos { needed }, ..)) => {
                format!("the defaults, because fitting them needs {needed} real and {needed} fake validation videos")
            }
            Some((VerdictBasis::Saturated, ..)) => {
                "the defaults, because too many scores are exactly 0 or 1".to_string()
            }
            None => "the defaults, because they cannot be fitted on this data".to_string(),
        };
        format!("{fitted}. Verdicts: `likely_real` up to {real_below:.3}, `likely_fake` from {fake_above:.3}; {basis}.")
    }
}

/// The mean P(fake) of each video that has predictions.
pub(crate) fn video_scores(videos: &[Video], predictions: &[ClipLogits], temperature: f32) -> Vec<Scored> {
    let of_one_video = predictions.chunk_by(|one, other| one.video == other.video);
    of_one_video
        .map(|group| {
            let sum: f64 = group.iter().map(|prediction| f64::from(prediction.score(temperature))).sum();
            let fake = videos[group[0].video].label == Label::Fake;
            Scored { score: sum / group.len() as f64, fake }
        })
        .collect()
}
