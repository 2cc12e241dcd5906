//! `unmask watch`: a folder whose files are scored as they arrive.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use super::desk::{Desk, Maps};
use super::interrupt::{INTERRUPTED, on_ctrl_c};
use super::scorer::ScorerArgs;
use unmask::media::MediaError;
use unmask::provenance::Document;
use unmask::report::ReportFolder;
use unmask::watch::{Arrival, Recorded, Settings, Watch};

/// Score what arrives in a folder, and add a line for each file to a file of lines
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  unmask watch incoming/                                             lines go to incoming.jsonl, beside the folder
  unmask watch /mnt/desk/incoming --out scores.jsonl --report pages/ --model gend-clip-l-14
  unmask watch incoming/ --new-only                                  not what lies there already
  unmask watch incoming/ --once                                      for cron: score what is new, and end

A line is the JSON document that `score --jsonl` prints, with `watched`, which tells the file from one that may take its place. What
has a line is not scored again, also by a later run, unless its file was replaced; a file that fails has a line with `error`. The last
line about a file is the one that counts. Ctrl-C ends after the file that is being scored.

Exit status: 0 ended by Ctrl-C, or with --once all done; with --once 1 an input failed and 130 interrupted; 1 a step failed, 2 wrong
usage.")]
pub(crate) struct WatchArgs {
    /// The folder, which is searched with its subfolders and links
    folder: PathBuf,
    /// The file that lines are added to [default: FOLDER.jsonl, beside the folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    scorer: ScorerArgs,
    /// Also write each report into this folder, in subfolders as the watched ones: as JSON, and as a page to look at
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Score what is there and new, and end; what is still being written is left for the next run
    #[arg(long)]
    once: bool,
    /// Leave what lies there at the first start unscored, with a line that says so
    #[arg(long)]
    new_only: bool,
    /// Try again what an earlier run failed on
    #[arg(long)]
    retry: bool,
    /// How long a file has to stay the same until it is taken to be whole
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    settle: Duration,
    /// The time between two looks at the folder
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    every: Duration,
}

/// A time of up to a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    let limits = 0.0..=86_400.0;
    if limits.contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("it has to lie between 0 and 86400".into())
    }
}

/// Runs the command until it is interrupted, or with --once to its end.
pub(crate) fn run(args: &WatchArgs) -> Result<ExitCode> {
    let out = match &args.out {
        Some(out) => out.clone(),
        None => beside(&args.folder)?,
    };
    let settings = Settings {
        folder: args.folder.clone(),
        out: out.clone(),
        passed_over: args.report.clone(),
        settle: args.settle,
        every: args.every,
        once: args.once,
        new_only: args.new_only,
        retry: args.retry,
    };
    let mut watch = Watch::open(settings)?;
    let desk = Desk::open(&args.scorer, args.report.as_ref().map(|_| Maps::Decided))?;
    let stop = on_ctrl_c()?;
    let (folder, lines) = (args.folder.display(), out.display());
    eprintln!("watching {folder}; lines go to {lines}, which knows {} files", watch.known());
    let mut failed = false;
    while let Some(arrival) = watch.next(&stop, |note| eprintln!("{note}")) {
        let outcome = score(&desk, &arrival, args.report.as_deref())?;
        if let Err(error) = &outcome
            && error.downcast_ref::<MediaError>().is_some_and(MediaError::is_of_programs)
        {
            return outcome.map(|_| ExitCode::FAILURE);
        }
        let recorded = watch.record(&arrival, &outcome)?;
        failed |= outcome.is_err() && recorded == Recorded::Written;
        tell(&arrival.path, &outcome, recorded);
    }
    if !args.once {
        return Ok(ExitCode::SUCCESS);
    }
    if watch.unsettled() > 0 {
        eprintln!("note: {} still being written and left for the next run", count(watch.unsettled()));
    }
    Ok(match stop.load(Ordering::Relaxed) {
        true => ExitCode::from(INTERRUPTED),
        false if failed || watch.is_troubled() => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// The file of lines where none is named. Beside the folder and not in it, since others write to that, copy it and empty it.
fn beside(folder: &Path) -> Result<PathBuf> {
    let named = |folder: &Path| {
        let mut name: OsString = folder.file_name()?.to_owned();
        name.push(".jsonl");
        Some(folder.with_file_name(name))
    };
    if let Some(path) = named(folder) {
        return Ok(path);
    }
    let whole =
        folder.canonicalize().with_context(|| format!("{} cannot be watched; name a folder", folder.display()))?;
    match named(&whole) {
        Some(path) => Ok(path),
        None => bail!("{} has no name that the file of lines could have; name one with --out", folder.display()),
    }
}

/// Scores an arrival and writes its page, where one is wanted. The page comes before the line, which says that all is done.
///
/// # Errors
/// The page cannot be written.
fn score(desk: &Desk, arrival: &Arrival, pages: Option<&Path>) -> Result<Result<Document>> {
    let input = match &arrival.input {
        Ok(input) => input,
        Err(error) => return Ok(Err(anyhow!("{error}"))),
    };
    let said = match desk.score(input, &arrival.path.to_string_lossy()) {
        Ok(said) => said,
        // What a page says of a file's bytes cannot be found out once it is gone.
        Err(error) => return Ok(Err(error)),
    };
    let Some(pages) = pages else { return Ok(Ok(said.document)) };
    // A folder each, so that names are those of the files, and nothing is kept in memory for an index.
    let folder = pages.join(arrival.within.parent().unwrap_or(Path::new("")));
    desk.write(&mut ReportFolder::create(&folder, None)?, input, &said)?;
    Ok(Ok(said.document))
}

/// Says in a line what became of an arrival.
fn tell(path: &Path, outcome: &Result<Document>, recorded: Recorded) {
    let shown = path.display();
    match (recorded, outcome) {
        (Recorded::Written, Ok(Document { report, .. })) => {
            let score = report.score.map_or(String::new(), |score| format!(", P(fake) = {score:.2}"));
            eprintln!("{shown}: {}{score}", report.verdict.words());
        }
        (Recorded::Written, Err(error)) => eprintln!("error: {error:#}"),
        (Recorded::Changed, _) => {
            eprintln!("note: {shown} changed while it was scored, and is scored again when it is whole")
        }
        (Recorded::Gone, _) => eprintln!("note: {shown} went away before it was scored"),
    }
}

fn count(files: usize) -> String {
    if files == 1 { "1 file is".to_owned() } else { format!("{files} files are") }
}
