//! `unmask eval`: how good a detector is on data sets.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use unmask_core::detector::Detector;
use unmask_core::detector::spec::{DetectorSpec, Measured};
use unmask_core::metrics::Misses;

use unmask::augment::degrade::Degradation;
use unmask::datasets::{self, LoadOptions, Part, Split, Video};
use unmask::detector_file;
use unmask::device::DeviceChoice;
use unmask::evaluation::analysis::seen::look;
use unmask::evaluation::analysis::{self, Evidence, robustness};
use unmask::evaluation::calibration::{self, Calibrated, VerdictBand};
use unmask::evaluation::tables::{Prepared, prepare};
use unmask::evaluation::verdicts::Verdicts;
use unmask::evaluation::{self, EvaluationOptions, Omitted, Thresholds};
use unmask::files;
use unmask::media::Programs;
use unmask::output::say;
use unmask::predict::{ClipLogits, one_by_one, predict_visibly, predictions, stored_crops};
use unmask::twins::{Twins, with_twins};

/// Measure a detector on data sets
#[derive(Args, Debug)]
#[command(
    after_help = "OUT gets summary.md (tables, and a list of the figures), summary.json, frames.csv, videos.csv, predictions.parquet, features.parquet,
and figures/: curves, histograms, confusion, AUC by what videos are, features in the plane, the most confident errors, as SVG and PNG
with their data as CSV. errors.png shows faces from the data: treat it as you would the videos.
A second threshold beside 0.5 is chosen on the validation split of the data, where it has one and does not report it.
--calibrate fits the temperature and the verdict thresholds on that split and writes the detector with them, and with how often
they are right on the test split, where that is reported: every report of the detector says so.
Crops that were cut otherwise than the detector cuts them are refused. A video's score is that of `unmask score`, as far
as the crops allow: where they were stored with loss or are of other frames, the summary says so. Verdicts are counted by the rule of
`unmask score`, abstaining included: of a detector that says how uncertain it is, the tables of predictions have that beside each score.
Intervals are found by drawing persons, or source videos with the fakes made from them, not single videos.

A table names videos in its column `file`, from its own folder on, and says in `label` whether each is real or fake; its columns
`dataset`, `method`, `person`, `original` and `split` count as well, and by every other one with few values the verdicts are broken
down. Faces are then found as scoring does, and their crops kept in OUT/crops for another run.

