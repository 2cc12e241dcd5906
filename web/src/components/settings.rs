//! Which detectors are used, what computes, and who is looked at. Most people need none of it.

use js_sys::Reflect;
use leptos::prelude::*;
use wasm_bindgen::JsValue;

use super::detectors::Detectors;
use super::kept::KeptFiles;
use crate::api::Kept;
use crate::choice::{Device, Faces, Settings};
use crate::desk::Desk;

/// The numbers of frames to choose from.
const FRAMES: [u32; 5] = [4, 8, 16, 32, 64];

/// The settings, which count from the next examination on.
#[component]
pub(crate) fn SettingsPanel(desk: Desk) -> impl IntoView {
    let settings = desk.settings;
    // Whoever opens the drawer sees what is kept at that moment.
    let looked = RwSignal::new(0);
    let kept = RwSignal::new_local(Vec::<Kept>::new());
    view! {
        <details class="drawer settings" on:toggle=move |_| looked.update(|count| *count += 1)>
            <summary>
                <span class="drawer-title">"Settings"</span>
                <span class="drawer-note">{move || settings.summary()}</span>
            </summary>
            <div class="fields">
                <Detectors settings=settings kept=kept />
                {device(settings)}
                {subject(settings)}
            </div>
            <p class="hint">"They count from the next examination on."</p>
            <KeptFiles desk=desk kept=kept looked=looked />
        </details>
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
                    <option value="">"The detectors\u{2019} number"</option>
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
