//! Convolutions by stored statistics, and blocks of them.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use burn::prelude::*;

use super::{Case, Inputs, LAYOUTS, Layout, formulas, input};
use crate::ops::{self, Activation, ChannelAffine, InvertedResidual, KeptLayout, SeparableConvolution, Steps};

/// Images, rows, columns, channels, side, stride. The channels come in wide, narrow and single runs.
pub(super) const SHAPES: [[usize; 6]; 7] = [
    [1, 1, 1, 1, 3, 1],
    [2, 5, 7, 3, 3, 1],
    [2, 6, 5, 41, 3, 2],
    [3, 7, 7, 40, 5, 1],
    [2, 9, 8, 33, 5, 2],
    [1, 2, 3, 8, 5, 2],
    [2, 4, 4, 72, 3, 1],
];
pub(super) const ACTIVATIONS: [Option<Activation>; 5] =
    [None, Some(Activation::Relu6), Some(Activation::Relu), Some(Activation::QuickGelu), Some(Activation::Silu)];

/// Numbers that are none, or without end.
const STRANGE: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// How a kernel of this stride may be padded.
pub(super) fn paddings(stride: usize) -> [Steps; 2] {
    [Steps::same(stride), Steps::centred(stride)]
}

fn affine(x: &mut Inputs) -> ChannelAffine {
    ChannelAffine { scale: x.next(), shift: x.next() }
}

pub(super) fn pointwise_convolution() -> Vec<Case> {
    let mut cases = Vec::new();
    // Outputs that make groups of four and such that do not.
    for ([images, rows, columns, inputs, ..], outputs) in SHAPES.into_iter().zip([1, 7, 16, 33, 32, 4, 260]) {
        for activation in ACTIVATIONS {
            for is_strange in [false, true] {
                let sizes = [images, rows, columns, inputs, outputs];
                cases.push(pointwise_case(sizes, activation, is_strange, Layout::Plain));
            }
        }
    }
    cases.extend(LAYOUTS.map(|layout| pointwise_case([1, 3, 3, 4, 40], None, false, layout)));
    cases
}

fn pointwise_case(
    [images, rows, columns, inputs, outputs]: [usize; 5],
    activation: Option<Activation>,
    is_strange: bool,
    layout: Layout,
) -> Case {
    let name = format!(
        "{images} × {rows} × {columns} × {inputs} to {outputs}, {activation:?}, strange {is_strange}, weight {layout:?}"
    );
    let inputs = vec![
        input([images, rows, columns, inputs]).times(2.0).starting(if is_strange { &STRANGE } else { &[] }),
        input([outputs, inputs]).times(2.0).laid(layout),
        input([outputs]).times(2.0),
        input([outputs]).times(2.0),
    ];
    let operation =
        move |x: &mut Inputs| vec![ops::pointwise_convolution(x.next(), x.next(), affine(x), activation).into()];
    let formula = move |x: &mut Inputs| {
        let output = formulas::pointwise(x.next(), x.next());
        vec![formulas::finished(output, affine(x), activation).into()]
    };
    Case::new(name, inputs, operation, formula)
}

pub(super) fn depthwise_convolution() -> Vec<Case> {
    let mut cases = Vec::new();
    for shape in SHAPES {
        for steps in paddings(shape[5]) {
            for activation in ACTIVATIONS {
                for is_strange in [false, true] {
                    cases.push(depthwise_case(shape, steps, activation, is_strange, Layout::Plain));
                }
            }
        }
    }
    let laid = LAYOUTS.map(|layout| depthwise_case([2, 6, 5, 41, 3, 2], Steps::same(2), None, false, layout));
    cases.extend(laid);
    cases
}

fn depthwise_case(
    [images, rows, columns, channels, side, _]: [usize; 6],
    steps: Steps,
    activation: Option<Activation>,
    is_strange: bool,
    layout: Layout,
) -> Case {
    let name = format!(
        "{images} × {rows} × {columns} × {channels} by {side}, {steps:?}, {activation:?}, strange {is_strange}, weight {layout:?}"
    );
    let inputs = vec![
        input([images, rows, columns, channels]).times(2.0).starting(if is_strange { &STRANGE } else { &[] }),
        input([channels, 1, side, side]).times(2.0).laid(layout),
        input([channels]).times(2.0),
        input([channels]).times(2.0),
    ];
    let operation =
        move |x: &mut Inputs| vec![ops::depthwise_convolution(x.next(), x.next(), steps, affine(x), activation).into()];
    let formula = move |x: &mut Inputs| {
        let output = formulas::depthwise(x.next(), x.next(), steps);
        vec![formulas::finished(output, affine(x), activation).into()]
    };
    Case::new(name, inputs, operation, formula)
}

