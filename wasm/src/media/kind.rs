//! What a file is, by its content.

use std::io::{Read, Seek, SeekFrom};

use super::{MediaError, transport};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MP4 or QuickTime.
    Mp4,
    /// Matroska or WebM.
    Matroska,
    /// An MPEG transport stream.
    TransportStream,
    /// IVF.
    Ivf,
    /// One picture or several, of a kind that is decoded here.
    Picture(Picture),
    /// A picture of a kind that only some browsers decode, by its name.
    Foreign(&'static str),
}

/// A kind of picture that is decoded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Picture {
    /// JPEG.
    Jpeg,
    /// PNG, and APNG, which moves.
    Png,
    /// GIF.
    Gif,
    /// WebP.
    WebP,
    /// BMP.
    Bmp,
}

const HEIC: &str = "a HEIC image";
const AVIF: &str = "an AVIF image";

/// Bytes at a place in a file, and what they mean.
type Signature<T> = (usize, &'static [u8], T);

/// What is read here, or by some browsers. Boxes of MP4 come last, since pictures have them too.
const KNOWN: [Signature<Kind>; 15] = [
    (0, b"\x1A\x45\xDF\xA3", Kind::Matroska),
    (0, b"DKIF", Kind::Ivf),
    (0, b"\xFF\xD8\xFF", Kind::Picture(Picture::Jpeg)),
    (0, b"\x89PNG", Kind::Picture(Picture::Png)),
    (0, b"GIF8", Kind::Picture(Picture::Gif)),
    (0, b"BM", Kind::Picture(Picture::Bmp)),
    (8, b"WEBPVP8", Kind::Picture(Picture::WebP)),
    (0, b"\xFF\x0A", Kind::Foreign("a JPEG XL image")),
    (0, b"\0\0\0\x0CJXL ", Kind::Foreign("a JPEG XL image")),
    (4, b"ftyp", Kind::Mp4),
    (4, b"moov", Kind::Mp4),
    (4, b"mdat", Kind::Mp4),
    (4, b"free", Kind::Mp4),
    (4, b"wide", Kind::Mp4),
    (4, b"skip", Kind::Mp4),
];

/// Pictures of kinds that browsers do not show.
const OTHER_IMAGES: [Signature<&str>; 9] = [
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (0, b"II+\0", "a TIFF image"),
    (0, b"8BPS", "a Photoshop image"),
    (0, b"\0\0\0\x0CjP  ", "a JPEG 2000 image"),
    (0, b"\xFF\x4F\xFF\x51", "a JPEG 2000 image"),
    (0, b"\x76\x2F\x31\x01", "an OpenEXR image"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"qoif", "a QOI image"),
];

/// Videos whose containers are not read here.
const OTHER_CONTAINERS: [Signature<&str>; 11] = [
    (8, b"AVI ", "an AVI file"),
    (0, b"FLV", "a Flash video"),
    (0, b"OggS", "an Ogg file"),
    (0, b"\x30\x26\xB2\x75", "a Windows Media file"),
    (0, b"\x00\x00\x01\xBA", "an MPEG program stream"),
    (0, b"\x00\x00\x01\xB3", "an MPEG video without a container"),
    (0, b"\x00\x00\x00\x01", "a video without a container"),
    (0, b"\x06\x0E\x2B\x34", "an MXF file"),
    (0, b"YUV4MPEG2", "an uncompressed video"),
    (0, b"nut/multimedia", "a NUT file"),
    (0, b".RMF", "a RealMedia file"),
];

/// The kind of a file that begins with `start`.
///
/// # Errors
/// [`MediaError::Empty`], [`MediaError::NotMedia`], or [`MediaError::OtherContainer`] or [`MediaError::OtherImage`] with its name.
pub(super) fn kind(start: &[u8]) -> Result<Kind, MediaError> {
    if start.is_empty() {
        return Err(MediaError::Empty);
    }
    if is_text(start) && !start.starts_with(b"YUV4MPEG2") {
        return Err(MediaError::NotMedia);
    }
    if let Some(kind) = found(start, &KNOWN) {
        return Ok(of_brands(start).unwrap_or(kind));
    }
    if let Some(name) = found(start, &OTHER_IMAGES) {
        return Err(MediaError::OtherImage(name));
    }
    if let Some(name) = found(start, &OTHER_CONTAINERS) {
        return Err(MediaError::OtherContainer(name));
    }
    transport::packets(start).map(|_| Kind::TransportStream).ok_or(MediaError::NotMedia)
}

fn found<T: Copy>(start: &[u8], signatures: &[Signature<T>]) -> Option<T> {
    let fits = |(offset, bytes, _): &&Signature<T>| start.get(*offset..).is_some_and(|rest| rest.starts_with(bytes));
    signatures.iter().find(fits).map(|(_, _, meaning)| *meaning)
}

/// The picture that a file with boxes is by its brands (ISO/IEC 23008-12, 10.2), if it is one; sequences of pictures are videos.
fn of_brands(start: &[u8]) -> Option<Kind> {
    const PICTURES: [&[u8; 4]; 8] = [b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"miaf", b"avif"];
    let length = u32::from_be_bytes(*start.first_chunk()?) as usize;
    let brands = start.get(4..length.min(start.len()))?.strip_prefix(b"ftyp")?.as_chunks::<4>().0;
    let is_avif = brands.iter().any(|brand| brand == b"avif" || brand == b"avio");
    PICTURES.contains(&brands.first()?).then_some(Kind::Foreign(if is_avif { AVIF } else { HEIC }))
}

/// Whether the bytes are words: UTF-8 without control characters other than those of lines, but for a character cut at the end.
fn is_text(start: &[u8]) -> bool {
    let valid = start.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let is_control = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0C' | '\x1B');
    valid.len() + 3 >= start.len() && !valid.is_empty() && !valid.chars().any(is_control)
}

/// Looks at the start of `reader`, and goes back there.
///
/// # Errors
/// [`MediaError::Empty`], [`MediaError::NotMedia`], [`MediaError::OtherContainer`] or [`MediaError::OtherImage`] with its name, or
/// [`MediaError::Read`].
pub fn kind_of(reader: &mut (impl Read + Seek)) -> Result<Kind, MediaError> {
    let mut start = Vec::with_capacity(transport::SIGNATURE);
    reader.seek(SeekFrom::Start(0))?;
    reader.by_ref().take(transport::SIGNATURE as u64).read_to_end(&mut start)?;
    reader.seek(SeekFrom::Start(0))?;
    kind(&start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_first_bytes() {
        assert_eq!(kind(b"\0\0\0\x20ftypisom").unwrap(), Kind::Mp4);
        assert_eq!(kind(b"\x1A\x45\xDF\xA3...").unwrap(), Kind::Matroska);
        assert_eq!(kind(b"DKIF\0\0").unwrap(), Kind::Ivf);
        assert_eq!(kind(b"\0\0\0\x18ftypavis\0\0\0\0avisavif").unwrap(), Kind::Mp4);
        for (start, picture) in [
            (&b"\xFF\xD8\xFF\xE0"[..], Picture::Jpeg),
            (b"\x89PNG\r\n", Picture::Png),
            (b"RIFF\x10\0\0\0WEBPVP8X", Picture::WebP),
            (b"BM\x46\0\0\0", Picture::Bmp),
        ] {
            assert_eq!(kind(start).unwrap(), Kind::Picture(picture));
        }
        for (start, name) in [
            (&b"\0\0\0\x1Cftypavif"[..], AVIF),
            (b"\0\0\0\x18ftypmif1\0\0\0\0miafavif", AVIF),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", HEIC),
            (b"\0\0\0\x18ftypheic\0\0\0\0", HEIC),
            (b"\xFF\x0A\0\0", "a JPEG XL image"),
        ] {
            assert_eq!(kind(start).unwrap(), Kind::Foreign(name));
        }
    }

    #[test]
    fn what_is_not_read_is_called_by_its_name() {
        assert!(matches!(kind(b""), Err(MediaError::Empty)));
        for text in ["WEBVTT\n", "BMW went up\n", "GIF89a in words", "Größe"] {
            assert!(matches!(kind(text.as_bytes()), Err(MediaError::NotMedia)), "{text}");
        }
        assert!(matches!(kind(b"PK\x03\x04\x14\0"), Err(MediaError::NotMedia)));
        assert!(matches!(kind(b"RIFF\x10\0\0\0AVI LIST"), Err(MediaError::OtherContainer("an AVI file"))));
        assert!(matches!(kind(b"II*\0\x08"), Err(MediaError::OtherImage("a TIFF image"))));
    }
}
