//! The layer beside its formula, computed slowly and clearly: by the body for this processor, and by the one for WebAssembly with
//! integers as either of its kinds of instructions has them.
#![cfg(feature = "int8")]

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use burn::prelude::*;

use super::dots::Slow;
use super::{IntegerProduct, QuantizedWeight, quantized_linear, wasm};
use crate::ops::Activation;
use crate::ops::testing::values;
use crate::weights::{MULTIPLIED, QuantizedMatrix};

/// Rows, inputs, outputs: one of each, less and more than a vector, a tile and a block of rows, inputs or outputs.
const SHAPES: [[usize; 3]; 12] = [
    [0, 5, 7],
    [1, 1, 1],
    [1, 48, 2],
    [3, 5, 7],
    [2, 3, 33],
    [7, 17, 20],
    [9, 64, 31],
    [65, 33, 100],
    [8, 1030, 40],
    [1, 2050, 129],
    [600, 24, 2000],
    [197, 96, 288],
];

/// A row's bytes less the byte for zero, and the factor.
fn integers(row: &[f32]) -> (Vec<i64>, f32) {
    let (low, high) = row.iter().fold((0.0f32, 0.0f32), |(low, high), x| (low.min(*x), high.max(*x)));
    let factor = high / 255.0 - low / 255.0;
    if factor * 255.0 < 1e-30 {
        return (row.iter().map(|_| 0).collect(), 0.0);
    }
    let inverse = 1.0 / factor;
    let zero = (-low * inverse).round_ties_even();
    let byte = |x: &f32| ((x * inverse).round_ties_even() + zero).clamp(0.0, 255.0) - zero;
    (row.iter().map(|x| byte(x) as i64).collect(), factor)
}

/// The weight as each body has it.
fn all(integers: &[i8], factors: &[f32], shape: [usize; 2]) -> [Option<QuantizedWeight>; 3] {
    fn of<P: IntegerProduct + 'static>(packed: P) -> QuantizedWeight {
        QuantizedWeight(Arc::new(packed))
    }
    [
        QuantizedWeight::new(integers, factors, shape),
        wasm::Packed::new(Slow::<0>, integers, factors, shape).map(of),
        wasm::Packed::new(Slow::<64>, integers, factors, shape).map(of),
    ]
}

struct Layer {
    x: Vec<f32>,
    matrix: QuantizedMatrix,
    bias: Option<Vec<f32>>,
    residual: Option<Vec<f32>>,
    activation: Option<Activation>,
    shape: [usize; 3],
}

impl Layer {
    fn new(shape: [usize; 3], index: usize) -> Self {
        let [rows, inputs, outputs] = shape;
        let weight = values(outputs * inputs, 2);
        Self {
            x: values(rows * inputs, 1).into_iter().map(|x| 4.0 * x + 1.0).collect(),
            matrix: QuantizedMatrix::of(&weight, outputs, MULTIPLIED),
            bias: (!index.is_multiple_of(3)).then(|| values(outputs, 3)),
            residual: index.is_multiple_of(2).then(|| values(rows * outputs, 4)),
            activation: Activation::NONE_OR_ANY[index % Activation::NONE_OR_ANY.len()],
            shape,
        }
    }

    fn weights(&self) -> [QuantizedWeight; 3] {
        let [_, inputs, outputs] = self.shape;
        all(&self.matrix.values, &self.matrix.scales, [outputs, inputs]).map(|weight| weight.expect("within the limit"))
    }

    /// What each body makes of the layer.
    fn operations(&self) -> [Vec<f32>; 3] {
        self.weights().map(|weight| self.operation(&weight))
    }

    fn operation(&self, weight: &QuantizedWeight) -> Vec<f32> {
        let ([rows, inputs, outputs], device) = (self.shape, Device::flex());
        let x = Tensor::<3>::from_data(TensorData::new(self.x.clone(), [1, rows, inputs]), &device);
        let bias = self.bias.as_ref().map(|bias| Tensor::from_data(bias.as_slice(), &device));
        let residual = self.residual.as_ref();
        let residual = residual.map(|r| Tensor::from_data(TensorData::new(r.clone(), [1, rows, outputs]), &device));
        let output = quantized_linear(x, weight, bias, self.activation, residual);
        assert_eq!(output.dims(), [1, rows, outputs]);
        output.into_data().try_into_vec().expect("f32")
    }

    fn formula(&self) -> Vec<f64> {
        let [_, inputs, outputs] = self.shape;
        let mut results = Vec::new();
        for (index, row) in self.x.chunks(inputs).enumerate() {
            let (bytes, factor) = integers(row);
            for (output, weights) in self.matrix.values.chunks(inputs).enumerate() {
                let sum: i64 = bytes.iter().zip(weights).map(|(byte, weight)| byte * i64::from(*weight)).sum();
                let value = sum as f64 * f64::from(factor) * f64::from(self.matrix.scales[output]);
                let value = value + self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[output]));
                let value = self.activation.map_or(value, |activation| activation.of_scalar(value));
                let residual =
                    self.residual.as_ref().map_or(0.0, |residual| f64::from(residual[index * outputs + output]));
                results.push(value + residual);
            }
        }
        results
    }
}

