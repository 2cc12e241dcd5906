//! The frames of a video as its container lists them: the whole file is read once, and nothing decoded.
//!
//! From the list come the exact number of frames, their times, where decoding can begin, and the first signs of damage.

use std::collections::HashMap;
use std::path::Path;
use std::process::Output;
use std::str::FromStr;

use serde::Deserialize;
use unmask_core::pipeline::clock::{USUAL_RATE, even_step, gaps, runs};

use super::ending;
use super::error::MediaError;
use super::messages::{Judge, words};
use super::probe::VideoInfo;
use super::programs::Programs;

/// A packet as ffprobe gives it, in the order of decoding.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Packet {
    presentation_s: Option<f64>,
    /// The decoding time in ticks of the stream's clock, by which messages name a packet.
    decoding_ticks: Option<i64>,
    decoding_s: Option<f64>,
    duration_s: Option<f64>,
    /// Where its bytes begin in the file.
    start: Option<u64>,
    /// Where they end.
    end: Option<u64>,
    key: bool,
    /// Whether an edit list has it decoded but not displayed.
    hidden: bool,
    /// Whether its end may be missing and nothing refers to it: streams were joined right after it, or it is the last of one
    /// that may end anywhere.
    open_end: bool,
}

/// What the times of a list's frames are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// Presentation times.
    Presentation,
    /// Decoding times, later than those of display by the frames that the decoder reorders.
    Decoding,
    /// Nothing to go by: missing, equal, running backwards or jumping. Times are made up from the frames' numbers.
    Wrong {
        /// Whether the container has times, which cannot be right.
        stated: bool,
    },
}

/// A frame that can be displayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Listed {
    /// The time stamp in seconds.
    pub(super) time_s: f64,
    /// The time stamp of the frame displayed before it, in seconds.
    pub(super) after_s: f64,
    /// Its place in the order of decoding.
    pub(super) place: usize,
    /// The place of the last key frame from which it can be decoded.
    pub(super) key_place: usize,
    /// That key frame's time stamp in seconds.
    pub(super) key_time_s: f64,
}

/// All frames of a stream that can be displayed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listing {
    /// The frames in the order of display.
    pub(super) frames: Vec<Listed>,
    /// What their times are.
    pub(super) clock: Clock,
    /// Seconds from a frame to the next, on average.
    pub(super) step_s: f64,
    /// Seconds from a frame to the next where none is missing.
    pub(super) usual_step_s: f64,
    /// From the first frame's beginning to the last one's end, in seconds.
    pub(super) duration_s: f64,
    /// Whether decoding starts at a key frame; where not, errors before the first frame are no damage.
    pub(super) starts_clean: bool,
    /// Whether it begins with frames that are not listed, since they refer to what came before.
    pub(super) is_cut: bool,
    /// Messages, in ffmpeg's words, that are no damage: a program joined streams there.
    pub(super) joints: Vec<String>,
    /// The byte to read up to, where the last frame is not to be seen.
    pub(super) until: Option<u64>,
    /// The first sign of damage that reading gave.
    pub(super) damage: Option<String>,
}

impl Listing {
    /// The time stamp, in seconds, that times of frames count from: `origin_s`, where the file starts, or the first
    /// frame where what comes before it cannot be seen.
    pub(super) fn zero_s(&self, origin_s: f64) -> f64 {
        self.frames.first().filter(|_| self.is_cut).map_or(origin_s, |first| first.time_s)
    }

    /// Takes the frames before `first_s`, a time stamp in seconds, off the list: they cannot be decoded. Says whether
    /// there were any.
    pub(super) fn begin_at(&mut self, first_s: f64) -> bool {
        let after = self.frames.iter().position(|frame| frame.time_s > first_s - self.usual_step_s / 2.0);
        let Some(first) = after.filter(|first| *first > 0 && self.clock == Clock::Presentation) else {
            return false;
        };
        self.duration_s -= self.frames[first].time_s - self.frames[0].time_s;
        self.frames.drain(..first);
        self.is_cut = true;
        true
    }
}

