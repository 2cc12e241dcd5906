//! CLIP with a spatial-temporal branch, STAN (Liu et al., "Revisiting Temporal Modeling for CLIP-based Image-to-Video
//! Knowledge Transferring", CVPR 2023; `clip_stan_hf.py` of farewellthree/STAN), and a classification head.
//!
//! Beside each of the last CLIP layers runs a branch layer that sees a whole clip: first each patch attends to itself
//! over time, then the patches of a frame to each other. The branch has one class token a clip. Features are
//! the mean over frames of the last layer norm of CLIP's class token plus the branch's, L2-normalised.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use super::clip::{ClipConfig, EMBEDDING_DEVIATION, EncoderLayer, Tower};
use crate::detector::explain::rollout::{self, SpaceTime, Weighted};
use crate::detector::{Group, Network, Output, Sizes, Strategy, flatten_clips};
use crate::layers::{Attention, Head, LayerNorm, Linear, Pass, TapKind, keep_probability, l2_normalise, pass_by};
use crate::ops;
use crate::weights::{Init, Loader, WeightsError};

/// Frames that there are time embeddings for, so the longest clip.
pub const MAX_CLIP_LENGTH: usize = 64;

/// Sizes of a CLIP tower with its head, and of the branch beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StanConfig {
    /// The tower and the head.
    pub clip: ClipConfig,
    /// Branch layers, beside as many of the tower's last layers; 4 in the paper.
    pub branch_depth: usize,
    /// Frames of a clip, `T`; 8 in the thesis, at most [`MAX_CLIP_LENGTH`].
    pub clip_length: usize,
    /// What mixes the frames.
    pub time_module: TimeModule,
    /// The probability, in training, that a clip passes by the last branch layer; it rises linearly from 0 in the
    /// first (stochastic depth, Huang et al., 2016); 0.1 in the paper.
    pub drop_path: f32,
}

/// What mixes the frames of a clip, patch by patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeModule {
    /// Layer norm, then self-attention over the frames.
    Attention,
    /// A convolution over three frames, then layer norm.
    Conv,
}

impl fmt::Display for TimeModule {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::Attention => "attention",
            Self::Conv => "conv",
        })
    }
}

/// Frames that the temporal convolution sees.
const TAPS: usize = 3;

impl StanConfig {
    /// The paper's branch beside `clip`, for clips of 8 frames.
    pub fn new(clip: ClipConfig) -> Self {
        Self { clip, branch_depth: 4, clip_length: 8, time_module: TimeModule::Attention, drop_path: 0.1 }
    }

    /// The tower's layer that branch layer `index` runs beside.
    pub fn layer_beside(&self, index: usize) -> usize {
        (self.clip.depth + index).saturating_sub(self.branch_depth)
    }
}

impl Sizes for StanConfig {
    fn image_size(&self) -> usize {
        self.clip.image_size
    }

    fn clip_length(&self) -> usize {
        self.clip_length
    }

    /// Of the matrix products.
    fn flops(&self) -> u64 {
        let (patches, width) = (self.clip.patches() as u64, self.clip.width as u64);
        let projections = match self.time_module {
            TimeModule::Attention => 4 * width + 2 * self.clip_length as u64,
            TimeModule::Conv => TAPS as u64 * width,
        };
        let temporal = 2 * patches * width * (projections + width);
        self.clip.flops() + self.branch_depth as u64 * (self.clip.layer_flops() + temporal)
    }

    fn check(&self) -> Result<(), String> {
        self.clip.check()?;
        if !(1..=self.clip.depth).contains(&self.branch_depth) {
            return Err(format!("a branch of {} layers beside a tower of {}", self.branch_depth, self.clip.depth));
        }
        if !(1..=MAX_CLIP_LENGTH).contains(&self.clip_length) {
            return Err(format!("clip_length = {} is not within 1..={MAX_CLIP_LENGTH}", self.clip_length));
        }
        if !(0.0..1.0).contains(&self.drop_path) {
            return Err(format!("drop_path = {} is not within 0..1", self.drop_path));
        }
        Ok(())
    }

    fn words(&self) -> String {
        format!(
            "{}, STAN branch of {} layers, clips of {} frames mixed by {}",
            self.clip.words(),
            self.branch_depth,
            self.clip_length,
            self.time_module
        )
    }

    fn normalisation(&self) -> [[f32; 3]; 2] {
        self.clip.normalisation()
    }

    fn tapped(&self) -> TapKind {
        TapKind::Attention
    }

