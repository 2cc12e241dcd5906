//! The JavaScript API of the package, as this page uses it.

use js_sys::{Array, Object, Promise, Reflect};
use serde::Deserialize;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Blob, File};

use crate::choice::{Checkpoint, Choice, Chosen, Device, Faces};
use crate::report::Report;

#[wasm_bindgen(raw_module = "./unmask.js")]
extern "C" {
    /// `Detector` of the package.
    #[derive(Clone)]
    #[wasm_bindgen(js_name = Detector)]
    type JsDetector;

    #[wasm_bindgen(static_method_of = JsDetector, js_class = "Detector", js_name = load)]
    fn load(source: &JsValue, options: &Object) -> Promise;

    #[wasm_bindgen(catch, static_method_of = JsDetector, js_class = "Detector", js_name = kept)]
    async fn kept() -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, static_method_of = JsDetector, js_class = "Detector", js_name = forget)]
    async fn forget(which: &JsValue) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method)]
    fn score(this: &JsDetector, file: &File, options: &Object) -> Promise;

    #[wasm_bindgen(method)]
    fn explain(this: &JsDetector, file: &File, report: &JsValue, options: &Object) -> Promise;

    #[wasm_bindgen(method, getter)]
    fn device(this: &JsDetector) -> Option<String>;

    #[wasm_bindgen(method, getter)]
    fn workers(this: &JsDetector) -> Option<f64>;

    #[wasm_bindgen(method)]
    fn dispose(this: &JsDetector);
}

/// One or several loaded detectors.
#[derive(Clone)]
pub(crate) struct Detector(JsDetector);

/// How far something is, or, in the stage `device`, why another device goes on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    pub(crate) stage: Stage,
    /// Bytes in the stages `download` and `convert`, frames in the stage `score`.
    pub(crate) done: f64,
    /// Where it is known.
    pub(crate) total: Option<f64>,
    /// Which of several detector files it is about, from zero, and how many there are.
    pub(crate) model: Option<f64>,
    pub(crate) models: Option<f64>,
    /// A sentence, in the stage `device`.
    pub(crate) reason: Option<String>,
}

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The detector file is fetched, from a server or from the copy on this device.
    #[default]
    Download,
    /// A checkpoint of somebody else becomes a detector file.
    Convert,
    /// The detector is made ready.
    Prepare,
    /// Frames are looked at.
    Score,
    /// Something else computes from now on.
    Device,
    /// One that this page does not know.
    #[serde(other)]
    Other,
}

/// Why something did not come to its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// The user stopped it.
    Cancelled,
    /// Something else.
    Problem(Problem),
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    /// An `ErrorCode` of the API.
    pub(crate) code: String,
    /// One sentence.
    pub(crate) message: String,
}

/// A detector file of which something is kept on this device.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Kept {
    pub(crate) id: String,
    /// Where it was fetched from, if it was.
    pub(crate) url: Option<String>,
    pub(crate) name: String,
    pub(crate) bytes: f64,
    /// Once it was computed.
    pub(crate) sha256: Option<String>,
    pub(crate) complete: bool,
}

/// A face and where the detector looked in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Explained {
    pub(crate) time_s: f64,
    pub(crate) score: f64,
    /// The face, what speaks for a fake and what for a real one, as PNG.
    pub(crate) pictures: [Blob; 3],
}

/// What computed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Computer {
    /// `cpu` or `webgpu`.
    pub(crate) device: Option<String>,
    /// How many workers helped the one that decodes.
    pub(crate) workers: Option<f64>,
}

impl Progress {
    /// The beginning of a stage.
    pub(crate) fn start_of(stage: Stage) -> Self {
        Self { stage, ..Self::default() }
    }

    /// From 0 to 1, where it is known.
    pub(crate) fn share(&self) -> Option<f64> {
        self.total.filter(|total| *total > 0.0).map(|total| (self.done / total).clamp(0.0, 1.0))
    }
}

impl Detector {
    /// Loads what was chosen.
    pub(crate) async fn load(
        choice: &Choice,
        signal: &AbortSignal,
        on_progress: impl Fn(Progress) + 'static,
    ) -> Result<Self, Failure> {
        let options = Object::new();
        let callback = progress_callback(on_progress);
        set(&options, "onProgress", callback.as_ref());
        set(&options, "signal", signal);
        let device = match choice.device {
            Device::Auto => "auto",
            Device::Cpu => "cpu",
            Device::WebGpu => "webgpu",
        };
        set(&options, "device", &JsValue::from_str(device));
        set_each(&options, "base", &choice.models, |model| model.base.clone().map(JsValue::from));
        set_each(&options, "sha256", &choice.models, |model| model.sha256.as_deref().map(JsValue::from_str));
        set_each(&options, "checkpoint", &choice.models, |model| model.checkpoint.as_ref().map(checkpoint));
        let source = one_or_all(choice.models.iter().map(|model| model.source.clone()).collect());
        let loaded = JsFuture::from(JsDetector::load(&source, &options)).await.map_err(failure)?;
        Ok(Self(loaded.unchecked_into()))
    }

