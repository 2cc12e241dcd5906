//! The linear layer with what usually follows it.

#[cfg(feature = "autodiff")]
use burn::backend::Autodiff;
#[cfg(feature = "autodiff")]
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
#[cfg(feature = "simd")]
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, Shape, TensorMetadata, backend_extension};
use burn::prelude::*;
#[cfg(feature = "simd")]
use burn::tensor::DType;

#[cfg(feature = "simd")]
use super::cpu::{
    self,
    flex::{contiguous, tensor},
};
#[cfg(feature = "autodiff")]
use super::extension::ComposedGradients;
use super::extension::{Optional, cast};
use super::{Activation, KeptLayout};

/// `activation(x · weightᵀ + bias) + residual`, computed in the input's type: weight and bias are cast to it.
///
/// # Shapes
/// - input: `[…, in]`, weight: `[out, in]`, bias: `[out]`, residual: `[…, out]`
/// - output: `[…, out]`
///
/// # Panics
/// Where the shapes are others.
///
/// ```
/// use burn::prelude::*;
/// use unmask_core::ops::{Activation, linear};
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[1.0, 2.0]], &device);
/// let weight = Tensor::<2>::from_data([[1.0, 1.0], [-1.0, 0.0], [0.0, 3.0]], &device);
/// let y: Vec<f32> = linear(x, weight, None, Some(Activation::Relu), None).into_data().try_into_vec().unwrap();
/// assert_eq!(y, [3.0, 0.0, 6.0]);
/// ```
pub fn linear<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Option<Activation>,
    residual: Option<Tensor<D>>,
) -> Tensor<D> {
    linear_kept(input, weight, bias, activation, residual, &KeptLayout::default())
}

/// [`linear`] by whoever holds on to its weights: `kept` is theirs alone.
///
/// # Panics
/// Those of [`linear`].
pub fn linear_kept<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Option<Activation>,
    residual: Option<Tensor<D>>,
    kept: &KeptLayout,
) -> Tensor<D> {
    let (mut shape, [out, inner]) = (input.dims(), weight.dims());
    assert_eq!(shape[D - 1], inner, "the input's last axis is what the weight reads");
    assert!(bias.as_ref().is_none_or(|bias| bias.dims() == [out]), "a bias for each of {out} outputs");
    shape[D - 1] = out;
    assert!(residual.as_ref().is_none_or(|residual| residual.dims() == shape), "a residual for each output");
    let (bias, residual) = (Optional::new(bias), Optional::new(residual));
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear(input, weight, bias, activation, residual, kept.clone()))
}

/// The linear layer as an operation of a backend.
#[backend_extension(
    Flex,
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "fusion"),
    Autodiff: cfg(feature = "autodiff")
)]
pub(super) trait FusedLinear: Backend {
    /// [`linear`], whose shapes are as they should be.
    #[fusion(default)]
    fn fused_linear(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        activation: Option<Activation>,
        #[extension_type] residual: Optional<Self>,
        _kept: KeptLayout,
    ) -> FloatTensor<Self> {
        composed::<Self>(input, weight, bias, activation, residual)
    }
}

#[cfg(not(feature = "simd"))]
impl FusedLinear for Flex {}

#[cfg(feature = "simd")]
impl FusedLinear for Flex {
    fn fused_linear(
        input: FlexTensor,
        weight: FlexTensor,
        bias: Optional<Self>,
        activation: Option<Activation>,
        residual: Optional<Self>,
        kept: KeptLayout,
    ) -> FlexTensor {
        let (bias, residual) = (bias.given(), residual.given());
        let rest = [bias.as_ref(), residual.as_ref()].into_iter().flatten();
        if [&input, &weight].into_iter().chain(rest).any(|tensor| tensor.dtype() != DType::F32) {
            return composed::<Self>(input, weight, Optional::of(bias), activation, Optional::of(residual));
        }
        let mut shape = input.layout().shape().clone();
        let last = shape.num_dims() - 1;
        let (input, residual) = (contiguous(input), residual.map(contiguous));
        let rows = cpu::linear::Input::rows(input.storage(), shape[last]);
        shape[last] = weight.layout().shape()[0];
        let weights = cpu::linear::Weights { weight: &weight, bias: bias.as_ref() };
        let added = residual.as_ref().map(|residual| residual.storage());
        let output = cpu::linear::linear(&rows, &weights, activation, added, &kept);
        cpu::buffers::put_back_tensors([input].into_iter().chain(residual));
        tensor(output, shape)
    }
}

#[cfg(feature = "autodiff")]
impl<B: ComposedGradients, C: CheckpointStrategy> FusedLinear for Autodiff<B, C> {}

/// The linear layer in burn's own operations.
pub(super) fn composed<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Optional<B>,
    activation: Option<Activation>,
    residual: Optional<B>,
) -> FloatTensor<B> {
    let (mut shape, dtype) = (input.shape(), input.dtype());
    let [out, inner] = weight.shape().dims();
    // One matrix product over all rows keeps every core busy, where a batched one would split by batch.
    let rows = B::float_reshape(input, Shape::from([shape.num_elements() / inner, inner]));
    let mut output = B::float_matmul(rows, B::float_transpose(cast::<B>(weight, dtype)));
    if let Optional::Given(bias) = bias {
        output = B::float_add(output, B::float_reshape(cast::<B>(bias, dtype), Shape::from([1, out])));
    }
    if let Some(activation) = activation {
        output = activation.apply_on::<B>(output);
    }
    let last = shape.num_dims() - 1;
    shape[last] = out;
    let output = B::float_reshape(output, shape);
    match residual {
        Optional::Given(residual) => B::float_add(output, residual),
        Optional::Absent => output,
    }
}
