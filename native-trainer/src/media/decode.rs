//! One run of ffmpeg: the selected frames of one segment, with their times and the signs of damage.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};

use unmask_core::image::RgbImage;

use super::children::Children;
use super::error::MediaError;
use super::messages::{self, Message};
use super::plan::{Plan, Segment, Selection};
use super::probe::VideoInfo;
use super::programs::{Program, Programs, input_arguments};
use super::{Damage, TimedFrame};

/// How far before the wanted time, in seconds, each attempt seeks; after them comes reading from the start.
///
/// Most containers seek to a key frame before the time; MPEG-TS lands anywhere near it, and needs a longer run-up.
const RUN_UPS_S: [f64; 3] = [0.5, 5.0, 30.0];

/// Terms in one bracket of a selection: ffmpeg refuses expressions of more than 100 operands on one level.
const GROUP: usize = 30;

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
    /// The shortest run-up, as an index into [`RUN_UPS_S`], that was long enough so far.
    pub(super) run_up: AtomicUsize,
}

/// How a run ended.
enum Outcome {
    /// All there was to give was given.
    Complete,
    /// The seek landed too late, or amid damage: nothing was given, and a longer run-up may do better.
    TryEarlier,
}

/// Whether the receiver of a frame wants more.
type Sink<'a> = dyn FnMut(TimedFrame) -> bool + 'a;

impl Job {
    /// Decodes `segment` on `worker` and hands its frames to `sink`, in order, until that wants no more.
    pub(super) fn decode(&self, worker: usize, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), MediaError> {
        if segment.seek {
            let first = self.run_up.load(Ordering::Relaxed);
            for (attempt, run_up_s) in RUN_UPS_S.iter().enumerate().skip(first) {
                let seek = Seek { run_up_s: *run_up_s, forgiving: attempt > first };
                match Run::start(self, worker, segment, Some(seek))?.finish(sink)? {
                    Outcome::Complete => return Ok(()),
                    Outcome::TryEarlier => self.run_up.fetch_max(attempt + 1, Ordering::Relaxed),
                };
            }
            self.run_up.store(RUN_UPS_S.len() - 1, Ordering::Relaxed);
        }
        Run::start(self, worker, segment, None)?.finish(sink)?;
        Ok(())
    }
}

/// How a run seeks.
#[derive(Clone, Copy)]
struct Seek {
    run_up_s: f64,
    /// Whether errors before the first key frame are the seek's own: they came again with a longer run-up.
    forgiving: bool,
}

/// A running ffmpeg and what it has given so far.
struct Run<'a> {
    job: &'a Job,
    worker: usize,
    segment: &'a Segment,
    seek: Option<Seek>,
    stdout: Option<ChildStdout>,
    messages: Receiver<Message>,
    /// Signs of damage since they were last forgiven.
    signs: Vec<String>,
    last_error: Option<String>,
    last_time_s: Option<f64>,
    given: usize,
}

impl<'a> Run<'a> {
    fn start(job: &'a Job, worker: usize, segment: &'a Segment, seek: Option<Seek>) -> Result<Self, MediaError> {
        let mut command = command(job, segment, seek);
        let outputs = job.children.start(worker, &mut command);
        let outputs = outputs.map_err(|error| job.programs.not_started(Program::Ffmpeg, &job.path, error))?;
        let (sender, messages) = mpsc::channel();
        let stdout = outputs.map(|(stdout, stderr)| {
            // The thread ends with the child. Nobody listening any more is no reason to stop reading.
            std::thread::spawn(move || messages::drain(stderr, |message| drop(sender.send(message))));
            stdout
        });
        let (signs, last_error, last_time_s, given) = (Vec::new(), None, None, 0);
        Ok(Self { job, worker, segment, seek, stdout, messages, signs, last_error, last_time_s, given })
    }

    /// Reads frames to the end of the segment, and sees to it that the child has ended whatever comes of it.
    fn finish(mut self, sink: &mut Sink<'_>) -> Result<Outcome, MediaError> {
        let read = self.read(sink);
        self.job.children.finish(self.worker, true);
        read
    }

