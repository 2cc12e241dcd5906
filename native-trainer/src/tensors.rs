//! Writing tensors to a safetensors file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::TensorData;
use half::f16;
use safetensors::{Dtype, View};

use crate::files;

/// A tensor on its way to a file.
pub(crate) struct StoredTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    data: TensorData,
}

impl StoredTensor {
    /// `data` holds the f32 values of a tensor of `shape`, row by row.
    pub(crate) fn new(shape: Vec<usize>, data: TensorData) -> Self {
        Self { dtype: Dtype::F32, shape, data }
    }

    /// A tensor of `shape` from its values in f16, row by row.
    pub(crate) fn f16(shape: Vec<usize>, values: Vec<f16>) -> Self {
        Self { dtype: Dtype::F16, data: TensorData::new(values, shape.clone()), shape }
    }
}

impl View for StoredTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
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
    tensors: impl IntoIterator<Item = (String, StoredTensor)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<()> {
    files::write_atomically(path, |temporary| {
        safetensors::serialize_to_file(tensors, metadata, temporary)
            .with_context(|| format!("{} cannot be written; check the free space", path.display()))
    })
}
