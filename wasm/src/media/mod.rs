//! What is in a media file: which codec, which size, where every frame lies, without decoding videos; and pictures,
//! decoded.
//!
//! [`kind_of`] looks at the content, never at the name. [`open`] has [`mp4`] (and [`boxes`]), [`matroska`],
//! [`transport`] or [`ivf`] read the container; [`clock`] judges its times; [`colours`], [`h264`] and [`av1`] read the
//! headers of codecs. Only the index is held in memory, never the frames' bytes. [`plan`] says which frames are
//! decoded, [`Planes`] makes pixels of what a decoder gives, with the filters of [`scale`]. `Pictures` are JPEG, PNG,
//! GIF, WebP and BMP.

mod av1;
mod bits;
mod boxes;
mod clock;
mod codec;
mod colours;
mod error;
mod h264;
mod ivf;
mod kind;
mod matroska;
mod mp4;
#[cfg(feature = "pictures")]
mod picture;
mod plan;
mod rgb;
mod scale;
#[cfg(test)]
mod tests;
mod transport;

use std::io::{Read, Seek, SeekFrom};

use unmask_core::image::Orientation;
use unmask_core::pipeline::clock::rate;
use unmask_core::pipeline::{Caveat, CaveatCode};

pub use codec::Codec;
pub use colours::Colours;
pub use error::{MediaError, check_size};
pub use kind::{Kind, Picture, kind_of};
#[cfg(feature = "pictures")]
pub use picture::{Pictures, Shot};
pub use plan::{Run, amid, plan};
pub use rgb::Planes;

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
    /// Seconds from the start of the file, or from the first frame that can be decoded where that comes later.
    pub time_s: f64,
    /// Which of the samples it is.
    pub sample: usize,
}

/// How the bytes of a frame lie in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// One after the other.
    #[default]
    Whole,
    /// In packets of a transport stream, mixed with those of other streams.
    TransportStream {
        /// The identifier of the video's packets.
        pid: u16,
        /// Bytes from the start of a packet to that of the next.
        stride: usize,
    },
}

impl Packing {
    /// The bytes of a frame alone.
    pub fn unpack(self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Whole => bytes,
            Self::TransportStream { pid, stride } => transport::unpack(&bytes, pid, stride),
        }
    }
}

/// What headers say that weakens an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Frames may be woven of two fields.
    pub interlaced: bool,
    /// There are other video streams.
    pub other_streams: bool,
    /// Times of frames cannot be right.
    pub bad_times: bool,
}

/// The video stream of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Video {
    /// What the samples are coded in.
    pub codec: Codec,
    /// How their colours are coded; `None` where the headers that tell it are not read here.
    pub colours: Option<Colours>,
    /// Width of the coded frame in pixels.
    pub coded_width: usize,
    /// Height of the coded frame in pixels.
    pub coded_height: usize,
    /// Width in square pixels before it is turned.
    pub width: usize,
    /// Height in square pixels before it is turned.
    pub height: usize,
    /// How the frame is turned and mirrored for display.
    pub orientation: Orientation,
    /// Frames a second, by [`rate`].
    pub fps: Option<f64>,
    /// Length in seconds.
    pub duration_s: Option<f64>,
    /// All coded frames, in the order of decoding.
    pub samples: Vec<Sample>,
    /// The frames displayed, in order of time.
    pub shown: Vec<Shown>,
    /// How long after the start of the file their times begin to count, in seconds: not zero where frames before are
    /// left out.
    pub begins_s: f64,
    /// How the frames' bytes lie in the file.
    pub packing: Packing,
    /// What weakens an answer.
    pub facts: Facts,
}

