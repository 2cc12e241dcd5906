//! Detectors with weights of 8-bit integers: what `unmask quantize --dtype int8` writes, says and refuses.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::kinds::{fresh, fresh_changed};
use crate::shared_data::shared_data;
use crate::support::{Place, tensors, text};
use crate::training::{arguments, easy_set, recipe_from};

/// A transformer whose weights are most of its file.
fn clip() -> Value {
    json!({
        "kind": "clip", "image_size": 32, "patch_size": 8, "width": 96, "depth": 3, "heads": 4, "mlp": 384, "head": "1mlp"
    })
}

fn int8<'a>(model: &'a Path, data: &'a Path, output: &'a Path) -> [&'a str; 9] {
    ["quantize", "--model", text(model), "--dtype", "int8", "--data", text(data), "--output", text(output)]
}

fn info(place: &Place, model: &Path) -> Value {
    serde_json::from_str(&place.succeed(["info", text(model), "--json"])).expect("JSON")
}

/// The features of `unmask forward` for pixels that are always the same.
fn features(place: &Place, model: &Path) -> Vec<f32> {
    let (input, output) = (place.path("pixels.safetensors"), place.path("answers.safetensors"));
    let values: Vec<u8> =
        (0..4 * 3 * 32 * 32).flat_map(|index| ((index as f32 * 0.37).sin() * 2.0).to_le_bytes()).collect();
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![4, 3, 32, 32], &values).expect("a tensor");
    safetensors::serialize_to_file([("pixel_values", view)], None, &input).expect("written");
    place.succeed([
        "forward",
        "--model",
        text(model),
        "--input",
        text(&input),
        "--output",
        text(&output),
        "--device",
        "cpu",
    ]);
    tensors(&output)["features"].1.clone()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// A detector of integers, and the one that it was made of.
fn made(place: &Place) -> [PathBuf; 2] {
    let (whole, output) = (fresh(place, "whole", &clip()), place.path("integers.safetensors"));
    place.succeed(int8(&whole, &easy_set(place), &output));
    [whole, output]
}

#[test]
fn a_detector_of_integers_is_a_third_of_its_file_and_says_what_changed() {
    let place = Place::new();
    let [whole, output] = made(&place);
    let size = |path: &Path| fs::metadata(path).expect("there").len();
    assert!(3 * size(&output) < size(&whole), "{} of {}", size(&output), size(&whole));
    let document = info(&place, &output);
    let (quantization, before) = (&document["detector"]["quantization"], info(&place, &whole));
    assert_eq!(quantization["int8"], 18);
    assert_eq!(document["parameters"], before["parameters"], "factors are no parameters");
    assert!(before["detector"]["quantization"].is_null());
    assert!(document["detector"]["reference"]["logits"][1].is_number(), "other devices compute its weights as numbers");
    let check = &quantization["check"];
    assert_eq!([&check["real"], &check["fake"]], [40, 40], "the validation split");
    assert!(check["cosine"].as_f64().is_some_and(|cosine| (0.999..1.0).contains(&cosine)), "{check}");
    assert!(place.succeed(["info", text(&output)]).contains("18 weights of 8 bits: cosine of features 0.9"));
    let (before, after) = (features(&place, &whole), features(&place, &output));
    assert!(before != after && cosine(&before, &after) > 0.999, "{}", cosine(&before, &after));
}

#[test]
fn training_and_f16_take_a_detector_of_integers_as_any_other() {
    let place = Place::new();
    let [_, output] = made(&place);
    let half = place.path("half.safetensors");
    place.succeed(["quantize", "--model", text(&output), "--dtype", "f16", "--output", text(&half)]);
    assert!(info(&place, &half)["detector"]["quantization"].is_null());
    assert!(cosine(&features(&place, &half), &features(&place, &output)) > 0.999);
    let recipe = recipe_from(&place, &output, "ln", 1);
    let run = place.path("run");
    place.succeed(arguments(&recipe, &place.path("crops"), &run));
    let trained = run.join("detector.safetensors");
    assert!(info(&place, &trained)["detector"]["quantization"].is_null(), "what is written are numbers");
    let adapter = run.join("adapter.safetensors");
    place.succeed(["score", text(&place.path("crops")), "--model", text(&adapter), "--base", text(&output), "--jsonl"]);
}

#[test]
fn without_faces_that_it_can_be_measured_on_no_detector_is_written() {
    let place = Place::new();
    let (whole, output) = (fresh(&place, "whole", &clip()), place.path("integers.safetensors"));
    let without = ["quantize", "--model", text(&whole), "--dtype", "int8", "--output", text(&output)];
    assert!(place.fail(without).contains("needs --data"));
    let data = easy_set(&place);
    let few = int8(&whole, &data, &output);
    assert!(place.fail(few.iter().chain(&["--split", "test"])).contains("there are 0 faces"));
    assert!(place.fail(few.iter().chain(&["--frames", "1"])).contains("there are 40 faces"));
    let f16 = ["quantize", "--model", text(&whole), "--dtype", "f16", "--data", text(&data), "--output", text(&output)];
    assert!(place.fail(f16).contains("--data"));
    assert!(!output.exists());
}

