//! What `unmask eval` leaves beside its tables: figures with their data, Parquet, the sheet of errors, and robustness.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{ListAccessor, Row, RowAccessor};
use serde_json::Value;

use crate::encoders::has_encoders;
use crate::support::{Place, text};
use crate::training::{easy_set, easy_set_of};

/// Evaluates on the validation split of `data`, with these arguments more; the folder of the results.
fn evaluated(place: &Place, model: &Path, data: &Path, name: &str, more: &[&str]) -> PathBuf {
    let out = place.path(name);
    let eval = ["eval", "--model", text(model), "--data", text(data), "--split", "val", "--out", text(&out)];
    place.succeed(eval.iter().chain(more));
    out
}

fn summary(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("summary.json")).expect("a summary")).expect("JSON")
}

/// The lines of a CSV file by the names of their columns.
fn records(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    reader.deserialize().map(|record| record.expect("a line")).collect()
}

fn number(record: &BTreeMap<String, String>, column: &str) -> f64 {
    record[column].parse().unwrap_or_else(|_| panic!("{column} of {record:?}"))
}

fn rows(path: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(fs::File::open(path).expect("there")).expect("Parquet");
    reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect()
}

/// The figure whose files have this name.
fn figure<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let is_it = |entry: &&Value| entry["files"].as_array().is_some_and(|files| files.iter().any(|file| file == name));
    summary["figures"].as_array().expect("figures").iter().find(is_it).unwrap_or_else(|| panic!("{name}: {summary}"))
}

#[test]
fn every_figure_that_the_summary_lists_is_there_and_shows_the_summarys_figures() {
    let place = Place::new();
    let (data, model) = (easy_set(&place), place.detector_of_small_crops());
    let out = evaluated(&place, &model, &data, "results", &[]);
    let (summary, document) = (summary(&out), fs::read_to_string(out.join("summary.md")).expect("a document"));
    let files: Vec<&str> = summary["figures"]
        .as_array()
        .expect("figures")
        .iter()
        .flat_map(|entry| entry["files"].as_array().expect("files").iter().map(|file| file.as_str().expect("a name")))
        .collect();
    for name in ["roc", "precision-recall", "reliability", "scores", "confusion"] {
        for level in ["videos", "frames"] {
            assert!(files.contains(&format!("{name}-{level}.svg").as_str()), "{name}, {level}: {files:?}");
        }
    }
    for file in &files {
        let path = out.join("figures").join(file);
        assert!(document.contains(&format!("(figures/{file})")), "{file} in {document}");
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("png") => assert!(image::open(&path).expect("a picture").width() > 600, "{file}"),
            Some("svg") => assert!(fs::read_to_string(&path).expect("text").trim_end().ends_with("</svg>"), "{file}"),
            _ => assert!(!records(&path).is_empty(), "{file}"),
        }
    }
    let videos = &summary["datasets"][0]["videos"];
    // The area under the points of the figure, by trapezoids.
    let roc = records(&out.join("figures/roc-videos.csv"));
    let at = |record| [number(record, "false_positive_rate"), number(record, "true_positive_rate")];
    let area: f64 = roc
        .windows(2)
        .map(|pair| {
            let ([from, low], [to, high]) = (at(&pair[0]), at(&pair[1]));
            (to - from) * (low + high) / 2.0
        })
        .sum();
    assert!((area - videos["auc"]["value"].as_f64().expect("an AUC")).abs() < 1e-9, "{area}");
    // The calibration error of the bins of the figure.
    let bins = records(&out.join("figures/reliability-videos.csv"));
    let apart = |bin: &BTreeMap<String, String>| {
        let count = number(bin, "reals") + number(bin, "fakes");
        if count == 0.0 { 0.0 } else { count * (number(bin, "mean_score") - number(bin, "fake_part")).abs() }
    };
    let (count, error) = (bins.len(), bins.iter().map(apart).sum::<f64>() / 40.0);
    let expected = videos["expected_calibration_error"]["value"].as_f64().expect("an error");
    assert!(count == 15 && (error - expected).abs() < 1e-9, "{error} where the summary has {expected}");
    let confusion = &records(&out.join("figures/confusion-videos.csv"))[0];
    assert_eq!(confusion["true_positives"], videos["at_half"]["confusion"]["true_positives"].to_string());
}

