//! What a video is, as ffprobe describes it.

use std::path::Path;
use std::process::Output;

use image::ImageFormat;
use serde::Deserialize;
use unmask_core::image::{Orientation, Primaries, Transfer};
use unmask_core::pipeline::{Caveat, CaveatCode};

use super::content::{self, Content};
use super::ending;
use super::error::{MediaError, Medium, check_size};
use super::jpeg;
use super::messages::{Judge, ratio};
use super::packets::{self, Entry, Reading};
use super::programs::Programs;
use super::tiff::{self, Brightness};

/// The video stream of a file that is looked at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VideoInfo {
    /// Width in pixels as displayed: turned, with square pixels.
    pub(super) width: usize,
    /// Height in pixels as displayed.
    pub(super) height: usize,
    /// Mean frames a second, as the container has it.
    pub(super) fps: Option<f64>,
    /// Duration in seconds that the header gives: the stream's own where it has one, else the file's.
    pub(super) header_duration_s: Option<f64>,
    /// How the coded picture lies.
    pub(super) orientation: Orientation,
    /// ffmpeg's name of the pixel format, such as `yuv420p`.
    pub(super) pixel_format: String,
    /// ffmpeg's name of the codec, such as `h264`.
    pub(super) codec: String,
    /// ffmpeg's name of the YCbCr matrix, such as `bt709`; none where the file does not say.
    pub(super) color_space: Option<String>,
    /// How brightness is coded, where the file says it and ffmpeg does not read it.
    pub(super) brightness: Option<Brightness>,
    /// How light is coded.
    pub(super) transfer: Transfer,
    /// Which colours red, green and blue are.
    pub(super) primaries: Primaries,
    /// ffmpeg's demuxer name, such as `matroska,webm`.
    pub(super) container: String,
    /// The demuxer to open the file with, where its content tells more than ffmpeg would find.
    pub(super) demuxer: Option<&'static str>,
    /// Whether the file's first bytes say that it is a picture.
    pub(super) is_still_format: bool,
    /// The stream's index in the file.
    pub(super) stream: usize,
    /// Further video streams in the file.
    pub(super) other_streams: usize,
    /// Time stamp, in seconds, at which the file starts: times of frames count from it.
    pub(super) origin_s: f64,
    /// Frames by which the decoder's order runs ahead of the display's.
    pub(super) reorder: u32,
}

impl VideoInfo {
    /// Whether the file is of a format for single pictures.
    pub(super) fn is_picture(&self) -> bool {
        self.container.ends_with("_pipe") || self.is_still_format
    }

    /// What it is to people.
    pub(super) fn medium(&self) -> Medium {
        if self.is_picture() { Medium::Picture } else { Medium::Video }
    }

