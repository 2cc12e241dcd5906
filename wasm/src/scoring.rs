//! One input on its way from frames to a report, wherever faces are found and crops are scored.

use std::collections::BTreeMap;

use unmask_core::detector::Scores;
use unmask_core::detector::spec::DetectorSpec;
use unmask_core::face::Face;
use unmask_core::pipeline::report::{ModelInfo, Timing, VideoSummary};
use unmask_core::pipeline::{Batch, Caveat, CaveatCode, Faces, Session, SessionError};
use wasm_bindgen::prelude::*;

use crate::error::of_session;
use crate::frame::upright;

/// One input on its way from frames to a report.
#[wasm_bindgen]
pub struct Scoring {
    spec: DetectorSpec,
    sha256: String,
    session: Session,
    /// What was handed out and has no scores yet.
    handed_out: BTreeMap<u32, Batch>,
    next_batch: u32,
}

/// Crops to score together.
#[wasm_bindgen]
pub struct Crops {
    /// The number to give the scores back with.
    #[wasm_bindgen(readonly)]
    pub batch: u32,
    bytes: Vec<u8>,
}

#[wasm_bindgen]
impl Crops {
    /// Their pixels as [`Scorer::score`](crate::Scorer::score) takes them. Only once: they are moved out.
    #[wasm_bindgen(js_name = takeBytes)]
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

#[wasm_bindgen]
impl Scoring {
    /// Begins with an input for the detector that `spec` describes and whose file has this SHA-256: of everybody's faces,
    /// or those of the person who is largest.
    ///
    /// # Errors
    /// `spec` is no description of a detector.
    #[wasm_bindgen(constructor)]
    pub fn new(spec: &str, sha256: String, everybody: bool) -> Result<Scoring, JsError> {
        let spec = DetectorSpec::from_json(spec)?;
        let session = Session::new(&spec, if everybody { Faces::All } else { Faces::Largest });
        Ok(Self { spec, sha256, session, handed_out: BTreeMap::new(), next_batch: 0 })
    }

    /// Takes the next frame in order of time, as [`FaceFinder::find`](crate::FaceFinder::find) took it, and what that found.
    ///
    /// # Errors
    /// Bytes that do not fit the size, or faces that are not that function's.
    pub fn push(
        &mut self,
        time_s: f64,
        pixels: &[u8],
        width: usize,
        height: usize,
        orientation: u32,
        faces: &str,
    ) -> Result<(), JsValue> {
        let faces: Vec<Face> = serde_json::from_str(faces).map_err(JsError::from)?;
        self.session.push(time_s, &upright(pixels, width, height, orientation)?, &faces);
        Ok(())
    }

    /// Says that there are no more frames.
    pub fn seal(&mut self) {
        self.session.seal();
    }

    /// Up to `size` crops, and at least one clip, that need scores; before [`Scoring::seal`] only full batches.
    #[wasm_bindgen(js_name = nextCrops)]
    pub fn next_crops(&mut self, size: usize) -> Option<Crops> {
        let batch = self.session.next_batch(size)?;
        let bytes = batch.crops.iter().flat_map(|crop| crop.pixels()).copied().collect();
        let number = self.next_batch;
        self.next_batch += 1;
        self.handed_out.insert(number, batch);
        Some(Crops { batch: number, bytes })
    }

    /// Takes the scores of the crops with that number, as [`Scorer::score`](crate::scorer::Scorer::score) gives them. They may come in any order.
    ///
    /// # Errors
    /// Not one score from 0 to 1 for each clip, or a number that no crops are waiting under; [`Scoring::finish`] makes no
    /// report then.
    pub fn accept(&mut self, batch: u32, scores: &[f32]) -> Result<(), JsValue> {
        let Some(batch) = self.handed_out.remove(&batch) else {
            let detector = self.spec.name.clone();
            return Err(of_session(SessionError::NotAwaited { detector }));
        };
        let says_uncertainty = self.spec.architecture.sizes().says_uncertainty();
        let (fake, uncertainty) = scores.split_at(if says_uncertainty { scores.len() / 2 } else { scores.len() });
        let scores = Scores { fake: fake.to_vec(), uncertainty: uncertainty.to_vec() };
        self.session.accept(&batch, &scores).map_err(of_session)
    }

    /// How many frames were taken.
    #[wasm_bindgen(getter, js_name = frameCount)]
    pub fn frame_count(&self) -> usize {
        self.session.frame_count()
    }

    /// The report as JSON, the same document as `unmask score --json` prints. `surroundings` is what the worker alone
    /// knows, as JSON: the report's `input`, `video` and `timing_s`, and its `caveats`, of which those without words have the usual
    /// ones.
    ///
    /// # Errors
    /// `surroundings` is not such a document, or a face that counts has no score from 0 to 1.
    pub fn finish(mut self, surroundings: &str) -> Result<String, JsValue> {
        let surroundings: Surroundings = serde_json::from_str(surroundings).map_err(JsError::from)?;
        let Surroundings { input, video, timing_s, caveats } = surroundings;
        for Noted { code, words } in caveats {
            self.session.note(words.map_or_else(|| code.into(), |words| Caveat::with_words(code, words)));
        }
        let model = ModelInfo::new(&self.spec, self.sha256);
        let report = self.session.finish(input, &self.spec, model, video, timing_s).map_err(of_session)?;
        Ok(serde_json::to_string(&report).map_err(JsError::from)?)
    }
}

/// What a report says that is not seen in frames.
#[derive(serde::Deserialize)]
struct Surroundings {
    input: String,
    video: VideoSummary,
    timing_s: Timing,
    caveats: Vec<Noted>,
}

/// A caveat whose words may be the usual ones.
#[derive(serde::Deserialize)]
struct Noted {
    code: CaveatCode,
    words: Option<String>,
}
