//! `unmask compare`: several detectors on the same data, as tables.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::interrupt::{self, INTERRUPTED};
use unmask::compare::{self, Ended, Options, config};
use unmask::device::DeviceChoice;
use unmask::output::say;

/// Train or load several detectors, measure them alike, and write the tables
#[derive(Args, Debug)]
#[command(after_help = "CONFIG names the detectors ([[method]]: a recipe to train by, or a model to load) and the data
([[evaluate]]); configs/compare/thesis.toml is an example with every key. Paths in it start from its own folder.
OUT gets comparison.md (the tables: AUC by data set; AUC, AP, EER and ACC; parameters, speed and memory), the same as
comparison.json and CSV, auc.svg, and what each method was trained and measured to.
What is done already is not done again; Ctrl-C ends after the current step, and the same command goes on.
A model or data that is not there stands in the tables with its reason; the others go on, and the exit status is 1.

Examples:
  unmask compare configs/compare/thesis.toml --out results/thesis
  unmask compare mine.toml --out results/mine --device cuda --batch 32
  unmask compare mine.toml --out results/mine --fresh                 trains and measures all again")]
pub(crate) struct CompareArgs {
    /// What is compared on what, a TOML file
    #[arg(value_name = "CONFIG")]
    config: PathBuf,
    /// Where everything goes
    #[arg(long, value_name = "DIR", default_value = "comparison")]
    out: PathBuf,
    /// Train and measure again what is there already
    #[arg(long)]
    fresh: bool,
    /// Images that go through a detector together when its speed is measured
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,
    /// auto, cpu, cuda, cuda:N or wgpu
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

/// Runs the command.
pub(crate) fn run(args: &CompareArgs) -> Result<ExitCode> {
    let config = config::read(&args.config)?;
    let options = Options { out: args.out.clone(), fresh: args.fresh, device: args.device, batch: args.batch };
    // A device that cannot be used is refused before anything is begun.
    drop(args.device.open()?);
    let stop = interrupt::on_ctrl_c()?;
    match compare::run(&config, &options, &stop)? {
        Ended::Finished { is_complete, document } => {
            say!("{document}");
            say!("written to {}", args.out.display());
            Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Ended::Stopped => {
            eprintln!("stopped; the same command goes on, without --fresh");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}