#[test]
fn parquet_holds_the_scores_of_the_csv_with_logits_measures_and_features() {
    let place = Place::new();
    let (data, model) = (easy_set(&place), place.detector_of_small_crops());
    let out = evaluated(&place, &model, &data, "results", &[]);
    let frames = records(&out.join("frames.csv"));
    let (scores, features) = (rows(&out.join("predictions.parquet")), rows(&out.join("features.parquet")));
    assert_eq!((frames.len(), scores.len(), features.len()), (80, 80, 80));
    let file =
        SerializedFileReader::new(fs::File::open(out.join("predictions.parquet")).expect("there")).expect("Parquet");
    let schema = file.metadata().file_metadata().schema_descr_ptr();
    let place_of = |name: &str| schema.columns().iter().position(|column| column.name() == name).expect("a column");
    for ((frame, row), vector) in frames.iter().zip(&scores).zip(&features) {
        assert_eq!(row.get_string(place_of("video")).expect("a name"), &frame["video"]);
        assert_eq!(row.get_string(place_of("label")).expect("a label"), &frame["label"]);
        let number_of = |name: &str| row.get_double(place_of(name)).unwrap_or_else(|_| panic!("{name} of {row:?}"));
        let score = number(frame, "score");
        assert!((number_of("score") - score).abs() < 1e-12);
        let margin = number_of("logit_fake") - number_of("logit_real");
        assert!((1.0 / (1.0 + (-margin).exp()) - score).abs() < 1e-6, "a temperature of 1: {margin} and {score}");
        assert!(number_of("sharpness") > 0.0 && number_of("brightness") > 1.0);
        let vector = vector.get_list(vector.len() - 1).expect("features");
        assert!(vector.len() > 8 && vector.get_float(0).expect("a number").is_finite());
    }
}

#[test]
fn one_class_alone_gives_histograms_and_says_why_there_is_no_curve() {
    let place = Place::new();
    let (data, model) = (easy_set(&place), place.detector_of_small_crops());
    let manifest = fs::read_to_string(data.join("manifest.jsonl")).expect("a manifest");
    let reals: String =
        manifest.lines().filter(|line| !line.contains("fake")).map(|line| format!("{line}\n")).collect();
    fs::write(data.join("manifest.jsonl"), reals).expect("written");
    let out = evaluated(&place, &model, &data, "results", &[]);
    let document = fs::read_to_string(out.join("summary.md")).expect("a document");
    assert!(document.contains("- ROC curve of videos: not there"), "{document}");
    assert!(document.contains("  - without easy: there is nothing fake to compare with"), "{document}");
    assert!(!out.join("figures/roc-videos.svg").exists() && out.join("figures/scores-videos.svg").exists());
    figure(&summary(&out), "confusion-videos.png");
}

#[test]
fn the_most_confident_errors_are_named_with_their_crops_the_worst_first() {
    let place = Place::new();
    let (data, model) = (easy_set(&place), place.detector_of_small_crops());
    let out = evaluated(&place, &model, &data, "results", &[]);
    let listed = figure(&summary(&out), "errors.png")["left_out"].is_null();
    let errors = records(&out.join("figures/errors.csv"));
    assert!(listed && !errors.is_empty(), "an untrained detector is wrong about some");
    for error in &errors {
        let is_fake = error["label"] == "fake";
        assert!((number(error, "score") < 0.5) == is_fake, "{error:?}");
        assert!(Path::new(&error["crop"]).is_file(), "{error:?}");
        let (score, frame) = (number(error, "score"), number(error, "frame_score"));
        assert!(if is_fake { frame <= score } else { frame >= score }, "{error:?}");
    }
    let reals: Vec<f64> =
        errors.iter().filter(|error| error["label"] == "real").map(|error| number(error, "score")).collect();
    assert!(reals.is_sorted_by(|one, next| one >= next), "{reals:?}");
}

#[test]
fn robustness_measures_each_step_the_same_every_time() {
    if !has_encoders("ffmpeg", &["libx264"]) {
        return;
    }
    let place = Place::new();
    let (data, model) = (easy_set_of(&place, 2), place.detector_of_small_crops());
    let more = ["--robustness", "--frames", "1"];
    let [once, again] = ["once", "again"].map(|name| evaluated(&place, &model, &data, name, &more));
    let points = records(&once.join("figures/robustness.csv"));
    assert_eq!(points.len(), 32);
    assert_eq!(points, records(&again.join("figures/robustness.csv")));
    let auc = summary(&once)["datasets"][0]["videos"]["auc"]["value"].as_f64().expect("an AUC");
    let clean: Vec<f64> =
        points.iter().filter(|point| point["strength"].is_empty()).map(|point| number(point, "auc")).collect();
    assert!(clean.len() == 6 && clean.iter().all(|value| (value - auc).abs() < 1e-9), "{clean:?} and {auc}");
    let mean = |degradation: &str, strength: &str| {
        let is_it =
            |point: &&BTreeMap<String, String>| point["degradation"] == degradation && point["strength"] == strength;
        number(points.iter().find(is_it).expect("measured"), "mean_score_of_reals")
    };
    assert_ne!(mean("noise", "32"), mean("noise", ""), "what is measured is degraded");
    assert_ne!(mean("video", "43"), mean("video", "23"));
    figure(&summary(&once), "robustness.svg");
}
