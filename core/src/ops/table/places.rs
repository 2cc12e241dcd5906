//! Means of channels, factors for them, the largest of neighbours.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::{Case, Inputs, LAYOUTS, Layout, formulas, input};
use crate::ops;

/// Images, rows, columns, channels: one of each, odd ones, more than a vector of channels.
const SHAPES: [[usize; 4]; 5] = [[1, 1, 1, 1], [2, 1, 3, 5], [1, 7, 4, 17], [3, 8, 9, 32], [2, 13, 12, 70]];

pub(super) fn channel_means() -> Vec<Case> {
    let case = |shape: [usize; 4], layout| {
        Case::new(
            format!("{shape:?}, {layout:?}"),
            vec![input(shape).laid(layout)],
            |x| vec![ops::channel_means(x.next()).into()],
            |x| vec![formulas::channel_means(x.next()).into()],
        )
    };
    let laid = LAYOUTS.map(|layout| case([2, 5, 4, 17], layout));
    SHAPES.map(|shape| case(shape, Layout::Plain)).into_iter().chain(laid).collect()
}

pub(super) fn scale_channels() -> Vec<Case> {
    let case = |shape: [usize; 4], layout| {
        let [images, _, _, channels] = shape;
        Case::new(
            format!("{shape:?}, {layout:?}"),
            vec![input(shape).laid(layout), input([images, channels]).laid(layout)],
            |x| vec![ops::scale_channels(x.next(), x.next()).into()],
            |x| vec![formulas::scale_channels(x.next(), x.next()).into()],
        )
    };
    let laid = LAYOUTS.map(|layout| case([2, 5, 4, 17], layout));
    SHAPES.map(|shape| case(shape, Layout::Plain)).into_iter().chain(laid).collect()
}

pub(super) fn max_pool() -> Vec<Case> {
    let case = |shape: [usize; 4], side: usize, stride: usize, layout| {
        let operation = move |x: &mut Inputs| vec![ops::max_pool(x.next(), side, stride).into()];
        let formula = move |x: &mut Inputs| vec![formulas::max_pool(x.next(), side, stride).into()];
        // All below zero: what lies beyond the edge is nothing, and not zero.
        let maps = input(shape).plus(-2.0).laid(layout);
        Case::new(format!("{shape:?} by {side}, stride {stride}, {layout:?}"), vec![maps], operation, formula)
    };
    let mut cases = Vec::new();
    for shape in SHAPES {
        cases.extend([(3, 2), (3, 1), (5, 2), (1, 1)].map(|(side, stride)| case(shape, side, stride, Layout::Plain)));
    }
    // Where one number stands for several, the first of equals gets the gradient, and which that is says nobody.
    let laid = LAYOUTS.into_iter().filter(|layout| *layout != Layout::Repeated);
    cases.extend(laid.map(|layout| case([2, 5, 4, 17], 3, 2, layout)));
    cases
}