/// Weights that are read by nothing and so large that they leave the others of their row no steps: `fc1` makes zeros of some
/// inputs of `fc2`, in so many layers.
fn spoil(layers: usize) -> impl Fn(&str, &mut [f32]) {
    move |name, values| {
        if !(0..layers).any(|layer| name.contains(&format!("layers.{layer}.mlp."))) {
            return;
        }
        match name {
            name if name.ends_with("fc1.weight") => values[..96].fill(0.0),
            name if name.ends_with("fc2.weight") => values.iter_mut().step_by(384).for_each(|value| *value = 3000.0),
            _ => {}
        }
    }
}

#[test]
fn a_block_that_integers_change_too_much_is_kept() {
    let place = Place::new();
    let whole = fresh_changed(&place, "whole", &clip(), 1.3, spoil(1));
    let output = place.path("integers.safetensors");
    let said = place.succeed(int8(&whole, &easy_set(&place), &output));
    let document = info(&place, &output);
    let kept = document["detector"]["quantization"]["kept"].as_array().expect("blocks").clone();
    assert!(kept.len() == 1 && kept[0].as_str().is_some_and(|name| name.ends_with("layers.0.mlp")), "{kept:?}");
    assert_eq!(document["detector"]["quantization"]["int8"], 16);
    assert!(said.contains("1 block kept in f16"), "{said}");
    assert!(cosine(&features(&place, &whole), &features(&place, &output)) > 0.999);
}

#[test]
fn a_detector_that_integers_change_too_much_everywhere_is_refused_with_the_figures() {
    let place = Place::new();
    // Attention makes zeros of the first number of each head, too.
    let everywhere = |name: &str, values: &mut [f32]| {
        spoil(3)(name, values);
        match name {
            name if name.ends_with("attention.value.weight") => values[..96].fill(0.0),
            name if name.ends_with("attention.output.weight") => {
                values.iter_mut().step_by(96).for_each(|value| *value = 3000.0);
            }
            _ => {}
        }
    };
    let whole = fresh_changed(&place, "whole", &clip(), 1.3, everywhere);
    let output = place.path("integers.safetensors");
    let run = place.run(int8(&whole, &easy_set(&place), &output));
    let errors = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(1), "{errors}");
    assert!(errors.contains("even with 3 of 6 blocks kept in f16: the features' cosine is 0."), "{errors}");
    assert!(!output.exists());
}

#[test]
fn a_file_that_says_of_itself_that_it_changes_too_much_is_refused() {
    let place = Place::new();
    let [_, output] = made(&place);
    let bad = place.redescribed(&output, "bad.safetensors", |description| {
        description["quantization"]["check"]["score_difference"] = json!(0.02);
    });
    let sentence = place.fail(["info", text(&bad)]);
    assert!(sentence.contains("`quantization.check` says that scores differ by 0.0200"), "{sentence}");
}

#[test]
fn the_bundled_detector_as_integers_judges_real_clips_as_before() {
    let place = Place::new();
    let Some(pairs) = shared_data("pairs") else { return };
    let root = place.path("pairs");
    for label in ["real", "fake"] {
        fs::create_dir_all(root.join(label)).expect("a folder");
        for number in ["01", "02", "03", "05"] {
            let name = format!("pair_{number}_{label}.mp4");
            fs::copy(pairs.join(&name), root.join(label).join(&name)).expect("copied");
        }
    }
    let (crops, output) = (place.path("crops"), place.path("integers.safetensors"));
    let preprocess =
        ["preprocess", "--input", text(&root), "--output", text(&crops), "--for", "unmask-lite", "--frames", "8"];
    place.succeed(preprocess);
    let quantize = int8(Path::new("unmask-lite"), &crops, &output);
    let said = place.succeed(quantize.iter().chain(&["--split", "all", "--frames", "8"]));
    println!("{said}");
    let size = fs::metadata(&output).expect("there").len();
    assert!(size < 4_200_000, "{size} bytes, where f16 takes 7 million");
    let document = info(&place, &output);
    let check = &document["detector"]["quantization"]["check"];
    assert!(
        check["auc"].is_array() && check["real"].as_u64() > Some(20) && check["fake"].as_u64() > Some(20),
        "{check}"
    );
    let score = |model: &str| -> f64 {
        let said = place.succeed([
            "score",
            text(&root.join("real/pair_01_real.mp4")),
            "--frames",
            "4",
            "--model",
            model,
            "--json",
        ]);
        serde_json::from_str::<Value>(&said).expect("JSON")["score"].as_f64().expect("a score")
    };
    let (before, after) = (score("unmask-lite"), score(text(&output)));
    assert!((before - after).abs() < 0.02, "{before} and {after}");
}
