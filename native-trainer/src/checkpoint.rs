//! Other people's checkpoint files, safetensors or PyTorch's, as a source of tensors.
//!
//! What a file is is told by its first bytes, never by its name: `.ckpt`, `.pth.tar`, `.pkl` and the like say nothing that
//! holds. PyTorch's are pickles, which are read as data: no instruction in them is carried out. A training checkpoint has
//! several dictionaries (the network, the optimizer's moments); the one with the network is taken.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use pytorch_reader::{DType, PickleValue, PytorchReader, Tensor};
use safetensors::Dtype;
use unmask_core::weights::{Init, TensorSource, WeightsError, decode_f32};

use crate::files;

/// Opens `path`. With `key` only what is stored under that key of it, else, of a checkpoint with several dictionaries, the
/// one that has a network, which `has_network` knows by the names of tensors.
pub fn open(path: &Path, key: Option<&str>, has_network: impl Fn(&[String]) -> bool) -> Result<Box<dyn TensorSource>> {
    refuse_part(path)?;
    let source: Box<dyn TensorSource> = match contents(path)? {
        Contents::Safetensors => Box::new(files::open_safetensors(path)?),
        Contents::PyTorch => {
            let broken = |error| {
                let shown = path.display();
                anyhow!("{shown} is not a complete PyTorch checkpoint ({error}); save the state dict again")
            };
            let tensors = PytorchReader::new(path).map_err(broken)?.into_tensors();
            let source = PytorchCheckpoint { tensors: tensors.into_iter().collect() };
            let dictionary = match key {
                Some(_) => None,
                None => {
                    let document = PytorchReader::read_pickle_data(path, None).map_err(broken)?;
                    network(&document, &source, &has_network).map_err(|error| files::naming(path, error))?
                }
            };
            match dictionary {
                Some(dictionary) => Box::new(Below::new(source, &dictionary)),
                None => Box::new(source),
            }
        }
    };
    let Some(key) = key else { return Ok(source) };
    let below = Below::new(source, key);
    if below.names().is_empty() {
        bail!("{} has no tensors under the key `{key}`; it has {}", path.display(), keys(&below.source));
    }
    Ok(Box::new(below))
}

/// What the first bytes of a file say.
enum Contents {
    Safetensors,
    PyTorch,
}

fn contents(path: &Path) -> Result<Contents> {
    let shown = path.display();
    let mut start = Vec::new();
    files::open(path)?
        .take(TAR_MARK.1 as u64)
        .read_to_end(&mut start)
        .with_context(|| format!("{shown} cannot be read"))?;
    let has_mark = start.get(TAR_MARK.0..TAR_MARK.1) == Some(b"ustar");
    // A safetensors file begins with the length of its header, eight bytes, and the header.
    let is_safetensors = start.get(8) == Some(&b'{') && start[4..8] == [0; 4];
    match start.as_slice() {
        [] => bail!("{shown} is empty; get it again"),
        _ if is_safetensors => Ok(Contents::Safetensors),
        [b'P', b'K', 3 | 5, ..] | [0x80, ..] | [b'(' | b'}' | b']' | b'c', ..] => Ok(Contents::PyTorch),
        _ if has_mark => Ok(Contents::PyTorch),
        _ => bail!(
            "{shown} is neither a safetensors file nor a checkpoint of PyTorch, by its first bytes; get it again or save the \
             state dict with torch.save"
        ),
    }
}

/// Where a tar archive, as PyTorch saved before its version 0.1.10, has its mark.
const TAR_MARK: (usize, usize) = (257, 262);

/// Refuses one part of a checkpoint that was saved in several, and the index of their names.
fn refuse_part(path: &Path) -> Result<()> {
    let (shown, name) = (path.display(), path.file_name().unwrap_or_default().to_string_lossy());
    let way_out = "save it in one file first, in Python with `model.save_pretrained(FOLDER, max_shard_size=\"100GB\")`";
    if let Some((part, parts)) = part_of(&name) {
        bail!("{shown} is part {part} of {parts} of a checkpoint; {way_out}");
    }
    if name.ends_with(".index.json") {
        bail!("{shown} is the index of a checkpoint in several parts; {way_out}");
    }
    Ok(())
}

/// The numbers in `model-00002-of-00003.safetensors`.
fn part_of(name: &str) -> Option<(u32, u32)> {
    let (stem, _) = name.split_once('.')?;
    let (before, parts) = stem.rsplit_once("-of-")?;
    let (_, part) = before.rsplit_once(['-', '_'])?;
    Some((part.parse().ok()?, parts.parse().ok()?))
}

