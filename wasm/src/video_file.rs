//! A video file as the worker sees it: what to configure a decoder with, and which samples to give it.

use js_sys::Uint8Array;
use unmask_core::image::ToneMap;
use wasm_bindgen::prelude::*;
use web_sys::Blob;

use crate::blob::BlobBytes;
use crate::media::{self, Colours, MediaError, Packing, Planes, Run, Shown, Video};

/// Pixels, of three bytes each, of a decoded frame of `width` × `height`, whose planes are without gaps in a format of WebCodecs;
/// nothing where that or the matrix is not converted here.
#[wasm_bindgen(js_name = toRgb)]
pub fn to_rgb(
    planes: &[u8],
    format: &str,
    width: usize,
    height: usize,
    matrix: &str,
    full_range: bool,
) -> Option<Vec<u8>> {
    let size = (width, height);
    Planes { bytes: planes, format, size, shown: size, matrix, full_range }.rgb()
}

/// An opened video, and the runs of samples to decode.
#[wasm_bindgen]
pub struct VideoFile {
    bytes: BlobBytes,
    video: Video,
    runs: Vec<Run>,
    /// What makes pixels of standard range of the video's, where they are others.
    tone_map: Option<ToneMap>,
}

#[wasm_bindgen]
impl VideoFile {
    /// Reads the index of the video in `blob`, and plans to look at `frames` of its frames.
    ///
    /// # Errors
    /// What is wrong with the file, in one sentence; its code is `unsupported_container` where the browser's own player may read it.
    #[wasm_bindgen(constructor)]
    pub fn new(blob: Blob, frames: usize) -> Result<VideoFile, JsValue> {
        let mut bytes = BlobBytes::new(blob).map_err(MediaError::from)?;
        let size = bytes.size();
        let video = media::open(&mut bytes, size)?;
        let runs = media::plan(&video, frames);
        let tone_map = video.colours.and_then(Colours::tone_map);
        Ok(Self { bytes, video, runs, tone_map })
    }

    /// Pixels, of three bytes each, of a decoded frame whose width and height are `size`, stretched to the width and height `shown`,
    /// and in standard range. `matrix` and `full_range` are what the browser says, and count where the stream says nothing.
    /// Nothing where the format or the matrix is not converted here.
    pub fn pixels(
        &self,
        planes: &[u8],
        format: &str,
        size: &[u32],
        shown: &[u32],
        matrix: Option<String>,
        full_range: Option<bool>,
    ) -> Option<Vec<u8>> {
        let matrix = self.matrix().or(matrix)?;
        let full_range = self.full_range().or(full_range).unwrap_or(false);
        let pair = |sides: &[u32]| Some((*sides.first()? as usize, *sides.get(1)? as usize));
        let (size, shown) = (pair(size)?, pair(shown)?);
        let planes = Planes { bytes: planes, format, size, shown, matrix: &matrix, full_range };
        match &self.tone_map {
            Some(map) => planes.rgb_deep().map(|pixels| map.apply(&pixels)),
            None => planes.rgb(),
        }
    }

    /// What of it weakens an answer, as JSON: a list of the report's caveats.
    #[wasm_bindgen(getter)]
    pub fn caveats(&self) -> Result<String, JsError> {
        Ok(serde_json::to_string(&self.video.caveats())?)
    }

    /// The codec's name in WebCodecs.
    #[wasm_bindgen(getter)]
    pub fn codec(&self) -> Option<String> {
        self.video.codec.string.clone()
    }

    /// What the decoder has to know before the first sample.
    #[wasm_bindgen(getter)]
    pub fn description(&self) -> Option<Uint8Array> {
        self.video.codec.description.as_deref().map(Uint8Array::from)
    }

    /// WebCodecs' name of the matrix that its colours are coded with, where that is known and has one.
    #[wasm_bindgen(getter)]
    pub fn matrix(&self) -> Option<String> {
        let lines = self.video.displayed_size().1;
        self.video.colours.and_then(|colours| colours.matrix_name(lines)).map(str::to_owned)
    }

    /// Whether its colours use all values of a byte, where that is known.
    #[wasm_bindgen(getter, js_name = fullRange)]
    pub fn full_range(&self) -> Option<bool> {
        self.video.colours.map(|colours| colours.full_range)
    }

    /// The error for a browser that does not decode the codec.
    #[wasm_bindgen(getter)]
    pub fn refusal(&self) -> JsValue {
        MediaError::UnsupportedCodec(self.video.codec.to_string()).into()
    }

    /// Width of the coded frame in pixels.
    #[wasm_bindgen(getter, js_name = codedWidth)]
    pub fn coded_width(&self) -> usize {
        self.video.coded_width
    }

