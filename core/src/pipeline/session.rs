//! One input on its way from frames to a report.
//!
//! A session is pushed frames with their faces, hands out batches of crops to score, is given the scores, and makes
//! the report. It holds no model and does not wait for anything, so the caller decides what runs where and when.

use alloc::string::String;
use alloc::vec::Vec;

use super::report::{FaceReport, FrameReport, ModelInfo, REPORT_VERSION, Report, Timing, TrackReport, VideoSummary};
use super::verdict::{Evidence, Quality, judge};
use crate::face::Face;
use crate::face::alignment::CropSpec;
use crate::face::crop::crop;
use crate::face::quality::{eye_distance, sharpness};
use crate::face::track::Tracker;
use crate::image::RgbImage;
use crate::weights::spec::DetectorSpec;

/// Which faces of a video are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Faces {
    /// The person whose face fills the most of the sampled frames.
    #[default]
    Largest,
    /// Everybody.
    All,
}

/// Crops kept for a decision that is still open; past this many they are scored instead of kept.
const MAX_WAITING_CROPS: usize = 256;

/// Where a face stands in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FaceIndex {
    frame: usize,
    face: usize,
}

/// Crops to score together.
#[derive(Debug)]
pub struct Batch {
    /// The aligned crops.
    pub crops: Vec<RgbImage>,
    faces: Vec<FaceIndex>,
}

/// A face whose crop has not been handed out yet.
struct Waiting {
    index: FaceIndex,
    crop: RgbImage,
    wanted: bool,
}

/// The state of one input.
pub struct Session {
    faces: Faces,
    crop: CropSpec,
    tracker: Tracker,
    frames: Vec<FrameReport>,
    qualities: Vec<Quality>,
    waiting: Vec<Waiting>,
    selected: Option<Vec<usize>>,
}

impl Session {
    /// A session for a detector that crops as `spec` says.
    pub fn new(spec: &DetectorSpec, faces: Faces) -> Self {
        Self {
            faces,
            crop: spec.crop,
            tracker: Tracker::default(),
            frames: Vec::new(),
            qualities: Vec::new(),
            waiting: Vec::new(),
            selected: None,
        }
    }

    /// Takes the next frame in order of time, and the faces found in it. A face whose landmarks give no crop (all
    /// points in one place) is passed over.
    pub fn push(&mut self, time_s: f64, image: &RgbImage, faces: &[Face]) {
        let mut cropped: Vec<(&Face, RgbImage)> =
            faces.iter().filter_map(|face| Some((face, crop(image, &face.landmarks, &self.crop)?))).collect();
        cropped.sort_by(|(a, _), (b, _)| b.bounds.area().total_cmp(&a.bounds.area()));
        let found: Vec<Face> = cropped.iter().map(|(face, _)| **face).collect();
        let tracks = self.tracker.assign(time_s, &found);
        let frame = self.frames.len();
        let mut reports = Vec::with_capacity(found.len());
        for (index, ((face, crop), track)) in cropped.into_iter().zip(tracks).enumerate() {
            self.qualities.push(Quality {
                track,
                area: face.bounds.area(),
                eye_distance: eye_distance(&face.landmarks),
                sharpness: sharpness(&crop),
            });
            // The largest face of a frame most often belongs to the person who is largest overall: it is scored while
            // the video is still being decoded.
            let wanted = self.faces == Faces::All || index == 0;
            self.waiting.push(Waiting { index: FaceIndex { frame, face: index }, crop, wanted });
            reports.push(FaceReport {
                track,
                bounds: [face.bounds.x, face.bounds.y, face.bounds.width, face.bounds.height],
                landmarks: face.landmarks,
                confidence: face.confidence,
                score: None,
            });
        }
        self.frames.push(FrameReport { time_s, faces: reports });
        if self.waiting.len() > MAX_WAITING_CROPS {
            self.waiting.iter_mut().for_each(|waiting| waiting.wanted = true);
        }
    }

