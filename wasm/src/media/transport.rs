//! MPEG transport streams (ITU-T H.222.0), also those of Blu-ray and AVCHD, by a walk over their packets.
//!
//! They have no index: packets of all streams are mixed, and only reading them all tells where each frame begins. A [`Sample`]
//! here spans its packets with those of other streams among them; [`Packing::unpack`] takes out what is its own.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use super::h264::{self, Field, SequenceParameters};
use super::{Codec, Facts, MediaError, Packing, Sample, Shown, Video, mean_rate, square_pixels};

/// First byte of a packet.
const SYNC: u8 = 0x47;

/// A packet; before it there may be a time of arrival (4 bytes, Blu-ray), after it a checksum (16 bytes).
const PACKET: usize = 188;
const STRIDES: [usize; 3] = [PACKET, 192, 204];

/// How many bytes at the start show whether a file is a transport stream.
pub(super) const SIGNATURE: usize = 5 * 204;

/// Packets that are read at once.
const BLOCK: usize = 1024;

/// How far into a file its tables are looked for, in bytes.
const TABLES_WITHIN: u64 = 64 << 20;

/// Ticks a second of time stamps, of which 33 bits are kept.
const CLOCK: f64 = 90_000.0;
const CLOCK_BITS: u32 = 33;

/// Bytes of a frame that are kept to see how it begins: its headers, and the start of its first slice.
const HEAD: usize = 1 << 14;

/// Where packets begin and how far one is from the next, if `start` is the start of a transport stream.
pub(super) fn packets(start: &[u8]) -> Option<(usize, usize)> {
    const LEAST: usize = 3;
    STRIDES.into_iter().find_map(|stride| {
        let begins = |first: &usize| {
            let mut packets = start[*first..].iter().step_by(stride);
            packets.clone().count() >= LEAST && packets.all(|byte| *byte == SYNC)
        };
        Some(((0..stride.min(start.len())).find(begins)?, stride))
    })
}

/// The video stream of the file.
pub(super) fn open<R: Read + Seek>(reader: &mut R, size: u64) -> Result<Video, MediaError> {
    let mut start = Vec::new();
    reader.by_ref().take(SIGNATURE as u64).read_to_end(&mut start)?;
    let (first, stride) = packets(&start).ok_or(MediaError::NotMedia)?;
    let mut packets = Packets { reader, position: first as u64, size, stride };
    let mut tables = Tables::default();
    packets.walk(|packet, offset| {
        tables.take(packet);
        Ok(tables.streams.is_none() && offset < TABLES_WITHIN)
    })?;
    let streams = tables.streams.ok_or(MediaError::NoVideo)?;
    let videos: Vec<Stream> = streams.iter().copied().filter(|stream| video_codec(stream.kind).is_some()).collect();
    let Some(Stream { pid, kind }) = videos.first().copied() else { return Err(MediaError::NoVideo) };
    if kind != H264 {
        let name = video_codec(kind).unwrap_or_default();
        return Err(MediaError::UnsupportedCodec(name.to_owned()));
    }
    packets.position = first as u64;
    let mut walk = Walk::new(pid, &streams);
    packets.walk(|packet, offset| walk.take(packet, offset, stride as u64).map(|()| true))?;
    let index = walk.finish()?;
    let packing = Packing::TransportStream { pid, stride };
    describe(index, packing, Facts { other_streams: videos.len() > 1, ..Facts::default() })
}

const H264: u8 = 0x1B;

/// Names of codecs by the kinds of streams (H.222.0, table 2-34).
fn video_codec(kind: u8) -> Option<&'static str> {
    match kind {
        0x01 => Some("MPEG-1"),
        0x02 => Some("MPEG-2"),
        0x10 => Some("MPEG-4 Visual"),
        H264 => Some("H.264"),
        0x24 => Some("H.265 (HEVC)"),
        0x33 => Some("H.266 (VVC)"),
        0xEA => Some("VC-1"),
        _ => None,
    }
}

fn describe(index: Index, packing: Packing, facts: Facts) -> Result<Video, MediaError> {
    let Some(parameters) = index.parameters else { return Err(MediaError::NoFrames) };
    let origin = index.earliest.unwrap_or(0);
    let samples: Vec<Sample> = index.samples.iter().map(|(sample, _)| *sample).collect();
    let shown: Vec<Shown> = index
        .samples
        .iter()
        .enumerate()
        .map(|(sample, (_, ticks))| Shown { time_s: (ticks - origin) as f64 / CLOCK, sample })
        .collect();
    let fps = mean_rate(&shown);
    let (width, height) = square_pixels(parameters.width, parameters.height, parameters.aspect.unwrap_or(1.0));
    let span_s = fps.map(|fps| shown.len() as f64 / fps);
    Ok(Video {
        codec: codec(&parameters, &samples),
        colours: Some(parameters.colours),
        coded_width: parameters.width,
        coded_height: parameters.height,
        width,
        height,
        fps,
        duration_s: span_s,
        samples,
        shown,
        packing,
        facts: Facts { interlaced: parameters.interlaced, ..facts },
        ..Video::default()
    })
}

