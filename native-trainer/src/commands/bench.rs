//! `unmask bench`: how fast each stage is on this machine.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use burn::prelude::*;
use burn::tensor::DType;
use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use unmask_core::detector::Model;
use unmask_core::detector::clip::{ClipConfig, HeadKind};
use unmask_core::detector::efficientnet::EfficientNetConfig;
use unmask_core::detector::spec::Architecture;
use unmask_core::detector::xception::XceptionConfig;
use unmask_core::face::finder::FindOptions;
use unmask_core::image::RgbImage;
use unmask_core::weights::{Quantizing, Seeded};

use unmask::device::DeviceChoice;
use unmask::media::{self, Damage, OpenOptions, TimedFrame};
use unmask::output::say;
use unmask::speed::{Row, TOWER};
use unmask::train::in_bf16;
use unmask::{detector_file, int8, scoring};

/// Measure the speed of each stage
#[derive(Args, Debug)]
#[command(
    after_help = "Without --model the weights are random, which takes the same time as trained ones; --int8 makes those of linear layers
8-bit integers, as `unmask quantize --dtype int8` does.
Without --input a 10 s test pattern of 1280x720 is decoded and searched for faces.

Examples:
  unmask bench
  unmask bench --only-model --int8 --device cpu
  unmask bench --model detector.safetensors --input clip.mp4 --batch 16
  unmask bench --model detector.safetensors --only-model --json
  unmask bench --architecture xception --only-model --batch 1
  unmask bench --architecture clip-vit-l-14 --only-model --device cuda --bf16 --batch 64"
)]
pub(crate) struct BenchArgs {
    /// A detector file, or the name of a pulled detector
    #[arg(long, value_name = "NAME|FILE")]
    model: Option<String>,
    /// The network that has random weights, where no model is named
    #[arg(long, value_enum, default_value = "clip-vit-b-16", conflicts_with = "model")]
    architecture: Network,
    /// With random weights: those of linear layers are 8-bit integers
    #[arg(long, conflicts_with = "model")]
    int8: bool,
    /// The model alone in bf16, as it is trained on GPUs
    #[arg(long)]
    bf16: bool,
    /// A video to decode and find faces in
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Leave out decoding and faces
    #[arg(long, conflicts_with = "input")]
    only_model: bool,
    /// Print the rows as JSON
    #[arg(long)]
    json: bool,
    /// auto, cpu, cuda, cuda:N or wgpu
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Images that go through the model together
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    batch: u32,
    /// Measured repetitions of each stage; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
}

/// Networks of published sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Network {
    #[value(name = "clip-vit-b-16")]
    ClipVitB16,
    #[value(name = "clip-vit-l-14")]
    ClipVitL14,
    /// At 160 pixels, as `unmask-lite` has it
    EfficientnetLite0,
    EfficientnetB0,
    /// At 256 pixels, as DeepfakeBench has it
    EfficientnetB4,
    Xception,
}

impl Network {
    fn sizes(self) -> Option<Architecture> {
        let head = HeadKind::OneLayer;
        let of_size = |image_size, config| EfficientNetConfig { image_size, ..config };
        Some(match self {
            Self::ClipVitB16 => Architecture::Clip(ClipConfig::vit_b_16(head)),
            Self::ClipVitL14 => Architecture::Clip(ClipConfig::vit_l_14(head)),
            Self::EfficientnetLite0 => Architecture::EfficientNet(of_size(160, EfficientNetConfig::lite0(head))),
            Self::EfficientnetB0 => Architecture::EfficientNet(EfficientNetConfig::plain(0, head)?),
            Self::EfficientnetB4 => Architecture::EfficientNet(of_size(256, EfficientNetConfig::plain(4, head)?)),
            Self::Xception => Architecture::Xception(XceptionConfig::published(head)),
        })
    }
}

/// Runs the command.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let rows = if args.only_model { model(args, &[plain_picture()?])? } else { all_stages(args)? };
    match args.json {
        true => say!("{}", serde_json::to_string_pretty(&rows).context("the figures cannot be written")?),
        false => say!("{}", table(&rows)),
    }
    Ok(())
}

/// A grey picture, which takes as long as any other.
fn plain_picture() -> Result<RgbImage> {
    RgbImage::new(1, 1, vec![128; 3]).context("the picture cannot be made")
}

fn all_stages(args: &BenchArgs) -> Result<Vec<Row>> {
    let temporary = tempfile::tempdir().context("no temporary folder can be made; check the free space")?;
    let clip = match &args.input {
        Some(path) => path.clone(),
        None => media::pattern::write(temporary.path())?,
    };
    let (decode, frames) = decode(args, &clip)?;
    let faces = faces(args, &frames)?;
    let mut rows = vec![decode, faces];
    let pictures: Vec<RgbImage> = frames.into_iter().map(|frame| frame.image).collect();
    rows.extend(model(args, &pictures)?);
    Ok(rows)
}