    /// What weakens an answer and is known from the header.
    pub(super) fn caveats(&self) -> Vec<Caveat> {
        let mut caveats = Vec::new();
        if self.other_streams > 0 {
            caveats.push(CaveatCode::OtherStreams.into());
        }
        match (self.transfer, self.primaries) {
            (Transfer::Standard, Primaries::Bt709) => {}
            (Transfer::Standard, Primaries::Bt2020) => {
                let words = "the video has wide colours (BT.2020) and was mapped to the usual ones";
                caveats.push(Caveat::with_words(CaveatCode::ToneMapped, words));
            }
            (Transfer::Pq | Transfer::Hlg, _) => caveats.push(CaveatCode::ToneMapped.into()),
        }
        caveats
    }
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
    #[serde(default)]
    packets: Vec<Entry>,
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
    color_transfer: Option<String>,
    color_primaries: Option<String>,
    avg_frame_rate: Option<String>,
    r_frame_rate: Option<String>,
    duration: Option<String>,
    nb_frames: Option<String>,
    nb_read_packets: Option<String>,
    has_b_frames: u32,
    disposition: Disposition,
    tags: Tags,
    side_data_list: Vec<SideData>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Disposition {
    default: u8,
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
    displaymatrix: Option<String>,
    rotation: Option<f64>,
}

/// Describes the video stream of the file at `path` that is looked at; a cover picture is none.
pub(super) fn probe(programs: &Programs, path: &Path) -> Result<VideoInfo, MediaError> {
    let content = content::of(path)?;
    // By its name alone, ffprobe would take a stream of JPEGs for one.
    let is_motion = match content {
        Content::MotionJpeg => true,
        Content::Picture(ImageFormat::Jpeg) => jpeg::is_motion(path),
        _ => false,
    };
    if matches!(content, Content::Unread(_)) && ending::ends_within_box(path) {
        return Err(cut_off(path, Medium::Picture, "it is cut off"));
    }
    let demuxer = is_motion.then_some("mjpeg");
    let output = programs.ffprobe(path, demuxer, &["-show_format", "-show_streams", "-of", "json"])?;
    let report: Option<Report> = serde_json::from_slice(&output.stdout).ok();
    // ffprobe gives reasons where it gives no report.
    if report.is_none() && output.stderr.is_empty() {
        return Err(programs.no_ffprobe());
    }
    let report = report.filter(|report| output.status.success() && !report.format.format_name.is_empty());
    let report = report.map(|report| counted(programs, path, demuxer, report)).transpose()?;
    match (content, report) {
        // A picture of tiles comes as many streams, of which one alone would be a corner of it.
        (Content::Unread(format), Some(report)) if format.is_tiled() && report.streams.len() > 1 => {
            Err(MediaError::UnreadPicture { path: path.to_owned(), format: format.name() })
        }
        (Content::Unread(format), None) => {
            Err(MediaError::UnreadPicture { path: path.to_owned(), format: format.name() })
        }
        (Content::Unread(format), Some(report)) => match describe(path, report, demuxer) {
            Ok(info) => Ok(VideoInfo { is_still_format: true, ..info }),
            Err(MediaError::NoVideo { .. } | MediaError::NoFrames { .. } | MediaError::UnsupportedCodec { .. }) => {
                Err(MediaError::UnreadPicture { path: path.to_owned(), format: format.name() })
            }
            Err(error) => Err(error),
        },
        (Content::Picture(ImageFormat::Tiff), Some(report)) => {
            let brightness = tiff::pages(path).ok().and_then(|pages| pages.brightness);
            describe(path, report, demuxer).map(|info| VideoInfo { brightness, ..info })
        }
        (_, Some(report)) => describe(path, report, demuxer),
        (content, None) => Err(unreadable(path, content, &output)),
    }
}

/// Describes the video stream as [`probe`] does, and reads its packets: at once where that can be, since ffprobe takes longer to
/// start than to read a short file.
pub(super) fn probe_and_read(programs: &Programs, path: &Path) -> Result<(VideoInfo, Reading), MediaError> {
    if content::of(path)? == Content::IsoMedia
        && let Some(both) = at_once(programs, path)?
    {
        return Ok(both);
    }
    let info = probe(programs, path)?;
    let reading = packets::read(programs, path, &info)?;
    Ok((info, reading))
}

/// A file in which exactly one stream is video, and nothing is wrong so far; `None` of others, where more must be asked.
fn at_once(programs: &Programs, path: &Path) -> Result<Option<(VideoInfo, Reading)>, MediaError> {
    // All that is video and no cover picture.
    let streams = ["-select_streams", "V", "-show_format", "-show_streams"];
    let packets = ["-loglevel", "level+warning", "-show_entries", packets::ENTRIES, "-of", "json=compact=1"];
    let output = programs.ffprobe(path, None, &[&streams[..], &packets].concat())?;
    let report: Option<Report> = serde_json::from_slice(&output.stdout).ok();
    let is_plain = |report: &Report| matches!(&report.streams[..], [stream] if stream.is_video());
    let Some(mut report) = report.filter(|report| output.status.success() && is_plain(report)) else {
        return Ok(None);
    };
    let reading = Reading::new(std::mem::take(&mut report.packets).into_iter(), &output);
    Ok(describe(path, report, None).ok().map(|info| (info, reading)))
}

/// Picks the video stream out of ffprobe's report.
fn describe(path: &Path, report: Report, demuxer: Option<&'static str>) -> Result<VideoInfo, MediaError> {
    let videos: Vec<&Stream> = report.streams.iter().filter(|stream| stream.is_video()).collect();
    let Some(stream) = preferred(&videos) else {
        return Err(no_video(path, &report));
    };
    let codec = stream.codec_name.clone().unwrap_or_else(|| "unknown".to_owned());
    if stream.width == 0 || stream.height == 0 {
        return Err(match codec.as_str() {
            "unknown" | "none" => MediaError::UnsupportedCodec { path: path.to_owned(), codec },
            _ => MediaError::NoFrames { path: path.to_owned() },
        });
    }
    let orientation = orientation(stream);
    let (width, height) = displayed_size(stream, orientation);
    check_size(path, width, height)?;
    check_size(path, stream.width, stream.height)?;
    let seconds = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<f64>().ok());
    let own_duration = seconds(&stream.duration).or_else(|| stream.tags.duration.as_deref().and_then(clock_seconds));
    let rate = |text: &Option<String>| text.as_deref().and_then(ratio).filter(|rate| *rate > 0.0);
    let named = |text: &Option<String>| text.clone().filter(|name| name != "unknown" && name != "reserved");
    Ok(VideoInfo {
        width: width as usize,
        height: height as usize,
        fps: rate(&stream.avg_frame_rate).or_else(|| rate(&stream.r_frame_rate)),
        header_duration_s: own_duration.or_else(|| seconds(&report.format.duration)).filter(|duration| *duration > 0.0),
        orientation,
        pixel_format: stream.pix_fmt.clone().unwrap_or_default(),
        codec,
        color_space: named(&stream.color_space),
        brightness: None,
        transfer: match stream.color_transfer.as_deref() {
            Some("smpte2084") => Transfer::Pq,
            Some("arib-std-b67") => Transfer::Hlg,
            _ => Transfer::Standard,
        },
        primaries: match stream.color_primaries.as_deref() {
            Some("bt2020") => Primaries::Bt2020,
            _ => Primaries::Bt709,
        },
        container: report.format.format_name.clone(),
        demuxer,
        is_still_format: false,
        stream: stream.index,
        other_streams: videos.len() - 1,
        origin_s: seconds(&report.format.start_time).unwrap_or(0.0),
        reorder: stream.has_b_frames,
    })
}

