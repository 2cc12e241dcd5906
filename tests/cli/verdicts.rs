//! What becomes a verdict, whose face it is about, and what stands beside it.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

use crate::encoders::has_encoders;
use crate::support::{FFMPEG, Place, clip, json_lines, sample, text};

const WORDS: &str = "the detector is weak: it has learnt next to nothing";

/// A detector whose weights are finite and whose logits are not: whatever the sum of the features is, one of the sums of
/// the head overflows.
fn overflowing(place: &Place) -> PathBuf {
    let mut bytes = std::fs::read(place.detector()).expect("a detector");
    let (header, metadata) = SafeTensors::read_metadata(&bytes).expect("a header");
    let offsets = |name: &str| metadata.info(name).expect("a tensor of the head").data_offsets;
    let mut fill = |(start, end): (usize, usize), value: f32| {
        let start = 8 + header + start;
        bytes[start..8 + header + end].as_chunks_mut::<4>().0.fill(value.to_le_bytes());
    };
    let (start, end) = offsets("head.layers.0.weight");
    let middle = (start + end) / 2;
    fill((start, middle), f32::MAX);
    fill((middle, end), f32::MIN);
    fill(offsets("head.layers.0.bias"), f32::MAX);
    let path = place.path("overflowing.safetensors");
    std::fs::write(&path, bytes).expect("written");
    path
}

#[test]
fn a_detector_that_computes_no_number_gives_an_error_and_no_verdict() {
    let place = Place::new();
    let (detector, folder) = (overflowing(&place), place.path("reports"));
    let (real, nobody) = (sample("real.mp4"), sample("no_face.mp4"));
    let arguments = ["score", "--jsonl", "--frames", "4", "--model", text(&detector), "--report", text(&folder)];
    let output = place.run(arguments.iter().chain(&[text(&real), text(&nobody)]));
    assert_eq!(output.status.code(), Some(1));
    let documents = json_lines(&String::from_utf8(output.stdout).expect("UTF-8"));
    let error = documents[0]["error"].as_str().expect("an error");
    assert!(error.contains("real.mp4") && error.contains("`detector`") && error.contains("NaN"), "{error}");
    assert!(documents[0].get("verdict").is_none() && documents[0].get("score").is_none(), "{}", documents[0]);
    assert_eq!(documents[1]["verdict"], "no_face", "the other input is still reported");
    assert!(!folder.join("real.mp4.json").exists() && !folder.join("real.mp4.html").exists());
    let sentence = place.fail(["score", "--frames", "4", "--model", text(&detector), text(&real)]);
    assert!(sentence.contains("real.mp4") && sentence.contains("NaN"), "{sentence}");
}

#[test]
fn what_a_detector_is_worth_is_written_into_its_file_and_shown_by_every_output() {
    let place = Place::new();
    let (model, weak, folder) = (place.detector(), place.path("weak.safetensors"), place.path("reports"));
    let quantize = ["quantize", "--model", text(&model), "--dtype", "f16", "--output", text(&weak)];
    place.succeed(quantize.iter().chain(&["--grade", "weak", "--words", WORDS]));
    assert!(place.succeed(["info", text(&weak)]).contains(&format!("weak: {WORDS}")));
    let info: Value = serde_json::from_str(&place.succeed(["info", text(&weak), "--json"])).expect("JSON");
    assert_eq!(info["reliability"]["grade"], "weak");
    let (real, nobody) = (sample("real.mp4"), sample("no_face.mp4"));
    let score = ["score", "--frames", "4", "--model", text(&weak), text(&real), text(&nobody)];
    let summary = place.succeed(score.iter().chain(&["--report", text(&folder)]));
    assert_eq!(summary.matches(&format!("caveat: {WORDS}")).count(), 2, "{summary}");
    assert!(summary.contains("model detector (weak), SHA-256 "), "{summary}");
    for page in ["real.mp4.html", "no_face.mp4.html", "index.html"] {
        let page = std::fs::read_to_string(folder.join(page)).expect("a page");
        assert!(page.contains(&WORDS[1..]), "{page}");
    }
    for report in json_lines(&place.succeed(score.iter().chain(&["--jsonl"]))) {
        assert_eq!(report["model"]["reliability"]["grade"], "weak");
        assert_eq!(report["model"]["reliability"]["words"], WORDS);
        let codes: Vec<&Value> = report["caveats"].as_array().expect("a list").iter().map(|c| &c["code"]).collect();
        assert_eq!(codes, ["weak_detector"], "{report}");
    }
}

