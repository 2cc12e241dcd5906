//! Pipes: what comes through one is written to a temporary file, since containers are read back and forth.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::{MAX_PIPED, MediaError};

/// What came through a pipe. The file goes when this does.
#[derive(Debug)]
pub struct Piped {
    /// Keeps the file.
    _folder: TempDir,
    /// The file, named after the pipe.
    pub file: PathBuf,
}

/// Reads `path` to its end where it is a pipe or this program's standard input (`-`); none where it is a file or a
/// folder.
///
/// Errors: it cannot be read, there is no room for it, or it does not end within 32 GiB; another device is refused.
pub fn read(path: &Path) -> Result<Option<Piped>, MediaError> {
    if path == Path::new("-") && !path.exists() {
        return spool(path, io::stdin().lock(), "stdin").map(Some);
    }
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(None) };
    if is_pipe(&metadata) {
        let name = path.file_name().map_or_else(|| "pipe".into(), |name| name.to_string_lossy());
        let reader = File::open(path).map_err(|error| MediaError::io(path, error))?;
        return spool(path, reader, &name).map(Some);
    }
    // A file that was redirected has no name that a child process could open.
    let is_standard_input = ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| path == Path::new(name));
    if is_standard_input && metadata.is_file() {
        return spool(path, io::stdin().lock(), "stdin").map(Some);
    }
    Ok(None)
}

fn spool(path: &Path, mut reader: impl Read, name: &str) -> Result<Piped, MediaError> {
    let failed = |error| MediaError::io(path, error);
    let folder = tempfile::Builder::new().prefix("unmask-").tempdir().map_err(failed)?;
    let file = folder.path().join(name);
    let mut spooled = File::create(&file).map_err(failed)?;
    let length = io::copy(&mut reader.by_ref().take(MAX_PIPED + 1), &mut spooled).map_err(failed)?;
    match length {
        0 => Err(MediaError::Empty { path: path.to_owned() }),
        length if length > MAX_PIPED => Err(MediaError::PipeTooLong { path: path.to_owned() }),
        _ => Ok(Piped { _folder: folder, file }),
    }
}

#[cfg(unix)]
fn is_pipe(metadata: &Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    metadata.file_type().is_fifo()
}

#[cfg(not(unix))]
fn is_pipe(_: &Metadata) -> bool {
    false
}
