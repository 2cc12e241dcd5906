//! The page that lists all inputs of a run.

use askama::Template;
use unmask_core::detector::spec::{DetectorSpec, Grade, Reliability};
use unmask_core::pipeline::report::Report;

use super::figures::count;
use super::page::{Scale, scale};
use super::pictures::Pictures;
use super::{second, words};
use crate::media::LeftOut;

/// One input that was scored.
pub(super) struct Entry {
    title: String,
    /// The page's file name.
    page: String,
    class: &'static str,
    verdict: &'static str,
    reason: Option<String>,
    /// What weakens the answer, beside the detector, of which the whole page speaks.
    caveats: Vec<String>,
    /// What each of several detectors says; else empty.
    opinions: String,
    picture: Option<String>,
    scale: Option<Scale>,
}

impl Entry {
    pub(super) fn new(report: &Report, spec: &DetectorSpec, pictures: &Pictures, title: &str, page: String) -> Self {
        let (class, verdict) = words::heading(report.verdict);
        let face =
            report.deciding_track().and_then(|track| pictures.faces(track.id).last()).and_then(|face| face.url());
        let frame = || pictures.kept_frames().next().and_then(|index| pictures.thumbnail_url(index));
        Self {
            title: title.to_owned(),
            page,
            class,
            verdict,
            reason: report.reason.clone(),
            caveats: report
                .caveats
                .iter()
                .filter(|caveat| !caveat.code.is_of_detector())
                .map(|caveat| caveat.words.clone())
                .collect(),
            opinions: second::line(report),
            picture: face.or_else(frame),
            scale: scale(report, spec),
        }
    }

    /// The file name of its page.
    pub(super) fn page(&self) -> &str {
        &self.page
    }
}

#[derive(Template)]
#[template(path = "index.html")]
pub(super) struct Index<'a> {
    entries: &'a [Entry],
    /// Inputs that failed, with the reason.
    failures: &'a [(String, String)],
    /// Files of folders that are no inputs: path and reason.
    left_out: Vec<(String, &'static str)>,
    made: &'a str,
    /// Who judged: one detector, or several together.
    judges: String,
    /// What their answers are worth.
    worth: String,
    untrained: bool,
    title: String,
    summary: String,
}

impl<'a> Index<'a> {
    pub(super) fn new(
        entries: &'a [Entry],
        failures: &'a [(String, String)],
        left_out: &[LeftOut],
        specs: &[&DetectorSpec],
        made: &'a str,
    ) -> Self {
        let worth: Vec<(&str, Reliability)> =
            specs.iter().map(|spec| (spec.name.as_str(), spec.training.reliability())).collect();
        Self {
            entries,
            failures,
            left_out: left_out.iter().map(|file| (file.path.display().to_string(), file.reason)).collect(),
            made,
            judges: judges(&worth),
            worth: worth_of(&worth),
            untrained: worth.iter().all(|(_, worth)| worth.grade == Grade::Untrained),
            title: format!("Report on {}", count(entries.len() + failures.len(), "input")),
            summary: summary(entries, failures.len()),
        }
    }
}

/// The detectors by name, with what their answers are worth.
fn judges(detectors: &[(&str, Reliability)]) -> String {
    match detectors {
        [(name, _)] => format!("the detector {name}"),
        _ => {
            let names: Vec<&str> = detectors.iter().map(|(name, _)| *name).collect();
            format!("{} detectors together: {}", names.len(), names.join(", "))
        }
    }
}

/// What their answers are worth, in a sentence each.
fn worth_of(detectors: &[(&str, Reliability)]) -> String {
    let sentence = |(name, worth): &(&str, Reliability)| match detectors {
        [_] => words::sentence(&worth.words),
        _ => words::sentence(&format!("with {name}: {}", worth.words)),
    };
    detectors.iter().map(sentence).collect::<Vec<_>>().join(" ")
}

/// How many inputs there are of each verdict.
fn summary(entries: &[Entry], failures: usize) -> String {
    let mut parts = Vec::new();
    for verdict in ["Likely fake", "Likely real", "Uncertain", "No face"] {
        let number = entries.iter().filter(|entry| entry.verdict == verdict).count();
        if number > 0 {
            parts.push(format!("{number} {}", verdict.to_lowercase()));
        }
    }
    if failures > 0 {
        parts.push(format!("{failures} failed"));
    }
    parts.join(" · ")
}
