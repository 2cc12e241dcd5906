//! What weakens an answer: the one list of codes, with the words that every output shows.

use alloc::borrow::ToOwned;
use alloc::string::String;

use serde::{Deserialize, Serialize};

/// One thing that weakens the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caveat {
    /// For programs.
    pub code: CaveatCode,
    /// For people: one sentence without a full stop.
    pub words: String,
}

impl Caveat {
    /// A caveat that has more to say than its code's usual words.
    pub fn with_words(code: CaveatCode, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }
}

impl From<CaveatCode> for Caveat {
    /// The caveat in its code's usual words.
    fn from(code: CaveatCode) -> Self {
        Self { code, words: code.words().to_owned() }
    }
}

/// The kinds of [`Caveat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaveatCode {
    /// Damaged parts of the file were passed over or concealed.
    DamageSkipped,
    /// Faces are upright only after turning frames whose file does not ask for it.
    Turned,
    /// Frames are woven from two fields.
    Interlaced,
    /// High dynamic range was mapped to the standard one.
    ToneMapped,
    /// The faces are very dark.
    Dark,
    /// The faces hold less detail than their size says.
    Upscaled,
    /// The size of frames changes within the video.
    SizeChanges,
    /// Frames bear times that cannot be right, and were spread evenly instead.
    BadTimes,
    /// Further faces could have been judged and were not scored: other people's, or the same person's in other shots.
    OthersNotScored,
    /// Several frames in a row score as a fake does, and the whole does not.
    PartLikelyFake,
    /// More faces than are followed: some were left out.
    Crowd,
    /// Of several pictures in the file only the first was read.
    FirstPictureOnly,
    /// The file holds further video streams that were not looked at.
    OtherStreams,
    /// The detector's figures are poor.
    WeakDetector,
    /// The detector's thresholds were not fitted.
    UncalibratedDetector,
    /// The detector, or its head, is random.
    UntrainedDetector,
}

impl CaveatCode {
    /// All of them, in the order in which a report has them.
    pub const ALL: [Self; 16] = [
        Self::DamageSkipped,
        Self::Turned,
        Self::Interlaced,
        Self::ToneMapped,
        Self::Dark,
        Self::Upscaled,
        Self::SizeChanges,
        Self::BadTimes,
        Self::OthersNotScored,
        Self::PartLikelyFake,
        Self::Crowd,
        Self::FirstPictureOnly,
        Self::OtherStreams,
        Self::WeakDetector,
        Self::UncalibratedDetector,
        Self::UntrainedDetector,
    ];

    /// Whether it is about the detector and not about the input.
    pub fn is_of_detector(self) -> bool {
        matches!(self, Self::WeakDetector | Self::UncalibratedDetector | Self::UntrainedDetector)
    }

    /// The usual words.
    pub fn words(self) -> &'static str {
        match self {
            Self::DamageSkipped => {
                "parts of the file are damaged and were passed over; concealed damage can look like manipulation"
            }
            Self::Turned => "the picture lies on its side or upside down, and was turned to find the face upright",
            Self::Interlaced => {
                "the video is interlaced: each frame mixes two moments, which can look like manipulation"
            }
            Self::ToneMapped => "the video has a high dynamic range and was mapped to the standard one",
            Self::Dark => "the face is very dark, so traces of manipulation may be hidden",
            Self::Upscaled => {
                "the face holds less detail than its size says: it was enlarged, smoothed or strongly compressed"
            }
            Self::SizeChanges => "the size of the picture changes within the video",
            Self::BadTimes => "the times of frames in the file cannot be right, so frames were spread by their number",
            Self::OthersNotScored => "further faces, of other people or of other shots, were not scored",
            Self::PartLikelyFake => "a part of it by itself would be called likely fake: look at the scores over time",
            Self::Crowd => "there are more faces than can be followed, and the smallest were left out",
            Self::FirstPictureOnly => "the file holds several pictures, of which only the first was looked at",
            Self::OtherStreams => "the file holds further video streams that were not looked at",
            Self::WeakDetector => "the detector is weak",
            Self::UncalibratedDetector => "the detector's thresholds were not fitted",
            Self::UntrainedDetector => "the detector is untrained, so its score means nothing",
        }
    }
}
