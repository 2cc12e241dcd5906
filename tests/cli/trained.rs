//! What a run leaves: a summary that fits it, a detector with a name of its own, and files that are what they say.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Place, golden, sample, tensors, text};
use crate::training::{arguments, easy_set, recipe_from};

/// A run over `data` with these further arguments, which must succeed; gives its folder.
fn trained(place: &Place, data: &Path, strategy: &str, name: &str, more: &[&str]) -> PathBuf {
    let (recipe, out) = (recipe_from(place, &place.detector_of_small_crops(), strategy, 1), place.path(name));
    place.succeed(arguments(&recipe, data, &out).iter().chain(more));
    out
}

fn summary(run: &Path) -> String {
    fs::read_to_string(run.join("summary.md")).expect("a summary")
}

fn sha256(path: &Path) -> String {
    Sha256::digest(fs::read(path).expect("a file")).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_summary_says_what_was_done_and_nothing_that_was_not() {
    let place = Place::new();
    let data = easy_set(&place);
    let one = summary(&trained(&place, &data, "ln", "one", &[]));
    assert!(one.starts_with("# tiny\n\nLayer norms and head trained from small, 1 epoch, validation AUC 0."), "{one}");
    assert!(one.contains("It started from small, which was trained elsewhere;"), "{one}");
    assert!(one.contains("On 20 real and 20 fake validation videos of easy the detector"), "{one}");
    assert!(one.contains("In the epoch that ended with these weights the AUC over the training clips was 0."), "{one}");
    // Nothing was chosen of one epoch, strategies that were used are no advice, and no number has a sign.
    for wrong in ["1 epochs", "chosen", "arrow", "←", "\"ln\"", "+0", "-0", "cannot be compared"] {
        assert!(!one.contains(wrong), "{wrong}: {one}");
    }
    let more = ["--set", "run.epochs=3", "--set", "loss.label_smoothing=0.1", "--set", "data.self_blended=true"];
    let three = summary(&trained(&place, &data, "full", "three", &more));
    assert!(three.contains("20 real and 20 self-blended fake validation videos of easy"), "{three}");
    assert!(three.contains("3 epochs on self") || three.contains(" of 3 on self-blended images"), "{three}");
    assert!(three.matches('←').count() == 1 && three.contains("The arrow is at the epoch that was chosen"), "{three}");
    assert!(three.contains("The epoch was chosen by these videos") && three.contains("cannot be compared"), "{three}");
    let real = data.join("manifest.jsonl");
    let lines = fs::read_to_string(&real).expect("the manifest");
    let kept = lines.lines().filter(|line| !line.contains("val_fake"));
    fs::write(&real, kept.map(|line| format!("{line}\n")).collect::<String>()).expect("the manifest");
    let without = summary(&trained(&place, &data, "head", "without", &[]));
    assert!(without.starts_with("# tiny\n\nHead trained from small, 1 epoch.\n"), "{without}");
    assert!(without.contains("On 20 real and 0 fake validation videos of easy no AUC can be given"), "{without}");
}

#[test]
fn a_run_is_refused_the_name_of_another_detector_and_what_it_leaves_is_told_from_its_start() {
    let place = Place::new();
    let data = easy_set(&place);
    let first = trained(&place, &data, "head", "first", &[]).join("detector.safetensors");
    let (recipe, out) = (recipe_from(&place, &first, "head", 1), place.path("second"));
    for taken in ["tiny", "Tiny", "unmask-lite", "gend-clip-l-14"] {
        let name = format!("name={taken}");
        let refusal = place.fail(arguments(&recipe, &data, &out).iter().chain(&["--set", &name]));
        assert!(refusal.contains(&format!("`{taken}`")) && refusal.contains("--set name="), "{refusal}");
        assert!(!out.exists(), "nothing is begun");
    }
    place.succeed(arguments(&recipe, &data, &out).iter().chain(&["--set", "name=second"]));
    let second = out.join("detector.safetensors");
    let info: Value = serde_json::from_str(&place.succeed(["info", text(&second), "--json"])).expect("JSON");
    let detector = &info["detector"];
    assert_eq!((&detector["name"], &info["sha256"]), (&json!("second"), &json!(sha256(&second))));
    assert!(detector["training"]["summary"].as_str().is_some_and(|said| said.contains("from tiny, 1 epoch")), "{info}");
    assert_eq!(detector["base_model"], "tiny, made from small, made from model.safetensors");
    let printed = place.succeed(["score", text(&sample("no_face.mp4")), "--frames", "1", "--model", text(&second)]);
    let digits = &sha256(&second)[..8];
    assert!(printed.contains("model second (") && printed.contains(&format!("SHA-256 {digits}")), "{printed}");
}

#[test]
fn an_evaluation_names_the_file_that_it_measured() {
    let place = Place::new();
    let (data, model, out) = (easy_set(&place), place.detector_of_small_crops(), place.path("results"));
    let calibrated = place.path("calibrated.safetensors");
    let eval = ["eval", "--model", text(&model), "--data", text(&data), "--split", "train", "--out", text(&out)];
    for (more, measured) in [(&[][..], &model), (&["--calibrate", text(&calibrated)][..], &calibrated)] {
        place.succeed(eval.iter().chain(more));
        let said = fs::read_to_string(out.join("summary.md")).expect("a summary");
        assert!(said.contains(&sha256(measured)), "{said}");
        let figures = fs::read(out.join("summary.json")).expect("a summary");
        let figures: Value = serde_json::from_slice(&figures).expect("JSON");
        assert_eq!(figures["sha256"], sha256(measured));
    }
}

/// The scores of some given pixels, or the sentence by which they are refused.
fn forward(place: &Place, model: &Path, base: Option<&Path>) -> Result<Vec<f32>, String> {
    let (input, output) = (golden("clip_tiny/reference.safetensors"), place.path("scores.safetensors"));
    let mut all = vec!["forward", "--model", text(model), "--input", text(&input), "--output", text(&output)];
    all.extend(base.into_iter().flat_map(|base| ["--base", text(base)]));
    let ran = place.run(all);
    match ran.status.success() {
        true => Ok(tensors(&output)["score"].1.clone()),
        false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
    }
}

#[test]
fn a_file_with_every_tensor_is_a_whole_detector_whatever_it_says_of_a_base() {
    let place = Place::new();
    let data = easy_set(&place);
    let run = trained(&place, &data, "full", "run", &[]);
    let whole = run.join("detector.safetensors");
    let marked = place.redescribed(&whole, "marked.safetensors", |description| {
        description["adapter"] = json!({ "base_sha256": "0".repeat(64) });
    });
    let scores = forward(&place, &whole, None).expect("scores");
    assert_eq!(forward(&place, &marked, None).as_ref(), Ok(&scores));
    let refusal = forward(&place, &marked, Some(&whole)).expect_err("no base is needed");
    assert!(refusal.contains("is a whole detector"), "{refusal}");
    for model in [&marked, &run.join("best.safetensors")] {
        let told = place.succeed(["info", text(model)]);
        assert!(!told.contains("adapter for") && told.contains("fully fine-tuned from small"), "{told}");
    }
    trained(&place, &data, "head", "again", &["--start-from", text(&marked), "--set", "name=again"]);
    // The best so far is a detector as well, under the recipe's name, and says that nothing was calibrated.
    let best = run.join("best.safetensors");
    assert!(tensors(&best) == tensors(&whole), "the weights differ");
    let told = place.succeed(["info", text(&best)]);
    assert!(told.contains("tiny") && told.contains("its run has fitted none so far"), "{told}");
    trained(&place, &data, "head", "further", &["--start-from", text(&best), "--set", "name=further"]);
}

#[test]
fn an_adapter_is_refused_where_a_run_starts_with_what_to_name_and_elsewhere_by_its_base() {
    let place = Place::new();
    let data = easy_set(&place);
    let run = trained(&place, &data, "ln", "run", &[]);
    let (recipe, out) = (recipe_from(&place, &place.detector_of_small_crops(), "head", 1), place.path("out"));
    for adapter in ["best.safetensors", "adapter.safetensors"].map(|name| run.join(name)) {
        let start = ["--start-from", text(&adapter), "--set", "name=further"];
        let refusal = place.fail(arguments(&recipe, &data, &out).iter().chain(&start));
        assert!(refusal.contains("is an adapter") && refusal.contains("detector.safetensors"), "{refusal}");
        assert!(!refusal.contains("--base") && !out.exists(), "{refusal}");
        let refusal = forward(&place, &adapter, None).expect_err("a base is needed");
        let base = place.detector_of_small_crops();
        assert!(refusal.contains(&sha256(&base)) && refusal.contains("--base FILE"), "{refusal}");
        assert!(place.succeed(["info", text(&adapter)]).contains("adapter for"), "{}", adapter.display());
    }
}
