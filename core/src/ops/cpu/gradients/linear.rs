//! Gradients of linear layers: two more matrix products.

use alloc::vec;
use alloc::vec::Vec;

use burn::backend::flex::FlexTensor;
use pulp::{Simd, WithSimd};

use super::turn;
use crate::ops::cpu::buffers::unwritten;
use crate::ops::cpu::flex::forward;
use crate::ops::cpu::linear::{Input, multiplied};
use crate::ops::cpu::parallel::{cores, for_each_chunk, for_each_task, processor, shares};
use crate::ops::cpu::product::{Filters, Packed, Packing, Rows, Scratch, TILE, Target, product};
use crate::ops::cpu::vector::sum;

/// Outputs whose weights' gradients are a piece of work, where there are so many.
const OUTPUTS_A_PIECE: usize = 96;

/// Multiplies a gradient by the slopes of the activation that it goes back through.
pub(in crate::ops) fn multiply(gradient: &mut [f32], slopes: &[f32]) {
    /// Numbers of a piece of work.
    const PIECE: usize = 16 * 1024;
    for_each_chunk(
        gradient,
        PIECE,
        #[inline(always)]
        |index, gradient| {
            for (gradient, slope) in gradient.iter_mut().zip(&slopes[index * PIECE..]) {
                *gradient *= slope;
            }
        },
    );
}

/// `gradient · weight`, `[rows, in]`, of a gradient `[rows, out]` and a weight `[out, in]`.
pub(in crate::ops) fn of_input(gradient: &[f32], weight: &FlexTensor) -> Vec<f32> {
    let weight = forward(weight);
    let layout = weight.layout();
    let (outputs, inputs) = (layout.shape()[0], layout.shape()[1]);
    let packed = processor().dispatch(Packing(&Filters {
        weights: &weight.storage()[layout.start_offset()..],
        strides: [layout.strides()[0].unsigned_abs(), layout.strides()[1].unsigned_abs()],
        depth: outputs,
        scale: &vec![1.0; inputs],
        shift: &vec![0.0; inputs],
    }));
    multiplied(&Input::rows(gradient, outputs), &packed, None, None)
}

/// What a layer's parameters get of a gradient `[rows, out]`.
pub(in crate::ops) struct OfWeights {
    /// `gradientᵀ · input`, `[out, in]`, where there was an input.
    pub(in crate::ops) weight: Option<Vec<f32>>,
    /// The sums over rows, `[out]`.
    pub(in crate::ops) bias: Vec<f32>,
}

/// The gradients of weight and bias; `input` is `[rows, inputs]`, and given where the weight's is wanted.
pub(in crate::ops) fn of_weights(gradient: &[f32], outputs: usize, input: Option<&[f32]>, inputs: usize) -> OfWeights {
    let mut bias = vec![0.0; outputs];
    if gradient.is_empty() {
        return OfWeights { weight: input.map(|_| vec![0.0; outputs * inputs]), bias };
    }
    let rows = gradient.len() / outputs;
    let processor = processor();
    let packed = input.map(|values| {
        processor.dispatch(Packing(&Filters {
            weights: values,
            strides: [inputs, 1],
            depth: rows,
            scale: &vec![1.0; inputs],
            shift: &vec![0.0; inputs],
        }))
    });
    let mut weight = packed.as_ref().map(|_| unwritten(outputs * inputs));
    let pieces = outputs.div_ceil(OUTPUTS_A_PIECE).next_multiple_of(cores());
    let mut tasks = Vec::with_capacity(pieces);
    let (mut sums, mut products) = (bias.as_mut_slice(), weight.as_deref_mut());
    for share in shares(outputs, TILE, pieces) {
        let (of_share, rest) = sums.split_at_mut(share.len());
        sums = rest;
        let of_weights = products.take().map(|all| {
            let (of_share, rest) = all.split_at_mut(share.len() * inputs);
            products = Some(rest);
            of_share
        });
        tasks.push(Outputs {
            gradient,
            outputs,
            first: share.start,
            input: packed.as_ref(),
            sums: of_share,
            of_weights,
        });
    }
    for_each_task(processor, tasks);
    OfWeights { weight, bias }
}

/// A few outputs.
struct Outputs<'a> {
    /// `[rows, outputs]`
    gradient: &'a [f32],
    outputs: usize,
    /// The first of these outputs; there are as many as `sums`.
    first: usize,
    input: Option<&'a Packed>,
    sums: &'a mut [f32],
    of_weights: Option<&'a mut [f32]>,
}

impl WithSimd for Outputs<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { gradient, outputs, first, input, sums, of_weights } = self;
        let (count, rows) = (sums.len(), gradient.len() / outputs);
        let mut columns = Scratch::unwritten(count * rows);
        let columns = &mut columns.values_mut()[..count * rows];
        turn(gradient, outputs, first..first + count, columns);
        for (sum_of, column) in sums.iter_mut().zip(columns.chunks_exact(rows)) {
            *sum_of = sum(
                simd,
                column,
                #[inline(always)]
                |x| x,
            );
        }
        if let (Some(input), Some(values)) = (input, of_weights) {
            let origins: Vec<usize> = (0..count).map(|output| output * rows).collect();
            let places: Vec<usize> = (0..count).map(|output| output * input.outputs()).collect();
            let rows = Rows { values: columns, origins: &origins, runs: &[0], run: rows };
            let target = &mut Target { values, places: &places, activation: None, residual: None, slopes: None };
            product(simd, input, &rows, target);
        }
    }
}