    /// Back through the branch's layers, each of which is given the tower's tokens beside it, and the tower's layers.
    fn rolled_out(&self, layers: &[Weighted], clip: usize) -> Vec<Vec<f32>> {
        let (frames, patches) = (self.clip_length, self.clip.patches());
        let alone = self.clip.depth - self.branch_depth;
        let (below, beside) = layers.split_at(alone.min(layers.len()));
        let taps = match self.time_module {
            TimeModule::Attention => 3,
            TimeModule::Conv => 2,
        };
        let mut branch = SpaceTime::of_class_token(frames, patches);
        let mut tower = alloc::vec![alloc::vec![0.0; 1 + patches]; frames];
        tower.iter_mut().for_each(|tokens| tokens[0] = 1.0 / frames as f32);
        for taps in beside.chunks_exact(taps).rev() {
            let [layer, between @ .., within] = taps else { continue };
            branch = branch.within_frames(within, clip);
            branch = between.iter().fold(branch, |branch, time| branch.over_time(time, clip));
            for (frame, (tokens, given)) in tower.iter_mut().zip(&branch.patches).enumerate() {
                tokens[0] += branch.class / frames as f32;
                tokens[1..].iter_mut().zip(given).for_each(|(token, given)| *token += given);
                *tokens =
                    rollout::through(core::slice::from_ref(layer), clip * frames + frame, core::mem::take(tokens));
            }
        }
        let frame = |(frame, tokens)| rollout::through(below, clip * frames + frame, tokens).split_off(1);
        tower.into_iter().enumerate().map(frame).collect()
    }

    /// The temporal layers and the time embeddings are what no CLIP has.
    fn group(&self, tensor: &str) -> Group {
        match Group::by_name(tensor) {
            Group::Backbone if tensor.contains(".temporal.") || tensor == "branch.time_embedding" => Group::New,
            group => group,
        }
    }

    /// A spatial layer starts as the tower's layer beside it.
    fn starts_as(&self, tensor: &str) -> Option<String> {
        let (index, rest) = tensor.strip_prefix("branch.layers.")?.split_once(".spatial.")?;
        Some(format!("tower.layers.{}.{rest}", self.layer_beside(index.parse().ok()?)))
    }

    fn is_new(&self, tensor: &str) -> bool {
        tensor.starts_with("branch.")
    }

    fn usual_strategy(&self) -> Strategy {
        Strategy::Stan
    }
}

/// A convolution over time, kernel 3, zeros beyond both ends.
#[derive(Module, Debug)]
pub struct TemporalConvolution {
    /// `[out, in, 3]`
    weight: Param<Tensor<3>>,
    /// `[out]`
    bias: Param<Tensor<1>>,
}

impl TemporalConvolution {
    fn load(loader: &mut Loader, width: usize) -> Result<Self, WeightsError> {
        let deviation = 1.0 / libm::sqrtf((TAPS * width) as f32);
        Ok(Self {
            weight: loader.param("weight", [width, width, TAPS], Init::Normal(deviation))?,
            bias: loader.param("bias", [width], Init::Zeros)?,
        })
    }

    /// `[n, T, d]` to the same shape.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [count, frames, width] = x.dims();
        let end = Tensor::zeros([count, 1, width], (&x.device(), x.dtype()));
        let padded = Tensor::cat([end.clone(), x, end].to_vec(), 1);
        // The frames a tap apart side by side make it one matrix product.
        let taps = (0..TAPS).map(|tap| padded.clone().narrow(1, tap, frames)).collect();
        let weight = self.weight.val().swap_dims(1, 2).reshape([width, TAPS * width]);
        ops::linear(Tensor::cat(taps, 2), weight, Some(self.bias.val()), None, None)
    }
}

/// Mixes the frames of each patch; the class token passes by. It has one of the two time modules.
#[derive(Module, Debug)]
pub struct TemporalLayer {
    norm: LayerNorm,
    attention: Option<Attention>,
    conv: Option<TemporalConvolution>,
    fc: Linear,
}

impl TemporalLayer {
    fn load(loader: &mut Loader, config: &StanConfig) -> Result<Self, WeightsError> {
        let width = config.clip.width;
        let (mut attention, mut conv) = (None, None);
        match config.time_module {
            TimeModule::Attention => {
                attention = Some(loader.within("attention", |l| Attention::load(l, width, config.clip.heads))?)
            }
            TimeModule::Conv => conv = Some(loader.within("conv", |l| TemporalConvolution::load(l, width))?),
        }
        Ok(Self {
            norm: loader.within("norm", |l| LayerNorm::load(l, width))?,
            attention,
            conv,
            fc: loader.within("fc", |l| Linear::load_zero(l, width, width))?,
        })
    }

