//! What the program prints and writes when all is well.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Place, clip, golden, json_lines, tensors, text};

/// A small clip without a face.
fn pattern(place: &Place, name: &str) -> std::path::PathBuf {
    let path = place.path(name);
    place.ffmpeg(&["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1", text(&path)]);
    path
}

#[test]
fn the_json_report_has_the_documented_fields() {
    let Some(path) = clip("real_liveportrait_d5.mp4") else { return };
    let place = Place::new();
    let detector = place.detector();
    let report: Value = serde_json::from_str(&place.succeed([
        "score",
        text(&path),
        "--model",
        text(&detector),
        "--frames",
        "4",
        "--json",
    ]))
    .expect("JSON");
    assert_eq!(report["version"], 1);
    assert!(report["input"].as_str().expect("input").ends_with("real_liveportrait_d5.mp4"));
    assert_eq!(report["model"]["name"], "detector");
    assert_eq!(report["model"]["sha256"].as_str().expect("sha256").len(), 64);
    assert_eq!(report["video"]["frames_sampled"], 4);
    for key in ["width", "height", "fps", "duration_s"] {
        assert!(report["video"][key].is_number(), "{key}");
    }
    for key in ["decode", "detect", "score", "total"] {
        assert!(report["timing_s"][key].is_number(), "{key}");
    }
    let face = &report["frames"][0]["faces"][0];
    assert_eq!(face["box"].as_array().expect("box").len(), 4);
    assert_eq!(face["landmarks"].as_array().expect("landmarks").len(), 5);
    assert!(face["confidence"].is_number() && face["score"].is_number() && face["track"].is_number());
    let mean: f64 =
        (0..4).map(|i| report["frames"][i]["faces"][0]["score"].as_f64().expect("a score")).sum::<f64>() / 4.0;
    assert!((mean - report["score"].as_f64().expect("a score")).abs() < 1e-5, "the score is the mean of the frames'");
}

#[test]
fn the_summary_for_people_has_verdict_sparkline_and_model() {
    let Some(path) = clip("real_liveportrait_d5.mp4") else { return };
    let place = Place::new();
    let detector = place.detector();
    let summary = place.succeed(["score", text(&path), "--model", text(&detector), "--frames", "6"]);
    assert!(summary.contains("P(fake) = "), "{summary}");
    let bars = summary.chars().filter(|c| "▁▂▃▄▅▆▇█".contains(*c)).count();
    assert_eq!(bars, 6, "{summary}");
    assert!(summary.contains("trained elsewhere"), "{summary}");
}

#[test]
fn json_is_an_object_where_one_file_is_named_and_else_an_array_whatever_lies_in_a_folder() {
    let place = Place::new();
    for folder in ["alone", "mixed", "empty"] {
        std::fs::create_dir(place.path(folder)).expect("made");
    }
    let [one, two] = ["a.mp4", "b.mp4"].map(|name| pattern(&place, name));
    let [alone, mixed, empty] = ["alone", "mixed", "empty"].map(|name| place.path(name));
    for folder in [&alone, &mixed] {
        std::fs::copy(&one, folder.join("clip.mp4")).expect("copied");
    }
    std::fs::write(mixed.join("notes.txt"), "to do").expect("written");
    let (missing, detector) = (place.path("missing.mp4"), place.detector());
    // What is asked for, and how many documents an array has; none where there is an object.
    let cases: [(&[&str], Option<usize>); 8] = [
        (&[text(&one)], None),
        (&[text(&missing)], None),
        (&[text(&one), text(&two)], Some(2)),
        (&[text(&alone)], Some(1)),
        (&[text(&mixed)], Some(2)),
        (&[text(&empty)], Some(1)),
        (&[text(&one), "--shard", "1/2"], Some(1)),
        (&[text(&one), "--shard", "2/2"], Some(0)),
    ];
    for (asked, expected) in cases {
        let printed = |format: &str| {
            let all = ["score", "--frames", "1", "--model", text(&detector), format];
            String::from_utf8(place.run(all.iter().chain(asked)).stdout).expect("UTF-8")
        };
        let json: Value = serde_json::from_str(&printed("--json")).expect("JSON");
        assert_eq!(json.as_array().map(Vec::len), expected, "{asked:?}: {json}");
        assert!(expected.is_some() || json["input"] == asked[0], "{asked:?}: {json}");
        assert_eq!(json_lines(&printed("--jsonl")).len(), expected.unwrap_or(1), "{asked:?}");
    }
}

#[test]
fn shards_share_the_inputs_without_gap_or_overlap() {
    let place = Place::new();
    let folder = place.path("videos");
    std::fs::create_dir(&folder).expect("made");
    for index in 0..5 {
        pattern(&place, &format!("videos/{index}.mp4"));
    }
    let mut seen: Vec<String> = Vec::new();
    for shard in ["1/2", "2/2"] {
        let reports = place.score(&[text(&folder), "--shard", shard, "--frames", "1"]);
        seen.extend(reports.iter().map(|report| report["input"].as_str().expect("input").to_string()));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5, "{seen:?}");
}

