//! What `unmask preprocess` understands of each data set's folders: labels, splits, names. The videos show no face, so
//! that each is a line in the manifest and costs next to nothing.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Place, manifest_entries, text};

/// Files of a data set: videos from one tiny pattern, and texts.
pub(crate) struct Tree {
    pub(crate) place: Place,
    video: PathBuf,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let place = Place::new();
        let video = place.path("pattern.mp4");
        place.ffmpeg(&["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=5:duration=0.4", text(&video)]);
        Self { place, video }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let path = self.place.path("data").join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        path
    }

    pub(crate) fn videos(&self, names: &[&str]) {
        for name in names {
            std::fs::copy(&self.video, self.path(name)).expect("copied");
        }
    }

    pub(crate) fn text(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).expect("written");
    }

    /// Preprocesses a folder; gives `dataset/manipulation/name label split person` of each video, sorted.
    pub(crate) fn listing(&self, folder: &str, arguments: &[&str]) -> Vec<String> {
        let (input, output) = (self.place.path("data").join(folder), self.place.path("out"));
        let mut all = vec!["preprocess", "--input", text(&input), "--output", text(&output)];
        all.extend(arguments);
        self.place.succeed(all);
        let mut lines: Vec<String> = manifest_entries(&output).iter().map(line).collect();
        lines.sort();
        lines
    }

    /// As [`Tree::listing`], with what was said on standard error.
    pub(crate) fn listing_and_complaints(&self, folder: &str) -> (Vec<String>, String) {
        let (input, output) = (self.place.path("data").join(folder), self.place.path("out"));
        let ran = self.place.run(["preprocess", "--input", text(&input), "--output", text(&output)]);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{said}");
        let mut lines: Vec<String> = manifest_entries(&output).iter().map(line).collect();
        lines.sort();
        (lines, said)
    }

    fn refusal(&self, folder: &str, arguments: &[&str]) -> String {
        let (input, output) = (self.place.path("data").join(folder), self.place.path("out"));
        let mut all = vec!["preprocess", "--input", text(&input), "--output", text(&output)];
        all.extend(arguments);
        self.place.fail(all)
    }
}

fn line(entry: &Value) -> String {
    let of = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
    let identity = [of("dataset"), of("manipulation"), of("name")].join("/");
    [identity, of("label"), of("split"), of("person")].join(" ")
}

pub(crate) fn face_forensics(tree: &Tree) {
    let videos = |folder: &str, names: &[&str]| {
        names.iter().for_each(|name| tree.videos(&[&format!("FaceForensics++/{folder}/videos/{name}.mp4")]));
    };
    videos("original_sequences/youtube/c23", &["000", "003", "010", "012"]);
    videos("original_sequences/youtube/c40", &["000"]);
    videos("manipulated_sequences/Deepfakes/c23", &["000_003", "010_012"]);
    videos("manipulated_sequences/FaceShifter/c23", &["003_000"]);
    videos("original_sequences/actors/c23", &["01__hugging_happy"]);
    videos("manipulated_sequences/DeepFakeDetection/c23", &["01_02__hugging_happy__YVGY8LOK"]);
    for (file, pairs) in [("train", json!([["000", "003"]])), ("val", json!([])), ("test", json!([["012", "010"]]))] {
        tree.text(&format!("FaceForensics++/{file}.json"), &pairs.to_string());
    }
}

#[test]
fn face_forensics_has_its_official_splits_and_its_actors_test() {
    let tree = Tree::new();
    face_forensics(&tree);
    let expected = [
        "DeepFakeDetection/DeepFakeDetection/01_02__hugging_happy__YVGY8LOK fake test 01",
        "DeepFakeDetection/original/01__hugging_happy real test 01",
        "FaceForensics++/Deepfakes/000_003 fake train -",
        "FaceForensics++/Deepfakes/010_012 fake test -",
        "FaceForensics++/FaceShifter/003_000 fake train -",
        "FaceForensics++/original/000 real train -",
        "FaceForensics++/original/003 real train -",
        "FaceForensics++/original/010 real test -",
        "FaceForensics++/original/012 real test -",
    ];
    assert_eq!(tree.listing("FaceForensics++", &[]), expected);
}

