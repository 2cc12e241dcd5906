//! Each body's gradients are those that burn finds of the body in its own operations, whichever inputs ask for one.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use burn::backend::Dispatch;
use burn::prelude::*;
use burn::tensor::GradientCheckpointingStrategy;

use crate::ops::extension::Optional;
use crate::ops::testing::values;
use crate::ops::{self, Activation, attention, layer_norm, linear};

/// An operation at one shape: its name, the shapes of its inputs, itself, and its body in burn's operations.
struct Case {
    name: String,
    inputs: Vec<Vec<usize>>,
    operation: Compute,
    composed: Compute,
}

type Compute = Box<dyn Fn(Vec<Tensor<1>>) -> Tensor<1>>;

impl Case {
    fn check(&self) {
        use GradientCheckpointingStrategy::{Balanced, Disabled};
        for asks in 1..1 << self.inputs.len() {
            for checkpointing in [Disabled, Balanced] {
                let found = self.gradients(&self.operation, asks, checkpointing);
                let expected = self.gradients(&self.composed, asks, Disabled);
                let name = format!("{}, asked {asks:b}, {checkpointing:?}", self.name);
                assert_eq!(found.len(), expected.len(), "{name}");
                for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    assert_same(found, expected, &format!("{name}, {place}"));
                }
            }
        }
    }

    /// The output, and the gradients of the inputs whose bit is set in `asks`, of the output times seeded numbers.
    fn gradients(&self, compute: &Compute, asks: usize, with: GradientCheckpointingStrategy) -> Vec<Vec<f32>> {
        let input = |(place, shape): (usize, &Vec<usize>)| {
            let values = values(shape.iter().product(), place as u64 + 1);
            let plain = Tensor::<1>::from_data(values.as_slice(), &Device::flex());
            match asks >> place & 1 {
                1 => plain.autodiff().with_gradient_checkpointing_strategy(with).require_grad(),
                _ => plain,
            }
        };
        let inputs: Vec<Tensor<1>> = self.inputs.iter().enumerate().map(input).collect();
        let output = compute(inputs.clone());
        let [length] = output.dims();
        let factors = Tensor::<1>::from_data(values(length, 99).as_slice(), &Device::flex());
        let gradients = (output.clone() * factors).sum().backward();
        let found = inputs.iter().filter_map(|input| input.grad(&gradients));
        [output.without_autodiff()].into_iter().chain(found).map(read).collect()
    }
}

fn read(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32")
}

fn assert_same(found: &[f32], expected: &[f32], name: &str) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.1f32, |largest, value| largest.max(value.abs()));
    for (place, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 5e-5 * largest, "{name}, place {place}: {a} is not {b}");
    }
}

fn flat<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let length = tensor.shape().num_elements();
    tensor.reshape([length])
}

fn linear_case(
    [batch, tokens, inside, outside]: [usize; 4],
    [has_bias, has_residual]: [bool; 2],
    activation: Option<Activation>,
) -> Case {
    let name = format!("{batch} × {tokens} × {inside} to {outside}, {has_bias}, {has_residual}, {activation:?}");
    let inputs = [
        Some([batch, tokens, inside].to_vec()),
        Some([outside, inside].to_vec()),
        has_bias.then(|| [outside].to_vec()),
        has_residual.then(|| [batch, tokens, outside].to_vec()),
    ];
    let given = move |inputs: Vec<Tensor<1>>| {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("an input");
        let input: Tensor<3> = next().reshape([batch, tokens, inside]);
        let weight: Tensor<2> = next().reshape([outside, inside]);
        let bias = has_bias.then(&mut next);
        let residual: Option<Tensor<3>> = has_residual.then(|| next().reshape([batch, tokens, outside]));
        (input, weight, bias, residual)
    };
    let operation = move |inputs: Vec<Tensor<1>>| {
        let (input, weight, bias, residual) = given(inputs);
        flat(ops::linear(input, weight, bias, activation, residual))
    };
    let composed = move |inputs: Vec<Tensor<1>>| {
        let (input, weight, bias, residual) = given(inputs);
        let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
        let (bias, residual) = (Optional::new(bias), Optional::new(residual));
        let output = linear::composed::<Dispatch>(input, weight, bias, activation, residual);
        flat(Tensor::<3>::from_dispatch(output))
    };
    let inputs = inputs.into_iter().flatten().collect();
    Case { name, inputs, operation: Box::new(operation), composed: Box::new(composed) }
}

