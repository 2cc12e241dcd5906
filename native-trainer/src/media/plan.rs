//! Which frames of a video are decoded, and in how many runs of ffmpeg: one pass over it, or seeks that skip what is
//! not needed.

use std::path::Path;

use unmask_core::pipeline::sampling::frame_indices;

use super::error::MediaError;
use super::packets::{Clock, Listed, Listing};
use super::probe::VideoInfo;
use super::{Damage, OpenOptions};

/// What a new run of ffmpeg costs, in frames of plain decoding: starting it, and reading the index.
const START_COST_FRAMES: usize = 100;

/// Most frames one ffmpeg selects by time; each is a term of its selection's expression.
pub(super) const TERMS: usize = 500;

/// Demuxers, by ffmpeg's names, that find a time in the file. With others a seek reads it from the start.
const SEEKABLE: [&str; 11] = ["mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "mxf", "nut", "ogg", "wtv"];

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
    /// The time stamp, in seconds, of the key frame to start from; none to read from the start.
    pub(super) key_s: Option<f64>,
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
    /// The time stamp, in seconds, that times of frames count from.
    pub(super) zero_s: f64,
    /// How much later than displayed the decoder stamps frames, in seconds: not zero where packets have no
    /// presentation times, as in AVI.
    pub(super) delay_s: f64,
    /// Whether times are those of the file; else they are made up from numbers.
    pub(super) believed: bool,
    /// Whether decoding starts at a key frame; where not, errors before the first frame are no damage.
    pub(super) starts_clean: bool,
    /// Messages, in ffmpeg's words, that are no damage.
    pub(super) harmless: Vec<String>,
    /// The byte of the file to read up to; none to its end.
    pub(super) until: Option<u64>,
}

/// The way that costs least. A damaged file is refused here where its packets already show it.
pub(super) fn plan(
    path: &Path,
    info: &VideoInfo,
    listing: &Listing,
    options: &OpenOptions,
) -> Result<Plan, MediaError> {
    refuse_damage(path, info, listing, options)?;
    refuse_early_end(path, info, listing, options)?;
    Ok(with_start_cost(info, listing, options.frames, START_COST_FRAMES))
}

/// The plan for a run that costs as much to start as decoding so many frames.
pub(super) fn with_start_cost(info: &VideoInfo, listing: &Listing, count: usize, start_cost: usize) -> Plan {
    let seekable = info.container.split(',').any(|name| SEEKABLE.contains(&name));
    let runs = runs(&listing.frames, count, if seekable { start_cost } else { usize::MAX });
    let by_number = match listing.clock {
        Clock::Presentation => false,
        // Where the decoder's order differs, these times are good for seeking, and numbers are better in one pass.
        Clock::Decoding => runs.len() == 1,
        Clock::Wrong { .. } => true,
    };
    let delay_s = if listing.clock == Clock::Decoding { f64::from(info.reorder) * listing.usual_step_s } else { 0.0 };
    let total = listing.frames.len();
    let segments = match by_number {
        true => vec![Segment {
            key_s: None,
            selection: Selection::Numbers { total, count },
            to_end: count > 1 || total == 1,
        }],
        false => runs.iter().map(|indices| segment(listing, indices, delay_s)).collect(),
    };
    Plan {
        segments,
        step_s: listing.step_s,
        zero_s: listing.zero_s(info.origin_s),
        delay_s,
        believed: !matches!(listing.clock, Clock::Wrong { .. }),
        starts_clean: listing.starts_clean,
        harmless: listing.joints.clone(),
        until: listing.until,
    }
}

/// The sampled ones of `frames`, by index, split where it is cheaper to seek to a key frame than to decode on.
fn runs(frames: &[Listed], count: usize, start_cost: usize) -> Vec<Vec<usize>> {
    let mut runs: Vec<Vec<usize>> = Vec::new();
    // How far the run so far has decoded.
    let mut place = 0;
    for index in frame_indices(frames.len(), count) {
        let frame = &frames[index];
        let saved = frame.key_place.saturating_sub(place);
        let full = runs.last().is_some_and(|run| run.len() >= TERMS);
        match runs.last_mut().filter(|_| saved <= start_cost && !full) {
            Some(run) => run.push(index),
            None => runs.push(vec![index]),
        }
        place = place.max(frame.place);
    }
    runs
}

/// The run for the frames of the given indices. A threshold lies midway between a frame and the one before it.
fn segment(listing: &Listing, indices: &[usize], delay_s: f64) -> Segment {
    let frames = &listing.frames;
    let threshold = |index: usize| (frames[index].after_s + frames[index].time_s) / 2.0;
    let first = indices.first().map(|index| &frames[*index]);
    let is_start = |frame: &Listed| frame.key_place == frames.iter().map(|frame| frame.key_place).min().unwrap_or(0);
    Segment {
        key_s: first.filter(|frame| !is_start(frame)).map(|frame| frame.key_time_s + delay_s),
        selection: Selection::Times(indices.iter().map(|&index| threshold(index) + delay_s).collect()),
        to_end: indices.last() == Some(&(frames.len() - 1)),
    }
}

fn refuse_damage(path: &Path, info: &VideoInfo, listing: &Listing, options: &OpenOptions) -> Result<(), MediaError> {
    match &listing.damage {
        Some(detail) if options.damage == Damage::Refuse => Err(MediaError::Damaged {
            path: path.to_owned(),
            what: info.medium(),
            near_s: listing.frames.last().map(|last| last.time_s - listing.zero_s(info.origin_s)),
            detail: detail.clone(),
            skippable: !info.is_picture(),
        }),
        _ => Ok(()),
    }
}

/// Refuses an AVI whose packets end a second or more before its header says: its cut-off end gives no other sign.
fn refuse_early_end(path: &Path, info: &VideoInfo, listing: &Listing, options: &OpenOptions) -> Result<(), MediaError> {
    let expected_s = info.header_duration_s.filter(|_| info.container == "avi" && options.damage == Damage::Refuse);
    let last_s = listing.frames.last().map(|last| last.time_s - info.origin_s);
    match expected_s.zip(last_s) {
        Some((expected, last)) if last + 1.0 < expected => {
            let detail = format!("it ends {:.1} s early", expected - last);
            let (path, what) = (path.to_owned(), info.medium());
            Err(MediaError::Damaged { path, what, near_s: Some(last), detail, skippable: true })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames in the order of decoding, with a key frame every `group`.
    fn frames(total: usize, group: usize) -> Vec<Listed> {
        let listed = |place: usize| {
            let key_place = place / group * group;
            let time_s = place as f64;
            Listed { time_s, after_s: time_s - 1.0, place, key_place, key_time_s: key_place as f64 }
        };
        (0..total).map(listed).collect()
    }

    #[test]
    fn a_seek_is_made_only_where_it_skips_more_than_it_costs() {
        assert_eq!(runs(&frames(3000, 10), 4, 100), [[0], [999], [1999], [2999]]);
        // One key frame in all: whatever is wanted lies in one pass.
        assert_eq!(runs(&frames(15_000, 15_000), 32, 100).len(), 1);
        assert_eq!(runs(&frames(200, 10), 32, 100).len(), 1);
        // Groups of half the length: what lies in one group is one run.
        assert_eq!(runs(&frames(4000, 2000), 4, 100), [vec![0, 1333], vec![2666, 3999]]);
    }

    #[test]
    fn a_run_selects_no_more_frames_than_its_expression_holds() {
        let runs = runs(&frames(1200, 10), 1200, usize::MAX);
        assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 200]);
    }
}
