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
    /// How brightness is coded, where the first page is coded as brightness and colours.
    pub(super) brightness: Option<Brightness>,
}

/// Which of the values from 0 to 255 mean black to white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Brightness {
    /// All.
    Full,
    /// Those from 16 to 235, as in videos.
    Limited,
}

/// Directories that are followed: more would be a chain made to keep a reader busy.
const MAX_DIRECTORIES: usize = 10_000;

/// Tag that says what a page is for: its lowest bit marks a smaller version of another page (TIFF 6.0, NewSubfileType).
const SUBFILE_TYPE: u16 = 254;

/// Tag that says what samples mean, and its value for brightness and two colours (TIFF 6.0, section 21).
const PHOTOMETRIC: u16 = 262;
const YCBCR: u64 = 6;

/// Tag that says which samples are black and white; without it all values are used.
const REFERENCE_BLACK_WHITE: u16 = 532;

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
        let page = reader.page(next)?;
        pages.pictures += usize::from(!page.is_preview);
        next = reader.offset()?;
        if number == 0 {
            pages.begins_with_preview = page.is_preview;
            pages.brightness = page.is_ycbcr.then_some(Brightness::Full);
            if let Some(place) = page.reference.filter(|_| page.is_ycbcr)
                && reader.begins_above_zero(place)?
            {
                pages.brightness = Some(Brightness::Limited);
            }
        }
    }
    Ok(pages)
}

/// What one directory says.
#[derive(Default)]
struct Page {
    is_preview: bool,
    is_ycbcr: bool,
    /// Where the fractions for black and white lie.
    reference: Option<u64>,
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
    fn page(&mut self, offset: u64) -> io::Result<Page> {
        self.file.seek(SeekFrom::Start(offset))?;
        let count = if self.big { self.number(8)? } else { self.number(2)? };
        let mut page = Page::default();
        for _ in 0..count.min(u64::from(u16::MAX)) {
            let tag = self.number(2)? as u16;
            self.number(2)?;
            self.offset()?;
            let value = self.offset()?;
            // Numbers of two bytes lie at the start of their field.
            let width = if self.big { 8 } else { 4 };
            let short = if self.little { value & 0xFFFF } else { value >> (8 * (width - 2)) };
            match tag {
                SUBFILE_TYPE => page.is_preview = (if self.little || !self.big { value } else { value >> 32 }) & 1 == 1,
                PHOTOMETRIC => page.is_ycbcr = short == YCBCR,
                REFERENCE_BLACK_WHITE => page.reference = Some(value),
                _ => {}
            }
        }
        Ok(page)
    }

    /// Whether the fraction at `place`, black's, is more than nothing; what comes next is read from where it was.
    fn begins_above_zero(&mut self, place: u64) -> io::Result<bool> {
        let back = self.file.stream_position()?;
        self.file.seek(SeekFrom::Start(place))?;
        let numerator = self.number(4)?;
        self.file.seek(SeekFrom::Start(back))?;
        Ok(numerator > 0)
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
