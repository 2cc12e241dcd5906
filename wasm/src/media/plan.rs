//! Which frames are decoded to see the sampled ones: of each only what lies between it and a key frame before it.

use unmask_core::pipeline::sampling::frame_indices;

use super::{Shown, Video};

/// Samples that are decoded one after the other, beginning with a key frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The first sample, a key frame.
    pub first: usize,
    /// The last sample.
    pub last: usize,
    /// The frames to look at among them, in order of time.
    pub wanted: Vec<Shown>,
}

/// The runs that show `count` frames, evenly spaced by their numbers as the native program takes them. Where times do not tell
/// frames apart, all are decoded.
pub fn plan(video: &Video, count: usize) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    if video.facts.bad_times {
        let first = video.samples.iter().position(|sample| sample.key).unwrap_or(0);
        let wanted = frame_indices(video.shown.len(), count).into_iter().map(|index| video.shown[index]).collect();
        return vec![Run { first, last: video.samples.len() - 1, wanted }];
    }
    for index in frame_indices(video.shown.len(), count) {
        let wanted = video.shown[index];
        let first = key_before(video, wanted.sample);
        match runs.last_mut().filter(|run| first <= run.last) {
            Some(run) => {
                run.last = run.last.max(wanted.sample);
                run.wanted.push(wanted);
            }
            None => runs.push(Run { first, last: wanted.sample, wanted: vec![wanted] }),
        }
    }
    runs
}

/// When a player of the file is to look for a frame of `video` that is shown at `time_s`, in seconds: halfway to the next, where no rounding of times
/// leads to a neighbour.
pub fn amid(video: &Video, time_s: f64) -> f64 {
    let later = video.shown.partition_point(|shown| shown.time_s <= time_s);
    let step_s = match (video.shown.get(later), video.fps) {
        (Some(next), _) => next.time_s - time_s,
        (None, Some(fps)) => 1.0 / fps,
        (None, None) => 0.0,
    };
    video.begins_s + time_s + step_s / 2.0
}

/// The last key frame from which `sample` can be decoded. A frame that is decoded after a key frame but displayed
/// before it may refer to frames before the key frame, so it needs the one before.
fn key_before(video: &Video, sample: usize) -> usize {
    let time = video.samples[sample].timestamp_us;
    let usable = |index: &usize| video.samples[*index].key && video.samples[*index].timestamp_us <= time;
    (0..=sample).rev().find(usable).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Facts, Sample};

    /// A video with the given times of display, in the order of decoding, and key frames.
    fn video(frames: &[(i64, bool)]) -> Video {
        let sample = |(index, (time, key)): (usize, &(i64, bool))| Sample {
            offset: index as u64,
            size: 1,
            key: *key,
            timestamp_us: *time,
        };
        let samples: Vec<Sample> = frames.iter().enumerate().map(sample).collect();
        let mut shown: Vec<Shown> =
            (0..samples.len()).map(|sample| Shown { time_s: samples[sample].timestamp_us as f64, sample }).collect();
        shown.sort_by(|a, b| a.time_s.total_cmp(&b.time_s));
        Video { samples, shown, ..Video::default() }
    }

    fn summary(runs: &[Run]) -> Vec<(usize, usize, Vec<usize>)> {
        runs.iter().map(|run| (run.first, run.last, run.wanted.iter().map(|w| w.sample).collect())).collect()
    }

    #[test]
    fn each_run_begins_at_the_key_frame_before_what_is_wanted() {
        let frames: Vec<(i64, bool)> = (0..31).map(|index| (index, index % 10 == 0)).collect();
        assert_eq!(
            summary(&plan(&video(&frames), 4)),
            [(0, 0, vec![0]), (10, 10, vec![10]), (20, 20, vec![20]), (30, 30, vec![30])]
        );
        assert_eq!(summary(&plan(&video(&frames), 3)), [(0, 0, vec![0]), (10, 15, vec![15]), (30, 30, vec![30])]);
    }

    #[test]
    fn what_is_wanted_after_the_same_key_frame_is_one_run() {
        let frames: Vec<(i64, bool)> = (0..31).map(|index| (index, index == 0)).collect();
        assert_eq!(summary(&plan(&video(&frames), 3)), [(0, 30, vec![0, 15, 30])]);
    }

    #[test]
    fn a_frame_shown_before_the_key_frame_it_follows_is_decoded_from_the_one_before() {
        // Display order 0 1 2 3; the frame shown at 2 is decoded after the key frame shown at 3.
        let frames = [(0, true), (1, false), (3, true), (2, false)];
        assert_eq!(summary(&plan(&video(&frames), 4)), [(0, 3, vec![0, 1, 3, 2])]);
    }

    #[test]
    fn frames_that_times_do_not_tell_apart_are_all_decoded() {
        let mut video = video(&[(0, false), (0, true), (0, false), (0, false)]);
        video.shown.remove(0);
        video.facts = Facts { bad_times: true, ..Facts::default() };
        assert_eq!(summary(&plan(&video, 2)), [(1, 3, vec![1, 3])]);
    }

    #[test]
    fn a_frame_is_looked_for_halfway_to_the_next() {
        let mut video = video(&[(0, true), (1, false), (4, false)]);
        video.fps = Some(0.5);
        assert_eq!([0.0, 1.0, 4.0].map(|time_s| amid(&video, time_s)), [0.5, 2.5, 5.0]);
    }

    #[test]
    fn a_stream_without_a_key_frame_is_decoded_from_its_start() {
        assert_eq!(summary(&plan(&video(&[(0, false), (1, false)]), 1)), [(0, 0, vec![0])]);
    }
}
