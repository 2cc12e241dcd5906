//! Where files come in: by dropping, or by choosing.

use leptos::ev::{DragEvent, Event};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{File, FileList, HtmlInputElement};

use crate::items::Desk;

/// The drop zone with its button. A label around a file input needs no script for keyboards and screen readers.
#[component]
pub(crate) fn DropZone(desk: Desk) -> impl IntoView {
    let over = RwSignal::new(false);
    let chosen = move |event: Event| {
        let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok()) else { return };
        desk.add(files(input.files()));
        // The same file can be chosen again.
        input.set_value("");
    };
    let dropped = move |event: DragEvent| {
        event.prevent_default();
        over.set(false);
        desk.add(files(event.data_transfer().and_then(|data| data.files())));
    };
    view! {
        <label
            class="drop"
            class:over=move || over.get()
            on:dragover=move |event: DragEvent| { event.prevent_default(); over.set(true); }
            on:dragleave=move |_| over.set(false)
            on:drop=dropped
        >
            <input type="file" accept="video/*,image/*,.mkv" multiple on:change=chosen />
            <span class="drop-title">"Drop videos or pictures here"</span>
            <span class="button" aria-hidden="true">"Choose files"</span>
            <span class="hint">"mp4, mov, webm, mkv, jpeg, png, webp"</span>
        </label>
    }
}

fn files(list: Option<FileList>) -> Vec<File> {
    let Some(list) = list else { return Vec::new() };
    (0..list.length()).filter_map(|index| list.get(index)).collect()
}
