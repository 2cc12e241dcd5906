//! Data that others prepared, read as the trainer reads it and shown by `unmask info --json`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Place, golden, text};

/// An image of one colour.
fn image(path: &Path) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    image::RgbImage::new(8, 8).save(path).expect("written");
}

fn info(place: &Place, arguments: &[&str]) -> Value {
    let mut all = vec!["info", "--json"];
    all.extend(arguments);
    serde_json::from_str(&place.succeed(all)).expect("JSON")
}

/// `dataset/manipulation/name label split` of each video and its number of crops.
fn listing(info: &Value) -> Vec<(String, usize)> {
    let line = |video: &Value| {
        let of = |key: &str| video[key].as_str().expect("a string").to_owned();
        let identity = [of("dataset"), of("manipulation"), of("name")].join("/");
        ([identity, of("label"), of("split")].join(" "), video["crops"].as_array().expect("crops").len())
    };
    info["videos"].as_array().expect("videos").iter().map(line).collect()
}

/// A preprocessed FF-DF as DeepfakeBench leaves it, and the path of its JSON.
fn deepfakebench(place: &Place, frames_below: &str) -> PathBuf {
    let mut videos = json!({});
    for (folder, label, name, split) in [
        ("original_sequences/youtube", "FF-real", "000", "train"),
        ("original_sequences/youtube", "FF-real", "012", "test"),
        ("original_sequences/youtube", "FF-real", "020", "val"),
        ("manipulated_sequences/Deepfakes", "FF-DF", "000_003", "train"),
        ("manipulated_sequences/Deepfakes", "FF-DF", "012_010", "test"),
    ] {
        for compression in ["c23", "c40"] {
            let mut frames = Vec::new();
            // As the file system gives them: not in order.
            for number in ["010", "002", "000"] {
                let frame = format!("FaceForensics++/{folder}/{compression}/frames/{name}/{number}.png");
                image(&place.path("bench/datasets/rgb").join(&frame));
                frames.push(format!("{frames_below}{frame}"));
            }
            videos[label][split][compression][name] = json!({ "label": label, "frames": frames });
        }
    }
    videos["FF-DF"]["train"]["c23"]["020_021"] = json!({ "label": "FF-DF", "frames": [] });
    let path = place.path("bench/preprocessing/dataset_json/FF-DF.json");
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    std::fs::write(&path, json!({ "FF-DF": videos }).to_string()).expect("written");
    path
}

#[test]
fn deepfakebench_json_is_read_with_frames_in_order_and_what_is_empty_counts_as_dropped() {
    let place = Place::new();
    let json = deepfakebench(&place, "");
    let info = info(&place, &[text(&json)]);
    let expected = [
        ("FaceForensics++/Deepfakes/000_003 fake train", 3),
        ("FaceForensics++/Deepfakes/012_010 fake test", 3),
        ("FaceForensics++/original/000 real train", 3),
        ("FaceForensics++/original/012 real test", 3),
        ("FaceForensics++/original/020 real val", 3),
    ];
    assert_eq!(listing(&info), expected.map(|(line, crops)| (line.to_owned(), crops)));
    assert_eq!(info["name"], "FaceForensics++");
    let crops = info["videos"][0]["crops"].as_array().expect("crops");
    let numbers: Vec<&str> = crops.iter().filter_map(|crop| crop["path"].as_str()?.rsplit('/').next()).collect();
    assert_eq!(numbers, ["000.png", "002.png", "010.png"]);
    assert!(crops.iter().all(|crop| Path::new(crop["path"].as_str().expect("a path")).is_file()));
    assert!(crops[0]["path"].as_str().expect("a path").contains("/c23/"));
    assert!(info["dropped"][0]["source"].as_str().expect("a source").ends_with("020_021"), "{}", info["dropped"]);
}

#[test]
fn paths_from_another_machine_are_found_below_the_given_root_whatever_their_slashes() {
    let place = Place::new();
    let json = deepfakebench(&place, "/home/someone/rgb/");
    let document = std::fs::read_to_string(&json).expect("read").replace('/', "\\\\");
    std::fs::write(&json, document).expect("written");
    let root = place.path("bench/datasets/rgb");
    let found = listing(&info(&place, &[text(&json), "--data-root", text(&root), "--compression", "c40"]));
    assert_eq!(found.len(), 5, "{found:?}");
    let sentence = place.fail(["info", text(&json), "--data-root", text(&place.path("bench/preprocessing"))]);
    assert!(sentence.contains("--data-root") && sentence.contains("000.png"), "{sentence}");
}