/// H.264, of which browsers have to be told where they can begin.
fn codec(parameters: &SequenceParameters, samples: &[Sample]) -> Codec {
    match samples.iter().any(|sample| sample.key) {
        true => Codec::h264(parameters.profile),
        false => Codec::unknown("H.264 without a picture to begin with"),
    }
}

/// Reads packets one after the other.
struct Packets<'a, R> {
    reader: &'a mut R,
    position: u64,
    size: u64,
    stride: usize,
}

impl<R: Read + Seek> Packets<'_, R> {
    /// Hands packets and where they begin to `take`, until that gives `false` or there are no more.
    fn walk(&mut self, mut take: impl FnMut(&Packet<'_>, u64) -> Result<bool, MediaError>) -> Result<(), MediaError> {
        let mut block = vec![0; BLOCK * self.stride];
        while self.position + PACKET as u64 <= self.size {
            let length = (self.size - self.position).min(block.len() as u64) as usize;
            self.reader.seek(SeekFrom::Start(self.position))?;
            self.reader.read_exact(&mut block[..length])?;
            let mut read = 0;
            while let Some(bytes) = block[..length].get(read..read + PACKET) {
                let packet = Packet::read(bytes).ok_or_else(|| {
                    let offset = self.position + read as u64;
                    MediaError::Damaged(format!("no packet begins where one should, at byte {offset}"))
                })?;
                if !take(&packet, self.position + read as u64)? {
                    return Ok(());
                }
                read += self.stride;
            }
            // What is left of a packet at the end of the file is nothing.
            self.position += read.max(self.stride) as u64;
        }
        Ok(())
    }
}

/// One packet (H.222.0, 2.4.3.2).
struct Packet<'a> {
    pid: u16,
    /// Whether it could not be received without errors.
    erroneous: bool,
    /// Whether something begins with its payload.
    begins: bool,
    /// Counts packets with a payload, modulo 16.
    counter: u8,
    /// Whether counts and clocks are not continued here.
    discontinuous: bool,
    payload: &'a [u8],
}

impl<'a> Packet<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let [SYNC, high, low, flags, rest @ ..] = bytes else { return None };
        let has_field = flags & 0x20 != 0;
        let field = if has_field { 1 + usize::from(*rest.first()?) } else { 0 };
        let discontinuous = field > 1 && rest.get(1).is_some_and(|flags| flags & 0x80 != 0);
        let payload = if flags & 0x10 != 0 { rest.get(field..).unwrap_or_default() } else { &[] };
        Some(Self {
            pid: u16::from_be_bytes([high & 0x1F, *low]),
            erroneous: high & 0x80 != 0,
            begins: high & 0x40 != 0,
            counter: flags & 0x0F,
            discontinuous,
            payload,
        })
    }
}

/// A stream that the tables name.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stream {
    pid: u16,
    kind: u8,
}

/// The tables that name the streams (H.222.0, 2.4.4): first which programs there are, then what the first one holds.
#[derive(Default)]
struct Tables {
    /// Parts of tables that have not come whole yet, by their packets' identifier.
    parts: BTreeMap<u16, Vec<u8>>,
    /// Where the first program's table comes.
    program: Option<u16>,
    streams: Option<Vec<Stream>>,
}

impl Tables {
    const PROGRAMS: u16 = 0;

    fn take(&mut self, packet: &Packet<'_>) {
        if packet.pid != Self::PROGRAMS && Some(packet.pid) != self.program {
            return;
        }
        let part = self.parts.entry(packet.pid).or_default();
        if packet.begins {
            part.clear();
            let pointer = packet.payload.first().map_or(0, |pointer| usize::from(*pointer) + 1);
            part.extend(packet.payload.get(pointer..).unwrap_or_default());
        } else if !part.is_empty() {
            part.extend(packet.payload);
        }
        let Some(section) = whole_section(part) else { return };
        if packet.pid == Self::PROGRAMS {
            self.program = first_program(section);
        } else {
            self.streams = streams(section);
        }
    }
}

/// A section without its checksum, if all of it is there.
fn whole_section(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes([bytes.get(1)? & 0x0F, *bytes.get(2)?]));
    bytes.get(..3 + length)?.get(..(3 + length).checked_sub(4)?)
}

