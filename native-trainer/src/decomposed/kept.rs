//! Parts of weights on disk, beside the run that they were found for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};
use unmask_core::detector::spec::LowRankSpec;
use unmask_core::weights::{Init, TensorSource, WeightsError};

use super::{Parts, Smallest};
use crate::files;
use crate::tensors::{StoredTensor, write_tensors};

/// The file's name in the folder of a run.
const FILE: &str = "decomposition.safetensors";
/// The metadata key of the document.
const KEY: &str = "unmask-decomposition";
/// Of the layout, and of how parts are found: another one's are not taken.
const VERSION: u32 = 1;

/// What parts depend on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Document {
    version: u32,
    /// SHA-256 of the detector that was taken apart.
    start: String,
    /// Which of its weights, and how much of them.
    low_rank: LowRankSpec,
}

/// The place of the parts of one detector's weights.
pub(crate) struct Kept {
    path: PathBuf,
    document: Document,
}

impl Kept {
    /// In the folder `out`, those of the detector with the SHA-256 `start` by `low_rank`.
    pub(crate) fn new(out: &Path, start: &str, low_rank: &LowRankSpec) -> Self {
        let document = Document { version: VERSION, start: start.to_owned(), low_rank: low_rank.clone() };
        Self { path: out.join(FILE), document }
    }

    /// The parts of `layers`, if they are there and whole.
    pub(crate) fn read(&self, layers: &[(String, [usize; 2])]) -> Option<Parts> {
        let mut file = self.path.exists().then(|| files::open_safetensors(&self.path).ok()).flatten()?;
        let found: Document = serde_json::from_str(file.metadata(KEY)?).ok()?;
        if found != self.document {
            return None;
        }
        let rank = self.document.low_rank.rank;
        let mut read = |layer: &str, [outputs, inputs]: [usize; 2]| -> Result<Smallest, WeightsError> {
            let mut tensor = |part: &str, shape: &[usize]| file.read(&format!("{layer}.{part}"), shape, Init::Zeros);
            Ok(Smallest {
                up: tensor("up", &[outputs, rank])?,
                values: tensor("values", &[rank])?,
                down: tensor("down", &[rank, inputs])?,
            })
        };
        layers.iter().map(|(layer, shape)| Some((layer.clone(), read(layer, *shape).ok()?))).collect()
    }

    /// Keeps the parts of `layers`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, layers: &[(String, [usize; 2])], parts: &Parts) -> Result<()> {
        let rank = self.document.low_rank.rank;
        let stored = |name: String, shape: Vec<usize>, values: &[f32]| {
            (name, StoredTensor::new(shape.clone(), TensorData::new(values.to_vec(), shape)))
        };
        let tensors = layers.iter().filter_map(|(layer, [outputs, inputs])| {
            let part = parts.get(layer)?;
            Some([
                stored(format!("{layer}.up"), vec![*outputs, rank], &part.up),
                stored(format!("{layer}.values"), vec![rank], &part.values),
                stored(format!("{layer}.down"), vec![rank, *inputs], &part.down),
            ])
        });
        let document =
            serde_json::to_string(&self.document).context("the decomposition cannot be described as JSON")?;
        write_tensors(&self.path, tensors.flatten(), Some(HashMap::from([(KEY.to_owned(), document)])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn low_rank(rank: usize) -> LowRankSpec {
        LowRankSpec { rank, alpha: rank as f32, targets: vec!["query".into()], residual: true }
    }

    #[test]
    fn parts_are_found_again_to_the_bit_and_only_those_of_the_same_weights_and_settings() {
        let out = tempfile::tempdir().unwrap();
        let layers = [("a.query".to_owned(), [3, 2])];
        let part = Smallest { up: vec![0.1, -0.2, 1e-30], values: vec![0.3], down: vec![1.0 / 3.0, 2.0] };
        let parts = Parts::from([(layers[0].0.clone(), part)]);
        let kept = Kept::new(out.path(), "s", &low_rank(1));
        assert_eq!(kept.read(&layers), None);
        kept.write(&layers, &parts).unwrap();
        assert_eq!(kept.read(&layers), Some(parts));
        assert_eq!(Kept::new(out.path(), "t", &low_rank(1)).read(&layers), None, "another start");
        assert_eq!(Kept::new(out.path(), "s", &low_rank(2)).read(&layers), None, "another rank");
        assert_eq!(kept.read(&[("a.query".to_owned(), [4, 2])]), None, "another shape");
        assert_eq!(kept.read(&[layers[0].clone(), ("b.query".to_owned(), [3, 2])]), None, "a layer more");
        let bytes = std::fs::read(&kept.path).unwrap();
        std::fs::write(&kept.path, &bytes[..bytes.len() - 4]).unwrap();
        assert_eq!(kept.read(&layers), None, "cut short");
    }
}
