//! What figures show of scores beside the ROC curve: precision against recall, and scores in bins of equal width.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Ranking, Undefined, both_classes};

/// Bins of the expected calibration error: as many as Guo et al. (2017), "On Calibration of Modern Neural Networks", have.
pub const CALIBRATION_BINS: usize = 15;

/// A point of the precision-recall curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrecisionRecallPoint {
    /// Everything at or above it is called fake; `None` at the curve's start, where nothing is.
    pub threshold: Option<f64>,
    /// The part of what is called fake that is.
    pub precision: f64,
    /// The part of the fakes that is called fake.
    pub recall: f64,
}

/// The scores above `low` and up to `high`; those of the first bin from 0 on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreBin {
    /// The lower edge, which belongs to the bin before.
    pub low: f64,
    /// The upper edge.
    pub high: f64,
    /// Reals in it.
    pub reals: u64,
    /// Fakes in it.
    pub fakes: u64,
    /// The mean of its scores; `None` of an empty bin.
    pub mean_score: Option<f64>,
}

impl ScoreBin {
    /// How many scores are in it.
    pub fn count(&self) -> u64 {
        self.reals + self.fakes
    }

    /// The part of them that is fake; `None` of an empty bin.
    pub fn fake_part(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.fakes as f64 / self.count() as f64)
    }
}

impl Ranking {
    /// The precision-recall curve from recall 0 to 1, a point for each score that occurs. It starts with precision 1 at recall
    /// 0, where nothing is called fake (`precision_recall_curve` of scikit-learn, which has the points in the opposite order).
    ///
    /// # Errors
    /// [`Undefined`] unless there are reals and fakes.
    pub fn precision_recall(&self) -> Result<Vec<PrecisionRecallPoint>, Undefined> {
        both_classes(self.fakes(), self.reals())?;
        let start = PrecisionRecallPoint { threshold: None, precision: 1.0, recall: 0.0 };
        let rest = self.points().iter().map(|point| PrecisionRecallPoint {
            threshold: Some(point.threshold),
            precision: point.fakes as f64 / (point.fakes + point.reals) as f64,
            recall: point.fakes as f64 / self.fakes() as f64,
        });
        Ok(core::iter::once(start).chain(rest).collect())
    }

    /// The part of the fakes that is found where at most this part of the reals is called fake: the highest point of the ROC
    /// curve up to there that a threshold reaches, without interpolation.
    ///
    /// ```
    /// use unmask_core::metrics::{Ranking, Scored};
    /// let scored = [(0.9, true), (0.8, false), (0.7, true), (0.2, false)];
    /// let ranking = Ranking::new(scored.map(|(score, fake)| Scored { score, fake }))?;
    /// // Up to the first real one, which may not be called fake, lies one of the two fakes.
    /// assert_eq!(ranking.true_positive_rate_at(0.01)?, 0.5);
    /// assert_eq!(ranking.true_positive_rate_at(0.5)?, 1.0);
    /// # Ok::<(), unmask_core::metrics::Undefined>(())
    /// ```
    ///
    /// # Errors
    /// [`Undefined`] unless there are reals and fakes.
    pub fn true_positive_rate_at(&self, false_positive_rate: f64) -> Result<f64, Undefined> {
        both_classes(self.fakes(), self.reals())?;
        let reals = self.reals() as f64;
        let within = self.points().partition_point(|point| point.reals as f64 / reals <= false_positive_rate);
        let found = within.checked_sub(1).and_then(|last| self.points().get(last)).map_or(0, |point| point.fakes);
        Ok(found as f64 / self.fakes() as f64)
    }

