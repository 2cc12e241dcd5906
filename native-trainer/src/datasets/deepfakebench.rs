//! DeepfakeBench's own description of preprocessed data: `{data set: {label: {split: {[compression:] {video: {label,
//! frames: […]}}}}}}`, with a landmark file (`landmarks` for `frames`, `.npy` for `.png`) beside each frame.
//!
//! A video in several of its lists is used once, for testing before training before validation: DeepFakeDetection and
//! UADFV stand in all three, Celeb-DF's training list holds its test videos, and the validation lists but
//! FaceForensics++'s are copies of another. A data set that then has none to validate with gives a tenth of those to train
//! on. Frames are put in the order of their numbers, since the lists are in the order of the file system.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use serde_json::{Map, Value};

use super::crops::{Crops, Cut};
use super::manifest::Identity;
use super::split::Member;
use crate::files;

use super::{Compression, Dataset, Dropped, FaceCrop, Label, LoadOptions, ORIGINAL, Split, Video, dlib_points, split};

/// Names of labels that are not the manipulation's, with the manipulation.
const MANIPULATIONS: [(&str, &str); 13] = [
    ("FF-DF", "Deepfakes"),
    ("FF-F2F", "Face2Face"),
    ("FF-FS", "FaceSwap"),
    ("FF-NT", "NeuralTextures"),
    ("FF-FH", "FaceShifter"),
    ("DFD_fake", "DeepFakeDetection"),
    ("CelebDFv1_fake", "Celeb-synthesis"),
    ("CelebDFv2_fake", "Celeb-synthesis"),
    ("DFDCP_FakeA", "method_A"),
    ("DFDCP_FakeB", "method_B"),
    ("DFDC_Fake", "DFDC"),
    ("UADFV_Fake", "FakeApp"),
    ("DF_fake", "DeeperForensics-1.0"),
];

/// The lists, the one that counts most first.
const SPLITS: [(&str, Split); 3] = [("test", Split::Test), ("train", Split::Train), ("val", Split::Validation)];

/// Why a listed video is dropped.
const NO_FRAMES: &str = "it has no frames: no face was found when it was preprocessed";

/// A video as the file lists it.
struct Listed {
    label: Label,
    split: Split,
    frames: Vec<String>,
}

/// Reads the file at `path`.
pub(super) fn load(path: &Path, split: Option<Split>, options: &LoadOptions) -> Result<Dataset> {
    let shown = path.display();
    let text = files::read_text(path)?;
    let document: Value = serde_json::from_str(&text).with_context(|| format!("{shown} is not JSON; get it again"))?;
    let mut listed = list(&document, options.compression).with_context(|| {
        format!("{shown} is not a data set of DeepfakeBench ({{data set: {{label: {{split: {{video: …}}}}}}}})")
    })?;
    listed.retain(|_, video| split.is_none_or(|split| video.split == split));
    let frames = listed.values().filter_map(|video| video.frames.first()).map(String::as_str);
    let Some(root) = Root::find(path, options.root.as_deref(), frames) else {
        bail!(
            "none of the frames that {shown} lists is where it says (e.g. {}); name the folder above them with \
             --data-root",
            listed.values().find_map(|video| video.frames.first()).map_or("nothing", String::as_str)
        );
    };
    let is_empty = |(_, video): &(Identity, Listed)| video.frames.is_empty();
    let (empty, full): (Vec<_>, Vec<_>) = listed.into_iter().partition(is_empty);
    let dropped = empty.into_iter().map(|((dataset, manipulation, name), video)| Dropped {
        source: format!("{dataset}/{manipulation}/{name}"),
        dataset,
        split: video.split,
        label: video.label,
        kind: NO_FRAMES,
        reason: NO_FRAMES.to_owned(),
    });
    let groups = group_names(&full);
    let read = |((identity, video), group)| root.video(identity, video, group);
    let (videos, unusable): (Vec<Video>, Vec<Vec<String>>) = full.into_par_iter().zip(groups).map(read).unzip();
    let crops = vec![Crops { place: path.to_owned(), cut: Cut::DeepfakeBench }];
    let name = super::name_of(path, &videos);
    Ok(Dataset { name, videos, dropped: dropped.collect(), crops, unusable: unusable.concat() })
}

