//! Videos: the plan worked off in the background, a few frames ahead of whoever takes them.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use unmask_core::pipeline::report::InputKind;

use super::children::Children;
use super::decode::{Job, check_readable};
use super::error::MediaError;
use super::plan::{self, Plan};
use super::probe::{self, VideoInfo};
use super::programs::Programs;
use super::{MediaInfo, OpenOptions, Opened, TimedFrame};

/// Runs of ffmpeg side by side where there is more than one.
const WORKERS: usize = 2;

/// Decoded frames that wait where one ffmpeg reads the whole video. A seek's single frame waits in its worker.
const FRAMES_AHEAD: usize = 2;

type Item = Result<TimedFrame, MediaError>;

/// Opens the video at `path`.
pub(super) fn open(programs: &Programs, path: &Path, options: &OpenOptions) -> Result<Opened, MediaError> {
    check_readable(path)?;
    let info = probe::probe(programs, path)?;
    let plan = plan::plan(programs, path, &info, options)?;
    let described = MediaInfo {
        kind: InputKind::Video,
        width: info.width,
        height: info.height,
        fps: info.fps,
        duration_s: info.duration_s,
        frame_count: plan.frame_count,
        caveats: Vec::new(),
    };
    Ok(Opened { info: described, frames: Box::new(VideoFrames::start(programs, path, info, plan, options)) })
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
    /// Starts to work off `plan`.
    pub(super) fn start(programs: &Programs, path: &Path, info: VideoInfo, plan: Plan, options: &OpenOptions) -> Self {
        let workers = plan.segments.len().min(WORKERS);
        let ahead = if plan.segments.len() == 1 { FRAMES_AHEAD } else { 0 };
        let (senders, outputs): (Vec<_>, _) = plan.segments.iter().map(|_| sync_channel(ahead)).unzip();
        let job = Arc::new(Job {
            programs: programs.clone(),
            path: path.to_owned(),
            info,
            plan,
            damage: options.damage,
            children: Children::new(workers),
            run_up: AtomicUsize::new(0),
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
        if let Err(error) = decoded {
            wanted = sender.send(Err(error)).is_ok();
        }
        if !wanted {
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
