//! Which epoch of a run is the best one.

use serde::{Deserialize, Serialize};
use unmask_core::metrics::{Ranking, Scored};

/// What epochs are compared by, over the validation videos.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BestBy {
    /// The area under the ROC curve.
    #[default]
    Auc,
    /// The average precision, as the mean of that of fakes and that of real videos.
    AveragePrecision,
}

/// The best validation so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    /// Optimizer steps until then.
    pub(super) step: usize,
    /// Area under the ROC curve over the validation videos; none where they are all real or all fake.
    pub(super) auc: Option<f64>,
    /// Average precision over them, the mean of both classes; none where there is but one.
    pub(super) average_precision: Option<f64>,
    /// Mean loss over the validation clips.
    pub(super) loss: f64,
}

impl Best {
    /// Whether this is better than `other`: by the measure that was asked for, and where that does not tell them apart, by the
    /// loss.
    pub(super) fn is_better_than(&self, other: &Self, by: BestBy) -> bool {
        let measure = |best: &Self| match by {
            BestBy::Auc => best.auc,
            BestBy::AveragePrecision => best.average_precision,
        };
        match (measure(self), measure(other)) {
            (Some(one), Some(other)) if one != other => one > other,
            _ => self.loss < other.loss,
        }
    }
}

/// Area under the ROC curve; none where only one class is there.
pub(super) fn auc(scores: &[Scored]) -> Option<f64> {
    Ranking::new(scores.iter().copied()).and_then(|ranking| ranking.auc()).ok()
}

/// The mean of the average precision of finding fakes and of that of finding real ones; none where only one class is there.
pub(super) fn average_precision(scores: &[Scored]) -> Option<f64> {
    let of =
        |scored: &mut dyn Iterator<Item = Scored>| Ranking::new(scored).and_then(|ranking| ranking.average_precision());
    let fake = of(&mut scores.iter().copied()).ok()?;
    let turned = |scored: &Scored| Scored { score: -scored.score, fake: !scored.fake };
    let real = of(&mut scores.iter().map(turned)).ok()?;
    Some((fake + real) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(auc: Option<f64>, average_precision: Option<f64>, loss: f64) -> Best {
        Best { step: 1, auc, average_precision, loss }
    }

    #[test]
    fn the_loss_decides_where_the_measure_does_not() {
        for by in [BestBy::Auc, BestBy::AveragePrecision] {
            let best = |measure, loss| best(measure, measure, loss);
            assert!(best(Some(0.9), 0.9).is_better_than(&best(Some(0.8), 0.1), by));
            assert!(best(Some(1.0), 0.1).is_better_than(&best(Some(1.0), 0.2), by));
            assert!(!best(Some(1.0), 0.2).is_better_than(&best(Some(1.0), 0.2), by));
            assert!(best(None, 0.1).is_better_than(&best(None, 0.2), by));
        }
    }

    #[test]
    fn epochs_are_compared_by_what_was_asked_for() {
        let (one, other) = (best(Some(0.9), Some(0.7), 0.2), best(Some(0.8), Some(0.8), 0.2));
        assert!(one.is_better_than(&other, BestBy::Auc) && !other.is_better_than(&one, BestBy::Auc));
        assert!(other.is_better_than(&one, BestBy::AveragePrecision));
        assert!(!one.is_better_than(&other, BestBy::AveragePrecision));
    }

    #[test]
    fn average_precision_is_the_mean_of_both_classes() {
        // In the order fake, real, fake, real: fakes are found with precision 1 and 2/3, real ones with 1 and 2/3.
        let scores = [(0.9, true), (0.8, false), (0.7, true), (0.1, false)];
        let scores = scores.map(|(score, fake)| Scored { score, fake });
        assert!((average_precision(&scores).unwrap() - 5.0 / 6.0).abs() < 1e-12);
        assert_eq!(average_precision(&scores[..2]), Some(1.0));
        // real, fake, real: 1/2; 1 and 2/3.
        assert!((average_precision(&scores[1..]).unwrap() - (0.5 + 5.0 / 6.0) / 2.0).abs() < 1e-12);
        assert_eq!((average_precision(&scores[..1]), auc(&scores[..1])), (None, None));
    }
}
