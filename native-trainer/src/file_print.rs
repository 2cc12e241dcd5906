//! What tells a file from another of its name, and from itself as it was, without reading all of it.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::files;

/// Bytes of a file at its start, in its middle and at its end that are hashed: reading all of every file again would take as
/// long as decoding it.
const SAMPLE: u64 = 1 << 16;
/// Digits of a hash that are kept.
const DIGITS: usize = 16;

/// When a file was last written to, in milliseconds since 1970; 0 where the system does not say.
pub(crate) fn modified_ms(metadata: &Metadata) -> u64 {
    let since = metadata.modified().ok().and_then(|modified| modified.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_millis() as u64)
}

/// The hash of a file's size and some of its bytes, in 16 hexadecimal digits.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn sample(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    hasher.update(size.to_le_bytes());
    for start in [0, size.saturating_sub(SAMPLE) / 2, size.saturating_sub(SAMPLE)] {
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        (&mut file).take(SAMPLE).read_to_end(&mut bytes)?;
        hasher.update(&bytes);
    }
    Ok(shortened(hasher))
}

/// What was hashed, in 16 hexadecimal digits.
pub(crate) fn shortened(hasher: Sha256) -> String {
    let mut digits = files::hex(hasher);
    digits.truncate(DIGITS);
    digits
}
