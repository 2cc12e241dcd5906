//! Layer normalisation over the last dimension.

#[cfg(feature = "autodiff")]
use burn::backend::Autodiff;
#[cfg(feature = "autodiff")]
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
#[cfg(feature = "simd")]
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::prelude::*;
use burn::tensor::DType;

#[cfg(feature = "simd")]
use super::cpu::{
    self,
    flex::{contiguous, tensor},
};
#[cfg(feature = "autodiff")]
use super::extension::ComposedGradients;
use super::extension::cast;

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias`, mean and biased variance over the last dimension. It is
/// computed in f32, whatever the input's type, which the output has again.
///
/// # Shapes
/// - input and output: `[…, d]`; weight and bias: `[d]`
///
/// # Panics
/// Where the shapes are others.
///
/// ```
/// use burn::prelude::*;
/// use unmask_core::ops::layer_norm;
/// let device = Device::flex();
/// let (one, zero) = (Tensor::<1>::ones([2], &device), Tensor::<1>::zeros([2], &device));
/// let x = Tensor::<2>::from_data([[3.0, 5.0]], &device);
/// let y: Vec<f32> = layer_norm(x, one, zero, 0.0).into_data().try_into_vec().unwrap();
/// assert_eq!(y, [-1.0, 1.0]);
/// ```
pub fn layer_norm<const D: usize>(input: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let width = input.dims()[D - 1];
    assert_eq!((weight.dims(), bias.dims()), ([width], [width]), "a weight and a bias for each channel");
    let (input, weight, bias) = (input.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_layer_norm(input, weight, bias, epsilon))
}

/// Layer normalisation as an operation of a backend.
#[backend_extension(
    Flex,
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "fusion"),
    Autodiff: cfg(feature = "autodiff")
)]
pub(super) trait FusedLayerNorm: Backend {
    /// [`layer_norm`], whose shapes are as they should be.
    #[fusion(default)]
    fn fused_layer_norm(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        composed::<Self>(input, weight, bias, epsilon)
    }
}

#[cfg(not(feature = "simd"))]
impl FusedLayerNorm for Flex {}

#[cfg(feature = "simd")]
impl FusedLayerNorm for Flex {
    fn fused_layer_norm(input: FlexTensor, weight: FlexTensor, bias: FlexTensor, epsilon: f64) -> FlexTensor {
        let dtype = input.dtype();
        let [input, weight, bias] = [input, weight, bias].map(|tensor| contiguous(cast::<Self>(tensor, DType::F32)));
        let shape = input.layout().shape().clone();
        let output = cpu::layer_norm::layer_norm(input.storage(), weight.storage(), bias.storage(), epsilon as f32);
        cpu::buffers::put_back_tensors([input]);
        cast::<Self>(tensor(output, shape), dtype)
    }
}

#[cfg(feature = "autodiff")]
impl<B: ComposedGradients, C: CheckpointStrategy> FusedLayerNorm for Autodiff<B, C> {}

/// The norm in burn's own operations.
pub(super) fn composed<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    epsilon: f64,
) -> FloatTensor<B> {
    let dtype = input.dtype();
    let [input, weight, bias] = [input, weight, bias].map(|tensor| cast::<B>(tensor, DType::F32));
    cast::<B>(B::layer_norm(input, weight, Some(bias), epsilon), dtype)
}
