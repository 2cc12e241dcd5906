//! The inputs, in the order they were given, and what became of each. One is scored at a time.

use std::sync::Arc;

use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::{AbortController, AbortSignal, File};

use crate::api::{Computer, Detector, Explained, Failure, Problem, Progress, Stage};
use crate::choice::{Choice, Settings};
use crate::report::Report;
use crate::words;

/// What became of an input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Waiting,
    Working,
    Done(Arc<Outcome>),
    Failed(Problem),
    Cancelled,
}

/// The answer for an input and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) report: Report,
    /// The whole report.
    pub(crate) json: String,
    pub(crate) computer: Computer,
    /// Why the device changed on the way, if it did.
    pub(crate) device_change: Option<String>,
}

/// One input.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) id: usize,
    pub(crate) file: File,
    pub(crate) state: RwSignal<State>,
    /// How far it is while it is worked on.
    pub(crate) progress: RwSignal<Progress>,
    device_change: RwSignal<Option<String>>,
    /// For the work that is under way; each piece of work has its own.
    abort: StoredValue<Option<AbortController>, LocalStorage>,
}

impl Item {
    fn new(id: usize, file: File) -> Self {
        Self {
            id,
            file,
            state: RwSignal::new(State::Waiting),
            progress: RwSignal::new(Progress::default()),
            device_change: RwSignal::new(None),
            abort: StoredValue::new_local(None),
        }
    }

    /// Stops it, wherever it is.
    pub(crate) fn cancel(&self) {
        self.abort.with_value(|abort| abort.iter().for_each(AbortController::abort));
        if self.state.get_untracked() == State::Waiting {
            self.state.set(State::Cancelled);
        }
    }

    /// Whether there is something to stop.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.state.with(|state| matches!(state, State::Waiting | State::Working))
    }

    fn note(&self, progress: Progress) {
        match progress.stage {
            Stage::Device => self.device_change.set(progress.reason),
            Stage::Other => {}
            _ => self.progress.set(progress),
        }
    }
}

/// Everything the page knows.
#[derive(Clone, Copy)]
pub(crate) struct Desk {
    pub(crate) items: RwSignal<Vec<Item>, LocalStorage>,
    /// The input that is shown.
    pub(crate) selected: RwSignal<Option<usize>>,
    pub(crate) camera_open: RwSignal<bool>,
    pub(crate) settings: Settings,
    /// What a screen reader is told.
    pub(crate) said: RwSignal<String>,
    /// Counts what was finished, so that what depends on it looks again.
    pub(crate) finished: RwSignal<usize>,
    detector: StoredValue<Option<(Choice, Detector)>, LocalStorage>,
    busy: StoredValue<bool>,
    next_id: StoredValue<usize>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            items: RwSignal::new_local(Vec::new()),
            selected: RwSignal::new(None),
            camera_open: RwSignal::new(false),
            settings: Settings::new(),
            said: RwSignal::new(String::new()),
            finished: RwSignal::new(0),
            detector: StoredValue::new_local(None),
            busy: StoredValue::new(false),
            next_id: StoredValue::new(0),
        }
    }

    /// Takes files in, shows the first of them, and scores them when it is their turn.
    pub(crate) fn add(self, files: Vec<File>) {
        let first = self.next_id.get_value();
        let new: Vec<Item> = files.into_iter().zip(first..).map(|(file, id)| Item::new(id, file)).collect();
        if new.is_empty() {
            return;
        }
        self.next_id.set_value(first + new.len());
        self.items.update(|items| items.extend(new));
        self.selected.set(Some(first));
        self.camera_open.set(false);
        self.work();
    }

    /// Scores an input once more, with the settings as they are now.
    pub(crate) fn again(self, item: &Item) {
        item.state.set(State::Waiting);
        self.work();
    }

    /// Takes an input off the desk; the one after it is shown in its place.
    pub(crate) fn remove(self, id: usize) {
        let mut neighbour = None;
        self.items.update(|items| {
            let Some(index) = items.iter().position(|item| item.id == id) else { return };
            items.remove(index).cancel();
            neighbour = items.get(index).or_else(|| items.last()).map(|item| item.id);
        });
        if self.selected.get_untracked() == Some(id) {
            self.selected.set(neighbour);
        }
    }

    /// The input that is shown.
    pub(crate) fn shown(self) -> Option<Item> {
        let selected = self.selected.get()?;
        self.items.with(|items| items.iter().find(|item| item.id == selected).cloned())
    }

    fn next(self) -> Option<Item> {
        let is_waiting = |item: &&Item| item.state.get_untracked() == State::Waiting;
        self.items.with_untracked(|items| items.iter().find(is_waiting).cloned())
    }

    fn work(self) {
        if self.busy.get_value() {
            return;
        }
        self.busy.set_value(true);
        spawn_local(async move {
            while let Some(item) = self.next() {
                self.said.set(format!("{}: being examined.", item.file.name()));
                let ended = self.examine(&item).await;
                item.abort.set_value(None);
                let state = match ended {
                    Ok(outcome) => State::Done(Arc::new(outcome)),
                    Err(Failure::Cancelled) => State::Cancelled,
                    Err(Failure::Problem(problem)) => State::Failed(problem),
                };
                self.said.set(format!("{}: {}.", item.file.name(), words::status(&state)));
                item.state.set(state);
                self.finished.update(|count| *count += 1);
            }
            self.busy.set_value(false);
        });
    }

    /// Where the detector looked in some faces of an input that was examined.
    pub(crate) async fn explain(self, item: &Item, json: &str) -> Result<Vec<Explained>, Failure> {
        let abort = AbortController::new().map_err(|error| Failure::internal(crate::api::message(&error)))?;
        let signal = abort.signal();
        self.detector(item, &signal).await?.explain(&item.file, json, &signal).await
    }

    async fn examine(self, item: &Item) -> Result<Outcome, Failure> {
        let abort = AbortController::new().map_err(|error| Failure::internal(crate::api::message(&error)))?;
        let signal = abort.signal();
        item.abort.set_value(Some(abort));
        item.device_change.set(None);
        item.progress.set(Progress::default());
        item.state.set(State::Working);
        let detector = self.detector(item, &signal).await?;
        item.progress.set(Progress::start_of(Stage::Score));
        let on_progress = {
            let item = item.clone();
            move |progress| item.note(progress)
        };
        let (faces, frames) = (self.settings.faces.get_untracked(), self.settings.frames.get_untracked());
        let (report, json) = detector.score(&item.file, faces, frames, &signal, on_progress).await?;
        let device_change = item.device_change.get_untracked();
        Ok(Outcome { report, json, computer: detector.computer(), device_change })
    }

    /// The chosen detector, loaded where another one or none is.
    async fn detector(self, item: &Item, signal: &AbortSignal) -> Result<Detector, Failure> {
        let choice = self.settings.choice().map_err(Failure::Problem)?;
        if let Some((loaded, detector)) = self.detector.get_value() {
            if loaded == choice {
                return Ok(detector);
            }
            detector.dispose();
            self.detector.set_value(None);
        }
        let on_progress = {
            let item = item.clone();
            move |progress| item.note(progress)
        };
        let detector = Detector::load(&choice, signal, on_progress).await?;
        self.detector.set_value(Some((choice, detector.clone())));
        Ok(detector)
    }
}
