//! Vision transformers other than CLIP's (Dosovitskiy et al., 2021), as timm and transformers build them, with a classification head:
//! plain ones, the Perception Encoder (Bolya et al., 2025) and DINOv3 (Siméoni et al., 2025).
//!
//! They differ in where positions come from (learnt, or a rotation of queries and keys by each patch's place), in what
//! follows a layer, and in what becomes the features: [`VitConfig`] says which.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use super::rope::Rotation;
use crate::detector::explain::rollout::{self, Weighted};
use crate::detector::{Network, Output, Sizes, flatten_clips};
use crate::layers::{Attention, Head, HeadKind, LayerNorm, Mlp, Pass, PatchEmbedding, TapKind, l2_normalise};
use crate::ops::Activation;
use crate::weights::{Init, Loader, WeightsError};

/// Sizes of a vision transformer and its head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VitConfig {
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Side of a square patch in pixels.
    pub patch_size: usize,
    /// Width of the tokens, `d`.
    pub width: usize,
    /// Number of layers.
    pub depth: usize,
    /// Attention heads; divides `width`.
    pub heads: usize,
    /// Width inside the perceptrons.
    pub mlp: usize,
    /// What keeps the division by a deviation finite, in every layer norm.
    pub epsilon: f64,
    /// The family, which all else follows from.
    pub family: VitFamily,
    /// Mean and deviation of the channels that its published weights were trained with.
    pub normalisation: [[f32; 3]; 2],
    /// What makes logits of features.
    pub head: HeadKind,
}

/// The families of vision transformers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VitFamily {
    /// Learnt positions; the features are the class token.
    Plain,
    /// Learnt positions; the features are the mean of the patches.
    PlainMean,
    /// Learnt positions and rotations, a norm before the first layer; the features are what a learnt query finds, at unit
    /// length.
    Perception {
        /// Side, in patches, of the grid that places are told by: that of the image it was pretrained with.
        reference: usize,
        /// Heads of the query's attention.
        pool_heads: usize,
        /// Width inside the perceptron after it.
        pool_mlp: usize,
    },
    /// Rotations, register tokens and layer scales; the features are the class token, at unit length.
    Dino {
        /// Tokens that stand for no patch.
        registers: usize,
        /// Whether a gate weighs the inside of each perceptron.
        gated: bool,
    },
}

/// The deviation of fresh embeddings.
const DEVIATION: f32 = 0.02;

impl VitConfig {
    /// Patches of one image.
    pub fn patches(&self) -> usize {
        (self.image_size / self.patch_size) * (self.image_size / self.patch_size)
    }

    /// Tokens that stand for no patch: the class token and the registers.
    fn others(&self) -> usize {
        match self.family {
            VitFamily::Dino { registers, .. } => 1 + registers,
            _ => 1,
        }
    }

    fn activation(&self) -> Activation {
        match self.family {
            VitFamily::Dino { gated: true, .. } => Activation::Silu,
            _ => Activation::Gelu,
        }
    }
}

impl Sizes for VitConfig {
    fn image_size(&self) -> usize {
        self.image_size
    }

    /// Of the matrix products.
    fn flops(&self) -> u64 {
        let (tokens, width, mlp) = ((self.patches() + self.others()) as u64, self.width as u64, self.mlp as u64);
        let perceptron = match self.family {
            VitFamily::Dino { gated: true, .. } => 3 * width * mlp,
            _ => 2 * width * mlp,
        };
        let layer = 2 * tokens * (4 * width * width + perceptron) + 4 * tokens * tokens * width;
        let embedding = 2 * self.patches() as u64 * width * 3 * (self.patch_size * self.patch_size) as u64;
        let pool = match self.family {
            VitFamily::Perception { .. } => 4 * tokens * width * width,
            _ => 0,
        };
        self.depth as u64 * layer + embedding + pool
    }

