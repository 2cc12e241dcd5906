//! Files that end too early and of which ffmpeg says nothing: their own structure tells.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes at the end of a file that are looked at: more than two of the longest pages of Ogg.
const TAIL: u64 = 1 << 18;

/// Boxes that are followed: more would be a chain made to keep a reader busy.
const MAX_BOXES: usize = 10_000;

/// Bytes after the last frame of an uncompressed stream that are no part of another: the header of one at most.
const MARGIN: u64 = 64;

/// What shows that the file at `path`, opened with ffmpeg's demuxer `container`, is cut off; none where it is whole as
/// far as can be told, or cannot be read. Its last frame ends at the byte `last_end`, where that is known.
pub(super) fn cut_off(path: &Path, container: &str, last_end: Option<u64>) -> Option<String> {
    let is_cut = match container {
        // Frames of one size and nothing else, of which ffmpeg leaves out the last if it is not whole, or lists it as if.
        "yuv4mpegpipe" | "dv" => {
            let length = std::fs::metadata(path).ok().map(|metadata| metadata.len());
            length.zip(last_end).is_some_and(|(length, end)| end > length || end + MARGIN < length)
        }
        "ogg" => !tail(path).is_ok_and(|tail| ogg_ends(&tail)),
        "avi" => !riffs_fit(path).unwrap_or(true),
        "mjpeg" => !tail(path).is_ok_and(|tail| jpegs_end(&tail)),
        _ => false,
    };
    is_cut.then(|| "it is cut off: its end is missing".to_owned())
}

/// Whether the lists that an AVI consists of, one a gigabyte or so, fit into the file. What was written without going back
/// to its beginning has no sizes, and tells nothing.
fn riffs_fit(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut at = 0;
    for _ in 0..MAX_BOXES {
        if at + 8 > length {
            return Ok(true);
        }
        let mut head = [0; 8];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head)?;
        let [kind @ .., a, b, c, d] = head;
        let size = u32::from_le_bytes([a, b, c, d]);
        if kind != *b"RIFF" || size == 0 || size >= u32::MAX - 8 {
            return Ok(true);
        }
        at += 8 + u64::from(size) + u64::from(size % 2);
        // The byte that makes a size even is often left out at the end.
        if at > length + 1 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn tail(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether the last page that begins in `tail` ends its stream, and is there to its end (RFC 3533, 6).
fn ogg_ends(tail: &[u8]) -> bool {
    const END_OF_STREAM: u8 = 4;
    let page = |at: usize| {
        let page = tail.get(at..)?.strip_prefix(b"OggS\0")?;
        let (kind, segments) = (page.first()?, usize::from(*page.get(21)?));
        let length: usize = page.get(22..22 + segments)?.iter().map(|length| usize::from(*length)).sum();
        Some((kind & END_OF_STREAM > 0, at + 27 + segments + length))
    };
    // Where a page is told by its first bytes alone, the rest of it is missing.
    let last = (0..tail.len().saturating_sub(3)).rev().find(|at| tail[*at..].starts_with(b"OggS"));
    last.and_then(page).is_some_and(|(ends, end)| ends && end <= tail.len())
}

/// Whether the last JPEG in `tail` has its end marker.
fn jpegs_end(tail: &[u8]) -> bool {
    let last = |marker: u8| tail.array_windows::<2>().rposition(|pair| *pair == [0xFF, marker]);
    last(0xD9).is_some_and(|end| last(0xD8).is_none_or(|start| start < end))
}

/// Whether the file at `path` is a picture that consists of boxes and ends within one (ISO/IEC 14496-12, 4.2). One that
/// cannot be read does not.
pub(super) fn ends_within_box(path: &Path) -> bool {
    boxes_fit(path).is_ok_and(|fit| !fit)
}

fn boxes_fit(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut at = 0;
    for number in 0..MAX_BOXES {
        if at + 8 > length {
            return Ok(at == length);
        }
        let mut head = [0; 16];
        file.seek(SeekFrom::Start(at))?;
        let read = length.saturating_sub(at).min(16) as usize;
        file.read_exact(&mut head[..read])?;
        let [a, b, c, d, kind @ .., _, _, _, _, _, _, _, _] = head;
        if number == 0 && ![b"ftyp", b"JXL ", b"jP  "].contains(&&kind) {
            return Ok(true);
        }
        let size = match u32::from_be_bytes([a, b, c, d]) {
            // It goes on to the end.
            0 => return Ok(true),
            1 => u64::from_be_bytes(head[8..].try_into().unwrap_or_default()),
            size => size.into(),
        };
        match at.checked_add(size.max(8)) {
            Some(end) if end <= length => at = end,
            _ => return Ok(false),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ogg_ends_with_a_whole_page_that_ends_its_stream() {
        let page = |kind: u8| [b"OggS\0", &[kind][..], &[0; 20], &[1, 3], b"abc"].concat();
        assert!(ogg_ends(&[page(0), page(4)].concat()));
        assert!(!ogg_ends(&[page(4), page(0)].concat()));
        let whole = [page(0), page(4)].concat();
        for cut in 1..page(4).len() {
            assert!(!ogg_ends(&whole[..whole.len() - cut]), "{cut} bytes less");
        }
    }

    #[test]
    fn an_avi_is_as_long_as_its_lists_say() {
        let list = |content: &[u8]| [b"RIFF", &u32::to_le_bytes(content.len() as u32)[..], content].concat();
        let whole = [list(b"AVI abcd"), list(b"AVIXabcdef")].concat();
        let fits = |bytes: &[u8]| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            riffs_fit(file.path()).unwrap()
        };
        assert!(fits(&whole) && fits(&[&whole[..], b"JUNKmore"].concat()));
        assert!(fits(b"RIFF\0\0\0\0AVI abc") && fits(b"RIFF\xFF\xFF\xFF\xFFAVI abc"));
        assert!(!fits(&whole[..whole.len() - 4]) && !fits(&whole[..12]));
    }

    #[test]
    fn a_stream_of_jpegs_ends_with_the_end_of_one() {
        let picture = b"\xFF\xD8\xFF\xDA\0\x02abc\xFF\xD9";
        let two = [&picture[..], picture].concat();
        assert!(jpegs_end(&two) && jpegs_end(&[&two[..], &[0; 9]].concat()));
        assert!(!jpegs_end(&two[..two.len() - 1]) && !jpegs_end(&two[..picture.len() + 4]) && !jpegs_end(b""));
    }
}