    /// Height of the coded frame in pixels.
    #[wasm_bindgen(getter, js_name = codedHeight)]
    pub fn coded_height(&self) -> usize {
        self.video.coded_height
    }

    /// Width in square pixels before it is turned.
    #[wasm_bindgen(getter)]
    pub fn width(&self) -> usize {
        self.video.width
    }

    /// Height in square pixels before it is turned.
    #[wasm_bindgen(getter)]
    pub fn height(&self) -> usize {
        self.video.height
    }

    /// Width in pixels as displayed.
    #[wasm_bindgen(getter, js_name = displayedWidth)]
    pub fn displayed_width(&self) -> usize {
        self.video.displayed_size().0
    }

    /// Height in pixels as displayed.
    #[wasm_bindgen(getter, js_name = displayedHeight)]
    pub fn displayed_height(&self) -> usize {
        self.video.displayed_size().1
    }

    /// How frames lie, by the numbers of EXIF.
    #[wasm_bindgen(getter)]
    pub fn orientation(&self) -> u32 {
        self.video.orientation.number()
    }

    /// Mean frames a second.
    #[wasm_bindgen(getter)]
    pub fn fps(&self) -> Option<f64> {
        self.video.fps
    }

    /// Length in seconds.
    #[wasm_bindgen(getter, js_name = durationSeconds)]
    pub fn duration_s(&self) -> Option<f64> {
        self.video.duration_s
    }

    /// How many frames will be looked at.
    #[wasm_bindgen(getter, js_name = wantedFrames)]
    pub fn wanted_frames(&self) -> usize {
        self.runs.iter().map(|run| run.wanted.len()).sum()
    }

    /// How many runs of samples there are; a decoder is flushed after each.
    #[wasm_bindgen(getter)]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// First and last sample of a run.
    #[wasm_bindgen(js_name = runSamples)]
    pub fn run_samples(&self, run: usize) -> Vec<u32> {
        self.runs.get(run).map_or_else(Vec::new, |run| vec![run.first as u32, run.last as u32])
    }

    /// Whether frames are told apart by their number among those that a decoder gives, since their time stamps do not.
    #[wasm_bindgen(getter, js_name = isCounted)]
    pub fn is_counted(&self) -> bool {
        self.video.facts.bad_times
    }

    /// What tells the frames to look at in a run from others, in order: their time stamps in microseconds, or their numbers.
    #[wasm_bindgen(js_name = wantedKeys)]
    pub fn wanted_keys(&self, run: usize) -> Vec<f64> {
        let wanted = self.runs.get(run).map(|run| run.wanted.as_slice()).unwrap_or_default();
        let key = |shown: &Shown| match self.is_counted() {
            true => self.video.number(shown.sample) as f64,
            false => self.video.samples[shown.sample].timestamp_us as f64,
        };
        wanted.iter().map(key).collect()
    }

    /// When the frames to look at in a run are shown, in seconds, in the same order.
    #[wasm_bindgen(js_name = wantedTimes)]
    pub fn wanted_times(&self, run: usize) -> Vec<f64> {
        let wanted = self.runs.get(run).map(|run| run.wanted.as_slice()).unwrap_or_default();
        wanted.iter().map(|shown| shown.time_s).collect()
    }

    /// When a player that shows the frames of a run is to be stopped, in seconds, in the same order.
    #[wasm_bindgen(js_name = seekTimes)]
    pub fn seek_times(&self, run: usize) -> Vec<f64> {
        let wanted = self.runs.get(run).map(|run| run.wanted.as_slice()).unwrap_or_default();
        wanted.iter().map(|shown| media::amid(&self.video, shown.time_s)).collect()
    }

    /// Whether decoding can begin with a sample.
    #[wasm_bindgen(js_name = isKey)]
    pub fn is_key(&self, sample: usize) -> bool {
        self.video.samples.get(sample).is_some_and(|sample| sample.key)
    }

    /// The time stamp of a sample in microseconds.
    #[wasm_bindgen]
    pub fn timestamp(&self, sample: usize) -> f64 {
        self.video.samples.get(sample).map_or(0.0, |sample| sample.timestamp_us as f64)
    }

    /// The bytes of a sample.
    ///
    /// # Errors
    /// The file can no longer be read.
    #[wasm_bindgen]
    pub fn data(&self, sample: usize) -> Result<Uint8Array, JsValue> {
        let sample = self.video.samples.get(sample).ok_or(MediaError::NoFrames)?;
        let bytes = self.bytes.slice(sample.offset, sample.size.into()).map_err(MediaError::from)?;
        match self.video.packing {
            Packing::Whole => Ok(bytes),
            packing => Ok(Uint8Array::from(packing.unpack(bytes.to_vec()).as_slice())),
        }
    }
}
