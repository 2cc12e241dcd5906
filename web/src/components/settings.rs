//! Which detector is used, and on whom.

use leptos::ev::Event;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::HtmlInputElement;

use crate::items::{Choice, Desk, Loading};

/// The choices that most people never need.
#[component]
pub(crate) fn Settings(desk: Desk) -> impl IntoView {
    let own_file = move |event: Event| {
        let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok()) else { return };
        if let Some(file) = input.files().and_then(|files| files.get(0)) {
            desk.choose(Choice { name: file.name(), source: file.into() });
        }
    };
    let url = RwSignal::new(String::new());
    let use_url = move |_| {
        let address = url.get_untracked().trim().to_owned();
        if !address.is_empty() {
            desk.choose(Choice { name: address.clone(), source: JsValue::from_str(&address) });
        }
    };
    let state = move || match desk.loading.get() {
        Loading::NotYet => "loaded when it is needed".to_owned(),
        Loading::UnderWay(progress) => match progress.share() {
            Some(share) => format!("loading, {:.0} %", 100.0 * share),
            None => "loading".to_owned(),
        },
        Loading::Ready(_) => "ready".to_owned(),
        Loading::Failed(problem) => problem,
    };
    view! {
        <details class="settings">
            <summary>"Detector: " {move || desk.choice.get().name} " (" {state} ")"</summary>
            <div class="rows">
                <label class="check">
                    <input
                        type="checkbox"
                        prop:checked=move || desk.all_faces.get()
                        on:change=move |event| desk.all_faces.set(event_target_checked(&event))
                    />
                    "Examine every person, not only the one who fills most of the picture"
                </label>
                <label>
                    "A detector file of your own"
                    <input type="file" accept=".safetensors" on:change=own_file />
                </label>
                <label>
                    "Or the address of one on this site"
                    <span class="with-button">
                        <input
                            type="url"
                            placeholder="https://…/detector.safetensors"
                            on:input=move |event| url.set(event_target_value(&event))
                        />
                        <button on:click=use_url>"Use it"</button>
                    </span>
                </label>
            </div>
        </details>
    }
}
