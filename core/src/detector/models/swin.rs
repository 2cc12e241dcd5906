//! The Swin transformer (Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", 2021), up to its
//! last layer norm: what TALL is made of.
//!
//! Tokens of a map attend to each other within windows, which every second block shifts by half their side; between stages,
//! each 2 × 2 tokens become one of twice the width.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use burn::module::Param;
use burn::prelude::*;
use serde::{Deserialize, Serialize};

use crate::layers::{
    Attention, LayerNorm, Linear, Mlp, Pass, PatchEmbedding, keep_probability, mean_over_places, pass_by,
};
use crate::ops::Activation;
use crate::weights::{Init, Loader, WeightsError};

/// Sizes of a Swin transformer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwinConfig {
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Side of a square patch in pixels.
    pub patch_size: usize,
    /// Width of the tokens of the first stage; each stage doubles it.
    pub width: usize,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Attention heads of each stage.
    pub heads: Vec<usize>,
    /// Side of the windows of each stage.
    pub windows: Vec<usize>,
    /// How many times as wide the perceptrons are inside.
    pub mlp_ratio: usize,
}

/// The deviation of fresh tables and patches.
const DEVIATION: f32 = 0.02;
/// What keeps tokens of different parts of a shifted map from attending to each other.
const APART: f32 = -100.0;

impl SwinConfig {
    /// Swin-B at 224 pixels with TALL's windows, which cover the whole map from the third stage on.
    pub fn base() -> Self {
        Self {
            image_size: 224,
            patch_size: 4,
            width: 128,
            depths: [2, 2, 18, 2].to_vec(),
            heads: [4, 8, 16, 32].to_vec(),
            windows: [14, 14, 14, 7].to_vec(),
            mlp_ratio: 4,
        }
    }

    /// Width of the tokens of a stage.
    pub fn width_of(&self, stage: usize) -> usize {
        self.width << stage
    }

    /// Side of the map of a stage.
    pub fn side_of(&self, stage: usize) -> usize {
        (self.image_size / self.patch_size) >> stage
    }

    /// Width of the features.
    pub fn features(&self) -> usize {
        self.width_of(self.depths.len().saturating_sub(1))
    }

    /// Floating-point operations (a multiply-add counts as two) of the matrix products for one image.
    pub fn flops(&self) -> u64 {
        let first = (self.side_of(0) * self.side_of(0) * 3 * self.patch_size * self.patch_size * self.width) as u64;
        let stage = |(stage, depth): (usize, &usize)| {
            let (side, width) = (self.side_of(stage) as u64, self.width_of(stage) as u64);
            let window = (self.windows[stage] as u64).min(side);
            let block = (4 + 2 * self.mlp_ratio as u64) * width * width + 2 * window * window * width;
            let merging = if stage == 0 { 0 } else { 2 * width * width };
            side * side * (*depth as u64 * block + merging)
        };
        2 * (first + self.depths.iter().enumerate().map(stage).sum::<u64>())
    }

    /// Checks that such a transformer can exist.
    ///
    /// # Errors
    /// The first problem, as part of a sentence.
    pub fn check(&self) -> Result<(), String> {
        let stages = self.depths.len();
        if !(1..=8).contains(&stages) || self.heads.len() != stages || self.windows.len() != stages {
            return Err(format!(
                "depths, heads and windows are of {stages}, {} and {} stages",
                self.heads.len(),
                self.windows.len()
            ));
        }
        for (name, value, limit) in [
            ("image_size", self.image_size, 2048),
            ("patch_size", self.patch_size, 64),
            ("width", self.width, 2048),
            ("mlp_ratio", self.mlp_ratio, 16),
        ] {
            if !(1..=limit).contains(&value) {
                return Err(format!("{name} = {value} is not within 1..={limit}"));
            }
        }
        if !self.image_size.is_multiple_of(self.patch_size << (stages - 1)) {
            return Err(format!("image_size {} does not halve {} times", self.image_size, stages - 1));
        }
        for stage in 0..stages {
            let (side, window) = (self.side_of(stage), self.windows[stage]);
            if window == 0 || !side.is_multiple_of(window.min(side)) {
                return Err(format!("a map of {side} tokens is not a whole number of windows of {window}"));
            }
            if self.heads[stage] == 0 || !self.width_of(stage).is_multiple_of(self.heads[stage]) {
                return Err(format!("width {} is no multiple of heads {}", self.width_of(stage), self.heads[stage]));
            }
            if !(1..=128).contains(&self.depths[stage]) {
                return Err(format!("a stage of {} blocks", self.depths[stage]));
            }
        }
        Ok(())
    }
}

