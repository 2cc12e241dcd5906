//! Files as the core wants them: read at offsets, hashed, and written so that nothing half-written is left.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use burn::tensor::AllocationProperty;
use serde::Serialize;
use sha2::{Digest, Sha256};
use unmask_core::weights::{ReadAt, SafetensorsFile, WeightsError};

use crate::media;

/// What is read tensor by tensor.
pub enum Bytes {
    /// An open file.
    OnDisk {
        /// The open file.
        file: File,
        /// Its length in bytes.
        size: u64,
    },
    /// In memory that stays: a part of the program, or an open file that is mapped.
    InMemory(bytes::Bytes),
}

impl Bytes {
    /// A part of the program.
    pub fn in_program(bytes: &'static [u8]) -> Self {
        Self::InMemory(bytes::Bytes::from_static(bytes))
    }

    /// An open file, mapped into memory where the system allows that: its tensors are then not copied, and all processes that
    /// read it share them.
    fn of(file: File, size: u64) -> Self {
        match mapped(&file) {
            Some(bytes) if bytes.len() as u64 == size => Self::InMemory(bytes),
            _ => Self::OnDisk { file, size },
        }
    }
}

/// Windows lets nobody replace a file that is mapped.
#[cfg(not(unix))]
fn mapped(_: &File) -> Option<bytes::Bytes> {
    None
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "memory whose bytes somebody else may change")]
fn mapped(file: &File) -> Option<bytes::Bytes> {
    // SAFETY: the bytes would change, or be gone, if another program wrote into the file while it is in use. Weights are replaced
    // by renaming, as this program and others that write such files do, which leaves the mapped file as it is.
    let map = unsafe { memmap2::Mmap::map(file) }.ok()?;
    Some(bytes::Bytes::from_owner(map))
}

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        match self {
            Self::OnDisk { size, .. } => *size,
            Self::InMemory(bytes) => bytes.len() as u64,
        }
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), WeightsError> {
        match self {
            Self::OnDisk { file, .. } => file
                .seek(SeekFrom::Start(offset))
                .and_then(|_| file.read_exact(buffer))
                .map_err(|error| WeightsError::Read(error.to_string())),
            Self::InMemory(bytes) => bytes.as_ref().read_at(offset, buffer),
        }
    }

    fn shared(&self, offset: u64, length: usize) -> Option<burn::tensor::Bytes> {
        let Self::InMemory(bytes) = self else { return None };
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(length).filter(|end| *end <= bytes.len())?;
        Some(burn::tensor::Bytes::from_shared(bytes.slice(start..end), AllocationProperty::File))
    }
}

/// Where files lie that can be had again: the folder that `UNMASK_CACHE` has `named`, else the user's cache folder, if the
/// system has one.
pub fn cache_folder(named: Option<String>) -> Option<PathBuf> {
    let named = named.map(|name| name.trim().to_string()).filter(|name| !name.is_empty());
    let users = || Some(directories::ProjectDirs::from("", "", "unmask")?.cache_dir().to_owned());
    named.map(PathBuf::from).or_else(users)
}

/// Opens a file, refusing folders and what is not there in one sentence.
pub fn open(path: &Path) -> Result<File> {
    let shown = path.display();
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("{shown}: there is no such file or folder; check the path")
        }
        Err(error) => bail!("{shown} cannot be opened ({error}); check its permissions"),
    };
    if metadata.is_dir() {
        bail!("{shown} is a folder where a file is needed; name the file in it");
    }
    File::open(path).with_context(|| format!("{shown} cannot be opened; check its permissions"))
}

/// Opens a safetensors file and checks its header.
pub fn open_safetensors(path: &Path) -> Result<SafetensorsFile<Bytes>> {
    let file = open(path)?;
    let size = file.metadata().with_context(|| format!("{} cannot be read", path.display()))?.len();
    SafetensorsFile::open(Bytes::of(file, size)).map_err(|error| match media::is_media(path) {
        true => anyhow!("{} is a video or an image and no file of weights; `unmask score` judges such", path.display()),
        false => naming(path, error),
    })
}

