//! The figures of one set of videos at one level.

use serde::{Deserialize, Serialize};
use unmask_core::metrics::{Bootstrap, Confusion, Interval, Ranking, Scored, Undefined};

/// A metric's value with its interval, or the reason why it has none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// From 0 to 1.
    pub value: Option<f64>,
    /// Where it lies in most bootstrap resamples, for figures that are given with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Why there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
}

impl Figure {
    fn new(value: Result<f64, Undefined>, interval: Option<Interval>) -> Self {
        match value {
            Ok(value) => Self { value: Some(value), interval, undefined: None },
            Err(reason) => Self { value: None, interval: None, undefined: Some(reason.to_string()) },
        }
    }
}

/// What a threshold gets right and wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operating {
    /// Everything at or above it is called fake.
    pub threshold: f64,
    /// Counts, fake being the positive class.
    pub confusion: Confusion,
    /// Right answers among all.
    pub accuracy: Figure,
    /// Fakes among what is called fake.
    pub precision: Figure,
    /// What is called fake among the fakes.
    pub recall: Figure,
    /// The harmonic mean of precision and recall.
    pub f1: Figure,
}

impl Operating {
    fn new(ranking: &Ranking, threshold: f64, accuracy: Option<Interval>, f1: Option<Interval>) -> Self {
        let confusion = ranking.confusion_at(threshold);
        Self {
            threshold,
            confusion,
            accuracy: Figure::new(confusion.accuracy(), accuracy),
            precision: Figure::new(confusion.precision(), None),
            recall: Figure::new(confusion.recall(), None),
            f1: Figure::new(confusion.f1(), f1),
        }
    }
}

/// All figures of a set of videos at the level of frames or of videos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Real samples.
    pub reals: u64,
    /// Fake samples.
    pub fakes: u64,
    /// Groups of videos that are not independent of each other, which intervals are found by.
    #[serde(default)]
    pub groups: u64,
    /// Area under the ROC curve.
    pub auc: Figure,
    /// Average precision, fakes being what is looked for.
    pub average_precision: Figure,
    /// Error rate at the threshold where both errors are equal.
    pub equal_error_rate: Figure,
    /// The part of the fakes that is found where at most 1 % of the reals is called fake.
    #[serde(default)]
    pub true_positive_rate_at_1_percent: Figure,
    /// The same where at most 5 % is.
    #[serde(default)]
    pub true_positive_rate_at_5_percent: Figure,
    /// How far scores are from how often such a sample is fake, in 15 bins; without an interval, since resampling makes it larger.
    #[serde(default)]
    pub expected_calibration_error: Figure,
    /// At the threshold 0.5.
    pub at_half: Operating,
    /// At the threshold chosen on validation data, where one was.
    pub at_validation: Option<Operating>,
}

/// Where a score is as near to fake as to real.
pub(super) const HALF: f64 = 0.5;
/// False positive rates that somebody who accuses people may be able to afford.
const ONE_PERCENT: f64 = 0.01;
const FIVE_PERCENT: f64 = 0.05;

