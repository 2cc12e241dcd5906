//! The camera, as `static/camera.js` gives it.

use wasm_bindgen::prelude::*;
use web_sys::{File, HtmlVideoElement};

use crate::api::message;

#[wasm_bindgen(raw_module = "./camera.js")]
extern "C" {
    #[derive(Clone)]
    #[wasm_bindgen(js_name = Camera)]
    type JsCamera;

    #[wasm_bindgen(catch, static_method_of = JsCamera, js_class = "Camera", js_name = open)]
    async fn open() -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method)]
    fn show(this: &JsCamera, element: &HtmlVideoElement);

    #[wasm_bindgen(catch, method)]
    async fn record(this: &JsCamera, seconds: u32, on_left: &JsValue) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method)]
    fn close(this: &JsCamera);
}

/// An open camera.
#[derive(Clone)]
pub(crate) struct Camera(JsCamera);

impl Camera {
    /// Asks for a camera; the error is one sentence for the user.
    pub(crate) async fn open() -> Result<Self, String> {
        let opened = JsCamera::open().await.map_err(|error| message(&error))?;
        Ok(Self(opened.unchecked_into()))
    }

    /// Shows what it sees.
    pub(crate) fn show(&self, element: &HtmlVideoElement) {
        self.0.show(element);
    }

    /// Records some seconds into a file; `on_left` is told how many are left.
    pub(crate) async fn record(&self, seconds: u32, on_left: impl Fn(u32) + 'static) -> Result<File, String> {
        let on_left = Closure::<dyn FnMut(u32)>::new(on_left);
        let recorded = self.0.record(seconds, on_left.as_ref()).await.map_err(|error| message(&error))?;
        Ok(recorded.unchecked_into())
    }

    /// Turns it off.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}
