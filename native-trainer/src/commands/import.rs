//! `unmask import`: other people's checkpoints become detector files.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use burn::prelude::*;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use unmask_core::detector::clip::ClipConfig;
use unmask_core::detector::formats::{
    self, Checkpoint, FORMATS, Format, Fresh, Grown, HfConfig, Hints, Particulars, is_head,
};
use unmask_core::detector::spec::{AdapterSpec, Architecture, DetectorSpec};
use unmask_core::detector::stan::{StanConfig, TimeModule};
use unmask_core::detector::timesformer::TimeSformerConfig;
use unmask_core::detector::udd::UddConfig;
use unmask_core::detector::{Group, Model, Strategy};
use unmask_core::face::alignment::{CropGeometry, CropSpec};
use unmask_core::layers::HeadKind;
use unmask_core::weights::{Init, TensorSource, WeightsError};

use super::preprocess::margin;
use unmask::detector_file::Source;
use unmask::output::say;
use unmask::{checkpoint, detector_file, files, peft};

/// Convert a checkpoint of somebody else into a detector file
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  unmask import --from hf-clip --input clip-vit-base-patch16/model.safetensors --output clip-b16.safetensors
  unmask import --from hf-clip --input model.safetensors --head head.safetensors --output detector.safetensors
  unmask import --from hf-clip --input model.safetensors --peft my_lora --head head.safetensors --output detector.safetensors
  unmask import --from gend --input GenD_CLIP_L_14/model.safetensors --output gend.safetensors
  unmask import --from thesis --input ckpt_best.pth --output thesis.safetensors
  unmask import --from gend --input last.ckpt --key state_dict_ema --output gend-ema.safetensors
  unmask import --from gend --input GenD_CLIP_L_14/model.safetensors --clip-length 8 --output stan.safetensors
  unmask import --from hf-clip --input clip-vit-base-patch16/model.safetensors --udd --output udd.safetensors
  unmask import --from hf-clip --input clip-vit-large-patch14/model.safetensors --effort --output clip_l14.safetensors
  unmask import --from efficientnet-lite0 --input efficientnet-lite0-57934424.pth --output lite0.safetensors
  unmask import --from efficientnet-b0 --input efficientnet-b0-355c32eb.pth --clip-length 8 --output timesformer.safetensors
  unmask import --from deepfakebench-xception --input xception_best.pth --output xception.safetensors
  unmask import --from dicome --input dicome-best.ckpt --uncertain-above 0.3 --output dicome.safetensors
  unmask import --from timm-swin --input swin_base/model.safetensors --output tall.safetensors")]
pub(crate) struct ImportArgs {
    /// What kind of checkpoint it is
    #[arg(long, value_name = "FORMAT", value_parser = format_parser())]
    pub(crate) from: From,
    /// The checkpoint, safetensors or PyTorch's, whatever its name; a config.json beside it is read too
    #[arg(long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// A safetensors file with `model.linear.*` or `model.mlp.{0,2}.*`; without it the head is random (for checkpoints
    /// that have none)
    #[arg(long, value_name = "FILE")]
    pub(crate) head: Option<PathBuf>,
    /// An adapter (LoRA) of this checkpoint to merge into it: the folder that PEFT's `save_pretrained` wrote, or the
    /// adapter_model.safetensors in it, beside its adapter_config.json
    #[arg(long, value_name = "FOLDER|FILE")]
    pub(crate) peft: Option<PathBuf>,
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
    /// How faces are cropped [default: as the format's authors do, dfb for most]
    #[arg(long, value_enum)]
    pub(crate) crop: Option<CropArg>,
    /// Side of the crops in pixels [default: 256, which DeepfakeBench and GenD store]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(8..=4096))]
    pub(crate) crop_size: Option<u32>,
    /// How many times wider than the bare face a crop is [default: 1.3]
    #[arg(long, value_parser = margin)]
    pub(crate) margin: Option<f32>,
    /// Side of the input in pixels (of networks that take any) [default: as it was pretrained]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(8..=2048))]
    pub(crate) input_size: Option<u32>,
    /// Of models that say how uncertain they are (DiCoME): the uncertainty, 0 to 1, above which a face is not judged
    /// [default: 0.5]
    #[arg(long, value_name = "U")]
    pub(crate) uncertain_above: Option<f32>,
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

/// A format of checkpoints.
#[derive(Clone, Copy)]
pub(crate) struct From(pub(crate) &'static dyn Format);

impl fmt::Debug for From {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.0.name())
    }
}

