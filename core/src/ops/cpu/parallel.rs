//! All cores with the feature `threads` and the widest vector instructions with `simd`; one core and the common
//! instructions without.
//!
//! `work` must be inlined wherever it is called, since only then is it compiled for the instructions chosen at run time:
//! pass closures marked `#[inline(always)]`, and loop with `for`, since an iterator's `for_each` may become a function of its
//! own.

#[cfg(feature = "simd")]
use alloc::vec::Vec;

#[cfg(feature = "simd")]
use pulp::Arch as Processor;
#[cfg(all(feature = "simd", target_arch = "wasm32", target_feature = "simd128"))]
use pulp::core_arch::wasm;
#[cfg(feature = "threads")]
use rayon::prelude::*;

/// The instructions to compute with: the widest that this processor has. What WebAssembly has is known when it is compiled, since a
/// module is valid with all of its instructions or not at all.
pub(in crate::ops) fn processor() -> Processor {
    #[cfg(not(all(feature = "simd", target_arch = "wasm32", target_feature = "simd128")))]
    return Processor::new();
    #[cfg(all(feature = "simd", target_arch = "wasm32", target_feature = "simd128", not(feature = "relaxed-simd")))]
    return Processor::Simd128(pulp::wasm::Simd128 { simd128: wasm::Simd128::new_unchecked() });
    #[cfg(all(feature = "relaxed-simd", target_arch = "wasm32", target_feature = "simd128"))]
    return Processor::RelaxedSimd(pulp::wasm::RelaxedSimd {
        simd128: wasm::Simd128::new_unchecked(),
        relaxed_simd: wasm::RelaxedSimd::new_unchecked(),
    });
}

/// Calls `work` with the number and the values of every `length` of `values`; the last may be shorter.
pub(in crate::ops) fn for_each_chunk(values: &mut [f32], length: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let processor = processor();
    #[cfg(feature = "threads")]
    let chunks = values.par_chunks_mut(length).enumerate();
    #[cfg(not(feature = "threads"))]
    let chunks = values.chunks_mut(length).enumerate();
    chunks.for_each(|(index, chunk)| processor.dispatch(Piece { index, chunk, work: &work }));
}

/// Numbers that are worth sharing out to cores where they are only copied.
#[cfg(all(feature = "simd", feature = "threads"))]
const MANY: usize = 1 << 18;

/// Calls `work` with the number and the values of every `length` of `values`, the last of which may be shorter, in the common
/// instructions: where all that is done is moving numbers.
#[cfg(feature = "simd")]
pub(in crate::ops) fn for_each_piece(values: &mut [f32], length: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    #[cfg(feature = "threads")]
    if values.len() > MANY {
        values.par_chunks_mut(length).enumerate().for_each(|(index, piece)| work(index, piece));
        return;
    }
    values.chunks_mut(length).enumerate().for_each(|(index, piece)| work(index, piece));
}

/// `count` in at most `parts` ranges, as equal as can be, in multiples of `unit`.
#[cfg(feature = "simd")]
pub(in crate::ops) fn shares(count: usize, unit: usize, parts: usize) -> Vec<core::ops::Range<usize>> {
    let units = count.div_ceil(unit);
    let parts = parts.clamp(1, units.max(1));
    let bound = |part: usize| (units * part / parts * unit).min(count);
    (0..parts).map(|part| bound(part)..bound(part + 1)).filter(|share| !share.is_empty()).collect()
}

/// Does every task, with the instructions of `processor`.
#[cfg(feature = "simd")]
pub(in crate::ops) fn for_each_task<T: pulp::WithSimd<Output = ()> + Send>(processor: Processor, tasks: Vec<T>) {
    #[cfg(feature = "threads")]
    if tasks.len() > 1 {
        tasks.into_par_iter().for_each(|task| processor.dispatch(task));
        return;
    }
    tasks.into_iter().for_each(|task| processor.dispatch(task));
}

/// What every task gives, in their order, with the instructions of `processor`.
#[cfg(feature = "simd")]
pub(in crate::ops) fn map_tasks<T: pulp::WithSimd<Output: Send> + Send>(
    processor: Processor,
    tasks: Vec<T>,
) -> Vec<T::Output> {
    #[cfg(feature = "threads")]
    if tasks.len() > 1 {
        return tasks.into_par_iter().map(|task| processor.dispatch(task)).collect();
    }
    tasks.into_iter().map(|task| processor.dispatch(task)).collect()
}

/// How many tasks are done at a time.
#[cfg(feature = "simd")]
pub(in crate::ops) fn cores() -> usize {
    #[cfg(feature = "threads")]
    let cores = rayon::current_num_threads();
    #[cfg(not(feature = "threads"))]
    let cores = 1;
    cores
}

/// Calls `work` with the number, every `length` of `values` and every `other_length` of `others` beside it.
#[cfg(any(test, feature = "autodiff"))]
pub(in crate::ops) fn for_each_chunk_pair(
    values: &mut [f32],
    length: usize,
    others: &mut [f32],
    other_length: usize,
    work: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    let processor = processor();
    #[cfg(feature = "threads")]
    let chunks = values.par_chunks_mut(length).zip(others.par_chunks_mut(other_length)).enumerate();
    #[cfg(not(feature = "threads"))]
    let chunks = values.chunks_mut(length).zip(others.chunks_mut(other_length)).enumerate();
    chunks.for_each(|(index, (chunk, other))| processor.dispatch(PiecePair { index, chunk, other, work: &work }));
}

/// A piece of work to be compiled for each set of instructions. A closure would be called through a function of its
/// own, which is compiled for the common ones.
struct Piece<'a, F> {
    index: usize,
    chunk: &'a mut [f32],
    work: &'a F,
}

impl<F: Fn(usize, &mut [f32])> Piece<'_, F> {
    #[inline(always)]
    fn run(self) {
        (self.work)(self.index, self.chunk);
    }
}

/// A piece of work on two slices.
#[cfg(any(test, feature = "autodiff"))]
struct PiecePair<'a, F> {
    index: usize,
    chunk: &'a mut [f32],
    other: &'a mut [f32],
    work: &'a F,
}

#[cfg(any(test, feature = "autodiff"))]
impl<F: Fn(usize, &mut [f32], &mut [f32])> PiecePair<'_, F> {
    #[inline(always)]
    fn run(self) {
        (self.work)(self.index, self.chunk, self.other);
    }
}

#[cfg(feature = "simd")]
impl<F: Fn(usize, &mut [f32])> pulp::WithSimd for Piece<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        self.run();
    }
}

#[cfg(all(feature = "simd", any(test, feature = "autodiff")))]
impl<F: Fn(usize, &mut [f32], &mut [f32])> pulp::WithSimd for PiecePair<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        self.run();
    }
}

/// Stands in where nothing is chosen at run time.
#[cfg(not(feature = "simd"))]
pub(in crate::ops) struct Processor;

#[cfg(not(feature = "simd"))]
impl Processor {
    fn new() -> Self {
        Self
    }

    fn dispatch(&self, piece: impl Run) {
        piece.run();
    }
}

/// Any piece of work.
#[cfg(not(feature = "simd"))]
trait Run {
    fn run(self);
}

#[cfg(not(feature = "simd"))]
impl<F: Fn(usize, &mut [f32])> Run for Piece<'_, F> {
    fn run(self) {
        Piece::run(self);
    }
}

#[cfg(all(not(feature = "simd"), any(test, feature = "autodiff")))]
impl<F: Fn(usize, &mut [f32], &mut [f32])> Run for PiecePair<'_, F> {
    fn run(self) {
        PiecePair::run(self);
    }
}
