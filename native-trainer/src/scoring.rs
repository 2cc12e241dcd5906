//! From an input to its report: frames, faces, crops and scores, with decoding and finding faces ahead of scoring.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use burn::prelude::*;
use unmask_core::detector::Detector;
use unmask_core::detector::spec::DetectorSpec;
use unmask_core::face::finder::{FaceFinder, FindOptions};
use unmask_core::pipeline::report::{ModelInfo, Report, Timing, VideoSummary};
use unmask_core::pipeline::{Caveat, Faces, Session, join};

use crate::ahead::{for_each_in_order, on_all_cores, timed};
use crate::detector_file::Loaded;
use crate::media::{self, Damage, Input, MediaError, OpenOptions, TimedFrame};
use crate::predict::values;
use crate::report::Pictures;

/// The face finder's weights, part of the program.
const FACE_WEIGHTS: &[u8] = include_bytes!("../../models/centerface.safetensors");
/// The weights of the network that corrects its landmarks, part of the program.
const REFINER_WEIGHTS: &[u8] = include_bytes!("../../models/landmark_refiner.safetensors");

/// Crops that go through the model together: enough to fill the cores, few enough for memory.
const BATCH: usize = 8;

/// Everything that scores one input after another: decoding and finding faces once, whatever the number of detectors.
pub struct Scorer {
    /// The detector whose scores the report's tracks and frames have.
    first: Loaded,
    /// Those that give a second opinion.
    others: Vec<Loaded>,
    finder: FaceFinder,
    options: ScoreOptions,
}

/// What the user chose.
#[derive(Clone, Copy, Debug)]
pub struct ScoreOptions {
    /// Frames of a video; the detector's own number if `None`, of several detectors the largest.
    pub frames: Option<usize>,
    /// Whose faces.
    pub faces: Faces,
    /// What to do with damaged videos.
    pub damage: Damage,
}

/// The face finder that comes with the program, on the CPU: its many small steps gain nothing from a GPU.
pub fn face_finder() -> Result<FaceFinder> {
    FaceFinder::from_safetensors(FACE_WEIGHTS, REFINER_WEIGHTS, &Device::flex()).map_err(|error| anyhow!("{error}"))
}

impl Scorer {
    /// A scorer with a detector, and with others for a second opinion.
    pub fn new(first: Loaded, others: Vec<Loaded>, finder: FaceFinder, options: ScoreOptions) -> Self {
        Self { first, others, finder, options }
    }

    fn detectors(&self) -> impl Iterator<Item = &Loaded> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// How many frames of a video are looked at.
    pub fn frames(&self) -> usize {
        let own = self.detectors().map(|loaded| loaded.detector.spec().sampling.frames).max();
        self.options.frames.or(own).unwrap_or_default()
    }

    /// The first detector.
    pub fn detector(&self) -> &Detector {
        &self.first.detector
    }

    /// How inputs are opened.
    pub fn open_options(&self) -> OpenOptions {
        OpenOptions { frames: self.frames(), damage: self.options.damage }
    }

    /// What the first detector's file says about it.
    pub fn spec(&self) -> &DetectorSpec {
        self.first.detector.spec()
    }

    /// What the detectors' files say about them, the first one's first.
    pub fn specs(&self) -> Vec<&DetectorSpec> {
        self.detectors().map(|loaded| loaded.detector.spec()).collect()
    }

    /// What reports say of the detectors, the first one's first.
    ///
    /// # Errors
    /// A detector's file could not be read to its end.
    pub fn models(&self) -> Result<Vec<ModelInfo>> {
        self.detectors().map(|loaded| Ok(ModelInfo::new(loaded.detector.spec(), loaded.sha256()?))).collect()
    }