    fn read(&mut self, sink: &mut Sink<'_>) -> Result<Outcome, MediaError> {
        let wanted = self.segment.selection.count();
        let mut awaiting_key = self.seek.is_some();
        while let Some(image) = self.read_image()? {
            let stamp_s = self.next_stamp();
            if std::mem::take(&mut awaiting_key) {
                match self.judge_key_frame(stamp_s) {
                    KeyFrame::RunUp => continue,
                    KeyFrame::Wanted => {}
                    KeyFrame::TooLate => return Ok(Outcome::TryEarlier),
                }
            } else if self.given == 0 && !self.job.plan.starts_clean && self.seek.is_none() {
                self.signs.clear();
            }
            self.last_time_s = Some(self.time_s(stamp_s));
            self.refuse_damage()?;
            let frame = TimedFrame { time_s: self.time_s(stamp_s), image };
            self.given += 1;
            if !sink(frame) || (self.given == wanted && !self.segment.to_end) {
                return Ok(Outcome::Complete);
            }
        }
        self.end(wanted)
    }

    /// The next frame's pixels; none at the end. A frame cut off is the end, too: its loss shows in the count.
    fn read_image(&mut self) -> Result<Option<RgbImage>, MediaError> {
        let (width, height) = (self.job.info.width, self.job.info.height);
        let Some(stdout) = self.stdout.as_mut() else {
            return Ok(None);
        };
        let bytes = width * height * 3;
        let mut pixels = Vec::with_capacity(bytes);
        let read = stdout.take(bytes as u64).read_to_end(&mut pixels);
        read.map_err(|error: io::Error| MediaError::io(&self.job.path, error))?;
        Ok(RgbImage::new(width, height, pixels))
    }

