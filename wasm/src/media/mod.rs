//! What is in a video file, without decoding it: which codec, which size, and where every frame lies.
//!
//! [`open`] looks at the content, never at the name, and has [`mp4`] or [`matroska`] read the container's index. Only
//! the index is held in memory, never the frames' bytes. [`plan`] says which frames are decoded, [`rgba`] makes pixels of what
//! a decoder gives.

mod bits;
mod codec;
mod colours;
mod error;
mod matroska;
mod mp4;
mod plan;
mod rgb;
#[cfg(test)]
mod tests;

use std::io::{Read, Seek, SeekFrom};

pub use codec::Codec;
pub use colours::Colours;
pub use error::MediaError;
pub use plan::{Run, amid, plan};
pub use rgb::rgba;

/// One coded frame, in the order of decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many they are.
    pub size: u32,
    /// Whether decoding can begin with it.
    pub key: bool,
    /// When it is displayed, in microseconds of the stream's own clock.
    pub timestamp_us: i64,
}

/// A frame as displayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// Seconds from the start of the file.
    pub time_s: f64,
    /// Which of the samples it is.
    pub sample: usize,
}

/// The video stream of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// What the samples are coded in.
    pub codec: Codec,
    /// How their colours are coded; `None` where the headers that tell it are not read here.
    pub colours: Option<Colours>,
    /// Width of the coded frame in pixels.
    pub coded_width: usize,
    /// Height of the coded frame in pixels.
    pub coded_height: usize,
    /// Width in square pixels before rotation.
    pub width: usize,
    /// Height in square pixels before rotation.
    pub height: usize,
    /// Clockwise degrees by which the frame is turned for display: 0, 90, 180 or 270.
    pub rotation: u32,
    /// Mean frames a second.
    pub fps: Option<f64>,
    /// Length in seconds.
    pub duration_s: Option<f64>,
    /// All coded frames, in the order of decoding.
    pub samples: Vec<Sample>,
    /// The frames displayed, in order of time.
    pub shown: Vec<Shown>,
}

impl Video {
    /// Width and height in pixels as displayed.
    pub fn displayed_size(&self) -> (usize, usize) {
        if self.rotation % 180 == 90 { (self.height, self.width) } else { (self.width, self.height) }
    }
}

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MP4 or QuickTime.
    Mp4,
    /// Matroska or WebM.
    Matroska,
    /// A still image of a kind that browsers decode.
    Image,
}

/// How many bytes [`kind`] looks at.
const SIGNATURE: usize = 16;

/// Tells what a file is by its first bytes.
///
/// # Errors
/// [`MediaError::Empty`], [`MediaError::NotMedia`], or [`MediaError::OtherContainer`] or [`MediaError::OtherImage`] with its name.
pub fn kind(start: &[u8]) -> Result<Kind, MediaError> {
    let at = |offset: usize, signature: &[u8]| start.get(offset..).is_some_and(|rest| rest.starts_with(signature));
    let any = |offset: usize, signatures: &[&[u8]]| signatures.iter().any(|signature| at(offset, signature));
    if start.is_empty() {
        return Err(MediaError::Empty);
    }
    if at(4, b"ftyp") && any(8, &[b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1"]) {
        return Ok(Kind::Image);
    }
    if any(4, &[b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"]) {
        return Ok(Kind::Mp4);
    }
    if at(0, b"\x1A\x45\xDF\xA3") {
        return Ok(Kind::Matroska);
    }
    let webp = at(0, b"RIFF") && at(8, b"WEBP");
    if webp || any(0, &[b"\xFF\xD8\xFF", b"\x89PNG", b"GIF8", b"BM"]) {
        return Ok(Kind::Image);
    }
    if any(0, &[b"II*\0", b"MM\0*"]) {
        return Err(MediaError::OtherImage("a TIFF image"));
    }
    let others: [(usize, &[u8], &'static str); 6] = [
        (8, b"AVI ", "an AVI file"),
        (0, b"FLV", "a Flash video"),
        (0, b"OggS", "an Ogg file"),
        (0, b"\x30\x26\xB2\x75", "a Windows Media file"),
        (0, b"\x00\x00\x01\xBA", "an MPEG program stream"),
        (0, b"\x47\x40", "an MPEG transport stream"),
    ];
    match others.iter().find(|(offset, signature, _)| at(*offset, signature)) {
        Some(&(_, _, name)) => Err(MediaError::OtherContainer(name)),
        None => Err(MediaError::NotMedia),
    }
}

/// Looks at the first bytes of `reader`, and goes back to its start.
///
/// # Errors
/// As [`kind`], or [`MediaError::Read`].
pub fn kind_of(reader: &mut (impl Read + Seek)) -> Result<Kind, MediaError> {
    let mut start = Vec::with_capacity(SIGNATURE);
    reader.seek(SeekFrom::Start(0))?;
    reader.by_ref().take(SIGNATURE as u64).read_to_end(&mut start)?;
    reader.seek(SeekFrom::Start(0))?;
    kind(&start)
}

/// Reads the index of the video in `reader`, a file of `size` bytes.
///
/// # Errors
/// What is wrong with the file; an image is [`MediaError::NoVideo`].
pub fn open<R: Read + Seek>(reader: &mut R, size: u64) -> Result<Video, MediaError> {
    let mut video = match kind_of(reader)? {
        Kind::Mp4 => mp4::open(reader, size)?,
        Kind::Matroska => matroska::open(reader, size)?,
        Kind::Image => return Err(MediaError::NoVideo),
    };
    error::check_size(video.width as u64, video.height as u64)?;
    error::check_size(video.coded_width as u64, video.coded_height as u64)?;
    if video.shown.is_empty() {
        return Err(MediaError::NoFrames);
    }
    refuse_missing_bytes(&video, size)?;
    video.shown.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
    video.colours = Colours::read(&video.codec, &first_bytes(reader, &video)?);
    Ok(video)
}

/// The start of the first sample, with the headers of codecs that have them in the stream.
fn first_bytes<R: Read + Seek>(reader: &mut R, video: &Video) -> Result<Vec<u8>, MediaError> {
    const HEADERS: u64 = 256;
    let mut bytes = Vec::new();
    if let Some(first) = video.samples.first() {
        reader.seek(SeekFrom::Start(first.offset))?;
        reader.take(HEADERS.min(first.size.into())).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Refuses a file that ends before its frames do.
fn refuse_missing_bytes(video: &Video, size: u64) -> Result<(), MediaError> {
    let missing = video.samples.iter().filter(|sample| sample.offset + u64::from(sample.size) > size).count();
    match missing {
        0 => Ok(()),
        _ => Err(MediaError::Damaged(format!("{missing} of its {} frames are cut off", video.samples.len()))),
    }
}

/// Mean frames a second of frames shown at these times.
fn mean_rate(shown: &[Shown]) -> Option<f64> {
    let times = || shown.iter().map(|shown| shown.time_s);
    let span = times().fold(f64::MIN, f64::max) - times().fold(f64::MAX, f64::min);
    (shown.len() > 1 && span > 0.0).then(|| (shown.len() - 1) as f64 / span)
}

/// The displayed size of a frame whose pixels are `aspect` times as wide as high: it is stretched along one side, never
/// shrunk, as browsers and the native program do.
fn square_pixels(width: usize, height: usize, aspect: f64) -> (usize, usize) {
    if aspect > 1.0 {
        ((width as f64 * aspect).round() as usize, height)
    } else if aspect > 0.0 {
        (width, (height as f64 / aspect).round() as usize)
    } else {
        (width, height)
    }
}
