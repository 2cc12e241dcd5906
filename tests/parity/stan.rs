//! CLIP-STAN against the formulation written out in PyTorch (tests/reference/stan_reference.py).
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is how a test fails")]

#[path = "../support/compare.rs"]
mod compare;

use std::path::{Path, PathBuf};

use burn::prelude::*;
use compare::relative_error;
use unmask_core::detector::spec::{Architecture, DetectorSpec, SPEC_KEY};
use unmask_core::detector::stan::{StanConfig, TimeModule};
use unmask_core::detector::{Model, Output};
use unmask_core::layers::{Chance, Pass};
use unmask_core::weights::{Init, SafetensorsFile, TensorSource, WeightsError};

/// The relative error that f32 arithmetic in another order may make.
const TOLERANCE: f32 = 1e-5;

const MODULES: [&str; 2] = ["attention", "conv"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).expect(name)
}

/// The tensors of a file by name.
struct Reference(Vec<u8>);

impl Reference {
    fn open() -> Self {
        Self(bytes("stan_reference.safetensors"))
    }

    fn values(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let mut file = SafetensorsFile::open(self.0.as_slice()).expect("safetensors");
        (file.shape(name).expect(name), file.values(name).expect(name))
    }

    fn tensor<const D: usize>(&self, name: &str) -> Tensor<D> {
        let (shape, values) = self.values(name);
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }
}

/// The tensors of a file, those that `zero` accepts by name as zeros.
struct Changed<'a> {
    file: SafetensorsFile<&'a [u8]>,
    zero: fn(&str) -> bool,
}

impl TensorSource for Changed<'_> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        let values = self.file.read(name, shape, init)?;
        Ok(if (self.zero)(name) { vec![0.0; values.len()] } else { values })
    }

    fn names(&self) -> Vec<String> {
        self.file.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.file.shape(name)
    }
}

/// The detector of a time module, for clips of so many frames.
fn detector(module: &str, frames: usize, zero: fn(&str) -> bool) -> (StanConfig, Model) {
    let bytes = bytes(&format!("stan_{module}.safetensors"));
    let file = SafetensorsFile::open(bytes.as_slice()).expect("safetensors");
    let spec = DetectorSpec::from_json(file.metadata(SPEC_KEY).expect("a description")).expect("reads");
    let Architecture::Stan(config) = spec.architecture else { panic!("a STAN") };
    let config = StanConfig { clip_length: frames, ..config };
    let architecture = Architecture::Stan(config.clone());
    (config, Model::load(&architecture, &mut Changed { file, zero }, &Device::flex()).expect("loads"))
}

fn assert_equal(output: Output, reference: &Reference, name: &str) {
    for (part, actual) in [("features", output.features), ("logits", output.logits)] {
        let actual: Vec<f32> = actual.into_data().try_into_vec().expect("f32");
        let error = relative_error(&actual, &reference.values(&format!("{name}.{part}")).1);
        assert!(error < TOLERANCE, "{name}: {part} are off by {error}");
    }
}

#[test]
fn both_time_modules_equal_the_reference_on_clips_of_three_and_eight_frames() {
    let reference = Reference::open();
    for module in MODULES {
        for frames in [3, 8] {
            let (_, model) = detector(module, frames, |_| false);
            let pixels = reference.tensor::<5>("pixel_values").narrow(1, 0, frames);
            assert_equal(model.forward(pixels), &reference, &format!("{module}.t{frames}"));
        }
    }
}

#[test]
fn a_branch_whose_temporal_layers_end_in_zero_equals_the_reference() {
    let reference = Reference::open();
    for module in MODULES {
        for frames in [3, 8] {
            let (_, model) = detector(module, frames, |name| name.contains(".temporal.fc."));
            let pixels = reference.tensor::<5>("pixel_values").narrow(1, 0, frames);
            assert_equal(model.forward(pixels), &reference, &format!("{module}.t{frames}.zero"));
        }
    }
}

#[test]
fn clips_that_pass_by_layers_have_the_features_of_the_reference() {
    let reference = Reference::open();
    for module in MODULES {
        let (_, model) = detector(module, 8, |_| false);
        // A number below every probability where a clip goes through, and none below where it passes by.
        let (_, masks) = reference.values(&format!("{module}.t8.masks"));
        let mut draws = masks.into_iter().map(|mask| if mask > 0.0 { 0.0 } else { 1.0 });
        let mut uniform = || draws.next().expect("a number for each clip and half of a layer");
        let mut pass = Pass::training(Chance::new(&mut uniform, &[]));
        let features = model.forward_in(reference.tensor("pixel_values"), &mut pass).features;
        let features: Vec<f32> = features.into_data().try_into_vec().expect("f32");
        let error = relative_error(&features, &reference.values(&format!("{module}.t8.dropped_features")).1);
        assert!(error < TOLERANCE, "{module}: off by {error}");
    }
}

#[test]
fn the_order_of_the_frames_matters_once_they_are_mixed_and_not_before() {
    let reference = Reference::open();
    let pixels = reference.tensor::<5>("pixel_values");
    let turned = pixels.clone().flip([1]);
    let zero: fn(&str) -> bool = |name| name.contains(".temporal.fc.") || name == "branch.time_embedding";
    for (zero, alike) in [(zero, true), (|_: &str| false, false)] {
        let (_, model) = detector("attention", 8, zero);
        let [forwards, backwards] = [pixels.clone(), turned.clone()].map(|pixels| {
            let features: Vec<f32> = model.forward(pixels).features.into_data().try_into_vec().expect("f32");
            features
        });
        assert_eq!(relative_error(&forwards, &backwards) < TOLERANCE, alike);
    }
}

#[test]
fn each_clip_of_a_batch_scores_as_it_does_alone() {
    let pixels = Reference::open().tensor::<5>("pixel_values");
    for module in MODULES {
        let (_, model) = detector(module, 8, |_| false);
        let together: Vec<f32> = model.forward(pixels.clone()).logits.into_data().try_into_vec().expect("f32");
        for clip in 0..2 {
            let alone = model.forward(pixels.clone().narrow(0, clip, 1)).logits;
            let alone: Vec<f32> = alone.into_data().try_into_vec().expect("f32");
            assert!(relative_error(&alone, &together[2 * clip..2 * clip + 2]) < TOLERANCE);
        }
    }
}

#[test]
fn a_tensor_of_the_other_time_module_is_refused_by_name() {
    let bytes = bytes("stan_attention.safetensors");
    let mut file = SafetensorsFile::open(bytes.as_slice()).expect("safetensors");
    let (config, _) = detector("attention", 8, |_| false);
    let other = Architecture::Stan(StanConfig { time_module: TimeModule::Conv, ..config });
    let refused = Model::load(&other, &mut file, &Device::flex());
    assert!(matches!(refused, Err(WeightsError::Missing(name)) if name == "branch.layers.0.temporal.conv.weight"));
}
