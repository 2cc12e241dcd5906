//! One input on its way from frames to a report, wherever faces are found and crops are scored.

use std::collections::BTreeMap;

use unmask_core::detector::Scores;
use unmask_core::detector::spec::DetectorSpec;
use unmask_core::face::Face;
use unmask_core::pipeline::report::{ModelInfo, Report, Timing, VideoSummary};
use unmask_core::pipeline::{Batch, Caveat, CaveatCode, Faces, Session, SessionError, join};
use wasm_bindgen::prelude::*;

use crate::error::of_session;
use crate::frame::upright;

/// One input on its way from frames to a report, for one detector or for several that give their opinions of it.
#[wasm_bindgen]
pub struct Scoring {
    /// Never empty; the tracks and frames of the report have the first one's scores.
    sittings: Vec<Sitting>,
    /// What was handed out and has no scores yet, with whose crops it is.
    handed_out: BTreeMap<u32, (usize, Batch)>,
    next_batch: u32,
}

/// One detector on one input: detectors crop faces in their own ways and see as many together as they need, so each has a
/// session of its own.
struct Sitting {
    spec: DetectorSpec,
    sha256: String,
    session: Session,
}

impl Sitting {
    /// What this detector alone reports.
    fn finish(self, input: String, video: VideoSummary, timing: Timing) -> Result<Report, SessionError> {
        let model = ModelInfo::new(&self.spec, self.sha256);
        self.session.finish(input, &self.spec, model, video, timing)
    }
}

/// Crops to score together.
#[wasm_bindgen]
pub struct Crops {
    /// The number to give the scores back with.
    #[wasm_bindgen(readonly)]
    pub batch: u32,
    /// Which of the detectors is to score them.
    #[wasm_bindgen(readonly)]
    pub model: usize,
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
    /// Begins with an input for the detectors that `specs` describe and whose files have these SHA-256, in the same order: of
    /// everybody's faces, or those of the person who is largest.
    ///
    /// # Errors
    /// A description of `specs` is none of a detector; there is none; or there is not one SHA-256 for each.
    #[wasm_bindgen(constructor)]
    pub fn new(specs: Vec<String>, sha256s: Vec<String>, everybody: bool) -> Result<Scoring, JsError> {
        if specs.is_empty() || specs.len() != sha256s.len() {
            let (specs, hashes) = (specs.len(), sha256s.len());
            return Err(JsError::new(&format!("{specs} descriptions of detectors came with {hashes} SHA-256")));
        }
        let faces = if everybody { Faces::All } else { Faces::Largest };
        let sitting = |(spec, sha256): (String, String)| {
            let spec = DetectorSpec::from_json(&spec)?;
            let session = Session::new(&spec, faces);
            Ok::<_, JsError>(Sitting { spec, sha256, session })
        };
        let sittings = specs.into_iter().zip(sha256s).map(sitting).collect::<Result<_, _>>()?;
        Ok(Self { sittings, handed_out: BTreeMap::new(), next_batch: 0 })
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
        let frame = upright(pixels, width, height, orientation)?;
        self.sittings.iter_mut().for_each(|sitting| sitting.session.push(time_s, &frame, &faces));
        Ok(())
    }

    /// Says that there are no more frames.
    pub fn seal(&mut self) {
        self.sittings.iter_mut().for_each(|sitting| sitting.session.seal());
    }

    /// Up to `size` crops, and at least one clip, that need scores of one of the detectors; before [`Scoring::seal`] only full
    /// batches.
    #[wasm_bindgen(js_name = nextCrops)]
    pub fn next_crops(&mut self, size: usize) -> Option<Crops> {
        let mut sittings = self.sittings.iter_mut().enumerate();
        let (model, batch) = sittings.find_map(|(model, sitting)| Some((model, sitting.session.next_batch(size)?)))?;
        let bytes = batch.crops.iter().flat_map(|crop| crop.pixels()).copied().collect();
        let number = self.next_batch;
        self.next_batch += 1;
        self.handed_out.insert(number, (model, batch));
        Some(Crops { batch: number, model, bytes })
    }

    /// Takes the scores of the crops with that number, as [`Scorer::score`](crate::scorer::Scorer::score) gives them. They may come in any order.
    ///
    /// # Errors
    /// Not one score from 0 to 1 for each clip, or a number that no crops are waiting under; [`Scoring::finish`] makes no
    /// report then.
    pub fn accept(&mut self, batch: u32, scores: &[f32]) -> Result<(), JsValue> {
        let Some((model, batch)) = self.handed_out.remove(&batch) else {
            let detector = self.sittings[0].spec.name.clone();
            return Err(of_session(SessionError::NotAwaited { detector }));
        };
        let Sitting { spec, session, .. } = &mut self.sittings[model];
        let says_uncertainty = spec.architecture.sizes().says_uncertainty();
        let (fake, uncertainty) = scores.split_at(if says_uncertainty { scores.len() / 2 } else { scores.len() });
        let scores = Scores { fake: fake.to_vec(), uncertainty: uncertainty.to_vec() };
        session.accept(&batch, &scores).map_err(of_session)
    }

    /// How many frames were taken.
    #[wasm_bindgen(getter, js_name = frameCount)]
    pub fn frame_count(&self) -> usize {
        self.sittings[0].session.frame_count()
    }

    /// The report as JSON, the same document as `unmask score --json` prints: of several detectors with what each says, and
    /// what they say together. `surroundings` is what the worker alone knows, as JSON: the report's `input`, `video` and
    /// `timing_s`, and its `caveats`, of which those without words have the usual ones.
    ///
    /// # Errors
    /// `surroundings` is not such a document, or a face that counts has no score from 0 to 1.
    pub fn finish(mut self, surroundings: &str) -> Result<String, JsValue> {
        let surroundings: Surroundings = serde_json::from_str(surroundings).map_err(JsError::from)?;
        let Surroundings { input, video, timing_s, caveats } = surroundings;
        for Noted { code, words } in caveats {
            let caveat = words.map_or_else(|| code.into(), |words| Caveat::with_words(code, words));
            self.sittings.iter_mut().for_each(|sitting| sitting.session.note(caveat.clone()));
        }
        let report = |sitting: Sitting| sitting.finish(input.clone(), video.clone(), timing_s);
        let mut reports: Vec<Report> =
            self.sittings.into_iter().map(report).collect::<Result<_, _>>().map_err(of_session)?;
        let first = reports.remove(0);
        Ok(serde_json::to_string(&join(first, &reports)).map_err(JsError::from)?)
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
