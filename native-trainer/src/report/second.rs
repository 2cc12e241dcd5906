//! The part of a page where several detectors stand side by side.

use unmask_core::pipeline::report::{Report, Verdict};

use super::figures::figure;
use super::words::sentence;
use crate::opinions::{self, Answer, RULE};

/// What several detectors say, as the template shows it.
pub(super) struct Opinions {
    pub(super) answers: Vec<Row>,
    pub(super) notes: Vec<String>,
}

/// A detector in the table.
pub(super) struct Row {
    pub(super) detector: String,
    pub(super) verdict: &'static str,
    pub(super) score: String,
    pub(super) grade: &'static str,
    pub(super) reason: String,
}

impl From<Answer> for Row {
    fn from(Answer { detector, verdict, score, uncertainty, grade, reason }: Answer) -> Self {
        let unsure = uncertainty.map_or(String::new(), |uncertainty| format!(", uncertainty {}", figure(uncertainty)));
        let (score, reason) = (score.map_or("–".to_owned(), figure) + &unsure, reason.unwrap_or_default());
        Self { detector, verdict, score, grade, reason }
    }
}

impl Opinions {
    /// Those of a report; none where one detector scored.
    pub(super) fn of(report: &Report) -> Option<Self> {
        let first = opinions::first(report)?;
        let mean = report.score.map(|score| {
            format!(
                "The mean of the scores is {}: it serves for sorting, has no thresholds and decides nothing.",
                figure(score)
            )
        });
        let rest = format!("The figures, faces and people below are those of {first}, which was named first.");
        let notes = std::iter::once(sentence(RULE)).chain(mean).chain([rest]).collect();
        Some(Self { answers: opinions::answers(report).into_iter().map(Row::from).collect(), notes })
    }
}

/// The answers of all detectors in one line for the index; empty where one detector scored.
pub(super) fn line(report: &Report) -> String {
    let answer = |Answer { detector, verdict, score, .. }: Answer| {
        format!("{detector}: {verdict}{}", score.map_or(String::new(), |score| format!(", {}", figure(score))))
    };
    opinions::answers(report).into_iter().map(answer).collect::<Vec<_>>().join(" · ")
}

/// What a plain verdict of several detectors means.
pub(super) fn lead(report: &Report, subject: &str) -> String {
    let (number, verdict) = (report.opinions.len(), report.verdict.words());
    let belief = match report.verdict {
        Verdict::LikelyFake => format!("All {number} detectors believe that the face was manipulated"),
        _ => format!("None of the {number} detectors found a trace of a manipulation that it knows"),
    };
    format!("{belief}: each by its own thresholds calls {subject} {verdict}.")
}
