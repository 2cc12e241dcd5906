//! Whether the detector file in the cache is what today's conversion makes of the weights that it was made of.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use unmask_core::detector::formats::CONVERSION;

use super::cache::{read_toml, write_toml};
use super::error::HubError;

/// What a detector file was made of, and by which conversion; files without a record are of the first.
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

/// Whether `detector` was made by today's conversion, whatever it was made of.
pub fn is_by_today(detector: &Path) -> bool {
    read_toml::<Record>(&beside(detector)).is_some_and(|record| record.conversion == CONVERSION)
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
