//! The call of ffmpeg: where it starts, which frames it selects, and what pixels it makes of them.

use std::process::Command;

use unmask_core::image::{Primaries, Transfer};

use super::decode::Job;
use super::messages::BEFORE;
use super::plan::{Segment, Selection};
use super::probe::VideoInfo;
use super::programs::{Program, input_arguments};
use super::tiff::Brightness;

/// Terms in one bracket of a selection: ffmpeg refuses expressions of more than 100 operands on one level.
const GROUP: usize = 30;

/// Demuxers with an index of key frames: they start at the last one before a time. Others land anywhere near it.
const INDEXED: [&str; 7] = ["mov", "matroska", "avi", "flv", "asf", "mxf", "nut"];

/// How far before a key frame, in seconds, later attempts seek; after them comes reading from the start.
const RUN_UPS_S: [f64; 2] = [5.0, 30.0];

/// How far before a key frame, in seconds, the first attempt seeks in a container without an index.
const FIRST_RUN_UP_S: f64 = 1.0;

/// How far after a key frame, in seconds, the first attempt seeks in a container with an index: ffmpeg goes back by
/// up to 3/23 s where frames are reordered.
const PAST_KEY_S: f64 = 0.2;

/// How far before a key frame's time, in seconds, it is selected: its time is known to a microsecond.
const KEY_MARGIN_S: f64 = 1e-3;

/// How pixels come from ffmpeg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pixels {
    /// Three bytes a pixel.
    Packed,
    /// Planes of green, blue and red with the same levels, which ffmpeg makes of Y'CbCr several times faster: it has vector
    /// instructions for planes alone. Of palettes and pixels of 16 bits and less it makes other levels.
    Planes,
    /// Those planes with 16 bits each, the lower byte first.
    DeepPlanes,
}

impl Pixels {
    pub(super) fn of(job: &Job) -> Self {
        match &job.tone {
            Some(_) => Self::DeepPlanes,
            None if job.info.pixel_format.starts_with("yuv") => Self::Planes,
            None => Self::Packed,
        }
    }

    /// Bytes of a pixel.
    pub(super) fn bytes(self) -> usize {
        if self == Self::DeepPlanes { 6 } else { 3 }
    }

    /// ffmpeg's name.
    fn name(self) -> &'static str {
        match self {
            Self::Packed => "rgb24",
            Self::Planes => "gbrp",
            Self::DeepPlanes => "gbrp16le",
        }
    }
}

/// How a run seeks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seek {
    /// To where, in seconds from the start of the file.
    pub(super) position_s: f64,
    /// Whether decoding begins with a key frame, by the container's index, and not amid frames that refer to others.
    pub(super) lands_on_key: bool,
}

/// The attempts to start `segment` at its key frame, the cheapest first; none where it reads from the start.
pub(super) fn seeks(job: &Job, segment: &Segment) -> Vec<Seek> {
    let Some((key_s, threshold_s)) = segment.key_s.zip(segment.selection.first_threshold()) else {
        return Vec::new();
    };
    let indexed = job.info.container.split(',').any(|name| INDEXED.contains(&name));
    let first_s = if indexed { threshold_s.min(key_s + PAST_KEY_S) } else { key_s - FIRST_RUN_UP_S };
    let stamps = [first_s].into_iter().chain(RUN_UPS_S.map(|run_up_s| key_s - run_up_s));
    let seek = |stamp_s: f64| Seek {
        position_s: (stamp_s - job.plan.delay_s - job.info.origin_s).max(0.0),
        lands_on_key: indexed,
    };
    stamps.map(seek).collect()
}

/// `rawvideo` on standard output, nothing else decoded, times kept as they are.
pub(super) fn command(job: &Job, segment: &Segment, seek: Option<Seek>) -> Command {
    let mut command = job.programs.command(Program::Ffmpeg);
    command.args(["-nostdin", "-nostats", "-loglevel", "level+info", "-copyts"]);
    if let Some(seek) = seek {
        // Not accurate: frames before the wanted one are dropped by the selection, which must see the key frame.
        command.args(["-noaccurate_seek", "-ss", &format!("{:.6}", seek.position_s)]);
    }
    // Filters that are set up once keep count of frames when these change their size; turning is left to us, since it
    // would be set up for the first size, and differs between versions of ffmpeg.
    command.args(["-reinit_filter", "0", "-noautorotate"]);
    command.args(input_arguments(&job.path, job.info.demuxer, job.plan.until));
    command.args(["-map", &format!("0:{}", job.info.stream), "-an", "-sn", "-dn"]);
    // Frames are neither dropped nor doubled, whatever rate the stream states; their stamps are in the unit of the filters.
    let format = Pixels::of(job).name();
    command.args(["-vf", &filters(&job.info, segment, seek.is_some(), format)]);
    command.args(["-fps_mode", "passthrough", "-enc_time_base", "1/25"]);
    command.args(["-f", "rawvideo", "-pix_fmt", format, "-flush_packets", "1", "pipe:1"]);
    command
}

/// How far the shape of a frame may be off, as a part of it, to be that of the video: sizes are whole numbers.
const SAME_SHAPE: f64 = 0.02;

