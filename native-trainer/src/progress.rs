//! How far a long run is: a bar on a terminal, a plain line now and then elsewhere.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Time between plain lines.
const SAY_EVERY: Duration = Duration::from_secs(20);

/// Shared between the threads that work.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// What is done, in plain lines.
    what: &'static str,
    /// When the next plain line is due.
    due: Mutex<Instant>,
    start: Instant,
}

impl Progress {
    /// For so many of what is done, such as `videos looked at`.
    pub(crate) fn new(total: usize, what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} {rate} {elapsed}, {eta} left") {
            let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
                // Writing into the bar's text does not fail.
                write!(text, "{}", pace(state.per_sec())).ok();
            };
            bar.set_style(style.with_key("rate", rate));
        }
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, what, due: Mutex::new(Instant::now() + SAY_EVERY), start: Instant::now() }
    }

    /// One more is done.
    pub(crate) fn step(&self) {
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
            let (what, pace) = (self.what, pace(rate));
            eprintln!("{done} of {total} {what}, {pace}, {} left", indicatif::HumanDuration(left));
        }
    }

    /// Says a line above the bar.
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// How fast it goes, by the unit that gives a number above one.
fn pace(per_second: f64) -> String {
    match per_second {
        slow if slow > 0.0 && slow < 1.0 => format!("{:.1} s each", slow.recip()),
        fast => format!("{fast:.1} a second"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_told_by_its_seconds() {
        assert_eq!(
            [pace(12.34), pace(1.0), pace(0.08), pace(0.0)],
            ["12.3 a second", "1.0 a second", "12.5 s each", "0.0 a second"]
        );
    }
}
