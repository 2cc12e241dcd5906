//! Ctrl-C in commands that can be gone on with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Exit status of a run that was asked to stop, as shells report it for Ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;

/// A flag that Ctrl-C sets, for a command that ends after its current step; a second one ends the program at once.
pub(super) fn on_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let signalled = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        // Whoever asks twice does not want to wait for the step.
        if signalled.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        eprintln!("ending after this step; press Ctrl-C again to end at once");
    })
    .context("Ctrl-C cannot be caught")?;
    Ok(stop)
}
