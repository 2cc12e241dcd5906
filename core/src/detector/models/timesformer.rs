//! EfficientNet with a TimeSformer block, the thesis's temporal baseline: divided space-time attention (Bertasius et al., "Is
//! Space-Time Attention All You Need for Video Understanding?", 2021; `timesformer/models/vit.py` of
//! facebookresearch/TimeSformer) over the places of the last feature maps of a clip's frames.
//!
//! Each place attends to itself over time, then the places of a frame to each other; one class token a clip goes into each
//! frame's attention and takes the mean of what comes out. Features are the class token after a last layer norm. What the
//! thesis's file leaves out of the block (residuals, norms, embeddings, a class token) is here.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use super::efficientnet::{EfficientNetConfig, Trunk};
use crate::detector::explain::rollout::{SpaceTime as Relevance, Weighted};
use crate::detector::{Network, Output, Sizes, Strategy, flatten_clips};
use crate::layers::{Attention, Head, LayerNorm, Linear, Mlp, Pass, TapKind, dropout};
use crate::ops::Activation;
use crate::weights::{Init, Loader, WeightsError};

/// Sizes of an EfficientNet with its head, and of the blocks between.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeSformerConfig {
    /// The convolutional network and the head.
    pub backbone: EfficientNetConfig,
    /// Frames of a clip, `T`.
    pub clip_length: usize,
    /// Divided space-time blocks.
    pub layers: usize,
    /// Attention heads; divides the network's width.
    pub heads: usize,
    /// Width inside the perceptrons.
    pub mlp: usize,
    /// The part of the activations that is dropped in training, after the embeddings and within the blocks.
    pub dropout: f32,
}

/// The source's epsilon of layer norms.
const EPSILON: f64 = 1e-6;
/// The deviation of fresh embeddings.
const EMBEDDING_DEVIATION: f32 = 0.02;
/// The longest clip.
const MAX_CLIP_LENGTH: usize = 64;

impl TimeSformerConfig {
    /// One block of eight heads on `backbone`, for clips of so many frames.
    pub fn new(backbone: EfficientNetConfig, clip_length: usize) -> Self {
        let mlp = 4 * backbone.width;
        Self { backbone, clip_length, layers: 1, heads: 8, mlp, dropout: 0.1 }
    }

    /// Places of one frame's last map.
    fn places(&self) -> usize {
        let side = self.backbone.last_side();
        side * side
    }
}

impl Sizes for TimeSformerConfig {
    fn image_size(&self) -> usize {
        self.backbone.image_size
    }

    fn clip_length(&self) -> usize {
        self.clip_length
    }

    fn flops(&self) -> u64 {
        let (places, width, mlp) = (self.places() as u64, self.backbone.width as u64, self.mlp as u64);
        let tokens = places + 1;
        let time = places * (5 * width * width + 2 * self.clip_length as u64 * width);
        let space = tokens * (4 * width * width + 2 * tokens * width);
        self.backbone.flops() + 2 * self.layers as u64 * (time + space + 2 * places * width * mlp)
    }

    fn check(&self) -> Result<(), String> {
        self.backbone.check()?;
        for (name, value, limit) in [
            ("clip_length", self.clip_length, MAX_CLIP_LENGTH),
            ("layers", self.layers, 64),
            ("heads", self.heads, 256),
            ("mlp", self.mlp, 65_536),
        ] {
            if !(1..=limit).contains(&value) {
                return Err(format!("{name} = {value} is not within 1..={limit}"));
            }
        }
        if !self.backbone.width.is_multiple_of(self.heads) {
            return Err(format!("width {} is no multiple of heads {}", self.backbone.width, self.heads));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(format!("dropout = {} is not within 0..1", self.dropout));
        }
        Ok(())
    }

    fn words(&self) -> String {
        let Self { clip_length, layers, heads, .. } = self;
        format!(
            "{}, TimeSformer of {layers} layers and {heads} heads over clips of {clip_length} frames",
            self.backbone.words()
        )
    }

    fn has_batch_norms(&self) -> bool {
        true
    }

    /// The thesis's, which are not those of the EfficientNet.
    fn normalisation(&self) -> [[f32; 3]; 2] {
        [[0.45; 3], [0.225; 3]]
    }

    fn tapped(&self) -> TapKind {
        TapKind::Attention
    }

