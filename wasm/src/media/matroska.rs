//! Matroska and WebM: the tracks by `matroska-demuxer`, the frames by a walk over the clusters' elements.
//!
//! That crate gives frames only with all their bytes, and no key frames of block groups; the walk reads the few bytes
//! before each frame and skips the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Seek, SeekFrom};

use matroska_demuxer::{
    Colour, DisplayUnit, FlagInterlaced, MatrixCoefficients, MatroskaFile, Primaries, Range, TrackEntry, TrackType,
    TransferCharacteristics,
};

use unmask_core::pipeline::clock::rate;

use super::{
    Codec, Colours, Facts, MediaError, Sample, Shown, Video, mean_rate, preferred, square_pixels, vp8_is_shown,
};

/// Elements by their identifiers (RFC 9559, section 27.1).
mod id {
    pub(super) const EBML: u32 = 0x1A45_DFA3;
    pub(super) const SEGMENT: u32 = 0x1853_8067;
    pub(super) const CLUSTER: u32 = 0x1F43_B675;
    pub(super) const TIMESTAMP: u32 = 0xE7;
    pub(super) const SIMPLE_BLOCK: u32 = 0xA3;
    pub(super) const BLOCK_GROUP: u32 = 0xA0;
    pub(super) const BLOCK: u32 = 0xA1;
    pub(super) const REFERENCE_BLOCK: u32 = 0xFB;
}

/// Bits of a block's flags: a key frame (simple blocks only), and lacing.
const KEY: u8 = 0x80;
const LACING: u8 = 0x06;

/// The video track of the file that is preferred, with its samples.
pub(super) fn open<R: Read + Seek>(reader: &mut R, size: u64) -> Result<Video, MediaError> {
    let file = MatroskaFile::open(&mut *reader).map_err(|error| MediaError::Damaged(error.to_string()))?;
    let scale_ns = file.info().timestamp_scale().get() as i64;
    let is_video = |track: &&TrackEntry| track.track_type() == TrackType::Video && track.video().is_some();
    let videos = || file.tracks().iter().filter(is_video);
    let pixels =
        |track: &TrackEntry| track.video().map_or(0, |video| video.pixel_width().get() * video.pixel_height().get());
    let delays: Vec<_> = file
        .tracks()
        .iter()
        .map(|track| (track.track_number().get(), track.codec_delay().unwrap_or(0) as i64))
        .collect();
    let mut tracks = Vec::new();
    for track in videos() {
        let delays = delays.iter().copied().collect();
        let walk = Walk::new(track.track_number().get(), track.codec_id() == "V_VP8", scale_ns, delays);
        tracks.push((track.clone(), walk));
    }
    drop(file);
    let other_streams = tracks.len() > 1;
    let mut walked = Vec::new();
    for (track, walk) in tracks {
        walked.push((track, walk.walk(reader, size)?));
    }
    let rank = |(track, index): &(TrackEntry, Index)| (index.samples.len() > 1, track.flag_default(), pixels(track));
    let (track, index) = preferred(walked.into_iter(), rank).ok_or(MediaError::NoVideo)?;
    if track.content_encodings().is_some_and(|encodings| !encodings.is_empty()) {
        return Err(MediaError::OtherContainer("a Matroska file with compressed or encrypted tracks"));
    }
    describe(reader, &track, index, other_streams)
}

fn describe<R: Read + Seek>(
    reader: &mut R,
    track: &TrackEntry,
    index: Index,
    other_streams: bool,
) -> Result<Video, MediaError> {
    let video = track.video().ok_or(MediaError::NoVideo)?;
    let (coded_width, coded_height) = (video.pixel_width().get() as usize, video.pixel_height().get() as usize);
    let display = video.display_width().zip(video.display_height());
    let aspect = match display.filter(|_| video.display_unit() != Some(DisplayUnit::Unknown)) {
        Some((width, height)) => {
            (width.get() as f64 / height.get() as f64) / (coded_width as f64 / coded_height as f64)
        }
        None => 1.0,
    };
    let (width, height) = square_pixels(coded_width, coded_height, aspect);
    let mut first_bytes = [0; 1];
    if let Some(first) = index.samples.first() {
        reader.seek(SeekFrom::Start(first.offset))?;
        reader.read_exact(&mut first_bytes).map_err(cut_off)?;
    }
    let origin_s = index.origin_ns as f64 / 1e9;
    let time = |(sample, time_ns): (usize, &i64)| Shown { time_s: *time_ns as f64 / 1e9 - origin_s, sample };
    let shown: Vec<Shown> =
        index.times_ns.iter().enumerate().filter(|(sample, _)| !index.hidden.contains(sample)).map(time).collect();
    let (mean, step_s) = (mean_rate(&shown), track.default_duration().map(|step| step.get() as f64 / 1e9));
    let fps = rate(step_s.map(|step_s| 1.0 / step_s), mean);
    let lasts_s = step_s.filter(|step_s| *step_s < 1.0).or(fps.map(|fps| 1.0 / fps));
    let span_s = mean.map(|rate| (shown.len() - 1) as f64 / rate);
    Ok(Video {
        codec: Codec::matroska(track.codec_id(), track.codec_private(), &first_bytes),
        colours: video.colour().map(colours),
        coded_width,
        coded_height,
        width,
        height,
        fps,
        duration_s: span_s.zip(lasts_s).map(|(span, lasts)| span + lasts),
        samples: index.samples,
        shown,
        facts: Facts {
            interlaced: video.flag_interlaced() == FlagInterlaced::Interlaced,
            other_streams,
            ..Facts::default()
        },
        ..Video::default()
    })
}

