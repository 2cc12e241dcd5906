//! A session from frames to a report, with faces and scores made up.

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::report::{ModelInfo, Report, Timing, Verdict, VideoSummary};
use super::{Faces, Session};
use crate::detector::clip::{ClipConfig, HeadKind};
use crate::face::alignment::{CropGeometry, CropSpec, template};
use crate::face::{Face, Rect};
use crate::image::{Interpolation, RgbImage};
use crate::weights::spec::*;

fn spec() -> DetectorSpec {
    DetectorSpec {
        version: SPEC_VERSION,
        name: "made-up".to_string(),
        architecture: Architecture::Clip(ClipConfig::vit_b_16(HeadKind::OneLayer)),
        input: InputSpec { size: 224, mean: [0.5; 3], std: [0.5; 3], interpolation: Interpolation::Bicubic },
        crop: CropSpec { geometry: CropGeometry::Dfb, size: 64, margin: 1.3 },
        sampling: SamplingSpec { frames: 32, clip_length: None },
        labels: ["real".to_string(), "fake".to_string()],
        calibration: Calibration::default(),
        training: Training { status: TrainingStatus::Trained, summary: "made up".to_string() },
        licence: None,
        base_model: None,
        adapter: None,
    }
}

/// A face of `side` pixels with its upper left corner at `x`, 10.
fn face(x: f32, side: usize) -> Face {
    let landmarks = template(CropGeometry::Dfb, side, 1.3).map(|[u, v]| [u + x, v + 10.0]);
    Face { bounds: Rect { x, y: 10.0, width: side as f32, height: side as f32 }, landmarks, confidence: 0.99 }
}

/// A picture full of edges, so that no crop of it is blurred.
fn picture() -> RgbImage {
    let pixels = (0..400 * 200 * 3usize).map(|i| (i / 3 * 7919 % 251) as u8).collect();
    RgbImage::new(400, 200, pixels).expect("fits")
}

/// Scores what is ready in batches of `size`, all alike, and says how many crops that were.
fn answer(session: &mut Session, size: usize, score: f32) -> usize {
    let mut scored = 0;
    while let Some(batch) = session.next_batch(size) {
        scored += batch.crops.len();
        session.accept(&batch, &vec![score; batch.crops.len()]);
    }
    scored
}

fn report(session: Session) -> Report {
    let model = ModelInfo { name: "made-up".to_string(), sha256: "0".to_string(), training: TrainingStatus::Trained };
    let video = VideoSummary { width: 400, height: 200, fps: Some(25.0), duration_s: Some(1.0), frames_sampled: 0 };
    session.finish("clip.mp4".to_string(), &spec(), model, video, Timing::default())
}

#[test]
fn only_full_batches_come_before_the_end_and_the_rest_after() {
    let mut session = Session::new(&spec(), Faces::Largest);
    for index in 0..5 {
        session.push(f64::from(index), &picture(), &[face(20.0, 100)]);
    }
    assert_eq!(answer(&mut session, 4, 0.9), 4);
    session.seal();
    assert_eq!(answer(&mut session, 4, 0.9), 1);
    let report = report(session);
    assert_eq!((report.verdict, report.video.frames_sampled), (Verdict::LikelyFake, 5));
    assert!(report.frames.iter().all(|frame| frame.faces[0].score == Some(0.9)));
}

#[test]
fn the_largest_person_counts_even_where_another_face_was_scored_first() {
    let mut session = Session::new(&spec(), Faces::Largest);
    // One person is there in all frames; another is nearer, but in the first two only.
    for index in 0..8 {
        let mut faces = vec![face(20.0, 100)];
        if index < 2 {
            faces.push(face(220.0, 150));
        }
        session.push(f64::from(index), &picture(), &faces);
    }
    answer(&mut session, 1, 0.8);
    session.seal();
    answer(&mut session, 1, 0.1);
    let report = report(session);
    let scored: Vec<usize> = report.tracks.iter().filter(|t| t.score.is_some()).map(|t| t.frames).collect();
    assert_eq!(scored, [8], "{:?}", report.tracks);
    let others = report.frames[0].faces.iter().filter(|face| face.score.is_none()).count();
    assert_eq!(others, 1, "the other person's face is reported without a score");
}

#[test]
fn everybody_is_scored_on_request_and_the_most_suspicious_decides() {
    let mut session = Session::new(&spec(), Faces::All);
    for index in 0..6 {
        session.push(f64::from(index), &picture(), &[face(20.0, 100), face(220.0, 150)]);
    }
    session.seal();
    let mut nearer = true;
    while let Some(batch) = session.next_batch(1) {
        // The nearer face comes first in each frame.
        session.accept(&batch, &[if nearer { 0.9 } else { 0.1 }]);
        nearer = !nearer;
    }
    let report = report(session);
    assert_eq!(report.tracks.len(), 2);
    assert!(report.tracks.iter().all(|track| track.frames == 6 && track.score.is_some()));
    assert_eq!(report.verdict, Verdict::LikelyFake);
}

#[test]
fn a_session_without_frames_or_without_faces_reports_no_face() {
    assert_eq!(report(Session::new(&spec(), Faces::All)).verdict, Verdict::NoFace);
    let mut session = Session::new(&spec(), Faces::Largest);
    session.push(0.0, &picture(), &[]);
    let report = report(session);
    assert_eq!((report.verdict, report.score), (Verdict::NoFace, None));
}

#[test]
fn a_face_whose_points_fall_together_is_passed_over() {
    let mut session = Session::new(&spec(), Faces::All);
    let broken = Face { landmarks: [[50.0; 2]; 5], ..face(20.0, 100) };
    session.push(0.0, &picture(), &[broken]);
    assert_eq!(report(session).verdict, Verdict::NoFace);
}

#[test]
fn a_report_survives_being_written_and_read() {
    let mut session = Session::new(&spec(), Faces::All);
    session.push(0.5, &picture(), &[face(20.0, 100)]);
    let report = report(session);
    let json = serde_json::to_string(&report).expect("JSON");
    assert!(json.contains("\"box\":[20.0,10.0,100.0,100.0]"), "{json}");
    assert_eq!(serde_json::from_str::<Report>(&json).expect("reads"), report);
}

#[test]
fn a_detector_description_survives_being_written_and_read_and_is_checked() {
    let json = spec().to_json().expect("JSON");
    assert_eq!(DetectorSpec::from_json(&json).expect("reads"), spec());
    for (from, to) in [
        ("\"version\":1", "\"version\":2"),
        ("\"size\":224", "\"size\":256"),
        ("\"temperature\":1.0", "\"temperature\":0.0"),
        ("\"real_below\":0.35", "\"real_below\":0.95"),
        ("\"std\":[0.5,", "\"std\":[0.0,"),
        ("\"margin\":1.3", "\"margin\":-1.0"),
        ("\"frames\":32", "\"frames\":0"),
        ("\"name\"", "\"nom\""),
    ] {
        assert_ne!(json.replace(from, to), json, "{from} stands in the document");
        assert!(DetectorSpec::from_json(&json.replace(from, to)).is_err(), "{to} was accepted");
    }
}
