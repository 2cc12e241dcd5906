//! The device that models run on: the CPU in the small module, WebGPU in the one that is built with the feature `webgpu`.

use burn::prelude::*;
use wasm_bindgen::JsError;

/// The device of this module.
///
/// # Errors
/// There is none that computes correctly.
#[cfg(not(feature = "webgpu"))]
pub(crate) async fn open() -> Result<Device, JsError> {
    Ok(Device::flex())
}