/// The tiny detector with another description.
fn described(place: &Place, name: &str, change: impl Fn(&mut Value)) -> PathBuf {
    let bytes = std::fs::read(place.detector()).expect("a detector");
    let (length, tensors) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
    let mut header: Value = serde_json::from_slice(&tensors[..length]).expect("a header");
    let mut spec: Value = serde_json::from_str(header["__metadata__"]["unmask"].as_str().expect("text")).expect("JSON");
    change(&mut spec);
    header["__metadata__"]["unmask"] = spec.to_string().into();
    let header = header.to_string();
    let path = place.path(name);
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &tensors[length..]].concat())
        .expect("written");
    path
}

#[test]
fn a_detector_file_is_refused_by_the_field_that_is_wrong_before_anything_is_scored() {
    let place = Place::new();
    let real = sample("real.mp4");
    let inverted = described(&place, "inverted.safetensors", |spec| spec["labels"] = ["fake", "real"].into());
    let divided = described(&place, "divided.safetensors", |spec| spec["input"]["std"][1] = 0.into());
    for (model, field) in [(&inverted, "`labels`"), (&divided, "`input.std`")] {
        let copy = place.path("copy.safetensors");
        for command in [
            &["score", "--model", text(model), text(&real)][..],
            &["info", text(model)],
            &["quantize", "--model", text(model), "--dtype", "f16", "--output", text(&copy)],
        ] {
            let sentence = place.fail(command);
            let name = model.file_name().expect("a name").to_string_lossy();
            assert!(sentence.contains(field) && sentence.contains(&*name), "{command:?}: {sentence}");
        }
    }
}

#[test]
fn a_trained_detector_that_does_not_say_what_it_is_worth_is_called_uncalibrated_by_every_output() {
    let place = Place::new();
    let (real, folder) = (sample("real.mp4"), place.path("reports"));
    let model = described(&place, "older.safetensors", |spec| {
        spec["training"]["status"] = "trained".into();
        assert!(spec["training"].get("reliability").is_none(), "{spec}");
    });
    assert!(place.succeed(["info", text(&model)]).contains("uncalibrated: "));
    let score = ["score", "--frames", "4", "--model", text(&model), text(&real)];
    let summary = place.succeed(score.iter().chain(&["--report", text(&folder)]));
    assert!(summary.contains("(uncalibrated)") && summary.contains("does not say"), "{summary}");
    assert!(std::fs::read_to_string(folder.join("real.mp4.html")).expect("a page").contains("does not say"));
    let report = json_lines(&place.succeed(score.iter().chain(&["--jsonl"]))).remove(0);
    assert_eq!(report["model"]["reliability"]["grade"], "uncalibrated");
    assert_eq!(report["caveats"][0]["code"], "uncalibrated_detector", "{report}");
}

#[test]
fn a_detector_is_published_under_a_name_of_its_own() {
    let place = Place::new();
    let (model, output) = (place.detector(), place.path("published.safetensors"));
    let quantize = ["quantize", "--model", text(&model), "--dtype", "f16", "--output", text(&output), "--name"];
    place.succeed(quantize.iter().chain(&["newsroom 1"]));
    let report =
        json_lines(&place.succeed(["score", "--jsonl", "--model", text(&output), text(&sample("no_face.mp4"))]));
    assert_eq!(report[0]["model"]["name"], "newsroom 1");
    assert!(place.fail(quantize.iter().chain(&[" "])).contains("`name` is empty"));
    assert!(place.fail(quantize.iter().chain(&["a\nb"])).contains("`name`"));
    for taken in ["a/b", "gend-clip-l-14"] {
        assert!(place.fail(quantize.iter().chain(&[taken])).contains("--name"), "{taken}");
    }
}

#[test]
fn a_grade_needs_its_words_an_untrained_detector_gets_none_and_one_that_nobody_fitted_is_not_calibrated() {
    let place = Place::new();
    let (model, output) = (place.detector(), place.path("graded.safetensors"));
    let quantize =
        ["quantize", "--model", text(&model), "--dtype", "f16", "--output", text(&output), "--grade", "weak"];
    assert_eq!(place.run(quantize).status.code(), Some(2));
    assert!(place.fail(quantize.iter().chain(&["--words", " ."])).contains("--words"));
    let quantize = ["quantize", "--model", text(&model), "--dtype", "f16", "--output", text(&output)];
    let sentence = place.fail(quantize.iter().chain(&["--grade", "calibrated", "--words", "it is good"]));
    assert!(sentence.contains("eval --calibrate"), "nobody fitted its thresholds: {sentence}");
    let (input, fresh) = (crate::support::golden("clip_tiny/model.safetensors"), place.path("fresh.safetensors"));
    place.succeed(["import", "--from", "hf-clip", "--input", text(&input), "--output", text(&fresh)]);
    let quantize = ["quantize", "--model", text(&fresh), "--dtype", "f16", "--output", text(&output)];
    let sentence = place.fail(quantize.iter().chain(&["--grade", "calibrated", "--words", "it is good"]));
    assert!(sentence.contains("untrained"), "{sentence}");
    assert!(!output.exists());
}

