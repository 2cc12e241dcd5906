//! The report: what was seen, what was scored, and the verdict with its reason.
//!
//! Serialised with serde_json it is the JSON document that the command, the page and the element give out.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::caveat::Caveat;
use super::opinion::Opinion;
use super::strength::Strength;
use crate::detector::spec::{DetectorSpec, Measured, Reliability, Training, TrainingStatus};

/// The version of the report's layout.
pub const REPORT_VERSION: u32 = 1;

/// The answer for one input. Boxes and points are in pixels of the frame as displayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// The input as the user named it.
    pub input: String,
    /// What to make of the score; of several detectors what they say [together](super::opinion::joint_verdict).
    pub verdict: Verdict,
    /// P(fake) of the video, 0..1; `None` if there was no face. Of several detectors the mean of their scores.
    pub score: Option<f32>,
    /// How little the detector knows of the person whose score that is, 0..1, if it says so; not of several detectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f32>,
    /// Why the verdict is not a plain one, in one sentence.
    pub reason: Option<String>,
    /// How strongly a plain verdict speaks for what it says; absent where nothing was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<Strength>,
    /// What weakens the answer, in the order of [`CaveatCode`](super::CaveatCode); each code once.
    #[serde(default)]
    pub caveats: Vec<Caveat>,
    /// What each detector says, where several scored, in the order in which they were named; else empty, and not written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opinions: Vec<Opinion>,
    /// What scored; of several the first that was named, whose scores the tracks and the frames have.
    pub model: ModelInfo,
    /// What was scored.
    pub video: VideoSummary,
    /// The people seen, by track.
    pub tracks: Vec<TrackReport>,
    /// The frames looked at, in order of time.
    pub frames: Vec<FrameReport>,
    /// Where the time went.
    pub timing_s: Timing,
}

impl Report {
    /// The track whose score is that of the detector named first.
    pub fn deciding_track(&self) -> Option<&TrackReport> {
        let score = self.opinions.first().map_or(self.score, |opinion| opinion.score);
        self.tracks.iter().find(|track| track.score.is_some() && track.score == score)
    }
}

/// The verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The score is at or above the detector's upper threshold.
    LikelyFake,
    /// The score is at or below the detector's lower threshold.
    LikelyReal,
    /// The score is between the thresholds, or what it rests on is too weak.
    Uncertain,
    /// There was no face to judge; that does not make the video real.
    NoFace,
}

impl Verdict {
    /// It in two words.
    pub fn words(self) -> &'static str {
        match self {
            Self::LikelyFake => "likely fake",
            Self::LikelyReal => "likely real",
            Self::Uncertain => "uncertain",
            Self::NoFace => "no face",
        }
    }

    /// Whether it is a plain answer.
    pub fn is_decided(self) -> bool {
        matches!(self, Self::LikelyFake | Self::LikelyReal)
    }
}

/// Which detector scored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Its name.
    pub name: String,
    /// SHA-256 of its file, lower-case hexadecimal.
    pub sha256: String,
    /// How far its weights can be believed.
    pub training: TrainingStatus,
    /// What its answers are worth.
    pub reliability: Reliability,
    /// How often its verdicts are wrong, in one sentence without a full stop, where its file says on what that was counted.
    #[serde(default)]
    pub error_rates: Option<String>,
    /// What those were counted from: the verdicts on which videos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

impl ModelInfo {
    /// The detector that `spec` describes, whose file has this SHA-256.
    pub fn new(spec: &DetectorSpec, sha256: String) -> Self {
        let Training { status, .. } = spec.training;
        let error_rates = spec.calibration.measured.as_ref().and_then(Measured::words);
        Self {
            name: spec.name.clone(),
            sha256,
            training: status,
            reliability: spec.training.reliability(),
            error_rates,
            measured: spec.calibration.measured.clone(),
        }
    }
}

/// What an input is, as a fact of the input itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// One picture.
    Still,
    /// A folder of frames, which together are one video.
    Frames,
    /// A video file.
    Video,
    /// A live picture, such as a camera's.
    Live,
}

/// The input in figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VideoSummary {
    /// What it is.
    pub kind: InputKind,
    /// Width in pixels as displayed.
    pub width: usize,
    /// Height in pixels as displayed.
    pub height: usize,
    /// Frames per second on average, where known.
    pub fps: Option<f64>,
    /// Length in seconds, where known.
    pub duration_s: Option<f64>,
    /// How many frames were looked at.
    pub frames_sampled: usize,
    /// How many frames the input has, where somebody counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_count: Option<u64>,
}

/// Why a person, or a frame, has no part in the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unused {
    /// No face was found in the frame.
    NoFace,
    /// Another person was asked for.
    OtherPerson,
    /// The person's face is too small to judge.
    TooSmall,
    /// The person's face is too blurred to judge, or the blurred copy of another.
    TooBlurred,
    /// The person's face looks drawn.
    Drawn,
    /// The person is seen in too few frames.
    TooBrief,
}

/// One person over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrackReport {
    /// Numbered from 0 in order of appearance.
    pub id: usize,
    /// Mean P(fake) of its scored clips, which are its faces for a detector of single frames; `None` if it was not
    /// asked for.
    pub score: Option<f32>,
    /// Mean uncertainty of the same clips, for detectors that say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f32>,
    /// In how many sampled frames it was seen.
    pub frames: usize,
    /// Why the person has no part in the verdict, if so. How good faces are is judged over all of a person's frames, so that a few
    /// blurred ones among sharp ones count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<Unused>,
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameReport {
    /// Presentation time in seconds.
    pub time_s: f64,
    /// The faces found, largest first.
    pub faces: Vec<FaceReport>,
    /// Why nobody in it has a part in the verdict, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<Unused>,
}

/// One face in one frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaceReport {
    /// The track it belongs to.
    pub track: usize,
    /// Left, top, width, height.
    #[serde(rename = "box")]
    pub bounds: [f32; 4],
    /// Left eye, right eye, nose, left and right corner of the mouth, as they appear in the image.
    pub landmarks: [[f32; 2]; 5],
    /// The face detector's confidence, 0..1.
    pub confidence: f32,
    /// P(fake), of the clip it is in for a detector of clips; `None` if it was not scored.
    pub score: Option<f32>,
    /// How little the detector knows of it, 0..1, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f32>,
}

/// Seconds spent; stages overlap, so they may add up to more than the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Waiting for frames; those that are decoded while others are worked on take no time here.
    pub decode: f64,
    /// Finding faces, likewise.
    pub detect: f64,
    /// Scoring crops.
    pub score: f64,
    /// From start to report.
    pub total: f64,
}
