//! Xception (Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", 2017) as DeepfakeBench trains it
//! (`training/networks/xception.py` of SCLBD/DeepfakeBench), with a classification head.
//!
//! The first two convolutions are not padded. A block applies ReLU before each of its separable convolutions, but for the
//! first one of the network; what it adds is its input as it was before that. Features are the last convolution's output
//! averaged over the image.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::activation::relu;
use serde::{Deserialize, Serialize};

use crate::detector::{Network, Output, Sizes, flatten_clips};
use crate::layers::{Convolution, ConvolutionSizes, Head, HeadKind, Pass, mean_over_places};
use crate::ops::{self, Activation, ChannelAffine, KeptLayout, SeparableConvolution, Steps};
use crate::weights::{Init, Loader, WeightsError};

/// Sizes of an Xception and its head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct XceptionConfig {
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Channels after the first and the second convolution.
    pub stem: [usize; 2],
    /// Channels after each of the blocks that halve the map, before the middle ones.
    pub entry: Vec<usize>,
    /// Blocks of three separable convolutions that keep the last of those channels.
    pub middle: usize,
    /// Channels after the last block, which halves the map as well.
    pub exit: usize,
    /// Channels after the last two separable convolutions; the second number is the width of the features.
    pub last: [usize; 2],
    /// What makes logits of features.
    pub head: HeadKind,
}

/// Side of every kernel but those of 1 × 1.
const SIDE: usize = 3;
/// PyTorch's epsilon of batch norms.
const EPSILON: f64 = 1e-5;

impl XceptionConfig {
    /// The published network at 256 pixels.
    pub fn published(head: HeadKind) -> Self {
        Self {
            image_size: 256,
            stem: [32, 64],
            entry: [128, 256, 728].to_vec(),
            middle: 8,
            exit: 1024,
            last: [1536, 2048],
            head,
        }
    }

    /// Every block in its order.
    fn blocks(&self) -> Vec<BlockSizes> {
        let mut inputs = self.stem[1];
        let mut blocks = Vec::new();
        for (index, outputs) in self.entry.iter().copied().enumerate() {
            let layers = [[inputs, outputs], [outputs, outputs]].to_vec();
            blocks.push(BlockSizes { layers, halves: true, begins_with_relu: index > 0 });
            inputs = outputs;
        }
        for _ in 0..self.middle {
            blocks.push(BlockSizes { layers: [[inputs; 2]; 3].to_vec(), halves: false, begins_with_relu: true });
        }
        let layers = [[inputs, inputs], [inputs, self.exit]].to_vec();
        blocks.push(BlockSizes { layers, halves: true, begins_with_relu: true });
        blocks
    }

    /// The last two separable convolutions, channels in and out.
    fn last_layers(&self) -> [[usize; 2]; 2] {
        [[self.exit, self.last[0]], [self.last[0], self.last[1]]]
    }
}

/// One block.
struct BlockSizes {
    /// Channels in and out of each separable convolution.
    layers: Vec<[usize; 2]>,
    halves: bool,
    begins_with_relu: bool,
}

impl Sizes for XceptionConfig {
    fn image_size(&self) -> usize {
        self.image_size
    }

    /// Of the convolutions.
    fn flops(&self) -> u64 {
        let square = |side: usize| (side * side) as u64;
        let taps = square(SIDE);
        let separable = |side: usize, [inputs, outputs]: [usize; 2]| {
            square(side) * (taps * inputs as u64 + (inputs * outputs) as u64)
        };
        let first = self.image_size.saturating_sub(SIDE) / 2 + 1;
        let second = (first + 1).saturating_sub(SIDE);
        let mut total = taps * (square(first) * 3 * self.stem[0] as u64);
        total += taps * square(second) * (self.stem[0] * self.stem[1]) as u64;
        let mut side = second;
        for BlockSizes { layers, halves, .. } in self.blocks() {
            total += layers.iter().map(|layer| separable(side, *layer)).sum::<u64>();
            if halves {
                side = side.div_ceil(2);
                let ends = layers.first().map_or(0, |layer| layer[0]) * layers.last().map_or(0, |layer| layer[1]);
                total += square(side) * ends as u64;
            }
        }
        2 * (total + self.last_layers().into_iter().map(|layer| separable(side, layer)).sum::<u64>())
    }

