//! The structure of JPEG files, of which decoders forgive much: whether one is whole, and what follows it.

mod entropy;
mod scans;

use std::io::{self, BufRead, Read};
use std::vec::Vec;

use scans::Scans;

/// What a walk over a file's markers found (ITU-T T.81, annex B).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Whether the first picture ends with its end marker: where it does not, decoders fill in grey or leave out scans.
    pub complete: bool,
    /// What is wrong with the coded data of the first picture, in words for people; none where they are sound, as far
    /// as that can be told, and where they are coded in a way that is not followed.
    pub flaw: Option<&'static str>,
    /// Whether another JPEG of the same size follows at once and no index of pictures announces it: a stream of frames.
    pub is_motion: bool,
    /// Pictures that the file's index calls views of the same scene (CIPA DC-007), the first included; 0 without an
    /// index.
    pub views: usize,
}

const START_OF_IMAGE: u8 = 0xD8;
const END_OF_IMAGE: u8 = 0xD9;
const START_OF_SCAN: u8 = 0xDA;
const APPLICATION_2: u8 = 0xE2;

/// Walks over the first picture of a file, and the second where one follows, reading each byte once. A
/// file that does not begin as JPEGs do is neither complete nor anything else.
///
/// # Errors
/// What reading gives.
pub fn survey(mut reader: impl BufRead) -> io::Result<Survey> {
    let mut survey = Survey::default();
    let Some(first) = picture(&mut reader)? else {
        return Ok(survey);
    };
    survey.complete = first.complete;
    survey.flaw = first.flaw;
    survey.views = first.views.unwrap_or(0);
    // Frames of one size, or none of it: what is appended as a preview has another.
    if first.complete && first.views.is_none() {
        survey.is_motion = picture(&mut reader)?.is_some_and(|next| next.size.is_some() && next.size == first.size);
    }
    Ok(survey)
}

/// One picture of a file.
#[derive(Default)]
struct Picture {
    complete: bool,
    flaw: Option<&'static str>,
    /// Height and width as they stand in the frame's header.
    size: Option<[u8; 4]>,
    /// How many pictures the file's index calls views of the same scene, where it has one.
    views: Option<usize>,
}

/// Reads a picture; none where no start marker is next.
fn picture(reader: &mut impl BufRead) -> io::Result<Option<Picture>> {
    if byte(reader)? != Some(0xFF) || byte(reader)? != Some(START_OF_IMAGE) {
        return Ok(None);
    }
    let mut picture = Picture::default();
    let mut scans = Scans::default();
    let mut ahead = None;
    while let Some(marker) = ahead.take().map_or_else(|| marker(reader), |marker| Ok(Some(marker)))? {
        match marker {
            END_OF_IMAGE => {
                picture.complete = true;
                break;
            }
            // Markers that stand alone: restarts, and one for temporary use.
            0xD0..=0xD7 | 0x01 => {}
            _ => {
                let Some(segment) = segment(reader)? else { break };
                scans.define(marker, &segment);
                match marker {
                    START_OF_SCAN => ahead = scans.follow(&segment, reader)?,
                    APPLICATION_2 if segment.starts_with(b"MPF\0") => {
                        picture.views = Some(views(&segment[4..]).unwrap_or(0));
                    }
                    // Headers of frames, without the tables that share their range.
                    0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                        picture.size = segment.get(1..5).and_then(|size| size.try_into().ok());
                    }
                    _ => {}
                }
            }
        }
    }
    picture.flaw = scans.flaw();
    Ok(Some(picture))
}

/// The next marker, past coded data and fill bytes: 0xFF and a byte that is neither 0 nor 0xFF.
fn marker(reader: &mut impl BufRead) -> io::Result<Option<u8>> {
    while skip_to_marker_prefix(reader)? {
        loop {
            match byte(reader)? {
                Some(0xFF) => {}
                Some(0) => break,
                other => return Ok(other),
            }
        }
    }
    Ok(None)
}

