//! The sizes of an EfficientNet, and what follows from them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::detector::Sizes;
use crate::detector::models::IMAGENET_NORMALISATION;
use crate::layers::HeadKind;
use crate::ops::{Activation, Padding, Steps};

/// Sizes of an EfficientNet and its head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetConfig {
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Which family it is of.
    #[serde(default, skip_serializing_if = "is_default")]
    pub variant: Variant,
    /// The side that padding is computed for, whatever side the input has; absent where it is the input's own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nominal_size: Option<usize>,
    /// Whether the first convolution has no padding.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unpadded_stem: bool,
    /// Channels after the first convolution.
    pub stem: usize,
    /// The stages, in their order.
    pub stages: Vec<Stage>,
    /// Channels after the last convolution: the width of the features.
    pub width: usize,
    /// What makes logits of features.
    pub head: HeadKind,
    /// The probability, in training, that an image passes by the last block; it rises linearly from 0 in the first, and
    /// applies to blocks with a residual.
    #[serde(default, skip_serializing_if = "is_default")]
    pub drop_path: f32,
}

/// The families of EfficientNets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// EfficientNet-Lite: ReLU6, and no squeeze and excitation.
    #[default]
    Lite,
    /// EfficientNet itself: swish, and squeeze and excitation in every block.
    SqueezeExcite,
}

impl Variant {
    /// What follows a convolution.
    pub(super) fn activation(self) -> Activation {
        match self {
            Self::Lite => Activation::Relu6,
            Self::SqueezeExcite => Activation::Silu,
        }
    }
}

/// Whether a field need not be written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A run of blocks of one kind; the first of them changes size and channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// How many blocks.
    pub repeats: usize,
    /// Side of the depthwise kernel, odd.
    pub kernel: usize,
    /// Step of the first block's depthwise convolution; the others' is 1.
    pub stride: usize,
    /// How many times as many channels there are inside a block as before it.
    pub expansion: usize,
    /// Channels after each block.
    pub channels: usize,
}

/// One block of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockSizes {
    pub(super) inputs: usize,
    pub(super) inside: usize,
    /// Channels within the squeeze and excitation, where there is one.
    pub(super) squeezed: Option<usize>,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) steps: Steps,
}

/// Side of the first convolution's kernel, and its step.
pub(super) const STEM_KERNEL: usize = 3;
const STEM_STRIDE: usize = 2;
/// Channels into a block for each channel within its squeeze and excitation.
const SQUEEZE: usize = 4;

/// Mean and deviation EfficientNet-Lite was trained with: `MEAN_RGB` 127 and `STDDEV_RGB` 128 of
/// `efficientnet_lite_builder.py` in tensorflow/tpu, for pixels up to 255.
const LITE_NORMALISATION: [[f32; 3]; 2] = [[127.0 / 255.0; 3], [128.0 / 255.0; 3]];

/// How the networks of a family grow: factors of width and depth in tenths, and the side of the input.
struct Scale {
    width: usize,
    depth: usize,
    image_size: usize,
}

const fn scale(width: usize, depth: usize, image_size: usize) -> Scale {
    Scale { width, depth, image_size }
}

/// Lite0 to Lite4 (`efficientnet_lite_builder.py` of tensorflow/tpu).
const LITE: [Scale; 5] =
    [scale(10, 10, 224), scale(10, 11, 240), scale(11, 12, 260), scale(12, 14, 280), scale(14, 18, 300)];

/// B0 to B7 (Tan & Le, 2019; `efficientnet_builder.py` of tensorflow/tpu).
const PLAIN: [Scale; 8] = [
    scale(10, 10, 224),
    scale(10, 11, 240),
    scale(11, 12, 260),
    scale(12, 14, 300),
    scale(14, 18, 380),
    scale(16, 22, 456),
    scale(18, 26, 528),
    scale(20, 31, 600),
];

/// The stages of the smallest network of each family.
fn base_stages() -> [Stage; 7] {
    let stage = |repeats, kernel, stride, expansion, channels| Stage { repeats, kernel, stride, expansion, channels };
    [
        stage(1, 3, 1, 1, 16),
        stage(2, 3, 2, 6, 24),
        stage(2, 5, 2, 6, 40),
        stage(3, 3, 2, 6, 80),
        stage(3, 5, 1, 6, 112),
        stage(4, 5, 2, 6, 192),
        stage(1, 3, 1, 6, 320),
    ]
}

