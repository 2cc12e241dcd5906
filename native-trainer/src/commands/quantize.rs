//! `unmask quantize`: the same detector in a smaller file.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use anyhow::{Result, bail};
use burn::tensor::TensorData;
use clap::{Args, ValueEnum};
use safetensors::Dtype;
use unmask_core::detector::spec::{
    DetectorSpec, Grade, Quantization, Reference, Reliability, SPEC_KEY, TrainingStatus,
};
use unmask_core::weights::{Quantizing, TensorSource, WeightsError, halved, to_f16};

use unmask::datasets::{self, LoadOptions, Part};
use unmask::detector_file::{self, Source};
use unmask::hub;
use unmask::int8::{self, LEAST_FACES, Limits};
use unmask::output::say;
use unmask::tensors::{StoredTensor, write_tensors};

/// Store a detector's weights in fewer bits
#[derive(Args, Debug)]
#[command(
    after_help = "With --dtype f16, matrices and convolutions are stored as f16, which halves the file; norms, biases and statistics stay
f32. The detector still computes in f32. Scores change by about a thousandth: `unmask eval` on both tells by how much.

With --dtype int8, the weights of linear layers and convolutions are stored as 8-bit integers, which makes a quarter of the file; the
head and embeddings are f16. On a CPU, linear layers then multiply integers, which is much faster; anywhere else, the detector computes
in f32. What that changes is measured on faces that --data names, and the file says it: features, scores, verdicts and AUC beside those
of before. Blocks that change them too much are kept in f16; if that is not enough, no file is written. Take faces like those that
the detector is for, a few hundred of them, real and fake, that it is not reported on.

Who publishes a detector can give it a name in the same step, and say what its answers are worth: --name, --grade and --words go
into the file, and every report shows them.

Examples:
  unmask quantize --model detector.safetensors --dtype f16 --output small.safetensors
  unmask quantize --model detector.safetensors --dtype int8 --data crops/FaceForensics++ --output fast.safetensors
  unmask quantize --model detector.safetensors --dtype f16 --output small.safetensors --name newsroom-1 \\
      --grade weak --words 'the detector has seen no manipulated video'"
)]
pub(crate) struct QuantizeArgs {
    /// A detector file, or the name of a pulled detector
    #[arg(long, value_name = "NAME|FILE")]
    model: String,
    /// How weights are stored
    #[arg(long, value_enum)]
    dtype: StorageType,
    /// The detector file to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// With int8: faces to measure on, a folder that `unmask preprocess` wrote, or a DeepfakeBench JSON; can be given again
    #[arg(long, value_name = "ROOT|JSON")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    load: LoadOptions,
    /// With int8: the part of the data that is measured on
    #[arg(long, value_enum, default_value = "val")]
    split: Part,
    /// With int8: evenly spaced frames of each video [default: as the detector says]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    frames: Option<u32>,
    /// With int8: faces, or clips, that are measured on at most
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(LEAST_FACES as i64..=1_000_000))]
    faces: u32,
    /// What reports call the detector [default: as before]
    #[arg(long)]
    name: Option<String>,
    /// Write into the file what its answers are worth
    #[arg(long, value_enum, requires = "words")]
    grade: Option<GradeArg>,
    /// That in a sentence for people, without a full stop
    #[arg(long, value_name = "SENTENCE", requires = "grade")]
    words: Option<String>,
}

/// What a detector's answers are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GradeArg {
    /// The thresholds were not fitted
    Uncalibrated,
    /// Measured, and often wrong
    Weak,
    /// Thresholds were fitted on videos like those it was trained on
    Calibrated,
}