    /// Scores one input; `pictures` collects what a page shows of it, where one is wanted, with the scores of the first detector,
    /// and `progress` is told after each step how many frames went through and how many there will be.
    pub fn score(
        &self,
        input: &Input,
        pictures: Option<&mut Pictures>,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Report> {
        self.score_while(input, pictures, |done, expected| {
            progress(done, expected);
            true
        })
    }

    /// As [`Self::score`], where report and errors call the input by `name`: a copy is not to be named by the place where it
    /// lies. Ends with an error as soon as `progress` says that nobody wants to go on.
    ///
    /// # Errors
    /// The input cannot be read, or `progress` gave `false`.
    pub fn score_as(
        &self,
        input: &Input,
        name: &str,
        pictures: Option<&mut Pictures>,
        progress: impl FnMut(usize, usize) -> bool,
    ) -> Result<Report> {
        let named = |error: anyhow::Error| match error.downcast::<MediaError>() {
            Ok(error) if input.path() != Path::new(name) => error.about(Path::new(name)).into(),
            Ok(error) => error.into(),
            Err(error) => error,
        };
        let report = self.score_while(input, pictures, progress).map_err(named)?;
        Ok(Report { input: name.to_owned(), ..report })
    }

    fn score_while(
        &self,
        input: &Input,
        mut pictures: Option<&mut Pictures>,
        mut progress: impl FnMut(usize, usize) -> bool,
    ) -> Result<Report> {
        let start = Instant::now();
        let opened = media::open(input, &self.open_options())?;
        let expected = opened.info.frame_count.map_or(self.frames(), |count| self.frames().min(count as usize));
        let mut sittings: Vec<Sitting> =
            self.detectors().map(|loaded| Sitting::new(loaded, self.options.faces)).collect();
        note(&mut sittings, &opened.info.caveats);
        let mut looked_at = 0;
        let mut stages = Stages::default();
        let mut frames = opened.frames;
        let options = FindOptions::default();
        let find = |frame: &TimedFrame| self.finder.find(&frame.image, &options);
        let waits = for_each_in_order(frames.by_ref(), find, |frame, faces| {
            self.on_its_cores(|| {
                if let Some(pictures) = &mut pictures {
                    pictures.frame(&frame.image);
                }
                let push = |sitting: &mut Sitting| sitting.session.push(frame.time_s, &frame.image, &faces);
                timed(&mut stages.detect, || sittings.iter_mut().for_each(push));
                timed(&mut stages.score, || score_ready(&mut sittings, pictures.as_deref_mut()))
            })
            .map_err(|error| naming(input, &error))?;
            looked_at += 1;
            match progress(looked_at, expected) {
                true => Ok(()),
                false => Err(anyhow!("{}: scoring was stopped; ask for it again", input.path().display())),
            }
        })?;
        stages.decode += waits.items;
        stages.detect += waits.work;
        note(&mut sittings, &frames.caveats());
        sittings.iter_mut().for_each(|sitting| sitting.session.seal());
        let scored = self.on_its_cores(|| timed(&mut stages.score, || score_ready(&mut sittings, pictures)));
        scored.map_err(|error| naming(input, &error))?;
        let video = VideoSummary {
            kind: opened.info.kind,
            width: opened.info.width,
            height: opened.info.height,
            fps: opened.info.fps,
            duration_s: opened.info.duration_s,
            frames_sampled: looked_at,
            frame_count: opened.info.frame_count,
        };
        let name = input.path().display().to_string();
        let timing = stages.timing(start.elapsed());
        let report = |sitting: Sitting| sitting.finish(name.clone(), video.clone(), timing);
        let reports: Result<Vec<Report>> = sittings.into_iter().map(report).collect();
        let mut reports = reports.map_err(|error| naming(input, &error))?;
        let first = reports.remove(0);
        Ok(join(first, &reports))
    }

    /// Does `work` on the CPU's cores in their turn where the detectors are there; on this thread where they are on a GPU,
    /// which may keep memory for each thread that calls it.
    fn on_its_cores<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if *self.first.detector.device() == Device::flex() { on_all_cores(work) } else { work() }
    }
}

/// One detector on one input: detectors crop faces in their own ways and see as many together as they need, so each has a
/// session of its own.
struct Sitting<'a> {
    loaded: &'a Loaded,
    session: Session,
}

impl<'a> Sitting<'a> {
    fn new(loaded: &'a Loaded, faces: Faces) -> Self {
        Self { loaded, session: Session::new(loaded.detector.spec(), faces) }
    }

    /// Scores whatever is ready.
    fn score_ready(&mut self, mut pictures: Option<&mut Pictures>) -> Result<()> {
        while let Some(batch) = self.session.next_batch(BATCH) {
            let answers = values(self.loaded.detector.answers(&batch.crops))?;
            let scores = self.loaded.detector.scores(&answers);
            self.session.accept(&batch, &scores)?;
            if let Some(pictures) = &mut pictures {
                batch.views().zip(&scores.fake).for_each(|(view, score)| pictures.face(&view, *score));
            }
        }
        Ok(())
    }

    /// What this detector alone reports.
    fn finish(self, input: String, video: VideoSummary, timing: Timing) -> Result<Report> {
        let spec = self.loaded.detector.spec();
        let model = ModelInfo::new(spec, self.loaded.sha256()?);
        Ok(self.session.finish(input, spec, model, video, timing)?)
    }
}

/// Has every detector score what is ready. The pictures are the first one's.
fn score_ready(sittings: &mut [Sitting], mut pictures: Option<&mut Pictures>) -> Result<()> {
    for sitting in sittings {
        sitting.score_ready(pictures.take())?;
    }
    Ok(())
}

/// Notes in every session what weakens the answer.
fn note(sittings: &mut [Sitting], caveats: &[Caveat]) {
    for sitting in sittings {
        caveats.iter().for_each(|caveat| sitting.session.note(caveat.clone()));
    }
}

/// An error of a detector with the input's name in front.
fn naming(input: &Input, error: &anyhow::Error) -> anyhow::Error {
    anyhow!("{}: {error}", input.path().display())
}

/// Time that a report waited for each stage; what is done beside another stage costs nothing.
#[derive(Default)]
struct Stages {
    decode: Duration,
    detect: Duration,
    score: Duration,
}

impl Stages {
    fn timing(&self, total: Duration) -> Timing {
        let seconds = |duration: Duration| (duration.as_secs_f64() * 1000.0).round() / 1000.0;
        Timing {
            decode: seconds(self.decode),
            detect: seconds(self.detect),
            score: seconds(self.score),
            total: seconds(total),
        }
    }
}
