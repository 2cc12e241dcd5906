//! CLIP's vision tower (Radford et al., 2021; `CLIPVisionModel` of transformers) with a classification head.
//!
//! The features are the pooled output, L2-normalised; the head maps them to the two logits, real and fake.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use crate::detector::explain::rollout::{self, Weighted};
use crate::detector::{Network, Output, Sizes, flatten_clips};
use crate::layers::{Attention, Head, LayerNorm, Mlp, Pass, TapKind, l2_normalise};
pub use crate::layers::{HEAD_HIDDEN, HeadKind};
use crate::ops::{self, Activation, KeptLayout};
use crate::weights::{Init, Loader, WeightsError};

/// Sizes of a CLIP vision tower and its head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipConfig {
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Side of a square patch in pixels.
    pub patch_size: usize,
    /// Width of the tokens, `d`.
    pub width: usize,
    /// Number of encoder layers.
    pub depth: usize,
    /// Attention heads; divides `width`.
    pub heads: usize,
    /// Width inside the MLP.
    pub mlp: usize,
    /// What makes logits of features.
    pub head: HeadKind,
    /// Whether features have unit length before the head.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub normalised: bool,
}

/// What stands where a document says nothing of normalising.
fn yes() -> bool {
    true
}

impl ClipConfig {
    /// ViT-B/32 at 224 pixels.
    pub fn vit_b_32(head: HeadKind) -> Self {
        Self { patch_size: 32, ..Self::vit_b_16(head) }
    }

    /// ViT-B/16 at 224 pixels.
    pub fn vit_b_16(head: HeadKind) -> Self {
        Self { image_size: 224, patch_size: 16, width: 768, depth: 12, heads: 12, mlp: 3072, head, normalised: true }
    }

    /// ViT-L/14 at 224 pixels.
    pub fn vit_l_14(head: HeadKind) -> Self {
        Self { patch_size: 14, width: 1024, depth: 24, heads: 16, mlp: 4096, ..Self::vit_b_16(head) }
    }

    /// Patches of one image.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size) * (self.image_size / self.patch_size)
    }

    /// Tokens of one image: the class token and the patches.
    pub fn tokens(&self) -> usize {
        1 + self.patches()
    }

    /// Floating-point operations (a multiply-add counts as two) of one encoder layer.
    pub(super) fn layer_flops(&self) -> u64 {
        let (tokens, width, mlp) = (self.tokens() as u64, self.width as u64, self.mlp as u64);
        let projections = 4 * width * width + 2 * width * mlp;
        2 * tokens * projections + 4 * tokens * tokens * width
    }
}

/// Mean and deviation of the channels that CLIP was trained with.
pub const CLIP_NORMALISATION: [[f32; 3]; 2] =
    [[0.481_454_66, 0.457_827_5, 0.408_210_73], [0.268_629_54, 0.261_302_6, 0.275_777_1]];

impl Sizes for ClipConfig {
    fn image_size(&self) -> usize {
        self.image_size
    }

    /// Of the matrix products.
    fn flops(&self) -> u64 {
        let width = self.width as u64;
        let layer = self.layer_flops();
        let embedding = 2 * self.patches() as u64 * width * 3 * (self.patch_size * self.patch_size) as u64;
        self.depth as u64 * layer + embedding
    }

    fn check(&self) -> Result<(), String> {
        let limits = [
            ("image_size", self.image_size, 2048),
            ("patch_size", self.patch_size, 256),
            ("width", self.width, 8192),
            ("depth", self.depth, 256),
            ("heads", self.heads, 256),
            ("mlp", self.mlp, 65_536),
        ];
        if let Some((name, value, limit)) = limits.into_iter().find(|(_, value, limit)| *value == 0 || value > limit) {
            return Err(format!("{name} = {value} is not within 1..={limit}"));
        }
        if !self.image_size.is_multiple_of(self.patch_size) {
            return Err(format!("image_size {} is no multiple of patch_size {}", self.image_size, self.patch_size));
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(format!("width {} is no multiple of heads {}", self.width, self.heads));
        }
        Ok(())
    }

    fn words(&self) -> String {
        let Self { patch_size, width, depth, heads, mlp, head, .. } = self;
        format!("CLIP ViT, width {width}, depth {depth}, {heads} heads, MLP {mlp}, patch {patch_size}, head {head}")
    }

