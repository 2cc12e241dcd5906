//! `unmask explain` shows what a score came from, and the page of a report does.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{FFMPEG, Place, golden, sample, text};

fn document(folder: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.join("explanation.json")).expect("numbers")).expect("JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|number| number.as_f64().expect("a number")).collect()
}

#[test]
fn every_scored_face_of_a_fake_has_maps_that_lean_to_its_score_and_all_is_written() {
    let place = Place::new();
    let (clip, out) = (sample("fake.mp4"), place.path("out"));
    let said = place.succeed(["explain", text(&clip), "--output", text(&out), "--frames", "12", "--control"]);
    assert!(said.contains("likely fake") && said.contains("Grad-CAM"), "{said}");
    let scored = place.succeed(["score", text(&clip), "--frames", "12", "--json"]);
    let report: Value = serde_json::from_str(&scored).expect("JSON");
    let scores: Vec<f64> = report["frames"]
        .as_array()
        .expect("frames")
        .iter()
        .flat_map(|frame| frame["faces"].as_array().expect("faces"))
        .filter_map(|face| face["score"].as_f64())
        .collect();
    let document = document(&out);
    assert_eq!(document["method"], "gradcam");
    let faces = document["faces"].as_array().expect("faces");
    assert_eq!(faces.len(), scores.len());
    for (face, score) in faces.iter().zip(&scores) {
        // One document has numbers of 32 bits in their shortest form, the other as 64 bits have them.
        assert!((face["score"].as_f64().expect("a score") - score).abs() < 1e-6);
    }
    for face in faces {
        let (side, fake, real) =
            (face["side"].as_u64().expect("a side"), numbers(&face["fake"]), numbers(&face["real"]));
        assert_eq!((fake.len() as u64, real.len() as u64), (side * side, side * side));
        assert!(fake.iter().chain(&real).all(|value| *value >= 0.0) && face["share"] == 1.0);
        // Nothing speaks for both at one place, and what speaks for a fake is more where it is called one.
        assert!(fake.iter().zip(&real).all(|(fake, real)| *fake == 0.0 || *real == 0.0));
        let lead = fake.iter().sum::<f64>() - real.iter().sum::<f64>();
        let score = face["score"].as_f64().expect("a score");
        assert!(lead > 0.0 || score < 0.6, "a score of {score} with a lead of {lead}");
    }
    let sheet = image::open(out.join("sheet.png")).expect("a sheet").into_rgb8();
    assert!(sheet.width() > 4 * 224 && sheet.height() > 8 * 224, "{:?}", sheet.dimensions());
    assert_eq!(fs::read_dir(out.join("frames")).expect("frames").count(), 8);
    let frames = std::process::Command::new(FFMPEG)
        .args(["-loglevel", "info", "-nostdin", "-i", text(&out.join("explanation.mp4")), "-f", "null", "-"])
        .output()
        .expect("ffmpeg");
    let words = String::from_utf8_lossy(&frames.stderr).into_owned();
    assert!(frames.status.success() && words.contains("frame=   12"), "{words}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(out.join("explanation.mp4")).expect("a video").permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "others may read it");
    }
    let left: Vec<String> = fs::read_dir(&out)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

#[test]
fn a_detector_of_clips_has_a_map_for_each_frame_and_its_frames_share_what_speaks() {
    let place = Place::new();
    let (clip, out, model) = (sample("fake.mp4"), place.path("out"), golden("stan_attention.safetensors"));
    let arguments = ["explain", text(&clip), "--model", text(&model), "--output", text(&out), "--frames", "12"];
    place.succeed(arguments.iter().chain(&["--even-if-uncertain", "--no-video"]));
    assert!(!out.join("explanation.mp4").exists());
    let document = document(&out);
    assert_eq!(document["method"], "attention");
    let faces = document["faces"].as_array().expect("faces");
    assert_eq!(faces.len(), 12);
    let shares: Vec<f64> = faces.iter().map(|face| face["share"].as_f64().expect("a share")).collect();
    // The first clip has eight frames of its own; the second repeats its last frame, whose copies are not shown.
    assert!((shares[..8].iter().sum::<f64>() - 1.0).abs() < 1e-4, "{shares:?}");
    assert!(shares[8..].iter().sum::<f64>() < 1.0 && shares.iter().all(|share| *share > 0.0), "{shares:?}");
    assert!(shares[..8].iter().any(|share| (share - shares[0]).abs() > 1e-4), "frames differ: {shares:?}");
}

#[test]
fn nothing_is_shown_that_would_suggest_more_than_is_known() {
    let place = Place::new();
    let out = place.path("out");
    let explain = |clip: &str, more: &[&str]| {
        let clip = sample(clip);
        let mut arguments: Vec<String> =
            ["explain", text(&clip), "--output", text(&out), "--frames", "8"].map(str::to_owned).into();
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        arguments
    };
    let said = place.fail(explain("no_face.mp4", &[]));
    assert!(said.contains("no face"), "{said}");
    let said = place.fail(explain("fake.mp4", &["--method", "attention"]));
    assert!(said.contains("leave --method out"), "{said}");
    let model = place.detector();
    let said = place.fail(explain("fake.mp4", &["--model", "unmask-lite", "--model", text(&model)]));
    assert!(said.contains("one detector"), "{said}");
    let untrained = golden("stan_conv.safetensors");
    let uncertain = ["score", text(&sample("real.mp4")), "--model", text(&untrained), "--json"].map(str::to_owned);
    let report: Value = serde_json::from_str(&place.succeed(uncertain)).expect("JSON");
    assert_eq!(report["verdict"], "uncertain", "the test needs an uncertain verdict");
    let said = place.fail(explain("real.mp4", &["--model", text(&untrained)]));
    assert!(said.contains("--even-if-uncertain"), "{said}");
    assert!(!out.exists(), "nothing was written");
}

#[test]
fn a_page_shows_where_the_detector_looked_only_where_it_answers_or_where_that_is_asked_for() {
    let place = Place::new();
    let page = |folder: &str, more: &[&str]| {
        let (clip, out) = (sample("fake.mp4"), place.path(folder));
        let arguments = ["score", text(&clip), "--frames", "8", "--report", text(&out)];
        place.succeed(arguments.iter().chain(more));
        fs::read_to_string(out.join("fake.mp4.html")).expect("a page")
    };
    let words = "What speaks for fake in it, by the detector";
    assert!(page("decided", &[]).matches(words).count() >= 4);
    assert_eq!(page("never", &["--maps", "never"]).matches(words).count(), 0);
    let (uncertain, asked) = (place.detector(), "by the detector: the lighter, the more");
    let model = ["--model", text(&uncertain)];
    let report: Value = serde_json::from_str(&place.succeed([
        "score",
        text(&sample("fake.mp4")),
        "--frames",
        "8",
        "--json",
        model[0],
        model[1],
    ]))
    .expect("JSON");
    if report["verdict"] == "uncertain" {
        assert_eq!(page("uncertain", &model).matches(asked).count(), 0);
    }
    assert!(page("always", &[model[0], model[1], "--maps", "always"]).matches(asked).count() >= 4);
}

#[test]
fn hiding_what_speaks_for_a_class_moves_the_score_more_than_hiding_anything_does() {
    let place = Place::new();
    let (table, out) = (place.path("clips.csv"), place.path("out"));
    for name in ["fake.mp4", "real.mp4"] {
        fs::copy(sample(name), place.path(name)).expect("copied");
    }
    fs::write(&table, "file,label\nfake.mp4,fake\nreal.mp4,real\n").expect("a table");
    place.succeed(["explain", "--data", text(&table), "--split", "all", "--measured", "12", "--output", text(&out)]);
    let measured: Value =
        serde_json::from_str(&fs::read_to_string(out.join("faithfulness.json")).expect("figures")).expect("JSON");
    for (class, times) in [("fakes", 1.0), ("reals", 2.0)] {
        let figure = |maps: &str, what: &str| measured[class][maps][what].as_f64().expect("a number");
        assert_eq!(measured[class]["faces"], 12);
        let (maps, random) = (figure("maps", "moved"), figure("random", "moved"));
        assert!(maps > 0.0 && maps > times * random, "{class}, hidden by the map {maps}, at random {random}");
        assert!(figure("maps", "deletion") < figure("random", "deletion"), "{class}");
        assert!(figure("maps", "saco") > figure("random", "saco") + 0.2, "{class}");
    }
    let inserted = |maps: &str| measured["fakes"][maps]["insertion"].as_f64().expect("a number");
    assert!(inserted("maps") > inserted("random"));
    assert!(measured["self_blended"]["faces"].as_u64().expect("a number") > 0);
}