    fn check(&self) -> Result<(), String> {
        let channels = self.stem.iter().chain(&self.entry).chain([&self.exit]).chain(&self.last);
        if let Some(channels) = channels.into_iter().find(|channels| !(1..=16_384).contains(*channels)) {
            return Err(format!("{channels} channels are not within 1..=16384"));
        }
        if !(1..=32).contains(&self.entry.len()) || self.middle > 64 {
            return Err(format!("{} blocks before {} middle ones", self.entry.len(), self.middle));
        }
        // What two convolutions without padding leave a pixel of.
        if !(7..=2048).contains(&self.image_size) {
            return Err(format!("image_size = {} is not within 7..=2048", self.image_size));
        }
        Ok(())
    }

    fn words(&self) -> String {
        let blocks = self.entry.len() + self.middle + 1;
        format!("Xception, width {}, {blocks} blocks, head {}", self.last[1], self.head)
    }

    fn has_batch_norms(&self) -> bool {
        true
    }

    fn normalisation(&self) -> [[f32; 3]; 2] {
        [[0.5; 3], [0.5; 3]]
    }
}

/// A kernel for each channel, then a convolution of 1 × 1 with its norm.
#[derive(Module, Debug)]
pub struct Separable {
    /// `[in, 1, 3, 3]`
    depthwise: Param<Tensor<4>>,
    pointwise: Convolution,
    /// What follows the depthwise convolution: nothing.
    #[module(skip)]
    neutral: ChannelAffine,
    #[module(skip)]
    kept: KeptLayout,
}

impl Separable {
    fn load(loader: &mut Loader, [inputs, outputs]: [usize; 2]) -> Result<Self, WeightsError> {
        let deviation = libm::sqrtf(2.0) / SIDE as f32;
        Ok(Self {
            depthwise: loader.param("depthwise", [inputs, 1, SIDE, SIDE], Init::Normal(deviation))?,
            pointwise: loader.within("pointwise", |l| convolution(l, inputs, outputs, 1))?,
            neutral: ChannelAffine::neutral(inputs, loader.device()),
            kept: KeptLayout::default(),
        })
    }

    /// `[n, h, w, in]` to `[n, h, w, out]`.
    fn forward(&self, x: Tensor<4>, activation: Option<Activation>, pass: &mut Pass) -> Tensor<4> {
        if pass.moments().is_some() {
            let filtered = ops::bare_depthwise(x, self.depthwise.val(), Steps::centred(1));
            return self.pointwise.forward(filtered, Steps::same(1), activation, pass);
        }
        let block = SeparableConvolution {
            filter: self.depthwise.val(),
            neutral: self.neutral.clone(),
            project: self.pointwise.matrix(),
            project_affine: self.pointwise.norm.affine(),
            steps: Steps::centred(1),
            activation,
        };
        ops::separable_convolution_kept(x, block, &self.kept)
    }
}

fn convolution(loader: &mut Loader, inputs: usize, outputs: usize, side: usize) -> Result<Convolution, WeightsError> {
    Convolution::load(loader, ConvolutionSizes { inputs, outputs, side }, EPSILON)
}

/// Separable convolutions around a residual.
#[derive(Module, Debug)]
pub struct Block {
    layers: Vec<Separable>,
    /// What the input becomes where the block changes its shape.
    skip: Option<Convolution>,
    #[module(skip)]
    begins_with_relu: bool,
}

