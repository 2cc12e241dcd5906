//! A small EfficientNet-Lite, its loss and its gradients, against `efficientnet_lite_pytorch`.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is how a test fails")]

#[path = "../support/compare.rs"]
mod compare;

use std::collections::HashMap;
use std::path::Path;

use burn::module::{ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::Gradients;
use burn::tensor::activation::log_softmax;
use compare::relative_error;
use safetensors::SafeTensors;
use unmask_core::detector::clip::HeadKind;
use unmask_core::detector::efficientnet::{EfficientNetConfig, Stage};
use unmask_core::detector::formats::{self, Checkpoint, Format};
use unmask_core::detector::spec::Architecture;
use unmask_core::detector::{Model, is_statistic, parameters};
use unmask_core::layers::Pass;
use unmask_core::ops::Moments;
use unmask_core::weights::{Init, SafetensorsFile, TensorSource, WeightsError};

/// The relative error that f32 arithmetic in another order may make.
const TOLERANCE: f32 = 1e-5;
const GRADIENT_TOLERANCE: f32 = 1e-4;
/// Gradients below this, where others are near 1, are rounding.
const ROUNDING: f32 = 1e-6;

/// The sizes of tests/reference/efficientnet_goldens.py.
fn tiny() -> EfficientNetConfig {
    let stage = |repeats, kernel, stride, expansion, channels| Stage { repeats, kernel, stride, expansion, channels };
    let stages = [stage(1, 3, 1, 1, 16), stage(2, 5, 2, 3, 24), stage(1, 3, 2, 6, 32)];
    EfficientNetConfig {
        image_size: 34,
        stem: 8,
        stages: stages.to_vec(),
        width: 160,
        ..EfficientNetConfig::lite0(HeadKind::OneLayer)
    }
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens").join(name)).expect("the golden file")
}

/// The checkpoint under our names, and its classifier as the head.
struct WithHead<'a> {
    trunk: Checkpoint<SafetensorsFile<&'a [u8]>>,
    whole: SafetensorsFile<&'a [u8]>,
}

impl TensorSource for WithHead<'_> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        match name.strip_prefix("head.layers.0.") {
            Some(rest) => self.whole.read(&format!("_fc.{rest}"), shape, init),
            None => self.trunk.read(name, shape, init),
        }
    }

    fn names(&self) -> Vec<String> {
        self.trunk.names()
    }

    fn shape(&self, _: &str) -> Option<Vec<usize>> {
        None
    }
}

fn format() -> &'static dyn Format {
    formats::by_name("efficientnet-lite0").expect("a format")
}

fn load(device: &Device) -> Model {
    let bytes = golden("efficientnet_tiny.safetensors");
    let open = || SafetensorsFile::open(&bytes[..]).expect("safetensors");
    let trunk = Checkpoint::new(open(), format()).expect("names are known");
    Model::load(&Architecture::EfficientNet(tiny()), &mut WithHead { trunk, whole: open() }, device).expect("loads")
}

struct Reference(Vec<u8>);

impl Reference {
    fn open() -> Self {
        Self(golden("efficientnet_reference.safetensors"))
    }

    /// What the reference makes of the same pixels with batch norms that use the statistics of the batch.
    fn by_batch() -> Self {
        Self(golden("efficientnet_batch.safetensors"))
    }

    fn get(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).expect("safetensors");
        let view = file.tensor(name).expect(name);
        view.data().as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
    }

    fn pixels(&self, device: &Device) -> Tensor<5> {
        Tensor::from_data(TensorData::new(self.get("pixel_values"), [3, 1, 3, 34, 34]), device)
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32")
}

#[test]
fn features_and_logits_equal_the_references() {
    let reference = Reference::open();
    for device in [Device::flex(), Device::flex().autodiff()] {
        let output = load(&device).forward(reference.pixels(&device));
        for (name, found) in [("features", values(output.features)), ("logits", values(output.logits))] {
            let error = relative_error(&found, &reference.get(name));
            println!("{name}: {error:.1e}");
            assert!(error < TOLERANCE, "{name} are off by {error}");
        }
    }
}

