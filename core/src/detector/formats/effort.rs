//! Effort (Yan et al., ICML 2025; YZY-stack/Effort-AIGI-Detection): CLIP whose attention weights keep all but their smallest
//! singular values, beside which those are trained.

use alloc::format;
use alloc::vec::Vec;

use super::clip::{clip_config, hf_clip};
use super::{Fate, Format, Hints, Theirs};
use crate::detector::Architecture;
use crate::detector::clip::ClipConfig;
use crate::weights::{TensorSource, WeightsError, add_product, scale_columns};

/// A published Effort, which becomes a plain CLIP: each weight is the kept part plus what was trained.
pub(super) struct Effort;

impl Format for Effort {
    fn name(&self) -> &'static str {
        "effort"
    }

    fn about(&self) -> &'static str {
        "Effort on CLIP ViT-L/14, as its authors store it"
    }

    fn description(&self) -> &'static str {
        "an Effort checkpoint"
    }

    fn mark(&self) -> &'static str {
        "tower.class_embedding"
    }

    fn fate(&self, name: &str) -> Fate {
        if let Some(kind) = name.strip_prefix("head.") {
            return Fate::from(matches!(kind, "weight" | "bias").then(|| format!("head.layers.0.{kind}")));
        }
        let Some(inner) = name.strip_prefix("backbone.") else { return Fate::Unknown };
        match inner.rsplit_once('.') {
            Some((_, "S_residual" | "U_residual" | "V_residual")) => Fate::Ingredient,
            // What the kept part was made of.
            Some((_, "S_r" | "U_r" | "V_r")) => Fate::Unused,
            Some((layer, "weight_main")) => hf_clip(&format!("{layer}.weight")),
            _ => hf_clip(inner),
        }
    }

    fn has_head(&self) -> bool {
        true
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        Ok(Architecture::Clip(ClipConfig { normalised: false, ..clip_config(tensors, hints)? }))
    }

    fn derived(&self, name: &str, shape: &[usize], theirs: &mut Theirs) -> Option<Result<Vec<f32>, WeightsError>> {
        let (layer, part) = name.strip_prefix("tower.layers.")?.strip_suffix(".weight")?.split_once(".attention.")?;
        let part = match part {
            "query" => "q_proj",
            "key" => "k_proj",
            "value" => "v_proj",
            "output" => "out_proj",
            _ => return None,
        };
        let [outputs, inputs]: [usize; 2] = shape.try_into().ok()?;
        let stem = format!("backbone.encoder.layers.{layer}.self_attn.{part}");
        let rank = *theirs.shape(&format!("{stem}.S_residual"))?.first()?;
        let merged = |theirs: &mut Theirs| {
            let mut weight = theirs.values(&format!("{stem}.weight_main"), shape)?;
            let mut up = theirs.values(&format!("{stem}.U_residual"), &[outputs, rank])?;
            let scales = theirs.values(&format!("{stem}.S_residual"), &[rank])?;
            let down = theirs.values(&format!("{stem}.V_residual"), &[rank, inputs])?;
            scale_columns(&mut up, &scales);
            add_product(&mut weight, &up, &down, [rank, inputs], 1.0);
            Ok(weight)
        };
        Some(merged(theirs))
    }
}
