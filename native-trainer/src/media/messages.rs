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

/// Words by which demuxers, parsers and ffmpeg itself (4 to 8) report data that is broken or missing. They are named
/// one by one, since these report errors about chapters, tags and other streams, too.
const DAMAGE_SIGNS: [&str; 34] = [
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
    "Failed to parse temporal unit",
    "Invalid sync code",
    // Matroska and WebM.
    "invalid as first byte of an EBML number",
    "exceeds containing master element",
    "exceeds max length",
    "Invalid length 0x",
    "Invalid EBML",
    "Unknown-sized element",
    "Invalid track number",
    // FLV, Ogg, NUT, ASF.
    "Packet mismatch",
    "CRC mismatch",
    "frame size > 2max_distance",
    "packet_replic_size",
    "packet_obj_size",
    "packet_frag_size",
    "ff asf skip",
];

/// Errors of decoders that healthy files give: after a seek into an open group of pictures and at a cut, from encoders
/// that keep too many references, about what lies beside the picture, and where a graphics card is missing.
const HARMLESS: [&str; 11] = [
    "mmco: unref short failure",
    "co located POCs unavailable",
    "Could not find ref",
    "reference picture missing during reorder",
    "Missing reference picture",
    "number of reference frames",
    "illegal short term buffer state",
    "first frame is no keyframe",
    "unable to decode APP fields",
    "hardware accelerated",
    "to get pixel format",
];

/// Decoders of ffmpeg that bear another name than their codec.
const LIBRARIES: [&str; 7] = ["libdav1d", "libaom-av1", "libvpx", "libvpx-vp9", "libjxl", "libopenjpeg", "libuavs3d"];

/// Tells which messages are signs of damage to a video in a certain codec.
///
/// Whatever a decoder of this codec calls an error is one, unless it is known to come from healthy files: what decoders
/// say of broken data has no end.
#[derive(Clone, Debug, Default)]
pub(super) struct Judge {
    codec: String,
}

impl Judge {
    /// For ffmpeg's name of a codec.
    pub(super) fn of(codec: &str) -> Self {
        Self { codec: codec.to_owned() }
    }

    /// The sign of damage in `line`, if it is one.
    pub(super) fn damage(&self, line: &str) -> Option<String> {
        let said = || words(line);
        // Words at other levels may be part of names.
        if !is_error(line) && !line.contains("[warning]") {
            return None;
        }
        if DAMAGE_SIGNS.iter().any(|sign| line.contains(sign)) {
            return Some(said());
        }
        if !is_error(line) {
            return None;
        }
        // ffmpeg names the file where reading it ends with an error.
        let named = Some(said()).filter(|said| said.starts_with("file:") || said.starts_with("subfile,"));
        if let Some((_, reason)) = named.as_deref().and_then(|said| said.rsplit_once(": ")) {
            return Some(format!("reading it ended with: {reason}"));
        }
        let is_damage = self.is_of_decoder(line) && !HARMLESS.iter().any(|words| line.contains(words));
        is_damage.then(said).filter(|said| !said.is_empty())
    }

    /// Whether one of the codec's decoders says it.
    pub(super) fn is_of_decoder(&self, line: &str) -> bool {
        let speaker = |part: &str| part.split_once(" @ ").map(|(name, _)| name.trim_start_matches("dec:").to_owned());
        let mut rest = line.trim();
        while let Some((part, after)) = rest.strip_prefix('[').and_then(|inside| inside.split_once("] ")) {
            // Some decoders serve several versions: `msmpeg4` decodes `msmpeg4v3`, `flv` decodes `flv1`.
            let is_decoder = |name: String| self.codec.starts_with(&name) || LIBRARIES.contains(&name.as_str());
            if speaker(part).filter(|name| !name.is_empty()).is_some_and(is_decoder) {
                return true;
            }
            rest = after.trim_start();
        }
        false
    }
}

fn is_error(line: &str) -> bool {
    ["[error]", "[fatal]", "[panic]"].iter().any(|level| line.contains(level))
}

/// Reads messages line by line; remembers the time base that `showinfo` announces.
#[derive(Debug, Default)]
pub(super) struct Parser {
    judge: Judge,
    time_base_s: Option<f64>,
    coded: Option<(usize, usize)>,
}

impl Parser {
    /// The message in `line`, or none where it says nothing that matters.
    pub(super) fn read(&mut self, line: &str) -> Option<Message> {
        if line.contains("showinfo") {
            return self.read_showinfo(line);
        }
        self.judge.damage(line).map(Message::Damage).or_else(|| is_error(line).then(|| Message::Error(words(line))))
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
pub(super) fn drain(stderr: impl Read, judge: Judge, mut heard: impl FnMut(Message)) {
    let mut parser = Parser { judge, ..Parser::default() };
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
    fn what_a_decoder_of_the_codec_calls_an_error_is_damage() {
        for (codec, line, expected) in [
            ("mjpeg", "[mjpeg @ 0x5] [error] overread 8", true),
            ("mjpeg", "[mjpeg @ 0x5] [error] unable to decode APP fields: Invalid data", false),
            ("msmpeg4v3", "[msmpeg4 @ 0x5] [error] ignoring overflow at 3 4", true),
            ("vp9", "[vp9 @ 0x5] [error] Not all references are available", true),
            ("av1", "[libdav1d @ 0x5] [error] Error parsing OBU data", true),
            ("av1", "[av1 @ 0x5] [error] Your platform doesn't suppport hardware accelerated AV1 decoding.", false),
            ("h264", "[aac @ 0x5] [error] channel element 1.0 is not allocated", false),
            ("h264", "[h264 @ 0x5] [warning] Late SEI is not implemented", false),
            ("h264", "[mov,mp4,m4a @ 0x5] [error] Referenced QT chapter track not found", false),
            ("flv1", "[flv @ 0x5] [error] Packet mismatch 1 2 3", true),
            ("theora", "[ogg @ 0x5] [error] CRC mismatch!", true),
            ("rawvideo", "[error] file:a.y4m: Invalid data found when processing input", true),
            ("h264", "[info] Input #0, mov, from 'file:concealing.mp4':", false),
        ] {
            assert_eq!(Judge::of(codec).damage(line).is_some(), expected, "{line}");
        }
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