impl Figures {
    /// The figures of `groups`, each the samples of one group of videos.
    pub fn new(groups: &[Vec<Scored>], validation: Option<f64>, bootstrap: &Bootstrap) -> Result<Self, Undefined> {
        let ranking = Ranking::new(groups.iter().flatten().copied())?;
        let other = validation.unwrap_or(HALF);
        let intervals = bootstrap.intervals(groups, |ranking| {
            let (half, other) = (ranking.confusion_at(HALF), ranking.confusion_at(other));
            let [at_1, at_5] = [ONE_PERCENT, FIVE_PERCENT].map(|rate| ranking.true_positive_rate_at(rate));
            let ranked = (ranking.auc(), ranking.average_precision(), ranking.equal_error_rate());
            [ranked.0, ranked.1, ranked.2, at_1, at_5, half.accuracy(), half.f1(), other.accuracy(), other.f1()]
        })?;
        let [auc, average_precision, equal_error_rate, at_1, at_5, accuracy, f1, accuracy_there, f1_there] =
            intervals.map(Result::ok);
        Ok(Self {
            reals: ranking.reals(),
            fakes: ranking.fakes(),
            groups: groups.len() as u64,
            auc: Figure::new(ranking.auc(), auc),
            average_precision: Figure::new(ranking.average_precision(), average_precision),
            equal_error_rate: Figure::new(ranking.equal_error_rate(), equal_error_rate),
            true_positive_rate_at_1_percent: Figure::new(ranking.true_positive_rate_at(ONE_PERCENT), at_1),
            true_positive_rate_at_5_percent: Figure::new(ranking.true_positive_rate_at(FIVE_PERCENT), at_5),
            expected_calibration_error: Figure::new(ranking.expected_calibration_error(), None),
            at_half: Operating::new(&ranking, HALF, accuracy, f1),
            at_validation: validation.map(|there| Operating::new(&ranking, there, accuracy_there, f1_there)),
        })
    }

    /// The figure of `metric`; `None` where it needs a threshold that was not chosen.
    pub fn get(&self, metric: Metric) -> Option<&Figure> {
        Some(match metric {
            Metric::Auc => &self.auc,
            Metric::AveragePrecision => &self.average_precision,
            Metric::EqualErrorRate => &self.equal_error_rate,
            Metric::TruePositiveRateAt1Percent => &self.true_positive_rate_at_1_percent,
            Metric::TruePositiveRateAt5Percent => &self.true_positive_rate_at_5_percent,
            Metric::ExpectedCalibrationError => &self.expected_calibration_error,
            Metric::Accuracy => &self.at_half.accuracy,
            Metric::F1 => &self.at_half.f1,
            Metric::AccuracyAtValidation => &self.at_validation.as_ref()?.accuracy,
            Metric::F1AtValidation => &self.at_validation.as_ref()?.f1,
        })
    }
}

/// The figures that tables show and means are taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Area under the ROC curve.
    Auc,
    /// Average precision.
    AveragePrecision,
    /// Equal error rate.
    EqualErrorRate,
    /// True positive rate where the false positive rate is at most 1 %.
    #[serde(rename = "true_positive_rate_at_1_percent")]
    TruePositiveRateAt1Percent,
    /// The same at 5 %.
    #[serde(rename = "true_positive_rate_at_5_percent")]
    TruePositiveRateAt5Percent,
    /// Expected calibration error.
    ExpectedCalibrationError,
    /// At 0.5, as [`Metric::F1`].
    Accuracy,
    /// F1 at 0.5.
    F1,
    /// Accuracy at the threshold chosen on validation data.
    AccuracyAtValidation,
    /// F1 at that threshold.
    F1AtValidation,
}

impl Metric {
    /// In the order of the tables.
    pub const ALL: [Self; 10] = [
        Self::Auc,
        Self::AveragePrecision,
        Self::EqualErrorRate,
        Self::TruePositiveRateAt1Percent,
        Self::TruePositiveRateAt5Percent,
        Self::ExpectedCalibrationError,
        Self::Accuracy,
        Self::F1,
        Self::AccuracyAtValidation,
        Self::F1AtValidation,
    ];

    /// Whether it is given with an interval.
    pub fn has_interval(self) -> bool {
        self != Self::ExpectedCalibrationError
    }

    /// The first words of its row.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auc => "AUC",
            Self::AveragePrecision => "AP",
            Self::EqualErrorRate => "EER",
            Self::TruePositiveRateAt1Percent => "TPR at 1 % FPR",
            Self::TruePositiveRateAt5Percent => "TPR at 5 % FPR",
            Self::ExpectedCalibrationError => "ECE",
            Self::Accuracy | Self::AccuracyAtValidation => "ACC",
            Self::F1 | Self::F1AtValidation => "F1",
        }
    }
}