#[test]
fn the_layer_is_its_formula_at_every_shape() {
    for (index, shape) in SHAPES.iter().cycle().take(2 * SHAPES.len() + 3).enumerate() {
        let layer = Layer::new(*shape, index);
        let expected = layer.formula();
        let largest = expected.iter().fold(1.0f64, |largest, value| largest.max(value.abs()));
        for (body, found) in layer.operations().iter().enumerate() {
            for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let name = format!("{shape:?}, {:?}, body {body}, place {place}", layer.activation);
                assert!((f64::from(*found) - expected).abs() <= 2e-6 * largest, "{name}: {found} is not {expected}");
            }
            assert_eq!(found.len(), expected.len());
        }
    }
}

#[test]
fn the_weight_is_given_back_as_it_was() {
    for shape in SHAPES {
        let layer = Layer::new(shape, 0);
        for weight in layer.weights() {
            assert_eq!(weight.dequantized(), layer.matrix.dequantized(), "{shape:?}");
        }
    }
}

#[test]
fn it_comes_near_the_product_of_the_numbers() {
    let [rows, inputs, outputs] = [20, 256, 64];
    let (x, weight) = (values(rows * inputs, 1), values(outputs * inputs, 2));
    let matrix = QuantizedMatrix::of(&weight, outputs, MULTIPLIED);
    let layer =
        Layer { x: x.clone(), matrix, bias: None, residual: None, activation: None, shape: [rows, inputs, outputs] };
    let dot = |row: &[f32], weights: &[f32]| row.iter().zip(weights).map(|(a, b)| a * b).sum::<f32>();
    let exact: Vec<f32> = x.chunks(inputs).flat_map(|row| weight.chunks(inputs).map(move |w| dot(row, w))).collect();
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>();
    for found in layer.operations() {
        let error = square(&mut found.iter().zip(&exact).map(|(a, b)| a - b)) / square(&mut exact.iter().copied());
        // Two roundings of uniform numbers, to 1 of 128 and of 255 steps.
        assert!(error.sqrt() > 1e-3 && error.sqrt() < 1e-2, "{}", error.sqrt());
    }
}

#[test]
fn what_is_not_finite_makes_its_row_so_and_no_other() {
    for strange in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for place in [0, 40] {
            let mut layer = Layer::new([3, 41, 20], 0);
            layer.activation = Some(Activation::Relu6);
            layer.x[41 + place] = strange;
            for found in layer.operations() {
                assert!(found[20..40].iter().all(|value| value.is_nan()), "{strange} at {place}: {found:?}");
                assert!(found[..20].iter().chain(&found[40..]).all(|value| value.is_finite()));
            }
        }
    }
}

#[test]
fn rows_of_zeros_of_one_sign_and_of_extremes_are_multiplied() {
    let mut layer = Layer::new([5, 24, 6], 1);
    (layer.activation, layer.bias, layer.residual) = (None, None, None);
    layer.x[..24].fill(0.0);
    layer.x[24..48].iter_mut().for_each(|x| *x = x.abs() + 3.0);
    layer.x[48..72].iter_mut().for_each(|x| *x = -x.abs() - 3.0);
    layer.x[72..96].iter_mut().for_each(|x| *x *= 1e-38);
    layer.x[96..].iter_mut().for_each(|x| *x *= 3e33);
    let expected = layer.formula();
    for found in layer.operations() {
        for (row, (found, expected)) in found.chunks(6).zip(expected.chunks(6)).enumerate() {
            let largest = expected.iter().fold(1e-30f64, |largest, value| largest.max(value.abs()));
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() <= 2e-6 * largest, "row {row}: {found} is not {expected}");
            }
        }
    }
}

#[test]
fn integers_that_some_processors_would_not_add_up_exactly_are_not_taken() {
    let taken = |integers: &[i8], factors: &[f32]| all(integers, factors, [1, 2]).map(|weight| weight.is_some());
    assert_eq!(taken(&[64, -64], &[1.0]), [true; 3]);
    assert_eq!(taken(&[64, 65], &[1.0]), [false; 3]);
    assert_eq!(taken(&[64, i8::MIN], &[1.0]), [false; 3]);
    assert_eq!(taken(&[64, 1], &[1.0, 1.0]), [false; 3]);
}

#[test]
fn the_largest_sums_are_exact() {
    let inputs = 1000;
    let layer = Layer {
        x: (0..2 * inputs).map(|place| if place < inputs { 255.0 } else { -255.0 }).collect(),
        matrix: QuantizedMatrix {
            values: [64; 1000].into_iter().chain([-64; 1000]).collect(),
            scales: [1.0, 1.0].to_vec(),
        },
        bias: None,
        residual: None,
        activation: None,
        shape: [2, inputs, 2],
    };
    let sum = 255.0 * 64.0 * inputs as f32;
    for found in layer.operations() {
        assert_eq!(found, [sum, -sum, -sum, sum]);
    }
}
