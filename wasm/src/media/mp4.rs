//! MP4 and QuickTime, by `re_mp4`: samples from the index, times through the edit list, the display matrix.

use std::io::{ErrorKind, Read, Seek};

use re_mp4::{BoxType, Error, Mp4, StsdBoxContent, Track, TrakBox};
use unmask_core::image::Orientation;

use super::boxes::{self, Extras};
use super::{Codec, Facts, MediaError, Sample, Shown, Video, h264, preferred, square_pixels};

/// The flag of a track that is to be shown (ISO/IEC 14496-12, 8.3.2).
const ENABLED: u32 = 1;

/// The video track of the file that is preferred, with its samples; pictures of chapters are none.
pub(super) fn open<R: Read + Seek>(reader: &mut R, size: u64) -> Result<Video, MediaError> {
    let mp4 = Mp4::read(&mut *reader, size).map_err(problem)?;
    let extras = boxes::extras(reader, size);
    let extras_of = |trak: &TrakBox| extras.get(&trak.tkhd.track_id).copied().unwrap_or_default();
    let tracks = || mp4.moov.traks.iter().filter_map(|trak| Some((trak, mp4.tracks().get(&trak.tkhd.track_id)?)));
    let is_video = |(trak, _): &(&TrakBox, &Track)| {
        trak.mdia.hdlr.handler_type.value == *b"vide" && !extras_of(trak).is_of_chapters
    };
    let videos = || tracks().filter(is_video);
    let rank = |(trak, _): &(&TrakBox, &Track)| {
        let (width, height) = coded_size(trak);
        (trak.mdia.minf.stbl.stsz.sample_count != 1, trak.tkhd.flags & ENABLED != 0, width * height)
    };
    let (trak, track) = preferred(videos(), rank).ok_or(MediaError::NoVideo)?;
    let Extras { aspect, colours, interlaced, .. } = extras_of(trak);
    let movie_timescale = f64::from(mp4.moov.mvhd.timescale).max(1.0);
    let starts = tracks().filter_map(|(trak, track)| first_time(&presentation(trak, track, movie_timescale)));
    let origin = starts.fold(f64::INFINITY, f64::min);
    let mut shown = presentation(trak, track, movie_timescale);
    let duration_s = duration(track, &shown);
    shown.iter_mut().for_each(|shown| shown.time_s -= origin);
    let (coded_width, coded_height) = coded_size(trak);
    let codec = codec(&mp4, track);
    let aspect = aspect.or_else(|| pixel_aspect(trak, coded_width, coded_height));
    let aspect = aspect.or_else(|| h264::of_codec(&codec)?.aspect).unwrap_or(1.0);
    let (width, height) = square_pixels(coded_width, coded_height, aspect);
    let matrix = &trak.tkhd.matrix;
    Ok(Video {
        codec,
        colours,
        coded_width,
        coded_height,
        width,
        height,
        orientation: Orientation::of_matrix([matrix.a, matrix.b, matrix.c, matrix.d].map(f64::from)),
        fps: rate(track),
        duration_s,
        samples: samples(track)?,
        shown,
        facts: Facts { interlaced, other_streams: videos().count() > 1, ..Facts::default() },
        ..Video::default()
    })
}

/// What a parser's error means to whoever chose the file.
fn problem(error: Error) -> MediaError {
    let cut_off = || MediaError::Damaged("it is cut off: its index, the moov atom, is missing or not whole".to_owned());
    match error {
        Error::Io(error) if error.kind() == ErrorKind::UnexpectedEof => cut_off(),
        Error::Io(error) => MediaError::Read(error),
        Error::BoxNotFound(BoxType::MoovBox) => cut_off(),
        Error::BoxNotFound(BoxType::FtypBox) => MediaError::OtherContainer("an old QuickTime file"),
        Error::InvalidData(detail) if detail.starts_with("file contains a box") => cut_off(),
        error => MediaError::Damaged(error.to_string()),
    }
}

fn codec(mp4: &Mp4, track: &Track) -> Codec {
    match (track.codec_string(mp4), &track.trak(mp4).mdia.minf.stbl.stsd.contents) {
        (Some(string), _) => Codec::named(string, track.raw_codec_config(mp4)),
        (None, StsdBoxContent::Unknown(code)) => Codec::unknown(String::from_utf8_lossy(&code.value).trim()),
        (None, _) => Codec::unknown("one for sound"),
    }
}

fn samples(track: &Track) -> Result<Vec<Sample>, MediaError> {
    let scale = track.timescale.max(1) as f64;
    let sample = |sample: &re_mp4::Sample| {
        Some(Sample {
            offset: sample.offset,
            size: sample.size.try_into().ok()?,
            key: sample.is_sync,
            timestamp_us: (sample.composition_timestamp as f64 * 1e6 / scale).round() as i64,
        })
    };
    let samples: Option<Vec<Sample>> = track.samples.iter().map(sample).collect();
    samples.ok_or_else(|| MediaError::Damaged("a frame of over 4 GB".to_owned()))
}