    fn check(&self) -> Result<(), String> {
        let mut limits = [
            ("image_size", self.image_size, 2048),
            ("patch_size", self.patch_size, 256),
            ("width", self.width, 8192),
            ("depth", self.depth, 256),
            ("heads", self.heads, 256),
            ("mlp", self.mlp, 65_536),
        ]
        .to_vec();
        match self.family {
            VitFamily::Plain | VitFamily::PlainMean => {}
            VitFamily::Perception { reference, pool_heads, pool_mlp } => {
                limits.extend([("reference", reference, 2048), ("pool_heads", pool_heads, 256)]);
                limits.push(("pool_mlp", pool_mlp, 65_536));
                if pool_heads > 0 && !self.width.is_multiple_of(pool_heads) {
                    return Err(format!("width {} is no multiple of pool_heads {pool_heads}", self.width));
                }
            }
            VitFamily::Dino { registers, .. } => limits.push(("registers + 1", registers.saturating_add(1), 64)),
        }
        if let Some((name, value, limit)) = limits.into_iter().find(|(_, value, limit)| *value == 0 || value > limit) {
            return Err(format!("{name} = {value} is not within 1..={limit}"));
        }
        if !self.image_size.is_multiple_of(self.patch_size) {
            return Err(format!("image_size {} is no multiple of patch_size {}", self.image_size, self.patch_size));
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(format!("width {} is no multiple of heads {}", self.width, self.heads));
        }
        let is_rotated = matches!(self.family, VitFamily::Perception { .. } | VitFamily::Dino { .. });
        if is_rotated && !(self.width / self.heads).is_multiple_of(4) {
            return Err(format!("heads of {} cannot be rotated by rows and columns", self.width / self.heads));
        }
        if !(self.epsilon > 0.0 && self.epsilon < 1.0) {
            return Err(format!("epsilon = {} is not within 0..1", self.epsilon));
        }
        Ok(())
    }

    fn words(&self) -> String {
        let family = match self.family {
            VitFamily::Plain => "ViT (class token)",
            VitFamily::PlainMean => "ViT (mean of patches)",
            VitFamily::Perception { .. } => "Perception Encoder",
            VitFamily::Dino { .. } => "DINOv3",
        };
        let Self { patch_size, width, depth, heads, mlp, head, .. } = self;
        format!("{family}, width {width}, depth {depth}, {heads} heads, MLP {mlp}, patch {patch_size}, head {head}")
    }

    fn normalisation(&self) -> [[f32; 3]; 2] {
        self.normalisation
    }

    fn tapped(&self) -> TapKind {
        TapKind::Attention
    }

    fn rolled_out(&self, layers: &[Weighted], clip: usize) -> Vec<Vec<f32>> {
        let patches = match (self.family, layers.split_last()) {
            // The learnt query takes from all tokens after the last layer.
            (VitFamily::Perception { .. }, Some((pool, layers))) => {
                rollout::through(layers, clip, pool.led(clip, &[1.0])).split_off(self.others())
            }
            (VitFamily::PlainMean, _) => {
                let each = 1.0 / self.patches() as f32;
                let read =
                    (0..self.others() + self.patches()).map(|token| if token < self.others() { 0.0 } else { each });
                rollout::through(layers, clip, read.collect()).split_off(self.others())
            }
            _ => rollout::of_class_token(layers, clip, self.others() - 1),
        };
        [patches].to_vec()
    }
}

/// One layer: attention, then perceptron, each after a layer norm and around a residual.
#[derive(Module, Debug)]
pub struct VitLayer {
    norm1: LayerNorm,
    attention: Attention,
    scale1: Option<Param<Tensor<1>>>,
    norm2: LayerNorm,
    mlp: Mlp,
    scale2: Option<Param<Tensor<1>>>,
}

impl VitLayer {
    fn load(loader: &mut Loader, config: &VitConfig) -> Result<Self, WeightsError> {
        let VitConfig { width, heads, mlp, epsilon, family, .. } = *config;
        let is_dino = matches!(family, VitFamily::Dino { .. });
        let scale =
            |loader: &mut Loader, name: &str| is_dino.then(|| loader.param(name, [width], Init::Ones)).transpose();
        let is_gated = matches!(family, VitFamily::Dino { gated: true, .. });
        Ok(Self {
            norm1: loader.within("norm1", |l| LayerNorm::load_with(l, width, epsilon))?,
            attention: loader.within("attention", |l| Attention::load_with(l, width, heads, !is_dino))?,
            scale1: scale(loader, "scale1")?,
            norm2: loader.within("norm2", |l| LayerNorm::load_with(l, width, epsilon))?,
            mlp: loader.within("mlp", |l| match is_gated {
                true => Mlp::load_gated(l, width, mlp, config.activation()),
                false => Mlp::load(l, width, mlp, config.activation()),
            })?,
            scale2: scale(loader, "scale2")?,
        })
    }