#[test]
fn three_pictures_in_a_folder_are_too_few_frames_and_one_picture_is_enough() {
    let place = Place::new();
    let (folder, detector) = (place.path("frames"), place.detector());
    std::fs::create_dir(&folder).expect("made");
    place.ffmpeg(&["-i", text(&sample("real.mp4")), "-frames:v", "3", text(&folder.join("%03d.png"))]);
    let kinds = |input: &Path| {
        let report =
            json_lines(&place.succeed(["score", "--jsonl", "--model", text(&detector), text(input)])).remove(0);
        let reason = report["reason"].as_str().unwrap_or_default().to_string();
        (report["video"]["kind"].as_str().expect("a kind").to_string(), reason)
    };
    let (kind, reason) = kinds(&folder);
    assert!(kind == "frames" && reason.contains("too few to judge"), "{kind}: {reason}");
    let (kind, reason) = kinds(&folder.join("001.png"));
    assert!(kind == "still" && !reason.contains("too few"), "{kind}: {reason}");
    let short = place.path("short.mp4");
    place.ffmpeg(&["-i", text(&sample("real.mp4")), "-frames:v", "3", text(&short)]);
    let (kind, reason) = kinds(&short);
    assert!(kind == "video" && reason.contains("too few to judge"), "{kind}: {reason}");
}

/// The tracks of a report: number, score, frames, and the middle of their faces across, in parts of the width.
fn tracks(report: &Value) -> Vec<(u64, Option<f64>, u64, f64)> {
    let width = report["video"]["width"].as_f64().expect("a width");
    let faces: Vec<&Value> = report["frames"]
        .as_array()
        .expect("frames")
        .iter()
        .flat_map(|f| f["faces"].as_array().expect("faces"))
        .collect();
    let middle = |id: u64| {
        let of_track: Vec<f64> = faces
            .iter()
            .filter(|face| face["track"] == id)
            .map(|face| (face["box"][0].as_f64().expect("x") + face["box"][2].as_f64().expect("w") / 2.0) / width)
            .collect();
        of_track.iter().sum::<f64>() / of_track.len() as f64
    };
    let tracks = report["tracks"].as_array().expect("tracks").iter();
    tracks
        .map(|track| {
            let id = track["id"].as_u64().expect("an id");
            (id, track["score"].as_f64(), track["frames"].as_u64().expect("frames"), middle(id))
        })
        .collect()
}

#[test]
fn beside_a_vertical_video_the_blurred_enlarged_copy_is_nobody() {
    if !has_encoders(FFMPEG, &["libx264"]) {
        return;
    }
    let place = Place::new();
    let vertical = place.path("vertical.mp4");
    // Cut upright around the face, before an enlarged and blurred copy of itself moved so that its face is whole.
    let filter = "[0:v]split[a][b];[a]scale=1000:1000,crop=1000:720:0:0,gblur=sigma=10,pad=1280:720:0:0[back];\
                  [b]crop=ih*9/16:ih,scale=-2:720[front];[back][front]overlay=W-w:0";
    place.ffmpeg(&["-i", text(&sample("real.mp4")), "-filter_complex", filter, "-crf", "18", text(&vertical)]);
    for faces in ["largest", "all"] {
        let report = place.score(&[text(&vertical), "--frames", "8", "--faces", faces]).remove(0);
        let all = tracks(&report);
        let sharp = all.iter().find(|(_, _, frames, middle)| *frames == 8 && *middle > 0.65).expect("the sharp face");
        assert_eq!(report["score"].as_f64(), sharp.1, "{faces}: {all:?}");
        if faces == "largest" {
            let others: Vec<_> = all.iter().filter(|track| track.0 != sharp.0).collect();
            assert!(!others.is_empty() && others.iter().all(|track| track.1.is_none()), "{all:?}");
        }
        let codes = report["caveats"].to_string();
        assert!(!codes.contains("others_not_scored"), "a blurred copy is nobody: {codes}");
    }
}

#[test]
fn a_face_enlarged_three_times_is_said_to_hold_less_detail_than_its_size_by_every_output() {
    if !has_encoders(FFMPEG, &["libx264"]) {
        return;
    }
    let place = Place::new();
    let (enlarged, folder, model) = (place.path("enlarged.mp4"), place.path("reports"), place.detector());
    let filter = "scale=160:160:flags=bicubic,scale=480:480:flags=bicubic";
    place.ffmpeg(&["-t", "1", "-i", text(&sample("real.mp4")), "-vf", filter, "-crf", "23", text(&enlarged)]);
    let score = ["score", "--frames", "4", "--model", text(&model)];
    let report = |input: &Path| {
        json_lines(&place.succeed(score.iter().chain(&["--jsonl", text(input)]))).remove(0)["caveats"].to_string()
    };
    assert!(report(&enlarged).contains("\"upscaled\""), "{}", report(&enlarged));
    assert!(!report(&sample("real.mp4")).contains("\"upscaled\""));
    let summary = place.succeed(score.iter().chain(&[text(&enlarged), "--report", text(&folder)]));
    let words = "holds less detail than its size says";
    assert!(summary.contains(&format!("caveat: the face {words}")), "{summary}");
    assert!(std::fs::read_to_string(folder.join("enlarged.mp4.html")).expect("a page").contains(words));
}

