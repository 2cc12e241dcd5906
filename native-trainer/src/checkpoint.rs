//! Other people's checkpoint files, safetensors or PyTorch's, as a source of tensors.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, anyhow};
use pytorch_reader::{DType, PytorchReader, Tensor};
use safetensors::Dtype;
use unmask_core::weights::{Init, TensorSource, WeightsError, decode_f32};

use crate::files;

/// Opens `path` by its contents: a safetensors file, or what `torch.save` wrote.
pub(crate) fn open(path: &Path) -> Result<Box<dyn TensorSource>> {
    let by_name = path.extension().is_some_and(|extension| ["pth", "pt", "bin"].iter().any(|e| extension == *e));
    if !by_name {
        return Ok(Box::new(files::open_safetensors(path)?));
    }
    // Refuses what is not there in the same words as any other file.
    files::open(path)?;
    let broken =
        |error| anyhow!("{} is not a complete PyTorch checkpoint ({error}); save the state dict again", path.display());
    let tensors = PytorchReader::new(path).map_err(broken)?.into_tensors();
    Ok(Box::new(PytorchCheckpoint { tensors: tensors.into_iter().collect() }))
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