/// Reads past the next 0xFF; false at the end.
fn skip_to_marker_prefix(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let prefix = buffer.iter().position(|byte| *byte == 0xFF);
        let read = prefix.map_or(buffer.len(), |place| place + 1);
        reader.consume(read);
        if prefix.is_some() {
            return Ok(true);
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
    const ENTRIES: u32 = 0xB002;
    const ENTRY: usize = 16;
    const VIEW: u32 = 2;
    let little = index.starts_with(b"II");
    let number = |at: usize, length: usize| {
        let bytes = index.get(at..at.checked_add(length)?)?.iter();
        let join = |number: u32, byte: &u8| number << 8 | u32::from(*byte);
        Some(if little { bytes.rev().fold(0, join) } else { bytes.fold(0, join) })
    };
    let directory = number(4, 4)? as usize;
    let fields = number(directory, 2)? as usize;
    let place = |start: usize, step: usize, count: usize| start.checked_add(step * count);
    let mut entries = (0..fields).filter_map(|field| place(directory, 12, field)?.checked_add(2));
    let field = entries.find(|at| number(*at, 2) == Some(ENTRIES))?;
    let (length, start) = (number(field + 4, 4)? as usize, number(field + 8, 4)? as usize);
    let attribute = |entry: usize| place(start, ENTRY, entry).and_then(|at| number(at, 4));
    let is_view = |entry: &usize| attribute(*entry).is_some_and(|attribute| attribute >> 16 & 0xFF == VIEW);
    Some((0..(length / ENTRY).min(index.len() / ENTRY)).filter(is_view).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &[u8] = b"\xFF\xD8\xFF\xC0\0\x0B\x08\0\x10\0\x20\x01\x01\x11\0\xFF\xDA\0\x08\x01\x01\0\0\x3F\0\x12\xFF\0\x34\xFF\xD0\x56\xFF\xD9";

    fn surveyed(bytes: &[u8]) -> Survey {
        survey(bytes).unwrap()
    }

    #[test]
    fn a_picture_is_whole_with_its_end_alone() {
        assert_eq!(surveyed(PICTURE), Survey { complete: true, flaw: None, is_motion: false, views: 0 });
        for length in 0..PICTURE.len() {
            assert!(!surveyed(&PICTURE[..length]).complete, "{length} bytes");
        }
    }

    #[test]
    fn pictures_of_the_same_size_that_follow_are_more_and_previews_are_not() {
        assert!(surveyed(&[PICTURE, PICTURE].concat()).is_motion);
        let mut preview = PICTURE.to_vec();
        preview[8] = 8;
        assert!(!surveyed(&[PICTURE, &preview].concat()).is_motion);
    }

    #[test]
    fn views_of_a_scene_are_told_from_previews() {
        let entry = |kind: u8| [&[0, kind, 0, 0][..], &[0; 12]].concat();
        let with_index = |kinds: [u8; 2]| {
            let entries = kinds.map(entry).concat();
            let directory = b"\0\x01\xB0\x02\0\x07\0\0\0\x20\0\0\0\x1A\0\0\0\0";
            let index = [b"MPF\0MM\0*\0\0\0\x08", &directory[..], &entries].concat();
            let segment = [&[0xFF, APPLICATION_2, 0, index.len() as u8 + 2], &index[..]].concat();
            [&PICTURE[..2], &segment, &PICTURE[2..]].concat()
        };
        assert_eq!(surveyed(&with_index([2, 2])).views, 2);
        assert_eq!(surveyed(&with_index([3, 1])).views, 0);
    }

    #[test]
    fn an_index_that_points_anywhere_has_no_views() {
        for numbers in [[0xFF; 4], [0x7F, 0xFF, 0xFF, 0xF0]] {
            let index = [b"MPF\0MM\0*", &numbers[..], &[0; 40]].concat();
            let segment = [&[0xFF, APPLICATION_2, 0, index.len() as u8 + 2], &index[..]].concat();
            assert_eq!(surveyed(&[&PICTURE[..2], &segment, &PICTURE[2..]].concat()).views, 0);
        }
    }
}
