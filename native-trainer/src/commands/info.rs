//! `unmask info`: what a detector file is, or what data holds.

use std::ffi::OsStr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use comfy_table::{Table, presets::NOTHING};
use serde_json::json;
use unmask_core::detector::Strategy;
use unmask_core::detector::spec::{DetectorSpec, InputSpec, Measured, Quantization, Reliability, TrainingStatus};

use unmask::counts::Counts;
use unmask::datasets::{self, LoadOptions, summary};
use unmask::detector_file::{self, Source};
use unmask::output;
use unmask::output::say;

/// Describe a detector file, or data to train on
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  unmask info unmask-lite                           the detector that is part of the program
  unmask info detector.safetensors
  unmask info gend-clip-l-14 --json
  unmask info faces/                                what `unmask preprocess` wrote
  unmask info FF-DF.json --compression c40          a data set of DeepfakeBench")]
pub(crate) struct InfoArgs {
    /// A detector file, an adapter, the name of a pulled detector, or data: a folder, a .json or a .jsonl
    #[arg(value_name = "MODEL|DATA")]
    model: PathBuf,
    /// Print the whole description as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: LoadOptions,
}

/// Runs the command.
pub(crate) fn run(args: &InfoArgs) -> Result<()> {
    let is_data = |extension: &OsStr| extension.eq_ignore_ascii_case("json") || extension.eq_ignore_ascii_case("jsonl");
    if args.model.is_dir() || args.model.extension().is_some_and(is_data) {
        return describe_data(args);
    }
    let source = detector_file::resolve(&args.model.to_string_lossy())?;
    let file = source.open()?;
    let spec = detector_file::describe(&source, &file)?;
    let counts = Counts::of(&file, &spec.architecture);
    let sha256 = source.sha256()?;
    if args.json {
        let document = json!({
            "path": source.to_string(), "sha256": sha256, "tensors": counts.tensors, "parameters": counts.parameters,
            "trainable": { "ln": counts.layer_norm, "stan": counts.stan, "head": counts.head }, "detector": spec,
            "reliability": spec.training.reliability(),
        });
        say!("{}", serde_json::to_string_pretty(&document).context("the description cannot be written")?);
    } else {
        say!("{}", table(&source, &sha256, &spec, &counts));
    }
    Ok(())
}

/// Shows the videos of a data set, as a table or one by one.
fn describe_data(args: &InfoArgs) -> Result<()> {
    let dataset = datasets::load(&args.model, None, &args.data)?;
    if args.json {
        let document = serde_json::to_string_pretty(&summary::document(&dataset));
        return output::print(&format!("{}\n", document.context("the description cannot be written")?));
    }
    output::print(&format!("{}\n{}", dataset.name, summary::text(&dataset)))
}

fn table(source: &Source, sha256: &str, spec: &DetectorSpec, counts: &Counts) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    let mut row = |name: &str, value: String| {
        table.add_row([name, &value]);
    };
    row("name", spec.name.clone());
    row("file", source.to_string());
    row("SHA-256", sha256.to_string());
    if let Some(adapter) = &spec.adapter {
        row("adapter for", adapter.base_sha256.clone());
    }
    row("architecture", spec.architecture.sizes().words());
    row("compute", format!("{:.1} GFLOP a face", spec.architecture.flops() as f64 / 1e9));
    let sizes = spec.architecture.sizes();
    let norms = if sizes.has_batch_norms() { "norms" } else { "LayerNorms" };
    let (tuned, parts) = match sizes.usual_strategy() {
        Strategy::Stan => (counts.stan, format!("{norms}, new layers and head")),
        _ => (counts.layer_norm, format!("{norms} and head")),
    };
    row(
        "parameters",
        format!(
            "{} in {} tensors ({tuned} in {parts}, {} in the head)",
            counts.parameters, counts.tensors, counts.head
        ),
    );
    let InputSpec { size, mean, std, interpolation } = &spec.input;
    row("input", format!("{size}×{size}, {}, mean {mean:?}, std {std:?}", interpolation.name()));
    row("crop", format!("{:?}, {} px, margin {}", spec.crop.geometry, spec.crop.size, spec.crop.margin));
    row(
        "frames",
        match spec.clip_length() {
            1 => spec.sampling.frames.to_string(),
            length => format!("{} in clips of {length}", spec.sampling.frames),
        },
    );
    row(
        "verdict",
        format!(
            "likely real up to {}, likely fake from {} (temperature {})",
            spec.calibration.real_below, spec.calibration.fake_above, spec.calibration.temperature
        ),
    );
    if sizes.says_uncertainty() {
        row("uncertainty", format!("not judged above {}", spec.calibration.uncertainty_limit()));
    }
    let status = match spec.training.status {
        TrainingStatus::Untrained => "untrained",
        TrainingStatus::Imported => "imported",
        TrainingStatus::Trained => "trained",
    };
    row("training", format!("{status}: {}", spec.training.summary));
    let Reliability { grade, words } = spec.training.reliability();
    row("reliability", format!("{}: {words}", output::grade(grade)));
    if let Some(words) = spec.calibration.measured.as_ref().and_then(Measured::words) {
        row("error rates", words);
    }
    if let Some(Quantization { int8, kept, check }) = &spec.quantization {
        let kept = if kept.is_empty() { String::new() } else { format!(", {} kept in f16", kept.join(", ")) };
        row("integers", format!("{int8} weights of 8 bits{kept}: {}", check.words()));
    }
    row("licence", spec.licence.clone().unwrap_or_else(|| "not stated".to_string()));
    row("base model", spec.base_model.clone().unwrap_or_else(|| "not stated".to_string()));
    table
}
