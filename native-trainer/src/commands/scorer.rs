//! What the commands that score have in common: which detectors, on which device, how much of a video, and the bar meanwhile.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use burn::prelude::*;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use unmask_core::face::finder::FaceFinder;
use unmask_core::pipeline::Faces;
use unmask_core::pipeline::report::Report;

use unmask::detector_file::{self, Loaded, Source};
use unmask::device::DeviceChoice;
use unmask::media::{Damage, Input};
use unmask::provenance::{DetectorFacts, Run, Settings};
use unmask::report::Pictures;
use unmask::scoring::{ScoreOptions, Scorer, face_finder};

/// How inputs are scored.
#[derive(Args, Debug)]
pub(super) struct ScorerArgs {
    /// A detector file, or the name of a pulled detector or of the one that is part of the program; named several times,
    /// each detector scores, and where they do not agree the verdict is uncertain
    #[arg(long, value_name = "NAME|FILE", default_value = detector_file::BUNDLED)]
    model: Vec<String>,
    /// The detector file that an adapter belongs to; goes with one --model
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// Frames looked at, evenly spaced over each video [default: the detector's own number, 32 for most;
    /// the largest of several detectors' numbers]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    frames: Option<u32>,
    /// Whose faces are scored
    #[arg(long, value_enum, default_value = "largest")]
    faces: FacesArg,
    /// auto, cpu, cuda, cuda:N or wgpu
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// What to do with a damaged video
    #[arg(long, value_enum, default_value = "refuse")]
    damaged: Damage,
}

/// Whose faces.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FacesArg {
    /// The person whose face fills the most of the frames
    Largest,
    /// Everybody; the video's score is that of the most suspicious person
    All,
}

impl ScorerArgs {
    /// Loads the detectors and the face finder.
    pub(super) fn open(&self) -> Result<Scorer> {
        let (detectors, finder) = self.load(&self.sources()?, &self.device.open()?)?;
        Ok(self.scorer(detectors, finder))
    }

    /// [`ScorerArgs::open`] with what reports say of the run.
    pub(super) fn open_for_reports(&self) -> Result<(Scorer, Run)> {
        let (sources, device) = (self.sources()?, self.device.open()?);
        let (detectors, finder) = self.load(&sources, &device)?;
        let facts = |(source, loaded): (&Source, &Loaded)| {
            DetectorFacts::new(source, sources.base.as_ref(), loaded.detector.spec(), loaded.sha256()?)
        };
        let facts: Vec<DetectorFacts> = sources.models.iter().zip(&detectors).map(facts).collect::<Result<_>>()?;
        let scorer = self.scorer(detectors, finder);
        let device = if device == Device::flex() { "cpu".to_owned() } else { self.device.to_string() };
        let ScoreOptions { faces, damage, .. } = self.options();
        let run = Run::new(facts, Settings::new(scorer.frames(), faces, damage, device));
        Ok((scorer, run))
    }

    fn sources(&self) -> Result<Sources> {
        let models = self.model.iter().map(|model| detector_file::resolve(model)).collect::<Result<_>>()?;
        let base = self.base.as_deref().map(|base| detector_file::resolve(&base.to_string_lossy())).transpose()?;
        Ok(Sources { models, base })
    }

    fn load(&self, sources: &Sources, device: &Device) -> Result<(Vec<Loaded>, FaceFinder)> {
        let finder = std::thread::spawn(face_finder);
        let detectors = load(&sources.models, sources.base.as_ref(), device)?;
        let finder = finder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((detectors, finder))
    }

    fn scorer(&self, mut detectors: Vec<Loaded>, finder: FaceFinder) -> Scorer {
        let first = detectors.remove(0);
        Scorer::new(first, detectors, finder, self.options())
    }

    fn options(&self) -> ScoreOptions {
        ScoreOptions {
            frames: self.frames.map(|frames| frames as usize),
            faces: match self.faces {
                FacesArg::Largest => Faces::Largest,
                FacesArg::All => Faces::All,
            },
            damage: self.damaged,
        }
    }
}

/// Where the detectors are that were named.
struct Sources {
    models: Vec<Source>,
    base: Option<Source>,
}

/// Loads the detectors that were named: one, or an adapter over its base, or several that are whole and differ.
fn load(models: &[Source], base: Option<&Source>, device: &Device) -> Result<Vec<Loaded>> {
    if base.is_some() && models.len() > 1 {
        bail!(
            "--base goes with one --model only; for a second opinion name whole detectors, such as the \
             detector.safetensors that a finished run leaves beside its adapter"
        );
    }
    let mut detectors: Vec<Loaded> = Vec::new();
    for model in models {
        let spinner = spinner(format!("loading {model}"));
        let loaded = match models.len() {
            1 => detector_file::load(model, base, device),
            _ => detector_file::load_whole(model, device),
        };
        spinner.finish_and_clear();
        let loaded = loaded?;
        for other in &detectors {
            if other.sha256()? == loaded.sha256()? {
                bail!("--model names {model} twice, or a copy of it; for a second opinion name another detector");
            }
        }
        detectors.push(loaded);
    }
    Ok(detectors)
}

/// Scores one input under a progress bar, which is drawn on a terminal only. The report calls it by `name`.
pub(super) fn under_bar(scorer: &Scorer, input: &Input, name: &str, pictures: Option<&mut Pictures>) -> Result<Report> {
    let bar = ProgressBar::with_draw_target(Some(scorer.frames() as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} frames {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    let report = scorer.score_as(input, name, pictures, |done, expected| {
        bar.set_length(expected as u64);
        bar.set_position(done as u64);
        true
    });
    bar.finish_and_clear();
    report
}

fn spinner(message: String) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(message);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
