//! The models of clips: EfficientNet + TimeSformer, TALL and TALL++.

use burn::prelude::*;
use unmask_core::detector::efficientnet::{EfficientNetConfig, Stage, Variant};
use unmask_core::detector::formats::{Checkpoint, Fate, Format, Hints};
use unmask_core::detector::swin::SwinConfig;
use unmask_core::detector::tall::{TallConfig, thumbnail};
use unmask_core::detector::timesformer::TimeSformerConfig;
use unmask_core::detector::{Architecture, Model, Strategy, is_statistic, parameters};
use unmask_core::layers::{Chance, HeadKind, Pass};
use unmask_core::weights::{Init, TensorSource, WeightsError};

use super::compare::relative_error;
use super::support::{
    Golden, Names, TOLERANCE, Zeros, assert_gradients, assert_output, gradients, load, mean_loss, pairs, values,
};

/// The names of tests/reference/timesformer_reference.py, since nobody published a checkpoint.
struct TimeSformerNames;

impl Format for TimeSformerNames {
    fn name(&self) -> &'static str {
        "timesformer-golden"
    }

    fn about(&self) -> &'static str {
        ""
    }

    fn description(&self) -> &'static str {
        "the golden TimeSformer"
    }

    fn mark(&self) -> &'static str {
        "time.class_embedding"
    }

    fn fate(&self, name: &str) -> Fate {
        const WHOLE: [(&str, &str); 7] = [
            ("cls_token", "time.class_embedding"),
            ("pos_embed", "time.position_embedding"),
            ("time_embed", "time.time_embedding"),
            ("norm.weight", "time.norm.weight"),
            ("norm.bias", "time.norm.bias"),
            ("head.weight", "head.layers.0.weight"),
            ("head.bias", "head.layers.0.bias"),
        ];
        if let Some((_, ours)) = WHOLE.iter().find(|(theirs, _)| *theirs == name) {
            return Fate::Named((*ours).to_owned());
        }
        if let Some(backbone) = name.strip_prefix("backbone.") {
            return unmask_core::detector::formats::by_name("efficientnet-b0").unwrap().fate(backbone);
        }
        let Some((module, kind)) = name.rsplit_once('.') else { return Fate::Unknown };
        for (theirs, ours) in [("temporal_attn", "temporal_attention"), ("attn", "attention")] {
            if let Some(block) = module.strip_suffix(&format!(".{theirs}.qkv")) {
                let part = |part: &str| format!("time.{block}.{ours}.{part}.{kind}");
                return Fate::Parts(["query", "key", "value"].map(part).to_vec());
            }
            if let Some(block) = module.strip_suffix(&format!(".{theirs}.proj")) {
                return Fate::Named(format!("time.{block}.{ours}.output.{kind}"));
            }
        }
        Fate::Named(format!("time.{}", name.replace("temporal_norm1", "temporal_norm")))
    }

    fn has_head(&self) -> bool {
        true
    }

    fn architecture(&self, _: &dyn TensorSource, _: &Hints) -> Result<Architecture, WeightsError> {
        Ok(timesformer())
    }
}

static TIMESFORMER: TimeSformerNames = TimeSformerNames;

pub(crate) fn timesformer() -> Architecture {
    let stage = |[repeats, kernel, stride, expansion, channels]: [usize; 5]| Stage {
        repeats,
        kernel,
        stride,
        expansion,
        channels,
    };
    let stages = [[1, 3, 1, 1, 12], [2, 5, 2, 3, 12], [1, 3, 2, 2, 8], [1, 5, 2, 4, 12]].map(stage);
    let backbone = EfficientNetConfig {
        image_size: 36,
        variant: Variant::SqueezeExcite,
        nominal_size: Some(36),
        stem: 8,
        stages: stages.to_vec(),
        width: 16,
        ..EfficientNetConfig::lite0(HeadKind::OneLayer)
    };
    Architecture::TimeSformer(TimeSformerConfig {
        layers: 2,
        heads: 4,
        // The golden's, which acts in training alone.
        dropout: 0.25,
        ..TimeSformerConfig::new(backbone, 5)
    })
}

/// The golden's tensors, those whose name holds `zero` as zeros.
struct Zeroed<S> {
    source: S,
    zero: &'static str,
}

impl<S: TensorSource> TensorSource for Zeroed<S> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        let values = self.source.read(name, shape, init)?;
        Ok(if !self.zero.is_empty() && name.contains(self.zero) { vec![0.0; values.len()] } else { values })
    }

    fn names(&self) -> Vec<String> {
        self.source.names()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.shape(name)
    }
}

