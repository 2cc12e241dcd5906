//! `unmask eval` measures what `unmask score` does, and refuses what would be a figure of something else.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Place, clip, golden, sample, text};
use crate::training::{arguments, easy_set, recipe_from};

/// What rounding in batches of another size may change.
const TOLERANCE: f64 = 1e-5;
/// Frames of each video; no multiple of the clips' length, so that the last clip is a short one.
const FRAMES: &str = "12";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// The score of a video, given at once.
fn scored(place: &Place, model: &Path, video: &Path) -> f64 {
    let report = place.succeed(["score", text(video), "--model", text(model), "--frames", FRAMES, "--json"]);
    json(&report)["score"].as_f64().expect("a score")
}

/// The score of a video by its crops, stored without loss.
fn evaluated(place: &Place, model: &Path, video: &Path, name: &str) -> f64 {
    let (input, crops, out) = [name, "crops", "results"].map(|part| place.path(&format!("{name}/{part}"))).into();
    fs::create_dir_all(&input).expect("a folder");
    fs::copy(video, input.join(video.file_name().expect("a name"))).expect("copied");
    let crop = json(&place.succeed(["info", text(model), "--json"]))["detector"]["crop"].clone();
    let [size, margin] = ["size", "margin"].map(|key| crop[key].to_string());
    let geometry = crop["geometry"].as_str().expect("a geometry");
    let preprocess = ["preprocess", "--input", text(&input), "--output", text(&crops), "--label", "real"];
    let settings = ["--frames", FRAMES, "--geometry", geometry, "--crop-size", &size, "--margin", &margin];
    place.succeed(preprocess.iter().chain(&settings));
    let eval = ["eval", "--model", text(model), "--data", text(&crops), "--split", "all", "--out", text(&out)];
    place.succeed(eval.iter().chain(&["--frames", FRAMES]));
    let summary = json(&fs::read_to_string(out.join("summary.json")).expect("a summary"));
    assert_eq!(summary["remarks"].as_array().map(Vec::len), Some(0), "{}", summary["remarks"]);
    let scores = fs::read_to_string(out.join("videos.csv")).expect("scores");
    let [_, line] = scores.lines().collect::<Vec<_>>()[..] else { panic!("one video in {scores}") };
    line.split(',').nth(5).expect("a score").parse().expect("a number")
}

#[test]
fn crops_of_a_video_evaluate_to_its_score_for_detectors_of_frames_and_of_clips() {
    let place = Place::new();
    let models: [(&str, PathBuf); 3] = [
        ("frames", place.detector()),
        ("attention", golden("stan_attention.safetensors")),
        ("conv", golden("stan_conv.safetensors")),
    ];
    let mut videos = vec![sample("real.mp4")];
    videos.extend(clip("real_multiface_hamilton_640x360.mp4"));
    for (name, model) in &models {
        for (number, video) in videos.iter().enumerate() {
            let expected = scored(&place, model, video);
            let found = evaluated(&place, model, video, &format!("{name}{number}"));
            let shown = video.display();
            assert!((found - expected).abs() < TOLERANCE, "{name}, {shown}: {found} where the score is {expected}");
        }
    }
}

#[test]
fn a_strong_temperature_counts_in_an_evaluation_as_it_does_in_scoring() {
    let place = Place::new();
    let video = clip("real_multiface_hamilton_640x360.mp4").unwrap_or_else(|| sample("real.mp4"));
    let mut scores = Vec::new();
    for temperature in [0.05, 0.3, 3.0] {
        let name = format!("temperature-{temperature}");
        let model = place.redescribed(&place.detector(), &format!("{name}.safetensors"), |description| {
            description["calibration"]["temperature"] = temperature.into();
        });
        let (expected, found) = (scored(&place, &model, &video), evaluated(&place, &model, &video, &name));
        assert!((found - expected).abs() < TOLERANCE, "{temperature}: {found} where the score is {expected}");
        scores.push(expected);
    }
    // The temperature would be seen if it were left out of one of the two.
    assert!(scores.windows(2).all(|pair| (pair[0] - pair[1]).abs() > 20.0 * TOLERANCE), "{scores:?}");
}

