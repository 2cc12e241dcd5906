//! One run of ffmpeg: the selected frames of one segment, with their times and the signs of damage.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};

use rayon::prelude::*;
use unmask_core::image::{RgbImage, ToneMap};
use unmask_core::pipeline::CaveatCode;

use super::children::Children;
use super::command::{self, Pixels, Seek};
use super::error::{MediaError, check_size};
use super::messages::{self, Announcement, Judge, Message};
use super::notes::Notes;
use super::plan::{Plan, Segment, Selection};
use super::probe::VideoInfo;
use super::programs::{Program, Programs};
use super::{Damage, TimedFrame};

/// Errors between two frames after which no further frame is waited for: some decoders try a picture that is cut off again
/// and again.
const MOST_ERRORS_OF_PICTURE: usize = 1000;
const MOST_ERRORS: usize = 1_000_000;

/// All that the runs of one video share.
#[derive(Debug)]
pub(super) struct Job {
    /// Which ffmpeg.
    pub(super) programs: Programs,
    /// The file.
    pub(super) path: PathBuf,
    /// What it is.
    pub(super) info: VideoInfo,
    /// What to run.
    pub(super) plan: Plan,
    /// What to do about damage.
    pub(super) damage: Damage,
    /// The children.
    pub(super) children: Children,
    /// What weakens an answer, for whoever takes the frames.
    pub(super) notes: Notes,
    /// Maps what is no standard range.
    pub(super) tone: Option<ToneMap>,
    /// The sizes of a frame, as it is coded and as it is shown, which all have unless sizes change.
    pub(super) sizes: OnceLock<Sizes>,
    /// The first attempt at seeking, as an index into [`command::seeks`], that was good enough so far.
    pub(super) attempt: AtomicUsize,
}

/// How a run ended.
enum Outcome {
    /// All there was to give was given.
    Complete,
    /// The seek landed too late, or amid damage: nothing was given, and a longer run-up may do better.
    TryEarlier,
}

/// Whether a segment was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// It was.
    Done,
    /// No seek led to its key frame, and nothing was given: it must be read from the start.
    CannotSeek,
}

/// Whether the receiver of a frame wants more.
type Sink<'a> = dyn FnMut(TimedFrame) -> bool + 'a;

/// Width and height of a frame as it is coded, where that is announced, and as it is shown.
pub(super) type Sizes = (Option<(usize, usize)>, (usize, usize));

impl Job {
    /// Decodes `segment` on `worker` and hands its frames to `sink`, in order, until that wants no more.
    pub(super) fn decode(&self, worker: usize, segment: &Segment, sink: &mut Sink<'_>) -> Result<Decoded, MediaError> {
        if segment.key_s.is_none() {
            Run::start(self, worker, segment, None)?.finish(sink)?;
            return Ok(Decoded::Done);
        }
        let seeks = command::seeks(self, segment);
        let first = self.attempt.load(Ordering::Relaxed);
        for (attempt, seek) in seeks.into_iter().enumerate().skip(first) {
            match Run::start(self, worker, segment, Some(seek))?.finish(sink)? {
                Outcome::Complete => return Ok(Decoded::Done),
                Outcome::TryEarlier => self.attempt.fetch_max(attempt + 1, Ordering::Relaxed),
            };
        }
        Ok(Decoded::CannotSeek)
    }

    /// The stream's own time stamp for a frame's time, in seconds.
    pub(super) fn stamp_s(&self, time_s: f64) -> f64 {
        time_s + self.plan.delay_s + self.plan.zero_s
    }
}

/// A running ffmpeg and what it has given so far.
struct Run<'a> {
    job: &'a Job,
    worker: usize,
    segment: &'a Segment,
    seek: Option<Seek>,
    stdout: Option<ChildStdout>,
    messages: Receiver<Message>,
    /// The first sign of damage since they were last forgiven.
    sign: Option<String>,
    last_error: Option<String>,
    /// How many errors were heard since the last frame.
    errors: usize,
    last_time_s: Option<f64>,
    given: usize,
}

