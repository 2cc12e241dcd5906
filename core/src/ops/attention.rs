//! Multi-head scaled dot-product attention.

#[cfg(feature = "autodiff")]
use burn::backend::Autodiff;
#[cfg(feature = "autodiff")]
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
#[cfg(feature = "simd")]
use burn::backend::flex::FlexTensor;
use burn::backend::ops::AttentionModuleOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, Shape, TensorMetadata, backend_extension};
use burn::prelude::*;
use burn::tensor::DType;

#[cfg(feature = "simd")]
use super::cpu::{
    self,
    flex::{contiguous, dims, tensor},
};
#[cfg(feature = "autodiff")]
use super::extension::ComposedGradients;
use super::extension::{Optional, cast};

/// `softmax(q · kᵀ / sqrt(d / heads) + bias) · v` for each head, heads side by side in the last dimension. The softmax is
/// computed in f32, whatever the type of the inputs, which the output has.
///
/// # Shapes
/// - query: `[batch, K, d]`; key, value: `[batch, L, d]`; `d` a multiple of `heads`
/// - bias: `[1 or batch, heads, K, L]`
/// - output: `[batch, K, d]`
///
/// # Panics
/// Where the shapes are others.
///
/// ```
/// use burn::prelude::*;
/// use unmask_core::ops::attention;
/// let device = Device::flex();
/// // A query that is like the second key finds the second value.
/// let query = Tensor::<3>::from_data([[[0.0, 50.0]]], &device);
/// let key = Tensor::<3>::from_data([[[1.0, 0.0], [0.0, 1.0]]], &device);
/// let value = Tensor::<3>::from_data([[[1.0, 2.0], [3.0, 4.0]]], &device);
/// let found: Vec<f32> = attention(query, key, value, 1, None).into_data().try_into_vec().unwrap();
/// assert!((found[0] - 3.0).abs() < 1e-4 && (found[1] - 4.0).abs() < 1e-4);
/// ```
pub fn attention(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    heads: usize,
    bias: Option<Tensor<4>>,
) -> Tensor<3> {
    check(&query, &key, &value, heads, bias.as_ref());
    let (query, key, value) = (query.into_dispatch(), key.into_dispatch(), value.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_attention(query, key, value, heads, Optional::new(bias)))
}

/// [`attention`] and its weights.
///
/// # Shapes
/// - those of [`attention`], and the weights `[batch, heads, K, L]`, whose rows sum to 1, in f32
///
/// # Panics
/// Where the shapes are others.
pub fn attention_with_weights(
    query: Tensor<3>,
    key: Tensor<3>,
    value: Tensor<3>,
    heads: usize,
    bias: Option<Tensor<4>>,
) -> (Tensor<3>, Tensor<4>) {
    check(&query, &key, &value, heads, bias.as_ref());
    let (query, key, value) = (query.into_dispatch(), key.into_dispatch(), value.into_dispatch());
    let (attended, weights) = Dispatch::fused_attention_with_weights(query, key, value, heads, Optional::new(bias));
    (Tensor::from_dispatch(attended), Tensor::from_dispatch(weights))
}

/// What attention by these weights finds: `weights · v` for each head, heads side by side in the last dimension.
///
/// # Shapes
/// - weights: `[batch, heads, K, L]`; value: `[batch, L, d]`, `d` a multiple of `heads`
/// - output: `[batch, K, d]`
pub fn attended(weights: Tensor<4>, value: Tensor<3>) -> Tensor<3> {
    let ([batch, heads, queries, keys], [_, _, width]) = (weights.dims(), value.dims());
    let weights = weights.cast(value.dtype());
    let value: Tensor<4> = value.reshape([batch, keys, heads, width / heads]).swap_dims(1, 2);
    weights.matmul(value).swap_dims(1, 2).reshape([batch, queries, width])
}

/// Panics unless the shapes fit each other.
fn check(query: &Tensor<3>, key: &Tensor<3>, value: &Tensor<3>, heads: usize, bias: Option<&Tensor<4>>) {
    let ([batch, queries, width], [others, tokens, depth]) = (query.dims(), key.dims());
    assert!(heads > 0 && width.is_multiple_of(heads), "{width} channels are not those of {heads} heads");
    assert_eq!([batch, width], [others, depth], "queries and keys are of as many channels");
    assert_eq!(value.dims(), [others, tokens, depth], "a value for each key");
    let fits = |[first, rest @ ..]: [usize; 4]| [1, batch].contains(&first) && rest == [heads, queries, tokens];
    assert!(bias.is_none_or(|bias| fits(bias.dims())), "a bias for each pair of query and key");
}

