//! What a file is, by its content: the ending of its name says what somebody called it.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use image::codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::{AnimationDecoder, ImageFormat};

use super::error::MediaError;
use super::jpeg;

/// Bytes at the start of a file that are looked at.
const START: u64 = 4096;

/// The kinds of files that are treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A picture that this program decodes itself.
    Picture(ImageFormat),
    /// Several frames of which the same decoders make one after the other: GIF, APNG, WebP.
    Animation(ImageFormat),
    /// JPEGs one after the other, as cameras stream them.
    MotionJpeg,
    /// A picture that only some ffmpegs read.
    Unread(PictureFormat),
    /// MP4, QuickTime and their relatives.
    IsoMedia,
    /// Another container or stream that may hold video.
    Container,
    /// Text.
    Text,
    /// Anything else.
    Unknown,
}

/// Formats of pictures that are left to ffmpeg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PictureFormat {
    /// High Efficiency Image File Format with HEVC, what iPhones write.
    Heic,
    /// The same container with AV1.
    Avif,
    /// JPEG XL.
    JpegXl,
    /// JPEG 2000.
    Jpeg2000,
    /// Photoshop's own.
    Photoshop,
}

impl PictureFormat {
    /// What people call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Heic => "HEIC",
            Self::Avif => "AVIF",
            Self::JpegXl => "JPEG XL",
            Self::Jpeg2000 => "JPEG 2000",
            Self::Photoshop => "Photoshop",
        }
    }

    /// Whether large pictures are cut into tiles that the container holds one by one.
    pub(super) fn is_tiled(self) -> bool {
        matches!(self, Self::Heic | Self::Avif)
    }
}

/// Formats that the image decoder of this program reads.
const PICTURES: [ImageFormat; 6] =
    [ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Tiff, ImageFormat::WebP];

/// First bytes of other formats of pictures.
const UNREAD: [(&[u8], PictureFormat); 5] = [
    (b"\xFF\x0A", PictureFormat::JpegXl),
    (b"\0\0\0\x0CJXL \r\n\x87\n", PictureFormat::JpegXl),
    (b"\0\0\0\x0CjP  \r\n\x87\n", PictureFormat::Jpeg2000),
    (b"\xFF\x4F\xFF\x51", PictureFormat::Jpeg2000),
    (b"8BPS", PictureFormat::Photoshop),
];

/// First bytes of containers and streams that may hold video. MPEG transport streams are told by their rhythm.
const CONTAINERS: [&[u8]; 14] = [
    b"\x1A\x45\xDF\xA3",
    b"OggS",
    b"FLV\x01",
    b"\x30\x26\xB2\x75\x8E\x66\xCF\x11",
    b"\0\0\x01\xBA",
    b"\0\0\x01\xB3",
    b"\0\0\0\x01\x67",
    b"\0\0\0\x01\x40\x01",
    b"nut/multimedia container\0",
    b"YUV4MPEG2 ",
    b"DKIF",
    b"\x06\x0E\x2B\x34\x02\x05\x01\x01",
    b".RMF",
    b"\x1F\x07\x00",
];

/// Tells what the file at `path` is. Its first bytes decide, save for pictures, which may turn out to be several.
///
/// Errors: it cannot be read, or is empty.
pub(super) fn of(path: &Path) -> Result<Content, MediaError> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(|error| MediaError::io(path, error))?;
    file.take(START).read_to_end(&mut start).map_err(|error| MediaError::io(path, error))?;
    if start.is_empty() {
        return Err(MediaError::Empty { path: path.to_owned() });
    }
    Ok(match by_start(&start) {
        Content::Picture(ImageFormat::Jpeg) if !is_named_jpeg(path) && jpeg::is_motion(path) => Content::MotionJpeg,
        Content::Picture(format) if is_animated(path, format, &start) => Content::Animation(format),
        content => content,
    })
}

/// Whether the first bytes of the file at `path` are those of a video or an image.
pub fn is_media(path: &Path) -> bool {
    of(path).is_ok_and(|content| !matches!(content, Content::Text | Content::Unknown))
}

fn by_start(start: &[u8]) -> Content {
    if let Some(kind) = iso_media(start) {
        return kind;
    }
    if let Some((_, format)) = UNREAD.iter().find(|(signature, _)| start.starts_with(signature)) {
        return Content::Unread(*format);
    }
    let riff = start.starts_with(b"RIFF") && matches!(start.get(8..12), Some(b"AVI " | b"CDXA"));
    if riff || CONTAINERS.iter().any(|signature| start.starts_with(signature)) || is_transport_stream(start) {
        return Content::Container;
    }
    if is_text(start) {
        return Content::Text;
    }
    match image::guess_format(start) {
        Ok(format) if PICTURES.contains(&format) => Content::Picture(format),
        _ => Content::Unknown,
    }
}

