//! UDD ("Unbiased deepfake detection", AAAI 2025) on a CLIP tower: two further views of each clip in training, which take away what a
//! detector may lean on instead of traces of forgery.
//!
//! One view shuffles: blocks of 2 × 2 patches change places, and the embeddings of positions are a random crop of the grid, resized.
//! The other mixes: after a random layer, some patches of each image are taken from another image of its class. All three views
//! are to be classified; a contrastive loss and a divergence pull them together. Scoring uses the plain view alone. No code was
//! published: docs/models/udd.md says what is the paper's and what is this project's.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::activation::log_softmax;
use serde::{Deserialize, Serialize};

use super::clip::{ClipConfig, Tower};
use crate::detector::explain::rollout::Weighted;
use crate::detector::{Network, Output, Sizes, Strategy, flatten_clips};
use crate::layers::{Chance, Head, Linear, Pass, TapKind, l2_normalise};
use crate::ops::Activation;
use crate::weights::{Loader, WeightsError};

/// Sizes of a CLIP tower with its head, and of what training adds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UddConfig {
    /// The tower and the head.
    pub clip: ClipConfig,
    /// Width of what views are compared by.
    pub projection: usize,
    /// What divides similarities in the contrastive loss.
    pub temperature: f32,
    /// The part of the patches that is mixed.
    pub mixed: f32,
}

/// Side of the blocks that change places.
const BLOCK: usize = 2;
/// The parts of the grid that a crop of positions covers at least and at most: 60 and 196 of 196 places.
const CROP_AREA: [f32; 2] = [60.0 / 196.0, 1.0];
/// The largest ratio of a crop's sides.
const CROP_RATIO: f32 = 4.0 / 3.0;
/// The names of the penalties.
const CONTRAST: &str = "contrast";
const DIVERGENCE: &str = "divergence";

impl UddConfig {
    /// The paper's numbers on `clip`.
    pub fn new(clip: ClipConfig) -> Self {
        Self { clip, projection: 128, temperature: 0.1, mixed: 0.3 }
    }

    /// The layers after which patches may be mixed, of twelve the 5th to the 8th.
    fn mixing_layers(&self) -> [usize; 2] {
        [5 * self.clip.depth / 12, 8 * self.clip.depth / 12]
    }
}

impl Sizes for UddConfig {
    fn image_size(&self) -> usize {
        self.clip.image_size
    }

    fn flops(&self) -> u64 {
        self.clip.flops()
    }

    fn check(&self) -> Result<(), String> {
        self.clip.check()?;
        if !(1..=65_536).contains(&self.projection) {
            return Err(format!("projection = {} is not within 1..=65536", self.projection));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(format!("temperature = {} is no number above 0", self.temperature));
        }
        if !(0.0..=1.0).contains(&self.mixed) {
            return Err(format!("mixed = {} is not within 0..=1", self.mixed));
        }
        Ok(())
    }

    fn words(&self) -> String {
        format!("UDD on {}", self.clip.words())
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
        tensor.starts_with("projection.")
    }

    fn penalties(&self) -> &'static [&'static str] {
        &[CONTRAST, DIVERGENCE]
    }

    fn usual_strategy(&self) -> Strategy {
        Strategy::LowRank
    }
}

/// The tower, what views are compared by, and the head.
#[derive(Module, Debug)]
pub struct Udd {
    tower: Tower,
    /// Three linear layers, ReLU between.
    projection: Vec<Linear>,
    head: Head,
    #[module(skip)]
    config: UddConfig,
}

impl Network for Udd {
    type Sizes = UddConfig;

    /// Loads every tensor that `config` asks for, under `tower.`, `projection.` and `head.`.
    fn load(loader: &mut Loader, config: &UddConfig) -> Result<Self, WeightsError> {
        let width = config.clip.width;
        let sizes = [[width, width], [width, width], [width, config.projection]];
        let mut projection = Vec::new();
        for (index, [input, output]) in sizes.into_iter().enumerate() {
            projection.push(loader.within(&format!("projection.{index}"), |l| Linear::load(l, input, output))?);
        }
        Ok(Self {
            tower: loader.within("tower", |l| Tower::load(l, &config.clip))?,
            projection,
            head: loader.within("head", |l| Head::load(l, width, config.clip.head))?,
            config: config.clone(),
        })
    }

