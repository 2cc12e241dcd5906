//! What ffmpeg writes on standard error at `-loglevel level+info`: the times of frames, and signs of damage.

use std::io::{BufRead, BufReader, Read};

/// The name of the `showinfo` filter that sees frames before they are scaled.
pub(super) const BEFORE: &str = "before";

/// One message that matters.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    /// A frame left the `showinfo` filter.
    Frame(Announcement),
    /// A sign that the file is damaged, in ffmpeg's words.
    Damage(String),
    /// Any other error.
    Error(String),
}

/// What is said of a frame before its pixels come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Announcement {
    /// Presentation time in the stream's own seconds, where it has one.
    pub(super) stamp_s: Option<f64>,
    /// Width in pixels.
    pub(super) width: usize,
    /// Height in pixels.
    pub(super) height: usize,
    /// Width and height in pixels before it was scaled.
    pub(super) coded: Option<(usize, usize)>,
    /// Whether the decoder calls it two fields.
    pub(super) interlaced: bool,
}

/// Words by which demuxers and decoders of ffmpeg 4 to 8 report data that is broken or missing.
///
/// Errors not listed come from healthy files too: `mmco: unref short failure`, `co located POCs unavailable` and
/// `Could not find ref` after a seek into an open group of pictures, unknown metadata, odd time stamps.
const DAMAGE_SIGNS: [&str; 23] = [
    "corrupt decoded frame",
    "Packet corrupt",
    "partial file",
    "File ended prematurely",
    "Error while decoding stream",
    "error while decoding MB",
    "Error submitting packet to decoder",
    "Error submitting a packet",
    "Decoding error",
    "Invalid NAL unit size",
    "missing picture in access unit",
    "decode_slice_header error",
    "concealing",
    "Error during demuxing",
    "Error splitting the input into NAL units",
    "invalid TU size",
    "ac-tex damaged",
    "Truncating packet",
    // Matroska and WebM.
    "invalid as first byte of an EBML number",
    "exceeds containing master element",
    "exceeds max length",
    "Invalid length 0x",
    "Invalid EBML",
];

/// Reads messages line by line; remembers the time base that `showinfo` announces.
#[derive(Debug, Default)]
pub(super) struct Parser {
    time_base_s: Option<f64>,
    coded: Option<(usize, usize)>,
}

impl Parser {
    /// The message in `line`, or none where it says nothing that matters.
    pub(super) fn read(&mut self, line: &str) -> Option<Message> {
        if line.contains("showinfo") {
            return self.read_showinfo(line);
        }
        damage_sign(line).map(Message::Damage).or_else(|| {
            let fatal = line.contains("[error]") || line.contains("[fatal]") || line.contains("[panic]");
            fatal.then(|| Message::Error(words(line)))
        })
    }

    fn read_showinfo(&mut self, line: &str) -> Option<Message> {
        if line.contains(BEFORE) {
            let (_, size) = line.split_once(" s:")?;
            let (width, height) = size.split_whitespace().next()?.split_once('x')?;
            self.coded = width.parse().ok().zip(height.parse().ok());
            return None;
        }
        if let Some((_, rest)) = line.split_once("config in time_base:") {
            self.time_base_s = rest.split(',').next().and_then(|text| ratio(text.trim()));
            return None;
        }
        let (_, rest) = line.split_once("] n:")?;
        let value = |name: &str| rest.split_once(name)?.1.split_whitespace().next();
        let ticks = value(" pts:")?.parse::<f64>().ok();
        let (width, height) = value(" s:")?.split_once('x')?;
        Some(Message::Frame(Announcement {
            stamp_s: ticks.zip(self.time_base_s).map(|(ticks, base)| ticks * base),
            width: width.parse().ok()?,
            height: height.parse().ok()?,
            coded: self.coded.take(),
            interlaced: matches!(value(" i:"), Some("T" | "B")),
        }))
    }
}

/// The sign of damage in `line`, if it is one.
pub(super) fn damage_sign(line: &str) -> Option<String> {
    DAMAGE_SIGNS.iter().any(|sign| line.contains(sign)).then(|| words(line))
}

/// A line without the `[part @ address]` and `[level]` marks before its words.
pub(super) fn words(line: &str) -> String {
    let mut rest = line.trim();
    while let Some((_, after)) = rest.strip_prefix('[').and_then(|inside| inside.split_once("] ")) {
        rest = after.trim_start();
    }
    rest.to_owned()
}

/// The value of `a/b` or `a:b`; none where that is no number.
pub(super) fn ratio(text: &str) -> Option<f64> {
    let (over, under) = text.split_once(['/', ':'])?;
    let value = over.parse::<f64>().ok()? / under.parse::<f64>().ok()?;
    value.is_finite().then_some(value)
}

/// Calls `heard` with each message on `stderr` until it ends: to be run on a thread, so that ffmpeg never waits.
pub(super) fn drain(stderr: impl Read, mut heard: impl FnMut(Message)) {
    let mut parser = Parser::default();
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if let Some(message) = parser.read(&String::from_utf8_lossy(&line)) {
            heard(message);
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_times_come_from_ticks_and_the_time_base() {
        let mut parser = Parser::default();
        assert_eq!(
            parser.read("[Parsed_showinfo_1 @ 0x5] [info] config in time_base: 1/12800, frame_rate: 25/1"),
            None
        );
        let line = "[Parsed_showinfo_1 @ 0x5] [info] n:   1 pts:  42496 pts_time:3.32    pos:   118571 fmt:rgb24 sar:1/1 s:64x48 i:T iskey:0";
        let Some(Message::Frame(frame)) = parser.read(line) else { panic!("no frame in {line}") };
        assert!((frame.stamp_s.unwrap() - 3.32).abs() < 1e-9);
        assert_eq!((frame.width, frame.height, frame.interlaced), (64, 48, true));
        let line = "[Parsed_showinfo_1 @ 0x5] [info] n:   2 pts: NOPTS pts_time:NOPTS pos: 1 fmt:rgb24 sar:1/1 s:2x3 i:P iskey:0";
        let frame = Announcement { stamp_s: None, width: 2, height: 3, coded: None, interlaced: false };
        assert_eq!(parser.read(line), Some(Message::Frame(frame)));
        let before =
            "[showinfo@before @ 0x5] [info] n:   3 pts:  9 pts_time:0.1 pos: 1 fmt:yuv420p sar:1/1 s:20x30 i:P iskey:0";
        assert_eq!(parser.read(before), None);
        assert_eq!(parser.read(line), Some(Message::Frame(Announcement { coded: Some((20, 30)), ..frame })));
    }

    #[test]
    fn damage_is_told_from_what_a_seek_provokes() {
        let mut parser = Parser::default();
        assert_eq!(
            parser.read("[h264 @ 0x5] [error] error while decoding MB 3 4, bytestream -7"),
            Some(Message::Damage("error while decoding MB 3 4, bytestream -7".into()))
        );
        let harmless = parser.read("[h264 @ 0x5] [error] mmco: unref short failure");
        assert_eq!(harmless, Some(Message::Error("mmco: unref short failure".into())));
        assert_eq!(parser.read("[h264 @ 0x5] [info] all well"), None);
    }
}
