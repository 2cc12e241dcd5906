//! Products of bytes by the crate `rten-gemm`, with the processor's instructions for them.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::{Debug, Formatter, Result};

#[cfg(feature = "threads")]
use rayon::prelude::*;
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_simd::SimdOp;
use rten_tensor::NdTensorView;

use super::rows::{Finish, Scale, quantize};
use super::{After, IntegerProduct, is_multiplied};

/// Sums at most that are kept until they are made numbers, so that they stay in a cache.
const SUMS: usize = 1024 * 1024;
/// Rows that kernels multiply together, or a multiple of it.
const TILE: usize = 8;
/// Rows of a piece of work.
#[cfg(feature = "threads")]
const ROWS: usize = 8;

type Products = GemmExecutor<u8, i8, i32>;

/// A weight as the processor's kernel reads it.
pub(super) struct Packed {
    weight: PackedBMatrix<i8>,
    /// The sum of each output's integers, `[out]`: so much comes of a byte for zero, and is taken off again. The crate would take
    /// it off by itself, but (0.27.0) takes the zeros of the first few rows for those of all.
    totals: Vec<i32>,
    /// `[out]`
    factors: Vec<f32>,
}

impl Packed {
    /// A weight of integers; `None` for those that are not [multiplied](is_multiplied).
    pub(super) fn new(integers: &[i8], factors: &[f32], [outputs, inputs]: [usize; 2]) -> Option<Self> {
        if !is_multiplied(integers, factors, [outputs, inputs]) {
            return None;
        }
        let rows = NdTensorView::from_data([outputs, inputs], integers);
        Some(Self {
            weight: Products::new().prepack_b(rows.transposed()),
            totals: integers.chunks(inputs).map(|row| row.iter().map(|value| i32::from(*value)).sum()).collect(),
            factors: factors.to_vec(),
        })
    }

    /// The sums `[n, out]` of `bytes` `[n, in]`.
    fn multiply(&self, bytes: &[u8], sums: &mut [i32]) {
        let rows = NdTensorView::from_data([bytes.len() / self.weight.rows(), self.weight.rows()], bytes);
        let (rows, weight) = (GemmInputA::Unpacked(rows), GemmInputB::Packed(&self.weight));
        let done = Products::new().gemm(sums, rows, weight, GemmOptions::default());
        assert!(done.is_ok(), "sizes that fit, and a weight laid out for this processor: {done:?}");
    }
}

impl Debug for Packed {
    fn fmt(&self, formatter: &mut Formatter) -> Result {
        write!(formatter, "int8 {:?}", self.shape())
    }
}

/// What a product needs on its way, kept by each thread: fresh memory is cleared page by page.
#[derive(Default)]
struct Scratch {
    bytes: Vec<u8>,
    scales: Vec<Scale>,
    sums: Vec<i32>,
}

std::thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl IntegerProduct for Packed {
    fn forward(&self, rows: &[f32], after: &After, output: &mut [f32]) {
        let [outputs, inputs] = self.shape();
        let count = rows.len() / inputs;
        // Parts of one size, since a last one of a few rows would not keep all cores busy.
        let parts = (count * outputs).div_ceil(SUMS).max(1);
        let at_once = count.div_ceil(parts).next_multiple_of(TILE).max(TILE);
        // Taken, so that whatever else this thread does meanwhile has its own.
        let mut scratch = SCRATCH.take();
        for (rows, output) in rows.chunks(at_once * inputs).zip(output.chunks_mut(at_once * outputs)) {
            self.forward_some(rows, after, output, &mut scratch);
        }
        SCRATCH.set(scratch);
    }

    fn dequantized(&self) -> Vec<f32> {
        let [outputs, inputs] = self.shape();
        let mut weight = std::vec![0.0; outputs * inputs];
        let (mut bytes, mut sums) = (std::vec![0; inputs], std::vec![0; outputs]);
        // The product with a row of the identity is a column of the weight.
        for input in 0..inputs {
            bytes[input] = 1;
            self.multiply(&bytes, &mut sums);
            bytes[input] = 0;
            let column = weight[input..].iter_mut().step_by(inputs);
            for ((place, sum), factor) in column.zip(&sums).zip(&self.factors) {
                *place = *sum as f32 * factor;
            }
        }
        weight
    }

    fn shape(&self) -> [usize; 2] {
        [self.weight.cols(), self.weight.rows()]
    }
}

impl Packed {
    fn forward_some(&self, rows: &[f32], after: &After, output: &mut [f32], scratch: &mut Scratch) {
        let [outputs, inputs] = self.shape();
        let count = rows.len() / inputs;
        let Scratch { bytes, scales, sums } = scratch;
        bytes.resize(count * inputs, 0);
        scales.resize(count, Scale::default());
        sums.resize(count * outputs, 0);
        let work = |((row, bytes), scale): ((&[f32], &mut [u8]), &mut Scale)| *scale = quantize(row, bytes);
        #[cfg(feature = "threads")]
        rows.par_chunks(inputs)
            .zip(bytes.par_chunks_mut(inputs))
            .zip(scales.par_iter_mut())
            .with_min_len(ROWS)
            .for_each(work);
        #[cfg(not(feature = "threads"))]
        rows.chunks(inputs).zip(bytes.chunks_mut(inputs)).zip(scales.iter_mut()).for_each(work);
        self.multiply(bytes, sums);
        let work = |((sums, output), scale): ((&[i32], &mut [f32]), &Scale)| {
            Finish { sums, scale: *scale, totals: &self.totals, factors: &self.factors, after, output }.dispatch();
        };
        #[cfg(feature = "threads")]
        sums.par_chunks(outputs)
            .zip(output.par_chunks_mut(outputs))
            .zip(scales.par_iter())
            .with_min_len(ROWS)
            .for_each(work);
        #[cfg(not(feature = "threads"))]
        sums.chunks(outputs).zip(output.chunks_mut(outputs)).zip(scales.iter()).for_each(work);
    }
}