    /// Branch tokens to branch tokens; in training a clip is mixed with the probability `keep`.
    fn forward(&self, tokens: ClipTokens, keep: f32, pass: &mut Pass) -> ClipTokens {
        let [clips, frames, patches, width] = tokens.patches.dims();
        let x = tokens.patches.swap_dims(1, 2).reshape([clips * patches, frames, width]);
        let mixed = self.mix(x.clone(), pass);
        let mixed = pass_by(mixed.reshape([clips, patches * frames, width]), keep, pass).reshape(x.dims());
        let x = self.fc.forward_with(mixed, None, Some(x));
        let patches = x.reshape([clips, patches, frames, width]).swap_dims(1, 2);
        ClipTokens { patches, ..tokens }
    }

    /// `[n, T, d]` to the same shape.
    fn mix(&self, x: Tensor<3>, pass: &mut Pass) -> Tensor<3> {
        let x = match &self.conv {
            Some(conv) => conv.forward(x),
            None => x,
        };
        let x = self.norm.forward(x);
        match &self.attention {
            Some(attention) => attention.forward(x, None, pass),
            None => x,
        }
    }
}

/// The branch's tokens.
#[derive(Clone, Debug)]
struct ClipTokens {
    /// `[clips, 1, d]`, one token a clip.
    class: Tensor<3>,
    /// `[clips, T, L, d]`
    patches: Tensor<4>,
}

impl ClipTokens {
    /// The tower's tokens `[clips·T, 1+L, d]` of all frames; the class token is the mean over the frames.
    fn of_frames(tokens: Tensor<3>, clips: usize) -> Self {
        let [count, length, width] = tokens.dims();
        let tokens = tokens.reshape([clips, count / clips, length, width]);
        let class = tokens.clone().narrow(2, 0, 1).mean_dim(1).reshape([clips, 1, width]);
        Self { class, patches: tokens.narrow(2, 1, length - 1) }
    }
}

/// One branch layer.
#[derive(Module, Debug)]
pub struct BranchLayer {
    temporal: TemporalLayer,
    spatial: EncoderLayer,
}

impl BranchLayer {
    fn load(loader: &mut Loader, config: &StanConfig) -> Result<Self, WeightsError> {
        Ok(Self {
            temporal: loader.within("temporal", |l| TemporalLayer::load(l, config))?,
            spatial: loader.within("spatial", |l| EncoderLayer::load(l, &config.clip))?,
        })
    }

    /// Branch tokens to branch tokens; in training a clip goes through each half with the probability `keep`.
    fn forward(&self, tokens: ClipTokens, keep: f32, pass: &mut Pass) -> ClipTokens {
        let tokens = self.temporal.forward(tokens, keep, pass);
        self.within_frames(tokens, keep, pass)
    }

    /// Attention among the patches of a frame and the class token, of which each frame has its copy; then the perceptron.
    fn within_frames(&self, tokens: ClipTokens, keep: f32, pass: &mut Pass) -> ClipTokens {
        let [clips, frames, patches, width] = tokens.patches.dims();
        let class = tokens.class.clone().unsqueeze_dim::<4>(1).expand([clips, frames, 1, width]);
        let by_frame = Tensor::cat([class, tokens.patches.clone()].to_vec(), 2);
        let attended = self.spatial.attend(by_frame.reshape([clips * frames, 1 + patches, width]), pass);
        let attended = pass_by(attended.reshape([clips, frames * (1 + patches), width]), keep, pass);
        let change = ClipTokens::of_frames(attended.reshape([clips * frames, 1 + patches, width]), clips);
        let flat = |tokens: Tensor<4>| tokens.reshape([clips, frames * patches, width]);
        let class = tokens.class + change.class;
        let all = Tensor::cat([class, flat(tokens.patches + change.patches)].to_vec(), 1);
        let all = self.spatial.transform(all);
        ClipTokens {
            class: all.clone().narrow(1, 0, 1),
            patches: all.narrow(1, 1, frames * patches).reshape([clips, frames, patches, width]),
        }
    }
}

/// The branch.
#[derive(Module, Debug)]
pub struct Branch {
    time_embedding: Param<Tensor<2>>,
    layers: Vec<BranchLayer>,
}

