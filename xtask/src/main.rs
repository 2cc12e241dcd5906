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
use std::process::{self, ExitCode};

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

/// What cargo tells a program that it runs, by the beginnings of its variables. Crates that watch them would be built anew
/// whenever the same folder is built by hand and from here.
const OF_CARGO: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// Runs this program once more without them, if there are any, and gives how it ended.
fn without_variables_of_cargo() -> Option<ExitCode> {
    let is_of_cargo = |name: &str| OF_CARGO.iter().any(|start| name.starts_with(start));
    let names: Vec<String> =
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(|name| is_of_cargo(name)).collect();
    let mut command = process::Command::new(std::env::current_exe().ok().filter(|_| !names.is_empty())?);
    names.iter().for_each(|name| _ = command.env_remove(name));
    let status = command.args(std::env::args_os().skip(1)).status().ok()?;
    // One that was ended by a signal has no code.
    Some(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

fn main() -> ExitCode {
    if let Some(ended) = without_variables_of_cargo() {
        return ended;
    }
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not by returning it: that would add a stack trace wherever RUST_BACKTRACE is set.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository that a folder lies in. Not where this program was built: clones that share a target folder share it, too.
fn repository(folder: &Path) -> Result<&Path> {
    let found = folder.ancestors().find(|place| place.join("xtask/Cargo.toml").is_file());
    found.with_context(|| format!("{} lies in no clone of the repository; change into one", folder.display()))
}

fn run(arguments: Arguments) -> Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(repository(&shell.current_dir())?);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_found_from_any_folder_of_it_and_only_from_there() {
        let here = std::env::current_dir().unwrap();
        let root = repository(&here).unwrap();
        assert!(root.join("ARCHITECTURE.md").is_file());
        assert_eq!(repository(&root.join("core/src/face")).unwrap(), root);
        let outside = root.parent().unwrap();
        assert!(repository(outside).unwrap_err().to_string().contains("lies in no clone"));
    }
}
