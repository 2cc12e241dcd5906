//! Cutting an image into patches and projecting each.

#[cfg(feature = "autodiff")]
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
#[cfg(feature = "autodiff")]
use burn::backend::{Autodiff, Backend};
use burn::backend::{Dispatch, Flex, Shape, TensorMetadata, backend_extension};
use burn::prelude::*;

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
    let [_, channels, height, width] = pixels.dims();
    let [dim, _, patch, _] = weight.dims();
    assert_eq!(weight.dims(), [dim, channels, patch, patch], "a weight for each channel of a square patch");
    assert!(height.is_multiple_of(patch) && width.is_multiple_of(patch), "{height}×{width} pixels in whole patches");
    assert!(bias.as_ref().is_none_or(|bias| bias.dims() == [dim]), "a bias for each of {dim} outputs");
    let (pixels, weight) = (pixels.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_patch_embedding(pixels, weight, Optional::new(bias)))
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
    ) -> FloatTensor<Self> {
        let [count, channels, height, width] = pixels.shape().dims();
        let [dim, _, patch, _] = weight.shape().dims();
        let (rows, columns) = (height / patch, width / patch);
        let inner = channels * patch * patch;
        let cut = Self::float_reshape(pixels, Shape::from([count, channels, rows, patch, columns, patch]));
        let patches = Self::float_permute(cut, &[0, 2, 4, 1, 3, 5]);
        let patches = Self::float_reshape(patches, Shape::from([count, rows * columns, inner]));
        let weight = Self::float_reshape(weight, Shape::from([dim, inner]));
        Self::fused_linear(patches, weight, bias, None, Optional::Absent)
    }
}

impl FusedPatchEmbedding for Flex {}

#[cfg(feature = "autodiff")]
impl<B: Backend, C: CheckpointStrategy> FusedPatchEmbedding for Autodiff<B, C> {}
