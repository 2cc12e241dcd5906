//! `unmask verify`: whether a report is what the program says of its input.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use console::style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use unmask::device::DeviceChoice;
use unmask::files;
use unmask::output::say;
use unmask::provenance::Document;
use unmask::verify::{Check, Outcome, Places, Verification, Verifier};

/// Verify a report: compute its hashes anew, score its input anew, and compare
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  unmask score clip.mp4 --report reports/
  unmask verify reports/clip.mp4.json
  unmask verify reports/                                    all reports in the folder
  unmask verify clip.mp4.json --input /evidence/clip.mp4    the file lies elsewhere now
  unmask verify clip.mp4.json --model detector.safetensors --json

Each line says `pass`, `differs` or `cannot be checked`, and why. Exit status: 0 every report is verified, 1 one is not,
2 wrong usage.")]
pub(crate) struct VerifyArgs {
    /// A report's JSON file, or the folder that `unmask score --report` wrote
    #[arg(required = true, value_name = "REPORT")]
    reports: Vec<PathBuf>,
    /// Where the input is now, or the folder that it lies in
    #[arg(long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Where a detector is now; several by naming it again
    #[arg(long, value_name = "NAME|FILE")]
    model: Vec<String>,
    /// Where the detector that an adapter belongs to is now
    #[arg(long, value_name = "NAME|FILE")]
    base: Option<String>,
    /// auto, cpu, cuda, cuda:N or wgpu
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Print JSON: an object where one file is named, else an array
    #[arg(long)]
    json: bool,
}

/// Runs the command: 0 if all reports are verified, 1 if any is not.
pub(crate) fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let places = Places { input: args.input.clone(), models: args.model.clone(), base: args.base.clone() };
    let is_single = matches!(&args.reports[..], [path] if !path.is_dir());
    let reports = args.reports.iter().map(|path| reports_at(path)).collect::<Result<Vec<_>>>()?.concat();
    let mut verifier = Verifier::new(places, args.device);
    let (mut documents, mut verified) = (Vec::new(), true);
    for path in &reports {
        let verification = match read(path) {
            Ok(document) => verify(&mut verifier, path, &document),
            Err(error) => {
                verified = false;
                eprintln!("error: {error:#}");
                documents.push(json!({ "report": path.display().to_string(), "error": format!("{error:#}") }));
                continue;
            }
        };
        verified &= verification.verified;
        if args.json {
            let mut document = serde_json::to_value(&verification).context("the result cannot be written as JSON")?;
            document["report"] = path.display().to_string().into();
            documents.push(document);
        } else {
            say!("{}", summary(path, &verification));
        }
    }
    if args.json {
        let document = match <[Value; 1]>::try_from(documents) {
            Ok([document]) if is_single => document,
            Ok(documents) => Value::Array(documents.into()),
            Err(documents) => Value::Array(documents),
        };
        say!("{}", serde_json::to_string_pretty(&document).context("the results cannot be written as JSON")?);
    }
    Ok(if verified { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The reports that a path stands for: itself, or every JSON file in it.
fn reports_at(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let shown = path.display();
    let entries = std::fs::read_dir(path).with_context(|| format!("{shown} cannot be read; check its permissions"))?;
    let mut reports: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("{shown} cannot be read; check its permissions"))?.path();
        if entry.extension().is_some_and(|extension| extension == "json") {
            reports.push(entry);
        }
    }
    reports.sort();
    if reports.is_empty() {
        bail!("{shown} holds no report; name a folder that `unmask score --report` wrote");
    }
    Ok(reports)
}

fn read(path: &Path) -> Result<Document> {
    let text = files::read_text(path)?;
    serde_json::from_str(&text).with_context(|| {
        format!("{} is no report of `unmask score --report`; name the JSON file that it wrote", path.display())
    })
}

/// Verifies one report under a progress bar, which is drawn on a terminal only.
fn verify(verifier: &mut Verifier, path: &Path, document: &Document) -> Verification {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} frames {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(document.report.input.clone());
    bar.enable_steady_tick(Duration::from_millis(200));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let verification = verifier.verify(document, folder, |done, expected| {
        bar.set_length(expected as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    verification
}

/// A line a check, and what they amount to.
fn summary(path: &Path, verification: &Verification) -> String {
    let mut lines = vec![format!("{} ({})", style(path.display()).bold(), verification.input)];
    let width = verification.checks.iter().map(|check| check.what.chars().count()).max().unwrap_or(0);
    let line = |Check { what, outcome, reason, .. }: &Check| {
        let word = format!("{:<17}", outcome.words());
        let word = match outcome {
            Outcome::Pass => style(word).green(),
            Outcome::Differs => style(word).red().bold(),
            Outcome::NotChecked => style(word).yellow(),
        };
        format!("  {word}  {what:<width$}  {reason}")
    };
    lines.extend(verification.checks.iter().map(line));
    lines.push(match verification.verified {
        true => "  verified: this is what the program says of this input".to_owned(),
        false => format!("  {}", style("not verified").red().bold()),
    });
    lines.join("\n")
}