    /// To the places of the convolutional network's last map, each of which sees much of a frame.
    fn rolled_out(&self, layers: &[Weighted], clip: usize) -> Vec<Vec<f32>> {
        let start = Relevance::of_class_token(self.clip_length, self.places());
        let back = |tokens: Relevance, block: &[Weighted]| match block {
            [time, within] => tokens.within_frames(within, clip).over_time(time, clip),
            _ => tokens,
        };
        layers.chunks(2).rev().fold(start, back).patches
    }

    fn is_new(&self, tensor: &str) -> bool {
        tensor.starts_with("time.")
    }

    fn usual_strategy(&self) -> Strategy {
        Strategy::Full
    }
}

/// A clip's tokens.
#[derive(Clone, Debug)]
struct ClipTokens {
    /// `[clips, 1, d]`
    class: Tensor<3>,
    /// `[clips, places, T, d]`
    places: Tensor<4>,
}

/// A divided space-time block.
#[derive(Module, Debug)]
pub struct SpaceTimeBlock {
    temporal_norm: LayerNorm,
    temporal_attention: Attention,
    temporal_fc: Linear,
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    mlp: Mlp,
    #[module(skip)]
    dropout: f32,
}

impl SpaceTimeBlock {
    fn load(loader: &mut Loader, config: &TimeSformerConfig) -> Result<Self, WeightsError> {
        let (width, heads) = (config.backbone.width, config.heads);
        let norm = |loader: &mut Loader, name: &str| loader.within(name, |l| LayerNorm::load_with(l, width, EPSILON));
        Ok(Self {
            temporal_norm: norm(loader, "temporal_norm")?,
            temporal_attention: loader.within("temporal_attention", |l| Attention::load(l, width, heads))?,
            temporal_fc: loader.within("temporal_fc", |l| Linear::load_zero(l, width, width))?,
            norm1: norm(loader, "norm1")?,
            attention: loader.within("attention", |l| Attention::load(l, width, heads))?,
            norm2: norm(loader, "norm2")?,
            mlp: loader.within("mlp", |l| Mlp::load(l, width, config.mlp, Activation::Gelu))?,
            dropout: config.dropout,
        })
    }

    fn forward(&self, tokens: ClipTokens, pass: &mut Pass) -> ClipTokens {
        let tokens = self.over_time(tokens, pass);
        let tokens = self.within_frames(tokens, pass);
        let [clips, places, frames, width] = tokens.places.dims();
        let flat = tokens.places.reshape([clips, places * frames, width]);
        let all = Tensor::cat([tokens.class, flat].to_vec(), 1);
        let changed = self.mlp.forward_dropping(self.norm2.forward(all.clone()), self.dropout, pass);
        let all = all + changed;
        ClipTokens {
            class: all.clone().narrow(1, 0, 1),
            places: all.narrow(1, 1, places * frames).reshape([clips, places, frames, width]),
        }
    }

    /// Each place attends to itself over time; the class token passes by.
    fn over_time(&self, tokens: ClipTokens, pass: &mut Pass) -> ClipTokens {
        let shape @ [clips, places, frames, width] = tokens.places.dims();
        let x = tokens.places.reshape([clips * places, frames, width]);
        let mixed = self.temporal_attention.forward(self.temporal_norm.forward(x.clone()), None, pass);
        let mixed = dropout(mixed, self.dropout, pass);
        let places = self.temporal_fc.forward_with(mixed, None, Some(x)).reshape(shape);
        ClipTokens { places, ..tokens }
    }

    /// Attention among the places of a frame and the class token, of which each frame has its copy.
    fn within_frames(&self, tokens: ClipTokens, pass: &mut Pass) -> ClipTokens {
        let [clips, places, frames, width] = tokens.places.dims();
        let class = tokens.class.clone().unsqueeze_dim::<4>(1).expand([clips, frames, 1, width]);
        let by_frame = Tensor::cat([class, tokens.places.clone().swap_dims(1, 2)].to_vec(), 2);
        let normed = self.norm1.forward(by_frame.reshape([clips * frames, 1 + places, width]));
        let attended = dropout(self.attention.forward(normed, None, pass), self.dropout, pass);
        let attended: Tensor<4> = attended.reshape([clips, frames, 1 + places, width]);
        let class = attended.clone().narrow(2, 0, 1).mean_dim(1).reshape([clips, 1, width]);
        let change = attended.narrow(2, 1, places).swap_dims(1, 2);
        ClipTokens { class: tokens.class + class, places: tokens.places + change }
    }
}