/// The numbers of ITU-T H.273 that Matroska has, too; the crate gives names in their place, of which those that count are
/// turned back.
fn colours(colour: &Colour) -> Colours {
    const UNSPECIFIED: u8 = 2;
    let primaries = match colour.primaries() {
        Some(Primaries::Bt709) => 1,
        Some(Primaries::Bt2020) => 9,
        _ => UNSPECIFIED,
    };
    let transfer = match colour.transfer_characteristics() {
        Some(TransferCharacteristics::Bt709) => 1,
        Some(TransferCharacteristics::Bt2100) => 16,
        Some(TransferCharacteristics::Hlg) => 18,
        _ => UNSPECIFIED,
    };
    let matrix = match colour.matrix_coefficients() {
        Some(MatrixCoefficients::Identity) => 0,
        Some(MatrixCoefficients::Bt709) => 1,
        Some(MatrixCoefficients::Bt470bg) => 5,
        Some(MatrixCoefficients::Smpte170) => 6,
        Some(MatrixCoefficients::Smpte240) => 7,
        Some(MatrixCoefficients::Bt2020Ncl) => 9,
        _ => UNSPECIFIED,
    };
    Colours::new([primaries, transfer, matrix], colour.range() == Some(Range::Full))
}

/// What the walk found.
#[derive(Default)]
struct Index {
    samples: Vec<Sample>,
    /// When each sample is shown.
    times_ns: Vec<i64>,
    /// Samples that are not shown.
    hidden: BTreeSet<usize>,
    /// The earliest time of any track.
    origin_ns: i64,
}

/// A walk over all elements, in and out of clusters.
struct Walk {
    track: u64,
    /// Whether the track is of VP8, whose frames say whether they are shown.
    is_vp8: bool,
    scale_ns: i64,
    /// By how much each track's first sounds or frames come before what is to be heard or seen.
    delays_ns: BTreeMap<u64, i64>,
    cluster: i64,
    /// Whether the block group at hand refers to other frames, which a key frame does not.
    refers: bool,
    /// The sample that the block group at hand has given.
    grouped: Option<usize>,
    earliest_ns: Option<i64>,
    index: Index,
}

/// An element's header.
struct Element {
    id: u32,
    /// Where its content begins.
    start: u64,
    /// How long its content is, if that is known.
    length: Option<u64>,
}

impl Walk {
    fn new(track: u64, is_vp8: bool, scale_ns: i64, delays_ns: BTreeMap<u64, i64>) -> Self {
        let (cluster, refers, grouped, earliest_ns) = (0, false, None, None);
        Self { track, is_vp8, scale_ns, delays_ns, cluster, refers, grouped, earliest_ns, index: Index::default() }
    }

    fn walk<R: Read + Seek>(mut self, reader: &mut R, size: u64) -> Result<Index, MediaError> {
        let mut position = 0;
        while position < size {
            reader.seek(SeekFrom::Start(position))?;
            let element = read_element(reader)?;
            let end = element.length.map(|length| element.start.saturating_add(length));
            if end.is_some_and(|end| end > size) {
                return Err(cut_off(ErrorKind::UnexpectedEof.into()));
            }
            position = match (element.id, end) {
                (id::SEGMENT | id::CLUSTER | id::BLOCK_GROUP, _) => {
                    (self.refers, self.grouped) = (false, None);
                    element.start
                }
                (_, Some(end)) => {
                    self.take(reader, &element, end)?;
                    end
                }
                (_, None) => return Err(MediaError::Damaged("an element without a length".to_owned())),
            };
        }
        self.index.origin_ns = self.earliest_ns.unwrap_or(0);
        Ok(self.index)
    }

