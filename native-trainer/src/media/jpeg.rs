//! What the structure of a JPEG file tells.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use unmask_core::image::jpeg;
pub(super) use unmask_core::image::jpeg::Survey;

/// Whether the file at `path` is a stream of JPEGs. One that cannot be read is none, and fails where it is decoded.
pub(super) fn is_motion(path: &Path) -> bool {
    survey(path).is_ok_and(|survey| survey.is_motion)
}

/// Walks over the first picture of the file at `path`, see [`jpeg::survey`].
pub(super) fn survey(path: &Path) -> io::Result<Survey> {
    jpeg::survey(BufReader::with_capacity(1 << 16, File::open(path)?))
}
