//! CLIP towers: of transformers, of GenD, of the thesis.

use alloc::format;
use alloc::string::{String, ToString};

use serde::Deserialize;

use super::{Fate, Format, Hints, head_kind};
use crate::detector::clip::ClipConfig;
use crate::detector::{Architecture, Sizes};
use crate::face::alignment::CropGeometry;
use crate::weights::{TensorSource, WeightsError};

/// A CLIP tower, with or without a head.
pub(super) struct Clip {
    name: &'static str,
    about: &'static str,
    description: &'static str,
    fate: fn(&str) -> Fate,
    has_head: bool,
    geometry: CropGeometry,
}

/// `CLIPVisionModel` or `CLIPModel` of transformers: a tower without a head.
pub(super) static HF_CLIP: Clip = Clip {
    name: "hf-clip",
    about: "CLIPVisionModel or CLIPModel of Hugging Face transformers",
    description: "a CLIP checkpoint of transformers",
    fate: hf_clip,
    has_head: false,
    geometry: CropGeometry::Dfb,
};

/// GenD (`yermandy/GenD_CLIP_L_14`): tower and head.
pub(super) static GEND: Clip = Clip {
    name: "gend",
    about: "GenD on CLIP, e.g. yermandy/GenD_CLIP_L_14",
    description: "a GenD checkpoint",
    fate: |name| name.strip_prefix("feature_extractor.").map_or_else(|| head_name(name).into(), hf_clip),
    has_head: true,
    geometry: CropGeometry::Gend,
};

/// The thesis's `ckpt_best.pth`: a tower with PEFT's tuned LayerNorms, and a head.
pub(super) static THESIS: Clip = Clip {
    name: "thesis",
    about: "A thesis checkpoint with tuned LayerNorms",
    description: "a thesis checkpoint with tuned LayerNorms",
    fate: thesis,
    has_head: true,
    geometry: CropGeometry::Dfb,
};

impl Format for Clip {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn description(&self) -> &'static str {
        self.description
    }

    fn mark(&self) -> &'static str {
        "tower.class_embedding"
    }

    fn fate(&self, name: &str) -> Fate {
        (self.fate)(name)
    }

    fn has_head(&self) -> bool {
        self.has_head
    }

    fn accepts(&self, config: &HfConfig) -> Result<(), WeightsError> {
        config.is_clip()
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        clip_config(tensors, hints).map(Architecture::Clip)
    }

    fn geometry(&self) -> CropGeometry {
        self.geometry
    }
}

/// PEFT keeps the original LayerNorm as `base_layer` beside the tuned one; the tuned one counts.
fn thesis(name: &str) -> Fate {
    let Some(inner) = name.strip_prefix("feature_extractor.base_model.model.") else {
        return head_name(name).into();
    };
    if inner.contains(".base_layer.") {
        return Fate::Unused;
    }
    hf_clip(&inner.replace(".ln_tuning_layers.default.", "."))
}

/// The head's tensors, in GenD's and the thesis's names.
pub(super) fn head_name(name: &str) -> Option<String> {
    let (layer, rest) = [("model.linear.", 0), ("model.mlp.0.", 0), ("model.mlp.2.", 1)]
        .into_iter()
        .find_map(|(prefix, layer)| name.strip_prefix(prefix).map(|rest| (layer, rest)))?;
    matches!(rest, "weight" | "bias").then(|| format!("head.layers.{layer}.{rest}"))
}

/// transformers' names; a whole `CLIPModel` has the text tower and projections too, which a detector does not use.
pub(super) fn hf_clip(name: &str) -> Fate {
    const UNUSED: [&str; 4] = ["text_model.", "text_projection.", "visual_projection.", "logit_scale"];
    if UNUSED.iter().any(|prefix| name.starts_with(prefix)) || name.ends_with("position_ids") {
        return Fate::Unused;
    }
    tower(name.strip_prefix("vision_model.").unwrap_or(name)).into()
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

/// A tower's sizes, from the shapes of our tensors; its attention heads, which shapes leave open, from [`Hints::heads`], else
/// from the config, else from the table of published sizes.
pub(super) fn clip_config(tensors: &dyn TensorSource, hints: &Hints) -> Result<ClipConfig, WeightsError> {
    let shape = |name: &str| tensors.shape(name).ok_or_else(|| WeightsError::Missing(name.to_string()));
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
    let depth = (0..).take_while(|i| tensors.shape(&format!("tower.layers.{i}.norm1.weight")).is_some()).count();
    if let Some(config) = &hints.config {
        config.check(width, depth, patch_size, hints.heads)?;
    }
    let heads = hints
        .heads
        .or_else(|| hints.config.as_ref().and_then(|config| config.num_attention_heads))
        .or_else(|| published_heads(width, depth, patch_size))
        .ok_or(WeightsError::HeadsUnknown { width, depth, patch: patch_size })?;
    let config = ClipConfig {
        image_size: side * patch_size,
        patch_size,
        width,
        depth,
        heads,
        mlp: shape("tower.layers.0.mlp.fc1.weight")?.first().copied().unwrap_or(0),
        head: head_kind(tensors).unwrap_or(hints.head),
        normalised: true,
    };
    config.check().map_err(WeightsError::ImpossibleSpec)?;
    Ok(config)
}

/// Width, layers, side of a patch and attention heads of the CLIP vision transformers that OpenAI published (Radford et al.
/// 2021, table 20; L/14 also for images of 336 pixels). The larger towers that others trained have another activation.
const PUBLISHED: [[usize; 4]; 3] = [[768, 12, 32, 12], [768, 12, 16, 12], [1024, 24, 14, 16]];

/// The attention heads of the published tower of these sizes.
pub(super) fn published_heads(width: usize, depth: usize, patch: usize) -> Option<usize> {
    PUBLISHED.iter().find(|sizes| sizes[..3] == [width, depth, patch]).map(|sizes| sizes[3])
}

/// What the `config.json` beside a checkpoint says that shapes do not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HfConfig {
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

impl HfConfig {
    /// Checks that it describes a tower of these sizes.
    pub(super) fn check(
        &self,
        width: usize,
        depth: usize,
        patch: usize,
        heads: Option<usize>,
    ) -> Result<(), WeightsError> {
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
    /// [`WeightsError::BadSpec`] if it is none.
    pub fn from_json(text: &str) -> Result<Self, WeightsError> {
        #[derive(Deserialize)]
        struct Whole {
            vision_config: HfConfig,
        }
        match serde_json::from_str::<Whole>(text) {
            Ok(Whole { vision_config: vision }) => {
                Ok(Self { num_attention_heads: vision.num_attention_heads.or(Some(DEFAULT_HEADS)), ..vision })
            }
            Err(_) => serde_json::from_str(text).map_err(|e| WeightsError::BadSpec(e.to_string())),
        }
    }

    /// Checks that it describes CLIP, and a head on normalised features if any.
    fn is_clip(&self) -> Result<(), WeightsError> {
        match (self.hidden_act.as_deref(), self.head.as_deref()) {
            (None | Some("quick_gelu"), None | Some("LinearNorm")) => Ok(()),
            (None | Some("quick_gelu"), Some(head)) => {
                Err(WeightsError::BadSpec(format!("head `{head}` instead of LinearNorm")))
            }
            (Some(other), _) => Err(WeightsError::BadSpec(format!("activation `{other}` instead of quick_gelu"))),
        }
    }
}
