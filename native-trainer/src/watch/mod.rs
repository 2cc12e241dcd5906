//! A folder that is watched: what arrives in it is given out once, as soon as it is whole, and what was made of it becomes a line
//! of a file that a later run goes on with.
//!
//! The folder is listed again and again (`listing`), since no system tells of what other machines write to a network mount. What
//! a file's completeness is told by is in `arrivals`, the file of lines in `lines`. Scoring is the caller's.

mod arrivals;
mod lines;
mod listing;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use unmask_core::pipeline::report::REPORT_VERSION;

use crate::file_print;
use crate::media::{self, Input, MediaError};
use crate::output;
use crate::provenance::Document;

use arrivals::Arrivals;
use lines::{Lines, Watched};
use listing::{Listing, Stamp};

/// Between two looks at whether the user wants to end.
const PATIENCE: Duration = Duration::from_millis(50);
/// Why a file is not scored that lay there before.
const BEFORE: &str = "it lay there before watching began";

/// What is watched, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder, with its subfolders.
    pub folder: PathBuf,
    /// The file that gets a line for each input.
    pub out: PathBuf,
    /// A folder that is passed over where it lies in the other one, such as that of reports.
    pub passed_over: Option<PathBuf>,
    /// How long a file has to stay the same until it is taken to be whole.
    pub settle: Duration,
    /// The time between two looks at the folder.
    pub every: Duration,
    /// Ends once what lies there is seen to.
    pub once: bool,
    /// Notes what lies there when there are no lines yet, and leaves it unscored.
    pub new_only: bool,
    /// Forgets earlier failures.
    pub retry: bool,
}

/// A file that is to be scored.
#[derive(Debug)]
pub struct Arrival {
    /// Its path, beginning with the watched folder's as it was given.
    pub path: PathBuf,
    /// Its path within the watched folder.
    pub within: PathBuf,
    /// What it is, or why that cannot be told.
    pub input: Result<Input, MediaError>,
    stamp: Stamp,
    sample: Option<String>,
}

/// What became of an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It has its line.
    Written,
    /// It was written to meanwhile: it will arrive again.
    Changed,
    /// It failed because it is gone, so nothing is said of it.
    Gone,
}

/// A folder that is watched.
pub struct Watch {
    settings: Settings,
    lines: Lines,
    arrivals: Arrivals,
    ready: VecDeque<(PathBuf, Stamp)>,
    next_look: Instant,
    troubles: Vec<String>,
    notes: Vec<String>,
}

impl Watch {
    /// Opens the file of lines, which one program at a time may do, and reads what was seen to.
    ///
    /// # Errors
    /// The folder cannot be listed, another program watches into the same file, or that file is not of this program.
    pub fn open(settings: Settings) -> Result<Self> {
        let folder = settings.folder.display();
        listing::list(&settings.folder, &[]).with_context(|| format!("{folder} cannot be watched; name a folder"))?;
        let (lines, notes) = Lines::open(&settings.out, settings.retry)?;
        let mut watch = Self {
            arrivals: Arrivals::new(settings.settle),
            ready: VecDeque::new(),
            next_look: Instant::now(),
            troubles: Vec::new(),
            lines,
            notes,
            settings,
        };
        if watch.settings.new_only && watch.lines.is_empty() {
            watch.leave_what_lies_there()?;
        }
        Ok(watch)
    }

    /// How many files have a line.
    pub fn known(&self) -> usize {
        self.lines.known()
    }

    /// Files of a run that ends by itself which were still written to.
    pub fn unsettled(&self) -> usize {
        self.arrivals.unsettled()
    }

    /// Whether a part of the folder could not be listed when it was last looked at.
    pub fn is_troubled(&self) -> bool {
        !self.troubles.is_empty()
    }

