//! Jobs: a queue of bounded length, and what became of each for a bounded time. Threads that score wait here for work, and
//! whoever asks for a job can wait for news of it.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempPath;
use tokio::sync::watch;

use super::problem;
use crate::provenance::Document;

/// Most bytes of reports that are kept together: those of long videos with many people are large.
const KEPT_BYTES: usize = 64 << 20;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Jobs that wait, those that are still uploaded among them.
    pub queue: usize,
    /// Jobs that have ended.
    pub kept: usize,
    /// For how long these are kept.
    pub kept_for: Duration,
}

/// What is scored.
#[derive(Debug)]
pub(super) enum Source {
    /// An upload, whose file goes with this.
    Upload(TempPath),
    /// A file of the user's.
    File(PathBuf),
}

impl Source {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Upload(path) => path,
            Self::File(path) => path,
        }
    }
}

/// How far a job is.
#[derive(Clone, Debug)]
pub(super) enum State {
    Queued,
    /// Frames that were looked at, and how many there will be once that is known.
    Running {
        done: usize,
        expected: Option<usize>,
    },
    /// With its report as JSON.
    Done(Arc<str>),
    /// With the reason.
    Failed(String),
    Cancelled,
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running { .. } => "running",
            Self::Done(_) => "done",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will come.
    pub(super) fn is_final(&self) -> bool {
        !matches!(self, Self::Queued | Self::Running { .. })
    }
}

struct Job {
    name: String,
    created: Timestamp,
    state: watch::Sender<State>,
    /// Until it is taken.
    source: Option<Source>,
}

/// A job that was taken to be scored.
pub(super) struct Work {
    id: String,
    pub(super) name: String,
    pub(super) source: Source,
    state: watch::Sender<State>,
}

impl Work {
    /// Tells how far it is; `false` if nobody wants it any more.
    pub(super) fn progress(&self, done: usize, expected: usize) -> bool {
        self.state.send_if_modified(|state| match state {
            State::Running { .. } => {
                *state = State::Running { done, expected: Some(expected) };
                true
            }
            _ => false,
        })
    }
}

/// A job that has ended.
struct Ended {
    id: String,
    since: Instant,
    /// Of its report.
    bytes: usize,
}

#[derive(Default)]
struct Table {
    jobs: HashMap<String, Job>,
    queue: VecDeque<String>,
    /// Jobs that are being uploaded.
    uploads: usize,
    running: usize,
    /// Jobs that have ended, in that order.
    ended: VecDeque<Ended>,
    /// Bytes of their reports.
    kept_bytes: usize,
    is_closed: bool,
}

/// All jobs of a server.
pub(super) struct Jobs {
    limits: Limits,
    table: Mutex<Table>,
    work: Condvar,
}

/// A place in the queue, kept while an upload comes.
pub(super) struct Place<'a>(&'a Jobs);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().uploads -= 1;
    }
}

