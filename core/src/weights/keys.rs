//! Other people's checkpoints under this project's tensor names, and the sizes their shapes imply.

#[cfg(test)]
mod tests;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Deserialize;

use super::wrapping::{self, Unwrapped};
use super::{Init, TensorSource, WeightsError};
use crate::detector::clip::{ClipConfig, HeadKind};

/// The kinds of checkpoint that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checkpoint {
    /// `CLIPVisionModel` or `CLIPModel` of transformers: a tower without a head.
    HfClip,
    /// GenD (`yermandy/GenD_CLIP_L_14`): tower and head.
    Gend,
    /// The thesis's `ckpt_best.pth`: a tower with PEFT's tuned LayerNorms, and a head.
    Thesis,
    /// EfficientNet-Lite0 of `efficientnet_lite_pytorch`: a network with ImageNet's classifier, which is left out.
    EfficientNetLite0,
}

/// What becomes of one tensor of a checkpoint.
enum Fate {
    Named(String),
    Unused,
    Unknown,
}

impl Checkpoint {
    /// The name in an error message.
    fn description(self) -> &'static str {
        match self {
            Self::HfClip => "a CLIP checkpoint of transformers",
            Self::Gend => "a GenD checkpoint",
            Self::Thesis => "a thesis checkpoint with tuned LayerNorms",
            Self::EfficientNetLite0 => "an EfficientNet checkpoint of efficientnet_lite_pytorch",
        }
    }

    /// Our names to theirs, for each of `names` that is used, seen through what training programs put around them.
    ///
    /// # Errors
    /// [`WeightsError::WrongKind`] where the network is not there, [`WeightsError::SeveralNetworks`] where several are, and
    /// [`WeightsError::Extra`] for an unknown tensor.
    pub fn rename(self, names: &[String]) -> Result<BTreeMap<String, String>, WeightsError> {
        let foreign = |found: String| WeightsError::WrongKind { expected: self.description(), found };
        if !self.is_in(names) {
            return Err(foreign(
                names.first().map_or("it has no tensors".to_owned(), |n| format!("its first tensor is `{n}`")),
            ));
        }
        let tensors = wrapping::unwrap(names, |name| self.is_mark(name)).map_err(|error| match error {
            WeightsError::Extra(name) => foreign(format!("beside the network it has a tensor `{name}`")),
            error => error,
        })?;
        let mut renamed = BTreeMap::new();
        for Unwrapped { inner, whole } in tensors {
            match self.fate(&inner) {
                Fate::Named(ours) => {
                    if renamed.insert(ours, whole.to_owned()).is_some() {
                        return Err(WeightsError::Extra(whole.to_owned()));
                    }
                }
                Fate::Unused => {}
                Fate::Unknown => return Err(WeightsError::Extra(whole.to_owned())),
            }
        }
        Ok(renamed)
    }

    /// Whether a network of this kind is among tensors of these names, whatever is around it.
    pub fn is_in(self, names: &[String]) -> bool {
        wrapping::holds(names, |name| self.is_mark(name))
    }

    /// Whether `name` is that of the tensor by which a network of this kind is known.
    fn is_mark(self, name: &str) -> bool {
        let mark = match self {
            Self::HfClip | Self::Gend | Self::Thesis => "tower.class_embedding",
            Self::EfficientNetLite0 => "trunk.stem.weight",
        };
        matches!(self.fate(name), Fate::Named(ours) if ours == mark)
    }

    fn fate(self, name: &str) -> Fate {
        let found = match self {
            Self::HfClip => hf_clip(name),
            Self::Gend => name.strip_prefix("feature_extractor.").map_or_else(|| head(name), hf_clip),
            Self::Thesis => thesis(name),
            Self::EfficientNetLite0 => efficientnet(name),
        };
        found.unwrap_or(Fate::Unknown)
    }
}

/// Whether a head is among tensors of these names, whatever is around it.
pub fn is_head(names: &[String]) -> bool {
    wrapping::holds(names, is_head_mark)
}

