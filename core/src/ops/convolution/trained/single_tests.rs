//! Convolutions by the statistics of the batch against burn's own operations one after the other.

use alloc::format;
use alloc::vec::Vec;

use super::super::{composed, norm};
use super::*;
use crate::ops::testing::tensor;

/// Images, rows, columns, channels in and out, side, stride.
const SHAPES: [[usize; 7]; 9] = [
    [1, 1, 1, 1, 3, 3, 1],
    [2, 5, 7, 3, 16, 3, 2],
    [3, 20, 24, 3, 32, 3, 2],
    [2, 6, 5, 7, 9, 5, 1],
    [1, 2, 3, 4, 5, 5, 2],
    [2, 7, 9, 12, 40, 1, 1],
    [35, 3, 2, 8, 17, 1, 1],
    [2, 6, 7, 5, 18, 1, 2],
    [1, 18, 19, 40, 130, 1, 1],
];
const ACTIVATIONS: [Option<Activation>; 4] =
    [None, Some(Activation::Relu6), Some(Activation::Relu), Some(Activation::QuickGelu)];
const EPSILON: f64 = 1e-3;

type Body = fn(Tensor<4>, NormedConvolution<4>, Steps, Option<Activation>, f64) -> (Tensor<4>, Moments);

fn one_after_the_other(
    input: Tensor<4>,
    layer: NormedConvolution<4>,
    steps: Steps,
    activation: Option<Activation>,
    epsilon: f64,
) -> (Tensor<4>, Moments) {
    let [outputs, _, side, _] = layer.weight.dims();
    let neutral = ChannelAffine {
        scale: Tensor::ones([outputs], &Device::flex()),
        shift: Tensor::zeros([outputs], &Device::flex()),
    };
    let patches = composed::patches(input.permute([0, 3, 1, 2]), side, steps);
    let values = composed::pointwise(patches, layer.weight.flatten(1, 3), neutral, None);
    norm::composed(values, layer.norm_weight, layer.norm_bias, epsilon, activation)
}

fn cases() -> impl Iterator<Item = ([usize; 7], Steps, Option<Activation>)> {
    SHAPES.into_iter().flat_map(|sizes| {
        let steps = [Steps::same(sizes[6]), Steps::centred(sizes[6])];
        steps.into_iter().flat_map(move |steps| ACTIVATIONS.map(|activation| (sizes, steps, activation)))
    })
}

fn case(sizes: [usize; 7], device: &Device) -> (Tensor<4>, NormedConvolution<4>) {
    let [images, rows, columns, inputs, outputs, side, _] = sizes;
    let layer = NormedConvolution {
        weight: Tensor::from_data(tensor([outputs, inputs, side, side], 2).0.into_data(), device),
        norm_weight: Tensor::from_data((tensor([outputs], 3).0 + 1.5).into_data(), device),
        norm_bias: Tensor::from_data((tensor([outputs], 4).0 + 1.0).into_data(), device),
    };
    (Tensor::from_data(tensor([images, rows, columns, inputs], 1).0.into_data(), device), layer)
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32")
}

fn assert_same(found: &[f32], expected: &[f32], case: &str) {
    assert_eq!(found.len(), expected.len(), "{case}");
    let largest = expected.iter().fold(1e-3, |largest: f32, value| largest.max(value.abs()));
    for (place, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 2e-4 * largest, "{case}: place {place}: {a} is not {b}");
    }
}

#[test]
fn a_convolution_and_its_statistics_equal_burns_own_operations() {
    for (sizes, steps, activation) in cases() {
        let (input, layer) = case(sizes, &Device::flex());
        let name = format!("{sizes:?} {steps:?} {activation:?}");
        let (expected, of_expected) = one_after_the_other(input.clone(), layer.clone(), steps, activation, EPSILON);
        let (found, moments) = convolution_of_batch(input, layer, steps, activation, EPSILON);
        assert_eq!(found.dims(), expected.dims(), "{name}");
        assert_same(&read(found), &read(expected), &name);
        assert_eq!(moments.pixels, of_expected.pixels, "{name}");
        assert_same(&read(moments.mean), &read(of_expected.mean), &name);
        assert_same(&read(moments.variance), &read(of_expected.variance), &name);
    }
}

#[cfg(feature = "autodiff")]
#[test]
fn its_gradients_equal_those_of_burns_own_operations_with_and_without_that_of_the_input() {
    let device = Device::flex().autodiff();
    let gradients =
        |body: Body, (sizes, steps, activation): ([usize; 7], Steps, Option<Activation>), of_input: bool| {
            let (input, layer) = case(sizes, &device);
            let input = if of_input { input.require_grad() } else { input };
            let layer = NormedConvolution {
                weight: layer.weight.require_grad(),
                norm_weight: layer.norm_weight.require_grad(),
                norm_bias: layer.norm_bias.require_grad(),
            };
            let output = body(input.clone(), layer.clone(), steps, activation, EPSILON).0;
            let factors = Tensor::<4>::from_data(tensor(output.dims(), 5).0.into_data(), &device);
            let found = (output * factors).sum().backward();
            [
                input.grad(&found).map(read),
                layer.weight.grad(&found).map(read),
                layer.norm_weight.grad(&found).map(read),
                layer.norm_bias.grad(&found).map(read),
            ]
        };
    for case in cases() {
        for of_input in [true, false] {
            let expected = gradients(one_after_the_other, case, of_input);
            let found = gradients(convolution_of_batch, case, of_input);
            assert_eq!(found[0].is_some(), of_input, "{case:?}");
            for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let name = format!("{case:?}, gradient {index}");
                assert_same(found.as_deref().unwrap_or_default(), expected.as_deref().unwrap_or_default(), &name);
            }
        }
    }
}