    fn normalisation(&self) -> [[f32; 3]; 2] {
        CLIP_NORMALISATION
    }

    fn tapped(&self) -> TapKind {
        TapKind::Attention
    }

    fn rolled_out(&self, layers: &[Weighted], clip: usize) -> Vec<Vec<f32>> {
        [rollout::of_class_token(layers, clip, 0)].to_vec()
    }
}

/// One encoder layer: attention, then perceptron, each after a layer norm and around a residual.
#[derive(Module, Debug)]
pub struct EncoderLayer {
    norm1: LayerNorm,
    attention: Attention,
    norm2: LayerNorm,
    mlp: Mlp,
}

impl EncoderLayer {
    pub(super) fn load(loader: &mut Loader, config: &ClipConfig) -> Result<Self, WeightsError> {
        Ok(Self {
            norm1: loader.within("norm1", |l| LayerNorm::load(l, config.width))?,
            attention: loader.within("attention", |l| Attention::load(l, config.width, config.heads))?,
            norm2: loader.within("norm2", |l| LayerNorm::load(l, config.width))?,
            mlp: loader.within("mlp", |l| Mlp::load(l, config.width, config.mlp, Activation::QuickGelu))?,
        })
    }

    /// Tokens `[n, 1+L, d]` to tokens of the same shape.
    pub(super) fn forward(&self, x: Tensor<3>, pass: &mut Pass) -> Tensor<3> {
        let normed = self.norm1.forward(x.clone());
        self.transform(self.attention.forward(normed, Some(x), pass))
    }

    /// [`EncoderLayer::forward`] of the class token alone, `[n, 1, d]`, which attends to all.
    fn forward_class(&self, x: Tensor<3>, pass: &mut Pass) -> Tensor<3> {
        let first = |x: &Tensor<3>| x.clone().narrow(1, 0, 1);
        let normed = self.norm1.forward(x.clone());
        self.transform(self.attention.forward_from(first(&normed), normed, Some(first(&x)), pass))
    }

    /// The attention alone, after its layer norm and without the residual.
    pub(super) fn attend(&self, x: Tensor<3>, pass: &mut Pass) -> Tensor<3> {
        self.attention.forward(self.norm1.forward(x), None, pass)
    }

    /// The perceptron, after its layer norm and around a residual.
    pub(super) fn transform(&self, x: Tensor<3>) -> Tensor<3> {
        self.mlp.forward(self.norm2.forward(x.clone()), Some(x))
    }
}

/// The vision tower.
#[derive(Module, Debug)]
pub struct Tower {
    class_embedding: Param<Tensor<1>>,
    patch_embedding: Param<Tensor<4>>,
    position_embedding: Param<Tensor<2>>,
    pre_norm: LayerNorm,
    pub(super) layers: Vec<EncoderLayer>,
    post_norm: LayerNorm,
    #[module(skip)]
    kept: KeptLayout,
}

/// The deviation of fresh embeddings, `initializer_range` of transformers' CLIP.
pub(super) const EMBEDDING_DEVIATION: f32 = 0.02;

impl Tower {
    pub(super) fn load(loader: &mut Loader, config: &ClipConfig) -> Result<Self, WeightsError> {
        let (width, patch) = (config.width, config.patch_size);
        let embedding = Init::Normal(EMBEDDING_DEVIATION);
        Ok(Self {
            class_embedding: loader.param("class_embedding", [width], embedding)?,
            patch_embedding: loader.param("patch_embedding", [width, 3, patch, patch], embedding)?,
            position_embedding: loader.param("position_embedding", [config.tokens(), width], embedding)?,
            pre_norm: loader.within("pre_norm", |l| LayerNorm::load(l, width))?,
            layers: (0..config.depth)
                .map(|index| loader.within(&format!("layers.{index}"), |l| EncoderLayer::load(l, config)))
                .collect::<Result<_, _>>()?,
            post_norm: loader.within("post_norm", |l| LayerNorm::load(l, width))?,
            kept: KeptLayout::default(),
        })
    }

