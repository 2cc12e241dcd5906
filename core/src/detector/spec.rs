//! The document in a detector file's header: everything but the tensors that a score depends on.
//!
//! It is JSON under the key `unmask` of the safetensors metadata.

mod check;
mod measured;
mod quantization;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

pub use measured::{Measured, VerdictCounts};
pub use quantization::{Quantization, QuantizationCheck};

pub use super::kinds::Architecture;
pub use super::reference::Reference;
pub use crate::weights::LowRankSpec;

use crate::face::alignment::CropSpec;
use crate::image::Interpolation;
use crate::metrics::UNCALIBRATED;
use crate::weights::WeightsError;

/// The metadata key the document stands under.
pub const SPEC_KEY: &str = "unmask";

/// The version of the document that this program writes, and the only one it reads.
pub const SPEC_VERSION: u32 = 1;

/// What the two logits mean, in their order.
pub const LABELS: [&str; 2] = ["real", "fake"];

/// One detector, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorSpec {
    /// [`SPEC_VERSION`].
    pub version: u32,
    /// A short name for people, e.g. `clip-vit-b-16-ln`.
    pub name: String,
    /// Which model, and its sizes.
    pub architecture: Architecture,
    /// The low-rank updates that are kept beside weights, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_rank: Option<LowRankSpec>,
    /// Set where weights are stored as integers: which, and what that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
    /// What the detector answers to a test picture, where whoever wrote the file had it answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Reference>,
    /// How a crop becomes the model's input.
    pub input: InputSpec,
    /// How a face is cropped.
    pub crop: CropSpec,
    /// How a video is sampled.
    pub sampling: SamplingSpec,
    /// What the two logits mean: [`LABELS`], and nothing else is read.
    pub labels: [String; 2],
    /// How logits become a score, and a score a verdict.
    pub calibration: Calibration,
    /// How far the weights can be believed.
    pub training: Training,
    /// The licence of the weights, as an SPDX expression where there is one.
    pub licence: Option<String>,
    /// What the weights were made from.
    pub base_model: Option<String>,
    /// Set in an adapter only: the detector it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<AdapterSpec>,
}

/// From a crop to the model's input tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Side of the square input in pixels.
    pub size: usize,
    /// Subtracted from each channel (RGB in 0..1).
    pub mean: [f32; 3],
    /// Divides each channel after that.
    pub std: [f32; 3],
    /// How a crop of another size is resized.
    pub interpolation: Interpolation,
}

/// Which frames of a video are looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingSpec {
    /// Evenly spaced frames of a video.
    pub frames: usize,
    /// Frames the model sees together, as its architecture says; absent for models of single frames.
    pub clip_length: Option<usize>,
}

/// From logits to a score and a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Divides the logits before the softmax (Guo et al., 2017).
    pub temperature: f32,
    /// A video score at or below this is `likely_real`.
    pub real_below: f32,
    /// A video score at or above this is `likely_fake`.
    pub fake_above: f32,
    /// A person of whom the model's mean uncertainty is above this is `uncertain`; for models that say it, and
    /// [`Calibration::LEAST_KNOWN`] where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain_above: Option<f32>,
    /// How often verdicts by these thresholds are right, where that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

impl Default for Calibration {
    /// Uncalibrated: a wide band around one half is `uncertain`.
    fn default() -> Self {
        let [real_below, fake_above] = UNCALIBRATED;
        Self { temperature: 1.0, real_below, fake_above, uncertain_above: None, measured: None }
    }
}

impl Calibration {
    /// The limit of uncertainty where a file has none. The uncertainty of evidence and the beliefs in both classes add up to
    /// one (Sensoy et al., 2018), so above one half more is unknown than known. DiCoME's code names no limit.
    pub const LEAST_KNOWN: f32 = 0.5;

    /// This calibration with the other's limit of uncertainty, which no fit chooses.
    pub fn with_limit_of(self, other: &Self) -> Self {
        Self { uncertain_above: other.uncertain_above, ..self }
    }

    /// The uncertainty above which a person is not judged.
    pub fn uncertainty_limit(&self) -> f32 {
        self.uncertain_above.unwrap_or(Self::LEAST_KNOWN)
    }
}

/// How the weights came about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Whether the weights were trained at all.
    pub status: TrainingStatus,
    /// Data, recipe and figures in a sentence or two.
    pub summary: String,
    /// What its answers are worth, where whoever measured it said so. [`Training::reliability`] reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reliability: Option<Reliability>,
}

