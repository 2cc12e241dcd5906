//! Content credentials of an input, read by a process of its own: a file that was made to take all memory, to keep a reader busy or
//! to crash it takes that process alone. They stand beside the score, and neither changes the other.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
pub use unmask_credentials::{Action, Credentials, Ingredient, State, read};

use crate::media::Input;

/// The subcommand, not for people, that reads them.
pub const SUBCOMMAND: &str = "read-credentials";
/// Bytes of memory that the process may have.
pub const MAX_MEMORY: u64 = 2 << 30;
/// Bytes of its answer that are read.
const MAX_ANSWER: u64 = 4 << 20;
/// How long it may take, beside the time that reading the file takes at this many bytes a second.
const PATIENCE: Duration = Duration::from_secs(20);
const BYTES_A_SECOND: u64 = 20 << 20;
/// How often to ask whether it has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// The credentials of an input while they are read.
pub struct Looking {
    started: Result<Started, Credentials>,
}

struct Started {
    child: Child,
    deadline: Instant,
}

impl Looking {
    /// Begins to read those of an input by `program`, which is `unmask` itself.
    pub fn start(program: &Path, input: &Input) -> Self {
        let started = match input {
            Input::Video(path) | Input::Image(path) => start(program, path).map_err(|error| {
                Credentials::unreadable(format!("the process that reads them did not start: {error}"))
            }),
            Input::Frames { .. } => Err(Credentials::not_looked_for("a folder of frames is no single file")),
        };
        Self { started }
    }

    /// What was found. It does not fail: what went wrong is said in the answer.
    pub fn finish(self) -> Credentials {
        match self.started {
            Ok(started) => answer(started).unwrap_or_else(|error| Credentials::unreadable(format!("{error:#}"))),
            Err(credentials) => credentials,
        }
    }
}

fn start(program: &Path, path: &Path) -> std::io::Result<Started> {
    let bytes = path.metadata().map_or(0, |metadata| metadata.len());
    let deadline = Instant::now() + PATIENCE + Duration::from_secs(bytes / BYTES_A_SECOND);
    // A path of its own, so that no name is taken for an option.
    let path = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    let mut command = Command::new(program);
    command.arg(SUBCOMMAND).arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(Started { child: command.spawn()?, deadline })
}

/// The process's answer; it is ended where it takes too long.
fn answer(Started { mut child, deadline }: Started) -> Result<Credentials> {
    let output = child.stdout.take().context("the process that reads them has no output")?;
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        output.take(MAX_ANSWER).read_to_end(&mut bytes).map(|_| bytes)
    });
    let status = loop {
        if let Some(status) = child.try_wait().context("the process that reads them cannot be waited for")? {
            break status;
        }
        if Instant::now() > deadline {
            // One that ended meanwhile cannot be killed, and is waited for all the same.
            child.kill().ok();
            child.wait().ok();
            return Ok(Credentials::unreadable("reading them took too long, and was given up"));
        }
        std::thread::sleep(PAUSE);
    };
    let bytes = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).unwrap_or_default();
    match serde_json::from_slice(&bytes) {
        Ok(credentials) if status.success() => Ok(credentials),
        _ => Ok(Credentials::unreadable(
            "the process that reads them was ended by them, so they are malformed or too large",
        )),
    }
}

/// What credentials say in a sentence, without a full stop; `None` where there are none and nothing is amiss.
pub fn sentence(found: &Credentials) -> Option<String> {
    let reason = found.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
    match found.state {
        State::None | State::NotLookedFor => None,
        State::Valid => {
            let trust = if found.trusted {
                "who is on a list of trusted signers"
            } else {
                "whose name nobody vouches for here"
            };
            Some(format!("the file is as it was signed by {}, {trust}", signer(found)))
        }
        State::Broken => {
            let problems: Vec<&str> = found.problems.iter().take(3).map(String::as_str).collect();
            let problems = if problems.is_empty() { String::new() } else { format!(" ({})", problems.join(", ")) };
            Some(format!(
                "there are some by {}, and the file or they are not as they were signed{problems}",
                signer(found)
            ))
        }
        State::Elsewhere => Some(format!("the file does not hold its credentials{reason}")),
        State::Unreadable => Some(format!("they could not be read{reason}")),
    }
}

/// Who signed, as the certificate has it.
fn signer(found: &Credentials) -> String {
    match (&found.signer, &found.issuer) {
        (Some(name), Some(issuer)) if name != issuer => format!("{name} ({issuer})"),
        (Some(name), _) | (None, Some(name)) => name.clone(),
        (None, None) => "somebody without a name".to_owned(),
    }
}

/// What they claim of how the file came about, in a sentence without a full stop.
pub fn claim(found: &Credentials) -> Option<String> {
    let sources: Vec<&str> = found.source_types.iter().map(|source| source_words(source)).collect();
    (!sources.is_empty()).then(|| format!("they say that it, or a part of it, was {}", sources.join(", and ")))
}

/// IPTC's digital source types in words (newscodes/digitalsourcetype); others by their name.
pub fn source_words(source: &str) -> &str {
    match source {
        "trainedAlgorithmicMedia" => "made by a trained model (AI)",
        "compositeWithTrainedAlgorithmicMedia" => "edited or completed by a trained model (AI)",
        "algorithmicMedia" => "made by an algorithm without training",
        "algorithmicallyEnhanced" => "enhanced by an algorithm",
        "compositeSynthetic" => "put together with synthetic parts",
        "composite" => "put together of several things",
        "compositeCapture" => "put together of several captures",
        "digitalCapture" => "captured by a camera or another device",
        "computationalCapture" => "captured by a device that combines several exposures",
        "negativeFilm" | "positiveFilm" | "print" => "digitised from film or print",
        "humanEdits" | "minorHumanEdits" => "edited by a person",
        "digitalCreation" | "digitalArt" => "made by a person with software",
        "screenCapture" => "captured from a screen",
        "virtualRecording" => "recorded from a virtual scene",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(state: State) -> Credentials {
        Credentials {
            state,
            signer: Some("A Camera".to_owned()),
            issuer: Some("A Maker".to_owned()),
            ..Credentials::default()
        }
    }

    #[test]
    fn each_state_is_said_as_what_it_is() {
        assert_eq!(sentence(&Credentials::default()), None);
        let valid = sentence(&signed(State::Valid)).unwrap();
        assert!(valid.contains("A Camera (A Maker), whose name nobody vouches for"), "{valid}");
        let broken = Credentials { problems: vec!["assertion.dataHash.mismatch".to_owned()], ..signed(State::Broken) };
        assert!(sentence(&broken).unwrap().contains("not as they were signed (assertion.dataHash.mismatch)"));
        let ai = Credentials { source_types: vec!["trainedAlgorithmicMedia".to_owned()], ..signed(State::Valid) };
        assert!(claim(&ai).unwrap().contains("made by a trained model (AI)"));
        assert_eq!(claim(&signed(State::Valid)), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_process_that_crashes_or_talks_nonsense_is_said_and_stops_nothing() {
        let input = Input::Video(Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/fake.mp4"));
        for program in ["/bin/false", "/bin/echo", "/nowhere/unmask"] {
            let found = Looking::start(Path::new(program), &input).finish();
            assert_eq!(found.state, State::Unreadable, "{program}");
            assert!(sentence(&found).is_some());
        }
        let frames = Input::Frames { folder: PathBuf::new(), files: Vec::new() };
        assert_eq!(Looking::start(Path::new("/bin/false"), &frames).finish().state, State::NotLookedFor);
    }
}
