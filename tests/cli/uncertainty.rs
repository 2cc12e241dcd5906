//! Detectors that say how little they know of a face: what is shown of it, and when they judge nobody.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Place, clip, golden, json_lines, sample, text};

/// The tiny DiCoME detector with this limit, or with none in its file.
fn detector(place: &Place, limit: Option<f64>) -> PathBuf {
    let name = limit.map_or("none".to_owned(), |limit| limit.to_string());
    let output = place.path(&format!("dicome-{name}.safetensors"));
    let input = golden("dicome_tiny.safetensors");
    let mut import = vec!["import", "--from", "dicome", "--heads", "2", "--input", text(&input)];
    import.extend(["--output", text(&output)]);
    if limit.is_some() {
        import.extend(["--uncertain-above", &name]);
    }
    place.succeed(import);
    output
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_clip_of_which_the_detector_knows_too_little_is_uncertain_with_the_figure_and_else_it_is_judged() {
    let place = Place::new();
    let clip = clip("real_ffpp_519_480p.mp4").unwrap_or_else(|| sample("real.mp4"));
    let score = ["score", "--frames", "8", text(&clip)];
    let scored = |limit: Option<f64>, options: &[&str]| {
        place.succeed(score.iter().chain(&["--model", text(&detector(&place, limit))]).chain(options))
    };
    let report = |limit: Option<f64>| json_lines(&scored(limit, &["--jsonl"])).remove(0);
    // Nothing is ever above one.
    let open = report(Some(1.0));
    let uncertainty = number(&open["uncertainty"]);
    let faces: Vec<f64> = open["frames"]
        .as_array()
        .expect("frames")
        .iter()
        .flat_map(|frame| frame["faces"].as_array().expect("faces"))
        .filter(|face| face["score"].is_number())
        .map(|face| number(&face["uncertainty"]))
        .collect();
    let mean = faces.iter().sum::<f64>() / faces.len() as f64;
    assert!(faces.len() >= 4 && (mean - uncertainty).abs() < 1e-6, "{faces:?} with a mean of {uncertainty}");
    assert!(uncertainty > 0.0 && uncertainty < 1.0, "{uncertainty}");
    let reason = |report: &Value| report["reason"].as_str().unwrap_or_default().to_owned();
    assert!(!reason(&open).contains("evidence"), "{}", reason(&open));

    let limit = (uncertainty * 50.0).floor() / 100.0;
    let strict = report(Some(limit));
    assert_eq!((&strict["verdict"], &strict["score"]), (&Value::from("uncertain"), &open["score"]));
    let figure = format!("(its uncertainty of {uncertainty:.3} is above {limit})");
    assert!(reason(&strict).contains(&figure), "{} without {figure}", reason(&strict));
    let by_default = reason(&report(None));
    assert_eq!(by_default.contains("is above 0.5)"), uncertainty > 0.5, "{by_default}");

    let folder = place.path("reports");
    let shown = scored(Some(limit), &["--report", text(&folder)]);
    assert!(shown.contains(&format!(", uncertainty {uncertainty:.2}\n")) && shown.contains(&figure), "{shown}");
    let name = clip.file_name().expect("a name").to_string_lossy();
    let page = std::fs::read_to_string(folder.join(format!("{name}.html"))).expect("a page");
    assert!(page.contains(&format!("Uncertainty {uncertainty:.2}: how little evidence")), "{page}");
    let info = place.succeed(["info", text(&detector(&place, Some(limit)))]);
    assert!(info.contains(&format!("not judged above {limit}")), "{info}");

    // Beside a detector that does not say it.
    let both = scored(Some(limit), &["--model", "unmask-lite", "--jsonl"]);
    let both = json_lines(&both).remove(0);
    assert_eq!((&both["uncertainty"], &both["opinions"][1]["uncertainty"]), (&Value::Null, &Value::Null));
    assert_eq!(both["opinions"][0]["uncertainty"], strict["uncertainty"]);
    assert!(reason(&both).starts_with("no detector decides") || reason(&both).starts_with("the detectors disagree"));
}

/// The columns of a CSV file by the video's name.
fn column(table: &Path, of: &str) -> BTreeMap<String, f64> {
    let mut reader = csv::Reader::from_path(table).expect("a table");
    let place =
        |name: &str, headers: &csv::StringRecord| headers.iter().position(|header| header == name).expect("a column");
    let headers = reader.headers().expect("a header").clone();
    let (video, of) = (place("video", &headers), place(of, &headers));
    let rows = reader.records().map(|row| row.expect("a row"));
    rows.map(|row| (row[video].to_owned(), row[of].parse().expect("a number"))).collect()
}

#[test]
fn an_evaluation_abstains_as_scoring_does_and_measures_all_scores() {
    let place = Place::new();
    for name in ["real.mp4", "fake.mp4"] {
        std::fs::copy(sample(name), place.path(name)).expect("copied");
    }
    let data = place.path("clips.tsv");
    std::fs::write(&data, "file\tlabel\nreal.mp4\treal\nfake.mp4\tfake\n").expect("a table");
    // With thresholds like these every score makes a video likely fake.
    let model = |limit: f64| {
        place.redescribed(&detector(&place, Some(1.0)), &format!("limit-{limit}.safetensors"), |description| {
            description["calibration"]["real_below"] = 1e-6.into();
            description["calibration"]["fake_above"] = 2e-6.into();
            description["calibration"]["uncertain_above"] = limit.into();
        })
    };
    let evaluated = |limit: f64| {
        let (model, out) = (model(limit), place.path("results"));
        let eval = ["eval", "--model", text(&model), "--data", text(&data), "--split", "all", "--frames", "8"];
        let said = place.succeed(eval.iter().chain(&["--out", text(&out)]));
        let summary = std::fs::read(out.join("summary.json")).expect("a summary");
        (serde_json::from_slice::<Value>(&summary).expect("JSON"), column(&out.join("videos.csv"), "uncertainty"), said)
    };
    let (open, uncertainties, _) = evaluated(1.0);
    let [fake, real] = ["fake", "real"].map(|name| uncertainties[name]);
    assert!((fake - real).abs() > 1e-4, "{uncertainties:?}");
    // As the file has it, in 32 bits.
    let limit = f64::from(((fake + real) / 2.0) as f32);
    let (strict, same, said) = evaluated(limit);
    assert_eq!(same, uncertainties);
    let of_frames = column(&place.path("results/frames.csv"), "uncertainty");
    assert!(of_frames.values().all(|uncertainty| (0.0..=1.0).contains(uncertainty)), "{of_frames:?}");
    assert!(said.contains(&format!("uncertainty is above {}", limit as f32)), "{said}");
    for (name, uncertainty) in &uncertainties {
        let counts = |summary: &Value, verdict: &str| summary["verdicts"]["all"][name][verdict].clone();
        assert_eq!((counts(&open, "likely_fake"), counts(&open, "uncertain")), (1.into(), 0.into()), "{name}: {open}");
        let abstains = u64::from(*uncertainty > limit);
        assert_eq!(counts(&strict, "uncertain"), abstains, "{name}: {strict}");
        assert_eq!(counts(&strict, "likely_fake"), 1 - abstains, "{name}: {strict}");
        let video = place.path(&format!("{name}.mp4"));
        let model = model(limit);
        let score = ["score", text(&video), "--model", text(&model), "--frames", "8", "--jsonl"];
        let report = json_lines(&place.succeed(score)).remove(0);
        assert!((number(&report["uncertainty"]) - uncertainty).abs() < 1e-4, "{name}: {}", report["uncertainty"]);
        let expected = if abstains == 1 { "uncertain" } else { "likely_fake" };
        assert_eq!(report["verdict"], expected, "{name}: {}", report["reason"]);
    }
    assert_eq!(open["datasets"][0]["videos"], strict["datasets"][0]["videos"], "figures are those of all scores");
}

#[test]
fn a_limit_is_refused_for_models_that_do_not_say_how_uncertain_they_are_and_outside_of_0_to_1() {
    let place = Place::new();
    let output = place.path("refused.safetensors");
    let (clip, dicome) = (golden("clip_tiny/model.safetensors"), golden("dicome_tiny.safetensors"));
    for (from, input, limit) in [("hf-clip", &clip, "0.5"), ("dicome", &dicome, "1.5"), ("dicome", &dicome, "nan")] {
        let import = ["import", "--from", from, "--heads", "2", "--input", text(input)];
        let said = place.fail(import.iter().chain(&["--uncertain-above", limit, "--output", text(&output)]));
        assert!(said.contains("`calibration.uncertain_above`"), "{from} {limit}: {said}");
        assert!(!output.exists());
    }
    let quiet = place.score(&[text(&sample("real.mp4")), "--frames", "4"]).remove(0);
    assert!(!quiet.to_string().contains("uncertainty"), "{quiet}");
}