#[test]
fn the_compression_of_face_forensics_is_chosen() {
    let tree = Tree::new();
    face_forensics(&tree);
    let found = tree.listing("", &["--layout", "dfb", "--compression", "c40"]);
    assert_eq!(found, ["FaceForensics++/original/000 real train -"]);
}

#[test]
fn face_forensics_without_its_splits_is_refused() {
    let tree = Tree::new();
    face_forensics(&tree);
    std::fs::remove_file(tree.path("FaceForensics++/val.json")).expect("removed");
    assert!(tree.refusal("FaceForensics++", &[]).contains("val.json"));
}

#[test]
fn the_test_videos_of_celeb_df_test_and_nothing_else() {
    let tree = Tree::new();
    let root = "Celeb-DF-v2";
    for name in ["Celeb-real/id0_0000", "Celeb-real/id0_0001", "Celeb-real/id1_0000", "YouTube-real/00000"] {
        tree.videos(&[&format!("{root}/{name}.mp4")]);
    }
    for name in ["id0_id1_0000", "id0_id1_0001", "id1_id0_0000"] {
        tree.videos(&[&format!("{root}/Celeb-synthesis/videos/{name}.mp4")]);
    }
    tree.text(
        &format!("{root}/List_of_testing_videos.txt"),
        "1 Celeb-real/id0_0001.mp4\n1 YouTube-real/00000.mp4\n0 Celeb-synthesis/id0_id1_0001.mp4\n",
    );
    let found = tree.listing(root, &[]);
    assert_eq!(found.len(), 7);
    let tests: Vec<&String> = found.iter().filter(|line| line.contains(" test ")).collect();
    assert_eq!(
        tests,
        [
            "Celeb-DF-v2/Celeb-synthesis/id0_id1_0001 fake test id0",
            "Celeb-DF-v2/original/Celeb-real/id0_0001 real test id0",
            "Celeb-DF-v2/original/YouTube-real/00000 real test -",
        ]
    );
    // What is not for testing stays together by the person whose video it is.
    for person in ["id0", "id1"] {
        let of_person = found.iter().filter(|line| line.ends_with(person) && !line.contains(" test "));
        let mut splits: Vec<&str> = of_person.filter_map(|line| line.split(' ').nth(2)).collect();
        splits.dedup();
        assert_eq!(splits.len(), 1, "{person}: {found:?}");
    }
}

#[test]
fn dfdc_is_read_by_its_metadata_and_fakes_stay_with_their_originals() {
    let tree = Tree::new();
    let part = "DFDC/train/dfdc_train_part_0";
    let mut metadata = serde_json::Map::new();
    for index in 0..12 {
        let (real, fake) = (format!("real{index}.mp4"), format!("fake{index}.mp4"));
        tree.videos(&[&format!("{part}/{real}"), &format!("{part}/{fake}")]);
        metadata.insert(fake, json!({ "label": "FAKE", "split": "train", "original": real }));
        metadata.insert(real, json!({ "label": "REAL", "split": "train", "original": null }));
    }
    tree.text(&format!("{part}/metadata.json"), &Value::Object(metadata).to_string());
    tree.videos(&["DFDC/test/videos/aaa.mp4", "DFDC/test/videos/bbb.mp4"]);
    tree.text("DFDC/test/labels.csv", "filename,label\naaa.mp4,0\nbbb.mp4,1\n");
    let found = tree.listing("DFDC", &[]);
    assert_eq!(found.len(), 26);
    assert!(found.contains(&"DFDC/original/aaa real test -".to_owned()), "{found:?}");
    assert!(found.contains(&"DFDC/DFDC/bbb fake test -".to_owned()), "{found:?}");
    let split = |name: &str| found.iter().find(|line| line.contains(name)).and_then(|line| line.split(' ').nth(2));
    for index in 0..12 {
        let (real, fake) = (split(&format!("/real{index} ")), split(&format!("/fake{index} ")));
        assert!(real == fake && matches!(real, Some("train" | "val")), "{index}: {real:?} {fake:?}");
    }
}

