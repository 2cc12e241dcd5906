//! The figures of one set of videos at one level.

use serde::{Deserialize, Serialize};
use unmask_core::metrics::{Bootstrap, Confusion, Interval, Ranking, Scored, Undefined};

/// A metric's value with its interval, or the reason why it has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// From 0 to 1.
    pub(crate) value: Option<f64>,
    /// Where it lies in most bootstrap resamples, for figures that are given with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) interval: Option<Interval>,
    /// Why there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) undefined: Option<String>,
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
pub(crate) struct Operating {
    /// Everything at or above it is called fake.
    pub(crate) threshold: f64,
    /// Counts, fake being the positive class.
    pub(crate) confusion: Confusion,
    pub(crate) accuracy: Figure,
    pub(crate) precision: Figure,
    pub(crate) recall: Figure,
    pub(crate) f1: Figure,
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
pub(crate) struct Figures {
    /// Real samples.
    pub(crate) reals: u64,
    /// Fake samples.
    pub(crate) fakes: u64,
    /// Groups of videos that are not independent of each other, which intervals are found by.
    #[serde(default)]
    pub(crate) groups: u64,
    pub(crate) auc: Figure,
    pub(crate) average_precision: Figure,
    pub(crate) equal_error_rate: Figure,
    /// At the threshold 0.5.
    pub(crate) at_half: Operating,
    /// At the threshold chosen on validation data, where one was.
    pub(crate) at_validation: Option<Operating>,
}

/// Where a score is as near to fake as to real.
const HALF: f64 = 0.5;

impl Figures {
    /// The figures of `groups`, each the samples of one group of videos.
    pub(crate) fn new(
        groups: &[Vec<Scored>],
        validation: Option<f64>,
        bootstrap: &Bootstrap,
    ) -> Result<Self, Undefined> {
        let ranking = Ranking::new(groups.iter().flatten().copied())?;
        let other = validation.unwrap_or(HALF);
        let intervals = bootstrap.intervals(groups, |ranking| {
            let (half, other) = (ranking.confusion_at(HALF), ranking.confusion_at(other));
            let ranked = (ranking.auc(), ranking.average_precision(), ranking.equal_error_rate());
            [ranked.0, ranked.1, ranked.2, half.accuracy(), half.f1(), other.accuracy(), other.f1()]
        })?;
        let [auc, average_precision, equal_error_rate, accuracy, f1, accuracy_there, f1_there] =
            intervals.map(Result::ok);
        Ok(Self {
            reals: ranking.reals(),
            fakes: ranking.fakes(),
            groups: groups.len() as u64,
            auc: Figure::new(ranking.auc(), auc),
            average_precision: Figure::new(ranking.average_precision(), average_precision),
            equal_error_rate: Figure::new(ranking.equal_error_rate(), equal_error_rate),
            at_half: Operating::new(&ranking, HALF, accuracy, f1),
            at_validation: validation.map(|there| Operating::new(&ranking, there, accuracy_there, f1_there)),
        })
    }

    /// The figure of `metric`; `None` where it needs a threshold that was not chosen.
    pub(crate) fn get(&self, metric: Metric) -> Option<&Figure> {
        Some(match metric {
            Metric::Auc => &self.auc,
            Metric::AveragePrecision => &self.average_precision,
            Metric::EqualErrorRate => &self.equal_error_rate,
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
pub(crate) enum Metric {
    Auc,
    AveragePrecision,
    EqualErrorRate,
    /// At 0.5, as [`Metric::F1`].
    Accuracy,
    F1,
    AccuracyAtValidation,
    F1AtValidation,
}

impl Metric {
    /// In the order of the tables.
    pub(crate) const ALL: [Self; 7] = [
        Self::Auc,
        Self::AveragePrecision,
        Self::EqualErrorRate,
        Self::Accuracy,
        Self::F1,
        Self::AccuracyAtValidation,
        Self::F1AtValidation,
    ];

    /// The first words of its row.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auc => "AUC",
            Self::AveragePrecision => "AP",
            Self::EqualErrorRate => "EER",
            Self::Accuracy | Self::AccuracyAtValidation => "ACC",
            Self::F1 | Self::F1AtValidation => "F1",
        }
    }
}
