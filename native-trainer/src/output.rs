//! Showing reports: to people, or as JSON.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use console::{Style, style};
use serde_json::{Value, json};
use unmask_core::detector::spec::Grade;
use unmask_core::pipeline::report::{FrameReport, InputKind, ModelInfo, REPORT_VERSION, Report, Verdict};
use unmask_core::pipeline::verdict::MIN_FRAMES;

use crate::credentials::{self, Credentials};
use crate::media::LeftOut;
use crate::opinions;
use crate::provenance::Document;

/// How reports are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A summary for a terminal.
    Human,
    /// One document: a report where one file was asked for, else an array of reports.
    Json,
    /// A document a line, streamed.
    JsonLines,
}

/// Prints each report or failure as it comes.
pub struct Output {
    format: Format,
    is_single: bool,
    documents: Vec<Value>,
}

impl Output {
    /// An output for what the user asked for: a single file, or what may be several inputs.
    pub fn new(format: Format, is_single: bool) -> Self {
        Self { format, is_single, documents: Vec::new() }
    }

    /// Prints a report.
    pub fn report(&mut self, report: &Report) -> Result<()> {
        match self.format {
            Format::Human => print(&summary(report)),
            _ => self.value(serde_json::to_value(report).context("the report cannot be written as JSON")?),
        }
    }

    /// Prints a report with what its file says under a signature.
    pub fn document(&mut self, document: &Document) -> Result<()> {
        match self.format {
            Format::Human => {
                print(&format!("{}{}", summary(&document.report), signed(document.content_credentials.as_ref())))
            }
            _ => self.value(serde_json::to_value(document).context("the report cannot be written as JSON")?),
        }
    }

    /// Prints that an input failed: in words on standard error, and in the JSON so that no input goes missing there.
    pub fn failure(&mut self, input: &str, error: &anyhow::Error) -> Result<()> {
        eprintln!("error: {error:#}");
        match self.format {
            Format::Human => Ok(()),
            _ => self.value(failed(input, error)),
        }
    }

    /// Prints which files of a folder are no inputs: their number and some names on standard error, all of them in
    /// the JSON.
    pub fn left_out(&mut self, folder: &Path, left_out: &[LeftOut]) -> Result<()> {
        eprintln!("{}", left_out_note(folder, left_out));
        match self.format {
            Format::Human => Ok(()),
            _ => {
                let listed = |file: &LeftOut| json!({ "path": file.path.display().to_string(), "reason": file.reason });
                let listed: Vec<Value> = left_out.iter().map(listed).collect();
                self.value(
                    json!({ "version": REPORT_VERSION, "input": folder.display().to_string(), "left_out": listed }),
                )
            }
        }
    }

    /// Prints what was held back.
    pub fn finish(self) -> Result<()> {
        if self.format != Format::Json {
            return Ok(());
        }
        let document = match <[Value; 1]>::try_from(self.documents) {
            Ok([document]) if self.is_single => document,
            Ok(documents) => Value::Array(documents.into()),
            Err(documents) => Value::Array(documents),
        };
        print(&format!("{}\n", serde_json::to_string_pretty(&document).context("the reports cannot be written")?))
    }

    fn value(&mut self, document: Value) -> Result<()> {
        if self.format == Format::JsonLines {
            return print(&format!("{document}\n"));
        }
        self.documents.push(document);
        Ok(())
    }
}

/// The document of an input that failed.
pub fn failed(input: &str, error: &anyhow::Error) -> Value {
    json!({ "version": REPORT_VERSION, "input": input, "error": format!("{error:#}") })
}

/// Prints a line as `println!` does, but ends the program quietly where the reader went away. For functions that return
/// a [`Result`].
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::output::print(&format!("{}\n", format_args!($($words)*)))? };
}
pub use say;

/// Prints at once; a reader that went away (`| head`) ends the program quietly as it does others.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.context("standard output cannot be written to"),
    }
}

/// How many files of a folder were left out, and the first of them by name.
fn left_out_note(folder: &Path, left_out: &[LeftOut]) -> String {
    const NAMED: usize = 8;
    let name = |file: &LeftOut| {
        let name = file.path.strip_prefix(folder).unwrap_or(&file.path);
        format!("{} ({})", name.display(), file.reason)
    };
    let mut names: Vec<String> = left_out.iter().take(NAMED).map(name).collect();
    if left_out.len() > NAMED {
        names.push(format!("and {} more, which --json and --report list", left_out.len() - NAMED));
    }
    let files = if left_out.len() == 1 { "1 file was" } else { &format!("{} files were", left_out.len()) };
    format!("note: {files} left out of {}: {}", folder.display(), names.join(", "))
}