/// The list of DFDC's faces, with a line for each name, side before enlarging, label and original.
fn list_of_faces(tree: &Tree, lines: &[&str]) {
    let header = "videoname,original_width,original_height,label,original";
    tree.text("faces/metadata.csv", &format!("{header}\n{}\n", lines.join("\n")));
}

#[test]
fn the_faces_of_dfdc_are_read_by_their_list_and_small_ones_and_those_to_exclude_are_left_out() {
    let tree = Tree::new();
    for name in ["real", "fake", "small", "excluded", "unlisted"] {
        let picture = tree.path(&format!("faces/faces_224/{name}.jpg"));
        tree.place.ffmpeg(&["-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "1", text(&picture)]);
    }
    list_of_faces(
        &tree,
        &[
            "real.mp4,129,129,REAL,",
            "fake.mp4,150,150,FAKE,real.mp4",
            "small.mp4,63,80,FAKE,real.mp4",
            "excluded.mp4,200,200,FAKE,other.mp4",
            "gone.mp4,200,200,REAL,",
        ],
    );
    tree.text("exclude.txt", "excluded.mp4\n");
    let exclude = tree.path("exclude.txt");
    let found = tree.listing("faces", &["--exclude", text(&exclude)]);
    let split = |line: &str| line.split(' ').nth(2).map(str::to_owned);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("DFDC-faces/DFDC/fake fake ") && found[1].starts_with("DFDC-faces/original/real real ")
    );
    assert_eq!(split(&found[0]), split(&found[1]), "a fake is used as what it was made from");
    let (_, said) = tree.listing_and_complaints("faces");
    for reason in ["small.jpg", "1 listed in metadata.csv and not there", "1 not listed in metadata.csv: "] {
        assert!(said.contains(reason), "{said}");
    }
    list_of_faces(&tree, &["real.mp4,129,129,REAL,", "fake.mp4,150,150,FAKE,fake.mp4"]);
    let (_, said) = tree.listing_and_complaints("faces");
    assert!(said.contains("left out, 1 called a fake made from itself: ") && said.contains("fake.jpg"), "{said}");
    let refused = tree.refusal("faces", &["--exclude", text(&tree.path("absent.txt"))]);
    assert!(refused.contains("absent.txt"), "{refused}");
    list_of_faces(&tree, &["../real.mp4,129,129,REAL,", "fake.mp4,150,150,FAKE,real.mp4"]);
    let (_, said) = tree.listing_and_complaints("faces");
    assert!(said.contains("leads out of the data set"), "{said}");
    list_of_faces(&tree, &["real.mp4,129,129,PERHAPS,"]);
    assert!(tree.refusal("faces", &[]).contains("PERHAPS"));
}

pub(crate) fn lav_df(tree: &Tree) {
    tree.videos(&[
        "LAV-DF/train/000001.mp4",
        "LAV-DF/dev/000002.mp4",
        "LAV-DF/test/000003.mp4",
        "LAV-DF/test/000004.mp4",
    ]);
    let video = |file: &str, original: Option<&str>, picture: bool, sound: bool| {
        json!({ "file": file, "split": file.split('/').next(), "original": original, "modify_video": picture,
            "modify_audio": sound, "n_fakes": 1, "fake_periods": [[1.0, 1.4]] })
    };
    let list = json!([
        video("train/000001.mp4", None, false, false),
        video("dev/000002.mp4", Some("train/000001.mp4"), true, false),
        video("test/000003.mp4", Some("test/000004.mp4"), false, true),
        video("test/000004.mp4", None, false, false),
        video("test/000009.mp4", None, true, true),
    ]);
    tree.text("LAV-DF/metadata.json", &list.to_string());
}

#[test]
fn lav_df_is_read_by_its_list_and_sound_alone_makes_no_fake() {
    let tree = Tree::new();
    lav_df(&tree);
    let expected = [
        "LAV-DF/LAV-DF/dev/000002 fake val -",
        "LAV-DF/original/test/000004 real test -",
        "LAV-DF/original/train/000001 real train -",
    ];
    assert_eq!(tree.listing("LAV-DF", &[]), expected);
}

#[test]
fn an_output_below_the_input_is_no_input() {
    let tree = Tree::new();
    tree.videos(&["d/a.mp4", "d/b.mp4"]);
    let (input, output) = (tree.place.path("data/d"), tree.place.path("data/d/out"));
    let preprocess = ["preprocess", "--input", text(&input), "--output", text(&output), "--label", "real"];
    tree.place.succeed(preprocess);
    // As if there had been faces in the videos.
    let crop = tree.path("d/out/crops/d/original/a/000.png");
    image::RgbImage::new(8, 8).save(&crop).expect("written");
    let ran = tree.place.run(preprocess);
    assert!(ran.status.success());
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.starts_with("0 done, 2 were done before"), "{said}");
    assert_eq!(manifest_entries(&output).len(), 2);
    // Input and output may be one folder, too.
    let same = ["preprocess", "--input", text(&input), "--output", text(&input), "--label", "real"];
    tree.place.succeed(same);
    assert!(tree.place.succeed(same).starts_with("0 done, 2 were done before"));
}