    /// The scores in `count` bins of equal width between 0 and 1.
    ///
    /// # Errors
    /// [`Undefined::Empty`] without scores or bins, [`Undefined::NoProbability`] where a score lies outside of 0 to 1.
    pub fn bins(&self, count: usize) -> Result<Vec<ScoreBin>, Undefined> {
        let (Some(highest), Some(lowest), 1..) = (self.points().first(), self.points().last(), count) else {
            return Err(Undefined::Empty);
        };
        if lowest.threshold < 0.0 || highest.threshold > 1.0 {
            return Err(Undefined::NoProbability);
        }
        // As numpy's linspace has them, so that scores on an edge fall where they do in scikit-learn.
        let edge = |index: usize| if index == count { 1.0 } else { index as f64 * (1.0 / count as f64) };
        let mut bins: Vec<ScoreBin> = (0..count)
            .map(|index| ScoreBin { low: edge(index), high: edge(index + 1), reals: 0, fakes: 0, mean_score: None })
            .collect();
        let mut sums = alloc::vec![0.0; count];
        let mut above = (0, 0);
        for point in self.points() {
            let (fakes, reals) = (point.fakes - above.0, point.reals - above.1);
            above = (point.fakes, point.reals);
            let place = bins.partition_point(|bin| bin.high < point.threshold).min(count - 1);
            bins[place].reals += reals;
            bins[place].fakes += fakes;
            sums[place] += point.threshold * (fakes + reals) as f64;
        }
        for (bin, sum) in bins.iter_mut().zip(sums) {
            bin.mean_score = (bin.count() > 0).then(|| sum / bin.count() as f64);
        }
        Ok(bins)
    }

    /// The expected calibration error of P(fake): the mean distance between how many are fake and the mean score, over
    /// [`CALIBRATION_BINS`] bins of equal width, each weighted by how many scores it has (Guo et al. 2017, equation 3, with the
    /// probability of being fake in the place of the confidence in the predicted class).
    ///
    /// It depends on how many of the samples are fake, and with few samples it is too large.
    ///
    /// # Errors
    /// [`Undefined`] unless there are reals and fakes, and all scores lie between 0 and 1.
    pub fn expected_calibration_error(&self) -> Result<f64, Undefined> {
        both_classes(self.fakes(), self.reals())?;
        let bins = self.bins(CALIBRATION_BINS)?;
        let apart = |bin: &ScoreBin| Some((bin.fake_part()? - bin.mean_score?).abs() * bin.count() as f64);
        Ok(bins.iter().filter_map(apart).sum::<f64>() / (self.fakes() + self.reals()) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scored;
    use super::*;

    fn ranking<const N: usize>(samples: [(f64, bool); N]) -> Ranking {
        Ranking::new(samples.map(|(score, fake)| Scored { score, fake })).expect("finite")
    }

    #[test]
    fn scores_on_an_edge_belong_to_the_bin_below_and_the_ends_to_the_first_and_last() {
        let bins = ranking([(0.0, false), (0.25, true), (0.26, true), (1.0, true)]).bins(4).expect("probabilities");
        let counts: [(u64, u64); 4] = [0, 1, 2, 3].map(|index| (bins[index].reals, bins[index].fakes));
        assert_eq!(counts, [(1, 1), (0, 1), (0, 0), (0, 1)]);
        assert_eq!((bins[0].mean_score, bins[0].fake_part()), (Some(0.125), Some(0.5)));
        assert_eq!((bins[2].mean_score, bins[2].fake_part()), (None, None));
        assert_eq!((bins[0].low, bins[3].high), (0.0, 1.0));
    }

    #[test]
    fn the_calibration_error_of_two_bins_is_counted_by_hand() {
        // Bin 1: score 0.05 where nothing is fake. Bin 15: mean score 0.95 where half are fake.
        let ranked = ranking([(0.05, false), (0.05, false), (0.94, true), (0.96, false)]);
        let expected = (2.0 * 0.05 + 2.0 * 0.45) / 4.0;
        assert!((ranked.expected_calibration_error().expect("both classes") - expected).abs() < 1e-12);
    }

    #[test]
    fn what_one_class_or_no_probability_cannot_give_is_undefined() {
        let reals = ranking([(0.1, false), (0.2, false)]);
        assert_eq!(reals.precision_recall(), Err(Undefined::NoFake));
        assert_eq!(reals.true_positive_rate_at(0.05), Err(Undefined::NoFake));
        assert_eq!(reals.expected_calibration_error(), Err(Undefined::NoFake));
        assert!(reals.bins(15).is_ok());
        assert_eq!(ranking([]).bins(15), Err(Undefined::Empty));
        assert_eq!(reals.bins(0), Err(Undefined::Empty));
        let outside = ranking([(1.5, true), (0.5, false)]);
        assert_eq!(outside.expected_calibration_error(), Err(Undefined::NoProbability));
    }
}
