//! Whole convolutions and blocks against burn's own operations one after the other.

use alloc::format;
use alloc::vec::Vec;

use super::*;
use crate::ops::testing::{assert_close, tensor};

/// Images, rows, columns, channels in, inside and out, side, stride. Some have several bands, odd channels, one pixel.
const BLOCKS: [[usize; 8]; 14] = [
    [1, 1, 1, 1, 6, 1, 3, 1],
    [1, 1, 3, 3, 18, 5, 5, 2],
    [2, 5, 7, 4, 24, 4, 3, 1],
    [1, 6, 5, 7, 41, 9, 3, 2],
    [3, 7, 7, 16, 40, 16, 5, 1],
    [2, 9, 8, 5, 33, 20, 5, 2],
    [1, 2, 3, 8, 8, 3, 3, 1],
    [2, 48, 40, 24, 144, 24, 3, 1],
    [1, 70, 66, 16, 96, 24, 3, 2],
    [1, 40, 90, 24, 200, 24, 5, 1],
    [1, 33, 35, 20, 120, 40, 5, 2],
    [2, 4, 6, 160, 960, 160, 3, 1],
    [1, 65, 3, 2, 50, 2, 3, 1],
    [1, 3, 200, 32, 192, 33, 3, 2],
];

fn affine(channels: usize, seed: u64) -> ChannelAffine {
    ChannelAffine { scale: tensor([channels], seed).0, shift: tensor([channels], seed + 1).0 }
}

/// A block of a case, its input, and what burn's own operations make of it.
fn case(
    sizes: [usize; 8],
    steps: Steps,
    activation: Activation,
    expanded: bool,
) -> (Tensor<4>, InvertedResidual, Tensor<4>) {
    let [images, rows, columns, inputs, inside, outputs, side, _] = sizes;
    let inputs = if expanded { inputs } else { inside };
    let input = tensor([images, rows, columns, inputs], 1).0;
    let block = InvertedResidual {
        expand: expanded.then(|| (tensor([inside, inputs], 2).0, affine(inside, 3))),
        filter: tensor([inside, 1, side, side], 5).0,
        filter_affine: affine(inside, 6),
        project: tensor([outputs, inside], 8).0 / 8.0,
        project_affine: affine(outputs, 9),
        steps,
        activation,
        residual: steps.stride == 1 && inputs == outputs,
    };
    let expected = one_after_the_other(input.clone(), block.clone());
    (input, block, expected)
}

fn one_after_the_other(input: Tensor<4>, block: InvertedResidual) -> Tensor<4> {
    let activation = Some(block.activation);
    let expanded = match block.expand {
        Some((weight, affine)) => composed::pointwise(input.clone(), weight, affine, activation),
        None => input.clone(),
    };
    let filtered = composed::depthwise(expanded, block.filter, block.steps, block.filter_affine, activation);
    let output = composed::pointwise(filtered, block.project, block.project_affine, None);
    if block.residual { output + input } else { output }
}

/// Every block with both paddings, with and without an expansion.
fn cases() -> impl Iterator<Item = ([usize; 8], Steps, bool)> {
    BLOCKS.into_iter().flat_map(|sizes| {
        let steps = [Steps::same(sizes[7]), Steps::centred(sizes[7])];
        steps.into_iter().flat_map(move |steps| [true, false].map(|expanded| (sizes, steps, expanded)))
    })
}

fn read(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32")
}

fn assert_same(found: Tensor<4>, expected: Tensor<4>, case: &str) {
    assert_eq!(found.dims(), expected.dims(), "{case}");
    let (found, expected) = (read(found), read(expected));
    let largest = expected.iter().fold(1.0, |largest: f32, value| largest.max(value.abs()));
    for (place, (a, b)) in found.iter().zip(&expected).enumerate() {
        assert!((a - b).abs() <= 2e-5 * largest, "{case}: place {place}: {a} is not {b}");
    }
}

#[test]
fn a_block_equals_its_convolutions_one_after_the_other() {
    for (sizes, steps, expanded) in cases() {
        for activation in [Activation::Relu, Activation::Relu6, Activation::QuickGelu] {
            let (input, block, expected) = case(sizes, steps, activation, expanded);
            let name = format!("{sizes:?} {steps:?} {activation:?}, expanded: {expanded}");
            assert_same(inverted_residual(input, block), expected, &name);
        }
    }
}

