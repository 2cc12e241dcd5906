//! Figures of a few videos: what is drawn, left out and written beside them.

use std::collections::BTreeMap;

use super::*;
use crate::datasets::Label;
use crate::evaluation::{EvaluationOptions, evaluate};

/// A video of one frame for each score.
fn predictions(dataset: &str, manipulation: &str, video: &str, scores: &[f64]) -> Vec<Prediction> {
    let label = if manipulation == crate::datasets::ORIGINAL { Label::Real } else { Label::Fake };
    let of_frame = |score: &f64| Prediction {
        dataset: dataset.to_owned(),
        manipulation: manipulation.to_owned(),
        video: video.to_owned(),
        group: video.to_owned(),
        label,
        time_s: None,
        score: *score,
        uncertainty: None,
    };
    scores.iter().map(of_frame).collect()
}

/// Two data sets, of which the second has no real video.
fn example() -> Vec<Prediction> {
    [
        predictions("A & B", "original", "r1", &[0.1, 0.3]),
        predictions("A & B", "original", "r2", &[0.6, 0.4]),
        predictions("A & B", "swap", "f1", &[0.9, 0.7]),
        predictions("A & B", "swap", "f2", &[0.4, 0.4]),
        predictions("fakes only", "swap", "f1", &[0.8]),
    ]
    .concat()
}

fn drawn(draw: impl Fn(&Level) -> Result<Drawn>, threshold: Option<f64>) -> Drawn {
    let all = example();
    let thresholds = Thresholds { videos: threshold, frames: threshold, undefined: None };
    let [videos, _] = Level::both(&group(&all).unwrap(), &thresholds).unwrap();
    draw(&videos).unwrap()
}

fn lines(csv: &[u8]) -> Vec<String> {
    String::from_utf8(csv.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_curve_is_drawn_of_the_sets_with_both_classes_and_says_what_it_is_without() {
    for (draw, points) in
        [(curves::roc as fn(&Level) -> _, 5), (curves::precision_recall, 5), (curves::reliability, 15)]
    {
        let Drawn { name, figure, csv, left_out, .. } = drawn(draw, None);
        let svg = figure.expect("one set has both classes").svg().unwrap();
        assert!(svg.contains("A &amp; B") && !svg.contains("fakes only"), "{name}: {svg}");
        assert_eq!(left_out, ["fakes only: there is nothing real to compare with"], "{name}");
        assert_eq!(lines(&csv).len(), 1 + points, "{name}: {:?}", lines(&csv));
    }
    assert_eq!(lines(&drawn(curves::roc, None).csv)[1..3], ["A & B,,0,0", "A & B,0.8,0,0.5"]);
}

#[test]
fn histograms_and_confusions_need_no_second_class() {
    let Drawn { figure, csv, left_out, .. } = drawn(counts::histograms, Some(0.45));
    let svg = figure.unwrap().svg().unwrap();
    assert!(svg.contains("fakes only") && left_out.is_empty() && svg.contains("dashed: threshold"), "{svg}");
    let counted: u64 =
        lines(&csv)[1..].iter().map(|line| line.split(',').next_back().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!((lines(&csv).len(), counted), (41, 3));
    let Drawn { csv, .. } = drawn(counts::confusions, Some(0.45));
    // r2 at 0.5 is on the threshold of 0.5.
    assert_eq!(lines(&csv)[1..3], ["A & B,half,0.5,1,1,1,1", "A & B,validation,0.45,1,1,1,1"]);
    assert_eq!(lines(&csv)[3], "fakes only,half,0.5,1,0,0,0");
}

#[test]
fn a_figure_without_anything_to_draw_has_no_files_but_the_reason() {
    let all = predictions("reals", "original", "r1", &[0.2]);
    let [videos, _] = Level::both(&group(&all).unwrap(), &Thresholds::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let entry = curves::roc(&videos).unwrap().write(folder.path()).unwrap();
    assert!(entry.files.is_empty(), "{entry:?}");
    assert_eq!(entry.left_out, ["reals: there is nothing fake to compare with"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let entry = drawn(curves::roc, None).write(folder.path()).unwrap();
    assert_eq!(entry.files, ["roc-videos.svg", "roc-videos.png", "roc-videos.csv"]);
    let picture = image::open(folder.path().join("roc-videos.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (1520, 1040));
}

#[test]
fn the_auc_is_broken_down_by_a_tables_columns_within_each_data_set() {
    let all = example();
    let videos = group(&all).unwrap();
    let said = |name: &str, manipulation: &str, light: &str| {
        let identity = ("A & B".to_owned(), manipulation.to_owned(), name.to_owned());
        (identity, BTreeMap::from([("light".to_owned(), light.to_owned())]))
    };
    let attributes: Attributes = [
        said("r1", "original", "dim"),
        said("r2", "original", "bright"),
        said("f1", "swap", "dim"),
        said("f2", "swap", "bright"),
    ]
    .into();
    let summary = evaluate(&all, &[], &EvaluationOptions::default()).unwrap();
    let drawn = breakdown::draw(&videos, &["light"], &attributes, (&[], &[]), &summary.bootstrap).unwrap();
    let lines = lines(&drawn.csv);
    // 0.4 of f2 is below 0.5 of r2, and 0.8 of f1 above 0.2 of r1. Each interval is over two groups.
    assert!(lines.contains(&"A & B,light,bright,1,1,2,0,0,0".to_owned()), "{lines:?}");
    assert!(lines.contains(&"A & B,light,dim,1,1,2,1,1,1".to_owned()), "{lines:?}");
    assert!(lines.iter().all(|line| !line.contains("manipulation,swap")), "one manipulation is all of them: {lines:?}");
    assert!(drawn.left_out.iter().any(|reason| reason.contains("face_size is not known")), "{:?}", drawn.left_out);
}
