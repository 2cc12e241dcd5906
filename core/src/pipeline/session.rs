//! One input on its way from frames to a report.
//!
//! A session is pushed frames with their faces, hands out batches of crops to score, is given the scores, and makes
//! the report. It holds no model and does not wait for anything, so the caller decides what runs where and when.
//!
//! What is scored are clips: each `T` crops of a track that follow each other, in order of time. To a detector of single
//! frames every crop is a clip of its own.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::aggregate;
use super::caveat::{Caveat, CaveatCode};
use super::report::{
    FaceReport, FrameReport, InputKind, ModelInfo, REPORT_VERSION, Report, Timing, TrackReport, VideoSummary,
};
use super::verdict::{Evidence, Quality, judge};
use crate::face::Face;
use crate::face::alignment::CropSpec;
use crate::face::crop::crop;
use crate::face::quality::{eye_distance, sharpness};
use crate::face::track::Tracker;
use crate::image::RgbImage;
use crate::weights::spec::{DetectorSpec, Grade};

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

/// A clip: the track it shows, and which of the track's clips it is.
type ClipIndex = (usize, usize);

/// Crops to score together.
#[derive(Debug)]
pub struct Batch {
    /// The aligned crops, clip by clip; a track's last clip repeats its last crop where it is short.
    pub crops: Vec<RgbImage>,
    clips: Vec<(ClipIndex, Vec<FaceIndex>)>,
}

/// One clip of a batch, for showing what was scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipView<'a> {
    /// The track it shows.
    pub track: usize,
    /// The frame that its middle crop was cut from, counted as they were pushed.
    pub frame: usize,
    /// That crop.
    pub crop: &'a RgbImage,
}

impl Batch {
    /// Its clips, in the order in which [`Session::accept`] takes their scores.
    pub fn views(&self) -> impl Iterator<Item = ClipView<'_>> {
        let length = self.crops.len() / self.clips.len().max(1);
        self.clips.iter().zip(self.crops.chunks(length.max(1))).filter_map(|(((track, _), faces), crops)| {
            let middle = faces.len() / 2;
            Some(ClipView { track: *track, frame: faces.get(middle)?.frame, crop: crops.get(middle)? })
        })
    }
}

/// A face whose crop has not been handed out yet.
struct Waiting {
    clip: ClipIndex,
    index: FaceIndex,
    crop: RgbImage,
    wanted: bool,
}

/// The state of one input.
pub struct Session {
    faces: Faces,
    crop: CropSpec,
    clip_length: usize,
    tracker: Tracker,
    frames: Vec<FrameReport>,
    qualities: Vec<Quality>,
    waiting: Vec<Waiting>,
    /// How many crops of each track were taken.
    cropped: Vec<usize>,
    scores: BTreeMap<ClipIndex, f32>,
    selected: Option<Vec<usize>>,
    caveats: Vec<Caveat>,
}

