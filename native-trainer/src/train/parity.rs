//! Optimizer steps against PyTorch's (`tests/reference/train_goldens.py`, `train_stan_goldens.py`).

use std::collections::BTreeMap;
use std::path::Path;

use burn::prelude::*;
use burn::tensor::DType;
use unmask_core::detector::clip::{ClipConfig, HeadKind};
use unmask_core::detector::spec::{Architecture, DetectorSpec, LowRankSpec, SPEC_KEY};
use unmask_core::detector::{Group, Model, Output, Strategy};
use unmask_core::layers::{Chance, Pass};
use unmask_core::weights::{Init, Loader, Merged, SafetensorsFile, TensorSource, WeightsError};

use super::losses::loss;
use super::optimizer::Optimizer;
use super::parameters::{self, Named};
use super::recipe::{LossRecipe, ModelRecipe, OptimizerKind, OptimizerRecipe, StrategyName};
use crate::datasets::Label;
use crate::decomposed::Decomposed;
use crate::detector_file::InMemory;
use crate::files::{self, Bytes};

/// The relative error that f32 arithmetic in another order may make.
const TOLERANCE: f32 = 1e-4;

const RATES: [f64; 2] = [1e-3, 5e-4];
pub(super) const LABELS: [Label; 6] = [Label::Real, Label::Fake, Label::Fake, Label::Real, Label::Fake, Label::Real];
pub(super) const LOSS: LossRecipe = LossRecipe {
    cross_entropy: 1.0,
    label_smoothing: 0.0,
    uniformity: 0.5,
    alignment: 0.1,
    views: 1.0,
    penalties: BTreeMap::new(),
};

/// The tensors of a file whose names begin with a prefix, under the rest of their names.
struct Under(&'static str, SafetensorsFile<Bytes>);

impl TensorSource for Under {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        self.1.read(&format!("{}{name}", self.0), shape, init)
    }

    fn names(&self) -> Vec<String> {
        self.1.names().iter().filter_map(|name| name.strip_prefix(self.0).map(String::from)).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.1.shape(&format!("{}{name}", self.0))
    }
}

