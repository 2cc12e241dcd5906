//! What can go wrong between a session and whatever scores its crops.

use alloc::string::String;

/// Why there is no report. The text names the detector and no input: whoever named the input puts it in front.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SessionError {
    /// Not one score for each clip.
    #[error(
        "the detector `{detector}` gave {found} scores for {expected} clips, so none of them can be relied on; score \
         again, and on the CPU if it happens again"
    )]
    ScoreCount {
        /// The detector's name.
        detector: String,
        /// How many clips were handed out.
        expected: usize,
        /// How many scores came back.
        found: usize,
    },
    /// A score that is no probability.
    #[error(
        "the detector `{detector}` gave {score} where a score from 0 to 1 belongs; score again on the CPU, and fetch or \
         export the detector's file again if it happens there, too"
    )]
    NotAScore {
        /// The detector's name.
        detector: String,
        /// What came instead.
        score: f32,
    },
    /// Something else than an uncertainty.
    #[error(
        "the detector `{detector}` gave {uncertainty} where an uncertainty from 0 to 1 belongs; score again on the CPU, and \
         fetch or export the detector's file again if it happens there, too"
    )]
    NotAnUncertainty {
        /// The detector's name.
        detector: String,
        /// What came instead.
        uncertainty: f32,
    },
    /// No uncertainties of a detector that says them, and may not decide without.
    #[error(
        "the detector `{detector}` gave no uncertainty with its scores, and does not judge a face without; score again with \
         files of one version"
    )]
    NoUncertainty {
        /// The detector's name.
        detector: String,
    },
    /// Scores for crops that are not waiting for any.
    #[error("the detector `{detector}` gave scores for faces that have theirs or never waited for any; score again")]
    NotAwaited {
        /// The detector's name.
        detector: String,
    },
    /// Faces that count and have no score.
    #[error("{missing} clips of faces were never scored by the detector `{detector}`; score again")]
    Unscored {
        /// The detector's name.
        detector: String,
        /// How many clips.
        missing: usize,
    },
}

impl SessionError {
    /// What went wrong, for programs; it stays the same where sentences change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ScoreCount { .. }
            | Self::NotAScore { .. }
            | Self::NotAnUncertainty { .. }
            | Self::NoUncertainty { .. }
            | Self::NotAwaited { .. }
            | Self::Unscored { .. } => "bad_score",
        }
    }
}
