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

use super::layers::{LayerNorm, Linear};
use super::{Output, l2_normalise};
use crate::ops::{self, Activation};
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
}

/// The classification heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeadKind {
    /// `Linear(d, 2)`
    #[serde(rename = "1mlp")]
    OneLayer,
    /// `Linear(d, 512)`, ReLU, `Linear(512, 2)`
    #[serde(rename = "2mlp")]
    TwoLayers,
}

/// Width between the layers of the two-layer head.
pub const HEAD_HIDDEN: usize = 512;

impl ClipConfig {
    /// ViT-B/32 at 224 pixels.
    pub fn vit_b_32(head: HeadKind) -> Self {
        Self { patch_size: 32, ..Self::vit_b_16(head) }
    }

    /// ViT-B/16 at 224 pixels.
    pub fn vit_b_16(head: HeadKind) -> Self {
        Self { image_size: 224, patch_size: 16, width: 768, depth: 12, heads: 12, mlp: 3072, head }
    }

    /// ViT-L/14 at 224 pixels.
    pub fn vit_l_14(head: HeadKind) -> Self {
        Self { image_size: 224, patch_size: 14, width: 1024, depth: 24, heads: 16, mlp: 4096, head }
    }

    /// Patches of one image.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size) * (self.image_size / self.patch_size)
    }

    /// Tokens of one image: the class token and the patches.
    pub fn tokens(&self) -> usize {
        1 + self.patches()
    }

    /// Floating-point operations (a multiply-add counts as two) of the matrix products for one image.
    pub fn flops(&self) -> u64 {
        let width = self.width as u64;
        let layer = self.layer_flops();
        let embedding = 2 * self.patches() as u64 * width * 3 * (self.patch_size * self.patch_size) as u64;
        self.depth as u64 * layer + embedding
    }

    /// Those of one encoder layer.
    pub(super) fn layer_flops(&self) -> u64 {
        let (tokens, width, mlp) = (self.tokens() as u64, self.width as u64, self.mlp as u64);
        let projections = 4 * width * width + 2 * width * mlp;
        2 * tokens * projections + 4 * tokens * tokens * width
    }

    /// Checks that such a tower can exist, so that loading cannot ask for absurd amounts of memory.
    ///
    /// # Errors
    /// The first problem, as part of a sentence.
    pub fn check(&self) -> Result<(), String> {
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
}

/// Self-attention of one layer.
#[derive(Module, Debug)]
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    #[module(skip)]
    heads: usize,
}

impl Attention {
    pub(super) fn load(loader: &mut Loader, config: &ClipConfig) -> Result<Self, WeightsError> {
        let mut linear = |name: &str| loader.within(name, |l| Linear::load(l, config.width, config.width));
        Ok(Self {
            query: linear("query")?,
            key: linear("key")?,
            value: linear("value")?,
            output: linear("output")?,
            heads: config.heads,
        })
    }

    /// Tokens `[n, L, d]` to tokens of the same shape, plus `residual`.
    pub(super) fn forward(&self, x: Tensor<3>, residual: Option<Tensor<3>>) -> Tensor<3> {
        let (query, key) = (self.query.forward(x.clone()), self.key.forward(x.clone()));
        let attended = ops::attention(query, key, self.value.forward(x), self.heads);
        self.output.forward_with(attended, None, residual)
    }
}

/// The two-layer perceptron of one layer.
#[derive(Module, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
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
            attention: loader.within("attention", |l| Attention::load(l, config))?,
            norm2: loader.within("norm2", |l| LayerNorm::load(l, config.width))?,
            mlp: loader.within("mlp", |loader| {
                Ok(Mlp {
                    fc1: loader.within("fc1", |l| Linear::load(l, config.width, config.mlp))?,
                    fc2: loader.within("fc2", |l| Linear::load(l, config.mlp, config.width))?,
                })
            })?,
        })
    }

    /// Tokens `[n, 1+L, d]` to tokens of the same shape.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let normed = self.norm1.forward(x.clone());
        self.transform(self.attention.forward(normed, Some(x)))
    }

    /// The attention alone, after its layer norm and without the residual.
    pub(super) fn attend(&self, x: Tensor<3>) -> Tensor<3> {
        self.attention.forward(self.norm1.forward(x), None)
    }

    /// The perceptron, after its layer norm and around a residual.
    pub(super) fn transform(&self, x: Tensor<3>) -> Tensor<3> {
        let hidden = self.mlp.fc1.forward_with(self.norm2.forward(x.clone()), Some(Activation::QuickGelu), None);
        self.mlp.fc2.forward_with(hidden, None, Some(x))
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
        })
    }

    /// Normalised pixels `[n, 3, h, w]` to the last layer's tokens `[n, 1+L, d]`, before the last layer norm.
    pub fn tokens(&self, pixels: Tensor<4>) -> Tensor<3> {
        self.layers.iter().fold(self.embed(pixels), |x, layer| layer.forward(x))
    }

    /// Normalised pixels `[n, 3, h, w]` to the tokens `[n, 1+L, d]` that go into the first layer.
    pub(super) fn embed(&self, pixels: Tensor<4>) -> Tensor<3> {
        let count = pixels.dims()[0];
        let patches = ops::patch_embedding(pixels, self.patch_embedding.val());
        let (width, dtype) = (patches.dims()[2], patches.dtype());
        let class = self.class(dtype).expand([count, 1, width]);
        self.pre_norm.forward(Tensor::cat([class, patches].to_vec(), 1) + self.positions(dtype))
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

/// One linear layer, or several with ReLU between.
#[derive(Module, Debug)]
pub struct Head {
    layers: Vec<Linear>,
}

impl Head {
    /// A head of `kind` on features of `width`.
    pub(super) fn load(loader: &mut Loader, width: usize, kind: HeadKind) -> Result<Self, WeightsError> {
        let sizes: &[usize] = match kind {
            HeadKind::OneLayer => &[width, 2],
            HeadKind::TwoLayers => &[width, HEAD_HIDDEN, 2],
        };
        let layers = sizes
            .windows(2)
            .enumerate()
            .map(|(index, pair)| loader.within(&format!("layers.{index}"), |l| Linear::load(l, pair[0], pair[1])))
            .collect::<Result<_, _>>()?;
        Ok(Self { layers })
    }

    /// Features `[n, d]` to logits `[n, 2]`.
    pub(super) fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let last = self.layers.len() - 1;
        self.layers
            .iter()
            .enumerate()
            .fold(features, |x, (index, layer)| layer.forward_with(x, (index < last).then_some(Activation::Relu), None))
    }
}

/// The tower and its head.
#[derive(Module, Debug)]
pub struct Clip {
    tower: Tower,
    head: Head,
}

impl Clip {
    /// Loads every tensor that `config` asks for, under `tower.` and `head.`.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, config: &ClipConfig) -> Result<Self, WeightsError> {
        config.check().map_err(WeightsError::ImpossibleSpec)?;
        Ok(Self {
            tower: loader.within("tower", |l| Tower::load(l, config))?,
            head: loader.within("head", |l| Head::load(l, config.width, config.head))?,
        })
    }

    /// The vision tower.
    pub fn tower(&self) -> &Tower {
        &self.tower
    }

    /// Normalised pixels `[n, 3, h, w]` to features `[n, d]` and logits `[n, 2]`.
    pub fn forward(&self, pixels: Tensor<4>) -> Output {
        let features = l2_normalise(self.tower.pool(self.tower.tokens(pixels)));
        Output { logits: self.head.forward(features.clone()), features }
    }
}