/// The text in a file: UTF-8, or UTF-16 with a byte order mark, as some Windows programs save. The mark is no part of it.
pub fn read_text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).with_context(|| format!("{} cannot be read", path.display()))?;
    text(bytes).with_context(|| format!("{} is no text in UTF-8; save it as that", path.display()))
}

/// `None` if the bytes are no text.
fn text(bytes: Vec<u8>) -> Option<String> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|pair| unit(*pair)).collect();
        String::from_utf16(&units).ok().filter(|_| rest.is_empty())
    };
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes).ok(),
    }
}

/// An error about weights with the name of their file in front.
pub fn naming(path: &Path, error: WeightsError) -> anyhow::Error {
    anyhow::anyhow!("{} {error}", path.display())
}

/// SHA-256 of a file's bytes in lower-case hexadecimal.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).with_context(|| format!("{} cannot be read", path.display()))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hex(hasher))
}

/// What was hashed, in lower-case hexadecimal.
pub fn hex(hasher: Sha256) -> String {
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file through a temporary one beside it, synced and renamed: it is there whole or not at all.
pub fn write_atomically(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    write_through(folder, path, write)
}

/// As [`write_atomically`], with the temporary file in `scratch`, a folder of the same file system.
fn write_through(scratch: &Path, path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let shown = path.display();
    if !scratch.is_dir() {
        bail!("{shown} cannot be written because the folder {} does not exist; create it first", scratch.display());
    }
    let temporary = tempfile::Builder::new()
        .prefix(".unmask-")
        .tempfile_in(scratch)
        .with_context(|| format!("{shown} cannot be written; check the folder's permissions and free space"))?
        .into_temp_path();
    write(&temporary)?;
    let written = File::options().write(true).open(&temporary).and_then(|file| file.sync_all());
    written.with_context(|| format!("{shown} cannot be written; check the free space"))?;
    allow_reading(&temporary);
    temporary.persist(path).with_context(|| format!("{shown} cannot be written; check the folder's permissions"))
}

/// Temporary files are private to their owner; what replaces them is as readable as any new file.
pub(crate) fn allow_reading(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A file system without permissions needs none.
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644));
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Writes bytes atomically.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, |temporary| write_plainly(temporary, path, bytes))
}

/// Writes a document as JSON for people, atomically.
pub fn write_json(path: &Path, document: &impl Serialize) -> Result<()> {
    let context = || format!("{} cannot be written as JSON", path.display());
    let mut json = serde_json::to_vec_pretty(document).with_context(context)?;
    json.push(b'\n');
    write_bytes(path, &json)
}

/// Writes bytes atomically, with the temporary file in `scratch`: what is left of a killed program is all there.
pub fn write_bytes_through(scratch: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    write_through(scratch, path, |temporary| write_plainly(temporary, path, bytes))
}

fn write_plainly(temporary: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    File::create(temporary)
        .and_then(|mut file| file.write_all(bytes))
        .with_context(|| format!("{} cannot be written; check the free space", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_file_is_mapped_and_what_replaces_it_changes_nothing_of_what_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        write_bytes(&path, b"before").unwrap();
        let file = open(&path).unwrap();
        let mapped = Bytes::of(file, 6);
        assert!(matches!(mapped, Bytes::InMemory(_)));
        let shared = mapped.shared(2, 3).unwrap();
        assert!(mapped.shared(4, 3).is_none() && mapped.shared(u64::MAX, 3).is_none());
        write_bytes(&path, b"after!").unwrap();
        drop(mapped);
        assert_eq!(&shared[..], b"for");
    }

    #[test]
    fn text_is_read_with_and_without_a_byte_order_mark() {
        let wide = |unit: fn(u16) -> [u8; 2]| "\u{feff}{\"ä\": 1}".encode_utf16().flat_map(unit).collect::<Vec<u8>>();
        let plain = "{\"ä\": 1}";
        let marked = [&[0xef, 0xbb, 0xbf][..], plain.as_bytes()].concat();
        for bytes in [plain.as_bytes().to_vec(), marked, wide(u16::to_le_bytes), wide(u16::to_be_bytes)] {
            assert_eq!(text(bytes).as_deref(), Some(plain));
        }
        assert_eq!(text(vec![0xff, 0xfe, 0x41]), None);
        assert_eq!(text(vec![0xc3, 0x28]), None);
    }
}