#[test]
fn nothing_is_chosen_on_videos_that_are_reported() {
    let place = Place::new();
    let (data, model, out) = (easy_set(&place), place.detector_of_small_crops(), place.path("results"));
    let calibrated = place.path("calibrated.safetensors");
    for split in ["val", "all"] {
        let eval = ["eval", "--model", text(&model), "--data", text(&data), "--split", split, "--out", text(&out)];
        place.succeed(eval);
        let summary: Value =
            serde_json::from_slice(&fs::read(out.join("summary.json")).expect("a summary")).expect("JSON");
        let videos = &summary["datasets"][0]["videos"];
        assert!(summary["thresholds"]["videos"].is_null() && videos["at_validation"].is_null(), "{split}: {summary}");
        assert!(summary["thresholds"]["undefined"].as_str().is_some_and(|why| why.contains("reported")), "{summary}");
        let refusal = place.fail(eval.iter().chain(&["--calibrate", text(&calibrated)]));
        assert!(refusal.contains("reports as well") && !calibrated.exists(), "{refusal}");
    }
    // What was imported is uncalibrated, and stays so unless thresholds were fitted.
    let train = ["eval", "--model", text(&model), "--data", text(&data), "--split", "train", "--out", text(&out)];
    let grade = |path: &Path| {
        let info: Value = serde_json::from_str(&place.succeed(["info", text(path), "--json"])).expect("JSON");
        info["detector"]["training"]["reliability"]["grade"].as_str().map(str::to_owned)
    };
    assert_eq!(grade(&model), None);
    place.succeed(train.iter().chain(&["--calibrate", text(&calibrated), "--verdicts", "0.2,0.8"]));
    assert_eq!(grade(&calibrated).as_deref(), Some("uncalibrated"));
    place.succeed(train.iter().chain(&["--calibrate", text(&calibrated)]));
    assert_eq!(grade(&calibrated).as_deref(), Some("calibrated"));
}

