//! Summaries of a few videos that can be checked by hand.

use super::summary::Levels;
use super::videos::EvaluationError;
use super::*;
use crate::datasets::{Dropped, ORIGINAL, Split};

fn predictions(dataset: &str, manipulation: &str, video: &str, scores: &[f64]) -> Vec<Prediction> {
    let label = if manipulation == ORIGINAL { Label::Real } else { Label::Fake };
    let of_frame = |(index, score): (usize, &f64)| Prediction {
        dataset: dataset.to_string(),
        manipulation: manipulation.to_string(),
        video: video.to_string(),
        group: video.to_string(),
        label,
        time_s: Some(index as f64 / 2.0),
        score: *score,
        uncertainty: None,
    };
    scores.iter().enumerate().map(of_frame).collect()
}

/// The example of the module's documentation.
fn example(dataset: &str) -> Vec<Prediction> {
    [
        predictions(dataset, ORIGINAL, "r1", &[0.1, 0.3]),
        predictions(dataset, ORIGINAL, "r2", &[0.6, 0.4]),
        predictions(dataset, "Deepfakes", "f1", &[0.9, 0.7]),
        predictions(dataset, "Deepfakes", "f2", &[0.4, 0.4]),
    ]
    .concat()
}

fn summary(predictions: &[Prediction], omitted: &[Omitted]) -> Summary {
    let options = EvaluationOptions { title: "example".to_string(), ..EvaluationOptions::default() };
    evaluate(predictions, omitted, &options).expect("sound predictions")
}

/// A row of the first table with this name, cell by cell.
fn row(markdown: &str, name: &str) -> Vec<String> {
    let start = format!("| {name} |");
    let line = markdown.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{name} in {markdown}"));
    line.trim_matches('|').split(" | ").skip(1).map(|cell| cell.trim().to_string()).collect()
}

#[test]
fn the_example_has_the_figures_counted_by_hand() {
    let summary = summary(&example("DFD"), &[]);
    let Levels { frames, videos } = &summary.datasets[0].levels;
    assert_eq!((videos.auc.value, frames.auc.value), (Some(0.75), Some(13.0 / 16.0)));
    assert_eq!((videos.reals, videos.fakes, frames.reals, frames.fakes), (2, 2, 4, 4));
    let at_half = &videos.at_half;
    assert_eq!((at_half.accuracy.value, at_half.f1.value), (Some(0.5), Some(0.5)));
    assert_eq!((at_half.precision.value, at_half.recall.value), (Some(0.5), Some(0.5)));
    assert_eq!(videos.at_validation, None);
    let interval = videos.auc.interval.expect("an interval");
    assert!(interval.low <= 0.75 && interval.high == 1.0 && interval.skipped > 0, "{interval:?}");
}

#[test]
fn intervals_are_found_over_groups_and_their_number_stands_beside_the_figures() {
    let mut all = example("DFD");
    for (index, prediction) in all.iter_mut().enumerate() {
        // r1 with f1, r2 with f2: as if each fake were made from the real video of its number.
        prediction.group = ["1", "1", "2", "2", "1", "1", "2", "2"][index].to_string();
    }
    let summary = summary(&all, &[]);
    let videos = &summary.datasets[0].levels.videos;
    assert_eq!((videos.groups, videos.auc.value), (2, Some(0.75)));
    let interval = videos.auc.interval.expect("an interval");
    // Only (1, 1), (2, 2) and (1, 2) can be drawn: no resample lacks a class, and the AUCs are 1, 0 and 3/4.
    assert_eq!((interval.low, interval.high, interval.skipped), (0.0, 1.0, 0));
    assert_eq!(row(&markdown::document(&summary), "persons or source videos"), ["2", ""]);
    all.iter_mut().for_each(|prediction| prediction.group = "1".to_string());
    let levels = &super::evaluate(&all, &[], &EvaluationOptions::default()).expect("sound").datasets[0].levels;
    assert_eq!((levels.videos.groups, levels.videos.auc.value, levels.videos.auc.interval), (1, Some(0.75), None));
}

#[test]
fn what_differs_from_scoring_stands_below_the_tables() {
    let options = EvaluationOptions { remarks: vec!["a|b".to_string()], ..EvaluationOptions::default() };
    let summary = evaluate(&example("DFD"), &[], &options).expect("sound");
    let markdown = markdown::document(&summary);
    assert!(markdown.ends_with("## How this differs from `unmask score`\n\n- a\\|b\n"), "{markdown}");
}