    /// Scores a file. The report comes as what the page shows of it and as the whole JSON.
    pub(crate) async fn score(
        &self,
        file: &File,
        faces: Faces,
        frames: Option<u32>,
        signal: &AbortSignal,
        on_progress: impl Fn(Progress) + 'static,
    ) -> Result<(Report, String), Failure> {
        let options = Object::new();
        let callback = progress_callback(on_progress);
        set(&options, "onProgress", callback.as_ref());
        set(&options, "signal", signal);
        set(&options, "faces", &JsValue::from_str(if faces == Faces::All { "all" } else { "largest" }));
        if let Some(frames) = frames {
            set(&options, "frames", &JsValue::from(frames));
        }
        let report = JsFuture::from(self.0.score(file, &options)).await.map_err(failure)?;
        let json = js_sys::JSON::stringify_with_replacer_and_space(&report, &JsValue::NULL, &JsValue::from_f64(2.0))
            .map_err(failure)?;
        let shown = serde_wasm_bindgen::from_value(report)
            .map_err(|error| Failure::internal(format!("the detector's report cannot be read ({error})")))?;
        Ok((shown, String::from(json)))
    }

    /// Where it looked in some faces of a file, by the whole report of it.
    pub(crate) async fn explain(
        &self,
        file: &File,
        json: &str,
        signal: &AbortSignal,
    ) -> Result<Vec<Explained>, Failure> {
        let options = Object::new();
        set(&options, "signal", signal);
        let report = js_sys::JSON::parse(json).map_err(failure)?;
        let found = JsFuture::from(self.0.explain(file, &report, &options)).await.map_err(failure)?;
        Ok(Array::from(&found).iter().filter_map(|face| explained(&face)).collect())
    }

    /// What computes at the moment: it changes where a graphics device is lost.
    pub(crate) fn computer(&self) -> Computer {
        Computer { device: self.0.device(), workers: self.0.workers() }
    }

    /// Gives its memory and its workers back.
    pub(crate) fn dispose(&self) {
        self.0.dispose();
    }
}

/// What is kept on this device; nothing where the browser does not tell.
pub(crate) async fn kept() -> Vec<Kept> {
    let Ok(listed) = JsDetector::kept().await else { return Vec::new() };
    serde_wasm_bindgen::from_value(listed).unwrap_or_default()
}

impl Kept {
    /// Deletes it from this device.
    pub(crate) async fn forget(&self) -> Result<(), Problem> {
        let which = Object::new();
        set(&which, "id", &JsValue::from_str(&self.id));
        JsDetector::forget(&which).await.map(drop).map_err(|error| problem(&error))
    }
}

impl Failure {
    /// A fault of this page.
    pub(crate) fn internal(message: String) -> Self {
        Self::Problem(Problem { code: "internal".to_owned(), message })
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

/// Sets an option that each detector has its own of, where any has one.
fn set_each(options: &Object, key: &str, models: &[Chosen], value: impl Fn(&Chosen) -> Option<JsValue>) {
    let values: Vec<Option<JsValue>> = models.iter().map(value).collect();
    if values.iter().any(Option::is_some) {
        set(options, key, &one_or_all(values.into_iter().map(Option::unwrap_or_default).collect()));
    }
}

/// What a checkpoint does not say of itself, as the API takes it.
fn checkpoint(of: &Checkpoint) -> JsValue {
    let object = Object::new();
    let fields = [("name", Some(&of.name)), ("licence", of.licence.as_ref())];
    for (key, text) in fields.into_iter().chain([("format", of.format.as_ref()), ("config", of.config.as_ref())]) {
        if let Some(text) = text {
            set(&object, key, &JsValue::from_str(text));
        }
    }
    object.into()
}

/// What the API takes of one detector, or in a list of several.
fn one_or_all(mut values: Vec<JsValue>) -> JsValue {
    if values.len() == 1 { values.remove(0) } else { values.into_iter().collect::<Array>().into() }
}

/// A face as the API gives it.
fn explained(face: &JsValue) -> Option<Explained> {
    let field = |key: &str| Reflect::get(face, &JsValue::from_str(key)).ok();
    let picture = |key: &str| field(key)?.dyn_into::<Blob>().ok();
    let pictures = [picture("face")?, picture("fake")?, picture("real")?];
    Some(Explained { time_s: field("time_s")?.as_f64()?, score: field("score")?.as_f64()?, pictures })
}

fn failure(error: JsValue) -> Failure {
    if text_of(&error, "name").as_deref() == Some("AbortError") {
        return Failure::Cancelled;
    }
    Failure::Problem(problem(&error))
}

fn problem(error: &JsValue) -> Problem {
    let code = text_of(error, "code").unwrap_or_else(|| "internal".to_owned());
    Problem { code, message: message(error) }
}

/// What a thrown value says.
pub(crate) fn message(error: &JsValue) -> String {
    let message = text_of(error, "message").or_else(|| error.as_string());
    message.unwrap_or_else(|| "Something went wrong that has no description.".to_owned())
}

fn text_of(value: &JsValue, key: &str) -> Option<String> {
    Reflect::get(value, &JsValue::from_str(key)).ok().and_then(|value| value.as_string())
}