impl Session {
    /// A session for a detector that crops, and sees as many frames together, as `spec` says.
    pub fn new(spec: &DetectorSpec, faces: Faces) -> Self {
        Self {
            faces,
            crop: spec.crop,
            clip_length: spec.clip_length().max(1),
            tracker: Tracker::default(),
            frames: Vec::new(),
            qualities: Vec::new(),
            waiting: Vec::new(),
            cropped: Vec::new(),
            scores: BTreeMap::new(),
            selected: None,
            caveats: Vec::new(),
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
            let clip = self.next_clip(track);
            self.waiting.push(Waiting { clip, index: FaceIndex { frame, face: index }, crop, wanted });
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

    /// Notes what weakens the answer and is not seen in frames. Of two with one code the first counts.
    pub fn note(&mut self, caveat: impl Into<Caveat>) {
        self.caveats.push(caveat.into());
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

    /// Clips of up to `size` crops, and at least one clip, that need a score: only full batches until [`Session::seal`],
    /// then whatever is left.
    pub fn next_batch(&mut self, size: usize) -> Option<Batch> {
        let most = (size / self.clip_length).max(1);
        let mut ready = self.ready_clips();
        if ready.is_empty() || size == 0 || (ready.len() < most && self.selected.is_none()) {
            return None;
        }
        ready.truncate(most);
        let mut clips: Vec<(ClipIndex, Vec<Waiting>)> = ready.into_iter().map(|clip| (clip, Vec::new())).collect();
        let mut kept = Vec::with_capacity(self.waiting.len());
        for waiting in self.waiting.drain(..) {
            match clips.iter_mut().find(|(clip, _)| *clip == waiting.clip) {
                Some((_, members)) => members.push(waiting),
                None => kept.push(waiting),
            }
        }
        self.waiting = kept;
        Some(self.batch(clips))
    }

    /// Takes the scores of a batch, one a clip, in its order. Every frame of a clip has its clip's score.
    pub fn accept(&mut self, batch: &Batch, scores: &[f32]) {
        for ((clip, faces), score) in batch.clips.iter().zip(scores) {
            self.scores.insert(*clip, *score);
            for index in faces {
                self.frames[index.frame].faces[index.face].score = Some(*score);
            }
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
        let mut caveats = self.caveats;
        caveats.extend(detector_caveat(&model));
        caveats.sort_by_key(|caveat| caveat.code);
        caveats.dedup_by_key(|caveat| caveat.code);
        let still = video.kind == InputKind::Still;
        let judgement = judge(&evidence, &spec.calibration, spec.training.status, self.frames.len(), still);
        Report {
            version: REPORT_VERSION,
            input,
            verdict: judgement.verdict,
            score: judgement.score,
            reason: judgement.reason,
            caveats,
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

    /// The clip that the next crop of `track` belongs to.
    fn next_clip(&mut self, track: usize) -> ClipIndex {
        if self.cropped.len() <= track {
            self.cropped.resize(track + 1, 0);
        }
        let clip = (track, aggregate::clip_of(self.cropped[track], self.clip_length));
        self.cropped[track] += 1;
        clip
    }

    /// The clips that can be scored now, in the order of their first crops: those with a crop that is wanted and with
    /// all their crops, or all there will be.
    fn ready_clips(&self) -> Vec<ClipIndex> {
        let mut members: BTreeMap<ClipIndex, (usize, bool)> = BTreeMap::new();
        let mut order = Vec::new();
        for waiting in &self.waiting {
            let (count, wanted) = members.entry(waiting.clip).or_insert_with(|| {
                order.push(waiting.clip);
                (0, false)
            });
            *count += 1;
            *wanted |= waiting.wanted;
        }
        let complete = |count: usize| count == self.clip_length || self.selected.is_some();
        order.retain(|clip| members.get(clip).is_some_and(|(count, wanted)| *wanted && complete(*count)));
        order
    }

    /// A batch of clips, short ones made whole.
    fn batch(&self, clips: Vec<(ClipIndex, Vec<Waiting>)>) -> Batch {
        let mut batch = Batch { crops: Vec::with_capacity(clips.len() * self.clip_length), clips: Vec::new() };
        for (clip, members) in clips {
            let mut faces = Vec::with_capacity(members.len());
            for waiting in members {
                faces.push(waiting.index);
                batch.crops.push(waiting.crop);
            }
            aggregate::complete(&mut batch.crops, self.clip_length);
            batch.clips.push((clip, faces));
        }
        batch
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
        self.scores.retain(|(track, _), _| selected.contains(track));
        for face in self.frames.iter_mut().flat_map(|frame| &mut frame.faces) {
            if !selected.contains(&face.track) {
                face.score = None;
            }
        }
    }

    fn track_report(&self, id: usize) -> TrackReport {
        let faces = || self.frames.iter().flat_map(|frame| &frame.faces).filter(|face| face.track == id);
        let clips = self.scores.range((id, 0)..(id + 1, 0)).map(|(_, score)| f64::from(*score));
        let score = aggregate::mean_score(clips).map(|score| score as f32);
        TrackReport { id, score, frames: faces().count() }
    }
}

/// What the detector itself weakens.
fn detector_caveat(model: &ModelInfo) -> Option<Caveat> {
    let code = match model.reliability.grade {
        Grade::Untrained => CaveatCode::UntrainedDetector,
        Grade::Uncalibrated => CaveatCode::UncalibratedDetector,
        Grade::Weak => CaveatCode::WeakDetector,
        Grade::Calibrated => return None,
    };
    Some(Caveat::with_words(code, model.reliability.words.clone()))
}
