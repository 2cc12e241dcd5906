//! Whether the detector file in the cache is what today's conversion makes of the weights that it was made of.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::cache::{read_toml, write_toml};
use super::error::HubError;

/// Raised whenever a conversion writes something else of the same weights. Without a record files are of the first.
///
/// 2: crops are resized by the kernel of the format's authors (`input.interpolation`).
const CONVERSION: u32 = 2;

/// What a detector file was made of, and by which conversion.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Record {
    conversion: u32,
    /// SHA-256 of the weights.
    weights: String,
}

impl Record {
    fn of(weights: &str) -> Self {
        Self { conversion: CONVERSION, weights: weights.to_owned() }
    }
}

/// Whether `detector` is there and was made of the weights with this SHA-256 as it would be made today.
pub fn is_current(detector: &Path, weights: &str) -> bool {
    detector.exists() && read_toml(&beside(detector)) == Some(Record::of(weights))
}

/// Notes that `detector` was just made of the weights with this SHA-256.
///
/// # Errors
/// The record cannot be written.
pub fn note(detector: &Path, weights: &str) -> Result<(), HubError> {
    write_toml(&beside(detector), &Record::of(weights))
}

/// The record's place.
fn beside(detector: &Path) -> PathBuf {
    let name = detector.file_name().unwrap_or_default().to_string_lossy();
    detector.with_file_name(format!(".{name}.toml"))
}
