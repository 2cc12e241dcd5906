//! What the page says in plain words.

use crate::api::{Computer, Progress, Stage};
use crate::desk::State;
use crate::opinions;
use crate::report::{Grade, Model, Report, Verdict};
use crate::timeline::Lane;

/// Detectors look at faces about 200 pixels wide: narrower than this in a frame, they are enlarged more than twice.
const SMALL_FACE: f64 = 90.0;

/// Apart by no more than this, the scores of one person's frames agree; apart by more than the other, they disagree.
const NARROW_RANGE: f64 = 0.2;
const WIDE_RANGE: f64 = 0.5;

/// The verdict in a few words; never without the figure beside it.
pub(crate) fn headline(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyFake => "Probably manipulated",
        Verdict::LikelyReal => "No sign of manipulation",
        Verdict::Uncertain => "Cannot tell",
        Verdict::NoFace => "No face to judge",
    }
}

/// What the verdict means for the reader.
pub(crate) fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyFake => {
            "The detector sees traces that it learnt to take for manipulation. It can be wrong: look at the frames, find the \
             source, and ask somebody who knows the scene."
        }
        Verdict::LikelyReal => {
            "The detector sees none of the traces that it knows. It does not know every manipulation, and it did not look at \
             the sound, the scene or the claim."
        }
        Verdict::Uncertain => "The score supports no verdict in either direction. Treat this as unchecked.",
        Verdict::NoFace => {
            "Nothing was judged, because no face was found in what was looked at. That does not make it real."
        }
    }
}

/// Whether it is a plain answer.
pub(crate) fn is_decided(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::LikelyFake | Verdict::LikelyReal)
}

/// The class that colours the verdict; words and a shape say the same without colour.
pub(crate) fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyFake => "fake",
        Verdict::LikelyReal => "real",
        Verdict::Uncertain => "uncertain",
        Verdict::NoFace => "none",
    }
}

/// What stands beside every figure of a detector whose figures deserve little trust.
pub(crate) fn grade(model: &Model) -> Option<&'static str> {
    match model.reliability.grade {
        Grade::Untrained => Some("untrained detector"),
        Grade::Uncalibrated => Some("uncalibrated detector"),
        Grade::Weak => Some("weak detector"),
        Grade::Calibrated => None,
    }
}

/// What stands beside the figure of a report: what the detector is worth, or that it is a mean of several.
pub(crate) fn caveat(report: &Report) -> Option<String> {
    opinions::caveat(report).or_else(|| grade(&report.model).map(str::to_owned))
}

/// What weakens the answer besides the detector, a sentence each.
pub(crate) fn caveats(report: &Report) -> Vec<String> {
    report.caveats.iter().filter(|caveat| !caveat.is_of_detector()).map(|caveat| sentence(&caveat.words)).collect()
}

/// A score with two digits, and never a certainty that the detector does not have.
pub(crate) fn figure(score: f64) -> String {
    if (0.995..1.0).contains(&score) {
        return format!("{:.3}", (score * 1000.0).floor() / 1000.0);
    }
    format!("{score:.2}")
}