    fn forward(&self, clips: Tensor<5>, pass: &mut Pass) -> Output {
        let pixels = flatten_clips(clips);
        let count = pixels.dims()[0];
        let Some(chance) = pass.chance() else {
            return self.classify(self.tower.tokens(pixels, pass));
        };
        let shuffle = Shuffle::draw(&self.config, count, chance);
        let mix = Mix::draw(&self.config, count, chance);
        let patches = self.tower.patches(pixels);
        let positions = self.tower.positions(patches.dtype());
        let plain_start = self.tower.start(patches.clone(), positions.clone());
        let shuffled_start = self.tower.start(shuffle.patches(patches), shuffle.positions(positions));
        let through =
            |x: Tensor<3>, pass: &mut Pass| self.tower.layers.iter().fold(x, |x, layer| layer.forward(x, pass));
        let mut output = self.classify(through(plain_start.clone(), pass));
        let shuffled = self.classify(through(shuffled_start, pass));
        let mixed = self.tower.layers.iter().enumerate().fold(plain_start, |x, (index, layer)| {
            let x = layer.forward(x, pass);
            if index + 1 == mix.after { mix.apply(x) } else { x }
        });
        let mixed = self.classify(mixed);
        let temperature = self.config.temperature;
        let project = |features: &Tensor<2>| self.project(features.clone());
        let (plain, others) = (project(&output.features), [project(&shuffled.features), project(&mixed.features)]);
        let contrast = others.map(|other| contrastive(plain.clone(), other, temperature)).into_iter();
        let divergence =
            [&shuffled.logits, &mixed.logits].map(|other| divergence(output.logits.clone(), other.clone()));
        let sum = |parts: Vec<Tensor<1>>| parts.into_iter().reduce(|one, other| one + other);
        output.penalties.extend(sum(contrast.collect()).map(|penalty| (CONTRAST, penalty)));
        output.penalties.extend(sum(divergence.to_vec()).map(|penalty| (DIVERGENCE, penalty)));
        output.views = [shuffled.logits, mixed.logits].to_vec();
        output
    }
}

impl Udd {
    /// The last layer's tokens `[n, 1+L, d]` to features and logits.
    fn classify(&self, tokens: Tensor<3>) -> Output {
        let features = l2_normalise(self.tower.pool(tokens));
        Output::new(features.clone(), self.head.forward(features))
    }

    /// Features to what views are compared by, of unit length.
    fn project(&self, features: Tensor<2>) -> Tensor<2> {
        let last = self.projection.len().saturating_sub(1);
        let projected = self.projection.iter().enumerate().fold(features, |x, (index, layer)| {
            layer.forward_with(x, (index < last).then_some(Activation::Relu), None)
        });
        l2_normalise(projected)
    }
}

/// Where the patches and positions of the shuffled view come from.
#[derive(Debug)]
struct Shuffle {
    /// For each image and place, the patch that goes there, `[n · L]`, counted over all images.
    sources: Vec<i64>,
    /// How much of each position goes to each place, `[n, L, L]`.
    weights: Vec<f32>,
    images: usize,
    places: usize,
}

impl Shuffle {
    fn draw(config: &UddConfig, images: usize, chance: &mut Chance) -> Self {
        let (side, places) = (config.clip.image_size / config.clip.patch_size, config.clip.patches());
        let (mut sources, mut weights) = (Vec::new(), Vec::new());
        for image in 0..images {
            let order = block_order(side, chance);
            sources.extend(order.into_iter().map(|source| (image * places + source) as i64));
            weights.extend(Crop::draw(side, chance).weights(side));
        }
        Self { sources, weights, images, places }
    }

