//! Several detectors on one input: what each says, what they say together, and that they share frames and faces.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Place, clip, golden, json_lines, sample, text};

/// A copy of the bundled detector under a name of its own: another file that says the same.
fn renamed(place: &Place) -> PathBuf {
    let output = place.path("renamed.safetensors");
    let quantize = ["quantize", "--model", "unmask-lite", "--dtype", "f16", "--name", "renamed", "--output"];
    place.succeed(quantize.iter().chain(&[text(&output)]));
    output
}

/// A detector whose head is random.
fn untrained(place: &Place) -> PathBuf {
    let (input, output) = (golden("clip_tiny/model.safetensors"), place.path("fresh.safetensors"));
    place.succeed(["import", "--from", "hf-clip", "--input", text(&input), "--output", text(&output)]);
    output
}

/// The one report on an input by these detectors.
fn report(place: &Place, input: &str, models: &[&str], more: &[&str]) -> Value {
    let models = models.iter().flat_map(|model| ["--model", model]);
    json_lines(&place.succeed(["score", "--jsonl", input].into_iter().chain(models).chain(more.iter().copied())))
        .remove(0)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn detectors_that_agree_are_believed_and_stand_side_by_side() {
    let place = Place::new();
    let (path, other) = (sample("fake.mp4"), renamed(&place));
    let alone = report(&place, text(&path), &["unmask-lite"], &[]);
    let joint = report(&place, text(&path), &["unmask-lite", text(&other)], &[]);
    assert!(alone.get("opinions").is_none(), "{alone}");
    assert_eq!((&joint["verdict"], &joint["reason"]), (&"likely_fake".into(), &Value::Null), "{joint}");
    let opinions = joint["opinions"].as_array().expect("opinions");
    let names: Vec<&Value> = opinions.iter().map(|opinion| &opinion["model"]["name"]).collect();
    assert_eq!(names, ["unmask-lite", "renamed"]);
    for opinion in opinions {
        assert_eq!((&opinion["verdict"], &opinion["score"]), (&alone["verdict"], &alone["score"]));
        assert_eq!(opinion["caveats"], serde_json::json!(["weak_detector"]));
    }
    for key in ["version", "input", "score", "model", "video", "tracks", "frames"] {
        assert_eq!(joint[key], alone[key], "{key}: of two that say the same it is that of one");
    }
}

#[test]
fn an_untrained_detector_beside_a_trained_one_leaves_nothing_decided_and_is_named() {
    let Some(path) = clip("real_liveportrait_d5.mp4") else { return };
    let place = Place::new();
    let fresh = untrained(&place);
    let joint = report(&place, text(&path), &["unmask-lite", text(&fresh)], &["--frames", "6"]);
    assert_eq!(joint["verdict"], "uncertain");
    let reason = joint["reason"].as_str().expect("a reason");
    assert!(reason.contains("unmask-lite says ") && reason.ends_with(", untrained)"), "{reason}");
    let opinions = joint["opinions"].as_array().expect("opinions");
    assert!(opinions[1]["reason"].as_str().expect("a reason").contains("untrained"), "{opinions:?}");
    let mean = opinions.iter().map(|opinion| number(&opinion["score"])).sum::<f64>() / 2.0;
    assert!((number(&joint["score"]) - mean).abs() < 1e-6, "{joint}");
    assert_eq!(number(&joint["tracks"][0]["score"]), number(&opinions[0]["score"]), "tracks are the first one's");
}

#[test]
fn detectors_that_disagree_on_a_fake_are_uncertain_on_the_terminal_and_on_its_page() {
    let place = Place::new();
    let (path, folder, fresh) = (sample("fake.mp4"), place.path("reports"), untrained(&place));
    let arguments =
        ["score", text(&path), "--model", "unmask-lite", "--model", text(&fresh), "--report", text(&folder)];
    let summary = place.succeed(arguments);
    let disagreement = "the detectors disagree: unmask-lite says likely fake (";
    assert!(summary.contains(&format!("  because {disagreement}")), "{summary}");
    let rows: Vec<Vec<&str>> = summary.lines().map(|line| line.split_whitespace().collect()).collect();
    let row = |name: &str| rows.iter().find(|row| row.first() == Some(&name) && row.len() < 6).expect(name);
    assert_eq!(row("detector")[1..], ["verdict", "P(fake)", "grade"]);
    assert_eq!((row("unmask-lite")[1..3].to_vec(), row("unmask-lite")[4]), (vec!["likely", "fake"], "weak"));
    assert_eq!((row("fresh")[1], row("fresh")[3]), ("uncertain", "untrained"));
    assert!(summary.contains("only where every detector says so"), "{summary}");
    assert!(summary.contains("per frame by unmask-lite"), "{summary}");
    let page = std::fs::read_to_string(folder.join("fake.mp4.html")).expect("a page");
    for words in [
        disagreement,
        "<h2 id=\"opinions\">What each detector says</h2>",
        "<th scope=\"row\">unmask-lite</th><td>likely fake</td>",
        "<th scope=\"row\">fresh</th><td>uncertain</td>",
        "only where every detector says so",
        "<li>With fresh: the detector",
    ] {
        assert!(page.contains(words), "no {words} in {page}");
    }
    assert!(!page.contains("This detector is untrained"), "the other one is trained: {page}");
    let written = std::fs::read(folder.join("fake.mp4.json")).expect("JSON");
    let written: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(written["opinions"].as_array().map(Vec::len), Some(2));
}

#[test]
fn without_a_face_all_detectors_say_so_together() {
    let place = Place::new();
    let joint =
        report(&place, text(&sample("no_face.mp4")), &["unmask-lite", text(&untrained(&place))], &["--frames", "4"]);
    assert_eq!((&joint["verdict"], &joint["score"]), (&"no_face".into(), &Value::Null));
    assert!(joint["reason"].as_str().expect("a reason").starts_with("no face was found"), "{joint}");
}

#[test]
fn the_largest_number_of_frames_counts_and_every_detector_sees_the_same_ones() {
    let place = Place::new();
    let of_frames = |name: &str, frames: u64| {
        place.redescribed(&place.detector(), name, |description| description["sampling"]["frames"] = frames.into())
    };
    let (few, more) = (of_frames("few.safetensors", 5), of_frames("more.safetensors", 9));
    let path = sample("real.mp4");
    let sampled = |models: &[&str], more: &[&str]| {
        let report = report(&place, text(&path), models, more);
        (report["video"]["frames_sampled"].as_u64(), report["frames"].as_array().map(Vec::len))
    };
    assert_eq!(sampled(&[text(&few), text(&more)], &[]), (Some(9), Some(9)));
    assert_eq!(sampled(&[text(&few)], &[]), (Some(5), Some(5)));
    assert_eq!(sampled(&[text(&few), text(&more)], &["--frames", "3"]), (Some(3), Some(3)));
}

#[cfg(unix)]
#[test]
fn a_second_detector_costs_no_second_decoding() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let (log, program) = (place.path("runs.log"), place.path("ffmpeg.sh"));
    let script = format!("#!/bin/sh\necho run >> '{}'\nexec {} \"$@\"\n", text(&log), crate::support::FFMPEG);
    std::fs::write(&program, script).expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    let (path, other) = (sample("real.mp4"), place.detector());
    let runs = |models: &[&str]| {
        let _ = std::fs::remove_file(&log);
        let models = models.iter().flat_map(|model| ["--model", model]);
        let arguments = ["score", text(&path), "--frames", "6"].into_iter().chain(models);
        let output =
            place.unmask().env("UNMASK_FFMPEG", &program).args(arguments).output().expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read_to_string(&log).expect("the script was run").lines().count()
    };
    let alone = runs(&["unmask-lite"]);
    assert!(alone > 0);
    assert_eq!(runs(&["unmask-lite", text(&other)]), alone);
}

