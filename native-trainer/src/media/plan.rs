//! Which frames of a video are decoded, and by which way: one pass over it, or a seek for each.

use std::path::Path;

use unmask_core::pipeline::sampling::frame_indices;

use super::error::MediaError;
use super::probe::{self, Packets, VideoInfo};
use super::programs::Programs;
use super::{Damage, OpenOptions};

/// What one seek costs, in frames of plain decoding: starting ffmpeg, and half a group of pictures (x264 makes them of
/// up to 250 frames). A video with more frames than this for each sample is read by seeking.
const SEEK_COST_FRAMES: usize = 150;

/// Most frames one ffmpeg selects by time; each is a term of its selection's expression.
const TERMS: usize = 500;

/// How far back from the end, in seconds, the last frame is looked for, in this order: sound may outlast the video.
const TAIL_S: [f64; 3] = [5.0, 60.0, 600.0];

/// Which frames one run of ffmpeg selects.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Selection {
    /// `count` of `total` decoded frames, by number, by the rule of `frame_indices`.
    Numbers {
        /// Frames there are.
        total: usize,
        /// Frames to take.
        count: usize,
    },
    /// For each threshold (a time stamp of the stream in seconds) the first frame not before it.
    Times(Vec<f64>),
}

/// One run of ffmpeg.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    /// Whether it starts by seeking to before its first threshold.
    pub(super) seek: bool,
    /// What it selects.
    pub(super) selection: Selection,
    /// Whether its last frame is the last of the video, so that it reads to the end.
    pub(super) to_end: bool,
}

/// How a video is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// The runs, in order of time.
    pub(super) segments: Vec<Segment>,
    /// Mean time from a frame to the next, in seconds.
    pub(super) step_s: f64,
    /// How much later than displayed the decoder stamps frames, in seconds: not zero where packets have no
    /// presentation times, as in AVI.
    pub(super) delay_s: f64,
    /// Whether decoding starts at a key frame; where not, errors before the first frame are no damage.
    pub(super) starts_clean: bool,
    /// Frames in the whole video, where known.
    pub(super) frame_count: Option<u64>,
}

/// The way that costs less. A damaged file is refused here where its packets already show it.
pub(super) fn plan(
    programs: &Programs,
    path: &Path,
    info: &VideoInfo,
    options: &OpenOptions,
) -> Result<Plan, MediaError> {
    let by_rate = info.duration_s.zip(info.fps).map(|(duration, fps)| (duration * fps) as usize);
    let frames = info.frame_count.map(|count| count as usize).or(by_rate);
    if frames.is_some_and(|frames| frames > options.frames.saturating_mul(SEEK_COST_FRAMES))
        && let Some(plan) = seeking(programs, path, info, options)?
    {
        return Ok(plan);
    }
    sequential(programs, path, info, options)
}

/// One pass over the whole video. The frames are chosen from the list of its packets, so that the count is exact.
pub(super) fn sequential(
    programs: &Programs,
    path: &Path,
    info: &VideoInfo,
    options: &OpenOptions,
) -> Result<Plan, MediaError> {
    let packets = probe::packets(programs, path, info, None)?;
    refuse_damage(path, info, &packets, options)?;
    let times = &packets.times_s;
    let total = times.len();
    if total == 0 {
        return Err(MediaError::NoFrames { path: path.to_owned() });
    }
    refuse_early_end(path, info, times, options)?;
    let span = times.last().zip(times.first()).map_or(0.0, |(last, first)| last - first);
    let nominal = info.fps.map_or(0.04, |fps| 1.0 / fps);
    let step_s = if packets.presentation && total > 1 { span / (total - 1) as f64 } else { nominal };
    let segments = match packets.presentation {
        true => chunks(times, options.frames, nominal),
        false => {
            let selection = Selection::Numbers { total, count: options.frames };
            vec![Segment { seek: false, selection, to_end: options.frames > 1 || total == 1 }]
        }
    };
    Ok(Plan {
        segments,
        step_s: if step_s > 0.0 { step_s } else { nominal },
        delay_s: delay(info, packets.presentation, nominal),
        starts_clean: packets.starts_with_key,
        frame_count: Some(total as u64),
    })
}

