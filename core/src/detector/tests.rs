//! Facts about the models that need no trained weights.

mod integers;
pub(super) mod made_up;

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use burn::prelude::*;

use super::clip::{ClipConfig, HeadKind};
use super::dicome::DicomeConfig;
use super::stan::StanConfig;
use super::{Architecture, Model, Output, Strategy, parameters};
use crate::layers::{Chance, Pass};
use crate::weights::{Init, Seeded, TensorSource, WeightsError};

/// All zeros, which cost no memory until written to: enough to count parameters of the largest models.
struct Zeros;

impl TensorSource for Zeros {
    fn read(&mut self, _: &str, shape: &[usize], _: Init) -> Result<Vec<f32>, WeightsError> {
        Ok(vec![0.0; shape.iter().product()])
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn shape(&self, _: &str) -> Option<Vec<usize>> {
        None
    }
}

fn count(config: ClipConfig, strategy: Strategy) -> (usize, usize) {
    count_in(Architecture::Clip(config), strategy)
}

/// Trained parameters, and all.
fn count_in(architecture: Architecture, strategy: Strategy) -> (usize, usize) {
    let model = Model::load(&architecture, &mut Zeros, &Device::flex()).expect("loads");
    let sizes = parameters(&model);
    let size = |shape: &Vec<usize>| shape.iter().product::<usize>();
    let trained =
        sizes.iter().filter(|(name, _)| architecture.trains(strategy, name)).map(|(_, shape)| size(shape)).sum();
    (trained, sizes.iter().map(|(_, shape)| size(shape)).sum())
}

#[test]
fn parameter_counts_of_b_16_are_those_of_the_definition() {
    assert_eq!(count(ClipConfig::vit_b_16(HeadKind::OneLayer), Strategy::LayerNorm), (41_474, 85_800_962));
    assert_eq!(count(ClipConfig::vit_b_16(HeadKind::TwoLayers), Strategy::LayerNorm), (434_690, 86_194_178));
    assert_eq!(count(ClipConfig::vit_b_16(HeadKind::OneLayer), Strategy::Head).0, 768 * 2 + 2);
}

#[test]
fn parameter_counts_of_b_32_are_those_of_the_definition() {
    let (trained, total) = count(ClipConfig::vit_b_32(HeadKind::OneLayer), Strategy::Full);
    assert_eq!((trained, total), (total, 87_456_000 + 768 * 2 + 2));
}

#[test]
fn parameter_counts_of_l_14_are_those_of_the_definition() {
    assert_eq!(count(ClipConfig::vit_l_14(HeadKind::OneLayer), Strategy::LayerNorm), (104_450, 303_181_826));
    assert_eq!(count(ClipConfig::vit_l_14(HeadKind::TwoLayers), Strategy::LayerNorm), (628_226, 303_705_602));
}

#[test]
fn parameter_counts_with_a_branch_of_four_layers_are_those_of_the_definition() {
    let stan = |clip| count_in(Architecture::Stan(StanConfig::new(clip)), Strategy::Stan);
    let (trained, total) = stan(ClipConfig::vit_b_16(HeadKind::OneLayer));
    assert_eq!((trained, total), (11_920_898, 126_019_586));
    assert!((trained as f64 / total as f64 - 0.0946).abs() < 5e-5, "9.46 %");
    let (trained, total) = stan(ClipConfig::vit_l_14(HeadKind::OneLayer));
    assert_eq!((trained, total), (21_186_562, 374_632_450));
    assert!((trained as f64 / total as f64 - 0.0566).abs() < 5e-5, "5.66 %");
}

fn tiny(head: HeadKind) -> Architecture {
    Architecture::Clip(ClipConfig {
        image_size: 32,
        patch_size: 8,
        width: 16,
        depth: 2,
        heads: 2,
        mlp: 32,
        ..ClipConfig::vit_b_16(head)
    })
}

#[test]
fn features_have_unit_length_and_logits_two_columns() {
    for head in [HeadKind::OneLayer, HeadKind::TwoLayers] {
        let model = Model::load(&tiny(head), &mut Seeded::new(3), &Device::flex()).expect("loads");
        let (pixels, _) = crate::ops::testing::tensor([3, 1, 3, 32, 32], 5);
        let output = model.forward(pixels);
        assert_eq!((output.features.dims(), output.logits.dims()), ([3, 16], [3, 2]));
        let squares: Vec<f32> =
            (output.features.clone() * output.features).sum_dim(1).into_data().try_into_vec().expect("f32");
        assert!(squares.iter().all(|square| (square - 1.0).abs() < 1e-5), "{squares:?}");
    }
}

#[test]
fn each_image_of_a_batch_scores_as_it_does_alone() {
    let model = Model::load(&tiny(HeadKind::OneLayer), &mut Seeded::new(3), &Device::flex()).expect("loads");
    let (pixels, _) = crate::ops::testing::tensor([3, 1, 3, 32, 32], 5);
    let together: Vec<f32> = model.forward(pixels.clone()).logits.into_data().try_into_vec().expect("f32");
    for index in 0..3 {
        let alone: Vec<f32> =
            model.forward(pixels.clone().narrow(0, index, 1)).logits.into_data().try_into_vec().expect("f32");
        assert!(alone.iter().zip(&together[2 * index..]).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}

#[test]
fn clips_shared_out_to_the_cores_score_as_they_do_on_one() {
    let Architecture::Clip(clip) = tiny(HeadKind::OneLayer) else { panic!("no CLIP") };
    let dicome = DicomeConfig { clip: clip.clone(), features: 8, latent: 4, inside: 8, head: 8 };
    for architecture in [Architecture::Clip(clip), Architecture::Dicome(dicome)] {
        let model = Model::load(&architecture, &mut Seeded::new(3), &Device::flex()).expect("loads");
        let (pixels, _) = crate::ops::testing::tensor([7, 1, 3, 32, 32], 5);
        let values = |output: Output| -> Vec<f32> { output.answers().into_data().try_into_vec().expect("f32") };
        let features = model.forward(pixels.clone()).features.dims();
        let (shared, whole) =
            (values(model.forward(pixels.clone())), values(model.forward_in(pixels, &mut Pass::scoring())));
        assert_eq!((features[0], shared.len()), (7, whole.len()));
        assert!(shared.iter().zip(&whole).all(|(a, b)| (a - b).abs() < 1e-6), "{shared:?} {whole:?}");
    }
}

/// Seeded tensors with one of them changed.
struct Broken {
    name: &'static str,
    change: fn(&mut Vec<f32>),
}

impl TensorSource for Broken {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        let mut values = Seeded::new(1).read(name, shape, init)?;
        if name == self.name {
            (self.change)(&mut values);
        }
        Ok(values)
    }

    fn names(&self) -> Vec<String> {
        vec!["tower.class_embedding".to_string(), "tower.surprise".to_string()]
    }

    fn shape(&self, _: &str) -> Option<Vec<usize>> {
        None
    }
}

#[test]
fn values_that_are_not_finite_short_tensors_and_unknown_tensors_are_refused() {
    let name = "tower.layers.1.mlp.fc1.weight";
    let load = |change| Model::load(&tiny(HeadKind::OneLayer), &mut Broken { name, change }, &Device::flex());
    assert!(matches!(load(|v| v[7] = f32::NAN), Err(WeightsError::NotFinite(n)) if n == name));
    assert!(matches!(load(|v| v[7] = f32::INFINITY), Err(WeightsError::NotFinite(n)) if n == name));
    assert!(matches!(load(|v| v.truncate(1)), Err(WeightsError::Shape { name: n, .. }) if n == name));
    assert!(matches!(load(|_| ()), Err(WeightsError::Extra(n)) if n == "tower.surprise"));
}

#[test]
fn impossible_sizes_are_refused_before_anything_is_loaded() {
    for change in [
        |c: &mut ClipConfig| c.patch_size = 5,
        |c: &mut ClipConfig| c.heads = 3,
        |c: &mut ClipConfig| c.width = 0,
        |c: &mut ClipConfig| c.depth = usize::MAX,
    ] {
        let Architecture::Clip(mut config) = tiny(HeadKind::OneLayer) else { panic!("a CLIP") };
        change(&mut config);
        let loaded = Model::load(&Architecture::Clip(config), &mut Seeded::new(0), &Device::flex());
        assert!(matches!(loaded, Err(WeightsError::ImpossibleSpec(_))));
    }
}

#[test]
fn a_model_of_one_file_and_one_line_loads_scores_trains_and_is_described() {
    let text = r#"{"kind":"made-up","image_size":8,"clip_length":2,"width":5}"#;
    let architecture: Architecture = serde_json::from_str(text).expect("parses");
    assert_eq!(serde_json::to_string(&architecture).expect("is written"), text);
    assert!(Architecture::KINDS.contains(&"made-up") && architecture.sizes().words().contains("2 frames"));
    assert_eq!((architecture.image_size(), architecture.clip_length()), (8, 2));

    let model = Model::load(&architecture, &mut Seeded::new(3), &Device::flex()).expect("loads");
    let names: Vec<String> = parameters(&model).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["mix.weight", "mix.bias", "head.layers.0.weight", "head.layers.0.bias"]);
    let trained = |strategy| names.iter().filter(|name| architecture.trains(strategy, name)).count();
    assert_eq!((trained(Strategy::Head), trained(Strategy::Stan), trained(Strategy::Full)), (2, 4, 4));

    let (pixels, _) = crate::ops::testing::tensor([3, 2, 3, 8, 8], 5);
    let scored = model.forward(pixels.clone());
    assert_eq!((scored.features.dims(), scored.logits.dims()), ([3, 5], [3, 2]));
    // Chance and nothing else makes a training step differ.
    let mut draws = [0.1, 0.9, 0.1].into_iter();
    let mut uniform = || draws.next().expect("a number a clip");
    let trained = model.forward_in(pixels, &mut Pass::training(Chance::new(&mut uniform, &[0, 1, 1])));
    let values = |x: Tensor<2>| -> Vec<f32> { x.into_data().try_into_vec().expect("f32") };
    let (scored, trained) = (values(scored.features), values(trained.features));
    assert!((trained[0] - 2.0 * scored[0]).abs() < 1e-6 && trained[5..10] == [0.0; 5]);

    let nothing: Architecture = serde_json::from_str(&text.replace("\"width\":5", "\"width\":0")).expect("parses");
    let refused = Model::load(&nothing, &mut Seeded::new(3), &Device::flex());
    assert!(matches!(refused, Err(WeightsError::ImpossibleSpec(_))));
}