/// The median of the repetitions of `work`, after one that does not count, in milliseconds for each of `frames`.
fn median_ms(repeat: u32, frames: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let mut times = Vec::new();
    for _ in 0..repeat {
        let start = Instant::now();
        work()?;
        times.push(start.elapsed().as_secs_f64() * 1000.0 / frames as f64);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn decode(args: &BenchArgs, clip: &Path) -> Result<(Row, Vec<TimedFrame>)> {
    let Some(input) = media::expand(clip)?.inputs.into_iter().next() else {
        bail!("{} holds no video; name one with `--input`", clip.display())
    };
    let options = OpenOptions { frames: 32, damage: Damage::Skip };
    let mut frames: Vec<TimedFrame> = Vec::new();
    let milliseconds = median_ms(args.repeat, 1, || {
        frames = media::open(&input, &options)?.frames.collect::<Result<_, _>>()?;
        Ok(())
    })?;
    let Some(first) = frames.first() else { bail!("{} holds no frame; name another with `--input`", clip.display()) };
    let what = format!("{} frames of {}×{}", frames.len(), first.image.width(), first.image.height());
    let milliseconds = milliseconds / frames.len() as f64;
    let row = Row { stage: "decode".into(), what, batch: frames.len(), milliseconds, flops: None, peak: peak_memory() };
    Ok((row, frames))
}

fn faces(args: &BenchArgs, frames: &[TimedFrame]) -> Result<Row> {
    use rayon::prelude::*;
    let finder = scoring::face_finder()?;
    let options = FindOptions::default();
    let group = &frames[..frames.len().min(8)];
    let mut found = 0;
    let milliseconds = median_ms(args.repeat, group.len(), || {
        found = group.par_iter().map(|frame| finder.find(&frame.image, &options).len()).sum();
        Ok(())
    })?;
    let what = format!("{found} found in {} frames", group.len());
    Ok(Row { stage: "faces".into(), what, batch: group.len(), milliseconds, flops: None, peak: peak_memory() })
}

fn model(args: &BenchArgs, pictures: &[RgbImage]) -> Result<Vec<Row>> {
    let device = args.device.open()?;
    let batch = args.batch as usize;
    let Some(name) = &args.model else {
        return Ok(vec![random_tower(args, &device)?]);
    };
    let detector = detector_file::load_whole(&detector_file::resolve(name)?, &device)?.detector;
    let architecture = &detector.spec().architecture;
    let size = detector.spec().crop.size;
    // A detector of clips gets whole ones, or the frames that fill them up would not be counted.
    let batch = batch.next_multiple_of(architecture.clip_length());
    let crops: Vec<RgbImage> = (0..batch)
        .map(|i| pictures[i % pictures.len()].resize(size, size, unmask_core::image::Interpolation::Bilinear))
        .collect();
    let milliseconds = median_ms(args.repeat, batch, || {
        detector.logits(&crops).into_data();
        Ok(())
    })?;
    let what = format!("{} with preprocessing, batch {batch}", detector.spec().name);
    let flops = Some(architecture.flops());
    let whole = Row { stage: "detector".into(), what, batch, milliseconds, flops, peak: peak_memory() };
    Ok(vec![tower(args, &detector.spec().name, detector.model(), architecture, &device)?, whole])
}

/// A tower with random weights.
fn random_tower(args: &BenchArgs, device: &Device) -> Result<Row> {
    let architecture = args.architecture.sizes().context("such a network is not known")?;
    let name = args.architecture.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let unmade = "the model cannot be made";
    let (model, bits) = match args.int8 {
        false => (Model::load(&architecture, &mut Seeded::new(0), device).context(unmade)?, ""),
        true => {
            let chosen = int8::candidates(&architecture).context(unmade)?;
            let mut source = Quantizing::new(Seeded::new(0), chosen);
            (Model::load(&architecture, &mut source, device).context(unmade)?, ", int8")
        }
    };
    tower(args, &format!("{name} (random weights{bits})"), &model, &architecture, device)
}

fn tower(args: &BenchArgs, name: &str, model: &Model, architecture: &Architecture, device: &Device) -> Result<Row> {
    let (size, length) = (architecture.image_size(), architecture.clip_length());
    let clips = (args.batch as usize).div_ceil(length);
    let batch = clips * length;
    let pixels = Tensor::<5>::zeros([clips, length, 3, size, size], device);
    let (model, pixels, bits) = match args.bf16 {
        true => (in_bf16(model.clone(), device)?, pixels.cast(DType::BF16), ", bf16"),
        false => (model.clone(), pixels, ""),
    };
    let milliseconds = median_ms(args.repeat, batch, || {
        model.forward(pixels.clone()).logits.into_data();
        Ok(())
    })?;
    let what = format!("{name}{bits}, batch {batch}");
    let flops = Some(architecture.flops());
    Ok(Row { stage: TOWER.into(), what, batch, milliseconds, flops, peak: peak_memory() })
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["stage", "what", "ms a frame", "frames/s", "GFLOP/s", "peak memory"]);
    for row in rows {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_string());
        table.add_row([
            row.stage.clone(),
            row.what.clone(),
            format!("{:.1}", row.milliseconds),
            format!("{:.1}", 1000.0 / row.milliseconds),
            or_dash(row.flops.map(|flops| format!("{:.0}", flops as f64 / row.milliseconds / 1e6))),
            or_dash(row.peak.map(|bytes| format!("{:.0} MB", bytes as f64 / 1e6))),
        ]);
    }
    for index in 2..6 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The most memory this process has held, in bytes, where the system tells.
fn peak_memory() -> Option<u64> {
    #[cfg(unix)]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        let peak = u64::try_from(getrusage(UsageWho::RUSAGE_SELF).ok()?.max_rss()).ok()?;
        // Kilobytes everywhere but on macOS, which counts bytes.
        Some(if cfg!(target_os = "macos") { peak } else { peak * 1024 })
    }
    #[cfg(not(unix))]
    None
}
