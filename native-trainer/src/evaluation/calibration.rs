//! Fitting a detector's calibration on validation data.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use unmask_core::detector::spec::{Calibration, Grade, Reliability};
use unmask_core::metrics::{
    Misses, Scored, TemperatureFit, TemperatureNote, VerdictBasis, VerdictFit, fit_temperature, fit_verdict_thresholds,
};
use unmask_core::pipeline::aggregate::mean_score;

use crate::datasets::{Label, Video};
use crate::predict::ClipLogits;
use crate::twins::SELF_BLENDED;

/// A calibration and what it rests on; `None` where the data does not determine a part, whose default stands.
pub struct Calibrated {
    /// Temperature and thresholds.
    pub calibration: Calibration,
    temperature: Option<TemperatureFit>,
    verdict: Option<VerdictFit>,
    /// What the thresholds were to keep to.
    allowed: Misses,
    /// Whether the verdict thresholds were given and not fitted.
    given: bool,
    /// The validation videos in words.
    fitted_on: String,
}

/// Verdict thresholds that somebody chose: `REAL,FAKE`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VerdictBand {
    /// Highest score that is `likely_real`.
    pub real_below: f32,
    /// Lowest score that is `likely_fake`.
    pub fake_above: f32,
}

impl FromStr for VerdictBand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "give two scores from 0 to 1, the smaller first, as in 0.05,0.95".to_string();
        let (real, fake) = text.split_once(',').ok_or_else(wrong)?;
        let number = |part: &str| part.trim().parse::<f32>().map_err(|_| wrong());
        let (real_below, fake_above) = (number(real)?, number(fake)?);
        let is_ordered = 0.0 <= real_below && real_below <= fake_above && fake_above <= 1.0;
        // With these every score would get the same verdict.
        let says_one_thing = real_below == 1.0 || fake_above == 0.0;
        match is_ordered && !says_one_thing {
            true => Ok(Self { real_below, fake_above }),
            false => Err(wrong()),
        }
    }
}

/// What part of the videos of either class may get the other's verdict, as somebody chose: `REAL,FAKE`.
pub fn misses(text: &str) -> Result<Misses, String> {
    let wrong = || "give two parts from 0 to 0.5, of the real videos and of the fakes, as in 0.01,0.05".to_string();
    let (reals, fakes) = text.split_once(',').ok_or_else(wrong)?;
    let part = |part: &str| part.trim().parse::<f64>().ok().filter(|part| (0.0..=0.5).contains(part)).ok_or_else(wrong);
    Ok(Misses { reals: part(reals)?, fakes: part(fakes)? })
}

impl Calibrated {
    /// Fits the temperature on the logits of clips, then the verdict thresholds on the scores of videos.
    pub fn fit(videos: &[Video], predictions: &[ClipLogits], allowed: Misses) -> Self {
        let fake = |prediction: &ClipLogits| videos[prediction.video].label == Label::Fake;
        let samples = predictions.iter().map(|prediction| (prediction.logits, fake(prediction)));
        let temperature = fit_temperature(samples).ok();
        let mut calibration = Calibration::default();
        if let Some(fit) = &temperature {
            calibration.temperature = fit.temperature as f32;
        }
        let scores = video_scores(videos, predictions, calibration.temperature);
        let verdict = fit_verdict_thresholds(&scores, &allowed).ok();
        if let Some(fit) = &verdict {
            calibration.real_below = fit.real_below;
            calibration.fake_above = fit.fake_above;
        }
        Self { calibration, temperature, verdict, allowed, given: false, fitted_on: in_words(videos) }
    }

    /// The same with these verdict thresholds.
    pub fn with_verdicts(mut self, VerdictBand { real_below, fake_above }: VerdictBand) -> Self {
        self.calibration = Calibration { real_below, fake_above, ..self.calibration };
        self.given = true;
        self
    }

