//! All cores and the widest vector instructions where there is std; one core and the common instructions elsewhere.

/// Calls `work` with the number and the values of every `length` of `values`; the last may be shorter.
pub(super) fn for_each_chunk(values: &mut [f32], length: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    #[cfg(feature = "std")]
    {
        use rayon::prelude::*;
        let processor = pulp::Arch::new();
        let chunks = values.par_chunks_mut(length).enumerate();
        chunks.for_each(|(index, chunk)| {
            processor.dispatch(
                #[inline(always)]
                || work(index, chunk),
            )
        });
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
        chunks.for_each(|(index, (chunk, other))| {
            processor.dispatch(
                #[inline(always)]
                || work(index, chunk, other),
            )
        });
    }
    #[cfg(not(feature = "std"))]
    values
        .chunks_mut(length)
        .zip(others.chunks_mut(other_length))
        .enumerate()
        .for_each(|(index, (chunk, other))| work(index, chunk, other));
}
