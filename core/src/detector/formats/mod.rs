//! Other people's checkpoints under this project's tensor names: one file a family of formats, one list of all.
//!
//! A [`Format`] says what becomes of each tensor of such a file ([`Fate`]) and which model the shapes make;
//! [`Checkpoint`] is a file read by it, whatever training programs put around the names of its tensors. [`Grown`] adds what a
//! checkpoint has not and the model needs: a head, a branch. [`Conversion`] makes a detector file of a checkpoint, tensor by
//! tensor. [`PeftMerged`] is a checkpoint with an adapter of PEFT's in its weights.

mod clip;
mod conversion;
mod dicome;
mod efficientnet;
mod effort;
mod grown;
mod peft;
mod peft_config;
mod resample;
mod swin;
#[cfg(test)]
mod tests;
mod vit;
mod xception;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub use clip::HfConfig;
pub use conversion::{CONVERSION, Conversion, Fresh, Particulars, describe, detect, usual_crop};
pub use grown::Grown;
pub use peft::{PeftHead, PeftMerged};
pub use peft_config::PeftConfig;

use super::Architecture;
use crate::face::alignment::CropGeometry;
use crate::image::Interpolation;
use crate::layers::HeadKind;
use crate::weights::wrapping::{self, Unwrapped};
use crate::weights::{Init, TensorSource, WeightsError};

/// All formats, by the names that `unmask import --from` and `configs/models.toml` have for them.
pub static FORMATS: &[&dyn Format] = &[
    &clip::HF_CLIP,
    &clip::GEND,
    &clip::THESIS,
    &efficientnet::Lite { number: 0, name: "efficientnet-lite0" },
    &efficientnet::Lite { number: 1, name: "efficientnet-lite1" },
    &efficientnet::Lite { number: 2, name: "efficientnet-lite2" },
    &efficientnet::Plain { number: 0, name: "efficientnet-b0" },
    &efficientnet::Plain { number: 4, name: "efficientnet-b4" },
    &efficientnet::DeepfakeBenchB4,
    &xception::DeepfakeBenchXception,
    &swin::Pretrained {
        name: "timm-swin",
        about: "Swin-B of timm, pretrained on ImageNet, to train as TALL",
        merges_first: true,
        with_graph: false,
    },
    &swin::Pretrained {
        name: "timm-swin-tallpp",
        about: "the same, to train as TALL++",
        merges_first: true,
        with_graph: true,
    },
    &swin::Pretrained {
        name: "microsoft-swin",
        about: "Swin-B of its authors, pretrained on ImageNet, to train as TALL",
        merges_first: false,
        with_graph: false,
    },
    &swin::Pretrained {
        name: "microsoft-swin-tallpp",
        about: "the same, to train as TALL++",
        merges_first: false,
        with_graph: true,
    },
    &swin::Tall,
    &vit::Perception {
        name: "gend-pe",
        about: "GenD on the Perception Encoder, e.g. yermandy/GenD_PE_L",
        prefix: GEND,
        has_head: true,
    },
    &vit::Perception {
        name: "timm-pe",
        about: "The Perception Encoder of timm, e.g. timm/vit_pe_core_large_patch14_336.fb",
        prefix: "",
        has_head: false,
    },
    &vit::Dino {
        name: "gend-dinov3",
        about: "GenD on DINOv3, e.g. yermandy/GenD_DINOv3_L",
        prefix: GEND,
        has_head: true,
    },
    &vit::Dino {
        name: "hf-dinov3",
        about: "DINOv3 of Hugging Face transformers, e.g. facebook/dinov3-vitl16-pretrain-lvd1689m",
        prefix: "",
        has_head: false,
    },
    &vit::CommunityForensics,
    &vit::FsVfm,
    &effort::Effort,
    &dicome::Dicome,
];

/// What GenD has before the names of encoders other than CLIP.
const GEND: &str = "feature_extractor.backbone.";

/// The format of this name.
pub fn by_name(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.name() == name)
}

/// A format of checkpoints.
pub trait Format: Sync {
    /// What a user types.
    fn name(&self) -> &'static str;

    /// What it is, for a list: "GenD, e.g. yermandy/GenD_CLIP_L_14".
    fn about(&self) -> &'static str;

    /// What it is, within a sentence: "a GenD checkpoint".
    fn description(&self) -> &'static str;

    /// Our name of a tensor that every such checkpoint has, and by which it is known.
    fn mark(&self) -> &'static str;

    /// What becomes of the tensor of this name.
    fn fate(&self, name: &str) -> Fate;

    /// Whether such checkpoints have a head, which then must be there.
    fn has_head(&self) -> bool;