#[test]
fn reports_are_written_under_names_of_their_own() {
    let place = Place::new();
    let (first, reports) = (pattern(&place, "clip.mp4"), place.path("reports"));
    std::fs::create_dir(place.path("other")).expect("made");
    let second = pattern(&place, "other/clip.mp4");
    place.score(&[text(&first), text(&second), "--report", text(&reports)]);
    let mut names: Vec<String> = std::fs::read_dir(&reports)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    assert_eq!(names, ["clip.mp4-2.html", "clip.mp4-2.json", "clip.mp4.html", "clip.mp4.json", "index.html"]);
}

#[test]
fn info_tells_what_a_detector_is() {
    let place = Place::new();
    let detector = place.detector();
    let table = place.succeed(["info", text(&detector)]);
    for expected in ["width 32", "depth 2", "imported", "head 1mlp", "dfb"] {
        assert!(table.to_lowercase().contains(expected), "no {expected} in {table}");
    }
    let json: Value = serde_json::from_str(&place.succeed(["info", text(&detector), "--json"])).expect("JSON");
    assert_eq!(json["detector"]["architecture"]["heads"], 2);
    assert_eq!(json["trainable"]["head"], 32 * 2 + 2);
}

#[test]
fn a_detector_with_a_random_head_says_untrained_wherever_a_score_is_shown() {
    let Some(path) = clip("real_liveportrait_d5.mp4") else { return };
    let place = Place::new();
    let (input, detector) = (golden("clip_tiny/model.safetensors"), place.path("fresh.safetensors"));
    let said = place.succeed(["import", "--from", "hf-clip", "--input", text(&input), "--output", text(&detector)]);
    assert!(said.contains("untrained"), "{said}");
    assert!(place.succeed(["info", text(&detector)]).contains("untrained"));
    let score = ["score", text(&path), "--model", text(&detector), "--frames", "4"];
    assert!(place.succeed(score).contains("untrained"));
    let report: Value = serde_json::from_str(&place.succeed(score.iter().chain(&["--json"]))).expect("JSON");
    assert_eq!((&report["verdict"], &report["model"]["training"]), (&"uncertain".into(), &"untrained".into()));
    assert!(report["reason"].as_str().expect("a reason").contains("untrained"));
}

#[test]
fn bench_prints_every_stage() {
    let place = Place::new();
    let detector = place.detector();
    let table = place.succeed(["bench", "--model", text(&detector), "--repeat", "1", "--batch", "2"]);
    for stage in ["decode", "faces", "tower", "detector", "GFLOP/s", "peak memory"] {
        assert!(table.contains(stage), "no {stage} in {table}");
    }
    let table = place.succeed(["bench", "--model", text(&detector), "--only-model", "--repeat", "1", "--bf16"]);
    assert!(table.contains(", bf16, batch 8"), "{table}");
}

#[test]
fn a_tower_of_vit_b_16_with_decoding_and_faces_stays_under_1200_megabytes() {
    let table = Place::new().succeed(["bench", "--repeat", "1", "--batch", "8"]);
    let peaks: Vec<f64> = table
        .lines()
        .filter_map(|line| {
            line.split_whitespace().rev().find_map(|word| word.parse::<f64>().ok()).filter(|_| line.contains(" MB"))
        })
        .collect();
    // A system that does not tell its peak memory prints a dash.
    if peaks.is_empty() {
        eprintln!("skipped: this system does not tell its peak memory");
    }
    assert!(peaks.iter().all(|peak| (10.0..1200.0).contains(peak)), "{table}");
}

#[test]
fn every_command_has_help_with_an_example() {
    let place = Place::new();
    for command in ["score", "import", "pull", "info", "forward", "bench", "explain", "verify", "watch", "serve"] {
        let help = place.succeed([command, "--help"]);
        assert!(help.contains("Example") && help.contains(&format!("unmask {command}")), "{help}");
    }
}

#[test]
fn a_detector_stored_in_f16_is_half_as_large_and_scores_alike() {
    let place = Place::new();
    let (model, small) = (place.detector(), place.path("small.safetensors"));
    place.succeed(["quantize", "--model", text(&model), "--dtype", "f16", "--output", text(&small)]);
    let size = |path: &Path| std::fs::metadata(path).expect("a file").len();
    assert!(size(&small) * 10 < size(&model) * 7, "{} bytes of {}", size(&small), size(&model));
    let input = golden("clip_tiny/reference.safetensors");
    let scores = |model: &Path| {
        let output = place.path("out.safetensors");
        place.succeed(["forward", "--model", text(model), "--input", text(&input), "--output", text(&output)]);
        tensors(&output)["score"].1.clone()
    };
    let (whole, half) = (scores(&model), scores(&small));
    assert!(whole.iter().zip(&half).all(|(one, other)| (one - other).abs() < 2e-3), "{whole:?} {half:?}");
    assert_ne!(whole, half, "nothing was rounded");
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let place = Place::new();
    let detector = place.detector();
    let mut running = place.unmask();
    running.args(["info", text(&detector)]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = running.spawn().expect("the program starts");
    drop(running.stdout.take());
    let output = running.wait_with_output().expect("its end");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