#[test]
fn landmark_files_beside_the_frames_are_reduced_to_five_points() {
    let place = Place::new();
    let json = deepfakebench(&place, "");
    let folder = place.path("bench/datasets/rgb/FaceForensics++/manipulated_sequences/Deepfakes/c23/landmarks/000_003");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::copy(golden("landmark_files/int64.npy"), folder.join("000.npy")).expect("copied");
    let first = &info(&place, &[text(&json)])["videos"][0];
    assert_eq!(
        first["crops"][0]["landmarks"],
        json!([[115.5, 138.5], [133.5, 144.5], [90.0, 130.0], [144.0, 148.0], [162.0, 154.0]])
    );
    assert!(first["crops"][1]["landmarks"].is_null());
}

#[test]
fn a_broken_landmark_file_is_dropped_by_its_name_and_stops_nothing() {
    let place = Place::new();
    let json = deepfakebench(&place, "");
    let folder = place.path("bench/datasets/rgb/FaceForensics++/manipulated_sequences/Deepfakes/c23/landmarks/000_003");
    std::fs::create_dir_all(&folder).expect("made");
    for name in ["000.npy", "010.npy"] {
        std::fs::copy(golden("landmark_files/int64.npy"), folder.join(name)).expect("copied");
    }
    std::fs::write(folder.join("002.npy"), "no array").expect("written");
    let found = info(&place, &[text(&json)]);
    let crops = found["videos"][0]["crops"].as_array().expect("crops");
    let has_landmarks: Vec<bool> = crops.iter().map(|crop| !crop["landmarks"].is_null()).collect();
    assert_eq!(has_landmarks, [true, false, true]);
    let unusable = found["unusable"].as_array().expect("a list");
    assert!(unusable.len() == 1 && unusable[0].as_str().is_some_and(|told| told.contains("002.npy")), "{unusable:?}");
    assert!(place.succeed(["info", text(&json)]).contains("1 unusable beside the crops: "));
}

#[test]
fn what_deepfakebench_does_not_say_of_its_crops_is_told_as_taken_for_granted() {
    let place = Place::new();
    let json = deepfakebench(&place, "");
    let told = place.succeed(["info", text(&json)]);
    assert!(told.contains("crops: DeepfakeBench's, taken to have geometry dfb, crop size 256, margin 1.3"), "{told}");
    let crops = &info(&place, &[text(&json)])["crops"][0];
    assert_eq!((crops["known"].as_str(), crops["crop"]["geometry"].as_str()), (Some("assumed"), Some("dfb")));
}

