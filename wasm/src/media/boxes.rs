//! What `re_mp4` passes over in the boxes of MP4 and QuickTime files: which tracks hold the pictures of chapters, the shape of
//! pixels, colours, fields.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use super::Colours;

/// What is read of a track.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Extras {
    /// Whether it only has pictures for the chapters of another track.
    pub(super) is_of_chapters: bool,
    /// How wide a pixel is to its height.
    pub(super) aspect: Option<f64>,
    /// How colours are coded.
    pub(super) colours: Option<Colours>,
    /// Whether frames are woven of two fields.
    pub(super) interlaced: bool,
}

/// Extras of all tracks by their identifiers. What does not read as boxes ends early.
pub(super) fn extras<R: Read + Seek>(reader: &mut R, size: u64) -> BTreeMap<u32, Extras> {
    let mut found = BTreeMap::<u32, Extras>::new();
    let file = Part { name: *b"file", start: 0, end: size };
    let tracks = children(reader, &file, 0).into_iter().filter(|part| part.name == *b"moov");
    let tracks: Vec<Part> = tracks.flat_map(|moov| named(children(reader, &moov, 0), b"trak")).collect();
    for track in tracks {
        let parts = children(reader, &track, 0);
        let Some(id) = first(&parts, b"tkhd").and_then(|header| track_id(reader, header)) else { continue };
        for chapter in first(&parts, b"tref").map(|references| chapters(reader, references)).unwrap_or_default() {
            found.entry(chapter).or_default().is_of_chapters = true;
        }
        let described = found.entry(id).or_default();
        for part in entry_parts(reader, &track) {
            take(reader, &part, described);
        }
    }
    found
}

/// A box: its name and where its content lies.
#[derive(Clone, Copy, Debug)]
struct Part {
    name: [u8; 4],
    start: u64,
    end: u64,
}

/// Most boxes that are listed in one: fragments of a long stream may be many.
const MOST: usize = 1 << 20;

/// The boxes in a box, whose own fields are `skipped` bytes.
fn children<R: Read + Seek>(reader: &mut R, parent: &Part, skipped: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut position = parent.start + skipped;
    while position + 8 <= parent.end && parts.len() < MOST {
        let Some(header) = bytes::<R, 16>(reader, position) else { break };
        let word =
            |at: usize| u64::from(u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
        let (length, head) = match word(0) {
            0 => (parent.end - position, 8),
            1 => (word(8) << 32 | word(12), 16),
            length => (length, 8),
        };
        let Some(end) = position.checked_add(length).filter(|end| length >= head && *end <= parent.end) else { break };
        parts.push(Part { name: [header[4], header[5], header[6], header[7]], start: position + head, end });
        position = end;
    }
    parts
}

/// The `N` bytes at a position; those beyond the end are zero, and none where nothing is there.
fn bytes<R: Read + Seek, const N: usize>(reader: &mut R, position: u64) -> Option<[u8; N]> {
    let mut found = Vec::with_capacity(N);
    reader.seek(SeekFrom::Start(position)).ok()?;
    reader.by_ref().take(N as u64).read_to_end(&mut found).ok()?;
    let mut bytes = [0; N];
    bytes[..found.len()].copy_from_slice(&found);
    (!found.is_empty()).then_some(bytes)
}

fn named(parts: Vec<Part>, name: &[u8; 4]) -> Vec<Part> {
    parts.into_iter().filter(|part| part.name == *name).collect()
}

fn first<'a>(parts: &'a [Part], name: &[u8; 4]) -> Option<&'a Part> {
    parts.iter().find(|part| part.name == *name)
}

/// From a track's header (ISO/IEC 14496-12, 8.3.2).
fn track_id<R: Read + Seek>(reader: &mut R, header: &Part) -> Option<u32> {
    let [version] = bytes(reader, header.start)?;
    let times = if version == 1 { 16 } else { 8 };
    bytes(reader, header.start + 4 + times).map(u32::from_be_bytes)
}