/// What of each packet ffprobe is asked for, in the order in which it gives them.
pub(super) const ENTRIES: &str = "packet=pts_time,dts,dts_time,duration_time,size,pos,flags";

/// Those, a string where ffprobe writes one; none where it knows nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    pts_time: Option<String>,
    dts: Option<i64>,
    dts_time: Option<String>,
    duration_time: Option<String>,
    size: Option<String>,
    pos: Option<String>,
    flags: String,
}

/// What reading the whole file gave.
#[derive(Debug)]
pub(super) struct Reading {
    packets: Vec<Packet>,
    /// What ffprobe said meanwhile, of errors and warnings.
    said: String,
    succeeded: bool,
}

impl Reading {
    /// What a call of ffprobe that listed `packets` gave.
    pub(super) fn new(packets: impl Iterator<Item = Entry>, output: &Output) -> Self {
        Self {
            packets: packets.map(Packet::from).collect(),
            said: String::from_utf8_lossy(&output.stderr).into_owned(),
            succeeded: output.status.success(),
        }
    }
}

/// Reads the packets of the stream.
pub(super) fn read(programs: &Programs, path: &Path, info: &VideoInfo) -> Result<Reading, MediaError> {
    let stream = info.stream.to_string();
    let format = "compact=print_section=0:nokey=1";
    let arguments = ["-loglevel", "level+warning", "-select_streams", &stream, "-show_entries", ENTRIES, "-of", format];
    let output = programs.ffprobe(path, info.demuxer, &arguments)?;
    Ok(Reading::new(String::from_utf8_lossy(&output.stdout).lines().filter_map(entry), &output))
}

/// Lists the frames of the stream.
pub(super) fn list(path: &Path, info: &VideoInfo, reading: Reading) -> Result<Listing, MediaError> {
    let Reading { mut packets, said, succeeded } = reading;
    let failed = || {
        let last = said.lines().last().map_or_else(|| "reading it failed".to_owned(), words);
        (!succeeded).then_some(last)
    };
    let joints = find_joints(&mut packets, info.stream, &said);
    let until = if info.container == "mpegts" { leave_last_out(&mut packets) } else { None };
    // ffprobe decodes the start: what its decoder cannot make of frames before the first key frame is no damage.
    let judge = Judge::of(&info.codec);
    let starts_clean = packets.first().is_some_and(|packet| packet.key);
    let harmless = |line: &str| {
        !starts_clean && judge.is_of_decoder(line)
            || joints.contains(&words(line))
            || is_of_another_stream(&words(line), info.stream)
    };
    let damage = said.lines().filter(|line| !harmless(line)).find_map(|line| judge.damage(line)).or_else(failed);
    let last_end = packets.iter().filter_map(|packet| packet.end).max();
    let damage = damage.or_else(|| ending::cut_off(path, &info.container, last_end));
    match arrange(packets, info.fps, joints, damage) {
        Some(listing) => Ok(Listing { until, ..listing }),
        None => Err(MediaError::NoFrames { path: path.to_owned() }),
    }
}

/// Whether it is a packet of sound, or of another video, that is called corrupt.
fn is_of_another_stream(message: &str, stream: usize) -> bool {
    let named = message.strip_prefix("Packet corrupt (stream = ").and_then(|rest| rest.split_once(','));
    named.is_some_and(|(number, _)| number.trim().parse::<usize>().is_ok_and(|number| number != stream))
}