impl<'a> Run<'a> {
    fn start(job: &'a Job, worker: usize, segment: &'a Segment, seek: Option<Seek>) -> Result<Self, MediaError> {
        let mut command = command::command(job, segment, seek);
        let outputs = job.children.start(worker, &mut command);
        let outputs = outputs.map_err(|error| job.programs.not_started(Program::Ffmpeg, &job.path, error))?;
        let (sender, messages) = mpsc::channel();
        let judge = Judge::of(&job.info.codec);
        let stdout = outputs.map(|(stdout, stderr)| {
            // The thread ends with the child. Nobody listening any more is no reason to stop reading.
            std::thread::spawn(move || messages::drain(stderr, judge, |message| drop(sender.send(message))));
            stdout
        });
        let (sign, last_error, errors, last_time_s, given) = (None, None, 0, None, 0);
        Ok(Self { job, worker, segment, seek, stdout, messages, sign, last_error, errors, last_time_s, given })
    }

    /// Reads frames to the end of the segment, and sees to it that the child has ended whatever comes of it.
    fn finish(mut self, sink: &mut Sink<'_>) -> Result<Outcome, MediaError> {
        let read = self.read(sink);
        let status = self.job.children.finish(self.worker, true);
        let crash = status.and_then(|status| self.job.programs.crash(Program::Ffmpeg, &self.job.path, status));
        // What was read before is whole, but of the rest nothing is known.
        crash.map_or(read, Err)
    }

    fn read(&mut self, sink: &mut Sink<'_>) -> Result<Outcome, MediaError> {
        let wanted = self.segment.selection.count();
        let mut awaiting_key = self.seek.is_some();
        while let Some((announced, image)) = self.next_frame()? {
            let stamp_s = announced.stamp_s;
            if self.seek.is_some() && self.given == 0 {
                match self.judge_key_frame(stamp_s, std::mem::take(&mut awaiting_key)) {
                    KeyFrame::RunUp => continue,
                    KeyFrame::Wanted => {}
                    KeyFrame::TryEarlier => return Ok(Outcome::TryEarlier),
                }
            } else if self.given == 0 && !self.job.plan.starts_clean {
                self.sign = None;
            }
            self.last_time_s = Some(self.time_s(stamp_s));
            self.refuse_damage(true)?;
            // Pixels that become wider or taller change the shown size alone, others that are brought to it the coded one alone.
            let sizes = (announced.coded, (announced.width, announced.height));
            if *self.job.sizes.get_or_init(|| sizes) != sizes {
                self.job.notes.note(CaveatCode::SizeChanges);
            }
            if announced.interlaced {
                self.job.notes.note(CaveatCode::Interlaced);
            }
            let frame = TimedFrame { time_s: self.time_s(stamp_s), image };
            self.given += 1;
            if !sink(frame) || (self.given == wanted && !self.segment.to_end) {
                return Ok(Outcome::Complete);
            }
        }
        self.end(wanted)
    }

    /// The next frame; none at the end. ffmpeg announces each before its pixels. A frame cut off is the end, too: its
    /// loss shows in the count.
    fn next_frame(&mut self) -> Result<Option<(Announcement, RgbImage)>, MediaError> {
        loop {
            match self.messages.recv() {
                Ok(Message::Frame(announced)) => {
                    self.errors = 0;
                    let image = self.read_image(announced.width, announced.height)?;
                    return Ok(image.map(|image| (announced, image)));
                }
                Ok(message) => {
                    self.hear(message);
                    self.refuse_endless_errors()?;
                }
                Err(_) => return Ok(None),
            }
        }
    }

    /// Ends a run that gives errors and nothing else.
    fn refuse_endless_errors(&mut self) -> Result<(), MediaError> {
        self.errors += 1;
        let most = if self.job.info.is_picture() { MOST_ERRORS_OF_PICTURE } else { MOST_ERRORS };
        if self.errors <= most {
            return Ok(());
        }
        let said = self.sign.as_ref().or(self.last_error.as_ref());
        Err(self.damaged(said.map_or("its decoder gives errors without end", |said| said), false))
    }

