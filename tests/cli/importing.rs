//! Checkpoints of transformers, GenD and the thesis import, and give the outputs of the reference implementation.

use std::path::{Path, PathBuf};

use serde_json::Value;

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

/// A checkpoint of `tests/reference/wrapped_goldens.py`.
fn wrapped(name: &str) -> PathBuf {
    golden(&format!("wrapped/{name}"))
}

/// Imports a checkpoint of GenD with two attention heads.
fn import_wrapped<'a>(input: &'a Path, output: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["import", "--from", "gend", "--input", text(input), "--output", text(output), "--heads", "2"];
    all.extend(more);
    all
}

#[test]
fn a_network_is_the_same_in_every_usual_wrapping_and_under_any_name() {
    let place = Place::new();
    let output = place.path("out.safetensors");
    place.succeed(import_wrapped(&wrapped("plain.safetensors"), &output, &[]));
    let expected = tensors(&output);
    assert_eq!(expected.len(), 25);
    for name in ["renamed.pth", "parallel.pth.tar", "lightning.ckpt", "compiled.pkl"] {
        std::fs::remove_file(&output).expect("removed");
        place.succeed(import_wrapped(&wrapped(name), &output, &[]));
        assert!(tensors(&output) == expected, "{name}");
    }
}

#[test]
fn of_two_networks_in_a_checkpoint_the_user_chooses_one() {
    let place = Place::new();
    let (output, averaged) = (place.path("out.safetensors"), wrapped("averaged.pth"));
    let refusal = place.fail(import_wrapped(&averaged, &output, &[]));
    assert!(refusal.contains("state_dict, state_dict_ema") && refusal.contains("--key"), "{refusal}");
    let refusal = place.fail(import_wrapped(&averaged, &output, &["--key", "ema"]));
    assert!(refusal.contains("`ema`") && refusal.contains("state_dict_ema"), "{refusal}");
    place.succeed(import_wrapped(&averaged, &output, &["--key", "state_dict_ema"]));
    assert!(tensors(&output)["head.layers.0.weight"].1.iter().all(|value| *value == 0.0));
    place.succeed(import_wrapped(&averaged, &output, &["--key", "state_dict"]));
    assert!(tensors(&output)["head.layers.0.weight"].1.iter().all(|value| *value != 0.0));
}

#[test]
fn a_pickle_that_would_run_a_command_runs_nothing() {
    let place = Place::new();
    let (input, output) = (wrapped("hostile.pth"), place.path("out.safetensors"));
    assert!(std::fs::read(&input).expect("read").windows(6).any(|bytes| bytes == b"system"));
    let ran = place.unmask().current_dir(place.path("")).args(import_wrapped(&input, &output, &[])).output();
    let ran = ran.expect("the program starts");
    assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(!place.path("executed").exists() && !output.exists());
}

#[test]
fn a_part_of_a_checkpoint_and_its_index_are_refused_as_such() {
    let place = Place::new();
    let output = place.path("out.safetensors");
    for (name, said) in [
        ("model-00001-of-00003.safetensors", "part 1 of 3"),
        ("pytorch_model-00002-of-00002.bin", "part 2 of 2"),
        ("model.safetensors.index.json", "the index"),
    ] {
        let input = place.path(name);
        std::fs::copy(wrapped("plain.safetensors"), &input).expect("copied");
        let refusal = place.fail(import_wrapped(&input, &output, &[]));
        assert!(refusal.contains(said) && refusal.contains("max_shard_size"), "{refusal}");
    }
}

#[test]
fn what_is_no_checkpoint_by_its_content_is_refused_whatever_its_name() {
    let place = Place::new();
    let output = place.path("out.safetensors");
    for (name, content) in
        [("model.safetensors", &b"hello, this is a text"[..]), ("model.pth", b""), ("model.bin", b"GIF89a")]
    {
        let input = place.path(name);
        std::fs::write(&input, content).expect("written");
        assert!(place.fail(import_wrapped(&input, &output, &[])).contains(name));
    }
}

