//! `cargo xtask …`: what a developer or a newcomer runs on this repository.

mod browser;
mod checks;
mod cuda;
mod cuda_llvm;
mod demo;
mod notices;
mod rules;
mod setup;
mod web;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use xshell::Shell;

use setup::Purpose;

/// What a developer or a newcomer runs on this repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the program, score the sample clips, and write a report to look at
    Demo {
        /// A detector file, or the name of a pulled detector, in place of the one that is part of the program
        #[arg(long, value_name = "NAME|FILE")]
        model: Option<String>,
    },
    /// Install what the checks need and this machine lacks, saying so first
    Setup,
    /// Set up, then run every check and test
    Test {
        /// Run the remaining checks after a failure too
        #[arg(long)]
        keep_going: bool,
        /// Run only this check; may be given several times
        #[arg(long, value_name = "CHECK", value_parser = checks::names())]
        only: Vec<String>,
    },
    /// Build the page with the detector into a folder, and serve it on this machine
    Web(web::ServeOptions),
    /// Make a folder that any static host serves, and the npm package
    Dist(web::dist::Options),
    /// Write the licences of the crates in the modules for browsers into the file that goes along with them
    Notices,
    /// Build the release program with NVIDIA GPUs, on a machine with or without one
    Cuda,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not by returning it: that would add a stack trace wherever RUST_BACKTRACE is set.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let shell = Shell::new()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask/ lies in the repository")?;
    shell.change_dir(root);
    match arguments.command {
        Command::Demo { model } => {
            setup::run(&shell, Purpose::Demo)?;
            demo::run(&shell, model.as_deref())
        }
        Command::Setup => setup::run(&shell, Purpose::Checks),
        Command::Test { keep_going, only } => {
            setup::run(&shell, Purpose::Checks)?;
            checks::run(&shell, keep_going, &only)
        }
        Command::Web(options) => {
            setup::run(&shell, Purpose::Page)?;
            web::run(&shell, options)
        }
        Command::Dist(options) => {
            setup::run(&shell, Purpose::Package)?;
            web::dist::run(&shell, options)
        }
        Command::Notices => notices::write(&shell),
        Command::Cuda => cuda::build(&shell),
    }
}