/// Files of the ISO base media format: those whose first box says that they are pictures, and the others.
fn iso_media(start: &[u8]) -> Option<Content> {
    let first = start.get(4..8)?;
    if first != b"ftyp" {
        let boxes: [&[u8]; 5] = [b"moov", b"mdat", b"free", b"wide", b"skip"];
        return boxes.contains(&first).then_some(Content::IsoMedia);
    }
    let end = start.get(..4)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)).min(start.len());
    let brands = start.get(8..end).unwrap_or_default().as_chunks::<4>().0;
    let has = |names: &[&[u8; 4]]| brands.iter().any(|brand| names.contains(&brand));
    // The second number is a version, which no brand resembles. Sequences of pictures have brands of their own beside
    // these.
    let is_sequence = brands.first().is_some_and(|major| [b"avis", b"hevc", b"hevx", b"msf1"].contains(&major));
    let is_picture = brands
        .first()
        .is_some_and(|major| [b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"miaf", b"avif"].contains(&major));
    Some(match is_picture && !is_sequence {
        true if has(&[b"avif", b"avio"]) => Content::Unread(PictureFormat::Avif),
        true => Content::Unread(PictureFormat::Heic),
        false => Content::IsoMedia,
    })
}

/// Whether a byte 0x47 comes with each packet, at all lengths of packets there are, in the first three.
fn is_transport_stream(start: &[u8]) -> bool {
    let at = |first: usize, length: usize| (0..3).all(|packet| start.get(first + packet * length) == Some(&0x47));
    // Streams that were cut begin anywhere within a packet.
    (0..188).any(|first| {
        at(first, 188) && (first == 0 || (3..8).all(|packet| start.get(first + packet * 188) == Some(&0x47)))
    }) || at(4, 192)
        || at(0, 204)
}

/// Whether the bytes are words: UTF-8 without control characters other than those of lines, or marked as UTF-16.
fn is_text(start: &[u8]) -> bool {
    let valid = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character may be cut at the end of what was read.
        Err(error) if error.valid_up_to() + 3 >= start.len() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return start.starts_with(b"\xFF\xFE") || start.starts_with(b"\xFE\xFF"),
    };
    !valid.is_empty() && !valid.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0C' | '\x1B'))
}

/// Whether the name says JPEG. Only other names are worth reading a JPEG to its end, to see whether it is a stream of
/// them; one with this name is looked at when it is opened.
fn is_named_jpeg(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| matches!(ending.as_str(), "jpg" | "jpeg" | "jpe" | "jfif"))
}

/// Whether the picture moves: a file that does not even open is not, and fails where it is decoded.
fn is_animated(path: &Path, format: ImageFormat, start: &[u8]) -> bool {
    let open = || File::open(path).ok().map(BufReader::new);
    let moves = || match format {
        ImageFormat::Gif => {
            // A second frame that is cut off is one all the same: what is missing is then said.
            Some(GifDecoder::new(open()?).ok()?.into_frames().take(2).count() == 2)
        }
        ImageFormat::WebP => {
            let decoder = WebPDecoder::new(open()?).ok().filter(WebPDecoder::has_animation)?;
            Some(decoder.into_frames().take(2).filter(Result::is_ok).count() == 2)
        }
        ImageFormat::Png if contains(start, b"IDAT") && !contains(start, b"acTL") => None,
        ImageFormat::Png => {
            let decoder = PngDecoder::new(open()?).ok().filter(|decoder| decoder.is_apng().unwrap_or(false))?;
            Some(decoder.apng().ok()?.into_frames().take(2).filter(Result::is_ok).count() == 2)
        }
        _ => None,
    };
    moves().unwrap_or(false)
}

fn contains(bytes: &[u8], name: &[u8; 4]) -> bool {
    bytes.windows(4).any(|window| window == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_containers_from_pictures_and_text() {
        let mut stream = vec![0; 188 * 10];
        stream.iter_mut().skip(40).step_by(188).for_each(|byte| *byte = 0x47);
        let cases: [(&[u8], Content); 15] = [
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Content::Unread(PictureFormat::Heic)),
            (b"\0\0\0\x1Cftypmif1\0\0\0\0mif1avifmiaf", Content::Unread(PictureFormat::Avif)),
            (b"\0\0\0\x18ftypavis\0\0\0\0avisavif", Content::IsoMedia),
            (b"\0\0\0\x14ftypisom\0\0\0\0isom", Content::IsoMedia),
            (b"\0\0\0\x08wide\0\0\0\0mdat", Content::IsoMedia),
            (b"\xFF\x0A\x30\x40", Content::Unread(PictureFormat::JpegXl)),
            (b"RIFF\x10\0\0\0AVI LIST", Content::Container),
            (b"\x1A\x45\xDF\xA3\x93", Content::Container),
            (&stream, Content::Container),
            (b"BMW prices\nwent up\n", Content::Text),
            ("Grüße\n".as_bytes(), Content::Text),
            (b"\xFF\xFEa\0b\0", Content::Text),
            (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0", Content::Picture(ImageFormat::Bmp)),
            (b"PK\x03\x04\x14\0\0\0", Content::Unknown),
            (b"GG", Content::Text),
        ];
        for (start, expected) in cases {
            assert_eq!(by_start(start), expected, "{:?}", String::from_utf8_lossy(&start[..start.len().min(24)]));
        }
    }
}
