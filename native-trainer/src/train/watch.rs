//! What people watch while a run goes on: a progress bar or plain lines, TensorBoard, and `metrics.jsonl` for programs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use console::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::tensorboard;
use crate::files;

/// Plain lines come this often where there is no terminal to draw on.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    /// When it was measured, in seconds since 1970.
    time_s: f64,
    #[serde(flatten)]
    measure: Measure,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Measure {
    /// An optimizer step. `waiting` is the part of the time since the epoch or the run began in which the model had to
    /// wait for images to be read and augmented.
    Step {
        step: usize,
        epoch: usize,
        loss: f64,
        learning_rate: f64,
        images_per_second: f64,
        #[serde(default)]
        waiting: f64,
    },
    /// The end of an epoch, with the validation. The AUCs are over clips in training, over videos in validation.
    Epoch {
        step: usize,
        epoch: usize,
        train_loss: f64,
        train_auc: Option<f64>,
        validation_loss: f64,
        validation_auc: Option<f64>,
    },
}

impl Measure {
    fn step(&self) -> usize {
        match self {
            Self::Step { step, .. } | Self::Epoch { step, .. } => *step,
        }
    }

    /// By the names under which TensorBoard shows them.
    fn scalars(&self) -> Vec<(&'static str, f64)> {
        match self {
            Self::Step { loss, learning_rate, images_per_second, waiting, .. } => vec![
                ("step/loss", *loss),
                ("step/learning_rate", *learning_rate),
                ("step/images_per_second", *images_per_second),
                ("step/waiting", *waiting),
            ],
            Self::Epoch { train_loss, train_auc, validation_loss, validation_auc, .. } => {
                let always = [("train/loss", *train_loss), ("validation/loss", *validation_loss)];
                let auc = [("train/auc", *train_auc), ("validation/auc", *validation_auc)];
                always.into_iter().chain(auc.into_iter().filter_map(|(name, auc)| Some((name, auc?)))).collect()
            }
        }
    }
}

impl Line {
    fn json(&self) -> Result<String> {
        let mut line = serde_json::to_string(self).context("a measure cannot be written as JSON")?;
        line.push('\n');
        Ok(line)
    }

    fn event(&self) -> Vec<u8> {
        tensorboard::scalars(self.time_s, self.measure.step(), &self.measure.scalars())
    }
}

/// Shows and stores how a run goes.
pub(super) struct Watch {
    bar: ProgressBar,
    metrics: Appended,
    events: Appended,
    images_per_step: usize,
    since: Instant,
    steps_since: usize,
    last_line: Instant,
    waited: Duration,
}

impl Watch {
    /// Goes on with the metrics in `folder` up to step `step` of `total`; later ones are of steps that come again.
    pub(super) fn new(folder: &Path, step: usize, total: usize, images_per_step: usize) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        let kept: Vec<Line> = lines(&path)?.into_iter().filter(|line| line.measure.step() <= step).collect();
        let metrics = kept.iter().map(Line::json).collect::<Result<Vec<_>>>()?.concat();
        let began = kept.first().map_or_else(now_s, |line| line.time_s);
        let events = [tensorboard::header(began)].into_iter().chain(kept.iter().map(Line::event));
        let metrics = Appended::after(path, metrics.as_bytes())?;
        let events = Appended::after(folder.join(EVENTS), &events.collect::<Vec<_>>().concat())?;
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        // The template is a constant and a test draws it.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.set_position(step as u64);
        bar.reset_eta();
        let now = Instant::now();
        Ok(Self {
            bar,
            metrics,
            events,
            images_per_step,
            since: now,
            steps_since: 0,
            last_line: now,
            waited: Duration::ZERO,
        })
    }

    /// Does what the model has to wait for.
    pub(super) fn waiting<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.waited += began.elapsed();
        done
    }

    /// A step was done.
    pub(super) fn step(&mut self, step: usize, epoch: usize, loss: f64, learning_rate: f64) -> Result<()> {
        self.steps_since += 1;
        let elapsed = self.since.elapsed().as_secs_f64();
        let rate = (self.steps_since * self.images_per_step) as f64 / elapsed.max(1e-9);
        let images_per_second = (rate * 10.0).round() / 10.0;
        let waiting = (self.waited.as_secs_f64() / elapsed.max(1e-9) * 1000.0).round() / 1000.0;
        self.store(&Measure::Step { step, epoch, loss, learning_rate, images_per_second, waiting })?;
        self.bar.set_message(format!(
            "loss {loss:.4}  rate {learning_rate:.2e}  {images_per_second:.1} images/s  {:.0} % waiting for images",
            100.0 * waiting
        ));
        self.bar.set_position(step as u64);
        if self.bar.is_hidden() && self.last_line.elapsed() >= PLAIN_INTERVAL {
            self.last_line = Instant::now();
            let total = self.bar.length().unwrap_or_default();
            let left = elapsed / self.steps_since as f64 * (total.saturating_sub(step as u64)) as f64;
            eprintln!(
                "epoch {epoch}, step {step} of {total}: loss {loss:.4}, learning rate {learning_rate:.2e}, \
                 {images_per_second:.1} images/s, {:.0} % of the time waiting for images, {} left",
                100.0 * waiting,
                indicatif::HumanDuration(Duration::from_secs_f64(left))
            );
        }
        Ok(())
    }

    /// An epoch was done and validated. The clock of the rate starts anew.
    pub(super) fn epoch(&mut self, measure: &Measure) -> Result<()> {
        self.store(measure)?;
        if let Measure::Epoch { epoch, train_loss, train_auc, validation_loss, validation_auc, .. } = measure {
            let shown = |auc: &Option<f64>| auc.map_or("–".to_string(), |auc| format!("{auc:.4}"));
            self.say(&format!(
                "{} train loss {train_loss:.4}, AUC {}; validation loss {validation_loss:.4}, AUC {}",
                style(format!("epoch {epoch}:")).bold(),
                shown(train_auc),
                shown(validation_auc),
            ));
        }
        self.since = Instant::now();
        self.steps_since = 0;
        self.waited = Duration::ZERO;
        Ok(())
    }

    /// Prints a line above the bar.
    pub(super) fn say(&self, line: &str) {
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn store(&mut self, measure: &Measure) -> Result<()> {
        let line = Line { time_s: now_s(), measure: measure.clone() };
        self.metrics.append(line.json()?.as_bytes())?;
        self.events.append(&line.event())
    }
}