/// Selection, conversion of what was selected alone to square pixels, and the announcement of each frame's time and
/// size, before and after that: without a checksum, for which ffmpeg reads as many lines as the first frame had, also where later ones have fewer,
/// and crashes. A frame of another size than the video's, as in recordings of calls, is brought to that, as players do, unless
/// its shape is another.
fn filters(info: &VideoInfo, segment: &Segment, after_seek: bool, format: &str) -> String {
    let select = expression(segment, after_seek);
    let (width, height) = match info.orientation.is_sideways() {
        true => (info.height, info.width),
        false => (info.width, info.height),
    };
    let size = |ours: usize, own: u8| {
        format!(
            "'st(0,if(gt(sar,1),round(iw*sar),iw));st(1,if(lt(sar,1)*gt(sar,0),round(ih/sar),ih));\
             if(lte(abs(ld(0)*{height}-ld(1)*{width}),{SAME_SHAPE}*ld(0)*{height}),{ours},ld({own}))'"
        )
    };
    let (across_size, down_size) = (size(width, 0), size(height, 1));
    let matrix = matrix_option(info);
    let (across, down) = chroma_position(&info.pixel_format);
    format!(
        "select='{select}',showinfo@{BEFORE}=checksum=0,\
         scale=w={across_size}:h={down_size}:eval=frame\
         :flags=bicubic+accurate_rnd+full_chroma_int:in_h_chr_pos={across}:in_v_chr_pos={down}{matrix},\
         format={format},showinfo=checksum=0,settb=1/25,setpts=N"
    )
}

/// The YCbCr matrix where the file does not name it: that of BT.2020 for high dynamic range, else BT.709 from 720
/// lines up and BT.601 below; in full range, which comes from JPEG, and in TIFF always BT.601. Browsers are told the same
/// (`wasm/src/media/colours.rs`).
fn matrix_option(info: &VideoInfo) -> &'static str {
    match info.brightness {
        Some(Brightness::Full) => return ":in_color_matrix=bt601:in_range=full",
        Some(Brightness::Limited) => return ":in_color_matrix=bt601:in_range=limited",
        None => {}
    }
    let no_matrix = ["rgb", "bgr", "gbr", "gray", "pal8", "mono"];
    if info.color_space.is_some() || no_matrix.iter().any(|format| info.pixel_format.contains(format)) {
        return "";
    }
    if info.transfer != Transfer::Standard || info.primaries == Primaries::Bt2020 {
        return ":in_color_matrix=bt2020";
    }
    let is_jpeg = info.pixel_format.starts_with("yuvj");
    if info.height >= 720 && !is_jpeg { ":in_color_matrix=bt709" } else { ":in_color_matrix=bt601" }
}

/// Where samples of colour lie among those of brightness, in 1/256 of these, across and down: in the middle of those
/// that share one.
///
/// ffmpeg up to 7.0 assumed this whatever a stream says, and later ones follow the stream. Pinned, so that a score
/// does not depend on the version, and equals that of browsers (`wasm/src/media/rgb.rs`).
fn chroma_position(pixel_format: &str) -> (i32, i32) {
    const SHARED: [(&str, (u32, u32)); 14] = [
        ("420", (1, 1)),
        ("nv12", (1, 1)),
        ("nv21", (1, 1)),
        ("p010", (1, 1)),
        ("p012", (1, 1)),
        ("p016", (1, 1)),
        ("422", (1, 0)),
        ("nv16", (1, 0)),
        ("nv20", (1, 0)),
        ("p210", (1, 0)),
        ("p216", (1, 0)),
        ("440", (0, 1)),
        ("411", (2, 0)),
        ("410", (2, 2)),
    ];
    let shared = SHARED.iter().find(|(name, _)| pixel_format.contains(name)).map_or((0, 0), |(_, shared)| *shared);
    let middle = |halvings: u32| (128 << halvings) - 128;
    (middle(shared.0), middle(shared.1))
}

/// The expression for ffmpeg's `select` filter. After a seek the first key frame is selected before all else.
///
/// ffmpeg hands a frame on only when the next one is selected, or at the end; so where the segment does not end
/// with the video, the frames after its last are selected too, until the child is killed.
fn expression(segment: &Segment, after_seek: bool) -> String {
    let thresholds = match &segment.selection {
        Selection::Numbers { total, count } if count >= total => return "1".to_owned(),
        Selection::Numbers { count: 1, .. } => return "1".to_owned(),
        Selection::Numbers { total, count } => {
            return format!("eq(n,floor(selected_n*{}/{}))", total - 1, count.saturating_sub(1).max(1));
        }
        Selection::Times(thresholds) => thresholds,
    };
    let once = |threshold: &f64| format!("gte(t,{threshold:.6})*not(gte(prev_selected_t,{threshold:.6}))");
    // From the key frame on errors count, so the reader has to see it go by.
    let key_s = segment.key_s.filter(|_| after_seek).map(|key_s| key_s - KEY_MARGIN_S);
    let mut terms: Vec<String> = key_s.iter().chain(thresholds).map(once).collect();
    if let Some(last) = thresholds.last().filter(|_| !segment.to_end) {
        terms.push(format!("gte(t,{last:.6})"));
    }
    let groups: Vec<String> = terms.chunks(GROUP).map(|group| format!("({})", group.join("+"))).collect();
    let sum = groups.join("+");
    if after_seek { format!("if(isnan(prev_selected_t),key,{sum})") } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_colour_lie_amid_the_pixels_that_share_them() {
        for (format, position) in [
            ("yuv420p", (128, 128)),
            ("yuvj420p", (128, 128)),
            ("yuv420p10le", (128, 128)),
            ("nv12", (128, 128)),
            ("yuyv422", (128, 0)),
            ("yuv444p", (0, 0)),
            ("yuv411p", (384, 0)),
            ("yuv410p", (384, 384)),
            ("gbrp", (0, 0)),
        ] {
            assert_eq!(chroma_position(format), position, "{format}");
        }
    }
}
