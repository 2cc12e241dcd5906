//! `unmask quantize`: the same detector in a smaller file.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Result, bail};
use burn::tensor::TensorData;
use clap::{Args, ValueEnum};
use half::f16;
use unmask_core::weights::spec::SPEC_KEY;
use unmask_core::weights::{TensorSource, WeightsError};

use crate::detector_file::{self, Source};
use crate::output::say;
use crate::tensors::{StoredTensor, write_tensors};

/// Store a detector's weights in fewer bits
#[derive(Args, Debug)]
#[command(
    after_help = "Matrices and convolutions are stored as f16, which halves the file; norms, biases and statistics stay f32. The
detector still computes in f32. Scores change by about a thousandth: `unmask eval` on both tells by how much.

Example:
  unmask quantize --model detector.safetensors --dtype f16 --output small.safetensors"
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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StorageType {
    F16,
}

/// Runs the command.
pub(crate) fn run(args: &QuantizeArgs) -> Result<()> {
    let StorageType::F16 = args.dtype;
    let source = detector_file::resolve(&args.model)?;
    let mut file = source.open()?;
    let naming = |error| source.naming(error);
    // Refuses what is no detector; the description itself does not change.
    source.read_spec(&file)?;
    let description = file.metadata(SPEC_KEY).ok_or(WeightsError::NotADetector).map_err(naming)?.to_string();
    let mut tensors = Vec::new();
    for name in file.names() {
        let shape = file.shape(&name).unwrap_or_default();
        let values = file.values(&name).map_err(naming)?;
        let tensor = match shape.len() {
            0 | 1 => StoredTensor::new(shape.clone(), TensorData::new(values, shape)),
            _ => StoredTensor::f16(shape, halves(&source, &name, &values)?),
        };
        tensors.push((name, tensor));
    }
    write_tensors(&args.output, tensors, Some(HashMap::from([(SPEC_KEY.to_string(), description)])))?;
    let megabytes = |source: &Source| Ok::<_, anyhow::Error>(source.size()? as f64 / 1e6);
    let (before, after) = (megabytes(&source)?, megabytes(&Source::File(args.output.clone()))?);
    say!("wrote {}: {after:.1} MB in place of {before:.1} MB", args.output.display());
    Ok(())
}

/// The values rounded to f16, all of which must be finite there.
fn halves(source: &Source, name: &str, values: &[f32]) -> Result<Vec<f16>> {
    let halves: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
    if halves.iter().any(|half| !half.is_finite()) {
        bail!("{source} has values in `{name}` that f16 cannot hold; keep the file as it is");
    }
    Ok(halves)
}