/// A file that grows.
struct Appended {
    file: File,
    path: PathBuf,
}

impl Appended {
    /// The file at `path`, which holds `bytes` so far.
    fn after(path: PathBuf, bytes: &[u8]) -> Result<Self> {
        files::write_bytes(&path, bytes)?;
        let file = OpenOptions::new().append(true).open(&path);
        Ok(Self { file: file.with_context(|| format!("{} cannot be written", path.display()))?, path })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).with_context(|| {
            format!("{} cannot be written; free some space and go on with --resume", self.path.display())
        })
    }
}

/// The file that TensorBoard finds by its name.
const EVENTS: &str = "events.out.tfevents.unmask";

fn now_s() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (since.as_secs_f64() * 1000.0).round() / 1000.0
}

const TEMPLATE: &str = "{wide_bar} {pos}/{len} steps, {eta} left  {msg}";

/// What was measured so far.
pub(super) fn read(path: &Path) -> Result<Vec<Measure>> {
    Ok(lines(path)?.into_iter().map(|line| line.measure).collect())
}

/// The lines of a file that can be read; a last one that a kill cut short is passed over.
fn lines(path: &Path) -> Result<Vec<Line>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_drops_the_measures_of_steps_that_come_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut watch = Watch::new(folder.path(), 0, 10, 4).unwrap();
        for step in 1..=4 {
            watch.step(step, 0, 0.5, 1e-3).unwrap();
        }
        drop(watch);
        // A kill in the middle of a line.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"kind\":\"step\",\"st").unwrap();
        let mut watch = Watch::new(folder.path(), 2, 10, 4).unwrap();
        watch.step(3, 0, 0.25, 1e-3).unwrap();
        let steps: Vec<usize> = read(&path).unwrap().iter().map(Measure::step).collect();
        assert_eq!(steps, [1, 2, 3]);
        let events = std::fs::read(folder.path().join(EVENTS)).unwrap();
        let lines = lines(&path).unwrap();
        let expected: Vec<Vec<u8>> =
            [tensorboard::header(lines[0].time_s)].into_iter().chain(lines.iter().map(Line::event)).collect();
        assert_eq!(events, expected.concat());
    }

    #[test]
    fn time_spent_waiting_for_images_is_counted_anew_in_each_epoch() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(folder.path(), 0, 10, 4).unwrap();
        watch.waiting(|| std::thread::sleep(Duration::from_millis(50)));
        watch.step(1, 1, 0.5, 1e-3).unwrap();
        let (train_loss, validation_loss) = (0.5, 0.5);
        let epoch =
            Measure::Epoch { step: 1, epoch: 1, train_loss, train_auc: None, validation_loss, validation_auc: None };
        watch.epoch(&epoch).unwrap();
        watch.step(2, 2, 0.5, 1e-3).unwrap();
        let waiting = |measure: &Measure| match measure {
            Measure::Step { waiting, .. } => Some(*waiting),
            Measure::Epoch { .. } => None,
        };
        let found: Vec<f64> = read(&folder.path().join("metrics.jsonl")).unwrap().iter().filter_map(waiting).collect();
        assert!(found.len() == 2 && found[0] > 0.0 && found[0] <= 1.0 && found[1] == 0.0, "{found:?}");
    }

    #[test]
    fn the_bar_has_a_template_that_can_be_drawn() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
