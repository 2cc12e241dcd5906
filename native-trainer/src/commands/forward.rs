//! `unmask forward`: a detector's raw outputs for given pixels, for comparing with other implementations.

use std::path::PathBuf;

use anyhow::{Result, anyhow, bail};
use burn::prelude::*;
use clap::Args;
use unmask_core::detector::Detector;
use unmask_core::weights::TensorSource;

use unmask::device::DeviceChoice;
use unmask::tensors::{StoredTensor, write_tensors};
use unmask::{detector_file, files};

/// Run a detector on given pixels and write its raw outputs
#[derive(Args, Debug)]
#[command(
    after_help = "The input holds `pixel_values`, normalised as the detector wants it: [N,3,H,W] for a detector of single frames,
[B,T,3,H,W] for one of clips of T frames. A detector of single frames takes [B,T,3,H,W] too, each frame by itself.
The output holds `features`, `logits` and `score`: [N,d], [N,2] and [N], or with B (for single frames: B,T) in place of N.

Example:
  unmask forward --model detector.safetensors --input pixels.safetensors --output out.safetensors"
)]
pub(crate) struct ForwardArgs {
    /// A detector file, or the name of a pulled detector
    #[arg(long, value_name = "NAME|FILE")]
    model: String,
    /// The detector file that an adapter belongs to
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
    /// A safetensors file with `pixel_values`
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The safetensors file to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// auto, cpu, cuda, cuda:N or wgpu
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Images that go through the model together
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,
}

/// The tensor's name in the input file.
const PIXELS: &str = "pixel_values";

/// Runs the command.
pub(crate) fn run(args: &ForwardArgs) -> Result<()> {
    let device = args.device.open()?;
    let (model, base) = detector_file::resolve_with_base(&args.model, args.base.as_deref())?;
    let detector = detector_file::load(&model, base.as_ref(), &device)?.detector;
    let mut file = files::open_safetensors(&args.input)?;
    let shown = args.input.display();
    let Some(shape) = file.shape(PIXELS) else {
        bail!("{shown} has no tensor `{PIXELS}`; store the normalised pixels under that name")
    };
    let (size, length) = (detector.spec().input.size, detector.spec().clip_length());
    let leading = match shape[..] {
        [n, 3, h, w] if length == 1 && (h, w) == (size, size) => vec![n],
        [b, t, 3, h, w] if length == 1 && (h, w) == (size, size) => vec![b, t],
        [b, t, 3, h, w] if t == length && (h, w) == (size, size) => vec![b],
        _ if length == 1 => {
            bail!("{shown} has `{PIXELS}` of shape {shape:?} where [N, 3, {size}, {size}] is needed; resize the images")
        }
        _ => bail!(
            "{shown} has `{PIXELS}` of shape {shape:?} where [B, {length}, 3, {size}, {size}] is needed; \
             resize the images and make clips of {length} frames"
        ),
    };
    let values = file.values(PIXELS).map_err(|error| files::naming(&args.input, error))?;
    let outputs = forward(&detector, values, args.batch as usize)?;
    let tensors = outputs.into_iter().map(|(name, width, values)| {
        let mut shape = leading.clone();
        shape.extend(width);
        (name.to_string(), StoredTensor::new(shape.clone(), TensorData::new(values, shape)))
    });
    write_tensors(&args.output, tensors, None)
}

/// An output's name, its width where each clip has several numbers, and its values.
type Named = (&'static str, Option<usize>, Vec<f32>);

fn forward(detector: &Detector, values: Vec<f32>, batch: usize) -> Result<[Named; 3]> {
    let (size, length) = (detector.spec().input.size, detector.spec().clip_length());
    let clip = length * 3 * size * size;
    let (mut features, mut logits, mut scores) = (Vec::new(), Vec::new(), Vec::new());
    let mut width = 0;
    for clips in values.chunks((batch / length).max(1) * clip) {
        let shape = [clips.len() / clip, length, 3, size, size];
        let pixels = Tensor::<5>::from_data(TensorData::new(clips.to_vec(), shape), detector.device());
        let output = detector.model().forward(pixels);
        width = output.features.dims()[1];
        features.extend(read(output.features)?);
        let of_clips = read(output.logits)?;
        scores.extend(detector.probabilities(&of_clips));
        logits.extend(of_clips);
    }
    Ok([("features", Some(width), features), ("logits", Some(2), logits), ("score", None, scores)])
}

fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    tensor.into_data().try_into_vec().map_err(|error| anyhow!("the outputs could not be read back: {error:?}"))
}
