//! Swin transformers, as pretrained and as TALL.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::resample::bilinear;
use super::{Fate, Format, Hints, Theirs, head_kind};
use crate::detector::Architecture;
use crate::detector::tall::TallConfig;
use crate::weights::{TensorSource, WeightsError};

/// Our tensor by which a Swin transformer is known.
const MARK: &str = "swin.patches.weight";

/// A pretrained Swin-B, to make a TALL or a TALL++ of.
pub(super) struct Pretrained {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Whether a layer that merges tokens is counted to the stage after it, as timm does.
    pub(super) merges_first: bool,
    /// Whether it becomes a TALL++.
    pub(super) with_graph: bool,
}

impl Format for Pretrained {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn description(&self) -> &'static str {
        "a checkpoint of a Swin transformer"
    }

    fn mark(&self) -> &'static str {
        MARK
    }

    fn fate(&self, name: &str) -> Fate {
        if name.starts_with("head.") { Fate::Unused } else { swin(name, self.merges_first) }
    }

    fn has_head(&self) -> bool {
        false
    }

    fn architecture(&self, _tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        let tall = TallConfig::base(hints.head);
        Ok(Architecture::Tall(if self.with_graph { tall.with_graph() } else { tall }))
    }

    /// Tables of relative positions of windows of another side.
    fn derived(&self, name: &str, shape: &[usize], theirs: &mut Theirs) -> Option<Result<Vec<f32>, WeightsError>> {
        let block = name.strip_prefix("swin.stages.")?.strip_suffix(".relative_position")?;
        let name = format!("layers.{block}.attn.relative_position_bias_table");
        let stored = theirs.shape(&name)?;
        let ([rows, heads], [wanted, same]) = (stored.as_slice().try_into().ok()?, shape.try_into().ok()?);
        if rows == wanted || heads != same {
            return None;
        }
        let (from, to) = (rows.isqrt(), usize::isqrt(wanted));
        if from * from != rows || to * to != wanted {
            return None;
        }
        Some(theirs.values(&name, &stored).map(|table| bilinear(&table, heads, from, to)))
    }
}

/// TALL of DeepfakeBench or of its authors, with its head.
pub(super) struct Tall;

impl Format for Tall {
    fn name(&self) -> &'static str {
        "tall"
    }

    fn about(&self) -> &'static str {
        "TALL on Swin-B, as DeepfakeBench and its authors store it"
    }

    fn description(&self) -> &'static str {
        "a TALL checkpoint"
    }

    fn mark(&self) -> &'static str {
        "frame_embedding"
    }

    fn fate(&self, name: &str) -> Fate {
        match name {
            "frame_pos_embed" => Fate::Named("frame_embedding".into()),
            "head.weight" => Fate::Named("head.layers.0.weight".into()),
            "head.bias" => Fate::Named("head.layers.0.bias".into()),
            _ => match name.strip_prefix("grb.") {
                Some(rest) => graph(rest).into(),
                None => swin(name, false),
            },
        }
    }

    fn has_head(&self) -> bool {
        true
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        let tall = TallConfig::base(head_kind(tensors).unwrap_or(hints.head));
        let has_graph = tensors.shape("graph.states").is_some();
        Ok(Architecture::Tall(if has_graph { tall.with_graph() } else { tall }))
    }
}

/// A tensor of GloRe's block.
fn graph(name: &str) -> Option<String> {
    const MODULES: [(&str, &str); 4] =
        [("conv_state", "state"), ("conv_proj", "assign"), ("gcn.conv1", "nodes"), ("blocker", "norm")];
    match name {
        "gcn.conv2.weight" => return Some("graph.states".into()),
        "conv_extend.weight" => return Some("graph.extend".into()),
        _ => {}
    }
    let (module, kind) = name.rsplit_once('.')?;
    let (_, ours) = MODULES.iter().find(|(theirs, _)| *theirs == module)?;
    matches!(kind, "weight" | "bias" | "running_mean" | "running_var").then(|| format!("graph.{ours}.{kind}"))
}

/// A tensor of a Swin transformer, whose layers that merge tokens are counted to the stage after them or before.
fn swin(name: &str, merges_first: bool) -> Fate {
    if name.ends_with("relative_position_index") || name.ends_with("attn_mask") || name.ends_with("num_batches_tracked")
    {
        return Fate::Unused;
    }
    let ours = |name: &str| -> Option<Fate> {
        const WHOLE: [(&str, &str); 3] =
            [("patch_embed.proj", "patches"), ("patch_embed.norm", "patch_norm"), ("norm", "norm")];
        const BLOCK: [(&str, &str); 5] = [
            ("norm1", "norm1"),
            ("norm2", "norm2"),
            ("attn.proj", "attention.output"),
            ("mlp.fc1", "mlp.fc1"),
            ("mlp.fc2", "mlp.fc2"),
        ];
        let (module, kind) = name.rsplit_once('.')?;
        if let Some((_, ours)) = WHOLE.iter().find(|(theirs, _)| *theirs == module) {
            return Some(Fate::Named(format!("swin.{ours}.{kind}")));
        }
        let (stage, rest) = module.strip_prefix("layers.")?.split_once('.')?;
        let stage: usize = stage.parse().ok()?;
        if let Some(part) = rest.strip_prefix("downsample.") {
            let after = if merges_first { stage } else { stage + 1 };
            let known = matches!(part, "norm" | "reduction");
            return known.then(|| Fate::Named(format!("swin.stages.{after}.merging.{part}.{kind}")));
        }
        let (block, part) = rest.strip_prefix("blocks.")?.split_once('.')?;
        let block = format!("swin.stages.{stage}.blocks.{}", block.parse::<usize>().ok()?);
        if part == "attn" && kind == "relative_position_bias_table" {
            return Some(Fate::Named(format!("{block}.relative_position")));
        }
        if part == "attn.qkv" {
            let name = |part: &str| format!("{block}.attention.{part}.{kind}");
            return Some(Fate::Parts(["query", "key", "value"].map(name).to_vec()));
        }
        let (_, ours) = BLOCK.iter().find(|(theirs, _)| *theirs == part)?;
        Some(Fate::Named(format!("{block}.{ours}.{kind}")))
    };
    ours(name).unwrap_or(Fate::Unknown)
}
