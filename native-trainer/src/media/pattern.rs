//! A test pattern to measure decoding with where the user names no video.

use std::path::{Path, PathBuf};

use super::error::MediaError;
use super::programs::{Program, Programs};

/// Writes ten seconds of a moving pattern, 1280x720 at 25 frames a second, into `folder`.
///
/// # Errors
/// ffmpeg is missing, or cannot write there.
pub fn write(folder: &Path) -> Result<PathBuf, MediaError> {
    let path = folder.join("pattern.mkv");
    let programs = Programs::from_environment();
    let mut command = programs.command(Program::Ffmpeg);
    command
        .args(["-nostdin", "-loglevel", "error", "-f", "lavfi"])
        .args(["-i", "testsrc2=size=1280x720:rate=25:duration=10", "-pix_fmt", "yuv420p"])
        .arg(&path);
    let output = command.output().map_err(|error| programs.not_started(Program::Ffmpeg, &path, error))?;
    if !output.status.success() {
        let detail = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("no message").to_string();
        return Err(MediaError::Ffmpeg { path, detail });
    }
    Ok(path)
}
