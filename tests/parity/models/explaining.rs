//! What speaks for either class, against PyTorch's gradients (tests/reference/explain_goldens.py).

use burn::prelude::*;
use unmask_core::detector::clip::ClipConfig;
use unmask_core::detector::efficientnet::EfficientNetConfig;
use unmask_core::detector::explain::Asked;
use unmask_core::detector::spec::{DetectorSpec, SPEC_KEY};
use unmask_core::detector::{Architecture, Model};
use unmask_core::layers::HeadKind;

use super::compare::relative_error;
use super::convolutional::stages;
use super::support::{GRADIENT_TOLERANCE, Golden, load, load_with_head, values};
use super::temporal::{load_timesformer, tall, timesformer};

/// Fails unless the maps of the golden's pictures are those of `name` in explain.safetensors, and the answers those of the model.
fn assert_maps(name: &str, architecture: &Architecture, model: &Model, pictures: &str) {
    let (expected, device) = (Golden::open("explain"), Device::flex());
    let pixels = Golden::open(pictures).clips("pixel_values", &device);
    let asked = Asked::of(model, architecture, pixels.clone()).expect("it is explained");
    let (answers, maps) = asked.maps(asked.values.clone().into_data()).expect("maps");
    let error = relative_error(&answers, &values(model.forward(pixels).answers()));
    assert!(error < GRADIENT_TOLERANCE, "{name}: the answers of a pass that is tapped are off by {error}");
    let [clips, frames, places] = expected.shape(&format!("{name}.fake"))[..] else { panic!("three sizes") };
    assert_eq!((maps.len(), maps[0].len(), maps[0][0].side.pow(2)), (clips, frames, places), "{name}");
    let maps = maps.concat();
    let sides = [("fake", maps.iter().flat_map(|map| map.fake.clone()).collect::<Vec<f32>>())];
    for (side, found) in sides.into_iter().chain([("real", maps.iter().flat_map(|map| map.real.clone()).collect())]) {
        let expected = expected.values(&format!("{name}.{side}"));
        if expected.iter().all(|value| *value == 0.0) {
            assert!(found.iter().all(|value| *value == 0.0), "{name}: nothing speaks for {side}");
            continue;
        }
        let error = relative_error(&found, &expected);
        println!("{name}.{side}: {error:.1e}");
        assert!(error < GRADIENT_TOLERANCE, "{name}: what speaks for {side} is off by {error}");
    }
}

#[test]
fn attention_of_clip_is_followed_to_the_patches_as_by_the_reference() {
    let sizes = ClipConfig::vit_b_16(HeadKind::OneLayer);
    let sizes = ClipConfig { image_size: 32, patch_size: 8, width: 32, depth: 2, heads: 2, mlp: 64, ..sizes };
    let architecture = Architecture::Clip(sizes);
    let model = load("gend", "gend_tiny", &architecture, &Device::flex());
    assert_maps("clip", &architecture, &model, "clip_tiny/reference");
}

#[test]
fn attention_over_time_and_within_frames_is_followed_as_by_the_reference() {
    let golden = Golden::open("stan_attention");
    let mut file = golden.file();
    let spec = DetectorSpec::from_json(file.metadata(SPEC_KEY).expect("a description")).expect("reads");
    let model = Model::load(&spec.architecture, &mut file, &Device::flex()).expect("loads");
    assert_maps("stan", &spec.architecture, &model, "stan_reference");
    assert_maps("timesformer", &timesformer(), &load_timesformer("", &Device::flex()), "timesformer_reference");
}

#[test]
fn grad_cam_equals_the_references_and_talls_has_a_map_a_frame() {
    let tiny = EfficientNetConfig {
        image_size: 34,
        stem: 8,
        stages: stages(&[[1, 3, 1, 1, 16], [2, 5, 2, 3, 24], [1, 3, 2, 6, 32]]),
        width: 160,
        ..EfficientNetConfig::lite0(HeadKind::OneLayer)
    };
    let architecture = Architecture::EfficientNet(tiny);
    let model = load_with_head("efficientnet-lite0", "efficientnet_tiny", &architecture, "_fc", &Device::flex());
    assert_maps("efficientnet", &architecture, &model, "efficientnet_reference");
    let model = load("tall", "tall_tiny", &tall(None), &Device::flex());
    assert_maps("tall", &tall(None), &model, "tall_reference");
}
