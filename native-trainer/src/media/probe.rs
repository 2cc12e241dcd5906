//! What a video is, as ffprobe describes it.

use std::path::Path;
use std::process::Output;

use serde::Deserialize;

use super::error::{MediaError, check_size};
use super::messages::{damage_sign, ratio, words};
use super::programs::Programs;

/// The first real video stream of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VideoInfo {
    /// Width in pixels as displayed: after rotation, with square pixels.
    pub(super) width: usize,
    /// Height in pixels as displayed.
    pub(super) height: usize,
    /// Mean frames a second.
    pub(super) fps: Option<f64>,
    /// Duration in seconds, the stream's own where it has one, else the file's.
    pub(super) duration_s: Option<f64>,
    /// Frames the container says the stream has.
    pub(super) frame_count: Option<u64>,
    /// Clockwise degrees by which the coded frame is turned for display: 0, 90, 180, 270 or, rarely, others.
    pub(super) rotation: i32,
    /// ffmpeg's name of the pixel format, such as `yuv420p`.
    pub(super) pixel_format: String,
    /// ffmpeg's name of the codec, such as `h264`.
    pub(super) codec: String,
    /// ffmpeg's name of the YCbCr matrix, such as `bt709`; none where the file does not say.
    pub(super) color_space: Option<String>,
    /// ffmpeg's demuxer name, such as `matroska,webm`.
    pub(super) container: String,
    /// The stream's index in the file.
    pub(super) stream: usize,
    /// Time stamp, in seconds, at which the file starts: times of frames count from it.
    pub(super) origin_s: f64,
    /// Time stamp of the stream's first frame, in seconds.
    pub(super) first_s: f64,
    /// Frames by which the decoder's order runs ahead of the display's.
    pub(super) reorder: u32,
}