/// Whether `name` is that of the tensor by which a head is known.
fn is_head_mark(name: &str) -> bool {
    head_name(name).is_some_and(|ours| ours == "head.layers.0.weight")
}

/// The head's tensors, in GenD's and the thesis's names.
pub fn head_name(name: &str) -> Option<String> {
    let (layer, rest) = [("model.linear.", 0), ("model.mlp.0.", 0), ("model.mlp.2.", 1)]
        .into_iter()
        .find_map(|(prefix, layer)| name.strip_prefix(prefix).map(|rest| (layer, rest)))?;
    matches!(rest, "weight" | "bias").then(|| format!("head.layers.{layer}.{rest}"))
}

fn head(name: &str) -> Option<Fate> {
    head_name(name).map(Fate::Named)
}

/// transformers' names; a whole `CLIPModel` has the text tower and projections too, which a detector does not use.
fn hf_clip(name: &str) -> Option<Fate> {
    const UNUSED: [&str; 4] = ["text_model.", "text_projection.", "visual_projection.", "logit_scale"];
    if UNUSED.iter().any(|prefix| name.starts_with(prefix)) || name.ends_with("position_ids") {
        return Some(Fate::Unused);
    }
    tower(name.strip_prefix("vision_model.").unwrap_or(name)).map(Fate::Named)
}

/// PEFT keeps the original LayerNorm as `base_layer` beside the tuned one; the tuned one counts.
fn thesis(name: &str) -> Option<Fate> {
    let Some(inner) = name.strip_prefix("feature_extractor.base_model.model.") else { return head(name) };
    if inner.contains(".base_layer.") {
        return Some(Fate::Unused);
    }
    hf_clip(&inner.replace(".ln_tuning_layers.default.", "."))
}

/// A tensor of `vision_model` under our name.
fn tower(name: &str) -> Option<String> {
    const WHOLE: [(&str, &str); 7] = [
        ("embeddings.class_embedding", "class_embedding"),
        ("embeddings.patch_embedding.weight", "patch_embedding"),
        ("embeddings.position_embedding.weight", "position_embedding"),
        ("pre_layrnorm.weight", "pre_norm.weight"),
        ("pre_layrnorm.bias", "pre_norm.bias"),
        ("post_layernorm.weight", "post_norm.weight"),
        ("post_layernorm.bias", "post_norm.bias"),
    ];
    const MODULES: [(&str, &str); 8] = [
        ("self_attn.q_proj", "attention.query"),
        ("self_attn.k_proj", "attention.key"),
        ("self_attn.v_proj", "attention.value"),
        ("self_attn.out_proj", "attention.output"),
        ("layer_norm1", "norm1"),
        ("layer_norm2", "norm2"),
        ("mlp.fc1", "mlp.fc1"),
        ("mlp.fc2", "mlp.fc2"),
    ];
    if let Some((_, ours)) = WHOLE.iter().find(|(theirs, _)| *theirs == name) {
        return Some(format!("tower.{ours}"));
    }
    let (index, rest) = name.strip_prefix("encoder.layers.")?.split_once('.')?;
    let (module, kind) = rest.rsplit_once('.')?;
    let (_, ours) = MODULES.iter().find(|(theirs, _)| *theirs == module)?;
    let index: usize = index.parse().ok()?;
    matches!(kind, "weight" | "bias").then(|| format!("tower.layers.{index}.{ours}.{kind}"))
}

