//! Which detector is used, what computes, and who is looked at. Most people need none of it.

use js_sys::Reflect;
use leptos::prelude::*;
use wasm_bindgen::JsValue;

use super::kept::KeptFiles;
use crate::choice::{Device, Faces, Origin, Settings};
use crate::desk::Desk;
use crate::files;

/// The numbers of frames to choose from.
const FRAMES: [u32; 5] = [4, 8, 16, 32, 64];

/// The settings, which count from the next examination on.
#[component]
pub(crate) fn SettingsPanel(desk: Desk) -> impl IntoView {
    let settings = desk.settings;
    // Whoever opens the drawer sees what is kept at that moment.
    let looked = RwSignal::new(0);
    view! {
        <details class="drawer settings" on:toggle=move |_| looked.update(|count| *count += 1)>
            <summary>
                <span class="drawer-title">"Settings"</span>
                <span class="drawer-note">{move || settings.summary()}</span>
            </summary>
            <div class="fields">
                {detector(settings)}
                {device(settings)}
                {subject(settings)}
            </div>
            <p class="hint">"They count from the next examination on."</p>
            <KeptFiles desk=desk looked=looked />
        </details>
    }
}

fn detector(settings: Settings) -> impl IntoView {
    let Settings { origin, own_file, address, base, .. } = settings;
    let choose = move |event| {
        own_file.set(files::chosen(&event).into_iter().next());
        origin.set(Origin::OwnFile);
    };
    let type_address = move |event| {
        address.set(event_target_value(&event));
        origin.set(Origin::Address);
    };
    let name = move |file: RwSignal<Option<web_sys::File>, LocalStorage>| {
        file.get().map_or_else(|| "No file chosen".to_owned(), |file| file.name())
    };
    view! {
        <fieldset>
            <legend>"Detector"</legend>
            {radio("origin", "unmask-lite, which comes with this page", origin, Origin::Bundled)}
            {radio("origin", "A file of your own", origin, Origin::OwnFile)}
            <label class="field file">
                <input type="file" accept=".safetensors" aria-label="Detector file" on:change=choose />
                <span class="button">"Choose a detector file"</span>
                <span class="file-name">{move || name(own_file)}</span>
            </label>
            {radio("origin", "An address", origin, Origin::Address)}
            <label class="field">
                <span class="visually-hidden">"Address of the detector"</span>
                <input type="url" placeholder="https://…/detector.safetensors" prop:value=address on:input=type_address />
            </label>
            <label class="field file">
                <span class="hint">"For an adapter only: the detector that it was made for"</span>
                <input
                    type="file"
                    accept=".safetensors"
                    aria-label="Base detector of an adapter"
                    on:change=move |event| base.set(files::chosen(&event).into_iter().next())
                />
                <span class="button">"Choose its base"</span>
                <span class="file-name">{move || name(base)}</span>
            </label>
        </fieldset>
    }
}

fn device(settings: Settings) -> impl IntoView {
    let has_webgpu = has_webgpu();
    view! {
        <fieldset>
            <legend>"What computes"</legend>
            {radio("device", "Automatic: the fastest that works", settings.device, Device::Auto)}
            {radio("device", "The processor (CPU)", settings.device, Device::Cpu)}
            {radio("device", "The graphics device (WebGPU)", settings.device, Device::WebGpu)}
            {(!has_webgpu).then(|| view! { <p class="hint">"This browser offers no WebGPU."</p> })}
        </fieldset>
    }
}

fn subject(settings: Settings) -> impl IntoView {
    let frames = settings.frames;
    let options =
        FRAMES.map(|count| view! { <option value=count.to_string()>{count.to_string()}</option> }).collect_view();
    view! {
        <fieldset>
            <legend>"What is examined"</legend>
            {radio("faces", "Everybody in the picture", settings.faces, Faces::All)}
            {radio("faces", "Only who fills most of it", settings.faces, Faces::Largest)}
            <label class="field">
                "Frames of a video"
                <select on:change=move |event| frames.set(event_target_value(&event).parse().ok())>
                    <option value="">"The detector\u{2019}s number"</option>
                    {options}
                </select>
            </label>
        </fieldset>
    }
}

/// One choice of a group.
fn radio<T: Copy + PartialEq + Send + Sync + 'static>(
    group: &'static str,
    label: &'static str,
    signal: RwSignal<T>,
    value: T,
) -> impl IntoView {
    view! {
        <label class="radio">
            <input type="radio" name=group prop:checked=move || signal.get() == value on:change=move |_| signal.set(value) />
            {label}
        </label>
    }
}

/// Whether the browser offers WebGPU, which says nothing about whether it works.
fn has_webgpu() -> bool {
    let navigator = Reflect::get(&window(), &JsValue::from_str("navigator")).unwrap_or_default();
    Reflect::get(&navigator, &JsValue::from_str("gpu")).is_ok_and(|gpu| gpu.is_object())
}