impl Jobs {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, table: Mutex::default(), work: Condvar::new() }
    }

    /// A place in the queue; none if it is full, or the server ends.
    pub(super) fn reserve(&self) -> Option<Place<'_>> {
        let mut table = self.lock();
        if table.is_closed || table.queue.len() + table.uploads >= self.limits.queue {
            return None;
        }
        table.uploads += 1;
        Some(Place(self))
    }

    /// Puts a job into the queue, at the place that was kept for it, and gives its document.
    pub(super) fn submit(&self, place: Place, name: String, source: Source) -> Option<Value> {
        // 128 bits that nobody can guess: whoever knows a job's name may read its report.
        let id = format!("{:032x}", rand::random::<u128>());
        let mut table = self.lock();
        if table.is_closed {
            drop(table);
            drop(place);
            return None;
        }
        // The place becomes the job's, with nobody else in between.
        table.uploads -= 1;
        std::mem::forget(place);
        let (state, created) = (watch::Sender::new(State::Queued), Timestamp::now());
        table.jobs.insert(id.clone(), Job { name, created, state, source: Some(source) });
        table.queue.push_back(id.clone());
        self.work.notify_one();
        table.document(&id)
    }

    /// What there is to say of a job, if it is known.
    pub(super) fn document(&self, id: &str) -> Option<Value> {
        let mut table = self.lock();
        table.forget(&self.limits);
        table.document(id)
    }

    /// The states of a job as they come, if it is known.
    pub(super) fn follow(&self, id: &str) -> Option<watch::Receiver<State>> {
        let mut table = self.lock();
        table.forget(&self.limits);
        Some(table.jobs.get(id)?.state.subscribe())
    }

    /// Cancels a job that has not ended, forgets one that has, and gives its last document.
    pub(super) fn cancel(&self, id: &str) -> Option<Value> {
        let mut table = self.lock();
        table.forget(&self.limits);
        let has_ended = table.jobs.get(id)?.state.borrow().is_final();
        if !has_ended {
            table.end(id, State::Cancelled, &self.limits);
        }
        let document = table.document(id);
        if has_ended && let Some(index) = table.ended.iter().position(|ended| ended.id == id) {
            table.remove(index);
        }
        document
    }

    /// How many jobs wait, and how many are scored.
    pub(super) fn counts(&self) -> (usize, usize) {
        let table = self.lock();
        (table.queue.len() + table.uploads, table.running)
    }

    /// Waits for a job to score; none once there will be none.
    pub(super) fn take(&self) -> Option<Work> {
        let mut table = self.lock();
        loop {
            if let Some(work) = table.take() {
                return Some(work);
            }
            if table.is_closed {
                return None;
            }
            table = self.work.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Remembers what became of a job, unless it was cancelled meanwhile.
    pub(super) fn finish(&self, work: Work, outcome: Result<Document>) {
        // As `score` prints it, to the last digit.
        let json = outcome.and_then(|document| Ok(serde_json::to_value(&document)?.to_string()));
        let state = json.map_or_else(|error| State::Failed(format!("{error:#}")), |json| State::Done(json.into()));
        let Work { id, source, .. } = work;
        // The file is gone before anybody hears that the job has ended.
        drop(source);
        let mut table = self.lock();
        table.running -= 1;
        table.end(&id, state, &self.limits);
    }

    /// Takes no more jobs, and cancels those that wait.
    pub(super) fn close(&self) {
        let mut table = self.lock();
        table.is_closed = true;
        for id in std::mem::take(&mut table.queue) {
            table.end(&id, State::Cancelled, &self.limits);
        }
        self.work.notify_all();
    }

    /// As [`Self::close`], and cancels those that are scored.
    pub(super) fn end(&self) {
        self.close();
        let mut table = self.lock();
        let ids: Vec<String> = table.jobs.keys().cloned().collect();
        ids.iter().for_each(|id| table.end(id, State::Cancelled, &self.limits));
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn take(&mut self) -> Option<Work> {
        let id = self.queue.pop_front()?;
        let job = self.jobs.get_mut(&id)?;
        let source = job.source.take()?;
        job.state.send_replace(State::Running { done: 0, expected: None });
        self.running += 1;
        Some(Work { id, name: job.name.clone(), source, state: job.state.clone() })
    }

    /// Gives a job its last state, if it has none.
    fn end(&mut self, id: &str, state: State, limits: &Limits) {
        let Some(job) = self.jobs.get_mut(id).filter(|job| !job.state.borrow().is_final()) else { return };
        job.source = None;
        let bytes = if let State::Done(json) = &state { json.len() } else { 0 };
        job.state.send_replace(state);
        self.queue.retain(|queued| queued != id);
        self.kept_bytes += bytes;
        self.ended.push_back(Ended { id: id.to_owned(), since: Instant::now(), bytes });
        self.forget(limits);
    }

    /// Forgets jobs that ended first, as far as the limits ask.
    fn forget(&mut self, limits: &Limits) {
        while let Some(first) = self.ended.front() {
            let is_too_large = self.kept_bytes > KEPT_BYTES && self.ended.len() > 1;
            if self.ended.len() <= limits.kept && !is_too_large && first.since.elapsed() < limits.kept_for {
                return;
            }
            self.remove(0);
        }
    }

    /// Forgets the job that ended as the one of this number.
    fn remove(&mut self, index: usize) {
        if let Some(ended) = self.ended.remove(index) {
            self.kept_bytes -= ended.bytes;
            self.jobs.remove(&ended.id);
        }
    }

    fn document(&self, id: &str) -> Option<Value> {
        let job = self.jobs.get(id)?;
        let state = job.state.borrow();
        let mut document = json!({ "id": id, "state": state.name(), "input": job.name, "created": stamp(job.created) });
        match &*state {
            State::Queued => document["ahead"] = self.queue.iter().take_while(|queued| *queued != id).count().into(),
            State::Running { done, expected } => document["frames"] = json!({ "done": done, "expected": expected }),
            State::Failed(words) => document["error"] = problem::document("not_scored", words),
            State::Done(_) => document["report"] = format!("/jobs/{id}/report").into(),
            State::Cancelled => {}
        }
        Some(document)
    }
}

/// A time as RFC 3339 has it.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    const LIMITS: Limits = Limits { queue: 2, kept: 2, kept_for: Duration::from_secs(3600) };

    fn submit(jobs: &Jobs, name: &str) -> String {
        let place = jobs.reserve().expect("a place");
        let document = jobs.submit(place, name.to_owned(), Source::File(name.into())).expect("taken");
        document["id"].as_str().expect("an id").to_owned()
    }

    fn state(jobs: &Jobs, id: &str) -> Option<String> {
        Some(jobs.document(id)?["state"].as_str()?.to_owned())
    }

    #[test]
    fn the_queue_is_bounded_also_by_what_is_still_uploaded_and_serves_who_came_first() {
        let jobs = Jobs::new(LIMITS);
        let place = jobs.reserve();
        let first = submit(&jobs, "a.mp4");
        assert!(jobs.reserve().is_none());
        drop(place);
        let second = submit(&jobs, "b.mp4");
        assert!(jobs.reserve().is_none());
        assert_eq!(
            (jobs.document(&first).unwrap()["ahead"].clone(), jobs.document(&second).unwrap()["ahead"].clone()),
            (0.into(), 1.into())
        );
        let work = jobs.take().unwrap();
        assert_eq!((work.name.as_str(), jobs.counts()), ("a.mp4", (1, 1)));
        assert!(jobs.reserve().is_some());
        assert!(work.progress(1, 4));
        assert_eq!(jobs.document(&first).unwrap()["frames"], json!({ "done": 1, "expected": 4 }));
    }

    #[test]
    fn what_is_cancelled_is_not_scored_and_what_has_ended_is_forgotten() {
        let jobs = Jobs::new(LIMITS);
        let (first, second) = (submit(&jobs, "a.mp4"), submit(&jobs, "b.mp4"));
        assert_eq!(jobs.cancel(&first).unwrap()["state"], "cancelled");
        let work = jobs.take().unwrap();
        assert_eq!(work.name, "b.mp4");
        jobs.cancel(&second);
        assert!(!work.progress(1, 4), "nobody wants it any more");
        jobs.finish(work, Err(anyhow!("stopped")));
        assert_eq!((state(&jobs, &second).as_deref(), jobs.counts()), (Some("cancelled"), (0, 0)));
        assert_eq!(jobs.cancel(&second).unwrap()["state"], "cancelled");
        assert!(jobs.document(&second).is_none() && jobs.cancel(&second).is_none() && jobs.follow(&second).is_none());
    }

    #[test]
    fn ended_jobs_are_kept_up_to_a_number_and_a_time() {
        let jobs = Jobs::new(LIMITS);
        let mut ids = Vec::new();
        for name in ["a", "b", "c"] {
            ids.push(submit(&jobs, name));
            jobs.finish(jobs.take().unwrap(), Err(anyhow!("{name} is damaged")));
        }
        assert_eq!(ids.iter().map(|id| state(&jobs, id)).filter(Option::is_some).count(), 2);
        assert_eq!(jobs.document(&ids[2]).unwrap()["error"]["message"], "c is damaged");
        let jobs = Jobs::new(Limits { kept_for: Duration::ZERO, ..LIMITS });
        let id = submit(&jobs, "a");
        jobs.finish(jobs.take().unwrap(), Err(anyhow!("damaged")));
        assert!(jobs.document(&id).is_none());
    }

    #[test]
    fn a_server_that_ends_cancels_what_waits_and_lets_its_threads_go() {
        let jobs = Jobs::new(LIMITS);
        let (first, second) = (submit(&jobs, "a"), submit(&jobs, "b"));
        let work = jobs.take().unwrap();
        jobs.close();
        assert_eq!(state(&jobs, &second).as_deref(), Some("cancelled"));
        assert!(work.progress(1, 2) && jobs.take().is_none() && jobs.reserve().is_none());
        jobs.end();
        assert!(!work.progress(2, 2));
        assert_eq!(state(&jobs, &first).as_deref(), Some("cancelled"));
    }

    #[test]
    fn the_file_of_an_upload_goes_when_its_job_ends_in_whatever_way() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = Jobs::new(LIMITS);
        let upload = || Source::Upload(tempfile::NamedTempFile::new_in(folder.path()).unwrap().into_temp_path());
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        let queued = jobs.submit(jobs.reserve().unwrap(), "a".into(), upload()).unwrap();
        assert_eq!(files(), 1);
        jobs.cancel(queued["id"].as_str().unwrap());
        assert_eq!(files(), 0);
        jobs.submit(jobs.reserve().unwrap(), "a".into(), upload());
        jobs.finish(jobs.take().unwrap(), Err(anyhow!("damaged")));
        assert_eq!(files(), 0);
    }
}
