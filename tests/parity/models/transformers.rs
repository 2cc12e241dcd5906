//! The models of single frames on transformers other than those of the thesis: GenD on the Perception Encoder and on DINOv3, plain
//! ViTs, Effort, DiCoME, UDD.

use burn::prelude::*;
use unmask_core::detector::clip::ClipConfig;
use unmask_core::detector::dicome::DicomeConfig;
use unmask_core::detector::formats::{self, Checkpoint, Hints};
use unmask_core::detector::udd::UddConfig;
use unmask_core::detector::vit::{VitConfig, VitFamily};
use unmask_core::detector::{Architecture, Model, Strategy, parameters};
use unmask_core::layers::{Chance, HeadKind, Pass};
use unmask_core::weights::{Init, TensorSource, WeightsError};

use super::compare::relative_error;
use super::support::{
    Golden, TOLERANCE, Zeros, assert_gradients, assert_output, gradients, load, mean_loss, pairs, values,
};

const LABELS: [usize; 3] = [0, 1, 1];

/// The sizes of tests/reference/tiny_transformers.py.
fn vit(family: VitFamily, heads: usize, epsilon: f64, mlp: usize) -> Architecture {
    Architecture::Vit(VitConfig {
        image_size: 24,
        patch_size: 6,
        width: 24,
        depth: 2,
        heads,
        mlp,
        epsilon,
        family,
        normalisation: [[0.5; 3], [0.5; 3]],
        head: HeadKind::OneLayer,
    })
}

/// Format, golden, and the architecture.
fn vits() -> [(&'static str, &'static str, Architecture); 5] {
    let perception = VitFamily::Perception { reference: 6, pool_heads: 8, pool_mlp: 72 };
    let dino = |gated| VitFamily::Dino { registers: 4, gated };
    [
        ("gend-pe", "pe", vit(perception, 2, 1e-5, 48)),
        ("gend-dinov3", "dinov3", vit(dino(false), 2, 1e-5, 56)),
        ("gend-dinov3", "dinov3_gated", vit(dino(true), 2, 1e-5, 56)),
        ("commfor", "vit", vit(VitFamily::Plain, 3, 1e-6, 48)),
        ("fs-vfm", "vit_average", vit(VitFamily::PlainMean, 2, 1e-6, 48)),
    ]
}

/// The reference names the gradient of a resampled tensor by itself, and knows one logit or the classes the other way round.
const OTHERWISE: [&str; 2] = ["tower.position_embedding", "head.layers.0.weight"];

#[test]
fn vision_transformers_equal_the_references_forward_and_back() {
    for (format, golden, architecture) in vits() {
        println!("{golden}");
        let (reference, checkpoint) = (Golden::open(&format!("{golden}_reference")), format!("{golden}_tiny"));
        let plain = Device::flex();
        let model = load(format, &checkpoint, &architecture, &plain);
        assert_output(model.forward(reference.clips("pixel_values", &plain)), &reference, "");

        let device = plain.autodiff();
        let model = load(format, &checkpoint, &architecture, &device);
        let loss = mean_loss(model.forward(reference.clips("pixel_values", &device)).logits, &LABELS);
        assert!(relative_error(&values(loss.clone()), &reference.values("loss")) < TOLERANCE);
        let found = gradients(&model, &loss);
        let mut names = pairs(format, &checkpoint);
        if format == "gend-pe" {
            let positions = reference.values("gradient.position_embeddings");
            assert!(relative_error(&found["tower.position_embedding"], &positions) < 1e-4);
            names.remove(OTHERWISE[0]);
        }
        if matches!(format, "commfor" | "fs-vfm") {
            names.remove(OTHERWISE[1]);
        }
        assert_gradients(&found, &reference, names);
    }
}

#[test]
fn published_sizes_follow_from_the_shapes_of_a_checkpoint() {
    for (format, golden, architecture) in vits() {
        let known = formats::by_name(format).unwrap();
        let file = Golden::open(&format!("{golden}_tiny"));
        let checkpoint = Checkpoint::new(file.file(), known).expect("its names are known");
        let Architecture::Vit(expected) = architecture else { panic!("a ViT") };
        let hints = Hints { heads: Some(expected.heads), image_size: Some(24), ..Hints::default() };
        let Architecture::Vit(found) = known.architecture(&checkpoint, &hints).expect("its sizes") else {
            panic!("a ViT")
        };
        let normalisation = found.normalisation;
        assert_eq!(found, VitConfig { normalisation, ..expected }, "{golden}");
    }
}

