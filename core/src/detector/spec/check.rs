//! What a detector's description may say: every field that a score, a crop or an output depends on is looked at.

use alloc::format;
use alloc::string::String;
use core::fmt::Debug;
use core::ops::RangeInclusive;

use super::{AdapterSpec, Calibration, DetectorSpec, Grade, InputSpec, LABELS, SPEC_VERSION, Training, TrainingStatus};
use crate::face::alignment::CropSpec;

/// Mean and divisor of channels within 0..1. Those of channels within 0..255, which other programs write, are outside.
const MEANS: RangeInclusive<f32> = 0.0..=1.0;
const DEVIATIONS: RangeInclusive<f32> = 0.001..=10.0;
/// Wider than what is ever fitted (0.05 to 20), and far from numbers by which logits become infinite or all alike.
const TEMPERATURES: RangeInclusive<f32> = 0.001..=1000.0;
const CROP_SIDES: RangeInclusive<usize> = 8..=4096;
const MARGINS: RangeInclusive<f32> = 0.5..=4.0;
const FRAMES: RangeInclusive<usize> = 1..=10_000;
/// Characters of a SHA-256 in hexadecimal.
const SHA256_DIGITS: usize = 64;

/// The first problem of a description, as part of a sentence that begins with the field.
pub(super) fn check(spec: &DetectorSpec) -> Result<(), String> {
    if spec.version != SPEC_VERSION {
        return Err(format!("`version` is {}, not {SPEC_VERSION}", spec.version));
    }
    texts(spec)?;
    if spec.name.trim().is_empty() {
        return Err("`name` is empty".into());
    }
    spec.architecture.check().map_err(|problem| format!("`architecture`: {problem}"))?;
    if let Some(low_rank) = &spec.low_rank {
        low_rank.check().map_err(|problem| format!("`low_rank`: {problem}"))?;
    }
    let size = spec.architecture.image_size();
    if spec.input.size != size {
        return Err(format!("`input.size` is {}, not the model's {size}", spec.input.size));
    }
    let length = spec.architecture.clip_length();
    if spec.clip_length() != length {
        return Err(format!("`sampling.clip_length` is {}, not the model's {length}", spec.clip_length()));
    }
    let InputSpec { mean, std, .. } = &spec.input;
    each_within("input.mean", mean, &MEANS)?;
    each_within("input.std", std, &DEVIATIONS)?;
    let CropSpec { size, margin, .. } = spec.crop;
    each_within("crop.size", &[size], &CROP_SIDES)?;
    each_within("crop.margin", &[margin], &MARGINS)?;
    each_within("sampling.frames", &[spec.sampling.frames], &FRAMES)?;
    if spec.labels != LABELS {
        return Err(format!("`labels` is {:?}, and only {LABELS:?} in this order is known", spec.labels));
    }
    calibration(&spec.calibration)?;
    if spec.calibration.uncertain_above.is_some() && !spec.architecture.sizes().says_uncertainty() {
        return Err("`calibration.uncertain_above` is given, and such a model does not say how uncertain it is".into());
    }
    training(&spec.training)?;
    if let Some(problem) = spec.quantization.as_ref().and_then(|stored| stored.check.failures().into_iter().next()) {
        return Err(format!("`quantization.check` says that {problem}"));
    }
    if spec.reference.is_some_and(|reference| !reference.logits.iter().all(|logit| logit.is_finite())) {
        return Err("`reference.logits` has what is no finite number".into());
    }
    adapter(spec.adapter.as_ref())
}

/// Texts are shown by terminals, which obey control characters.
fn texts(spec: &DetectorSpec) -> Result<(), String> {
    let texts = [
        ("name", Some(&spec.name)),
        ("training.summary", Some(&spec.training.summary)),
        ("training.reliability.words", spec.training.reliability.as_ref().map(|reliability| &reliability.words)),
        ("calibration.measured.videos", spec.calibration.measured.as_ref().map(|measured| &measured.videos)),
        ("quantization.check.faces", spec.quantization.as_ref().map(|quantization| &quantization.check.faces)),
        ("licence", spec.licence.as_ref()),
        ("base_model", spec.base_model.as_ref()),
    ];
    let has_control = |text: Option<&String>| text.is_some_and(|text| text.chars().any(char::is_control));
    let kept = spec.quantization.iter().flat_map(|quantization| &quantization.kept);
    if kept.into_iter().any(|name| has_control(Some(name))) {
        return Err("`quantization.kept` has line breaks or other control characters".into());
    }
    match texts.into_iter().find(|(_, text)| has_control(*text)) {
        Some((field, _)) => Err(format!("`{field}` has line breaks or other control characters")),
        None => Ok(()),
    }
}

/// Whether all values lie within `range`; NaN lies nowhere.
fn each_within<T: PartialOrd + Debug>(field: &str, values: &[T], range: &RangeInclusive<T>) -> Result<(), String> {
    match values.iter().find(|value| !range.contains(value)) {
        Some(value) => {
            Err(format!("`{field}` has {value:?}, which is not within {:?} and {:?}", range.start(), range.end()))
        }
        None => Ok(()),
    }
}

fn calibration(calibration: &Calibration) -> Result<(), String> {
    let Calibration { temperature, real_below, fake_above, .. } = *calibration;
    each_within("calibration.temperature", &[temperature], &TEMPERATURES)?;
    each_within("calibration.real_below", &[real_below], &(0.0..=1.0))?;
    each_within("calibration.fake_above", &[fake_above], &(0.0..=1.0))?;
    each_within("calibration.uncertain_above", calibration.uncertain_above.as_slice(), &(0.0..=1.0))?;
    if real_below > fake_above {
        return Err(format!("`calibration.real_below` is {real_below}, above `fake_above`, {fake_above}"));
    }
    // Such a detector would answer before it looked.
    if real_below == 1.0 || fake_above == 0.0 {
        return Err(format!(
            "`calibration.real_below` is {real_below} and `fake_above` {fake_above}, so that every score gets the same verdict"
        ));
    }
    Ok(())
}

fn training(training: &Training) -> Result<(), String> {
    let Some(stated) = &training.reliability else { return Ok(()) };
    if stated.words.trim().is_empty() {
        return Err("`training.reliability.words` is empty".into());
    }
    if stated.grade == Grade::Untrained && training.status != TrainingStatus::Untrained {
        return Err("`training.reliability.grade` is untrained, and `training.status` is not".into());
    }
    Ok(())
}

fn adapter(adapter: Option<&AdapterSpec>) -> Result<(), String> {
    let is_hexadecimal = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match adapter {
        Some(AdapterSpec { base_sha256 }) if base_sha256.len() != SHA256_DIGITS || !is_hexadecimal(base_sha256) => {
            Err(format!("`adapter.base_sha256` is not {SHA256_DIGITS} hexadecimal digits in lower case"))
        }
        _ => Ok(()),
    }
}