/// The tracks with the chapters of a track (QuickTime's chapter lists).
fn chapters<R: Read + Seek>(reader: &mut R, references: &Part) -> Vec<u32> {
    const MOST_CHAPTER_TRACKS: u64 = 64;
    let parts = children(reader, references, 0);
    let Some(list) = first(&parts, b"chap") else { return Vec::new() };
    let count = ((list.end - list.start) / 4).min(MOST_CHAPTER_TRACKS);
    (0..count).filter_map(|index| bytes(reader, list.start + 4 * index).map(u32::from_be_bytes)).collect()
}

/// The boxes in the first sample entry of a track that shows pictures (ISO/IEC 14496-12, 8.5.2 and 12.1.3).
fn entry_parts<R: Read + Seek>(reader: &mut R, track: &Part) -> Vec<Part> {
    let mut part = *track;
    for name in [b"mdia", b"minf", b"stbl", b"stsd"] {
        let Some(inner) = first(&children(reader, &part, 0), name).copied() else { return Vec::new() };
        part = inner;
    }
    let entries = children(reader, &part, 8);
    entries.first().map(|entry| children(reader, entry, 78)).unwrap_or_default()
}

fn take<R: Read + Seek>(reader: &mut R, part: &Part, extras: &mut Extras) {
    match &part.name {
        b"pasp" => {
            let Some([a, b, c, d, e, f, g, h]) = bytes(reader, part.start) else { return };
            let (across, down) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
            extras.aspect = (across > 0 && down > 0).then(|| f64::from(across) / f64::from(down));
        }
        b"colr" => extras.colours = extras.colours.or_else(|| bytes(reader, part.start).and_then(colours)),
        // One field, or two of which one is shown first (QuickTime's field handling).
        b"fiel" => extras.interlaced = bytes(reader, part.start).is_some_and(|[fields, _]: [u8; 2]| fields == 2),
        _ => {}
    }
}

/// `nclx` and QuickTime's `nclc`, which has no range (ISO/IEC 14496-12, 12.1.5).
fn colours(bytes: [u8; 11]) -> Option<Colours> {
    let [kind @ .., _, primaries, _, transfer, _, matrix, range] = bytes;
    match &kind {
        b"nclx" => Some(Colours::new([primaries, transfer, matrix], range & 0x80 != 0)),
        b"nclc" => Some(Colours::new([primaries, transfer, matrix], false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn boxed(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(8 + content.len() as u32).to_be_bytes()[..], name, content].concat()
    }

    fn track(id: u8, references: &[u8], entry: &[u8]) -> Vec<u8> {
        let header = boxed(b"tkhd", &[&[0; 12][..], &[0, 0, 0, id], &[0; 68]].concat());
        let entry = boxed(b"avc1", &[&[0; 78][..], entry].concat());
        let described = boxed(b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1][..], &entry].concat());
        let media = boxed(b"mdia", &boxed(b"minf", &boxed(b"stbl", &described)));
        boxed(b"trak", &[&header[..], references, &media].concat())
    }

    #[test]
    fn shape_colours_fields_and_chapters_are_read() {
        let shape = boxed(b"pasp", &[0, 0, 0, 4, 0, 0, 0, 3]);
        let colours = boxed(b"colr", b"nclx\0\x09\0\x12\0\x09\x80");
        let fields = boxed(b"fiel", &[2, 9]);
        let references = boxed(b"tref", &boxed(b"chap", &[0, 0, 0, 2]));
        let first = track(1, &references, &[shape, colours, fields].concat());
        let file = [boxed(b"ftyp", b"isom"), boxed(b"moov", &[first, track(2, &[], &[])].concat())].concat();
        let found = extras(&mut Cursor::new(&file), file.len() as u64);
        let colours = Some(Colours::new([9, 18, 9], true));
        let expected = Extras { is_of_chapters: false, aspect: Some(4.0 / 3.0), colours, interlaced: true };
        assert_eq!(found[&1], expected);
        assert_eq!(found[&2], Extras { is_of_chapters: true, ..Extras::default() });
    }

    #[test]
    fn boxes_that_do_not_fit_end_the_list() {
        for length in 0..200 {
            let file = [boxed(b"moov", &track(1, &[], &boxed(b"pasp", &[0; 8])))].concat();
            let cut = &file[..file.len().min(length)];
            assert!(extras(&mut Cursor::new(cut), cut.len() as u64).len() <= 1);
        }
    }
}