    /// What there is to say about the folder and its files since this was last asked.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Waits for the next file that is whole and not seen to; none once `stop` is set, or where a run that ends by itself is
    /// done. `say` is given what there is to say meanwhile.
    pub fn next(&mut self, stop: &AtomicBool, mut say: impl FnMut(&str)) -> Option<Arrival> {
        loop {
            self.notes().iter().for_each(|note| say(note));
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            if let Some((within, stamp)) = self.ready.pop_front() {
                match self.arrival(within, stamp) {
                    Some(arrival) => return Some(arrival),
                    None => continue,
                }
            }
            if self.settings.once && self.arrivals.is_all_seen_to() {
                return None;
            }
            match self.next_look.checked_duration_since(Instant::now()) {
                Some(left) => std::thread::sleep(left.min(PATIENCE)),
                None => self.look(),
            }
        }
    }

    /// Writes the line of an arrival, on the disk when this returns.
    ///
    /// # Errors
    /// The line cannot be written.
    pub fn record(&mut self, arrival: &Arrival, outcome: &Result<Document>) -> Result<Recorded> {
        match Stamp::of(&arrival.path) {
            None if outcome.is_err() => return Ok(Recorded::Gone),
            Some(now) if now != arrival.stamp => {
                self.arrivals.again(&arrival.within);
                return Ok(Recorded::Changed);
            }
            // Of what was read to its end before it went, something is known.
            _ => {}
        }
        let document = match outcome {
            Ok(document) => serde_json::to_value(document).context("the report cannot be written as JSON")?,
            Err(error) => output::failed(&arrival.path.display().to_string(), error),
        };
        let watched = Watched::new(&arrival.within, arrival.stamp, arrival.sample.clone());
        self.lines.append(document, watched)?;
        Ok(Recorded::Written)
    }

    /// Lists the folder and takes note of what is new, whole or gone.
    fn look(&mut self) {
        let begun = Instant::now();
        let passed_over: Vec<&Path> =
            self.settings.passed_over.iter().chain([&self.settings.out]).map(|p| &**p).collect();
        let listed = listing::list(&self.settings.folder, &passed_over);
        let Listing { files, aside, troubles } = listed.unwrap_or_else(|error| Listing {
            // A mount that went away may come back.
            troubles: vec![format!("{} cannot be listed ({error}); trying again", self.settings.folder.display())],
            ..Listing::default()
        });
        let look = (begun, Instant::now());
        self.ready = self.arrivals.update(files, aside, look, |within, stamp| self.lines.has(within, stamp)).into();
        self.notes.extend(troubles.iter().filter(|trouble| !self.troubles.contains(trouble)).cloned());
        self.troubles = troubles;
        self.next_look = Instant::now() + self.settings.every;
    }

    /// What is ready, looked into; none where it is gone, was seen to under another time, or is no input.
    fn arrival(&mut self, within: PathBuf, stamp: Stamp) -> Option<Arrival> {
        let path = self.settings.folder.join(&within);
        if let Some(now) = Stamp::of(&path)
            && now != stamp
        {
            self.arrivals.again(&within);
            return None;
        }
        let sample = file_print::sample(&path).ok();
        if self.lines.has_sample(&within, stamp, sample.as_deref()) {
            return None;
        }
        let input = match media::file_in_folder(&path) {
            Ok(Ok(input)) => Ok(input),
            Ok(Err(reason)) => {
                self.notes.push(format!("note: {} is left out ({reason})", path.display()));
                return None;
            }
            Err(MediaError::NotFound { .. }) => return None,
            Err(error) => Err(error),
        };
        Some(Arrival { path, within, input, stamp, sample })
    }

    /// Gives a line to each file that lies there, which says that it is not scored.
    fn leave_what_lies_there(&mut self) -> Result<()> {
        let Listing { files, .. } = listing::list(&self.settings.folder, &[&self.settings.out])?;
        for (within, stamp) in files {
            let path = self.settings.folder.join(&within);
            let Ok(Ok(_)) = media::file_in_folder(&path) else { continue };
            let left_out = json!([{ "path": path.display().to_string(), "reason": BEFORE }]);
            let input = self.settings.folder.display().to_string();
            let document: Value = json!({ "version": REPORT_VERSION, "input": input, "left_out": left_out });
            let watched = Watched::new(&within, stamp, file_print::sample(&path).ok());
            self.lines.append(document, watched)?;
        }
        Ok(())
    }
}
