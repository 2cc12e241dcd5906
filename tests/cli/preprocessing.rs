//! `unmask preprocess` on real photographs and clips: crops, restarts, shards, damage.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{PATIENCE, Place, clip, json_lines, manifest_entries, people, sample, text};

fn arguments<'a>(input: &'a Path, output: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["preprocess", "--input", text(input), "--output", text(output)];
    all.extend(more);
    all
}

/// A clip copied into a folder; `None` where it is absent.
fn copied(place: &Place, name: &str, target: &str) -> Option<PathBuf> {
    let target = place.path(target);
    std::fs::create_dir_all(target.parent().expect("a parent")).expect("made");
    std::fs::copy(clip(name)?, &target).expect("copied");
    Some(target)
}

/// All entries by source, and the bytes of all crops.
fn contents(output: &Path) -> Vec<(Value, Vec<Vec<u8>>)> {
    let mut entries = manifest_entries(output);
    entries.sort_by_key(|entry| entry["source"].to_string());
    let bytes = |entry: &Value| {
        let crops = entry["crops"].as_array().expect("crops").clone();
        crops
            .iter()
            .map(|crop| std::fs::read(output.join(crop["path"].as_str().expect("a path"))).expect("read"))
            .collect()
    };
    entries.into_iter().map(|entry| (entry.clone(), bytes(&entry))).collect()
}

const FACES: [&str; 4] = ["--layout", "faces", "--faces", "centre"];

#[test]
fn photographs_become_aligned_crops_split_by_person() {
    let place = Place::new();
    let Some(input) = people(&place, 8) else { return };
    let output = place.path("out");
    place.succeed(arguments(&input, &output, &FACES));
    let photographs = walk(&input).len();
    let found = contents(&output);
    assert_eq!(found.len(), photographs);
    let header = &json_lines(&std::fs::read_to_string(output.join("manifest.jsonl")).expect("read"))[0];
    assert_eq!(header["crop"]["size"], 256);
    assert!(header["program"].is_string());
    for (entry, crops) in &found {
        assert_eq!((entry["label"].as_str(), entry["crops"][0]["time_s"].is_null()), (Some("real"), true));
        let person = entry["person"].as_str().expect("a person");
        assert!(entry["source"].as_str().expect("a source").starts_with(person));
        let others = found.iter().filter(|(other, _)| other["person"] == entry["person"]);
        assert!(others.into_iter().all(|(other, _)| other["split"] == entry["split"]));
        let crop = image::load_from_memory(&crops[0]).expect("an image");
        assert_eq!((crop.width(), crop.height()), (256, 256));
        // The template has the eyes at (97, 120) and (159, 120); a least-squares fit leaves each point near its own.
        for (eye, expected) in [(0, [96.87, 120.43]), (1, [158.83, 120.09])] {
            let point = |axis: usize| entry["crops"][0]["landmarks"][eye][axis].as_f64().expect("a number");
            assert!((point(0) - expected[0]).hypot(point(1) - expected[1]) < 16.0, "{entry}");
        }
    }
}

/// All files below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for item in std::fs::read_dir(folder).expect("listed") {
        let path = item.expect("listed").path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn a_second_run_does_nothing_twice_and_sees_what_is_new() {
    let place = Place::new();
    let Some(input) = people(&place, 3) else { return };
    let output = place.path("out");
    place.succeed(arguments(&input, &output, &FACES));
    let times = || -> Vec<_> {
        let files = walk(&output).into_iter();
        files.map(|file| (file.clone(), file.metadata().expect("there").modified().expect("a time"))).collect()
    };
    let before = times();
    let said = place.succeed(arguments(&input, &output, &FACES));
    assert!(said.starts_with("0 done"), "{said}");
    assert_eq!(times(), before);
    let first = walk(&input).into_iter().next().expect("a photograph");
    std::fs::create_dir(input.join("New_Person")).expect("made");
    std::fs::copy(first, input.join("New_Person/New_Person_0001.jpg")).expect("copied");
    let said = place.succeed(arguments(&input, &output, &FACES));
    assert!(said.starts_with("1 done"), "{said}");
}

