//! What was computed, where, in what time, and the report to keep.

use std::sync::Arc;

use leptos::prelude::*;

use crate::desk::Outcome;
use crate::files;
use crate::report::Model;
use crate::words;

/// The facts of an examination.
#[component]
pub(crate) fn Facts(outcome: Arc<Outcome>) -> impl IntoView {
    let rows = rows(&outcome).into_iter().map(|(name, value)| view! { <dt>{name}</dt><dd>{value}</dd> }).collect_view();
    let save = move |_| files::save_json(&report_name(&outcome.json), &outcome.json);
    view! {
        <button on:click=save>"Download the report (JSON)"</button>
        <details>
            <summary>"What was computed, and where"</summary>
            <dl>{rows}</dl>
        </details>
    }
}

fn rows(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let report = &outcome.report;
    let timing = report.timing_s;
    let mut models: Vec<&Model> = report.opinions.iter().map(|opinion| &opinion.model).collect();
    if models.is_empty() {
        models.push(&report.model);
    }
    let mut rows = vec![("Where", words::computer(&outcome.computer))];
    rows.extend(models.into_iter().flat_map(detector));
    rows.extend([
        ("Size of a frame", format!("{:.0} × {:.0} pixels", report.video.width, report.video.height)),
        ("Frames examined", report.video.frames_sampled.to_string()),
        ("Time in all", format!("{:.1} s", timing.total)),
        ("Reading the file", format!("{:.1} s", timing.decode)),
        ("Finding faces", format!("{:.1} s", timing.detect)),
        ("Examining faces", format!("{:.1} s", timing.score)),
    ]);
    rows
}

/// Which detector it was.
fn detector(model: &Model) -> [(&'static str, String); 2] {
    let training = match model.training.as_str() {
        "trained" => "trained and calibrated with Unmask",
        "imported" => "trained elsewhere, not calibrated",
        "untrained" => "untrained",
        other => other,
    };
    let grade = words::grade(model).map(|words| format!("; a {words}")).unwrap_or_default();
    [("Detector", format!("{} ({training}{grade})", model.name)), ("SHA-256 of its file", model.sha256.clone())]
}

/// The name of a report's file, after the file that it is about.
fn report_name(json: &str) -> String {
    let input = serde_json::from_str::<serde_json::Value>(json).ok();
    let input = input.as_ref().and_then(|report| report.get("input")?.as_str());
    format!("{}.unmask.json", input.unwrap_or("report"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_named_after_its_input() {
        assert_eq!(report_name(r#"{"input":"clip.mp4"}"#), "clip.mp4.unmask.json");
    }
}
