//! Whether a report is what the program says of the file and the detectors that it names: hashes are computed anew, the file is
//! scored anew in the same way, and both answers are compared.
//!
//! What a report cannot show is who made it: whoever changes a report and the file alike makes another report, not a false one.

mod compare;
mod found;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use unmask_core::pipeline::report::Report;

use crate::detector_file::{self, Loaded, Source};
use crate::device::DeviceChoice;
use crate::media::Input;
use crate::provenance::{DetectorFacts, Document, ProgramFacts, Provenance, Settings, prints};
use crate::scoring::{ScoreOptions, Scorer, face_finder};

pub use compare::Tolerance;

/// Frames that a report may ask for, as `unmask score --frames`.
const MAX_FRAMES: usize = 10_000;
/// Digits of a SHA-256 that a line shows.
const DIGITS: usize = 12;

/// What came of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is as the report says.
    Pass,
    /// It is not.
    Differs,
    /// Nobody can say.
    NotChecked,
}

impl Outcome {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Differs => "differs",
            Self::NotChecked => "cannot be checked",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What was compared.
    pub what: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, in a sentence without a full stop.
    pub reason: String,
    /// Whether the report is verified only if this passes.
    pub needed: bool,
}

impl Check {
    fn new(what: impl Into<String>, outcome: Outcome, reason: impl Into<String>) -> Self {
        Self { what: what.into(), outcome, reason: reason.into(), needed: true }
    }

    fn that(what: impl Into<String>, is_so: bool, reason: impl Into<String>) -> Self {
        Self::new(what, if is_so { Outcome::Pass } else { Outcome::Differs }, reason)
    }
}

/// What came of a report.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// The input as the report names it.
    pub input: String,
    /// Whether all that is needed passed.
    pub verified: bool,
    /// How far scores and places may lie apart.
    pub tolerance: Tolerance,
    /// The checks, in order.
    pub checks: Vec<Check>,
}

impl Verification {
    fn new(input: &str, checks: Vec<Check>) -> Self {
        let verified = checks.iter().filter(|check| check.needed).all(|check| check.outcome == Outcome::Pass);
        Self { input: input.to_owned(), verified, tolerance: Tolerance::default(), checks }
    }
}

/// Where things are that have moved since.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The input, or a folder that it lies in under its name.
    pub input: Option<PathBuf>,
    /// Detectors, in the report's order or known by their SHA-256.
    pub models: Vec<String>,
    /// The detector that an adapter belongs to.
    pub base: Option<String>,
}

/// Verifies one report after another; detectors stay loaded while reports name the same.
pub struct Verifier {
    places: Places,
    device: DeviceChoice,
    program: ProgramFacts,
    /// What scored last, by the detectors' hashes and the settings.
    scorer: Option<((Vec<String>, Settings), Scorer)>,
}

impl Verifier {
    /// One that looks for things at `places` and scores on `device`.
    pub fn new(places: Places, device: DeviceChoice) -> Self {
        Self { places, device, program: ProgramFacts::of_this(), scorer: None }
    }

    /// Verifies a report, which was read from `folder`; `progress` is told how many frames went through and how many there are.
    pub fn verify(
        &mut self,
        document: &Document,
        folder: &std::path::Path,
        progress: impl FnMut(usize, usize),
    ) -> Verification {
        let report = &document.report;
        let Some(provenance) = &document.provenance else {
            let reason = "the report does not say what it rests on; those that `unmask score --report` writes do";
            return Verification::new(&report.input, vec![Check::new("provenance", Outcome::NotChecked, reason)]);
        };
        let (input, of_input) = self.input(report, provenance, folder);
        let (sources, of_detectors) = self.detectors(report, provenance);
        let mut checks = vec![of_input];
        checks.extend(of_detectors);
        let are_same = checks.iter().all(|check| check.outcome == Outcome::Pass);
        checks.push(self.program(&provenance.program));
        checks.extend(match input.filter(|_| are_same) {
            Some(input) => self.scores(report, provenance, &input, &sources, progress),
            None => {
                let reason = "without the same input and the same detectors nothing can be scored as it was";
                vec![Check::new("scores", Outcome::NotChecked, reason)]
            }
        });
        Verification::new(&report.input, checks)
    }

    fn input(&self, report: &Report, provenance: &Provenance, folder: &std::path::Path) -> (Option<Input>, Check) {
        let missing = |reason: String| (None, Check::new("input", Outcome::NotChecked, reason));
        let input = match found::input(&report.input, self.places.input.as_deref(), folder) {
            Ok(input) => input,
            Err(reason) => return missing(reason),
        };
        let expected = &provenance.input.prints;
        match prints(&input) {
            Ok(found) => {
                let reason = match found == *expected {
                    true => format!("SHA-256 {}, {} bytes", short(&found.sha256), found.bytes),
                    false => format!(
                        "{} has SHA-256 {} and {} bytes, and the report is of SHA-256 {} and {} bytes",
                        input.path().display(),
                        short(&found.sha256),
                        found.bytes,
                        short(&expected.sha256),
                        expected.bytes
                    ),
                };
                let check = Check::that("input", found == *expected, reason);
                (Some(input), check)
            }
            Err(error) => missing(format!("{error:#}")),
        }
    }