/// How a block cuts a map into windows.
#[derive(Clone, Copy, Debug)]
struct Windows {
    /// Side of the map.
    map: usize,
    /// Side of a window.
    side: usize,
    /// How far the map is rolled before it is cut.
    shift: usize,
}

impl Windows {
    fn new(config: &SwinConfig, stage: usize, block: usize) -> Self {
        let map = config.side_of(stage);
        let side = config.windows[stage].min(map);
        let shift = if map <= side || block.is_multiple_of(2) { 0 } else { side / 2 };
        Self { map, side, shift }
    }

    /// Windows of a map.
    fn count(self) -> usize {
        (self.map / self.side) * (self.map / self.side)
    }

    /// `[n, map, map, d]` to `[n · count, side², d]`.
    fn cut(self, x: Tensor<4>) -> Tensor<3> {
        let ([images, _, _, width], across) = (x.dims(), self.map / self.side);
        let x: Tensor<6> = rolled(x, self.shift).reshape([images, across, self.side, across, self.side, width]);
        x.swap_dims(2, 3).reshape([images * across * across, self.side * self.side, width])
    }

    /// What [`Windows::cut`] cut, put together again.
    fn join(self, x: Tensor<3>) -> Tensor<4> {
        let ([windows, _, width], across) = (x.dims(), self.map / self.side);
        let images = windows / (across * across);
        let x: Tensor<6> = x.reshape([images, across, across, self.side, self.side, width]);
        let x = x.swap_dims(2, 3).reshape([images, self.map, self.map, width]);
        rolled(x, (self.map - self.shift) % self.map)
    }

    /// For each pair of tokens of a window, the row of the table of relative positions: `side⁴` numbers.
    fn relative_positions(self) -> Vec<i64> {
        let (side, span) = (self.side, 2 * self.side - 1);
        let places = || (0..side).flat_map(move |row| (0..side).map(move |column| (row, column)));
        let row = |(query, key): ((usize, usize), (usize, usize))| {
            ((query.0 + side - 1 - key.0) * span + query.1 + side - 1 - key.1) as i64
        };
        places().flat_map(|query| places().map(move |key| (query, key))).map(row).collect()
    }

    /// What is added to the scores of each window of a shifted map, `[count, side², side²]`: tokens that the roll brought
    /// together from opposite edges do not attend to each other.
    fn mask(self) -> Option<Vec<f32>> {
        if self.shift == 0 {
            return None;
        }
        let band = |place: usize| match place {
            place if place < self.map - self.side => 0,
            place if place < self.map - self.shift => 1,
            _ => 2,
        };
        let across = self.map / self.side;
        let mut mask = Vec::with_capacity(self.count() * self.side.pow(4));
        for (top, left) in (0..across).flat_map(|row| (0..across).map(move |column| (row, column))) {
            let region =
                |place: usize| (band(top * self.side + place / self.side), band(left * self.side + place % self.side));
            let tokens = self.side * self.side;
            for query in 0..tokens {
                mask.extend((0..tokens).map(|key| if region(query) == region(key) { 0.0 } else { APART }));
            }
        }
        Some(mask)
    }
}

/// `[n, h, w, d]` with its first `shift` rows and columns moved to the end.
fn rolled(x: Tensor<4>, shift: usize) -> Tensor<4> {
    if shift == 0 {
        return x;
    }
    [1, 2].into_iter().fold(x, |x, axis| {
        let length = x.dims()[axis];
        Tensor::cat([x.clone().narrow(axis, shift, length - shift), x.narrow(axis, 0, shift)].to_vec(), axis)
    })
}

