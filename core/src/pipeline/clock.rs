//! Whether the times of a video's frames are those of a clock. Containers are written by people and programs that err;
//! where their times cannot be right, frames count by their number alone.

use alloc::vec::Vec;

/// Frames a second where nothing says how many.
pub const USUAL_RATE: f64 = 25.0;

/// A usual gap between two frames, in seconds, that no camera reaches: writers that must not repeat a time count on by
/// one tick.
const SHORTEST_S: f64 = 5e-4;

/// A gap between two frames, in seconds, below which it is no jump of the clock.
const JUMP_S: f64 = 10.0;

/// How many times longer than usual a gap has to be to be a jump.
const JUMP_TO_USUAL: f64 = 100.0;

/// How much longer than all other time jumps last, together, where the clock is not believed.
const JUMPS_TO_REST: f64 = 10.0;

/// Most frames that are decoded before one and displayed after it: what the buffers of H.264 and HEVC hold.
const MOST_AHEAD: usize = 16;

/// Whether times in seconds, in the order of decoding, are those of a clock: hardly two alike, never back by more than
/// decoders reorder, not mostly jumps. Fewer than two times always are.
///
/// ```
/// use unmask_core::pipeline::clock::runs;
/// assert!(runs(&[0.0, 0.12, 0.04, 0.08]));
/// assert!(!runs(&[7.0; 4]));
/// ```
pub fn runs(times_s: &[f64]) -> bool {
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

/// Frames a second above which a stated rate is no camera's, where times in the same file are wrong: it was made of them.
const FASTEST_STATED: f64 = 300.0;

/// The time in seconds from a frame to the next, where the times in the order of decoding are not those of a clock: the usual
/// gap of those that have one, else what the container states, else that of [`USUAL_RATE`].
///
/// ```
/// use unmask_core::pipeline::clock::even_step;
/// assert_eq!(even_step(&[0.0, 0.5, 1.0, 1001.0, 1001.5], Some(0.005)), 0.5);
/// assert_eq!(even_step(&[7.0; 4], Some(50.0)), 0.02);
/// assert_eq!(even_step(&[7.0; 4], Some(90_000.0)), 0.04);
/// ```
pub fn even_step(times_s: &[f64], stated: Option<f64>) -> f64 {
    let gaps: Vec<f64> = gaps(times_s).into_iter().filter(|gap| *gap >= SHORTEST_S).collect();
    let stated = stated.filter(|rate| *rate > 0.0 && *rate <= FASTEST_STATED);
    gaps.get(gaps.len() / 2).copied().unwrap_or_else(|| 1.0 / stated.unwrap_or(USUAL_RATE))
}

/// Frames a second of a video: what its container states, where the mean is about that (times are rounded), else the mean.
///
/// ```
/// use unmask_core::pipeline::clock::rate;
/// assert_eq!(rate(Some(25.0), Some(24.8)), Some(25.0));
/// assert_eq!(rate(Some(25.0), Some(4.0)), Some(4.0));
/// ```
pub fn rate(stated: Option<f64>, mean: Option<f64>) -> Option<f64> {
    /// How far the mean may be off, as a part of it.
    const ROUNDING: f64 = 0.05;
    let is_about = |stated: &f64| mean.is_none_or(|mean| libm::fabs(stated / mean - 1.0) < ROUNDING);
    stated.filter(is_about).or(mean)
}

/// Times in seconds from each frame to the next in the order of display, the shortest first.
pub fn gaps(times_s: &[f64]) -> Vec<f64> {
    let mut times_s = times_s.to_vec();
    times_s.sort_by(f64::total_cmp);
    let mut gaps: Vec<f64> = times_s.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    gaps
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

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
}
