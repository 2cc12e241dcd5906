//! CLIP with a spatial-temporal branch, STAN (Liu et al., "Revisiting Temporal Modeling for CLIP-based Image-to-Video
//! Knowledge Transferring", CVPR 2023; `clip_stan_hf.py` of farewellthree/STAN), and a classification head.
//!
//! Beside each of the last CLIP layers runs a branch layer that sees a whole clip: first each patch attends to itself
//! over time, then the patches of a frame to each other. The branch has one class token a clip. Features are
//! the mean over frames of the last layer norm of CLIP's class token plus the branch's, L2-normalised.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::DType;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::clip::{Attention, ClipConfig, EMBEDDING_DEVIATION, EncoderLayer, Head, Tower};
use super::layers::{LayerNorm, Linear};
use super::{Output, l2_normalise};
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

    /// Floating-point operations (a multiply-add counts as two) of the matrix products for one frame of a clip.
    pub fn flops(&self) -> u64 {
        let (patches, width) = (self.clip.patches() as u64, self.clip.width as u64);
        let projections = match self.time_module {
            TimeModule::Attention => 4 * width + 2 * self.clip_length as u64,
            TimeModule::Conv => TAPS as u64 * width,
        };
        let temporal = 2 * patches * width * (projections + width);
        self.clip.flops() + self.branch_depth as u64 * (self.clip.layer_flops() + temporal)
    }

    /// Checks that such a model can exist.
    ///
    /// # Errors
    /// The first problem, as part of a sentence.
    pub fn check(&self) -> Result<(), String> {
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

    /// Which of `clips` clips pass by which branch layer in one training step: `[branch_depth, 2, clips]`, for the temporal and
    /// the spatial half of each layer. A value is 0 where the clip passes by and otherwise the inverse of the
    /// probability of that, so that the mean is 1. The same state of `rng` gives the same masks.
    pub fn drop_path_masks(&self, rng: &mut ChaCha8Rng, clips: usize, device: &Device) -> Tensor<3> {
        let steps = self.branch_depth.saturating_sub(1).max(1) as f32;
        let mut masks = Vec::with_capacity(self.branch_depth * 2 * clips);
        for index in 0..self.branch_depth {
            let keep = 1.0 - self.drop_path * index as f32 / steps;
            masks.extend((0..2 * clips).map(|_| if rng.random::<f32>() < keep { 1.0 / keep } else { 0.0 }));
        }
        Tensor::from_data(TensorData::new(masks, [self.branch_depth, 2, clips]), device)
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
                attention = Some(loader.within("attention", |l| Attention::load(l, &config.clip))?)
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

    /// Branch tokens to branch tokens. `mask` is `[clips]`.
    fn forward(&self, tokens: ClipTokens, mask: Option<Tensor<1>>) -> ClipTokens {
        let [clips, frames, patches, width] = tokens.patches.dims();
        let x = tokens.patches.swap_dims(1, 2).reshape([clips * patches, frames, width]);
        let mixed = self.mix(x.clone());
        let mixed = masked(mixed.reshape([clips, patches * frames, width]), mask).reshape(x.dims());
        let x = self.fc.forward_with(mixed, None, Some(x));
        let patches = x.reshape([clips, patches, frames, width]).swap_dims(1, 2);
        ClipTokens { patches, ..tokens }
    }

    /// `[n, T, d]` to the same shape.
    fn mix(&self, x: Tensor<3>) -> Tensor<3> {
        let x = match &self.conv {
            Some(conv) => conv.forward(x),
            None => x,
        };
        let x = self.norm.forward(x);
        match &self.attention {
            Some(attention) => attention.forward(x, None),
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

/// Each clip times its mask, `[clips]`.
fn masked(x: Tensor<3>, mask: Option<Tensor<1>>) -> Tensor<3> {
    match mask {
        Some(mask) => {
            let clips = mask.dims()[0];
            let mask = mask.cast(x.dtype());
            x * mask.reshape([clips, 1, 1])
        }
        None => x,
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

    /// Branch tokens to branch tokens. `masks` is `[2, clips]`.
    fn forward(&self, tokens: ClipTokens, masks: Option<Tensor<2>>) -> ClipTokens {
        let mask = |half: usize| {
            let masks = masks.clone()?;
            let clips = masks.dims()[1];
            Some(masks.narrow(0, half, 1).reshape([clips]))
        };
        self.within_frames(self.temporal.forward(tokens, mask(0)), mask(1))
    }

    /// Attention among the patches of a frame and the class token, of which each frame has its copy; then the perceptron.
    fn within_frames(&self, tokens: ClipTokens, mask: Option<Tensor<1>>) -> ClipTokens {
        let [clips, frames, patches, width] = tokens.patches.dims();
        let class = tokens.class.clone().unsqueeze_dim::<4>(1).expand([clips, frames, 1, width]);
        let by_frame = Tensor::cat([class, tokens.patches.clone()].to_vec(), 2);
        let attended = self.spatial.attend(by_frame.reshape([clips * frames, 1 + patches, width]));
        let attended = masked(attended.reshape([clips, frames * (1 + patches), width]), mask);
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
}

impl Stan {
    /// Loads every tensor that `config` asks for, under `tower.`, `branch.` and `head.`.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, config: &StanConfig) -> Result<Self, WeightsError> {
        config.check().map_err(WeightsError::ImpossibleSpec)?;
        Ok(Self {
            tower: loader.within("tower", |l| Tower::load(l, &config.clip))?,
            branch: loader.within("branch", |l| Branch::load(l, config))?,
            head: loader.within("head", |l| Head::load(l, config.clip.width, config.clip.head))?,
        })
    }

    /// Normalised pixels `[clips, T, 3, h, w]` to features `[clips, d]` and logits `[clips, 2]`. `masks` of
    /// [`StanConfig::drop_path_masks`] are for training; without them every clip goes through every layer.
    pub fn forward(&self, pixels: Tensor<5>, masks: Option<Tensor<3>>) -> Output {
        let [clips, frames, channels, height, width] = pixels.dims();
        let mut x = self.tower.embed(pixels.reshape([clips * frames, channels, height, width]));
        let alone = self.tower.layers.len() - self.branch.layers.len();
        for layer in &self.tower.layers[..alone] {
            x = layer.forward(x);
        }
        let mut branch: Option<ClipTokens> = None;
        for (index, (layer, beside)) in self.tower.layers[alone..].iter().zip(&self.branch.layers).enumerate() {
            x = layer.forward(x);
            let seen = ClipTokens::of_frames(x.clone(), clips);
            let input = match branch {
                None => self.branch.start(seen, &self.tower),
                Some(branch) => ClipTokens { class: branch.class + seen.class, patches: branch.patches + seen.patches },
            };
            let masks = masks.clone().map(|masks| masks.narrow(0, index, 1).reshape([2, clips]));
            branch = Some(beside.forward(input, masks));
        }
        let width = x.dims()[2];
        let mut class = x.narrow(1, 0, 1).reshape([clips, frames, width]);
        if let Some(branch) = branch {
            class = class + branch.class;
        }
        let pooled = self.tower.normalise(class).cast(DType::F32).mean_dim(1).reshape([clips, width]);
        let features = l2_normalise(pooled);
        Output { logits: self.head.forward(features.clone()), features }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::clip::HeadKind;
    use rand::SeedableRng;

    fn config() -> StanConfig {
        StanConfig::new(ClipConfig::vit_b_16(HeadKind::OneLayer))
    }

    fn masks(config: &StanConfig, seed: u64, clips: usize) -> Vec<f32> {
        let masks = config.drop_path_masks(&mut ChaCha8Rng::seed_from_u64(seed), clips, &Device::flex());
        assert_eq!(masks.dims(), [config.branch_depth, 2, clips]);
        masks.into_data().try_into_vec().expect("f32")
    }

    #[test]
    fn clips_pass_by_deeper_layers_more_often_and_the_mean_of_the_masks_is_one() {
        let clips = 20_000;
        let all = masks(&config(), 1, clips);
        for (index, layer) in all.chunks(2 * clips).enumerate() {
            let dropped = layer.iter().filter(|mask| **mask == 0.0).count() as f64 / layer.len() as f64;
            let mean = layer.iter().map(|mask| f64::from(*mask)).sum::<f64>() / layer.len() as f64;
            assert!((dropped - 0.1 * index as f64 / 3.0).abs() < 0.01, "layer {index}: {dropped}");
            assert!((mean - 1.0).abs() < 0.01, "layer {index}: {mean}");
        }
        assert!(all[..2 * clips].iter().all(|mask| *mask == 1.0));
    }

    #[test]
    fn the_same_seed_gives_the_same_masks() {
        assert_eq!(masks(&config(), 1, 64), masks(&config(), 1, 64));
        assert_ne!(masks(&config(), 1, 64), masks(&config(), 2, 64));
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