impl Block {
    fn load(loader: &mut Loader, sizes: &BlockSizes) -> Result<Self, WeightsError> {
        let mut layers = Vec::with_capacity(sizes.layers.len());
        for (index, layer) in sizes.layers.iter().enumerate() {
            layers.push(loader.within(&format!("layers.{index}"), |l| Separable::load(l, *layer))?);
        }
        let ends = (sizes.layers.first(), sizes.layers.last());
        let skip = match ends {
            (Some([inputs, _]), Some([_, outputs])) if sizes.halves => {
                Some(loader.within("skip", |l| convolution(l, *inputs, *outputs, 1))?)
            }
            _ => None,
        };
        Ok(Self { layers, skip, begins_with_relu: sizes.begins_with_relu })
    }

    /// `[n, h, w, in]` to `[n, h', w', out]`.
    fn forward(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let start = if self.begins_with_relu { relu(x.clone()) } else { x.clone() };
        let last = self.layers.len().saturating_sub(1);
        let mut y = start;
        for (index, layer) in self.layers.iter().enumerate() {
            // The ReLU before the next one.
            let activation = (index < last).then_some(Activation::Relu);
            y = layer.forward(y, activation, pass);
        }
        match &self.skip {
            Some(skip) => ops::max_pool(y, SIDE, 2) + skip.forward(x, Steps::same(2), None, pass),
            None => y + x,
        }
    }
}

/// Everything before the head.
#[derive(Module, Debug)]
pub struct Trunk {
    stem: Vec<Convolution>,
    blocks: Vec<Block>,
    last: Vec<Separable>,
}

impl Trunk {
    fn load(loader: &mut Loader, config: &XceptionConfig) -> Result<Self, WeightsError> {
        let [first, second] = config.stem;
        let mut stem = Vec::new();
        for (index, [inputs, outputs]) in [[3, first], [first, second]].into_iter().enumerate() {
            stem.push(loader.within(&format!("stem.{index}"), |l| convolution(l, inputs, outputs, SIDE))?);
        }
        let mut blocks = Vec::new();
        for (index, sizes) in config.blocks().iter().enumerate() {
            blocks.push(loader.within(&format!("blocks.{index}"), |l| Block::load(l, sizes))?);
        }
        let mut last = Vec::new();
        for (index, layer) in config.last_layers().into_iter().enumerate() {
            last.push(loader.within(&format!("last.{index}"), |l| Separable::load(l, layer))?);
        }
        Ok(Self { stem, blocks, last })
    }

    /// Normalised pixels `[n, 3, h, w]` to the last convolution's output, channels last: about `[n, h / 32, w / 32, d]`.
    fn maps(&self, pixels: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let relu = Some(Activation::Relu);
        let mut x = pixels.permute([0, 2, 3, 1]);
        for (convolution, stride) in self.stem.iter().zip([2, 1]) {
            x = convolution.forward(x, Steps::unpadded(stride), relu, pass);
        }
        x = self.blocks.iter().fold(x, |x, block| block.forward(x, pass));
        let maps = self.last.iter().fold(x, |x, layer| layer.forward(x, relu, pass));
        pass.through_maps(maps)
    }
}

/// The trunk and its head.
#[derive(Module, Debug)]
pub struct Xception {
    trunk: Trunk,
    head: Head,
}

impl Network for Xception {
    type Sizes = XceptionConfig;

    /// Loads every tensor that `config` asks for, under `trunk.` and `head.`.
    fn load(loader: &mut Loader, config: &XceptionConfig) -> Result<Self, WeightsError> {
        Ok(Self {
            trunk: loader.within("trunk", |l| Trunk::load(l, config))?,
            head: loader.within("head", |l| Head::load(l, config.last[1], config.head))?,
        })
    }

    fn forward(&self, clips: Tensor<5>, pass: &mut Pass) -> Output {
        let features = mean_over_places(self.trunk.maps(flatten_clips(clips), pass));
        Output::new(features.clone(), self.head.forward(features))
    }

    fn margin_gradient(&self, features: Tensor<2>) -> Option<Tensor<2>> {
        Some(self.head.margin_gradient(features))
    }
}