    /// Patches `[n, L, d]` in their new places.
    fn patches(&self, patches: Tensor<3>) -> Tensor<3> {
        let shape @ [images, places, width] = patches.dims();
        let flat: Tensor<2> = patches.reshape([images * places, width]);
        select(flat, &self.sources).reshape(shape)
    }

    /// The embeddings of positions `[1, 1+L, d]` as each image has them, `[n, 1+L, d]`; the class token's stays.
    fn positions(&self, positions: Tensor<3>) -> Tensor<3> {
        let [_, tokens, width] = positions.dims();
        let class = positions.clone().narrow(1, 0, 1).expand([self.images, 1, width]);
        let weights = TensorData::new(self.weights.clone(), [self.images, self.places, self.places]);
        let weights = Tensor::<3>::from_data(weights, &positions.device().without_autodiff());
        let grid = positions.clone().narrow(1, 1, tokens - 1).cast(DType::F32);
        let resized = weights.matmul(grid.expand([self.images, self.places, width])).cast(positions.dtype());
        Tensor::cat([class, resized].to_vec(), 1)
    }
}

/// The patch of each place, where blocks of 2 × 2 changed places; what makes no whole block stays.
fn block_order(side: usize, chance: &mut Chance) -> Vec<usize> {
    let across = side / BLOCK;
    let order = chance.permutation(across * across);
    let source = |place: usize| {
        let (row, column) = (place / side, place % side);
        if row >= across * BLOCK || column >= across * BLOCK {
            return place;
        }
        let block = order[row / BLOCK * across + column / BLOCK];
        (block / across * BLOCK + row % BLOCK) * side + block % across * BLOCK + column % BLOCK
    };
    (0..side * side).map(source).collect()
}

/// A part of the grid of positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Crop {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Crop {
    fn draw(side: usize, chance: &mut Chance) -> Self {
        let [least, most] = CROP_AREA;
        let area = (side * side) as f32 * (least + (most - least) * chance.uniform());
        let ratio = libm::powf(CROP_RATIO, 2.0 * chance.uniform() - 1.0);
        let whole = |length: f32| (libm::roundf(length) as usize).clamp(1, side);
        let (width, height) = (whole(libm::sqrtf(area * ratio)), whole(libm::sqrtf(area / ratio)));
        let left = chance.below(side - width + 1);
        let top = chance.below(side - height + 1);
        Self { left, top, width, height }
    }

    /// How much of each position each place of the whole grid takes when the crop is resized to it, bilinearly: `[L, L]`.
    fn weights(self, side: usize) -> Vec<f32> {
        let axis = |first: usize, length: usize, place: usize| {
            let at = ((place as f32 + 0.5) * length as f32 / side as f32 - 0.5).max(0.0);
            let low = (at as usize).min(length - 1);
            let part = at - low as f32;
            [(first + low, 1.0 - part), (first + (low + 1).min(length - 1), part)]
        };
        let places = side * side;
        let mut weights = alloc::vec![0.0; places * places];
        for (place, row) in weights.chunks_exact_mut(places).enumerate() {
            let rows = axis(self.top, self.height, place / side);
            let columns = axis(self.left, self.width, place % side);
            for ((y, down), (x, across)) in rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)))
            {
                row[y * side + x] += down * across;
            }
        }
        weights
    }
}

/// Where the tokens of the mixed view come from.
#[derive(Debug)]
struct Mix {
    /// How many layers have run.
    after: usize,
    /// For each image and token, the token that goes there, counted over all images: `[n · (1 + L)]`.
    sources: Vec<i64>,
}

