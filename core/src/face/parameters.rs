//! Reading layers out of a safetensors file, with every tensor checked.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use burn::module::Param;
use burn::nn::{Linear, PRelu};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

use super::FaceError;
use super::layers::Convolution;

/// The tensors of a file, and which of them a layer has taken.
pub(super) struct Parameters<'a> {
    file: SafeTensors<'a>,
    /// The file's usual name, for errors.
    name: &'static str,
    taken: BTreeSet<String>,
    device: Device,
}

impl<'a> Parameters<'a> {
    /// Opens the safetensors file in `bytes`, called `file` in errors; layers read from it live on `device`.
    pub(super) fn open(bytes: &'a [u8], file: &'static str, device: &Device) -> Result<Self, FaceError> {
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|error| FaceError::Unreadable { file, reason: error.to_string() })?;
        Ok(Self { file: tensors, name: file, taken: BTreeSet::new(), device: device.clone() })
    }

    /// An unpadded convolution of stride 1 with bias; `shape` is `[channels_out, channels_in, height, width]`.
    /// `activation` names the PReLU after it.
    pub(super) fn convolution(
        &mut self,
        layer: &str,
        shape: [usize; 4],
        activation: Option<&str>,
    ) -> Result<Convolution, FaceError> {
        let weight = self.tensor(&format!("{layer}.weight"), shape)?;
        let bias = self.tensor(&format!("{layer}.bias"), [shape[0]])?;
        let activation = activation.map(|name| self.prelu(name, shape[0])).transpose()?;
        Ok(Convolution::new(weight, bias, activation))
    }

    /// An unpadded convolution of 4 × 4 and stride 2 with bias and the PReLU named `activation`, as a layer for images
    /// folded by [`fold_pairs`](super::layers::fold_pairs); `shape` is the file's, `[channels_out, channels_in, 4, 4]`.
    pub(super) fn halving_convolution(
        &mut self,
        layer: &str,
        shape: [usize; 4],
        activation: &str,
    ) -> Result<Convolution, FaceError> {
        let weight = self.tensor(&format!("{layer}.weight"), shape)?;
        let bias = self.tensor(&format!("{layer}.bias"), [shape[0]])?;
        Ok(Convolution::halving(weight, bias, Some(self.prelu(activation, shape[0])?)))
    }

    /// A fully connected layer with bias. The file holds `[outputs, inputs]`, as PyTorch does.
    pub(super) fn linear(&mut self, layer: &str, inputs: usize, outputs: usize) -> Result<Linear, FaceError> {
        let weight: Tensor<2> = self.tensor(&format!("{layer}.weight"), [outputs, inputs])?;
        let bias = self.tensor(&format!("{layer}.bias"), [outputs])?;
        Ok(Linear { weight: Param::from_tensor(weight.transpose()), bias: Some(Param::from_tensor(bias)) })
    }

    /// A PReLU with one slope for each of `channels`.
    pub(super) fn prelu(&mut self, layer: &str, channels: usize) -> Result<PRelu, FaceError> {
        let alpha = self.tensor(&format!("{layer}.weight"), [channels])?;
        Ok(PRelu { alpha: Param::from_tensor(alpha), alpha_value: 0.25 })
    }

    /// Refuses a file with a tensor that no layer took.
    pub(super) fn finish(self) -> Result<(), FaceError> {
        let mut names = self.file.names();
        names.sort_unstable();
        match names.into_iter().find(|name| !self.taken.contains(*name)) {
            Some(name) => Err(FaceError::Unknown { file: self.name, name: name.to_string() }),
            None => Ok(()),
        }
    }

    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Result<Tensor<D>, FaceError> {
        let view =
            self.file.tensor(name).map_err(|_| FaceError::Missing { file: self.name, name: name.to_string() })?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(FaceError::Misshapen {
                file: self.name,
                name: name.to_string(),
                found: format!("{:?}", view.dtype()),
                found_shape: view.shape().to_vec(),
                expected_shape: shape.to_vec(),
            });
        }
        let (words, _) = view.data().as_chunks::<4>();
        let values: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
        if !values.iter().all(|value| value.is_finite()) {
            return Err(FaceError::NotFinite { file: self.name, name: name.to_string() });
        }
        self.taken.insert(name.to_string());
        Ok(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }
}
