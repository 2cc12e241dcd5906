//! Adapters that Hugging Face PEFT saved: a folder with `adapter_model.safetensors` and `adapter_config.json`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use unmask_core::detector::formats::{Format, PeftConfig, PeftHead, PeftMerged};
use unmask_core::weights::TensorSource;

use crate::{checkpoint, files};

/// The file that describes an adapter, beside its tensors.
const CONFIG: &str = "adapter_config.json";
/// What PEFT calls the file of the tensors: today, and before it took to safetensors.
const TENSORS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

/// `base`, a checkpoint of `format`, with the adapter at `path` (its folder or its file of tensors) merged into it; and the
/// head beside the updates, if there is one.
///
/// # Errors
/// The adapter is not there, not understood, or does not belong to `base`.
pub fn merged(
    base: Box<dyn TensorSource>,
    path: &Path,
    format: &dyn Format,
) -> Result<(Box<dyn TensorSource>, Option<PeftHead>)> {
    let tensors = tensors(path)?;
    let described = tensors.with_file_name(CONFIG);
    if !described.exists() {
        bail!("{} has no {CONFIG} beside it, which says what its tensors are; put it there", tensors.display());
    }
    let config = PeftConfig::from_json(&files::read_text(&described)?);
    let config = config.map_err(|error| files::naming(&described, error))?;
    let adapter = checkpoint::open(&tensors, None, |names| names.iter().any(|name| name.contains(".lora_A.")))?;
    let (merged, head) =
        PeftMerged::new(base, adapter, &config, format).map_err(|error| files::naming(&tensors, error))?;
    Ok((Box::new(merged), head))
}

/// The file of tensors that `path` is, or that is in the folder `path`.
fn tensors(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    match TENSORS.iter().map(|name| path.join(name)).find(|file| file.exists()) {
        Some(file) => Ok(file),
        None => bail!("{} has no {}; name the folder that `save_pretrained` wrote", path.display(), TENSORS[0]),
    }
}