#[test]
fn videos_of_one_name_under_two_manipulations_are_two_videos() {
    let all = [example("FF++"), predictions("FF++", "Face2Face", "f1", &[0.0])].concat();
    let summary = summary(&all, &[]);
    assert_eq!(summary.datasets[0].levels.videos.fakes, 3);
    assert_eq!(group(&all).expect("sound").len(), 5);
}

#[test]
fn each_manipulation_is_held_against_all_reals_of_its_data_set() {
    let all = [example("FF++"), predictions("FF++", "Face2Face", "f3", &[0.3])].concat();
    let summary = summary(&all, &[]);
    let parts = &summary.datasets[0].manipulations;
    assert_eq!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["Deepfakes", "Face2Face"]);
    assert_eq!((parts[1].levels.videos.reals, parts[1].levels.videos.fakes), (2, 1));
    assert_eq!(parts[0].levels.videos.auc.value, Some(0.75));
    // 0.3 lies above r1 and below r2.
    assert_eq!(parts[1].levels.videos.auc.value, Some(0.5));
}

#[test]
fn figures_that_one_class_cannot_give_say_why_and_are_left_out_of_the_mean() {
    let all = [example("DFD"), predictions("UADFV", "FakeApp", "f1", &[0.9])].concat();
    let summary = summary(&all, &[]);
    let uadfv = &summary.datasets[1].levels.videos;
    assert_eq!((uadfv.auc.value, uadfv.auc.interval), (None, None));
    assert!(uadfv.auc.undefined.as_ref().expect("a reason").contains("nothing real"));
    assert_eq!(uadfv.at_half.accuracy.value, Some(1.0));
    let of = |metric| summary.mean.iter().find(|mean| mean.metric == metric).expect("a mean").videos;
    assert_eq!(of(figures::Metric::Auc), summary::MeanFigure { value: Some(0.75), datasets: 1 });
    assert_eq!(of(figures::Metric::Accuracy), summary::MeanFigure { value: Some(0.75), datasets: 2 });
    let markdown = markdown::document(&summary);
    assert_eq!(row(&markdown, "AUC"), ["75.00", "–", "75.00 (1 of 2)"]);
    assert!(markdown.contains("UADFV, videos, AUC: there is nothing real"), "{markdown}");
    let json = serde_json::to_string(&summary).expect("JSON");
    assert!(!json.contains("NaN"), "{json}");
}

#[test]
fn columns_come_in_the_order_of_the_papers_with_the_others_and_the_mean_last() {
    let names =
        ["Celeb-DF-v2", "FaceForensics++", "my own", "DFDC", "FaceShifter", "DFDCP", "UADFV", "DeepFakeDetection"];
    let all: Vec<Prediction> = names.iter().flat_map(|name| example(name)).collect();
    let markdown = markdown::document(&summary(&all, &[]));
    let header = markdown.lines().find(|line| line.starts_with("| | ")).expect("a header");
    assert_eq!(header, "| | DFDC | DFDCP | DFD | FS | FF++ | UADFV | CDF-v2 | my own | Avg |");
    let widths: Vec<usize> = markdown
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").count().max(line.matches("---").count()))
        .collect();
    assert!(widths.iter().all(|width| *width == 10), "{widths:?}");
}

#[test]
fn two_data_sets_that_share_a_heading_keep_their_own_names() {
    let all = [example("FF++"), example("FaceForensics++")].concat();
    let markdown = markdown::document(&summary(&all, &[]));
    assert!(markdown.contains("| | FF++ | FaceForensics++ | Avg |"), "{markdown}");
}

#[test]
fn what_was_dropped_is_counted_beside_the_figures_even_where_nothing_is_left() {
    let dropped = |source: &str, label, kind: &'static str| Dropped {
        dataset: "DFDC".to_string(),
        split: if source == "d.mp4" { Split::Train } else { Split::Test },
        source: source.to_string(),
        label,
        kind,
        reason: format!("{source}: {kind}"),
    };
    let dataset = Dataset {
        name: "a folder".to_string(),
        videos: Vec::new(),
        dropped: vec![
            dropped("a.mp4", Label::Fake, "no face was found"),
            dropped("b.mp4", Label::Fake, "no face was found"),
            dropped("c.mp4", Label::Real, "it cannot be decoded"),
            dropped("d.mp4", Label::Real, "it cannot be decoded"),
        ],
        crops: Vec::new(),
        unusable: Vec::new(),
    };
    let summary = summary(&example("DFD"), &Omitted::of(&dataset, |split| split == Split::Test));
    assert_eq!(summary.datasets[1].name, "DFDC");
    assert_eq!(summary.datasets[1].dropped[1].count, 2);
    let markdown = markdown::document(&summary);
    assert_eq!(row(&markdown, "videos dropped, real / fake")[..2], ["1 / 2", "0 / 0"]);
    assert_eq!(row(&markdown, "ACC at 0.5"), ["–", "50.00", "50.00 (1 of 2)"]);
    assert!(markdown.contains("- DFDC: 2 fake: no face was found"), "{markdown}");
}

