//! Tables of a few videos that can be checked by hand.

use super::results::*;
use super::*;
use crate::datasets::{Label, ORIGINAL, Part};
use crate::evaluation::{EvaluationOptions, Omitted, Prediction, evaluate};

/// What was found of two real videos and two fakes with these scores.
fn measured(scores: [f64; 4]) -> Outcome<Measured> {
    let prediction = |(index, score): (usize, f64)| Prediction {
        dataset: "X".to_owned(),
        manipulation: if index < 2 { ORIGINAL } else { "swap" }.to_owned(),
        video: index.to_string(),
        group: index.to_string(),
        label: if index < 2 { Label::Real } else { Label::Fake },
        time_s: None,
        score,
        uncertainty: None,
    };
    let predictions: Vec<Prediction> = scores.into_iter().enumerate().map(prediction).collect();
    let omitted = [Omitted { dataset: "X".to_owned(), label: Label::Real, reason: "no face was found".to_owned() }];
    let summary = evaluate(&predictions, &omitted, &EvaluationOptions::default()).unwrap();
    let of_set = summary.datasets.into_iter().next().unwrap();
    Outcome::Found(Measured {
        figures: of_set.levels.videos,
        dropped: of_set.dropped,
        remarks: vec!["lossy".to_owned()],
    })
}

/// All fakes above all reals: AUC 1.
const PERFECT: [f64; 4] = [0.1, 0.2, 0.8, 0.9];
/// One of the four pairs is in the wrong order: AUC 3/4.
const GOOD: [f64; 4] = [0.1, 0.6, 0.5, 0.9];

fn missing<T>(kind: MissingKind, reason: &str) -> Outcome<T> {
    Outcome::Missing(Missing { kind, reason: reason.to_owned() })
}

fn method(name: &str, measured: Vec<Outcome<Measured>>) -> MethodEntry {
    let detector = DetectorEntry { name: name.to_owned(), file: "d.safetensors".to_owned(), sha256: "ab".to_owned() };
    let speed = Speed { images_per_second: 12.34, batch: 8, repeats: 5, peak_memory: Some(250_000_000) };
    let efficiency = Efficiency {
        parameters: 86_000_000,
        trained: Some(43_000),
        bytes: 344_000_000,
        flops: 35_200_000_000,
        speed: Outcome::Found(speed),
    };
    MethodEntry { name: name.to_owned(), detector: Outcome::Found(detector), measured, efficiency: Some(efficiency) }
}

fn absent(name: &str) -> MethodEntry {
    let detector = missing(MissingKind::NotThere, "gone.safetensors: there is no such file");
    MethodEntry { name: name.to_owned(), detector, measured: Vec::new(), efficiency: None }
}

fn comparison(methods: Vec<MethodEntry>) -> Comparison {
    let set = |name: &str| DatasetEntry { name: name.to_owned(), part: Part::Test, self_blended: name == "Y" };
    Comparison { version: VERSION, device: "cpu".to_owned(), datasets: vec![set("X"), set("Y")], methods }
}

#[test]
fn names_do_not_break_a_table() {
    let mut compared = comparison(vec![method("a|b", vec![measured(GOOD), measured(GOOD)])]);
    compared.datasets[1].name = "Y|Z".to_owned();
    let (document, _folder) = written(&compared);
    assert!(document.contains("| | X | Y\\|Z | mean |\n") && document.contains("\n| a\\|b | 75.00"), "{document}");
}

/// Three methods, of which the second lacks a data set and the third is not there.
fn example() -> Comparison {
    comparison(vec![
        method("First", vec![measured(PERFECT), measured(GOOD)]),
        method("Second", vec![measured(GOOD), missing(MissingKind::NoData, "crops/Y: there is no such file")]),
        absent("Third"),
    ])
}

/// What is written of a comparison: the document, and where the files are.
fn written(comparison: &Comparison) -> (String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (document::write(folder.path(), comparison).unwrap(), folder)
}