#[test]
fn json_with_a_byte_order_mark_reads_like_any_other() {
    let place = Place::new();
    let json = deepfakebench(&place, "");
    let plain = info(&place, &[text(&json)]);
    let document = std::fs::read_to_string(&json).expect("read");
    std::fs::write(&json, format!("\u{feff}{document}")).expect("written");
    assert_eq!(info(&place, &[text(&json)]), plain);
    let wide: Vec<u8> = format!("\u{feff}{document}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&json, wide).expect("written");
    assert_eq!(info(&place, &[text(&json)]), plain);
    let path = manifest(&place, "a.png");
    let lines = std::fs::read_to_string(&path).expect("read");
    std::fs::write(&path, format!("\u{feff}{lines}")).expect("written");
    assert_eq!(listing(&info(&place, &[text(&path)])).len(), 1);
}

#[test]
fn videos_say_which_others_they_are_not_independent_of() {
    let place = Place::new();
    let found = info(&place, &[text(&deepfakebench(&place, ""))]);
    let group = |name: &str| {
        let videos = found["videos"].as_array().expect("videos").iter();
        videos.filter(|video| video["name"] == name).map(|video| video["group"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!((group("000_003"), group("012_010")), (group("000"), group("012")));
    assert_ne!(group("000"), group("020"));
}

#[test]
fn json_that_is_no_data_set_is_refused() {
    let place = Place::new();
    let path = place.path("other.json");
    for content in ["[1, 2]", "{\"a\": 3}", "{\"a\": {\"strange\": {\"train\": {\"v\": {\"frames\": []}}}}}", "{", "{}"]
    {
        std::fs::write(&path, content).expect("written");
        assert!(place.fail(["info", text(&path)]).contains("other.json"), "{content}");
    }
}

#[test]
fn folders_of_aligned_crops_are_read_when_told_so() {
    let place = Place::new();
    for name in ["real/a.png", "real/video/000.png", "real/video/001.png", "fake/Swap/b.png"] {
        image(&place.path("crops").join(name));
    }
    let folder = place.path("crops");
    assert!(place.fail(["info", text(&folder)]).contains("--aligned"));
    let found = listing(&info(&place, &[text(&folder), "--aligned"]));
    let crops: Vec<(&str, usize)> =
        found.iter().map(|(line, crops)| (line.split(' ').next().expect("an identity"), *crops)).collect();
    assert_eq!(crops, [("crops/Swap/b", 1), ("crops/original/a", 1), ("crops/original/video", 2)]);
}

#[test]
fn aligned_photographs_named_after_their_folders_are_split_by_person() {
    let place = Place::new();
    for person in 0..20 {
        for number in 1..4 {
            image(&place.path(&format!("faces/Person_{person}/Person_{person}_000{number}.jpg")));
        }
    }
    let info = info(&place, &[text(&place.path("faces")), "--aligned", "--label", "real"]);
    let videos = info["videos"].as_array().expect("videos");
    assert_eq!(videos.len(), 60);
    for group in videos.chunks(3) {
        assert!(group.iter().all(|video| video["person"] == group[0]["person"] && video["split"] == group[0]["split"]));
    }
    let of = |split| videos.iter().filter(|video| video["split"] == split).count();
    assert!(of("train") > 30 && of("train") < 60, "{}", of("train"));
}

#[test]
fn a_video_among_aligned_crops_is_refused() {
    let place = Place::new();
    image(&place.path("crops/real/a.png"));
    std::fs::write(place.path("crops/real/b.mp4"), "video").expect("written");
    assert!(place.fail(["info", text(&place.path("crops")), "--aligned"]).contains("b.mp4"));
}

/// A manifest with one video.
fn manifest(place: &Place, crop: &str) -> PathBuf {
    let header = json!({ "unmask_manifest": 1, "program": "0.1.0", "frames": 32, "faces": "largest", "format": "png",
        "crop": { "geometry": "dfb", "size": 256, "margin": 1.3 } });
    let points = [[0.0, 0.0]; 5];
    let entry = json!({ "dataset": "d", "manipulation": "original", "name": "v", "label": "real", "split": "val",
        "source": "v.mp4", "frames": 1, "frames_without_face": 0, "crops": [{ "path": crop, "time_s": 1.5,
            "box": [0, 0, 1, 1], "confidence": 1, "source_landmarks": points, "landmarks": points }] });
    let path = place.path("manifest.jsonl");
    std::fs::write(&path, format!("{header}\n{entry}\n")).expect("written");
    path
}

#[test]
fn a_manifest_is_read_by_its_folder_or_by_itself() {
    let place = Place::new();
    let path = manifest(&place, "crops/d/original/v/000.png");
    let by_file = info(&place, &[text(&path)]);
    assert_eq!(listing(&by_file), [("d/original/v real val".to_owned(), 1)]);
    assert_eq!(by_file["videos"], info(&place, &[text(&place.path(""))])["videos"]);
}

#[test]
fn a_damaged_line_is_named_and_a_half_written_last_one_is_passed_over() {
    let place = Place::new();
    let path = manifest(&place, "a.png");
    let whole = std::fs::read_to_string(&path).expect("read");
    std::fs::write(&path, format!("{whole}{{\"dataset\": \"d\", \"manip")).expect("written");
    assert_eq!(listing(&info(&place, &[text(&path)])).len(), 1);
    std::fs::write(&path, whole.replace("\"split\":\"val\"", "\"split\":\"both\"")).expect("written");
    assert!(place.fail(["info", text(&path)]).contains("line 2"));
    std::fs::write(&path, whole.replace("\"unmask_manifest\":1", "\"unmask_manifest\":2")).expect("written");
    assert!(place.fail(["info", text(&path)]).contains("version 2"));
}

#[test]
fn a_manifest_that_leads_out_of_its_folder_is_refused() {
    let place = Place::new();
    for crop in ["/etc/passwd", "../up.png"] {
        let path = manifest(&place, crop);
        assert!(place.fail(["info", text(&path)]).contains(crop), "{crop}");
    }
}
