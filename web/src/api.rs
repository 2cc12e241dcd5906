//! The JavaScript API of the package, as this page uses it.

use js_sys::{Object, Promise, Reflect};
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, File};

use crate::report::Report;

#[wasm_bindgen(raw_module = "./unmask.js")]
extern "C" {
    /// `Detector` of the package.
    #[derive(Clone)]
    #[wasm_bindgen(js_name = Detector)]
    type JsDetector;

    #[wasm_bindgen(static_method_of = JsDetector, js_class = "Detector", js_name = load)]
    fn load(source: &JsValue, options: &Object) -> Promise;

    #[wasm_bindgen(method)]
    fn score(this: &JsDetector, file: &File, options: &Object) -> Promise;

    #[wasm_bindgen(method)]
    fn dispose(this: &JsDetector);
}

/// A loaded detector.
#[derive(Clone)]
pub(crate) struct Detector(JsDetector);

/// How far something is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Progress {
    /// `download` in bytes, or `score` in frames.
    pub(crate) stage: String,
    pub(crate) done: f64,
    /// Where it is known.
    pub(crate) total: Option<f64>,
}

/// Why something did not come to its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// The user stopped it.
    Cancelled,
    /// A sentence for the user.
    Problem(String),
}

/// Whose faces are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Faces {
    Largest,
    All,
}

impl Progress {
    /// From 0 to 1, where it is known.
    pub(crate) fn share(&self) -> Option<f64> {
        self.total.filter(|total| *total > 0.0).map(|total| (self.done / total).clamp(0.0, 1.0))
    }
}

impl Detector {
    /// Loads the detector at a URL or in a file.
    pub(crate) async fn load(source: &JsValue, on_progress: impl Fn(Progress) + 'static) -> Result<Self, Failure> {
        let options = Object::new();
        let callback = progress_callback(on_progress);
        set(&options, "onProgress", callback.as_ref());
        let loaded = JsFuture::from(JsDetector::load(source, &options)).await.map_err(failure)?;
        Ok(Self(loaded.unchecked_into()))
    }

    /// Scores a file. The report comes as what the page shows of it and as the whole JSON.
    pub(crate) async fn score(
        &self,
        file: &File,
        faces: Faces,
        signal: &AbortSignal,
        on_progress: impl Fn(Progress) + 'static,
    ) -> Result<(Report, String), Failure> {
        let options = Object::new();
        let callback = progress_callback(on_progress);
        set(&options, "onProgress", callback.as_ref());
        set(&options, "signal", signal);
        set(&options, "faces", &JsValue::from_str(if faces == Faces::All { "all" } else { "largest" }));
        let report = JsFuture::from(self.0.score(file, &options)).await.map_err(failure)?;
        let json = js_sys::JSON::stringify_with_replacer_and_space(&report, &JsValue::NULL, &JsValue::from_f64(2.0))
            .map_err(failure)?;
        let shown = serde_wasm_bindgen::from_value(report)
            .map_err(|error| Failure::Problem(format!("The detector's report cannot be read ({error}).")))?;
        Ok((shown, String::from(json)))
    }

    /// Gives its memory and its worker back.
    pub(crate) fn dispose(&self) {
        self.0.dispose();
    }
}

/// A callback that lives as long as the promise it is given to.
fn progress_callback(on_progress: impl Fn(Progress) + 'static) -> Closure<dyn FnMut(JsValue)> {
    Closure::new(move |value: JsValue| {
        if let Ok(progress) = serde_wasm_bindgen::from_value(value) {
            on_progress(progress);
        }
    })
}

fn set(options: &Object, key: &str, value: &JsValue) {
    // A plain object takes any property.
    let _ = Reflect::set(options, &JsValue::from_str(key), value);
}

fn failure(error: JsValue) -> Failure {
    let text = |key: &str| Reflect::get(&error, &JsValue::from_str(key)).ok().and_then(|value| value.as_string());
    if text("name").as_deref() == Some("AbortError") {
        return Failure::Cancelled;
    }
    let problem = text("message").or_else(|| error.as_string());
    Failure::Problem(problem.unwrap_or_else(|| "Something went wrong that has no description.".to_owned()))
}
