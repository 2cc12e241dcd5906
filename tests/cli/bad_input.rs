//! Whatever is wrong with an input, the answer is one sentence that names it and the way out, and exit status 1.

use std::path::{Path, PathBuf};

use crate::encoders::has_encoders;
use crate::support::{FFMPEG, Place, clip, golden, json_lines, sample, text};

/// Scores one input, which must fail; gives the sentence, which must name the file.
fn refused(place: &Place, input: &Path) -> String {
    let detector = place.detector();
    let sentence = place.fail(["score", text(input), "--model", text(&detector)]);
    let name = input.file_name().expect("a name").to_string_lossy();
    assert!(sentence.contains(&*name), "does not name {name}: {sentence}");
    sentence
}

/// A short clip with a moving pattern.
fn pattern(place: &Place, name: &str, options: &[&str]) -> PathBuf {
    let path = place.path(name);
    let mut arguments = vec!["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=4"];
    arguments.extend(options);
    arguments.push(text(&path));
    place.ffmpeg(&arguments);
    path
}

#[test]
fn a_missing_file_is_named() {
    let place = Place::new();
    let sentence = refused(&place, &place.path("absent.mp4"));
    assert!(sentence.contains("no such file"), "{sentence}");
}

#[test]
fn an_empty_file_is_called_empty() {
    let place = Place::new();
    let path = place.path("empty.mp4");
    std::fs::write(&path, "").expect("written");
    assert!(refused(&place, &path).contains("empty"));
}

#[test]
fn text_named_mp4_is_no_video() {
    let place = Place::new();
    let path = place.path("letter.mp4");
    std::fs::write(&path, "Dear editor, this is not a video.\n".repeat(50)).expect("written");
    refused(&place, &path);
}

#[test]
fn a_truncated_mp4_is_called_damaged_whether_its_index_is_lost_or_only_its_end() {
    let place = Place::new();
    for (name, options) in [("index_last.mp4", &[][..]), ("index_first.mp4", &["-movflags", "+faststart"][..])] {
        let path = pattern(&place, name, options);
        let bytes = std::fs::read(&path).expect("read");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
        refused(&place, &path);
    }
}

#[test]
fn a_file_with_sound_only_has_no_video_to_score() {
    let place = Place::new();
    let path = place.path("song.m4a");
    place.ffmpeg(&["-f", "lavfi", "-i", "sine=duration=1", text(&path)]);
    assert!(refused(&place, &path).contains("no video"));
}

#[test]
fn a_video_of_no_duration_is_refused() {
    let place = Place::new();
    let path = pattern(&place, "nothing.mkv", &["-frames:v", "0"]);
    refused(&place, &path);
}

#[test]
fn a_corrupt_frame_in_the_middle_is_refused_and_skipped_only_on_request() {
    if !has_encoders(FFMPEG, &["libx264"]) {
        return;
    }
    let place = Place::new();
    let path = pattern(&place, "scratched.mp4", &["-g", "10", "-bf", "0", "-c:v", "libx264"]);
    let mut bytes = std::fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    for (index, byte) in bytes[middle - 3000..middle + 3000].iter_mut().enumerate() {
        *byte = (index * 37 % 251) as u8;
    }
    std::fs::write(&path, &bytes).expect("written");
    assert!(refused(&place, &path).contains("damaged"));
    place.score(&[text(&path), "--damaged", "skip"]);
}

#[test]
fn an_image_of_16384_pixels_square_is_refused_before_it_is_decoded() {
    let place = Place::new();
    let path = place.path("huge.png");
    image::GrayImage::new(16_384, 16_384).save(&path).expect("written");
    assert!(refused(&place, &path).contains("16384"));
}

