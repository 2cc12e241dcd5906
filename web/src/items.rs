//! The inputs, in the order they were given, and what became of each. One is scored at a time.

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsValue;
use web_sys::{AbortController, File};

use crate::api::{Detector, Faces, Failure, Progress};
use crate::report::Report;

/// What became of an input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Waiting,
    Working(Progress),
    Done { report: Box<Report>, json: String },
    Failed(String),
    Cancelled,
}

/// One input.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) id: usize,
    pub(crate) file: File,
    pub(crate) state: RwSignal<State, LocalStorage>,
    abort: AbortController,
}

impl Item {
    /// Stops it, wherever it is.
    pub(crate) fn cancel(&self) {
        self.abort.abort();
        if matches!(self.state.get_untracked(), State::Waiting) {
            self.state.set(State::Cancelled);
        }
    }
}

/// What detector is used.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    /// As shown to the user.
    pub(crate) name: String,
    /// A URL or a file.
    pub(crate) source: JsValue,
}

/// How the detector's loading went.
#[derive(Clone)]
pub(crate) enum Loading {
    NotYet,
    UnderWay(Progress),
    Ready(Detector),
    Failed(String),
}

/// Everything the page knows.
#[derive(Clone, Copy)]
pub(crate) struct Desk {
    pub(crate) items: RwSignal<Vec<Item>, LocalStorage>,
    pub(crate) choice: RwSignal<Choice, LocalStorage>,
    pub(crate) loading: RwSignal<Loading, LocalStorage>,
    pub(crate) all_faces: RwSignal<bool>,
    busy: StoredValue<bool>,
    next_id: StoredValue<usize>,
}

impl Desk {
    pub(crate) fn new(bundled: &str) -> Self {
        let choice = Choice { name: "unmask-lite".to_owned(), source: JsValue::from_str(bundled) };
        Self {
            items: RwSignal::new_local(Vec::new()),
            choice: RwSignal::new_local(choice),
            loading: RwSignal::new_local(Loading::NotYet),
            all_faces: RwSignal::new(true),
            busy: StoredValue::new(false),
            next_id: StoredValue::new(0),
        }
    }

    /// Takes files in and scores them when it is their turn.
    pub(crate) fn add(self, files: Vec<File>) {
        for file in files {
            // A browser without AbortController has no workers of the kind that is needed either.
            let Ok(abort) = AbortController::new() else { continue };
            let id = self.next_id.get_value();
            self.next_id.set_value(id + 1);
            let item = Item { id, file, state: RwSignal::new_local(State::Waiting), abort };
            self.items.update(|items| items.insert(0, item));
        }
        self.work();
    }

    /// Uses another detector from the next input on.
    pub(crate) fn choose(self, choice: Choice) {
        if let Loading::Ready(detector) = self.loading.get_untracked() {
            detector.dispose();
        }
        self.choice.set(choice);
        self.loading.set(Loading::NotYet);
        self.work();
    }

    pub(crate) fn remove(self, id: usize) {
        self.items.update(|items| {
            items.iter().filter(|item| item.id == id).for_each(Item::cancel);
            items.retain(|item| item.id != id);
        });
    }

    fn next(self) -> Option<Item> {
        let is_waiting = |item: &&Item| matches!(item.state.get_untracked(), State::Waiting);
        self.items.with_untracked(|items| items.iter().rev().find(is_waiting).cloned())
    }

    fn work(self) {
        if self.busy.get_value() {
            return;
        }
        self.busy.set_value(true);
        spawn_local(async move {
            while let Some(item) = self.next() {
                let state = item.state;
                state.set(State::Working(Progress { stage: "detector".to_owned(), ..Progress::default() }));
                let ended = match self.detector().await {
                    Ok(detector) => self.score(&detector, &item).await,
                    Err(failure) => Err(failure),
                };
                state.set(match ended {
                    Ok((report, json)) => State::Done { report: Box::new(report), json },
                    Err(Failure::Cancelled) => State::Cancelled,
                    Err(Failure::Problem(problem)) => State::Failed(problem),
                });
            }
            self.busy.set_value(false);
        });
    }

    async fn score(self, detector: &Detector, item: &Item) -> Result<(Report, String), Failure> {
        let faces = if self.all_faces.get_untracked() { Faces::All } else { Faces::Largest };
        let state = item.state;
        detector.score(&item.file, faces, &item.abort.signal(), move |p| state.set(State::Working(p))).await
    }

    /// The chosen detector, loaded the first time it is needed.
    async fn detector(self) -> Result<Detector, Failure> {
        if let Loading::Ready(detector) = self.loading.get_untracked() {
            return Ok(detector);
        }
        let loading = self.loading;
        loading.set(Loading::UnderWay(Progress::default()));
        let source = self.choice.get_untracked().source;
        let loaded = Detector::load(&source, move |progress| loading.set(Loading::UnderWay(progress))).await;
        loading.set(match &loaded {
            Ok(detector) => Loading::Ready(detector.clone()),
            Err(Failure::Problem(problem)) => Loading::Failed(problem.clone()),
            Err(Failure::Cancelled) => Loading::NotYet,
        });
        loaded
    }
}