#[test]
fn shards_together_are_the_whole() {
    let place = Place::new();
    let Some(input) = people(&place, 6) else { return };
    let (whole, parts) = (place.path("whole"), place.path("parts"));
    place.succeed(arguments(&input, &whole, &FACES));
    let mut running = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let mut all = arguments(&input, &parts, &FACES);
        all.extend(["--shard", shard]);
        running.push(place.unmask().args(all).stdout(Stdio::null()).spawn().expect("starts"));
    }
    for mut shard in running {
        assert!(shard.wait().expect("ended").success());
    }
    assert!(parts.join("manifest-2-of-3.jsonl").is_file());
    assert_eq!(contents(&parts), contents(&whole));
    let said = place.succeed(arguments(&input, &parts, &FACES));
    assert!(said.starts_with("0 done"), "{said}");
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let place = Place::new();
    let Some(input) = people(&place, 30) else { return };
    let (whole, output) = (place.path("whole"), place.path("out"));
    place.succeed(arguments(&input, &whole, &FACES));
    let manifest = output.join("manifest.jsonl");
    let lines = || std::fs::read_to_string(&manifest).map_or(0, |text| text.lines().count());
    let mut running = place
        .unmask()
        .args(arguments(&input, &output, &FACES))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let start = Instant::now();
    while lines() < 4 && start.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
    }
    running.kill().expect("killed");
    running.wait().expect("ended");
    let done = lines();
    assert!(done >= 4 && done <= walk(&input).len(), "{done} lines");
    // The last line may have been half written.
    let mut bytes = std::fs::read(&manifest).expect("read");
    bytes.truncate(bytes.len() - 20);
    std::fs::write(&manifest, bytes).expect("written");
    let said = place.succeed(arguments(&input, &output, &FACES));
    assert!(!said.starts_with("0 done") && !said.contains(" 0 were done before"), "{said}");
    assert_eq!(contents(&output), contents(&whole));
    assert_eq!(walk(&output).len(), walk(&whole).len(), "nothing is left over");
}

#[test]
fn a_corrupt_video_is_recorded_with_its_reason_and_stops_nothing() {
    let place = Place::new();
    let name = "real_vox_lia_driving2_256.mp4";
    let Some(good) = copied(&place, name, "d/real/b_good.mp4") else { return };
    let bad = place.path("d/real/a_bad.mp4");
    let bytes = std::fs::read(&good).expect("read");
    std::fs::write(&bad, &bytes[..bytes.len() / 2]).expect("written");
    let (input, output) = (place.path("d"), place.path("out"));
    let frames = ["--frames", "3"];
    let first = place.run(arguments(&input, &output, &frames));
    assert_eq!(first.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&first.stderr).contains("a_bad.mp4"));
    let entries = contents(&output);
    assert_eq!(entries[0].0["dropped"]["kind"], "unreadable");
    assert!(entries[0].0["dropped"]["reason"].as_str().expect("a reason").contains("damaged"), "{}", entries[0].0);
    assert_eq!((entries[1].1.len(), entries[1].0["frames"].as_u64()), (3, Some(3)));
    // What could not be read is said again as long as it is so.
    let second = place.run(arguments(&input, &output, &frames));
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("a_bad.mp4") && said.contains("--retry"), "{said}");
    assert!(String::from_utf8_lossy(&second.stdout).starts_with("0 done, 2 were done before"));
    // Repaired, it is another file in the same place.
    std::fs::write(&bad, bytes).expect("written");
    let said = place.succeed(arguments(&input, &output, &frames));
    assert!(said.starts_with("1 done") && !said.contains("dropped"), "{said}");
}

#[test]
fn a_file_that_was_replaced_is_noticed_and_done_again() {
    let place = Place::new();
    let Some(video) = copied(&place, "real_vox_lia_driving2_256.mp4", "d/real/a.mp4") else { return };
    let Some(other) = clip("real_liveportrait_d5.mp4") else { return };
    let (input, output) = (place.path("d"), place.path("out"));
    let run = || place.run(arguments(&input, &output, &["--frames", "2"]));
    assert!(run().status.success());
    let before = contents(&output).remove(0);
    std::fs::copy(other, &video).expect("copied");
    let ran = run();
    let (said, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.starts_with("1 done"), "{said} {told}");
    assert!(told.contains("replaced since an earlier run, and done again: real/a.mp4"), "{told}");
    // The line about the earlier file stays, and its crops with it, and does not count.
    let info = place.succeed(["info", text(&output), "--json"]);
    let info: Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!(info["videos"].as_array().map(Vec::len), Some(1));
    let crop = PathBuf::from(info["videos"][0]["crops"][0]["path"].as_str().expect("a path"));
    assert_ne!(std::fs::read(&crop).expect("read"), before.1[0]);
    assert_eq!(std::fs::read(output.join("crops/d/original/a/000.png")).expect("read"), before.1[0]);
    assert!(String::from_utf8_lossy(&run().stdout).starts_with("0 done, 1 were done before"));
}