impl Training {
    /// What the detector's answers are worth: as its file says, else what follows from the status.
    pub fn reliability(&self) -> Reliability {
        let (grade, words) = match self.status {
            TrainingStatus::Untrained => (Grade::Untrained, "the detector is untrained, so its scores mean nothing"),
            TrainingStatus::Imported => {
                (Grade::Uncalibrated, "the detector was trained elsewhere, and its thresholds were not fitted")
            }
            // Only who fitted the thresholds can say so.
            TrainingStatus::Trained => (
                Grade::Uncalibrated,
                "the detector's file does not say whether its thresholds were fitted, nor on what",
            ),
        };
        // No file can claim that random weights are worth more.
        match &self.reliability {
            Some(stated) if grade != Grade::Untrained => stated.clone(),
            _ => Reliability { grade, words: words.to_string() },
        }
    }
}

/// What a detector's answers are worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reliability {
    /// For programs.
    pub grade: Grade,
    /// For people: one sentence without a full stop.
    pub words: String,
}

/// The grades of [`Reliability`], worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// At least the head is random.
    Untrained,
    /// The thresholds were not fitted, or nobody says that they were.
    Uncalibrated,
    /// Measured, and often wrong.
    Weak,
    /// Thresholds were fitted on videos like those it was trained on.
    Calibrated,
}

/// How far weights can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainingStatus {
    /// At least the head is random: scores mean nothing.
    Untrained,
    /// Trained by somebody else and converted; the thresholds were not fitted.
    Imported,
    /// Trained by this project's trainer.
    Trained,
}

/// What an adapter belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterSpec {
    /// SHA-256 of the base detector's file, in lower-case hexadecimal.
    pub base_sha256: String,
}

impl DetectorSpec {
    /// Parses and checks the document.
    ///
    /// # Errors
    /// [`WeightsError::BadSpec`] or [`WeightsError::ImpossibleSpec`].
    pub fn from_json(text: &str) -> Result<Self, WeightsError> {
        // Another version has other fields, of which the parser would say less.
        if let Ok(Versioned { version }) = serde_json::from_str(text)
            && version != SPEC_VERSION
        {
            return Err(WeightsError::ImpossibleSpec(format!("`version` is {version}, not {SPEC_VERSION}")));
        }
        let spec: Self = serde_json::from_str(text).map_err(|e| unreadable(text, &e))?;
        spec.check()?;
        Ok(spec)
    }

    /// The document as compact JSON, checked, so that none is written that cannot be read.
    ///
    /// # Errors
    /// [`WeightsError::ImpossibleSpec`], or [`WeightsError::BadSpec`] if a number cannot be written.
    pub fn to_json(&self) -> Result<String, WeightsError> {
        self.check()?;
        serde_json::to_string(self).map_err(|e| WeightsError::BadSpec(e.to_string()))
    }

    /// Frames the model sees together; 1 for models of single frames.
    pub fn clip_length(&self) -> usize {
        self.sampling.clip_length.unwrap_or(1)
    }

    /// Checks that the description can be that of a detector.
    ///
    /// # Errors
    /// [`WeightsError::ImpossibleSpec`] with the first problem.
    pub fn check(&self) -> Result<(), WeightsError> {
        check::check(self).map_err(WeightsError::ImpossibleSpec)
    }
}

/// Reads the version alone, whatever else there is.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// A parser's error with the field that it is about, where its words name none.
fn unreadable(text: &str, error: &serde_json::Error) -> WeightsError {
    let words = error.to_string();
    let field = key_before(text, error.line(), error.column()).filter(|_| !words.contains(" field `"));
    WeightsError::BadSpec(field.map_or_else(|| words.clone(), |field| format!("`{field}`: {words}")))
}

/// The key of the value that ends at, or holds, a place in JSON; lines and columns count from 1, columns in bytes.
fn key_before(text: &str, line: usize, column: usize) -> Option<&str> {
    let start: usize = text.split_inclusive('\n').take(line.checked_sub(1)?).map(str::len).sum();
    let before = text.get(..text.len().min(start + column))?;
    let before = if before.ends_with('}') { before_object(before)? } else { before };
    let (before, _) = before.rsplit_once(':')?;
    let (_, key) = before.trim_end().strip_suffix('"')?.rsplit_once('"')?;
    Some(key)
}

/// What stands before the object that `text` ends with.
fn before_object(text: &str) -> Option<&str> {
    let mut depth = 0usize;
    let opening = text.char_indices().rev().find(|(_, character)| {
        match character {
            '}' => depth += 1,
            '{' => depth = depth.saturating_sub(1),
            _ => (),
        }
        depth == 0
    });
    opening.and_then(|(index, _)| text.get(..index))
}