fn golden(name: &str) -> SafetensorsFile<Bytes> {
    files::open_safetensors(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens").join(name)).unwrap()
}

pub(super) fn tensor<const D: usize>(file: &str, name: &str) -> Tensor<D> {
    let mut file = golden(file);
    let (shape, values) = (file.shape(name).unwrap(), file.values(name).unwrap());
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

pub(super) fn values(file: &str, name: &str) -> Vec<f32> {
    golden(file).values(name).unwrap()
}

/// The output in training where clips pass by parts of the model as `masks` say, those with 0.
pub(super) fn forward_with_masks(model: &Model, pixels: Tensor<5>, masks: Option<&[f32]>) -> Output {
    let Some(masks) = masks else { return model.forward(pixels) };
    let mut draws = masks.iter().map(|mask| if *mask > 0.0 { 0.0 } else { 1.0 });
    let mut uniform = || draws.next().unwrap();
    model.forward_in(pixels, &mut Pass::training(Chance::new(&mut uniform, &[])))
}

/// Two steps that PyTorch took, too.
struct Case {
    goldens: &'static str,
    /// Before the names of this case in the goldens.
    prefix: &'static str,
    model: Model,
    /// What the two steps see.
    pixels: [Tensor<5>; 2],
    masks: Option<Vec<f32>>,
    labels: &'static [Label],
    loss: LossRecipe,
    optimizer: OptimizerRecipe,
}

const CLIP_GOLDENS: &str = "train_step.safetensors";

pub(super) fn clip_model() -> (Architecture, Model) {
    let head = HeadKind::OneLayer;
    let config = ClipConfig {
        image_size: 32,
        patch_size: 8,
        width: 32,
        depth: 2,
        heads: 2,
        mlp: 64,
        ..ClipConfig::vit_b_16(head)
    };
    let mut start = Under("start.", golden(CLIP_GOLDENS));
    let architecture = Architecture::Clip(config);
    let model = Model::load(&architecture, &mut start, &Device::flex()).unwrap();
    (architecture, model)
}

/// What the two steps of CLIP see.
pub(super) fn clip_pixels() -> [Tensor<5>; 2] {
    let pixels: Tensor<5> = tensor(CLIP_GOLDENS, "pixel_values");
    [0, 1].map(|step| pixels.clone().narrow(0, step, 1).swap_dims(0, 1))
}

/// The model of a detector file.
pub(super) fn stored_model(file: &str) -> (Architecture, Model) {
    let mut file = golden(file);
    let spec = DetectorSpec::from_json(file.metadata(SPEC_KEY).unwrap()).unwrap();
    let model = Model::load(&spec.architecture, &mut file, &Device::flex()).unwrap();
    (spec.architecture, model)
}

fn clip_case(prefix: &'static str, strategy: Strategy, optimizer: OptimizerRecipe, recompute: bool) -> Case {
    let (architecture, model) = clip_model();
    let trains = |name: &str| architecture.trains(strategy, name);
    Case {
        goldens: CLIP_GOLDENS,
        prefix,
        model: parameters::for_training(model, trains, DType::F32, recompute),
        pixels: clip_pixels(),
        masks: None,
        labels: &LABELS,
        loss: LOSS,
        optimizer,
    }
}

fn stan_case(prefix: &'static str, file: &str, masks: &str) -> Case {
    let pixels: Tensor<5> = tensor("stan_reference.safetensors", "pixel_values");
    let (architecture, model) = stored_model(file);
    let trains = |name: &str| architecture.trains(Strategy::Stan, name);
    Case {
        goldens: "train_step_stan.safetensors",
        prefix,
        model: parameters::for_training(model, trains, DType::F32, false),
        pixels: [pixels.clone(), pixels],
        masks: Some(values("stan_reference.safetensors", masks)),
        labels: &LABELS[..2],
        loss: LOSS,
        optimizer: adam(0.0),
    }
}

fn adam(clip_norm: f64) -> OptimizerRecipe {
    OptimizerRecipe { kind: OptimizerKind::Adam, weight_decay: 5e-4, clip_norm, ..OptimizerRecipe::default() }
}

fn adamw() -> OptimizerRecipe {
    OptimizerRecipe { kind: OptimizerKind::AdamW, weight_decay: 0.01, ..OptimizerRecipe::default() }
}

/// The names of the parts of a weight that is taken apart, here and in Effort's files.
const PARTS: [(&str, &str); 3] =
    [("low_rank.up", "U_residual"), ("low_rank.residual.values", "S_residual"), ("low_rank.down", "V_residual")];

/// The name of a tensor of the goldens, where only parts of weights are called otherwise there.
fn our_part(name: &str) -> String {
    PARTS.iter().fold(name.to_owned(), |name, (ours, theirs)| name.replace(theirs, ours))
}

/// Fails unless `found` has just the tensors `prefix` + name of the goldens, with their values.
fn assert_equal(found: &Named, goldens: &str, prefix: &str) {
    let mut file = golden(goldens);
    let expected: BTreeMap<String, Vec<f32>> = file
        .names()
        .iter()
        .filter_map(|name| Some((our_part(name.strip_prefix(prefix)?), file.values(name).unwrap())))
        .collect();
    assert!(found.keys().eq(expected.keys()), "{:?} are not {:?}", found.keys(), expected.keys());
    for (name, expected) in &expected {
        let found: Vec<f32> = found[name].clone().into_data().iter::<f32>().collect();
        let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let error = found.iter().zip(expected).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
        // The gradient of a key's bias is nothing but rounding: a softmax does not change when all its inputs shift.
        let scale = if name.ends_with("key.bias") { largest.max(1e-3) } else { largest };
        assert!(error <= TOLERANCE * scale, "{prefix}{name}: {error} of {largest}");
    }
}

/// Takes two steps as PyTorch did, and gives the model after them.
fn assert_two_steps_equal_pytorchs(case: Case) -> Model {
    let Case { goldens, prefix, mut model, pixels, masks, labels, loss: weights, optimizer: recipe } = case;
    let mut optimizer = Optimizer::new(&recipe);
    for (step, (pixels, rate)) in (1..).zip(pixels.into_iter().zip(RATES)) {
        let loss = loss(&weights, &forward_with_masks(&model, pixels, masks.as_deref()), labels);
        let expected = golden(goldens).values(&format!("{prefix}.{step}.loss")).unwrap()[0];
        let found: f32 = loss.clone().into_scalar();
        assert!((found - expected).abs() < TOLERANCE * expected.abs(), "{prefix} {step}: {found} is not {expected}");
        let gradients = parameters::gradients(&model, &loss.backward());
        if step == 1 {
            assert_equal(&gradients, goldens, &format!("{prefix}.1.gradient."));
        }
        let values = optimizer.step(rate, parameters::trained(&model), gradients);
        model = parameters::updated(model, values);
        assert_equal(&parameters::trained(&model), goldens, &format!("{prefix}.{step}.parameter."));
        // The second step goes on from what is stored, as a resumed run does.
        let state = optimizer.state();
        optimizer = Optimizer::new(&recipe);
        optimizer.restore(state);
    }
    parameters::for_inference(model)
}

#[test]
fn layer_norm_tuning_with_adamw_steps_as_pytorch_does() {
    assert_two_steps_equal_pytorchs(clip_case("ln", Strategy::LayerNorm, adamw(), false));
}

#[test]
fn full_fine_tuning_with_adam_and_clipping_steps_as_pytorch_does() {
    assert_two_steps_equal_pytorchs(clip_case("full", Strategy::Full, adam(0.5), false));
}

#[test]
fn gradient_checkpointing_changes_no_gradient() {
    assert_two_steps_equal_pytorchs(clip_case("ln", Strategy::LayerNorm, adamw(), true));
}

#[test]
fn stan_with_attention_over_time_steps_as_pytorch_does() {
    assert_two_steps_equal_pytorchs(stan_case("attention", "stan_attention.safetensors", "attention.t8.masks"));
}

#[test]
fn stan_with_convolution_over_time_steps_as_pytorch_does() {
    assert_two_steps_equal_pytorchs(stan_case("conv", "stan_conv.safetensors", "conv.t8.masks"));
}

/// What is trained of the tiny CLIP tower with low-rank updates of queries and values, and from where.
fn low_rank_case(prefix: &'static str, trains: impl Fn(Group) -> bool) -> Case {
    let file = "lora_step.safetensors";
    let low_rank = LowRankSpec { rank: 4, alpha: 8.0, targets: vec!["query".into(), "value".into()], residual: false };
    let (architecture, _) = clip_model();
    let mut start = Under("start.", golden(file));
    let loader = Loader::new(&mut start, &Device::flex()).with_low_rank(low_rank);
    let model = Model::load_by(&architecture, loader).unwrap();
    let pixels: Tensor<5> = tensor(file, "pixel_values");
    Case {
        goldens: file,
        prefix,
        model: parameters::for_training(model, |name| trains(Group::by_name(name)), DType::F32, false),
        pixels: [0, 1].map(|step| pixels.clone().narrow(0, step, 1).swap_dims(0, 1)),
        masks: None,
        labels: &LOW_RANK_LABELS,
        loss: LOSS,
        optimizer: adamw(),
    }
}

const LOW_RANK_LABELS: [Label; 4] = [Label::Real, Label::Fake, Label::Fake, Label::Real];

#[test]
fn low_rank_updates_step_as_pefts_do() {
    assert_two_steps_equal_pytorchs(low_rank_case("lora", |group| Strategy::LowRank.trains(group)));
}

#[test]
fn low_rank_updates_beside_layer_norms_step_as_pefts_do() {
    let both = |group| Strategy::LowRank.trains(group) || Strategy::LayerNorm.trains(group);
    assert_two_steps_equal_pytorchs(low_rank_case("lora_ln", both));
}

#[test]
fn merged_updates_are_pefts_and_cost_nothing() {
    let file = "lora_step.safetensors";
    let low_rank = LowRankSpec { rank: 4, alpha: 8.0, targets: vec!["query".into(), "value".into()], residual: false };
    let mut merged = Merged::new(Under("start.", golden(file)), low_rank);
    for layer in 0..2 {
        for part in ["query", "value"] {
            let name = format!("tower.layers.{layer}.attention.{part}.weight");
            let found = merged.read(&name, &[32, 32], Init::Zeros).unwrap();
            let expected = values(file, &format!("merged.{name}"));
            assert!(found.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-6), "{name}");
        }
    }
    let (architecture, _) = clip_model();
    let model = Model::load(&architecture, &mut merged, &Device::flex()).unwrap();
    let pixels: Tensor<5> = tensor(file, "pixel_values");
    let logits =
        model.forward(pixels.narrow(0, 0, 1).swap_dims(0, 1)).logits.into_data().try_into_vec::<f32>().unwrap();
    let expected = values(file, "logits");
    assert!(logits.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-5), "{logits:?}");
}

