//! Xception as DeepfakeBench releases it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Fate, Format, Hints, head_kind};
use crate::detector::xception::XceptionConfig;
use crate::detector::{Architecture, Sizes};
use crate::weights::{TensorSource, WeightsError};

/// `xception_best.pth` of DeepfakeBench: network and head.
pub(super) struct DeepfakeBenchXception;

impl Format for DeepfakeBenchXception {
    fn name(&self) -> &'static str {
        "deepfakebench-xception"
    }

    fn about(&self) -> &'static str {
        "Xception of DeepfakeBench, e.g. xception_best.pth of its release 1.0.1"
    }

    fn description(&self) -> &'static str {
        "an Xception checkpoint of DeepfakeBench"
    }

    // Names of other convolutions end in the name of the first one.
    fn mark(&self) -> &'static str {
        "trunk.last.0.pointwise.weight"
    }

    fn fate(&self, name: &str) -> Fate {
        if name.starts_with("adjust_channel.") || name.ends_with("num_batches_tracked") {
            return Fate::Unused;
        }
        ours(name).into()
    }

    fn has_head(&self) -> bool {
        true
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        let outputs = |name: &str| {
            let shape = tensors.shape(&format!("trunk.{name}.weight"));
            shape.and_then(|shape| shape.first().copied()).ok_or_else(|| WeightsError::Missing(name.to_string()))
        };
        let has = |name: String| tensors.shape(&name).is_some();
        let blocks = (0..).take_while(|block| has(format!("trunk.blocks.{block}.layers.0.depthwise"))).count();
        let halves = |block: &usize| has(format!("trunk.blocks.{block}.skip.weight"));
        let entry = (0..blocks).take_while(halves).count();
        if entry + 1 >= blocks || !halves(&(blocks - 1)) {
            return Err(WeightsError::ImpossibleSpec(format!(
                "an Xception of {blocks} blocks, {entry} of which halve"
            )));
        }
        let after = |block: usize| outputs(&format!("blocks.{block}.layers.1.pointwise"));
        let config = XceptionConfig {
            image_size: hints.image_size.unwrap_or(256),
            stem: [outputs("stem.0")?, outputs("stem.1")?],
            entry: (0..entry).map(after).collect::<Result<Vec<usize>, _>>()?,
            middle: blocks - entry - 1,
            exit: after(blocks - 1)?,
            last: [outputs("last.0.pointwise")?, outputs("last.1.pointwise")?],
            head: head_kind(tensors).unwrap_or(hints.head),
        };
        config.check().map_err(WeightsError::ImpossibleSpec)?;
        Ok(Architecture::Xception(config))
    }

    fn takes_any_size(&self) -> bool {
        true
    }
}

/// Our name of a tensor. Within a block, `rep` counts ReLUs, separable convolutions and norms; the first block begins without
/// a ReLU.
fn ours(name: &str) -> Option<String> {
    const WHOLE: [(&str, &str); 10] = [
        ("conv1", "trunk.stem.0"),
        ("bn1", "trunk.stem.0.norm"),
        ("conv2", "trunk.stem.1"),
        ("bn2", "trunk.stem.1.norm"),
        ("conv3.pointwise", "trunk.last.0.pointwise"),
        ("bn3", "trunk.last.0.pointwise.norm"),
        ("conv4.pointwise", "trunk.last.1.pointwise"),
        ("bn4", "trunk.last.1.pointwise.norm"),
        ("last_linear", "head.layers.0"),
        // Where there is dropout before it.
        ("last_linear.1", "head.layers.0"),
    ];
    let (module, kind) = name.rsplit_once('.')?;
    if !matches!(kind, "weight" | "bias" | "running_mean" | "running_var") {
        return None;
    }
    for (theirs, index) in [("conv3.conv1", 0), ("conv4.conv1", 1)] {
        if module == theirs {
            return (kind == "weight").then(|| format!("trunk.last.{index}.depthwise"));
        }
    }
    if let Some((_, ours)) = WHOLE.iter().find(|(theirs, _)| *theirs == module) {
        return Some(format!("{ours}.{kind}"));
    }
    let (number, rest) = module.strip_prefix("block")?.split_once('.')?;
    let number: usize = number.parse().ok()?;
    let block = format!("trunk.blocks.{}", number.checked_sub(1)?);
    match rest {
        "skip" => return Some(format!("{block}.skip.{kind}")),
        "skipbn" => return Some(format!("{block}.skip.norm.{kind}")),
        _ => {}
    }
    let place = rest.strip_prefix("rep.")?;
    let (place, part) = place.split_once('.').unwrap_or((place, ""));
    let place = place.parse::<usize>().ok()?.checked_sub(usize::from(number > 1))?;
    let layer = format!("{block}.layers.{}", place / 3);
    match (place % 3, part, kind) {
        (0, "conv1", "weight") => Some(format!("{layer}.depthwise")),
        (0, "pointwise", "weight") => Some(format!("{layer}.pointwise.weight")),
        (1, "", _) => Some(format!("{layer}.pointwise.norm.{kind}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_within_blocks_are_counted_from_their_first_separable_convolution() {
        for (theirs, found) in [
            ("block1.rep.0.conv1.weight", Some("trunk.blocks.0.layers.0.depthwise")),
            ("block1.rep.1.bias", Some("trunk.blocks.0.layers.0.pointwise.norm.bias")),
            ("block1.rep.3.pointwise.weight", Some("trunk.blocks.0.layers.1.pointwise.weight")),
            ("block2.rep.1.conv1.weight", Some("trunk.blocks.1.layers.0.depthwise")),
            ("block4.rep.8.running_var", Some("trunk.blocks.3.layers.2.pointwise.norm.running_var")),
            ("block12.skipbn.weight", Some("trunk.blocks.11.skip.norm.weight")),
            ("block2.rep.0.conv1.weight", None),
            ("block2.rep.1.bias", None),
            ("block0.rep.1.conv1.weight", None),
            ("conv4.conv1.weight", Some("trunk.last.1.depthwise")),
            ("last_linear.1.bias", Some("head.layers.0.bias")),
            ("fc.weight", None),
        ] {
            assert_eq!(ours(theirs).as_deref(), found, "{theirs}");
        }
    }
}
