//! Each person's score over time. A lane is a slider: with the keyboard one moves from frame to frame, with a pointer to any.

use std::sync::Arc;

use leptos::ev::{KeyboardEvent, PointerEvent};
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use crate::desk::State;
use crate::opinions;
use crate::report::Report;
use crate::timeline::{Lane, Moment, Step};
use crate::words;

/// More lanes than this are drawn lower, so that they stay in view together.
const MANY: usize = 3;

/// The lanes of a report, or an empty one in the place that they will have.
#[component]
pub(crate) fn Lanes(state: State, shown: RwSignal<Option<Moment>>) -> impl IntoView {
    let report = match &state {
        State::Done(outcome) if !Lane::all(&outcome.report).is_empty() => &outcome.report,
        State::Done(_) | State::Failed(_) | State::Cancelled => return ().into_any(),
        State::Waiting | State::Working => return view! { <div class="lanes empty" aria-hidden="true" /> }.into_any(),
    };
    let lanes = Lane::all(report);
    let several = lanes.len() > 1;
    let caveat = words::grade(&report.model);
    let (first, last) = (report.frames.first(), report.frames.last());
    let ends = first.zip(last).filter(|_| !report.video.is_still());
    let ends = ends.map(|(first, last)| (words::clock(first.time_s), words::clock(last.time_s)));
    let hint = match ends {
        Some(_) => {
            "Each bar is a frame: the higher, the more it looks manipulated. Click one, or use the arrow keys, to see it."
        }
        None => "The bar is the picture\u{2019}s score: the higher, the more it looks manipulated.",
    };
    let first = opinions::first(report);
    let whose = first.as_ref().map(|name| format!(" The scores are those of {name}, the first of the detectors."));
    let label = first.map_or_else(|| "Scores over time".to_owned(), |name| format!("Scores over time, by {name}"));
    let count = report.frames.len();
    let many = lanes.len() > MANY;
    let row = |(index, lane): (usize, Lane)| {
        let note = several.then(|| words::part_in_verdict(lane.points.len(), index == 0));
        row(lane, count, note, caveat, shown)
    };
    let rows = lanes.into_iter().enumerate().map(row).collect_view();
    view! {
        <section class="lanes" class:many=many aria-label=label>
            {rows}
            {ends.map(|(first, last)| view! { <p class="axis" aria-hidden="true"><span>{first}</span><span>{last}</span></p> })}
            <p class="hint">{hint} {whose}</p>
        </section>
    }
    .into_any()
}

fn row(
    lane: Lane,
    frames: usize,
    note: Option<String>,
    caveat: Option<&'static str>,
    shown: RwSignal<Option<Moment>>,
) -> impl IntoView {
    let name = if note.is_some() { words::person(lane.track.id) } else { "Score over time".to_owned() };
    let mean = lane.track.score.map(words::figure).unwrap_or_default();
    let bars = (0..frames).map(|frame| bar(&lane, frame, shown)).collect_view();
    let lane = Arc::new(lane);
    let last = lane.points.len().max(1);
    let position = {
        let lane = Arc::clone(&lane);
        move || lane.position(shown.get()).or_else(|| lane.peak())
    };
    let now = {
        let position = position.clone();
        move || position().map(|position| (position + 1).to_string())
    };
    let told = {
        let lane = Arc::clone(&lane);
        move || position().and_then(|position| told(&lane, position, caveat))
    };
    let moved = move |event: KeyboardEvent| {
        let has_modifier = event.ctrl_key() || event.alt_key() || event.meta_key();
        let Some(step) = Step::of_key(&event.key()).filter(|_| !has_modifier) else { return };
        event.prevent_default();
        let next = lane.step(shown.get_untracked(), step);
        if next.is_some() {
            shown.set(next);
        }
    };
    view! {
        <div class="lane">
            <h3>
                {name.clone()} <span class="lane-figure">{mean}</span>
                {caveat.map(|caveat| view! { <span class="caveat">{caveat}</span> })}
                {note.map(|note| view! { <span class="lane-note">{note}</span> })}
            </h3>
            <div class="ends" aria-hidden="true"><span>"1"</span><span>"0"</span></div>
            <div
                class="bars"
                role="slider"
                tabindex="0"
                aria-label=format!("{name}: frames")
                aria-valuemin="1"
                aria-valuemax=last.to_string()
                aria-valuenow=now
                aria-valuetext=told
                on:keydown=moved
                on:pointerdown=let_go
            >
                {bars}
            </div>
        </div>
    }
}

/// A finger that is put on one bar moves on to the others: it does not stay with the first, as fingers otherwise do.
fn let_go(event: PointerEvent) {
    if let Some(bar) = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok()) {
        // Mice are not held in the first place.
        let _ = bar.release_pointer_capture(event.pointer_id());
    }
}

/// What a screen reader says of a position.
fn told(lane: &Lane, position: usize, caveat: Option<&str>) -> Option<String> {
    let point = lane.points.get(position)?;
    let caveat = caveat.map(|caveat| format!(", {caveat}")).unwrap_or_default();
    let (time, score) = (words::clock(point.time_s), words::figure(point.score));
    Some(format!("frame {} of {} at {time}, score {score}{caveat}", position + 1, lane.points.len()))
}

fn bar(lane: &Lane, frame: usize, shown: RwSignal<Option<Moment>>) -> impl IntoView + use<> {
    let Some(point) = lane.points.iter().find(|point| point.frame == frame).copied() else {
        return view! { <span class="bar absent" title="not seen in this frame" /> }.into_any();
    };
    let moment = Moment { frame, track: lane.track.id };
    let title = format!("{}: {}", words::clock(point.time_s), words::figure(point.score));
    // Dragging over the bars goes through the frames.
    let dragged = move |event: PointerEvent| {
        if event.buttons() == 1 {
            shown.set(Some(moment));
        }
    };
    view! {
        <span
            class="bar"
            class:chosen=move || shown.get() == Some(moment)
            title=title
            on:click=move |_| shown.set(Some(moment))
            on:pointerenter=dragged
        >
            <span style:height=format!("{:.1}%", (point.score * 100.0).max(2.0)) />
        </span>
    }
    .into_any()
}

/// The caption of a moment.
pub(crate) fn caption(report: &Report, moment: Moment) -> Option<String> {
    let score = report.scored_face(moment.frame, moment.track)?.score?;
    let caveat = words::grade(&report.model).map(|words| format!(" ({words})")).unwrap_or_default();
    let by = opinions::first(report).map(|name| format!(" by {name}")).unwrap_or_default();
    let person =
        if report.scored_tracks().len() > 1 { format!("{}, ", words::person(moment.track)) } else { String::new() };
    let time = if report.video.is_still() {
        String::new()
    } else {
        format!(" at {}", words::clock(report.frames.get(moment.frame)?.time_s))
    };
    Some(format!("{person}score {}{by}{caveat}{time}", words::figure(score)))
}
