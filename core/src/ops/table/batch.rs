//! Norms by the statistics of the batch, and the convolutions before them.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use burn::prelude::*;

use super::convolutions::{ACTIVATIONS, SHAPES, paddings};
use super::{Case, Input, Inputs, Output, formulas, input};
use crate::ops::{self, Activation, InvertedResidualOfBatch, Moments, NormedConvolution, Steps};

const EPSILON: f64 = 1e-3;

/// The output, and the statistics of its norms.
fn outputs(output: Tensor<4>, moments: impl IntoIterator<Item = Moments>) -> Vec<Output> {
    let statistics = moments.into_iter().flat_map(|moments| [moments.mean, moments.variance]).map(|values| {
        let [channels] = values.dims();
        values.reshape([1, 1, 1, channels])
    });
    core::iter::once(output).chain(statistics).map(Output::from).collect()
}

fn outputs_of_formula(found: impl IntoIterator<Item = Tensor<4>>) -> Vec<Output> {
    found.into_iter().map(Output::from).collect()
}

/// The weight and the bias of a norm, mostly positive.
fn norm(channels: usize) -> [Input; 2] {
    [input([channels]).plus(1.5), input([channels]).plus(1.0)]
}

fn layer<const D: usize>(x: &mut Inputs) -> NormedConvolution<D> {
    NormedConvolution { weight: x.next(), norm_weight: x.next(), norm_bias: x.next() }
}

pub(super) fn batch_norm() -> Vec<Case> {
    /// Images, rows, columns, channels: fewer pixels than are summed at once, exactly as many, and more.
    const SHAPES: [[usize; 4]; 5] = [[1, 1, 2, 3], [2, 5, 7, 1], [1, 16, 16, 8], [3, 9, 11, 33], [2, 17, 19, 72]];
    let case = |shape: [usize; 4], activation: Option<Activation>, has_nan: bool| {
        let [first, second] = norm(shape[3]);
        let inputs = vec![input(shape).plus(3.0).starting(if has_nan { &[f32::NAN] } else { &[] }), first, second];
        let operation = move |x: &mut Inputs| {
            let (output, moments) = ops::batch_norm(x.next(), x.next(), x.next(), EPSILON, activation);
            outputs(output, [moments])
        };
        let formula = move |x: &mut Inputs| {
            outputs_of_formula(formulas::batch_norm(x.next(), x.next(), x.next(), EPSILON, activation))
        };
        Case::new(format!("{shape:?} {activation:?}, NaN {has_nan}"), inputs, operation, formula)
    };
    let of_shape =
        |shape| ACTIVATIONS.into_iter().flat_map(move |activation| [false, true].map(|is| case(shape, activation, is)));
    SHAPES.into_iter().flat_map(of_shape).collect()
}

pub(super) fn convolution_of_batch() -> Vec<Case> {
    /// Images, rows, columns, channels in and out, side, stride.
    const SHAPES: [[usize; 7]; 10] = [
        [1, 1, 1, 1, 3, 3, 1],
        [2, 5, 7, 3, 16, 3, 2],
        [2, 9, 8, 3, 8, 3, 2],
        [3, 20, 24, 3, 32, 3, 2],
        [2, 6, 5, 7, 9, 5, 1],
        [1, 2, 3, 4, 5, 5, 2],
        [2, 7, 9, 12, 40, 1, 1],
        [35, 3, 2, 8, 17, 1, 1],
        [2, 6, 7, 5, 18, 1, 2],
        [1, 18, 19, 40, 130, 1, 1],
    ];
    let mut cases = Vec::new();
    for [images, rows, columns, inside, outside, side, stride] in SHAPES {
        for steps in paddings(stride) {
            for activation in ACTIVATIONS {
                let [first, second] = norm(outside);
                let inputs =
                    vec![input([images, rows, columns, inside]), input([outside, inside, side, side]), first, second];
                let operation = move |x: &mut Inputs| {
                    let (output, moments) = ops::convolution_of_batch(x.next(), layer(x), steps, activation, EPSILON);
                    outputs(output, [moments])
                };
                let formula = move |x: &mut Inputs| {
                    let (input, layer) = (x.next(), layer::<4>(x));
                    let output = formulas::convolution(input, layer.weight.clone(), steps);
                    outputs_of_formula(formulas::normed(output, layer, EPSILON, activation))
                };
                let name = format!(
                    "{images} × {rows} × {columns} × {inside} to {outside} by {side}, {steps:?}, {activation:?}"
                );
                cases.push(Case::new(name, inputs, operation, formula));
            }
        }
    }
    cases
}

