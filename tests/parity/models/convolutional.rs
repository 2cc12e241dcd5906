//! Xception and the EfficientNets with squeeze and excitation.

use burn::prelude::*;
use unmask_core::detector::efficientnet::{EfficientNetConfig, Stage, Variant};
use unmask_core::detector::xception::XceptionConfig;
use unmask_core::detector::{Architecture, Model, parameters};
use unmask_core::layers::{HeadKind, Pass};
use unmask_core::ops::Moments;

use super::compare::relative_error;
use super::support::{
    Golden, Names, TOLERANCE, Zeros, assert_gradients, assert_output, gradients, load, load_with_head, mean_loss,
    pairs, values,
};

const LABELS: [usize; 3] = [0, 1, 1];

/// The sizes of tests/reference/xception_goldens.py.
fn xception() -> Architecture {
    Architecture::Xception(XceptionConfig {
        image_size: 44,
        stem: [8, 12],
        entry: vec![16, 20, 28],
        middle: 2,
        exit: 36,
        last: [44, 52],
        head: HeadKind::OneLayer,
    })
}

pub(crate) fn stages(sizes: &[[usize; 5]]) -> Vec<Stage> {
    let stage = |[repeats, kernel, stride, expansion, channels]: [usize; 5]| Stage {
        repeats,
        kernel,
        stride,
        expansion,
        channels,
    };
    sizes.iter().copied().map(stage).collect()
}

/// Those of tests/reference/efficientnet_se_goldens.py: as the package has it, and as DeepfakeBench has it.
fn efficientnets() -> [EfficientNetConfig; 2] {
    let tiny = EfficientNetConfig {
        variant: Variant::SqueezeExcite,
        stem: 8,
        width: 80,
        ..EfficientNetConfig::lite0(HeadKind::OneLayer)
    };
    [
        EfficientNetConfig {
            image_size: 38,
            nominal_size: Some(38),
            stages: stages(&[[1, 3, 1, 1, 12], [1, 3, 2, 6, 16], [2, 5, 2, 4, 20], [1, 5, 2, 3, 28], [1, 3, 1, 2, 32]]),
            ..tiny.clone()
        },
        EfficientNetConfig {
            image_size: 36,
            nominal_size: Some(60),
            unpadded_stem: true,
            stages: stages(&[
                [2, 3, 1, 1, 12],
                [1, 3, 2, 6, 16],
                [2, 5, 2, 4, 20],
                [1, 5, 1, 2, 24],
                [1, 5, 2, 2, 28],
                [1, 3, 1, 2, 32],
            ]),
            ..tiny
        },
    ]
}

#[test]
fn xception_equals_the_reference_forward_and_back() {
    let reference = Golden::open("xception_reference");
    let format = "deepfakebench-xception";
    let plain = Device::flex();
    let model = load(format, "xception_tiny", &xception(), &plain);
    assert_output(model.forward(reference.clips("pixel_values", &plain)), &reference, "");

    let device = plain.autodiff();
    let model = load(format, "xception_tiny", &xception(), &device);
    let loss = mean_loss(model.forward(reference.clips("pixel_values", &device)).logits, &LABELS);
    assert!(relative_error(&values(loss.clone()), &reference.values("loss")) < TOLERANCE);
    assert_gradients(&gradients(&model, &loss), &reference, pairs(format, "xception_tiny"));
}

/// Format, golden, and the head's name in the checkpoint where the format leaves it out.
const FORMS: [(&str, &str, Option<&str>); 2] =
    [("efficientnet-b0", "efficientnet_se", Some("_fc")), ("deepfakebench-effnb4", "efficientnet_b4", None)];

fn efficientnet(index: usize, device: &Device) -> Model {
    let (format, golden, head) = FORMS[index];
    let (file, architecture) = (format!("{golden}_tiny"), Architecture::EfficientNet(efficientnets()[index].clone()));
    match head {
        Some(head) => load_with_head(format, &file, &architecture, head, device),
        None => load(format, &file, &architecture, device),
    }
}

/// Our names with theirs, the head's too.
fn names(index: usize) -> Names {
    let (format, golden, head) = FORMS[index];
    let mut names = pairs(format, &format!("{golden}_tiny"));
    for (kind, head) in ["weight", "bias"].into_iter().flat_map(|kind| head.map(|head| (kind, head))) {
        names.add(&format!("head.layers.0.{kind}"), &format!("{head}.{kind}"));
    }
    names
}