/// The group of each video, in their order.
fn group_names(videos: &[(Identity, Listed)]) -> Vec<String> {
    let members: Vec<Member> = videos.iter().map(|((_, _, name), video)| member(name, video.label)).collect();
    split::groups(&members).into_iter().map(str::to_owned).collect()
}

/// The videos of one compression, by identity.
fn list(document: &Value, compression: Compression) -> Result<BTreeMap<Identity, Listed>> {
    let mut listed = BTreeMap::new();
    for (dataset, labels) in object(document)? {
        for (label, splits) in object(labels)? {
            for (name, split) in SPLITS {
                let Some(videos) = object(splits)?.get(name) else { continue };
                for (name, video) in videos_of(object(videos)?, compression) {
                    let Some(frames) = video.get("frames").and_then(Value::as_array) else { continue };
                    let label = video.get("label").and_then(Value::as_str).unwrap_or(label);
                    let (manipulation, label) = meaning(label)?;
                    let mut frames: Vec<String> =
                        frames.iter().filter_map(Value::as_str).map(|frame| frame.replace('\\', "/")).collect();
                    frames.sort_by(|one, other| natord::compare(one, other));
                    let identity = (dataset_name(dataset).to_owned(), manipulation, name.clone());
                    listed.entry(identity).or_insert(Listed { label, split, frames });
                }
            }
        }
    }
    set_validation_apart(&mut listed);
    Ok(listed)
}

/// Gives every data set that has something to train on and nothing to validate with a tenth of the former.
fn set_validation_apart(listed: &mut BTreeMap<Identity, Listed>) {
    let with = |split: Split| -> BTreeSet<String> {
        let of_split = listed.iter().filter(|(_, video)| video.split == split);
        of_split.map(|((dataset, ..), _)| dataset.clone()).collect()
    };
    let has_validation = with(Split::Validation);
    let is_shared =
        |(dataset, ..): &Identity, video: &Listed| video.split == Split::Train && !has_validation.contains(dataset);
    let shared = listed.iter().filter(|(identity, video)| is_shared(identity, video));
    let members: Vec<Member> = shared.map(|((_, _, name), video)| member(name, video.label)).collect();
    let splits: Vec<Split> = split::groups(&members).into_iter().map(split::train_or_validation).collect();
    let videos = listed.iter_mut().filter(|(identity, video)| is_shared(identity, video));
    for ((_, video), split) in videos.zip(splits) {
        video.split = split;
    }
}

fn member(name: &str, label: Label) -> Member<'_> {
    let group = target(name);
    Member { label, stem: name, group, has_person: group != name }
}

/// The person whose video it is in Celeb-DF's `id3_id9_0001`; for other names the whole name.
fn target(name: &str) -> &str {
    name.split_once('_').map(|(first, _)| first).filter(|first| first.starts_with("id")).unwrap_or(name)
}

/// The videos of a split, below the compression where there is one. A split of another compression alone has none.
///
/// DeepfakeBench's DFDC file has stray fields `label` and `frames` beside videos, which are no objects.
fn videos_of(
    split: &Map<String, Value>,
    compression: Compression,
) -> impl Iterator<Item = (&String, &Map<String, Value>)> {
    let levels: Vec<&str> = Compression::ALL.map(Compression::as_str).to_vec();
    let has_levels = split.keys().any(|key| levels.contains(&key.as_str()));
    let videos = if has_levels { split.get(compression.as_str()).and_then(Value::as_object) } else { Some(split) };
    videos.into_iter().flatten().filter_map(|(name, video)| Some((name, video.as_object()?)))
}

/// Manipulation and label behind the name of a label.
fn meaning(name: &str) -> Result<(String, Label)> {
    if let Some((_, manipulation)) = MANIPULATIONS.iter().find(|(known, _)| *known == name) {
        return Ok(((*manipulation).to_owned(), Label::Fake));
    }
    let lower = name.to_lowercase();
    if lower.ends_with("real") {
        Ok((ORIGINAL.to_owned(), Label::Real))
    } else if lower.contains("fake") {
        Ok((name.to_owned(), Label::Fake))
    } else {
        bail!("the label {name} says neither real nor fake")
    }
}

