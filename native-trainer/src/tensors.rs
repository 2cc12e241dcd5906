//! Writing tensors to a safetensors file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::TensorData;
use safetensors::{Dtype, View};

use crate::files;

/// A tensor of f32 values on its way to a file.
pub(crate) struct F32Tensor {
    shape: Vec<usize>,
    data: TensorData,
}

impl F32Tensor {
    /// `data` holds the f32 values of a tensor of `shape`, row by row.
    pub(crate) fn new(shape: Vec<usize>, data: TensorData) -> Self {
        Self { shape, data }
    }
}

impl View for F32Tensor {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.data.as_bytes())
    }

    fn data_len(&self) -> usize {
        self.data.as_bytes().len()
    }
}

/// Writes named tensors and the header's metadata, whole or not at all.
pub(crate) fn write_tensors(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, F32Tensor)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<()> {
    files::write_atomically(path, |temporary| {
        safetensors::serialize_to_file(tensors, metadata, temporary)
            .with_context(|| format!("{} cannot be written; check the free space", path.display()))
    })
}