    fn read_image(&mut self, width: usize, height: usize) -> Result<Option<RgbImage>, MediaError> {
        check_size(&self.job.path, width as u64, height as u64)?;
        let Some(stdout) = self.stdout.as_mut() else {
            return Ok(None);
        };
        let format = Pixels::of(self.job);
        let bytes = width * height * format.bytes();
        let mut pixels = Vec::with_capacity(bytes);
        let read = stdout.take(bytes as u64).read_to_end(&mut pixels);
        read.map_err(|error: io::Error| MediaError::io(&self.job.path, error))?;
        if pixels.len() < bytes {
            return Ok(None);
        }
        let image = match (&self.job.tone, format) {
            (Some(tone), _) => RgbImage::new(width, height, mapped(tone, &pixels, width)),
            (None, Pixels::Packed) => RgbImage::new(width, height, pixels),
            (None, _) => RgbImage::of_planes(width, height, &pixels),
        };
        Ok(image.map(|image| self.job.info.orientation.apply(image)))
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Frame(_) => {}
            Message::Damage(sign) if self.job.plan.harmless.contains(&sign) => {}
            Message::Damage(sign) => _ = self.sign.get_or_insert(sign),
            Message::Error(error) => self.last_error = Some(error),
        }
    }

    /// What a frame after a seek is, as long as none was given; `first` of all comes the key frame that the seek led to.
    ///
    /// Errors before an earlier frame than the listed key frame are the seek's own: what is displayed before a key frame
    /// may refer to frames that were skipped. Where decoding began with a key frame, what is said before the listed one
    /// may also be about that one, and about all that refers to it: some decoders need what only the start of the stream
    /// tells. An earlier start shows which it is. Without an index decoding begins anywhere, and hardly without errors.
    fn judge_key_frame(&mut self, stamp_s: Option<f64>, first: bool) -> KeyFrame {
        // ffprobe gives times in microseconds, and ffmpeg in ticks of the stream's clock.
        const SAME_S: f64 = 1e-3;
        let listed = stamp_s.zip(self.segment.selection.first_threshold().zip(self.segment.key_s));
        let Some((stamp, (threshold, key))) = listed else {
            return KeyFrame::TryEarlier;
        };
        let blameless_s = if self.seek.is_some_and(|seek| seek.lands_on_key) { key - SAME_S } else { key + SAME_S };
        if stamp < blameless_s {
            self.sign = None;
        }
        if stamp < threshold {
            return KeyFrame::RunUp;
        }
        let led_too_late = first && stamp >= key + SAME_S;
        if led_too_late || (self.sign.is_some() && self.job.damage == Damage::Refuse) {
            return KeyFrame::TryEarlier;
        }
        KeyFrame::Wanted
    }

    /// The frame's time in seconds; by its number where it has no stamp that can be believed.
    fn time_s(&self, stamp_s: Option<f64>) -> f64 {
        let plan = &self.job.plan;
        let numbered = || self.segment.selection.index(self.given) as f64 * plan.step_s;
        let from_stamp = |stamp: f64| stamp - plan.delay_s - plan.zero_s;
        stamp_s.filter(|_| plan.believed).map_or_else(numbered, from_stamp).max(0.0)
    }

    /// Refuses the video after a sign of damage, saying that damage can be passed over where it is `skippable`.
    fn refuse_damage(&self, skippable: bool) -> Result<(), MediaError> {
        match (&self.sign, self.job.damage) {
            (Some(sign), Damage::Refuse) => Err(self.damaged(sign, skippable)),
            (Some(_), Damage::Skip) => {
                self.job.notes.note(CaveatCode::DamageSkipped);
                Ok(())
            }
            (None, _) => Ok(()),
        }
    }

    fn damaged(&self, detail: &str, skippable: bool) -> MediaError {
        MediaError::Damaged {
            path: self.job.path.clone(),
            what: self.job.info.medium(),
            near_s: self.last_time_s,
            detail: detail.to_owned(),
            // Of a picture that does not decode, nothing may be left.
            skippable: skippable && !self.job.info.is_picture(),
        }
    }

    /// Judges a run whose output has ended by itself.
    fn end(&mut self, wanted: usize) -> Result<Outcome, MediaError> {
        while let Ok(message) = self.messages.recv() {
            self.hear(message);
        }
        if self.stdout.is_none() {
            return Ok(Outcome::Complete);
        }
        if self.seek.is_some() && self.given == 0 {
            return Ok(Outcome::TryEarlier);
        }
        // Where nothing was given, nothing will be given by passing over damage.
        self.refuse_damage(self.given > 0 || self.job.plan.segments.len() > 1)?;
        if self.given < wanted {
            self.judge_missing_end(wanted)?;
        }
        Ok(Outcome::Complete)
    }

    /// Refuses a run that ended before its last frame. Frames missing before that are packets that show nothing; by
    /// numbers, one such packet is enough to miss the last.
    fn judge_missing_end(&self, wanted: usize) -> Result<(), MediaError> {
        if self.given == 0 && self.job.damage == Damage::Refuse {
            return Err(self.nothing_decoded());
        }
        let reached = match self.segment.selection.last_threshold() {
            Some(threshold) => self.last_time_s.is_some_and(|time_s| self.job.stamp_s(time_s) >= threshold),
            None => self.given + 1 >= wanted,
        };
        match (reached, self.job.damage) {
            (true, _) => Ok(()),
            (false, Damage::Skip) => {
                self.job.notes.note(CaveatCode::DamageSkipped);
                Ok(())
            }
            (false, Damage::Refuse) => Err(self.damaged("its last frames do not decode", true)),
        }
    }

    fn nothing_decoded(&self) -> MediaError {
        let path = self.job.path.clone();
        match &self.last_error {
            Some(error) if error.contains("not found for input stream") || error.contains("no decoder found") => {
                MediaError::UnsupportedCodec { path, codec: self.job.info.codec.clone() }
            }
            Some(error) => MediaError::Ffmpeg { path, detail: error.clone() },
            None => MediaError::NoFrames { path },
        }
    }
}

