//! What weakens an answer and is known only once frames are decoded: a list that decoding adds to and scoring reads.

use std::sync::{Arc, Mutex, PoisonError};

use unmask_core::pipeline::Caveat;

/// Caveats, each code once, shared by the threads that decode.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes(Arc<Mutex<Vec<Caveat>>>);

impl Notes {
    /// Adds `caveat`, unless one of its code is there.
    pub(super) fn note(&self, caveat: impl Into<Caveat>) {
        let caveat = caveat.into();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().all(|other| other.code != caveat.code) {
            known.push(caveat);
        }
    }

    /// What was noted so far.
    pub(super) fn caveats(&self) -> Vec<Caveat> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