    /// Checks that the `config.json` beside a checkpoint describes such a network.
    ///
    /// # Errors
    /// [`WeightsError::BadSpec`] with what is another.
    fn accepts(&self, _config: &HfConfig) -> Result<(), WeightsError> {
        Ok(())
    }

    /// The model that the shapes make, with what shapes leave open from `hints`.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::ImpossibleSpec`], or what a hint contradicts.
    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError>;

    /// How faces are cropped for its detectors.
    fn geometry(&self) -> CropGeometry {
        CropGeometry::Dfb
    }

    /// Mean and deviation of the channels (RGB in 0..1), where they are others than those of the model's pretraining.
    fn normalisation(&self) -> Option<[[f32; 3]; 2]> {
        None
    }

    /// How the authors resize what their model sees; most of them by the bicubic kernel.
    fn interpolation(&self) -> Interpolation {
        Interpolation::Bicubic
    }

    /// Whether the side of the input may be another than the weights were trained with ([`Hints::image_size`]).
    fn takes_any_size(&self) -> bool {
        false
    }

    /// Our tensor `name` of `shape`, where it is not simply one of theirs but made of several, or of one of another shape.
    fn derived(&self, _name: &str, _shape: &[usize], _theirs: &mut Theirs) -> Option<Result<Vec<f32>, WeightsError>> {
        None
    }
}

/// What the shapes of a checkpoint leave open.
#[derive(Clone, Debug)]
pub struct Hints {
    /// What the `config.json` beside it says.
    pub config: Option<HfConfig>,
    /// Attention heads.
    pub heads: Option<usize>,
    /// Side of the input.
    pub image_size: Option<usize>,
    /// The head, where the checkpoint has none.
    pub head: HeadKind,
}

impl Default for Hints {
    fn default() -> Self {
        Self { config: None, heads: None, image_size: None, head: HeadKind::OneLayer }
    }
}

/// What becomes of one tensor of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has this name here.
    Named(String),
    /// Its rows, cut into as many equal parts as there are names, have these names here.
    Parts(Vec<String>),
    /// Something is made of it by [`Format::derived`].
    Ingredient,
    /// It belongs to the format, and no detector needs it.
    Unused,
    /// It does not belong to the format.
    Unknown,
}

impl From<Option<String>> for Fate {
    fn from(name: Option<String>) -> Self {
        name.map_or(Self::Unknown, Self::Named)
    }
}

/// Where a tensor of ours is in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    /// Their tensor's name in the file.
    whole: String,
    /// Which of how many equal parts of its rows.
    part: (usize, usize),
}

/// The tensors of a checkpoint by the format's own names, whatever is around those.
pub struct Theirs<'a> {
    source: &'a mut dyn TensorSource,
    wholes: &'a BTreeMap<String, String>,
}

impl Theirs<'_> {
    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.shape(self.wholes.get(name)?)
    }

    /// The values of a tensor of `shape`.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::Shape`], or a failed read.
    pub fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let whole = self.wholes.get(name).ok_or_else(|| WeightsError::Missing(name.to_owned()))?;
        self.source.read(whole, shape, Init::Zeros)
    }
}

/// Whether a network of this format is among tensors of these names, whatever is around it.
pub fn is_in(format: &dyn Format, names: &[String]) -> bool {
    wrapping::holds(names, |name| is_mark(format, name))
}

/// Whether `name` is that of the tensor by which a network of this format is known.
fn is_mark(format: &dyn Format, name: &str) -> bool {
    match format.fate(name) {
        Fate::Named(ours) => ours == format.mark(),
        Fate::Parts(ours) => ours.iter().any(|ours| ours == format.mark()),
        Fate::Ingredient | Fate::Unused | Fate::Unknown => false,
    }
}

/// A checkpoint's tensors under our names.
pub struct Checkpoint<S> {
    source: S,
    format: Option<&'static dyn Format>,
    /// By our names.
    origins: BTreeMap<String, Origin>,
    /// Names in the file by the format's own.
    wholes: BTreeMap<String, String>,
}

