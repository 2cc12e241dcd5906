//! What lies in a data set's folder and is none of its videos: nothing of it is passed over in silence, and nothing gets a
//! label that its name or its list contradicts.

#[cfg(unix)]
use std::process::Command;

use serde_json::{Value, json};

use crate::layouts::{Tree, face_forensics, lav_df};
#[cfg(unix)]
use crate::support::{manifest_entries, text};

/// Checks that `said` has a line for each reason, with the count in front, and that it names these paths.
fn assert_told(said: &str, told: &[(&str, &[&str])]) {
    for (reason, names) in told {
        let start = format!("left out, {reason}: ");
        let line = said.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{reason} in {said}"));
        assert!(names.iter().all(|name| line.contains(name)), "{names:?} in {line}");
    }
    let lines = said.lines().filter(|line| line.starts_with("left out, ")).count();
    assert_eq!(lines, told.len(), "nothing else is left out: {said}");
}

#[test]
fn strays_in_known_layouts_are_listed_together_with_reasons_and_the_others_are_done() {
    let tree = Tree::new();
    face_forensics(&tree);
    let youtube = "FaceForensics++/original_sequences/youtube/c23/videos";
    tree.videos(&[&format!("{youtube}/999.mp4"), &format!("{youtube}/copy.mp4")]);
    tree.videos(&["DFDC/dfdc_train_part_7/a.mp4", "DFDC/dfdc_train_part_7/notes.mp4"]);
    tree.text(
        "DFDC/dfdc_train_part_7/metadata.json",
        "\u{feff}{\"a.mp4\": {\"label\": \"REAL\"}, \"notes.mp4\": {\"label\": \"PERHAPS\"}}",
    );
    lav_df(&tree);
    tree.videos(&["LAV-DF/dev/stray.mp4"]);
    let (found, said) = tree.listing_and_complaints("");
    assert_eq!(found.len(), 9 + 1 + 3, "{found:?}");
    for (reason, names) in [
        ("left out, 2 in none of train.json, val.json and test.json: ", &["999.mp4", "copy.mp4"][..]),
        ("left out, 1 without a label in metadata.json or labels.csv: ", &["notes.mp4"]),
        ("left out, 1 not listed in metadata.json: ", &["stray.mp4"]),
        ("left out, 1 listed in metadata.json and not there: ", &["000009.mp4"]),
        ("left out, 1 changed in its sound alone: ", &["000003.mp4"]),
    ] {
        let line = said.lines().find(|line| line.starts_with(reason)).unwrap_or_else(|| panic!("{reason} in {said}"));
        assert!(names.iter().all(|name| line.contains(name)), "{line}");
    }
}

#[test]
fn files_and_folders_that_no_layout_names_are_left_out_by_name_whole_folders_once_with_a_count() {
    let tree = Tree::new();
    face_forensics(&tree);
    lav_df(&tree);
    tree.videos(&[
        "FaceForensics++/loose.mp4",
        "FaceForensics++/manipulated_sequences/MyNewMethod/c23/videos/000_003.mp4",
        "FaceForensics++/manipulated_sequences/MyNewMethod/c23/videos/003_000.mp4",
        "FaceForensics++/manipulated_sequences/Deepfakes/c23/beside.mp4",
        "FaceForensics++/manipulated_sequences/Deepfakes/raw/videos/000_003.mp4",
        "FaceForensics++/manipulated_sequences/FaceSwap/c40/videos/000_003.mp4",
        "DFDC/outside.mp4",
        "DFDC/dfdc_train_part_7/a.mp4",
        "DFDC/dfdc_train_part_8/unlabelled.mp4",
        "DFDC/test/labelled.mp4",
        "LAV-DF/extra/b.mp4",
        "LAV-DF/c.mp4",
        "mine/deep/er/d.mp4",
        "mine/e.bin",
        "no_ending",
    ]);
    tree.text("FaceForensics++/README.md", "describes");
    tree.text("LAV-DF/scan.png", "calls itself a picture");
    tree.text(
        "DFDC/dfdc_train_part_7/metadata.json",
        &json!({ "a.mp4": { "label": "REAL" }, "gone.mp4": { "label": "FAKE", "original": "a.mp4" } }).to_string(),
    );
    tree.text("DFDC/test/labels.csv", "filename,label\nlabelled.mp4,1\nlost.mp4,0\n");
    let (found, said) = tree.listing_and_complaints("");
    assert_eq!(found.len(), 9 + 2 + 3, "{found:?}");
    assert_told(
        &said,
        &[
            ("4 in no folder of FaceForensics++'s videos", &["loose.mp4", "MyNewMethod (2 files)", "c23/beside.mp4"]),
            ("3 of another compression than c23", &["youtube/c40", "Deepfakes/raw", "FaceSwap"]),
            (
                "2 not among the videos of a folder of DFDC with a metadata.json or labels.csv",
                &["DFDC/outside.mp4", "DFDC/dfdc_train_part_8"],
            ),
            ("2 listed in metadata.json and not there", &["gone.mp4", "000009.mp4"]),
            ("1 listed in labels.csv and not there", &["lost.mp4"]),
            ("3 in no folder of LAV-DF's videos", &["LAV-DF/extra", "LAV-DF/c.mp4", "LAV-DF/scan.png"]),
            ("3 in no data set that is known", &["mine (2 files)", "no_ending"]),
            ("1 changed in its sound alone", &["000003.mp4"]),
        ],
    );
}