pub(super) fn depthwise_convolution_of_batch() -> Vec<Case> {
    let mut activations = ACTIVATIONS.into_iter().cycle();
    let mut cases = Vec::new();
    for [images, rows, columns, channels, side, stride] in SHAPES {
        for steps in paddings(stride) {
            let activation = activations.next().flatten();
            let [first, second] = norm(channels);
            let inputs =
                vec![input([images, rows, columns, channels]), input([channels, 1, side, side]), first, second];
            let operation = move |x: &mut Inputs| {
                let (output, moments) =
                    ops::depthwise_convolution_of_batch(x.next(), layer(x), steps, activation, EPSILON);
                outputs(output, [moments])
            };
            let formula = move |x: &mut Inputs| {
                let (input, layer) = (x.next(), layer::<4>(x));
                let output = formulas::depthwise(input, layer.weight.clone(), steps);
                outputs_of_formula(formulas::normed(output, layer, EPSILON, activation))
            };
            let name = format!("{images} × {rows} × {columns} × {channels} by {side}, {steps:?}, {activation:?}");
            cases.push(Case::new(name, inputs, operation, formula));
        }
    }
    cases
}

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

pub(super) fn inverted_residual_of_batch() -> Vec<Case> {
    let mut activations = [Activation::Relu, Activation::Relu6, Activation::QuickGelu].into_iter().cycle();
    let mut cases = Vec::new();
    for sizes in BLOCKS {
        for steps in paddings(sizes[7]) {
            for (is_expanded, has_nan) in [(true, false), (false, false), (true, true), (false, true)] {
                let activation = activations.next().unwrap_or(Activation::Relu);
                cases.push(block_case(sizes, steps, activation, is_expanded, has_nan));
            }
        }
    }
    cases
}

fn block_case(
    [images, rows, columns, inputs, inside, outside, side, _]: [usize; 8],
    steps: Steps,
    activation: Activation,
    is_expanded: bool,
    has_nan: bool,
) -> Case {
    let inputs = if is_expanded { inputs } else { inside };
    let name = format!(
        "{images} × {rows} × {columns} × {inputs} by {inside} to {outside}, side {side}, {steps:?}, {activation:?}, \
         expanded {is_expanded}, NaN {has_nan}"
    );
    let residual = steps.stride == 1 && inputs == outside;
    let mut declared = vec![input([images, rows, columns, inputs]).starting(if has_nan { &[f32::NAN] } else { &[] })];
    if is_expanded {
        declared.push(input([inside, inputs]));
        declared.extend(norm(inside));
    }
    declared.push(input([inside, 1, side, side]));
    declared.extend(norm(inside));
    declared.push(input([outside, inside]));
    declared.extend(norm(outside));
    let block = move |x: &mut Inputs| InvertedResidualOfBatch {
        expand: is_expanded.then(|| layer(x)),
        filter: layer(x),
        project: layer(x),
        steps,
        activation,
        residual,
        epsilon: EPSILON,
    };
    let operation = move |x: &mut Inputs| {
        let (output, moments) = ops::inverted_residual_of_batch(x.next(), block(x));
        outputs(output, moments)
    };
    let formula = move |x: &mut Inputs| outputs_of_formula(formulas::inverted_residual_of_batch(x.next(), block(x)));
    Case::new(name, declared, operation, formula)
}