/// Where the table of the first program comes, by the program association section.
fn first_program(section: &[u8]) -> Option<u16> {
    let programs = section.get(8..)?.as_chunks::<4>().0;
    // Program 0 is the table of networks.
    let program = programs.iter().find(|[high, low, ..]| (*high, *low) != (0, 0))?;
    Some(u16::from_be_bytes([program[2] & 0x1F, program[3]]))
}

/// The streams of a program map section.
fn streams(section: &[u8]) -> Option<Vec<Stream>> {
    if *section.first()? != 2 {
        return None;
    }
    let length = |bytes: &[u8]| Some(usize::from(u16::from_be_bytes([bytes.first()? & 0x0F, *bytes.get(1)?])));
    let mut rest = section.get(12 + length(section.get(10..)?)?..)?;
    let mut streams = Vec::new();
    while let [kind, high, low, after @ ..] = rest {
        streams.push(Stream { pid: u16::from_be_bytes([high & 0x1F, *low]), kind: *kind });
        rest = after.get(2 + length(after)?..).unwrap_or_default();
    }
    Some(streams)
}

/// What the walk found.
#[derive(Default)]
struct Index {
    /// Each frame, with its time in ticks.
    samples: Vec<(Sample, i64)>,
    parameters: Option<SequenceParameters>,
    /// The earliest time of any stream.
    earliest: Option<i64>,
}

/// The frame that is being read.
struct Current {
    sample: Sample,
    ticks: i64,
    head: Vec<u8>,
    /// Whether packets of it may be missing.
    incomplete: bool,
}

/// A walk over the packets of all streams.
struct Walk {
    pid: u16,
    /// Identifiers of all streams.
    streams: Vec<u16>,
    current: Option<Current>,
    /// The frame's number and field, where the last sample is of one field alone.
    lone_field: Option<(u32, Field)>,
    /// The counter of the last packet with a payload.
    counter: Option<u8>,
    /// Whether packets of the last sample may be missing.
    incomplete: bool,
    /// Whether packets are missing where others need them.
    damaged: bool,
    /// The last time stamp, which tells how often the clock has begun anew.
    last_ticks: Option<i64>,
    index: Index,
}

impl Walk {
    fn new(pid: u16, streams: &[Stream]) -> Self {
        Self {
            pid,
            streams: streams.iter().map(|stream| stream.pid).collect(),
            current: None,
            lone_field: None,
            counter: None,
            incomplete: false,
            damaged: false,
            last_ticks: None,
            index: Index::default(),
        }
    }

    fn take(&mut self, packet: &Packet<'_>, offset: u64, stride: u64) -> Result<(), MediaError> {
        let is_video = packet.pid == self.pid;
        let is_of_interest = is_video || (packet.begins && self.streams.contains(&packet.pid));
        if !is_of_interest {
            return Ok(());
        }
        if is_video && !packet.payload.is_empty() && self.follows_gap(packet) {
            self.current.iter_mut().for_each(|current| current.incomplete = true);
        }
        let time = if packet.begins { elementary(packet.payload).and_then(|header| header.ticks) } else { None };
        let time = time.map(|ticks| self.continued(ticks));
        self.index.earliest = self.index.earliest.into_iter().chain(time).min();
        if !is_video {
            return Ok(());
        }
        if let Some(ticks) = time {
            self.end_sample();
            let sample = Sample { offset, size: 0, key: false, timestamp_us: 0 };
            self.current = Some(Current { sample, ticks, head: Vec::new(), incomplete: packet.erroneous });
        }
        if let Some(current) = &mut self.current {
            let end = offset + stride - current.sample.offset;
            current.sample.size =
                u32::try_from(end).map_err(|_| MediaError::Damaged("a frame of over 4 GB".to_owned()))?;
            let room = HEAD - current.head.len();
            let payload = own_payload(packet);
            current.head.extend(&payload[..payload.len().min(room)]);
        }
        Ok(())
    }

    /// Whether packets are missing before this one, or it could not be received itself.
    fn follows_gap(&mut self, packet: &Packet<'_>) -> bool {
        let expected = self.counter.map(|counter| (counter + 1) % 16);
        // A packet may come twice.
        let follows =
            expected.is_none_or(|expected| packet.counter == expected || Some(packet.counter) == self.counter);
        self.counter = Some(packet.counter);
        packet.erroneous || !follows && !packet.discontinuous
    }

    /// A time stamp with the bits that it lacks: the one nearest to the last.
    fn continued(&mut self, ticks: i64) -> i64 {
        let period = 1i64 << CLOCK_BITS;
        let last = self.last_ticks.unwrap_or(ticks);
        let ticks = ticks + (last - ticks + period / 2).div_euclid(period) * period;
        self.last_ticks = Some(ticks);
        ticks
    }

