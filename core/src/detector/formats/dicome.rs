//! DiCoME, as its authors store it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::clip::{clip_config, hf_clip};
use super::{Fate, Format, Hints, Theirs};
use crate::detector::dicome::DicomeConfig;
use crate::detector::{Architecture, Sizes};
use crate::weights::{TensorSource, WeightsError, add_product};

/// `dicome-best.ckpt`: tower with low-rank updates, which are merged, and heads.
pub(super) struct Dicome;

/// What stands before the tower's names.
const TOWER: &str = "primary_encoder.vision_model.";
/// The published scale of the updates: α 16 over rank 8.
const SCALE: f32 = 2.0;

impl Format for Dicome {
    fn name(&self) -> &'static str {
        "dicome"
    }

    fn about(&self) -> &'static str {
        "DiCoME on CLIP, e.g. dicome-best.ckpt of kxl0825/DiCoME"
    }

    fn description(&self) -> &'static str {
        "a DiCoME checkpoint"
    }

    fn mark(&self) -> &'static str {
        "projection.weight"
    }

    fn fate(&self, name: &str) -> Fate {
        if let Some(inner) = name.strip_prefix(TOWER) {
            let inner = inner.strip_prefix("base_model.model.").unwrap_or(inner);
            if inner.contains(".lora_A.") || inner.contains(".lora_B.") {
                return Fate::Ingredient;
            }
            return hf_clip(&inner.replace(".base_layer.", "."));
        }
        // What the autoencoder draws by in training.
        if name.ends_with("fc_log_var.weight") || name.ends_with("fc_log_var.bias") {
            return Fate::Unused;
        }
        rest(name).into()
    }

    fn has_head(&self) -> bool {
        true
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        let sizes = |name: &str| {
            let shape = tensors.shape(name).ok_or_else(|| WeightsError::Missing(name.to_string()))?;
            shape.try_into().map_err(|_| WeightsError::ImpossibleSpec(format!("{name} is no matrix")))
        };
        let [latent, inside]: [usize; 2] = sizes("manifold.encoder.fc2.weight")?;
        let [features, _] = sizes("projection.weight")?;
        let [head, _] = sizes("head.semantic.fc1.weight")?;
        let config = DicomeConfig { clip: clip_config(tensors, hints)?, features, latent, inside, head };
        config.check().map_err(WeightsError::ImpossibleSpec)?;
        Ok(Architecture::Dicome(config))
    }

    /// A weight with its low-rank update.
    fn derived(&self, name: &str, shape: &[usize], theirs: &mut Theirs) -> Option<Result<Vec<f32>, WeightsError>> {
        let (layer, part) = name.strip_prefix("tower.layers.")?.strip_suffix(".weight")?.split_once(".attention.")?;
        let part = match part {
            "query" => "q_proj",
            "value" => "v_proj",
            _ => return None,
        };
        let [outputs, inputs]: [usize; 2] = shape.try_into().ok()?;
        let stem = format!("{TOWER}base_model.model.encoder.layers.{layer}.self_attn.{part}");
        let (down, up) = (format!("{stem}.lora_A.default.weight"), format!("{stem}.lora_B.default.weight"));
        let rank = *theirs.shape(&down)?.first()?;
        let merged = |theirs: &mut Theirs| {
            let mut weight = theirs.values(&format!("{stem}.base_layer.weight"), shape)?;
            let (down, up) = (theirs.values(&down, &[rank, inputs])?, theirs.values(&up, &[outputs, rank])?);
            add_product(&mut weight, &up, &down, [rank, inputs], SCALE);
            Ok(weight)
        };
        Some(merged(theirs))
    }
}

/// Our name of a tensor beside the tower; the authors have two names for each part, of which the file has one.
fn rest(name: &str) -> Option<String> {
    const MODULES: [(&str, &str); 17] = [
        ("primary_encoder.projection", "projection"),
        ("beta_vae.encoder_mlp.0", "manifold.encoder.fc1"),
        ("beta_vae.fc_mu", "manifold.encoder.fc2"),
        ("beta_vae.decoder_mlp.0", "manifold.decoder.fc1"),
        ("beta_vae.decoder_mlp.2", "manifold.decoder.fc2"),
        ("semantic_manifold_projector.encoder_mlp.0", "manifold.encoder.fc1"),
        ("semantic_manifold_projector.fc_mu", "manifold.encoder.fc2"),
        ("semantic_manifold_projector.decoder_mlp.0", "manifold.decoder.fc1"),
        ("semantic_manifold_projector.decoder_mlp.2", "manifold.decoder.fc2"),
        ("evidential_head_1", "head.semantic"),
        ("semantic_head", "head.semantic"),
        ("evidential_head_2", "head.artifact"),
        ("artifact_head", "head.artifact"),
        ("view1_norm", "semantic_norm"),
        ("semantic_norm", "semantic_norm"),
        ("view2_norm", "artifact_norm"),
        ("artifact_norm", "artifact_norm"),
    ];
    let (module, kind) = name.rsplit_once('.')?;
    if !matches!(kind, "weight" | "bias") {
        return None;
    }
    MODULES.iter().find_map(|(theirs, ours)| {
        let inner = module.strip_prefix(theirs)?;
        matches!(inner, "" | ".fc1" | ".fc2").then(|| format!("{ours}{inner}.{kind}"))
    })
}
