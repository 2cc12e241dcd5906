//! The CPU.

use burn::prelude::*;
use unmask_core::detector::Detector;
use unmask_core::detector::spec::DetectorSpec;
use unmask_core::image::RgbImage;
use wasm_bindgen::JsError;

/// Makes a detector's input.
pub(crate) struct Input;

impl Input {
    /// The CPU, and what makes the input of the detector that `spec` describes there.
    ///
    /// # Errors
    /// None: the CPU is always there.
    pub(crate) async fn open(_spec: &DetectorSpec) -> Result<(Self, Device), JsError> {
        Ok((Self, Device::flex()))
    }

    /// `[clips, T, 3, size, size]` of crops of three bytes a pixel, one after the other.
    ///
    /// # Errors
    /// Bytes that are no whole number of crops.
    pub(crate) fn pixels(&self, crops: &[u8], detector: &Detector) -> Result<Tensor<5>, JsError> {
        let side = detector.spec().crop.size;
        let images = crops.chunks(side * side * 3).map(|pixels| RgbImage::new(side, side, pixels.to_vec()));
        let images: Option<Vec<RgbImage>> = images.collect();
        let images = images.ok_or_else(|| JsError::new("the crops have another size than the detector's"))?;
        Ok(detector.preprocess(&images))
    }
}
