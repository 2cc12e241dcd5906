//! Who has no part in a verdict, and how strong it is.

use super::super::report::Unused;
use super::super::strength::StrengthLevel;
use super::*;

#[test]
fn frames_and_people_without_a_part_in_the_verdict_say_why() {
    let mut session = Session::new(&spec(), Faces::Largest);
    // Somebody in five frames, a smaller person alone in the sixth, nobody in the last.
    for index in 0..5 {
        session.push(f64::from(index), &picture(), &[face(20.0, 100)]);
    }
    session.push(5.0, &picture(), &[face(260.0, 60)]);
    session.push(6.0, &picture(), &[]);
    session.seal();
    answer(&mut session, 1, 0.9);
    let of_one = report(session);
    let frames: Vec<Option<Unused>> = of_one.frames.iter().map(|frame| frame.left_out).collect();
    assert_eq!(frames[..5], [None; 5]);
    assert_eq!(frames[5..], [Some(Unused::OtherPerson), Some(Unused::NoFace)]);
    let people: Vec<Option<Unused>> = of_one.tracks.iter().map(|track| track.left_out).collect();
    assert_eq!(people, [None, Some(Unused::OtherPerson)]);
    // Whoever is asked for and cannot be judged: seen too briefly, and too small.
    for (side, frames, reason) in [(100, 2, Unused::TooBrief), (20, 6, Unused::TooSmall)] {
        let mut session = Session::new(&spec(), Faces::All);
        for index in 0..frames {
            session.push(f64::from(index), &picture(), &[face(20.0, side)]);
        }
        session.seal();
        answer(&mut session, 1, 0.9);
        let weak = report(session);
        assert_eq!((weak.tracks[0].left_out, weak.verdict), (Some(reason), Verdict::Uncertain));
        assert!(weak.frames.iter().all(|frame| frame.left_out == Some(reason)), "{:?}", weak.frames);
        assert_eq!(weak.strength, None, "what decides nothing has no strength");
    }
}

#[test]
fn a_plain_verdict_says_how_strong_it_is_by_what_was_counted() {
    let counts = |likely_real, likely_fake| VerdictCounts { likely_real, uncertain: 0, likely_fake, groups: None };
    let measured = Measured { videos: "phones".to_string(), real: counts(990, 10), fake: counts(100, 900) };
    let mut spec = spec();
    for (measured, level) in [(None, StrengthLevel::Unknown), (Some(measured), StrengthLevel::Moderate)] {
        spec.calibration.measured = measured;
        let mut session = Session::new(&spec, Faces::Largest);
        for index in 0..5 {
            session.push(f64::from(index), &picture(), &[face(20.0, 100)]);
        }
        session.seal();
        answer(&mut session, 1, 0.9);
        let model = ModelInfo::new(&spec, "0".to_string());
        let report = session.finish("a".to_string(), &spec, model, video(InputKind::Video), Timing::default());
        assert_eq!(report.expect("a report").strength.expect("a strength").level, level);
    }
}