/// Marks packets that are called corrupt and followed by a key frame, or come before the first, and gives the
/// messages: where transport streams are put one after the other, as players and people do with downloaded pieces,
/// the counter in their packets jumps, and what came last is taken for incomplete.
fn find_joints(packets: &mut [Packet], stream: usize, said: &str) -> Vec<String> {
    let named = |message: &str| {
        let ticks = message.strip_prefix("Packet corrupt (stream = ")?.strip_prefix(&stream.to_string())?;
        ticks.strip_prefix(", dts = ")?.split(')').next()?.parse::<i64>().ok()
    };
    let corrupt: HashMap<i64, String> =
        said.lines().map(words).filter_map(|message| Some((named(&message)?, message))).collect();
    let mut joints = Vec::new();
    let first_key = packets.iter().position(|packet| packet.key).unwrap_or(0);
    for place in 1..packets.len() {
        let nothing_refers = packets[place].key || place <= first_key;
        let packet = &mut packets[place - 1];
        let message = packet.decoding_ticks.filter(|_| nothing_refers).and_then(|ticks| corrupt.get(&ticks));
        if let Some(message) = message {
            packet.open_end = true;
            joints.push(message.clone());
        }
    }
    joints
}

/// Marks the last packet, and gives where it begins: recordings of transport streams end with the power, within a frame,
/// and no length says that there was more of it. Of packets that begin at one place all are the last.
fn leave_last_out(packets: &mut [Packet]) -> Option<u64> {
    let start = packets.last()?.start?;
    let first = packets.iter().position(|packet| packet.start.is_some_and(|other| other >= start))?;
    // The only frame is better than none.
    if packets[..first].iter().all(|packet| packet.hidden) {
        return None;
    }
    packets[first..].iter_mut().for_each(|packet| packet.open_end = true);
    Some(start)
}

/// A line of ffprobe's: the entries in their order.
fn entry(line: &str) -> Option<Entry> {
    let mut fields = line.split('|').map(str::to_owned);
    Some(Entry {
        pts_time: fields.next(),
        dts: fields.next()?.parse().ok(),
        dts_time: fields.next(),
        duration_time: fields.next(),
        size: fields.next(),
        pos: fields.next(),
        flags: fields.next()?,
    })
}

impl From<Entry> for Packet {
    fn from(entry: Entry) -> Self {
        fn number<T: FromStr>(text: Option<String>) -> Option<T> {
            text?.parse().ok()
        }
        let (size, start) = (number::<u64>(entry.size), number::<u64>(entry.pos));
        Self {
            presentation_s: number(entry.pts_time),
            decoding_ticks: entry.dts,
            decoding_s: number(entry.dts_time),
            duration_s: number(entry.duration_time),
            start,
            end: start.zip(size).map(|(start, size)| start.saturating_add(size)),
            key: entry.flags.contains('K'),
            hidden: entry.flags.contains('D'),
            open_end: false,
        }
    }
}

/// Puts packets into the order of display; none where nothing can be displayed.
fn arrange(packets: Vec<Packet>, fps: Option<f64>, joints: Vec<String>, damage: Option<String>) -> Option<Listing> {
    let starts_clean = packets.first().is_some_and(|packet| packet.key);
    // Streams without a single key frame refresh their picture bit by bit: they are decoded from the start.
    let first_key = packets.iter().position(|packet| packet.key).unwrap_or(0);
    let decoded = &packets[first_key.min(packets.len())..];
    let clock = clock(decoded);
    let nominal_s = match clock {
        // A rate that is stated may have been made of the same times.
        Clock::Wrong { .. } => {
            let time = |packet: &Packet| packet.presentation_s.or(packet.decoding_s);
            even_step(&decoded.iter().filter_map(time).collect::<Vec<f64>>(), fps)
        }
        Clock::Presentation | Clock::Decoding => 1.0 / fps.unwrap_or(USUAL_RATE),
    };
    let mut frames = match clock {
        Clock::Presentation => by_time(&packets, first_key, |packet| packet.presentation_s),
        Clock::Decoding => by_time(&packets, first_key, |packet| packet.decoding_s),
        Clock::Wrong { .. } => by_number(&packets, first_key, nominal_s),
    };
    frames.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
    let mut after_s = frames.first()?.time_s - nominal_s;
    for frame in &mut frames {
        frame.after_s = std::mem::replace(&mut after_s, frame.time_s);
    }
    frames.retain(|frame| !packets[frame.place].open_end);
    let (first, last) = (frames.first()?, frames.last()?);
    let (span_s, steps) = (last.time_s - first.time_s, (frames.len() - 1) as f64);
    // What an AVI states as its rate may be twice that of its frames, each of which an empty packet follows.
    let is_timed = span_s > 0.0 && !matches!(clock, Clock::Wrong { .. });
    let step_s = if is_timed { span_s / steps } else { nominal_s };
    let usual_step_s = if is_timed { usual_step(&frames).unwrap_or(step_s) } else { nominal_s };
    let time = |packet: &Packet| if clock == Clock::Decoding { packet.decoding_s } else { packet.presentation_s };
    let is_earlier = |packet: &Packet| !packet.hidden && time(packet).is_some_and(|time_s| time_s < first.time_s);
    let is_cut = packets.iter().any(is_earlier);
    let lasts_s = packets.last().and_then(|packet| packet.duration_s).filter(|duration| (0.0..1.0).contains(duration));
    let lasts_s = lasts_s.filter(|duration| *duration > 0.0 && clock != Clock::Decoding).unwrap_or(usual_step_s);
    let duration_s = span_s + lasts_s;
    let until = None;
    Some(Listing { frames, clock, step_s, usual_step_s, duration_s, starts_clean, is_cut, joints, until, damage })
}