    /// The stamp of the frame just read, which ffmpeg announced before its pixels; keeps the signs before it.
    fn next_stamp(&mut self) -> Option<f64> {
        while let Ok(message) = self.messages.recv() {
            if let Message::Frame(stamp_s) = message {
                return stamp_s;
            }
            self.hear(message);
        }
        None
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Frame(_) => {}
            Message::Damage(sign) => self.signs.push(sign),
            Message::Error(error) => self.last_error = Some(error),
        }
    }

    /// What the first key frame after a seek is. Errors before it are the seek's, unless they may be real.
    fn judge_key_frame(&mut self, stamp_s: Option<f64>) -> KeyFrame {
        let forgiving = self.seek.is_none_or(|seek| seek.forgiving) || self.job.damage == Damage::Skip;
        if !self.signs.is_empty() && !forgiving {
            return KeyFrame::TooLate;
        }
        self.signs.clear();
        let threshold = self.segment.selection.first_threshold();
        match stamp_s.zip(threshold) {
            Some((stamp, threshold)) if stamp < threshold => KeyFrame::RunUp,
            Some((stamp, threshold)) if stamp < threshold + self.job.plan.step_s => KeyFrame::Wanted,
            _ => KeyFrame::TooLate,
        }
    }

    /// Seconds from the start of the file; by the frame's number where it has no stamp.
    fn time_s(&self, stamp_s: Option<f64>) -> f64 {
        let plan = &self.job.plan;
        let numbered = || self.segment.selection.index(self.given) as f64 * plan.step_s;
        let from_stamp = |stamp: f64| stamp - plan.delay_s - self.job.info.origin_s;
        stamp_s.map_or_else(numbered, from_stamp).max(0.0)
    }

    fn refuse_damage(&self) -> Result<(), MediaError> {
        match self.signs.first() {
            Some(sign) if self.job.damage == Damage::Refuse => Err(self.damaged(sign)),
            _ => Ok(()),
        }
    }

    fn damaged(&self, detail: &str) -> MediaError {
        MediaError::Damaged { path: self.job.path.clone(), near_s: self.last_time_s, detail: detail.to_owned() }
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
        self.refuse_damage()?;
        if self.job.damage == Damage::Refuse && self.given < wanted {
            self.refuse_missing_end()?;
        }
        Ok(Outcome::Complete)
    }

    /// Refuses a run that ended before its last frame. Frames missing before that are packets that show nothing.
    fn refuse_missing_end(&self) -> Result<(), MediaError> {
        if self.given == 0 {
            return Err(self.nothing_decoded());
        }
        let reached = self.segment.selection.last_threshold().is_none_or(|threshold| {
            let stamp = self.last_time_s.map(|time| time + self.job.plan.delay_s + self.job.info.origin_s);
            stamp.is_some_and(|stamp| stamp >= threshold)
        });
        let numbers = matches!(self.segment.selection, Selection::Numbers { .. });
        match reached && !numbers {
            true => Ok(()),
            false => Err(self.damaged("its last frames do not decode")),
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

/// What the first key frame after a seek turned out to be.
enum KeyFrame {
    /// Before what is wanted: decoding is clean from here, and the frame is dropped.
    RunUp,
    /// Itself the frame wanted.
    Wanted,
    /// After what is wanted, or what came before it looked like damage.
    TooLate,
}

/// The call of ffmpeg: `rawvideo` in rgb24 on standard output, nothing else decoded, times kept as they are.
fn command(job: &Job, segment: &Segment, seek: Option<Seek>) -> Command {
    let mut command = job.programs.command(Program::Ffmpeg);
    command.args(["-nostdin", "-nostats", "-loglevel", "level+info", "-copyts"]);
    if let (Some(seek), Some(threshold)) = (seek, segment.selection.first_threshold()) {
        let position_s = (threshold - job.plan.delay_s - job.info.origin_s - seek.run_up_s).max(0.0);
        // Not accurate: frames before the wanted one are dropped by the selection, which must see the key frame.
        command.args(["-noaccurate_seek", "-ss", &format!("{position_s:.6}")]);
    }
    command.args(input_arguments(&job.path)).args(["-map", &format!("0:{}", job.info.stream), "-an", "-sn", "-dn"]);
    // Constant 25 frames a second with stamps to match: every version of ffmpeg then neither drops nor doubles any.
    command.args(["-vf", &filters(&job.info, segment, seek.is_some()), "-r", "25"]);
    command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-flush_packets", "1", "pipe:1"]);
    command
}

/// Selection, announcement of times, and conversion of what was selected alone.
fn filters(info: &VideoInfo, segment: &Segment, after_seek: bool) -> String {
    let select = segment.expression(after_seek);
    let (width, height, matrix) = (info.width, info.height, matrix_option(info));
    format!(
        "select='{select}',showinfo,scale={width}:{height}:flags=bicubic+accurate_rnd+full_chroma_int{matrix},\
         format=rgb24,settb=1/25,setpts=N"
    )
}

/// The YCbCr matrix where the file does not name it: BT.709 from 720 lines up, else BT.601; in full range, which comes from
/// JPEG, always BT.601. Browsers are told the same (`wasm/src/media/colours.rs`).
fn matrix_option(info: &VideoInfo) -> &'static str {
    let no_matrix = ["rgb", "bgr", "gbr", "gray", "pal8", "mono"];
    if info.color_space.is_some() || no_matrix.iter().any(|format| info.pixel_format.contains(format)) {
        return "";
    }
    let is_jpeg = info.pixel_format.starts_with("yuvj");
    if info.height >= 720 && !is_jpeg { ":in_color_matrix=bt709" } else { ":in_color_matrix=bt601" }
}

impl Selection {
    /// Frames it selects at most.
    fn count(&self) -> usize {
        match self {
            Self::Numbers { total, count } => *total.min(count),
            Self::Times(thresholds) => thresholds.len(),
        }
    }

    fn first_threshold(&self) -> Option<f64> {
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

impl Segment {
    /// The expression for ffmpeg's `select` filter. After a seek the first key frame is selected before all else.
    ///
    /// ffmpeg hands a frame on only when the next one is selected, or at the end; so where the segment does not end
    /// with the video, the frames after its last are selected too, until the child is killed.
    fn expression(&self, after_seek: bool) -> String {
        let thresholds = match &self.selection {
            Selection::Numbers { total, count } if count >= total => return "1".to_owned(),
            Selection::Numbers { count: 1, .. } => return "1".to_owned(),
            Selection::Numbers { total, count } => {
                return format!("eq(n,floor(selected_n*{}/{}))", total - 1, count.saturating_sub(1).max(1));
            }
            Selection::Times(thresholds) => thresholds,
        };
        let once = |threshold: &f64| format!("gte(t,{threshold:.6})*not(gte(prev_selected_t,{threshold:.6}))");
        let mut terms: Vec<String> = thresholds.iter().map(once).collect();
        if let Some(last) = thresholds.last().filter(|_| !self.to_end) {
            terms.push(format!("gte(t,{last:.6})"));
        }
        let groups: Vec<String> = terms.chunks(GROUP).map(|group| format!("({})", group.join("+"))).collect();
        let sum = groups.join("+");
        if after_seek { format!("if(isnan(prev_selected_t),key,{sum})") } else { sum }
    }
}

/// Whether the file can be read at all, before ffmpeg is asked.
pub(super) fn check_readable(path: &Path) -> Result<(), MediaError> {
    std::fs::File::open(path).map(drop).map_err(|error| MediaError::io(path, error))
}