#[test]
fn the_manifest_follows_its_input_and_a_picture_that_was_moved_has_one_label() {
    let place = Place::new();
    let (input, output) = (place.path("d"), place.path("out"));
    for (clip, name) in [("real.mp4", "d/train/real/a.png"), ("fake.mp4", "d/train/fake/b.png")] {
        let picture = place.path(name);
        std::fs::create_dir_all(picture.parent().expect("a folder")).expect("made");
        place.ffmpeg(&["-i", text(&sample(clip)), "-frames:v", "1", text(&picture)]);
    }
    let run = || {
        let ran = place.run(arguments(&input, &output, &[]));
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{told}");
        let info = place.succeed(["info", text(&output), "--json"]);
        let info: Value = serde_json::from_str(&info).expect("JSON");
        let of =
            |video: &Value| [&video["name"], &video["label"], &video["split"]].map(|value| value.to_string()).join(" ");
        let mut videos: Vec<String> = info["videos"].as_array().expect("videos").iter().map(of).collect();
        videos.sort();
        (videos.join(", ").replace('"', ""), told)
    };
    assert_eq!(run().0, "a real train, b fake train");
    std::fs::create_dir_all(input.join("test")).expect("made");
    std::fs::rename(input.join("train/fake"), input.join("test/fake")).expect("moved");
    let (videos, told) = run();
    assert_eq!(videos, "a real train, b fake test", "{told}");
    std::fs::create_dir_all(input.join("test/real")).expect("made");
    std::fs::rename(input.join("test/fake/b.png"), input.join("test/real/b.png")).expect("moved");
    let (videos, told) = run();
    assert_eq!(videos, "a real train, b real test", "{told}");
    assert!(told.contains("taken off the manifest"), "{told}");
    std::fs::remove_file(input.join("train/real/a.png")).expect("removed");
    let (videos, told) = run();
    assert_eq!(videos, "a real train, b real test", "{told}");
    assert!(told.contains("no longer there, and their crops still count: train/real/a.png"), "{told}");
}

