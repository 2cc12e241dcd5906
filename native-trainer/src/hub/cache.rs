//! Where pulled files lie: `CACHE/hub/OWNER--REPO/REVISION/FILE`.
//!
//! Beside FILE: `.FILE.toml`, what is known about it; while it comes in, `FILE.part` with its origin in `.FILE.part.toml`;
//! and `.FILE.lock`, which one process holds while it downloads.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::HubError;
use super::http::{Remote, Target, escape_slashes};
use crate::files::{hex, write_bytes};

const BUFFER: usize = 1 << 18;

/// What is known about a complete file.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(super) struct Record {
    /// The hub's entity tag when it was downloaded.
    pub(super) etag: String,
    pub(super) bytes: u64,
    /// In hexadecimal, of the bytes on disk.
    pub(super) sha256: String,
    /// Whether that SHA-256 was compared with a published one.
    pub(super) checked: bool,
    /// The commit it came from, where the hub said so.
    pub(super) commit: Option<String>,
}

/// Which version of a file the bytes of a partial download belong to.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
struct Origin {
    /// The hub's entity tag.
    etag: String,
    /// The store's entity tag.
    store_etag: Option<String>,
}

/// The place of one file in the cache.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) path: PathBuf,
}

impl Slot {
    /// The place of `target` under `cache`; its folder is made.
    pub(super) fn new(cache: &Path, target: Target<'_>) -> Result<Self, HubError> {
        let mut path = cache.join("hub").join(target.repo.replace('/', "--")).join(escape_slashes(target.revision));
        path.extend(target.file.split('/'));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| HubError::file("create", folder, error))?;
        }
        Ok(Self { path })
    }

    /// The record of the complete file, if there is one and the file has the recorded length.
    pub(super) fn record(&self) -> Option<Record> {
        let record: Record = read_toml(&self.beside(".toml"))?;
        let bytes = fs::metadata(&self.path).ok()?.len();
        (bytes == record.bytes).then_some(record)
    }

    /// Takes over a complete file without a matching record (placed by hand, or left by a process that was killed between
    /// its last two steps) if it is exactly what the hub has.
    pub(super) fn adopt(&self, remote: &Remote) -> Result<Option<Record>, HubError> {
        let (Some(expected), Some(bytes)) = (&remote.sha256, remote.bytes) else { return Ok(None) };
        if !fs::metadata(&self.path).is_ok_and(|data| data.is_file() && data.len() == bytes) {
            return Ok(None);
        }
        let mut file = File::open(&self.path).map_err(|error| HubError::file("read", &self.path, error))?;
        let mut hasher = Sha256::new();
        hash_into(&mut hasher, &mut file, bytes).map_err(|error| HubError::file("read", &self.path, error))?;
        let sha256 = hex(hasher);
        if sha256 != *expected {
            return Ok(None);
        }
        let commit = remote.commit.clone();
        let record = Record { etag: remote.etag.clone(), bytes, sha256, checked: true, commit };
        self.write_record(&record)?;
        Ok(Some(record))
    }

    /// Waits until no other process downloads this file; `waiting` is called if that is not at once.
    ///
    /// The lock ends when the returned file is dropped.
    pub(super) fn lock(&self, mut waiting: impl FnMut()) -> Result<File, HubError> {
        let path = self.beside(".lock");
        let wrap = |error| HubError::file("lock", &path, error);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(wrap)?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => waiting(),
            Err(TryLockError::Error(error)) => return Err(wrap(error)),
        }
        file.lock().map_err(wrap)?;
        Ok(file)
    }

    /// Puts a finished part in the file's place and records what it is.
    pub(super) fn complete(&self, part: Part, record: &Record) -> Result<(), HubError> {
        part.file.sync_all().map_err(|error| HubError::file("write", &part.path, error))?;
        drop(part.file);
        fs::rename(&part.path, &self.path).map_err(|error| HubError::file("write", &self.path, error))?;
        self.write_record(record)?;
        remove(&part.origin_path)
    }

    fn write_record(&self, record: &Record) -> Result<(), HubError> {
        write_toml(&self.beside(".toml"), record)
    }

    /// `.FILE` with `suffix`, in the file's folder.
    fn beside(&self, suffix: &str) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!(".{name}{suffix}"))
    }
}

