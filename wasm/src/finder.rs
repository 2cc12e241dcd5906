//! Finding faces in one frame, on the CPU.

use burn::prelude::*;
use unmask_core::face::finder::{self, FindOptions};
use wasm_bindgen::prelude::*;

use crate::error::coded;
use crate::frame::upright;

/// Finds faces.
#[wasm_bindgen]
pub struct FaceFinder(finder::FaceFinder);

#[wasm_bindgen]
impl FaceFinder {
    /// A finder with the networks in the bytes of `centerface.safetensors` and `landmark_refiner.safetensors`.
    ///
    /// # Errors
    /// Other files, or damaged ones.
    #[wasm_bindgen(constructor)]
    pub fn new(centerface: &[u8], refiner: &[u8]) -> Result<FaceFinder, JsValue> {
        let finder = finder::FaceFinder::from_safetensors(centerface, refiner, &Device::flex());
        // They are files of the package, not the user's.
        Ok(Self(finder.map_err(|error| coded(&error.to_string(), "missing_files"))?))
    }

    /// The faces in a frame of `width` × `height` pixels, of three bytes or of four whose last is ignored, once it is laid as the
    /// orientation with this number of EXIF asks; as the JSON that [`Scoring::push`](crate::Scoring::push) takes.
    ///
    /// # Errors
    /// Bytes that do not fit the size.
    pub fn find(&self, pixels: &[u8], width: usize, height: usize, orientation: u32) -> Result<String, JsValue> {
        let image = upright(pixels, width, height, orientation)?;
        Ok(serde_json::to_string(&self.0.find(&image, &FindOptions::default())).map_err(JsError::from)?)
    }
}
