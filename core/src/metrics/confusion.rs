//! What a threshold gets right and wrong.

use serde::{Deserialize, Serialize};

use super::Undefined;

/// Counts of right and wrong calls; fake is the positive class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Fakes called fake.
    pub true_positives: u64,
    /// Reals called fake.
    pub false_positives: u64,
    /// Reals called real.
    pub true_negatives: u64,
    /// Fakes called real.
    pub false_negatives: u64,
}

impl Confusion {
    /// The part that is called right.
    ///
    /// # Errors
    /// [`Undefined::Empty`]
    pub fn accuracy(&self) -> Result<f64, Undefined> {
        let wrong = self.false_positives + self.false_negatives;
        let right = self.true_positives + self.true_negatives;
        ratio(right, right + wrong).ok_or(Undefined::Empty)
    }

    /// Of those called fake, the part that is.
    ///
    /// # Errors
    /// [`Undefined::NothingCalledFake`]
    pub fn precision(&self) -> Result<f64, Undefined> {
        ratio(self.true_positives, self.true_positives + self.false_positives).ok_or(Undefined::NothingCalledFake)
    }

    /// Of the fakes, the part that is called fake: the true positive rate.
    ///
    /// # Errors
    /// [`Undefined::NoFake`]
    pub fn recall(&self) -> Result<f64, Undefined> {
        ratio(self.true_positives, self.true_positives + self.false_negatives).ok_or(Undefined::NoFake)
    }

    /// Of the reals, the part that is called real: the true negative rate.
    ///
    /// # Errors
    /// [`Undefined::NoReal`]
    pub fn specificity(&self) -> Result<f64, Undefined> {
        ratio(self.true_negatives, self.true_negatives + self.false_positives).ok_or(Undefined::NoReal)
    }

    /// The harmonic mean of precision and recall, `2·TP / (2·TP + FP + FN)`.
    ///
    /// # Errors
    /// [`Undefined::NoPositives`]
    pub fn f1(&self) -> Result<f64, Undefined> {
        let twice = 2 * self.true_positives;
        ratio(twice, twice + self.false_positives + self.false_negatives).ok_or(Undefined::NoPositives)
    }

    /// The mean of recall and specificity, which does not depend on how many there are of each class.
    ///
    /// # Errors
    /// [`Undefined::NoFake`] or [`Undefined::NoReal`]
    pub fn balanced_accuracy(&self) -> Result<f64, Undefined> {
        Ok((self.recall()? + self.specificity()?) / 2.0)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_table_are_those_counted_by_hand() {
        let table = Confusion { true_positives: 3, false_positives: 1, true_negatives: 4, false_negatives: 2 };
        assert_eq!(table.accuracy(), Ok(0.7));
        assert_eq!(table.precision(), Ok(0.75));
        assert_eq!(table.recall(), Ok(0.6));
        assert_eq!(table.specificity(), Ok(0.8));
        assert_eq!(table.f1(), Ok(6.0 / 9.0));
        assert_eq!(table.balanced_accuracy(), Ok(0.7));
    }

    #[test]
    fn figures_without_a_denominator_are_undefined_each_for_its_reason() {
        let empty = Confusion::default();
        assert_eq!(empty.accuracy(), Err(Undefined::Empty));
        assert_eq!(empty.precision(), Err(Undefined::NothingCalledFake));
        assert_eq!(empty.recall(), Err(Undefined::NoFake));
        assert_eq!(empty.specificity(), Err(Undefined::NoReal));
        assert_eq!(empty.f1(), Err(Undefined::NoPositives));
        let all_missed = Confusion { false_negatives: 2, ..empty };
        assert_eq!((all_missed.recall(), all_missed.f1()), (Ok(0.0), Ok(0.0)));
    }
}
