//! The Deepfake Detection Challenge Dataset (Dolhansky et al. 2020) and its preview (Dolhansky et al. 2019).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{MADE_FROM_ITSELF, MADE_ORIGINAL, Videos, read_json, without_extension};
use crate::datasets::source::{Finds, Found, LeftOut, OUTSIDE, folder_name, folders, stays_inside};
use crate::datasets::split::Plan;
use crate::datasets::{Label, ORIGINAL, Split};
use crate::{files, media};

const DATASET: &str = "DFDC";
const PREVIEW: &str = "DFDCP";
/// The preview's folder of real videos; its fakes are in `method_A` and `method_B`.
const PREVIEW_ORIGINALS: &str = "original_videos";

/// A video's line in a part's `metadata.json`: `label` in the training parts, `is_fake` in the others.
#[derive(Deserialize)]
struct Metadata {
    label: Option<String>,
    is_fake: Option<u8>,
    original: Option<String>,
}

/// A line of `labels.csv`.
#[derive(Deserialize)]
struct Row {
    filename: String,
    label: u8,
}

/// What is known of a video.
struct Known {
    /// None where it is neither REAL nor FAKE, which is as good as no label.
    label: Option<Label>,
    /// The file it was made from.
    original: Option<String>,
}

const UNLABELLED: &str = "without a label in metadata.json or labels.csv";

impl Known {
    /// Label and original, or why the file with this name cannot be used.
    fn usable(&self, file: &str) -> Result<(Label, Option<&str>), &'static str> {
        let original = self.original.as_deref();
        match (self.label.ok_or(UNLABELLED)?, original) {
            (Label::Fake, Some(original)) if original == file => Err(MADE_FROM_ITSELF),
            (Label::Real, Some(original)) if original != file => Err(MADE_ORIGINAL),
            (label, original) => Ok((label, original)),
        }
    }
}

/// Whether a folder is the data set.
pub(super) fn is_dfdc(root: &Path) -> bool {
    !parts(root).is_empty() || ["test", "validation"].iter().any(|name| is_labelled(&root.join(name)))
}

/// Training parts, and the folders `validation` and `test` where they are. Without `validation` a tenth of the original
/// videos, with what was made from them, is taken from the training parts.
pub(super) fn list(root: &Path, finds: &mut Finds) -> Result<()> {
    let validation = root.join("validation");
    let train = match is_labelled(&validation) {
        true => Plan::Official(Split::Train),
        false => Plan::TrainOrValidation,
    };
    for part in parts(root) {
        add_or_leave_out(&part, train, finds);
    }
    for (folder, split) in [(validation, Split::Validation), (root.join("test"), Split::Test)] {
        if is_labelled(&folder) {
            add_or_leave_out(&folder, Plan::Official(split), finds);
        }
    }
    Ok(())
}

/// The folders `dfdc_train_part_N`, in `train` or at once.
fn parts(root: &Path) -> Vec<PathBuf> {
    let is_part = |folder: &PathBuf| folder_name(folder).starts_with("dfdc_train_part") && is_labelled(folder);
    [root.join("train"), root.to_owned()].iter().flat_map(|place| folders(place)).filter(is_part).collect()
}

fn is_labelled(folder: &Path) -> bool {
    folder.join("metadata.json").is_file() || folder.join("labels.csv").is_file()
}

/// Adds the labelled videos of a folder, or leaves it out where its list cannot be read: the other parts are done all the same.
fn add_or_leave_out(folder: &Path, plan: Plan, finds: &mut Finds) {
    if let Err(error) = add(folder, plan, finds) {
        finds
            .left_out
            .push(LeftOut { is_unreadable: true, ..LeftOut::new(folder, format!("without labels ({error:#})")) });
    }
}

/// Adds the labelled videos of a folder; those without a label are left out.
fn add(folder: &Path, plan: Plan, finds: &mut Finds) -> Result<()> {
    let (list, known) = labels(folder)?;
    let mut present: BTreeSet<String> = BTreeSet::new();
    for video in Videos::of(folder, &mut finds.left_out)? {
        let path = video.input.path();
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        present.insert(file.clone());
        let (label, original) = match known.get(&file).map_or(Err(UNLABELLED), |known| known.usable(&file)) {
            Ok(usable) => usable,
            Err(reason) => {
                finds.left_out.push(LeftOut::new(path, reason));
                continue;
            }
        };
        let manipulation = if label == Label::Real { ORIGINAL } else { DATASET };
        let alone = video.found(DATASET, manipulation, label, plan);
        let group = original.map_or(alone.group.as_str(), without_extension).to_owned();
        finds.found.push(Found { group, ..alone });
    }
    let absent = known.keys().filter(|file| !present.contains(*file)).map(|file| match stays_inside(file) {
        true => LeftOut::new(folder.join(file), format!("listed in {list} and not there")),
        false => LeftOut::new(folder.join(file), OUTSIDE),
    });
    finds.left_out.extend(absent);
    Ok(())
}

