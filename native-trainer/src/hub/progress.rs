//! How far a pull is: measured for the caller, and shown as a bar on a terminal or as plain lines elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// No more than one report in this time, but for the first and the last of a file.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// Plain lines come at each tenth of the file.
const LINES: u64 = 10;
/// Where the length is not known, plain lines come at each such number of bytes.
const LINE_BYTES: u64 = 100_000_000;

/// News of a pull.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress<'a> {
    /// Another process downloads the same file; this one waits for it.
    Waiting {
        /// Path inside the repository.
        file: &'a str,
    },
    /// Bytes are coming in.
    Bytes {
        /// Path inside the repository.
        file: &'a str,
        /// Stored so far, those of earlier runs included.
        done: u64,
        /// Of the whole file, if the server says so.
        total: Option<u64>,
        /// Bytes per second since this run began.
        rate: f64,
    },
    /// An attempt failed; the next follows.
    Retrying {
        /// What failed, as a sentence.
        reason: String,
        /// Until the next attempt.
        pause: Duration,
    },
}

/// Turns byte counts of one file into reports.
pub(super) struct Meter<'a> {
    file: &'a str,
    sink: &'a mut dyn FnMut(Progress<'_>),
    began: Instant,
    resumed_at: u64,
    reported: Instant,
}

impl<'a> Meter<'a> {
    pub(super) fn new(file: &'a str, sink: &'a mut dyn FnMut(Progress<'_>)) -> Self {
        let now = Instant::now();
        Self { file, sink, began: now, resumed_at: 0, reported: now }
    }

    /// Begins the clock with `done` bytes of earlier runs.
    pub(super) fn start(&mut self, done: u64, total: Option<u64>) {
        self.began = Instant::now();
        self.resumed_at = done;
        self.bytes(done, total);
    }

    /// Reports `done` bytes, unless the last report was just now.
    pub(super) fn advance(&mut self, done: u64, total: Option<u64>) {
        if self.reported.elapsed() >= REPORT_EVERY || total == Some(done) {
            self.bytes(done, total);
        }
    }

    /// Another process holds the file.
    pub(super) fn waiting(&mut self) {
        (self.sink)(Progress::Waiting { file: self.file });
    }

    /// Passes a report on.
    pub(super) fn report(&mut self, progress: Progress<'_>) {
        (self.sink)(progress);
    }

    fn bytes(&mut self, done: u64, total: Option<u64>) {
        self.reported = Instant::now();
        let seconds = self.began.elapsed().as_secs_f64().max(1e-3);
        let rate = done.saturating_sub(self.resumed_at) as f64 / seconds;
        (self.sink)(Progress::Bytes { file: self.file, done, total, rate });
    }
}

/// Shows progress to a person: a bar if the standard error stream is a terminal, else about ten lines per file.
pub enum Reporter {
    /// On a terminal.
    Bar(ProgressBar),
    /// Elsewhere: log files, pipes.
    Lines(Lines),
}

impl Reporter {
    /// Chooses by the standard error stream.
    pub fn stderr() -> Self {
        if stderr().is_terminal() {
            Self::Bar(ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style()))
        } else {
            Self::Lines(Lines::new(Box::new(stderr())))
        }
    }

    /// Shows one report.
    pub fn show(&mut self, progress: &Progress<'_>) {
        match (self, progress) {
            (Self::Lines(lines), _) => lines.show(progress),
            (Self::Bar(bar), Progress::Bytes { file, done, total, .. }) => {
                if bar.message() != *file {
                    bar.set_message((*file).to_owned());
                    bar.reset();
                }
                match total {
                    Some(total) => bar.set_length(*total),
                    None => bar.unset_length(),
                }
                bar.set_position(*done);
            }
            (Self::Bar(bar), other) => bar.println(sentence(other)),
        }
    }

    /// Takes the bar away, so that what follows stands on a clean line.
    pub fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Plain lines, one per tenth of a file.
pub struct Lines {
    out: Box<dyn Write + Send>,
    file: String,
    shown: u64,
}

impl Lines {
    fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, file: String::new(), shown: 0 }
    }

    fn show(&mut self, progress: &Progress<'_>) {
        if let Progress::Bytes { file, done, total, .. } = progress {
            let step = match total {
                Some(total) => done.saturating_mul(LINES) / (*total).max(1),
                None => done / LINE_BYTES,
            };
            if self.file == *file && step <= self.shown {
                return;
            }
            self.file = (*file).to_owned();
            self.shown = step;
        }
        // A log that cannot be written must not stop the download.
        let _ = writeln!(self.out, "{}", sentence(progress));
    }
}

fn sentence(progress: &Progress<'_>) -> String {
    match progress {
        Progress::Waiting { file } => format!("{file}: another process downloads it, waiting for that"),
        Progress::Retrying { reason, pause } => format!("{reason}; next attempt in {:.0} s", pause.as_secs_f64()),
        Progress::Bytes { file, done, total: Some(total), rate } => format!(
            "{file}: {} % ({} of {}, {}/s)",
            done.saturating_mul(100) / (*total).max(1),
            HumanBytes(*done),
            HumanBytes(*total),
            HumanBytes(*rate as u64)
        ),
        Progress::Bytes { file, done, total: None, rate } => {
            format!("{file}: {} ({}/s)", HumanBytes(*done), HumanBytes(*rate as u64))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn plain_lines_come_once_per_tenth_and_for_each_file() {
        let shared = Shared::default();
        let mut lines = Lines::new(Box::new(shared.clone()));
        for file in ["a", "b"] {
            for done in 0..=1000 {
                lines.show(&Progress::Bytes { file, done, total: Some(1000), rate: 5.0 });
            }
        }
        let text = String::from_utf8(shared.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 22, "{text}");
        assert!(text.contains("a: 30 % (300 B of 1000 B, 5 B/s)"), "{text}");
    }

    #[test]
    fn the_meter_reports_the_first_and_the_last_byte_but_not_every_one() {
        let mut seen = Vec::new();
        let mut sink = |progress: Progress<'_>| {
            if let Progress::Bytes { done, .. } = progress {
                seen.push(done);
            }
        };
        let mut meter = Meter::new("f", &mut sink);
        meter.start(10, Some(1000));
        (11..=1000).for_each(|done| meter.advance(done, Some(1000)));
        assert_eq!((seen.first(), seen.last()), (Some(&10), Some(&1000)));
        assert!(seen.len() < 100);
    }
}
