//! All cores and the widest vector instructions where there is std; one core and the common instructions elsewhere.
//!
//! `work` must be inlined wherever it is called, since only then is it compiled for the instructions chosen at run time:
//! pass closures marked `#[inline(always)]`.

/// Calls `work` with the number and the values of every `length` of `values`; the last may be shorter.
pub(super) fn for_each_chunk(values: &mut [f32], length: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    #[cfg(feature = "std")]
    {
        use rayon::prelude::*;
        let processor = pulp::Arch::new();
        let chunks = values.par_chunks_mut(length).enumerate();
        chunks.for_each(|(index, chunk)| processor.dispatch(Piece { index, chunk, work: &work }));
    }
    #[cfg(not(feature = "std"))]
    values.chunks_mut(length).enumerate().for_each(|(index, chunk)| work(index, chunk));
}

/// Calls `work` with the number, every `length` of `values` and every `other_length` of `others` beside it.
#[cfg(any(test, feature = "autodiff"))]
pub(super) fn for_each_chunk_pair(
    values: &mut [f32],
    length: usize,
    others: &mut [f32],
    other_length: usize,
    work: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    #[cfg(feature = "std")]
    {
        use rayon::prelude::*;
        let processor = pulp::Arch::new();
        let chunks = values.par_chunks_mut(length).zip(others.par_chunks_mut(other_length)).enumerate();
        chunks.for_each(|(index, (chunk, other))| processor.dispatch(PiecePair { index, chunk, other, work: &work }));
    }
    #[cfg(not(feature = "std"))]
    values
        .chunks_mut(length)
        .zip(others.chunks_mut(other_length))
        .enumerate()
        .for_each(|(index, (chunk, other))| work(index, chunk, other));
}

/// A piece of work to be compiled for each set of instructions. A closure would be called through a function of its
/// own, which is compiled for the common ones.
#[cfg(feature = "std")]
struct Piece<'a, F> {
    index: usize,
    chunk: &'a mut [f32],
    work: &'a F,
}

#[cfg(feature = "std")]
impl<F: Fn(usize, &mut [f32])> pulp::WithSimd for Piece<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        (self.work)(self.index, self.chunk);
    }
}

/// A piece of work on two slices.
#[cfg(all(feature = "std", any(test, feature = "autodiff")))]
struct PiecePair<'a, F> {
    index: usize,
    chunk: &'a mut [f32],
    other: &'a mut [f32],
    work: &'a F,
}

#[cfg(all(feature = "std", any(test, feature = "autodiff")))]
impl<F: Fn(usize, &mut [f32], &mut [f32])> pulp::WithSimd for PiecePair<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        (self.work)(self.index, self.chunk, self.other);
    }
}
