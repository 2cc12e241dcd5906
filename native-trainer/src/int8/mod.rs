//! A detector with its weights as 8-bit integers: which weights, what that changes, and the file.
//!
//! Everything is measured on the very values that are written, with the arithmetic that scoring on a CPU has. Where the answers
//! change too much, the blocks that change them most keep their weights in f16.

mod faces;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail};
use burn::prelude::*;
use burn::tensor::TensorData;
use unmask_core::detector::spec::{
    Architecture, DetectorSpec, Quantization, QuantizationCheck, Reference, SPEC_KEY, TrainingStatus,
};
use unmask_core::detector::{Detector, Group};
use unmask_core::weights::{
    Init, MULTIPLIED, Quantizing, Reduced, STORED, TensorSource, Usage, WeightsError, scale_name,
};

use crate::datasets::Video;
use crate::detector_file::{self, Source};
use crate::progress::Progress;
use crate::tensors::{StoredTensor, write_tensors};
use faces::{Answers, Faces};

/// The fewest faces that a detector is measured on: of fewer, no verdict may change, and most differences do not show.
pub const LEAST_FACES: usize = 50;
/// Faces that single blocks are measured on.
const FACES_A_BLOCK: usize = 48;
/// A weight with fewer numbers for an output saves little, and costs a factor for each.
const LEAST_INPUTS: usize = 16;
const LEAST_NUMBERS: usize = 512;

/// The weights that become integers, and the largest integer of each.
type Chosen = BTreeMap<String, i8>;

/// Which faces a detector is measured on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Crops of each video.
    pub frames: usize,
    /// Faces, or clips, at most.
    pub faces: usize,
}

/// The detector of a whole file with weights that may become integers.
struct Original<'a> {
    source: &'a Source,
    spec: DetectorSpec,
}

/// Writes the detector `source` with weights of 8-bit integers to `output`, measured on `videos`, under the description `spec`.
///
/// # Errors
/// One sentence: a detector that is not whole or has no such weights, too few faces, or answers that change too much even where
/// half of the blocks stay as they are.
pub fn quantize(
    source: &Source,
    spec: DetectorSpec,
    videos: Vec<Video>,
    limits: Limits,
    output: &Path,
) -> Result<Quantization> {
    let detector = detector_file::load_whole(source, &Device::flex())?.detector;
    let candidates = candidates(&spec.architecture).map_err(|error| source.naming(error))?;
    if spec.low_rank.is_some() || candidates.is_empty() {
        bail!("{source} has no weights that could become integers; keep it, or use --dtype f16");
    }
    let faces = Faces::new(videos, limits.frames, spec.clip_length(), limits.faces);
    if faces.len() < LEAST_FACES {
        bail!(
            "there are {} faces to measure on, and {LEAST_FACES} are needed at least; name more data, or raise --frames and --faces",
            faces.len()
        );
    }
    let original = Original { source, spec };
    let progress = Progress::new(faces.len(), "faces seen by the detector as it is");
    let before = faces.answers(&detector, &progress)?;
    progress.finish();
    drop(detector);
    let quantization = original.settle(&candidates, &faces, &before)?;
    original.write(&chosen(&candidates, &quantization.kept), &quantization, output)?;
    Ok(quantization)
}

/// The weights of such a model that may become integers: those of linear layers and of convolutions, but none of the head.
///
/// # Errors
/// [`WeightsError::ImpossibleSpec`].
pub fn candidates(architecture: &Architecture) -> Result<BTreeMap<String, i8>, WeightsError> {
    let is_worth_it = |shape: &[usize]| {
        let numbers = shape.iter().product::<usize>();
        numbers >= LEAST_NUMBERS && numbers / shape.first().copied().unwrap_or(1).max(1) >= LEAST_INPUTS
    };
    let mut found = BTreeMap::new();
    for tensor in architecture.listed()? {
        let largest = match tensor.usage {
            Usage::Product => MULTIPLIED,
            Usage::Kernels => STORED,
            Usage::Other => continue,
        };
        if is_worth_it(&tensor.shape) && architecture.sizes().group(&tensor.name) != Group::Head {
            found.insert(tensor.name, largest);
        }
    }
    Ok(found)
}

/// The block that a weight belongs to: its layer is a part of it, so `a.mlp.fc1.weight` is of `a.mlp`.
fn block(weight: &str) -> &str {
    let layer = weight.rsplit_once('.').map_or(weight, |(layer, _)| layer);
    layer.rsplit_once('.').map_or(layer, |(block, _)| block)
}

/// The candidates without those of the blocks that are kept.
fn chosen(candidates: &Chosen, kept: &[String]) -> Chosen {
    let is_kept = |name: &str| kept.iter().any(|kept| kept == block(name));
    candidates.iter().filter(|(name, _)| !is_kept(name)).map(|(name, largest)| (name.clone(), *largest)).collect()
}