impl Video {
    /// Width and height in pixels as displayed.
    pub fn displayed_size(&self) -> (usize, usize) {
        if self.orientation.is_sideways() { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// How many frames are displayed before the one of a sample, in the order of decoding.
    pub fn number(&self, sample: usize) -> usize {
        self.shown.iter().filter(|shown| shown.sample < sample).count()
    }

    /// What of it weakens an answer, as far as headers say.
    pub fn caveats(&self) -> Vec<Caveat> {
        let facts = [
            (self.facts.interlaced, CaveatCode::Interlaced),
            (self.facts.bad_times, CaveatCode::BadTimes),
            (self.facts.other_streams, CaveatCode::OtherStreams),
        ];
        let held = facts.into_iter().filter(|(holds, _)| *holds).map(|(_, code)| code.into());
        held.chain(self.colours.and_then(Colours::caveat)).collect()
    }
}

/// Reads the index of the video in `reader`, a file of `size` bytes.
///
/// # Errors
/// What is wrong with the file; an image is [`MediaError::NoVideo`].
pub fn open<R: Read + Seek>(reader: &mut R, size: u64) -> Result<Video, MediaError> {
    let mut video = match kind_of(reader)? {
        Kind::Mp4 => mp4::open(reader, size)?,
        Kind::Matroska => matroska::open(reader, size)?,
        Kind::TransportStream => transport::open(reader, size)?,
        Kind::Ivf => ivf::open(reader, size)?,
        Kind::Picture(_) | Kind::Foreign(_) => return Err(MediaError::NoVideo),
    };
    check_size(video.width as u64, video.height as u64)?;
    check_size(video.coded_width as u64, video.coded_height as u64)?;
    leave_out_undecodable(&mut video);
    if video.shown.is_empty() {
        return Err(MediaError::NoFrames);
    }
    refuse_missing_bytes(&video, size)?;
    video.shown.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
    clock::correct(&mut video);
    if !video.facts.bad_times {
        video.fps = rate(video.fps, mean_rate(&video.shown));
    }
    video.facts.interlaced |= h264::of_codec(&video.codec).is_some_and(|parameters| parameters.interlaced);
    let in_stream = Colours::read(&video.codec, &first_bytes(reader, &video)?);
    video.colours = match (in_stream, video.colours) {
        (Some(in_stream), Some(in_container)) => Some(in_stream.or(in_container)),
        (in_stream, in_container) => in_stream.or(in_container),
    };
    Ok(video)
}

/// The stream that a player shows: of the highest rank, which goes by whether it moves, whether it is marked as the
/// default, and its pixels; of equals the first.
fn preferred<T, R: Ord>(streams: impl DoubleEndedIterator<Item = T>, rank: impl Fn(&T) -> R) -> Option<T> {
    // Of equals `max_by_key` takes the last.
    streams.rev().max_by_key(rank)
}

/// Takes frames off the list that nothing tells how to decode: those before the first key frame, and those after it
/// that are displayed before it, since they refer to frames from before. Times then count from the first frame that is
/// left.
fn leave_out_undecodable(video: &mut Video) {
    let Some(key) = video.samples.iter().position(|sample| sample.key) else { return };
    let time = video.samples[key].timestamp_us;
    let leading = video.samples[key + 1..].iter().take_while(|sample| sample.timestamp_us < time).count();
    let listed = video.shown.len();
    video.shown.retain(|shown| shown.sample == key || shown.sample > key + leading);
    if video.shown.len() < listed {
        let step_s = video.fps.map_or(0.0, |fps| 1.0 / fps);
        video.duration_s = mean_rate(&video.shown).map(|rate| (video.shown.len() - 1) as f64 / rate + step_s);
        video.begins_s = video.shown.iter().map(|shown| shown.time_s).fold(f64::INFINITY, f64::min);
        video.shown.iter_mut().for_each(|shown| shown.time_s -= video.begins_s);
    }
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

/// Whether a frame of VP8 is displayed, by its first byte (RFC 6386, 9.1); others only serve those that refer to them.
fn vp8_is_shown(frame: &[u8]) -> bool {
    frame.first().is_none_or(|first| first & 0x10 != 0)
}
