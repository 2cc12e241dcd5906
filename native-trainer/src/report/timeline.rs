//! The figure of scores over time. Places across are in percent, so that the figure fits any width with letters of one
//! size; places down are in pixels.

use unmask_core::detector::spec::Calibration;
use unmask_core::pipeline::report::{FaceReport, FrameReport, Report};

use super::figures::{clock, count, figure, percent, spread, threshold};
use super::words::{self, scores_of};

/// Height of the plot in pixels.
const HEIGHT: f64 = 220.0;
/// Room at either end of the time axis, in parts of the width, so that no mark is cut off.
const SIDE: f64 = 0.015;
/// People drawn at most: those with the highest scores.
const MAX_PEOPLE: usize = 6;
/// Points of a person drawn at most; of more frames, several that follow each other share a point.
const MAX_POINTS: usize = 160;
/// Frames listed at most in the table beside the figure; the JSON has all.
const MAX_ROWS: usize = 400;
/// Labels on the time axis at most.
const MAX_TICKS: f64 = 6.0;
/// Distances of labels on the time axis in seconds.
const STEPS: [f64; 16] =
    [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0];

/// The figure.
pub(super) struct Timeline {
    pub(super) height: f64,
    pub(super) real_below: Level,
    pub(super) fake_above: Level,
    pub(super) grid: [Level; 3],
    pub(super) ticks: Vec<Tick>,
    pub(super) people: Vec<Curve>,
    /// Where no face was scored.
    pub(super) without: Vec<String>,
    /// How many frames share a point.
    pub(super) grouped: usize,
    /// The figure in words.
    pub(super) description: String,
    pub(super) rows: Vec<Row>,
}

/// A score on the upright axis.
pub(super) struct Level {
    pub(super) y: f64,
    pub(super) label: String,
}

/// A label of the time axis.
pub(super) struct Tick {
    pub(super) x: String,
    pub(super) label: String,
}

/// One person's scores.
pub(super) struct Curve {
    /// Its place among the curves, which names its colour, its mark and its dashes.
    pub(super) style: usize,
    pub(super) label: String,
    pub(super) segments: Vec<[Point; 2]>,
    pub(super) points: Vec<Point>,
}

/// A place in the figure.
#[derive(Clone)]
pub(super) struct Point {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) label: String,
}

/// A frame in the table.
pub(super) struct Row {
    pub(super) time: String,
    /// One entry a curve.
    pub(super) scores: Vec<String>,
}

/// The figure of a report; none where there is nothing to follow over time.
pub(super) fn timeline(report: &Report, calibration: &Calibration) -> Option<Timeline> {
    let (first, last) = (report.frames.first()?.time_s, report.frames.last()?.time_s);
    let length = last - first;
    // Whoever decides is always among those that are drawn.
    let mut scored = words::scored(report);
    if scored.is_empty() || report.frames.len() < 2 || length <= 0.0 {
        return None;
    }
    let decides = report.deciding_track().map(|track| track.id);
    scored.truncate(MAX_PEOPLE);
    let place = |time: f64| percent(SIDE + (1.0 - 2.0 * SIDE) * (time - first) / length);
    let grouped = report.frames.len().div_ceil(MAX_POINTS);
    let curve = |(style, (track, score)): (usize, &(usize, f32))| {
        let groups: Vec<_> = report.frames.chunks(grouped).map(|frames| mean(frames, *track)).collect();
        let point = |group: &Option<(f64, f32)>| group.map(|(time, score)| point(place(time), time, score));
        let points: Vec<Option<Point>> = groups.iter().map(point).collect();
        let joined = |pair: &[Option<Point>]| Some([pair.first()?.clone()?, pair.last()?.clone()?]);
        Curve {
            style,
            label: match scored.len() > 1 && Some(*track) == decides {
                true => format!("Person {}, mean {}, decides", track + 1, figure(*score)),
                false => format!("Person {}, mean {}", track + 1, figure(*score)),
            },
            segments: points.windows(2).filter_map(joined).collect(),
            points: points.into_iter().flatten().collect(),
        }
    };
    let is_scored = |frame: &&FrameReport| !frame.faces.iter().any(|face| face.score.is_some());
    let rows = |frame: &FrameReport| Row {
        time: clock(frame.time_s),
        scores: scored.iter().map(|(track, _)| face(frame, *track).map_or("–".to_owned(), figure)).collect(),
    };
    Some(Timeline {
        height: HEIGHT,
        real_below: level(calibration.real_below),
        fake_above: level(calibration.fake_above),
        grid: [("1", 1.0), ("0.5", 0.5), ("0", 0.0)]
            .map(|(label, score)| Level { y: down(score), label: label.to_owned() }),
        ticks: ticks(first, last).map(|(time, label)| Tick { x: place(time), label }).collect(),
        people: scored.iter().enumerate().map(curve).collect(),
        without: report.frames.iter().filter(is_scored).map(|frame| place(frame.time_s)).collect(),
        grouped,
        description: description(report, calibration, &scored, [first, last]),
        rows: if report.frames.len() > MAX_ROWS { Vec::new() } else { report.frames.iter().map(rows).collect() },
    })
}

fn level(score: f32) -> Level {
    Level { y: down(score), label: threshold(score) }
}