Examples:
  unmask eval --model unmask-lite --data clips.tsv --split all --by light --out results
  unmask eval --model detector.safetensors --data crops/FaceForensics++ --data crops/Celeb-DF-v2 --out results
  unmask eval --model unmask-lite --data crops/mine --robustness --frames 4 --out results
  unmask eval --model gend-clip-l-14 --data crops/FaceForensics++ --calibrate gend-calibrated.safetensors"
)]
pub(crate) struct EvalArgs {
    /// A detector file, or the name of a pulled detector
    #[arg(long, value_name = "NAME|FILE")]
    model: String,
    /// The detector file that an adapter belongs to
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// A table of videos (.tsv, .csv), a folder that `unmask preprocess` wrote, or a DeepfakeBench JSON; can be given again
    #[arg(long, value_name = "TABLE|ROOT|JSON", required = true)]
    data: Vec<PathBuf>,
    #[command(flatten)]
    load: LoadOptions,
    /// Which part of the data is reported
    #[arg(long, value_enum, default_value = "test")]
    split: Part,
    /// Break the verdicts down by this column of the tables; can be given again [default: every column with few values]
    #[arg(long, value_name = "COLUMN")]
    by: Vec<String>,
    /// Evenly spaced frames of each video [default: as the detector says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    frames: Option<u32>,
    /// Measure on the real videos and a self-blended fake of each, in place of the data's own fakes
    #[arg(long)]
    self_blended: bool,
    /// Also measure on crops that are degraded, by JPEG, blur, reduction, noise, brightness and video compression: 26 evaluations more
    #[arg(long)]
    robustness: bool,
    /// Where the results go
    #[arg(long, value_name = "DIR", default_value = "evaluation")]
    out: PathBuf,
    /// Write the detector with a calibration fitted on the validation split
    #[arg(long, value_name = "FILE")]
    calibrate: Option<PathBuf>,
    /// With --calibrate: the part of the real videos that may be called likely fake, and of the fakes likely real
    #[arg(long, value_name = "REAL,FAKE", requires = "calibrate", value_parser = calibration::misses, default_value = "0.05,0.05")]
    mistakes: Misses,
    /// With --calibrate: these verdict thresholds in place of fitted ones, for use on other videos than the data shows
    #[arg(long, value_name = "REAL,FAKE", requires = "calibrate")]
    verdicts: Option<VerdictBand>,
    /// auto, cpu, cuda, cuda:N or wgpu
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

/// Runs the command.
pub(crate) fn run(args: &EvalArgs) -> Result<()> {
    let (model, base) = detector_file::resolve_with_base(&args.model, args.base.as_deref())?;
    let loaded = detector_file::load(&model, base.as_ref(), &args.device.open()?)?;
    let mut sha256 = loaded.sha256()?;
    let mut detector = loaded.detector;
    let frames = args.frames.map_or(detector.spec().sampling.frames, |frames| frames as usize);
    let crop = detector.spec().crop;
    let Prepared { data, attributes } = prepare(&args.data, &args.by, &args.out, crop, frames)?;
    let data = datasets::load_all(&data, &args.load, &crop)?;
    let of = |takes: &dyn Fn(Split) -> bool| {
        let videos = data.iter().flat_map(|set| &set.videos).filter(|video| takes(video.split)).cloned().collect();
        if args.self_blended { with_twins(videos) } else { videos }
    };
    let videos = of(&|split| args.split.takes(split));
    if videos.is_empty() {
        bail!("the data has no video in the chosen split; choose another with --split, such as --split all");
    }
    // Nothing is chosen on videos that are reported.
    let is_reported = args.split.takes(Split::Validation);
    let validation = of(&|split| split == Split::Validation && !is_reported);
    if args.calibrate.is_some() {
        check_calibration_data(is_reported, &validation)?;
    }
    let validation_logits = logits(&detector, &validation, frames, args.self_blended, "validation")?;
    if let Some(output) = &args.calibrate {
        let mut fitted = Calibrated::fit(&validation, &validation_logits, args.mistakes);
        if let Some(verdicts) = args.verdicts {
            fitted = fitted.with_verdicts(verdicts);
        }
        detector = calibrated(detector, &fitted);
        // Measuring takes long and may fail; what was fitted is there then.
        sha256 = write(&detector, output)?;
        say!("{} Written to {}.\n", fitted.words(), output.display());
    }
    let temperature = detector.spec().calibration.temperature;
    let thresholds = match (is_reported, validation.is_empty()) {
        (true, _) => Thresholds::none("its videos are among those reported".to_owned()),
        (false, true) => Thresholds::default(),
        (false, false) => Thresholds::choose(&predictions(&validation, &validation_logits, temperature))?,
    };
    let twins = Twins::to_measure(crop);
    let images = |video: &Video, crops: &[usize]| match args.self_blended {
        true => twins.images(video, crops),
        false => stored_crops(video, crops),
    };
    if args.robustness {
        Degradation::check_all(&Programs::from_environment())?;
    }
    let seen = look(&detector, &videos, frames, "videos", images)?;
    let logits: Vec<ClipLogits> = seen.iter().map(|clip| clip.logits).collect();
    let predictions = predictions(&videos, &logits, temperature);
    let omitted: Vec<Omitted> = data.iter().flat_map(|set| Omitted::of(set, |split| args.split.takes(split))).collect();
    let (title, remarks) = (detector.spec().name.clone(), datasets::remarks(&data, frames));
    let calibration = &detector.spec().calibration;
    let verdicts = Verdicts::of(&evaluation::group(&predictions)?, calibration, &attributes, &args.by);
    let robustness = match args.robustness {
        true => Some(robustness::measure(&detector, &videos, frames, &predictions, one_by_one(images))?),
        false => None,
    };
    if let Some(output) = args.calibrate.as_ref().filter(|_| args.split == Part::Test) {
        let (real, fake) = (verdicts.all.real, verdicts.all.fake);
        sha256 =
            write(&measured(detector, Measured { videos: calibration::measured_on(&videos), real, fake }), output)?;
    }
    let (verdicts, sha256) = (Some(verdicts), Some(sha256));
    let options = EvaluationOptions { title, sha256, thresholds, remarks, verdicts, ..EvaluationOptions::default() };
    let mut summary = evaluation::evaluate(&predictions, &omitted, &options)?;
    let evidence = Evidence { videos: &videos, seen: &seen, predictions: &predictions, attributes: &attributes };
    summary.figures = analysis::write(&args.out, &summary, &evidence, temperature, images)?;
    if let Some(drawn) = robustness {
        summary.figures.push(drawn.write(&analysis::folder(&args.out)?)?);
    }
    evaluation::write(&args.out, &summary, &predictions)?;
    say!("{}", evaluation::document(&summary));
    say!("written to {}", args.out.display());
    Ok(())
}

/// Runs the detector over videos with a progress bar.
fn logits(
    detector: &Detector,
    videos: &[Video],
    frames: usize,
    self_blended: bool,
    what: &str,
) -> Result<Vec<ClipLogits>> {
    let twins = Twins::to_measure(detector.spec().crop);
    let images = |video: &Video, crops: &[usize]| match self_blended {
        true => twins.images(video, crops),
        false => stored_crops(video, crops),
    };
    predict_visibly(detector, videos, frames, what, images)
}

/// Refuses to calibrate where there is nothing to do it on, or nothing but what is reported.
fn check_calibration_data(is_reported: bool, validation: &[Video]) -> Result<()> {
    if is_reported {
        bail!(
            "--calibrate fits on the validation videos, which the chosen split reports as well; report others, such as \
             with --split test"
        );
    }
    if validation.is_empty() {
        bail!("there is no validation split to calibrate on; name data that has one, and report another split of it");
    }
    Ok(())
}

/// The detector with another calibration.
fn calibrated(detector: Detector, fitted: &Calibrated) -> Detector {
    let old = detector.spec();
    let calibration = fitted.calibration.clone().with_limit_of(&old.calibration);
    let mut spec = DetectorSpec { calibration, adapter: None, ..old.clone() };
    spec.training.reliability = Some(fitted.reliability(spec.training.reliability.as_ref()));
    described(detector, spec)
}

/// The detector with how often its verdicts were right.
fn measured(detector: Detector, counted: Measured) -> Detector {
    let mut spec = detector.spec().clone();
    spec.calibration.measured = Some(counted);
    described(detector, spec)
}

/// The detector under another description of the same model.
fn described(detector: Detector, spec: DetectorSpec) -> Detector {
    let (_, model, front_end) = detector.into_parts();
    Detector::from_parts(spec, model, front_end)
}

/// Writes the detector, and gives the file's SHA-256.
fn write(detector: &Detector, output: &Path) -> Result<String> {
    detector_file::write_whole(output, detector.spec(), detector.model())?;
    files::sha256(output)
}
