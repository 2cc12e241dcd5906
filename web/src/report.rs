//! What the page shows of a report; `core/src/pipeline/report.rs` defines the whole.

use serde::Deserialize;

/// The answer for one input.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) score: Option<f64>,
    pub(crate) reason: Option<String>,
    pub(crate) model: Model,
    pub(crate) video: Video,
    pub(crate) tracks: Vec<Track>,
    pub(crate) frames: Vec<Frame>,
    pub(crate) timing_s: Timing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    LikelyFake,
    LikelyReal,
    Uncertain,
    NoFace,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) sha256: String,
    pub(crate) training: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Video {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) duration_s: Option<f64>,
    pub(crate) frames_sampled: usize,
}

/// One person over time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Track {
    pub(crate) id: usize,
    pub(crate) score: Option<f64>,
    pub(crate) frames: usize,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Frame {
    pub(crate) time_s: f64,
    pub(crate) faces: Vec<Face>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Face {
    pub(crate) track: usize,
    /// Left, top, width, height in pixels of the displayed frame.
    #[serde(rename = "box")]
    pub(crate) bounds: [f64; 4],
    pub(crate) score: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(crate) struct Timing {
    pub(crate) decode: f64,
    pub(crate) detect: f64,
    pub(crate) score: f64,
    pub(crate) total: f64,
}

impl Report {
    /// The face of a person in a frame, where it was scored.
    pub(crate) fn scored_face(&self, frame: usize, track: usize) -> Option<Face> {
        self.frames.get(frame)?.faces.iter().copied().find(|face| face.track == track && face.score.is_some())
    }

    /// The people who were scored, the most suspicious first.
    pub(crate) fn scored_tracks(&self) -> Vec<Track> {
        let mut tracks: Vec<Track> = self.tracks.iter().copied().filter(|track| track.score.is_some()).collect();
        tracks.sort_by(|one, other| other.score.unwrap_or_default().total_cmp(&one.score.unwrap_or_default()));
        tracks
    }
}