#[test]
fn a_block_that_keeps_its_layout_computes_inputs_of_any_size() {
    let (input, block, expected) = case([2, 9, 8, 5, 33, 20, 5, 2], Steps::same(2), Activation::Relu, true);
    let kept = KeptLayout::default();
    let forward = |input: &Tensor<4>| inverted_residual_kept(input.clone(), block.clone(), &kept.clone());
    assert_same(forward(&input), expected.clone(), "first");
    let part = input.clone().narrow(1, 0, 5).narrow(2, 0, 3);
    assert_same(forward(&part), one_after_the_other(part.clone(), block.clone()), "smaller");
    assert_same(forward(&input), expected, "again");
    if cfg!(not(feature = "simd")) {
        return;
    }
    // What is kept counts, so that keeping it saves something.
    let other = InvertedResidual { project: block.project.clone() * 2.0, ..block.clone() };
    let found = read(inverted_residual_kept(input.clone(), other.clone(), &kept));
    assert_eq!(found, read(forward(&input)));
    assert_ne!(found, read(inverted_residual(input, other)));
}

#[test]
fn a_kernel_of_a_side_or_stride_without_a_body_of_its_own_is_computed_all_the_same() {
    for (side, stride) in [(7, 1), (3, 3)] {
        let sizes = [1, 9, 8, 4, 24, 4, side, stride];
        let (input, block, expected) = case(sizes, Steps::centred(stride), Activation::Relu, true);
        assert_same(inverted_residual(input, block), expected, &format!("{sizes:?}"));
    }
}

#[test]
fn a_blocks_weights_may_lie_in_memory_in_any_way() {
    let (input, mut block, expected) = case([2, 9, 8, 5, 33, 20, 5, 2], Steps::same(2), Activation::Relu6, true);
    let lying = |weight: Tensor<2>| {
        let data = weight.transpose().into_data();
        Tensor::<2>::from_data(data, &Device::flex()).transpose()
    };
    let twice = |weight: Tensor<2>| {
        Tensor::cat([weight.clone() * 7.0, weight.clone()].to_vec(), 0).narrow(0, weight.dims()[0], weight.dims()[0])
    };
    let (expand, affine) = block.expand.take().expect("an expansion");
    let (expand, project) = (lying(expand), twice(lying(block.project)));
    // Turned round in memory, and turned back by its steps.
    let turned = Tensor::<2>::from_data(expand.flip([0]).into_data(), &Device::flex()).flip([0]);
    let block = InvertedResidual { expand: Some((turned, affine)), project, ..block };
    assert_same(inverted_residual(input, block), expected, "weights that lie otherwise");
}

#[test]
fn a_weight_that_stands_for_many_counts_as_many() {
    let (input, row) = (tensor([1, 3, 3, 4], 1).0, tensor([1, 4], 2).0);
    let many = row.clone().expand([40, 4]);
    let copies = Tensor::cat((0..40).map(|_| row.clone()).collect(), 0);
    let found = pointwise_convolution(input.clone(), many, affine(40, 3), None);
    assert_same(found, composed::pointwise(input, copies, affine(40, 3), None), "a row for all outputs");
}

#[test]
fn numbers_that_are_none_come_through_a_block_as_through_its_convolutions() {
    for (sizes, steps, expanded) in cases() {
        for activation in [Activation::Relu, Activation::Relu6] {
            let (input, block, _) = case(sizes, steps, activation, expanded);
            let mut values = read(input.clone());
            values.iter_mut().zip([f32::NAN, f32::INFINITY]).for_each(|(value, strange)| *value = strange);
            let input = Tensor::<4>::from_data(TensorData::new(values, input.dims()), &Device::flex());
            let expected = read(one_after_the_other(input.clone(), block.clone()));
            let found = read(inverted_residual(input, block));
            assert!(expected.iter().any(|value| value.is_nan()), "NaN went in");
            for (place, (a, b)) in found.iter().zip(&expected).enumerate() {
                assert_eq!(a.is_nan(), b.is_nan(), "{sizes:?} {steps:?}, place {place}: {a} is not {b}");
            }
        }
    }
}

