//! TALL (Xu et al., "TALL: Thumbnail Layout for Deepfake Video Detection", ICCV 2023; `my_models/tall_swin.py` of
//! rainy-xu/TALL4Deepfake, `tall_detector.py` of DeepfakeBench) and TALL++ (IJCV 2024): the four frames of a clip as quarters of
//! one picture, in which a Swin transformer sees them together.
//!
//! TALL++ adds a graph among what the third stage sees, and a penalty for what differs between neighbouring frames. Its code was
//! not published: the block is GloRe's (Chen et al., "Graph-Based Global Reasoning Networks", 2019), and which frames the
//! penalty compares is this project's choice (docs/models/tall.md).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::activation::relu;
use serde::{Deserialize, Serialize};

use super::IMAGENET_NORMALISATION;
use super::swin::{Swin, SwinConfig};
use crate::detector::explain::EvidenceMap;
use crate::detector::{Network, Output, Sizes, Strategy};
use crate::layers::{BatchNorm, Head, HeadKind, Linear, Pass};
use crate::ops::{self, ChannelAffine};
use crate::weights::{Init, Loader, WeightsError};

/// Sizes of a TALL and its head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TallConfig {
    /// The transformer.
    pub swin: SwinConfig,
    /// What makes logits of features.
    pub head: HeadKind,
    /// The probability, in training, that a clip passes by the last block; it rises linearly from 0 in the first.
    pub drop_path: f32,
    /// Side, in pixels of a frame, of the square that is hidden in all frames of a clip in training; 0 for none.
    pub hidden: usize,
    /// Nodes of the graph that TALL++ adds; absent in TALL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph_nodes: Option<usize>,
}

/// Frames of a clip, and how many of them are side by side.
const FRAMES: usize = 4;
const ACROSS: usize = 2;
/// The stage whose output the graph is made of.
const GRAPH_STAGE: usize = 2;
/// GloRe's epsilon of the norm after the graph.
const GRAPH_EPSILON: f64 = 1e-4;
/// States of a node for each node.
const STATES: usize = 2;
/// The shortest embedding that a cosine is taken of, PyTorch's default.
const SHORTEST: f64 = 1e-8;
/// The name of the penalty for what differs between neighbouring frames.
const CONSISTENCY: &str = "consistency";

impl TallConfig {
    /// TALL on Swin-B; the hidden square is as large a part of a frame as the authors'.
    pub fn base(head: HeadKind) -> Self {
        Self { swin: SwinConfig::base(), head, drop_path: 0.1, hidden: 32, graph_nodes: None }
    }

    /// With the graph of TALL++, of a quarter as many nodes as the third stage is wide.
    #[must_use]
    pub fn with_graph(self) -> Self {
        let nodes = self.swin.width_of(GRAPH_STAGE) / 4;
        Self { graph_nodes: Some(nodes), ..self }
    }
}

impl Sizes for TallConfig {
    fn image_size(&self) -> usize {
        self.swin.image_size
    }

    fn clip_length(&self) -> usize {
        FRAMES
    }

    fn flops(&self) -> u64 {
        let graph = self.graph_nodes.map_or(0, |nodes| {
            let (side, width) = (self.swin.side_of(GRAPH_STAGE), self.swin.width_of(GRAPH_STAGE));
            2 * (side * side * nodes * (2 * STATES + 1) * width) as u64
        });
        (self.swin.flops() + graph) / FRAMES as u64
    }

    fn check(&self) -> Result<(), String> {
        self.swin.check()?;
        if !self.swin.image_size.is_multiple_of(ACROSS) || !self.swin.side_of(0).is_multiple_of(ACROSS) {
            return Err(format!("a picture of {} pixels has no whole quarters", self.swin.image_size));
        }
        if self.hidden > self.swin.image_size {
            return Err(format!("hidden = {} is more than a frame of {}", self.hidden, self.swin.image_size));
        }
        if !(0.0..1.0).contains(&self.drop_path) {
            return Err(format!("drop_path = {} is not within 0..1", self.drop_path));
        }
        match self.graph_nodes {
            Some(nodes) if !(1..=4096).contains(&nodes) => Err(format!("graph_nodes = {nodes} is not within 1..=4096")),
            Some(_) if self.swin.depths.len() <= GRAPH_STAGE => Err("a graph needs three stages".to_string()),
            Some(_) if !self.swin.side_of(GRAPH_STAGE).is_multiple_of(ACROSS) => {
                Err("the third stage's map has no whole quarters".to_string())
            }
            _ => Ok(()),
        }
    }

