//! A `Blob` read in pieces, as only a worker can: by waiting for each.

use std::io::{self, Read, Seek, SeekFrom};

use js_sys::Uint8Array;
use unmask_core::weights::{ReadAt, WeightsError};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, FileReaderSync};

/// How much is read at once: a read costs a message to the browser's main process, memory is dear on a phone.
const PIECE: u64 = 512 << 10;

/// A file or other `Blob`, of which one piece is in memory at a time.
pub(crate) struct BlobBytes {
    blob: Blob,
    reader: FileReaderSync,
    size: u64,
    position: u64,
    piece: Vec<u8>,
    piece_start: u64,
}

impl BlobBytes {
    /// A reader at the start of `blob`.
    ///
    /// # Errors
    /// Where there is no waiting for a read: outside a worker.
    pub(crate) fn new(blob: Blob) -> io::Result<Self> {
        let reader = FileReaderSync::new().map_err(failed)?;
        let size = blob.size() as u64;
        Ok(Self { blob, reader, size, position: 0, piece: Vec::new(), piece_start: 0 })
    }

    /// How many bytes there are.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The bytes of `start..start + length`, cut off at the end.
    pub(crate) fn slice(&self, start: u64, length: u64) -> io::Result<Uint8Array> {
        let end = start.saturating_add(length).min(self.size);
        let part = self.blob.slice_with_f64_and_f64(start as f64, end as f64).map_err(failed)?;
        let buffer = self.reader.read_as_array_buffer(&part).map_err(failed)?;
        Ok(Uint8Array::new(&buffer))
    }

    /// Makes the piece one that begins at the position.
    fn refill(&mut self) -> io::Result<()> {
        self.piece = self.slice(self.position, PIECE)?.to_vec();
        self.piece_start = self.position;
        Ok(())
    }

    /// What the piece has from the position on.
    fn ahead(&self) -> &[u8] {
        let offset = self.position.checked_sub(self.piece_start).and_then(|offset| usize::try_from(offset).ok());
        offset.and_then(|offset| self.piece.get(offset..)).unwrap_or_default()
    }
}

impl Read for BlobBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead().is_empty() && self.position < self.size {
            self.refill()?;
        }
        let ahead = self.ahead();
        let count = ahead.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ahead[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for BlobBytes {
    fn seek(&mut self, target: SeekFrom) -> io::Result<u64> {
        let position = match target {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl ReadAt for BlobBytes {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), WeightsError> {
        self.position = offset;
        self.read_exact(buffer).map_err(|error| WeightsError::Read(error.to_string()))
    }
}

/// The browser's reason, such as that the file was changed or removed.
fn failed(error: JsValue) -> io::Error {
    let reason = error.dyn_into::<js_sys::Error>().map(|error| String::from(error.message()));
    io::Error::other(reason.unwrap_or_else(|_| "the browser refused".to_owned()))
}
