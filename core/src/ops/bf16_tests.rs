//! The operations in bf16 beside the same in f32.

use alloc::vec::Vec;

use burn::prelude::*;
use burn::tensor::DType;

use super::testing::tensor;
use super::{Activation, ChannelAffine, InvertedResidual, Steps};

/// A result is rounded to 8 bits, a relative error of 2⁻⁹, after few steps that are rounded too; sums cancel in part,
/// so errors are measured against the largest result.
const TOLERANCE: f32 = 1.0 / 64.0;

/// Fails unless `operation` gives bf16 for bf16, near what it gives for the same numbers in f32. Weights stay in f32.
fn assert_near<const D: usize, const E: usize>(
    name: &str,
    input: Tensor<D>,
    operation: impl Fn(Tensor<D>) -> Tensor<E>,
) {
    let rounded = input.cast(DType::BF16);
    let expected = operation(rounded.clone().cast(DType::F32));
    let found = operation(rounded);
    assert_eq!((found.dtype(), expected.dtype()), (DType::BF16, DType::F32), "{name}");
    let read = |tensor: Tensor<E>| tensor.into_data().iter::<f32>().collect::<Vec<_>>();
    let (found, expected) = (read(found), read(expected));
    let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    for (index, (f, e)) in found.iter().zip(&expected).enumerate() {
        assert!((f - e).abs() <= TOLERANCE * largest, "{name}, element {index}: {f} is not {e}");
    }
}

#[test]
fn operations_keep_bf16_and_are_near_those_in_f32() {
    let (x, _) = tensor([2, 5, 12], 1);
    let (weight, _) = tensor([8, 12], 2);
    let (bias, _) = tensor([8], 3);
    assert_near("linear", x.clone(), |x| {
        super::linear(x, weight.clone(), Some(bias.clone()), Some(Activation::QuickGelu), None)
    });
    let (scale, _) = tensor([12], 4);
    assert_near("layer norm", x.clone(), |x| super::layer_norm(x, scale.clone(), scale.clone(), 1e-5));
    // Scores that differ by tens: a softmax in bf16 would be off by far more than the tolerance.
    assert_near("attention", x * 8.0, |x| super::attention(x.clone(), x.clone(), x, 3, None));

    let (pixels, _) = tensor([1, 3, 8, 8], 5);
    let (kernel, _) = tensor([6, 3, 4, 4], 6);
    assert_near("patch embedding", pixels.clone(), |pixels| super::patch_embedding(pixels, kernel.clone(), None));
    let maps = pixels.permute([0, 2, 3, 1]);
    let (weight, _) = tensor([4, 3], 7);
    let affine = |channels: usize| ChannelAffine { scale: tensor([channels], 8).0, shift: tensor([channels], 9).0 };
    assert_near("pointwise convolution", maps.clone(), |maps| {
        super::pointwise_convolution(maps, weight.clone(), affine(4), Some(Activation::Relu6))
    });
    let (taps, _) = tensor([3, 1, 3, 3], 10);
    assert_near("depthwise convolution", maps.clone(), |maps| {
        super::depthwise_convolution(maps, taps.clone(), Steps::same(2), affine(3), Some(Activation::Relu6))
    });
    let (square, _) = tensor([4, 3, 3, 3], 11);
    assert_near("convolution", maps.clone(), |maps| {
        super::convolution(maps, square.clone(), Steps::same(2), affine(4), Some(Activation::Relu))
    });
    let (project, _) = tensor([3, 3], 12);
    assert_near("inverted residual block", maps, |maps| {
        let block = InvertedResidual {
            expand: None,
            filter: taps.clone(),
            filter_affine: affine(3),
            project: project.clone(),
            project_affine: affine(3),
            steps: Steps::same(1),
            activation: Activation::Relu6,
            residual: true,
        };
        super::inverted_residual(maps, block)
    });
}
