//! Writing tensors to a safetensors file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::TensorData;
use half::f16;
use safetensors::{Dtype, View};
use unmask_core::detector::Values;

use crate::files;

/// A tensor on its way to a file.
pub struct StoredTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    content: Content,
}

/// Where a tensor's values are.
enum Content {
    Here(TensorData),
    /// On a device, from where they are copied when they are written: of many tensors one is copied at a time.
    Elsewhere(Values),
}

impl StoredTensor {
    /// `data` holds the f32 values of a tensor of `shape`, row by row.
    pub fn new(shape: Vec<usize>, data: TensorData) -> Self {
        Self { dtype: Dtype::F32, shape, content: Content::Here(data) }
    }

    /// A tensor of `shape` whose f32 values, row by row, are read when they are written.
    pub fn read_when_written(shape: Vec<usize>, values: Values) -> Self {
        Self { dtype: Dtype::F32, shape, content: Content::Elsewhere(values) }
    }

    /// A tensor of `shape` from its 8-bit integers, row by row.
    pub fn int8(shape: Vec<usize>, values: Vec<i8>) -> Self {
        Self { dtype: Dtype::I8, content: Content::Here(TensorData::new(values, shape.clone())), shape }
    }

    /// A tensor of `shape` from its values in f16, row by row.
    pub fn f16(shape: Vec<usize>, values: Vec<f16>) -> Self {
        Self { dtype: Dtype::F16, content: Content::Here(TensorData::new(values, shape.clone())), shape }
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
        match &self.content {
            Content::Here(data) => Cow::Borrowed(data.as_bytes()),
            Content::Elsewhere(values) => Cow::Owned(values().as_bytes().to_vec()),
        }
    }

    fn data_len(&self) -> usize {
        match &self.content {
            Content::Here(data) => data.as_bytes().len(),
            Content::Elsewhere(_) => self.shape.iter().product::<usize>() * size_of::<f32>(),
        }
    }
}

/// Writes named tensors and the header's metadata, whole or not at all.
pub fn write_tensors(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, StoredTensor)>,
    metadata: Option<HashMap<String, String>>,
) -> Result<()> {
    files::write_atomically(path, |temporary| {
        safetensors::serialize_to_file(tensors, metadata, temporary)
            .with_context(|| format!("{} cannot be written; check the free space", path.display()))
    })
}
