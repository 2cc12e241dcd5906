//! A run on disk: what a killed run goes on from, to the same final weights.
//!
//! Every random choice of a run is a function of its seed and the step's number, so the step, the trained parameters
//! and the optimizer's moments are the whole state. One checkpoint is one safetensors file, written beside, synced and
//! renamed; the one before is kept in case the newest cannot be read.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use unmask_core::weights::TensorSource;

use super::best::Best;
use super::optimizer::Moments;
use super::parameters::Named;
use super::recipe::Recipe;
use crate::files::{self, Bytes};
use crate::tensors::{StoredTensor, write_tensors};
use unmask_core::weights::SafetensorsFile;

/// The metadata key of the document.
const KEY: &str = "unmask-checkpoint";
/// The version of the layout that is written, and the only one that is read.
const VERSION: u32 = 1;
/// How many checkpoints are kept.
const KEPT: usize = 2;

/// What tells whether a checkpoint belongs to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// SHA-256 of the recipe as JSON.
    pub(super) recipe: String,
    /// SHA-256 of the detector the run started from.
    pub(super) start: String,
    /// SHA-256 over the names of all faces, in order.
    pub(super) data: String,
    /// The recipe itself, to say what has changed; absent in files that only have its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) settings: Option<Value>,
}

impl Identity {
    /// The identity of a run by `recipe` from the detector with the SHA-256 `start` on `data`.
    pub(super) fn new(recipe: &Recipe, start: String, data: String) -> Result<Self> {
        let unwritable = "the recipe cannot be written as JSON";
        let text = serde_json::to_string(recipe).context(unwritable)?;
        let settings = Some(serde_json::from_str(&text).context(unwritable)?);
        Ok(Self { recipe: files::hex(Sha256::new_with_prefix(text)), start, data, settings })
    }
}

/// The loss and the scores of the current epoch so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct EpochSoFar {
    pub(super) loss_sum: f64,
    pub(super) steps: usize,
    /// P(fake) of each example.
    pub(super) scores: Vec<f32>,
    pub(super) fake: Vec<bool>,
}

/// The state of a run after `step` optimizer steps.
pub(super) struct Checkpoint {
    pub(super) identity: Identity,
    pub(super) step: usize,
    pub(super) best: Option<Best>,
    pub(super) epoch: EpochSoFar,
    /// The trained parameters, flattened.
    pub(super) parameters: Named,
    pub(super) moments: BTreeMap<String, Moments>,
    /// The running average of the parameters, where the run keeps one.
    pub(super) average: Option<Named>,
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    identity: Identity,
    step: usize,
    best: Option<Best>,
    epoch: EpochSoFar,
    /// Optimizer steps of each parameter.
    times: BTreeMap<String, usize>,
}

