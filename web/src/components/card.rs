//! One input: its progress, then its verdict and what it rests on.

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, HtmlAnchorElement, Url};

use super::people::People;
use crate::api::Progress;
use crate::items::{Desk, Item, State};
use crate::report::Report;
use crate::words;

/// The card of an input.
#[component]
pub(crate) fn Card(desk: Desk, item: Item) -> impl IntoView {
    let (id, name, state) = (item.id, item.file.name(), item.state);
    let file = item.file.clone();
    let cancel = StoredValue::new_local(item);
    let body = move || match state.get() {
        State::Waiting => view! { <p class="status">"Waiting for its turn."</p> }.into_any(),
        State::Working(progress) => working(progress, move || cancel.with_value(Item::cancel)).into_any(),
        State::Cancelled => view! { <p class="status">"Stopped before it was done. Nothing was kept."</p> }.into_any(),
        State::Failed(problem) => view! { <p class="status problem" role="alert">{problem}</p> }.into_any(),
        State::Done { report, json } => view! { <Answer file=file.clone() report=*report json=json /> }.into_any(),
    };
    view! {
        <article class="card">
            <header>
                <h2>{name}</h2>
                <button class="quiet" on:click=move |_| desk.remove(id)>"Remove"</button>
            </header>
            {body}
        </article>
    }
}

fn working(progress: Progress, cancel: impl Fn() + 'static) -> impl IntoView {
    view! {
        <div class="working">
            <p class="status">{stage_words(&progress)}</p>
            <progress max="1" value=progress.share() aria-label="How far it is" />
            <button class="quiet" on:click=move |_| cancel()>"Stop"</button>
        </div>
    }
}

fn stage_words(progress: &Progress) -> String {
    let Progress { stage, done, total } = progress;
    match (stage.as_str(), total) {
        ("score", Some(total)) => format!("Examining frames, {done:.0} of {total:.0}"),
        ("score", None) => format!("Examining frames, {done:.0} so far"),
        _ => "Getting the detector ready".to_owned(),
    }
}

/// A finished report.
#[component]
fn Answer(file: web_sys::File, report: Report, json: String) -> impl IntoView {
    let untrained = report.model.training == "untrained";
    let figure = report.score.map(|score| {
        view! {
            <p class="figure">
                <strong>{words::figure(score)}</strong>
                " on the detector's scale from 0, real, to 1, manipulated"
            </p>
            <div class="scale" aria-hidden="true"><span style:left=format!("{:.1}%", score * 100.0) /></div>
        }
    });
    let name = file.name();
    let facts = facts(&report);
    view! {
        <div class=format!("verdict {}", words::class(report.verdict))>
            <p class="headline">{words::headline(report.verdict)}</p>
            {figure}
            {untrained.then(|| view! { <p class="problem">"This detector is untrained: its score means nothing."</p> })}
            {report.reason.clone().map(|reason| view! { <p class="reason">"Why: " {reason} "."</p> })}
            <p>{words::meaning(report.verdict)}</p>
            <p class="basis">{words::basis(&report)}</p>
        </div>
        <People file=file report=report.clone() />
        <details>
            <summary>"What was computed, and where"</summary>
            <dl>{facts}</dl>
            <button on:click=move |_| download(&name, &json)>"Download the report as JSON"</button>
        </details>
    }
}

fn facts(report: &Report) -> impl IntoView + use<> {
    let timing = report.timing_s;
    let rows = [
        ("Where", "on this machine, in your browser".to_owned()),
        ("Detector", format!("{} ({})", report.model.name, report.model.training)),
        ("SHA-256 of its file", report.model.sha256.clone()),
        ("Frame size", format!("{:.0} × {:.0} pixels", report.video.width, report.video.height)),
        (
            "Time",
            format!(
                "{:.1} s: reading {:.1}, finding faces {:.1}, examining them {:.1}",
                timing.total, timing.decode, timing.detect, timing.score
            ),
        ),
    ];
    rows.map(|(name, value)| view! { <dt>{name}</dt><dd>{value}</dd> }).collect_view()
}

/// Gives the user a file.
fn download(name: &str, json: &str) {
    let save = || -> Result<(), JsValue> {
        let kind = BlobPropertyBag::new();
        kind.set_type("application/json");
        let parts = js_sys::Array::of1(&JsValue::from_str(json));
        let url = Url::create_object_url_with_blob(&Blob::new_with_str_sequence_and_options(&parts, &kind)?)?;
        let link: HtmlAnchorElement = document().create_element("a")?.unchecked_into();
        link.set_href(&url);
        link.set_download(&format!("{name}.unmask.json"));
        link.click();
        Url::revoke_object_url(&url)
    };
    if let Err(error) = save() {
        leptos::logging::error!("the report could not be saved: {error:?}");
    }
}
