//! The structure of JPEG files, which decoders forgive much: whether one is whole, and what follows it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// What a walk over a file's markers found (ITU-T T.81, annex B).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Whether the first picture ends with its end marker: where it does not, decoders fill in grey or leave out scans.
    pub(super) complete: bool,
    /// Whether another JPEG of the same size follows at once and no index of pictures announces it: a stream of frames.
    pub(super) is_motion: bool,
    /// Pictures that the file's index calls views of the same scene (CIPA DC-007), the first included; 0 without an
    /// index.
    pub(super) views: usize,
}

const START_OF_IMAGE: u8 = 0xD8;
const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;
const APPLICATION_2: u8 = 0xE2;

/// Whether the file at `path` is a stream of JPEGs. One that cannot be read is none, and fails where it is decoded.
pub(super) fn is_motion(path: &Path) -> bool {
    survey(path).is_ok_and(|survey| survey.is_motion)
}

/// Walks over the first picture of the file at `path`, reading it once and holding none of it.
pub(super) fn survey(path: &Path) -> io::Result<Survey> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut survey = Survey::default();
    let Some(first) = picture(&mut reader)? else {
        return Ok(survey);
    };
    survey.complete = first.complete;
    survey.views = first.views;
    // Frames of one size, or none of it: what is appended as a preview has another.
    if first.complete && !first.indexed {
        survey.is_motion = picture(&mut reader)?.is_some_and(|next| next.size.is_some() && next.size == first.size);
    }
    Ok(survey)
}

/// One picture of a file.
#[derive(Default)]
struct Picture {
    complete: bool,
    /// Height and width as they stand in the frame's header.
    size: Option<[u8; 4]>,
    indexed: bool,
    views: usize,
}

/// Reads a picture; none where no start marker is next.
fn picture(reader: &mut impl BufRead) -> io::Result<Option<Picture>> {
    if byte(reader)? != Some(0xFF) || byte(reader)? != Some(START_OF_IMAGE) {
        return Ok(None);
    }
    let mut picture = Picture::default();
    while let Some(marker) = marker(reader)? {
        match marker {
            END_OF_IMAGE => {
                picture.complete = true;
                break;
            }
            // Markers that stand alone: restarts, and one for temporary use.
            0xD0..=0xD7 | 0x01 => {}
            _ => {
                let Some(segment) = segment(reader)? else { break };
                match marker {
                    APPLICATION_2 if segment.starts_with(b"MPF\0") => {
                        picture.indexed = true;
                        picture.views = views(&segment[4..]).unwrap_or(0);
                    }
                    // Frame headers, without the tables that share their range.
                    0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                        picture.size = segment.get(1..5).and_then(|size| size.try_into().ok());
                    }
                    START_OF_SCAN => {}
                    _ => {}
                }
            }
        }
    }
    Ok(Some(picture))
}

/// The next marker, past coded data and fill bytes: 0xFF and a byte that is neither 0 nor 0xFF.
fn marker(reader: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let found = skip_to_marker_prefix(reader)?;
        if !found {
            return Ok(None);
        }
        loop {
            match byte(reader)? {
                Some(0xFF) => {}
                Some(0) => break,
                other => return Ok(other),
            }
        }
    }
}

/// Reads past the next 0xFF; false at the end.
fn skip_to_marker_prefix(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        match buffer.iter().position(|byte| *byte == 0xFF) {
            Some(place) => {
                reader.consume(place + 1);
                return Ok(true);
            }
            None => {
                let length = buffer.len();
                reader.consume(length);
            }
        }
    }
}

/// A segment's content; none where the file ends within it.
fn segment(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let (Some(high), Some(low)) = (byte(reader)?, byte(reader)?) else { return Ok(None) };
    let length = u64::from(u16::from_be_bytes([high, low])).saturating_sub(2);
    let mut content = Vec::new();
    reader.take(length).read_to_end(&mut content)?;
    Ok((content.len() as u64 == length).then_some(content))
}

fn byte(reader: &mut impl BufRead) -> io::Result<Option<u8>> {
    let mut byte = [0];
    Ok((reader.read(&mut byte)? == 1).then_some(byte[0]))
}

/// How many entries of a multi-picture index are views: panorama, disparity, angles (CIPA DC-007, 5.2.3.3). Previews
/// and maps of brightness are none.
fn views(index: &[u8]) -> Option<usize> {
    const ENTRIES: u16 = 0xB002;
    const ENTRY: usize = 16;
    let little = index.starts_with(b"II");
    let u16_at = |at: usize| {
        let bytes = index.get(at..at + 2)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let u32_at = |at: usize| {
        let bytes = index.get(at..at + 4)?.try_into().ok()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = u32_at(4)? as usize;
    let fields = usize::from(u16_at(directory)?);
    let field = (0..fields).map(|field| directory + 2 + 12 * field).find(|at| u16_at(*at) == Some(ENTRIES))?;
    let (bytes, start) = (u32_at(field + 4)? as usize, u32_at(field + 8)? as usize);
    let is_view = |entry: &usize| u32_at(start + ENTRY * entry).is_some_and(|attribute| attribute >> 16 & 0xFF == 2);
    Some((0..(bytes / ENTRY).min(index.len() / ENTRY)).filter(is_view).count())
}
