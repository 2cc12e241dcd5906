//! Each person by themselves: their score over time, which can be clicked to see the frame.

use leptos::prelude::*;

use super::viewer::Viewer;
use crate::report::{Report, Track};
use crate::words;

/// The people of a report and the frame that is looked at.
#[component]
pub(crate) fn People(file: web_sys::File, report: Report) -> impl IntoView {
    let tracks = report.scored_tracks();
    if tracks.is_empty() {
        return ().into_any();
    }
    let several = tracks.len() > 1;
    let report = StoredValue::new(report);
    let shown = RwSignal::new(None::<(usize, usize)>);
    let rows = tracks.into_iter().map(|track| person(report, track, several, shown)).collect_view();
    view! {
        <section class="people" aria-label="Scores over time">
            {rows}
            <p class="hint">"Each bar is one frame; the higher, the more it looks manipulated. Choose one to see it."</p>
            <Viewer file=file report=report shown=shown />
        </section>
    }
    .into_any()
}

fn person(
    report: StoredValue<Report>,
    track: Track,
    several: bool,
    shown: RwSignal<Option<(usize, usize)>>,
) -> impl IntoView {
    let title = match several {
        true => format!("Person {}", track.id + 1),
        false => "Score over time".to_owned(),
    };
    let mean = track.score.map(words::figure).unwrap_or_default();
    let frames = report.with_value(|report| report.frames.len());
    let bars = (0..frames).map(|frame| bar(report, frame, track.id, shown)).collect_view();
    view! {
        <div class="person">
            <h3>{title} <span class="figure">{mean}</span></h3>
            <div class="bars" role="group" aria-label=format!("Frames of person {}", track.id + 1)>{bars}</div>
        </div>
    }
}

fn bar(
    report: StoredValue<Report>,
    frame: usize,
    track: usize,
    shown: RwSignal<Option<(usize, usize)>>,
) -> impl IntoView {
    let (time, score) = report.with_value(|report| {
        let time = report.frames.get(frame).map_or(0.0, |frame| frame.time_s);
        (time, report.scored_face(frame, track).and_then(|face| face.score))
    });
    let Some(score) = score else {
        return view! { <span class="bar absent" title="not seen here" /> }.into_any();
    };
    let label = format!("{}, {}", words::clock(time), words::figure(score));
    let pressed = move || (shown.get() == Some((frame, track))).to_string();
    view! {
        <button
            class="bar"
            aria-pressed=pressed
            aria-label=label.clone()
            title=label
            on:click=move |_| shown.set(Some((frame, track)))
        >
            <span style:height=format!("{:.1}%", (score * 100.0).max(2.0)) />
        </button>
    }
    .into_any()
}
