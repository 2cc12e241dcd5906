//! Products in vectors of every length beside their formula.

use alloc::vec::Vec;

use pulp::{Arch, Scalar128b, Scalar256b, Scalar512b, Simd, WithSimd};

use super::product::{Filters, Packed, Rows, Target, product};
use crate::ops::Activation;
use crate::ops::testing::values;

/// Rows, runs, inputs of a run, outputs: less and more than a tile, a panel, and what is taken at a time.
const SHAPES: [[usize; 4]; 12] = [
    [1, 1, 1, 1],
    [2, 1, 5, 3],
    [3, 3, 7, 4],
    [5, 1, 64, 9],
    [7, 2, 3, 12],
    [8, 1, 33, 13],
    [9, 1, 20, 17],
    [4, 5, 2, 31],
    [97, 1, 6, 24],
    [100, 3, 300, 40],
    [6, 1, 1600, 15],
    [11, 1, 768, 65],
];

struct Case {
    x: Vec<f32>,
    weights: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    residual: Option<Vec<f32>>,
    activation: Option<Activation>,
    shape: [usize; 4],
}

impl Case {
    fn new(shape: [usize; 4], index: usize) -> Self {
        let [rows, runs, run, outputs] = shape;
        Self {
            x: values(rows * runs * run, 1),
            weights: values(outputs * runs * run, 2),
            scale: values(outputs, 3),
            shift: values(outputs, 4),
            residual: index.is_multiple_of(2).then(|| values(rows * outputs, 5)),
            activation: Activation::NONE_OR_ANY[index % Activation::NONE_OR_ANY.len()],
            shape,
        }
    }

    fn formula(&self) -> Vec<f64> {
        let [rows, runs, run, outputs] = self.shape;
        let depth = runs * run;
        let output = |index: usize| {
            let (row, output) = (index / outputs, index % outputs);
            let (x, weights) = (&self.x[row * depth..][..depth], &self.weights[output * depth..][..depth]);
            let sum: f64 = x.iter().zip(weights).map(|(x, weight)| f64::from(*x) * f64::from(*weight)).sum();
            let value = sum * f64::from(self.scale[output]) + f64::from(self.shift[output]);
            let value = self.activation.map_or(value, |activation| activation.of_scalar(value));
            value + self.residual.as_ref().map_or(0.0, |residual| f64::from(residual[index]))
        };
        (0..rows * outputs).map(output).collect()
    }
}

impl WithSimd for &Case {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let [rows, runs, run, outputs] = self.shape;
        let depth = runs * run;
        let (scale, shift) = (&self.scale, &self.shift);
        let packed = Packed::new::<S>(&Filters { weights: &self.weights, strides: [1, depth], depth, scale, shift });
        let mut values = alloc::vec![f32::NAN; rows * outputs];
        let origins: Vec<usize> = (0..rows).map(|row| row * depth).collect();
        let places: Vec<usize> = (0..rows).map(|row| row * outputs).collect();
        let runs: Vec<usize> = (0..runs).map(|index| index * run).collect();
        let rows = Rows { values: &self.x, origins: &origins, runs: &runs, run };
        let (activation, residual) = (self.activation, self.residual.as_deref());
        product(
            simd,
            &packed,
            &rows,
            &mut Target { values: &mut values, places: &places, activation, residual, slopes: None },
        );
        values
    }
}

#[test]
fn vectors_of_every_length_give_the_product_at_every_shape() {
    for (index, shape) in SHAPES.iter().cycle().take(3 * SHAPES.len() + 1).enumerate() {
        let case = Case::new(*shape, index);
        let expected = case.formula();
        let found = [
            Arch::new().dispatch(&case),
            Scalar128b.vectorize(&case),
            Scalar256b.vectorize(&case),
            Scalar512b.vectorize(&case),
        ];
        for (body, found) in found.iter().enumerate() {
            for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let error = (f64::from(*found) - expected).abs();
                assert!(error < 1e-4, "{shape:?}, body {body}, place {place}: {found} is not {expected}");
            }
            assert_eq!(found.len(), expected.len());
        }
    }
}