impl From {
    /// The format of this name.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        formats::by_name(name).map(Self)
    }
}

/// Reads a format by its name; `--help` lists them all.
fn format_parser() -> impl TypedValueParser<Value = From> {
    let names = FORMATS.iter().map(|format| PossibleValue::new(format.name()).help(format.about()));
    PossibleValuesParser::new(names).try_map(|name| From::by_name(&name).ok_or("no such format"))
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
    /// Make a detector of clips of this many frames, which has to be trained: beside a CLIP tower goes a STAN branch, on an
    /// EfficientNet a TimeSformer block
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u32).range(1..=64))]
    clip_length: Option<u32>,
    /// Make a detector that is trained as UDD: beside a CLIP tower goes what its shuffled and mixed views are compared by
    #[arg(long, conflicts_with = "clip_length")]
    udd: bool,
    /// Make a detector that is trained as Effort: the head of a CLIP tower reads the features as they are, without their length
    /// set to 1
    #[arg(long, conflicts_with_all = ["clip_length", "udd"])]
    effort: bool,
    /// Layers of the branch [default: 4]
    #[arg(long, value_name = "LAYERS", requires = "clip_length", value_parser = clap::value_parser!(u32).range(1..=256))]
    branch_depth: Option<u32>,
    /// What mixes the frames of a clip [default: attention]
    #[arg(long, value_enum, requires = "clip_length")]
    time_module: Option<TimeModuleArg>,
}