#[test]
fn a_video_keeps_the_times_of_its_faces_and_one_without_is_not_real_but_dropped() {
    let place = Place::new();
    let Some(_) = copied(&place, "real_liveportrait_d5.mp4", "d/real/face.mp4") else { return };
    let Some(_) = copied(&place, "noface_intel_bottle_640x360.mp4", "d/real/none.mp4") else { return };
    let (input, output) = (place.path("d"), place.path("out"));
    place.succeed(arguments(&input, &output, &["--frames", "4", "--crop-size", "128", "--geometry", "gend"]));
    let entries = contents(&output);
    let times: Vec<f64> = entries[0].0["crops"]
        .as_array()
        .expect("crops")
        .iter()
        .map(|crop| crop["time_s"].as_f64().expect("a time"))
        .collect();
    assert!(times.len() == 4 && times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");
    assert_eq!(image::load_from_memory(&entries[0].1[0]).expect("an image").width(), 128);
    assert_eq!(entries[1].0["dropped"]["kind"], "no_face");
    let info = place.succeed(["info", text(&output), "--json"]);
    let info: Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!((info["videos"].as_array().map(Vec::len), info["dropped"].as_array().map(Vec::len)), (Some(1), Some(1)));
    assert!(Path::new(info["videos"][0]["crops"][0]["path"].as_str().expect("a path")).is_file());
}

#[test]
fn the_same_person_is_kept_through_a_video_of_several() {
    let place = Place::new();
    let Some(_) = copied(&place, "real_multiface_hamilton_640x360.mp4", "d/real/stage.mp4") else { return };
    let (input, output) = (place.path("d"), place.path("out"));
    place.succeed(arguments(&input, &output, &["--frames", "8"]));
    let score = place.score(&[text(&place.path("d/real/stage.mp4")), "--frames", "8"]);
    // The crops' boxes are those that `unmask score` scored.
    let scored: Vec<[f64; 4]> = score[0]["frames"]
        .as_array()
        .expect("frames")
        .iter()
        .flat_map(|frame| frame["faces"].as_array().expect("faces"))
        .filter(|face| face["score"].is_number())
        .map(|face| bounds(&face["box"]))
        .collect();
    let kept: Vec<[f64; 4]> = manifest_entries(&output)[0]["crops"]
        .as_array()
        .expect("crops")
        .iter()
        .map(|crop| bounds(&crop["box"]))
        .collect();
    assert_eq!(kept.len(), scored.len());
    let near = |one: &[f64; 4], other: &[f64; 4]| one.iter().zip(other).all(|(a, b)| (a - b).abs() < 0.02);
    assert!(kept.iter().zip(&scored).all(|(one, other)| near(one, other)), "{kept:?} {scored:?}");
}

fn bounds(value: &Value) -> [f64; 4] {
    [0, 1, 2, 3].map(|index| value[index].as_f64().expect("a number"))
}

#[test]
fn a_folder_of_frames_is_one_video() {
    let place = Place::new();
    let Some(path) = clip("real_vox_lia_driving2_256.mp4") else { return };
    let frames = place.path("d/real/clip");
    std::fs::create_dir_all(&frames).expect("made");
    place.ffmpeg(&["-i", text(&path), "-frames:v", "5", text(&frames.join("%03d.png"))]);
    let (input, output) = (place.path("d"), place.path("out"));
    place.succeed(arguments(&input, &output, &["--format", "jpeg", "--quality", "80"]));
    let entries = contents(&output);
    assert_eq!((entries.len(), entries[0].1.len()), (1, 5));
    assert_eq!(entries[0].0["crops"][4]["path"], "crops/d/original/clip/004.jpg");
}

#[test]
fn other_settings_are_refused_and_another_folder_is_added_unless_its_names_are_taken() {
    let place = Place::new();
    let Some(input) = people(&place, 1) else { return };
    let output = place.path("out");
    place.succeed(arguments(&input, &output, &FACES));
    let mut other = arguments(&input, &output, &FACES);
    other.extend(["--crop-size", "128"]);
    assert!(place.fail(other).contains("crop size 256"));
    // The same names in a folder of the same name, but one level deeper: another file under the same identity.
    let deeper = place.path("elsewhere/people/people");
    std::fs::create_dir_all(deeper.parent().expect("a parent")).expect("made");
    std::fs::rename(&input, &deeper).expect("moved");
    let upper = place.path("elsewhere");
    let mut other = arguments(&upper, &output, &["--label", "real", "--layout", "folders"]);
    other.extend(["--dataset", "people", "--faces", "centre"]);
    place.succeed(other);
    assert_eq!(manifest_entries(&output).len(), 2 * walk(&deeper).len());
    // A file of another content under the same name in a folder of the same name.
    let photograph = walk(&deeper).remove(0);
    let replaced = place.path("third/people").join(photograph.strip_prefix(&deeper).expect("inside"));
    std::fs::create_dir_all(replaced.parent().expect("a parent")).expect("made");
    image::RgbImage::new(9, 9).save(&replaced).expect("written");
    assert!(place.fail(arguments(&place.path("third/people"), &output, &FACES)).contains("--dataset"));
}

#[test]
fn two_programs_do_not_write_one_manifest() {
    let place = Place::new();
    let Some(input) = people(&place, 30) else { return };
    let output = place.path("out");
    let mut first = place
        .unmask()
        .args(arguments(&input, &output, &FACES))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    while !output.join("manifest.jsonl").exists() {
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(Duration::from_millis(50));
    let sentence = place.fail(arguments(&input, &output, &FACES));
    assert!(sentence.contains("another program"), "{sentence}");
    assert!(first.wait().expect("ended").success());
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("d/real")).expect("made");
    std::fs::write(place.path("d/real/a.mp4"), "no video").expect("written");
    let (input, output) = (place.path("d"), place.path("out"));
    let mut running = place
        .unmask()
        .args(arguments(&input, &output, &[]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    drop(running.stdout.take());
    let errors = running.wait_with_output().expect("ended").stderr;
    assert!(!String::from_utf8_lossy(&errors).contains("panicked"));
}

#[test]
fn a_missing_ffmpeg_stops_the_run_instead_of_dropping_every_video() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("d/real")).expect("made");
    std::fs::write(place.path("d/real/a.mp4"), "a video").expect("written");
    let (input, output) = (place.path("d"), place.path("out"));
    let ran = place
        .unmask()
        .args(arguments(&input, &output, &[]))
        .env("UNMASK_FFMPEG", place.path("none"))
        .env("UNMASK_FFPROBE", place.path("none"))
        .output()
        .expect("runs");
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("install ffmpeg"));
    assert!(manifest_entries(&output).is_empty());
}