/// What a frame after a seek turned out to be.
enum KeyFrame {
    /// Before what is wanted, and dropped.
    RunUp,
    /// The first frame wanted.
    Wanted,
    /// After what is wanted, or amid errors that an earlier start may not show.
    TryEarlier,
}

/// Standard pixels of planes of green, blue and red in 16 bits, a row at a time.
fn mapped(tone: &ToneMap, planes: &[u8], width: usize) -> Vec<u8> {
    let codes = planes.as_chunks::<2>().0;
    let (green, rest) = codes.split_at(codes.len() / 3);
    let (blue, red) = rest.split_at(rest.len() / 2);
    let code = |plane: &[[u8; 2]], pixel: usize| plane.get(pixel).map_or(0, |bytes| u16::from_le_bytes(*bytes));
    let mut pixels = vec![0; 3 * green.len()];
    pixels.par_chunks_mut((3 * width).max(1)).enumerate().for_each(|(row, shown)| {
        let row = row * width..row * width + shown.len() / 3;
        let rgb: Vec<u16> = row.flat_map(|pixel| [red, green, blue].map(|plane| code(plane, pixel))).collect();
        shown.copy_from_slice(&tone.apply(&rgb));
    });
    pixels
}

impl Selection {
    /// Frames it selects at most.
    fn count(&self) -> usize {
        match self {
            Self::Numbers { total, count } => *total.min(count),
            Self::Times(thresholds) => thresholds.len(),
        }
    }

    pub(super) fn first_threshold(&self) -> Option<f64> {
        match self {
            Self::Numbers { .. } => None,
            Self::Times(thresholds) => thresholds.first().copied(),
        }
    }

    fn last_threshold(&self) -> Option<f64> {
        match self {
            Self::Numbers { .. } => None,
            Self::Times(thresholds) => thresholds.last().copied(),
        }
    }

    /// The number in the video of the selection's frame `given`, where it selects by number.
    fn index(&self, given: usize) -> usize {
        match self {
            Self::Numbers { total, count } if count < total => given * (total - 1) / (count - 1).max(1),
            _ => given,
        }
    }
}

/// Whether the file can be read at all, before ffmpeg is asked.
pub(super) fn check_readable(path: &Path) -> Result<(), MediaError> {
    std::fs::File::open(path).map(drop).map_err(|error| MediaError::io(path, error))
}
