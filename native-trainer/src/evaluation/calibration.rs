//! Fitting a detector's calibration on validation data.

use std::str::FromStr;

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
    /// Whether the verdict thresholds were given and not fitted.
    given: bool,
}

/// Verdict thresholds that somebody chose: `REAL,FAKE`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct VerdictBand {
    pub(crate) real_below: f32,
    pub(crate) fake_above: f32,
}

impl FromStr for VerdictBand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "give two scores from 0 to 1, the smaller first, as in 0.05,0.95".to_string();
        let (real, fake) = text.split_once(',').ok_or_else(wrong)?;
        let number = |part: &str| part.trim().parse::<f32>().map_err(|_| wrong());
        let (real_below, fake_above) = (number(real)?, number(fake)?);
        match 0.0 <= real_below && real_below <= fake_above && fake_above <= 1.0 {
            true => Ok(Self { real_below, fake_above }),
            false => Err(wrong()),
        }
    }
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
        Self { calibration, temperature, verdict, given: false }
    }

    /// The same with these verdict thresholds.
    pub(crate) fn with_verdicts(mut self, VerdictBand { real_below, fake_above }: VerdictBand) -> Self {
        self.calibration = Calibration { real_below, fake_above, ..self.calibration };
        self.given = true;
        self
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
        let basis = if self.given { "as they were given".to_string() } else { self.basis() };
        format!("{fitted}. Verdicts: `likely_real` up to {real_below:.3}, `likely_fake` from {fake_above:.3}; {basis}.")
    }

    /// What the fitted verdict thresholds rest on.
    fn basis(&self) -> String {
        match self.verdict.as_ref().map(|fit| (&fit.basis, fit.decided, fit.videos)) {
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
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_read_as_written_and_impossible_ones_refused() {
        assert_eq!("0.05, 0.997".parse(), Ok(VerdictBand { real_below: 0.05, fake_above: 0.997 }));
        for wrong in ["", "0.5", "0.9,0.1", "0,1.1", "-0.1,1", "a,b", "nan,1"] {
            assert!(wrong.parse::<VerdictBand>().is_err(), "{wrong}");
        }
    }
}
