//! A batch norm by stored statistics, as a factor and a summand for each channel.

#[cfg(feature = "autodiff")]
use burn::backend::Autodiff;
use burn::backend::Backend;
#[cfg(feature = "autodiff")]
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
#[cfg(feature = "simd")]
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Dispatch, Flex, backend_extension};
use burn::prelude::*;
#[cfg(feature = "cube")]
use burn_cubecl::CubeBackend;

use super::ChannelAffine;
use crate::ops::KeptLayout;

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias` as a factor and a summand; `kept` belongs to whoever holds on to
/// the four, and as long as these stay the same, so do factor and summand.
///
/// # Shapes
/// - all: `[channels]`
///
/// # Panics
/// Where the shapes are others.
pub fn folded_norm([weight, bias, mean, variance]: [Tensor<1>; 4], epsilon: f64, kept: &KeptLayout) -> ChannelAffine {
    let channels = weight.dims();
    assert!([&bias, &mean, &variance].iter().all(|tensor| tensor.dims() == channels), "four numbers for each channel");
    let [weight, bias, mean, variance] = [weight, bias, mean, variance].map(Tensor::into_dispatch);
    let (scale, shift) = Dispatch::folded_norm(weight, bias, mean, variance, epsilon, kept.clone());
    ChannelAffine { scale: Tensor::from_dispatch(scale), shift: Tensor::from_dispatch(shift) }
}

/// The folding as an operation of a backend.
#[backend_extension(
    Flex,
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "fusion"),
    Autodiff: cfg(feature = "autodiff")
)]
pub(super) trait FoldedNorm: Backend {
    /// [`folded_norm`], whose shapes are as they should be.
    #[fusion(default)]
    fn folded_norm(
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
        _kept: KeptLayout,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        composed::<Self>(weight, bias, mean, variance, epsilon)
    }
}

fn composed<B: Backend>(
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    epsilon: f64,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let deviation = B::float_sqrt(B::float_add_scalar(variance, epsilon.into()));
    let scale = B::float_div(weight, deviation);
    let shift = B::float_sub(bias, B::float_mul(mean, scale.clone()));
    (scale, shift)
}

#[cfg(not(feature = "simd"))]
impl FoldedNorm for Flex {}

#[cfg(feature = "simd")]
impl FoldedNorm for Flex {
    fn folded_norm(
        weight: FlexTensor,
        bias: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        epsilon: f64,
        kept: KeptLayout,
    ) -> (FlexTensor, FlexTensor) {
        let source = [&weight, &bias, &mean, &variance];
        let folded = kept.of(&source, || {
            let [weight, bias, mean, variance] = source.map(FlexTensor::clone);
            composed::<Self>(weight, bias, mean, variance, epsilon)
        });
        folded.as_ref().clone()
    }
}

#[cfg(feature = "cube")]
impl FoldedNorm for CubeBackend {}

#[cfg(feature = "autodiff")]
impl<B: Backend, C: CheckpointStrategy> FoldedNorm for Autodiff<B, C> {}
