//! The frames of a scored input once more, each with the maps of its faces.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, bail};
use unmask_core::detector::Detector;
use unmask_core::detector::explain::{self, EvidenceMap};
use unmask_core::face::Landmarks;
use unmask_core::face::crop::crop;
use unmask_core::image::RgbImage;
use unmask_core::pipeline::aggregate;
use unmask_core::pipeline::report::{FaceReport, Report};

use crate::media::{self, Input, OpenOptions, TimedFrame};

/// A frame with the faces in it that have scores.
#[derive(Clone, Debug)]
pub struct ExplainedFrame {
    /// Counted over the frames that were looked at.
    pub index: usize,
    /// When it is shown, in seconds.
    pub time_s: f64,
    /// It itself.
    pub image: RgbImage,
    /// Its faces.
    pub faces: Vec<ExplainedFace>,
}

/// A scored face and what its score came from.
#[derive(Clone, Debug)]
pub struct ExplainedFace {
    /// Whose it is.
    pub track: usize,
    /// P(fake) in the report; of its clip, for a detector of clips.
    pub score: f32,
    /// Left, top, width and height in pixels of the frame.
    pub bounds: [f32; 4],
    /// Where its crop was cut by.
    pub landmarks: Landmarks,
    /// The aligned crop, as the detector saw it.
    pub crop: RgbImage,
    /// What in the crop speaks for either class.
    pub map: EvidenceMap,
    /// The largest value of its clip's maps, of both classes, by which values can be compared; 0 where nothing speaks for any.
    pub largest: f32,
    /// The part of all that speaks for either class in its clip which is in this frame: 1 for a detector of single frames.
    pub share: f32,
}

/// A frame some of whose faces wait for the rest of their clip.
struct Waiting {
    frame: ExplainedFrame,
    missing: usize,
}

/// A face of a clip that is being gathered: the frame it is in and what the report says of it.
struct Gathered {
    index: usize,
    face: FaceReport,
    crop: RgbImage,
}

/// Decodes `input` again as `options` say and hands every frame of `report` to `take`, in order, with the maps of the faces that
/// have scores there.
///
/// # Errors
/// Those of decoding, of the detector and of `take`; and an input that is not the one that was scored.
pub fn for_each_frame(
    detector: &Detector,
    input: &Input,
    options: &OpenOptions,
    report: &Report,
    mut take: impl FnMut(ExplainedFrame) -> Result<()>,
) -> Result<()> {
    let changed = || format!("{} changed while it was looked at; explain it again", input.path().display());
    let mut walk = Walk { detector, waiting: VecDeque::new(), clips: BTreeMap::new() };
    let opened = media::open(input, options)?;
    let mut count = 0;
    for (index, frame) in opened.frames.enumerate() {
        let frame = frame?;
        let Some(reported) = report.frames.get(index).filter(|reported| reported.time_s == frame.time_s) else {
            bail!(changed());
        };
        walk.push(index, frame, &reported.faces)?;
        walk.hand_out(&mut take)?;
        count += 1;
    }
    if count != report.frames.len() {
        bail!(changed());
    }
    walk.finish()?;
    walk.hand_out(&mut take)
}

struct Walk<'a> {
    detector: &'a Detector,
    waiting: VecDeque<Waiting>,
    /// By track.
    clips: BTreeMap<usize, Vec<Gathered>>,
}

impl Walk<'_> {
    fn push(&mut self, index: usize, frame: TimedFrame, faces: &[FaceReport]) -> Result<()> {
        let TimedFrame { time_s, image } = frame;
        let mut missing = 0;
        let mut full = Vec::new();
        for face in faces.iter().filter(|face| face.score.is_some()) {
            // A face with a score has been cut out by the same points.
            let Some(crop) = crop(&image, &face.landmarks, &self.detector.spec().crop) else { continue };
            let clip = self.clips.entry(face.track).or_default();
            clip.push(Gathered { index, face: face.clone(), crop });
            missing += 1;
            if clip.len() == self.detector.spec().clip_length().max(1) {
                full.push(face.track);
            }
        }
        self.waiting.push_back(Waiting { frame: ExplainedFrame { index, time_s, image, faces: Vec::new() }, missing });
        full.into_iter().try_for_each(|track| self.explain(track))
    }

    /// Explains the clips that are gathered, whatever their length.
    fn finish(&mut self) -> Result<()> {
        let tracks: Vec<usize> = self.clips.keys().copied().collect();
        tracks.into_iter().try_for_each(|track| self.explain(track))
    }

    fn explain(&mut self, track: usize) -> Result<()> {
        let gathered = self.clips.remove(&track).unwrap_or_default();
        let mut crops: Vec<RgbImage> = gathered.iter().map(|face| face.crop.clone()).collect();
        aggregate::complete(&mut crops, self.detector.spec().clip_length().max(1));
        let Some(explanation) = explain::explain(self.detector, &crops)?.into_iter().next() else { return Ok(()) };
        let maps = explanation.maps;
        let largest = explain::largest(&maps);
        let sum: f32 = maps.iter().flat_map(|map| map.fake.iter().chain(&map.real)).sum();
        for (Gathered { index, face, crop }, map) in gathered.into_iter().zip(maps.iter()) {
            let own: f32 = map.fake.iter().chain(&map.real).sum();
            let share = if sum > 0.0 { own / sum } else { 1.0 / maps.len().max(1) as f32 };
            let FaceReport { score, bounds, landmarks, .. } = face;
            let score = score.unwrap_or(explanation.score);
            let map = map.clone();
            let explained = ExplainedFace { track, score, bounds, landmarks, crop, map, largest, share };
            if let Some(waiting) = self.waiting.iter_mut().find(|waiting| waiting.frame.index == index) {
                waiting.frame.faces.push(explained);
                waiting.missing -= 1;
            }
        }
        Ok(())
    }

    /// Hands out the frames at the front whose faces are explained.
    fn hand_out(&mut self, take: &mut impl FnMut(ExplainedFrame) -> Result<()>) -> Result<()> {
        while self.waiting.front().is_some_and(|waiting| waiting.missing == 0)
            && let Some(Waiting { frame, .. }) = self.waiting.pop_front()
        {
            take(frame)?;
        }
        Ok(())
    }
}
