//! The pages of TIFF files, of which the image decoder reads the first.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// What the chain of directories says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// Pages that are pictures of their own.
    pub(super) pictures: usize,
    /// Whether the first page is a smaller version of another, as in cameras' raw files.
    pub(super) begins_with_preview: bool,
}

/// Directories that are followed: more would be a chain made to keep a reader busy.
const MAX_DIRECTORIES: usize = 10_000;

/// Tag that says what a page is for: its lowest bit marks a smaller version of another page (TIFF 6.0, NewSubfileType).
const SUBFILE_TYPE: u16 = 254;

/// Reads the directories of the file at `path`.
pub(super) fn pages(path: &Path) -> io::Result<Pages> {
    let mut reader = Reader { file: BufReader::new(File::open(path)?), little: false, big: false };
    let mut start = [0; 4];
    reader.file.read_exact(&mut start)?;
    reader.little = start.starts_with(b"II");
    reader.big = start.contains(&43);
    if reader.big {
        reader.file.seek(SeekFrom::Start(8))?;
    }
    let mut next = reader.offset()?;
    let mut pages = Pages::default();
    for number in 0..MAX_DIRECTORIES {
        if next == 0 {
            break;
        }
        let is_preview = reader.is_preview(next)?;
        pages.pictures += usize::from(!is_preview);
        pages.begins_with_preview |= is_preview && number == 0;
        next = reader.offset()?;
    }
    Ok(pages)
}

struct Reader {
    file: BufReader<File>,
    /// Whether the lowest byte comes first.
    little: bool,
    /// Whether numbers are those of BigTIFF.
    big: bool,
}

impl Reader {
    /// Reads the directory at `offset` up to the offset of the next.
    fn is_preview(&mut self, offset: u64) -> io::Result<bool> {
        self.file.seek(SeekFrom::Start(offset))?;
        let count = if self.big { self.number(8)? } else { self.number(2)? };
        let mut is_preview = false;
        for _ in 0..count.min(u64::from(u16::MAX)) {
            let tag = self.number(2)?;
            self.number(2)?;
            self.offset()?;
            let value = self.number(4)?;
            if self.big {
                self.number(4)?;
            }
            is_preview |= tag == u64::from(SUBFILE_TYPE) && value & 1 == 1;
        }
        Ok(is_preview)
    }

    /// A number as wide as an offset.
    fn offset(&mut self) -> io::Result<u64> {
        self.number(if self.big { 8 } else { 4 })
    }

    fn number(&mut self, width: usize) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact(&mut bytes[..width])?;
        if !self.little {
            bytes[..width].reverse();
        }
        Ok(u64::from_le_bytes(bytes))
    }
}