/// The name of a folder's list, and what it says of files by name.
fn labels(folder: &Path) -> Result<(&'static str, BTreeMap<String, Known>)> {
    let path = folder.join("labels.csv");
    if path.is_file() {
        let damaged = || format!("{} has no columns `filename` and `label`; get it again", path.display());
        let text = files::read_text(&path)?;
        let rows = csv::Reader::from_reader(text.as_bytes()).into_deserialize();
        let rows = rows.collect::<Result<Vec<Row>, _>>().with_context(damaged)?;
        let label = |row: Row| (row.filename, Known { label: Some(of_number(row.label)), original: None });
        return Ok(("labels.csv", rows.into_iter().map(label).collect()));
    }
    let path = folder.join("metadata.json");
    let files: BTreeMap<String, Metadata> = read_json(&path)?;
    let known = |(file, metadata): (String, Metadata)| {
        let label = match (metadata.label.as_deref(), metadata.is_fake) {
            (Some("REAL"), _) => Some(Label::Real),
            (Some("FAKE"), _) => Some(Label::Fake),
            (None, Some(number)) => Some(of_number(number)),
            _ => None,
        };
        (file, Known { label, original: metadata.original.filter(|original| !original.is_empty()) })
    };
    Ok(("metadata.json", files.into_iter().map(known).collect()))
}

fn of_number(label: u8) -> Label {
    if label == 0 { Label::Real } else { Label::Fake }
}

/// What the preview's `dataset.json` says of a video.
#[derive(Deserialize)]
struct PreviewVideo {
    label: Label,
    set: String,
    target_id: Option<serde_json::Value>,
    swapped_id: Option<serde_json::Value>,
}

impl PreviewVideo {
    /// Why its label cannot be right, if so: it says something else than the folder or who was swapped with whom.
    fn contradiction(&self, key: &str) -> Option<&'static str> {
        let is_original = key.split('/').next() == Some(PREVIEW_ORIGINALS);
        match self.label {
            Label::Fake if is_original => Some("called a fake and in the folder of originals"),
            Label::Fake if self.swapped_id.is_some() && self.swapped_id == self.target_id => Some(MADE_FROM_ITSELF),
            Label::Real if !is_original => Some("called real and in a folder of fakes"),
            Label::Real if self.swapped_id.is_some() => Some(MADE_ORIGINAL),
            _ => None,
        }
    }
}

/// The preview. A tenth of the persons of its training set validates.
pub(super) fn list_preview(root: &Path, finds: &mut Finds) -> Result<()> {
    let path = root.join("dataset.json");
    let videos: BTreeMap<String, PreviewVideo> = read_json(&path)?;
    for (key, video) in videos {
        if !stays_inside(&key) {
            finds.left_out.push(LeftOut::new(root.join(key), OUTSIDE));
            continue;
        }
        let Some(file) = preview_file(root, &key) else {
            finds.left_out.push(LeftOut::new(root.join(key), "listed in dataset.json and not there"));
            continue;
        };
        if let Some(reason) = video.contradiction(&key) {
            finds.left_out.push(LeftOut::new(file, reason));
            continue;
        }
        let plan = match video.set.as_str() {
            "train" => Plan::TrainOrValidation,
            "test" => Plan::Official(Split::Test),
            set => bail!("{}: {key} is in the set `{set}`, neither train nor test; get it again", path.display()),
        };
        let manipulation = match (video.label, key.split_once('/')) {
            (Label::Fake, Some((method, _))) => method,
            (Label::Fake, None) => PREVIEW,
            (Label::Real, _) => ORIGINAL,
        };
        let name = without_extension(key.rsplit('/').next().unwrap_or(&key)).to_owned();
        let person = video.target_id.as_ref().and_then(|id| match id {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        let alone = Videos { input: media::Input::Video(file), name };
        let alone = alone.found(PREVIEW, manipulation, video.label, plan);
        let group = person.clone().unwrap_or_else(|| alone.group.clone());
        finds.found.push(Found { group, person, ..alone });
    }
    Ok(())
}

/// The file of a key such as `method_A/1/2/3.mp4`: as it stands there, or in DeepfakeBench's `method_A/videos/3.mp4`.
fn preview_file(root: &Path, key: &str) -> Option<PathBuf> {
    let as_given = root.join(key);
    let (method, rest) = key.split_once('/')?;
    let flat = root.join(method).join("videos").join(rest.rsplit('/').next().unwrap_or(rest));
    [as_given, flat].into_iter().find(|path| path.is_file())
}