/// The key of the dictionary that has the network, if it is not the outermost one; of keys below keys, with dots.
fn network(
    document: &PickleValue,
    source: &PytorchCheckpoint,
    has_network: impl Fn(&[String]) -> bool,
) -> Result<Option<String>, WeightsError> {
    let mut dictionaries = Vec::new();
    find_dictionaries(document, "", source, &mut dictionaries);
    dictionaries.retain(|(_, names)| has_network(names));
    match dictionaries.as_slice() {
        [] => Ok(None),
        [(key, _)] => Ok(Some(key.clone()).filter(|key| !key.is_empty())),
        several => {
            let shown = |(key, _): &(String, _)| if key.is_empty() { "one without a key".into() } else { key.clone() };
            Err(WeightsError::SeveralNetworks(several.iter().map(shown).collect::<Vec<_>>().join(", ")))
        }
    }
}

/// Every dictionary that has tensors of its own, with the names of those.
fn find_dictionaries(
    value: &PickleValue,
    key: &str,
    source: &PytorchCheckpoint,
    found: &mut Vec<(String, Vec<String>)>,
) {
    let PickleValue::Dict(entries) = value else { return };
    let whole = |name: &String| if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
    let mut names: Vec<String> =
        entries.keys().filter(|name| source.tensors.contains_key(&whole(name))).cloned().collect();
    names.sort_unstable();
    if !names.is_empty() {
        found.push((key.to_owned(), names));
    }
    let mut inner: Vec<(&String, &PickleValue)> = entries.iter().collect();
    inner.sort_unstable_by_key(|(name, _)| *name);
    inner.into_iter().for_each(|(name, value)| find_dictionaries(value, &whole(name), source, found));
}

/// The outermost keys of a source, for people.
fn keys(source: &dyn TensorSource) -> String {
    let mut keys: Vec<String> =
        source.names().iter().filter_map(|name| Some(name.split('.').next()?.to_owned())).collect();
    keys.dedup();
    keys.join(", ")
}

/// The tensors of a state dict.
struct PytorchCheckpoint {
    tensors: BTreeMap<String, Tensor>,
}

impl TensorSource for PytorchCheckpoint {
    fn read(&mut self, name: &str, shape: &[usize], _init: Init) -> Result<Vec<f32>, WeightsError> {
        let tensor = self.tensors.get(name).ok_or_else(|| WeightsError::Missing(name.to_string()))?;
        if tensor.shape() != shape {
            let (found, expected) = (tensor.shape().to_vec(), shape.to_vec());
            return Err(WeightsError::Shape { name: name.to_string(), found, expected });
        }
        let dtype = match tensor.dtype() {
            DType::F64 => Dtype::F64,
            DType::F32 => Dtype::F32,
            DType::F16 => Dtype::F16,
            DType::BF16 => Dtype::BF16,
            other => return Err(WeightsError::Dtype { name: name.to_string(), dtype: format!("{other:?}") }),
        };
        let bytes = tensor.read().map_err(|error| WeightsError::Read(error.to_string()))?;
        decode_f32(name, dtype, &bytes)
    }

    fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.get(name).map(|tensor| tensor.shape().to_vec())
    }
}

/// The tensors of a source whose names begin with a key, by the rest of their names.
struct Below<S> {
    source: S,
    /// The key with its dot.
    prefix: String,
}

impl<S: TensorSource> Below<S> {
    fn new(source: S, key: &str) -> Self {
        Self { source, prefix: format!("{key}.") }
    }
}

impl<S: TensorSource> TensorSource for Below<S> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        self.source.read(&format!("{}{name}", self.prefix), shape, init)
    }

    fn names(&self) -> Vec<String> {
        self.source.names().iter().filter_map(|name| name.strip_prefix(&self.prefix).map(str::to_owned)).collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.source.shape(&format!("{}{name}", self.prefix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_checkpoint_are_known_by_their_numbers() {
        assert_eq!(part_of("model-00001-of-00003.safetensors"), Some((1, 3)));
        assert_eq!(part_of("pytorch_model-00002-of-00002.bin"), Some((2, 2)));
        for whole in ["model.safetensors", "out-of-focus.pth", "best-of-2024.pth", "a-1-of-b.pth"] {
            assert_eq!(part_of(whole), None, "{whole}");
        }
    }
}
