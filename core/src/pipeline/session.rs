//! One input on its way from frames to a report.
//!
//! A session is pushed frames with their faces, hands out batches of crops to score, is given the scores, and makes
//! the report. It holds no model and does not wait for anything, so the caller decides what runs where and when.
//!
//! What is scored are clips: each `T` crops of a track that follow each other, in order of time. To a detector of single
//! frames every crop is a clip of its own.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::aggregate;
use super::caveat::{Caveat, CaveatCode};
use super::error::SessionError;
use super::people::{Clip, Faces, People};
use super::report::{
    FaceReport, FrameReport, InputKind, ModelInfo, REPORT_VERSION, Report, Timing, TrackReport, Unused, Verdict,
    VideoSummary,
};
use super::strength::Strength;
use super::verdict::{Evidence, MIN_FRAMES, Quality, TrackQuality, judge};
use crate::detector::Scores;
use crate::detector::spec::{DetectorSpec, Grade};
use crate::face::Face;
use crate::face::quality::{eye_distance, roll_degrees};
use crate::image::RgbImage;

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
    /// All crops of the clip, as many as the detector sees together.
    pub clip: &'a [RgbImage],
    /// Which of them the middle one is.
    pub middle: usize,
}

impl Batch {
    /// Clips whose crops are made `length` in number.
    fn new(clips: Vec<Clip>, length: usize) -> Self {
        let mut batch =
            Self { crops: Vec::with_capacity(clips.len() * length), clips: Vec::with_capacity(clips.len()) };
        for Clip { track, index, crops } in clips {
            let mut faces = Vec::with_capacity(crops.len());
            for crop in crops {
                faces.push(FaceIndex { frame: crop.frame, face: crop.face });
                batch.crops.push(crop.image);
            }
            aggregate::complete(&mut batch.crops, length);
            batch.clips.push(((track, index), faces));
        }
        batch
    }

    /// Its clips, in the order in which [`Session::accept`] takes their scores.
    pub fn views(&self) -> impl Iterator<Item = ClipView<'_>> {
        let length = self.crops.len() / self.clips.len().max(1);
        self.clips.iter().zip(self.crops.chunks(length.max(1))).filter_map(|(((track, _), faces), crops)| {
            let middle = faces.len() / 2;
            Some(ClipView {
                track: *track,
                frame: faces.get(middle)?.frame,
                crop: crops.get(middle)?,
                clip: crops,
                middle,
            })
        })
    }
}

/// The state of one input.
///
/// ```
/// use unmask_core::detector::Scores;
/// use unmask_core::detector::spec::{DetectorSpec, SPEC_KEY};
/// use unmask_core::face::{Face, Rect};
/// use unmask_core::image::RgbImage;
/// use unmask_core::pipeline::report::{InputKind, ModelInfo, Timing, VideoSummary};
/// use unmask_core::pipeline::{Faces, Session};
/// use unmask_core::weights::SafetensorsFile;
///
/// let bytes = std::fs::read("../models/unmask-lite.safetensors").unwrap();
/// let file = SafetensorsFile::open(bytes.as_slice()).unwrap();
/// let spec = DetectorSpec::from_json(file.metadata(SPEC_KEY).unwrap()).unwrap();
///
/// let mut session = Session::new(&spec, Faces::Largest);
/// // Frames and the faces that a `FaceFinder` finds in them, here made up.
/// let frame = RgbImage::new(320, 240, vec![128; 320 * 240 * 3]).unwrap();
/// let face = Face {
///     bounds: Rect { x: 100.0, y: 60.0, width: 100.0, height: 120.0 },
///     landmarks: [[130.0, 105.0], [170.0, 105.0], [150.0, 130.0], [135.0, 150.0], [165.0, 150.0]],
///     confidence: 0.99,
/// };
/// for index in 0..6 {
///     session.push(f64::from(index) / 25.0, &frame, &[face]);
/// }
/// session.seal();
/// while let Some(batch) = session.next_batch(4) {
///     // The probabilities that a `Detector` makes of `batch.crops`, here made up.
///     let scores = Scores { fake: vec![0.75; batch.views().count()], ..Scores::default() };
///     session.accept(&batch, &scores).unwrap();
/// }
/// let video = VideoSummary {
///     kind: InputKind::Video,
///     width: 320,
///     height: 240,
///     fps: Some(25.0),
///     duration_s: Some(0.24),
///     frames_sampled: 6,
///     frame_count: None,
/// };
/// let model = ModelInfo::new(&spec, "its file's SHA-256".to_string());
/// let report = session.finish("clip.mp4".to_string(), &spec, model, video, Timing::default()).unwrap();
/// assert_eq!((report.score, report.tracks[0].frames), (Some(0.75), 6));
/// // A plain grey has no edges, so this face is too blurred to judge.
/// assert_eq!(report.verdict.words(), "uncertain");
/// ```
pub struct Session {
    detector: String,
    says_uncertainty: bool,
    clip_length: usize,
    people: People,
    frames: Vec<FrameReport>,
    qualities: Vec<Quality>,
    /// Clips that were handed out and have no score yet.
    awaited: BTreeSet<ClipIndex>,
    scores: BTreeMap<ClipIndex, f32>,
    /// Of detectors that say it.
    uncertainties: BTreeMap<ClipIndex, f32>,
    caveats: Vec<Caveat>,
    /// Why there will be no report.
    failure: Option<SessionError>,
}

