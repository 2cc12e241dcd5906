//! The graphics device: opened once, and believed only when it gets small computations right.

use std::cell::RefCell;

use burn::prelude::*;
use burn::tensor::wgpu::WgpuSetup;
use wasm_bindgen::prelude::*;

use super::{self_test, webgpu_input};

thread_local! {
    /// It is opened once: burn refuses to do so twice.
    static OPENED: RefCell<Option<(Device, WgpuSetup)>> = const { RefCell::new(None) };
}

/// The graphics device, for burn and for shaders of our own.
///
/// # Errors
/// The browser gives none.
pub(crate) async fn open() -> Result<(Device, WgpuSetup), JsError> {
    if let Some(opened) = OPENED.with_borrow(Clone::clone) {
        return Ok(opened);
    }
    let opened = Device::wgpu_options().init_with_setup_async().await;
    let opened = opened.map_err(|error| JsError::new(&format!("the graphics device does not open: {error}")))?;
    OPENED.set(Some(opened.clone()));
    Ok(opened)
}

/// Has the device compute a little of all that models are made of, and make their input, and compares both with the CPU.
///
/// # Errors
/// There is no device, or it computes something else.
#[wasm_bindgen]
pub async fn probe() -> Result<(), JsError> {
    let failed = |problem: String| JsError::new(&format!("the graphics device cannot be relied on: {problem}"));
    let expected = self_test::read(self_test::answers(&Device::flex())).await.map_err(failed)?;
    let (device, setup) = open().await?;
    let found = self_test::read(self_test::answers(&device)).await.map_err(failed)?;
    self_test::compare(&found, &expected).map_err(failed)?;
    webgpu_input::check(&device, &setup).await.map_err(failed)
}
