//! An adapter: the tensors that training changed, over the detector they were trained on.

use alloc::string::String;
use alloc::vec::Vec;

use burn::tensor::Bytes;

use super::{Init, QuantizedMatrix, TensorSource, WeightsError};

/// Reads a tensor from the adapter where it has it, else from the base.
pub struct Adapted<A, B> {
    adapter: A,
    base: B,
}

impl<A: TensorSource, B: TensorSource> Adapted<A, B> {
    /// `adapter`'s tensors over `base`'s.
    pub fn new(adapter: A, base: B) -> Self {
        Self { adapter, base }
    }
}

impl<A: TensorSource, B: TensorSource> TensorSource for Adapted<A, B> {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        match self.adapter.read(name, shape, init) {
            Err(WeightsError::Missing(_)) if !name.starts_with("head.") => self.base.read(name, shape, init),
            result => result,
        }
    }

    fn bytes(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Bytes, WeightsError> {
        match self.adapter.bytes(name, shape, init) {
            Err(WeightsError::Missing(_)) if !name.starts_with("head.") => self.base.bytes(name, shape, init),
            result => result,
        }
    }

    fn quantized(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Option<QuantizedMatrix>, WeightsError> {
        match self.adapter.shape(name) {
            Some(_) => self.adapter.quantized(name, shape, init),
            None if name.starts_with("head.") => Ok(None),
            None => self.base.quantized(name, shape, init),
        }
    }

    /// The adapter's names and those of the base's tower: the base's head is replaced as a whole.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .base
            .names()
            .into_iter()
            .filter(|name| !name.starts_with("head."))
            .chain(self.adapter.names())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.adapter.shape(name).or_else(|| self.base.shape(name))
    }
}