impl Session {
    /// A session for a detector that crops, and sees as many frames together, as `spec` says.
    pub fn new(spec: &DetectorSpec, faces: Faces) -> Self {
        let clip_length = spec.clip_length().max(1);
        Self {
            detector: spec.name.clone(),
            says_uncertainty: spec.architecture.sizes().says_uncertainty(),
            clip_length,
            people: People::new(faces, spec.crop, clip_length),
            frames: Vec::new(),
            qualities: Vec::new(),
            awaited: BTreeSet::new(),
            scores: BTreeMap::new(),
            uncertainties: BTreeMap::new(),
            caveats: Vec::new(),
            failure: None,
        }
    }

    /// Takes the next frame in order of time, and the faces found in it. A face whose landmarks give no crop (all
    /// points in one place) is passed over.
    pub fn push(&mut self, time_s: f64, image: &RgbImage, faces: &[Face]) {
        let sightings = self.people.push(time_s, image, faces);
        let mut reports = Vec::with_capacity(sightings.len());
        for sighting in sightings {
            let (track, Face { bounds, landmarks, confidence }) = (sighting.track, sighting.face);
            if let Some(crop) = sighting.quality {
                let (eye_distance, roll_degrees) = (eye_distance(&landmarks), roll_degrees(&landmarks));
                let is_outshone = sighting.is_outshone;
                self.qualities.push(Quality { track, eye_distance, roll_degrees, crop, is_outshone });
            }
            let bounds = [bounds.x, bounds.y, bounds.width, bounds.height];
            reports.push(FaceReport { track, bounds, landmarks, confidence, score: None, uncertainty: None });
        }
        self.frames.push(FrameReport { time_s, faces: reports, left_out: None });
    }

    /// Notes what weakens the answer and is not seen in frames. Of two with one code the first counts.
    pub fn note(&mut self, caveat: impl Into<Caveat>) {
        self.caveats.push(caveat.into());
    }

    /// Ends the frames: decides whose faces count, and lets the others go.
    pub fn seal(&mut self) {
        self.people.seal();
    }

    /// Clips of up to `size` crops, and at least one clip, that need a score: only full batches until [`Session::seal`],
    /// then whatever is left.
    pub fn next_batch(&mut self, size: usize) -> Option<Batch> {
        let most = (size / self.clip_length).max(1);
        let ready = self.people.ready();
        if ready == 0 || size == 0 || (ready < most && self.people.counted().is_none()) {
            return None;
        }
        let clips = self.people.take(most);
        self.awaited.extend(clips.iter().map(|clip| (clip.track, clip.index)));
        Some(Batch::new(clips, self.clip_length))
    }

    /// Takes the scores of a batch, one a clip, in its order. Every frame of a clip has its clip's score.
    ///
    /// # Errors
    /// [`SessionError::ScoreCount`], [`SessionError::NotAScore`], [`SessionError::NotAnUncertainty`] or
    /// [`SessionError::NoUncertainty`], and [`SessionError::NotAwaited`] for a batch that has its scores or is another session's. None of the scores is taken then, and [`Session::finish`] gives the same error.
    pub fn accept(&mut self, batch: &Batch, scores: &Scores) -> Result<(), SessionError> {
        if let Err(error) = self.check(batch, scores) {
            self.failure.get_or_insert(error.clone());
            return Err(error);
        }
        let uncertainties = scores.uncertainty.iter().copied().map(Some).chain(core::iter::repeat(None));
        for (((clip, faces), score), uncertainty) in batch.clips.iter().zip(&scores.fake).zip(uncertainties) {
            self.awaited.remove(clip);
            self.scores.insert(*clip, *score);
            self.uncertainties.extend(uncertainty.map(|uncertainty| (*clip, uncertainty)));
            for FaceIndex { frame, face } in faces {
                let face = &mut self.frames[*frame].faces[*face];
                (face.score, face.uncertainty) = (Some(*score), uncertainty);
            }
        }
        Ok(())
    }