/// Attention as an operation of a backend.
#[backend_extension(
    Flex,
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "fusion"),
    Autodiff: cfg(feature = "autodiff")
)]
pub(super) trait FusedAttention: Backend {
    /// [`attention`], whose shapes are as they should be.
    #[fusion(default)]
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        heads: usize,
        #[extension_type] bias: Optional<Self>,
    ) -> FloatTensor<Self> {
        composed::<Self>(query, key, value, heads, bias)
    }

    /// [`attention_with_weights`], whose shapes are as they should be.
    #[fusion(default)]
    fn fused_attention_with_weights(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        heads: usize,
        #[extension_type] bias: Optional<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let dtype = query.dtype();
        let [query, key, value] = [query, key, value].map(|x| split::<Self>(x, heads));
        let [_, _, _, width] = query.shape().dims();
        // Scaling before the product touches fewer numbers, and is exact for CLIP's heads of 64.
        let query = Self::float_div_scalar(query, libm::sqrt(width as f64).into());
        let scores = Self::float_matmul(query, Self::float_swap_dims(key, 2, 3));
        let mut scores = cast::<Self>(scores, DType::F32);
        if let Optional::Given(bias) = bias {
            scores = Self::float_add(scores, cast::<Self>(bias, DType::F32));
        }
        let weights = Self::softmax(scores, 3);
        let attended = Self::float_matmul(cast::<Self>(weights.clone(), dtype), value);
        (joined::<Self>(attended), weights)
    }
}

#[cfg(not(feature = "simd"))]
impl FusedAttention for Flex {}

#[cfg(feature = "simd")]
impl FusedAttention for Flex {
    fn fused_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        heads: usize,
        bias: Optional<Self>,
    ) -> FlexTensor {
        let ([batch, queries, width], [_, keys, _]) = (dims(&query), dims(&key));
        let is_served = [&query, &key, &value].iter().all(|tensor| tensor.dtype() == DType::F32);
        if !is_served || keys == 0 {
            return Self::fused_attention_with_weights(query, key, value, heads, bias).0;
        }
        let [query, key, value] = [query, key, value].map(contiguous);
        let bias = bias.given().map(|bias| contiguous(cast::<Self>(bias, DType::F32)));
        let attention = cpu::attention::Attention {
            query: query.storage(),
            key: key.storage(),
            value: value.storage(),
            bias: bias.as_ref().map(|bias| bias.storage()),
            batch,
            queries,
            keys,
            width,
            heads,
        };
        let output = attention.forward();
        cpu::buffers::put_back_tensors([query, key, value]);
        tensor(output, [batch, queries, width])
    }
}

#[cfg(feature = "autodiff")]
impl<B: ComposedGradients, C: CheckpointStrategy> FusedAttention for Autodiff<B, C> {}

/// Attention in burn's own operations.
pub(super) fn composed<B: FusedAttention>(
    query: FloatTensor<B>,
    key: FloatTensor<B>,
    value: FloatTensor<B>,
    heads: usize,
    bias: Optional<B>,
) -> FloatTensor<B> {
    match (&bias, query.dtype()) {
        // burn's own body has all of it in one type, and rounds scores with a bias otherwise.
        (Optional::Absent, DType::F32) => {
            let [query, key, value] = [query, key, value].map(|x| split::<B>(x, heads));
            joined::<B>(B::attention(query, key, value, None, None, AttentionModuleOptions::default()))
        }
        _ => B::fused_attention_with_weights(query, key, value, heads, bias).0,
    }
}

/// `[batch, tokens, d]` to `[batch, heads, tokens, d / heads]`.
fn split<B: Backend>(x: FloatTensor<B>, heads: usize) -> FloatTensor<B> {
    let [batch, tokens, width] = x.shape().dims();
    B::float_swap_dims(B::float_reshape(x, Shape::from([batch, tokens, heads, width / heads])), 1, 2)
}

/// `[batch, heads, tokens, d / heads]` to `[batch, tokens, d]`.
fn joined<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, heads, tokens, width] = x.shape().dims();
    B::float_reshape(B::float_swap_dims(x, 1, 2), Shape::from([batch, tokens, heads * width]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, tensor};
    use alloc::vec::Vec;

    #[test]
    fn a_bias_that_excludes_all_keys_but_one_gives_that_keys_value() {
        let (heads, tokens) = (2, 4);
        let [q, k, v] = [1, 2, 3].map(|seed| tensor([1, tokens, 6], seed));
        let bias: Vec<f32> = (0..heads * tokens * tokens).map(|i| if i % tokens == 1 { 0.0 } else { -1e9 }).collect();
        let bias = Tensor::from_data(TensorData::new(bias, [1, heads, tokens, tokens]), &Device::flex());
        let attended = attention(q.0, k.0, v.0, heads, Some(bias));
        let expected: Vec<f64> = (0..tokens).flat_map(|_| v.1[6..12].iter().map(|x| f64::from(*x))).collect();
        assert_close(attended, &expected);
    }
}
