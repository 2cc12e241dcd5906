//! Scores in order, counted by class: all that AUC, AP, EER and the confusion at any threshold depend on.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Confusion, Scored, Undefined, both_classes};

/// What is called fake at a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// A score that occurs; everything at or above it is called fake.
    pub threshold: f64,
    /// Fakes at or above it.
    pub fakes: u64,
    /// Reals at or above it.
    pub reals: u64,
}

/// A point of the ROC curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// Everything at or above it is called fake; `None` at the curve's start, where nothing is.
    pub threshold: Option<f64>,
    /// The part of the reals that is called fake.
    pub false_positive_rate: f64,
    /// The part of the fakes that is called fake.
    pub true_positive_rate: f64,
}

/// Scores in descending order, equal ones together, with running counts of both classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    points: Vec<Point>,
    fakes: u64,
    reals: u64,
}

impl Ranking {
    /// Ranks scores. One class may be missing: then the confusion has a value and most else is undefined.
    ///
    /// # Errors
    /// [`Undefined::NotFinite`]
    pub fn new(samples: impl IntoIterator<Item = Scored>) -> Result<Self, Undefined> {
        let mut samples: Vec<Scored> = samples.into_iter().collect();
        if samples.iter().any(|sample| !sample.score.is_finite()) {
            return Err(Undefined::NotFinite);
        }
        samples.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(Self::of_descending(samples.into_iter().map(|sample| (sample, 1))))
    }

    /// Ranks samples that come in descending order, each with how often it counts.
    pub(super) fn of_descending(samples: impl Iterator<Item = (Scored, u64)>) -> Self {
        let mut points: Vec<Point> = Vec::new();
        let (mut fakes, mut reals) = (0, 0);
        for (Scored { score, fake }, times) in samples.filter(|(_, times)| *times > 0) {
            *(if fake { &mut fakes } else { &mut reals }) += times;
            match points.last_mut().filter(|last| last.threshold == score) {
                Some(last) => (last.fakes, last.reals) = (fakes, reals),
                None => points.push(Point { threshold: score, fakes, reals }),
            }
        }
        Self { points, fakes, reals }
    }

    /// How many fakes there are.
    pub fn fakes(&self) -> u64 {
        self.fakes
    }

    /// How many reals there are.
    pub fn reals(&self) -> u64 {
        self.reals
    }

    /// One point for each score that occurs, in descending order.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The area under the ROC curve: the probability that a fake scores above a real one, where equal scores count
    /// half (the Mann-Whitney statistic; `roc_auc_score` of scikit-learn). It is counted in integers, so it is exact up
    /// to one division.
    ///
    /// # Errors
    /// [`Undefined`] unless there are reals and fakes.
    pub fn auc(&self) -> Result<f64, Undefined> {
        both_classes(self.fakes, self.reals)?;
        let (mut twice, mut above) = (0u128, (0, 0));
        for point in &self.points {
            let (fakes, reals) = (point.fakes - above.0, point.reals - above.1);
            twice += u128::from(fakes) * u128::from(2 * (self.reals - point.reals) + reals);
            above = (point.fakes, point.reals);
        }
        Ok(twice as f64 / (2 * u128::from(self.fakes) * u128::from(self.reals)) as f64)
    }

    /// Average precision, `Σ (recall_i − recall_{i−1}) · precision_i` over the scores in descending order, without
    /// interpolation (`average_precision_score` of scikit-learn).
    ///
    /// # Errors
    /// [`Undefined`] unless there are reals and fakes: among fakes alone it is 1 whatever the scores.
    pub fn average_precision(&self) -> Result<f64, Undefined> {
        both_classes(self.fakes, self.reals)?;
        let mut above = 0;
        let mut sum = 0.0;
        for point in &self.points {
            let precision = point.fakes as f64 / (point.fakes + point.reals) as f64;
            sum += (point.fakes - above) as f64 * precision;
            above = point.fakes;
        }
        Ok(sum / self.fakes as f64)
    }

