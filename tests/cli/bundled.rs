//! The detector that is part of the program, on photographs and clips that it was not trained on.

use std::fs;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::shared_data::shared_data;
use crate::support::{Place, clip, golden, json_lines, manifest_entries, people_where, root, sample, tensors, text};

/// Its file as the repository has it.
fn file() -> std::path::PathBuf {
    root().join("models/unmask-lite.safetensors")
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the rule for data without splits of its own puts a person into the test split.
fn is_held_out(person: &str) -> bool {
    let hash = Sha256::digest(format!("unmask split 1\0{person}"));
    let start: [u8; 8] = hash[..8].try_into().expect("eight bytes");
    u64::from_be_bytes(start) as f64 / 2f64.powi(64) >= 0.9
}

#[test]
fn without_a_model_score_uses_the_bundled_detector_and_names_it() {
    let place = Place::new();
    let Some(path) = clip("real_liveportrait_d1_512_0.5s.mp4") else { return };
    let bytes = fs::read(file()).expect("the bundled detector");
    assert!(bytes.len() <= 8_000_000, "{} bytes are more than a page should fetch", bytes.len());
    let reports = json_lines(&place.succeed(["score", "--jsonl", "--frames", "4", text(&path)]));
    let model = &reports[0]["model"];
    assert_eq!(model["name"], "unmask-lite");
    assert_eq!(model["sha256"], sha256(&bytes).as_str());
    assert_eq!(model["training"], "trained");
    assert_eq!(model["reliability"]["grade"], "weak");
    let words = model["reliability"]["words"].as_str().expect("words");
    assert!(words.contains("few kinds of fakes"), "{words}");
    assert!(model["error_rates"].as_str().is_some_and(|said| said.contains("likely fake (counted on")), "{model}");
    let caveats = reports[0]["caveats"].as_array().expect("a list");
    assert!(caveats.iter().any(|caveat| caveat["code"] == "weak_detector" && caveat["words"] == words), "{caveats:?}");
    assert!(reports[0]["score"].is_number());
    // By its name and by its file it is the same detector.
    for named in ["unmask-lite", text(&file())] {
        let again = json_lines(&place.succeed(["score", "--jsonl", "--frames", "4", text(&path), "--model", named]));
        assert_eq!(again[0]["score"], reports[0]["score"], "{named}");
    }
}

#[test]
fn the_bundled_detector_is_named_like_any_other_by_info_forward_and_quantize() {
    let place = Place::new();
    let info = place.succeed(["info", "unmask-lite"]);
    assert!(info.contains("EfficientNet-Lite") && info.contains("part of this program"), "{info}");
    assert!(info.contains("Apache-2.0") && !info.contains("untrained"), "{info}");
    assert!(info.contains("weak: the detector knows few kinds of fakes") && info.contains("error rates"), "{info}");
    let quantized = place.path("again.safetensors");
    place.succeed(["quantize", "--model", "unmask-lite", "--dtype", "f16", "--output", text(&quantized)]);
    let before = fs::read(file()).expect("the bundled detector");
    assert!(before == fs::read(&quantized).expect("written"), "f16 of f16 is the same file");
    // A detector of 160 pixels refuses others, so this also shows whose description is read.
    let input = golden("clip_tiny/reference.safetensors");
    assert!(tensors(&input).contains_key("pixel_values"));
    let arguments = ["forward", "--model", "unmask-lite", "--input", text(&input), "--output"];
    let output = place.path("out.safetensors");
    assert!(place.fail(arguments.iter().chain(&[text(&output)])).contains("160"));
}

#[test]
fn the_package_for_pages_and_the_card_name_the_bundled_file_by_its_sha_256() {
    let sha256 = sha256(&fs::read(file()).expect("the bundled detector"));
    for name in ["wasm/js/bundled.js", "models/unmask-lite.md"] {
        assert!(fs::read_to_string(root().join(name)).expect("read").contains(&sha256), "{name} names another file");
    }
}

#[test]
fn the_bundled_detector_tells_self_blended_faces_of_people_it_never_saw() {
    let place = Place::new();
    let Some(input) = people_where(&place, |index, name| index < 2000 && is_held_out(name)) else { return };
    let (crops, out) = (place.path("crops"), place.path("results"));
    let preprocess = ["preprocess", "--input", text(&input), "--output", text(&crops)];
    place.succeed(preprocess.iter().chain(&["--layout", "faces", "--faces", "centre", "--for", "unmask-lite"]));
    let entries = manifest_entries(&crops);
    assert!(entries.len() > 250, "{} photographs", entries.len());
    assert!(entries.iter().all(|entry| entry["split"] == "test"), "somebody here was trained on");
    let model = ["eval", "--model", "unmask-lite", "--data", text(&crops), "--out", text(&out)];
    place.succeed(model.iter().chain(&["--self-blended"]));
    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).expect("a summary")).expect("JSON");
    let auc = &summary["datasets"][0]["videos"]["auc"];
    assert!(auc["value"].as_f64().is_some_and(|auc| auc >= 0.85), "AUC {auc}");
    assert!(auc["interval"]["low"].as_f64().is_some_and(|low| low > 0.81), "AUC {auc}");
}

#[test]
fn the_bundled_detector_calls_no_real_clip_likely_fake() {
    let place = Place::new();
    let Some(clips) = shared_data("clips") else { return };
    let paths = fs::read_dir(clips).expect("listed").map(|item| item.expect("listed").path());
    let real: Vec<_> = paths.filter(|path| text(path).contains("/real_")).collect();
    let named = real.iter().map(|path| text(path));
    let reports = json_lines(&place.succeed(["score", "--jsonl", "--frames", "8"].into_iter().chain(named)));
    assert_eq!(reports.len(), real.len());
    for report in reports {
        assert!(report["score"].is_number() && report["verdict"] != "likely_fake", "{report}");
    }
}

#[test]
fn the_bundled_detector_tells_the_sample_clips_apart() {
    let place = Place::new();
    let verdict = |name: &str| {
        let report = json_lines(&place.succeed(["score", "--jsonl", text(&sample(name))])).remove(0);
        report["verdict"].as_str().map(str::to_owned)
    };
    assert_eq!(verdict("fake.mp4").as_deref(), Some("likely_fake"));
    assert_eq!(verdict("real.mp4").as_deref(), Some("likely_real"));
}

#[test]
fn the_bundled_detector_puts_a_swap_above_the_video_that_it_was_made_of() {
    let place = Place::new();
    let names = ["fake_ffpp_deepfakes_519_515_480p.mp4", "real_ffpp_519_480p.mp4"];
    let [Some(fake), Some(real)] = names.map(clip) else { return };
    let reports = json_lines(&place.succeed(["score", "--jsonl", text(&fake), text(&real)]));
    let [fake, real] = [&reports[0], &reports[1]].map(|report| report["score"].as_f64().expect("a score"));
    assert!(fake > real + 0.1, "{fake} and {real}");
}