/// One block: attention within windows, then perceptron.
#[derive(Module, Debug)]
pub struct SwinBlock {
    norm1: LayerNorm,
    attention: Attention,
    /// What is added to scores by the distance of two tokens, `[(2 side - 1)², heads]`.
    relative_position: Param<Tensor<2>>,
    norm2: LayerNorm,
    mlp: Mlp,
    #[module(skip)]
    windows: Windows,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    keep: f32,
}

impl SwinBlock {
    fn load(
        loader: &mut Loader,
        config: &SwinConfig,
        [stage, block]: [usize; 2],
        keep: f32,
    ) -> Result<Self, WeightsError> {
        let (width, heads) = (config.width_of(stage), config.heads[stage]);
        let windows = Windows::new(config, stage, block);
        let span = 2 * windows.side - 1;
        Ok(Self {
            norm1: loader.within("norm1", |l| LayerNorm::load(l, width))?,
            attention: loader.within("attention", |l| Attention::load(l, width, heads))?,
            relative_position: loader.param("relative_position", [span * span, heads], Init::Normal(DEVIATION))?,
            norm2: loader.within("norm2", |l| LayerNorm::load(l, width))?,
            mlp: loader.within("mlp", |l| Mlp::load(l, width, config.mlp_ratio * width, Activation::Gelu))?,
            windows,
            heads,
            keep,
        })
    }

    /// What is added to the scores, `[n · windows, heads, side², side²]`.
    fn bias(&self, images: usize) -> Tensor<4> {
        let table = self.relative_position.val();
        let device = table.device().without_autodiff();
        let (tokens, count) = (self.windows.side * self.windows.side, self.windows.count());
        let index = TensorData::new(self.windows.relative_positions(), [tokens * tokens]);
        let bias = table.select(0, Tensor::<1, Int>::from_data(index, &device));
        let bias: Tensor<4> = bias.reshape([1, tokens, tokens, self.heads]).permute([0, 3, 1, 2]);
        let Some(mask) = self.windows.mask() else { return bias };
        let mask = Tensor::<4>::from_data(TensorData::new(mask, [count, 1, tokens, tokens]), &device);
        (bias + mask).repeat_dim(0, images)
    }

    /// `[n, h, w, d]` to the same shape.
    fn forward(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let images = x.dims()[0];
        let normed = self.windows.cut(self.norm1.forward(x.clone()));
        let attended = self.windows.join(self.attention.forward_biased(normed, self.bias(images), pass));
        let x = x + pass_by(attended, self.keep, pass);
        let changed = self.mlp.forward(self.norm2.forward(x.clone()), None);
        x + pass_by(changed, self.keep, pass)
    }
}

/// Each 2 × 2 tokens as one of twice the width.
#[derive(Module, Debug)]
pub struct Merging {
    norm: LayerNorm,
    reduction: Linear,
}

impl Merging {
    fn load(loader: &mut Loader, width: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            norm: loader.within("norm", |l| LayerNorm::load(l, 4 * width))?,
            reduction: loader.within("reduction", |l| Linear::load_without_bias(l, 4 * width, 2 * width))?,
        })
    }

    /// `[n, h, w, d]` to `[n, h / 2, w / 2, 2 d]`.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [images, rows, columns, width] = x.dims();
        let x: Tensor<6> = x.reshape([images, rows / 2, 2, columns / 2, 2, width]);
        // Upper left, lower left, upper right, lower right.
        let x = x.permute([0, 1, 3, 4, 2, 5]).reshape([images, rows / 2, columns / 2, 4 * width]);
        self.reduction.forward(self.norm.forward(x))
    }
}

/// Blocks of one map, and what makes it of the map before.
#[derive(Module, Debug)]
pub struct SwinStage {
    merging: Option<Merging>,
    blocks: Vec<SwinBlock>,
}

/// The transformer.
#[derive(Module, Debug)]
pub struct Swin {
    patches: PatchEmbedding,
    patch_norm: LayerNorm,
    stages: Vec<SwinStage>,
    norm: LayerNorm,
    #[module(skip)]
    side: usize,
}