/// A report in a few lines.
fn summary(report: &Report) -> String {
    let mut text = String::new();
    let colour = match report.verdict {
        Verdict::LikelyFake => Style::new().red().bold(),
        Verdict::LikelyReal => Style::new().green().bold(),
        Verdict::Uncertain => Style::new().yellow().bold(),
        Verdict::NoFace => Style::new().bold(),
    };
    let first = opinions::first(report);
    let kind = if first.is_some() { "mean " } else { "" };
    let score = report.score.map_or(String::new(), |score| format!("  {kind}P(fake) = {score:.2}"));
    let uncertainty = beside(report.uncertainty);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}", style(&report.input).bold());
    let _ = writeln!(text, "  {}{score}{uncertainty}", colour.apply_to(report.verdict.words()));
    if let Some(reason) = &report.reason {
        let _ = writeln!(text, "  {} {reason}", if report.verdict.is_decided() { "note:" } else { "because" });
    }
    for line in opinions::lines(report) {
        let _ = writeln!(text, " {line}");
    }
    let by = first.map_or(String::new(), |name| format!(" by {name}"));
    if report.frames.len() > 1 && report.score.is_some() {
        let _ = writeln!(text, "  {}  per frame{by}, {}", sparkline(&report.frames), span(&report.frames));
    }
    let scored: Vec<_> = report.tracks.iter().filter(|track| track.score.is_some()).collect();
    if scored.len() > 1 {
        let deciding = report.deciding_track();
        for track in scored {
            let score = track.score.unwrap_or_default();
            let part = match deciding {
                Some(deciding) if deciding.id == track.id => ", decides",
                Some(_) if report.video.kind != InputKind::Still && track.frames < MIN_FRAMES => ", too few to judge",
                Some(deciding) if track.score > deciding.score => match (track.uncertainty, deciding.uncertainty) {
                    (None, _) => ", too small, too blurred or drawn",
                    (of_it, of_deciding) if of_it > of_deciding => ", not judged",
                    // Here the verdict rests on whom the detector knows least of.
                    _ => "",
                },
                _ => "",
            };
            let (number, frames, uncertainty) = (track.id + 1, track.frames, beside(track.uncertainty));
            let _ =
                writeln!(text, "  person {number}: {score:.2}{by}{uncertainty}, seen in {frames} of the frames{part}");
        }
    }
    for caveat in &report.caveats {
        let _ = writeln!(text, "  {} {}", Style::new().yellow().apply_to("caveat:"), caveat.words);
    }
    let own = report.model.error_rates.as_ref().filter(|_| report.opinions.is_empty()).cloned();
    let rates = report.score.map_or(Vec::new(), |_| own.into_iter().chain(opinions::error_rates(report)).collect());
    for words in rates.iter().chain(report.strength.as_ref().map(|strength| &strength.words)) {
        let _ = writeln!(text, "  {}", style(words).dim());
    }
    let _ = writeln!(text, "  {}", style(provenance(report)).dim());
    text
}

/// What the file says under a signature, in a line or two; nothing where it says nothing.
fn signed(credentials: Option<&Credentials>) -> String {
    let said = credentials
        .into_iter()
        .flat_map(|found| credentials::sentence(found).into_iter().chain(credentials::claim(found)));
    said.map(|words| format!("  {} {words}\n", style("content credentials:").bold())).collect()
}

/// An uncertainty after a score, where the detector says it.
fn beside(uncertainty: Option<f32>) -> String {
    uncertainty.map_or(String::new(), |uncertainty| format!(", uncertainty {uncertainty:.2}"))
}

/// Eight heights for scores from 0 to 1, a dot where no face was scored; the highest score of a frame counts.
fn sparkline(frames: &[FrameReport]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    frames
        .iter()
        .map(|frame| {
            let score = frame.faces.iter().filter_map(|face| face.score).max_by(f32::total_cmp);
            score.map_or('·', |score| BARS[((score * 8.0) as usize).min(7)])
        })
        .collect()
}

fn span(frames: &[FrameReport]) -> String {
    let clock = |seconds: f64| format!("{}:{:04.1}", (seconds / 60.0) as u64, seconds % 60.0);
    let ends = (frames.first(), frames.last());
    let (Some(first), Some(last)) = ends else { return String::new() };
    format!("{} to {}", clock(first.time_s), clock(last.time_s))
}

/// Digits of a detector's SHA-256 that a summary shows: enough to tell two of the same name apart.
const DIGITS: usize = 8;

fn provenance(report: &Report) -> String {
    let model = |ModelInfo { name, reliability, sha256, .. }: &ModelInfo| {
        let digits = sha256.get(..DIGITS).unwrap_or_default();
        format!("model {name} ({}), SHA-256 {digits}…", grade(reliability.grade))
    };
    let models: Vec<String> = match &report.opinions[..] {
        [] => vec![model(&report.model)],
        opinions => opinions.iter().map(|opinion| model(&opinion.model)).collect(),
    };
    format!(
        "{}×{}, {} frames in {:.1} s, {}",
        report.video.width,
        report.video.height,
        report.video.frames_sampled,
        report.timing_s.total,
        models.join(", "),
    )
}

/// A detector's grade in a word.
pub fn grade(grade: Grade) -> &'static str {
    match grade {
        Grade::Untrained => "untrained",
        Grade::Uncalibrated => "uncalibrated",
        Grade::Weak => "weak",
        Grade::Calibrated => "calibrated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unmask_core::pipeline::report::FaceReport;

    fn frame(score: Option<f32>) -> FrameReport {
        let (bounds, landmarks) = ([0.0; 4], [[0.0; 2]; 5]);
        let face = FaceReport { track: 0, bounds, landmarks, confidence: 1.0, score, uncertainty: None };
        FrameReport { time_s: 0.0, faces: vec![face], left_out: None }
    }

    #[test]
    fn files_left_out_are_counted_and_named_as_far_as_a_line_holds() {
        let file = |number: usize| LeftOut { path: format!("videos/{number}.txt").into(), reason: "text" };
        assert_eq!(left_out_note(Path::new("videos"), &[file(1)]), "note: 1 file was left out of videos: 1.txt (text)");
        let note = left_out_note(Path::new("videos"), &(0..20).map(file).collect::<Vec<_>>());
        assert!(note.starts_with("note: 20 files were left out of videos: 0.txt (text), "), "{note}");
        assert!(note.ends_with("7.txt (text), and 12 more, which --json and --report list"), "{note}");
    }

    #[test]
    fn the_sparkline_rises_with_the_score_and_marks_frames_without_one() {
        let frames = [frame(Some(0.0)), frame(Some(0.5)), frame(Some(1.0)), frame(None)];
        assert_eq!(sparkline(&frames), "▁▅█·");
    }
}