/// The parts of FaceForensics++ come in files of their own, each with the same real videos.
fn dataset_name(name: &str) -> &str {
    let is_part =
        MANIPULATIONS.iter().any(|(known, _)| *known == name && known.starts_with("FF-") && *known != "FF-FH");
    if is_part { "FaceForensics++" } else { name }
}

fn object(value: &Value) -> Result<&Map<String, Value>> {
    value.as_object().context("an object is missing in it")
}

/// Where the frames are: a folder, and how many leading folders of the listed paths it replaces.
struct Root {
    folder: PathBuf,
    replaced: usize,
}

/// Frames that are looked for before it is said that none is there.
const TRIED_FRAMES: usize = 50;

impl Root {
    /// Looks for the listed frames where the user says, else as they are listed, and below the folders that hold the
    /// file, `datasets` and `datasets/rgb` in them, as DeepfakeBench places them.
    fn find<'a>(file: &Path, given: Option<&Path>, frames: impl Iterator<Item = &'a str>) -> Option<Self> {
        let above = file.parent().into_iter().flat_map(Path::ancestors).take(4);
        let beside = above.flat_map(|folder| [folder.to_owned(), folder.join("datasets"), folder.join("datasets/rgb")]);
        let places: Vec<PathBuf> = match given {
            Some(given) => vec![given.to_owned()],
            None => std::iter::once(PathBuf::new()).chain(beside).collect(),
        };
        for frame in frames.take(TRIED_FRAMES) {
            for folder in &places {
                let most = if folder.as_os_str().is_empty() { 0 } else { frame.matches('/').count() };
                let fits = |replaced: &usize| {
                    let root = Self { folder: folder.clone(), replaced: *replaced };
                    root.path(frame).is_file()
                };
                if let Some(replaced) = (0..=most).find(fits) {
                    return Some(Self { folder: folder.clone(), replaced });
                }
            }
        }
        None
    }

    /// Where a listed file is.
    fn path(&self, listed: &str) -> PathBuf {
        let rest = listed.splitn(self.replaced + 1, '/').last().unwrap_or(listed);
        self.folder.join(rest)
    }

    /// A listed video, and what of its landmark files could not be used: a crop without landmarks is one all the same.
    fn video(&self, (dataset, manipulation, name): Identity, video: Listed, group: String) -> (Video, Vec<String>) {
        let Listed { label, split, frames } = video;
        let mut unusable = Vec::new();
        let has_landmarks =
            frames.first().and_then(|frame| landmark_file(frame)).is_some_and(|file| self.path(&file).is_file());
        let mut crops = Vec::with_capacity(frames.len());
        for frame in &frames {
            let file = landmark_file(frame).filter(|_| has_landmarks).map(|file| self.path(&file));
            let landmarks = match file.filter(|file| file.is_file()).map(|file| dlib_points::read(&file)) {
                Some(Ok(landmarks)) => Some(landmarks),
                Some(Err(error)) => {
                    unusable.push(error.to_string());
                    None
                }
                None => None,
            };
            crops.push(FaceCrop { path: self.path(frame), time_s: None, landmarks, eye_distance: None });
        }
        (Video { dataset, manipulation, name, label, split, person: None, group, crops }, unusable)
    }
}