fn clip(image_size: usize, [width, depth, mlp]: [usize; 3], patch_size: usize) -> ClipConfig {
    ClipConfig { image_size, patch_size, width, depth, heads: 2, mlp, ..ClipConfig::vit_b_16(HeadKind::OneLayer) }
}

#[test]
fn effort_merges_into_a_clip_that_equals_the_reference() {
    let (reference, device) = (Golden::open("effort_reference"), Device::flex());
    let architecture = Architecture::Clip(ClipConfig { normalised: false, ..clip(32, [32, 2, 64], 8) });
    let golden = Golden::open("effort_tiny");
    let format = formats::by_name("effort").unwrap();
    let mut source = Checkpoint::new(golden.file(), format).expect("its names are known");
    let merged = source.read("tower.layers.1.attention.output.weight", &[32, 32], Init::Zeros).expect("a weight");
    let expected = reference.values("merged.backbone.encoder.layers.1.self_attn.out_proj.weight");
    assert!(relative_error(&merged, &expected) < 1e-6);
    let hints = Hints { heads: Some(2), ..Hints::default() };
    assert_eq!(format.architecture(&source, &hints).expect("its sizes"), architecture);
    let model = Model::load(&architecture, &mut source, &device).expect("loads");
    assert_output(model.forward(reference.clips("pixel_values", &device)), &reference, "");

    let device = device.autodiff();
    let model = load("effort", "effort_tiny", &architecture, &device);
    let loss = mean_loss(model.forward(reference.clips("pixel_values", &device)).logits, &LABELS);
    let mut names = pairs("effort", "effort_tiny");
    for name in ["layers.0.self_attn.q_proj", "layers.1.self_attn.out_proj"] {
        let ours =
            name.replace("self_attn.q_proj", "attention.query").replace("self_attn.out_proj", "attention.output");
        names.add(&format!("tower.{ours}.weight"), &format!("backbone.encoder.{name}.weight"));
    }
    assert_gradients(&gradients(&model, &loss), &reference, names);
}

#[test]
fn dicome_equals_the_reference_with_its_uncertainty() {
    let (reference, plain) = (Golden::open("dicome_reference"), Device::flex());
    let config = DicomeConfig { clip: clip(24, [24, 2, 40], 8), features: 12, latent: 6, inside: 32, head: 64 };
    let architecture = Architecture::Dicome(config);
    let golden = Golden::open("dicome_tiny");
    let format = formats::by_name("dicome").unwrap();
    let source = Checkpoint::new(golden.file(), format).expect("its names are known");
    let hints = Hints { heads: Some(2), ..Hints::default() };
    assert_eq!(format.architecture(&source, &hints).expect("its sizes"), architecture);
    let output = load("dicome", "dicome_tiny", &architecture, &plain).forward(reference.clips("pixel_values", &plain));
    let uncertainty = values(output.uncertainty.clone().expect("an uncertainty"));
    assert!(relative_error(&uncertainty, &reference.values("uncertainty")) < TOLERANCE);
    let logits = values(output.logits.clone());
    let scores: Vec<f32> = logits.chunks(2).map(|pair| 1.0 / (1.0 + (pair[0] - pair[1]).exp())).collect();
    assert!(relative_error(&scores, &reference.values("score")) < TOLERANCE);
    assert_output(output, &reference, "");

    let device = plain.autodiff();
    let model = load("dicome", "dicome_tiny", &architecture, &device);
    let loss = mean_loss(model.forward(reference.clips("pixel_values", &device)).logits, &LABELS);
    assert_gradients(&gradients(&model, &loss), &reference, pairs("dicome", "dicome_tiny"));
}

/// UDD's tower and head under GenD's names, and the projection of the file of answers.
struct UddTensors<'a> {
    tower: Checkpoint<unmask_core::weights::SafetensorsFile<&'a [u8]>>,
    reference: &'a Golden,
}

impl TensorSource for UddTensors<'_> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        match udd_projection(name) {
            Some(theirs) => self.reference.file().read(&theirs, shape, init),
            None => self.tower.read(name, shape, init),
        }
    }

    fn names(&self) -> Vec<String> {
        self.tower.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tower.shape(name)
    }
}

/// The reference counts the activations between the layers as well.
fn udd_projection(name: &str) -> Option<String> {
    let (index, kind) = name.strip_prefix("projection.")?.split_once('.')?;
    Some(format!("projection.{}.{kind}", 2 * index.parse::<usize>().unwrap()))
}

