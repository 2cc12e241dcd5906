//! `unmask explain`: where the detector looked.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use unmask_core::pipeline::report::Verdict;

use super::scorer::{ScorerArgs, under_bar};
use unmask::explain::{self, ExplainOptions, Method};
use unmask::media;
use unmask::output::say;

/// Show where the detector looked: what in a face speaks for a fake, and what for a real one
#[derive(Args, Debug)]
#[command(
    after_help = "DIR gets sheet.png (faces beside their maps), explanation.mp4 (every frame that was looked at, with box, score and
map), frames/ (some of them as pictures) and explanation.json (the numbers of all maps). Light parts of a map are what the
detector's answer came from: for transformers its attention weighted by the gradient and followed through all layers, for
convolutional networks and Swin transformers Grad-CAM. A map is about the detector: it does not show that something is wrong with a
face, or where. Where the verdict is uncertain a map would suggest more than is known, and there is none unless
--even-if-uncertain asks for it.

Examples:
  unmask explain clip.mp4 --output explanation
  unmask explain portrait.jpg --output explanation --control
  unmask explain clip.mp4 --model gend-clip-l-14 --frames 16 --output explanation"
)]
pub(crate) struct ExplainArgs {
    /// A video, an image or a folder of frames
    #[arg(value_name = "INPUT")]
    input: PathBuf,
    #[command(flatten)]
    scorer: ScorerArgs,
    /// How: by what the detector is, or an error where that cannot be done [default: whichever fits the detector]
    #[arg(long, value_enum)]
    method: Option<MethodArg>,
    /// Put a random map beside each, to compare with
    #[arg(long)]
    control: bool,
    /// Show maps although the verdict is uncertain
    #[arg(long)]
    even_if_uncertain: bool,
    /// Write no video
    #[arg(long)]
    no_video: bool,
    /// Where the pictures go
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

/// The methods by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum MethodArg {
    /// Attention weighted by its gradient; of transformers
    Attention,
    /// The last maps weighted by their gradients; of convolutional networks and Swin transformers
    Gradcam,
}

impl From<MethodArg> for Method {
    fn from(method: MethodArg) -> Self {
        match method {
            MethodArg::Attention => Self::Attention,
            MethodArg::Gradcam => Self::GradCam,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs) -> Result<()> {
    let shown = args.input.display().to_string();
    let scorer = args.scorer.open()?;
    if scorer.specs().len() > 1 {
        bail!("maps are of one detector; name one with --model");
    }
    let (detector, method) = (scorer.detector(), Method::of(scorer.detector()));
    if let Some(asked) = args.method.map(Method::from).filter(|asked| *asked != method) {
        bail!(
            "{} is not explained by {} but by {}; leave --method out",
            detector.spec().name,
            asked.name(),
            method.name()
        );
    }
    let mut found = media::expand(&args.input)?.inputs;
    let (Some(input), true) = (found.pop(), found.is_empty()) else {
        bail!("{shown} is no single input; name one video, one image or one folder of frames");
    };
    let report = under_bar(&scorer, &input, &shown, None)?;
    match report.verdict {
        Verdict::NoFace => bail!("{shown} shows no face that could be scored, so there is nothing to explain"),
        Verdict::Uncertain if !args.even_if_uncertain => bail!(
            "{shown} is uncertain ({}), and a map would suggest more than is known; --even-if-uncertain shows it nevertheless",
            report.reason.as_deref().unwrap_or("the score lies between the thresholds")
        ),
        _ => {}
    }
    let bar = ProgressBar::new(report.frames.len() as u64).with_message(format!("explaining {shown}"));
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} frames {elapsed}") {
        bar.set_style(style);
    }
    let options = ExplainOptions { open: scorer.open_options(), control: args.control, film: !args.no_video };
    let written = explain::explain(detector, &input, &report, &args.output, &options, |done| {
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let written = written?;
    let score = report.score.map_or(String::new(), |score| format!(", P(fake) {score:.2}"));
    say!("{shown}: {}{score}; {} faces explained by {}", report.verdict.words(), written.faces, method.words());
    written.files.iter().take(3).for_each(|file| say!("  {}", file.display()));
    Ok(())
}
