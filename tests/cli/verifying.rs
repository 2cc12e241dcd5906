//! What a report rests on, and whether it still is what the program says.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Place, sample, text};

/// A copy of a sample clip in `place`, and the report of it by the small detector of the tests.
fn reported(place: &Place, name: &str) -> (PathBuf, PathBuf) {
    let (clip, folder) = (place.path(name), place.path("report"));
    std::fs::copy(sample(name), &clip).expect("copied");
    place.score(&[text(&clip), "--frames", "6", "--report", text(&folder)]);
    (clip, folder.join(format!("{name}.json")))
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("read")).expect("JSON")
}

/// The report with a change.
fn changed(place: &Place, report: &Path, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut document = read(report);
    change(&mut document);
    let path = place.path("changed.json");
    std::fs::write(&path, document.to_string()).expect("written");
    path
}

/// What `unmask verify` says: whether it ended with 0, and its JSON.
fn verify(place: &Place, arguments: &[&str]) -> (bool, Value) {
    let output = place.run(["verify", "--json"].iter().chain(arguments));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains("panicked"), "{errors}");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{errors}");
    (output.status.success(), serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// What came of a check, and why.
fn check<'a>(result: &'a Value, what: &str) -> (&'a str, &'a str) {
    let checks = result["checks"].as_array().expect("checks");
    let found = checks.iter().find(|check| check["what"] == what).unwrap_or_else(|| panic!("no {what} in {result}"));
    (found["outcome"].as_str().expect("an outcome"), found["reason"].as_str().expect("a reason"))
}

/// What `sha256sum` says of a file.
fn sha256(path: &Path) -> String {
    let output = std::process::Command::new("sha256sum").arg(path).output().expect("sha256sum starts");
    String::from_utf8(output.stdout).expect("UTF-8").split_whitespace().next().expect("a hash").to_owned()
}

#[test]
fn a_report_says_what_it_rests_on() {
    let place = Place::new();
    let (clip, report) = reported(&place, "fake.mp4");
    let document = read(&report);
    let provenance = &document["provenance"];
    assert_eq!(provenance["input"]["sha256"], sha256(&clip).as_str());
    assert_eq!(provenance["input"]["bytes"], std::fs::metadata(&clip).expect("there").len());
    let facts = &provenance["input"]["facts"];
    assert!(facts["container"].as_str().expect("a container").contains("mp4"), "{facts}");
    assert_eq!(facts["streams"][0]["facts"]["codec_name"], "h264");
    assert_eq!((&facts["streams"][0]["packets"], facts["streams"].as_array().map(Vec::len)), (&100.into(), Some(1)));
    let detector = place.detector();
    assert_eq!(provenance["detectors"][0]["sha256"], sha256(&detector).as_str());
    assert_eq!(provenance["detectors"][0]["sha256"], document["model"]["sha256"]);
    assert_eq!(provenance["program"]["sha256"], sha256(Path::new(env!("CARGO_BIN_EXE_unmask"))).as_str());
    let command: Vec<&str> =
        provenance["program"]["command"].as_array().expect("words").iter().filter_map(Value::as_str).collect();
    assert!(command.ends_with(&["--report", text(report.parent().expect("a folder"))]), "{command:?}");
    assert!(provenance["program"]["ffmpeg"].as_str().expect("a version").starts_with("ffmpeg version"));
    assert_eq!(provenance["settings"]["frames"], 6);
    let frames = &provenance["frames"];
    assert_eq!((&frames["in_input"], &frames["not_sampled"], &frames["used"]), (&100.into(), &94.into(), &6.into()));
    let page = std::fs::read_to_string(report.with_extension("html")).expect("a page");
    for words in
        ["What this holds for", "Frames used and left out", "What the file says", "Sound</th><td>there is none"]
    {
        assert!(page.contains(words), "no {words} in {page}");
    }
    assert!(page.contains(&sha256(&clip)) && page.contains(&sha256(&detector)), "{page}");
}

#[test]
fn a_report_of_a_real_clip_is_verified_wherever_the_clip_and_the_detector_lie() {
    let place = Place::new();
    let (clip, report) = reported(&place, "real.mp4");
    let (is_verified, result) = verify(&place, &[text(&report)]);
    assert!(is_verified && result["verified"] == true, "{result}");
    for what in ["input", "detector detector", "program", "verdict", "score", "people", "frames", "caveats"] {
        assert_eq!(check(&result, what).0, "pass", "{result}");
    }
    // As a folder, in words.
    let folder = report.parent().expect("a folder");
    let words = place.succeed(["verify", text(folder)]);
    assert!(words.contains("verified: this is what the program says"), "{words}");
    // Both moved.
    let (elsewhere, detector) = (place.path("elsewhere.mp4"), place.path("moved.safetensors"));
    std::fs::rename(&clip, &elsewhere).expect("renamed");
    std::fs::rename(place.detector(), &detector).expect("renamed");
    let (is_verified, result) = verify(&place, &[text(&report)]);
    assert!(!is_verified);
    let (input, model) = (check(&result, "input"), check(&result, "detector detector"));
    assert!(input.0 == "not_checked" && input.1.contains("--input"), "{result}");
    assert!(model.0 == "not_checked" && model.1.contains("--model"), "{result}");
    assert_eq!(check(&result, "scores").0, "not_checked");
    let moved = ["--input", text(&elsewhere), "--model", text(&detector)];
    let (is_verified, result) = verify(&place, &[&[text(&report)], &moved[..]].concat());
    assert!(is_verified, "{result}");
}

