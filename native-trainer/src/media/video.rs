//! Videos: the plan worked off in the background, a few frames ahead of whoever takes them.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use unmask_core::image::ToneMap;
use unmask_core::pipeline::CaveatCode;
use unmask_core::pipeline::clock;
use unmask_core::pipeline::report::InputKind;

use super::children::Children;
use super::decode::{Decoded, Job, check_readable};
use super::error::MediaError;
use super::notes::Notes;
use super::packets::{self, Clock, Listing};
use super::plan::{self, Plan, Segment, Selection, TERMS};
use super::probe::{self, VideoInfo};
use super::programs::Programs;
use super::{Damage, Frames, MediaInfo, OpenOptions, Opened, TimedFrame};

/// Runs of ffmpeg side by side where there is more than one.
const WORKERS: usize = 2;

/// Decoded frames that wait where one ffmpeg reads the whole video. A seek's single frame waits in its worker.
const FRAMES_AHEAD: usize = 2;

type Item = Result<TimedFrame, MediaError>;

/// Opens the video at `path`.
pub(super) fn open(programs: &Programs, path: &Path, options: &OpenOptions) -> Result<Opened, MediaError> {
    check_readable(path)?;
    let (info, reading) = probe::probe_and_read(programs, path)?;
    let mut listing = packets::list(path, &info, reading)?;
    let start = |listing: &Listing| -> Result<_, MediaError> {
        let (plan, notes) = (plan::plan(path, &info, listing, options)?, Notes::default());
        let mut frames = VideoFrames::start(programs, path, info.clone(), plan, options, notes.clone());
        let first = frames.next();
        Ok((first, frames, notes))
    };
    let mut started = start(&listing)?;
    // Streams that refresh their picture bit by bit have no frame to begin with that is whole: what is decoded begins
    // later than what is listed, and the frames to look at are chosen anew.
    if let Some(Ok(first)) = &started.0
        && listing.begin_at(started.1.job.stamp_s(first.time_s))
    {
        started = start(&listing)?;
    }
    let (first, frames, notes) = started;
    let is_still = listing.frames.len() == 1 && info.is_picture();
    let mean_rate = (listing.frames.len() > 1).then(|| 1.0 / listing.step_s);
    let described = MediaInfo {
        kind: if is_still { InputKind::Still } else { InputKind::Video },
        width: info.width,
        height: info.height,
        fps: clock::rate(info.fps, mean_rate).filter(|_| !is_still),
        duration_s: Some(listing.duration_s).filter(|_| !is_still),
        frame_count: Some(listing.frames.len() as u64),
        caveats: info.caveats(),
    };
    if listing.clock == (Clock::Wrong { stated: true }) {
        notes.note(CaveatCode::BadTimes);
    }
    if listing.damage.is_some() && options.damage == Damage::Skip {
        notes.note(CaveatCode::DamageSkipped);
    }
    Ok(Opened { info: described, frames: Frames::new(first.into_iter().chain(frames), notes) })
}

/// The sampled frames of a video. Dropping it kills the running ffmpegs and waits for them.
#[derive(Debug)]
pub(super) struct VideoFrames {
    job: Arc<Job>,
    /// One for each segment not finished yet, in order.
    outputs: std::collections::VecDeque<Receiver<Item>>,
    workers: Vec<JoinHandle<()>>,
    last_time_s: Option<f64>,
    finished: bool,
}

impl VideoFrames {
    /// Starts to work off `plan`; what weakens an answer goes to `notes`.
    pub(super) fn start(
        programs: &Programs,
        path: &Path,
        info: VideoInfo,
        plan: Plan,
        options: &OpenOptions,
        notes: Notes,
    ) -> Self {
        let workers = plan.segments.len().min(WORKERS);
        let ahead = if plan.segments.len() == 1 { FRAMES_AHEAD } else { 0 };
        let (senders, outputs): (Vec<_>, _) = plan.segments.iter().map(|_| sync_channel(ahead)).unzip();
        let job = Arc::new(Job {
            programs: programs.clone(),
            path: path.to_owned(),
            tone: ToneMap::new(info.transfer, info.primaries),
            info,
            plan,
            damage: options.damage,
            children: Children::new(workers),
            notes,
            sizes: OnceLock::new(),
            attempt: AtomicUsize::new(0),
        });
        let queue =
            Arc::new(Queue { next: AtomicUsize::new(0), senders: Mutex::new(senders.into_iter().map(Some).collect()) });
        let spawn = |worker: usize| {
            let (job, queue) = (Arc::clone(&job), Arc::clone(&queue));
            std::thread::spawn(move || work(&job, &queue, worker))
        };
        let workers = (0..workers).map(spawn).collect();
        Self { job, outputs, workers, last_time_s: None, finished: false }
    }
}

