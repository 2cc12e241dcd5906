//! The gradients of a block by the statistics of the batch, as far as the table of tests has no column for it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::*;
use crate::ops::Activation;
use crate::ops::testing::tensor;

/// A block's sizes, how its filter moves, and whether it has an expansion.
type Case = ([usize; 8], Steps, bool);

/// Images, rows, columns, channels in, inside and out, side, stride.
#[cfg(feature = "threads")]
const BLOCKS: [[usize; 8]; 5] = [
    [1, 1, 1, 1, 6, 1, 3, 1],
    [1, 6, 5, 7, 41, 9, 3, 2],
    [2, 9, 8, 5, 33, 20, 5, 2],
    [1, 35, 33, 16, 96, 24, 3, 2],
    [35, 4, 6, 20, 48, 20, 3, 1],
];
const EPSILON: f64 = 1e-3;

/// The input of a case, seeded numbers times `factor`, and its block.
fn of_case((sizes, steps, expanded): Case, factor: f32, device: &Device) -> (Tensor<4>, InvertedResidualOfBatch) {
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
    let input = tensor([images, rows, columns, inputs], 1).0 * factor;
    (Tensor::from_data(input.into_data(), device), block)
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32")
}

/// The gradients of `Σ output * w` with seeded `w`, by their names; none where a tensor is not one of the `trained`.
fn gradients(case: Case, trained: impl Fn(&str) -> bool) -> Vec<(String, Option<Vec<f32>>)> {
    let device = Device::flex().autodiff();
    let (input, block) = of_case(case, 1.0, &device);
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
    let output = inverted_residual_of_batch(input.clone(), block.clone()).0;
    let factors = Tensor::<4>::from_data(tensor(output.dims(), 12).0.into_data(), &device);
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
fn gradients_are_given_for_what_is_trained_and_for_nothing_else() {
    let case = ([2, 5, 7, 4, 24, 4, 3, 1], Steps::same(1), true);
    let all = gradients(case, |_| true);
    for (place, (one, alone)) in all.iter().enumerate() {
        let found = gradients(case, |name| name == one);
        assert_eq!(&found[place].1, alone, "{one} alone");
        assert!(found.iter().all(|(name, gradient)| name == one || gradient.is_none()), "besides {one}");
    }
}

#[cfg(feature = "threads")]
#[test]
fn gradients_and_output_do_not_depend_on_the_number_of_cores() {
    let with_cores = |cores: usize, case: Case| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(cores).build().expect("a pool");
        pool.install(|| {
            let (input, block) = of_case(case, 1.0, &Device::flex());
            let output = read(inverted_residual_of_batch(input, block).0);
            (output, gradients(case, |_| true))
        })
    };
    for sizes in BLOCKS {
        for (steps, expanded) in [(Steps::same(sizes[7]), true), (Steps::centred(sizes[7]), false)] {
            let case = (sizes, steps, expanded);
            assert_eq!(with_cores(1, case), with_cores(3, case), "{case:?}");
        }
    }
}

#[test]
fn gradients_do_not_depend_on_what_was_in_memory_before() {
    let case = ([3, 7, 7, 16, 40, 16, 5, 1], Steps::same(1), true);
    let first = gradients(case, |_| true);
    // The same sizes with other numbers, none of which may be left.
    let (input, block) = of_case(case, 1e20, &Device::flex());
    inverted_residual_of_batch(input, block);
    assert_eq!(gradients(case, |_| true), first);
}