/// `m:ss.t` of a time in seconds.
pub(crate) fn clock(seconds: f64) -> String {
    let tenths = (seconds * 10.0).round() as u64;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

/// Bytes as megabytes, or as gigabytes where there are so many.
pub(crate) fn megabytes(bytes: f64) -> String {
    if bytes < 1e9 { format!("{:.1} MB", bytes / 1e6) } else { format!("{:.1} GB", bytes / 1e9) }
}

/// Why the verdict is what it is, a sentence each.
pub(crate) fn reasons(report: &Report) -> Vec<String> {
    let stated = report.reason.as_deref().map(sentence);
    // That nobody was seen is what the detector states itself.
    let basis = (!report.tracks.is_empty()).then(|| basis(report));
    let mut reasons: Vec<String> = stated.into_iter().chain(basis).collect();
    if let Some(lane) = Lane::all(report).first() {
        reasons.extend(agreement(lane, opinions::first(report).as_deref()));
        reasons.extend(face_size(report, lane.track.id));
    }
    reasons.extend(report.uncertainty.map(|uncertainty| {
        format!("Uncertainty {}: how little evidence the detector has, from 0 to 1.", figure(uncertainty))
    }));
    if report.opinions.is_empty() {
        reasons.extend(report.score.and(report.model.error_rates.as_deref()).map(sentence));
    }
    reasons.extend(opinions::reasons(report));
    reasons
}

/// What begins small and has no full stop as a sentence.
pub(crate) fn sentence(reason: &str) -> String {
    let mut letters = reason.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

/// What was looked at, and who was seen.
fn basis(report: &Report) -> String {
    if report.video.is_still() {
        return match report.tracks.len() {
            1 => "One picture was looked at, and one face was seen.".to_owned(),
            count => format!("One picture was looked at, and {count} faces were seen."),
        };
    }
    let scored = report.frames.iter().filter(|frame| frame.faces.iter().any(|face| face.score.is_some())).count();
    let people = match report.tracks.len() {
        1 => format!("one person was seen, with a face to score in {scored}"),
        count => format!("{count} people were seen, with a face to score in {scored}"),
    };
    let spread = report.video.duration_s.map(|duration| format!(" spread over {} s", seconds(duration)));
    format!("Of {} frames{}, {people}.", report.video.frames_sampled, spread.unwrap_or_default())
}

fn seconds(duration: f64) -> String {
    if duration < 60.0 { format!("{duration:.1}") } else { format!("{duration:.0}") }
}

/// Whether the frames of the person who counts say the same; of several detectors by that one.
fn agreement(lane: &Lane, detector: Option<&str>) -> Option<String> {
    let (low, high) = lane.range().filter(|_| lane.points.len() > 1)?;
    let judgement = judged(high - low);
    let by = detector.map(|name| format!(" by {name}")).unwrap_or_default();
    Some(format!("Frame by frame the score{by} lies between {} and {}: {judgement}.", figure(low), figure(high)))
}

/// What scores that are so far apart say of their frames.
fn judged(range: f64) -> &'static str {
    if range > WIDE_RANGE {
        "the frames contradict each other"
    } else if range > NARROW_RANGE {
        "the frames differ"
    } else {
        "the frames agree"
    }
}

/// How large the face is, since small ones hide what is looked for.
fn face_size(report: &Report, track: usize) -> Option<String> {
    let mut widths: Vec<f64> = report.faces_of(track).map(|face| face.bounds[2]).collect();
    widths.sort_by(f64::total_cmp);
    let width = *widths.get(widths.len() / 2)?;
    let judgement = if width < SMALL_FACE { "small, which makes mistakes likelier" } else { "large enough to judge" };
    Some(format!("The face is about {width:.0} pixels wide, {judgement}."))
}

/// The name of a person among several.
pub(crate) fn person(track: usize) -> String {
    format!("Person {}", track + 1)
}

/// In how many frames a person among several was scored, and whether it is their score that decides.
pub(crate) fn part_in_verdict(frames: usize, decides: bool) -> String {
    let seen = if frames == 1 { "in 1 frame".to_owned() } else { format!("in {frames} frames") };
    if decides { format!("{seen}, decides the verdict") } else { seen }
}

/// What became of an input, in one line.
pub(crate) fn status(state: &State) -> String {
    match state {
        State::Waiting => "Waiting".to_owned(),
        State::Working => "Being examined".to_owned(),
        State::Cancelled => "Stopped".to_owned(),
        State::Failed(_) => "Could not be examined".to_owned(),
        State::Done(outcome) => {
            let report = &outcome.report;
            let caveat = caveat(report).map(|words| format!(" ({words})")).unwrap_or_default();
            match report.score {
                Some(score) => format!("{}, score {}{caveat}", headline(report.verdict), figure(score)),
                None => headline(report.verdict).to_owned(),
            }
        }
    }
}

/// How far a stage is, beside its name.
pub(crate) fn progress(progress: &Progress) -> String {
    let Progress { stage, done, total, model, models, .. } = progress;
    let place = model.zip(*models).map(|(model, models)| format!("{:.0} of {models:.0}: ", model + 1.0));
    let place = place.unwrap_or_default();
    match (stage, total) {
        (Stage::Download, Some(total)) => format!("{place}{} of {}", megabytes(*done), megabytes(*total)),
        (Stage::Convert, Some(total)) => {
            format!("{place}{} of {} converted", megabytes(*done), megabytes(*total))
        }
        (Stage::Download, None) if *done > 0.0 => format!("{place}{}", megabytes(*done)),
        (Stage::Score, Some(total)) => format!("{done:.0} of {total:.0} frames"),
        (Stage::Score, None) if *done > 0.0 => format!("{done:.0} frames"),
        _ => String::new(),
    }
}

/// What computed, in words.
pub(crate) fn computer(computer: &Computer) -> String {
    let device = match computer.device.as_deref() {
        Some("webgpu") => "on its graphics device (WebGPU)",
        Some("cpu") => "on its processor (CPU)",
        _ => "in this browser",
    };
    match computer.workers {
        Some(1.0) => format!("On this machine, {device}, with 1 helper worker"),
        Some(workers) if workers > 1.0 => format!("On this machine, {device}, with {workers:.0} helper workers"),
        _ => format!("On this machine, {device}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{model, two_people};
    use crate::report::{Caveat, Kind};

    #[test]
    fn times_are_minutes_seconds_and_tenths() {
        assert_eq!(clock(0.0), "0:00.0");
        assert_eq!(clock(59.96), "1:00.0");
        assert_eq!(clock(754.32), "12:34.3");
    }

    #[test]
    fn no_verdict_claims_certainty() {
        for verdict in [Verdict::LikelyFake, Verdict::LikelyReal, Verdict::Uncertain, Verdict::NoFace] {
            let text = format!("{} {}", headline(verdict), meaning(verdict)).to_lowercase();
            assert!(!text.contains("is fake") && !text.contains("is real") && !text.contains("authentic"), "{text}");
        }
    }

    #[test]
    fn a_figure_below_one_is_never_rounded_to_one() {
        assert_eq!(figure(0.9996), "0.999");
        assert_eq!(figure(0.98), "0.98");
        assert_eq!(figure(0.0), "0.00");
    }

    #[test]
    fn detectors_are_called_by_the_grade_that_their_file_gives_them() {
        assert_eq!(grade(&model(Grade::Weak)), Some("weak detector"));
        assert_eq!(grade(&model(Grade::Untrained)), Some("untrained detector"));
        assert_eq!(grade(&model(Grade::Uncalibrated)), Some("uncalibrated detector"));
        assert_eq!(grade(&model(Grade::Calibrated)), None);
    }

    #[test]
    fn what_weakens_the_answer_is_said_in_the_words_of_the_report() {
        let mut report = two_people();
        let caveat = |code: &str, words: &str| Caveat { code: code.to_owned(), words: words.to_owned() };
        report.caveats = vec![caveat("dark", "the face is very dark"), caveat("weak_detector", "it is weak")];
        assert_eq!(caveats(&report), ["The face is very dark."]);
    }

    #[test]
    fn a_video_without_a_known_length_is_no_picture() {
        let mut report = two_people();
        report.video.duration_s = None;
        assert_eq!(basis(&report), "Of 4 frames, 2 people were seen, with a face to score in 4.");
        report.video.kind = Kind::Still;
        assert_eq!(basis(&report), "One picture was looked at, and 2 faces were seen.");
    }

    #[test]
    fn frames_are_said_to_agree_only_where_their_scores_are_near() {
        assert_eq!(judged(0.02), "the frames agree");
        assert_eq!(judged(0.48), "the frames differ");
        assert_eq!(judged(0.7), "the frames contradict each other");
    }

    #[test]
    fn the_reasons_say_what_the_verdict_rests_on() {
        let mut report = two_people();
        report.reason = Some("the score lies between 0.1 and 0.95, where it decides nothing".to_owned());
        assert_eq!(
            reasons(&report),
            [
                "The score lies between 0.1 and 0.95, where it decides nothing.",
                "Of 4 frames spread over 4.0 s, 2 people were seen, with a face to score in 4.",
                "The face is about 120 pixels wide, large enough to judge.",
            ]
        );
    }

    #[test]
    fn progress_is_told_in_megabytes_and_frames() {
        let at = |stage, done, total| progress(&Progress { stage, done, total, ..Progress::default() });
        assert_eq!(at(Stage::Download, 3_512_000.0, Some(7_025_224.0)), "3.5 MB of 7.0 MB");
        assert_eq!(megabytes(1_213_000_000.0), "1.2 GB");
        assert_eq!(at(Stage::Score, 12.0, Some(32.0)), "12 of 32 frames");
        assert_eq!(at(Stage::Prepare, 0.0, None), "");
        assert_eq!(at(Stage::Convert, 3_512_000.0, Some(7_025_224.0)), "3.5 MB of 7.0 MB converted");
        let of_two = Progress { done: 1e6, model: Some(1.0), models: Some(2.0), ..Progress::default() };
        assert_eq!(progress(&of_two), "2 of 2: 1.0 MB");
    }

    #[test]
    fn how_uncertain_the_detector_is_is_said_where_it_says_so() {
        let mut report = two_people();
        let is_said = |report: &Report| reasons(report).iter().any(|reason| reason.starts_with("Uncertainty 0.42: "));
        assert!(!is_said(&report));
        report.uncertainty = Some(0.42);
        assert!(is_said(&report), "{:?}", reasons(&report));
    }

    #[test]
    fn how_often_the_detector_is_wrong_is_said_beside_a_score_alone() {
        let mut report = two_people();
        report.model.error_rates = Some("of 100 real videos about 1 is called fake".to_owned());
        assert_eq!(reasons(&report).last().map(String::as_str), Some("Of 100 real videos about 1 is called fake."));
        report.score = None;
        assert!(!reasons(&report).iter().any(|reason| reason.contains("100")), "there is nothing to be wrong");
    }
}