#[test]
fn the_preview_of_dfdc_is_read_by_its_list() {
    let tree = Tree::new();
    tree.videos(&["DFDCP/original_videos/17/17_A_001.mp4", "DFDCP/method_A/videos/17_9_A.mp4"]);
    let list = json!({
        "original_videos/17/17_A_001.mp4": { "label": "real", "set": "test", "target_id": "17", "swapped_id": null },
        "method_A/17/9/17_9_A.mp4": { "label": "fake", "set": "test", "target_id": 17, "swapped_id": 9 },
        "method_B/1/2/absent.mp4": { "label": "fake", "set": "train", "target_id": 1, "swapped_id": 2 },
    });
    tree.text("DFDCP/dataset.json", &list.to_string());
    let expected = ["DFDCP/method_A/17_9_A fake test 17", "DFDCP/original/17_A_001 real test 17"];
    assert_eq!(tree.listing("DFDCP", &[]), expected);
}

#[test]
fn uadfv_tests_as_a_whole() {
    let tree = Tree::new();
    tree.videos(&["UADFV/real/0000.mp4", "UADFV/fake/0000_fake.mp4"]);
    let expected = ["UADFV/FakeApp/0000_fake fake test -", "UADFV/original/0000 real test -"];
    assert_eq!(tree.listing("UADFV", &[]), expected);
}

#[test]
fn several_known_data_sets_below_one_folder_are_all_taken() {
    let tree = Tree::new();
    face_forensics(&tree);
    tree.videos(&["UADFV/real/0000.mp4", "UADFV/fake/0000_fake.mp4"]);
    let found = tree.listing("", &[]);
    assert_eq!(found.len(), 11, "{found:?}");
}

#[test]
fn folders_say_label_and_manipulation_and_fakes_go_with_what_they_are_made_of() {
    let tree = Tree::new();
    for index in 0..12 {
        tree.videos(&[&format!("mine/real/talk{index}.mp4"), &format!("mine/fake/Swap/talk{index}_x.mp4")]);
    }
    tree.videos(&["mine/fake/loose.mp4", "mine/real/a/same.mp4", "mine/real/b/same.mp4", "mine/real/b/same.mkv"]);
    let found = tree.listing("mine", &[]);
    assert_eq!(found.len(), 28);
    for expected in ["mine/fake/loose fake", "mine/original/a/same real", "mine/original/b/same.mkv real"] {
        assert!(found.iter().any(|line| line.starts_with(expected)), "{expected}: {found:?}");
    }
    let split = |name: &str| found.iter().find(|line| line.contains(name)).and_then(|line| line.split(' ').nth(2));
    for index in 0..12 {
        let pair = (split(&format!("/original/talk{index} ")), split(&format!("/Swap/talk{index}_x ")));
        assert!(pair.0.is_some() && pair.0 == pair.1, "{index}: {pair:?}");
    }
}

