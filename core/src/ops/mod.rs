//! The few operations that every model's time goes into: linear layers, attention, layer norm, patch embedding,
//! convolutions.
//!
//! Models call these functions and nothing below them. Each checks shapes and hands over to a trait of its own, whose
//! default body is plain burn operations, which can be differentiated; a faster body for one backend is that trait's method
//! for this backend (`extension`), and touches no model. All have such bodies for CPUs, made of what is in `cpu`; the
//! convolutions have them for graphics devices, too, and what transformers are made of for those without tensor cores (`device`).
//! Weights have the layout of PyTorch, `[out, in]`, in files and in memory alike.
//!
//! An operation computes in the type of its input, f32 or bf16, and casts weights that have another: a weight that is
//! kept in f32 then gets its gradient in f32. Where a weight is integers ([`QuantizedWeight`]), CPUs multiply integers. What bf16 is too coarse for, statistics and softmaxes, is computed in f32.

mod activation;
mod attention;
#[cfg(test)]
mod bf16_tests;
mod convolution;
mod cpu;
#[cfg(feature = "cube")]
mod device;
mod extension;
#[cfg(all(feature = "simd", feature = "autodiff"))]
mod gradients;
mod layer_norm;
mod linear;
mod patch_embedding;
mod places;
mod quantized;
#[cfg(test)]
mod table;

pub use activation::Activation;
pub use attention::{attended, attention, attention_with_weights};
pub use convolution::{
    Axis, ChannelAffine, InvertedResidual, InvertedResidualOfBatch, Moments, NormedConvolution, Padding,
    SeparableConvolution, Steps, bare_depthwise, batch_norm, convolution, convolution_kept, convolution_of_batch,
    depthwise_convolution, depthwise_convolution_kept, depthwise_convolution_of_batch, expanded_depthwise_kept,
    folded_norm, inverted_residual, inverted_residual_kept, inverted_residual_of_batch, patches, pointwise_convolution,
    separable_convolution_kept,
};
pub use cpu::KeptLayout;
pub use layer_norm::layer_norm;
pub use linear::{linear, linear_kept};
pub use patch_embedding::{patch_embedding, patch_embedding_kept};
pub use places::{channel_means, max_pool, scale_channels};
pub use quantized::{QuantizedWeight, quantized_linear};

#[cfg(test)]
pub(crate) mod testing {
    //! Seeded tensors and the comparison the tests of the operations share.

    use alloc::vec::Vec;
    use burn::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Values uniform in -1..1, the same for the same seed.
    pub(crate) fn values(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    /// A tensor of those values, and the values.
    pub(crate) fn tensor<const D: usize>(shape: [usize; D], seed: u64) -> (Tensor<D>, Vec<f32>) {
        let data = values(shape.iter().product(), seed);
        (Tensor::from_data(TensorData::new(data.clone(), shape), &Device::flex()), data)
    }

    /// Asserts that `actual` equals the slow, clear `expected` computed in f64.
    pub(crate) fn assert_close<const D: usize>(actual: Tensor<D>, expected: &[f64]) {
        let actual: Vec<f32> = actual.into_data().try_into_vec().expect("f32 data");
        assert_eq!(actual.len(), expected.len());
        for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
            assert!((f64::from(*a) - e).abs() <= 1e-4 * e.abs().max(1.0), "element {index}: {a} is not {e}");
        }
    }
}