#[test]
fn a_cut_to_another_person_does_not_average_the_two() {
    let place = Place::new();
    let names = ["real_liveportrait_d18.mp4", "real_vox_lia_driving2_256.mp4"];
    let [Some(one), Some(other)] = names.map(clip) else { return };
    let joined = place.path("joined.mkv");
    let part = |input: usize| {
        format!("[{input}:v]trim=duration=2,setpts=PTS-STARTPTS,scale=512:512,fps=25,setsar=1,format=yuv420p[v{input}]")
    };
    let filter = format!("{};{};[v0][v1]concat=n=2:v=1:a=0", part(0), part(1));
    place.ffmpeg(&["-i", text(&one), "-i", text(&other), "-filter_complex", &filter, text(&joined)]);
    let report = place.score(&[text(&joined), "--frames", "16", "--faces", "all"]).remove(0);
    let seen = tracks(&report);
    assert!(seen.len() >= 2 && seen.iter().all(|(_, _, frames, _)| *frames <= 9), "{seen:?}");
    for frames in report["frames"].as_array().expect("frames").windows(2) {
        let is_cut = frames[0]["time_s"].as_f64() < Some(2.0) && frames[1]["time_s"].as_f64() >= Some(2.0);
        let tracks = [0, 1].map(|index: usize| &frames[index]["faces"][0]["track"]);
        assert!(!is_cut || tracks[0] != tracks[1], "the track goes on over the cut: {seen:?}");
    }
}

#[test]
fn a_clip_on_its_side_upside_down_or_in_the_dark_scores_as_it_does_upright_or_says_so() {
    if !has_encoders(FFMPEG, &["libx264"]) {
        return;
    }
    let place = Place::new();
    let upright = place.score(&[text(&sample("real.mp4")), "--frames", "8"]).remove(0);
    let score = |report: &Value| report["score"].as_f64().expect("a score");
    for (name, filter, code) in [
        ("right.mp4", "transpose=1", "turned"),
        ("left.mp4", "transpose=2", "turned"),
        ("over.mp4", "hflip,vflip", "turned"),
        ("dark.mp4", "colorlevels=romax=0.08:gomax=0.08:bomax=0.08", "dark"),
    ] {
        let path = place.path(name);
        place.ffmpeg(&["-i", text(&sample("real.mp4")), "-vf", filter, "-crf", "12", text(&path)]);
        let report = place.score(&[text(&path), "--frames", "8"]).remove(0);
        let codes: Vec<&Value> = report["caveats"].as_array().expect("a list").iter().map(|one| &one["code"]).collect();
        assert!(codes.contains(&&Value::from(code)), "{name}: {codes:?}");
        let moved = (score(&report) - score(&upright)).abs();
        assert!(code == "dark" || moved < 0.1, "{name} scores {moved} apart");
        let turned_back = codes.contains(&&Value::from("turned"));
        assert_eq!(turned_back, code == "turned", "{name}: {codes:?}");
    }
}

/// A frame of the sample with as few colours, which is what a drawing of it would have.
fn drawn_after(place: &Place) -> PathBuf {
    let output = place.path("drawn.png");
    let made = std::process::Command::new(FFMPEG)
        .args(["-v", "error", "-i", text(&sample("real.mp4")), "-frames:v", "1"])
        .args(["-vf", "median=radius=5,elbg=codebook_length=6:seed=1", text(&output)])
        .status();
    assert!(made.expect("ffmpeg starts").success());
    output
}

#[test]
fn a_face_that_looks_drawn_is_not_judged_and_a_filmed_one_is() {
    let place = Place::new();
    let drawn = drawn_after(&place);
    let report = |input: &Path| -> Value {
        serde_json::from_str(&place.succeed(["score", text(input), "--json", "--frames", "4"])).expect("JSON")
    };
    let of_drawing = report(&drawn);
    assert_eq!(of_drawing["verdict"], "uncertain");
    assert!(of_drawing["reason"].as_str().expect("a reason").contains("as drawings have"), "{}", of_drawing["reason"]);
    assert!(of_drawing["score"].is_number(), "the score is shown all the same");
    assert_eq!(report(&sample("real.mp4"))["verdict"], "likely_real");
}
