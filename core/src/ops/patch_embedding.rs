//! Cutting an image into patches and projecting each.

#[cfg(feature = "autodiff")]
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
#[cfg(feature = "simd")]
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
#[cfg(feature = "autodiff")]
use burn::backend::{Autodiff, Backend};
use burn::backend::{Dispatch, Flex, Shape, TensorMetadata, backend_extension};
use burn::prelude::*;
#[cfg(feature = "simd")]
use burn::tensor::DType;

use super::KeptLayout;
#[cfg(feature = "simd")]
use super::cpu::{
    self,
    flex::{contiguous, dims, tensor},
};
use super::extension::Optional;
use super::linear::FusedLinear;

/// A convolution whose kernel equals its stride, as one matrix product over the patches, plus a bias where there is one.
///
/// # Shapes
/// - pixels: `[n, channels, height, width]`, height and width multiples of the patch's
/// - weight: `[d, channels, patch, patch]`, bias: `[d]`
/// - output: `[n, patches, d]`, patches row by row
///
/// # Panics
/// Where the shapes are others.
///
/// ```
/// use burn::prelude::*;
/// use unmask_core::ops::patch_embedding;
/// let device = Device::flex();
/// let (pixels, weight) = (Tensor::ones([1, 3, 4, 6], &device), Tensor::ones([5, 3, 2, 2], &device));
/// let tokens = patch_embedding(pixels, weight, None);
/// assert_eq!(tokens.dims(), [1, 6, 5]);
/// assert_eq!(tokens.max().into_scalar::<f32>(), 12.0);
/// ```
pub fn patch_embedding(pixels: Tensor<4>, weight: Tensor<4>, bias: Option<Tensor<1>>) -> Tensor<3> {
    patch_embedding_kept(pixels, weight, bias, &KeptLayout::default())
}

/// [`patch_embedding`] by whoever holds on to its weights: `kept` is theirs alone.
///
/// # Panics
/// Those of [`patch_embedding`].
pub fn patch_embedding_kept(
    pixels: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    kept: &KeptLayout,
) -> Tensor<3> {
    let [_, channels, height, width] = pixels.dims();
    let [dim, _, patch, _] = weight.dims();
    assert_eq!(weight.dims(), [dim, channels, patch, patch], "a weight for each channel of a square patch");
    assert!(height.is_multiple_of(patch) && width.is_multiple_of(patch), "{height}×{width} pixels in whole patches");
    assert!(bias.as_ref().is_none_or(|bias| bias.dims() == [dim]), "a bias for each of {dim} outputs");
    let (pixels, weight) = (pixels.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_patch_embedding(pixels, weight, Optional::new(bias), kept.clone()))
}

/// The patch embedding as an operation of a backend.
#[backend_extension(
    Flex,
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "fusion"),
    Autodiff: cfg(feature = "autodiff")
)]
pub(super) trait FusedPatchEmbedding: FusedLinear {
    /// [`patch_embedding`], whose shapes are as they should be.
    #[fusion(default)]
    fn fused_patch_embedding(
        pixels: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: Optional<Self>,
        _kept: KeptLayout,
    ) -> FloatTensor<Self> {
        composed::<Self>(pixels, weight, bias)
    }
}

/// The patches as a tensor of their own, and a linear layer.
fn composed<B: FusedLinear>(pixels: FloatTensor<B>, weight: FloatTensor<B>, bias: Optional<B>) -> FloatTensor<B> {
    let [count, channels, height, width] = pixels.shape().dims();
    let [dim, _, patch, _] = weight.shape().dims();
    let (rows, columns) = (height / patch, width / patch);
    let inner = channels * patch * patch;
    let cut = B::float_reshape(pixels, Shape::from([count, channels, rows, patch, columns, patch]));
    let patches = B::float_permute(cut, &[0, 2, 4, 1, 3, 5]);
    let patches = B::float_reshape(patches, Shape::from([count, rows * columns, inner]));
    let weight = B::float_reshape(weight, Shape::from([dim, inner]));
    B::fused_linear(patches, weight, bias, None, Optional::Absent, KeptLayout::default())
}

#[cfg(not(feature = "simd"))]
impl FusedPatchEmbedding for Flex {}

#[cfg(feature = "simd")]
impl FusedPatchEmbedding for Flex {
    fn fused_patch_embedding(
        pixels: FlexTensor,
        weight: FlexTensor,
        bias: Optional<Self>,
        kept: KeptLayout,
    ) -> FlexTensor {
        let bias = bias.given();
        if [Some(&pixels), Some(&weight), bias.as_ref()].into_iter().flatten().any(|x| x.dtype() != DType::F32) {
            return composed::<Self>(pixels, weight, Optional::of(bias));
        }
        let ([count, channels, height, width], [dim, _, patch, _]) = (dims(&pixels), dims(&weight));
        let pixels = contiguous(pixels);
        let patches = cpu::linear::Input::patches(pixels.storage(), [count, channels, height, width], patch);
        let weight = contiguous(weight).reshape(Shape::from([dim, channels * patch * patch]));
        let weights = cpu::linear::Weights { weight: &weight, bias: bias.as_ref() };
        let tokens = cpu::linear::linear(&patches, &weights, None, None, &kept);
        cpu::buffers::put_back_tensors([pixels]);
        tensor(tokens, [count, height / patch * (width / patch), dim])
    }
}

#[cfg(feature = "autodiff")]
impl<B: Backend, C: CheckpointStrategy> FusedPatchEmbedding for Autodiff<B, C> where Self: FusedLinear {}
