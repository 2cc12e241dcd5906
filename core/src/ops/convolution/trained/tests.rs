//! Blocks by the statistics of the batch against burn's own operations one after the other.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::{composed, norm};
use super::*;
use crate::ops::testing::tensor;

/// Images, rows, columns, channels in, inside and out, side, stride. Some have odd channels, rows of few places, one pixel,
/// more images than parts, and a kernel or step without a body of its own.
const BLOCKS: [[usize; 8]; 15] = [
    [1, 1, 1, 1, 6, 1, 3, 1],
    [2, 1, 3, 3, 18, 5, 5, 2],
    [2, 5, 7, 4, 24, 4, 3, 1],
    [1, 6, 5, 7, 41, 9, 3, 2],
    [3, 7, 7, 16, 40, 16, 5, 1],
    [2, 9, 8, 5, 33, 20, 5, 2],
    [1, 2, 3, 8, 8, 3, 3, 1],
    [2, 24, 20, 24, 144, 24, 3, 1],
    [1, 35, 33, 16, 96, 24, 3, 2],
    [35, 4, 6, 20, 48, 20, 3, 1],
    [1, 33, 35, 20, 120, 40, 5, 2],
    [2, 4, 6, 32, 192, 32, 3, 1],
    [1, 65, 3, 2, 50, 2, 3, 1],
    [1, 9, 8, 4, 24, 4, 7, 1],
    [1, 9, 8, 4, 24, 4, 3, 3],
];
const EPSILON: f64 = 1e-3;

/// The block in burn's own operations.
fn one_after_the_other(input: Tensor<4>, block: InvertedResidualOfBatch) -> (Tensor<4>, Vec<Moments>) {
    let InvertedResidualOfBatch { expand, filter, project, steps, activation, residual, epsilon } = block;
    let mut moments = Vec::new();
    let neutral = |channels: usize| ChannelAffine {
        scale: Tensor::ones([channels], &Device::flex()),
        shift: Tensor::zeros([channels], &Device::flex()),
    };
    let mut normed = |values: Tensor<4>, weight, bias, activation| {
        let (output, found) = norm::composed(values, weight, bias, epsilon, activation);
        moments.push(found);
        output
    };
    let expanded = match expand {
        Some(NormedConvolution { weight, norm_weight, norm_bias }) => {
            let affine = neutral(weight.dims()[0]);
            let values = composed::pointwise(input.clone(), weight, affine, None);
            normed(values, norm_weight, norm_bias, Some(activation))
        }
        None => input.clone(),
    };
    let affine = neutral(filter.weight.dims()[0]);
    let values = composed::depthwise(expanded, filter.weight, steps, affine, None);
    let filtered = normed(values, filter.norm_weight, filter.norm_bias, Some(activation));
    let affine = neutral(project.weight.dims()[0]);
    let values = composed::pointwise(filtered, project.weight, affine, None);
    let output = normed(values, project.norm_weight, project.norm_bias, None);
    (if residual { output + input } else { output }, moments)
}

/// Every block with both paddings, with and without an expansion.
fn cases() -> impl Iterator<Item = ([usize; 8], Steps, bool)> {
    BLOCKS.into_iter().flat_map(|sizes| {
        let steps = [Steps::same(sizes[7]), Steps::centred(sizes[7])];
        steps.into_iter().flat_map(move |steps| [true, false].map(|expanded| (sizes, steps, expanded)))
    })
}

