//! Linear layers, attention, layer norms, patch embeddings.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::{Case, Input, Inputs, LAYOUTS, Layout, formulas, input};
use crate::ops::{self, Activation};

/// The inputs that are there.
fn given<const N: usize>(inputs: [Option<Input>; N]) -> Vec<Input> {
    inputs.into_iter().flatten().collect()
}

/// The case with a first number that is none, which has to come out as such and nowhere else.
fn beginning_with_no_number(mut case: Case) -> Case {
    case.name = format!("{}, beginning with NaN", case.name);
    case.inputs[0] = case.inputs[0].clone().starting(&[f32::NAN]);
    case
}

pub(super) fn linear() -> Vec<Case> {
    /// Batch, tokens, numbers in and out: one of each, one token, odd ones, more than a block of a matrix product, more rows
    /// and longer sums than are taken at a time.
    const SHAPES: [[usize; 4]; 6] =
        [[1, 1, 1, 1], [1, 1, 48, 2], [2, 3, 5, 7], [3, 17, 33, 20], [2, 50, 64, 192], [1, 101, 1601, 37]];
    let mut activations = Activation::NONE_OR_ANY.into_iter().cycle();
    let mut next = |shape, has_bias, has_residual, layout| {
        let activation = activations.next().flatten();
        linear_case(shape, has_bias, has_residual, activation, layout)
    };
    let mut cases = Vec::new();
    for shape in SHAPES {
        for (has_bias, has_residual) in [(false, false), (true, false), (false, true), (true, true)] {
            cases.push(next(shape, has_bias, has_residual, Layout::Plain));
        }
    }
    cases.extend(
        Activation::NONE_OR_ANY.map(|activation| linear_case([2, 3, 5, 7], true, true, activation, Layout::Plain)),
    );
    cases.extend(LAYOUTS.map(|layout| next([3, 17, 33, 20], true, false, layout)));
    cases.push(beginning_with_no_number(linear_case([2, 3, 5, 7], true, true, None, Layout::Plain)));
    cases
}

fn linear_case(
    [batch, tokens, inside, outside]: [usize; 4],
    has_bias: bool,
    has_residual: bool,
    activation: Option<Activation>,
    layout: Layout,
) -> Case {
    let name = format!(
        "{batch} × {tokens} × {inside} to {outside}, bias {has_bias}, residual {has_residual}, {activation:?}, weight {layout:?}"
    );
    let inputs = given([
        Some(input([batch, tokens, inside])),
        Some(input([outside, inside]).laid(layout)),
        has_bias.then(|| input([outside])),
        has_residual.then(|| input([batch, tokens, outside])),
    ]);
    let operation = move |x: &mut Inputs| {
        let (input, weight) = (x.next(), x.next());
        let bias = has_bias.then(|| x.next());
        let residual = has_residual.then(|| x.next());
        vec![ops::linear::<3>(input, weight, bias, activation, residual).into()]
    };
    let formula = move |x: &mut Inputs| {
        let (input, weight) = (x.next(), x.next());
        let bias = has_bias.then(|| x.next());
        let output = formulas::activation(formulas::linear(input, weight, bias), activation);
        vec![if has_residual { output + x.next::<3>() } else { output }.into()]
    };
    let case = Case::new(name, inputs, operation, formula);
    match activation {
        // On graphics devices burn's is the gradient of the approximation by tanh.
        Some(Activation::Gelu) => case.with_gradients_near(1e-2),
        _ => case,
    }
}

pub(super) fn attention() -> Vec<Case> {
    attention_cases(false)
}

pub(super) fn attention_with_weights() -> Vec<Case> {
    attention_cases(true)
}

fn attention_cases(with_weights: bool) -> Vec<Case> {
    /// Batch, queries, keys, heads, a head's width: one of each, one query to many keys, one head and many, ViT's tokens.
    const SHAPES: [[usize; 5]; 6] =
        [[1, 1, 1, 1, 4], [2, 1, 7, 1, 6], [2, 5, 5, 3, 8], [1, 9, 4, 4, 3], [3, 50, 50, 2, 16], [1, 197, 197, 1, 64]];
    let mut cases = Vec::new();
    for shape in SHAPES {
        // A bias for all of the batch, and one for each.
        for biases in [None, Some(1), Some(shape[0])] {
            cases.push(attention_case(shape, biases, with_weights, Layout::Plain));
        }
    }
    cases.extend(LAYOUTS.map(|layout| attention_case([2, 5, 5, 3, 8], Some(1), with_weights, layout)));
    cases.extend(LAYOUTS.map(|layout| attention_case([2, 5, 5, 3, 8], None, with_weights, layout)));
    cases.push(beginning_with_no_number(attention_case([2, 5, 5, 3, 8], Some(1), with_weights, Layout::Plain)));
    cases
}