const EFFORT_GOLDENS: &str = "effort_step.safetensors";

/// The start of Effort's steps: its parts by our names, and each weight of which they are parts as one.
struct Whole(Under);

impl TensorSource for Whole {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        let Some(layer) = name.strip_suffix(".weight").filter(|layer| layer.contains(".attention.")) else {
            let theirs = PARTS.iter().fold(name.to_owned(), |name, (ours, theirs)| name.replace(ours, theirs));
            return self.0.read(&theirs, shape, init);
        };
        let [outputs, inputs]: [usize; 2] = shape.try_into().unwrap();
        let mut part = |part: &str, shape: &[usize]| self.0.read(&format!("{layer}.{part}"), shape, init);
        let (up, values) = (part("U_residual", &[outputs, 1])?, part("S_residual", &[1])?);
        let (down, main) = (part("V_residual", &[1, inputs])?, part("weight_main", shape)?);
        let value = |(index, main): (usize, f32)| main + up[index / inputs] * values[0] * down[index % inputs];
        Ok(main.into_iter().enumerate().map(value).collect())
    }

    fn names(&self) -> Vec<String> {
        let whole = |name: String| match name.strip_suffix("weight_main") {
            Some(layer) => Some(format!("{layer}weight")),
            None => Some(name).filter(|name| !name.ends_with("_residual")),
        };
        self.0.names().into_iter().filter_map(whole).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.shape(name).or_else(|| self.0.shape(&name.replace(".weight", ".weight_main")))
    }
}