#[test]
fn udds_three_views_their_penalties_and_gradients_equal_the_reference() {
    let (reference, golden) = (Golden::open("udd_reference"), Golden::open("udd_tiny"));
    let config = UddConfig { projection: 8, ..UddConfig::new(clip(24, [16, 6, 32], 4)) };
    let architecture = Architecture::Udd(config);
    let load = |device: &Device| {
        let tower = Checkpoint::new(golden.file(), formats::by_name("gend").unwrap()).expect("its names are known");
        Model::load(&architecture, &mut UddTensors { tower, reference: &reference }, device).expect("loads")
    };
    let plain = Device::flex();
    assert_output(load(&plain).forward(reference.clips("pixel_values", &plain)), &reference, "");

    let device = plain.autodiff();
    let model = load(&device);
    let labels = [1, 1, 0, 1, 1];
    let mut draws = reference.values("uniforms").into_iter();
    let mut uniform = || draws.next().expect("as many numbers as the reference drew");
    let mut pass = Pass::training(Chance::new(&mut uniform, &labels));
    let output = model.forward_in(reference.clips("pixel_values", &device), &mut pass);
    assert!(draws.next().is_none(), "all of the reference's numbers are drawn");
    for (name, view) in ["shuffle.logits", "mix.logits"].into_iter().zip(&output.views) {
        let error = relative_error(&values(view.clone()), &reference.values(name));
        assert!(error < TOLERANCE, "{name} are off by {error}");
    }
    let mut loss = mean_loss(output.logits, &labels);
    for view in output.views {
        loss = loss + mean_loss(view, &labels);
    }
    for (name, penalty) in output.penalties {
        let parts = reference.values(if name == "contrast" { "contrastive" } else { "divergence" });
        let error = relative_error(&values(penalty.clone()), &[parts.iter().sum::<f32>()]);
        assert!(error < TOLERANCE, "{name} is off by {error}");
        loss = loss + penalty * 0.1;
    }
    assert!(relative_error(&values(loss.clone()), &reference.values("loss")) < TOLERANCE);
    let mut names = pairs("gend", "udd_tiny");
    for name in ["projection.0.weight", "projection.2.bias"] {
        names.add(name, &udd_projection(name).unwrap());
    }
    assert_gradients(&gradients(&model, &loss), &reference, names);
}

#[test]
fn true_sizes_have_the_parameters_of_the_published_networks() {
    let head = HeadKind::OneLayer;
    let published = |[width, depth, heads, mlp, patch_size]: [usize; 5], family| {
        let epsilon = 1e-5;
        let normalisation = [[0.5; 3], [0.5; 3]];
        let image_size = 14 * patch_size.max(16);
        Architecture::Vit(VitConfig {
            image_size,
            patch_size,
            width,
            depth,
            heads,
            mlp,
            epsilon,
            family,
            normalisation,
            head,
        })
    };
    let dino = VitFamily::Dino { registers: 4, gated: false };
    let pe = |reference, pool_mlp| VitFamily::Perception { reference, pool_heads: 8, pool_mlp };
    // Of DINOv3's, less the token that stands for hidden patches in pretraining; of PE L's, less the positions of 336 pixels.
    for (architecture, all, norms) in [
        (published([1024, 24, 16, 4096, 16], dino), 303_131_650 - 1024, 102_402),
        (published([768, 12, 12, 3072, 16], dino), 85_661_954 - 768, 39_938),
        (published([768, 12, 12, 3072, 16], pe(14, 3072)), 92_888_066, 43_010),
        (published([1024, 24, 16, 4096, 14], pe(24, 4096)), 316_104_706 - (577 - 257) * 1024, 106_498),
        (published([1024, 24, 16, 4096, 16], VitFamily::PlainMean), 303_303_682, 102_402),
    ] {
        let model = Model::load(&architecture, &mut Zeros, &Device::flex()).expect("loads");
        let sizes = parameters(&model);
        let size = |shape: &[usize]| shape.iter().product::<usize>();
        let words = architecture.sizes().words();
        assert_eq!(sizes.iter().map(|(_, shape)| size(shape)).sum::<usize>(), all, "{words}");
        let trained = sizes.iter().filter(|(name, _)| architecture.trains(Strategy::LayerNorm, name));
        assert_eq!(trained.map(|(_, shape)| size(shape)).sum::<usize>(), norms, "{words}");
    }
}