#[test]
fn a_convolution_equals_the_product_with_its_patches() {
    for [images, rows, columns, inputs, _, outputs, side, stride] in BLOCKS {
        for (side, steps) in [(side, Steps::same(stride)), (side, Steps::centred(stride)), (1, Steps::same(stride))] {
            for activation in [None, Some(Activation::Relu), Some(Activation::Relu6), Some(Activation::QuickGelu)] {
                let input = tensor([images, rows, columns, inputs], 1).0;
                let weight = tensor([outputs, inputs, side, side], 2).0;
                let patches = composed::patches(input.clone().permute([0, 3, 1, 2]), side, steps);
                let expected =
                    composed::pointwise(patches, weight.clone().flatten(1, 3), affine(outputs, 3), activation);
                let found = convolution(input, weight, steps, affine(outputs, 3), activation);
                assert_same(
                    found,
                    expected,
                    &format!("{rows} × {columns} × {inputs}, {side} {steps:?} {activation:?}"),
                );
            }
        }
    }
}

#[test]
fn a_block_of_ones_counts_what_it_sums() {
    let ones = || Tensor::<2>::ones([1, 1], &Device::flex());
    let neutral =
        || ChannelAffine { scale: Tensor::ones([1], &Device::flex()), shift: Tensor::zeros([1], &Device::flex()) };
    let block = InvertedResidual {
        expand: Some((ones(), neutral())),
        filter: Tensor::ones([1, 1, 3, 3], &Device::flex()),
        filter_affine: neutral(),
        project: ones(),
        project_affine: neutral(),
        steps: Steps::centred(1),
        activation: Activation::Relu6,
        residual: true,
    };
    let output = inverted_residual(Tensor::ones([1, 3, 3, 1], &Device::flex()), block);
    // A corner meets 4 pixels, an edge 6, and the middle 9, of which 6 are left; the input comes on top.
    assert_close(output, &[5.0, 7.0, 5.0, 7.0, 7.0, 7.0, 5.0, 7.0, 5.0]);
}

#[test]
fn no_images_make_no_output() {
    let (_, block, _) = case([1, 5, 7, 4, 24, 4, 3, 1], Steps::same(1), Activation::Relu, true);
    let none = || Tensor::<4>::zeros([0, 5, 7, 4], &Device::flex());
    assert_eq!(inverted_residual(none(), block).dims(), [0, 5, 7, 4]);
    let weight = tensor([6, 4, 3, 3], 2).0;
    assert_eq!(convolution(none(), weight, Steps::same(2), affine(6, 3), None).dims(), [0, 3, 4, 6]);
}

#[cfg(feature = "autodiff")]
#[test]
fn what_is_trained_has_gradients_behind_an_input_that_needs_none() {
    let tracked = |values: TensorData| Tensor::<1>::from_data(values, &Device::flex().autodiff()).require_grad();
    let shift = || tracked(tensor([6], 3).0.into_data());
    let behind = |shift: &Tensor<1>| ChannelAffine { scale: tensor([6], 2).0, shift: shift.clone() };
    let input = || tensor([1, 5, 5, 4], 1).0;
    let weight = || tensor([6, 4, 3, 3], 4).0;
    let has_gradient = |output: Tensor<4>, shift: &Tensor<1>| shift.grad(&output.sum().backward()).is_some();
    let trained = shift();
    let output = convolution(input(), weight(), Steps::same(2), behind(&trained), Some(Activation::Relu6));
    assert!(has_gradient(output, &trained), "a convolution's");
    let trained = shift();
    let matrix = weight().narrow(2, 0, 1).narrow(3, 0, 1).flatten(1, 3);
    assert!(has_gradient(pointwise_convolution(input(), matrix, behind(&trained), None), &trained), "one of 1 × 1's");
    for place in 0..3 {
        let trained = shift();
        let layer = |at: usize| if at == place { behind(&trained) } else { affine(6, 3) };
        let block = InvertedResidual {
            expand: Some((tensor([6, 4], 2).0, layer(0))),
            filter: tensor([6, 1, 3, 3], 5).0,
            filter_affine: layer(1),
            project: tensor([6, 6], 8).0,
            project_affine: layer(2),
            steps: Steps::same(1),
            activation: Activation::Relu6,
            residual: false,
        };
        assert!(has_gradient(inverted_residual(input(), block), &trained), "layer {place} of a block's");
    }
}