/// How far down a score is: 1 at the top.
fn down(score: f32) -> f64 {
    ((1.0 - f64::from(score)) * HEIGHT * 10.0).round() / 10.0
}

fn point(x: String, time: f64, score: f32) -> Point {
    Point { x, y: format!("{:.1}", down(score)), label: format!("{}: {}", clock(time), figure(score)) }
}

/// The score of a track in a frame.
fn face(frame: &FrameReport, track: usize) -> Option<f32> {
    let is_theirs = |face: &&FaceReport| face.track == track;
    frame.faces.iter().find(is_theirs).and_then(|face| face.score)
}

/// The mean time and score of a track in frames that follow each other.
fn mean(frames: &[FrameReport], track: usize) -> Option<(f64, f32)> {
    let scored: Vec<(f64, f32)> = frames.iter().filter_map(|frame| Some((frame.time_s, face(frame, track)?))).collect();
    let count = scored.len();
    let (time, score) = scored.into_iter().reduce(|(t, s), (time, score)| (t + time, s + score))?;
    Some((time / count as f64, score / count as f32))
}

/// Round times with their labels.
fn ticks(first: f64, last: f64) -> impl Iterator<Item = (f64, String)> {
    let step = STEPS.into_iter().find(|step| (last - first) / step <= MAX_TICKS).unwrap_or((last - first) / MAX_TICKS);
    let start = (first / step).ceil() as u64;
    let end = (last / step + 1e-9).floor() as u64;
    (start..=end).map(move |index| {
        let time = index as f64 * step;
        let label = clock(time);
        let whole = if step >= 1.0 && time < 3600.0 { label[..label.len() - 2].to_owned() } else { label };
        (time, whole)
    })
}

/// The figure for those who do not see it.
fn description(report: &Report, calibration: &Calibration, scored: &[(usize, f32)], [first, last]: [f64; 2]) -> String {
    let Calibration { real_below, fake_above, .. } = *calibration;
    let mut text = format!("Scores from {} to {}.", clock(first), clock(last));
    for (track, score) in scored {
        let scores = scores_of(report, *track);
        let [least, _, _, most] = spread(&scores);
        let above = scores.iter().filter(|score| **score >= fake_above).count();
        let below = scores.iter().filter(|score| **score <= real_below).count();
        text += &format!(
            " Person {}: {}, from {} to {}, mean {}; {above} at or above {}, {below} at or below {}.",
            track + 1,
            count(scores.len(), "scored face"),
            figure(least),
            figure(most),
            figure(*score),
            threshold(fake_above),
            threshold(real_below),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{report_of, spec};

    #[test]
    fn curves_break_where_a_face_is_missing_and_say_where() {
        let mut report = report_of(&[0.2, 0.4, 0.6, 0.8, 0.9]);
        report.frames[2].faces.clear();
        let timeline = timeline(&report, &spec().calibration).unwrap();
        let [curve] = &timeline.people[..] else { panic!("one person") };
        assert_eq!((curve.points.len(), curve.segments.len()), (4, 2));
        assert_eq!(timeline.without, ["50.00%"]);
        assert_eq!((curve.points[0].x.as_str(), curve.points[3].x.as_str()), ("1.50%", "98.50%"));
        assert_eq!(timeline.rows[2].scores, ["–"]);
    }

    #[test]
    fn higher_scores_are_higher_and_the_words_count_both_sides() {
        let timeline = timeline(&report_of(&[0.0, 0.5, 1.0, 0.9]), &spec().calibration).unwrap();
        let heights: Vec<&str> = timeline.people[0].points.iter().map(|point| point.y.as_str()).collect();
        assert_eq!(heights, ["220.0", "110.0", "0.0", "22.0"]);
        assert!(timeline.description.contains("2 at or above 0.65, 1 at or below 0.35"), "{}", timeline.description);
    }

    #[test]
    fn thousands_of_frames_share_points_and_keep_their_mean() {
        let timeline = timeline(&report_of(&[0.25, 0.75].repeat(1000)), &spec().calibration).unwrap();
        let points = &timeline.people[0].points;
        assert!(points.len() <= MAX_POINTS && timeline.grouped > 1 && timeline.rows.is_empty());
        assert!(points.iter().skip(1).all(|point| (90.0..130.0).contains(&point.y.parse::<f64>().unwrap())));
    }

    #[test]
    fn time_labels_are_round_and_few_for_any_length() {
        for (length, labels) in [(4.0, "0:00 0:01 0:02 0:03 0:04"), (95.0, "0:00 0:30 1:00 1:30"), (7300.0, "")] {
            let found: Vec<String> = ticks(0.0, length).map(|(_, label)| label).collect();
            assert!(labels.is_empty() || found.join(" ") == labels, "{found:?}");
            assert!((2..=7).contains(&found.len()), "{found:?}");
        }
    }

    #[test]
    fn a_picture_and_a_video_without_faces_have_no_timeline() {
        assert!(timeline(&report_of(&[0.5]), &spec().calibration).is_none());
        let mut nobody = report_of(&[0.5, 0.5]);
        nobody.tracks.clear();
        assert!(timeline(&nobody, &spec().calibration).is_none());
    }
}