#[test]
fn what_lies_beside_the_folders_of_labels_is_left_out_by_name() {
    let tree = Tree::new();
    tree.videos(&["d/real/a.mp4", "d/fake/b.mp4", "d/loose.mp4", "d/unsure/c.mp4", "d/unsure/e.mp4"]);
    tree.text("d/labels.csv", "describes");
    let (found, said) = tree.listing_and_complaints("d");
    assert_eq!(found.len(), 2, "{found:?}");
    assert_told(&said, &[("3 neither in the folder `real` nor in `fake`", &["loose.mp4", "unsure (2 files)"])]);
    let tree = Tree::new();
    tree.videos(&["d/train/real/a.mp4", "d/test/fake/b.mp4", "d/train/c.mp4", "d/real/e.mp4"]);
    let (found, said) = tree.listing_and_complaints("d");
    assert_eq!(found.len(), 2, "{found:?}");
    assert_told(&said, &[("2 not in `real` or `fake` of a folder of a split", &["train/c.mp4", "d/real"])]);
}

#[test]
fn an_output_in_the_folder_of_a_known_data_set_is_called_so() {
    let tree = Tree::new();
    tree.videos(&["d/real/a.mp4", "d/fake/b.mp4"]);
    let (input, output) = (tree.place.path("data/d"), tree.place.path("data/d/out"));
    let preprocess =
        ["preprocess".as_ref(), "--input".as_ref(), input.as_os_str(), "--output".as_ref(), output.as_os_str()];
    tree.place.succeed(preprocess);
    // As if there had been faces in the videos.
    for number in ["000", "001"] {
        let crop = tree.path(&format!("d/out/crops/d/original/a/{number}.png"));
        image::RgbImage::new(8, 8).save(&crop).expect("written");
    }
    let ran = tree.place.run(preprocess);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{said}");
    assert_told(&said, &[("3 in a folder of crops that this program made", &["d/out (3 files)"])]);
}