/// `…/landmarks/000/012.npy` for `…/frames/000/012.png`; none where the path has no folder `frames`.
fn landmark_file(frame: &str) -> Option<String> {
    let (before, after) = frame.rsplit_once("/frames/")?;
    let (stem, _) = after.rsplit_once('.')?;
    Some(format!("{before}/landmarks/{stem}.npy"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn listed(document: &Value, compression: Compression) -> Vec<(Identity, Split, Label)> {
        let listed = list(document, compression).expect("a data set");
        listed.into_iter().map(|(identity, video)| (identity, video.split, video.label)).collect()
    }

    fn identity(dataset: &str, manipulation: &str, name: &str) -> Identity {
        (dataset.to_owned(), manipulation.to_owned(), name.to_owned())
    }

    #[test]
    fn the_compression_is_chosen_where_there_is_one() {
        let video = |name: &str| json!({ name: { "label": "FF-DF", "frames": ["a/frames/b/1.png"] } });
        let document = json!({ "FF-DF": { "FF-DF": { "train": { "c23": video("x"), "c40": video("y") } } } });
        let found = |name| vec![(identity("FaceForensics++", "Deepfakes", name), Split::Train, Label::Fake)];
        assert_eq!(listed(&document, Compression::C23), found("x"));
        assert_eq!(listed(&document, Compression::C40), found("y"));
        assert_eq!(listed(&document, Compression::Raw), Vec::new());
    }

    #[test]
    fn a_video_listed_for_training_and_testing_tests_only() {
        let video = json!({ "v": { "label": "CelebDFv2_real", "frames": [] } });
        let document = json!({ "Celeb-DF-v2": { "CelebDFv2_real": { "train": video, "val": video, "test": video } } });
        let expected = vec![(identity("Celeb-DF-v2", "original", "v"), Split::Test, Label::Real)];
        assert_eq!(listed(&document, Compression::C23), expected);
    }

    #[test]
    fn a_validation_list_that_repeats_the_training_list_is_replaced_by_a_tenth_of_it() {
        let video = || json!({ "label": "DFDC_Real", "frames": [] });
        let videos: Map<String, Value> = (0..500).map(|number| (format!("v{number}"), video())).collect();
        let document = json!({ "DFDC": { "DFDC_Real": { "train": videos, "val": videos } } });
        let found = listed(&document, Compression::C23);
        let validation = found.iter().filter(|(_, split, _)| *split == Split::Validation).count();
        assert!(found.len() == 500 && (25..80).contains(&validation), "{validation}");
        assert!(found.iter().all(|(_, split, _)| *split != Split::Test));
    }

    #[test]
    fn a_validation_list_of_its_own_stays_and_training_keeps_all() {
        let video = |name: &str| json!({ "c23": { name: { "label": "FF-real", "frames": [] } } });
        let document =
            json!({ "FF-DF": { "FF-real": { "train": video("a"), "val": video("b"), "test": video("c") } } });
        let splits: Vec<Split> = listed(&document, Compression::C23).into_iter().map(|(_, split, _)| split).collect();
        assert_eq!(splits, [Split::Train, Split::Validation, Split::Test]);
    }

    #[test]
    fn celeb_df_videos_of_one_person_stay_together() {
        assert_eq!(["id3_id9_0001", "id3_0002", "00017", "a_b"].map(target), ["id3", "id3", "00017", "a_b"]);
    }

    #[test]
    fn stray_fields_beside_videos_are_passed_over() {
        let document = json!({ "DFDC": { "DFDC_Fake": { "val": {
            "label": "DFDC_Fake", "frames": ["x.png"], "v": { "label": "DFDC_Fake", "frames": [] } } } } });
        let expected = vec![(identity("DFDC", "DFDC", "v"), Split::Validation, Label::Fake)];
        assert_eq!(listed(&document, Compression::C23), expected);
    }

    #[test]
    fn a_label_that_says_nothing_is_refused() {
        assert!(meaning("pristine").is_err());
        assert_eq!(meaning("FFIW_Fake").expect("a fake"), ("FFIW_Fake".to_owned(), Label::Fake));
    }

    #[test]
    fn landmarks_lie_beside_the_frames() {
        let file = landmark_file("rgb/frames/c23/frames/000/012.png");
        assert_eq!(file.as_deref(), Some("rgb/frames/c23/landmarks/000/012.npy"));
        assert_eq!(landmark_file("rgb/000/012.png"), None);
    }

    #[test]
    fn leading_folders_of_listed_paths_are_replaced() {
        let root = Root { folder: "/data".into(), replaced: 2 };
        assert_eq!(root.path("home/someone/UADFV/x.png"), Path::new("/data/UADFV/x.png"));
        let root = Root { folder: "/data".into(), replaced: 0 };
        assert_eq!(root.path("UADFV/x.png"), Path::new("/data/UADFV/x.png"));
    }
}
