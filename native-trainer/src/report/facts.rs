//! Facts and figures at the end of a page, for whoever wants to check them: the file, the detectors, the program.

use std::collections::BTreeMap;

use unmask_core::detector::spec::DetectorSpec;
use unmask_core::pipeline::report::{ModelInfo, Report};

use super::figures::{count, threshold};
use super::page::{Subject, models, rounded};
use crate::media::facts::{MediaFacts, StreamFacts};
use crate::output::grade;
use crate::provenance::{DetectorFacts, Provenance};

/// What digests are called.
const SHA256: &str = "SHA-256";
/// Streams that are shown.
const MAX_STREAMS: usize = 8;

/// A group of facts.
pub(super) struct Facts {
    pub(super) title: String,
    pub(super) rows: Vec<Fact>,
}

/// A fact.
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: String,
    /// Whether it is a digest or a command, which is looked at letter by letter.
    pub(super) is_digest: bool,
}

impl Facts {
    fn new(title: impl Into<String>, rows: Vec<(&str, String)>) -> Self {
        let fact = |(name, value): (&str, String)| {
            let is_digest = name == SHA256 || name == "Command";
            Fact { name: name.to_owned(), value, is_digest }
        };
        let rows = rows.into_iter().filter(|(_, value)| !value.is_empty()).map(fact).collect();
        Self { title: title.into(), rows }
    }
}

/// All of a page's, the input's first.
pub(super) fn groups(subject: &Subject<'_>) -> Vec<Facts> {
    let (report, provenance) = (subject.report, subject.provenance);
    let mut groups = vec![input_facts(report, provenance)];
    groups.extend(provenance.map(file_facts).unwrap_or_default());
    let detectors = provenance.map(|provenance| &provenance.detectors[..]).unwrap_or_default();
    groups.push(detector_facts(report, subject.spec, detectors.first()));
    let others = models(report).enumerate().skip(1);
    groups.extend(others.map(|(place, model)| Facts::new("Another detector", model_rows(model, detectors.get(place)))));
    groups.extend(provenance.map(program_facts));
    groups.push(time_facts(report));
    groups
}

fn input_facts(report: &Report, provenance: Option<&Provenance>) -> Facts {
    let Report { input, video, .. } = report;
    let mut rows = vec![("Input", input.clone())];
    if let Some(prints) = provenance.map(|provenance| &provenance.input.prints) {
        rows.push((SHA256, prints.sha256.clone()));
        let of_list = format!("of the list of {} files that `sha256sum` makes", prints.files);
        rows.extend((prints.files > 1).then_some(("This is", of_list)));
        rows.push(("Bytes", prints.bytes.to_string()));
    }
    rows.push(("Size", format!("{} × {} pixels as displayed", video.width, video.height)));
    rows.extend(video.duration_s.map(|seconds| ("Length", format!("{seconds:.2} s"))));
    rows.extend(video.fps.map(|fps| ("Frame rate", format!("{} a second", rounded(fps)))));
    rows.push(("Looked at", count(video.frames_sampled, "frame")));
    Facts::new("Input", rows)
}

/// What the file says of itself; nothing is concluded from it.
fn file_facts(provenance: &Provenance) -> Vec<Facts> {
    let input = &provenance.input;
    let Some(facts) = &input.facts else {
        let reason = input.no_facts.clone();
        return reason.map(|reason| Facts::new("What the file says", vec![("Nothing", reason)])).into_iter().collect();
    };
    let mut groups = vec![container_facts(facts)];
    let several = facts.streams.len() > 1;
    let stream = |(index, stream)| stream_facts(if several { Some(index) } else { None }, stream);
    groups.extend(facts.streams.iter().enumerate().take(MAX_STREAMS).map(stream));
    groups
}

fn container_facts(facts: &MediaFacts) -> Facts {
    let has_sound = facts.streams.iter().any(|stream| stream.kind == "audio");
    let mut rows = vec![("Format", facts.container.clone())];
    rows.extend(facts.duration_s.map(|seconds| ("Length stated", format!("{seconds:.3} s"))));
    rows.extend(facts.bit_rate.map(|rate| ("Bits a second", rate.to_string())));
    rows.push(("Sound", if has_sound { "there is some" } else { "there is none" }.to_owned()));
    rows.extend((facts.more_streams > 0).then(|| ("More streams", facts.more_streams.to_string())));
    if !facts.edit_lists.is_empty() {
        let edits: Vec<String> = facts.edit_lists.iter().map(|edits| count(*edits as usize, "entry")).collect();
        rows.push(("Edit lists", edits.join(", ").replace("entrys", "entries")));
    }
    let is_dated = facts.tags.contains_key("creation_time");
    rows.extend((!is_dated).then(|| ("Created", "not stated".to_owned())));
    Facts { title: "What the file says".to_owned(), rows: tag_rows(&facts.tags) }.after(rows)
}