const STEM: usize = 32;
const WIDTH: usize = 1280;

impl Scale {
    /// Channels times the width's factor, to the nearest multiple of 8 that is not more than a tenth below.
    fn channels(&self, channels: usize) -> usize {
        let wanted = channels * self.width;
        let rounded = ((wanted + 40) / 80 * 8).max(8);
        if rounded * 100 < wanted * 9 { rounded + 8 } else { rounded }
    }

    /// Blocks times the depth's factor, rounded up.
    fn repeats(&self, repeats: usize) -> usize {
        (repeats * self.depth).div_ceil(10)
    }
}

impl EfficientNetConfig {
    /// EfficientNet-Lite0 at 224 pixels.
    pub fn lite0(head: HeadKind) -> Self {
        let stages = base_stages().to_vec();
        Self {
            image_size: 224,
            variant: Variant::Lite,
            nominal_size: None,
            unpadded_stem: false,
            stem: STEM,
            stages,
            width: WIDTH,
            head,
            drop_path: 0.0,
        }
    }

    /// EfficientNet-Lite0 to Lite4; `None` for other numbers. Stem, last convolution, and the depth of the first and the last
    /// stage stay those of Lite0.
    pub fn lite(number: usize, head: HeadKind) -> Option<Self> {
        let scale = LITE.get(number)?;
        let mut stages = base_stages();
        let last = stages.len() - 1;
        for (index, stage) in stages.iter_mut().enumerate() {
            stage.channels = scale.channels(stage.channels);
            if index > 0 && index < last {
                stage.repeats = scale.repeats(stage.repeats);
            }
        }
        Some(Self { image_size: scale.image_size, stages: stages.to_vec(), ..Self::lite0(head) })
    }

    /// EfficientNet-B0 to B7, at the size they were trained with; `None` for other numbers.
    pub fn plain(number: usize, head: HeadKind) -> Option<Self> {
        let scale = PLAIN.get(number)?;
        let grown = base_stages().map(|stage| Stage {
            repeats: scale.repeats(stage.repeats),
            channels: scale.channels(stage.channels),
            ..stage
        });
        Some(Self {
            image_size: scale.image_size,
            variant: Variant::SqueezeExcite,
            nominal_size: Some(scale.image_size),
            stem: scale.channels(STEM),
            stages: grown.to_vec(),
            width: scale.channels(WIDTH),
            drop_path: 0.2,
            ..Self::lite0(head)
        })
    }

    /// EfficientNet-B4 as DeepfakeBench trains it: at 256 pixels, with a stem that is not padded, and all else padded as for
    /// 380.
    pub fn deepfakebench_b4(head: HeadKind) -> Option<Self> {
        Some(Self { image_size: 256, unpadded_stem: true, ..Self::plain(4, head)? })
    }

    /// How the first convolution moves.
    pub(super) fn stem_steps(&self) -> Steps {
        match (self.unpadded_stem, self.nominal_size) {
            (true, _) => Steps::unpadded(STEM_STRIDE),
            (false, Some(nominal)) => padded_for(nominal, STEM_KERNEL, STEM_STRIDE),
            (false, None) => Steps::same(STEM_STRIDE),
        }
    }

    /// Every block in its order.
    pub(super) fn blocks(&self) -> Vec<BlockSizes> {
        let mut inputs = self.stem;
        let mut nominal = self.nominal_size.map(|size| size.div_ceil(STEM_STRIDE));
        let mut blocks = Vec::new();
        for stage in &self.stages {
            for index in 0..stage.repeats {
                let stride = if index == 0 { stage.stride } else { 1 };
                let steps = nominal.map_or(Steps::same(stride), |side| padded_for(side, stage.kernel, stride));
                nominal = nominal.map(|side| side.div_ceil(stride));
                let (inside, outputs) = (inputs * stage.expansion, stage.channels);
                let squeezed = (self.variant == Variant::SqueezeExcite).then_some((inputs / SQUEEZE).max(1));
                blocks.push(BlockSizes { inputs, inside, squeezed, outputs, kernel: stage.kernel, steps });
                inputs = outputs;
            }
        }
        blocks
    }

    /// Channels before the last convolution.
    pub(super) fn last_channels(&self) -> usize {
        self.stages.last().map_or(self.stem, |stage| stage.channels)
    }

    /// Side of the last map.
    pub(in crate::detector::models) fn last_side(&self) -> usize {
        self.sides().last().copied().unwrap_or(1)
    }