    /// What the detector's answers are worth with this calibration, where `before` is what its file said. A detector that
    /// was measured and found weak stays so unless thresholds are fitted that keep its mistakes in bounds.
    pub fn reliability(&self, before: Option<&Reliability>) -> Reliability {
        let is_fitted = self.verdict.as_ref().is_some_and(|fit| fit.basis == VerdictBasis::Fitted);
        let (grade, words) = match (self.given, is_fitted) {
            (false, true) => (Grade::Calibrated, format!("fitted on {}", self.fitted_on)),
            (false, false) => (Grade::Uncalibrated, self.basis()),
            (true, _) => (Grade::Uncalibrated, "given, not fitted".to_owned()),
        };
        match before.filter(|before| before.grade == Grade::Weak && grade != Grade::Calibrated) {
            Some(weak) => weak.clone(),
            None => Reliability { grade, words: format!("the detector's thresholds are {words}") },
        }
    }

    /// What was fitted, in two sentences.
    pub fn words(&self) -> String {
        let Calibration { temperature, real_below, fake_above, .. } = self.calibration;
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
                "fitted so that at most {} of the real videos is called fake and {} of the fakes real, by which {decided} of these \
                 {videos} videos are decided",
                percent(self.allowed.reals),
                percent(self.allowed.fakes)
            ),
            Some((VerdictBasis::TooFewVideos { reals, fakes }, ..)) => {
                format!("the defaults, because fitting them needs {reals} real and {fakes} fake validation videos")
            }
            Some((VerdictBasis::Saturated, ..)) => {
                "the defaults, because too many scores are exactly 0 or 1".to_string()
            }
            None => "the defaults, because they cannot be fitted on this data".to_string(),
        }
    }
}

/// A part in percent, as short as it was written.
fn percent(part: f64) -> String {
    let percent = format!("{:.3}", 100.0 * part);
    format!("{} %", percent.trim_end_matches('0').trim_end_matches('.'))
}

/// Data sets that are named.
const NAMED_DATASETS: usize = 3;

/// The data sets of videos, the first few by their names.
fn named(videos: &[Video]) -> String {
    let names: BTreeSet<&str> = videos.iter().map(|video| video.dataset.as_str()).collect();
    match names.len() {
        // They come from folders and lists, and a detector file takes no line break.
        0..=NAMED_DATASETS => names.into_iter().collect::<Vec<_>>().join(", ").replace(char::is_control, " "),
        more => format!("{more} data sets"),
    }
}

/// What videos are as those that a detector was measured on: their data sets, and whether the fakes were made of them.
pub fn measured_on(videos: &[Video]) -> String {
    if are_blended(videos) { format!("{}, the fakes self-blended", named(videos)) } else { named(videos) }
}

fn are_blended(videos: &[Video]) -> bool {
    videos.iter().any(|video| video.manipulation == SELF_BLENDED)
}

/// How many validation videos of which data sets there are.
pub fn in_words(videos: &[Video]) -> String {
    let count = |label| videos.iter().filter(|video| video.label == label).count();
    let blended = if are_blended(videos) { "self-blended " } else { "" };
    format!(
        "{} real and {} {blended}fake validation videos of {}",
        count(Label::Real),
        count(Label::Fake),
        named(videos)
    )
}

/// The mean P(fake) of each video that has predictions.
pub fn video_scores(videos: &[Video], predictions: &[ClipLogits], temperature: f32) -> Vec<Scored> {
    scored_videos(videos, predictions, temperature).map(|(_, scored)| scored).collect()
}

/// The same, those of one group together.
pub fn video_scores_by_group(videos: &[Video], predictions: &[ClipLogits], temperature: f32) -> Vec<Vec<Scored>> {
    let mut groups: BTreeMap<(&str, &str), Vec<Scored>> = BTreeMap::new();
    for (video, scored) in scored_videos(videos, predictions, temperature) {
        groups.entry((&video.dataset, &video.group)).or_default().push(scored);
    }
    groups.into_values().collect()
}

