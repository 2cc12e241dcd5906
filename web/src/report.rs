//! What the page shows of a report; `core/src/pipeline/report.rs` defines the whole.

use serde::Deserialize;

/// The answer for one input.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Report {
    pub(crate) verdict: Verdict,
    pub(crate) score: Option<f64>,
    /// How little the detector knows of whoever decides, if it says so.
    #[serde(default)]
    pub(crate) uncertainty: Option<f64>,
    pub(crate) reason: Option<String>,
    pub(crate) caveats: Vec<Caveat>,
    /// What each of several detectors says; empty of one.
    #[serde(default)]
    pub(crate) opinions: Vec<Opinion>,
    /// Of several the first, whose scores tracks and frames have.
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

/// What one of several detectors says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Opinion {
    pub(crate) model: Model,
    pub(crate) verdict: Verdict,
    pub(crate) score: Option<f64>,
    /// How little it knows of whoever decides, if it says so.
    #[serde(default)]
    pub(crate) uncertainty: Option<f64>,
    pub(crate) reason: Option<String>,
}

/// What weakens the answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Caveat {
    pub(crate) code: String,
    /// One sentence without a full stop.
    pub(crate) words: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) sha256: String,
    /// `trained`, `imported` or `untrained`.
    pub(crate) training: String,
    pub(crate) reliability: Reliability,
    /// How often its verdicts are wrong, in one sentence without a full stop, where its file says so.
    #[serde(default)]
    pub(crate) error_rates: Option<String>,
}

/// What a detector's answers are worth.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Reliability {
    pub(crate) grade: Grade,
    /// One sentence without a full stop.
    pub(crate) words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    Untrained,
    Uncalibrated,
    Weak,
    Calibrated,
}

/// What an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Still,
    Frames,
    Video,
    Live,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Video {
    pub(crate) kind: Kind,
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

impl Caveat {
    /// Whether it is about the detector, of which `Model::reliability` says more.
    pub(crate) fn is_of_detector(&self) -> bool {
        matches!(self.code.as_str(), "weak_detector" | "uncalibrated_detector" | "untrained_detector")
    }
}

impl Video {
    /// Whether it is one picture, in which nothing has a time.
    pub(crate) fn is_still(&self) -> bool {
        self.kind == Kind::Still
    }
}

impl Report {
    /// The face of a person in a frame, where it was scored.
    pub(crate) fn scored_face(&self, frame: usize, track: usize) -> Option<Face> {
        self.frames.get(frame)?.faces.iter().copied().find(|face| face.track == track && face.score.is_some())
    }

    /// The people who were scored: whoever decides the verdict, then the others, the most suspicious first.
    pub(crate) fn scored_tracks(&self) -> Vec<Track> {
        let mut tracks: Vec<Track> = self.tracks.iter().copied().filter(|track| track.score.is_some()).collect();
        tracks.sort_by(|one, other| other.score.unwrap_or_default().total_cmp(&one.score.unwrap_or_default()));
        // A face that cannot be judged may have a higher score than the one that counts.
        let score = self.opinions.first().map_or(self.score, |opinion| opinion.score);
        if let Some(deciding) = tracks.iter().position(|track| track.score == score) {
            let deciding = tracks.remove(deciding);
            tracks.insert(0, deciding);
        }
        tracks
    }

    /// The scored faces of a person.
    pub(crate) fn faces_of(&self, track: usize) -> impl Iterator<Item = Face> {
        (0..self.frames.len()).filter_map(move |frame| self.scored_face(frame, track))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A detector whose answers are worth that.
    pub(crate) fn model(grade: Grade) -> Model {
        let reliability = Reliability { grade, words: "the detector was made up".to_owned() };
        let (name, sha256, training) = ("test".to_owned(), "00".to_owned(), "trained".to_owned());
        Model { name, sha256, training, reliability, error_rates: None }
    }

    /// A report of two people: the first in frames 0, 1 and 3 of four, the second in frame 2.
    pub(crate) fn two_people() -> Report {
        let face = |track, score| Face { track, bounds: [10.0, 10.0, 120.0, 160.0], score: Some(score) };
        let faces = [vec![face(0, 0.2)], vec![face(0, 0.4)], vec![face(1, 0.9)], vec![face(0, 0.3)]];
        let frames =
            faces.into_iter().enumerate().map(|(index, faces)| Frame { time_s: index as f64, faces }).collect();
        Report {
            verdict: Verdict::LikelyFake,
            score: Some(0.9),
            uncertainty: None,
            reason: None,
            caveats: Vec::new(),
            opinions: Vec::new(),
            model: model(Grade::Calibrated),
            video: Video { kind: Kind::Video, width: 640.0, height: 360.0, duration_s: Some(4.0), frames_sampled: 4 },
            tracks: vec![Track { id: 0, score: Some(0.3), frames: 3 }, Track { id: 1, score: Some(0.9), frames: 1 }],
            frames,
            timing_s: Timing { decode: 0.1, detect: 0.2, score: 0.3, total: 0.5 },
        }
    }

    #[test]
    fn the_person_who_decides_the_verdict_comes_first() {
        let mut report = two_people();
        let ids = |report: &Report| report.scored_tracks().iter().map(|track| track.id).collect::<Vec<_>>();
        assert_eq!(ids(&report), [1, 0]);
        report.score = Some(0.3);
        assert_eq!(ids(&report), [0, 1]);
        // Of several, the score is the mean.
        let (verdict, model) = (Verdict::LikelyFake, report.model.clone());
        report.opinions = vec![Opinion { model, verdict, score: Some(0.9), uncertainty: None, reason: None }];
        assert_eq!(ids(&report), [1, 0]);
    }

    #[test]
    fn a_report_as_the_detector_gives_it_is_read() {
        let json = r#"{"version":1,"input":"a.png","verdict":"no_face","score":null,"reason":"no face was found",
            "caveats":[{"code":"untrained_detector","words":"it is random"},{"code":"dark","words":"the face is very dark"}],
            "model":{"name":"m","sha256":"ab","training":"untrained","reliability":{"grade":"untrained","words":"it is random"}},
            "video":{"kind":"still","width":4,"height":3,"fps":null,"duration_s":null,"frames_sampled":1},
            "tracks":[],"frames":[{"time_s":0.0,"faces":[]}],
            "timing_s":{"decode":0.0,"detect":0.1,"score":0.0,"total":0.1}}"#;
        let report: Report = serde_json::from_str(json).expect("it is complete");
        assert_eq!((report.verdict, report.score), (Verdict::NoFace, None));
        assert_eq!((report.model.reliability.grade, report.video.is_still()), (Grade::Untrained, true));
        assert_eq!(report.caveats.iter().map(Caveat::is_of_detector).collect::<Vec<_>>(), [true, false]);
    }
}
