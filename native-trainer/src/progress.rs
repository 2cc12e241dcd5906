//! How far a long run is: a bar on a terminal, a plain line now and then elsewhere.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Time between plain lines.
const SAY_EVERY: Duration = Duration::from_secs(20);

/// Shared between the threads that work.
pub(super) struct Progress {
    bar: ProgressBar,
    /// When the next plain line is due.
    due: Mutex<Instant>,
    start: Instant,
}

impl Progress {
    /// For so many videos.
    pub(super) fn new(total: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {rate} {elapsed}, {eta} left") {
            let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
                // Writing into the bar's text does not fail.
                write!(text, "{:.1}/s", state.per_sec()).ok();
            };
            bar.set_style(style.with_key("rate", rate));
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, due: Mutex::new(Instant::now() + SAY_EVERY), start: Instant::now() }
    }

    /// One more is done.
    pub(super) fn step(&self) {
        self.bar.inc(1);
        if !self.bar.is_hidden() {
            return;
        }
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now >= *due {
            *due = now + SAY_EVERY;
            let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let rate = done as f64 / self.start.elapsed().as_secs_f64();
            let left = Duration::from_secs_f64((total.saturating_sub(done)) as f64 / rate.max(1e-9));
            eprintln!("{done} of {total} done, {rate:.1} a second, {} left", indicatif::HumanDuration(left));
        }
    }

    /// Says a line above the bar.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