/// A tensor of `efficientnet_pytorch` or `efficientnet_lite_pytorch`: batch norms are numbered by their convolution.
fn efficientnet(name: &str) -> Option<Fate> {
    const WHOLE: [(&str, &str); 4] =
        [("_conv_stem", "stem"), ("_bn0", "stem.norm"), ("_conv_head", "last"), ("_bn1", "last.norm")];
    const BLOCK: [(&str, &str); 6] = [
        ("_expand_conv", "expand"),
        ("_bn0", "expand.norm"),
        ("_depthwise_conv", "depthwise"),
        ("_bn1", "depthwise.norm"),
        ("_project_conv", "project"),
        ("_bn2", "project.norm"),
    ];
    let (module, kind) = name.rsplit_once('.')?;
    if module == "_fc" || kind == "num_batches_tracked" {
        return Some(Fate::Unused);
    }
    let known = matches!(kind, "weight" | "bias" | "running_mean" | "running_var");
    let of = |table: &[(&str, &'static str)], module: &str| {
        table.iter().find(|(theirs, _)| *theirs == module).map(|(_, ours)| *ours)
    };
    let ours = match module.strip_prefix("_blocks.").and_then(|rest| rest.split_once('.')) {
        Some((index, module)) => format!("blocks.{}.{}", index.parse::<usize>().ok()?, of(&BLOCK, module)?),
        None => of(&WHOLE, module)?.to_owned(),
    };
    known.then(|| Fate::Named(format!("trunk.{ours}.{kind}")))
}

/// A checkpoint's tensors under our names.
pub struct Renamed<S> {
    source: S,
    names: BTreeMap<String, String>,
}

impl<S: TensorSource> Renamed<S> {
    /// `source` read as a `checkpoint`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::rename`].
    pub fn new(source: S, checkpoint: Checkpoint) -> Result<Self, WeightsError> {
        let names = checkpoint.rename(&source.names())?;
        Ok(Self { source, names })
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
        let mut names = BTreeMap::new();
        for Unwrapped { inner, whole } in tensors {
            names.insert(head_name(&inner).ok_or_else(|| foreign(whole))?, whole.to_owned());
        }
        Ok(Self { source, names })
    }

    /// Which head it has, if any.
    pub fn head_kind(&self) -> Option<HeadKind> {
        match (self.names.contains_key("head.layers.0.weight"), self.names.contains_key("head.layers.1.weight")) {
            (false, _) => None,
            (true, false) => Some(HeadKind::OneLayer),
            (true, true) => Some(HeadKind::TwoLayers),
        }
    }

    /// The tower's sizes, from the shapes; its attention heads, which shapes leave open, from `heads`, else from `hints`,
    /// else from the table of published sizes.
    ///
    /// # Errors
    /// [`WeightsError::Missing`], [`WeightsError::ImpossibleSpec`], [`WeightsError::OtherConfig`] or
    /// [`WeightsError::HeadsUnknown`].
    pub fn clip_config(
        &self,
        hints: Option<&HfVisionConfig>,
        heads: Option<usize>,
        head: HeadKind,
    ) -> Result<ClipConfig, WeightsError> {
        let shape = |name: &str| self.shape(name).ok_or_else(|| WeightsError::Missing(name.to_string()));
        let impossible = |problem: &str| WeightsError::ImpossibleSpec(problem.to_string());
        let patch = shape("tower.patch_embedding")?;
        let [width, 3, patch_size, _] = patch[..] else {
            return Err(impossible(&format!("a patch embedding of shape {patch:?}")));
        };
        let tokens = shape("tower.position_embedding")?.first().copied().unwrap_or(0);
        let side = (1..=tokens).find(|side| side * side + 1 >= tokens).unwrap_or(0);
        if side * side + 1 != tokens {
            return Err(impossible(&format!("{tokens} position embeddings, which is not a square and one")));
        }
        let depth = (0..).take_while(|i| self.names.contains_key(&format!("tower.layers.{i}.norm1.weight"))).count();
        if let Some(hints) = hints {
            hints.check(width, depth, patch_size, heads)?;
        }
        let heads = heads
            .or_else(|| hints.and_then(|hints| hints.num_attention_heads))
            .or_else(|| published_heads(width, depth, patch_size))
            .ok_or(WeightsError::HeadsUnknown { width, depth, patch: patch_size })?;
        let config = ClipConfig {
            image_size: side * patch_size,
            patch_size,
            width,
            depth,
            heads,
            mlp: shape("tower.layers.0.mlp.fc1.weight")?.first().copied().unwrap_or(0),
            head,
        };
        config.check().map_err(WeightsError::ImpossibleSpec)?;
        Ok(config)
    }
}

/// Width, layers, side of a patch and attention heads of the CLIP vision transformers that OpenAI published (Radford et al.
/// 2021, table 20; L/14 also for images of 336 pixels). The larger towers that others trained have another activation.
const PUBLISHED: [[usize; 4]; 3] = [[768, 12, 32, 12], [768, 12, 16, 12], [1024, 24, 14, 16]];

/// The attention heads of the published tower of these sizes.
fn published_heads(width: usize, depth: usize, patch: usize) -> Option<usize> {
    PUBLISHED.iter().find(|sizes| sizes[..3] == [width, depth, patch]).map(|sizes| sizes[3])
}

impl<S: TensorSource> TensorSource for Renamed<S> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        let theirs = self.names.get(name).ok_or_else(|| WeightsError::Missing(name.to_string()))?;
        self.source.read(theirs, shape, init)
    }

    fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.shape(self.names.get(name)?)
    }
}

