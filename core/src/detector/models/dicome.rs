//! DiCoME (ICML 2026; `src/model/core_model.py` of kxl0825/DiCoME): a CLIP tower whose features are split into what a small
//! autoencoder can tell of them and what it cannot, each of which gives evidence for both classes.
//!
//! The features become 64 numbers. What an autoencoder makes of them is taken away, and of the rest what points the same way as they
//! do: that is left as the trace of an artefact. Two heads turn both into evidence, two numbers that are not negative; together they are
//! a distribution over probabilities (Sensoy et al., 2018; fused by Dempster's rule), whose mean is the score. Where there is
//! little evidence of any kind, the uncertainty is near 1.

use alloc::string::String;
use alloc::vec::Vec;

use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::activation::softplus;
use serde::{Deserialize, Serialize};

use super::clip::{ClipConfig, Tower};
use crate::detector::explain::rollout::Weighted;
use crate::detector::{Network, Output, Sizes, Strategy, flatten_clips};
use crate::layers::{LayerNorm, Linear, Pass, TapKind};
use crate::ops::Activation;
use crate::weights::{Loader, WeightsError};

/// Sizes of a CLIP tower, and of what makes evidence of its output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DicomeConfig {
    /// The tower; its head and whether its output is normalised mean nothing here.
    pub clip: ClipConfig,
    /// Width of the features; 64 in the paper.
    pub features: usize,
    /// Numbers that the autoencoder keeps of them; 32 in the paper.
    pub latent: usize,
    /// Width inside the autoencoder.
    pub inside: usize,
    /// Width inside the heads.
    pub head: usize,
}

/// What keeps the division by a squared length finite.
const SHORTEST: f64 = 1e-8;
/// The classes.
const CLASSES: f64 = 2.0;

impl Sizes for DicomeConfig {
    fn image_size(&self) -> usize {
        self.clip.image_size
    }

    /// Of the tower, beside which the rest is nothing.
    fn flops(&self) -> u64 {
        self.clip.flops()
    }

    fn check(&self) -> Result<(), String> {
        self.clip.check()?;
        for (name, value) in
            [("features", self.features), ("latent", self.latent), ("inside", self.inside), ("head", self.head)]
        {
            if !(1..=65_536).contains(&value) {
                return Err(alloc::format!("{name} = {value} is not within 1..=65536"));
            }
        }
        Ok(())
    }

    fn words(&self) -> String {
        let ClipConfig { width, depth, patch_size, .. } = self.clip;
        alloc::format!(
            "DiCoME on CLIP ViT, width {width}, depth {depth}, patch {patch_size}, {} features, {} of them latent",
            self.features,
            self.latent
        )
    }

    fn normalisation(&self) -> [[f32; 3]; 2] {
        self.clip.normalisation()
    }

    fn tapped(&self) -> TapKind {
        self.clip.tapped()
    }

    fn rolled_out(&self, layers: &[Weighted], clip: usize) -> Vec<Vec<f32>> {
        self.clip.rolled_out(layers, clip)
    }

    fn is_new(&self, tensor: &str) -> bool {
        ["projection.", "manifold.", "semantic_norm.", "artifact_norm."].iter().any(|part| tensor.starts_with(part))
    }

    fn says_uncertainty(&self) -> bool {
        true
    }

    fn usual_strategy(&self) -> Strategy {
        Strategy::LowRank
    }
}

/// Two linear layers and ReLU between.
#[derive(Module, Debug)]
pub struct TwoLayers {
    fc1: Linear,
    fc2: Linear,
}

impl TwoLayers {
    fn load(loader: &mut Loader, [input, inside, output]: [usize; 3]) -> Result<Self, WeightsError> {
        Ok(Self {
            fc1: loader.within("fc1", |l| Linear::load(l, input, inside))?,
            fc2: loader.within("fc2", |l| Linear::load(l, inside, output))?,
        })
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.fc2.forward(self.fc1.forward_with(x, Some(Activation::Relu), None))
    }
}

/// The autoencoder as it is used after training: by the mean of what it would draw from.
#[derive(Module, Debug)]
pub struct Manifold {
    encoder: TwoLayers,
    decoder: TwoLayers,
}

/// The heads of both parts.
#[derive(Module, Debug)]
pub struct EvidenceHeads {
    semantic: TwoLayers,
    artifact: TwoLayers,
}

/// The tower and what makes evidence of its output.
#[derive(Module, Debug)]
pub struct Dicome {
    tower: Tower,
    projection: Linear,
    manifold: Manifold,
    semantic_norm: LayerNorm,
    artifact_norm: LayerNorm,
    head: EvidenceHeads,
}

impl Network for Dicome {
    type Sizes = DicomeConfig;

    /// Loads every tensor that `config` asks for.
    fn load(loader: &mut Loader, config: &DicomeConfig) -> Result<Self, WeightsError> {
        let DicomeConfig { features, latent, inside, head, .. } = *config;
        let two = |loader: &mut Loader, name: &str, sizes| loader.within(name, |l| TwoLayers::load(l, sizes));
        Ok(Self {
            tower: loader.within("tower", |l| Tower::load(l, &config.clip))?,
            projection: loader.within("projection", |l| Linear::load(l, config.clip.width, features))?,
            manifold: loader.within("manifold", |loader| {
                Ok(Manifold {
                    encoder: two(loader, "encoder", [features, inside, latent])?,
                    decoder: two(loader, "decoder", [latent, inside, features])?,
                })
            })?,
            semantic_norm: loader.within("semantic_norm", |l| LayerNorm::load(l, features))?,
            artifact_norm: loader.within("artifact_norm", |l| LayerNorm::load(l, features))?,
            head: loader.within("head", |loader| {
                Ok(EvidenceHeads {
                    semantic: two(loader, "semantic", [features, head, 2])?,
                    artifact: two(loader, "artifact", [features, head, 2])?,
                })
            })?,
        })
    }

    fn forward(&self, clips: Tensor<5>, pass: &mut Pass) -> Output {
        let pooled = self.tower.pooled(flatten_clips(clips), pass).cast(DType::F32);
        let features = self.projection.forward(pooled);
        let told = self.manifold.decoder.forward(self.manifold.encoder.forward(features.clone()));
        let rest = features.clone() - told;
        let along = (rest.clone() * features.clone()).sum_dim(1)
            / ((features.clone() * features.clone()).sum_dim(1) + SHORTEST);
        let artifact = rest - features.clone() * along;
        let semantic = softplus(self.head.semantic.forward(self.semantic_norm.forward(features.clone())), 1.0);
        let artifact = softplus(self.head.artifact.forward(self.artifact_norm.forward(artifact)), 1.0);
        // Dempster's rule for two opinions of two classes, in which the conflict cancels.
        let evidence = semantic.clone() + artifact.clone() + semantic * artifact / CLASSES;
        let alpha = evidence + 1.0;
        let count = alpha.dims()[0];
        let uncertainty = alpha.clone().sum_dim(1).recip() * CLASSES;
        Output { uncertainty: Some(uncertainty.reshape([count])), ..Output::new(features, alpha.log()) }
    }
}