#[test]
fn folders_of_splits_are_official() {
    let tree = Tree::new();
    tree.videos(&["d/train/real/a.mp4", "d/Valid/Fake/b.mp4", "d/test/real/c.mp4", "d/test/fake/e.mp4"]);
    let expected =
        ["d/fake/b fake val -", "d/fake/e fake test -", "d/original/a real train -", "d/original/c real test -"];
    assert_eq!(tree.listing("d", &[]), expected);
}

#[test]
fn one_label_and_a_name_are_given_where_folders_do_not_say() {
    let tree = Tree::new();
    tree.videos(&["d/a.mp4", "d/x/b.mp4"]);
    assert!(tree.refusal("d", &[]).contains("--label"));
    let found = tree.listing("d", &["--label", "fake", "--dataset", "wild"]);
    let names: Vec<&str> = found.iter().filter_map(|line| line.split(" fake").next()).collect();
    assert_eq!(names, ["wild/fake/a", "wild/x/b"]);
}

#[test]
fn photographs_of_a_person_are_used_alike_whether_real_or_fake() {
    let tree = Tree::new();
    for (person, number) in (0..12).flat_map(|person| [(person, 1), (person, 2)]) {
        for label in ["real", "fake"] {
            let path = tree.path(&format!("d/{label}/P{person}/P{person}_000{number}.png"));
            image::RgbImage::new(40, 40).save(path).expect("written");
        }
    }
    let found = tree.listing("d", &[]);
    assert_eq!(found.len(), 48);
    assert!(found.contains(&found[0].replace("d/fake/", "d/original/").replace(" fake ", " real ")), "{found:?}");
    for person in 0..12 {
        let of_person = found.iter().filter(|line| line.ends_with(&format!(" P{person}")));
        let splits: Vec<&str> = of_person.filter_map(|line| line.split(' ').nth(2)).collect();
        assert!(splits.len() == 4 && splits.iter().all(|split| *split == splits[0]), "{person}: {splits:?}");
    }
}

#[test]
fn a_folder_that_is_absent_or_empty_is_named() {
    let tree = Tree::new();
    assert!(tree.refusal("absent", &[]).contains("absent"));
    std::fs::create_dir_all(tree.path("empty/real")).expect("made");
    assert!(tree.refusal("empty", &[]).contains("real"));
}

#[test]
fn wrong_options_are_wrong_usage() {
    let tree = Tree::new();
    tree.videos(&["d/real/a.mp4"]);
    let (input, output) = (tree.place.path("data/d"), tree.place.path("out"));
    for wrong in [
        &["--quality", "90"][..],
        &["--margin", "0.4"],
        &["--crop-size", "4"],
        &["--shard", "3/2"],
        &["--dataset", "../up"],
    ] {
        let mut all = vec!["preprocess", "--input", text(&input), "--output", text(&output)];
        all.extend(wrong);
        assert_eq!(tree.place.run(all).status.code(), Some(2), "{wrong:?}");
    }
    assert!(!Path::new(&output).exists());
}

#[test]
fn numbered_pictures_of_a_label_are_of_as_many_people_and_a_number_in_a_folder_is_a_picture_of_that_folder() {
    let tree = Tree::new();
    let portraits = ["real/00001.png", "real/00002.png", "real/00003.png", "real/00004.png", "fake/00009.png"];
    for name in portraits.into_iter().chain(["real/ann/0.png", "real/bob/0.png", "fake/swap/ann/0.png"]) {
        image::RgbImage::new(64, 48).save(tree.path(name)).expect("a picture");
    }
    let (input, output) = (tree.place.path("data"), tree.place.path("crops"));
    tree.place.succeed(["preprocess", "--input", text(&input), "--output", text(&output)]);
    let mut found: Vec<String> = manifest_entries(&output)
        .iter()
        .map(|entry| format!("{} {} {}", entry["name"], entry["manipulation"], entry["group"]).replace('"', ""))
        .collect();
    found.sort();
    let expected = [
        "00001 original 00001",
        "00002 original 00002",
        "00003 original 00003",
        "00004 original 00004",
        "00009 fake 00009",
        "ann/0 original ann",
        "ann/0 swap ann",
        "bob/0 original bob",
    ];
    assert_eq!(found, expected);
}
