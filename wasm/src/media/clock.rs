//! What stands in for the times of a video's frames where they are not those of a clock.

use unmask_core::pipeline::clock::{even_step, runs};

use super::{Shown, Video};

/// Gives frames even times in the order of decoding where those in the file cannot be right.
pub(super) fn correct(video: &mut Video) {
    let mut shown = video.shown.clone();
    shown.sort_by_key(|shown| shown.sample);
    let times_s: Vec<f64> = shown.iter().map(|shown| shown.time_s).collect();
    if runs(&times_s) {
        return;
    }
    let step_s = even_step(&times_s, video.fps);
    let start_s = shown.first().map_or(0.0, |first| first.time_s);
    let even = |(number, shown): (usize, Shown)| Shown { time_s: start_s + number as f64 * step_s, ..shown };
    video.shown = shown.into_iter().enumerate().map(even).collect();
    video.duration_s = Some(video.shown.len() as f64 * step_s);
    video.fps = Some(1.0 / step_s);
    video.facts.bad_times = true;
}

#[cfg(test)]
mod tests {
    use super::*;

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