    fn words(&self) -> String {
        let SwinConfig { width, depths, windows, .. } = &self.swin;
        let graph = self.graph_nodes.map_or(String::new(), |nodes| format!(" and a graph of {nodes} nodes"));
        format!(
            "TALL on a Swin transformer of width {width}, depths {depths:?}, windows {windows:?}{graph}, clips of {FRAMES} frames, \
             head {}",
            self.head
        )
    }

    fn has_batch_norms(&self) -> bool {
        self.graph_nodes.is_some()
    }

    fn normalisation(&self) -> [[f32; 3]; 2] {
        IMAGENET_NORMALISATION
    }

    /// Each frame is a quarter of the picture. A map of odd side has no whole number of places in a quarter, so it is made twice as
    /// fine.
    fn by_frame(&self, map: Vec<f32>) -> Vec<Vec<f32>> {
        let side = map.len().isqrt();
        let fine = EvidenceMap::enlarged(&map, side, ACROSS * side);
        let quarter = |frame: usize| {
            let (top, left) = (frame / ACROSS * side, frame % ACROSS * side);
            fine.chunks_exact(ACROSS * side).skip(top).take(side).flat_map(|row| row[left..][..side].to_vec()).collect()
        };
        (0..FRAMES).map(quarter).collect()
    }

    fn is_new(&self, tensor: &str) -> bool {
        tensor == "frame_embedding" || tensor.starts_with("graph.")
    }

    fn penalties(&self) -> &'static [&'static str] {
        if self.graph_nodes.is_some() { &[CONSISTENCY] } else { &[] }
    }

    fn usual_strategy(&self) -> Strategy {
        Strategy::Full
    }
}

/// Global reasoning: the places of a map become a few nodes, which exchange what they are, and go back to the places.
#[derive(Module, Debug)]
pub struct Graph {
    /// To the states of the nodes.
    state: Linear,
    /// To how much a place belongs to each node.
    assign: Linear,
    /// Among nodes.
    nodes: Linear,
    /// Among a node's states, `[states, states]`.
    states: Param<Tensor<2>>,
    /// Back to the map's width.
    extend: Param<Tensor<2>>,
    norm: BatchNorm,
}

impl Graph {
    fn load(loader: &mut Loader, width: usize, nodes: usize) -> Result<Self, WeightsError> {
        let states = STATES * nodes;
        let usual = |inputs: usize| Init::Normal(1.0 / libm::sqrtf(inputs as f32));
        Ok(Self {
            state: loader.within("state", |l| Linear::load(l, width, states))?,
            assign: loader.within("assign", |l| Linear::load(l, width, nodes))?,
            nodes: loader.within("nodes", |l| Linear::load(l, nodes, nodes))?,
            states: loader.param("states", [states, states], usual(states))?,
            extend: loader.param("extend", [width, states], usual(states))?,
            norm: loader.within("norm", |l| BatchNorm::load_zero(l, width, GRAPH_EPSILON))?,
        })
    }

    /// `[n, h, w, d]` to the same shape.
    fn forward(&self, x: Tensor<4>, pass: &mut Pass) -> Tensor<4> {
        let [images, rows, columns, width] = x.dims();
        let places = rows * columns;
        let flat: Tensor<3> = x.clone().reshape([images, places, width]);
        let (states, assigned) = (self.state.forward(flat.clone()), self.assign.forward(flat));
        // `[n, states, nodes]`: what each node gathers.
        let gathered = states.swap_dims(1, 2).matmul(assigned.clone()) / places as f64;
        let exchanged = relu(self.nodes.forward_with(gathered.clone(), None, Some(gathered)));
        // `[n, nodes, states]`
        let reasoned = ops::linear(exchanged.swap_dims(1, 2), self.states.val(), None, None, None);
        let back = assigned.matmul(reasoned);
        let change: Tensor<4> =
            ops::linear(back, self.extend.val(), None, None, None).reshape([images, rows, columns, width]);
        let change = match pass.moments() {
            None => {
                let ChannelAffine { scale, shift } = self.norm.affine();
                let dtype = change.dtype();
                (change.cast(DType::F32) * scale.unsqueeze() + shift.unsqueeze()).cast(dtype)
            }
            Some(found) => {
                let (weight, bias) = (self.norm.weight.val(), self.norm.bias.val());
                let (change, moments) = ops::batch_norm(change, weight, bias, self.norm.epsilon, None);
                found.push(moments);
                change
            }
        };
        x + change
    }
}

