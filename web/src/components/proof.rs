//! Everything that this page has fetched, as the browser itself counts it.

use js_sys::Reflect;
use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};

use crate::items::Desk;

/// The list of requests, made anew whenever an input ends.
#[component]
pub(crate) fn Proof(desk: Desk) -> impl IntoView {
    let requests = move || {
        desk.items.with(|items| items.iter().for_each(|item| item.state.track()));
        desk.loading.track();
        let names = requested();
        let count = names.len();
        let rows = names.into_iter().map(|name| view! { <li>{name}</li> }).collect_view();
        view! {
            <p>
                {format!("Since it was opened, this page has made {count} requests, each for a part of itself or for the detector. \
                    The browser is told to refuse any other (Content-Security-Policy), and works the same without a network.")}
            </p>
            <ol>{rows}</ol>
        }
    };
    view! {
        <details class="proof">
            <summary>"Proof that nothing was sent"</summary>
            {requests}
            <p class="hint">
                "This list is the browser's own. To see for yourself: open the developer tools, choose the network tab, and
                examine a video; or pull the plug first."
            </p>
        </details>
    }
}

/// The addresses in the browser's list of fetched resources. Files that the user chose are not fetched (`blob:`).
fn requested() -> Vec<String> {
    let Some(performance) = window().performance() else { return Vec::new() };
    let name = |entry: JsValue| Reflect::get(&entry, &JsValue::from_str("name")).ok()?.as_string();
    let entries = performance.unchecked_ref::<Timeline>().get_entries_by_type("resource");
    entries.iter().filter_map(name).filter(|name| !name.starts_with("blob:")).collect()
}

#[wasm_bindgen::prelude::wasm_bindgen]
extern "C" {
    type Timeline;

    #[wasm_bindgen(method, js_name = getEntriesByType)]
    fn get_entries_by_type(this: &Timeline, kind: &str) -> js_sys::Array;
}
