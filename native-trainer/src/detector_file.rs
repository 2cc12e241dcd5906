//! Detector files and adapters on disk: opening, and writing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use burn::prelude::*;
use unmask_core::detector::{Detector, Model, for_each_parameter};
use unmask_core::weights::spec::{AdapterSpec, DetectorSpec, SPEC_KEY};
use unmask_core::weights::{Adapted, SafetensorsFile, WeightsError};

use crate::files::{self, FileBytes};
use crate::hub::Hub;
use crate::tensors::{StoredTensor, write_tensors};

/// A detector that was loaded, and which file it was.
pub(crate) struct Loaded {
    pub(crate) detector: Detector,
    pub(crate) sha256: String,
}

/// Reads the description in a detector file's header.
pub(crate) fn read_spec(path: &Path, file: &SafetensorsFile<FileBytes>) -> Result<DetectorSpec> {
    let text = file.metadata(SPEC_KEY).ok_or(WeightsError::NotADetector).map_err(|e| files::naming(path, e))?;
    DetectorSpec::from_json(text).map_err(|e| files::naming(path, e))
}

/// Loads a detector file, or an adapter over `base`.
pub(crate) fn load(path: &Path, base: Option<&Path>, device: &Device) -> Result<Loaded> {
    let mut file = files::open_safetensors(path)?;
    let spec = read_spec(path, &file)?;
    let naming = |error| files::naming(path, error);
    let detector = match (&spec.adapter, base) {
        (None, None) => Detector::load(spec, &mut file, device).map_err(naming)?,
        (None, Some(base)) => {
            bail!("{} is a whole detector, so `--base {}` has no use; leave it out", path.display(), base.display())
        }
        (Some(adapter), None) => return Err(naming(WeightsError::BaseNeeded(adapter.base_sha256.clone()))),
        (Some(AdapterSpec { base_sha256 }), Some(base)) => {
            let found = files::sha256(base)?;
            if found != *base_sha256 {
                return Err(naming(WeightsError::WrongBase { expected: base_sha256.clone(), found }));
            }
            let mut adapted = Adapted::new(file, files::open_safetensors(base)?);
            Detector::load(spec, &mut adapted, device).map_err(naming)?
        }
    };
    Ok(Loaded { detector, sha256: files::sha256(path)? })
}

/// Writes `model`'s parameters whose names `keep` accepts, with `spec` in the header.
pub(crate) fn write(path: &Path, spec: &DetectorSpec, model: &Model, keep: impl Fn(&str) -> bool) -> Result<()> {
    let mut tensors = Vec::new();
    for_each_parameter(model, &mut |name, shape, values| {
        if keep(&name) {
            tensors.push((name, StoredTensor::new(shape, values())));
        }
    });
    let metadata = HashMap::from([(SPEC_KEY.to_string(), spec.to_json().map_err(|e| files::naming(path, e))?)]);
    write_tensors(path, tensors, Some(metadata))
}

/// The file that `model` names: a path, or else a name that `unmask pull` stored in the cache. A path needs no cache and
/// none of the hub's settings.
pub(crate) fn resolve(model: &str) -> Result<PathBuf> {
    let path = PathBuf::from(model);
    if path.exists() || model.contains(std::path::is_separator) || path.extension().is_some() {
        return Ok(path);
    }
    let pulled = pulled_path(model, Hub::from_env()?.cache());
    if pulled.exists() {
        return Ok(pulled);
    }
    bail!(
        "{model} is neither a file nor a pulled detector; run `unmask pull {model}` or give the path of a detector file"
    )
}

/// Where `unmask pull` stores the detector `name`.
pub(crate) fn pulled_path(name: &str, cache: &Path) -> PathBuf {
    cache.join("detectors").join(format!("{name}.safetensors"))
}