impl Swin {
    /// Loads every tensor that `config` asks for; in training, blocks are passed by with probabilities that rise linearly to
    /// `drop_path`.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, config: &SwinConfig, drop_path: f32) -> Result<Self, WeightsError> {
        let depth = config.depths.iter().sum();
        let mut index = 0;
        let mut stages = Vec::with_capacity(config.depths.len());
        for (stage, blocks) in config.depths.iter().enumerate() {
            stages.push(loader.within(&format!("stages.{stage}"), |loader| {
                let merging = match stage.checked_sub(1) {
                    Some(before) => Some(loader.within("merging", |l| Merging::load(l, config.width_of(before)))?),
                    None => None,
                };
                let mut loaded = Vec::with_capacity(*blocks);
                for block in 0..*blocks {
                    let keep = keep_probability(drop_path, index, depth);
                    index += 1;
                    let name = format!("blocks.{block}");
                    loaded.push(loader.within(&name, |l| SwinBlock::load(l, config, [stage, block], keep))?);
                }
                Ok(SwinStage { merging, blocks: loaded })
            })?);
        }
        let embedding = |l: &mut Loader| PatchEmbedding::load(l, config.width, config.patch_size, true, DEVIATION);
        Ok(Self {
            patches: loader.within("patches", embedding)?,
            patch_norm: loader.within("patch_norm", |l| LayerNorm::load(l, config.width))?,
            stages,
            norm: loader.within("norm", |l| LayerNorm::load(l, config.features()))?,
            side: config.side_of(0),
        })
    }

    /// Normalised pixels `[n, 3, h, w]` to the tokens that go into the first stage, `[n, h, w, d]`.
    pub fn embed(&self, pixels: Tensor<4>) -> Tensor<4> {
        let tokens = self.patch_norm.forward(self.patches.forward(pixels));
        let [images, _, width] = tokens.dims();
        tokens.reshape([images, self.side, self.side, width])
    }

    /// The stages.
    pub fn stages(&self) -> &[SwinStage] {
        &self.stages
    }

    /// The last map `[n, h, w, d]` through the last layer norm, and its mean over the map, `[n, d]`.
    pub fn pool(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<2> {
        mean_over_places(pass.through_maps(self.norm.forward(x)))
    }
}

impl SwinStage {
    /// `[n, h, w, d]` to the stage's own map.
    pub fn forward(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let x = match &self.merging {
            Some(merging) => merging.forward(x),
            None => x,
        };
        self.blocks.iter().fold(x, |x, block| block.forward(x, pass))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::tensor;

    #[test]
    fn what_was_cut_into_windows_comes_together_again() {
        for windows in [Windows { map: 6, side: 3, shift: 1 }, Windows { map: 4, side: 2, shift: 0 }] {
            let (x, values) = tensor([2, windows.map, windows.map, 3], 1);
            let cut = windows.cut(x);
            assert_eq!(cut.dims(), [2 * windows.count(), windows.side * windows.side, 3]);
            let joined: Vec<f32> = windows.join(cut).into_data().try_into_vec().expect("f32");
            assert_eq!(joined, values);
        }
    }

    #[test]
    fn a_shifted_window_keeps_apart_what_came_from_opposite_edges() {
        let windows = Windows { map: 4, side: 2, shift: 1 };
        let mask = windows.mask().expect("a mask");
        let window = |index: usize| &mask[index * 16..][..16];
        assert!(window(0).iter().all(|value| *value == 0.0), "the first window lies within the map");
        // The last one has a token of each corner of the map, none of which sees another.
        let apart = window(3).iter().enumerate().all(|(pair, value)| (pair / 4 == pair % 4) == (*value == 0.0));
        assert!(apart, "{:?}", window(3));
        assert!(Windows { shift: 0, ..windows }.mask().is_none());
    }

    #[test]
    fn base_is_swin_b() {
        let config = SwinConfig::base();
        assert!(config.check().is_ok() && config.features() == 1024);
        let sides: Vec<usize> = (0..4).map(|stage| config.side_of(stage)).collect();
        assert_eq!(sides, [56, 28, 14, 7]);
        let broken: [fn(&mut SwinConfig); 4] =
            [|c| c.heads[1] = 3, |c| c.windows[0] = 13, |c| c.depths = [2; 3].to_vec(), |c| c.image_size = 220];
        for change in broken {
            let mut changed = config.clone();
            change(&mut changed);
            assert!(changed.check().is_err(), "{changed:?}");
        }
    }
}