/// Images, rows, columns, channels in, inside and out, side, stride. Some have several bands, odd channels, one pixel, and a
/// kernel or step without a body of its own.
const BLOCKS: [[usize; 8]; 16] = [
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
    [1, 9, 8, 4, 24, 4, 7, 1],
    [1, 9, 8, 4, 24, 4, 3, 3],
];

pub(super) fn convolution() -> Vec<Case> {
    let mut activations = ACTIVATIONS.into_iter().cycle();
    let mut next = || activations.next().flatten();
    let mut cases = Vec::new();
    for [images, rows, columns, inputs, _, outputs, side, stride] in BLOCKS {
        for steps in paddings(stride) {
            for side in [side, 1] {
                let sizes = [images, rows, columns, inputs, outputs, side];
                cases.push(convolution_case(sizes, steps, next(), Layout::Plain));
            }
        }
    }
    let laid = LAYOUTS.map(|layout| convolution_case([2, 9, 8, 5, 20, 3], Steps::same(2), next(), layout));
    cases.extend(laid);
    cases
}

fn convolution_case(
    [images, rows, columns, inputs, outputs, side]: [usize; 6],
    steps: Steps,
    activation: Option<Activation>,
    layout: Layout,
) -> Case {
    let name = format!(
        "{images} × {rows} × {columns} × {inputs} to {outputs} by {side}, {steps:?}, {activation:?}, weight {layout:?}"
    );
    let inputs = vec![
        input([images, rows, columns, inputs]),
        input([outputs, inputs, side, side]).laid(layout),
        input([outputs]),
        input([outputs]),
    ];
    let operation =
        move |x: &mut Inputs| vec![ops::convolution(x.next(), x.next(), steps, affine(x), activation).into()];
    let formula = move |x: &mut Inputs| {
        let output = formulas::convolution(x.next(), x.next(), steps);
        vec![formulas::finished(output, affine(x), activation).into()]
    };
    Case::new(name, inputs, operation, formula)
}

pub(super) fn patches() -> Vec<Case> {
    let case = |[images, rows, columns, channels, side, _]: [usize; 6], steps: Steps| {
        let inputs = vec![input([images, channels, rows, columns])];
        let operation = move |x: &mut Inputs| vec![ops::patches(x.next(), side, steps).into()];
        // Each output of the convolution picks one number that its kernel meets.
        let formula = move |x: &mut Inputs| {
            let pixels: Tensor<4> = x.next();
            let met = channels * side * side;
            let picks = Tensor::<2>::eye(met, &pixels.device()).reshape([met, channels, side, side]);
            vec![formulas::convolution(pixels.permute([0, 2, 3, 1]), picks, steps).into()]
        };
        let name = format!("{images} × {rows} × {columns} × {channels} by {side}, {steps:?}");
        Case::new(name, inputs, operation, formula)
    };
    SHAPES.into_iter().flat_map(|shape| paddings(shape[5]).map(|steps| case(shape, steps))).collect()
}

pub(super) fn inverted_residual() -> Vec<Case> {
    let mut activations = [Activation::Relu, Activation::Relu6, Activation::QuickGelu].into_iter().cycle();
    let mut cases = Vec::new();
    for sizes in BLOCKS {
        for steps in paddings(sizes[7]) {
            for (is_expanded, is_strange) in [(true, false), (false, false), (true, true), (false, true)] {
                let activation = activations.next().unwrap_or(Activation::Relu);
                cases.push(block_case(sizes, steps, activation, is_expanded, is_strange, Layout::Plain));
            }
        }
    }
    let sizes = [2, 9, 8, 5, 33, 20, 5, 2];
    let laid = LAYOUTS.map(|layout| block_case(sizes, Steps::same(2), Activation::Relu6, true, false, layout));
    cases.extend(laid);
    cases
}