    /// Sides of the maps after the first convolution and after each block.
    fn sides(&self) -> Vec<usize> {
        let mut sides = [self.stem_steps().axis(self.image_size, STEM_KERNEL).output].to_vec();
        for block in self.blocks() {
            let side = sides.last().copied().unwrap_or(1);
            sides.push(block.steps.axis(side, block.kernel).output);
        }
        sides
    }
}

/// Steps with the padding that TensorFlow's `SAME` has for an image of `side`, which others then get as well.
fn padded_for(side: usize, kernel: usize, stride: usize) -> Steps {
    let axis = Steps::same(stride).axis(side, kernel);
    Steps { stride, padding: Padding::Given { before: axis.before, after: axis.after } }
}

impl Sizes for EfficientNetConfig {
    fn image_size(&self) -> usize {
        self.image_size
    }

    /// Of the convolutions.
    fn flops(&self) -> u64 {
        let square = |side: usize| (side * side) as u64;
        let sides = self.sides();
        let mut total = square(sides[0]) * square(STEM_KERNEL) * 3 * self.stem as u64;
        for (block, pair) in self.blocks().into_iter().zip(sides.windows(2)) {
            let BlockSizes { inputs, inside, squeezed, outputs, kernel, .. } = block;
            if inside != inputs {
                total += square(pair[0]) * (inputs * inside) as u64;
            }
            total += square(pair[1]) * (square(kernel) * inside as u64 + (inside * outputs) as u64);
            total += 2 * (inside * squeezed.unwrap_or(0)) as u64;
        }
        let last = sides.last().copied().unwrap_or(1);
        2 * (total + square(last) * (self.last_channels() * self.width) as u64)
    }

    fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: usize, limit: usize| match value {
            value if (1..=limit).contains(&value) => Ok(()),
            _ => Err(format!("{name} = {value} is not within 1..={limit}")),
        };
        within("image_size", self.image_size, 2048)?;
        within("nominal_size", self.nominal_size.unwrap_or(1), 2048)?;
        within("stem", self.stem, 4096)?;
        within("width", self.width, 16_384)?;
        within("the number of stages", self.stages.len(), 32)?;
        for stage in &self.stages {
            within("repeats", stage.repeats, 64)?;
            within("kernel", stage.kernel, 15)?;
            within("stride", stage.stride, 4)?;
            within("expansion", stage.expansion, 16)?;
            within("channels", stage.channels, 4096)?;
            if stage.kernel.is_multiple_of(2) {
                return Err(format!("kernel {} is even", stage.kernel));
            }
        }
        if self.unpadded_stem && self.image_size < STEM_KERNEL {
            return Err(format!("image_size {} is less than the first kernel", self.image_size));
        }
        if !(0.0..1.0).contains(&self.drop_path) {
            return Err(format!("drop_path = {} is not within 0..1", self.drop_path));
        }
        if self.drop_path > 0.0 && self.variant == Variant::Lite {
            return Err("drop_path is for networks with squeeze and excitation".into());
        }
        self.padding_fits()
    }

    fn words(&self) -> String {
        let family = match self.variant {
            Variant::Lite => "EfficientNet-Lite",
            Variant::SqueezeExcite => "EfficientNet",
        };
        format!(
            "{family}, width {}, {} blocks in {} stages, head {}",
            self.width,
            self.stages.iter().map(|stage| stage.repeats).sum::<usize>(),
            self.stages.len(),
            self.head,
        )
    }

    fn has_batch_norms(&self) -> bool {
        true
    }

    fn normalisation(&self) -> [[f32; 3]; 2] {
        match self.variant {
            Variant::Lite => LITE_NORMALISATION,
            Variant::SqueezeExcite => IMAGENET_NORMALISATION,
        }
    }
}

impl EfficientNetConfig {
    /// Whether every kernel fits into its padded map: padding for a nominal side may be less than the real one needs.
    fn padding_fits(&self) -> Result<(), String> {
        for (block, side) in self.blocks().into_iter().zip(self.sides()) {
            if let Padding::Given { before, after } = block.steps.padding
                && side + before + after < block.kernel
            {
                return Err(format!(
                    "image_size {} leaves {side} pixels to a kernel of {} whose padding is for {}",
                    self.image_size,
                    block.kernel,
                    self.nominal_size.unwrap_or(self.image_size)
                ));
            }
        }
        Ok(())
    }
}
