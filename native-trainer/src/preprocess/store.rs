//! The folder that crops and manifest are written to, so that a run can be killed and started again at any time.
//!
//! A video's crops are written first, each through the scratch folder and whole; its line in the manifest comes last.
//! What has no line is done again. Each shard has a manifest file and a scratch folder of its own, which a lock on the
//! manifest file keeps to one program at a time.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::datasets::manifest::{self, Entry, Header, Known, Manifest};
use crate::files;

/// Lines are forced to the disk this often; after a power cut what was done since is done again.
const SYNC_EVERY: Duration = Duration::from_secs(2);

/// An open folder.
pub(super) struct Store {
    folder: PathBuf,
    scratch: PathBuf,
    path: PathBuf,
    lines: Mutex<Lines>,
}

struct Lines {
    file: File,
    synced: Instant,
}

impl Store {
    /// Opens or makes `folder` for crops as `header` says; `suffix` tells the shard's files from others.
    /// Also gives what is done already, by all shards.
    ///
    /// # Errors
    /// The folder holds crops of another kind, or another program works on the same shard.
    pub(super) fn open(folder: &Path, suffix: &str, header: &Header) -> Result<(Self, Manifest<Known>)> {
        let shown = folder.display();
        fs::create_dir_all(folder)
            .with_context(|| format!("{shown} cannot be made; choose another --output folder"))?;
        let path = folder.join(format!("manifest{suffix}.jsonl"));
        let unwritable = || format!("{} cannot be written; check permissions and free space", path.display());
        let mut file = File::options().read(true).append(true).create(true).open(&path).with_context(unwritable)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                bail!("another program is preprocessing into {}; wait for it, or give each its --shard", path.display())
            }
            // Some network file systems have no locks; then it is the user who sees to it.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        cut_after_last_line(&mut file).with_context(unwritable)?;
        let done = manifest::read(&manifest::list(folder)?)?;
        if let Some((other, found)) = done.headers.iter().find(|(_, found)| !found.is_alike(header)) {
            bail!(
                "{} was begun with other settings ({}) than these ({}); choose another --output folder",
                other.display(),
                found.settings(),
                header.settings()
            );
        }
        let scratch = folder.join(format!(".scratch{suffix}"));
        if scratch.exists() {
            fs::remove_dir_all(&scratch).with_context(unwritable)?;
        }
        fs::create_dir(&scratch).with_context(unwritable)?;
        let store = Self {
            folder: folder.to_owned(),
            scratch,
            lines: Mutex::new(Lines { file, synced: Instant::now() }),
            path: path.clone(),
        };
        if !done.headers.iter().any(|(known, _)| *known == path) {
            store.append(header)?;
        }
        Ok((store, done))
    }

    /// Writes a file of the folder, whole or not at all; `name` is relative, with `/` between folders.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        }
        files::write_bytes_through(&self.scratch, &path, bytes)
    }

    /// Adds the line of a video whose crops are all written.
    pub(super) fn record(&self, entry: &Entry) -> Result<()> {
        self.append(entry)
    }

    /// Forces everything to the disk and puts the scratch folder away.
    pub(super) fn close(self) -> Result<()> {
        let lines = self.lines.into_inner().unwrap_or_else(PoisonError::into_inner);
        lines
            .file
            .sync_all()
            .with_context(|| format!("{} cannot be written; check the free space", self.path.display()))?;
        // An empty folder that stays does no harm; the next run takes it over.
        fs::remove_dir_all(&self.scratch).ok();
        Ok(())
    }

    /// One line in one write, so that lines are whole or last.
    fn append(&self, line: &impl serde::Serialize) -> Result<()> {
        let unwritable = || format!("{} cannot be written; check the free space", self.path.display());
        let mut bytes = serde_json::to_vec(line).with_context(unwritable)?;
        bytes.push(b'\n');
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.file.write_all(&bytes).with_context(unwritable)?;
        if lines.synced.elapsed() > SYNC_EVERY {
            lines.file.sync_data().with_context(unwritable)?;
            lines.synced = Instant::now();
        }
        Ok(())
    }
}

/// Removes what a killed run left of a line.
fn cut_after_last_line(file: &mut File) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < bytes.len() {
        file.set_len(whole as u64)?;
    }
    file.seek(SeekFrom::End(0)).map(drop)
}