/// The segments that wait for a worker.
struct Queue {
    next: AtomicUsize,
    senders: Mutex<Vec<Option<SyncSender<Item>>>>,
}

impl Queue {
    /// The next segment's index and where its frames go.
    fn take(&self) -> Option<(usize, SyncSender<Item>)> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let sender = self.senders.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index)?.take()?;
        Some((index, sender))
    }

    /// All that nobody has taken yet.
    fn take_rest(&self) -> Vec<(usize, SyncSender<Item>)> {
        std::iter::from_fn(|| self.take()).collect()
    }
}

/// Works off segments until none is left or nobody takes the frames.
fn work(job: &Job, queue: &Queue, worker: usize) {
    while let Some((index, sender)) = queue.take() {
        let Some(segment) = job.plan.segments.get(index) else {
            return;
        };
        let mut wanted = true;
        let decoded = job.decode(worker, segment, &mut |frame| {
            wanted = sender.send(Ok(frame)).is_ok();
            wanted
        });
        match decoded {
            Ok(Decoded::Done) => {}
            // Reading from the start for each segment could take a pass over the file for each: this one and all that
            // wait share one.
            Ok(Decoded::CannotSeek) => {
                let mut rest = vec![(index, sender)];
                rest.extend(queue.take_rest());
                return read_through(job, worker, rest);
            }
            Err(error) => wanted = sender.send(Err(error)).is_ok(),
        }
        if !wanted {
            return;
        }
    }
}

/// Decodes segments together, without seeking, in as few passes as expressions allow.
fn read_through(job: &Job, worker: usize, rest: Vec<(usize, SyncSender<Item>)>) {
    let mut rest = std::collections::VecDeque::from(rest);
    while !rest.is_empty() {
        let mut thresholds: Vec<f64> = Vec::new();
        // Where each segment's frames begin, as a time stamp, and where they go.
        let mut receivers: Vec<(f64, SyncSender<Item>)> = Vec::new();
        let mut to_end = false;
        while let Some((index, sender)) = rest.pop_front() {
            let Some(Segment { selection: Selection::Times(times), to_end: is_last, .. }) =
                job.plan.segments.get(index)
            else {
                continue;
            };
            if !thresholds.is_empty() && thresholds.len() + times.len() > TERMS {
                rest.push_front((index, sender));
                break;
            }
            receivers.push((times.first().copied().unwrap_or(f64::INFINITY), sender));
            thresholds.extend(times);
            to_end = *is_last;
        }
        let segment = Segment { key_s: None, selection: Selection::Times(thresholds), to_end };
        let mut receivers = receivers.into_iter().peekable();
        let mut current = receivers.next();
        let decoded = job.decode(worker, &segment, &mut |frame| {
            // Whoever has all its frames is let go, so that what comes after it is asked for.
            let stamp_s = job.stamp_s(frame.time_s);
            while let Some(next) = receivers.next_if(|(first_s, _)| stamp_s >= *first_s) {
                current = Some(next);
            }
            current.as_ref().is_some_and(|(_, sender)| sender.send(Ok(frame)).is_ok())
        });
        if let (Err(error), Some((_, sender))) = (decoded, current) {
            // Nobody waits for it any more where the frames were dropped.
            sender.send(Err(error)).ok();
            return;
        }
    }
}

impl Iterator for VideoFrames {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        while !self.finished {
            let Some(output) = self.outputs.front() else {
                self.finished = true;
                let nothing = self.last_time_s.is_none();
                return nothing.then(|| Err(MediaError::NoFrames { path: self.job.path.clone() }));
            };
            match output.recv() {
                // Samples closer together than the frames find the same frame: it is given once.
                Ok(Ok(frame)) if self.last_time_s.is_some_and(|last| frame.time_s <= last) => {}
                Ok(Ok(frame)) => {
                    self.last_time_s = Some(frame.time_s);
                    return Some(Ok(frame));
                }
                Ok(Err(error)) => {
                    self.finished = true;
                    self.job.children.stop();
                    return Some(Err(error));
                }
                Err(_) => drop(self.outputs.pop_front()),
            }
        }
        None
    }
}

impl Drop for VideoFrames {
    fn drop(&mut self) {
        self.job.children.stop();
        self.outputs.clear();
        for worker in self.workers.drain(..) {
            // A worker that panicked has nothing left to end.
            worker.join().ok();
        }
    }
}