/// What the `config.json` beside a checkpoint says that shapes do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HfVisionConfig {
    /// Attention heads.
    pub num_attention_heads: Option<usize>,
    /// Width of the tower.
    pub hidden_size: Option<usize>,
    /// Its layers.
    pub num_hidden_layers: Option<usize>,
    /// Side of a patch in pixels.
    pub patch_size: Option<usize>,
    /// The MLP's activation; only `quick_gelu` is CLIP's.
    pub hidden_act: Option<String>,
    /// GenD's kind of head; only `LinearNorm` normalises the features.
    pub head: Option<String>,
}

/// Heads of ViT-B/32, which transformers takes where the `vision_config` of a `CLIPModel` does not say.
const DEFAULT_HEADS: usize = 12;

impl HfVisionConfig {
    /// Checks that it describes a tower of these sizes.
    fn check(&self, width: usize, depth: usize, patch: usize, heads: Option<usize>) -> Result<(), WeightsError> {
        let sizes = [
            ("hidden_size", self.hidden_size, Some(width)),
            ("num_hidden_layers", self.num_hidden_layers, Some(depth)),
            ("patch_size", self.patch_size, Some(patch)),
            ("num_attention_heads", self.num_attention_heads, heads),
        ];
        for (key, said, found) in sizes {
            if let (Some(said), Some(found)) = (said, found)
                && said != found
            {
                return Err(WeightsError::OtherConfig { key, found, said });
            }
        }
        Ok(())
    }

    /// Parses the `config.json` of a `CLIPVisionModel`, of a `CLIPModel` with its `vision_config`, or of GenD.
    ///
    /// # Errors
    /// [`WeightsError::BadSpec`] if it is none, or describes a variant with another activation or head.
    pub fn from_json(text: &str) -> Result<Self, WeightsError> {
        #[derive(Deserialize)]
        struct Whole {
            vision_config: HfVisionConfig,
        }
        let config = match serde_json::from_str::<Whole>(text) {
            Ok(Whole { vision_config: vision }) => {
                Self { num_attention_heads: vision.num_attention_heads.or(Some(DEFAULT_HEADS)), ..vision }
            }
            Err(_) => serde_json::from_str(text).map_err(|e| WeightsError::BadSpec(e.to_string()))?,
        };
        match (config.hidden_act.as_deref(), config.head.as_deref()) {
            (None | Some("quick_gelu"), None | Some("LinearNorm")) => Ok(config),
            (None | Some("quick_gelu"), Some(head)) => {
                Err(WeightsError::BadSpec(format!("head `{head}` instead of LinearNorm")))
            }
            (Some(other), _) => Err(WeightsError::BadSpec(format!("activation `{other}` instead of quick_gelu"))),
        }
    }
}
