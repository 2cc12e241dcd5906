//! `unmask score`: videos and images in, reports out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use burn::prelude::*;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use unmask_core::pipeline::Faces;
use unmask_core::pipeline::report::Report;

use crate::commands::shard::Shard;
use unmask::credentials::Looking;
use unmask::detector_file::{self, Loaded, Source};
use unmask::device::DeviceChoice;
use unmask::media::pipe::{self, Piped};
use unmask::media::{self, Damage, Input, LeftOut, MediaError};
use unmask::output::{Format, Output, say};
use unmask::provenance::{DetectorFacts, Document, Gathering, Run, Settings};
use unmask::report::{Pictures, ReportFolder};
use unmask::scoring::{ScoreOptions, Scorer, face_finder};

/// Score videos and images: was the face manipulated?
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  unmask score clip.mp4
  unmask score interview.mkv --model gend-clip-l-14 --faces all --json > report.json
  unmask score videos/ --model detector.safetensors --jsonl > scores.jsonl
  unmask score clip.mp4 --model unmask-lite --model gend-clip-l-14 --report reports/
  unmask score videos/ --shard 1/4 --report reports/")]
pub(crate) struct ScoreArgs {
    /// Videos, images, folders of them, or folders of frames; a pipe, or - for standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
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
    /// Print JSON: an object where one file is named; of several inputs, a folder or a shard an array, however many
    /// documents there are
    #[arg(long, conflicts_with = "jsonl")]
    json: bool,
    /// Print one JSON document a line, each as soon as it is there: for every input, and for the files of a folder that
    /// are none
    #[arg(long)]
    jsonl: bool,
    /// Also write each report into this folder: as JSON, and as a page to look at; of several inputs, an index too
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Score only every Nth input, starting with the Ith
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
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

/// Runs the command: 0 if all inputs were scored, 1 if any failed.
pub(crate) fn run(args: &ScoreArgs) -> Result<ExitCode> {
    let device = args.device.open()?;
    let models = args.model.iter().map(|model| detector_file::resolve(model)).collect::<Result<Vec<Source>>>()?;
    let base = args.base.as_deref().map(|base| detector_file::resolve(&base.to_string_lossy())).transpose()?;
    let part = args.shard.map(|shard| shard.to_string().replace('/', "-of-"));
    let mut folder = args.report.as_deref().map(|folder| ReportFolder::create(folder, part)).transpose()?;
    let finder = std::thread::spawn(face_finder);
    let mut detectors = load(&models, base.as_ref(), &device)?;
    let finder = finder.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let options = ScoreOptions {
        frames: args.frames.map(|frames| frames as usize),
        faces: match args.faces {
            FacesArg::Largest => Faces::Largest,
            FacesArg::All => Faces::All,
        },
        damage: args.damaged,
    };
    let facts = folder.is_some().then(|| facts(&models, base.as_ref(), &detectors)).transpose()?;
    let first = detectors.remove(0);
    let scorer = Scorer::new(first, detectors, finder, options);
    let run = facts.map(|detectors| {
        let device = if device == Device::flex() { "cpu".to_owned() } else { args.device.to_string() };
        Run::new(detectors, Settings::new(scorer.frames(), options.faces, options.damage, device))
    });
    let Given { inputs, failures, left_out, pipes: _pipes } = expand(args);
    let mut failed = !failures.is_empty();
    let mut output = Output::new(format(args), is_single(args));
    for (path, left_out) in &left_out {
        output.left_out(path, left_out)?;
        if let Some(folder) = &mut folder {
            folder.leave_out(left_out);
        }
    }
    let mut fail = |output: &mut Output, folder: &mut Option<ReportFolder>, input: &str, error: &anyhow::Error| {
        failed = true;
        if let Some(folder) = folder {
            folder.fail(input, error);
        }
        output.failure(input, error)
    };
    for (input, error) in &failures {
        fail(&mut output, &mut folder, input, error)?;
    }
    let program = std::env::current_exe().context("the program does not find its own file")?;
    for (name, input) in &inputs {
        let (mut pictures, made) = (folder.is_some().then(Pictures::default), Timestamp::now());
        let (gathering, looking) = (folder.is_some().then(|| Gathering::start(input)), Looking::start(&program, input));
        let scored = score_one(&scorer, input, name, pictures.as_mut());
        let credentials = looking.finish();
        match scored {
            Ok(report) => {
                let document = Document { report, content_credentials: Some(credentials), provenance: None };
                output.document(&document)?;
                if let (Some(folder), Some(pictures), Some(gathering), Some(run)) =
                    (&mut folder, &pictures, gathering, &run)
                {
                    let document = run.complete(document, gathering.finish()?, made);
                    folder.add(input, &document, scorer.spec(), pictures)?;
                }
            }
            Err(error) => fail(&mut output, &mut folder, name, &error)?,
        }
    }
    output.finish()?;
    let page = folder.map(|folder| folder.finish(&scorer.specs())).transpose()?.flatten();
    if let (Some(page), Format::Human) = (page, format(args)) {
        say!("report: {}", page.display());
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What the provenance of a report says of the detectors.
fn facts(models: &[Source], base: Option<&Source>, detectors: &[Loaded]) -> Result<Vec<DetectorFacts>> {
    let facts = |(source, loaded): (&Source, &Loaded)| {
        DetectorFacts::new(source, base, loaded.detector.spec(), loaded.sha256()?)
    };
    models.iter().zip(detectors).map(facts).collect()
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

/// Whether one file was asked for. That is told by the command line alone, so that a script knows what JSON it gets.
fn is_single(args: &ScoreArgs) -> bool {
    args.shard.is_none() && matches!(&args.inputs[..], [path] if !path.is_dir())
}

fn format(args: &ScoreArgs) -> Format {
    match (args.json, args.jsonl) {
        (true, _) => Format::Json,
        (_, true) => Format::JsonLines,
        _ => Format::Human,
    }
}

/// What the user named, looked into.
#[derive(Default)]
struct Given {
    /// The inputs of this shard, with the names that reports call them by.
    inputs: Vec<(String, Input)>,
    /// What could not be looked into.
    failures: Vec<(String, anyhow::Error)>,
    /// Files of folders that are no inputs.
    left_out: Vec<(PathBuf, Vec<LeftOut>)>,
    /// What came through pipes, kept until it is scored.
    pipes: Vec<Piped>,
}

impl Given {
    fn add(&mut self, path: &Path) -> Result<(), MediaError> {
        if let Some(piped) = pipe::read(path)? {
            let found = media::expand(&piped.file).map_err(|error| error.about(path))?;
            self.inputs.extend(found.inputs.into_iter().map(|input| (path.display().to_string(), input)));
            self.pipes.push(piped);
            return Ok(());
        }
        let found = media::expand(path)?;
        self.inputs.extend(found.inputs.into_iter().map(|input| (input.path().display().to_string(), input)));
        self.failures.extend(found.failures.into_iter().map(|error| (path.display().to_string(), error.into())));
        if !found.left_out.is_empty() {
            self.left_out.push((path.to_owned(), found.left_out));
        }
        Ok(())
    }
}

fn expand(args: &ScoreArgs) -> Given {
    let mut given = Given::default();
    for path in &args.inputs {
        if let Err(error) = given.add(path) {
            given.failures.push((path.display().to_string(), error.into()));
        }
    }
    if let Some(shard) = args.shard {
        shard.keep(&mut given.inputs);
    }
    given
}

/// Scores one input under a progress bar, which is drawn on a terminal only. The report calls it by `name`.
fn score_one(scorer: &Scorer, input: &Input, name: &str, pictures: Option<&mut Pictures>) -> Result<Report> {
    let bar = ProgressBar::with_draw_target(Some(scorer.frames() as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} frames {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    let report = scorer.score(input, pictures, |done, expected| {
        bar.set_length(expected as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let named = |error: anyhow::Error| match error.downcast::<MediaError>() {
        Ok(error) if input.path() != Path::new(name) => error.about(Path::new(name)).into(),
        Ok(error) => error.into(),
        Err(error) => error,
    };
    report.map(|report| Report { input: name.to_owned(), ..report }).map_err(named)
}

fn spinner(message: String) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(message);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