impl Checkpoint {
    /// Writes the checkpoint into `folder` and removes the oldest ones. Tensors are copied from the device one at a time.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        let document = Document {
            version: VERSION,
            identity: self.identity.clone(),
            step: self.step,
            best: self.best.clone(),
            epoch: self.epoch.clone(),
            times: self.moments.iter().map(|(name, moments)| (name.clone(), moments.time)).collect(),
        };
        let text = serde_json::to_string(&document).context("the checkpoint's description cannot be written")?;
        let stored = |name: String, tensor: &Tensor<1>| {
            let (shape, tensor) = (tensor.dims().to_vec(), tensor.clone());
            let values = move || tensor.clone().into_data().convert::<f32>();
            (name, StoredTensor::read_when_written(shape, Box::new(values)))
        };
        let parameters = self.parameters.iter().map(|(name, values)| stored(format!("parameter.{name}"), values));
        let moments = self.moments.iter().flat_map(|(name, Moments { first, second, .. })| {
            [stored(format!("first.{name}"), first), stored(format!("second.{name}"), second)]
        });
        let average = self.average.iter().flatten().map(|(name, values)| stored(format!("average.{name}"), values));
        let metadata = HashMap::from([(KEY.to_string(), text)]);
        write_tensors(&path(folder, self.step), parameters.chain(moments).chain(average), Some(metadata))?;
        remove_old(folder, self.step)
    }

    /// The newest checkpoint in `folder` that can be read, with its tensors on `device`; `None` where there is none at all.
    /// `warn` hears of those that cannot be read.
    ///
    /// # Errors
    /// There are checkpoints, and none of them can be read.
    pub(super) fn newest(folder: &Path, device: &Device, mut warn: impl FnMut(String)) -> Result<Option<Self>> {
        let mut last = None;
        for (_, path) in stored(folder)?.into_iter().rev() {
            if let Some(problem) = last.take() {
                warn(format!("{problem}; going on from the checkpoint before it"));
            }
            match Self::read(&path, device) {
                Ok(checkpoint) => return Ok(Some(checkpoint)),
                Err(error) => last = Some(format!("{error:#}")),
            }
        }
        match last {
            None => Ok(None),
            Some(problem) => {
                bail!("{problem}, and there is no checkpoint before it; begin another run with --out")
            }
        }
    }

    fn read(path: &Path, device: &Device) -> Result<Self> {
        let mut file = files::open_safetensors(path)?;
        let shown = path.display();
        let Some(text) = file.metadata(KEY) else { bail!("{shown} is no checkpoint of a training run") };
        let document: Document = serde_json::from_str(text).with_context(|| format!("{shown} cannot be understood"))?;
        if document.version != VERSION {
            bail!("{shown} is of another version of this program; finish the run with that one");
        }
        let (mut parameters, mut average) = (Named::new(), Named::new());
        for name in file.names() {
            if let Some(parameter) = name.strip_prefix("parameter.") {
                parameters.insert(parameter.to_owned(), finite(&mut file, &name, path, device)?);
            } else if let Some(parameter) = name.strip_prefix("average.") {
                average.insert(parameter.to_owned(), finite(&mut file, &name, path, device)?);
            }
        }
        let mut moments = BTreeMap::new();
        for (name, time) in document.times {
            let first = finite(&mut file, &format!("first.{name}"), path, device)?;
            let second = finite(&mut file, &format!("second.{name}"), path, device)?;
            moments.insert(name, Moments { time, first, second });
        }
        let Document { identity, step, best, epoch, .. } = document;
        let average = (!average.is_empty()).then_some(average);
        Ok(Self { identity, step, best, epoch, parameters, moments, average })
    }
}

fn finite(file: &mut SafetensorsFile<Bytes>, name: &str, path: &Path, device: &Device) -> Result<Tensor<1>> {
    let values = file.values(name).map_err(|error| files::naming(path, error))?;
    if values.iter().any(|value| !value.is_finite()) {
        bail!("{} has values that are not finite numbers in {name}", path.display());
    }
    let count = values.len();
    Ok(Tensor::from_data(TensorData::new(values, [count]), device))
}

fn path(folder: &Path, step: usize) -> PathBuf {
    folder.join(format!("step-{step:09}.safetensors"))
}

/// The checkpoints in `folder` by step; none where there is no such folder.
fn stored(folder: &Path) -> Result<BTreeMap<usize, PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", folder.display())),
    };
    let step =
        |path: &Path| path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok();
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter_map(|path| Some((step(&path)?, path))).collect())
}