/// The transformer, what is added to it, and the head.
#[derive(Module, Debug)]
pub struct Tall {
    swin: Swin,
    /// What tells the frames of a clip apart, `[4, d]`.
    frame_embedding: Param<Tensor<2>>,
    graph: Option<Graph>,
    head: Head,
    #[module(skip)]
    hidden: usize,
}

impl Network for Tall {
    type Sizes = TallConfig;

    /// Loads every tensor that `config` asks for, under `swin.`, `graph.` and `head.`, and `frame_embedding`.
    fn load(loader: &mut Loader, config: &TallConfig) -> Result<Self, WeightsError> {
        let graph = match config.graph_nodes {
            Some(nodes) => {
                let width = config.swin.width_of(GRAPH_STAGE);
                Some(loader.within("graph", |l| Graph::load(l, width, nodes))?)
            }
            None => None,
        };
        Ok(Self {
            swin: loader.within("swin", |l| Swin::load(l, &config.swin, config.drop_path))?,
            frame_embedding: loader.param("frame_embedding", [FRAMES, config.swin.width], Init::Zeros)?,
            graph,
            head: loader.within("head", |l| Head::load(l, config.swin.features(), config.head))?,
            hidden: config.hidden,
        })
    }

    fn forward(&self, clips: Tensor<5>, pass: &mut Pass) -> Output {
        let clips = hidden_square(clips, self.hidden, pass);
        let mut x = self.with_frames(self.swin.embed(thumbnail(clips)));
        let mut consistency = None;
        for (index, stage) in self.swin.stages().iter().enumerate() {
            x = stage.forward(x, pass);
            if let (Some(graph), GRAPH_STAGE) = (&self.graph, index) {
                x = graph.forward(x, pass);
                consistency = pass.chance().is_some().then(|| inconsistency(quarter_means(x.clone())));
            }
        }
        let features = self.swin.pool(x, pass);
        let mut output = Output::new(features.clone(), self.head.forward(features));
        output.penalties.extend(consistency.map(|penalty| (CONSISTENCY, penalty)));
        output
    }

    fn margin_gradient(&self, features: Tensor<2>) -> Option<Tensor<2>> {
        Some(self.head.margin_gradient(features))
    }
}

impl Tall {
    /// Tokens `[n, h, w, d]` with what tells their frames apart.
    fn with_frames(&self, x: Tensor<4>) -> Tensor<4> {
        let shape @ [images, rows, columns, width] = x.dims();
        let embedding = self.frame_embedding.val().cast(x.dtype()).reshape([1, ACROSS, 1, ACROSS, 1, width]);
        let x: Tensor<6> = x.reshape([images, ACROSS, rows / ACROSS, ACROSS, columns / ACROSS, width]);
        (x + embedding).reshape(shape)
    }
}

/// The frames of each clip `[n, 4, 3, h, w]`, halved, as quarters of one picture `[n, 3, h, w]`: the first two above. A clip of
/// another length repeats its last frame, or leaves out what is beyond the fourth.
pub fn thumbnail(clips: Tensor<5>) -> Tensor<4> {
    let [count, frames, channels, rows, columns] = clips.dims();
    let clips = match frames {
        FRAMES => clips,
        more if more > FRAMES => clips.narrow(1, 0, FRAMES),
        fewer => {
            let last = clips.clone().narrow(1, fewer - 1, 1).repeat_dim(1, FRAMES - fewer);
            Tensor::cat([clips, last].to_vec(), 1)
        }
    };
    let halved: Tensor<7> = clips.reshape([count, FRAMES, channels, rows / 2, 2, columns / 2, 2]);
    let halved = halved.mean_dim(4).mean_dim(6);
    let quarters: Tensor<6> = halved.reshape([count, ACROSS, ACROSS, channels, rows / 2, columns / 2]);
    quarters.permute([0, 3, 1, 4, 2, 5]).reshape([count, channels, rows, columns])
}