impl<S: TensorSource> Checkpoint<S> {
    /// `source` read as `format`.
    ///
    /// # Errors
    /// [`WeightsError::WrongKind`] where the network is not there, [`WeightsError::SeveralNetworks`] where several are, and
    /// [`WeightsError::Extra`] for an unknown tensor.
    pub fn new(source: S, format: &'static dyn Format) -> Result<Self, WeightsError> {
        let names = source.names();
        let foreign = |found: String| WeightsError::WrongKind { expected: format.description(), found };
        if !is_in(format, &names) {
            return Err(foreign(
                names.first().map_or("it has no tensors".to_owned(), |n| format!("its first tensor is `{n}`")),
            ));
        }
        let tensors = wrapping::unwrap(&names, |name| is_mark(format, name)).map_err(|error| match error {
            WeightsError::Extra(name) => foreign(format!("beside the network it has a tensor `{name}`")),
            error => error,
        })?;
        let (mut origins, mut wholes) = (BTreeMap::new(), BTreeMap::new());
        for Unwrapped { inner, whole } in tensors {
            let ours = match format.fate(&inner) {
                Fate::Named(ours) => [ours].to_vec(),
                Fate::Parts(ours) => ours,
                Fate::Ingredient | Fate::Unused => Vec::new(),
                Fate::Unknown => return Err(WeightsError::Extra(whole.to_owned())),
            };
            let count = ours.len();
            for (index, ours) in ours.into_iter().enumerate() {
                let origin = Origin { whole: whole.to_owned(), part: (index, count) };
                if origins.insert(ours, origin).is_some() {
                    return Err(WeightsError::Extra(whole.to_owned()));
                }
            }
            wholes.insert(inner, whole.to_owned());
        }
        Ok(Self { source, format: Some(format), origins, wholes })
    }

    /// A file that has only a head, in GenD's and the thesis's names.
    ///
    /// # Errors
    /// [`WeightsError::WrongKind`] if it has anything else.
    pub fn head(source: S) -> Result<Self, WeightsError> {
        let foreign = |name: &str| {
            let found = format!("it has a tensor `{name}`");
            WeightsError::WrongKind { expected: "a head", found }
        };
        let theirs = source.names();
        let tensors = wrapping::unwrap(&theirs, is_head_mark).map_err(|error| match error {
            WeightsError::Extra(name) => foreign(&name),
            error => error,
        })?;
        let mut origins = BTreeMap::new();
        for Unwrapped { inner, whole } in tensors {
            let ours = clip::head_name(&inner).ok_or_else(|| foreign(whole))?;
            origins.insert(ours, Origin { whole: whole.to_owned(), part: (0, 1) });
        }
        Ok(Self { source, format: None, origins, wholes: BTreeMap::new() })
    }

    /// Our names with the names in the file that they are read from, and which of how many equal parts of the rows there they
    /// are.
    pub fn renamed(&self) -> impl Iterator<Item = (&str, &str, (usize, usize))> {
        self.origins.iter().map(|(ours, origin)| (ours.as_str(), origin.whole.as_str(), origin.part))
    }
}

/// A shape without the axes that have one place.
fn without_ones(shape: &[usize]) -> impl Iterator<Item = &usize> {
    shape.iter().filter(|length| **length != 1)
}

/// Which head is among tensors of these names of ours, if any.
pub fn head_kind(tensors: &dyn TensorSource) -> Option<HeadKind> {
    let has = |layer: usize| tensors.shape(&format!("head.layers.{layer}.weight")).is_some();
    match (has(0), has(1)) {
        (false, _) => None,
        (true, false) => Some(HeadKind::OneLayer),
        (true, true) => Some(HeadKind::TwoLayers),
    }
}

/// Whether a head is among tensors of these names, whatever is around it.
pub fn is_head(names: &[String]) -> bool {
    wrapping::holds(names, is_head_mark)
}

/// Whether `name` is that of the tensor by which a head is known.
fn is_head_mark(name: &str) -> bool {
    clip::head_name(name).is_some_and(|ours| ours == "head.layers.0.weight")
}

impl<S: TensorSource> TensorSource for Checkpoint<S> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        if let Some(format) = self.format {
            let mut theirs = Theirs { source: &mut self.source, wholes: &self.wholes };
            if let Some(values) = format.derived(name, shape, &mut theirs) {
                return values;
            }
        }
        let Origin { whole, part: (index, count) } =
            self.origins.get(name).ok_or_else(|| WeightsError::Missing(name.to_string()))?;
        if *count == 1 {
            // A convolution of 1 × 1 is a matrix.
            let stored = self.source.shape(whole).filter(|stored| without_ones(stored).eq(without_ones(shape)));
            return self.source.read(whole, stored.as_deref().unwrap_or(shape), init);
        }
        let mut all = shape.to_vec();
        if let Some(rows) = all.first_mut() {
            *rows *= count;
        }
        let values = self.source.read(whole, &all, init)?;
        let length = values.len() / count;
        Ok(values.chunks_exact(length.max(1)).nth(*index).map(<[f32]>::to_vec).unwrap_or_default())
    }

    fn names(&self) -> Vec<String> {
        self.origins.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let Origin { whole, part: (_, count) } = self.origins.get(name)?;
        let mut shape = self.source.shape(whole)?;
        if let Some(rows) = shape.first_mut() {
            *rows /= count;
        }
        Some(shape)
    }
}
