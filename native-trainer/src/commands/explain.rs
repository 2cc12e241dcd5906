//! `unmask explain`: where the detector looked.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use unmask_core::pipeline::report::Verdict;

use super::scorer::{ScorerArgs, under_bar};
use unmask::datasets::{self, LoadOptions, Part, Video};
use unmask::evaluation::tables::{Prepared, prepare};
use unmask::explain::{self, ExplainOptions, Method, measuring};
use unmask::output::say;
use unmask::predict::progress_bar;
use unmask::scoring::Scorer;
use unmask::{files, media};

/// Show where the detector looked: what in a face speaks for a fake, and what for a real one
#[derive(Args, Debug)]
#[command(
    after_help = "DIR gets sheet.png (faces beside their maps), explanation.mp4 (every frame that was looked at, with box, score and
map), frames/ (some of them as pictures) and explanation.json (the numbers of all maps). Light parts of a map are what the
detector's answer came from: for transformers its attention weighted by the gradient and followed through all layers, for
convolutional networks and Swin transformers Grad-CAM. A map is about the detector: it does not show that something is wrong with a
face, or where. Where the verdict is uncertain a map would suggest more than is known, and there is none unless
--even-if-uncertain asks for it.

With --data, maps of many faces are measured: parts of a face are hidden, or shown, in a map's order and at random, and the score is
watched (deletion, insertion, and SaCo of arXiv 2404.01415); and of faces that are blended with a changed copy of themselves, where the
heat lies.

Examples:
  unmask explain clip.mp4 --output explanation
  unmask explain portrait.jpg --output explanation --control
  unmask explain clip.mp4 --model gend-clip-l-14 --frames 16 --output explanation"
)]
pub(crate) struct ExplainArgs {
    /// A video, an image or a folder of frames
    #[arg(value_name = "INPUT", required_unless_present = "data", conflicts_with = "data")]
    input: Option<PathBuf>,
    /// In place of an input: measure on these data sets, as `unmask eval` takes them, whether maps show what answers come from; can be
    /// given again
    #[arg(long, value_name = "TABLE|ROOT|JSON")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    load: LoadOptions,
    /// With --data: which part of it
    #[arg(long, value_enum, default_value = "test", requires = "data")]
    split: Part,
    /// With --data: how many faces of either class
    #[arg(long, value_name = "N", requires = "data", default_value_t = MEASURED, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    measured: u32,
    #[command(flatten)]
    scorer: ScorerArgs,
    /// How: by what the detector is, or an error where that cannot be done [default: whichever fits the detector]
    #[arg(long, value_enum)]
    method: Option<Method>,
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

/// Faces of either class that are measured where nothing else is asked for.
const MEASURED: u32 = 200;

/// Runs the command.
pub(crate) fn run(args: &ExplainArgs) -> Result<()> {
    let scorer = args.scorer.open()?;
    if scorer.specs().len() > 1 {
        bail!("maps are of one detector; name one with --model");
    }
    let (name, method) = (&scorer.spec().name, Method::of(scorer.detector()));
    if let Some(asked) = args.method.filter(|asked| *asked != method) {
        bail!("{name} is not explained by {} but by {}; leave --method out", asked.name(), method.name());
    }
    match &args.input {
        Some(input) => explain_input(args, &scorer, input),
        None => measure(args, &scorer),
    }
}

/// Explains one input.
fn explain_input(args: &ExplainArgs, scorer: &Scorer, path: &Path) -> Result<()> {
    let shown = path.display().to_string();
    let mut found = media::expand(path)?.inputs;
    let (Some(input), true) = (found.pop(), found.is_empty()) else {
        bail!("{shown} is no single input; name one video, one image or one folder of frames");
    };
    let report = under_bar(scorer, &input, &shown, None)?;
    match report.verdict {
        Verdict::NoFace => bail!("{shown} shows no face that could be scored, so there is nothing to explain"),
        Verdict::Uncertain if !args.even_if_uncertain => bail!(
            "{shown} is uncertain ({}), and a map would suggest more than is known; --even-if-uncertain shows it nevertheless",
            report.reason.as_deref().unwrap_or("the score lies between the thresholds")
        ),
        _ => {}
    }
    let bar = progress_bar(report.frames.len() as u64, &format!("frames of {shown} explained"));
    let options = ExplainOptions { open: scorer.open_options(), control: args.control, film: !args.no_video };
    let written = explain::explain(scorer.detector(), &input, &report, &args.output, &options, |done| {
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let written = written?;
    let score = report.score.map_or(String::new(), |score| format!(", P(fake) {score:.2}"));
    let how = Method::of(scorer.detector()).words();
    say!("{shown}: {}{score}; {} faces explained by {how}", report.verdict.words(), written.faces);
    for file in written.files.iter().filter(|file| file.parent() == Some(&args.output)) {
        say!("  {}", file.display());
    }
    Ok(())
}

/// Measures maps on the faces of data sets.
fn measure(args: &ExplainArgs, scorer: &Scorer) -> Result<()> {
    let (detector, crop) = (scorer.detector(), scorer.spec().crop);
    let Prepared { data, .. } = prepare(&args.data, &[], &args.output, crop, scorer.frames())?;
    let data = datasets::load_all(&data, &args.load, &crop)?;
    let videos = data.iter().flat_map(|set| &set.videos).filter(|video| args.split.takes(video.split));
    let videos: Vec<Video> = videos.cloned().collect();
    let count = args.measured as usize;
    let bar = progress_bar(measuring::expected(&videos, count) as u64, "faces measured");
    let measured = measuring::measure(detector, &videos, count, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let measured = measured?;
    if measured.fakes.is_none() && measured.reals.is_none() {
        bail!("the data has no face in the chosen split; choose another with --split, such as --split all");
    }
    std::fs::create_dir_all(&args.output)
        .with_context(|| format!("{} cannot be made; choose another --output folder", args.output.display()))?;
    let place = args.output.join("faithfulness.json");
    files::write_json(&place, &measured)?;
    say!("{}", measured.words());
    say!("written to {}", place.display());
    Ok(())
}
