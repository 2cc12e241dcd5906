//! Memory that is used again.
//!
//! The maps and tokens between operations are the largest tensors there are. An operating system clears the memory it hands
//! out page by page as it is first written, and gets it back as soon as so large a piece is given up: an eighth of the time of a
//! forward pass, a quarter of a step of training.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use core::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::backend::DType;
use burn::backend::flex::FlexTensor;

/// A spare piece is given up when so many others were put back after it: those of a few steps, or of some forward passes.
const KEPT_FOR: usize = 4096;
/// Spare numbers that are kept at most, a quarter of a gigabyte: maps of other sizes are of no use to anybody.
const MOST: usize = 64 << 20;
/// Shorter ones come faster from the allocator.
const LEAST: usize = 4096;

static SPARE: Mutex<Spare> = Mutex::new(Spare { pieces: VecDeque::new(), put_back: 0, numbers: 0 });

struct Spare {
    /// The pieces, and how many had been put back before each, which rises.
    pieces: VecDeque<(usize, Vec<f32>)>,
    put_back: usize,
    /// Of all pieces.
    numbers: usize,
}

fn spare() -> MutexGuard<'static, Spare> {
    // Nothing is left half done where a thread could panic.
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many numbers of any value: all of them have to be written.
pub(in crate::ops) fn unwritten(length: usize) -> Vec<f32> {
    let piece = if length < LEAST { None } else { spare().take(length) };
    let piece = piece.unwrap_or_else(|| vec![0.0; length]);
    // Whoever reads what was not written is found out.
    #[cfg(test)]
    let piece = {
        let mut piece = piece;
        piece.fill(f32::NAN);
        piece
    };
    piece
}

impl Spare {
    fn take(&mut self, length: usize) -> Option<Vec<f32>> {
        let place = self.pieces.iter().rposition(|(_, piece)| piece.len() == length)?;
        let (_, piece) = self.pieces.remove(place)?;
        self.numbers -= piece.len();
        Some(piece)
    }

    fn put_back(&mut self, piece: Vec<f32>) {
        self.put_back += 1;
        self.numbers += piece.len();
        self.pieces.push_back((self.put_back, piece));
        let is_old = |(then, _): &(usize, Vec<f32>)| self.put_back - then > KEPT_FOR;
        while self.numbers > MOST || self.pieces.front().is_some_and(is_old) {
            let Some((_, oldest)) = self.pieces.pop_front() else { break };
            self.numbers -= oldest.len();
        }
    }
}

/// Keeps memory for whoever asks next.
pub(in crate::ops) fn put_back(piece: Vec<f32>) {
    if piece.len() >= LEAST {
        spare().put_back(piece);
    }
}

/// [`put_back`] of what tensors lie in that nobody else holds.
pub(in crate::ops) fn put_back_tensors(tensors: impl IntoIterator<Item = FlexTensor>) {
    for tensor in tensors {
        let is_spare = tensor.dtype() == DType::F32 && tensor.is_unique() && tensor.layout().num_elements() >= LEAST;
        if is_spare && let Ok(piece) = tensor.into_data().into_bytes().try_into_vec() {
            put_back(piece);
        }
    }
}

/// Numbers that are put back when dropped.
#[derive(Debug)]
pub(in crate::ops) struct Buffer(Vec<f32>);

impl Buffer {
    /// So many numbers of any value: all of them have to be written.
    pub(in crate::ops) fn unwritten(length: usize) -> Self {
        Self(unwritten(length))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        put_back(mem::take(&mut self.0));
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_used_again_and_the_oldest_given_up_where_there_are_too_many() {
        let mut spare = Spare { pieces: VecDeque::new(), put_back: 0, numbers: 0 };
        for length in [5000, 6000] {
            spare.put_back(vec![0.0; length]);
        }
        assert_eq!(spare.take(7000), None);
        assert_eq!(spare.take(5000).map(|piece| piece.len()), Some(5000));
        assert_eq!((spare.take(5000), spare.numbers), (None, 6000));
        spare.put_back(vec![0.0; MOST]);
        assert_eq!((spare.pieces.len(), spare.numbers), (1, MOST), "the older one is gone");
        for _ in 0..=KEPT_FOR {
            spare.put_back(Vec::new());
        }
        assert_eq!(spare.numbers, 0, "nobody asked for it");
    }
}