#[test]
fn crops_for_a_detector_are_cut_as_it_wants_them() {
    let place = Place::new();
    let (input, output) = (place.path("mine"), place.path("crops"));
    for label in ["real", "fake"] {
        let folder = input.join(label);
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::copy(sample(&format!("{label}.mp4")), folder.join("clip.mp4")).expect("copied");
    }
    place.succeed(arguments(&input, &output, &["--frames", "2", "--for", "unmask-lite"]));
    let info: Value = serde_json::from_str(&place.succeed(["info", "unmask-lite", "--json"])).expect("JSON");
    let manifest = std::fs::read_to_string(output.join("manifest.jsonl")).expect("a manifest");
    let (made, wanted) = (&json_lines(&manifest)[0]["crop"], &info["detector"]["crop"]);
    let margin = |crop: &Value| crop["margin"].as_f64().expect("a number") as f32;
    assert_eq!((&made["geometry"], &made["size"]), (&wanted["geometry"], &wanted["size"]));
    assert_eq!(margin(made), margin(wanted));
    // Crops that were cut otherwise would be refused.
    let eval = ["eval", "--model", "unmask-lite", "--data", text(&output), "--split", "all", "--out"];
    place.succeed(eval.iter().chain(&[text(&place.path("results"))]));
    let twice = arguments(&input, &output, &["--for", "unmask-lite", "--margin", "1.3"]);
    assert_eq!(place.run(twice).status.code(), Some(2));
}

#[test]
fn a_picture_that_ends_at_the_face_is_continued_before_the_face_is_cropped() {
    let place = Place::new();
    let Some(people) = people(&place, 12) else { return };
    let folder = place.path("faces");
    std::fs::create_dir_all(folder.join("faces_224")).expect("made");
    let mut list = "videoname,original_width,original_height,label,original\n".to_owned();
    let mut photographs: Vec<PathBuf> = Vec::new();
    for person in std::fs::read_dir(people).expect("listed") {
        let photograph =
            std::fs::read_dir(person.expect("listed").path()).expect("listed").next().expect("a photograph");
        photographs.push(photograph.expect("listed").path());
    }
    for (index, photograph) in photographs.iter().enumerate() {
        let picture = folder.join(format!("faces_224/{index}.jpg"));
        // The face of such a photograph, from brow to chin.
        place.ffmpeg(&["-i", text(photograph), "-vf", "crop=104:104:73:80,scale=224:224", text(&picture)]);
        writeln!(list, "{index}.mp4,104,104,REAL,").expect("text");
    }
    std::fs::write(folder.join("metadata.csv"), list).expect("written");
    let output = place.path("crops");
    place.succeed(["preprocess", "--input", text(&folder), "--output", text(&output), "--margin", "0.7"]);
    let entries = manifest_entries(&output);
    let crops: Vec<&Value> = entries.iter().flat_map(|entry| entry["crops"].as_array().expect("crops")).collect();
    assert_eq!(crops.len(), photographs.len(), "every face is found");
    for crop in crops {
        let points = crop["source_landmarks"].as_array().expect("landmarks");
        let numbers = points.iter().flat_map(|point| point.as_array().expect("a point"));
        let inside =
            numbers.clone().filter(|number| (0.0..224.0).contains(&number.as_f64().expect("a number"))).count();
        assert!(inside >= 9, "the points are those of the picture without its border: {points:?}");
    }
}

#[test]
fn what_is_excluded_later_is_not_left_in_the_output_and_names_of_no_file_are_said() {
    let place = Place::new();
    let Some(people) = people(&place, 3) else { return };
    let (output, list) = (place.path("crops"), place.path("exclude.txt"));
    let options = ["--layout", "faces", "--faces", "centre"];
    place.succeed(arguments(&people, &output, &options));
    let name = manifest_entries(&output)[0]["source"].as_str().expect("a source").to_owned();
    let file = name.rsplit('/').next().expect("a name").to_owned();
    std::fs::write(&list, format!("{file}\nnobody.mp4\n")).expect("written");
    let with_list = [&options[..], &["--exclude", text(&list)]].concat();
    let refused = place.fail(arguments(&people, &output, &with_list));
    assert!(refused.contains("from an earlier run") && refused.contains("exclude.txt"), "{refused}");
    let fresh = place.path("fresh");
    let ran = place.run(arguments(&people, &fresh, &with_list));
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("nobody.mp4") && said.contains("of no file here"), "{said}");
    let kept = manifest_entries(&fresh);
    assert!(!kept.is_empty() && kept.iter().all(|entry| entry["source"] != name.as_str()), "{kept:?}");
}