impl Facts {
    /// With these rows in front.
    fn after(self, rows: Vec<(&str, String)>) -> Self {
        let Self { title, rows: own } = self;
        let first = Self::new(title, rows);
        Self { rows: first.rows.into_iter().chain(own).collect(), ..first }
    }
}

/// What the file or ffprobe calls by these names, which have no spaces there.
fn tag_rows(tags: &BTreeMap<String, String>) -> Vec<Fact> {
    let row = |(name, value): (&String, &String)| Fact {
        name: name.replace('_', " "),
        value: value.clone(),
        is_digest: false,
    };
    tags.iter().map(row).collect()
}

fn stream_facts(index: Option<usize>, stream: &StreamFacts) -> Facts {
    let number = index.map_or(String::new(), |index| format!(" {index}"));
    let cover = if stream.is_cover { ", a cover" } else { "" };
    let mut rows = Vec::new();
    rows.extend(stream.size.map(|[width, height]| ("Coded size", format!("{width} × {height} pixels"))));
    rows.extend(stream.packets.map(|packets| ("Packets", packets.to_string())));
    rows.extend(stream.rotation.map(|degrees| ("Turned by", format!("{degrees}°"))));
    let own: Vec<Fact> = tag_rows(&stream.facts).into_iter().chain(tag_rows(&stream.tags)).collect();
    Facts { title: format!("Stream{number}: {}{cover}", stream.kind), rows: own }.after(rows)
}

fn detector_facts(report: &Report, spec: &DetectorSpec, detector: Option<&DetectorFacts>) -> Facts {
    let calibration = &spec.calibration;
    let mut rows = model_rows(&report.model, detector);
    rows.extend([
        ("Training", spec.training.summary.clone()),
        (
            "Thresholds",
            format!(
                "likely real up to {}, likely fake from {}",
                threshold(calibration.real_below),
                threshold(calibration.fake_above)
            ),
        ),
    ]);
    rows.extend(spec.base_model.clone().map(|base| ("Made from", base)));
    rows.extend(spec.licence.clone().map(|licence| ("Licence", licence)));
    Facts::new("Detector", rows)
}

/// Which detector it is, and its grade with what that means.
fn model_rows(model: &ModelInfo, detector: Option<&DetectorFacts>) -> Vec<(&'static str, String)> {
    let ModelInfo { name, sha256, reliability, .. } = model;
    let worth = format!("{}: {}", grade(reliability.grade), reliability.words);
    let mut rows = vec![("Name", name.clone()), (SHA256, sha256.clone())];
    rows.extend(detector.map(|detector| ("Bytes", detector.bytes.to_string())));
    rows.push(("Worth", worth));
    rows
}

fn program_facts(provenance: &Provenance) -> Facts {
    let (program, settings) = (&provenance.program, &provenance.settings);
    let mut rows = vec![("Program", format!("unmask {}", program.version))];
    rows.extend(program.commit.clone().map(|commit| ("Built from", commit)));
    rows.extend(program.sha256.clone().map(|sha256| (SHA256, sha256)));
    rows.push(("Command", command_line(&program.command)));
    rows.push((
        "Settings",
        format!("up to {} frames, faces: {}, damaged: {}", settings.frames, settings.faces, settings.damaged),
    ));
    rows.push(("Computed on", settings.device.clone()));
    rows.push(("Platform", program.platform.clone()));
    rows.extend(program.ffmpeg.clone().map(|ffmpeg| ("ffmpeg", ffmpeg)));
    rows.push(("Begun", provenance.made.clone()));
    Facts::new("Program", rows)
}

/// The words of a command with quotation marks where a shell needs some.
fn command_line(words: &[String]) -> String {
    let is_plain = |word: &&String| {
        !word.is_empty() && word.chars().all(|letter| letter.is_alphanumeric() || "-_./:=,+@%".contains(letter))
    };
    let quoted = |word: &String| match Some(word).filter(is_plain) {
        Some(word) => word.clone(),
        None => format!("'{}'", word.replace('\'', "'\\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn time_facts(report: &Report) -> Facts {
    let timing = &report.timing_s;
    let seconds = |value: f64| format!("{value:.2} s");
    let rows = vec![
        ("Waiting for frames", seconds(timing.decode)),
        ("Finding faces", seconds(timing.detect)),
        ("Scoring", seconds(timing.score)),
        ("In all", seconds(timing.total)),
    ];
    Facts::new("Time taken", rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_again() {
        let words = ["unmask", "score", "my clip's.mp4", "--frames", "8", ""].map(str::to_owned);
        assert_eq!(command_line(&words), "unmask score 'my clip'\\''s.mp4' --frames 8 ''");
    }
}
