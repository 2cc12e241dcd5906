//! `unmask score`: videos and images in, reports out.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::desk::{Desk, Maps};
use super::scorer::ScorerArgs;
use crate::commands::shard::Shard;
use unmask::media::pipe::{self, Piped};
use unmask::media::{self, Input, LeftOut, MediaError};
use unmask::output::{Format, Output, say};
use unmask::report::ReportFolder;

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
    #[command(flatten)]
    scorer: ScorerArgs,
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
    /// With --report: whether pages show where the detector looked
    #[arg(long, value_enum, default_value = "decided", requires = "report")]
    maps: Maps,
    /// Score only every Nth input, starting with the Ith
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
}

/// Runs the command: 0 if all inputs were scored, 1 if any failed.
pub(crate) fn run(args: &ScoreArgs) -> Result<ExitCode> {
    let part = args.shard.map(|shard| shard.to_string().replace('/', "-of-"));
    let mut folder = args.report.as_deref().map(|folder| ReportFolder::create(folder, part)).transpose()?;
    let desk = Desk::open(&args.scorer, args.report.as_ref().map(|_| args.maps))?;
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
    for (name, input) in &inputs {
        match desk.score(input, name) {
            Ok(said) => {
                output.document(&said.document)?;
                if let Some(folder) = &mut folder {
                    desk.write(folder, input, &said)?;
                }
            }
            Err(error) => fail(&mut output, &mut folder, name, &error)?,
        }
    }
    output.finish()?;
    let page = folder.map(|folder| folder.finish(&desk.scorer.specs())).transpose()?.flatten();
    if let (Some(page), Format::Human) = (page, format(args)) {
        say!("report: {}", page.display());
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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
