//! A file as the worker sees it before it is opened, and pictures, which are decoded here.

use wasm_bindgen::prelude::*;
use web_sys::Blob;

use crate::blob::BlobBytes;
use crate::error::coded;
use crate::media::{self, Kind, MediaError, Pictures, Shot};

/// What `blob` is by its content: `video`, `picture` (of a kind that [`PictureFile`] decodes) or `foreign` (a picture of a kind that
/// only some browsers decode).
///
/// # Errors
/// An empty file, or one that is neither picture nor video. The code is `unsupported_container` where the browser's own player may
/// read it.
#[wasm_bindgen(js_name = mediaKind)]
pub fn media_kind(blob: Blob) -> Result<String, JsValue> {
    let mut bytes = BlobBytes::new(blob).map_err(MediaError::from)?;
    let name = match media::kind_of(&mut bytes)? {
        Kind::Picture(_) => "picture",
        Kind::Foreign(_) => "foreign",
        Kind::Mp4 | Kind::Matroska | Kind::TransportStream | Kind::Ivf => "video",
    };
    Ok(name.to_owned())
}

/// The error for a picture in `blob` that this browser does not decode.
///
/// # Errors
/// The file can no longer be read.
#[wasm_bindgen(js_name = pictureRefusal)]
pub fn picture_refusal(blob: Blob) -> Result<JsValue, JsValue> {
    let mut bytes = BlobBytes::new(blob).map_err(MediaError::from)?;
    Ok(match media::kind_of(&mut bytes)? {
        Kind::Foreign(name) => MediaError::OtherImage(name).into(),
        _ => MediaError::NotMedia.into(),
    })
}

/// Refuses a picture of more pixels than are decoded.
///
/// # Errors
/// The size is over the limit, or nothing.
#[wasm_bindgen(js_name = refuseLarge)]
pub fn refuse_large(width: u32, height: u32) -> Result<(), JsValue> {
    Ok(media::check_size(width.into(), height.into())?)
}

/// A picture, or an animation of which some are looked at.
#[wasm_bindgen]
pub struct PictureFile {
    pictures: Pictures,
    current: Option<Shot>,
}

#[wasm_bindgen]
impl PictureFile {
    /// Opens the file in `blob`, to look at up to `count` pictures of it.
    ///
    /// # Errors
    /// What is wrong with the file, in one sentence.
    #[wasm_bindgen(constructor)]
    pub fn new(blob: Blob, count: usize) -> Result<PictureFile, JsValue> {
        let open = move || BlobBytes::new(blob.clone());
        let Kind::Picture(kind) = media::kind_of(&mut open().map_err(MediaError::from)?)? else {
            return Err(MediaError::NotMedia.into());
        };
        Ok(Self { pictures: Pictures::open(kind, count, open)?, current: None })
    }

    /// Whether it moves.
    #[wasm_bindgen(getter, js_name = isMoving)]
    pub fn is_moving(&self) -> bool {
        self.pictures.is_moving()
    }

    /// Width in pixels as displayed.
    #[wasm_bindgen(getter)]
    pub fn width(&self) -> usize {
        self.pictures.width
    }

    /// Height in pixels as displayed.
    #[wasm_bindgen(getter)]
    pub fn height(&self) -> usize {
        self.pictures.height
    }

    /// Mean pictures a second, if it moves.
    #[wasm_bindgen(getter)]
    pub fn fps(&self) -> Option<f64> {
        self.pictures.fps
    }

    /// Length in seconds, if it moves.
    #[wasm_bindgen(getter, js_name = durationSeconds)]
    pub fn duration_s(&self) -> Option<f64> {
        self.pictures.duration_s
    }

    /// How many pictures will be looked at.
    #[wasm_bindgen(getter, js_name = wantedFrames)]
    pub fn wanted_frames(&self) -> usize {
        self.pictures.wanted
    }

    /// What of it weakens an answer, as JSON: a list of the report's caveats.
    ///
    /// # Errors
    /// Never, since caveats are plain words.
    #[wasm_bindgen(getter)]
    pub fn caveats(&self) -> Result<String, JsValue> {
        serde_json::to_string(&self.pictures.caveats).map_err(|error| coded(&error.to_string(), "internal"))
    }

    /// Decodes the next picture, if there is one more.
    ///
    /// # Errors
    /// It does not decode.
    pub fn advance(&mut self) -> Result<bool, JsValue> {
        self.current = self.pictures.next_shot()?;
        Ok(self.current.is_some())
    }

    /// When the picture at hand is shown, in seconds.
    #[wasm_bindgen(getter)]
    pub fn time(&self) -> f64 {
        self.current.as_ref().map_or(0.0, |shot| shot.time_s)
    }

    /// Its pixels, of three bytes each. Only once: they are moved out.
    #[wasm_bindgen(js_name = takePixels)]
    pub fn take_pixels(&mut self) -> Vec<u8> {
        self.current.as_mut().map(|shot| std::mem::take(&mut shot.pixels)).unwrap_or_default()
    }
}
