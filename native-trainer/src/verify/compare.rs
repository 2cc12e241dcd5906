//! Two answers to one input compared: within what processors, browsers and versions of ffmpeg differ by.

use serde::Serialize;
use unmask_core::pipeline::CaveatCode;
use unmask_core::pipeline::report::{FaceReport, FrameReport, Report};

use super::{Check, Outcome};

/// How far figures may lie apart. The scores of frames that the program and the page give differ by up to 0.005 over the sample
/// clips, and by 0.0063 at most over 14 pictures; these are twice that for an input and several times it for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tolerance {
    /// Between two scores of an input.
    pub score: f32,
    /// Between two scores of a face in a frame.
    pub frame_score: f32,
    /// Between two times, in seconds.
    pub time_s: f64,
    /// Between the sides of two boxes, as a part of their longer side.
    pub place: f32,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { score: 0.01, frame_score: 0.03, time_s: 0.002, place: 0.02 }
    }
}

/// What a report says against what was found `anew`.
pub(super) fn checks(report: &Report, anew: &Report, tolerance: &Tolerance) -> Vec<Check> {
    let mut checks = vec![verdict(report, anew), score("score", report.score, anew.score, tolerance)];
    checks.extend(opinions(report, anew, tolerance));
    checks.extend([reasons(report, anew), people(report, anew, tolerance), frames(report, anew, tolerance)]);
    checks
}

fn verdict(report: &Report, anew: &Report) -> Check {
    let reason = match report.verdict == anew.verdict {
        true => anew.verdict.words().to_owned(),
        false => format!("the report says {}, and it is {}", report.verdict.words(), anew.verdict.words()),
    };
    Check::that("verdict", report.verdict == anew.verdict, reason)
}

fn score(what: &str, ours: Option<f32>, anew: Option<f32>, tolerance: &Tolerance) -> Check {
    let figure = |score: Option<f32>| score.map_or("none".to_owned(), |score| format!("{score:.4}"));
    let is_same = is_near(ours, anew, tolerance.score);
    let reason = match is_same {
        true => format!("{}, and anew {} (within {})", figure(ours), figure(anew), tolerance.score),
        false => format!("the report says {}, and it is {}", figure(ours), figure(anew)),
    };
    Check::that(what, is_same, reason)
}

/// Whether two figures are near each other, or both absent. What is no number is near nothing.
fn is_near(ours: Option<f32>, anew: Option<f32>, tolerance: f32) -> bool {
    match (ours, anew) {
        (None, None) => true,
        (Some(ours), Some(anew)) => (ours - anew).abs() <= tolerance,
        _ => false,
    }
}

fn opinions(report: &Report, anew: &Report, tolerance: &Tolerance) -> Vec<Check> {
    if report.opinions.len() != anew.opinions.len() {
        let (ours, found) = (report.opinions.len(), anew.opinions.len());
        return vec![Check::new("opinions", Outcome::Differs, format!("the report has {ours}, and there are {found}"))];
    }
    let check = |(ours, anew): (&unmask_core::pipeline::Opinion, &unmask_core::pipeline::Opinion)| {
        let what = format!("opinion of {}", anew.model.name);
        let of_score = score(&what, ours.score, anew.score, tolerance);
        match ours.verdict == anew.verdict {
            true => of_score,
            false => {
                let words = format!("the report says {}, and it is {}", ours.verdict.words(), anew.verdict.words());
                Check::new(what, Outcome::Differs, words)
            }
        }
    };
    report.opinions.iter().zip(&anew.opinions).map(check).collect()
}

/// What the report says beside its figures: reason, caveats, error rates, strength.
fn reasons(report: &Report, anew: &Report) -> Check {
    let codes = |report: &Report| report.caveats.iter().map(|caveat| caveat.code).collect::<Vec<CaveatCode>>();
    let level = |report: &Report| report.strength.as_ref().map(|strength| strength.level);
    let compared = [
        ("its caveats", codes(report) == codes(anew)),
        ("the strength of its answer", level(report) == level(anew)),
        ("what it says of the detector", report.model == anew.model),
        ("the number of frames in the input", report.video.frame_count == anew.video.frame_count),
        ("whether it gives a reason", report.reason.is_some() == anew.reason.is_some()),
    ];
    let other: Vec<&str> = compared.iter().filter(|(_, is_same)| !is_same).map(|(what, _)| *what).collect();
    match other.is_empty() {
        true => Check::new("caveats", Outcome::Pass, "caveats, strength and detector are the same"),
        false => Check::new("caveats", Outcome::Differs, format!("not the same: {}", other.join(", "))),
    }
}

fn people(report: &Report, anew: &Report, tolerance: &Tolerance) -> Check {
    let is_same = report.tracks.len() == anew.tracks.len()
        && report.tracks.iter().zip(&anew.tracks).all(|(ours, anew)| {
            (ours.id, ours.frames, ours.left_out) == (anew.id, anew.frames, anew.left_out)
                && is_near(ours.score, anew.score, tolerance.score)
        });
    let reason = match is_same {
        true => format!("{} followed", anew.tracks.len()),
        false => "other people, or other scores or frames of theirs".to_owned(),
    };
    Check::that("people", is_same, reason)
}

fn frames(report: &Report, anew: &Report, tolerance: &Tolerance) -> Check {
    if report.frames.len() != anew.frames.len() {
        let (ours, found) = (report.frames.len(), anew.frames.len());
        return Check::new("frames", Outcome::Differs, format!("the report has {ours}, and there are {found}"));
    }
    let mut other = report.frames.iter().zip(&anew.frames).filter(|(ours, anew)| !is_same_frame(ours, anew, tolerance));
    let first = other.next().map(|(_, anew)| anew.time_s);
    match first {
        None => {
            let largest = largest_difference(report, anew);
            let words =
                format!("{} with times, faces and scores; scores differ by {largest:.4} at most", anew.frames.len());
            Check::new("frames", Outcome::Pass, words)
        }
        Some(time_s) => {
            let words =
                format!("{} of {} are others, the first at {time_s:.2} s", 1 + other.count(), anew.frames.len());
            Check::new("frames", Outcome::Differs, words)
        }
    }
}

fn is_same_frame(ours: &FrameReport, anew: &FrameReport, tolerance: &Tolerance) -> bool {
    (ours.time_s - anew.time_s).abs() <= tolerance.time_s
        && ours.left_out == anew.left_out
        && ours.faces.len() == anew.faces.len()
        && ours.faces.iter().zip(&anew.faces).all(|(ours, anew)| is_same_face(ours, anew, tolerance))
}

fn is_same_face(ours: &FaceReport, anew: &FaceReport, tolerance: &Tolerance) -> bool {
    let [_, _, width, height] = anew.bounds;
    let reach = tolerance.place * width.max(height);
    let is_there = ours.bounds.iter().zip(anew.bounds).all(|(ours, anew)| (ours - anew).abs() <= reach);
    ours.track == anew.track && is_there && is_near(ours.score, anew.score, tolerance.frame_score)
}

/// Between the scores of faces.
fn largest_difference(report: &Report, anew: &Report) -> f32 {
    let scores = |report: &Report| -> Vec<f32> {
        report.frames.iter().flat_map(|frame| &frame.faces).filter_map(|face| face.score).collect()
    };
    scores(report).iter().zip(scores(anew)).map(|(ours, anew)| (ours - anew).abs()).fold(0.0, f32::max)
}