    /// The detectors that the report names, as far as they are found.
    fn detectors(&self, report: &Report, provenance: &Provenance) -> (Vec<Source>, Vec<Check>) {
        let (mut sources, mut checks) = (Vec::new(), Vec::new());
        let named: Vec<&str> = match &report.opinions[..] {
            [] => vec![&report.model.sha256],
            opinions => opinions.iter().map(|opinion| opinion.model.sha256.as_str()).collect(),
        };
        let facts = &provenance.detectors;
        let is_consistent = named.iter().copied().eq(facts.iter().map(|detector| detector.sha256.as_str()));
        if !is_consistent {
            let reason = "the report's scores are by other detectors than those that it says it rests on";
            checks.push(Check::new("detectors", Outcome::Differs, reason));
        }
        for (place, detector) in facts.iter().enumerate() {
            let (source, check) = self.detector(detector, place);
            sources.extend(source);
            checks.push(check);
        }
        (sources, checks)
    }

    fn detector(&self, detector: &DetectorFacts, place: usize) -> (Option<Source>, Check) {
        let what = format!("detector {}", detector.name);
        let missing = |reason: String| (None, Check::new(what.clone(), Outcome::NotChecked, reason));
        let hashed = |argument: &str| -> Result<(Source, String)> {
            let source = detector_file::resolve(argument)?;
            let sha256 = source.sha256()?;
            Ok((source, sha256))
        };
        let is_it = |model: &&String| hashed(model).is_ok_and(|(_, sha256)| sha256 == detector.sha256);
        let given = self.places.models.iter().find(is_it).or_else(|| self.places.models.get(place));
        match hashed(given.unwrap_or(&detector.argument)) {
            Ok((source, sha256)) => {
                let is_same = sha256 == detector.sha256;
                let reason = match is_same {
                    true => format!("SHA-256 {}", short(&sha256)),
                    false => format!(
                        "{source} has SHA-256 {}, and the report is by SHA-256 {}; name that with --model",
                        short(&sha256),
                        short(&detector.sha256)
                    ),
                };
                let check = Check::that(what.clone(), is_same, reason);
                (Some(source), check)
            }
            Err(error) => missing(format!("{error:#}; name it with --model")),
        }
    }

    /// Another program is no fault of the report.
    fn program(&self, expected: &ProgramFacts) -> Check {
        let is_same = expected.sha256.is_some() && expected.sha256 == self.program.sha256;
        let called = |program: &ProgramFacts| {
            format!("unmask {} ({})", program.version, program.sha256.as_deref().map_or("unknown", short))
        };
        let check = match is_same {
            true => Check::new("program", Outcome::Pass, called(&self.program)),
            false => {
                let reason = format!("the report is by {}, and this is {}", called(expected), called(&self.program));
                Check::new("program", Outcome::NotChecked, reason)
            }
        };
        Check { needed: false, ..check }
    }

    /// Scores anew and compares.
    fn scores(
        &mut self,
        report: &Report,
        provenance: &Provenance,
        input: &Input,
        sources: &[Source],
        progress: impl FnMut(usize, usize),
    ) -> Vec<Check> {
        let anew = self.scorer(provenance, sources).and_then(|scorer| scorer.score(input, None, progress));
        match anew {
            Ok(anew) => compare::checks(report, &anew, &Tolerance::default()),
            Err(error) => vec![Check::new("scores", Outcome::NotChecked, format!("{error:#}"))],
        }
    }

    fn scorer(&mut self, provenance: &Provenance, sources: &[Source]) -> Result<&Scorer> {
        let settings = provenance.settings.clone();
        if !(1..=MAX_FRAMES).contains(&settings.frames) {
            bail!("the report says that {} frames were asked for, which nobody can", settings.frames);
        }
        let hashes: Vec<String> = provenance.detectors.iter().map(|detector| detector.sha256.clone()).collect();
        let key = (hashes, settings);
        if self.scorer.as_ref().is_none_or(|(last, _)| *last != key) {
            let scorer = self.load(provenance, sources)?;
            self.scorer = Some((key, scorer));
        }
        self.scorer.as_ref().map(|(_, scorer)| scorer).context("no detector is loaded")
    }

    fn load(&self, provenance: &Provenance, sources: &[Source]) -> Result<Scorer> {
        let device = self.device.open()?;
        let load = |(source, detector): (&Source, &DetectorFacts)| -> Result<Loaded> {
            let base = self.places.base.as_ref().or(detector.base.as_ref());
            let base = base.map(|base| detector_file::resolve(base)).transpose()?;
            detector_file::load(source, base.as_ref(), &device)
        };
        let mut loaded: Vec<Loaded> = sources.iter().zip(&provenance.detectors).map(load).collect::<Result<_>>()?;
        if loaded.is_empty() {
            bail!("the report names no detector");
        }
        let first = loaded.remove(0);
        let settings = &provenance.settings;
        let options =
            ScoreOptions { frames: Some(settings.frames), faces: settings.faces(), damage: settings.damage() };
        Ok(Scorer::new(first, loaded, face_finder()?, options))
    }
}

/// The beginning of a SHA-256.
fn short(sha256: &str) -> &str {
    sha256.get(..DIGITS).unwrap_or(sha256)
}