    /// Normalised pixels `[n, 3, h, w]` to the last layer's tokens `[n, 1+L, d]`, before the last layer norm.
    pub fn tokens(&self, pixels: Tensor<4>, pass: &mut Pass) -> Tensor<3> {
        self.layers.iter().fold(self.embed(pixels), |x, layer| layer.forward(x, pass))
    }

    /// Normalised pixels `[n, 3, h, w]` to the pooled output `[n, d]`. Of the last layer only the class token is computed, since
    /// nothing else of it is read, but for taps.
    pub(super) fn pooled(&self, pixels: Tensor<4>, pass: &mut Pass) -> Tensor<2> {
        let Some((last, others)) = self.layers.split_last().filter(|_| pass.taps(TapKind::Attention).is_none()) else {
            return self.pool(self.tokens(pixels, pass));
        };
        let x = others.iter().fold(self.embed(pixels), |x, layer| layer.forward(x, pass));
        self.pool(last.forward_class(x, pass))
    }

    /// Normalised pixels `[n, 3, h, w]` to the tokens `[n, 1+L, d]` that go into the first layer.
    pub(super) fn embed(&self, pixels: Tensor<4>) -> Tensor<3> {
        let patches = self.patches(pixels);
        let positions = self.positions(patches.dtype());
        self.start(patches, positions)
    }

    /// Normalised pixels `[n, 3, h, w]` to the patches' tokens `[n, L, d]`, without positions.
    pub(super) fn patches(&self, pixels: Tensor<4>) -> Tensor<3> {
        ops::patch_embedding_kept(pixels, self.patch_embedding.val(), None, &self.kept)
    }

    /// Patches `[n, L, d]` behind the class token, at `positions` `[1 or n, 1+L, d]`, after the first layer norm.
    pub(super) fn start(&self, patches: Tensor<3>, positions: Tensor<3>) -> Tensor<3> {
        let [count, _, width] = patches.dims();
        let class = self.class(patches.dtype()).expand([count, 1, width]);
        self.pre_norm.forward(Tensor::cat([class, patches].to_vec(), 1) + positions)
    }

    /// The embeddings of the positions, `[1, 1+L, d]`, the class token's first, in the activations' type.
    pub(super) fn positions(&self, dtype: DType) -> Tensor<3> {
        self.position_embedding.val().cast(dtype).unsqueeze::<3>()
    }

    /// The class embedding, `[1, 1, d]`, without a position, in the activations' type.
    pub(super) fn class(&self, dtype: DType) -> Tensor<3> {
        self.class_embedding.val().cast(dtype).unsqueeze::<3>()
    }

    /// The last layer norm; the shape stays.
    pub(super) fn normalise<const D: usize>(&self, tokens: Tensor<D>) -> Tensor<D> {
        self.post_norm.forward(tokens)
    }

    /// Tokens `[n, 1+L, d]` to the pooled output `[n, d]`: the class token through the last layer norm.
    pub fn pool(&self, tokens: Tensor<3>) -> Tensor<2> {
        let [count, _, width] = tokens.dims();
        self.normalise(tokens.narrow(1, 0, 1).reshape([count, width]))
    }
}

/// The tower and its head.
#[derive(Module, Debug)]
pub struct Clip {
    tower: Tower,
    head: Head,
    /// [`ClipConfig::normalised`]
    #[module(skip)]
    normalised: bool,
}

impl Clip {
    /// The vision tower.
    pub fn tower(&self) -> &Tower {
        &self.tower
    }
}

impl Network for Clip {
    type Sizes = ClipConfig;

    /// Loads every tensor that `config` asks for, under `tower.` and `head.`.
    fn load(loader: &mut Loader, config: &ClipConfig) -> Result<Self, WeightsError> {
        Ok(Self {
            tower: loader.within("tower", |l| Tower::load(l, config))?,
            head: loader.within("head", |l| Head::load(l, config.width, config.head))?,
            normalised: config.normalised,
        })
    }

    fn forward(&self, clips: Tensor<5>, pass: &mut Pass) -> Output {
        let pooled = self.tower.pooled(flatten_clips(clips), pass);
        let features = if self.normalised { l2_normalise(pooled) } else { pooled.cast(DType::F32) };
        Output::new(features.clone(), self.head.forward(features))
    }
}
