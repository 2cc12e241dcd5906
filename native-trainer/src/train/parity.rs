//! Optimizer steps against PyTorch's (`tests/reference/train_goldens.py`).

use std::collections::BTreeMap;
use std::path::Path;

use burn::prelude::*;
use unmask_core::detector::clip::{ClipConfig, HeadKind};
use unmask_core::detector::{Model, Strategy};
use unmask_core::weights::spec::Architecture;
use unmask_core::weights::{Init, SafetensorsFile, TensorSource, WeightsError};

use super::losses::loss;
use super::optimizer::Optimizer;
use super::parameters::{self, Named};
use super::recipe::{LossRecipe, OptimizerKind, OptimizerRecipe};
use crate::datasets::Label;
use crate::files::{self, FileBytes};

/// The relative error that f32 arithmetic in another order may make.
const TOLERANCE: f32 = 1e-4;

const RATES: [f64; 2] = [1e-3, 5e-4];
const LABELS: [Label; 6] = [Label::Real, Label::Fake, Label::Fake, Label::Real, Label::Fake, Label::Real];
const LOSS: LossRecipe = LossRecipe { cross_entropy: 1.0, uniformity: 0.5, alignment: 0.1 };

/// The parameters before the first step.
struct Start(SafetensorsFile<FileBytes>);

impl TensorSource for Start {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        self.0.read(&format!("start.{name}"), shape, init)
    }

    fn names(&self) -> Vec<String> {
        self.0.names().iter().filter_map(|name| name.strip_prefix("start.").map(String::from)).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.shape(&format!("start.{name}"))
    }
}

fn goldens() -> SafetensorsFile<FileBytes> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/train_step.safetensors");
    files::open_safetensors(&path).unwrap()
}

fn model(strategy: Strategy, recompute: bool) -> Model {
    let head = HeadKind::OneLayer;
    let config = ClipConfig { image_size: 32, patch_size: 8, width: 32, depth: 2, heads: 2, mlp: 64, head };
    let model = Model::load(&Architecture::Clip(config), &mut Start(goldens()), &Device::flex()).unwrap();
    parameters::for_training(model, strategy, recompute)
}

/// Loss and gradients of one batch.
fn differentiate(model: &Model, step: usize) -> (f32, Named) {
    let values = goldens().values("pixel_values").unwrap();
    let batch = LABELS.len() * 3 * 32 * 32;
    let pixels = values[step * batch..][..batch].to_vec();
    let pixels = Tensor::from_data(TensorData::new(pixels, [LABELS.len(), 1, 3, 32, 32]), &Device::flex());
    let loss = loss(&LOSS, &model.forward(pixels), &LABELS);
    (loss.clone().into_scalar(), parameters::gradients(model, &loss.backward()))
}

/// Fails unless `found` has just the tensors `prefix` + name of the goldens, with their values.
fn assert_equal(found: &Named, prefix: &str) {
    let mut file = goldens();
    let expected: BTreeMap<String, Vec<f32>> = file
        .names()
        .iter()
        .filter_map(|name| Some((name.strip_prefix(prefix)?.to_string(), file.values(name).unwrap())))
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

fn two_steps_equal_pytorchs(case: &str, strategy: Strategy, recipe: &OptimizerRecipe, recompute: bool) {
    let mut model = model(strategy, recompute);
    let mut optimizer = Optimizer::new(recipe);
    for (step, rate) in RATES.into_iter().enumerate() {
        let number = step + 1;
        let (loss, gradients) = differentiate(&model, step);
        let expected = goldens().values(&format!("{case}.{number}.loss")).unwrap()[0];
        assert!((loss - expected).abs() < TOLERANCE * expected.abs(), "{case} {number}: {loss} is not {expected}");
        if number == 1 {
            assert_equal(&gradients, &format!("{case}.1.gradient."));
        }
        let values = optimizer.step(rate, parameters::trained(&model), gradients);
        model = parameters::updated(model, values);
        assert_equal(&parameters::trained(&model), &format!("{case}.{number}.parameter."));
        // The second step goes on from what is stored, as a resumed run does.
        let state = optimizer.state();
        optimizer = Optimizer::new(recipe);
        optimizer.restore(state, &Device::flex());
    }
}

#[test]
fn layer_norm_tuning_with_adamw_steps_as_pytorch_does() {
    let recipe = OptimizerRecipe { kind: OptimizerKind::AdamW, weight_decay: 0.01, ..OptimizerRecipe::default() };
    two_steps_equal_pytorchs("ln", Strategy::LayerNorm, &recipe, false);
}

#[test]
fn full_fine_tuning_with_adam_and_clipping_steps_as_pytorch_does() {
    let kind = OptimizerKind::Adam;
    let recipe = OptimizerRecipe { kind, weight_decay: 5e-4, clip_norm: 0.5, ..OptimizerRecipe::default() };
    two_steps_equal_pytorchs("full", Strategy::Full, &recipe, false);
}

#[test]
fn gradient_checkpointing_changes_no_gradient() {
    let recipe = OptimizerRecipe { kind: OptimizerKind::AdamW, weight_decay: 0.01, ..OptimizerRecipe::default() };
    two_steps_equal_pytorchs("ln", Strategy::LayerNorm, &recipe, true);
}
