//! Photographs and clips that tests may use and the repository does not hold.

use std::path::PathBuf;

/// Set to anything but `0`, this variable makes their absence a failure, where somebody promised that they are there.
const REQUIRED: &str = "UNMASK_REQUIRE_DATA";

/// What lies at `name` below `../shared/data` beside the repository; `None`, said aloud, where it is absent.
pub(crate) fn shared_data(name: &str) -> Option<PathBuf> {
    // Both crates whose tests use it lie directly in the repository.
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")).join(name);
    if path.exists() {
        return Some(path);
    }
    absent(&format!("{} is not here", path.display()));
    None
}

/// Says that something is missing for which a check is left out.
///
/// # Panics
/// Where it was promised that nothing is missing.
pub(crate) fn absent(what: &str) {
    let is_required = std::env::var_os(REQUIRED).is_some_and(|value| value != "0" && !value.is_empty());
    assert!(!is_required, "{what}, and {REQUIRED} is set");
    eprintln!("skipped: {what}");
}
