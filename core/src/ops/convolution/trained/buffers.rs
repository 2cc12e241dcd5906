//! Memory that is used again in the next step of training.
//!
//! The maps inside a block are the largest tensors there are. An operating system clears the memory it hands out page by page
//! as it is first written, and gets it back as soon as so large a piece is given up: a quarter of a step's time.

use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use core::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A spare piece is given up when so many others were put back after it: those of a few steps.
const KEPT_FOR: usize = 256;

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

/// Numbers that are put back when dropped.
#[derive(Debug)]
pub(super) struct Buffer(Vec<f32>);

impl Buffer {
    /// So many numbers of any value: all of them have to be written.
    pub(super) fn unwritten(length: usize) -> Self {
        let mut spare = spare();
        let place = spare.pieces.iter().rposition(|(_, piece)| piece.len() == length);
        let piece = place.map(|place| spare.pieces.swap_remove(place).1);
        drop(spare);
        Self(piece.unwrap_or_else(|| vec![0.0; length]))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut spare = spare();
        spare.put_back += 1;
        let now = spare.put_back;
        spare.pieces.retain(|(then, _)| now - then < KEPT_FOR);
        spare.pieces.push((now, mem::take(&mut self.0)));
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
