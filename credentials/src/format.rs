//! Which formats are read for credentials, told by a file's first bytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes at the beginning that are looked at.
const START: u64 = 16;

/// The MIME type of the file at `path`, if it is one that is read.
pub(crate) fn of(path: &Path) -> io::Result<Option<&'static str>> {
    let mut start = Vec::new();
    File::open(path)?.take(START).read_to_end(&mut start)?;
    Ok(by_start(&start))
}

fn by_start(start: &[u8]) -> Option<&'static str> {
    let at = |from: usize, bytes: &[u8]| start.get(from..).is_some_and(|rest| rest.starts_with(bytes));
    if at(4, b"ftyp") {
        return Some(match start.get(8..12) {
            Some(b"heic" | b"heix" | b"hevc" | b"hevx") => "image/heic",
            Some(b"mif1" | b"msf1") => "image/heif",
            Some(b"avif" | b"avis") => "image/avif",
            Some(b"qt  ") => "video/quicktime",
            Some(b"M4A ") => "audio/mp4",
            _ => "video/mp4",
        });
    }
    let known: [(&[u8], &'static str); 5] = [
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF8", "image/gif"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
    ];
    let of_riff = match (at(0, b"RIFF"), start.get(8..12)) {
        (true, Some(b"WEBP")) => Some("image/webp"),
        (true, Some(b"AVI ")) => Some("video/avi"),
        _ => None,
    };
    of_riff.or_else(|| known.iter().find(|(magic, _)| at(0, magic)).map(|(_, format)| *format))
}