impl Mix {
    fn draw(config: &UddConfig, images: usize, chance: &mut Chance) -> Self {
        let [first, last] = config.mixing_layers();
        let after = first + chance.below(last - first + 1);
        let (patches, tokens) = (config.clip.patches(), config.clip.tokens());
        let mixed = libm::roundf(config.mixed * patches as f32) as usize;
        let mut sources: Vec<i64> = (0..(images * tokens) as i64).collect();
        let labels = chance.labels();
        for image in 0..images.min(labels.len()) {
            let others: Vec<usize> =
                (0..labels.len()).filter(|other| *other != image && labels[*other] == labels[image]).collect();
            if others.is_empty() {
                continue;
            }
            let partner = others[chance.below(others.len())];
            for patch in chance.permutation(patches).into_iter().take(mixed) {
                sources[image * tokens + 1 + patch] = (partner * tokens + 1 + patch) as i64;
            }
        }
        Self { after, sources }
    }

    /// Tokens `[n, 1+L, d]` of which some are others' now.
    fn apply(&self, x: Tensor<3>) -> Tensor<3> {
        let shape @ [images, tokens, width] = x.dims();
        let flat: Tensor<2> = x.reshape([images * tokens, width]);
        select(flat, &self.sources).reshape(shape)
    }
}

/// The rows of `x` in another order.
fn select(x: Tensor<2>, rows: &[i64]) -> Tensor<2> {
    let device = x.device().without_autodiff();
    x.select(0, Tensor::<1, Int>::from_data(TensorData::new(rows.to_vec(), [rows.len()]), &device))
}

/// InfoNCE in both directions (van den Oord et al., 2018; Radford et al., 2021): each row of `one` is to find its own row of `other`
/// among all, and back.
fn contrastive(one: Tensor<2>, other: Tensor<2>, temperature: f32) -> Tensor<1> {
    let count = one.dims()[0];
    let similarities = one.matmul(other.transpose()) / temperature;
    let own = |scores: Tensor<2>| {
        let mask = Tensor::<2>::eye(count, &scores.device().without_autodiff());
        (log_softmax(scores, 1) * mask).sum().neg() / count as f64
    };
    (own(similarities.clone()) + own(similarities.transpose())) / 2.0
}

/// The Jensen-Shannon divergence of the probabilities of two views, mean over the images, in nats.
fn divergence(one: Tensor<2>, other: Tensor<2>) -> Tensor<1> {
    let count = one.dims()[0];
    let (one, other) = (log_softmax(one, 1), log_softmax(other, 1));
    let (p, q) = (one.clone().exp(), other.clone().exp());
    let middle = ((p.clone() + q.clone()) / 2.0).log();
    let towards = |p: Tensor<2>, log: Tensor<2>| (p * (log - middle.clone())).sum() / count as f64;
    (towards(p, one) + towards(q, other)) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_change_places_whole_and_odd_edges_stay() {
        // The last two of four blocks are exchanged, then the first two.
        let mut draws = [0.6, 0.9, 0.0].into_iter();
        let mut uniform = || draws.next().expect("a number");
        let order = block_order(5, &mut Chance::new(&mut uniform, &[]));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..25).collect::<Vec<_>>());
        assert!((0..5).all(|edge| order[20 + edge] == 20 + edge && order[edge * 5 + 4] == edge * 5 + 4));
        for (row, column) in [(0, 0), (0, 2), (2, 0), (2, 2)] {
            let first = order[row * 5 + column];
            let block = [first, first + 1, first + 5, first + 6];
            let found = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(y, x)| order[(row + y) * 5 + column + x]);
            assert_eq!(found, block);
        }
    }

    #[test]
    fn a_crop_of_the_whole_grid_changes_no_position() {
        let whole = Crop { left: 0, top: 0, width: 4, height: 4 }.weights(4);
        assert!(whole.iter().enumerate().all(|(index, weight)| {
            let expected = if index / 16 == index % 16 { 1.0 } else { 0.0 };
            (weight - expected).abs() < 1e-6
        }));
        let part = Crop { left: 1, top: 2, width: 3, height: 1 }.weights(4);
        assert!(part.chunks(16).all(|row| (row.iter().sum::<f32>() - 1.0).abs() < 1e-6));
    }
}