pub(crate) fn load_timesformer(zero: &'static str, device: &Device) -> Model {
    let golden = Golden::open("timesformer_tiny");
    let source = Checkpoint::new(golden.file(), &TIMESFORMER).expect("its names are known");
    Model::load(&timesformer(), &mut Zeroed { source, zero }, device).expect("loads")
}

#[test]
fn timesformer_equals_the_reference_on_whole_and_on_shorter_clips() {
    let (reference, device) = (Golden::open("timesformer_reference"), Device::flex());
    let model = load_timesformer("", &device);
    let pixels = reference.clips("pixel_values", &device);
    assert_output(model.forward(pixels.clone()), &reference, "");
    for frames in [3, 2] {
        assert_output(model.forward(pixels.clone().narrow(1, 0, frames)), &reference, &format!("t{frames}."));
    }
    assert_output(load_timesformer("temporal_fc", &device).forward(pixels), &reference, "zero.");
}

#[test]
fn timesformer_drops_what_the_reference_drops() {
    let (reference, device) = (Golden::open("timesformer_reference"), Device::flex());
    // One number for each frame at the backbone's residual, which none passes by, and then the reference's sequence.
    const OF_BACKBONE: u32 = 10;
    let mut drawn = 0;
    let mut uniform = || {
        drawn += 1;
        match (drawn - 1u32).checked_sub(OF_BACKBONE) {
            None => 0.0,
            Some(place) => (f64::from(place) * 0.618_033_988_749_894_9).fract() as f32,
        }
    };
    let mut pass = Pass::training(Chance::new(&mut uniform, &[0, 1]));
    let model = load_timesformer("", &device);
    assert_output(model.forward_in(reference.clips("pixel_values", &device), &mut pass), &reference, "dropped.");
}

#[test]
fn gradients_of_timesformer_equal_the_references() {
    let (reference, device) = (Golden::open("timesformer_reference"), Device::flex().autodiff());
    let model = load_timesformer("", &device);
    let loss = mean_loss(model.forward(reference.clips("pixel_values", &device)).logits, &[0, 1]);
    assert!(relative_error(&values(loss.clone()), &reference.values("loss")) < TOLERANCE);
    let golden = Golden::open("timesformer_tiny");
    let source = Checkpoint::new(golden.file(), &TIMESFORMER).expect("its names are known");
    assert_gradients(&gradients(&model, &loss), &reference, Names::of(&source));
}

/// The sizes of tests/reference/tall_goldens.py.
fn swin(windows: [usize; 4]) -> SwinConfig {
    SwinConfig {
        image_size: 64,
        patch_size: 4,
        width: 4,
        depths: vec![2, 2, 2, 1],
        heads: vec![2, 4, 8, 16],
        windows: windows.to_vec(),
        mlp_ratio: 4,
    }
}

pub(crate) fn tall(graph_nodes: Option<usize>) -> Architecture {
    let head = HeadKind::OneLayer;
    Architecture::Tall(TallConfig { swin: swin([4, 4, 4, 2]), head, drop_path: 0.0, hidden: 0, graph_nodes })
}

#[test]
fn tall_equals_the_reference_forward_and_back_and_on_one_frame() {
    let (reference, plain) = (Golden::open("tall_reference"), Device::flex());
    let pixels = reference.clips("pixel_values", &plain);
    let found = thumbnail(pixels.clone().narrow(0, 0, 1));
    assert!(relative_error(&values(found), &reference.values("thumbnail")) < 1e-6);
    let model = load("tall", "tall_tiny", &tall(None), &plain);
    assert_output(model.forward(pixels.clone()), &reference, "");
    assert_output(model.forward(pixels.narrow(1, 0, 1)), &reference, "repeated.");

    let device = plain.autodiff();
    let model = load("tall", "tall_tiny", &tall(None), &device);
    let loss = mean_loss(model.forward(reference.clips("pixel_values", &device)).logits, &[0, 1]);
    assert!(relative_error(&values(loss.clone()), &reference.values("loss")) < TOLERANCE);
    assert_gradients(&gradients(&model, &loss), &reference, pairs("tall", "tall_tiny"));
}

