//! Reading the face networks' layers out of their safetensors files.

use alloc::format;

use burn::module::Param;
use burn::nn::{Linear, PRelu};
use burn::tensor::{Device, Tensor};

use super::FaceError;
use super::layers::Convolution;
use crate::weights::{Init, Loader, SafetensorsFile, WeightsError};

/// What `build` makes of the safetensors file in `bytes`, called `file` in errors; its layers live on `device`.
///
/// # Errors
/// The first tensor that is missing, misshapen, not finite or not asked for by `build`.
pub(super) fn load<T>(
    bytes: &[u8],
    file: &'static str,
    device: &Device,
    build: impl FnOnce(&mut Loader) -> Result<T, WeightsError>,
) -> Result<T, FaceError> {
    let all = || {
        let mut tensors = SafetensorsFile::open(bytes)?;
        let mut loader = Loader::new(&mut tensors, device);
        let built = build(&mut loader)?;
        loader.finish()?;
        Ok(built)
    };
    all().map_err(|problem| FaceError { file, problem })
}

/// An unpadded convolution of 4 × 4 and stride 2 with bias and the PReLU named `activation`, as a layer for images
/// folded by [`fold_pairs`](super::layers::fold_pairs); `shape` is the file's, `[channels_out, channels_in, 4, 4]`.
pub(super) fn halving_convolution(
    loader: &mut Loader,
    layer: &str,
    shape: [usize; 4],
    activation: &str,
) -> Result<Convolution, WeightsError> {
    let weight = tensor(loader, &format!("{layer}.weight"), shape)?;
    let bias = tensor(loader, &format!("{layer}.bias"), [shape[0]])?;
    Ok(Convolution::halving(weight, bias, Some(prelu(loader, activation, shape[0])?)))
}

/// A fully connected layer with bias. The file holds `[outputs, inputs]`, as PyTorch does.
pub(super) fn linear(loader: &mut Loader, layer: &str, inputs: usize, outputs: usize) -> Result<Linear, WeightsError> {
    let weight: Tensor<2> = tensor(loader, &format!("{layer}.weight"), [outputs, inputs])?;
    let bias = tensor(loader, &format!("{layer}.bias"), [outputs])?;
    Ok(Linear { weight: Param::from_tensor(weight.transpose()), bias: Some(Param::from_tensor(bias)) })
}

/// A PReLU with one slope for each of `channels`.
pub(super) fn prelu(loader: &mut Loader, layer: &str, channels: usize) -> Result<PRelu, WeightsError> {
    let alpha = tensor(loader, &format!("{layer}.weight"), [channels])?;
    Ok(PRelu { alpha: Param::from_tensor(alpha), alpha_value: 0.25 })
}

fn tensor<const D: usize>(loader: &mut Loader, name: &str, shape: [usize; D]) -> Result<Tensor<D>, WeightsError> {
    Ok(loader.param(name, shape, Init::Zeros)?.val())
}
