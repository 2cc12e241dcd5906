//! The copy for when there is no network, and the record of requests, as `static/keeper.js` gives them.

use js_sys::Reflect;
use leptos::prelude::*;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(raw_module = "./keeper.js")]
extern "C" {
    #[wasm_bindgen(js_name = keep)]
    fn js_keep(on_kept: &JsValue, on_problem: &JsValue);

    #[wasm_bindgen(js_name = requests)]
    fn js_requests() -> Vec<JsValue>;
}

/// Whether the page works without a network.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Copy {
    Making,
    /// With its size in bytes.
    Kept(f64),
    /// With the reason.
    Impossible(String),
}

/// One request that the page made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) address: String,
    pub(crate) method: String,
    /// Its size, where it is known.
    pub(crate) bytes: Option<f64>,
    /// Answered by the copy on this device.
    pub(crate) from_copy: bool,
}

/// Has a copy of the page made; the signal tells how that goes.
pub(crate) fn keep() -> ReadSignal<Copy> {
    let (copy, set_copy) = signal(Copy::Making);
    let on_kept = Closure::<dyn FnMut(f64)>::new(move |bytes| set_copy.set(Copy::Kept(bytes)));
    let on_problem = Closure::<dyn FnMut(String)>::new(move |reason| set_copy.set(Copy::Impossible(reason)));
    // They are called as long as the page is there.
    js_keep(&on_kept.into_js_value(), &on_problem.into_js_value());
    copy
}

/// Every request so far.
pub(crate) fn requests() -> Vec<Request> {
    let request = |value: JsValue| {
        let get = |key: &str| Reflect::get(&value, &JsValue::from_str(key)).ok();
        Some(Request {
            address: get("address")?.as_string()?,
            method: get("method")?.as_string()?,
            bytes: get("bytes")?.as_f64(),
            from_copy: get("fromCopy")?.is_truthy(),
        })
    };
    js_requests().into_iter().filter_map(request).collect()
}
