//! Checkpoints of transformers, GenD and the thesis import, and give the outputs of the reference implementation.

use std::path::{Path, PathBuf};

use crate::compare::relative_error;
use crate::support::{Place, golden, tensors, text};

/// The relative error that f32 arithmetic in another order may make.
const TOLERANCE: f32 = 1e-5;

/// Imports with the given arguments and runs the reference's pixels through the detector.
fn forward(place: &Place, name: &str, import: &[&str], reference: &Path) -> PathBuf {
    let (detector, output) =
        (place.path(&format!("{name}.safetensors")), place.path(&format!("{name}.out.safetensors")));
    let mut arguments = vec!["import", "--output", text(&detector)];
    arguments.extend(import);
    place.succeed(arguments);
    let (model, input) = (text(&detector), text(reference));
    place.succeed(["forward", "--model", model, "--input", input, "--output", text(&output), "--batch", "2"]);
    output
}

/// Asserts that `ours` in `output` equals `theirs` in `reference`.
fn assert_equal(output: &Path, ours: &str, reference: &Path, theirs: &str) {
    let (actual, expected) = (tensors(output), tensors(reference));
    let error = relative_error(&actual[ours].1, &expected[theirs].1);
    assert!(error < TOLERANCE, "{ours} is off by {error}");
}

fn expect_head(output: &Path, reference: &Path, prefix: &str) {
    for name in ["logits", "score"] {
        assert_equal(output, name, reference, &format!("{prefix}.{name}"));
    }
}

#[test]
fn a_clip_vision_model_with_each_head_gives_the_reference_outputs() {
    let place = Place::new();
    let reference = golden("clip_tiny/reference.safetensors");
    for checkpoint in ["model", "model_v4", "whole/model"] {
        let input = golden(&format!("clip_tiny/{checkpoint}.safetensors"));
        for head in ["head1", "head2"] {
            let head_file = golden(&format!("clip_tiny/{head}.safetensors"));
            let import = ["--from", "hf-clip", "--input", text(&input), "--head", text(&head_file)];
            let output = forward(&place, head, &import, &reference);
            assert_equal(&output, "features", &reference, "features");
            expect_head(&output, &reference, head);
        }
    }
}

#[test]
fn half_precision_checkpoints_give_the_outputs_of_their_rounded_weights() {
    let place = Place::new();
    let reference = golden("clip_tiny/reference.safetensors");
    for kind in ["f16", "bf16"] {
        let input = golden(&format!("clip_tiny/model_{kind}.safetensors"));
        let output = forward(&place, kind, &["--from", "hf-clip", "--input", text(&input)], &reference);
        let (shape, mut expected) = tensors(&reference)[&format!("pooler_output_{kind}")].clone();
        for row in expected.chunks_mut(shape[1]) {
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            row.iter_mut().for_each(|value| *value /= length);
        }
        let error = relative_error(&tensors(&output)["features"].1, &expected);
        assert!(error < TOLERANCE, "{kind}: {error}");
    }
}

/// A checkpoint beside a `config.json` that tells what its shapes do not: the tiny tower has two heads of 16.
fn with_config(place: &Place, name: &str) -> PathBuf {
    let folder = place.path("checkpoint");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("config.json"), r#"{"num_attention_heads": 2}"#).expect("written");
    std::fs::copy(golden(name), folder.join(name)).expect("copied");
    folder.join(name)
}

#[test]
fn gend_and_thesis_checkpoints_give_the_reference_outputs() {
    let place = Place::new();
    let (pixels, expected) = (golden("clip_tiny/reference.safetensors"), golden("imports_reference.safetensors"));
    for (from, name) in
        [("gend", "gend_tiny.safetensors"), ("thesis", "thesis_tiny_1mlp.pth"), ("thesis", "thesis_tiny_2mlp.pth")]
    {
        let input = with_config(&place, name);
        let stem = name.split('.').next().expect("a stem");
        let output = forward(&place, stem, &["--from", from, "--input", text(&input)], &pixels);
        assert_equal(&output, "features", &expected, &format!("{stem}.features"));
        expect_head(&output, &expected, stem);
    }
}

