//! Whether the times of a video's frames are those of a clock, and what stands in for them where they are not. The native
//! program judges by the same numbers.

use super::{Shown, Video};

/// Frames a second where nothing says how many.
const USUAL_RATE: f64 = 25.0;

/// A gap between two frames, in seconds, below which it is no jump of the clock.
const JUMP_S: f64 = 10.0;

/// How many times longer than usual a gap has to be to be a jump.
const JUMP_TO_USUAL: f64 = 100.0;

/// How much longer than all other time jumps last, together, where the clock is not believed.
const JUMPS_TO_REST: f64 = 10.0;

/// Most frames that are decoded before one and displayed after it: what the buffers of H.264 and HEVC hold.
const MOST_AHEAD: usize = 16;

/// A usual gap between two frames, in seconds, that no camera reaches: writers that must not repeat a time count on by one
/// tick.
const SHORTEST_S: f64 = 5e-4;

/// Gives frames even times in the order of decoding where those in the file cannot be right.
pub(super) fn correct(video: &mut Video) {
    let mut shown = video.shown.clone();
    shown.sort_by_key(|shown| shown.sample);
    let times_s: Vec<f64> = shown.iter().map(|shown| shown.time_s).collect();
    if runs(&times_s) {
        return;
    }
    let step_s = usual_gap(&times_s).unwrap_or(1.0 / video.fps.unwrap_or(USUAL_RATE));
    let start_s = shown.first().map_or(0.0, |first| first.time_s);
    let even = |(number, shown): (usize, Shown)| Shown { time_s: start_s + number as f64 * step_s, ..shown };
    video.shown = shown.into_iter().enumerate().map(even).collect();
    video.duration_s = Some(video.shown.len() as f64 * step_s);
    video.fps = Some(1.0 / step_s);
    video.facts.bad_times = true;
}

/// Whether times, in the order of decoding, are those of a clock: hardly two alike, never back by more than decoders reorder,
/// not mostly jumps.
fn runs(times_s: &[f64]) -> bool {
    if times_s.len() < 2 {
        return true;
    }
    if goes_back(times_s) {
        return false;
    }
    let gaps = gaps(times_s);
    let equal = gaps.iter().filter(|gap| **gap <= 0.0).count();
    let usual = gaps[gaps.len() / 2];
    if equal * 10 > gaps.len() || usual < SHORTEST_S {
        return false;
    }
    let jumps: f64 = gaps.iter().filter(|gap| **gap > JUMP_S && **gap > JUMP_TO_USUAL * usual).sum();
    jumps <= JUMPS_TO_REST * (gaps.iter().sum::<f64>() - jumps)
}

/// Whether a frame is displayed before more of those decoded earlier than buffers hold.
fn goes_back(times_s: &[f64]) -> bool {
    // The latest so far, ascending.
    let mut ahead: Vec<f64> = Vec::with_capacity(MOST_AHEAD + 2);
    for time_s in times_s {
        if ahead.len() > MOST_AHEAD && *time_s < ahead[0] {
            return true;
        }
        ahead.insert(ahead.partition_point(|other| other < time_s), *time_s);
        if ahead.len() > MOST_AHEAD + 1 {
            ahead.remove(0);
        }
    }
    false
}

/// Times from each frame to the next in the order of display, the shortest first.
fn gaps(times_s: &[f64]) -> Vec<f64> {
    let mut times_s = times_s.to_vec();
    times_s.sort_by(f64::total_cmp);
    let mut gaps: Vec<f64> = times_s.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    gaps
}

/// The time from a frame to the next of most of those that have one.
fn usual_gap(times_s: &[f64]) -> Option<f64> {
    let gaps: Vec<f64> = gaps(times_s).into_iter().filter(|gap| *gap >= SHORTEST_S).collect();
    gaps.get(gaps.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_stand_still_run_back_or_jump_are_not_believed() {
        let even: Vec<f64> = (0..50).map(|number| f64::from(number) * 0.04).collect();
        let shifted = |by: f64| -> Vec<f64> {
            even.iter().enumerate().map(|(n, time)| time + if n < 25 { 0.0 } else { by }).collect()
        };
        assert!([even.clone(), shifted(15.0), vec![3.0], Vec::new()].iter().all(|times| runs(times)));
        let ticking = (0..50).map(|number| 7.0 + f64::from(number) / 90_000.0).collect();
        assert!([shifted(95_443.7), shifted(-5.0), vec![7.0; 50], ticking].iter().all(|times| !runs(times)));
    }

    #[test]
    fn frames_get_even_times_in_the_order_of_decoding() {
        let shown = (0..4).map(|sample| Shown { time_s: 7.0, sample }).rev().collect();
        let mut video = Video { shown, fps: Some(2.0), ..Video::default() };
        correct(&mut video);
        let times: Vec<(usize, f64)> = video.shown.iter().map(|shown| (shown.sample, shown.time_s)).collect();
        assert_eq!(times, [(0, 7.0), (1, 7.5), (2, 8.0), (3, 8.5)]);
        assert!(video.facts.bad_times);
        assert_eq!((video.duration_s, video.number(2)), (Some(2.0), 2));
    }
}
