//! Every real clip scores, each in its own way.

use serde_json::Value;

use crate::support::{Place, clip, text};

/// The report of one clip; `None`, said aloud, where the clip is absent.
fn report(place: &Place, name: &str, arguments: &[&str]) -> Option<Value> {
    let path = clip(name)?;
    let mut all = vec![text(&path)];
    all.extend(arguments);
    let mut reports = place.score(&all);
    assert_eq!(reports.len(), 1);
    reports.pop()
}

/// How many of a report's frames have a scored face.
fn scored_frames(report: &Value) -> usize {
    let frames = report["frames"].as_array().expect("frames");
    frames
        .iter()
        .filter(|frame| frame["faces"].as_array().expect("faces").iter().any(|face| face["score"].is_number()))
        .count()
}

#[test]
fn clips_of_one_person_find_that_person_in_nearly_every_frame() {
    let place = Place::new();
    for name in [
        "real_intel_asl_again.mkv",
        "real_intel_asl_eat_640x480.mkv",
        "real_intel_asl_eat_640x480_remux.mp4",
        "real_intel_asl_help.mkv",
        "real_intel_asl_learn.mkv",
        "real_intel_asl_sister.mkv",
        "real_liveportrait_d5.mp4",
        "real_liveportrait_d18.mp4",
        "real_liveportrait_d1_512_0.5s.mp4",
        "real_vox_lia_driving2_256.mp4",
        "real_ffpp_519_480p.mp4",
        "fake_ffpp_deepfakes_519_515_480p.mp4",
    ] {
        let Some(report) = report(&place, name, &["--frames", "8"]) else { continue };
        assert_eq!(report["frames"].as_array().expect("frames").len(), 8, "{name}");
        assert!(scored_frames(&report) >= 7, "{name}: {} of 8 frames", scored_frames(&report));
        assert!(report["score"].is_number() && report["verdict"] != "no_face", "{name}: {report}");
        let score = report["score"].as_f64().expect("a score");
        assert!((0.0..=1.0).contains(&score), "{name}: {score}");
    }
}

#[test]
fn animated_artwork_gets_a_report_like_any_clip() {
    let place = Place::new();
    let Some(report) = report(&place, "sadtalker_gen_art2.mp4", &["--frames", "8"]) else { return };
    assert_eq!(report["frames"].as_array().expect("frames").len(), 8);
    assert_eq!(report["verdict"] == "no_face", report["score"].is_null(), "{report}");
}

#[test]
fn the_same_stream_in_two_containers_scores_the_same() {
    let place = Place::new();
    let Some(mkv) = report(&place, "real_intel_asl_eat_640x480.mkv", &[]) else { return };
    let Some(mp4) = report(&place, "real_intel_asl_eat_640x480_remux.mp4", &[]) else { return };
    let difference = mkv["score"].as_f64().expect("a score") - mp4["score"].as_f64().expect("a score");
    assert!(difference.abs() < 0.01, "{} and {}", mkv["score"], mp4["score"]);
}

#[test]
fn bottles_are_no_faces_and_no_face_is_not_real() {
    let place = Place::new();
    let Some(report) = report(&place, "noface_intel_bottle_640x360.mp4", &[]) else { return };
    assert_eq!(report["verdict"], "no_face");
    assert!(report["score"].is_null());
    assert!(report["reason"].as_str().expect("a reason").contains("no face"));
    assert_eq!(report["tracks"].as_array().expect("tracks").len(), 0);
}

#[test]
fn several_people_are_told_apart_and_all_scored_on_request() {
    let place = Place::new();
    let name = "real_multiface_hamilton_640x360.mp4";
    let Some(all) = report(&place, name, &["--faces", "all"]) else { return };
    let tracks = all["tracks"].as_array().expect("tracks");
    assert!(tracks.len() >= 3 && tracks.iter().all(|track| track["score"].is_number()), "{tracks:?}");
    let largest = report(&place, name, &["--faces", "largest"]).expect("the clip is there");
    let scored =
        largest["tracks"].as_array().expect("tracks").iter().filter(|track| track["score"].is_number()).count();
    assert_eq!(scored, 1);
}

#[test]
fn boxes_and_landmarks_lie_in_the_frame_and_belong_together() {
    let place = Place::new();
    let Some(report) = report(&place, "real_liveportrait_d5.mp4", &["--frames", "4"]) else { return };
    let (width, height) =
        (report["video"]["width"].as_f64().expect("w"), report["video"]["height"].as_f64().expect("h"));
    let number = |value: &Value| value.as_f64().expect("a number");
    for face in report["frames"].as_array().expect("frames").iter().flat_map(|f| f["faces"].as_array().expect("faces"))
    {
        let [x, y, w, h] = [0, 1, 2, 3].map(|i| number(&face["box"][i]));
        assert!(x >= 0.0 && y >= 0.0 && x + w <= width + 1.0 && y + h <= height + 1.0, "{face}");
        let points: Vec<[f64; 2]> = (0..5).map(|i| [0, 1].map(|j| number(&face["landmarks"][i][j]))).collect();
        assert!(points.iter().all(|p| p[0] > x && p[0] < x + w && p[1] > y && p[1] < y + h), "{face}");
        assert!(points[0][0] < points[1][0] && points[3][0] < points[4][0] && points[0][1] < points[3][1], "{face}");
    }
}

#[test]
fn a_video_turned_by_its_metadata_scores_as_displayed() {
    let Some(path) = clip("real_liveportrait_d5.mp4") else { return };
    let place = Place::new();
    let turned = place.path("turned.mp4");
    let sideways = place.path("sideways.mp4");
    place.ffmpeg(&["-i", text(&path), "-vf", "transpose=1", "-an", text(&sideways)]);
    // ffmpeg says "shown turned by 90 degrees to the left" by one option up to version 5 and by another from version 6 on.
    let modern = ["-display_rotation", "90", "-i", text(&sideways), "-c", "copy", text(&turned)];
    if !place.try_ffmpeg(&modern) {
        place.ffmpeg(&["-i", text(&sideways), "-c", "copy", "-metadata:s:v:0", "rotate=90", text(&turned)]);
    }
    let reports = place.score(&[text(&turned), "--frames", "4"]);
    assert_eq!(scored_frames(&reports[0]), 4, "the face is upright as displayed: {}", reports[0]);
}