#[test]
fn how_often_verdicts_are_wrong_is_counted_on_the_test_split_and_said_by_every_report() {
    let place = Place::new();
    let (data, model, out) = (easy_set(&place), place.detector_of_small_crops(), place.path("results"));
    let manifest = fs::read_to_string(data.join("manifest.jsonl")).expect("a manifest");
    let with_test: Vec<String> = manifest
        .lines()
        .enumerate()
        .map(|(index, line)| if index % 2 == 0 { line.replace(r#""train""#, r#""test""#) } else { line.to_owned() } + "\n")
        .collect();
    fs::write(data.join("manifest.jsonl"), with_test.concat()).expect("the manifest");
    let calibrated = place.path("calibrated.safetensors");
    let eval = ["eval", "--model", text(&model), "--data", text(&data), "--out", text(&out), "--calibrate"];
    let measured = || {
        let info: Value = serde_json::from_str(&place.succeed(["info", text(&calibrated), "--json"])).expect("JSON");
        info["detector"]["calibration"]["measured"].clone()
    };
    // What was trained on tells nothing of other videos.
    place.succeed(eval.iter().chain(&[text(&calibrated), "--split", "train"]));
    assert!(measured().is_null());
    place.succeed(eval.iter().chain(&[text(&calibrated)]));
    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).expect("a summary")).expect("JSON");
    let counted = measured();
    assert_eq!(counted["videos"], "easy");
    for label in ["real", "fake"] {
        let verdicts = ["likely_real", "uncertain", "likely_fake"].map(|verdict| counted[label][verdict].as_u64());
        assert_eq!(verdicts.into_iter().flatten().sum::<u64>(), 12, "{counted}");
        assert!(counted[label]["groups"].as_u64().is_some_and(|groups| (1..=12).contains(&groups)), "{counted}");
        assert_eq!(counted[label], summary["verdicts"]["all"][label], "{summary}");
    }
    let words = "counted on 12 real videos and 12 fake videos: easy";
    assert!(place.succeed(["info", text(&calibrated)]).replace('\n', " ").contains("error rates"));
    let (clip, folder) = (sample("real.mp4"), place.path("reports"));
    let score = ["score", "--frames", "4", "--model", text(&calibrated), text(&clip)];
    let printed = place.succeed(score.iter().chain(&["--report", text(&folder)]));
    assert!(printed.contains(words), "{printed}");
    assert!(fs::read_to_string(folder.join("real.mp4.html")).expect("a page").contains(words));
    let report: Value = serde_json::from_str(&place.succeed(score.iter().chain(&["--jsonl"]))).expect("JSON");
    assert!(report["model"]["error_rates"].as_str().is_some_and(|said| said.contains(words)), "{report}");
    // Other thresholds have other error rates.
    place.succeed(eval.iter().chain(&[text(&calibrated), "--split", "train", "--verdicts", "0.2,0.8"]));
    assert!(measured().is_null());
}

#[test]
fn a_score_that_is_no_number_ends_an_evaluation_by_the_name_of_its_video() {
    let place = Place::new();
    let (data, model, out) = (easy_set(&place), place.detector_of_small_crops(), place.path("results"));
    // Weights that are finite, and whose products are not.
    let mut bytes = fs::read(&model).expect("a detector");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
    let weights = file.tensor("tower.post_norm.weight").expect("a norm").data();
    let (start, length) = (weights.as_ptr() as usize - bytes.as_ptr() as usize, weights.len());
    for weight in bytes[start..start + length].chunks_mut(4) {
        weight.copy_from_slice(&f32::MAX.to_le_bytes());
    }
    let broken = place.path("broken.safetensors");
    fs::write(&broken, bytes).expect("written");
    let eval = ["eval", "--model", text(&broken), "--data", text(&data), "--split", "train", "--out", text(&out)];
    let refusal = place.fail(eval);
    assert!(refusal.contains("easy/") && refusal.contains("not a finite number"), "{refusal}");
    assert!(!out.exists(), "no figure is written");
}

#[test]
fn crops_that_the_detector_would_cut_otherwise_are_refused_by_train_and_eval() {
    let place = Place::new();
    let (data, out) = (easy_set(&place), place.path("out"));
    let recipe = recipe_from(&place, &place.detector(), "head", 1);
    let detector = place.detector();
    let eval = ["eval", "--model", text(&detector), "--data", text(&data), "--split", "all", "--out", text(&out)];
    for refusal in [place.fail(arguments(&recipe, &data, &out)), place.fail(eval)] {
        for part in [text(&data), "crop size 32", "crop size 256", "unmask preprocess --geometry dfb --crop-size 256"] {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
    }
    let told = place.succeed(["info", text(&data)]);
    assert!(told.contains("crops: geometry dfb, crop size 32, margin 1.3"), "{told}");
    // Somebody else's crops, of which nothing is known, are taken by those who vouch for them.
    let real = place.path("loose/real");
    fs::create_dir_all(&real).expect("a folder");
    fs::copy(data.join("val_real_3_0.png"), real.join("a.png")).expect("copied");
    let loose = place.path("loose");
    place.succeed([
        "eval",
        "--model",
        text(&detector),
        "--data",
        text(&loose),
        "--aligned",
        "--split",
        "all",
        "--out",
        text(&out),
    ]);
    let summary = fs::read_to_string(out.join("summary.md")).expect("a summary");
    assert!(summary.contains("how the crops were cut is not known"), "{summary}");
}

#[test]
fn clips_named_in_a_table_are_evaluated_as_they_are_scored_and_broken_down_by_its_columns() {
    let place = Place::new();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo");
    for clip in ["real.mp4", "fake.mp4", "no_face.mp4"] {
        fs::copy(demo.join(clip), place.path(clip)).expect("a copy");
    }
    let table = "file\tlabel\tmethod\tlight (as seen)\n\
                 real.mp4\treal\t\tbright\nfake.mp4\tfake\tswap\tdim\nno_face.mp4\treal\t\tdim\ngone.mp4\tfake\tswap\tdim\n";
    fs::write(place.path("clips.tsv"), table).expect("a table");
    let (data, out) = (place.path("clips.tsv"), place.path("results"));
    let eval = ["eval", "--model", "unmask-lite", "--data", text(&data), "--frames", "4", "--split", "all"];
    let eval: Vec<&str> = eval.into_iter().chain(["--out", text(&out)]).collect();
    let output = place.run(&eval);
    let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{warnings}");
    assert!(warnings.contains("gone.mp4"), "what is not there is named: {warnings}");

    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).expect("a summary")).expect("JSON");
    assert_eq!(summary["datasets"][0]["dropped"][0]["reason"], "no face was found", "{summary}");
    let by = &summary["verdicts"]["by"];
    assert_eq!((&by[0]["column"], by.as_array().map(Vec::len)), (&"light".into(), Some(1)), "{by}");
    assert_eq!(by[0]["groups"][0]["value"], "bright", "{by}");
    assert_eq!(by[0]["groups"][0]["real"]["likely_real"], 1, "{by}");
    let document = fs::read_to_string(out.join("summary.md")).expect("a table");
    assert!(document.contains("### Verdicts by light"), "{document}");

    // What is measured is what scoring the same file says.
    let scores = fs::read_to_string(out.join("videos.csv")).expect("scores");
    for clip in ["real", "fake"] {
        let reported = place.succeed(["score", text(&place.path(&format!("{clip}.mp4"))), "--frames", "4", "--json"]);
        let report: Value = serde_json::from_str(&reported).expect("a report");
        let line = scores.lines().find(|line| line.contains(&format!(",{clip},"))).expect("a line");
        let measured: f64 = line.split(',').nth(5).and_then(|score| score.parse().ok()).expect("a score");
        assert!(report["score"].as_f64().is_some_and(|score| (score - measured).abs() < 1e-4), "{line} {reported}");
    }
    let refused = place.fail(eval.iter().copied().chain(["--by", "colour"]));
    assert!(refused.contains("colour") && refused.contains("light"), "{refused}");

    // A corrected table counts in the same folder: what it calls real now is not counted under both labels.
    let corrected = "file\tlabel\tperson\nreal.mp4\treal\t1\nfake.mp4\treal\t1\n";
    fs::write(place.path("clips.tsv"), corrected).expect("a table");
    place.succeed(&eval);
    let scores = fs::read_to_string(out.join("videos.csv")).expect("scores");
    assert_eq!((scores.lines().count(), scores.matches(",fake,").count()), (3, 1), "only a name says fake: {scores}");
    let summary: Value = serde_json::from_slice(&fs::read(out.join("summary.json")).expect("a summary")).expect("JSON");
    assert_eq!(summary["datasets"][0]["dropped"].as_array().map_or(0, Vec::len), 0, "{summary}");
}