impl BranchArgs {
    /// `architecture`, with this branch beside it where clips are asked for.
    fn beside(&self, architecture: Architecture) -> Result<Architecture> {
        if self.effort {
            let Architecture::Clip(clip) = architecture else {
                bail!("Effort is trained on a CLIP tower, and this is none; leave out --effort")
            };
            return Ok(Architecture::Clip(ClipConfig { normalised: false, ..clip }));
        }
        if self.udd {
            let Architecture::Clip(clip) = architecture else {
                bail!("UDD is trained on a CLIP tower, and this is none; leave out --udd")
            };
            return Ok(Architecture::Udd(UddConfig::new(clip)));
        }
        let Some(clip_length) = self.clip_length.map(|length| length as usize) else { return Ok(architecture) };
        let clip = match architecture {
            Architecture::Clip(clip) => clip,
            Architecture::EfficientNet(backbone) if self.branch_depth.is_none() && self.time_module.is_none() => {
                return Ok(Architecture::TimeSformer(TimeSformerConfig::new(backbone, clip_length)));
            }
            Architecture::EfficientNet(_) => {
                bail!("--branch-depth and --time-module are for CLIP towers; leave them out for an EfficientNet")
            }
            _ => bail!("clips of any length go with CLIP towers and EfficientNets only; leave out --clip-length"),
        };
        let usual = StanConfig::new(clip);
        Ok(Architecture::Stan(StanConfig {
            clip_length,
            branch_depth: self.branch_depth.map_or(usual.branch_depth, |depth| depth as usize),
            time_module: self.time_module.map_or(usual.time_module, |module| match module {
                TimeModuleArg::Attention => TimeModule::Attention,
                TimeModuleArg::Conv => TimeModule::Conv,
            }),
            ..usual
        }))
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

/// Runs the command.
pub(crate) fn run(args: &ImportArgs) -> Result<()> {
    let fresh = convert(args)?;
    let untrained = match (fresh.head, fresh.layers) {
        (_, true) => " (untrained: its new layers are fresh)",
        (true, false) => " (untrained: its head is random)",
        (false, false) => "",
    };
    say!("wrote {}{untrained}", args.output.display());
    Ok(())
}

/// Writes the detector file.
pub(crate) fn convert(args: &ImportArgs) -> Result<Fresh> {
    let From(format) = args.from;
    let naming = |error| files::naming(&args.input, error);
    if args.input_size.is_some() && !format.takes_any_size() {
        bail!("the input of {} is as large as it was trained with; leave out --input-size", args.input.display());
    }
    let mut source = Parts::open(args)?;
    let hints = Hints {
        config: config_beside(&args.input, format)?,
        heads: args.heads.map(|heads| heads as usize),
        image_size: args.input_size.map(|size| size as usize),
        head: match args.head_kind {
            HeadArg::OneLayer => HeadKind::OneLayer,
            HeadArg::TwoLayers => HeadKind::TwoLayers,
        },
    };
    let architecture = format.architecture(&source, &hints).map_err(naming)?;
    let architecture = args.branch.beside(architecture)?;
    let mut grown = Grown::new(&mut source, architecture.clone(), args.seed);
    let model = Model::load(&architecture, &mut grown, &Device::flex()).map_err(naming)?;
    let fresh = Fresh { head: grown.made(Group::Head), layers: grown.made(Group::New) };
    let mut spec = formats::describe(format, architecture, fresh, particulars(args));
    spec.check().map_err(naming)?;
    match &args.adapter_for {
        None => detector_file::write(&args.output, &spec, &model, |_| true)?,
        Some(base) => {
            same_base(base, &spec, &mut source)?;
            spec.adapter = Some(AdapterSpec { base_sha256: files::sha256(base)? });
            let is_kept = |name: &str| spec.architecture.trains(Strategy::LayerNorm, name);
            detector_file::write(&args.output, &spec, &model, is_kept)?;
        }
    }
    Ok(fresh)
}

/// The tensors of the checkpoint, and those of a head that comes from elsewhere.
struct Parts {
    tower: Checkpoint<Box<dyn TensorSource>>,
    head: Option<Checkpoint<Box<dyn TensorSource>>>,
}

impl Parts {
    fn open(args: &ImportArgs) -> Result<Self> {
        let From(format) = args.from;
        let tower = checkpoint::open(&args.input, args.key.as_deref(), |names| formats::is_in(format, names))?;
        let (tower, trained_head) = match &args.peft {
            Some(path) => peft::merged(tower, path, format)?,
            None => (tower, None),
        };
        let tower = Checkpoint::new(tower, format).map_err(|error| files::naming(&args.input, error))?;
        let head: Option<(&Path, Box<dyn TensorSource>)> = match (&args.head, &args.peft, trained_head) {
            (Some(path), Some(peft), Some(_)) => {
                bail!("{} has a head already; leave out `--head {}`", peft.display(), path.display())
            }
            (Some(path), ..) => Some((path, checkpoint::open(path, None, is_head)?)),
            (None, Some(peft), Some(head)) => Some((peft, Box::new(head))),
            (None, ..) => None,
        };
        let head = head.map(|(path, head)| Checkpoint::head(head).map_err(|error| files::naming(path, error)));
        let head = head.transpose()?;
        let has_head = tower.names().iter().any(|name| name.starts_with("head."));
        if let (Some(path), true) = (&args.head, has_head) {
            bail!("{} has a head already; leave out `--head {}`", args.input.display(), path.display());
        }
        if format.has_head() && !has_head {
            bail!("{} has no head (`model.linear.*` or `model.mlp.*`); use `--from hf-clip`", args.input.display());
        }
        Ok(Self { tower, head })
    }
}

impl TensorSource for Parts {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        match &mut self.head {
            Some(head) if name.starts_with("head.") => head.read(name, shape, init),
            _ => self.tower.read(name, shape, init),
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
fn config_beside(input: &Path, format: &dyn Format) -> Result<Option<HfConfig>> {
    let path = input.with_file_name("config.json");
    if !path.exists() {
        return Ok(None);
    }
    let config = HfConfig::from_json(&files::read_text(&path)?);
    let accepted = config.and_then(|config| format.accepts(&config).map(|()| config));
    accepted.map(Some).map_err(|error| files::naming(&path, error))
}

/// What the arguments say that the checkpoint does not.
fn particulars(args: &ImportArgs) -> Particulars {
    let usual = formats::usual_crop(args.from.0);
    let geometry = match args.crop {
        Some(CropArg::Dfb) => CropGeometry::Dfb,
        Some(CropArg::Gend) => CropGeometry::Gend,
        None => usual.geometry,
    };
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    Particulars {
        name: args.name.clone().unwrap_or_else(|| stem(&args.output)),
        licence: args.licence.clone(),
        file: args.input.file_name().map(|name| name.to_string_lossy().into_owned()),
        crop: CropSpec {
            geometry,
            size: args.crop_size.map_or(usual.size, |size| size as usize),
            margin: args.margin.unwrap_or(usual.margin),
        },
        uncertain_above: args.uncertain_above,
    }
}

/// Checks that everything an adapter leaves out is the same in its base.
fn same_base(base: &Path, spec: &DetectorSpec, source: &mut Parts) -> Result<()> {
    let mut file = files::open_safetensors(base)?;
    if detector_file::describe(&Source::File(base.to_owned()), &file)?.adapter.is_some() {
        bail!("{} is itself an adapter; name the detector it belongs to", base.display());
    }
    for name in source.tower.names().iter().filter(|name| !spec.architecture.trains(Strategy::LayerNorm, name)) {
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
