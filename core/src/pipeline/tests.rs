//! A session from frames to a report, with faces and scores made up.

mod left_out;
mod scores;

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::report::{InputKind, ModelInfo, Report, Timing, Verdict, VideoSummary};
use super::{CaveatCode, Faces, Session, SessionError};
use crate::detector::Scores;
use crate::detector::spec::*;
use crate::detector::{clip::ClipConfig, clip::HeadKind, dicome::DicomeConfig, stan::StanConfig};
use crate::face::alignment::{CropGeometry, CropSpec, template};
use crate::face::fineness::tests::natural;
use crate::face::{Face, Rect};
use crate::image::{Interpolation, RgbImage};

fn spec() -> DetectorSpec {
    DetectorSpec {
        version: SPEC_VERSION,
        name: "made-up".to_string(),
        architecture: Architecture::Clip(ClipConfig::vit_b_16(HeadKind::OneLayer)),
        low_rank: None,
        quantization: None,
        reference: None,
        input: InputSpec { size: 224, mean: [0.5; 3], std: [0.5; 3], interpolation: Interpolation::Bicubic },
        crop: CropSpec { geometry: CropGeometry::Dfb, size: 64, margin: 1.3 },
        sampling: SamplingSpec { frames: 32, clip_length: None },
        labels: ["real".to_string(), "fake".to_string()],
        calibration: Calibration::default(),
        training: Training {
            status: TrainingStatus::Trained,
            summary: "made up".to_string(),
            reliability: Some(Reliability { grade: Grade::Calibrated, words: "made up".to_string() }),
        },
        licence: None,
        base_model: None,
        adapter: None,
    }
}

/// The same for clips of `length` frames.
fn spec_of_clips(length: usize) -> DetectorSpec {
    let stan = StanConfig { clip_length: length, ..StanConfig::new(ClipConfig::vit_b_16(HeadKind::OneLayer)) };
    let sampling = SamplingSpec { frames: 32, clip_length: Some(length) };
    DetectorSpec { architecture: Architecture::Stan(stan), sampling, ..spec() }
}

/// A face of `side` pixels with its upper left corner at `x`, 10.
fn face(x: f32, side: usize) -> Face {
    let landmarks = template(CropGeometry::Dfb, side, 1.3).map(|[u, v]| [u + x, v + 10.0]);
    Face { bounds: Rect { x, y: 10.0, width: side as f32, height: side as f32 }, landmarks, confidence: 0.99 }
}

/// These scores of a detector that does not say how uncertain it is.
fn fake(scores: &[f32]) -> Scores {
    Scores { fake: scores.to_vec(), uncertainty: Vec::new() }
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
        session.accept(&batch, &fake(&vec![score; batch.views().count()])).expect("scores");
    }
    scored
}

fn report(session: Session) -> Report {
    finish(session).expect("a report")
}

fn finish(session: Session) -> Result<Report, SessionError> {
    let model = ModelInfo::new(&spec(), "0".to_string());
    session.finish("clip.mp4".to_string(), &spec(), model, video(InputKind::Video), Timing::default())
}

fn video(kind: InputKind) -> VideoSummary {
    let (width, height, fps, duration_s) = (400, 200, Some(25.0), Some(1.0));
    VideoSummary { kind, width, height, fps, duration_s, frames_sampled: 0, frame_count: None }
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
        session.accept(&batch, &fake(&[if nearer { 0.9 } else { 0.1 }])).expect("a score");
        nearer = !nearer;
    }
    let report = report(session);
    assert_eq!(report.tracks.len(), 2);
    assert!(report.tracks.iter().all(|track| track.frames == 6 && track.score.is_some()));
    assert_eq!(report.verdict, Verdict::LikelyFake);
}

/// Scores what is ready, clip by clip, with the clip's number over ten, and gives the crops' first pixels.
fn answer_by_clip(session: &mut Session, size: usize, length: usize, clips: &mut Vec<Vec<u8>>) {
    while let Some(batch) = session.next_batch(size) {
        assert!(batch.crops.len().is_multiple_of(length) && batch.crops.len() <= size.max(length));
        let mut scores = Vec::new();
        for clip in batch.crops.chunks(length) {
            scores.push((clips.len() + 1) as f32 / 10.0);
            clips.push(clip.iter().map(|crop| crop.pixels()[3 * (32 * 64 + 32)]).collect());
        }
        session.accept(&batch, &fake(&scores)).expect("scores");
    }
}