/// The input of a case, made of seeded numbers by `prepare`, and its block.
fn case(
    sizes: [usize; 8],
    steps: Steps,
    expanded: bool,
    prepare: impl FnOnce(Vec<f32>) -> Vec<f32>,
    device: &Device,
) -> (Tensor<4>, InvertedResidualOfBatch) {
    let [images, rows, columns, inputs, inside, outputs, side, _] = sizes;
    let inputs = if expanded { inputs } else { inside };
    let on_device = |channels: usize, seed: u64, offset: f32| {
        Tensor::<1>::from_data((tensor([channels], seed).0 + offset).into_data(), device)
    };
    let layer = |outputs: usize, depth: usize, seed: u64| NormedConvolution {
        weight: Tensor::<2>::from_data(tensor([outputs, depth], seed).0.into_data(), device),
        norm_weight: on_device(outputs, seed + 1, 1.5),
        norm_bias: on_device(outputs, seed + 2, 1.0),
    };
    let expand = expanded.then(|| layer(inside, inputs, 2));
    let filter = layer(inside, side * side, 5);
    let filter = NormedConvolution {
        weight: filter.weight.reshape([inside, 1, side, side]),
        norm_weight: filter.norm_weight,
        norm_bias: filter.norm_bias,
    };
    let project = layer(outputs, inside, 8);
    let residual = steps.stride == 1 && inputs == outputs;
    let block = InvertedResidualOfBatch {
        expand,
        filter,
        project,
        steps,
        activation: Activation::Relu6,
        residual,
        epsilon: EPSILON,
    };
    let shape = [images, rows, columns, inputs];
    let input = TensorData::new(prepare(tensor(shape, 1).1), shape);
    (Tensor::from_data(input, device), block)
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
fn a_block_and_its_statistics_equal_burns_own_operations() {
    for (sizes, steps, expanded) in cases() {
        for activation in [Activation::Relu, Activation::Relu6, Activation::QuickGelu] {
            let (input, block) = case(sizes, steps, expanded, |values| values, &Device::flex());
            let block = InvertedResidualOfBatch { activation, ..block };
            let name = format!("{sizes:?} {steps:?} {activation:?}, expanded: {expanded}");
            let (expected, expected_moments) = one_after_the_other(input.clone(), block.clone());
            let (found, moments) = inverted_residual_of_batch(input, block);
            assert_eq!(found.dims(), expected.dims(), "{name}");
            assert_same(&read(found), &read(expected), &name);
            assert_eq!(moments.len(), expected_moments.len(), "{name}");
            for (found, expected) in moments.into_iter().zip(expected_moments) {
                assert_eq!(found.pixels, expected.pixels, "{name}");
                assert_same(&read(found.mean), &read(expected.mean), &name);
                assert_same(&read(found.variance), &read(expected.variance), &name);
            }
        }
    }
}

#[cfg(all(feature = "webgpu", feature = "autodiff"))]
#[test]
fn a_block_and_its_statistics_on_a_graphics_device_equal_burns_own_operations() {
    let Some(device) = crate::ops::testing::graphics_device() else { return };
    for (sizes, steps, expanded) in cases() {
        for activation in [Activation::Relu, Activation::Relu6, Activation::QuickGelu] {
            let name = format!("{sizes:?} {steps:?} {activation:?}, expanded: {expanded}");
            let of = |device: &Device| {
                let (input, block) = case(sizes, steps, expanded, |values| values, device);
                (input, InvertedResidualOfBatch { activation, ..block })
            };
            let (input, block) = of(&Device::flex());
            let (expected, expected_moments) = one_after_the_other(input, block);
            let (input, block) = of(&device);
            let (found, moments) = inverted_residual_of_batch(input, block);
            assert_same(&read(found), &read(expected), &name);
            assert_eq!(moments.len(), expected_moments.len(), "{name}");
            for (found, expected) in moments.into_iter().zip(expected_moments) {
                assert_eq!(found.pixels, expected.pixels, "{name}");
                assert_same(&read(found.mean), &read(expected.mean), &name);
                assert_same(&read(found.variance), &read(expected.variance), &name);
            }
        }
    }
}

#[test]
fn numbers_that_are_none_come_through_a_block_as_through_burns_own_operations() {
    for (sizes, steps, expanded) in cases() {
        let strange = |mut values: Vec<f32>| {
            values.iter_mut().take(1).for_each(|value| *value = f32::NAN);
            values
        };
        let (input, block) = case(sizes, steps, expanded, strange, &Device::flex());
        let expected = read(one_after_the_other(input.clone(), block.clone()).0);
        let found = read(inverted_residual_of_batch(input, block).0);
        assert!(expected.iter().any(|value| value.is_nan()), "NaN went in");
        for (place, (a, b)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(a.is_nan(), b.is_nan(), "{sizes:?} {steps:?}, place {place}: {a} is not {b}");
        }
    }
}

#[cfg(feature = "autodiff")]
mod gradients {
    use super::*;

    type Body = fn(Tensor<4>, InvertedResidualOfBatch) -> (Tensor<4>, Vec<Moments>);

    /// The output of a case and the gradients of `Σ output * w` with seeded `w`, by their names; none where a tensor is not one
    /// of the `trained`.
    fn gradients(
        body: Body,
        case: ([usize; 8], Steps, bool),
        trained: impl Fn(&str) -> bool,
    ) -> Vec<(String, Option<Vec<f32>>)> {
        gradients_on(&Device::flex().autodiff(), body, case, trained)
    }

    fn gradients_on(
        device: &Device,
        body: Body,
        (sizes, steps, expanded): ([usize; 8], Steps, bool),
        trained: impl Fn(&str) -> bool,
    ) -> Vec<(String, Option<Vec<f32>>)> {
        let (input, block) = case(sizes, steps, expanded, |values| values, device);
        fn ask<const D: usize>(tensor: Tensor<D>, wanted: bool) -> Tensor<D> {
            if wanted { tensor.require_grad() } else { tensor }
        }
        fn ask_layer<const D: usize>(layer: NormedConvolution<D>, wanted: [bool; 3]) -> NormedConvolution<D> {
            NormedConvolution {
                weight: ask(layer.weight, wanted[0]),
                norm_weight: ask(layer.norm_weight, wanted[1]),
                norm_bias: ask(layer.norm_bias, wanted[2]),
            }
        }
        let names = |layer: &str| ["weight", "norm's weight", "norm's bias"].map(|part| format!("{layer}'s {part}"));
        let wanted = |layer: &str| names(layer).map(|name| trained(&name));
        let input = ask(input, trained("input"));
        let block = InvertedResidualOfBatch {
            expand: block.expand.map(|layer| ask_layer(layer, wanted("expansion"))),
            filter: ask_layer(block.filter, wanted("filter")),
            project: ask_layer(block.project, wanted("projection")),
            ..block
        };
        let output = body(input.clone(), block.clone()).0;
        let factors = Tensor::<4>::from_data(tensor(output.dims(), 12).0.into_data(), device);
        let found = (output * factors).sum().backward();
        let data = |found: Option<TensorData>| found.map(|data| data.try_into_vec().expect("f32"));
        let mut all = [(String::from("input"), data(input.grad(&found).map(Tensor::into_data)))].to_vec();
        macro_rules! add {
            ($layer:expr, $name:literal) => {
                let layer = $layer;
                let of_layer = [
                    layer.weight.grad(&found).map(Tensor::into_data),
                    layer.norm_weight.grad(&found).map(Tensor::into_data),
                    layer.norm_bias.grad(&found).map(Tensor::into_data),
                ];
                all.extend(names($name).into_iter().zip(of_layer.map(data)));
            };
        }
        if let Some(layer) = block.expand {
            add!(layer, "expansion");
        }
        add!(block.filter, "filter");
        add!(block.project, "projection");
        all
    }

    #[test]
    fn of_a_block_equal_those_of_burns_own_operations() {
        for case in cases() {
            let expected = gradients(one_after_the_other, case, |_| true);
            for ((name, found), (_, expected)) in
                gradients(inverted_residual_of_batch, case, |_| true).into_iter().zip(expected)
            {
                let (found, expected) = (found.expect("a gradient"), expected.expect("a gradient"));
                assert_same(&found, &expected, &format!("{case:?}: {name}"));
            }
        }
    }

    #[cfg(feature = "webgpu")]
    #[test]
    fn of_a_block_on_a_graphics_device_equal_those_of_burns_own_operations() {
        let Some(device) = crate::ops::testing::graphics_device() else { return };
        for case in cases() {
            let expected = gradients(one_after_the_other, case, |_| true);
            let found = gradients_on(&device, inverted_residual_of_batch, case, |_| true);
            assert_eq!(found.len(), expected.len(), "{case:?}");
            for ((name, found), (_, expected)) in found.into_iter().zip(expected) {
                let (found, expected) = (found.expect("a gradient"), expected.expect("a gradient"));
                assert_same(&found, &expected, &format!("{case:?}: {name}"));
            }
        }
    }

    #[test]
    fn of_a_block_are_given_for_what_is_trained_and_for_nothing_else() {
        let case = ([2, 5, 7, 4, 24, 4, 3, 1], Steps::same(1), true);
        let all = gradients(inverted_residual_of_batch, case, |_| true);
        for (place, (one, alone)) in all.iter().enumerate() {
            let found = gradients(inverted_residual_of_batch, case, |name| name == one);
            assert_eq!(&found[place].1, alone, "{one} alone");
            assert!(found.iter().all(|(name, gradient)| name == one || gradient.is_none()), "besides {one}");
        }
    }

    #[cfg(feature = "threads")]
    #[test]
    fn and_output_do_not_depend_on_the_number_of_cores() {
        let with_cores = |cores: usize, case: ([usize; 8], Steps, bool)| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(cores).build().expect("a pool");
            pool.install(|| {
                let (input, block) = super::case(case.0, case.1, case.2, |values| values, &Device::flex());
                let output = read(inverted_residual_of_batch(input, block).0);
                (output, gradients(inverted_residual_of_batch, case, |_| true))
            })
        };
        for case in cases().step_by(5) {
            assert_eq!(with_cores(1, case), with_cores(3, case), "{case:?}");
        }
    }

    #[test]
    fn do_not_depend_on_what_was_in_memory_before() {
        let case = ([3, 7, 7, 16, 40, 16, 5, 1], Steps::same(1), true);
        let first = gradients(inverted_residual_of_batch, case, |_| true);
        // The same sizes with other numbers, none of which may be left.
        let strange = |values: Vec<f32>| values.into_iter().map(|value| value * 1e20).collect();
        let (input, block) = super::case(case.0, case.1, case.2, strange, &Device::flex());
        inverted_residual_of_batch(input, block);
        assert_eq!(gradients(inverted_residual_of_batch, case, |_| true), first);
    }
}