    /// Ends the frames: decides whose faces count, and lets the others go.
    pub fn seal(&mut self) {
        let selected = self.select();
        for waiting in &mut self.waiting {
            waiting.wanted = selected.contains(&self.frames[waiting.index.frame].faces[waiting.index.face].track);
        }
        self.waiting.retain(|waiting| waiting.wanted);
        self.selected = Some(selected);
    }

    /// Up to `size` crops that need a score: only full batches until [`Session::seal`], then whatever is left.
    pub fn next_batch(&mut self, size: usize) -> Option<Batch> {
        let ready = self.waiting.iter().filter(|waiting| waiting.wanted).count();
        if ready == 0 || size == 0 || (ready < size && self.selected.is_none()) {
            return None;
        }
        let mut batch = Batch { crops: Vec::with_capacity(size), faces: Vec::with_capacity(size) };
        let mut kept = Vec::with_capacity(self.waiting.len());
        for waiting in self.waiting.drain(..) {
            if waiting.wanted && batch.crops.len() < size {
                batch.crops.push(waiting.crop);
                batch.faces.push(waiting.index);
            } else {
                kept.push(waiting);
            }
        }
        self.waiting = kept;
        Some(batch)
    }

    /// Takes the scores of a batch, one a crop, in its order.
    pub fn accept(&mut self, batch: &Batch, scores: &[f32]) {
        for (index, score) in batch.faces.iter().zip(scores) {
            self.frames[index.frame].faces[index.face].score = Some(*score);
        }
    }

    /// The report. Batches not handed out or not scored count as not seen.
    pub fn finish(
        mut self,
        input: String,
        spec: &DetectorSpec,
        model: ModelInfo,
        video: VideoSummary,
        timing_s: Timing,
    ) -> Report {
        if self.selected.is_none() {
            self.seal();
        }
        let selected = self.selected.take().unwrap_or_default();
        self.forget_unselected_scores(&selected);
        let tracks: Vec<TrackReport> = (0..self.tracks()).map(|id| self.track_report(id)).collect();
        let evidence: Vec<Evidence> = selected
            .iter()
            .filter_map(|id| {
                Some(Evidence::new(tracks[*id].score?, self.qualities.iter().filter(|quality| quality.track == *id)))
            })
            .collect();
        let still = video.fps.is_none();
        let judgement = judge(&evidence, &spec.calibration, spec.training.status, self.frames.len(), still);
        Report {
            version: REPORT_VERSION,
            input,
            verdict: judgement.verdict,
            score: judgement.score,
            reason: judgement.reason,
            model,
            video: VideoSummary { frames_sampled: self.frames.len(), ..video },
            tracks,
            frames: self.frames,
            timing_s,
        }
    }

    /// How many frames were pushed.
    pub fn frame_count(&self) -> usize {
        self.frames.len()
    }

    fn tracks(&self) -> usize {
        self.qualities.iter().map(|quality| quality.track + 1).max().unwrap_or(0)
    }

    /// The tracks whose faces are scored.
    fn select(&self) -> Vec<usize> {
        let mut area = alloc::vec![0.0f64; self.tracks()];
        for quality in &self.qualities {
            area[quality.track] += f64::from(quality.area);
        }
        match self.faces {
            Faces::All => (0..area.len()).collect(),
            // The earlier of two equal tracks, so that the same video always gets the same answer.
            Faces::Largest => (0..area.len()).rev().max_by(|a, b| area[*a].total_cmp(&area[*b])).into_iter().collect(),
        }
    }

    /// Faces scored ahead whose track was not selected: a report shows scores for what was asked only.
    fn forget_unselected_scores(&mut self, selected: &[usize]) {
        for face in self.frames.iter_mut().flat_map(|frame| &mut frame.faces) {
            if !selected.contains(&face.track) {
                face.score = None;
            }
        }
    }

    fn track_report(&self, id: usize) -> TrackReport {
        let faces = || self.frames.iter().flat_map(|frame| &frame.faces).filter(|face| face.track == id);
        let scores: Vec<f32> = faces().filter_map(|face| face.score).collect();
        let score = (!scores.is_empty()).then(|| scores.iter().sum::<f32>() / scores.len() as f32);
        TrackReport { id, score, frames: faces().count() }
    }
}
