//! What was scored: the hashes of its files, and what they say of themselves.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files;
use crate::media::Input;
use crate::media::facts::{MediaFacts, facts};

/// By what an input is known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prints {
    /// SHA-256 in lower-case hexadecimal: of a file its own; of a folder of frames that of a list, which for each frame in their
    /// order has a line as `sha256sum` writes it, with its SHA-256, two spaces and its name.
    pub sha256: String,
    /// Bytes in all.
    pub bytes: u64,
    /// How many files it consists of.
    pub files: usize,
}

/// What was scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputFacts {
    /// By what it is known again.
    #[serde(flatten)]
    pub prints: Prints,
    /// What the file says of itself; absent of folders of frames, and where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<MediaFacts>,
    /// Why there are no facts, if there ought to be some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_facts: Option<String>,
}

/// The facts of an input while they are gathered, beside scoring it.
pub struct Gathering {
    thread: JoinHandle<Result<InputFacts>>,
}

impl Gathering {
    /// Begins to read the input's files.
    pub fn start(input: &Input) -> Self {
        let input = input.clone();
        Self { thread: std::thread::spawn(move || gather(&input)) }
    }

    /// What was found.
    ///
    /// # Errors
    /// A file cannot be read any more.
    pub fn finish(self) -> Result<InputFacts> {
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn gather(input: &Input) -> Result<InputFacts> {
    let prints = prints(input)?;
    let described = match input {
        Input::Video(path) | Input::Image(path) => Some(facts(path)),
        Input::Frames { .. } => None,
    };
    let (facts, no_facts) = match described {
        Some(Ok(facts)) => (Some(facts), None),
        Some(Err(reason)) => (None, Some(reason)),
        None => (None, None),
    };
    Ok(InputFacts { prints, facts, no_facts })
}

/// Hashes an input.
///
/// # Errors
/// A file of it cannot be read.
pub fn prints(input: &Input) -> Result<Prints> {
    match input {
        Input::Video(path) | Input::Image(path) => {
            Ok(Prints { sha256: files::sha256(path)?, bytes: size(path)?, files: 1 })
        }
        Input::Frames { files, .. } => of_frames(files),
    }
}

fn of_frames(frames: &[PathBuf]) -> Result<Prints> {
    let lines: Vec<(String, u64)> = frames.par_iter().map(|path| line(path)).collect::<Result<_>>()?;
    let mut list = Sha256::new();
    lines.iter().for_each(|(line, _)| list.update(line));
    Ok(Prints { sha256: files::hex(list), bytes: lines.iter().map(|(_, bytes)| bytes).sum(), files: frames.len() })
}

/// A file as `sha256sum` lists it, and its size.
fn line(path: &Path) -> Result<(String, u64)> {
    let name = path.file_name().ok_or_else(|| anyhow!("{} has no name", path.display()))?;
    Ok((format!("{}  {}\n", files::sha256(path)?, name.to_string_lossy()), size(path)?))
}

fn size(path: &Path) -> Result<u64> {
    let metadata =
        path.metadata().with_context(|| format!("{} cannot be read; check its permissions", path.display()))?;
    Ok(metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_frames_is_known_by_what_sha256sum_lists() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = ["1.png", "2.png"].map(|name| folder.path().join(name)).to_vec();
        std::fs::write(&files[0], b"one").unwrap();
        std::fs::write(&files[1], b"two").unwrap();
        let input = Input::Frames { folder: folder.path().to_owned(), files: files.clone() };
        let found = prints(&input).unwrap();
        // (cd FOLDER && sha256sum 1.png 2.png) | sha256sum
        assert_eq!(found.sha256, "45d17b9676aa043965fae43705e53fcc6cf0d8187008f4d5c0c4c3cf8e9cd9d7");
        assert_eq!((found.bytes, found.files), (6, 2));
        std::fs::write(&files[1], b"tw0").unwrap();
        assert_ne!(prints(&input).unwrap().sha256, found.sha256);
        std::fs::remove_file(&files[0]).unwrap();
        assert!(prints(&input).unwrap_err().to_string().contains("1.png"));
    }
}