impl Stream {
    /// Whether it is video, and no cover or thumbnail of something else.
    fn is_video(&self) -> bool {
        self.codec_type == "video" && self.disposition.attached_pic == 0 && self.disposition.timed_thumbnails == 0
    }

    /// Whether its header says of how many frames it is, and so many that it must have several: some count one too many.
    fn says_it_moves(&self) -> bool {
        self.nb_frames.as_deref().and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count > 2)
    }

    /// Whether it has more than one frame, as far as that is known.
    fn moves(&self) -> bool {
        let count = self.nb_read_packets.as_deref().or(self.nb_frames.as_deref());
        count.and_then(|count| count.parse::<u64>().ok()).is_none_or(|count| count > 1)
    }
}

/// The report with the packets of each video stream counted, where there are several and their headers do not say which
/// of them move. It costs reading the file once more.
fn counted(programs: &Programs, path: &Path, demuxer: Option<&str>, mut report: Report) -> Result<Report, MediaError> {
    let videos = || report.streams.iter().filter(|stream| stream.is_video());
    if videos().count() < 2 || videos().all(|stream| stream.says_it_moves()) {
        return Ok(report);
    }
    let entries = "stream=index,nb_read_packets";
    let arguments = ["-count_packets", "-select_streams", "v", "-show_entries", entries, "-of", "json"];
    let output = programs.ffprobe(path, demuxer, &arguments)?;
    let counts: Option<Report> = serde_json::from_slice(&output.stdout).ok();
    for count in counts.into_iter().flat_map(|counts| counts.streams) {
        if let Some(stream) = report.streams.iter_mut().find(|stream| stream.index == count.index) {
            stream.nb_read_packets = count.nb_read_packets;
        }
    }
    Ok(report)
}

