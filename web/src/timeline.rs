//! One person's scores in order of time, and how one moves among them.

use crate::report::{Report, Track};

/// What is looked at: a person in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Index among the report's frames.
    pub(crate) frame: usize,
    pub(crate) track: usize,
}

/// One frame in which a person was scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Index among the report's frames.
    pub(crate) frame: usize,
    pub(crate) time_s: f64,
    pub(crate) score: f64,
}

/// One person's scores.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lane {
    pub(crate) track: Track,
    pub(crate) points: Vec<Point>,
}

/// How far a key moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    By(isize),
    First,
    Last,
}

/// Frames that the page keys move by.
const PAGE: isize = 5;

impl Step {
    /// What a key means on a timeline, which is a slider to assistive technology.
    pub(crate) fn of_key(key: &str) -> Option<Self> {
        match key {
            "ArrowLeft" | "ArrowDown" => Some(Self::By(-1)),
            "ArrowRight" | "ArrowUp" => Some(Self::By(1)),
            "PageDown" => Some(Self::By(-PAGE)),
            "PageUp" => Some(Self::By(PAGE)),
            "Home" => Some(Self::First),
            "End" => Some(Self::Last),
            _ => None,
        }
    }
}

impl Lane {
    /// The lanes of a report, that of the person who decides the verdict first.
    pub(crate) fn all(report: &Report) -> Vec<Self> {
        report.scored_tracks().into_iter().map(|track| Self::new(report, track)).collect()
    }

    fn new(report: &Report, track: Track) -> Self {
        let point = |(frame, seen): (usize, &crate::report::Frame)| {
            let score = report.scored_face(frame, track.id)?.score?;
            Some(Point { frame, time_s: seen.time_s, score })
        };
        Self { track, points: report.frames.iter().enumerate().filter_map(point).collect() }
    }

    /// Where a moment is among the points; `None` if it is somebody else's.
    pub(crate) fn position(&self, moment: Option<Moment>) -> Option<usize> {
        let moment = moment.filter(|moment| moment.track == self.track.id)?;
        self.points.iter().position(|point| point.frame == moment.frame)
    }

    /// Where the highest score is.
    pub(crate) fn peak(&self) -> Option<usize> {
        (0..self.points.len()).max_by(|one, other| self.points[*one].score.total_cmp(&self.points[*other].score))
    }

    /// The moment at a position.
    pub(crate) fn moment(&self, position: usize) -> Option<Moment> {
        Some(Moment { frame: self.points.get(position)?.frame, track: self.track.id })
    }

    /// Where a step leads from a moment, within the lane.
    pub(crate) fn step(&self, from: Option<Moment>, step: Step) -> Option<Moment> {
        let last = self.points.len().checked_sub(1)?;
        let position = match (step, self.position(from)) {
            (Step::First, _) => 0,
            (Step::Last, _) => last,
            (Step::By(_), None) => self.peak()?,
            (Step::By(count), Some(position)) => position.saturating_add_signed(count).min(last),
        };
        self.moment(position)
    }

    /// Lowest and highest score.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        let scores = || self.points.iter().map(|point| point.score);
        Some((scores().min_by(f64::total_cmp)?, scores().max_by(f64::total_cmp)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::two_people;

    fn first_person() -> Lane {
        Lane::all(&two_people()).remove(1)
    }

    #[test]
    fn a_lane_has_the_frames_in_which_its_person_was_scored() {
        let frames: Vec<usize> = first_person().points.iter().map(|point| point.frame).collect();
        assert_eq!(frames, [0, 1, 3]);
        assert_eq!(first_person().range(), Some((0.2, 0.4)));
    }

    #[test]
    fn steps_skip_frames_without_the_person_and_stop_at_the_ends() {
        let lane = first_person();
        let at = |frame| Some(Moment { frame, track: 0 });
        for (from, key, to) in [
            (at(1), "ArrowRight", at(3)),
            (at(3), "ArrowRight", at(3)),
            (at(1), "ArrowLeft", at(0)),
            (at(0), "ArrowDown", at(0)),
            (at(0), "PageUp", at(3)),
            (at(3), "Home", at(0)),
            (at(0), "End", at(3)),
        ] {
            let step = Step::of_key(key).expect("a key of timelines");
            assert_eq!(lane.step(from, step), to, "{key} from {from:?}");
        }
        assert_eq!(Step::of_key("Enter"), None);
    }

    #[test]
    fn the_first_step_on_a_lane_that_shows_nothing_goes_to_its_highest_score() {
        let elsewhere = Some(Moment { frame: 2, track: 1 });
        assert_eq!(first_person().step(elsewhere, Step::By(1)), Some(Moment { frame: 1, track: 0 }));
    }
}