    /// Tokens `[n, L, d]` to tokens of the same shape.
    fn forward(&self, x: Tensor<3>, rotation: Option<&Rotation>, pass: &mut Pass) -> Tensor<3> {
        let normed = self.norm1.forward(x.clone());
        let attended = |residual| match rotation {
            Some(rotation) => self.attention.forward_rotated(normed, |x| rotation.apply(x), residual, pass),
            None => self.attention.forward(normed, residual, pass),
        };
        let x = around(x, self.scale1.as_ref(), attended);
        self.transform(x)
    }

    /// [`VitLayer::forward`] without rotations of the class token alone, `[n, 1, d]`, which attends to all.
    fn forward_class(&self, x: Tensor<3>, pass: &mut Pass) -> Tensor<3> {
        let first = |x: &Tensor<3>| x.clone().narrow(1, 0, 1);
        let normed = self.norm1.forward(x.clone());
        let attended = |residual| self.attention.forward_from(first(&normed), normed.clone(), residual, pass);
        let x = around(first(&x), self.scale1.as_ref(), attended);
        self.transform(x)
    }

    /// The perceptron, after its layer norm and around a residual.
    fn transform(&self, x: Tensor<3>) -> Tensor<3> {
        around(x.clone(), self.scale2.as_ref(), |residual| self.mlp.forward(self.norm2.forward(x), residual))
    }
}

/// `x` plus a change, times `scale` where there is one; `change` is given what it adds to by itself.
fn around(
    x: Tensor<3>,
    scale: Option<&Param<Tensor<1>>>,
    change: impl FnOnce(Option<Tensor<3>>) -> Tensor<3>,
) -> Tensor<3> {
    match scale {
        Some(scale) => {
            let scale = scale.val().cast(x.dtype());
            x + change(None) * scale.unsqueeze::<3>()
        }
        None => change(Some(x)),
    }
}

/// A learnt query that attends to all tokens, and a perceptron after it.
#[derive(Module, Debug)]
pub struct Pool {
    /// `[d]`
    latent: Param<Tensor<1>>,
    attention: Attention,
    norm: LayerNorm,
    mlp: Mlp,
}

impl Pool {
    fn load(loader: &mut Loader, config: &VitConfig, heads: usize, mlp: usize) -> Result<Self, WeightsError> {
        let (width, epsilon) = (config.width, config.epsilon);
        Ok(Self {
            latent: loader.param("latent", [width], Init::Normal(DEVIATION))?,
            attention: loader.within("attention", |l| Attention::load(l, width, heads))?,
            norm: loader.within("norm", |l| LayerNorm::load_with(l, width, epsilon))?,
            mlp: loader.within("mlp", |l| Mlp::load(l, width, mlp, Activation::Gelu))?,
        })
    }

    /// Tokens `[n, L, d]` to one `[n, d]`.
    fn forward(&self, tokens: Tensor<3>, pass: &mut Pass) -> Tensor<2> {
        let [count, _, width] = tokens.dims();
        let query = self.latent.val().cast(tokens.dtype()).reshape([1, 1, width]).expand([count, 1, width]);
        let found = self.attention.forward_from(query, tokens, None, pass);
        self.mlp.forward(self.norm.forward(found.clone()), Some(found)).reshape([count, width])
    }
}

/// The transformer.
#[derive(Module, Debug)]
pub struct VitTower {
    patches: PatchEmbedding,
    /// `[d]`
    class_embedding: Param<Tensor<1>>,
    /// `[registers, d]`
    registers: Option<Param<Tensor<2>>>,
    /// `[1 + patches, d]`, the class token's first.
    position_embedding: Option<Param<Tensor<2>>>,
    pre_norm: Option<LayerNorm>,
    layers: Vec<VitLayer>,
    norm: LayerNorm,
    pool: Option<Pool>,
    #[module(skip)]
    config: VitConfig,
}