/// The cells of the rows of a section's table that begin with this name.
fn rows(document: &str, section: &str, name: &str) -> Vec<Vec<String>> {
    let table = document.split(&format!("\n## {section}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let cells = |line: &str| line.trim_matches('|').split('|').skip(1).map(|cell| cell.trim().to_owned()).collect();
    table.lines().filter(|line| line.starts_with(&format!("| {name} |"))).map(cells).collect()
}

#[test]
fn the_best_of_a_column_is_bold_and_what_is_missing_is_said_with_its_reason() {
    let (document, _folder) = written(&example());
    let [first] = &rows(&document, "State of the art", "First")[..] else { panic!("{document}") };
    assert!(first[0].starts_with("**100.00** (") && first[0].contains("100.0)"), "{first:?}");
    // With nobody to compare with, nothing is the best.
    assert!(first[1].starts_with("75.00 (") && first[2] == "87.50", "{first:?}");
    let [second] = &rows(&document, "State of the art", "Second")[..] else { panic!("{document}") };
    assert!(second[0].starts_with("75.00 ("), "{second:?}");
    assert_eq!(second[1..], ["no data", "75.00 (1 of 2)"]);
    assert_eq!(rows(&document, "State of the art", "Third"), [["not there"; 3]]);
    for line in [
        "- Y, split test, real videos with a self-blended fake of each: ",
        "- X, split test: 2 real and 2 fake videos of 4 persons or source videos\n",
        "Few videos say little",
        "with 95 % bootstrap intervals",
        "- Second on Y: no data: crops/Y: there is no such file\n",
        "- Third: not there: gone.safetensors: there is no such file\n",
        "- First on X: 1 real: no face was found\n",
        "- X: lossy\n",
        "- First: First, SHA-256 ab, d.safetensors\n",
    ] {
        assert!(document.contains(line), "{line} in {document}");
    }
}

#[test]
fn a_mean_is_best_only_among_means_over_the_same_data_and_equal_ones_are_both() {
    let weak = [0.9, 0.6, 0.5, 0.1];
    let compared = comparison(vec![
        method("First", vec![measured(GOOD), measured(GOOD)]),
        method("Second", vec![measured(GOOD), measured(GOOD)]),
        method("Third", vec![measured(weak), measured(weak)]),
        // The highest mean, over less.
        method("Fourth", vec![measured(PERFECT), missing(MissingKind::Failed, "why")]),
    ]);
    let (document, _folder) = written(&compared);
    let means =
        ["First", "Second", "Third", "Fourth"].map(|name| rows(&document, "State of the art", name)[0][2].clone());
    assert_eq!(means, ["**75.00**", "**75.00**", "0.00", "100.00 (1 of 2)"]);
}

#[test]
fn the_second_table_has_four_figures_of_each_method() {
    let (document, folder) = written(&example());
    let first = rows(&document, "Ablation over data sets", "First");
    let figures: Vec<&[String]> = first.iter().map(Vec::as_slice).collect();
    // Of 0.1, 0.6 | 0.5, 0.9 at 0.5: one real of two is called fake, both fakes are.
    assert_eq!(figures[0], ["AUC", "100.00", "75.00", "87.50"]);
    assert_eq!(figures[1][..2], ["AP", "100.00"]);
    assert_eq!(figures[2][..2], ["EER", "0.00"]);
    assert_eq!(figures[3], ["ACC", "100.00", "75.00", "87.50"]);
    assert_eq!(rows(&document, "Ablation over data sets", "Second")[3], ["ACC", "75.00", "no data", "75.00 (1 of 2)"]);
    assert_eq!(rows(&document, "Ablation over data sets", "Third").len(), 4);

    let csv = std::fs::read_to_string(folder.path().join("ablation.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 3 * 3, "{csv}");
    assert!(csv.contains("Second,Y,,,,,no data\n") && csv.contains("Third,mean,,,,,not there\n"), "{csv}");
}

#[test]
fn the_third_table_has_the_share_that_was_trained_and_says_what_is_not_known() {
    let mut compared = example();
    let second = compared.methods[1].efficiency.as_mut().unwrap();
    second.trained = None;
    second.speed = missing(MissingKind::Failed, "no such device");
    let (document, folder) = written(&compared);
    let of = |name: &str| rows(&document, "Parameter efficiency", name).remove(0);
    assert_eq!(of("First"), ["86000000", "43000", "0.0500", "344000000", "35.20", "12.3 (batch 8)", "250"]);
    assert_eq!(of("Second"), ["86000000", "–", "–", "344000000", "35.20", "failed", "failed"]);
    assert_eq!(of("Third"), ["not there"; 7]);
    assert!(document.contains("- Second, images/s: failed: no such device\n"), "{document}");
    assert!(document.contains("- Second, trained parameters: "), "{document}");
    let csv = std::fs::read_to_string(folder.path().join("efficiency.csv")).unwrap();
    assert!(csv.contains("First,86000000,43000,0.0005,344000000,35200000000,12.34,8,250000000,measured\n"), "{csv}");
    assert!(csv.contains("Third,,,,,,,,,not there\n"), "{csv}");
}

#[test]
fn what_all_lack_for_one_reason_is_said_once() {
    let lacking = || vec![measured(GOOD), missing(MissingKind::NoData, "gone")];
    let (document, _folder) = written(&comparison(vec![method("First", lacking()), method("Second", lacking())]));
    assert_eq!(document.matches("no data: gone").count(), 1, "{document}");
    assert!(document.contains("- Y: no data: gone\n"), "{document}");
    // Nobody has it, so the means are over the same data.
    assert_eq!(rows(&document, "State of the art", "First")[0][2], "**75.00 (1 of 2)**");
}

#[test]
fn a_mean_of_nothing_says_why_there_is_nothing() {
    let gone = || missing(MissingKind::NoData, "gone");
    // Of videos that are all real there is no AUC.
    let Outcome::Found(mut alike) = measured(GOOD) else { panic!("measured") };
    alike.figures.auc =
        serde_json::from_value(serde_json::json!({ "value": null, "undefined": "all are real" })).unwrap();
    let methods = vec![method("First", vec![gone(), gone()]), method("Second", vec![Outcome::Found(alike), gone()])];
    let (document, _folder) = written(&comparison(methods));
    assert_eq!(rows(&document, "State of the art", "First"), [["no data"; 3]]);
    assert_eq!(rows(&document, "State of the art", "Second"), [["undefined", "no data", "undefined"]]);
    assert!(document.contains("- Second on X: no AUC: all are real\n"), "{document}");
}

#[test]
fn the_figure_shows_what_the_first_csv_holds() {
    let mut compared = example();
    compared.methods[0].name = "A & <B>".to_owned();
    let (_, folder) = written(&compared);
    let svg = std::fs::read_to_string(folder.path().join("auc.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert!(svg.contains("A &amp; &lt;B&gt;") && !svg.contains("<B>"), "names are text: {svg}");
    for words in ["100.00", "75.00", "no data", "not there", "mean", "font-family=\"sans-serif\""] {
        assert!(svg.contains(words), "{words}: {svg}");
    }
    let csv = std::fs::read_to_string(folder.path().join("state_of_the_art.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 3 * 3);
    // A dot for each AUC, filled for the best alone: an open one has a white one on it.
    let drawn = |fill: &str| svg.lines().filter(|line| line.contains("<circle") && line.contains(fill)).count();
    let aucs = records.iter().filter(|record| !record[5].is_empty()).count();
    let best = records.iter().filter(|record| &record[9] == "true").count();
    assert_eq!((drawn("#0072B2"), drawn("#FFFFFF")), (aucs, aucs - best), "{svg}");
    assert_eq!((aucs, best), (5, 1));
}

#[test]
fn nothing_is_complete_from_which_something_is_missing() {
    assert!(!example().is_complete());
    let whole = || method("First", vec![measured(GOOD), measured(GOOD)]);
    assert!(comparison(vec![whole()]).is_complete());
    assert!(!comparison(vec![whole(), absent("Third")]).is_complete());
    let mut slow = whole();
    slow.efficiency.as_mut().unwrap().speed = missing(MissingKind::Failed, "why");
    assert!(!comparison(vec![slow]).is_complete());
}

#[test]
fn what_was_stored_counts_only_under_its_own_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results/first/x.json");
    store(&path, &"key", &vec![0.1, 0.7]).unwrap();
    assert_eq!(stored::<String, Vec<f64>>(&path, &"key".to_owned()), Some(vec![0.1, 0.7]));
    assert_eq!(stored::<String, Vec<f64>>(&path, &"other".to_owned()), None);
    std::fs::write(&path, "{ \"of\": \"key\", ").unwrap();
    assert_eq!(stored::<String, Vec<f64>>(&path, &"key".to_owned()), None, "what is damaged is measured again");
}
