//! Memory that is used again.
//!
//! The maps and tokens between operations are the largest tensors there are. An operating system clears the memory it hands
//! out page by page as it is first written, and gets it back as soon as so large a piece is given up: an eighth of the time of a
//! forward pass, a quarter of a step of training.

use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use core::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::backend::DType;
use burn::backend::flex::FlexTensor;

/// A spare piece is given up when so many others were put back after it: those of a few steps, or of some forward passes.
const KEPT_FOR: usize = 4096;
/// How often it is asked whether there are any to give up.
const ASKED_AFTER: usize = 64;
/// Shorter ones come faster from the allocator.
const LEAST: usize = 4096;

static SPARE: Mutex<Spare> = Mutex::new(Spare { pieces: Vec::new(), put_back: 0 });

struct Spare {
    /// The pieces, and how many had been put back before each.
    pieces: Vec<(usize, Vec<f32>)>,
    put_back: usize,
}

fn spare() -> MutexGuard<'static, Spare> {
    // Nothing is left half done where a thread could panic.
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many numbers of any value: all of them have to be written.
pub(in crate::ops) fn unwritten(length: usize) -> Vec<f32> {
    if length < LEAST {
        return vec![0.0; length];
    }
    let mut spare = spare();
    let place = spare.pieces.iter().rposition(|(_, piece)| piece.len() == length);
    let piece = place.map(|place| spare.pieces.swap_remove(place).1);
    drop(spare);
    piece.unwrap_or_else(|| vec![0.0; length])
}

/// Keeps memory for whoever asks next.
pub(in crate::ops) fn put_back(piece: Vec<f32>) {
    if piece.len() < LEAST {
        return;
    }
    let mut spare = spare();
    spare.put_back += 1;
    let now = spare.put_back;
    if now.is_multiple_of(ASKED_AFTER) {
        spare.pieces.retain(|(then, _)| now - then < KEPT_FOR);
    }
    spare.pieces.push((now, piece));
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
