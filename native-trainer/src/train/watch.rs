//! What people watch while a run goes on: a progress bar or plain lines, and `metrics.jsonl` for programs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use console::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};

use crate::files;

/// Plain lines come this often where there is no terminal to draw on.
const PLAIN_INTERVAL: Duration = Duration::from_secs(30);

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Measure {
    /// An optimizer step.
    Step { step: usize, epoch: usize, loss: f64, learning_rate: f64, images_per_second: f64 },
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
}

/// Shows and stores how a run goes.
pub(super) struct Watch {
    bar: ProgressBar,
    file: File,
    path: PathBuf,
    images_per_step: usize,
    since: Instant,
    steps_since: usize,
    last_line: Instant,
    rate: f64,
}

impl Watch {
    /// Goes on with the metrics in `folder` up to step `step` of `total`; later ones are of steps that come again.
    pub(super) fn new(folder: &Path, step: usize, total: usize, images_per_step: usize) -> Result<Self> {
        let path = folder.join("metrics.jsonl");
        keep_until(&path, step)?;
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        // The template is a constant and a test draws it.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.set_position(step as u64);
        bar.reset_eta();
        let now = Instant::now();
        Ok(Self { bar, file, path, images_per_step, since: now, steps_since: 0, last_line: now, rate: 0.0 })
    }

    /// A step was done.
    pub(super) fn step(&mut self, step: usize, epoch: usize, loss: f64, learning_rate: f64) -> Result<()> {
        self.steps_since += 1;
        let elapsed = self.since.elapsed().as_secs_f64();
        self.rate = (self.steps_since * self.images_per_step) as f64 / elapsed.max(1e-9);
        let images_per_second = (self.rate * 10.0).round() / 10.0;
        self.store(&Measure::Step { step, epoch, loss, learning_rate, images_per_second })?;
        self.bar.set_message(format!("loss {loss:.4}  rate {learning_rate:.2e}  {images_per_second:.1} images/s"));
        self.bar.set_position(step as u64);
        if self.bar.is_hidden() && self.last_line.elapsed() >= PLAIN_INTERVAL {
            self.last_line = Instant::now();
            let total = self.bar.length().unwrap_or_default();
            let left = elapsed / self.steps_since as f64 * (total.saturating_sub(step as u64)) as f64;
            eprintln!(
                "epoch {epoch}, step {step} of {total}: loss {loss:.4}, learning rate {learning_rate:.2e}, \
                 {images_per_second:.1} images/s, {} left",
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
        let mut line = serde_json::to_string(measure).context("a measure cannot be written as JSON")?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).with_context(|| {
            format!("{} cannot be written; free some space and go on with --resume", self.path.display())
        })
    }
}

const TEMPLATE: &str = "{wide_bar} {pos}/{len} steps, {eta} left  {msg}";

/// The measures in a file that can be read; a last line that a kill cut short is not one.
pub(super) fn read(path: &Path) -> Result<Vec<Measure>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Drops what was measured after step `step`.
fn keep_until(path: &Path, step: usize) -> Result<()> {
    let measures = read(path)?;
    let kept: Vec<String> = measures
        .iter()
        .filter(|measure| measure.step() <= step)
        .map(|measure| serde_json::to_string(measure).map(|line| line + "\n"))
        .collect::<Result<_, _>>()
        .context("the metrics cannot be written as JSON")?;
    files::write_bytes(path, kept.concat().as_bytes())
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
    }

    #[test]
    fn the_bar_has_a_template_that_can_be_drawn() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
