//! Multi-head scaled dot-product attention.

use burn::prelude::*;
use burn::tensor::activation::softmax;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, module};

/// `softmax(q · kᵀ / sqrt(d / heads)) · v` for each head, heads side by side in the last dimension. The softmax is
/// computed in f32, whatever the type of the inputs, which the output has.
///
/// # Shapes
/// - query: `[batch, K, d]`; key, value: `[batch, L, d]`; `d` a multiple of `heads`
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
/// let found: Vec<f32> = attention(query, key, value, 1).into_data().try_into_vec().unwrap();
/// assert!((found[0] - 3.0).abs() < 1e-4 && (found[1] - 4.0).abs() < 1e-4);
/// ```
pub fn attention(query: Tensor<3>, key: Tensor<3>, value: Tensor<3>, heads: usize) -> Tensor<3> {
    let [batch, tokens, width] = query.dims();
    check(&query, &key, &value, heads);
    let [query, key, value] = [query, key, value].map(|x| split(x, heads));
    let attended = match query.dtype() {
        DType::F32 => module::attention(query, key, value, None, None, AttentionModuleOptions::default()),
        _ => mixed(query, key, value),
    };
    attended.swap_dims(1, 2).reshape([batch, tokens, width])
}

/// [`attention`] by burn's own operations on every device, and its weights; `bias` is added to the scores before the softmax.
///
/// # Shapes
/// - query: `[batch, K, d]`; key, value: `[batch, L, d]`; bias: `[1 or batch, heads, K, L]`
/// - output: `[batch, K, d]`, and the weights `[batch, heads, K, L]`, whose rows sum to 1, in f32
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
    let [batch, tokens, width] = query.dims();
    let dtype = query.dtype();
    check(&query, &key, &value, heads);
    let [query, key, value] = [query, key, value].map(|x| split(x, heads));
    let scores = (query / libm::sqrt((width / heads) as f64)).matmul(key.swap_dims(2, 3)).cast(DType::F32);
    let scores = match bias {
        Some(bias) => scores + bias.cast(DType::F32),
        None => scores,
    };
    let weights = softmax(scores, 3);
    let attended = weights.clone().cast(dtype).matmul(value);
    (attended.swap_dims(1, 2).reshape([batch, tokens, width]), weights)
}

/// Panics unless the shapes fit each other.
fn check(query: &Tensor<3>, key: &Tensor<3>, value: &Tensor<3>, heads: usize) {
    let ([batch, _, width], [others, tokens, depth]) = (query.dims(), key.dims());
    assert!(heads > 0 && width.is_multiple_of(heads), "{width} channels are not those of {heads} heads");
    assert_eq!([batch, width], [others, depth], "queries and keys are of as many channels");
    assert_eq!(value.dims(), [others, tokens, depth], "a value for each key");
}

/// `[batch, tokens, d]` to `[batch, heads, tokens, d / heads]`.
fn split(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, tokens, width] = x.dims();
    x.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2)
}

/// One head's attention, all `[batch, heads, tokens, d]`, with products in the inputs' type and the softmax in f32. burn's
/// own formula, which it uses wherever there are gradients, has all of it in one type.
fn mixed(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>) -> Tensor<4> {
    let [_, _, _, width] = query.dims();
    // Scaling before the product touches fewer numbers, and is exact for CLIP's heads of 64.
    let scores = (query / libm::sqrt(width as f64)).matmul(key.swap_dims(2, 3));
    softmax(scores.cast(DType::F32), 3).cast(value.dtype()).matmul(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, tensor};
    use alloc::{vec, vec::Vec};

    /// One head's output row, in f64.
    fn row(q: &[f32], keys: &[&[f32]], values: &[&[f32]]) -> Vec<f64> {
        let scale = 1.0 / libm::sqrt(q.len() as f64);
        let scores: Vec<f64> = keys
            .iter()
            .map(|k| q.iter().zip(*k).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() * scale)
            .collect();
        let weights: Vec<f64> = scores.iter().map(|s| libm::exp(*s)).collect();
        let total: f64 = weights.iter().sum();
        let mut out = vec![0.0; q.len()];
        for (weight, value) in weights.iter().zip(values) {
            for (o, v) in out.iter_mut().zip(*value) {
                *o += weight / total * f64::from(*v);
            }
        }
        out
    }

    #[test]
    fn attention_equals_the_softmax_written_out() {
        for (batch, tokens, heads, head_dim) in [(1, 1, 1, 4), (2, 5, 3, 8), (3, 50, 2, 16)] {
            let width = heads * head_dim;
            let (q, qs) = tensor([batch, tokens, width], 1);
            let (k, ks) = tensor([batch, tokens, width], 2);
            let (v, vs) = tensor([batch, tokens, width], 3);
            let mut expected = vec![0.0; batch * tokens * width];
            for b in 0..batch {
                for h in 0..heads {
                    let slice = |data: &'_ [f32], t: usize| {
                        let start = (b * tokens + t) * width + h * head_dim;
                        start..start + head_dim.min(data.len())
                    };
                    let keys: Vec<&[f32]> = (0..tokens).map(|t| &ks[slice(&ks, t)]).collect();
                    let values: Vec<&[f32]> = (0..tokens).map(|t| &vs[slice(&vs, t)]).collect();
                    for t in 0..tokens {
                        let range = slice(&qs, t);
                        expected[range.clone()].copy_from_slice(&row(&qs[range], &keys, &values));
                    }
                }
            }
            assert_close(attention(q.clone(), k.clone(), v.clone(), heads), &expected);
            let (attended, weights) = attention_with_weights(q, k, v, heads, None);
            assert_close(attended, &expected);
            assert_close(weights.sum_dim(3), &vec![1.0; batch * heads * tokens]);
        }
    }

    #[test]
    fn a_bias_that_excludes_all_keys_but_one_gives_that_keys_value() {
        let (heads, tokens) = (2, 4);
        let [q, k, v] = [1, 2, 3].map(|seed| tensor([1, tokens, 6], seed));
        let bias: Vec<f32> = (0..heads * tokens * tokens).map(|i| if i % tokens == 1 { 0.0 } else { -1e9 }).collect();
        let bias = Tensor::from_data(TensorData::new(bias, [1, heads, tokens, tokens]), &Device::flex());
        let (attended, _) = attention_with_weights(q.0, k.0, v.0, heads, Some(bias));
        let expected: Vec<f64> = (0..tokens).flat_map(|_| v.1[6..12].iter().map(|x| f64::from(*x))).collect();
        assert_close(attended, &expected);
    }
}
