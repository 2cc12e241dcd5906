//! What scored: the program, how it was called, with which settings and detectors, on which machine.

use std::sync::{Arc, OnceLock};

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use unmask_core::detector::spec::DetectorSpec;
use unmask_core::pipeline::Faces;

use super::{Document, FrameUse, InputFacts, Provenance};
use crate::detector_file::Source;
use crate::files;
use crate::media::{Damage, Programs};

/// The program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgramFacts {
    /// Its version.
    pub version: String,
    /// The commit that it was built from, where whoever built it said so (`UNMASK_COMMIT` while building).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// SHA-256 of its file; absent where that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// How it was called: itself, then its arguments.
    pub command: Vec<String>,
    /// Operating system and architecture.
    pub platform: String,
    /// What the ffmpeg that decoded calls itself; absent where it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ffmpeg: Option<String>,
}

/// What the user chose, and what followed from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Frames of a video that were to be looked at.
    pub frames: usize,
    /// Whose faces were scored: `largest` or `all`.
    pub faces: String,
    /// What was done with damaged videos: `refuse` or `skip`.
    pub damaged: String,
    /// Where the detectors computed: `cpu`, or a GPU.
    pub device: String,
}

impl Settings {
    /// In words that [`Self::faces`] and [`Self::damage`] read.
    pub fn new(frames: usize, faces: Faces, damage: Damage, device: String) -> Self {
        let faces = if faces == Faces::All { "all" } else { "largest" };
        let damaged = if damage == Damage::Skip { "skip" } else { "refuse" };
        Self { frames, faces: faces.to_owned(), damaged: damaged.to_owned(), device }
    }

    /// Whose faces were scored.
    pub fn faces(&self) -> Faces {
        if self.faces == "all" { Faces::All } else { Faces::Largest }
    }

    /// What was done with damaged videos.
    pub fn damage(&self) -> Damage {
        if self.damaged == "skip" { Damage::Skip } else { Damage::Refuse }
    }
}

/// A detector that scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectorFacts {
    /// What named it on the command line.
    pub argument: String,
    /// Its name.
    pub name: String,
    /// SHA-256 of its file.
    pub sha256: String,
    /// Bytes of its file.
    pub bytes: u64,
    /// What named the detector that it changes, where it is an adapter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// A score at or below this is likely real.
    pub real_below: f32,
    /// A score at or above this is likely fake.
    pub fake_above: f32,
    /// Divides its logits.
    pub temperature: f32,
    /// On what it was trained, as its file says.
    pub training: String,
}

impl DetectorFacts {
    /// Those of a detector that was loaded from `source`, over `base` where it is an adapter.
    ///
    /// # Errors
    /// Its file cannot be read any more.
    pub fn new(source: &Source, base: Option<&Source>, spec: &DetectorSpec, sha256: String) -> Result<Self> {
        Ok(Self {
            argument: source.argument(),
            name: spec.name.clone(),
            sha256,
            bytes: source.size()?,
            base: base.map(Source::argument),
            real_below: spec.calibration.real_below,
            fake_above: spec.calibration.fake_above,
            temperature: spec.calibration.temperature,
            training: spec.training.summary.clone(),
        })
    }
}

/// What all reports of one run of the program share.
pub struct Run {
    program: Arc<OnceLock<ProgramFacts>>,
    detectors: Vec<DetectorFacts>,
    settings: Settings,
}

impl Run {
    /// Begins to look at the program, whose file is hashed beside other work.
    pub fn new(detectors: Vec<DetectorFacts>, settings: Settings) -> Self {
        let program = Arc::new(OnceLock::new());
        let slot = Arc::clone(&program);
        std::thread::spawn(move || {
            slot.get_or_init(ProgramFacts::of_this);
        });
        Self { program, detectors, settings }
    }

    /// The document with where it comes from; it was `made` then.
    pub fn complete(&self, document: Document, input: InputFacts, made: Timestamp) -> Document {
        let provenance = Provenance {
            made: made.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            input,
            frames: FrameUse::of(&document.report, self.settings.frames),
            detectors: self.detectors.clone(),
            settings: self.settings.clone(),
            program: self.program.wait().clone(),
        };
        Document { provenance: Some(provenance), ..document }
    }
}

impl ProgramFacts {
    /// Those of the program that runs. What cannot be found out is absent.
    pub fn of_this() -> Self {
        let program = std::env::current_exe().ok();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("UNMASK_COMMIT").map(str::to_owned),
            sha256: program.and_then(|path| files::sha256(&path).ok()),
            command: std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            ffmpeg: Programs::from_environment().version(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_knows_its_own_file_and_its_ffmpeg() {
        let found = ProgramFacts::of_this();
        let own = std::env::current_exe().unwrap();
        assert_eq!(found.sha256, Some(files::sha256(&own).unwrap()));
        assert!(found.ffmpeg.is_some_and(|ffmpeg| ffmpeg.contains("ffmpeg version ")), "what `ffmpeg -version` says");
        assert!(!found.command.is_empty());
    }

    #[test]
    fn settings_are_read_as_they_are_written() {
        for (faces, damage) in [(Faces::All, Damage::Skip), (Faces::Largest, Damage::Refuse)] {
            let settings = Settings::new(8, faces, damage, "cpu".to_owned());
            assert_eq!((settings.faces(), settings.damage()), (faces, damage));
        }
    }
}
