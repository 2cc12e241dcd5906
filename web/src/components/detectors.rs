//! Which detectors judge: the one that comes with the page, those that whoever serves it offers, and the user's own.

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::api::Kept;
use crate::choice::{BUNDLED_NAME, Settings};
use crate::files;
use crate::offered::{self, List, Offered};
use crate::words;

/// The choice, of one or several; `kept` are those that are on this device.
#[component]
pub(crate) fn Detectors(settings: Settings, kept: RwSignal<Vec<Kept>, LocalStorage>) -> impl IntoView {
    let problem = RwSignal::new(None::<String>);
    spawn_local(async move {
        match offered::offered().await {
            Ok(List { origins, detectors }) => {
                settings.origins.set(origins);
                settings.offered.set(detectors);
            }
            Err(reason) => problem.set(Some(words::sentence(&reason))),
        }
    });
    let list = move || {
        let rows = settings.offered.get().into_iter().enumerate();
        let rows = rows.map(|(index, one)| row(index, one, settings, kept)).collect_view();
        settings.offered.with(|offered| !offered.is_empty()).then(|| view! { <ul class="offered">{rows}</ul> })
    };
    view! {
        <fieldset class="detectors">
            <legend>"Detectors"</legend>
            <p class="hint">
                "Choose one or several. Several judge the same frames and faces, each for itself, and stand beside each other; every
                one costs time and memory of its own."
            </p>
            {checkbox(format!("{BUNDLED_NAME}, which comes with this page"), settings.bundled)}
            {list}
            {move || problem.get().map(|problem| view! { <p class="problem">{problem}</p> })}
            {own(settings)}
            {move || {
                settings.lacks_detector().then(|| view! { <p class="problem" role="alert">"Choose at least one detector."</p> })
            }}
        </fieldset>
    }
}

/// One of those that are offered.
fn row(index: usize, offered: Offered, settings: Settings, kept: RwSignal<Vec<Kept>, LocalStorage>) -> impl IntoView {
    let id = format!("offered-{index}");
    let url = offered.url.clone();
    let is_chosen = {
        let url = url.clone();
        Memo::new(move |_| settings.chosen.with(|chosen| chosen.contains(&url)))
    };
    let choose = move |event| {
        let is_wanted = event_target_checked(&event);
        settings.chosen.update(|chosen| {
            chosen.retain(|other| *other != url);
            chosen.extend(is_wanted.then(|| url.clone()));
        });
    };
    let is_kept = {
        let offered = offered.clone();
        Memo::new(move |_| kept.with(|kept| offered.is_kept(kept)))
    };
    // What is on this device need not be fetched.
    let forbidden = offered.forbidden_origin().map(str::to_owned);
    let is_forbidden = forbidden.is_some();
    let refusal = move || forbidden.clone().filter(|_| !is_kept.get()).map(refusal);
    let size = offered.bytes.map_or_else(|| "size not stated".to_owned(), words::megabytes);
    let facts = move || {
        let kept = is_kept.get().then(|| "kept on this device".to_owned());
        [size.clone()].into_iter().chain(kept).collect::<Vec<_>>().join(", ")
    };
    let about = (!offered.about.is_empty()).then(|| format!("{}.", offered.about));
    let licence = offered.licence.map(|licence| format!(" Licence: {licence}."));
    view! {
        <li>
            <label class="radio">
                <input
                    type="checkbox"
                    aria-describedby=id.clone()
                    prop:checked=is_chosen
                    disabled=move || is_forbidden && !is_kept.get() && !is_chosen.get()
                    on:change=choose
                />
                <span class="offered-name">{offered.name}</span>
                <span class="kept-size">{facts}</span>
            </label>
            <p class="hint" id=id>{about} {licence} {refusal}</p>
        </li>
    }
}

/// Why one cannot be chosen.
fn refusal(origin: String) -> impl IntoView {
    view! {
        <span class="refusal">
            " It cannot be chosen: whoever serves this page has not allowed it to fetch from " {origin.clone()} " ("
            <code>{format!("cargo xtask dist --model-origin {origin}")}</code> " does)."
        </span>
    }
}

/// A file and an address of the user's own.
fn own(settings: Settings) -> impl IntoView {
    let Settings { own, own_file, elsewhere, address, base, .. } = settings;
    let choose = move |event| {
        own_file.set(files::chosen(&event).into_iter().next());
        own.set(true);
    };
    let type_address = move |event| {
        address.set(event_target_value(&event));
        elsewhere.set(true);
    };
    let name = move |file: RwSignal<Option<web_sys::File>, LocalStorage>| {
        file.get().map_or_else(|| "No file chosen".to_owned(), |file| file.name())
    };
    view! {
        {checkbox("A file of your own", own)}
        <label class="field file">
            <input type="file" accept=".safetensors" aria-label="Detector file" on:change=choose />
            <span class="button">"Choose a detector file"</span>
            <span class="file-name">{move || name(own_file)}</span>
        </label>
        {checkbox("An address", elsewhere)}
        <label class="field">
            <span class="visually-hidden">"Address of the detector"</span>
            <input type="url" placeholder="https://…/detector.safetensors" prop:value=address on:input=type_address />
        </label>
        <label class="field file">
            <span class="hint">
                "For an adapter only, that file or else the one at that address: the detector that it was made for"
            </span>
            <input
                type="file"
                accept=".safetensors"
                aria-label="Base detector of an adapter"
                on:change=move |event| base.set(files::chosen(&event).into_iter().next())
            />
            <span class="button">"Choose its base"</span>
            <span class="file-name">{move || name(base)}</span>
        </label>
    }
}

/// One that can be chosen besides others.
fn checkbox(label: impl Into<String>, signal: RwSignal<bool>) -> impl IntoView {
    view! {
        <label class="radio">
            <input type="checkbox" prop:checked=signal on:change=move |event| signal.set(event_target_checked(&event)) />
            {label.into()}
        </label>
    }
}
