//! Adapters that Hugging Face PEFT saved are merged into their checkpoints, and give what PEFT's merged models give.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::compare::relative_error;
use crate::support::{Place, golden, tensors, text};

/// The relative error that f32 arithmetic in another order may make.
const TOLERANCE: f32 = 1e-4;

/// The arguments that read the base of each case.
fn base(case: &str) -> Vec<String> {
    let (from, input) = match case {
        "clip" => ("hf-clip", "clip_tiny/model.safetensors"),
        "dinov3" => ("gend-dinov3", "dinov3_tiny.safetensors"),
        "pe" => ("gend-pe", "pe_tiny.safetensors"),
        _ => ("commfor", "vit_tiny.safetensors"),
    };
    let heads = if case == "vit" { "3" } else { "2" };
    let mut base =
        ["import", "--from", from, "--heads", heads, "--input", text(&golden(input))].map(String::from).to_vec();
    if ["dinov3", "pe"].contains(&case) {
        base.extend(["--input-size", "24"].map(String::from));
    }
    base
}

/// The logits for `pixels` of what is imported from the base of `case` with these arguments more.
fn logits(place: &Place, case: &str, more: &[&str], pixels: &Path) -> Vec<f32> {
    let (detector, output) = (place.path("detector.safetensors"), place.path("out.safetensors"));
    place.succeed(
        base(case).iter().map(String::as_str).chain(more.iter().copied()).chain(["--output", text(&detector)]),
    );
    let forward = ["forward", "--model", text(&detector), "--input", text(pixels), "--output", text(&output)];
    place.succeed(forward);
    tensors(&output)["logits"].1.clone()
}

fn error(found: &[f32], reference: &Path, name: &str) -> f32 {
    relative_error(found, &tensors(reference)[name].1)
}

#[test]
fn merged_adapters_of_every_transformer_give_the_logits_of_peft() {
    for case in ["clip", "dinov3", "pe", "vit"] {
        let place = Place::new();
        let folder = golden(&format!("peft/{case}"));
        let reference = folder.join("reference.safetensors");
        let found = logits(&place, case, &["--peft", text(&folder)], &reference);
        let off = error(&found, &reference, "logits");
        assert!(off < TOLERANCE, "{case}: merged logits are off by {off}");
        let file = folder.join("adapter_model.safetensors");
        assert_eq!(logits(&place, case, &["--peft", text(&file)], &reference), found, "{case}: by the file's name");
        // Without the adapter the same input gives what PEFT's base gave, which is another answer.
        let head = golden("clip_tiny/head1.safetensors");
        let head = if case == "clip" { vec!["--head", text(&head)] } else { Vec::new() };
        let plain = logits(&place, case, &head, &reference);
        assert!(error(&plain, &reference, "base_logits") < TOLERANCE, "{case}: the base");
        assert!(error(&plain, &reference, "logits") > 0.05, "{case}: the adapter changes nothing");
    }
}

#[test]
fn an_adapter_of_a_lone_tower_goes_with_a_head_from_elsewhere_and_into_a_whole_clip() {
    let place = Place::new();
    let (adapter, head) = (golden("lora_adapter"), golden("clip_tiny/head1.safetensors"));
    let reference = golden("lora_step.safetensors");
    let pixels = place.path("pixels.safetensors");
    let (shape, values) = tensors(&reference)["pixel_values"].clone();
    write(&pixels, &[("pixel_values", &shape[1..], &values[..values.len() / 2])]);
    for whole in ["model", "model_v4", "whole/model"] {
        let input = golden(&format!("clip_tiny/{whole}.safetensors"));
        let (detector, output) = (place.path("detector.safetensors"), place.path("out.safetensors"));
        let import = ["import", "--from", "hf-clip", "--heads", "2", "--input", text(&input), "--peft", text(&adapter)];
        place.succeed(import.iter().chain(&["--head", text(&head), "--output", text(&detector)]));
        place.succeed(["forward", "--model", text(&detector), "--input", text(&pixels), "--output", text(&output)]);
        let off = error(&tensors(&output)["logits"].1, &reference, "logits");
        assert!(off < TOLERANCE, "{whole}: off by {off}");
    }
}

/// Writes f32 tensors.
fn write(path: &Path, contents: &[(&str, &[usize], &[f32])]) {
    use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
    let bytes: Vec<Vec<u8>> =
        contents.iter().map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = contents.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        ((*name).to_owned(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).expect("a tensor"))
    });
    serialize_to_file(views, None, path).expect("written");
}

/// What a tensor of an adapter is called instead; none to leave it out.
type Renaming = fn(&str) -> Option<String>;