fn block_case(
    [images, rows, columns, inputs, inside, outputs, side, _]: [usize; 8],
    steps: Steps,
    activation: Activation,
    is_expanded: bool,
    is_strange: bool,
    layout: Layout,
) -> Case {
    let inputs = if is_expanded { inputs } else { inside };
    let name = format!(
        "{images} × {rows} × {columns} × {inputs} by {inside} to {outputs}, side {side}, {steps:?}, {activation:?}, \
         expanded {is_expanded}, strange {is_strange}, weights {layout:?}"
    );
    let residual = steps.stride == 1 && inputs == outputs;
    let affine_inputs = |channels: usize| [input([channels]), input([channels])];
    let mut declared = vec![input([images, rows, columns, inputs]).starting(if is_strange { &STRANGE } else { &[] })];
    if is_expanded {
        declared.push(input([inside, inputs]).laid(layout));
        declared.extend(affine_inputs(inside));
    }
    declared.push(input([inside, 1, side, side]).laid(layout));
    declared.extend(affine_inputs(inside));
    declared.push(input([outputs, inside]).times(0.125).laid(layout));
    declared.extend(affine_inputs(outputs));
    let block = move |x: &mut Inputs| InvertedResidual {
        expand: is_expanded.then(|| (x.next(), affine(x))),
        filter: x.next(),
        filter_affine: affine(x),
        project: x.next(),
        project_affine: affine(x),
        steps,
        activation,
        residual,
    };
    let operation = move |x: &mut Inputs| vec![ops::inverted_residual(x.next(), block(x)).into()];
    let formula = move |x: &mut Inputs| vec![formulas::inverted_residual(x.next(), block(x)).into()];
    Case::new(name, declared, operation, formula)
}

pub(super) fn separable_convolution() -> Vec<Case> {
    let mut activations = ACTIVATIONS.into_iter().cycle();
    let mut cases = Vec::new();
    for sizes in BLOCKS {
        for steps in paddings(sizes[7]) {
            cases.push(separable_case(sizes, steps, activations.next().flatten(), Layout::Plain));
        }
    }
    cases.extend(LAYOUTS.map(|layout| separable_case([2, 9, 8, 5, 33, 20, 5, 2], Steps::same(2), None, layout)));
    cases
}

fn separable_case(
    [images, rows, columns, _, inputs, outputs, side, _]: [usize; 8],
    steps: Steps,
    activation: Option<Activation>,
    layout: Layout,
) -> Case {
    let name = format!(
        "{images} × {rows} × {columns} × {inputs} to {outputs} by {side}, {steps:?}, {activation:?}, weights {layout:?}"
    );
    let declared = vec![
        input([images, rows, columns, inputs]),
        input([inputs, 1, side, side]).laid(layout),
        input([outputs, inputs]).times(0.125).laid(layout),
        input([outputs]),
        input([outputs]),
    ];
    let operation = move |x: &mut Inputs| {
        let (maps, filter, project): (Tensor<4>, Tensor<4>, Tensor<2>) = (x.next(), x.next(), x.next());
        let neutral = ChannelAffine::neutral(inputs, &maps.device());
        let layers = SeparableConvolution { filter, neutral, project, project_affine: affine(x), steps, activation };
        vec![ops::separable_convolution_kept(maps, layers, &KeptLayout::default()).into()]
    };
    let formula = move |x: &mut Inputs| {
        let filtered = formulas::depthwise(x.next(), x.next(), steps);
        let output = formulas::pointwise(filtered, x.next());
        vec![formulas::finished(output, affine(x), activation).into()]
    };
    Case::new(name, declared, operation, formula)
}

pub(super) fn expanded_depthwise() -> Vec<Case> {
    let mut activations = ACTIVATIONS.into_iter().cycle();
    let mut cases = Vec::new();
    for sizes in BLOCKS {
        for steps in paddings(sizes[7]) {
            cases.push(expanded_case(sizes, steps, activations.next().flatten(), Layout::Plain));
        }
    }
    cases.extend(LAYOUTS.map(|layout| expanded_case([2, 9, 8, 5, 33, 0, 5, 2], Steps::same(2), None, layout)));
    cases
}

fn expanded_case(
    [images, rows, columns, inputs, inside, _, side, _]: [usize; 8],
    steps: Steps,
    activation: Option<Activation>,
    layout: Layout,
) -> Case {
    let name = format!(
        "{images} × {rows} × {columns} × {inputs} by {inside}, side {side}, {steps:?}, {activation:?}, weights {layout:?}"
    );
    let declared = vec![
        input([images, rows, columns, inputs]),
        input([inside, inputs]).laid(layout),
        input([inside]),
        input([inside]),
        input([inside, 1, side, side]).laid(layout),
        input([inside]),
        input([inside]),
    ];
    let operation = move |x: &mut Inputs| {
        let (maps, expand, filter) = (x.next(), (x.next(), affine(x)), (x.next(), affine(x)));
        vec![ops::expanded_depthwise_kept(maps, expand, filter, steps, activation, &KeptLayout::default()).into()]
    };
    let formula = move |x: &mut Inputs| {
        let expanded = formulas::pointwise(x.next(), x.next());
        let expanded = formulas::finished(expanded, affine(x), activation);
        let filtered = formulas::depthwise(expanded, x.next(), steps);
        vec![formulas::finished(filtered, affine(x), activation).into()]
    };
    Case::new(name, declared, operation, formula)
}