/// Collects the gradient of every parameter under its name.
struct Collect<'a> {
    gradients: &'a Gradients,
    path: Vec<String>,
    found: HashMap<String, Option<Vec<f32>>>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients).map(values);
        self.found.insert(self.path[1..].join("."), gradient);
    }
}

/// The mean cross-entropy of logits for the labels 0, 1, 1.
fn mean_loss(logits: Tensor<2>) -> Tensor<1> {
    let chosen = Tensor::<2>::from_data([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], &logits.device());
    -(log_softmax(logits, 1) * chosen).sum() / 3.0
}

/// Our names of all tensors with the reference's.
fn names() -> Vec<(String, String)> {
    let bytes = golden("efficientnet_tiny.safetensors");
    let file = SafetensorsFile::open(&bytes[..]).expect("safetensors");
    let checkpoint = Checkpoint::new(file, format()).expect("names are known");
    let head = ["weight", "bias"].map(|kind| (format!("head.layers.0.{kind}"), format!("_fc.{kind}")));
    checkpoint.renamed().map(|(ours, theirs, _)| (ours.to_owned(), theirs.to_owned())).chain(head).collect()
}

/// Fails unless the loss and all gradients of it are the reference's.
fn assert_gradients(model: &Model, loss: &Tensor<1>, reference: &Reference) {
    let error = relative_error(&values(loss.clone()), &reference.get("loss"));
    assert!(error < TOLERANCE, "the loss is off by {error}");
    let gradients = loss.backward();
    let mut collect = Collect { gradients: &gradients, path: Vec::new(), found: HashMap::new() };
    model.visit(&mut collect);
    let names = names();
    assert_eq!(names.len(), collect.found.len());
    let mut worst = 0.0f32;
    for (ours, theirs) in names {
        let found = collect.found.remove(&ours).expect("a parameter of the model");
        assert_eq!(found.is_none(), is_statistic(&ours), "{ours}");
        if let Some(found) = found {
            let expected = reference.get(&format!("gradient.{theirs}"));
            // A norm takes away what the bias before it adds: its gradient is nothing but rounding then.
            if expected.iter().chain(&found).all(|value| value.abs() < ROUNDING) {
                continue;
            }
            let error = relative_error(&found, &expected);
            assert!(error < GRADIENT_TOLERANCE, "the gradient of {ours} is off by {error}");
            worst = worst.max(error);
        }
    }
    println!("gradients: {worst:.1e}");
}

#[test]
fn gradients_of_the_loss_equal_the_references_and_statistics_have_none() {
    let (reference, device) = (Reference::open(), Device::flex().autodiff());
    let model = load(&device);
    let loss = mean_loss(model.forward(reference.pixels(&device)).logits);
    assert_gradients(&model, &loss, &reference);
}

#[test]
fn by_the_statistics_of_the_batch_logits_gradients_and_statistics_equal_the_references() {
    let (reference, device) = (Reference::by_batch(), Device::flex().autodiff());
    let model = load(&device);
    let mut moments = Vec::new();
    let output = model.forward_in(Reference::open().pixels(&device), &mut Pass::scoring().by_batch(&mut moments));
    let error = relative_error(&values(output.logits.clone()), &reference.get("logits"));
    assert!(error < TOLERANCE, "the logits are off by {error}");
    assert_gradients(&model, &mean_loss(output.logits), &reference);

    let theirs: HashMap<String, String> = names().into_iter().collect();
    let means: Vec<String> = parameters(&model).into_iter().map(|(name, _)| name).collect();
    let means: Vec<&String> = means.iter().filter(|name| name.ends_with("running_mean")).collect();
    assert_eq!(means.len(), moments.len());
    for (name, Moments { mean, variance, pixels }) in means.into_iter().zip(moments) {
        let expected = |name: &str| reference.get(&format!("statistic.{}", theirs[name]));
        let error = relative_error(&values(mean), &expected(name));
        assert!(error < TOLERANCE, "{name} is off by {error}");
        // The reference keeps what a sample says about the variance of all.
        let unbiased = variance * (pixels as f64 / (pixels as f64 - 1.0));
        let error = relative_error(&values(unbiased), &expected(&name.replace("running_mean", "running_var")));
        assert!(error < TOLERANCE, "the variance beside {name} is off by {error}");
    }
}