impl Original<'_> {
    /// The detector with these weights as integers.
    fn with(&self, chosen: Chosen) -> Result<Detector> {
        let mut source = Quantizing::new(self.source.open()?, chosen);
        let spec = DetectorSpec { adapter: None, quantization: None, ..self.spec.clone() };
        Detector::load(spec, &mut source, &Device::flex()).map_err(|error| self.source.naming(error))
    }

    fn check(&self, chosen: Chosen, faces: &Faces, before: &Answers, progress: &Progress) -> Result<QuantizationCheck> {
        let is_trained = self.spec.training.status != TrainingStatus::Untrained;
        Ok(faces.compare(before, &faces.answers(&self.with(chosen)?, progress)?, is_trained))
    }

    /// As many weights as integers as the answers allow.
    fn settle(&self, candidates: &Chosen, faces: &Faces, before: &Answers) -> Result<Quantization> {
        let attempt = |kept: &[String]| -> Result<Quantization> {
            let progress = Progress::new(faces.len(), "faces seen by the detector of integers");
            let chosen = chosen(candidates, kept);
            let int8 = chosen.len();
            let check = self.check(chosen, faces, before, &progress)?;
            progress.finish();
            eprintln!("{} of {} weights as integers: {}", int8, candidates.len(), check.words());
            Ok(Quantization { int8, kept: kept.to_vec(), check })
        };
        let mut found = attempt(&[])?;
        if found.check.failures().is_empty() {
            return Ok(found);
        }
        let worst = self.worst_blocks(candidates, faces)?;
        let most = worst.len() / 2;
        let mut kept = 1;
        while kept <= most {
            found = attempt(&worst[..kept])?;
            if found.check.failures().is_empty() {
                return Ok(found);
            }
            kept = if kept < most { (2 * kept).min(most) } else { most + 1 };
        }
        bail!(
            "{} cannot have weights of 8-bit integers, even with {} of {} blocks kept in f16: {}; use --dtype f16",
            self.source,
            found.kept.len(),
            worst.len(),
            found.check.failures().join(", and ")
        )
    }

    /// The blocks, those first whose weights as integers change the features most.
    fn worst_blocks(&self, candidates: &Chosen, faces: &Faces) -> Result<Vec<String>> {
        let blocks: BTreeSet<&str> = candidates.keys().map(|name| block(name)).collect();
        let faces = faces.some(FACES_A_BLOCK);
        let progress = Progress::new((blocks.len() + 1) * faces.len(), "faces seen with one block of integers each");
        let before = faces.answers(&self.with(Chosen::new())?, &progress)?;
        let mut harms: Vec<(f64, String)> = Vec::new();
        for name in blocks {
            let alone = candidates.iter().filter(|(weight, _)| block(weight) == name);
            let alone = alone.map(|(weight, largest)| (weight.clone(), *largest)).collect();
            let check = self.check(alone, &faces, &before, &progress)?;
            harms.push((1.0 - check.cosine, name.to_owned()));
        }
        progress.finish();
        harms.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        Ok(harms.into_iter().map(|(_, name)| name).collect())
    }

    /// Writes the detector with these weights as integers.
    fn write(&self, chosen: &Chosen, quantization: &Quantization, output: &Path) -> Result<()> {
        let naming = |error| self.source.naming(error);
        let mut source = Quantizing::new(self.source.open()?, chosen.clone());
        let plain = DetectorSpec { adapter: None, quantization: None, ..self.spec.clone() };
        let reference = Some(Reference::of(plain, &mut source).map_err(naming)?);
        let spec = DetectorSpec { quantization: Some(quantization.clone()), reference, ..self.spec.clone() };
        let description = spec.to_json().map_err(naming)?;
        let mut tensors = Vec::new();
        for name in source.names() {
            let shape =
                source.shape(&name).with_context(|| format!("{} lost `{name}` while it was read", self.source))?;
            match source.reduced(&name, &shape, Init::Zeros).map_err(naming)? {
                Reduced::Int8(matrix) => {
                    let factors = StoredTensor::new(vec![shape[0]], TensorData::new(matrix.scales, [shape[0]]));
                    tensors.push((scale_name(&name), factors));
                    tensors.push((name, StoredTensor::int8(shape, matrix.values)));
                }
                Reduced::F16(values) => tensors.push((name, StoredTensor::f16(shape, values))),
                Reduced::F32(values) => {
                    tensors.push((name, StoredTensor::new(shape.clone(), TensorData::new(values, shape))));
                }
            }
        }
        write_tensors(output, tensors, Some(HashMap::from([(SPEC_KEY.to_string(), description)])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unmask_core::detector::clip::{ClipConfig, HeadKind};

    #[test]
    fn the_weights_of_layers_become_integers_and_neither_embeddings_nor_the_head_do() {
        let architecture = Architecture::Clip(ClipConfig::vit_b_16(HeadKind::OneLayer));
        let candidates = candidates(&architecture).expect("listed");
        // Query, key, value, output, and two of the MLP in each of twelve layers.
        assert_eq!(candidates.len(), 72);
        assert!(candidates.iter().all(|(name, largest)| !name.starts_with("head.") && *largest == MULTIPLIED));
        let blocks: BTreeSet<&str> = candidates.keys().map(|name| block(name)).collect();
        assert_eq!(blocks.len(), 24);
        let kept = vec![(*blocks.first().expect("a block")).to_owned()];
        assert_eq!(chosen(&candidates, &kept).len(), 68, "an attention has four weights");
    }
}
