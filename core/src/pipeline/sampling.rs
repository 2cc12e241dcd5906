//! Which frames of a video are looked at: evenly spaced from the first to the last.
//!
//! One rule holds everywhere, for short files and long ones, natively and in browsers: **frames count by their
//! number**. All frames that can be displayed are listed in the order of display, and [`frame_indices`] takes its
//! share of the list. Times play no part, so a video whose rate varies is looked at more often where it has more
//! frames (each is a picture of its own, while a still stretch without frames has nothing new to show), and stamps
//! that are equal, missing or jump change nothing. What is listed is the container's packets, without those that
//! cannot be displayed: what an edit list cuts off, and what comes before the first key frame or refers to it. No
//! frame is decoded to be counted. Only where nothing lists the frames (a player's video element) do [`frame_times`]
//! stand in.

use alloc::vec::Vec;

/// Indices of `count` frames evenly spaced over `total`: `floor(i·(total − 1)/(count − 1))` for `i` in `0..count`,
/// the rule of DeepfakeBench's sampling, so the first and the last frame are always among them.
///
/// The indices ascend and none repeats: where the video has fewer frames than asked for, each is taken once.
/// One frame is the first one; no frame asked for, or none there, is an empty list.
///
/// ```
/// use unmask_core::pipeline::sampling::frame_indices;
/// assert_eq!(frame_indices(10, 4), [0, 3, 6, 9]);
/// assert_eq!(frame_indices(3, 32), [0, 1, 2]);
/// ```
pub fn frame_indices(total: usize, count: usize) -> Vec<usize> {
    if count >= total {
        return (0..total).collect();
    }
    // In u128 the product cannot overflow; with count < total each step is at least one, so none repeats.
    let last = total as u128 - 1;
    let gaps = count.saturating_sub(1).max(1) as u128;
    (0..count as u128).map(|i| (i * last / gaps) as usize).collect()
}

/// Times in seconds, after the first frame, of `count` samples evenly spaced over `span_s` seconds: what stands in
/// for [`frame_indices`] where the number of frames is unknown.
///
/// `span_s` is the time from the first frame to the last. The frame to take is the one displayed at each time, so
/// that one frame may answer several times in a video with fewer frames than asked for. A span that is negative, not
/// a number or infinite counts as zero: the first frame alone.
pub fn frame_times(span_s: f64, count: usize) -> Vec<f64> {
    if count == 0 {
        return Vec::new();
    }
    if !span_s.is_finite() || span_s <= 0.0 || count == 1 {
        return Vec::from([0.0]);
    }
    let gaps = (count - 1) as f64;
    (0..count).map(|i| span_s * (i as f64 / gaps)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_follow_the_floor_rule() {
        for (total, count) in [(300, 32), (33, 32), (32, 31), (1000, 7), (2, 1), (180_000, 32)] {
            let expected: Vec<usize> = match count {
                1 => Vec::from([0]),
                _ => (0..count).map(|i| i * (total - 1) / (count - 1)).collect(),
            };
            assert_eq!(frame_indices(total, count), expected, "{total} frames, {count} samples");
        }
    }

    #[test]
    fn indices_ascend_without_repeats_and_reach_both_ends() {
        for total in 1..80 {
            for count in 2..80 {
                let indices = frame_indices(total, count);
                assert_eq!(indices.len(), total.min(count));
                assert!(indices.windows(2).all(|pair| pair[0] < pair[1]));
                assert_eq!((indices[0], indices[indices.len() - 1]), (0, total - 1));
            }
        }
    }

    #[test]
    fn nothing_asked_for_or_nothing_there_gives_nothing() {
        assert!(frame_indices(0, 32).is_empty());
        assert!(frame_indices(32, 0).is_empty());
        assert!(frame_times(1.0, 0).is_empty());
    }

    #[test]
    fn huge_counts_do_not_overflow() {
        let indices = frame_indices(usize::MAX, 3);
        assert_eq!(indices, [0, (usize::MAX - 1) / 2, usize::MAX - 1]);
    }

    #[test]
    fn times_span_from_zero_to_the_end() {
        assert_eq!(frame_times(9.0, 4), [0.0, 3.0, 6.0, 9.0]);
        assert_eq!(frame_times(9.0, 1), [0.0]);
        assert_eq!(frame_times(0.0, 5), [0.0]);
        assert_eq!(frame_times(f64::NAN, 5), [0.0]);
    }
}