/// The median of the times from a frame to the next.
fn usual_step(frames: &[Listed]) -> Option<f64> {
    let steps = gaps(&frames.iter().map(|frame| frame.time_s).collect::<Vec<f64>>());
    steps.get(steps.len() / 2).copied()
}

/// Frames with the times that `time` gives, without those that a start amid a group of pictures leaves unknown: what
/// comes before the first key frame, and what is displayed before it.
fn by_time(packets: &[Packet], first_key: usize, time: impl Fn(&Packet) -> Option<f64>) -> Vec<Listed> {
    let mut frames: Vec<Listed> = Vec::new();
    let mut keys: Vec<(usize, f64)> = Vec::new();
    for (place, packet) in packets.iter().enumerate().skip(first_key) {
        let Some(time_s) = time(packet) else { continue };
        if packet.key || keys.is_empty() {
            keys.push((place, time_s));
        }
        // A frame displayed before the last key frame may refer to frames before it, and needs the one before.
        let usable = keys.iter().rev().find(|(_, key_time_s)| *key_time_s <= time_s);
        if let Some(&(key_place, key_time_s)) = usable.filter(|_| !packet.hidden) {
            frames.push(Listed { time_s, after_s: time_s, place, key_place, key_time_s });
        }
    }
    frames
}

/// Frames at even times, in the order of decoding: all that is known is how many there are.
fn by_number(packets: &[Packet], first_key: usize, step_s: f64) -> Vec<Listed> {
    let shown = packets.iter().enumerate().skip(first_key).filter(|(_, packet)| !packet.hidden);
    let start_s = packets.get(first_key).and_then(|packet| packet.presentation_s).unwrap_or(0.0);
    let listed = |(number, (place, _)): (usize, (usize, &Packet))| Listed {
        time_s: start_s + number as f64 * step_s,
        after_s: start_s,
        place,
        key_place: first_key,
        key_time_s: start_s,
    };
    shown.enumerate().map(listed).collect()
}