/// A seek for each sample. None where there is no rate or no end to reckon with.
pub(super) fn seeking(
    programs: &Programs,
    path: &Path,
    info: &VideoInfo,
    options: &OpenOptions,
) -> Result<Option<Plan>, MediaError> {
    let Some((fps, duration)) = info.fps.zip(info.duration_s) else {
        return Ok(None);
    };
    let end_s = info.first_s.max(info.origin_s) + duration;
    let mut tail = Packets::default();
    for back in TAIL_S.into_iter().filter(|back| *back < duration) {
        tail = probe::packets(programs, path, info, Some(end_s - back))?;
        refuse_damage(path, info, &tail, options)?;
        if !tail.times_s.is_empty() {
            break;
        }
    }
    let Some(last_s) = tail.times_s.last().copied().filter(|last| *last > info.first_s) else {
        return Ok(None);
    };
    let delay_s = delay(info, tail.presentation, 1.0 / fps);
    let gaps = ((last_s - info.first_s) * fps).round().max(1.0);
    let step_s = (last_s - info.first_s) / gaps;
    let indices = frame_indices(gaps as usize + 1, options.frames);
    let threshold = |index: usize| info.first_s + delay_s + (index as f64 - 0.5) * step_s;
    let segments = indices.iter().map(|&index| Segment {
        seek: index > 0,
        selection: Selection::Times(vec![threshold(index)]),
        to_end: index == gaps as usize,
    });
    Ok(Some(Plan { segments: segments.collect(), step_s, delay_s, starts_clean: true, frame_count: info.frame_count }))
}

/// The sampled ones of `times`, [`TERMS`] to a run. A threshold lies midway between a frame and the one before it.
fn chunks(times: &[f64], count: usize, nominal: f64) -> Vec<Segment> {
    let threshold = |index: usize| match index {
        0 => times[0] - nominal,
        _ => (times[index - 1] + times[index]) / 2.0,
    };
    let indices = frame_indices(times.len(), count);
    let last = times.len() - 1;
    let segment = |(number, chunk): (usize, &[usize])| Segment {
        seek: number > 0,
        selection: Selection::Times(chunk.iter().map(|&index| threshold(index)).collect()),
        to_end: chunk.last() == Some(&last),
    };
    indices.chunks(TERMS).enumerate().map(segment).collect()
}

/// How much later than displayed frames are stamped where packets carry decoding times only.
fn delay(info: &VideoInfo, presentation: bool, step_s: f64) -> f64 {
    if presentation { 0.0 } else { f64::from(info.reorder) * step_s }
}

fn refuse_damage(path: &Path, info: &VideoInfo, packets: &Packets, options: &OpenOptions) -> Result<(), MediaError> {
    match &packets.damage {
        Some(detail) if options.damage == Damage::Refuse => Err(MediaError::Damaged {
            path: path.to_owned(),
            near_s: packets.times_s.last().map(|last| last - info.origin_s),
            detail: detail.clone(),
        }),
        _ => Ok(()),
    }
}

/// Refuses an AVI whose packets end a second or more before its header says: its cut-off end gives no other sign.
fn refuse_early_end(path: &Path, info: &VideoInfo, times: &[f64], options: &OpenOptions) -> Result<(), MediaError> {
    let expected_s = info.duration_s.filter(|_| info.container == "avi" && options.damage == Damage::Refuse);
    let last_s = times.last().map(|last| last - info.origin_s);
    match expected_s.zip(last_s) {
        Some((expected, last)) if last + 1.0 < expected => {
            let detail = format!("it ends {:.1} s early", expected - last);
            Err(MediaError::Damaged { path: path.to_owned(), near_s: Some(last), detail })
        }
        _ => Ok(()),
    }
}