    /// The equal error rate: the false positive rate where it equals the false negative rate, on the straight line
    /// between the two neighbouring points of the ROC curve.
    ///
    /// # Errors
    /// [`Undefined`] unless there are reals and fakes.
    pub fn equal_error_rate(&self) -> Result<f64, Undefined> {
        both_classes(self.fakes, self.reals)?;
        let rates = |point: &Point| (point.reals as f64 / self.reals as f64, point.fakes as f64 / self.fakes as f64);
        // From the curve's start to its end this falls from 1 to -1, and it falls at every step.
        let excess = |(false_positives, true_positives): (f64, f64)| 1.0 - true_positives - false_positives;
        let after = self.points.partition_point(|point| excess(rates(point)) > 0.0);
        let to = self.points.get(after).map_or((1.0, 1.0), rates);
        let from = after.checked_sub(1).map_or((0.0, 0.0), |before| rates(&self.points[before]));
        let part = excess(from) / (excess(from) - excess(to));
        Ok(from.0 + part * (to.0 - from.0))
    }

    /// The ROC curve from (0, 0) to (1, 1), a point for each score that occurs (`roc_curve` of scikit-learn with
    /// `drop_intermediate=False`).
    ///
    /// # Errors
    /// [`Undefined`] unless there are reals and fakes.
    pub fn roc(&self) -> Result<Vec<RocPoint>, Undefined> {
        both_classes(self.fakes, self.reals)?;
        let start = RocPoint { threshold: None, false_positive_rate: 0.0, true_positive_rate: 0.0 };
        let (fakes, reals) = (self.fakes as f64, self.reals as f64);
        let rest = self.points.iter().map(|point| RocPoint {
            threshold: Some(point.threshold),
            false_positive_rate: point.reals as f64 / reals,
            true_positive_rate: point.fakes as f64 / fakes,
        });
        Ok(core::iter::once(start).chain(rest).collect())
    }

    /// What is right and wrong where everything at or above `threshold` is called fake.
    pub fn confusion_at(&self, threshold: f64) -> Confusion {
        let called = self.points.partition_point(|point| point.threshold >= threshold);
        let (fakes, reals) = called.checked_sub(1).map_or((0, 0), |i| (self.points[i].fakes, self.points[i].reals));
        Confusion {
            true_positives: fakes,
            false_positives: reals,
            true_negatives: self.reals - reals,
            false_negatives: self.fakes - fakes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking<const N: usize>(samples: [(f64, bool); N]) -> Ranking {
        Ranking::new(samples.map(|(score, fake)| Scored { score, fake })).expect("finite")
    }

    #[test]
    fn equal_scores_count_half_whatever_their_order() {
        let ties = [(0.5, true), (0.5, false), (0.5, true), (0.5, false)];
        let mut turned = ties;
        turned.reverse();
        assert_eq!(ranking(ties).auc(), Ok(0.5));
        assert_eq!(ranking(ties), ranking(turned));
        assert_eq!(ranking(ties).equal_error_rate(), Ok(0.5));
        assert_eq!(ranking(ties).average_precision(), Ok(0.5));
    }

    #[test]
    fn separated_classes_are_perfect_and_reversed_ones_are_the_opposite() {
        let good = ranking([(0.9, true), (0.8, true), (0.2, false)]);
        assert_eq!((good.auc(), good.average_precision(), good.equal_error_rate()), (Ok(1.0), Ok(1.0), Ok(0.0)));
        let bad = ranking([(0.9, false), (0.8, false), (0.2, true)]);
        assert_eq!((bad.auc(), bad.equal_error_rate()), (Ok(0.0), Ok(1.0)));
    }

    #[test]
    fn one_class_alone_has_a_confusion_and_no_curve() {
        let fakes = ranking([(0.9, true), (0.4, true)]);
        assert_eq!((fakes.auc(), fakes.average_precision()), (Err(Undefined::NoReal), Err(Undefined::NoReal)));
        assert_eq!(fakes.confusion_at(0.5).accuracy(), Ok(0.5));
        assert_eq!(ranking([(0.9, false)]).equal_error_rate(), Err(Undefined::NoFake));
        assert_eq!(ranking([]).auc(), Err(Undefined::Empty));
        assert_eq!(ranking([]).confusion_at(0.5).accuracy(), Err(Undefined::Empty));
    }

    #[test]
    fn a_score_on_the_threshold_is_called_fake() {
        let ranked = ranking([(0.5, true), (0.49, true), (0.5, false)]);
        let confusion = ranked.confusion_at(0.5);
        assert_eq!((confusion.true_positives, confusion.false_positives, confusion.false_negatives), (1, 1, 1));
    }

    #[test]
    fn a_score_that_is_no_number_is_refused() {
        for score in [f64::NAN, f64::INFINITY] {
            assert_eq!(Ranking::new([Scored { score, fake: true }]), Err(Undefined::NotFinite));
        }
    }
}