#[test]
fn tallpp_equals_the_reference_with_its_penalty() {
    let (reference, pixels) = (Golden::open("tallpp_reference"), Golden::open("tall_reference"));
    let plain = Device::flex();
    let model = load("tall", "tallpp_tiny", &tall(Some(4)), &plain);
    assert_output(model.forward(pixels.clips("pixel_values", &plain)), &reference, "");

    let device = plain.autodiff();
    let model = load("tall", "tallpp_tiny", &tall(Some(4)), &device);
    let mut uniform = || 0.5;
    let mut pass = Pass::training(Chance::new(&mut uniform, &[0, 1]));
    let output = model.forward_in(pixels.clips("pixel_values", &device), &mut pass);
    let [(name, penalty)] = &output.penalties[..] else { panic!("one penalty") };
    assert_eq!(*name, "consistency");
    assert!(relative_error(&values(penalty.clone()), &reference.values("consistency")) < TOLERANCE);
    let loss = mean_loss(output.logits, &[0, 1]) + penalty.clone() * 0.5;
    assert!(relative_error(&values(loss.clone()), &reference.values("total_loss")) < TOLERANCE);
    assert_gradients(&gradients(&model, &loss), &reference, pairs("tall", "tallpp_tiny"));
}

/// The golden Swin as a TALL without what tells frames apart, for whose picture the four frames are made.
#[test]
fn a_pretrained_swin_is_imported_with_windows_of_another_side() {
    let (reference, device) = (Golden::open("swin_reference"), Device::flex());
    let golden = Golden::open("swin_tiny");
    let format = unmask_core::detector::formats::by_name("timm-swin").unwrap();
    for (windows, prefix) in [([2; 4], ""), ([4, 4, 4, 2], "interpolated.")] {
        let Architecture::Tall(config) = tall(None) else { panic!("a TALL") };
        let architecture = Architecture::Tall(TallConfig { swin: swin(windows), ..config });
        let mut source = Checkpoint::new(golden.file(), format).expect("its names are known");
        for name in reference.file().names().iter().filter_map(|name| name.strip_prefix("interpolated.layers.")) {
            if windows == [2; 4] {
                continue;
            }
            let ours =
                format!("swin.stages.{}", name.replace(".attn.relative_position_bias_table", ".relative_position"));
            let shape = reference.shape(&format!("interpolated.layers.{name}"));
            let found = source.read(&ours, &shape, Init::Zeros).expect("a table");
            let error = relative_error(&found, &reference.values(&format!("interpolated.layers.{name}")));
            assert!(error < 1e-6, "{name}: {error}");
        }
        let mut grown = unmask_core::detector::formats::Grown::new(source, architecture.clone(), 1);
        let model = Model::load(&architecture, &mut grown, &device).expect("loads");
        // Each quarter of the picture, enlarged to a frame that halves to it.
        let pictures = reference.clips("pixel_values", &device).reshape([2, 3, 64, 64]);
        let quarters: Tensor<6> = pictures.reshape([2, 3, 2, 32, 2, 32]);
        let quarters: Tensor<5> = quarters.permute([0, 2, 4, 1, 3, 5]).reshape([2, 4, 3, 32, 32]);
        let frames = quarters.repeat_dim(4, 1).reshape([8, 3, 32, 1, 32, 1]).expand([8, 3, 32, 2, 32, 2]);
        let found = model.forward(frames.reshape([2, 4, 3, 64, 64])).features;
        let error = relative_error(&values(found), &reference.values(&format!("{prefix}features")));
        println!("{windows:?}: {error:.1e}");
        assert!(error < TOLERANCE, "{windows:?}: off by {error}");
    }
}

#[test]
fn true_sizes_have_the_parameters_of_the_published_networks() {
    let head = HeadKind::OneLayer;
    let b0 = EfficientNetConfig::plain(0, head).unwrap();
    for (architecture, full, norms) in [
        (Architecture::TimeSformer(TimeSformerConfig::new(b0, 8)), 31_966_590, 54_818),
        (Architecture::Tall(TallConfig::base(head)), 86_920_506, 59_650),
        (Architecture::Tall(TallConfig::base(head).with_graph()), 87_331_642, 60_674),
    ] {
        let model = Model::load(&architecture, &mut Zeros, &Device::flex()).expect("loads");
        let sizes = parameters(&model);
        let count = |keep: &dyn Fn(&str) -> bool| -> usize {
            sizes.iter().filter(|(name, _)| keep(name)).map(|(_, shape)| shape.iter().product::<usize>()).sum()
        };
        let words = architecture.sizes().words();
        assert_eq!(count(&|name| !is_statistic(name)), full, "{words}");
        assert_eq!(count(&|name| architecture.trains(Strategy::LayerNorm, name)), norms, "{words}");
    }
}