#[test]
fn thresholds_come_from_validation_data_and_are_named_in_the_tables() {
    let validation =
        [predictions("val", ORIGINAL, "r", &[0.1, 0.2]), predictions("val", "x", "f", &[0.4, 0.6])].concat();
    let thresholds = Thresholds::choose(&validation).expect("sound");
    let (frames, videos) = (thresholds.frames.expect("separable"), thresholds.videos.expect("separable"));
    assert!((frames - 0.3).abs() < 1e-12 && (videos - 0.325).abs() < 1e-12, "{thresholds:?}");
    let options = EvaluationOptions { thresholds, ..EvaluationOptions::default() };
    let summary = evaluate(&example("DFD"), &[], &options).expect("sound");
    let at = summary.datasets[0].levels.videos.at_validation.as_ref().expect("a threshold");
    // r1 at 0.2 is called real; r2, f1 and f2 are called fake.
    assert_eq!((at.accuracy.value, at.recall.value, at.confusion.false_positives), (Some(0.75), Some(1.0), 1));
    let markdown = markdown::document(&summary);
    assert_eq!(row(&markdown, "ACC at 0.3250 (validation)"), ["75.00", "75.00"]);
    assert_eq!(row(&markdown, "TP / FP / TN / FN at 0.3250"), ["2 / 1 / 1 / 0", ""]);
}

#[test]
fn validation_data_that_tells_nothing_gives_no_threshold_and_says_why() {
    let thresholds = Thresholds::choose(&predictions("val", ORIGINAL, "r", &[0.1])).expect("sound");
    assert_eq!((thresholds.frames, thresholds.videos), (None, None));
    assert!(thresholds.undefined.as_ref().expect("a reason").contains("nothing fake"));
}

#[test]
fn impossible_predictions_are_refused_by_the_name_of_their_video() {
    for score in [f64::NAN, -0.1, 1.5] {
        let error = group(&predictions("DFD", "x", "f1", &[0.5, score])).expect_err("refused").to_string();
        assert!(error.contains("DFD/x/f1"), "{error}");
    }
    let mut mixed = predictions("DFD", "x", "f1", &[0.5, 0.5]);
    mixed[1].label = Label::Real;
    assert!(matches!(group(&mixed), Err(EvaluationError::MixedLabels { video }) if video == "DFD/x/f1"));
}

#[test]
fn results_are_written_in_three_forms_and_the_summary_reads_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("results");
    let mut all = example("a, \"quoted\" set");
    all[0].time_s = None;
    all[0].uncertainty = Some(0.25);
    let summary = summary(&all, &[]);
    write(&path, &summary, &all).expect("written");
    let read = |name: &str| std::fs::read_to_string(path.join(name)).expect(name);
    assert_eq!(serde_json::from_str::<Summary>(&read("summary.json")).expect("JSON"), summary);
    assert!(read("summary.md").starts_with("# Evaluation: example\n"));
    let (frames, videos) = (read("frames.csv"), read("videos.csv"));
    let mut lines = frames.lines();
    assert_eq!(lines.next(), Some("dataset,manipulation,video,label,time_s,score,uncertainty"));
    assert_eq!(lines.next(), Some("\"a, \"\"quoted\"\" set\",original,r1,real,,0.1,0.25"));
    assert_eq!(lines.next(), Some("\"a, \"\"quoted\"\" set\",original,r1,real,0.5,0.3,"));
    assert_eq!((frames.lines().count(), videos.lines().count()), (9, 5));
    assert!(videos.lines().any(|line| line.ends_with(",original,r2,real,2,0.5,r2,")), "{videos}");
}

#[test]
fn the_same_predictions_give_the_same_summary_in_any_order() {
    let all = example("DFD");
    let turned: Vec<Prediction> = all.iter().rev().cloned().collect();
    assert_eq!(summary(&all, &[]), summary(&turned, &[]));
}
