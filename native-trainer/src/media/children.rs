//! The running children of one video, so that they can be ended from another thread and none is left behind.

use std::io;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// At most one child for each worker.
#[derive(Debug)]
pub(super) struct Children {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stopped: bool,
    running: Vec<Option<Child>>,
}

impl Children {
    /// Room for the children of `workers` workers.
    pub(super) fn new(workers: usize) -> Self {
        Self { state: Mutex::new(State { stopped: false, running: (0..workers).map(|_| None).collect() }) }
    }

    /// Starts the child of `worker`; none once [`Self::stop`] was called.
    pub(super) fn start(&self, worker: usize, command: &mut Command) -> io::Result<Option<(ChildStdout, ChildStderr)>> {
        let mut state = self.lock();
        if state.stopped {
            return Ok(None);
        }
        let mut child = command.spawn()?;
        let outputs = child.stdout.take().zip(child.stderr.take());
        if let Some(place) = state.running.get_mut(worker) {
            *place = Some(child);
        }
        Ok(outputs)
    }

    /// Waits for the child of `worker`, which has closed its output or is to be killed first.
    pub(super) fn finish(&self, worker: usize, kill: bool) -> Option<ExitStatus> {
        let mut child = self.lock().running.get_mut(worker)?.take()?;
        if kill {
            // A child that has already ended cannot be killed, and need not be.
            child.kill().ok();
        }
        child.wait().ok()
    }

    /// Kills every child and lets none start any more. The workers then find their pipes closed, and wait for them.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        for child in state.running.iter_mut().flatten() {
            child.kill().ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
