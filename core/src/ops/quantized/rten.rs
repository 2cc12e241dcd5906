//! Products of bytes by the crate `rten-gemm`, with the processor's instructions for them.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::{Debug, Formatter, Result};

#[cfg(feature = "threads")]
use rayon::prelude::*;
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix, QuantParams};
use rten_simd::SimdOp;
use rten_tensor::NdTensorView;

use super::rows::{Finish, Scale, quantize};
use super::{After, IntegerProduct};
use crate::weights::MULTIPLIED;

/// Sums that are kept until they are made numbers, so that they stay in a cache.
const SUMS: usize = 512 * 1024;
/// Rows of a piece of work.
#[cfg(feature = "threads")]
const ROWS: usize = 8;

type Products = GemmExecutor<u8, i8, i32>;

/// A weight as the processor's kernel reads it.
pub(super) struct Packed {
    weight: PackedBMatrix<i8>,
    /// `[out]`
    factors: Vec<f32>,
}

impl Packed {
    /// A weight of integers that every processor multiplies exactly; `None` where one of them is too large for that.
    pub(super) fn new(integers: &[i8], factors: &[f32], [outputs, inputs]: [usize; 2]) -> Option<Self> {
        let is_exact = integers.iter().all(|value| value.unsigned_abs() <= MULTIPLIED.unsigned_abs());
        let is_whole = integers.len() == outputs * inputs && factors.len() == outputs && outputs * inputs > 0;
        if !(is_exact && is_whole) {
            return None;
        }
        let rows = NdTensorView::from_data([outputs, inputs], integers);
        Some(Self { weight: Products::new().prepack_b(rows.transposed()), factors: factors.to_vec() })
    }

    /// The sums `[n, out]` of `bytes` `[n, in]`, of which each row has its own byte that stands for zero.
    fn multiply(&self, bytes: &[u8], zeros: &[u8], sums: &mut [i32]) {
        let rows = NdTensorView::from_data([zeros.len(), self.weight.rows()], bytes);
        let a_quant = Some(QuantParams { zero_point: zeros });
        let options = GemmOptions { a_quant, ..GemmOptions::default() };
        let done = Products::new().gemm(sums, GemmInputA::Unpacked(rows), GemmInputB::Packed(&self.weight), options);
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
    zeros: Vec<u8>,
    sums: Vec<i32>,
}

std::thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl IntegerProduct for Packed {
    fn forward(&self, rows: &[f32], after: &After, output: &mut [f32]) {
        let [outputs, inputs] = self.shape();
        let at_once = (SUMS / outputs).max(1);
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
            self.multiply(&bytes, &[0], &mut sums);
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
        let Scratch { bytes, scales, zeros, sums } = scratch;
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
        zeros.clear();
        zeros.extend(scales.iter().map(|scale| scale.zero));
        self.multiply(bytes, zeros, sums);
        let work = |((sums, output), scale): ((&[i32], &mut [f32]), &Scale)| {
            Finish { sums, row_factor: scale.factor, factors: &self.factors, after, output }.dispatch();
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