#[test]
fn an_original_among_fakes_and_a_fake_among_originals_are_left_out_in_every_layout_that_names_them_apart() {
    let tree = Tree::new();
    face_forensics(&tree);
    let manipulated = "FaceForensics++/manipulated_sequences";
    let original = "FaceForensics++/original_sequences";
    tree.videos(&[
        &format!("{manipulated}/Deepfakes/c23/videos/000.mp4"),
        &format!("{manipulated}/Deepfakes/c23/videos/000_010.mp4"),
        &format!("{original}/youtube/c23/videos/003_000.mp4"),
        &format!("{manipulated}/DeepFakeDetection/c23/videos/02__talking.mp4"),
        &format!("{original}/actors/c23/videos/01_02__hugging_happy__YVGY8LOK.mp4"),
        &format!("{original}/actors/c23/videos/somebody.mp4"),
        "Celeb-DF-v2/Celeb-real/id0_0000.mp4",
        "Celeb-DF-v2/Celeb-real/id0_id1_0000.mp4",
        "Celeb-DF-v2/YouTube-real/copy.mp4",
        "Celeb-DF-v2/Celeb-synthesis/id0_id1_0000.mp4",
        "Celeb-DF-v2/Celeb-synthesis/id0_0000.mp4",
        "Celeb-DF-v2/Celeb-synthesis/id1_id1_0000.mp4",
        "UADFV/real/0000.mp4",
        "UADFV/real/0001_fake.mp4",
        "UADFV/fake/0000_fake.mp4",
        "UADFV/fake/0001.mp4",
    ]);
    tree.text("Celeb-DF-v2/List_of_testing_videos.txt", "0 Celeb-synthesis/id0_id1_0000.mp4\n");
    let (found, said) = tree.listing_and_complaints("");
    assert_eq!(found.len(), 9 + 2 + 2, "{found:?}");
    assert_told(
        &said,
        &[
            (
                "4 among the fakes and named as an original",
                &["Deepfakes/c23/videos/000.mp4", "02__talking.mp4", "synthesis/id0_0000.mp4", "fake/0001.mp4"],
            ),
            (
                "4 among the originals and named as a fake",
                &["003_000.mp4", "01_02__hugging_happy__YVGY8LOK.mp4", "id0_id1_0000.mp4", "0001_fake.mp4"],
            ),
            ("1 in none of train.json, val.json and test.json", &["000_010.mp4"]),
            ("1 not named as DeepFakeDetection names its videos", &["somebody.mp4"]),
            ("2 not named as Celeb-DF names its videos", &["copy.mp4", "id1_id1_0000.mp4"]),
            ("1 of another compression than c23", &["youtube/c40"]),
        ],
    );
}

#[test]
fn what_a_list_contradicts_itself_about_is_left_out() {
    let tree = Tree::new();
    let part = "DFDC/dfdc_train_part_0";
    tree.videos(&[&format!("{part}/real.mp4"), &format!("{part}/itself.mp4"), &format!("{part}/made.mp4")]);
    let metadata = json!({
        "real.mp4": { "label": "REAL", "original": null },
        "itself.mp4": { "label": "FAKE", "original": "itself.mp4" },
        "made.mp4": { "label": "REAL", "original": "real.mp4" },
    });
    tree.text(&format!("{part}/metadata.json"), &metadata.to_string());
    tree.videos(&["LAV-DF/train/1.mp4", "LAV-DF/train/2.mp4", "LAV-DF/train/3.mp4"]);
    let video = |number: u8, original: Option<&str>, changed: bool| {
        json!({ "file": format!("train/{number}.mp4"), "split": "train", "original": original, "modify_video": changed,
            "modify_audio": false })
    };
    let list: Vec<Value> =
        vec![video(1, None, false), video(2, Some("train/2.mp4"), true), video(3, Some("train/1.mp4"), false)];
    tree.text("LAV-DF/metadata.json", &json!(list).to_string());
    let preview = |label: &str, target: u8, swapped: Option<u8>| json!({ "label": label, "set": "test", "target_id": target, "swapped_id": swapped });
    tree.videos(&[
        "DFDCP/original_videos/1/a.mp4",
        "DFDCP/original_videos/1/b.mp4",
        "DFDCP/method_A/1/c.mp4",
        "DFDCP/method_A/1/d.mp4",
        "DFDCP/method_A/1/unlisted.mp4",
    ]);
    let list = json!({
        "original_videos/1/a.mp4": preview("real", 1, None),
        "original_videos/1/b.mp4": preview("fake", 1, Some(2)),
        "method_A/1/c.mp4": preview("real", 1, None),
        "method_A/1/d.mp4": preview("fake", 1, Some(1)),
    });
    tree.text("DFDCP/dataset.json", &list.to_string());
    let (found, said) = tree.listing_and_complaints("");
    assert_eq!(found.len(), 3, "{found:?}");
    assert_told(
        &said,
        &[
            ("3 called a fake made from itself", &["itself.mp4", "LAV-DF/train/2.mp4", "method_A/1/d.mp4"]),
            ("2 called an original that was made from another", &["made.mp4", "LAV-DF/train/3.mp4"]),
            ("1 called a fake and in the folder of originals", &["original_videos/1/b.mp4"]),
            ("1 called real and in a folder of fakes", &["method_A/1/c.mp4"]),
            ("1 not listed in dataset.json", &["unlisted.mp4"]),
        ],
    );
}