impl VitTower {
    fn load(loader: &mut Loader, config: &VitConfig) -> Result<Self, WeightsError> {
        let VitConfig { width, epsilon, family, .. } = *config;
        let embedding = Init::Normal(DEVIATION);
        let has_bias = !matches!(family, VitFamily::Perception { .. });
        let (registers, pool) = match family {
            VitFamily::Dino { registers, .. } if registers > 0 => {
                (Some(loader.param("registers", [registers, width], embedding)?), None)
            }
            VitFamily::Perception { pool_heads, pool_mlp, .. } => {
                (None, Some(loader.within("pool", |l| Pool::load(l, config, pool_heads, pool_mlp))?))
            }
            _ => (None, None),
        };
        let position_embedding = match family {
            VitFamily::Dino { .. } => None,
            _ => Some(loader.param("position_embedding", [1 + config.patches(), width], embedding)?),
        };
        let pre_norm = match family {
            VitFamily::Perception { .. } => {
                Some(loader.within("pre_norm", |l| LayerNorm::load_with(l, width, epsilon))?)
            }
            _ => None,
        };
        Ok(Self {
            patches: loader
                .within("patches", |l| PatchEmbedding::load(l, width, config.patch_size, has_bias, DEVIATION))?,
            class_embedding: loader.param("class_embedding", [width], embedding)?,
            registers,
            position_embedding,
            pre_norm,
            layers: (0..config.depth)
                .map(|index| loader.within(&format!("layers.{index}"), |l| VitLayer::load(l, config)))
                .collect::<Result<_, _>>()?,
            norm: loader.within("norm", |l| LayerNorm::load_with(l, width, epsilon))?,
            pool,
            config: config.clone(),
        })
    }

    /// Normalised pixels `[n, 3, h, w]` to the tokens `[n, L, d]` that go into the first layer.
    fn embed(&self, pixels: Tensor<4>) -> Tensor<3> {
        let patches = self.patches.forward(pixels);
        let ([count, _, width], dtype) = (patches.dims(), patches.dtype());
        let first = |tokens: Tensor<2>| {
            let rows = tokens.dims()[0];
            tokens.cast(dtype).unsqueeze::<3>().expand([count, rows, width])
        };
        let mut tokens = [first(self.class_embedding.val().reshape([1, width]))].to_vec();
        tokens.extend(self.registers.as_ref().map(|registers| first(registers.val())));
        tokens.push(patches);
        let x = Tensor::cat(tokens, 1);
        let x = match &self.position_embedding {
            Some(positions) => x + positions.val().cast(dtype).unsqueeze::<3>(),
            None => x,
        };
        match &self.pre_norm {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }

    /// Normalised pixels `[n, 3, h, w]` to features `[n, d]`.
    fn features(&self, pixels: Tensor<4>, pass: &mut Pass) -> Tensor<2> {
        let config = &self.config;
        let rotation = Rotation::of(config.family, config, &pixels.device());
        // Nothing but the class token is read of the last layer, but for taps.
        let class_alone = config.family == VitFamily::Plain && pass.taps(TapKind::Attention).is_none();
        let whole = self.layers.len() - usize::from(class_alone);
        let (layers, last) = self.layers.split_at(whole);
        let x = layers.iter().fold(self.embed(pixels), |x, layer| layer.forward(x, rotation.as_ref(), pass));
        let x = last.iter().fold(x, |x, layer| layer.forward_class(x, pass));
        let [count, tokens, width] = x.dims();
        if let Some(pool) = &self.pool {
            return l2_normalise(pool.forward(self.norm.forward(x), pass));
        }
        let class = |x: Tensor<3>| self.norm.forward(x.narrow(1, 0, 1).reshape([count, width])).cast(DType::F32);
        match config.family {
            VitFamily::PlainMean => {
                let patches = x.narrow(1, config.others(), tokens - config.others()).cast(DType::F32);
                self.norm.forward(patches.mean_dim(1).reshape([count, width]))
            }
            VitFamily::Dino { .. } => l2_normalise(class(x)),
            _ => class(x),
        }
    }
}

/// The transformer and its head.
#[derive(Module, Debug)]
pub struct Vit {
    tower: VitTower,
    head: Head,
}

impl Network for Vit {
    type Sizes = VitConfig;

    /// Loads every tensor that `config` asks for, under `tower.` and `head.`.
    fn load(loader: &mut Loader, config: &VitConfig) -> Result<Self, WeightsError> {
        Ok(Self {
            tower: loader.within("tower", |l| VitTower::load(l, config))?,
            head: loader.within("head", |l| Head::load(l, config.width, config.head))?,
        })
    }

    fn forward(&self, clips: Tensor<5>, pass: &mut Pass) -> Output {
        let features = self.tower.features(flatten_clips(clips), pass);
        Output::new(features.clone(), self.head.forward(features))
    }
}