#[test]
fn clips_are_consecutive_crops_of_one_track_and_the_last_short_one_repeats_its_last() {
    let mut session = Session::new(&spec_of_clips(3), Faces::Largest);
    let mut clips = Vec::new();
    // Frame i is all of the grey level 10·i.
    for index in 0..8u8 {
        let frame = RgbImage::new(400, 200, vec![10 * index; 400 * 200 * 3]).expect("fits");
        session.push(f64::from(index), &frame, &[face(20.0, 100)]);
        answer_by_clip(&mut session, 3, 3, &mut clips);
    }
    assert_eq!(clips, [[0, 10, 20], [30, 40, 50]], "full clips are scored while frames come");
    session.seal();
    answer_by_clip(&mut session, 3, 3, &mut clips);
    assert_eq!(clips[2], [60, 70, 70]);
    let report = report(session);
    let scores: Vec<Option<f32>> = report.frames.iter().map(|frame| frame.faces[0].score).collect();
    assert_eq!(scores, [0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.3, 0.3].map(Some), "each frame has its clip's score");
    let score = report.score.expect("a score");
    assert!((score - 0.2).abs() < 1e-6, "the mean over the three clips, not over the frames: {score}");
}

#[test]
fn clips_of_two_people_are_not_mixed_and_those_of_another_person_do_not_count() {
    for (faces, clips_expected) in [(Faces::All, 4), (Faces::Largest, 2)] {
        let mut session = Session::new(&spec_of_clips(4), faces);
        for index in 0..6 {
            session.push(f64::from(index), &picture(), &[face(20.0, 100), face(220.0, 150)]);
        }
        session.seal();
        let mut clips = Vec::new();
        answer_by_clip(&mut session, 8, 4, &mut clips);
        assert_eq!(clips.len(), clips_expected);
        let report = report(session);
        for track in &report.tracks {
            let scores: Vec<f32> = report
                .frames
                .iter()
                .flat_map(|f| &f.faces)
                .filter(|f| f.track == track.id)
                .filter_map(|f| f.score)
                .collect();
            assert_eq!(scores.is_empty(), track.score.is_none());
            // Four frames of the first clip, two of the second.
            assert!(scores.is_empty() || (scores.len() == 6 && scores[0] == scores[3] && scores[3] != scores[4]));
            if let Some(score) = track.score {
                assert!((score - (scores[0] + scores[5]) / 2.0).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn a_clip_keeps_the_crops_of_frames_in_which_another_face_was_larger() {
    let mut session = Session::new(&spec_of_clips(4), Faces::Largest);
    for index in 0..8 {
        let mut faces = vec![face(20.0, 100)];
        if index < 2 {
            faces.push(face(220.0, 150));
        }
        session.push(f64::from(index), &picture(), &faces);
    }
    let mut clips = Vec::new();
    answer_by_clip(&mut session, 4, 4, &mut clips);
    assert_eq!(clips.len(), 2, "both clips of the person who is largest overall are whole");
    session.seal();
    assert!(session.next_batch(4).is_none());
    let report = report(session);
    let person = report.tracks.iter().find(|track| track.frames == 8).expect("the person in all frames");
    assert!(person.score.is_some());
}

#[test]
fn a_batch_shows_the_middle_crop_of_each_clip_with_its_track_and_frame() {
    let mut session = Session::new(&spec_of_clips(4), Faces::Largest);
    for frame in 0..7 {
        let faces = [face(20.0 + frame as f32, 100)];
        session.push(f64::from(frame), &picture(), if frame == 1 { &[] } else { &faces });
    }
    session.seal();
    let batch = session.next_batch(8).expect("a batch");
    // The clips are of frames 0, 2, 3, 4 and of 5, 6 with the last repeated.
    let views: Vec<(usize, usize)> = batch.views().map(|view| (view.track, view.frame)).collect();
    assert_eq!(views, [(0, 3), (0, 6)]);
    assert!(batch.views().zip([2, 5]).all(|(view, crop)| *view.crop == batch.crops[crop]));
}

#[test]
fn a_single_image_is_a_clip_of_one_repeated_crop() {
    let mut session = Session::new(&spec_of_clips(8), Faces::Largest);
    session.push(0.0, &picture(), &[face(20.0, 100)]);
    session.seal();
    let batch = session.next_batch(8).expect("a batch");
    assert_eq!(batch.crops.len(), 8);
    assert!(batch.crops.iter().all(|crop| *crop == batch.crops[0]));
}

#[test]
fn a_description_whose_clip_length_is_not_its_models_is_refused() {
    assert!(spec_of_clips(8).check().is_ok());
    let wrong = SamplingSpec { frames: 32, clip_length: Some(4) };
    assert!(DetectorSpec { sampling: wrong.clone(), ..spec_of_clips(8) }.check().is_err());
    assert!(DetectorSpec { sampling: wrong, ..spec() }.check().is_err());
    assert!(DetectorSpec { sampling: spec().sampling, ..spec_of_clips(8) }.check().is_err());
    assert!(spec_of_clips(65).check().is_err());
    let json = spec_of_clips(8).to_json().expect("JSON");
    assert_eq!(DetectorSpec::from_json(&json).expect("reads"), spec_of_clips(8));
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
    answer(&mut session, 1, 0.5);
    let report = report(session);
    let json = serde_json::to_string(&report).expect("JSON");
    assert!(json.contains("\"box\":[20.0,10.0,100.0,100.0]"), "{json}");
    assert_eq!(serde_json::from_str::<Report>(&json).expect("reads"), report);
}

/// A session of one person in `frames` frames.
fn session_of(frames: usize) -> Session {
    let mut session = Session::new(&spec(), Faces::Largest);
    (0..frames).for_each(|index| session.push(index as f64, &picture(), &[face(20.0, 100)]));
    session.seal();
    session
}

fn codes(report: &Report) -> Vec<CaveatCode> {
    report.caveats.iter().map(|caveat| caveat.code).collect()
}

/// The report on six frames alike with these faces.
fn report_on(picture: &RgbImage, faces: &[Face], whose: Faces) -> Report {
    let mut session = Session::new(&spec(), whose);
    (0..6).for_each(|index| session.push(f64::from(index), picture, faces));
    session.seal();
    answer(&mut session, 8, 0.1);
    report(session)
}

#[test]
fn a_face_in_the_dark_is_said_to_be_and_one_in_the_light_is_not() {
    assert_eq!(codes(&report_on(&picture(), &[face(20.0, 100)], Faces::Largest)), []);
    let dark = RgbImage::new(400, 200, picture().pixels().iter().map(|level| level / 12).collect()).expect("fits");
    assert_eq!(codes(&report_on(&dark, &[face(20.0, 100)], Faces::Largest)), [CaveatCode::Dark]);
}

#[test]
fn a_face_that_holds_less_detail_than_its_size_says_is_said_to_and_a_small_one_that_is_whole_is_not() {
    let spec = DetectorSpec { crop: CropSpec { size: 256, ..spec().crop }, ..spec() };
    let whole = natural(224);
    let third = whole.resize(75, 75, Interpolation::Bilinear);
    let enlarged = third.resize(224, 224, Interpolation::Bicubic);
    for (picture, side, expected) in
        [(whole, 180, None), (enlarged, 180, Some(CaveatCode::Upscaled)), (third, 58, None)]
    {
        let mut session = Session::new(&spec, Faces::Largest);
        (0..6).for_each(|index| session.push(f64::from(index), &picture, &[face(5.0, side)]));
        session.seal();
        answer(&mut session, 8, 0.1);
        assert_eq!(codes(&report(session)), expected.into_iter().collect::<Vec<_>>(), "{side}");
    }
}

#[test]
fn a_face_on_its_side_or_upside_down_is_said_to_be() {
    let upright = face(40.0, 100);
    for (turn, is_turned) in [(30.0f32, false), (90.0, true), (-90.0, true), (180.0, true)] {
        let (sine, cosine) = turn.to_radians().sin_cos();
        let around = |[x, y]: [f32; 2]| {
            [90.0 + cosine * (x - 90.0) - sine * (y - 60.0), 60.0 + sine * (x - 90.0) + cosine * (y - 60.0)]
        };
        let turned = Face { landmarks: upright.landmarks.map(around), ..upright };
        let report = report_on(&picture(), &[turned], Faces::Largest);
        assert_eq!(codes(&report).contains(&CaveatCode::Turned), is_turned, "{turn}");
    }
}

#[test]
fn others_who_could_have_been_judged_are_named_and_small_ones_and_passers_by_are_not() {
    let (one, other) = (face(20.0, 100), face(220.0, 90));
    assert_eq!(codes(&report_on(&picture(), &[one, other], Faces::Largest)), [CaveatCode::OthersNotScored]);
    assert_eq!(codes(&report_on(&picture(), &[one, other], Faces::All)), []);
    assert_eq!(codes(&report_on(&picture(), &[one, face(220.0, 20)], Faces::Largest)), []);
}

#[test]
fn in_a_folder_of_pictures_others_who_are_seen_once_are_named_too() {
    for (kind, is_named) in [(InputKind::Video, false), (InputKind::Frames, true)] {
        let mut session = Session::new(&spec(), Faces::Largest);
        [20.0, 220.0].into_iter().for_each(|x| session.push(f64::from(x), &picture(), &[face(x, 100)]));
        session.seal();
        answer(&mut session, 8, 0.1);
        let model = ModelInfo::new(&spec(), "0".to_string());
        let report = session.finish("clip".to_string(), &spec(), model, video(kind), Timing::default());
        let found = codes(&report.expect("a report"));
        assert_eq!(found.contains(&CaveatCode::OthersNotScored), is_named, "{kind:?}: {found:?}");
    }
}

#[test]
fn four_frames_in_a_row_that_score_as_a_fake_are_told_where_the_whole_does_not() {
    for (scores, is_told) in [
        ([0.1, 0.1, 0.9, 0.9, 0.9, 0.9, 0.1, 0.1], true),
        ([0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.9, 0.9], false),
        ([0.9; 8], false),
    ] {
        let mut session = session_of(8);
        for score in scores {
            let batch = session.next_batch(1).expect("a batch");
            session.accept(&batch, &fake(&[score])).expect("a score");
        }
        let found = codes(&report(session));
        assert_eq!(found.contains(&CaveatCode::PartLikelyFake), is_told, "{scores:?}: {found:?}");
    }
}

#[test]
fn of_a_face_too_small_to_judge_no_part_is_told() {
    let mut session = Session::new(&spec(), Faces::Largest);
    (0..8).for_each(|index| session.push(f64::from(index), &picture(), &[face(20.0, 24)]));
    session.seal();
    answer(&mut session, 8, 0.99);
    let report = report(session);
    assert!(
        report.verdict == Verdict::Uncertain && !codes(&report).contains(&CaveatCode::PartLikelyFake),
        "{report:?}"
    );
}

#[test]
fn more_faces_than_are_followed_are_a_crowd() {
    let many: Vec<Face> = (0..70).map(|index| face((index * 5) as f32, 40)).collect();
    assert!(codes(&report_on(&picture(), &many, Faces::All)).contains(&CaveatCode::Crowd));
}

#[test]
fn what_a_detector_is_worth_stands_among_the_caveats_in_the_words_of_its_file() {
    for (grade, code) in [
        (Grade::Calibrated, None),
        (Grade::Weak, Some(CaveatCode::WeakDetector)),
        (Grade::Uncalibrated, Some(CaveatCode::UncalibratedDetector)),
        (Grade::Untrained, Some(CaveatCode::UntrainedDetector)),
    ] {
        let reliability = Some(Reliability { grade, words: "as its file says".to_string() });
        let spec = DetectorSpec { training: Training { reliability, ..spec().training }, ..spec() };
        let mut session = Session::new(&spec, Faces::Largest);
        session.push(0.0, &picture(), &[face(20.0, 100)]);
        answer(&mut session, 1, 0.1);
        let model = ModelInfo::new(&spec, "0".to_string());
        let report = session.finish("clip.mp4".to_string(), &spec, model, video(InputKind::Video), Timing::default());
        let report = report.expect("a report");
        assert_eq!(codes(&report), code.into_iter().collect::<Vec<_>>());
        assert!(report.caveats.iter().all(|caveat| caveat.words == "as its file says"));
        assert_eq!(report.model.reliability.grade, grade);
    }
}

#[test]
fn only_a_still_is_judged_by_fewer_than_four_frames_whatever_else_is_known_of_it() {
    for (kind, verdict) in [
        (InputKind::Still, Verdict::LikelyReal),
        (InputKind::Frames, Verdict::Uncertain),
        (InputKind::Video, Verdict::Uncertain),
        (InputKind::Live, Verdict::Uncertain),
    ] {
        for fps in [None, Some(25.0)] {
            let mut session = Session::new(&spec(), Faces::Largest);
            (0..3).for_each(|index| session.push(f64::from(index), &picture(), &[face(20.0, 100)]));
            session.seal();
            answer(&mut session, 1, 0.1);
            let (model, video) = (ModelInfo::new(&spec(), "0".to_string()), VideoSummary { fps, ..video(kind) });
            let report = session.finish("input".to_string(), &spec(), model, video, Timing::default());
            assert_eq!(report.expect("a report").verdict, verdict, "{kind:?} {fps:?}");
        }
    }
}

#[test]
fn the_table_of_caveats_has_every_code_in_its_words_and_no_other() {
    let table = include_str!("../../../docs/caveats.md");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), CaveatCode::ALL.len());
    for (code, row) in CaveatCode::ALL.into_iter().zip(rows) {
        let name = serde_json::to_value(code).expect("JSON");
        let name = name.as_str().expect("a name");
        assert!(row.starts_with(&alloc::format!("| `{name}` | {} |", code.words())), "{row}");
    }
}