/// Preprocesses a folder; gives the exit status, what was said on standard error, and how many videos are in the manifest.
#[cfg(unix)]
fn outcome(tree: &Tree, folder: &str, change: impl FnOnce(&mut Command)) -> Option<(Option<i32>, String, usize)> {
    let (input, output) = (tree.place.path("data").join(folder), tree.place.path("out"));
    let mut command = tree.place.unmask();
    command.args(["preprocess", "--input", text(&input), "--output", text(&output)]);
    change(&mut command);
    let ran = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            eprintln!("skipped: no user whom permissions bind can run the program here");
            return None;
        }
        ran => ran.expect("it starts"),
    };
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    Some((ran.status.code(), said, if output.exists() { manifest_entries(&output).len() } else { 0 }))
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_to_itself_is_named_with_status_1_and_the_others_are_done() {
    let tree = Tree::new();
    tree.videos(&["d/real/a.mp4", "d/fake/b.mp4"]);
    std::os::unix::fs::symlink("around", tree.path("d/real/around")).expect("linked");
    let (status, said, done) = outcome(&tree, "d", |_| ()).expect("it runs");
    assert!(status == Some(1) && done == 2 && said.contains("real/around"), "{status:?}, {done}: {said}");
    // In a known data set, where no video of it is looked for.
    let tree = Tree::new();
    face_forensics(&tree);
    let place = tree.path("FaceForensics++/manipulated_sequences/Mine");
    std::os::unix::fs::symlink("Mine", place).expect("linked");
    let (status, said, done) = outcome(&tree, "FaceForensics++", |_| ()).expect("it runs");
    assert!(
        status == Some(1) && done == 9 && said.contains("manipulated_sequences/Mine"),
        "{status:?}, {done}: {said}"
    );
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_entered_is_named_with_status_1_and_the_others_are_done() {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};
    const NOBODY: u32 = 65_534;
    let tree = Tree::new();
    tree.videos(&["d/real/a.mp4", "d/real/closed/b.mp4", "d/fake/c.mp4", "d/beside/e.mp4", "shut/real/f.mp4"]);
    let mode =
        |path: &str, mode: u32| set_permissions(tree.place.path(path), Permissions::from_mode(mode)).expect("set");
    let closed = ["data/d/real/closed", "data/d/beside", "data/shut/real"];
    mode("", 0o777);
    closed.iter().for_each(|path| mode(path, 0));
    // Permissions do not bind everybody: where the tests may read everything, the program runs as somebody who may not.
    let may_read_all = std::fs::read_dir(tree.place.path(closed[0])).is_ok();
    let bound = |command: &mut Command| {
        if may_read_all {
            command.uid(NOBODY).gid(NOBODY);
        }
    };
    let beside_others = outcome(&tree, "d", bound);
    let alone = outcome(&tree, "shut", bound);
    mode("data/shut", 0);
    let itself = outcome(&tree, "shut", bound);
    mode("data/shut", 0o755);
    closed.iter().for_each(|path| mode(path, 0o755));
    let (Some((status, said, done)), Some(alone), Some(itself)) = (beside_others, alone, itself) else { return };
    assert!(status == Some(1) && done == 2, "{status:?}, {done}: {said}");
    for named in ["d/real/closed", "d/beside"] {
        assert!(said.contains(named), "{named}: {said}");
    }
    assert_eq!(said.matches("ermission denied").count(), 2, "{said}");
    for ((status, said, _), folder) in [(alone, "shut/real"), (itself, "shut")] {
        assert!(status == Some(1) && said.contains(folder) && said.contains("ermission denied"), "{status:?}: {said}");
    }
}