/// One part of the edit list, in seconds of the movie and units of the track.
struct Edit {
    duration_s: f64,
    /// `None` where nothing is shown.
    media_time: Option<i64>,
}

/// When each sample is shown, in seconds of the movie, samples that the edit list leaves out left out. One that is shown
/// several times counts once.
fn presentation(trak: &TrakBox, track: &Track, movie_timescale: f64) -> Vec<Shown> {
    let scale = track.timescale.max(1) as f64;
    let shift = composition_shift(trak, track);
    let mut shown: Vec<Option<f64>> = vec![None; track.samples.len()];
    let mut at_s = 0.0;
    for edit in edits(trak, movie_timescale) {
        let start = edit.media_time;
        for (sample, time) in track.samples.iter().zip(&mut shown) {
            let Some(offset) = start.map(|start| (sample.composition_timestamp + shift - start) as f64 / scale) else {
                break;
            };
            if time.is_none() && 0.0 <= offset && offset < edit.duration_s {
                *time = Some(at_s + offset);
            }
        }
        at_s += edit.duration_s;
    }
    let with_index = shown.iter().enumerate();
    with_index.filter_map(|(sample, time)| Some(Shown { time_s: (*time)?, sample })).collect()
}

/// The edit list; a track without one is shown as a whole from its time zero.
fn edits(trak: &TrakBox, movie_timescale: f64) -> Vec<Edit> {
    let list = trak.edts.as_ref().and_then(|edits| edits.elst.as_ref());
    let Some(list) = list.filter(|list| !list.entries.is_empty()) else {
        return vec![Edit { duration_s: f64::INFINITY, media_time: Some(0) }];
    };
    let nothing = if list.version == 1 { u64::MAX } else { u64::from(u32::MAX) };
    let edits = list.entries.iter().map(|entry| {
        let media_time = (entry.media_time != nothing).then_some(entry.media_time as i64);
        // A fragmented file does not know its length: zero then means the rest.
        let endless = entry.segment_duration == 0 && media_time.is_some();
        let duration_s = if endless { f64::INFINITY } else { entry.segment_duration as f64 / movie_timescale };
        Edit { duration_s, media_time }
    });
    edits.collect()
}

/// What `re_mp4` took off all times so that the first one shown is zero; edit lists count from before that. Samples in
/// fragments are not shifted.
fn composition_shift(trak: &TrakBox, track: &Track) -> i64 {
    let table = &trak.mdia.minf.stbl;
    if table.stsz.sample_count == 0 {
        return 0;
    }
    let offsets = table.ctts.iter().flat_map(|ctts| &ctts.entries).map(|entry| i64::from(entry.sample_offset));
    let decode_shift = -offsets.fold(0, i64::min);
    track.samples.first().map_or(0, |first| -first.decode_timestamp - decode_shift)
}

fn first_time(shown: &[Shown]) -> Option<f64> {
    shown.iter().map(|shown| shown.time_s).min_by(f64::total_cmp)
}

/// Mean frames a second, of all samples: those that an edit list leaves out tell as much of it as the others.
fn rate(track: &Track) -> Option<f64> {
    let (first, last) = track.samples.first().zip(track.samples.last())?;
    let span = last.decode_timestamp - first.decode_timestamp + last.duration as i64;
    (span > 0).then(|| track.samples.len() as f64 * track.timescale as f64 / span as f64)
}

/// From the first frame shown to the end of the last.
fn duration(track: &Track, shown: &[Shown]) -> Option<f64> {
    let last = shown.iter().max_by(|a, b| a.time_s.total_cmp(&b.time_s))?;
    let last_s = track.samples.get(last.sample)?.duration as f64 / track.timescale.max(1) as f64;
    let duration_s = last.time_s + last_s - first_time(shown)?;
    (duration_s > 0.0).then_some(duration_s)
}

fn coded_size(trak: &TrakBox) -> (usize, usize) {
    let (width, height) = match &trak.mdia.minf.stbl.stsd.contents {
        StsdBoxContent::Av01(entry) => (entry.width, entry.height),
        StsdBoxContent::Avc1(entry) => (entry.width, entry.height),
        StsdBoxContent::Hvc1(entry) | StsdBoxContent::Hev1(entry) => (entry.width, entry.height),
        StsdBoxContent::Vp08(entry) => (entry.width, entry.height),
        StsdBoxContent::Vp09(entry) => (entry.width, entry.height),
        _ => (trak.tkhd.width.value(), trak.tkhd.height.value()),
    };
    (width.into(), height.into())
}

/// How wide a pixel is to its height, where the size in the track's header is another than the coded one: it is that in square
/// pixels.
fn pixel_aspect(trak: &TrakBox, coded_width: usize, coded_height: usize) -> Option<f64> {
    let (width, height) = (trak.tkhd.width.raw_value(), trak.tkhd.height.raw_value());
    let is_said = width > 0 && height > 0 && coded_width > 0 && coded_height > 0;
    let aspect = (f64::from(width) / f64::from(height)) / (coded_width as f64 / coded_height as f64);
    (is_said && aspect != 1.0).then_some(aspect)
}
