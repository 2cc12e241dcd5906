//! Layers of true size, ViT-B/16's and ViT-L/14's, against transformers.
//!
//! The weights come from a formula (stated in tests/reference/clip_layers_goldens.py), so no megabytes are stored.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "this is how a test fails")]

#[path = "../support/compare.rs"]
mod compare;

use std::path::Path;

use burn::prelude::*;
use compare::relative_error;
use safetensors::SafeTensors;
use unmask_core::detector::Model;
use unmask_core::detector::clip::{ClipConfig, HeadKind};
use unmask_core::detector::formats::{self, Checkpoint};
use unmask_core::detector::spec::Architecture;
use unmask_core::layers::Pass;
use unmask_core::weights::{Init, TensorSource, WeightsError};

/// The relative error that f32 arithmetic in another order may make.
const TOLERANCE: f32 = 1e-5;

const NORMS: [&str; 2] = ["layer_norm1", "layer_norm2"];
const LINEARS: [&str; 6] =
    ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"];

/// The scale of a tensor's values: the first ending that fits.
const SCALES: [(&str, f32); 10] = [
    ("pixel_values", 4.0),
    ("class_embedding", 1.0),
    ("position_embedding.weight", 1.0),
    ("patch_embedding.weight", 0.125),
    ("norm1.weight", 0.5),
    ("norm2.weight", 0.5),
    ("norm.weight", 0.5),
    ("fc2.weight", 0.0625),
    (".weight", 0.125),
    (".bias", 0.25),
];

/// The values of the tensor `name`.
fn formula(name: &str, count: usize) -> Vec<f32> {
    let seed = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let scale = SCALES.iter().find(|(ending, _)| name.ends_with(ending)).expect("a scale").1;
    let offset = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
    (0..count as u32)
        .map(|index| {
            let mut x = index ^ seed;
            x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
            x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
            x ^= x >> 16;
            offset + scale * ((x >> 8) as f32 / (1 << 24) as f32 - 0.5)
        })
        .collect()
}

/// A one-layer checkpoint of transformers with values by the formula; the head is zero.
struct Formula;

impl TensorSource for Formula {
    fn read(&mut self, name: &str, shape: &[usize], _: Init) -> Result<Vec<f32>, WeightsError> {
        let count = shape.iter().product();
        Ok(if name.starts_with("model.") { vec![0.0; count] } else { formula(name, count) })
    }

    fn names(&self) -> Vec<String> {
        let layer = NORMS.iter().chain(&LINEARS).map(|module| format!("vision_model.encoder.layers.0.{module}"));
        let modules = layer.chain(["pre_layrnorm", "post_layernorm"].map(|m| format!("vision_model.{m}")));
        let mut names: Vec<String> =
            modules.flat_map(|module| [format!("{module}.weight"), format!("{module}.bias")]).collect();
        names.extend(
            ["class_embedding", "patch_embedding.weight", "position_embedding.weight"]
                .map(|name| format!("vision_model.embeddings.{name}")),
        );
        names
    }

    fn shape(&self, _: &str) -> Option<Vec<usize>> {
        None
    }
}

/// The formula's tower with a zero head of our own.
struct WithHead(Checkpoint<Formula>);

impl TensorSource for WithHead {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        if name.starts_with("head.") { Formula.read("model.", shape, init) } else { self.0.read(name, shape, init) }
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn shape(&self, _: &str) -> Option<Vec<usize>> {
        None
    }
}

fn golden(file: &SafeTensors, name: &str) -> Vec<f32> {
    let view = file.tensor(name).expect(name);
    view.data().as_chunks::<4>().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

fn one_layer_equals_transformers(name: &str, config: ClipConfig) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/clip_layers.safetensors");
    let bytes = std::fs::read(path).expect("the golden file");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let key = "formula.vision_model.pre_layrnorm.weight";
    assert_eq!(formula(key.trim_start_matches("formula."), 8), golden(&file, key), "the formula itself");

    let config = ClipConfig { depth: 1, ..config };
    let renamed = Checkpoint::new(Formula, formats::by_name("hf-clip").expect("a format")).expect("names are known");
    let device = Device::flex();
    let model = Model::load(&Architecture::Clip(config), &mut WithHead(renamed), &device).expect("loads");
    let Model::Clip(clip) = &model else { panic!("a CLIP") };
    let pixels = TensorData::new(formula("pixel_values", 3 * 224 * 224), [1, 3, 224, 224]);
    let tokens = clip.tower().tokens(Tensor::from_data(pixels, &device), &mut Pass::scoring());
    let width = tokens.dims()[2];
    let pooled: Vec<f32> = clip.tower().pool(tokens.clone()).into_data().try_into_vec().expect("f32");
    let tokens: Vec<f32> = tokens.into_data().try_into_vec().expect("f32");

    let rows = file.tensor(&format!("{name}.rows")).expect("rows");
    let rows = rows.data().as_chunks::<4>().0.iter().map(|chunk| i32::from_le_bytes(*chunk) as usize);
    let chosen: Vec<f32> = rows.flat_map(|row| tokens[row * width..(row + 1) * width].to_vec()).collect();
    let error = relative_error(&chosen, &golden(&file, &format!("{name}.last_hidden_state_rows")));
    assert!(error < TOLERANCE, "tokens are off by {error}");
    let error = relative_error(&pooled, &golden(&file, &format!("{name}.pooler_output")));
    assert!(error < TOLERANCE, "pooled output is off by {error}");
}

#[test]
fn a_layer_of_vit_b_16_equals_transformers() {
    one_layer_equals_transformers("b16", ClipConfig::vit_b_16(HeadKind::OneLayer));
}

#[test]
fn a_layer_of_vit_l_14_equals_transformers() {
    one_layer_equals_transformers("l14", ClipConfig::vit_l_14(HeadKind::OneLayer));
}