    fn end_sample(&mut self) {
        let Some(Current { mut sample, ticks, head, incomplete }) = self.current.take() else { return };
        let start = h264::start_of_access_unit(&head, self.index.parameters.as_ref());
        if self.index.parameters.is_none() {
            self.index.parameters = start.parameters;
        }
        let second =
            start.field.zip(self.lone_field).is_some_and(|(second, first)| second.0 == first.0 && second.1 != first.1);
        if second && let Some((first, _)) = self.index.samples.last_mut() {
            first.size = (sample.offset + u64::from(sample.size) - first.offset).try_into().unwrap_or(u32::MAX);
            self.lone_field = None;
            return;
        }
        self.lone_field = start.field;
        sample.key = start.key;
        self.judge_gap(sample.key);
        self.incomplete = incomplete;
        sample.timestamp_us = ticks * 100 / 9;
        self.index.samples.push((sample, ticks));
    }

    /// Judges a last sample that may be incomplete by whether a key frame follows. Where one does, streams were put one after the
    /// other: nothing refers to that sample, and it is left out. Before the first key frame none is decoded.
    fn judge_gap(&mut self, key_follows: bool) {
        match (self.incomplete, key_follows) {
            (false, _) => {}
            (true, true) => drop(self.index.samples.pop()),
            (true, false) => self.damaged |= self.index.samples.iter().any(|(sample, _)| sample.key),
        }
    }

    fn finish(mut self) -> Result<Index, MediaError> {
        self.end_sample();
        self.judge_gap(false);
        // Recordings end with the power, within a frame, and no length says that there was more of it.
        if self.index.samples.len() > 1 {
            self.index.samples.pop();
        }
        match self.damaged {
            true => Err(MediaError::Damaged("packets of it are missing or broken".to_owned())),
            false => Ok(self.index),
        }
    }
}

/// The header of what begins in a packet of a stream (H.222.0, 2.4.3.6).
struct Elementary {
    /// When it is presented.
    ticks: Option<i64>,
    length: usize,
}

fn elementary(payload: &[u8]) -> Option<Elementary> {
    let [0, 0, 1, _, _, _, _, flags, length, rest @ ..] = payload else { return None };
    let length = usize::from(*length);
    let ticks = match rest.get(..length)? {
        [a, b, c, d, e, ..] if flags & 0x80 != 0 => {
            let bits = |byte: &u8, drop: u32| i64::from(byte >> drop);
            Some(((bits(a, 1) % 8) << 30) | (bits(b, 0) << 22) | (bits(c, 1) << 15) | (bits(d, 0) << 7) | bits(e, 1))
        }
        _ => None,
    };
    Some(Elementary { ticks, length: 9 + length })
}

/// What of a packet belongs to the frame: all of it but the header that may begin it.
fn own_payload<'a>(packet: &Packet<'a>) -> &'a [u8] {
    let header = if packet.begins { elementary(packet.payload).map_or(0, |header| header.length) } else { 0 };
    packet.payload.get(header..).unwrap_or_default()
}

/// What belongs to the stream `pid` in packets that follow each other by `stride` bytes.
pub(super) fn unpack(packets: &[u8], pid: u16, stride: usize) -> Vec<u8> {
    let packets = packets.chunks(stride).filter_map(|bytes| Packet::read(bytes.get(..PACKET)?));
    packets.filter(|packet| packet.pid == pid).flat_map(|packet| own_payload(&packet)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_found_at_each_distance_and_behind_a_part_of_one() {
        for (stride, first) in [(188, 0), (188, 77), (192, 4), (192, 50), (204, 0)] {
            let mut bytes = vec![0; 5 * stride];
            bytes[first..].iter_mut().step_by(stride).for_each(|byte| *byte = SYNC);
            assert_eq!(packets(&bytes), Some((first, stride)));
        }
        assert_eq!(packets(&[0; 2000]), None);
        assert_eq!(packets(b"GET"), None);
    }

    #[test]
    fn times_go_on_where_the_clock_begins_anew() {
        let mut walk = Walk::new(1, &[]);
        let end = (1 << CLOCK_BITS) - 10;
        assert_eq!([end, 20, 5, end - 5].map(|ticks| walk.continued(ticks) - end), [0, 30, 15, -5]);
    }

    #[test]
    fn a_packet_that_is_missing_leaves_a_gap() {
        let packet = |counter, discontinuous| Packet {
            pid: 1,
            erroneous: false,
            begins: false,
            counter,
            discontinuous,
            payload: &[0],
        };
        let has_gap = |counters: &[u8], discontinuous| {
            let mut walk = Walk::new(1, &[]);
            counters.iter().any(|counter| walk.follows_gap(&packet(*counter, discontinuous)))
        };
        assert!(!has_gap(&[14, 15, 0, 0, 1], false));
        assert!(has_gap(&[14, 0], false));
        assert!(!has_gap(&[14, 3], true));
    }
}
