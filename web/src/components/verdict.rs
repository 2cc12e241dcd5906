//! The verdict with its figure, its reasons and what they are worth.

use std::sync::Arc;

use leptos::prelude::*;

use super::opinions::opinions;
use crate::desk::Outcome;
use crate::opinions;
use crate::report::{Report, Verdict};
use crate::words;

/// What was found.
#[component]
pub(crate) fn Finding(outcome: Arc<Outcome>) -> impl IntoView {
    let report = &outcome.report;
    let verdict = report.verdict;
    let figure = report.score.map(|score| figure(score, words::caveat(report)));
    let reasons = words::reasons(report).into_iter().map(|reason| view! { <li>{reason}</li> }).collect_view();
    let warnings = warnings(report).into_iter().map(|why| view! { <p class="warning">{why}</p> }).collect_view();
    let several = !report.opinions.is_empty();
    let meaning = if several { opinions::meaning(verdict) } else { words::meaning(verdict) };
    view! {
        <div class=format!("verdict {}", words::class(verdict))>
            <p class="headline">{mark(verdict)} {words::headline(verdict)}</p>
            {figure}
            {warnings}
        </div>
        {opinions(report)}
        <p>{meaning}</p>
        <h3>"What this rests on"</h3>
        <ul class="reasons">{reasons}</ul>
        {caveats(report)}
        {outcome.device_change.clone().map(|reason| view! { <p class="warning">{reason}</p> })}
        <p><a href="#help" on:click=move |_| open_help()>{if several { "What detectors cannot know" } else { "What the detector cannot know" }}</a></p>
    }
}

/// What the detector's answers are worth, or those of each of several, where they are worth little.
fn warnings(report: &Report) -> Vec<String> {
    if !report.opinions.is_empty() {
        return opinions::warnings(report);
    }
    let graded = report.score.and(words::grade(&report.model));
    graded.map(|_| words::sentence(&report.model.reliability.words)).into_iter().collect()
}

/// What weakens the answer besides the detector, which stands beside the figure.
fn caveats(report: &Report) -> Option<impl IntoView + use<>> {
    let caveats = words::caveats(report);
    (!caveats.is_empty()).then(|| {
        let rows = caveats.into_iter().map(|caveat| view! { <li>{caveat}</li> }).collect_view();
        view! {
            <h3>"What weakens it"</h3>
            <ul class="reasons weakening">{rows}</ul>
        }
    })
}

fn figure(score: f64, caveat: Option<String>) -> impl IntoView {
    let caveat = caveat.map(|words| view! { " " <span class="caveat">{words}</span> });
    view! {
        <p class="figure">
            <strong>{words::figure(score)}</strong>
            " of 1" {caveat}
        </p>
        <div class="scale" aria-hidden="true">
            <div class="rule"><span style:left=format!("{:.1}%", score * 100.0) /></div>
            <p><span>"0 real"</span><span>"manipulated 1"</span></p>
        </div>
        <p class="visually-hidden">"on the detector\u{2019}s scale from 0, real, to 1, manipulated"</p>
    }
}

/// Opens the help, to which browsers scroll by themselves.
fn open_help() {
    if let Some(help) = document().get_element_by_id("help") {
        // Any element takes an attribute of that name.
        let _ = help.set_attribute("open", "");
    }
}

/// The mark of a verdict: a shape of its own, so that colour is not needed to tell them apart.
fn mark(verdict: Verdict) -> impl IntoView {
    let path = match verdict {
        Verdict::LikelyFake => "M12 3 22 21H2ZM12 10v5M12 17.8v.2",
        Verdict::LikelyReal => "M21.5 12a9.5 9.5 0 1 1-19 0 9.5 9.5 0 0 1 19 0ZM16 12a4 4 0 1 1-8 0 4 4 0 0 1 8 0Z",
        Verdict::Uncertain => "M12 1.5 22.5 12 12 22.5 1.5 12ZM8.5 12h7",
        Verdict::NoFace => "M3 3h18v18H3ZM8 8l8 8M16 8l-8 8",
    };
    view! { <svg class="mark" viewBox="0 0 24 24" width="24" height="24" aria-hidden="true"><path d=path /></svg> }
}
