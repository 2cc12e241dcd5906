//! Several detectors on the same data, and the tables that say how they compare.
//!
//! A [`config`] names the detectors and the data. `detectors` trains or finds each, `scores` measures each on each data
//! set, `efficiency` says what each costs; all is gathered as a `results::Comparison`, of which `tables` makes
//! `documents` and CSV and `figure` a chart. What is missing stands there with its reason, and the others go on.
//!
//! The folder of a comparison:
//!
//! | path | holds |
//! |---|---|
//! | `METHOD/` | the run of a method that is trained, as `unmask train` leaves it |
//! | `results/METHOD/` | what was measured, a JSON a data set, and `speed.json` |
//! | `faces/` | the crops of videos that a table names |
//! | `comparison.md`, `comparison.json`, `*.csv`, `auc.svg` | what it is all for |

pub mod config;
mod detectors;
mod document;
mod efficiency;
mod figure;
mod results;
mod scores;
mod tables;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::device::DeviceChoice;
use crate::files;
use config::{Config, Method};
use detectors::Ready;
use results::{Comparison, DatasetEntry, DetectorEntry, MethodEntry, Missing, MissingKind, Outcome};

/// What the command line says beside the configuration.
pub struct Options {
    /// Where everything goes.
    pub out: PathBuf,
    /// Whether nothing that is there already counts.
    pub fresh: bool,
    /// Where the detectors run.
    pub device: DeviceChoice,
    /// Images that go through a detector together when its speed is measured.
    pub batch: u32,
}

/// How a comparison ended.
pub enum Ended {
    /// All is written; some of it may be missing.
    Finished {
        /// Whether anything is.
        is_complete: bool,
        /// The document for people.
        document: String,
    },
    /// It was asked to stop.
    Stopped,
}

/// Why a step gives nothing.
enum Halt {
    /// It was asked to stop.
    Stopped,
    Missing(Missing),
}

impl From<anyhow::Error> for Halt {
    fn from(error: anyhow::Error) -> Self {
        Self::Missing(Missing { kind: MissingKind::Failed, reason: format!("{error:#}") })
    }
}

impl Halt {
    fn missing(kind: MissingKind, reason: String) -> Self {
        Self::Missing(Missing { kind, reason })
    }
}

/// Trains or loads each detector, measures it, and writes what was found. `stop` may be set at any time; it then ends after
/// the current step, and the same call goes on from there.
///
/// # Errors
/// The tables cannot be written. What else fails is told in them.
pub fn run(config: &Config, options: &Options, stop: &AtomicBool) -> Result<Ended> {
    let mut methods = Vec::with_capacity(config.methods.len());
    for (index, method) in config.methods.iter().enumerate() {
        eprintln!("{} of {}: {}", index + 1, config.methods.len(), method.name);
        match compare_one(config, method, options, stop) {
            Ok(entry) => methods.push(entry),
            Err(Halt::Stopped) => return Ok(Ended::Stopped),
            Err(Halt::Missing(missing)) => {
                eprintln!("warning: {}: {}", method.name, missing.reason);
                methods.push(MethodEntry {
                    name: method.name.clone(),
                    detector: Outcome::Missing(missing),
                    measured: Vec::new(),
                    efficiency: None,
                });
            }
        }
    }
    let comparison = Comparison {
        version: results::VERSION,
        device: options.device.to_string(),
        datasets: config.datasets.iter().map(DatasetEntry::of).collect(),
        methods,
    };
    let document = document::write(&options.out, &comparison)?;
    Ok(Ended::Finished { is_complete: comparison.is_complete(), document })
}

/// Everything about one method.
fn compare_one(config: &Config, method: &Method, options: &Options, stop: &AtomicBool) -> Result<MethodEntry, Halt> {
    let ready = detectors::ready(method, options, stop)?;
    let mut measured = Vec::with_capacity(config.datasets.len());
    let mut loaded = None;
    for set in &config.datasets {
        check(stop)?;
        let found = scores::measure(method, &ready, set, &mut loaded, options, stop);
        measured.push(outcome(found, stop, &format!("{} on {}", method.name, set.name))?);
    }
    // What is measured next is measured in a process of its own, beside which nothing large is to be held.
    drop(loaded);
    check(stop)?;
    let speed = outcome(efficiency::speed(method, &ready, options), stop, &format!("the speed of {}", method.name))?;
    let Ready { spec, sha256, source, .. } = &ready;
    let efficiency = efficiency::of(&ready, speed)?;
    let detector = DetectorEntry { name: spec.name.clone(), file: source.to_string(), sha256: sha256.clone() };
    Ok(MethodEntry {
        name: method.name.clone(),
        detector: Outcome::Found(detector),
        measured,
        efficiency: Some(efficiency),
    })
}

/// Ends where it was asked to stop.
fn check(stop: &AtomicBool) -> Result<(), Halt> {
    if stop.load(Ordering::Relaxed) { Err(Halt::Stopped) } else { Ok(()) }
}

/// What a step gave or why it gave nothing, which is said at once; only a wish to stop goes on.
fn outcome<T>(found: Result<T, Halt>, stop: &AtomicBool, what: &str) -> Result<Outcome<T>, Halt> {
    match found {
        // What was interrupted failed for that reason.
        Err(_) if stop.load(Ordering::Relaxed) => Err(Halt::Stopped),
        Ok(found) => Ok(Outcome::Found(found)),
        Err(Halt::Missing(missing)) => {
            eprintln!("warning: {what}: {}", missing.reason);
            Ok(Outcome::Missing(missing))
        }
        Err(Halt::Stopped) => Err(Halt::Stopped),
    }
}

/// The folder of what was measured with a method.
fn results_folder(method: &Method, options: &Options) -> PathBuf {
    options.out.join(config::RESULTS).join(&method.folder)
}

/// What an earlier comparison stored in `path`, if it can be read and is of this `key`.
fn stored<K: DeserializeOwned + PartialEq, T: DeserializeOwned>(path: &Path, key: &K) -> Option<T> {
    let text = std::fs::read(path).ok()?;
    let document: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let of: K = serde_json::from_value(document.get("of")?.clone()).ok()?;
    if of != *key {
        return None;
    }
    serde_json::from_value(document.get("found")?.clone()).ok()
}

/// Stores what was found, with the key that says what it is of.
fn store(path: &Path, key: &impl Serialize, found: &impl Serialize) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made; choose another folder with --out", folder.display()))?;
    }
    files::write_json(path, &serde_json::json!({ "of": key, "found": found }))
}