/// Which times of the packets can be believed.
fn clock(packets: &[Packet]) -> Clock {
    let presentation: Vec<f64> = packets.iter().filter_map(|packet| packet.presentation_s).collect();
    let decoding: Vec<f64> = packets.iter().filter_map(|packet| packet.decoding_s).collect();
    // A few without one, as at the start of a program stream that was cut, are not missed.
    if !presentation.is_empty() && presentation.len() * 10 >= packets.len() * 9 {
        return if runs(&presentation) { Clock::Presentation } else { Clock::Wrong { stated: true } };
    }
    match decoding.len() == packets.len() {
        true if runs(&decoding) => Clock::Decoding,
        stated => Clock::Wrong { stated },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets with the given presentation times and key frames, 40 ms each.
    fn listing(times: &[(f64, bool)]) -> Option<Listing> {
        let packet = |(time_s, key): &(f64, bool)| Packet {
            presentation_s: Some(*time_s),
            decoding_ticks: Some((*time_s * 90_000.0) as i64),
            decoding_s: Some(*time_s),
            duration_s: Some(0.04),
            start: None,
            end: None,
            key: *key,
            hidden: false,
            open_end: false,
        };
        arrange(times.iter().map(packet).collect(), Some(25.0), Vec::new(), None)
    }

    fn places(listing: &Listing) -> Vec<(usize, usize)> {
        listing.frames.iter().map(|frame| (frame.place, frame.key_place)).collect()
    }

    #[test]
    fn a_corrupt_packet_of_another_stream_says_nothing_of_the_video() {
        let message = "Packet corrupt (stream = 1, dts = 8234)";
        assert!(is_of_another_stream(message, 0) && !is_of_another_stream(message, 1));
        assert!(!is_of_another_stream("corrupt decoded frame in stream 1", 0));
    }

    #[test]
    fn frames_before_the_first_key_frame_and_those_that_refer_to_them_are_left_out() {
        let open = listing(&[(0.0, false), (0.04, false), (0.16, true), (0.08, false), (0.12, false), (0.2, false)]);
        let open = open.unwrap();
        assert_eq!(places(&open), [(2, 2), (5, 2)]);
        assert!(!open.starts_clean);
        assert_eq!(open.zero_s(0.0), 0.16, "times count from the first frame that is seen");
        assert!((open.duration_s - 0.08).abs() < 1e-9);
    }

    #[test]
    fn a_frame_shown_before_a_key_frame_is_decoded_from_the_one_before() {
        let frames = listing(&[(0.0, true), (0.04, false), (0.12, true), (0.08, false)]).unwrap();
        assert_eq!(places(&frames), [(0, 0), (1, 0), (3, 0), (2, 2)]);
        assert_eq!(frames.zero_s(-1.0), -1.0, "times count from the start of a file that is whole");
    }

    #[test]
    fn clocks_that_stand_still_run_back_or_jump_are_not_believed() {
        let clock = |times: &[f64]| {
            let keyed: Vec<_> = times.iter().enumerate().map(|(n, time)| (*time, n == 0)).collect();
            let listing = listing(&keyed).unwrap();
            assert_eq!(listing.frames.len(), times.len());
            listing.clock
        };
        let even: Vec<f64> = (0..50).map(|n| f64::from(n) * 0.04).collect();
        let shifted = |by: f64| -> Vec<f64> {
            even.iter().enumerate().map(|(n, time)| time + if n < 25 { 0.0 } else { by }).collect()
        };
        let (ahead, back, paused) = (shifted(95_443.7), shifted(-5.0), shifted(15.0));
        assert_eq!(clock(&even), Clock::Presentation);
        assert_eq!(clock(&paused), Clock::Presentation);
        let ticking: Vec<f64> = (0..50).map(|n| f64::from(n) / 90_000.0).collect();
        for wrong in [&ahead, &back, &vec![7.0; 50], &ticking] {
            assert_eq!(clock(wrong), Clock::Wrong { stated: true });
        }
    }

    #[test]
    fn lines_of_ffprobe_become_packets() {
        let packet = |line| entry(line).map(Packet::from);
        let read = packet("1.234000|N/A|N/A|0.040000|7|48|K_").unwrap();
        assert_eq!((read.presentation_s, read.decoding_s, read.key, read.hidden), (Some(1.234), None, true, false));
        assert_eq!(read.end, Some(55));
        assert!(packet("1.2|108000|1.2|0.04|7|N/A|_D").unwrap().hidden);
        assert_eq!(packet("1.2|108000|1.2|0.04|7|N/A|_D").unwrap().decoding_ticks, Some(108_000));
        assert!(packet("").is_none());
    }
}