fn scored_videos<'a>(
    videos: &'a [Video],
    predictions: &'a [ClipLogits],
    temperature: f32,
) -> impl Iterator<Item = (&'a Video, Scored)> {
    let of_one_video = predictions.chunk_by(|one, other| one.video == other.video);
    of_one_video.map(move |clips| {
        let video = &videos[clips[0].video];
        let scores = clips.iter().map(|prediction| f64::from(prediction.score(temperature)));
        let fake = video.label == Label::Fake;
        (video, Scored { score: mean_score(scores).unwrap_or(f64::NAN), fake })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::Split;

    fn videos(reals: usize, fakes: usize) -> (Vec<Video>, Vec<ClipLogits>) {
        let labels = std::iter::repeat_n(Label::Real, reals).chain(std::iter::repeat_n(Label::Fake, fakes));
        let video = |(index, label): (usize, Label)| Video {
            dataset: "set".into(),
            manipulation: "m".into(),
            name: format!("v{index}"),
            label,
            split: Split::Validation,
            person: None,
            group: format!("g{}", index / 2),
            crops: Vec::new(),
        };
        let videos: Vec<Video> = labels.enumerate().map(video).collect();
        let logit = |video: &Video| if video.label == Label::Fake { 2.0 } else { -2.0 };
        let answers = videos.iter().enumerate();
        let answers = answers
            .map(|(video, of)| ClipLogits { video, crop: 0, logits: [0.0, logit(of)], uncertainty: None })
            .collect();
        (videos, answers)
    }

    #[test]
    fn a_detector_is_called_calibrated_only_where_thresholds_were_fitted_and_with_what() {
        let (enough, answers) = videos(20, 20);
        let fitted = Calibrated::fit(&enough, &answers, Misses::default());
        let worth = fitted.reliability(None);
        assert_eq!(worth.grade, Grade::Calibrated);
        assert!(worth.words.contains("20 real and 20 fake validation videos of set"), "{}", worth.words);
        let given = fitted.with_verdicts(VerdictBand { real_below: 0.1, fake_above: 0.9 }).reliability(Some(&worth));
        assert_eq!(given.grade, Grade::Uncalibrated);
        let (few, answers) = videos(3, 3);
        let few = Calibrated::fit(&few, &answers, Misses::default());
        assert_eq!(few.reliability(Some(&worth)).grade, Grade::Uncalibrated);
        assert!(few.reliability(None).words.contains("needs 20 real"), "{}", few.reliability(None).words);
        let weak = Reliability { grade: Grade::Weak, words: "poor".into() };
        assert_eq!(few.reliability(Some(&weak)), weak);
    }

    #[test]
    fn scores_of_one_group_stay_together() {
        let (videos, answers) = videos(3, 2);
        let sizes: Vec<usize> = video_scores_by_group(&videos, &answers, 1.0).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }

    #[test]
    fn thresholds_are_read_as_written_and_impossible_ones_refused() {
        assert_eq!("0.05, 0.997".parse(), Ok(VerdictBand { real_below: 0.05, fake_above: 0.997 }));
        for wrong in ["", "0.5", "0.9,0.1", "0,1.1", "-0.1,1", "a,b", "nan,1", "0,0", "1,1"] {
            assert!(wrong.parse::<VerdictBand>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_parts_that_may_be_wrong_are_read_and_said_as_they_were_given() {
        assert_eq!(misses("0.01, 0.05"), Ok(Misses { reals: 0.01, fakes: 0.05 }));
        for wrong in ["", "0.1", "0.1,0.6", "-0.1,0.1", "nan,0.1", "1 %,5 %"] {
            assert!(misses(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            (percent(0.01), percent(0.005), percent(0.1), percent(0.0)),
            ("1 %".into(), "0.5 %".into(), "10 %".into(), "0 %".into())
        );
        let (videos, answers) = videos(120, 40);
        let fitted = Calibrated::fit(&videos, &answers, Misses { reals: 0.01, fakes: 0.05 });
        assert!(
            fitted.words().contains("at most 1 % of the real videos is called fake and 5 % of the fakes real"),
            "{}",
            fitted.words()
        );
    }
}