#[test]
fn a_changed_input_another_detector_and_a_changed_report_are_told_apart() {
    let place = Place::new();
    let (clip, report) = reported(&place, "fake.mp4");
    // A score, a verdict, a frame and a caveat that nobody found.
    for (what, change) in [
        ("score", (|document: &mut Value| document["score"] = 0.123.into()) as fn(&mut Value)),
        ("verdict", |document| document["verdict"] = "no_face".into()),
        ("frames", |document| document["frames"][2]["faces"][0]["score"] = 0.001.into()),
        ("frames", |document| drop(document["frames"].as_array_mut().expect("frames").pop())),
        ("people", |document| document["tracks"][0]["frames"] = 5.into()),
        ("caveats", |document| document["caveats"] = Value::Array(Vec::new())),
        ("caveats", |document| document["model"]["error_rates"] = "never wrong".into()),
    ] {
        let (is_verified, result) = verify(&place, &[text(&changed(&place, &report, change))]);
        assert_eq!(
            (is_verified, check(&result, what).0, check(&result, "input").0),
            (false, "differs", "pass"),
            "{result}"
        );
    }
    // A program of another version is said and no fault.
    let older = changed(&place, &report, |document| {
        document["provenance"]["program"]["version"] = "0.0.1".into();
        document["provenance"]["program"]["sha256"] = "00".repeat(32).into();
    });
    let (is_verified, result) = verify(&place, &[text(&older)]);
    assert!(is_verified, "{result}");
    let (outcome, reason) = check(&result, "program");
    assert!(outcome == "not_checked" && reason.contains("by unmask 0.0.1 (000000000000)"), "{result}");
    // Another detector under the same name.
    let other = place.redescribed(&place.detector(), "other.safetensors", |spec| spec["licence"] = "MIT".into());
    let (is_verified, result) = verify(&place, &[text(&report), "--model", text(&other)]);
    let (outcome, reason) = check(&result, "detector detector");
    assert!(!is_verified && outcome == "differs" && reason.contains("other.safetensors has SHA-256"), "{result}");
    // One byte of the input.
    let mut bytes = std::fs::read(&clip).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&clip, bytes).expect("written");
    let (is_verified, result) = verify(&place, &[text(&report)]);
    assert_eq!((is_verified, check(&result, "input").0, check(&result, "scores").0), (false, "differs", "not_checked"));
}

#[test]
fn a_folder_of_frames_is_verified_as_one_input() {
    let place = Place::new();
    let (frames, folder) = (place.path("frames"), place.path("report"));
    std::fs::create_dir(&frames).expect("made");
    place.ffmpeg(&["-i", text(&sample("fake.mp4")), "-frames:v", "5", text(&frames.join("%03d.png"))]);
    place.score(&[text(&frames), "--report", text(&folder)]);
    let report = folder.join("frames.json");
    let document = read(&report);
    assert_eq!(document["provenance"]["input"]["files"], 5, "{document}");
    let (is_verified, result) = verify(&place, &[text(&report)]);
    assert!(is_verified, "{result}");
    std::fs::remove_file(frames.join("005.png")).expect("removed");
    let (is_verified, result) = verify(&place, &[text(&report)]);
    assert_eq!((is_verified, check(&result, "input").0), (false, "differs"), "{result}");
}

#[test]
fn what_is_no_report_is_refused_by_name() {
    let place = Place::new();
    let path = place.path("notes.json");
    std::fs::write(&path, "{\"version\": 1}").expect("written");
    assert!(place.fail(["verify", text(&path)]).contains("notes.json is no report"));
    assert!(place.fail(["verify", text(&place.path("gone.json"))]).contains("gone.json"));
    let empty = place.path("empty");
    std::fs::create_dir(&empty).expect("made");
    assert!(place.fail(["verify", text(&empty)]).contains("holds no report"));
    // Printed, not reported: it says nothing of what it rests on.
    let clip = sample("no_face.mp4");
    let printed = place.succeed(["score", text(&clip), "--json", "--frames", "2", "--model", text(&place.detector())]);
    std::fs::write(&path, printed).expect("written");
    let (is_verified, result) = verify(&place, &[text(&path)]);
    assert_eq!((is_verified, check(&result, "provenance").0), (false, "not_checked"), "{result}");
}