impl From<GradeArg> for Grade {
    fn from(grade: GradeArg) -> Self {
        match grade {
            GradeArg::Uncalibrated => Self::Uncalibrated,
            GradeArg::Weak => Self::Weak,
            GradeArg::Calibrated => Self::Calibrated,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StorageType {
    /// Halves the file
    F16,
    /// A quarter of the file, and faster on CPUs
    Int8,
}

/// Runs the command.
pub(crate) fn run(args: &QuantizeArgs) -> Result<()> {
    let source = detector_file::resolve(&args.model)?;
    let words = match args.dtype {
        StorageType::F16 => to_f16_file(args, &source)?,
        StorageType::Int8 => to_int8_file(args, &source)?,
    };
    let megabytes = |source: &Source| Ok::<_, anyhow::Error>(source.size()? as f64 / 1e6);
    let (before, after) = (megabytes(&source)?, megabytes(&Source::File(args.output.clone()))?);
    say!("wrote {}: {after:.1} MB in place of {before:.1} MB{words}", args.output.display());
    Ok(())
}

/// Writes the detector with matrices in f16; there is no more to say of it.
fn to_f16_file(args: &QuantizeArgs, source: &Source) -> Result<String> {
    if !args.data.is_empty() {
        bail!("--data goes with --dtype int8: what f16 changes is not measured; leave it out");
    }
    let mut file = source.open()?;
    let naming = |error| source.naming(error);
    // Refuses what is no detector.
    let spec = source.read_spec(&file)?;
    let is_as_before = !args.changes_description() && spec.quantization.is_none() && spec.reference.is_none();
    let description = match is_as_before {
        false => {
            let spec = described(DetectorSpec { quantization: None, ..spec }, args)?;
            let reference = reference(&spec, source)?;
            DetectorSpec { reference, ..spec }.to_json().map_err(naming)?
        }
        true => file.metadata(SPEC_KEY).ok_or(WeightsError::NotADetector).map_err(naming)?.to_string(),
    };
    let mut tensors = Vec::new();
    for name in file.names() {
        let shape = file.shape(&name).unwrap_or_default();
        let values = file.values(&name).map_err(naming)?;
        let tensor = match halved(&shape) {
            Dtype::F16 => StoredTensor::f16(shape, to_f16(&name, &values).map_err(naming)?),
            _ => StoredTensor::new(shape.clone(), TensorData::new(values, shape)),
        };
        tensors.push((name, tensor));
    }
    write_tensors(&args.output, tensors, Some(HashMap::from([(SPEC_KEY.to_string(), description)])))?;
    Ok(String::new())
}

/// What the detector answers to the test picture with its matrices in f16; an adapter answers nothing by itself.
fn reference(spec: &DetectorSpec, source: &Source) -> Result<Option<Reference>> {
    if spec.adapter.is_some() {
        return Ok(None);
    }
    let mut halved = Quantizing::new(source.open()?, BTreeMap::new());
    Reference::of(spec.clone(), &mut halved).map(Some).map_err(|error| source.naming(error))
}

/// Writes the detector with weights of 8-bit integers; what is to say of it.
fn to_int8_file(args: &QuantizeArgs, source: &Source) -> Result<String> {
    if args.data.is_empty() {
        bail!(
            "--dtype int8 needs --data: what integers change is measured on faces, and the program has none that stand for those the \
             detector is for; make some with `unmask preprocess --for {}`",
            source.argument()
        );
    }
    let spec = described(detector_file::describe(source, &source.open()?)?, args)?;
    let data = datasets::load_all(&args.data, &args.load, &spec.crop)?;
    let videos = data.into_iter().flat_map(|set| set.videos).filter(|video| args.split.takes(video.split)).collect();
    let frames = args.frames.map_or(spec.sampling.frames, |frames| frames as usize);
    let limits = Limits { frames, faces: args.faces as usize };
    let Quantization { int8, kept, check } = int8::quantize(source, spec, videos, limits, &args.output)?;
    let kept = match kept.len() {
        0 => String::new(),
        1 => format!(", 1 block kept in f16 ({})", kept.concat()),
        count => format!(", {count} blocks kept in f16 ({})", kept.join(", ")),
    };
    Ok(format!(", {int8} weights as 8-bit integers{kept}\n{}", check.words()))
}

impl QuantizeArgs {
    fn changes_description(&self) -> bool {
        self.name.is_some() || self.grade.is_some()
    }
}

/// The description with another name, and with what the detector's answers are worth.
fn described(mut spec: DetectorSpec, args: &QuantizeArgs) -> Result<DetectorSpec> {
    if let Some(name) = args.name.as_deref().map(str::trim) {
        if name.contains(['/', '\\']) || hub::known()?.iter().any(|entry| entry.name.eq_ignore_ascii_case(name)) {
            bail!(
                "--name is `{name}`, but must be a name without slashes by which this program knows no other detector"
            );
        }
        name.clone_into(&mut spec.name);
    }
    let (Some(grade), Some(words)) = (args.grade, &args.words) else { return Ok(spec) };
    let words = words.trim().trim_end_matches('.');
    if words.is_empty() || words.contains(char::is_control) {
        bail!("--words needs a sentence on one line that says what the detector's answers are worth");
    }
    if spec.training.status == TrainingStatus::Untrained {
        bail!("{} is untrained, so its answers are worth nothing; train it, or leave out --grade", spec.name);
    }
    let is_fitted = spec.training.reliability().grade == Grade::Calibrated || spec.calibration.measured.is_some();
    if grade == GradeArg::Calibrated && !is_fitted {
        bail!(
            "the file of {} does not say that its thresholds were fitted, so it cannot be called calibrated; fit them with \
             `unmask eval --calibrate`, or choose another --grade",
            spec.name
        );
    }
    spec.training.reliability = Some(Reliability { grade: grade.into(), words: words.to_owned() });
    Ok(spec)
}
