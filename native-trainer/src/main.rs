//! The command `unmask`: tells whether the face in a video was manipulated. One module a subcommand under [`commands`]; what
//! they do is the library's.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tells whether the face in a video was manipulated.
#[derive(Parser, Debug)]
#[command(
    version,
    about,
    max_term_width = 110,
    after_help = "Examples:
  unmask score clip.mp4                              score a video with the detector that is part of the program
  unmask score videos/ --jsonl > scores.jsonl        score all videos in a folder, one JSON document a line
  unmask pull gend-clip-l-14                         fetch a published detector
  unmask score clip.mp4 --model gend-clip-l-14       score with that
  unmask verify reports/clip.mp4.json                check a report that `unmask score --report` wrote

Exit status: 0 done (also when no face was found), 1 an input or a step failed, 2 wrong usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Score(commands::score::ScoreArgs),
    Explain(Box<commands::explain::ExplainArgs>),
    Train(commands::train::TrainArgs),
    Eval(commands::eval::EvalArgs),
    Compare(commands::compare::CompareArgs),
    Preprocess(Box<commands::preprocess::PreprocessArgs>),
    Import(commands::import::ImportArgs),
    Pull(commands::pull::PullArgs),
    Quantize(commands::quantize::QuantizeArgs),
    Info(commands::info::InfoArgs),
    Forward(commands::forward::ForwardArgs),
    Bench(commands::bench::BenchArgs),
    Preview(commands::preview::PreviewArgs),
    Watch(commands::watch::WatchArgs),
    Serve(commands::serve::ServeArgs),
    Verify(commands::verify::VerifyArgs),
    #[command(name = unmask::credentials::SUBCOMMAND, hide = true)]
    ReadCredentials(commands::credentials::ReadCredentialsArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Score(args) => commands::score::run(&args),
        Command::Explain(args) => commands::explain::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Train(args) => commands::train::run(&args),
        Command::Eval(args) => commands::eval::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Compare(args) => commands::compare::run(&args),
        Command::Preprocess(args) => commands::preprocess::run(&args),
        Command::Import(args) => commands::import::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Pull(args) => commands::pull::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Quantize(args) => commands::quantize::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Info(args) => commands::info::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Forward(args) => commands::forward::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => commands::bench::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Preview(args) => commands::preview::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Watch(args) => commands::watch::run(&args),
        Command::Serve(args) => commands::serve::run(&args),
        Command::Verify(args) => commands::verify::run(&args),
        Command::ReadCredentials(args) => commands::credentials::run(&args).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
