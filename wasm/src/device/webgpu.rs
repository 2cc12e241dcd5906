//! The graphics device: opened once, and believed only when it gets a small computation right.

use std::cell::RefCell;

use burn::prelude::*;
use burn::tensor::activation::relu;
use burn::tensor::wgpu::WgpuSetup;
use wasm_bindgen::prelude::*;

thread_local! {
    /// It is opened once: burn refuses to do so twice.
    static OPENED: RefCell<Option<(Device, WgpuSetup)>> = const { RefCell::new(None) };
}

/// How far the device's numbers may lie from the CPU's, relative to the largest: f32 adds up in another order.
const TOLERANCE: f32 = 1e-4;

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

/// Has the device compute something small, and compares it with the CPU.
///
/// # Errors
/// There is no device, or it computes something else.
#[wasm_bindgen]
pub async fn probe() -> Result<(), JsError> {
    let expected = small_sum(&Device::flex()).await?;
    let found = small_sum(&open().await?.0).await?;
    let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let is_near = |(found, expected): (&f32, &f32)| (found - expected).abs() <= TOLERANCE * largest;
    if found.len() == expected.len() && found.iter().zip(&expected).all(is_near) {
        return Ok(());
    }
    Err(JsError::new("the graphics device computes wrong numbers"))
}

/// A matrix product, an activation and a sum, of sizes that fill no workgroup exactly.
async fn small_sum(device: &Device) -> Result<Vec<f32>, JsError> {
    let matrix = |rows: usize, columns: usize| {
        let values = (0..rows * columns).map(|index| (index * 7 % 13) as f32 / 13.0 - 0.4).collect();
        Tensor::<2>::from_data(TensorData::new::<f32, _>(values, [rows, columns]), device)
    };
    let (left, right) = (matrix(37, 19), matrix(19, 23));
    let sums = relu(left.matmul(right)).sum_dim(0);
    let failed = |error: &dyn std::fmt::Debug| JsError::new(&format!("its results cannot be read back: {error:?}"));
    let data = sums.into_data_async().await.map_err(|error| failed(&error))?;
    data.try_into_vec::<f32>().map_err(|error| failed(&error))
}