/// In training, one square of each clip's frames at the mean colour; it may lie in part beyond the edge, as in the authors' code.
fn hidden_square(clips: Tensor<5>, side: usize, pass: &mut Pass) -> Tensor<5> {
    let Some(chance) = pass.chance().filter(|_| side > 0) else { return clips };
    let [count, _, _, rows, columns] = clips.dims();
    let mut mask = Vec::with_capacity(count * rows * columns);
    for _ in 0..count {
        let (row, column) = (chance.below(rows), chance.below(columns));
        let within = |place: usize, middle: usize| place + side / 2 >= middle && place < middle + side / 2;
        mask.extend(
            (0..rows * columns).map(|index| {
                if within(index / columns, row) && within(index % columns, column) { 0.0f32 } else { 1.0 }
            }),
        );
    }
    let mask = TensorData::new(mask, [count, 1, 1, rows, columns]);
    let mask = Tensor::<5>::from_data(mask, &clips.device().without_autodiff()).cast(clips.dtype());
    clips * mask
}

/// The mean of each quarter of a map `[n, h, w, d]`: `[n, 4, d]`.
pub fn quarter_means(x: Tensor<4>) -> Tensor<3> {
    let [images, rows, columns, width] = x.dims();
    let x: Tensor<6> = x.cast(DType::F32).reshape([images, ACROSS, rows / ACROSS, ACROSS, columns / ACROSS, width]);
    x.mean_dim(2).mean_dim(4).reshape([images, FRAMES, width])
}

/// The mean of one minus the cosine between the embeddings of neighbouring frames, of `[n, 4, d]`: `[1]`.
pub fn inconsistency(embeddings: Tensor<3>) -> Tensor<1> {
    let (first, second) = (embeddings.clone().narrow(1, 0, FRAMES - 1), embeddings.narrow(1, 1, FRAMES - 1));
    let length = |x: Tensor<3>| (x.clone() * x).sum_dim(2).sqrt().clamp_min(SHORTEST);
    let product = (first.clone() * second.clone()).sum_dim(2);
    (product / (length(first) * length(second)) - 1.0).mean().neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Chance;

    #[test]
    fn a_thumbnail_has_the_frames_as_its_quarters_and_short_clips_repeat_their_last_frame() {
        let frame = |value: f32| Tensor::<5>::full([1, 1, 3, 4, 4], value, &Device::flex());
        let values = |clips: Vec<Tensor<5>>| -> Vec<f32> {
            let picture = thumbnail(Tensor::cat(clips, 1));
            assert_eq!(picture.dims(), [1, 3, 4, 4]);
            picture.narrow(1, 0, 1).into_data().try_into_vec().expect("f32")
        };
        let four = values((0..4u8).map(|value| frame(f32::from(value))).collect());
        assert_eq!(four, [0., 0., 1., 1., 0., 0., 1., 1., 2., 2., 3., 3., 2., 2., 3., 3.]);
        assert_eq!(values([frame(5.0)].to_vec()), [5.0; 16]);
        assert_eq!(values((0..6u8).map(|value| frame(f32::from(value))).collect()), four);
    }

    #[test]
    fn one_square_is_hidden_in_all_frames_of_a_clip_and_nothing_when_scoring() {
        let ones = Tensor::<5>::ones([2, 4, 3, 8, 8], &Device::flex());
        let mut draws = [0.5, 0.5, 0.0, 0.99].into_iter();
        let mut uniform = || draws.next().expect("two numbers a clip");
        let mut pass = Pass::training(Chance::new(&mut uniform, &[]));
        let hidden: Vec<f32> = hidden_square(ones.clone(), 4, &mut pass).into_data().try_into_vec().expect("f32");
        let zeros = |frame: usize| hidden[frame * 64..][..64].iter().filter(|value| **value == 0.0).count();
        assert!((0..12).all(|frame| zeros(frame) == 16), "the whole square of the first clip");
        assert!((12..24).all(|frame| zeros(frame) == 2 * 3), "what is within the frame of the second's");
        let scored: Vec<f32> = hidden_square(ones, 4, &mut Pass::scoring()).into_data().try_into_vec().expect("f32");
        assert!(scored.iter().all(|value| *value == 1.0));
    }
}