#[test]
fn attention_heads_are_never_guessed() {
    let place = Place::new();
    let output = place.path("out.safetensors");
    // 32 wide: width over 64 would be no head at all, and the right number is 2.
    let input = place.path("model.safetensors");
    std::fs::copy(golden("gend_tiny.safetensors"), &input).expect("copied");
    let import = ["import", "--from", "gend", "--input", text(&input), "--output", text(&output)];
    let refusal = place.fail(import);
    assert!(
        refusal.contains("--heads") && refusal.contains("config.json") && refusal.contains("width 32"),
        "{refusal}"
    );
    place.succeed(import.iter().chain(&["--heads", "2"]));
    let given = tensors(&output);
    std::fs::write(place.path("config.json"), "\u{feff}{\"num_attention_heads\": 2, \"hidden_size\": 32}")
        .expect("written");
    place.succeed(import);
    assert!(given == tensors(&output));
    let refusal = place.fail(import.iter().chain(&["--heads", "4"]));
    assert!(refusal.contains("num_attention_heads"), "{refusal}");
    std::fs::write(place.path("config.json"), "{\"num_attention_heads\": 12, \"hidden_size\": 768}").expect("written");
    assert!(place.fail(import).contains("hidden_size 32 where config.json beside it says 768"));
}

/// A checkpoint of somebody else's detector, and what its shapes leave open.
const DETECTORS: [(&str, &str, &[&str]); 8] = [
    ("deepfakebench-xception", "xception", &["--input-size", "44"]),
    ("gend-pe", "pe", &["--heads", "2", "--input-size", "24"]),
    ("gend-dinov3", "dinov3", &["--heads", "2", "--input-size", "24"]),
    ("gend-dinov3", "dinov3_gated", &["--heads", "2", "--input-size", "24"]),
    ("commfor", "vit", &["--heads", "3"]),
    ("fs-vfm", "vit_average", &["--heads", "2"]),
    ("effort", "effort", &["--heads", "2"]),
    ("dicome", "dicome", &["--heads", "2"]),
];

#[test]
fn detectors_of_other_projects_give_the_outputs_of_their_reference_implementations() {
    let place = Place::new();
    for (format, name, open) in DETECTORS {
        let input = golden(&format!("{name}_tiny.safetensors"));
        let reference = golden(&format!("{name}_reference.safetensors"));
        let mut import = vec!["--from", format, "--input", text(&input)];
        import.extend(open);
        let output = forward(&place, name, &import, &reference);
        println!("{name}");
        for part in ["features", "logits"] {
            let (actual, expected) = (tensors(&output), tensors(&reference));
            let error = relative_error(&actual[part].1, &expected[part].1);
            assert!(error < 2.0 * TOLERANCE, "{name}: {part} are off by {error}");
        }
        let detector = place.path(&format!("{name}.safetensors"));
        let said = place.succeed(["info", text(&detector)]);
        assert!(!said.contains("untrained"), "{name}: {said}");
        // As the authors' own preprocessing resizes.
        let kernel = if ["gend-dinov3", "commfor"].contains(&format) { "bilinear" } else { "bicubic" };
        assert!(said.contains(&format!(", {kernel}, mean ")), "{name}: {said}");
    }
}

#[test]
fn a_tower_to_be_trained_as_effort_has_a_head_that_reads_its_features_as_they_are() {
    let place = Place::new();
    let (input, output) = (golden("clip_tiny/model.safetensors"), place.path("effort.safetensors"));
    let from = ["import", "--heads", "2", "--effort", "--output", text(&output), "--input"];
    let said = place.succeed(from.iter().chain(&[text(&input), "--from", "hf-clip"]));
    assert!(said.contains("untrained: its head is random"), "{said}");
    let info: Value = serde_json::from_str(&place.succeed(["info", text(&output), "--json"])).expect("JSON");
    assert_eq!(info["detector"]["architecture"]["normalised"], false);
    let said = place.fail(from.iter().chain(&[text(&golden("vit_tiny.safetensors")), "--from", "commfor"]));
    assert!(said.contains("--effort"), "{said}");
}

#[test]
fn layers_that_no_checkpoint_has_are_fresh_and_said_to_be_untrained() {
    let place = Place::new();
    let input = golden("clip_tiny/model.safetensors");
    for (name, option) in [("udd", &["--udd"][..]), ("stan", &["--clip-length", "4", "--branch-depth", "2"])] {
        let output = place.path(&format!("{name}.safetensors"));
        let mut arguments = vec!["import", "--from", "hf-clip", "--heads", "2", "--input", text(&input)];
        arguments.extend(option);
        arguments.extend(["--output", text(&output)]);
        let said = place.succeed(arguments);
        assert!(said.contains("untrained: its new layers are fresh"), "{name}: {said}");
    }
    let said = place.fail([
        "import",
        "--from",
        "commfor",
        "--heads",
        "3",
        "--udd",
        "--input",
        text(&golden("vit_tiny.safetensors")),
        "--output",
        "x",
    ]);
    assert!(said.contains("--udd"), "{said}");
}
