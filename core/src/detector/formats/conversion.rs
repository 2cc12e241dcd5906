//! From somebody else's checkpoint to a detector file: what the file says, and its tensors one by one.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Checkpoint, FORMATS, Fate, Format, Hints, is_in};
use crate::detector::Architecture;
use crate::detector::spec::{
    Calibration, DetectorSpec, InputSpec, LABELS, SPEC_KEY, SPEC_VERSION, SamplingSpec, Training, TrainingStatus,
};
use crate::face::alignment::CropSpec;
use crate::weights::wrapping;
use crate::weights::{Init, Layout, Placed, TensorSource, WeightsError};

/// Raised whenever a conversion makes something else of the same checkpoint, so that what an earlier one made is made anew.
///
/// 2: crops are resized by the kernel of the format's authors ([`Format::interpolation`]).
pub const CONVERSION: u32 = 2;

/// The most values of a tensor: in f32 they take 1 GiB, ten times as much as the largest one of a published detector.
const MOST_VALUES: usize = 1 << 28;

/// Frames of a video that converted detectors look at.
const FRAMES: usize = 32;

/// What of a detector was not in the checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    /// Its head is random.
    pub head: bool,
    /// Layers that the model adds to its pretrained part are fresh.
    pub layers: bool,
}

impl Fresh {
    /// How far such a detector can be believed.
    fn training(self) -> Training {
        let (status, summary) = match (self.head, self.layers) {
            (_, true) => (TrainingStatus::Untrained, "its new layers are not trained: scores mean nothing"),
            (true, false) => (TrainingStatus::Untrained, "the head is random: scores mean nothing"),
            (false, false) => (TrainingStatus::Imported, "trained elsewhere"),
        };
        Training { status, summary: summary.to_string(), reliability: None }
    }
}

/// What a checkpoint does not say of itself.
#[derive(Clone, Debug)]
pub struct Particulars {
    /// The detector's name.
    pub name: String,
    /// Of the weights.
    pub licence: Option<String>,
    /// What the checkpoint's file is called.
    pub file: Option<String>,
    /// How faces are cropped.
    pub crop: CropSpec,
    /// [`Calibration::uncertain_above`]
    pub uncertain_above: Option<f32>,
}

/// How a format's authors crop faces.
pub fn usual_crop(format: &dyn Format) -> CropSpec {
    // The model's own preprocessing resizes crops to its input.
    CropSpec { geometry: format.geometry(), ..CropSpec::DEEPFAKEBENCH }
}

/// What stands in the header of a detector that a checkpoint of `format` became.
pub fn describe(
    format: &dyn Format,
    architecture: Architecture,
    fresh: Fresh,
    particulars: Particulars,
) -> DetectorSpec {
    let [mean, std] = format.normalisation().unwrap_or_else(|| architecture.sizes().normalisation());
    let Particulars { name, licence, file, crop, uncertain_above } = particulars;
    DetectorSpec {
        version: SPEC_VERSION,
        name,
        input: InputSpec { size: architecture.image_size(), mean, std, interpolation: format.interpolation() },
        low_rank: None,
        quantization: None,
        reference: None,
        crop,
        sampling: SamplingSpec {
            frames: FRAMES,
            clip_length: (architecture.clip_length() > 1).then(|| architecture.clip_length()),
        },
        labels: LABELS.map(str::to_string),
        calibration: Calibration { uncertain_above, ..Calibration::default() },
        training: fresh.training(),
        licence,
        base_model: file,
        adapter: None,
        architecture,
    }
}

/// The format of a whole detector whose tensors have these names.
///
/// # Errors
/// [`WeightsError::NoHead`] for a backbone, [`WeightsError::UnknownFormat`], or [`WeightsError::SeveralFormats`].
pub fn detect(names: &[String]) -> Result<&'static dyn Format, WeightsError> {
    let fitting: Vec<&'static dyn Format> = FORMATS.iter().copied().filter(|format| fits(*format, names)).collect();
    let whole: Vec<&'static dyn Format> = fitting.iter().copied().filter(|format| format.has_head()).collect();
    match (whole.as_slice(), fitting.is_empty()) {
        ([format], _) => Ok(*format),
        ([], true) => Err(WeightsError::UnknownFormat(names.first().map_or_else(|| "none".to_string(), Clone::clone))),
        ([], false) => Err(WeightsError::NoHead),
        (several, _) => {
            let names: Vec<&str> = several.iter().map(|format| format.name()).collect();
            Err(WeightsError::SeveralFormats(names.join(", ")))
        }
    }
}

/// Whether `format` knows every one of these tensors.
fn fits(format: &dyn Format, names: &[String]) -> bool {
    let known =
        |tensors: Vec<wrapping::Unwrapped>| tensors.iter().all(|tensor| format.fate(&tensor.inner) != Fate::Unknown);
    is_in(format, names) && wrapping::unwrap(names, |name| super::is_mark(format, name)).is_ok_and(known)
}

/// A checkpoint on its way to a detector file with its matrices in f16: the same bytes that `unmask import` and
/// `unmask quantize --dtype f16` make of it one after the other. One tensor at a time is in memory.
pub struct Conversion<S> {
    checkpoint: Checkpoint<S>,
    layout: Layout,
}

impl<S: TensorSource> Conversion<S> {
    /// That of `source`, a checkpoint of a whole detector in `format`.
    ///
    /// # Errors
    /// Those of [`Checkpoint::new`] and [`Format::architecture`]; [`WeightsError::NoHead`], [`WeightsError::Missing`] and
    /// [`WeightsError::Extra`].
    pub fn new(
        source: S,
        format: &'static dyn Format,
        hints: &Hints,
        particulars: Particulars,
    ) -> Result<Self, WeightsError> {
        let checkpoint = Checkpoint::new(source, format)?;
        let names = checkpoint.names();
        if !names.iter().any(|name| name.starts_with("head.")) {
            return Err(WeightsError::NoHead);
        }
        let architecture = format.architecture(&checkpoint, hints)?;
        let tensors = architecture.tensors()?;
        let is_too_large = |shape: &[usize]| {
            shape
                .iter()
                .try_fold(1usize, |count, side| count.checked_mul(*side))
                .is_none_or(|count| count > MOST_VALUES)
        };
        if let Some((name, _)) = tensors.iter().find(|(_, shape)| is_too_large(shape)) {
            return Err(WeightsError::ImpossibleSpec(format!(
                "its tensor `{name}` has more values than any detector's"
            )));
        }
        if let Some(extra) = names.iter().find(|name| !tensors.iter().any(|(known, _)| known == *name)) {
            return Err(WeightsError::Extra(extra.clone()));
        }
        let spec = describe(format, architecture, Fresh::default(), particulars);
        spec.check()?;
        Ok(Self { checkpoint, layout: Layout::new(tensors, SPEC_KEY, &spec.to_json()?)? })
    }

    /// The file that comes out.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The bytes of the tensor of this index in the layout; `None` behind the last.
    ///
    /// # Errors
    /// The tensor cannot be read, has values that are not finite, or such that f16 cannot hold.
    pub fn tensor(&mut self, index: usize) -> Result<Option<Vec<u8>>, WeightsError> {
        let Some(placed @ Placed { name, shape, .. }) = self.layout.tensors().get(index) else { return Ok(None) };
        let values = self.checkpoint.read(name, shape, Init::Zeros)?;
        match values.iter().all(|value| value.is_finite()) {
            true => placed.bytes(&values).map(Some),
            false => Err(WeightsError::NotFinite(name.clone())),
        }
    }
}
