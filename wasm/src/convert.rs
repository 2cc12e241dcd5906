//! Somebody else's checkpoint on its way to a detector file.

use unmask_core::detector::formats::{self, Format, HfConfig, Hints, Particulars};
use unmask_core::weights::{SafetensorsFile, TensorSource, WeightsError};
use wasm_bindgen::prelude::*;
use web_sys::Blob;

use crate::blob::BlobBytes;
use crate::error::of_detector;

/// A checkpoint that becomes a detector file with its matrices in f16, in pieces: header, and tensor after tensor. One of them
/// is in memory at a time.
#[wasm_bindgen]
pub struct Conversion {
    inner: formats::Conversion<SafetensorsFile<BlobBytes>>,
    /// How many pieces were handed out.
    pieces: usize,
}

#[wasm_bindgen]
impl Conversion {
    /// Begins with the checkpoint in `blob`, a safetensors file called `file`, for a detector called `name` whose weights
    /// have this licence. Without a `format`, its tensors' names tell it; `config` is the `config.json` beside it.
    ///
    /// # Errors
    /// What is wrong with the file, in a sentence that begins after the file's name.
    #[wasm_bindgen(constructor)]
    pub fn new(
        blob: Blob,
        file: String,
        name: String,
        licence: Option<String>,
        format: Option<String>,
        config: Option<String>,
    ) -> Result<Conversion, JsValue> {
        let begun = || {
            let bytes = BlobBytes::new(blob).map_err(|error| WeightsError::Read(error.to_string()))?;
            let source = SafetensorsFile::open(bytes)?;
            let format = format_of(&source, format.as_deref())?;
            let hints = Hints { config: config_for(format, config.as_deref())?, ..Hints::default() };
            let crop = formats::usual_crop(format);
            let particulars = Particulars { name, licence, file: Some(file), crop, uncertain_above: None };
            formats::Conversion::new(source, format, &hints, particulars)
        };
        Ok(Self { inner: begun().map_err(of_detector)?, pieces: 0 })
    }

    /// How many bytes the detector file will have.
    #[wasm_bindgen(getter)]
    pub fn size(&self) -> f64 {
        self.inner.layout().size() as f64
    }

    /// The next bytes of the detector file; nothing behind its last.
    ///
    /// # Errors
    /// What is wrong with the tensor, in a sentence that begins after the file's name.
    #[wasm_bindgen(js_name = nextBytes)]
    pub fn next_bytes(&mut self) -> Result<Option<Vec<u8>>, JsValue> {
        let piece = self.pieces;
        self.pieces += 1;
        match piece.checked_sub(1) {
            None => Ok(Some(self.inner.layout().header().to_vec())),
            Some(tensor) => self.inner.tensor(tensor).map_err(of_detector),
        }
    }
}

/// The format of this name, or else the one that the names of the tensors tell.
fn format_of(source: &dyn TensorSource, name: Option<&str>) -> Result<&'static dyn Format, WeightsError> {
    match name {
        None => formats::detect(&source.names()),
        Some(name) => formats::by_name(name).ok_or_else(|| WeightsError::NoSuchFormat(name.to_owned())),
    }
}

fn config_for(format: &dyn Format, json: Option<&str>) -> Result<Option<HfConfig>, WeightsError> {
    let Some(json) = json else { return Ok(None) };
    let config = HfConfig::from_json(json)?;
    format.accepts(&config)?;
    Ok(Some(config))
}