    /// Takes an element that has no elements of interest in it; the reader is at its content.
    fn take<R: Read + Seek>(&mut self, reader: &mut R, element: &Element, end: u64) -> Result<(), MediaError> {
        match element.id {
            id::TIMESTAMP => self.cluster = read_unsigned(reader, end - element.start)? as i64,
            id::SIMPLE_BLOCK | id::BLOCK => self.take_block(reader, element.id == id::SIMPLE_BLOCK, end)?,
            id::REFERENCE_BLOCK => {
                self.refers = true;
                if let Some(sample) = self.grouped {
                    self.index.samples[sample].key = false;
                }
            }
            id::EBML if element.start > 64 => {
                return Err(MediaError::Damaged("a second file begins inside it".to_owned()));
            }
            _ => {}
        }
        Ok(())
    }

    fn take_block<R: Read + Seek>(&mut self, reader: &mut R, simple: bool, end: u64) -> Result<(), MediaError> {
        let track = read_length(reader)?.unwrap_or_default();
        let mut header = [0; 3];
        reader.read_exact(&mut header).map_err(cut_off)?;
        let [high, low, flags] = header;
        let ticks = self.cluster.saturating_add(i16::from_be_bytes([high, low]).into());
        let delay_ns = self.delays_ns.get(&track).copied().unwrap_or(0);
        let time_ns = ticks.saturating_mul(self.scale_ns).saturating_sub(delay_ns);
        self.earliest_ns = Some(self.earliest_ns.map_or(time_ns, |earliest| earliest.min(time_ns)));
        if track != self.track {
            return Ok(());
        }
        if flags & LACING != 0 {
            return Err(MediaError::Damaged("several frames in one block".to_owned()));
        }
        let offset = reader.stream_position()?;
        let Ok(size) = u32::try_from(end.saturating_sub(offset)) else {
            return Err(MediaError::Damaged("a frame of over 4 GB".to_owned()));
        };
        if self.is_vp8 && size > 0 {
            let mut first = [0; 1];
            reader.read_exact(&mut first).map_err(cut_off)?;
            if !vp8_is_shown(&first) {
                self.index.hidden.insert(self.index.samples.len());
            }
        }
        let key = if simple { flags & KEY != 0 } else { !self.refers };
        self.grouped = (!simple).then_some(self.index.samples.len());
        self.index.samples.push(Sample { offset, size, key, timestamp_us: time_ns.div_euclid(1000) });
        self.index.times_ns.push(time_ns);
        Ok(())
    }
}

fn cut_off(error: std::io::Error) -> MediaError {
    match error.kind() {
        ErrorKind::UnexpectedEof => MediaError::Damaged("it is cut off: it ends before its last part does".to_owned()),
        _ => MediaError::Read(error),
    }
}

fn read_element<R: Read + Seek>(reader: &mut R) -> Result<Element, MediaError> {
    let id = read_id(reader)?;
    let length = read_length(reader)?;
    Ok(Element { id, start: reader.stream_position()?, length })
}

/// An identifier: as many bytes as its first has leading zero bits and one more, with the marking bit.
fn read_id(reader: &mut impl Read) -> Result<u32, MediaError> {
    let mut first = [0; 1];
    reader.read_exact(&mut first).map_err(cut_off)?;
    let more = first[0].leading_zeros() as usize;
    if more > 3 {
        return Err(MediaError::Damaged("a part of it is no element of Matroska".to_owned()));
    }
    let mut bytes = [0; 4];
    bytes[3 - more] = first[0];
    reader.read_exact(&mut bytes[4 - more..]).map_err(cut_off)?;
    Ok(u32::from_be_bytes(bytes))
}

/// A length, coded as an identifier without the marking bit; all ones means unknown.
fn read_length(reader: &mut impl Read) -> Result<Option<u64>, MediaError> {
    let mut first = [0; 1];
    reader.read_exact(&mut first).map_err(cut_off)?;
    let more = first[0].leading_zeros() as usize;
    if more > 7 {
        return Err(MediaError::Damaged("a part of it has no length".to_owned()));
    }
    let mut bytes = [0; 8];
    bytes[7 - more] = first[0];
    reader.read_exact(&mut bytes[8 - more..]).map_err(cut_off)?;
    let mask = u64::MAX >> (64 - 7 * (more + 1));
    let value = u64::from_be_bytes(bytes) & mask;
    Ok((value != mask).then_some(value))
}

fn read_unsigned(reader: &mut impl Read, length: u64) -> Result<u64, MediaError> {
    let mut bytes = [0; 8];
    let start = usize::try_from(length).ok().and_then(|length| 8usize.checked_sub(length));
    let start = start.ok_or_else(|| MediaError::Damaged("a number of more than 8 bytes".to_owned()))?;
    reader.read_exact(&mut bytes[start..]).map_err(cut_off)?;
    Ok(u64::from_be_bytes(bytes))
}