#[test]
fn gend_detectors_crop_as_gend_does_and_others_as_deepfakebench_does() {
    let place = Place::new();
    let input = with_config(&place, "gend_tiny.safetensors");
    let output = place.path("gend.safetensors");
    place.succeed(["import", "--from", "gend", "--input", text(&input), "--output", text(&output)]);
    assert!(place.succeed(["info", text(&output)]).contains("Gend"));
    assert!(place.succeed(["info", text(&place.detector())]).contains("Dfb"));
}

#[test]
fn a_checkpoint_of_another_kind_than_said_is_refused() {
    let place = Place::new();
    let input = golden("gend_tiny.safetensors");
    let output = place.path("out.safetensors");
    for from in ["hf-clip", "thesis", "efficientnet-lite0"] {
        let sentence = place.fail(["import", "--from", from, "--input", text(&input), "--output", text(&output)]);
        assert!(sentence.contains("gend_tiny.safetensors") && sentence.contains("--from"), "{sentence}");
        assert!(!output.exists());
    }
}

#[test]
fn a_truncated_pytorch_checkpoint_is_refused() {
    let place = Place::new();
    let bytes = std::fs::read(golden("thesis_tiny_1mlp.pth")).expect("read");
    let (input, output) = (place.path("cut.pth"), place.path("out.safetensors"));
    for part in 0..8 {
        std::fs::write(&input, &bytes[..bytes.len() * part / 8]).expect("written");
        place.fail(["import", "--from", "thesis", "--input", text(&input), "--output", text(&output)]);
        assert!(!output.exists());
    }
}

/// A base detector with a random head, and an adapter for it that holds the tiny detector's LayerNorms and head.
fn base_and_adapter(place: &Place) -> (PathBuf, PathBuf) {
    let (base, adapter) = (place.path("base.safetensors"), place.path("adapter.safetensors"));
    let (input, head) = (golden("clip_tiny/model.safetensors"), golden("clip_tiny/head1.safetensors"));
    let common = ["import", "--from", "hf-clip", "--input", text(&input)];
    place.succeed(common.iter().chain(&["--output", text(&base), "--head-kind", "2mlp"]));
    let rest = ["--head", text(&head), "--output", text(&adapter), "--adapter-for", text(&base)];
    place.succeed(common.iter().chain(&rest));
    (base, adapter)
}

#[test]
fn an_adapter_over_its_base_is_the_detector_it_was_made_from() {
    let place = Place::new();
    let (base, adapter) = base_and_adapter(&place);
    let (output, reference) = (place.path("out.safetensors"), golden("clip_tiny/reference.safetensors"));
    let forward = ["forward", "--model", text(&adapter), "--base", text(&base)];
    place.succeed(forward.iter().chain(&["--input", text(&reference), "--output", text(&output)]));
    expect_head(&output, &reference, "head1");
    let names = tensors(&adapter);
    assert!(names.keys().all(|name| name.contains("norm") || name.starts_with("head.")), "{:?}", names.keys());
}

#[test]
fn an_adapter_without_its_base_or_with_another_is_refused_by_the_hash_of_its_base() {
    let place = Place::new();
    let (_, adapter) = base_and_adapter(&place);
    let input = golden("clip_tiny/reference.safetensors");
    let output = place.path("out.safetensors");
    let forward = ["forward", "--input", text(&input), "--output", text(&output), "--model", text(&adapter)];
    assert!(place.fail(forward).contains("--base"));
    let other = place.detector();
    let sentence = place.fail(forward.iter().chain(&["--base", text(&other)]));
    assert!(sentence.contains("right base"), "{sentence}");
}

#[test]
fn the_same_import_twice_writes_the_same_bytes() {
    let place = Place::new();
    let input = golden("clip_tiny/model.safetensors");
    let write = |name: &str| {
        let output = place.path(name);
        let import = ["import", "--from", "hf-clip", "--input", text(&input), "--name", "same", "--seed", "5"];
        place.succeed(import.iter().chain(&["--output", text(&output)]));
        std::fs::read(output).expect("read")
    };
    assert_eq!(write("a.safetensors"), write("b.safetensors"));
}