#[test]
fn a_linear_layers_gradients_are_those_of_burns_operations() {
    /// One of each, one row, one column in and out, primes, more rows than are summed at a time and outputs than a piece has.
    const SHAPES: [[usize; 4]; 8] = [
        [1, 1, 1, 1],
        [1, 1, 48, 2],
        [1, 7, 1, 3],
        [1, 5, 3, 1],
        [2, 3, 5, 7],
        [1, 13, 17, 31],
        [2, 53, 61, 47],
        [1, 797, 19, 101],
    ];
    let mut activations = Activation::NONE_OR_ANY.into_iter().cycle();
    for shape in SHAPES {
        for with in [[false, false], [true, false], [false, true], [true, true]] {
            linear_case(shape, with, activations.next().flatten()).check();
        }
    }
    for activation in Activation::NONE_OR_ANY {
        linear_case([2, 3, 19, 37], [true, true], activation).check();
    }
}

fn attention_case([batch, queries, keys, heads, within]: [usize; 5], biases: Option<usize>) -> Case {
    let width = heads * within;
    let inputs = [
        Some([batch, queries, width].to_vec()),
        Some([batch, keys, width].to_vec()),
        Some([batch, keys, width].to_vec()),
        biases.map(|biases| [biases, heads, queries, keys].to_vec()),
    ];
    let given = move |inputs: Vec<Tensor<1>>| {
        let mut inputs = inputs.into_iter();
        let mut next = |tokens: usize| -> Tensor<3> { inputs.next().expect("one").reshape([batch, tokens, width]) };
        // Scores that differ by more than their factors.
        let (query, key, value) = (next(queries) * 3.0, next(keys), next(keys));
        let bias: Option<Tensor<4>> =
            biases.map(|biases| inputs.next().expect("a bias").reshape([biases, heads, queries, keys]));
        (query, key, value, bias)
    };
    let operation = move |inputs: Vec<Tensor<1>>| {
        let (query, key, value, bias) = given(inputs);
        flat(ops::attention(query, key, value, heads, bias))
    };
    let composed = move |inputs: Vec<Tensor<1>>| {
        let (query, key, value, bias) = given(inputs);
        let (query, key, value) = (query.into_dispatch(), key.into_dispatch(), value.into_dispatch());
        let output = attention::composed::<Dispatch>(query, key, value, heads, Optional::new(bias));
        flat(Tensor::<3>::from_dispatch(output))
    };
    Case {
        name: format!("{batch} × {queries} to {keys}, {heads} × {within}, {biases:?} biases"),
        inputs: inputs.into_iter().flatten().collect(),
        operation: Box::new(operation),
        composed: Box::new(composed),
    }
}

#[test]
fn attentions_gradients_are_those_of_burns_operations() {
    /// One of each, one query to many keys, heads of one number, primes, more tokens than a piece has going forward.
    const SHAPES: [[usize; 5]; 7] = [
        [1, 1, 1, 1, 4],
        [2, 1, 7, 1, 6],
        [1, 5, 3, 3, 1],
        [2, 5, 5, 3, 8],
        [1, 11, 4, 4, 3],
        [3, 17, 23, 2, 16],
        [1, 97, 97, 1, 64],
    ];
    for shape in SHAPES {
        for biases in [None, Some(1), Some(shape[0])] {
            attention_case(shape, biases).check();
        }
    }
}

#[test]
fn a_layer_norms_gradients_are_those_of_burns_operations() {
    // Rows and channels: one of each but two channels, whose variance is not 0, primes, more rows than a piece has.
    for [rows, width] in [[1, 2], [1, 7], [13, 3], [5, 64], [31, 33], [101, 768]] {
        let given = move |inputs: Vec<Tensor<1>>| {
            let [input, weight, bias] = inputs.try_into().expect("three inputs");
            (input.reshape([1, rows, width]) * 2.0 + 1.0, weight, bias)
        };
        let operation = move |inputs: Vec<Tensor<1>>| {
            let (input, weight, bias): (Tensor<3>, _, _) = given(inputs);
            flat(ops::layer_norm(input, weight, bias, 1e-5))
        };
        let composed = move |inputs: Vec<Tensor<1>>| {
            let (input, weight, bias): (Tensor<3>, _, _) = given(inputs);
            let (weight, bias) = (weight.into_dispatch(), bias.into_dispatch());
            let output = layer_norm::composed::<Dispatch>(input.into_dispatch(), weight, bias, 1e-5);
            flat(Tensor::<3>::from_dispatch(output))
        };
        let case = Case {
            name: format!("{rows} × {width}"),
            inputs: [[rows * width].to_vec(), [width].to_vec(), [width].to_vec()].to_vec(),
            operation: Box::new(operation),
            composed: Box::new(composed),
        };
        case.check();
    }
}