#[test]
fn the_same_detector_twice_a_base_and_an_adapter_are_refused_with_a_way_out() {
    let place = Place::new();
    let (path, detector, copy) = (sample("real.mp4"), place.detector(), place.path("copy.safetensors"));
    std::fs::copy(&detector, &copy).expect("copied");
    let score = |more: &[&str]| place.fail(["score", text(&path)].iter().chain(more));
    for models in [["unmask-lite", "unmask-lite"], [text(&detector), text(&copy)]] {
        let said = score(&["--model", models[0], "--model", models[1]]);
        assert!(said.contains(&format!("--model names {}", models[1])) && said.contains("another detector"), "{said}");
    }
    let said = score(&["--model", "unmask-lite", "--model", text(&detector), "--base", text(&copy)]);
    assert!(said.contains("--base goes with one --model") && said.contains("detector.safetensors"), "{said}");
    let (input, head) = (golden("clip_tiny/model.safetensors"), golden("clip_tiny/head1.safetensors"));
    let adapter = place.path("adapter.safetensors");
    let import = ["import", "--from", "hf-clip", "--input", text(&input), "--head", text(&head)];
    place.succeed(import.iter().chain(&["--adapter-for", text(&detector), "--output", text(&adapter)]));
    let said = score(&["--model", "unmask-lite", "--model", text(&adapter)]);
    assert!(said.contains("is an adapter") && said.contains("a whole detector is needed"), "{said}");
}