/// The packets of a stream: one for each frame, save for codecs with packets that show nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Packets {
    /// Presentation times in seconds, ascending; decoding times where there are no others.
    pub(super) times_s: Vec<f64>,
    /// Whether the times are presentation times.
    pub(super) presentation: bool,
    /// Whether the first packet is a key frame, so that decoding starts cleanly.
    pub(super) starts_with_key: bool,
    /// The first sign of damage that reading them gave.
    pub(super) damage: Option<String>,
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Format {
    format_name: String,
    start_time: Option<String>,
    duration: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stream {
    index: usize,
    codec_type: String,
    codec_name: Option<String>,
    width: u64,
    height: u64,
    sample_aspect_ratio: Option<String>,
    pix_fmt: Option<String>,
    color_space: Option<String>,
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
    nb_frames: Option<String>,
    has_b_frames: u32,
    disposition: Disposition,
    tags: Tags,
    side_data_list: Vec<SideData>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Disposition {
    attached_pic: u8,
    timed_thumbnails: u8,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tags {
    rotate: Option<String>,
    #[serde(rename = "DURATION")]
    duration: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SideData {
    rotation: Option<f64>,
}

#[derive(Deserialize)]
struct PacketReport {
    #[serde(default)]
    packets: Vec<Packet>,
}

#[derive(Deserialize)]
struct Packet {
    pts_time: Option<String>,
    dts_time: Option<String>,
    #[serde(default)]
    flags: String,
}

/// Describes the first real video stream of the file at `path`; a cover picture is none.
pub(super) fn probe(programs: &Programs, path: &Path) -> Result<VideoInfo, MediaError> {
    let metadata = std::fs::metadata(path).map_err(|error| MediaError::io(path, error))?;
    if metadata.len() == 0 {
        return Err(MediaError::Empty { path: path.to_owned() });
    }
    let output = programs.ffprobe(path, &["-show_format", "-show_streams"])?;
    let report: Option<Report> = serde_json::from_slice(&output.stdout).ok();
    let report = report.filter(|report| output.status.success() && !report.format.format_name.is_empty());
    describe(path, report.ok_or_else(|| unreadable(path, &output))?)
}

/// Picks the video stream out of ffprobe's report.
fn describe(path: &Path, report: Report) -> Result<VideoInfo, MediaError> {
    let is_video = |stream: &&Stream| {
        stream.codec_type == "video" && stream.disposition.attached_pic == 0 && stream.disposition.timed_thumbnails == 0
    };
    let Some(stream) = report.streams.iter().find(is_video) else {
        return Err(no_video(path, &report));
    };
    let codec = stream.codec_name.clone().unwrap_or_else(|| "unknown".to_owned());
    if stream.width == 0 || stream.height == 0 {
        return Err(match codec.as_str() {
            "unknown" | "none" => MediaError::UnsupportedCodec { path: path.to_owned(), codec },
            _ => MediaError::NoFrames { path: path.to_owned() },
        });
    }
    let rotation = rotation(stream);
    let (width, height) = displayed_size(stream, rotation);
    check_size(path, width, height)?;
    check_size(path, stream.width, stream.height)?;
    let seconds = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<f64>().ok());
    let origin_s = seconds(&report.format.start_time).unwrap_or(0.0);
    let own_duration = seconds(&stream.duration).or_else(|| stream.tags.duration.as_deref().and_then(clock_seconds));
    let rate = |text: &Option<String>| text.as_deref().and_then(ratio).filter(|rate| *rate > 0.0);
    Ok(VideoInfo {
        width: width as usize,
        height: height as usize,
        fps: rate(&stream.avg_frame_rate).or_else(|| rate(&stream.r_frame_rate)),
        duration_s: own_duration.or_else(|| seconds(&report.format.duration)).filter(|duration| *duration > 0.0),
        frame_count: stream.nb_frames.as_deref().and_then(|count| count.parse().ok()).filter(|count| *count > 0),
        rotation,
        pixel_format: stream.pix_fmt.clone().unwrap_or_default(),
        codec,
        color_space: stream.color_space.clone().filter(|space| space != "unknown" && space != "reserved"),
        container: report.format.format_name.clone(),
        stream: stream.index,
        origin_s,
        first_s: seconds(&stream.start_time).unwrap_or(origin_s),
        reorder: stream.has_b_frames,
    })
}

/// The error for a file without a video stream, naming what it has instead.
fn no_video(path: &Path, report: &Report) -> MediaError {
    let mut kinds: Vec<&str> = report.streams.iter().map(|stream| stream.codec_type.as_str()).collect();
    if report.streams.iter().any(|stream| stream.disposition.attached_pic == 1) {
        kinds.iter_mut().filter(|kind| **kind == "video").for_each(|kind| *kind = "a cover picture");
    }
    kinds.retain(|kind| !kind.is_empty());
    kinds.dedup();
    let kinds = if kinds.is_empty() { "an empty container".to_owned() } else { kinds.join(" and ") };
    MediaError::NoVideo { path: path.to_owned(), kinds }
}

/// The error for a file that ffprobe would not open.
fn unreadable(path: &Path, output: &Output) -> MediaError {
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("moov atom not found") && is_iso_media(path) {
        let detail = "it is cut off: its index, the moov atom, is missing".to_owned();
        return MediaError::Damaged { path: path.to_owned(), near_s: None, detail };
    }
    if said.contains("Permission denied") {
        return MediaError::Io { path: path.to_owned(), source: std::io::ErrorKind::PermissionDenied.into() };
    }
    match said.lines().find_map(damage_sign) {
        Some(detail) => MediaError::Damaged { path: path.to_owned(), near_s: None, detail },
        None => MediaError::NotMedia { path: path.to_owned() },
    }
}

/// Whether the file begins with a box of the ISO base media format (MP4, QuickTime).
fn is_iso_media(path: &Path) -> bool {
    use std::io::Read;
    let mut start = [0; 8];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    let boxes: [&[u8]; 6] = [b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"];
    read.is_ok() && boxes.contains(&&start[4..])
}

/// Clockwise degrees in 0..360. ffprobe gives the display matrix counter-clockwise, older files a clockwise tag.
fn rotation(stream: &Stream) -> i32 {
    let matrix = stream.side_data_list.iter().find_map(|data| data.rotation).map(|degrees| -degrees);
    let tag = || stream.tags.rotate.as_deref().and_then(|degrees| degrees.parse().ok());
    (matrix.or_else(tag).unwrap_or(0.0).round() as i32).rem_euclid(360)
}

/// The displayed size: pixels that are not square stretch the frame along one side, never shrink it, as browsers do.
fn displayed_size(stream: &Stream, rotation: i32) -> (u64, u64) {
    let aspect = stream.sample_aspect_ratio.as_deref().and_then(ratio).filter(|aspect| *aspect > 0.0).unwrap_or(1.0);
    let (mut width, mut height) = (stream.width, stream.height);
    if aspect > 1.0 {
        width = (width as f64 * aspect).round() as u64;
    } else {
        height = (height as f64 / aspect).round() as u64;
    }
    if matches!(rotation, 90 | 270) { (height, width) } else { (width, height) }
}

/// The seconds of Matroska's `00:01:02.500000000`.
fn clock_seconds(text: &str) -> Option<f64> {
    text.split(':').try_fold(0.0, |seconds, part| Some(seconds * 60.0 + part.parse::<f64>().ok()?))
}

/// The packets of the stream from `from_s` (a time stamp) on, or all of them. Reads, but does not decode, the file.
pub(super) fn packets(
    programs: &Programs,
    path: &Path,
    info: &VideoInfo,
    from_s: Option<f64>,
) -> Result<Packets, MediaError> {
    let stream = info.stream.to_string();
    let mut arguments = vec!["-select_streams", &stream, "-show_entries", "packet=pts_time,dts_time,flags"];
    let interval = from_s.map(|from| format!("{from:.3}%"));
    if let Some(interval) = &interval {
        arguments.extend(["-read_intervals", interval]);
    }
    let output = programs.ffprobe(path, &arguments)?;
    let report: PacketReport = serde_json::from_slice(&output.stdout).unwrap_or(PacketReport { packets: Vec::new() });
    let said = String::from_utf8_lossy(&output.stderr);
    let failed = || {
        let last = said.lines().last().map_or_else(|| "reading it failed".to_owned(), words);
        (!output.status.success()).then_some(last)
    };
    let damage = said.lines().find_map(damage_sign).or_else(failed);
    Ok(collect_packets(report.packets, damage))
}

fn collect_packets(packets: Vec<Packet>, damage: Option<String>) -> Packets {
    let starts_with_key = packets.first().is_some_and(|packet| packet.flags.contains('K'));
    // Packets marked D are decoded but, by an edit list, not displayed.
    let shown: Vec<Packet> = packets.into_iter().filter(|packet| !packet.flags.contains('D')).collect();
    let presentation = shown.iter().all(|packet| packet.pts_time.is_some());
    let time = |packet: &Packet| packet.pts_time.as_ref().or(packet.dts_time.as_ref())?.parse::<f64>().ok();
    let mut times_s: Vec<f64> = shown.iter().filter_map(time).collect();
    let presentation = presentation && times_s.len() == shown.len();
    if !presentation {
        // Without presentation times only the number of packets counts.
        times_s.resize(shown.len(), times_s.last().copied().unwrap_or(0.0));
    }
    times_s.sort_by(f64::total_cmp);
    Packets { times_s, presentation, starts_with_key, damage }
}