#[test]
fn a_missing_ffmpeg_is_said_with_how_to_install_it() {
    let place = Place::new();
    let (detector, path) = (place.detector(), pattern(&place, "fine.mp4", &[]));
    for variable in ["UNMASK_FFMPEG", "UNMASK_FFPROBE"] {
        let output = place
            .unmask()
            .args(["score", text(&path), "--model", text(&detector)])
            .env("PATH", place.path("nowhere"))
            .env(variable, place.path("no-such-program"))
            .output()
            .expect("runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains("ffmpeg") && errors.contains("install"), "{errors}");
    }
}

#[test]
fn one_bad_file_never_stops_the_rest() {
    let place = Place::new();
    let (detector, folder) = (place.detector(), place.path("videos"));
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("a_bad.mp4"), "no video").expect("written");
    place.ffmpeg(&["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1", text(&folder.join("b_good.mp4"))]);
    std::fs::write(folder.join("c_bad.mp4"), "").expect("written");
    let output = place.run(["score", text(&folder), "--model", text(&detector), "--jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    let lines = json_lines(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0]["error"].is_string() && lines[2]["error"].is_string());
    assert_eq!(lines[1]["verdict"], "no_face");
}

#[test]
fn a_detector_file_cut_anywhere_in_its_header_is_refused() {
    let place = Place::new();
    let bytes = std::fs::read(place.detector()).expect("read");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let path = place.path("cut.safetensors");
    for length in (0..header).step_by(10) {
        std::fs::write(&path, &bytes[..length]).expect("written");
        assert!(place.fail(["info", text(&path)]).contains("cut.safetensors"));
    }
}

#[test]
fn a_detector_file_cut_in_its_tensors_or_too_long_is_refused() {
    let place = Place::new();
    let mut bytes = std::fs::read(place.detector()).expect("read");
    let path = place.path("cut.safetensors");
    std::fs::write(&path, &bytes[..bytes.len() - 1]).expect("written");
    place.fail(["info", text(&path)]);
    bytes.push(0);
    std::fs::write(&path, &bytes).expect("written");
    place.fail(["info", text(&path)]);
}

#[test]
fn a_video_where_a_detector_is_asked_for_is_called_one() {
    let place = Place::new();
    for arguments in [&["info"][..], &["score", text(&sample("real.mp4")), "--model"]] {
        let said = place.fail(arguments.iter().copied().chain([text(&sample("fake.mp4"))]));
        assert!(said.contains("fake.mp4 is a video or an image") && said.contains("unmask score"), "{said}");
    }
}

/// Writes the tiny detector again with its bytes changed by `change(header, data)`.
fn changed(place: &Place, change: impl Fn(String, &mut Vec<u8>) -> String) -> PathBuf {
    let bytes = std::fs::read(place.detector()).expect("read");
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header = String::from_utf8(bytes[8..8 + length].to_vec()).expect("UTF-8");
    let mut data = bytes[8 + length..].to_vec();
    let header = change(header, &mut data);
    let mut written = (header.len() as u64).to_le_bytes().to_vec();
    written.extend(header.as_bytes());
    written.extend(data);
    let path = place.path("changed.safetensors");
    std::fs::write(&path, written).expect("written");
    path
}

fn score_refusal(place: &Place, detector: &Path) -> String {
    let image = place.path("image.png");
    place.ffmpeg(&["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=1:duration=1", "-frames:v", "1", text(&image)]);
    let sentence = place.fail(["score", text(&image), "--model", text(detector)]);
    assert!(sentence.contains("changed.safetensors"), "{sentence}");
    sentence
}

#[test]
fn a_tensor_of_the_wrong_shape_is_named_with_both_shapes() {
    let place = Place::new();
    let path = changed(&place, |header, _| header.replacen("\"shape\":[32,64]", "\"shape\":[64,32]", 1));
    let sentence = score_refusal(&place, &path);
    assert!(sentence.contains("[64, 32]") && sentence.contains("[32, 64]"), "{sentence}");
}

#[test]
fn a_missing_and_an_unknown_tensor_are_named() {
    let place = Place::new();
    let path = changed(&place, |header, _| header.replace("\"tower.pre_norm.bias\"", "\"tower.pre_norm.bian\""));
    assert!(score_refusal(&place, &path).contains("tower.pre_norm.bias"));
}

#[test]
fn nan_weights_are_refused_by_the_name_of_their_tensor() {
    let place = Place::new();
    let path = changed(&place, |header, data| {
        data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        header
    });
    assert!(score_refusal(&place, &path).contains("not finite"));
}

#[test]
fn an_unknown_architecture_is_refused() {
    let place = Place::new();
    let path = changed(&place, |header, _| header.replace("\\\"kind\\\":\\\"clip\\\"", "\\\"kind\\\":\\\"clop\\\""));
    assert!(score_refusal(&place, &path).contains("clop"));
}

#[test]
fn a_plain_safetensors_file_is_no_detector() {
    let place = Place::new();
    let plain = golden("clip_tiny/model.safetensors");
    assert!(place.fail(["info", text(&plain)]).contains("unmask import"));
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let place = Place::new();
    let input = golden("clip_tiny/model.safetensors");
    let output = place.path("absent/detector.safetensors");
    let sentence = place.fail(["import", "--from", "hf-clip", "--input", text(&input), "--output", text(&output)]);
    assert!(sentence.contains("does not exist"), "{sentence}");
}

#[test]
fn wrong_usage_exits_with_status_2() {
    let place = Place::new();
    for arguments in [&["score"][..], &["nonsense"], &["score", "a.mp4", "--model", "m", "--frames", "0"]] {
        assert_eq!(place.run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_real_clip_cut_in_half_is_refused() {
    let Some(clip) = clip("real_multiface_hamilton_640x360.mp4") else { return };
    let place = Place::new();
    let bytes = std::fs::read(clip).expect("read");
    let path = place.path("half.mp4");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    refused(&place, &path);
}
