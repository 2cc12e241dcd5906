//! A second opinion in words: what the terminal and the pages of reports say of several detectors.

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use console::style;
use unmask_core::pipeline::Opinion;
use unmask_core::pipeline::opinion::names;
use unmask_core::pipeline::report::{ModelInfo, Report};

use crate::output::grade;

/// How several detectors come to one verdict, in a sentence without a full stop.
pub(crate) const RULE: &str = "the joint verdict is likely fake or likely real only where every detector says so by its \
                               own thresholds, and uncertain where they do not agree";

/// One detector's answer in words.
pub(crate) struct Answer {
    /// What to call the detector.
    pub detector: String,
    /// Its verdict.
    pub verdict: &'static str,
    /// Its score, if any.
    pub score: Option<f32>,
    /// How little it knows, if it says so.
    pub uncertainty: Option<f32>,
    /// Its grade in a word.
    pub grade: &'static str,
    /// Why its verdict is not a plain one.
    pub reason: Option<String>,
}

/// The answers of all detectors where several scored; else none.
pub(crate) fn answers(report: &Report) -> Vec<Answer> {
    let opinions = report.opinions.iter().zip(names(&report.opinions));
    let answer = |(opinion, detector): (&Opinion, String)| Answer {
        detector,
        verdict: opinion.verdict.words(),
        score: opinion.score,
        uncertainty: opinion.uncertainty,
        grade: grade(opinion.model.reliability.grade),
        reason: opinion.reason.clone(),
    };
    opinions.map(answer).collect()
}

/// What to call the detector that the tracks and frames have their scores of, where several scored.
pub(crate) fn first(report: &Report) -> Option<String> {
    names(&report.opinions).into_iter().next()
}

/// What the answers of each detector are worth, with its name in front; empty for one.
pub(crate) fn worth(report: &Report) -> Vec<String> {
    with_names(report, |model| Some(&model.reliability.words))
}

/// How often each detector is wrong, where that was counted, with its name in front; empty for one.
pub(crate) fn error_rates(report: &Report) -> Vec<String> {
    with_names(report, |model| model.error_rates.as_ref())
}

fn with_names(report: &Report, words: impl Fn(&ModelInfo) -> Option<&String>) -> Vec<String> {
    let opinions = report.opinions.iter().zip(names(&report.opinions));
    opinions.filter_map(|(opinion, name)| Some(format!("with {name}: {}", words(&opinion.model)?))).collect()
}

/// The lines of the terminal's summary on the detectors, side by side; empty for one.
pub(crate) fn lines(report: &Report) -> Vec<String> {
    let answers = answers(report);
    if answers.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["detector", "verdict", "P(fake)", "grade"]);
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for answer in &answers {
        let unsure = answer.uncertainty.map_or(String::new(), |uncertainty| format!(", uncertainty {uncertainty:.2}"));
        let score = answer.score.map_or("–".to_owned(), |score| format!("{score:.2}{unsure}"));
        table.add_row([answer.detector.as_str(), answer.verdict, &score, answer.grade]);
    }
    let mut lines: Vec<String> = table.to_string().lines().map(|line| line.trim_end().to_owned()).collect();
    let is_new = |reason: &&String| report.reason.as_ref() != Some(*reason);
    for Answer { detector, verdict, reason, .. } in &answers {
        lines.extend(reason.as_ref().filter(is_new).map(|reason| format!(" {detector} {verdict}: {reason}")));
    }
    lines.push(format!(" {}", style(RULE).dim()));
    lines
}
