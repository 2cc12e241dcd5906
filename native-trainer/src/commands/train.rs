//! `unmask train`: fine-tunes a detector.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::interrupt::{self, INTERRUPTED};
use unmask::datasets::LoadOptions;
use unmask::device::DeviceChoice;
use unmask::output::say;
use unmask::train::{self, Ended, Options};

/// Train a detector by a recipe
#[derive(Args, Debug)]
#[command(after_help = "The folder OUT gets the trained detector (detector.safetensors, ready for `unmask score`), its
adapter where not everything was trained, summary.md, metrics.jsonl, an event file for TensorBoard, and checkpoints to go on from.
Ctrl-C ends the run after the current step; --resume goes on with it, to the same weights.

Examples:
  unmask train --config configs/clip_b16_ln.toml --data crops/FaceForensics++ --out runs/b16
  unmask train --config configs/clip_b16_ln.toml --data crops --set run.epochs=3 --set seed=2
  unmask train --config configs/clip_b16_ln.toml --data crops/FaceForensics++ --out runs/b16 --resume
  unmask train --config configs/few_videos.toml --data crops/mine --out runs/mine             from the bundled detector")]
pub(crate) struct TrainArgs {
    /// The recipe, a TOML file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Change one key of the recipe; can be given again
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The detector to start from, in the place of the recipe's model.start: a file, or the name of a pulled one or of
    /// the one that is part of the program
    #[arg(long, value_name = "NAME|FILE")]
    start_from: Option<PathBuf>,
    /// Data to train on, beside that of the recipe; can be given again
    #[arg(long, value_name = "ROOT")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    load: LoadOptions,
    /// Where everything goes
    #[arg(long, value_name = "DIR", default_value = "run")]
    out: PathBuf,
    /// Go on with the run in OUT
    #[arg(long)]
    resume: bool,
    /// auto, cpu, cuda, cuda:N or wgpu
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

/// Runs the command.
pub(crate) fn run(args: &TrainArgs) -> Result<ExitCode> {
    let recipe = train::read_recipe(&args.config, &args.set, args.start_from.as_deref())?;
    let stop = interrupt::on_ctrl_c()?;
    let options = Options {
        recipe,
        data: args.data.clone(),
        load: args.load.clone(),
        out: args.out.clone(),
        resume: args.resume,
        device: args.device.open()?,
    };
    let out = args.out.display();
    match train::run(&options, &stop)? {
        Ended::Finished => {
            say!("the detector is {out}/detector.safetensors");
            Ok(ExitCode::SUCCESS)
        }
        Ended::Stopped => {
            eprintln!("stopped; go on with the same command and --resume");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}