/// Keeps the newest up to `step`. Later ones are of a run that this one replaces.
fn remove_old(folder: &Path, step: usize) -> Result<()> {
    let stored = stored(folder)?;
    let kept: Vec<usize> = stored.keys().rev().filter(|other| **other <= step).take(KEPT).copied().collect();
    for (_, path) in stored.iter().filter(|(other, _)| !kept.contains(other)) {
        fs::remove_file(path).with_context(|| format!("{} cannot be removed", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: [f32; 2]) -> Tensor<1> {
        Tensor::from_data(TensorData::new(values.to_vec(), [2]), &Device::flex())
    }

    fn checkpoint(step: usize) -> Checkpoint {
        let settings = Some(serde_json::json!({ "seed": 1 }));
        let identity = Identity { recipe: "r".into(), start: "s".into(), data: "d".into(), settings };
        let moments = Moments { time: step, first: tensor([0.5, step as f32]), second: tensor([0.25, 1e-20]) };
        Checkpoint {
            identity,
            step,
            best: Some(Best { step: 1, auc: Some(0.75), average_precision: Some(0.7), loss: 0.5 }),
            epoch: EpochSoFar { loss_sum: 0.1, steps: 3, scores: vec![0.1, 0.9], fake: vec![false, true] },
            parameters: Named::from([("head.bias".to_string(), tensor([1.0, f32::MIN_POSITIVE]))]),
            moments: BTreeMap::from([("head.bias".to_string(), moments)]),
            average: Some(Named::from([("head.bias".to_string(), tensor([0.5, 2.0]))])),
        }
    }

    fn values(tensor: &Tensor<1>) -> Vec<f32> {
        tensor.clone().into_data().iter::<f32>().collect()
    }

    fn newest(folder: &Path) -> (Option<usize>, usize) {
        let mut warnings = 0;
        let found = Checkpoint::newest(folder, &Device::flex(), |_| warnings += 1).unwrap();
        (found.map(|checkpoint| checkpoint.step), warnings)
    }

    #[test]
    fn a_checkpoint_comes_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let written = checkpoint(7);
        written.write(folder.path()).unwrap();
        let read = Checkpoint::newest(folder.path(), &Device::flex(), |_| ()).unwrap().unwrap();
        assert_eq!(read.identity, written.identity);
        assert_eq!((read.step, &read.best, &read.epoch), (7, &written.best, &written.epoch));
        assert_eq!(values(&read.parameters["head.bias"]), values(&written.parameters["head.bias"]));
        let average = |checkpoint: &Checkpoint| values(&checkpoint.average.as_ref().unwrap()["head.bias"]);
        assert_eq!(average(&read), average(&written));
        let (read, written) = (&read.moments["head.bias"], &written.moments["head.bias"]);
        assert_eq!(read.time, written.time);
        assert_eq!(values(&read.first), values(&written.first));
        assert_eq!(values(&read.second), values(&written.second));
    }

    #[test]
    fn the_newest_readable_checkpoint_is_taken_and_old_ones_go() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest(folder.path()), (None, 0));
        for step in [3, 6, 9] {
            checkpoint(step).write(folder.path()).unwrap();
        }
        assert_eq!(newest(folder.path()), (Some(9), 0));
        assert!(!path(folder.path(), 3).exists());
        let whole = fs::read(path(folder.path(), 9)).unwrap();
        for length in [0, 7, whole.len() / 2, whole.len() - 1] {
            fs::write(path(folder.path(), 9), &whole[..length]).unwrap();
            assert_eq!(newest(folder.path()), (Some(6), 1), "cut to {length} bytes");
        }
    }

    #[test]
    fn where_no_checkpoint_can_be_read_nothing_begins_anew_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        for step in [3, 6] {
            checkpoint(step).write(folder.path()).unwrap();
            fs::write(path(folder.path(), step), "damaged").unwrap();
        }
        let error = Checkpoint::newest(folder.path(), &Device::flex(), |_| ()).err().unwrap().to_string();
        assert!(error.contains("step-000000003") && error.contains("--out"), "{error}");
    }

    #[test]
    fn a_run_that_goes_on_from_an_earlier_step_replaces_the_later_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        for step in [3, 6] {
            checkpoint(step).write(folder.path()).unwrap();
        }
        checkpoint(4).write(folder.path()).unwrap();
        assert_eq!(newest(folder.path()), (Some(4), 0));
    }
}