/// The stream that a player shows: one that moves, one marked as default, the largest, the first, in this order.
fn preferred<'a>(videos: &[&'a Stream]) -> Option<&'a Stream> {
    let rank = |stream: &Stream| (stream.moves(), stream.disposition.default, stream.width * stream.height);
    // Of equals `max_by_key` takes the last.
    videos.iter().rev().copied().max_by_key(|stream| rank(stream))
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
fn unreadable(path: &Path, content: Content, output: &Output) -> MediaError {
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("moov atom not found") && content == Content::IsoMedia {
        return cut_off(path, Medium::Video, "it is cut off: its index, the moov atom, is missing");
    }
    if said.contains("Permission denied") {
        return MediaError::Io { path: path.to_owned(), reason: std::io::ErrorKind::PermissionDenied.into() };
    }
    let is_media = !matches!(content, Content::Unknown | Content::Text);
    match said.lines().find_map(|line| Judge::default().damage(line)).filter(|_| is_media) {
        Some(detail) => cut_off(path, Medium::Video, &detail),
        None => MediaError::NotMedia { path: path.to_owned() },
    }
}

/// The error for a file of which too little is left to find anything in it.
fn cut_off(path: &Path, what: Medium, detail: &str) -> MediaError {
    let (path, detail) = (path.to_owned(), detail.to_owned());
    MediaError::Damaged { path, what, near_s: None, detail, skippable: false }
}

/// By the display matrix; files of older ffprobes have its angle, counter-clockwise, and old files a clockwise tag.
fn orientation(stream: &Stream) -> Orientation {
    let matrix = stream.side_data_list.iter().find_map(|data| data.displaymatrix.as_deref().and_then(matrix));
    let angle = || stream.side_data_list.iter().find_map(|data| data.rotation).map(|degrees| -degrees);
    let tag = || stream.tags.rotate.as_deref().and_then(|degrees| degrees.parse().ok());
    let turned = || Orientation::of_degrees(angle().or_else(tag).unwrap_or(0.0));
    matrix.map_or_else(turned, Orientation::of_matrix)
}

/// The upper left part of a matrix that ffprobe writes as three lines of an address and three numbers.
fn matrix(text: &str) -> Option<[f64; 4]> {
    let mut rows = text.lines().filter_map(|line| {
        let mut numbers = line.split_once(':')?.1.split_whitespace().map(|number| number.parse::<f64>().ok());
        Some([numbers.next()??, numbers.next()??])
    });
    let ([a, b], [c, d]) = (rows.next()?, rows.next()?);
    (a * d - b * c != 0.0).then_some([a, b, c, d])
}

/// The displayed size: pixels that are not square stretch the frame along one side, never shrink it, as browsers do.
fn displayed_size(stream: &Stream, orientation: Orientation) -> (u64, u64) {
    let aspect = stream.sample_aspect_ratio.as_deref().and_then(ratio).filter(|aspect| *aspect > 0.0).unwrap_or(1.0);
    let (mut width, mut height) = (stream.width, stream.height);
    if aspect > 1.0 {
        width = (width as f64 * aspect).round() as u64;
    } else {
        height = (height as f64 / aspect).round() as u64;
    }
    if orientation.is_sideways() { (height, width) } else { (width, height) }
}

/// The seconds of Matroska's `00:01:02.500000000`.
fn clock_seconds(text: &str) -> Option<f64> {
    text.split(':').try_fold(0.0, |seconds, part| Some(seconds * 60.0 + part.parse::<f64>().ok()?))
}