/// A copy of an adapter, with its configuration and the names of its tensors changed.
fn changed(place: &Place, case: &str, config: &Value, rename: Renaming) -> PathBuf {
    let (from, folder) = (golden(&format!("peft/{case}")), place.path("adapter"));
    std::fs::create_dir_all(&folder).expect("made");
    let text = std::fs::read(from.join("adapter_config.json")).expect("read");
    let mut document: Value = serde_json::from_slice(&text).expect("JSON");
    document.as_object_mut().expect("an object").extend(config.as_object().expect("an object").clone());
    std::fs::write(folder.join("adapter_config.json"), document.to_string()).expect("written");
    let stored = tensors(&from.join("adapter_model.safetensors"));
    let named: Vec<(String, &Vec<usize>, &Vec<f32>)> =
        stored.iter().filter_map(|(name, (shape, values))| Some((rename(name)?, shape, values))).collect();
    let views: Vec<(&str, &[usize], &[f32])> =
        named.iter().map(|(name, shape, values)| (name.as_str(), shape.as_slice(), values.as_slice())).collect();
    write(&folder.join("adapter_model.safetensors"), &views);
    folder
}

#[test]
fn the_names_of_a_training_checkpoint_have_the_adapters_name_inside() {
    let place = Place::new();
    let reference = golden("peft/clip/reference.safetensors");
    let within: Renaming = |name| {
        let named = name.replace("lora_A.", "lora_A.default.").replace("lora_B.", "lora_B.default.");
        Some(
            ["classifier.", "post_layernorm."]
                .iter()
                .fold(named, |name, module| name.replace(module, &format!("{module}modules_to_save.default."))),
        )
    };
    let folder = changed(&place, "clip", &json!({}), within);
    let found = logits(&place, "clip", &["--peft", text(&folder)], &reference);
    assert!(error(&found, &reference, "logits") < TOLERANCE);
}

#[test]
fn what_cannot_be_merged_is_refused_by_its_name_and_nothing_is_written() {
    let same: Renaming = |name| Some(name.to_owned());
    let place = Place::new();
    let output = place.path("refused.safetensors");
    let refused = |case: &str, folder: &Path, more: &[&str]| {
        let peft = ["--peft", text(folder), "--output", text(&output)];
        let said = place.fail(base(case).iter().map(String::as_str).chain(peft).chain(more.iter().copied()));
        assert!(!output.exists(), "{said}");
        said
    };
    let by_config = [
        (json!({ "use_dora": true }), "DoRA"),
        (json!({ "bias": "lora_only" }), "`bias`"),
        (json!({ "peft_type": "IA3" }), "IA3"),
        (json!({ "r": 5 }), "rank 4"),
        (json!({ "modules_to_save": ["post_layernorm"] }), "classifier"),
        (json!({ "target_modules": ["q_proj"] }), "target_modules"),
        (
            json!({ "auto_mapping": { "base_model_class": "CLIPForImageClassification", "parent_library": "transformers.models" } }),
            "CLIPForImageClassification",
        ),
        (json!({ "auto_mapping": null, "task_type": "SEQ_CLS" }), "SEQ_CLS"),
    ];
    for (config, word) in by_config {
        let said = refused("clip", &changed(&place, "clip", &config, same), &[]);
        assert!(said.contains(word) && said.contains("merge_and_unload"), "{config}: {said}");
    }
    let by_names: [(Renaming, &str); 4] = [
        (|name| (!name.ends_with("layers.0.mlp.fc1.lora_B.weight")).then(|| name.to_owned()), "one of two"),
        (|name| Some(name.replace("encoder.layers.1.", "encoder.layers.7.")), "layers.7"),
        (|name| Some(name.replace("self_attn.q_proj", "cross.q_proj")), "cross.q_proj"),
        (
            |name| Some(name.replace("layers.0.mlp.fc1.lora_A.weight", "layers.0.mlp.fc1.lora_magnitude_vector")),
            "neither",
        ),
    ];
    for (rename, word) in by_names {
        let said = refused("clip", &changed(&place, "clip", &json!({}), rename), &[]);
        assert!(said.contains("adapter") && said.contains(word), "{said}");
    }
    // Of another base, with a second head, without its description, and from an empty folder.
    let said = refused("dinov3", &golden("peft/pe"), &[]);
    assert!(said.contains("DINOv3"), "{said}");
    let said = refused("clip", &golden("peft/clip"), &["--head", text(&golden("clip_tiny/head1.safetensors"))]);
    assert!(said.contains("leave out `--head"), "{said}");
    let alone = changed(&place, "clip", &json!({}), same);
    std::fs::remove_file(alone.join("adapter_config.json")).expect("removed");
    assert!(refused("clip", &alone, &[]).contains("adapter_config.json"));
    std::fs::remove_file(alone.join("adapter_model.safetensors")).expect("removed");
    assert!(refused("clip", &alone, &[]).contains("save_pretrained"));
}