    /// Whether these are the scores of that batch.
    fn check(&self, batch: &Batch, Scores { fake, uncertainty }: &Scores) -> Result<(), SessionError> {
        let detector = || self.detector.clone();
        if !batch.clips.iter().all(|(clip, _)| self.awaited.contains(clip)) {
            return Err(SessionError::NotAwaited { detector: detector() });
        }
        let expected = batch.clips.len();
        let counts = [Some(fake.len()), Some(uncertainty.len()).filter(|count| *count > 0)];
        if let Some(found) = counts.into_iter().flatten().find(|count| *count != expected) {
            return Err(SessionError::ScoreCount { detector: detector(), expected, found });
        }
        if self.says_uncertainty && uncertainty.is_empty() && expected > 0 {
            return Err(SessionError::NoUncertainty { detector: detector() });
        }
        let outside = |values: &[f32]| values.iter().copied().find(|value| !(0.0..=1.0).contains(value));
        match (outside(fake), outside(uncertainty)) {
            (Some(score), _) => Err(SessionError::NotAScore { detector: detector(), score }),
            (None, Some(uncertainty)) => Err(SessionError::NotAnUncertainty { detector: detector(), uncertainty }),
            (None, None) => Ok(()),
        }
    }

    /// The report.
    ///
    /// # Errors
    /// The first error of [`Session::accept`], or [`SessionError::Unscored`] if a clip that counts has no score.
    pub fn finish(
        mut self,
        input: String,
        spec: &DetectorSpec,
        model: ModelInfo,
        video: VideoSummary,
        timing_s: Timing,
    ) -> Result<Report, SessionError> {
        if self.people.counted().is_none() {
            self.seal();
        }
        let counted = self.people.counted().unwrap_or_default().to_vec();
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let awaited = self.awaited.iter().filter(|(track, _)| counted.binary_search(track).is_ok()).count();
        let missing = awaited + self.people.ready();
        if missing > 0 {
            return Err(SessionError::Unscored { detector: self.detector, missing });
        }
        self.forget_scores_of_others(&counted);
        let still = video.kind == InputKind::Still;
        let mut tracks = self.track_reports();
        let qualities = track_qualities(&self.qualities, tracks.len());
        for (track, quality) in tracks.iter_mut().zip(&qualities) {
            let counts = counted.binary_search(&track.id).is_ok();
            track.left_out = if counts { quality.left_out(still) } else { Some(Unused::OtherPerson) };
        }
        self.frames.iter_mut().for_each(|frame| frame.left_out = left_out(frame, &tracks));
        let evidence = |id: &usize| {
            let TrackReport { score, uncertainty, .. } = tracks[*id];
            Some(Evidence { score: score?, uncertainty, quality: qualities[*id] })
        };
        let evidence: Vec<Evidence> = counted.iter().filter_map(evidence).collect();
        let mut caveats = core::mem::take(&mut self.caveats);
        // A folder of numbered pictures may be of many people, each of whom is seen once.
        let briefly_counts = still || video.kind == InputKind::Frames;
        caveats.extend(seen_caveats(&qualities, &counted, briefly_counts).into_iter().map(Caveat::from));
        caveats.extend(self.people.is_crowded().then_some(Caveat::from(CaveatCode::Crowd)));
        caveats.extend(detector_caveat(&model));
        let judgement = judge(&evidence, &spec.calibration, spec.training.status, self.frames.len(), still);
        let may_be_part = judgement.verdict != Verdict::LikelyFake && model.reliability.grade == Grade::Calibrated;
        let length = MIN_FRAMES.max(self.clip_length);
        let mut judged = counted.iter().filter(|id| qualities[**id].weakness(still).is_none());
        if may_be_part && judged.any(|id| self.has_stretch(*id, length, spec.calibration.fake_above)) {
            caveats.push(CaveatCode::PartLikelyFake.into());
        }
        caveats.sort_by_key(|caveat| caveat.code);
        caveats.dedup_by_key(|caveat| caveat.code);
        let judged = tracks.iter().filter(|track| track.left_out.is_none()).count();
        let strength = Strength::of(judgement.verdict, model.measured.as_ref(), video.kind, judged);
        Ok(Report {
            version: REPORT_VERSION,
            input,
            verdict: judgement.verdict,
            score: judgement.score,
            uncertainty: judgement.uncertainty,
            reason: judgement.reason,
            strength,
            caveats,
            opinions: Vec::new(),
            model,
            video: VideoSummary { frames_sampled: self.frames.len(), ..video },
            tracks,
            frames: self.frames,
            timing_s,
        })
    }

