//! The sizes of an EfficientNet, and what follows from them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::detector::clip::HeadKind;

/// Sizes of an EfficientNet and its head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EfficientNetConfig {
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Channels after the first convolution.
    pub stem: usize,
    /// The stages, in their order.
    pub stages: Vec<Stage>,
    /// Channels after the last convolution: the width of the features.
    pub width: usize,
    /// What makes logits of features.
    pub head: HeadKind,
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
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

/// Side of the first convolution's kernel, and its step.
pub(super) const STEM_KERNEL: usize = 3;
pub(super) const STEM_STRIDE: usize = 2;

impl EfficientNetConfig {
    /// EfficientNet-Lite0 at 224 pixels (`efficientnet_lite_builder.py` of tensorflow/tpu).
    pub fn lite0(head: HeadKind) -> Self {
        let stage =
            |repeats, kernel, stride, expansion, channels| Stage { repeats, kernel, stride, expansion, channels };
        let stages = [
            stage(1, 3, 1, 1, 16),
            stage(2, 3, 2, 6, 24),
            stage(2, 5, 2, 6, 40),
            stage(3, 3, 2, 6, 80),
            stage(3, 5, 1, 6, 112),
            stage(4, 5, 2, 6, 192),
            stage(1, 3, 1, 6, 320),
        ];
        Self { image_size: 224, stem: 32, stages: stages.to_vec(), width: 1280, head }
    }

    /// Every block in its order.
    pub(super) fn blocks(&self) -> Vec<BlockSizes> {
        let mut inputs = self.stem;
        let mut blocks = Vec::new();
        for stage in &self.stages {
            for index in 0..stage.repeats {
                let stride = if index == 0 { stage.stride } else { 1 };
                let (inside, outputs) = (inputs * stage.expansion, stage.channels);
                blocks.push(BlockSizes { inputs, inside, outputs, kernel: stage.kernel, stride });
                inputs = outputs;
            }
        }
        blocks
    }

    /// Channels before the last convolution.
    pub(super) fn last_channels(&self) -> usize {
        self.stages.last().map_or(self.stem, |stage| stage.channels)
    }

    /// Floating-point operations (a multiply-add counts as two) of the convolutions for one image.
    pub fn flops(&self) -> u64 {
        let square = |side: usize| (side * side) as u64;
        let mut side = self.image_size.div_ceil(STEM_STRIDE);
        let mut total = square(side) * square(STEM_KERNEL) * 3 * self.stem as u64;
        for BlockSizes { inputs, inside, outputs, kernel, stride } in self.blocks() {
            if inside != inputs {
                total += square(side) * (inputs * inside) as u64;
            }
            side = side.div_ceil(stride);
            total += square(side) * (square(kernel) * inside as u64 + (inside * outputs) as u64);
        }
        2 * (total + square(side) * (self.last_channels() * self.width) as u64)
    }

    /// Checks that such a network can exist, so that loading cannot ask for absurd amounts of memory.
    ///
    /// # Errors
    /// The first problem, as part of a sentence.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: usize, limit: usize| match value {
            value if (1..=limit).contains(&value) => Ok(()),
            _ => Err(format!("{name} = {value} is not within 1..={limit}")),
        };
        within("image_size", self.image_size, 2048)?;
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
                return Err("kernel ".to_string() + &stage.kernel.to_string() + " is even");
            }
        }
        Ok(())
    }
}