fn attention_case(
    [batch, queries, keys, heads, width]: [usize; 5],
    biases: Option<usize>,
    with_weights: bool,
    layout: Layout,
) -> Case {
    let name = format!("{batch} × {queries} to {keys}, {heads} × {width}, {biases:?} biases, {layout:?}");
    let width = heads * width;
    let inputs = given([
        Some(input([batch, queries, width]).times(2.0).laid(layout)),
        Some(input([batch, keys, width]).times(2.0).laid(layout)),
        Some(input([batch, keys, width]).laid(layout)),
        biases.map(|biases| input([biases, heads, queries, keys])),
    ]);
    let operation = move |x: &mut Inputs| {
        let (query, key, value) = (x.next(), x.next(), x.next());
        let bias = biases.map(|_| x.next());
        if with_weights {
            let (attended, weights) = ops::attention_with_weights(query, key, value, heads, bias);
            vec![attended.into(), weights.into()]
        } else {
            vec![ops::attention(query, key, value, heads, bias).into()]
        }
    };
    let formula = move |x: &mut Inputs| {
        let (query, key, value) = (x.next(), x.next(), x.next());
        let (attended, weights) = formulas::attention(query, key, value, heads, biases.map(|_| x.next()));
        if with_weights { vec![attended.into(), weights.into()] } else { vec![attended.into()] }
    };
    Case::new(name, inputs, operation, formula)
}

pub(super) fn layer_norm() -> Vec<Case> {
    /// Batch, tokens, channels.
    const SHAPES: [[usize; 3]; 5] = [[1, 1, 2], [1, 3, 7], [2, 5, 64], [3, 50, 33], [1, 197, 768]];
    let case = |[batch, tokens, width]: [usize; 3], offset: f32, layout: Layout| {
        let inputs = vec![
            input([batch, tokens, width]).plus(offset).laid(layout),
            input([width]).plus(1.0).laid(layout),
            input([width]).laid(layout),
        ];
        Case::new(
            format!("{batch} × {tokens} × {width} around {offset}, {layout:?}"),
            inputs,
            |x| vec![ops::layer_norm::<3>(x.next(), x.next(), x.next(), 1e-5).into()],
            |x| vec![formulas::layer_norm::<3>(x.next(), x.next(), x.next(), 1e-5).into()],
        )
    };
    let mut cases: Vec<Case> =
        SHAPES.into_iter().flat_map(|shape| [0.0, 3.0].map(|offset| case(shape, offset, Layout::Plain))).collect();
    // The first of a vector does not stand for all.
    let laid = LAYOUTS.into_iter().filter(|layout| *layout != Layout::Repeated);
    cases.extend(laid.map(|layout| case([2, 5, 64], 0.0, layout)));
    cases
}

pub(super) fn patch_embedding() -> Vec<Case> {
    /// Images, channels, rows and columns of patches, a patch's side, channels of a token.
    const SHAPES: [[usize; 6]; 4] = [[1, 1, 1, 1, 1, 1], [1, 3, 2, 2, 5, 7], [2, 3, 2, 3, 4, 5], [1, 3, 3, 3, 16, 48]];
    let mut cases = Vec::new();
    for shape in SHAPES {
        cases.extend([true, false].map(|has_bias| patch_embedding_case(shape, has_bias, Layout::Plain)));
    }
    cases.extend(LAYOUTS.map(|layout| patch_embedding_case([2, 3, 2, 3, 4, 5], true, layout)));
    cases
}

fn patch_embedding_case(
    [images, channels, rows, columns, patch, width]: [usize; 6],
    has_bias: bool,
    layout: Layout,
) -> Case {
    let name = format!(
        "{images} × {channels} × {rows} × {columns} patches of {patch} to {width}, bias {has_bias}, weight {layout:?}"
    );
    let inputs = given([
        Some(input([images, channels, rows * patch, columns * patch])),
        Some(input([width, channels, patch, patch]).laid(layout)),
        has_bias.then(|| input([width])),
    ]);
    let operation = move |x: &mut Inputs| {
        let (pixels, weight) = (x.next(), x.next());
        vec![ops::patch_embedding(pixels, weight, has_bias.then(|| x.next())).into()]
    };
    let formula = move |x: &mut Inputs| {
        let (pixels, weight) = (x.next(), x.next());
        vec![formulas::patch_embedding(pixels, weight, has_bias.then(|| x.next())).into()]
    };
    Case::new(name, inputs, operation, formula)
}
