//! Where uploads lie until they are scored: a folder of this run among the system's temporary ones.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// What the folders of all runs begin with.
const PREFIX: &str = "unmask-serve-";
/// A file in each that its run holds locked.
const LOCK: &str = "lock";

/// The folder, which goes when this does.
#[derive(Debug)]
pub struct Spool {
    folder: TempDir,
    _lock: File,
}

impl Spool {
    /// Makes the folder, readable by this user alone, and removes those of runs that were killed.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create() -> Result<Self> {
        let parent = std::env::temp_dir();
        remove_left_over(&parent);
        let failed = || format!("no folder for uploads can be made in {}; set TMPDIR to another", parent.display());
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&parent).with_context(failed)?;
        let lock = File::create(folder.path().join(LOCK)).with_context(failed)?;
        lock.try_lock().ok();
        Ok(Self { folder, _lock: lock })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes folders whose run has ended without doing so. What cannot be removed is somebody else's.
fn remove_left_over(parent: &Path) {
    let folders = fs::read_dir(parent).into_iter().flatten().flatten();
    let of_runs = folders.filter(|entry| {
        entry.file_name().to_string_lossy().starts_with(PREFIX) && entry.file_type().is_ok_and(|kind| kind.is_dir())
    });
    for entry in of_runs {
        // One that has no lock yet is just being made.
        let lock = File::options().write(true).open(entry.path().join(LOCK));
        if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_killed_runs_are_removed_and_those_of_others_stay() {
        let parent = tempfile::tempdir().unwrap();
        let folders = ["killed", "runs", "new"].map(|name| parent.path().join(format!("{PREFIX}{name}")));
        folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        fs::create_dir(parent.path().join("other")).unwrap();
        let locks = [0, 1].map(|index: usize| File::create(folders[index].join(LOCK)).unwrap());
        locks[1].try_lock().unwrap();
        remove_left_over(parent.path());
        assert_eq!(folders.map(|folder| folder.exists()), [false, true, true]);
        assert!(parent.path().join("other").exists());
    }
}
