//! From an input to its report: frames, faces, crops and scores, with decoding ahead of scoring.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use burn::prelude::*;
use rayon::prelude::*;
use unmask_core::detector::spec::DetectorSpec;
use unmask_core::face::Face;
use unmask_core::face::finder::{FaceFinder, FindOptions};
use unmask_core::pipeline::report::{ModelInfo, Report, Timing, VideoSummary};
use unmask_core::pipeline::{Faces, Session, SessionError};

use crate::detector_file::Loaded;
use crate::media::{self, Damage, Input, OpenOptions, TimedFrame};
use crate::report::Pictures;

/// The face finder's weights, part of the program.
const FACE_WEIGHTS: &[u8] = include_bytes!("../../models/centerface.safetensors");
/// The weights of the network that corrects its landmarks, part of the program.
const REFINER_WEIGHTS: &[u8] = include_bytes!("../../models/landmark_refiner.safetensors");

/// Crops that go through the model together: enough to fill the cores, few enough for memory.
const BATCH: usize = 8;

/// Everything that scores one input after another.
pub(crate) struct Scorer {
    loaded: Loaded,
    finder: FaceFinder,
    options: ScoreOptions,
}

/// What the user chose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScoreOptions {
    /// Frames of a video; the detector's own number if `None`.
    pub(crate) frames: Option<usize>,
    /// Whose faces.
    pub(crate) faces: Faces,
    /// What to do with damaged videos.
    pub(crate) damage: Damage,
}

/// The face finder that comes with the program, on the CPU: its many small steps gain nothing from a GPU.
pub(crate) fn face_finder() -> Result<FaceFinder> {
    FaceFinder::from_safetensors(FACE_WEIGHTS, REFINER_WEIGHTS, &Device::flex()).map_err(|error| anyhow!("{error}"))
}

impl Scorer {
    /// A scorer with a loaded detector.
    pub(crate) fn new(loaded: Loaded, options: ScoreOptions) -> Result<Self> {
        Ok(Self { loaded, finder: face_finder()?, options })
    }

    /// How many frames of a video are looked at.
    pub(crate) fn frames(&self) -> usize {
        self.options.frames.unwrap_or(self.loaded.detector.spec().sampling.frames)
    }

    /// What the detector's file says about it.
    pub(crate) fn spec(&self) -> &DetectorSpec {
        self.loaded.detector.spec()
    }

    /// Scores one input; `pictures` collects what a page shows of it, where one is wanted, and `progress` is told after each step how many frames went through and how many there will be.
    pub(crate) fn score(
        &self,
        input: &Input,
        mut pictures: Option<&mut Pictures>,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Report> {
        let start = Instant::now();
        let spec = self.spec();
        let opened = media::open(input, &OpenOptions { frames: self.frames(), damage: self.options.damage })?;
        let expected = opened.info.frame_count.map_or(self.frames(), |count| self.frames().min(count as usize));
        let mut session = Session::new(spec, self.options.faces);
        opened.info.caveats.iter().for_each(|caveat| session.note(caveat.clone()));
        let mut stages = Stages::default();
        let mut frames = opened.frames;
        loop {
            let waiting = Instant::now();
            let group: Vec<TimedFrame> =
                frames.by_ref().take(rayon::current_num_threads()).collect::<Result<_, _>>()?;
            stages.decode += waiting.elapsed();
            if group.is_empty() {
                break;
            }
            if let Some(pictures) = &mut pictures {
                group.iter().for_each(|frame| pictures.frame(&frame.image));
            }
            let (found, took) = self.find_faces(&group);
            stages.detect += took;
            for (frame, faces) in group.iter().zip(&found) {
                stages.detect += timed(|| session.push(frame.time_s, &frame.image, faces));
                stages.score += self.score_batches(input, &mut session, pictures.as_deref_mut())?;
            }
            progress(session.frame_count(), expected);
        }
        frames.caveats().into_iter().for_each(|caveat| session.note(caveat));
        session.seal();
        stages.score += self.score_batches(input, &mut session, pictures)?;
        let model = ModelInfo::new(spec, self.loaded.sha256.clone());
        let video = VideoSummary {
            kind: opened.info.kind,
            width: opened.info.width,
            height: opened.info.height,
            fps: opened.info.fps,
            duration_s: opened.info.duration_s,
            frames_sampled: session.frame_count(),
        };
        let name = input.path().display().to_string();
        session.finish(name, spec, model, video, stages.timing(start.elapsed())).map_err(|error| naming(input, &error))
    }

    /// Finds the faces of a few frames at once, one frame a core; says how long it took.
    fn find_faces(&self, group: &[TimedFrame]) -> (Vec<Vec<Face>>, Duration) {
        let start = Instant::now();
        let options = FindOptions::default();
        let found = group.par_iter().map(|frame| self.finder.find(&frame.image, &options)).collect();
        (found, start.elapsed())
    }

    /// Scores whatever is ready.
    fn score_batches(
        &self,
        input: &Input,
        session: &mut Session,
        mut pictures: Option<&mut Pictures>,
    ) -> Result<Duration> {
        let start = Instant::now();
        while let Some(batch) = session.next_batch(BATCH) {
            let logits = self.loaded.detector.logits(&batch.crops).into_data().try_into_vec::<f32>();
            let logits = logits.map_err(|error| anyhow!("the scores could not be read back: {error:?}"))?;
            let scores = self.loaded.detector.probabilities(&logits);
            session.accept(&batch, &scores).map_err(|error| naming(input, &error))?;
            if let Some(pictures) = &mut pictures {
                batch.views().zip(&scores).for_each(|(view, score)| pictures.face(&view, *score));
            }
        }
        Ok(start.elapsed())
    }
}

/// An error of a session with the input's name in front.
fn naming(input: &Input, error: &SessionError) -> anyhow::Error {
    anyhow!("{}: {error}", input.path().display())
}

/// How long `work` takes.
fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Time spent in each stage.
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
