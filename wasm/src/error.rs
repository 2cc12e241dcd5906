//! Errors as JavaScript gets them: a sentence for people, and a code for programs.

use unmask_core::pipeline::SessionError;
use unmask_core::weights::WeightsError;
use wasm_bindgen::JsValue;

use crate::media::MediaError;

/// An `Error` of JavaScript with this message and a property `code`, so that a page need not read English.
pub(crate) fn coded(message: &str, code: &str) -> JsValue {
    let error = js_sys::Error::new(message);
    // An object made here takes every property.
    js_sys::Reflect::set(&error, &"code".into(), &code.into()).ok();
    error.into()
}

impl From<MediaError> for JsValue {
    fn from(error: MediaError) -> Self {
        coded(&error.to_string(), error.code())
    }
}

/// The error for scores that are none.
pub(crate) fn of_session(error: SessionError) -> JsValue {
    coded(&error.to_string(), error.code())
}

/// The error for a detector file.
pub(crate) fn of_detector(error: WeightsError) -> JsValue {
    coded(&error.to_string(), error.code())
}
