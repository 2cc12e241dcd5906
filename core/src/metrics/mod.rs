//! How good scores are, and what they are turned into: metrics with intervals, temperature, thresholds.
//!
//! A score is P(fake), a fake is the positive class, and whatever scores *at or above* a threshold is called fake.
//! [`Ranking`] holds all that the metrics of a set of scores depend on; [`Bootstrap`] says how far they would vary with
//! other videos of other people; [`fit_temperature`], [`balanced_threshold`] and [`fit_verdict_thresholds`] choose on validation data
//! what a detector's calibration is made of.
//!
//! A metric that the data does not determine is [`Undefined`] with the reason, never zero and never NaN.
//!
//! ```
//! use unmask_core::metrics::{Ranking, Scored};
//! // Two real and two fake videos: of the four pairs of a real and a fake one, three are in order.
//! let scored = [(0.1, false), (0.4, false), (0.35, true), (0.8, true)];
//! let ranking = Ranking::new(scored.map(|(score, fake)| Scored { score, fake }))?;
//! assert_eq!(ranking.auc()?, 0.75);
//! // At 0.5 one fake is found, the other is missed, and no real one is called fake.
//! let confusion = ranking.confusion_at(0.5);
//! assert_eq!((confusion.true_positives, confusion.false_negatives, confusion.false_positives), (1, 1, 0));
//! assert_eq!((confusion.accuracy()?, confusion.precision()?, confusion.recall()?), (0.75, 1.0, 0.5));
//! # Ok::<(), unmask_core::metrics::Undefined>(())
//! ```

mod bootstrap;
mod confusion;
mod curves;
mod proportion;
mod ranking;
mod temperature;
mod thresholds;

pub use bootstrap::{Bootstrap, Interval};
pub use confusion::Confusion;
pub use curves::{CALIBRATION_BINS, PrecisionRecallPoint, ScoreBin};
pub use proportion::wilson_interval;
pub use ranking::{Point, Ranking, RocPoint};
pub use temperature::{MAX_TEMPERATURE, MIN_TEMPERATURE, TemperatureFit, TemperatureNote, fit_temperature};
pub use thresholds::{Misses, UNCALIBRATED, VerdictBasis, VerdictFit, balanced_threshold, fit_verdict_thresholds};

/// A score with what is true.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// P(fake), or anything that grows with it.
    pub score: f64,
    /// Whether it is fake.
    pub fake: bool,
}

/// Why a metric has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undefined {
    /// No sample at all.
    #[error("there is nothing to measure")]
    Empty,
    /// Every sample is fake.
    #[error("there is nothing real to compare with")]
    NoReal,
    /// Every sample is real.
    #[error("there is nothing fake to compare with")]
    NoFake,
    /// Precision asks about what was called fake.
    #[error("nothing was called fake")]
    NothingCalledFake,
    /// F1 asks about what is fake or was called so.
    #[error("nothing is fake and nothing was called fake")]
    NoPositives,
    /// No threshold tells the classes apart better than guessing.
    #[error("no threshold tells real from fake better than guessing does")]
    NoBetterThanGuessing,
    /// An interval asks how figures vary from group to group.
    #[error("everything belongs to one person or to one source video, so nothing tells how figures vary")]
    OneGroup,
    /// A score or logit is NaN or infinite.
    #[error("a score is not a finite number")]
    NotFinite,
    /// Calibration is about probabilities.
    #[error("a score is no number from 0 to 1")]
    NoProbability,
}

/// Goes on where both classes are there.
fn both_classes(fakes: u64, reals: u64) -> Result<(), Undefined> {
    match (fakes, reals) {
        (0, 0) => Err(Undefined::Empty),
        (0, _) => Err(Undefined::NoFake),
        (_, 0) => Err(Undefined::NoReal),
        _ => Ok(()),
    }
}