#[test]
fn efficientnets_with_squeeze_and_excitation_equal_the_references_forward_and_back() {
    for (index, (_, golden, _)) in FORMS.into_iter().enumerate() {
        println!("{golden}");
        let reference = Golden::open(&format!("{golden}_reference"));
        let plain = Device::flex();
        assert_output(efficientnet(index, &plain).forward(reference.clips("pixel_values", &plain)), &reference, "");

        let device = plain.autodiff();
        let model = efficientnet(index, &device);
        let loss = mean_loss(model.forward(reference.clips("pixel_values", &device)).logits, &LABELS);
        assert!(relative_error(&values(loss.clone()), &reference.values("loss")) < TOLERANCE);
        assert_gradients(&gradients(&model, &loss), &reference, names(index));
    }
}

#[test]
fn by_the_statistics_of_the_batch_they_equal_the_references_too() {
    for (index, (_, golden, _)) in FORMS.into_iter().enumerate() {
        println!("{golden}");
        let pixels = Golden::open(&format!("{golden}_reference"));
        let reference = Golden::open(&format!("{golden}_batch"));
        let device = Device::flex().autodiff();
        let model = efficientnet(index, &device);
        let mut moments = Vec::new();
        let output =
            model.forward_in(pixels.clips("pixel_values", &device), &mut Pass::scoring().by_batch(&mut moments));
        let error = relative_error(&values(output.logits.clone()), &reference.values("logits"));
        assert!(error < TOLERANCE, "the logits are off by {error}");
        let loss = mean_loss(output.logits, &LABELS);
        assert_gradients(&gradients(&model, &loss), &reference, names(index));

        let names = names(index);
        let means = parameters(&model).into_iter().map(|(name, _)| name).filter(|name| name.ends_with("running_mean"));
        let means: Vec<String> = means.collect();
        assert_eq!(means.len(), moments.len());
        for (name, Moments { mean, variance, pixels }) in means.into_iter().zip(moments) {
            let expected = |name: &str| reference.values(&format!("statistic.{}", names.theirs(name)));
            let error = relative_error(&values(mean), &expected(&name));
            assert!(error < TOLERANCE, "{name} is off by {error}");
            // The reference keeps what a sample says about the variance of all.
            let unbiased = variance * (pixels as f64 / (pixels as f64 - 1.0));
            let error = relative_error(&values(unbiased), &expected(&name.replace("running_mean", "running_var")));
            assert!(error < TOLERANCE, "the variance beside {name} is off by {error}");
        }
    }
}

#[test]
fn true_sizes_have_the_parameters_of_the_published_networks() {
    use unmask_core::detector::{Strategy, is_statistic};
    let head = HeadKind::OneLayer;
    let lite = |number| EfficientNetConfig::lite(number, head).unwrap();
    let plain = |number| EfficientNetConfig::plain(number, head).unwrap();
    for (architecture, full, norms, alone, millions) in [
        (Architecture::Xception(XceptionConfig::published(head)), 20_811_050, 58_626, 4_098, Some(5_950)),
        (Architecture::EfficientNet(lite(0)), 3_373_570, 44_578, 2_562, None),
        (Architecture::EfficientNet(plain(0)), 4_010_110, 44_578, 2_562, Some(385)),
        (Architecture::EfficientNet(plain(1)), 6_515_746, 64_610, 2_562, None),
        (Architecture::EfficientNet(plain(2)), 7_703_812, 70_386, 2_818, None),
        (
            Architecture::EfficientNet(EfficientNetConfig::deepfakebench_b4(head).unwrap()),
            17_552_202,
            128_786,
            3_586,
            Some(1_950),
        ),
    ] {
        let model = Model::load(&architecture, &mut Zeros, &Device::flex()).expect("loads");
        let sizes = parameters(&model);
        let count = |keep: &dyn Fn(&str) -> bool| -> usize {
            sizes.iter().filter(|(name, _)| keep(name)).map(|(_, shape)| shape.iter().product::<usize>()).sum()
        };
        let by = |strategy| count(&|name| architecture.trains(strategy, name));
        assert_eq!(count(&|name| !is_statistic(name)), full, "{}", architecture.sizes().words());
        assert_eq!((by(Strategy::Full), by(Strategy::LayerNorm), by(Strategy::Head)), (full, norms, alone));
        if let Some(millions) = millions {
            let found = architecture.flops() / 2_000_000;
            assert!(found.abs_diff(millions) * 100 < millions, "{found} million multiply-adds");
        }
    }
}