/// A download under way: its bytes so far, and their hash.
pub(super) struct Part {
    pub(super) path: PathBuf,
    origin_path: PathBuf,
    origin: Origin,
    file: File,
    len: u64,
    hasher: Sha256,
}

impl Part {
    /// Goes on with the part in `slot` if it belongs to `remote`, else begins an empty one.
    pub(super) fn open(slot: &Slot, remote: &Remote) -> Result<Self, HubError> {
        let name = slot.path.file_name().unwrap_or_default().to_string_lossy();
        let path = slot.path.with_file_name(format!("{name}.part"));
        let origin_path = slot.beside(".part.toml");
        let origin = read_toml(&origin_path).filter(|origin: &Origin| origin.etag == remote.etag);
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(|error| HubError::file("create", &path, error))?;
        let fresh = Origin { etag: remote.etag.clone(), store_etag: None };
        let resumes = origin.is_some() && !remote.etag.is_empty();
        let mut part = Self { path, origin_path, origin: origin.unwrap_or(fresh), file, len: 0, hasher: Sha256::new() };
        let stored = part.file.metadata().map_err(|error| HubError::file("read", &part.path, error))?.len();
        if resumes && remote.bytes.is_none_or(|bytes| stored <= bytes) {
            hash_into(&mut part.hasher, &mut part.file, stored)
                .map_err(|error| HubError::file("read", &part.path, error))?;
            part.len = stored;
        } else if stored > 0 {
            part.restart()?;
        }
        Ok(part)
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The store's entity tag of the version these bytes are of.
    pub(super) fn store_etag(&self) -> Option<&str> {
        self.origin.store_etag.as_deref()
    }

    /// Notes which version of the file the following bytes are of, so that another process can go on with them.
    pub(super) fn begin(&mut self, store_etag: Option<String>) -> Result<(), HubError> {
        self.origin.store_etag = store_etag;
        write_toml(&self.origin_path, &self.origin)
    }

    /// Forgets all bytes.
    pub(super) fn restart(&mut self) -> Result<(), HubError> {
        self.len = 0;
        self.hasher = Sha256::new();
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(|error| HubError::file("write", &self.path, error))?;
        Ok(())
    }

    /// Adds `bytes` at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), HubError> {
        self.file.write_all(bytes).map_err(|error| HubError::file("write", &self.path, error))?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// SHA-256 of the bytes so far, in hexadecimal.
    pub(super) fn sha256(&self) -> String {
        hex(self.hasher.clone())
    }

    /// Removes the part from the disk.
    pub(super) fn delete(self) -> Result<(), HubError> {
        drop(self.file);
        remove(&self.path)?;
        remove(&self.origin_path)
    }
}

fn hash_into(hasher: &mut Sha256, file: &mut File, bytes: u64) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut rest = file.take(bytes);
    loop {
        match rest.read(&mut buffer)? {
            0 => return Ok(()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// A record that is missing or unreadable is as good as none: the file is checked or fetched again.
pub(super) fn read_toml<T: DeserializeOwned>(path: &Path) -> Option<T> {
    toml::from_str(&fs::read_to_string(path).ok()?).ok()
}

/// Written atomically, so that no reader sees half a record.
pub(super) fn write_toml<T: Serialize>(path: &Path, value: &T) -> Result<(), HubError> {
    let wrap = |error| HubError::file("write", path, error);
    let text = toml::to_string(value).map_err(|error| wrap(std::io::Error::other(error)))?;
    write_bytes(path, text.as_bytes()).map_err(|error| wrap(std::io::Error::other(error)))
}

fn remove(path: &Path) -> Result<(), HubError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(HubError::file("remove", path, error)),
        _ => Ok(()),
    }
}
