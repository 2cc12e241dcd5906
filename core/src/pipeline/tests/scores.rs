//! What a session makes of scores and uncertainties, and what it refuses.

use super::*;

#[test]
fn a_score_that_is_none_is_refused_and_then_there_is_no_report() {
    for score in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.01, 1.01] {
        let mut session = session_of(8);
        let batch = session.next_batch(4).expect("a batch");
        let error = session.accept(&batch, &fake(&[0.1, 0.1, score, 0.1])).expect_err("refused");
        assert!(matches!(error, SessionError::NotAScore { .. }), "{error}");
        assert!(error.to_string().contains("`made-up`"), "{error}");
        // Whatever comes after it does not make up for it.
        answer(&mut session, 4, 0.1);
        assert_eq!(finish(session).expect_err("no report").to_string(), error.to_string());
    }
}

#[test]
fn too_few_and_too_many_scores_are_refused_and_then_there_is_no_report() {
    for count in [0, 3, 5] {
        let mut session = session_of(4);
        let batch = session.next_batch(4).expect("a batch");
        let error = session.accept(&batch, &fake(&vec![0.1; count])).expect_err("refused");
        let detector = "made-up".to_string();
        assert_eq!(error, SessionError::ScoreCount { detector, expected: 4, found: count });
        assert_eq!(finish(session), Err(error));
    }
}

#[test]
fn uncertainty_is_kept_by_frame_and_by_person_and_too_much_of_it_is_the_reason() {
    // Those of the first and of the second half of eight frames.
    for (uncertainties, verdict) in [([0.25, 0.5], Verdict::LikelyFake), ([0.5, 0.75], Verdict::Uncertain)] {
        let mut session = session_of(8);
        for uncertainty in uncertainties {
            let batch = session.next_batch(4).expect("a batch");
            let scores = Scores { fake: vec![0.9; 4], uncertainty: vec![uncertainty; 4] };
            session.accept(&batch, &scores).expect("scores");
        }
        let report = report(session);
        let mean = (uncertainties[0] + uncertainties[1]) / 2.0;
        assert_eq!((report.verdict, report.score, report.uncertainty), (verdict, Some(0.9), Some(mean)));
        assert_eq!(report.tracks[0].uncertainty, Some(mean));
        for (index, frame) in report.frames.iter().enumerate() {
            assert_eq!(frame.faces[0].uncertainty, Some(uncertainties[index / 4]), "frame {index}");
        }
        let reason = report.reason.unwrap_or_default();
        assert_eq!(reason.contains("its uncertainty of 0.625 is above 0.5"), verdict == Verdict::Uncertain, "{reason}");
    }
}

#[test]
fn of_a_detector_that_does_not_say_how_uncertain_it_is_no_output_says_so() {
    let mut session = session_of(4);
    answer(&mut session, 4, 0.9);
    let report = serde_json::to_string(&report(session)).expect("JSON");
    assert!(!report.contains("uncertainty"), "{report}");
}

#[test]
fn the_uncertainty_of_whom_nobody_asked_for_is_not_told() {
    let mut session = Session::new(&spec(), Faces::Largest);
    (0..8).for_each(|index| {
        let nearer = (index < 2).then(|| face(220.0, 150));
        session.push(f64::from(index), &picture(), &[face(20.0, 100)].into_iter().chain(nearer).collect::<Vec<_>>());
    });
    for seals in [false, true] {
        if seals {
            session.seal();
        }
        while let Some(batch) = session.next_batch(1) {
            session.accept(&batch, &Scores { fake: vec![0.1], uncertainty: vec![0.2] }).expect("scores");
        }
    }
    let report = report(session);
    assert!(report.tracks.len() == 2 && report.tracks.iter().filter(|track| track.uncertainty.is_some()).count() == 1);
    let mut faces = report.frames.iter().flat_map(|frame| &frame.faces);
    assert!(faces.all(|face| face.uncertainty.is_some() == face.score.is_some()), "{:?}", report.frames);
}

#[test]
fn an_uncertainty_that_is_none_or_one_too_few_is_refused() {
    for wrong in [vec![f32::NAN, 0.1], vec![1.1, 0.1], vec![-0.1, 0.1], vec![0.1]] {
        let mut session = session_of(2);
        let batch = session.next_batch(2).expect("a batch");
        let scores = Scores { fake: vec![0.1; 2], uncertainty: wrong.clone() };
        let error = session.accept(&batch, &scores).expect_err("refused");
        let is_count = matches!(error, SessionError::ScoreCount { expected: 2, found: 1, .. });
        assert!(is_count || wrong.len() == 2 && matches!(error, SessionError::NotAnUncertainty { .. }), "{error}");
        // Not even NaN is lost on the way.
        assert_eq!(finish(session).expect_err("no report").to_string(), error.to_string());
    }
}

#[test]
fn a_detector_that_says_how_uncertain_it_is_must_say_it_or_there_is_no_report() {
    let clip = ClipConfig::vit_b_16(HeadKind::OneLayer);
    let sizes = DicomeConfig { clip, features: 64, latent: 16, inside: 32, head: 32 };
    let dicome = DetectorSpec { architecture: Architecture::Dicome(sizes), ..spec() };
    let mut session = Session::new(&dicome, Faces::Largest);
    (0..4).for_each(|index| session.push(f64::from(index), &picture(), &[face(20.0, 100)]));
    session.seal();
    let batch = session.next_batch(4).expect("a batch");
    let refused = session.accept(&batch, &fake(&[0.9; 4])).expect_err("refused");
    assert_eq!(refused, SessionError::NoUncertainty { detector: "made-up".to_string() });
    // With the rest in order there is none, either.
    session.accept(&batch, &Scores { fake: vec![0.9; 4], uncertainty: vec![0.1; 4] }).expect("scores");
    assert_eq!(finish(session), Err(refused));
}

#[test]
fn faces_that_were_never_scored_are_an_error_whether_they_were_handed_out_or_not() {
    let unscored = |missing| Err(SessionError::Unscored { detector: "made-up".to_string(), missing });
    assert_eq!(finish(session_of(8)), unscored(8));
    let mut session = session_of(8);
    let batch = session.next_batch(4).expect("a batch");
    let lost = session.next_batch(3).expect("another");
    session.accept(&batch, &fake(&[0.1; 4])).expect("scores");
    assert_eq!(lost.views().count(), 3);
    assert_eq!(finish(session), unscored(4));
}

#[test]
fn scores_for_what_has_its_scores_already_or_is_of_another_session_are_refused() {
    let mut session = session_of(4);
    let batch = session.next_batch(4).expect("a batch");
    session.accept(&batch, &fake(&[0.1; 4])).expect("scores");
    assert!(matches!(session.accept(&batch, &fake(&[0.9; 4])), Err(SessionError::NotAwaited { .. })));
    let strange = session_of(9).next_batch(4).expect("a batch");
    assert!(matches!(session_of(1).accept(&strange, &fake(&[0.9; 4])), Err(SessionError::NotAwaited { .. })));
}