impl Branch {
    fn load(loader: &mut Loader, config: &StanConfig) -> Result<Self, WeightsError> {
        let times = [MAX_CLIP_LENGTH, config.clip.width];
        Ok(Self {
            time_embedding: loader.param("time_embedding", times, Init::Normal(EMBEDDING_DEVIATION))?,
            layers: (0..config.branch_depth)
                .map(|index| loader.within(&format!("layers.{index}"), |l| BranchLayer::load(l, config)))
                .collect::<Result<_, _>>()?,
        })
    }

    /// What goes into the first layer: the tower's tokens with their positions once more and with their times. The class
    /// token is half the tower's, half the fresh one.
    fn start(&self, frames: ClipTokens, tower: &Tower) -> ClipTokens {
        let [_, length, patches, width] = frames.patches.dims();
        let dtype = frames.patches.dtype();
        let positions = tower.positions(dtype);
        let class = tower.class(dtype) + positions.clone().narrow(1, 0, 1);
        let times = self.time_embedding.val().cast(dtype).narrow(0, 0, length).reshape([1, length, 1, width]);
        let patches = frames.patches + positions.narrow(1, 1, patches).unsqueeze::<4>() + times;
        ClipTokens { class: (frames.class + class) / 2.0, patches }
    }
}

/// The tower, the branch beside it, and the head.
#[derive(Module, Debug)]
pub struct Stan {
    tower: Tower,
    branch: Branch,
    head: Head,
    /// [`StanConfig::drop_path`]
    #[module(skip)]
    drop_path: f32,
}

impl Network for Stan {
    type Sizes = StanConfig;

    /// Loads every tensor that `config` asks for, under `tower.`, `branch.` and `head.`.
    fn load(loader: &mut Loader, config: &StanConfig) -> Result<Self, WeightsError> {
        Ok(Self {
            tower: loader.within("tower", |l| Tower::load(l, &config.clip))?,
            branch: loader.within("branch", |l| Branch::load(l, config))?,
            head: loader.within("head", |l| Head::load(l, config.clip.width, config.clip.head))?,
            drop_path: config.drop_path,
        })
    }

    fn forward(&self, pixels: Tensor<5>, pass: &mut Pass) -> Output {
        let [clips, frames, ..] = pixels.dims();
        let mut x = self.tower.embed(flatten_clips(pixels));
        let depth = self.branch.layers.len();
        let alone = self.tower.layers.len() - depth;
        for layer in &self.tower.layers[..alone] {
            x = layer.forward(x, pass);
        }
        let mut branch: Option<ClipTokens> = None;
        for (index, (layer, beside)) in self.tower.layers[alone..].iter().zip(&self.branch.layers).enumerate() {
            x = layer.forward(x, pass);
            let seen = ClipTokens::of_frames(x.clone(), clips);
            let input = match branch {
                None => self.branch.start(seen, &self.tower),
                Some(branch) => ClipTokens { class: branch.class + seen.class, patches: branch.patches + seen.patches },
            };
            branch = Some(beside.forward(input, keep_probability(self.drop_path, index, depth), pass));
        }
        let width = x.dims()[2];
        let mut class = x.narrow(1, 0, 1).reshape([clips, frames, width]);
        if let Some(branch) = branch {
            class = class + branch.class;
        }
        let pooled = self.tower.normalise(class).cast(DType::F32).mean_dim(1).reshape([clips, width]);
        let features = l2_normalise(pooled);
        Output::new(features.clone(), self.head.forward(features))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::HeadKind;

    fn config() -> StanConfig {
        StanConfig::new(ClipConfig::vit_b_16(HeadKind::OneLayer))
    }

    #[test]
    fn impossible_branches_are_refused() {
        for change in [
            |c: &mut StanConfig| c.branch_depth = 0,
            |c: &mut StanConfig| c.branch_depth = 13,
            |c: &mut StanConfig| c.clip_length = 0,
            |c: &mut StanConfig| c.clip_length = MAX_CLIP_LENGTH + 1,
            |c: &mut StanConfig| c.drop_path = 1.0,
            |c: &mut StanConfig| c.drop_path = f32::NAN,
        ] {
            let mut config = config();
            assert!(config.check().is_ok());
            change(&mut config);
            assert!(config.check().is_err(), "{config:?}");
        }
    }

    #[test]
    fn a_branch_of_four_layers_costs_a_frame_about_half_as_much_as_the_tower_again() {
        let config = config();
        let share = config.flops() as f64 / config.clip.flops() as f64;
        assert!((1.4..1.6).contains(&share), "{share}");
    }
}