/// What is between the convolutional network and the head.
#[derive(Module, Debug)]
pub struct SpaceTime {
    /// `[d]`
    class_embedding: Param<Tensor<1>>,
    /// `[1 + places, d]`, the class token's first.
    position_embedding: Param<Tensor<2>>,
    /// `[T, d]`
    time_embedding: Param<Tensor<2>>,
    blocks: Vec<SpaceTimeBlock>,
    norm: LayerNorm,
    #[module(skip)]
    dropout: f32,
}

impl SpaceTime {
    fn load(loader: &mut Loader, config: &TimeSformerConfig) -> Result<Self, WeightsError> {
        let (width, places) = (config.backbone.width, config.places());
        let embedding = Init::Normal(EMBEDDING_DEVIATION);
        let mut blocks = Vec::with_capacity(config.layers);
        for index in 0..config.layers {
            blocks.push(loader.within(&format!("blocks.{index}"), |l| SpaceTimeBlock::load(l, config))?);
        }
        Ok(Self {
            class_embedding: loader.param("class_embedding", [width], embedding)?,
            position_embedding: loader.param("position_embedding", [1 + places, width], embedding)?,
            time_embedding: loader.param("time_embedding", [config.clip_length, width], Init::Zeros)?,
            blocks,
            norm: loader.within("norm", |l| LayerNorm::load_with(l, width, EPSILON))?,
            dropout: config.dropout,
        })
    }

    /// The places' features of each frame, `[clips, T, places, d]`, to one class token a clip, `[clips, d]`. A clip may be shorter
    /// than there are time embeddings: it then takes every so-manieth of them, as the source does.
    fn forward(&self, maps: Tensor<4>, pass: &mut Pass) -> Tensor<2> {
        let [clips, frames, places, width] = maps.dims();
        let (device, dtype) = (maps.device(), maps.dtype());
        let positions = self.position_embedding.val().cast(dtype);
        let class = self.class_embedding.val().cast(dtype).reshape([1, width]) + positions.clone().narrow(0, 0, 1);
        let class = class.unsqueeze::<3>().expand([clips, 1, width]);
        let positions = positions.narrow(0, 1, places).reshape([1, places, 1, width]);
        let x = maps.swap_dims(1, 2) + positions;
        let class = dropout(class, self.dropout, pass);
        let x = dropout(x, self.dropout, pass);
        let known = self.time_embedding.dims()[0];
        let times: Vec<i64> = (0..frames).map(|frame| (frame * known / frames) as i64).collect();
        let times = Tensor::<1, Int>::from_data(TensorData::new(times, [frames]), &device.without_autodiff());
        let times = self.time_embedding.val().cast(dtype).select(0, times).reshape([1, 1, frames, width]);
        let start = ClipTokens { class, places: dropout(x + times, self.dropout, pass) };
        let end = self.blocks.iter().fold(start, |tokens, block| block.forward(tokens, pass));
        self.norm.forward(end.class.reshape([clips, width]))
    }
}

/// The network, the blocks and the head.
#[derive(Module, Debug)]
pub struct TimeSformer {
    trunk: Trunk,
    time: SpaceTime,
    head: Head,
}

impl Network for TimeSformer {
    type Sizes = TimeSformerConfig;

    /// Loads every tensor that `config` asks for, under `trunk.`, `time.` and `head.`.
    fn load(loader: &mut Loader, config: &TimeSformerConfig) -> Result<Self, WeightsError> {
        Ok(Self {
            trunk: loader.within("trunk", |l| Trunk::load(l, &config.backbone))?,
            time: loader.within("time", |l| SpaceTime::load(l, config))?,
            head: loader.within("head", |l| Head::load(l, config.backbone.width, config.backbone.head))?,
        })
    }

    fn forward(&self, clips: Tensor<5>, pass: &mut Pass) -> Output {
        let [count, frames, ..] = clips.dims();
        let maps = self.trunk.maps(flatten_clips(clips), pass);
        let [_, rows, columns, width] = maps.dims();
        let features = self.time.forward(maps.reshape([count, frames, rows * columns, width]), pass).cast(DType::F32);
        Output::new(features.clone(), self.head.forward(features))
    }
}