    /// How many frames were pushed.
    pub fn frame_count(&self) -> usize {
        self.frames.len()
    }

    /// Faces scored ahead whose track does not count: a report shows scores for what was asked only.
    fn forget_scores_of_others(&mut self, counted: &[usize]) {
        self.scores.retain(|(track, _), _| counted.binary_search(track).is_ok());
        self.uncertainties.retain(|(track, _), _| counted.binary_search(track).is_ok());
        for face in self.frames.iter_mut().flat_map(|frame| &mut frame.faces) {
            if counted.binary_search(&face.track).is_err() {
                (face.score, face.uncertainty) = (None, None);
            }
        }
    }

    /// Whether so many of a track's scored faces in a row are at or above `threshold`.
    fn has_stretch(&self, track: usize, length: usize, threshold: f32) -> bool {
        let faces = self.frames.iter().flat_map(|frame| &frame.faces).filter(|face| face.track == track);
        let scores: Vec<f32> = faces.filter_map(|face| face.score).collect();
        scores.windows(length).any(|scores| scores.iter().all(|score| *score >= threshold))
    }

    fn track_reports(&self) -> Vec<TrackReport> {
        let mut reports: Vec<TrackReport> = Vec::new();
        for face in self.frames.iter().flat_map(|frame| &frame.faces) {
            while reports.len() <= face.track {
                let id = reports.len();
                reports.push(TrackReport { id, score: None, uncertainty: None, frames: 0, left_out: None });
            }
            reports[face.track].frames += 1;
        }
        for report in &mut reports {
            report.score = mean_of(&self.scores, report.id);
            report.uncertainty = mean_of(&self.uncertainties, report.id);
        }
        reports
    }
}

/// Why nobody in a frame has a part in the verdict, if so: of whoever comes nearest to one.
fn left_out(frame: &FrameReport, tracks: &[TrackReport]) -> Option<Unused> {
    let of_faces = frame.faces.iter().filter_map(|face| tracks.get(face.track)).map(|track| track.left_out);
    let mut nearest = Unused::NoFace;
    for reason in of_faces {
        match reason? {
            Unused::NoFace => {}
            Unused::OtherPerson if nearest != Unused::NoFace => {}
            reason if matches!(nearest, Unused::NoFace | Unused::OtherPerson) => nearest = reason,
            _ => {}
        }
    }
    Some(nearest)
}

/// The mean over the clips of a track.
fn mean_of(clips: &BTreeMap<ClipIndex, f32>, track: usize) -> Option<f32> {
    let clips = clips.range((track, 0)..(track + 1, 0)).map(|(_, value)| f64::from(*value));
    aggregate::mean_score(clips).map(|mean| mean as f32)
}

/// How good the faces of each track are.
fn track_qualities(qualities: &[Quality], tracks: usize) -> Vec<TrackQuality> {
    let mut of_tracks: Vec<Vec<&Quality>> = alloc::vec![Vec::new(); tracks];
    qualities.iter().for_each(|quality| of_tracks[quality.track].push(quality));
    of_tracks.iter().map(|faces| TrackQuality::new(faces)).collect()
}

/// What is seen in the frames and weakens the answer.
fn seen_caveats(qualities: &[TrackQuality], counted: &[usize], briefly_counts: bool) -> Vec<CaveatCode> {
    let counts = |id: &usize| counted.binary_search(id).is_ok();
    let scored = || counted.iter().map(|id| &qualities[*id]);
    let has_others = (0..qualities.len()).any(|id| !counts(&id) && qualities[id].weakness(briefly_counts).is_none());
    let found = [
        (CaveatCode::Turned, scored().any(TrackQuality::is_turned)),
        (CaveatCode::Dark, scored().any(TrackQuality::is_dark)),
        (CaveatCode::Upscaled, scored().any(TrackQuality::is_upscaled)),
        (CaveatCode::OthersNotScored, has_others),
    ];
    found.into_iter().filter(|(_, is_so)| *is_so).map(|(code, _)| code).collect()
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
