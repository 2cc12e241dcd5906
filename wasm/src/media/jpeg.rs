//! The structure of a JPEG file, of which its decoder forgives much: whether its picture is whole, and whether there are more.

/// What a walk over the markers of the first picture found (ITU-T T.81, annex B).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Whether its end is marked: where it is not, decoders fill in grey or leave out scans.
    pub(super) complete: bool,
    /// Whether other pictures of the same scene follow, or a stream of pictures does.
    pub(super) has_more: bool,
}

const START: u8 = 0xD8;
const END: u8 = 0xD9;
const INDEX: u8 = 0xE2;

/// Walks over the picture that begins a file with these bytes.
pub(super) fn survey(bytes: &[u8]) -> Survey {
    let first = picture(bytes);
    let next = first.end.map(|end| &bytes[end..]).filter(|rest| rest.starts_with(&[0xFF, START]));
    // What is appended as a preview has another size, and what an index announces is not a stream.
    let follows = |rest| first.size.is_some() && picture(rest).size == first.size;
    let is_stream = first.views.is_none() && next.is_some_and(follows);
    Survey { complete: first.end.is_some(), has_more: is_stream || first.views.is_some_and(|views| views > 1) }
}

/// One picture of a file.
#[derive(Default)]
struct Picture<'a> {
    /// Where it ends, if its end is marked.
    end: Option<usize>,
    /// Height and width as they stand in the frame's header.
    size: Option<&'a [u8]>,
    /// How many pictures the file's index calls views of the same scene, where it has one.
    views: Option<usize>,
}

fn picture(bytes: &[u8]) -> Picture<'_> {
    let mut picture = Picture::default();
    let mut position = 2;
    while let Some((marker, after)) = next_marker(bytes, position) {
        position = after;
        match marker {
            END => {
                picture.end = Some(after);
                break;
            }
            // Markers that stand alone: restarts, and one for temporary use.
            0xD0..=0xD7 | 0x01 => continue,
            _ => {}
        }
        let length =
            bytes.get(after..after + 2).map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        let Some(segment) = bytes.get(after + 2..after + length.max(2)) else { break };
        position = after + length.max(2);
        match marker {
            INDEX if segment.starts_with(b"MPF\0") => picture.views = Some(views(&segment[4..]).unwrap_or(0)),
            // Headers of frames, without the tables that share their range.
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => picture.size = segment.get(1..5),
            _ => {}
        }
    }
    picture
}

/// The next marker, past coded data and bytes that fill, and where it ends.
fn next_marker(bytes: &[u8], mut position: usize) -> Option<(u8, usize)> {
    loop {
        position += bytes.get(position..)?.iter().position(|byte| *byte == 0xFF)?;
        let name = position + bytes[position..].iter().position(|byte| *byte != 0xFF)?;
        position = name + 1;
        if bytes[name] != 0 {
            return Some((bytes[name], position));
        }
    }
}

/// How many entries of an index of pictures are views: panoramas, disparities, angles (CIPA DC-007, 5.2.3.3). Previews and maps of
/// brightness are none.
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
    let field = (0..fields).map(|field| directory + 2 + 12 * field).find(|at| number(*at, 2) == Some(ENTRIES))?;
    let (length, start) = (number(field + 4, 4)? as usize, number(field + 8, 4)? as usize);
    let entries = (length / ENTRY).min(index.len() / ENTRY);
    let is_view =
        |entry: &usize| number(start + ENTRY * entry, 4).is_some_and(|attribute| attribute >> 16 & 0xFF == VIEW);
    Some((0..entries).filter(is_view).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &[u8] = b"\xFF\xD8\xFF\xC0\0\x0B\x08\0\x10\0\x20\x01\x01\x11\0\xFF\xDA\0\x08\x01\x01\0\0\x3F\0\x12\xFF\0\x34\xFF\xD0\x56\xFF\xD9";

    #[test]
    fn a_picture_is_whole_with_its_end_alone() {
        assert_eq!(survey(PICTURE), Survey { complete: true, has_more: false });
        for length in 0..PICTURE.len() {
            assert!(!survey(&PICTURE[..length]).complete, "{length} bytes");
        }
    }

    #[test]
    fn pictures_of_the_same_size_that_follow_are_more_and_previews_are_not() {
        assert!(survey(&[PICTURE, PICTURE].concat()).has_more);
        let mut preview = PICTURE.to_vec();
        preview[8] = 8;
        assert!(!survey(&[PICTURE, &preview].concat()).has_more);
    }

    #[test]
    fn views_of_a_scene_are_told_from_previews() {
        let entry = |kind: u8| [&[0, kind, 0, 0][..], &[0; 12]].concat();
        let with_index = |kinds: [u8; 2]| {
            let entries = kinds.map(entry).concat();
            let directory = b"\0\x01\xB0\x02\0\x07\0\0\0\x20\0\0\0\x1A\0\0\0\0";
            let index = [b"MPF\0MM\0*\0\0\0\x08", &directory[..], &entries].concat();
            let segment = [&[0xFF, INDEX, 0, index.len() as u8 + 2], &index[..]].concat();
            [&PICTURE[..2], &segment, &PICTURE[2..]].concat()
        };
        assert!(survey(&with_index([2, 2])).has_more);
        assert!(!survey(&with_index([3, 1])).has_more);
    }
}