/// The tiny CLIP tower of Effort's steps and its attention weights.
fn effort() -> (Architecture, LowRankSpec, Whole) {
    let Architecture::Clip(clip) = clip_model().0 else { unreachable!("it is CLIP") };
    let recipe = ModelRecipe { strategy: StrategyName::Effort, ..ModelRecipe::default() };
    let architecture = Architecture::Clip(ClipConfig { normalised: false, ..clip });
    (architecture, recipe.low_rank().unwrap(), Whole(Under("start.", golden(EFFORT_GOLDENS))))
}

/// `parts` with the signs of the vectors that the goldens have, which are as good as the others.
struct Turned(Decomposed<Whole>);

impl TensorSource for Turned {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        let mut values = self.0.read(name, shape, init)?;
        if let Some((layer, _)) = name.split_once(".low_rank.").filter(|(_, part)| ["up", "down"].contains(part)) {
            let theirs = self::values(EFFORT_GOLDENS, &format!("start.{layer}.U_residual"));
            let ours = self.0.read(&LowRankSpec::part(layer, "up"), &[theirs.len(), 1], init)?;
            let sign = ours.iter().zip(&theirs).map(|(one, other)| one * other).sum::<f32>().signum();
            values.iter_mut().for_each(|value| *value *= sign);
        }
        Ok(values)
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.shape(name)
    }
}

fn effort_model() -> Model {
    let (architecture, low_rank, whole) = effort();
    let mut parts = Turned(Decomposed::at_once(whole, &low_rank).unwrap());
    Model::load_by(&architecture, Loader::new(&mut parts, &Device::flex()).with_low_rank(low_rank)).unwrap()
}

fn effort_pixels() -> [Tensor<5>; 2] {
    let pixels: Tensor<5> = tensor(EFFORT_GOLDENS, "pixel_values");
    [0, 1].map(|step| pixels.clone().narrow(0, step, 1).swap_dims(0, 1))
}

const CROSS_ENTROPY: LossRecipe = LossRecipe {
    cross_entropy: 1.0,
    label_smoothing: 0.0,
    uniformity: 0.0,
    alignment: 0.0,
    views: 1.0,
    penalties: BTreeMap::new(),
};

#[test]
fn the_smallest_singular_values_step_and_merge_as_efforts_do() {
    let trains = |name: &str| Strategy::LowRank.trains(Group::by_name(name));
    let model = assert_two_steps_equal_pytorchs(Case {
        goldens: EFFORT_GOLDENS,
        prefix: "plain",
        model: parameters::for_training(effort_model(), trains, DType::F32, false),
        pixels: effort_pixels(),
        masks: None,
        labels: &LOW_RANK_LABELS,
        loss: CROSS_ENTROPY,
        optimizer: adam(0.0),
    });
    let mut merged = Merged::new(InMemory::of(&model), effort().1);
    for layer in 0..2 {
        for part in ["query", "key", "value", "output"] {
            let name = format!("tower.layers.{layer}.attention.{part}.weight");
            let found = merged.read(&name, &[32, 32], Init::Zeros).unwrap();
            let expected = values(EFFORT_GOLDENS, &format!("plain.2.merged.{name}"));
            assert!(found.iter().zip(&expected).all(|(one, other)| (one - other).abs() < 1e-5), "{name}");
        }
    }
}

#[test]
fn a_detector_that_was_taken_apart_answers_as_the_whole_one_does() {
    let (architecture, _, mut whole) = effort();
    let whole = Model::load(&architecture, &mut whole, &Device::flex()).unwrap();
    let logits = |model: Model| -> Vec<f32> {
        model.forward(effort_pixels()[0].clone()).logits.into_data().try_into_vec().unwrap()
    };
    let (apart, whole) = (logits(effort_model()), logits(whole));
    assert!(apart.iter().zip(&whole).all(|(one, other)| (one - other).abs() < 1e-5), "{apart:?} is not {whole:?}");
}
