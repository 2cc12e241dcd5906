//! Folders whose names say what is in them: `ROOT/{real,fake}/…`, below `ROOT/{train,val,test}` where there are such
//! folders; all of one label; and photographs by person. A folder directly in `fake` names a manipulation, unless it is
//! that of a person, as in `fake/Ada_Lovelace/Ada_Lovelace_0001.jpg`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::source::{
    self, Finds, Found, Listing, folder_name, folder_named, inputs, name_of, person_of, settle, telling_part,
};
use super::split::Plan;
use super::{Label, ORIGINAL, Split, strays};
use crate::media::Input;

const REAL: [&str; 1] = ["real"];
const FAKE: [&str; 1] = ["fake"];
const SPLITS: [(Split, &[&str]); 3] = [
    (Split::Train, &["train", "training"]),
    (Split::Validation, &["val", "valid", "validation"]),
    (Split::Test, &["test", "testing"]),
];

/// Why files beside those folders are left out.
const BESIDE_LABELS: &str = "neither in the folder `real` nor in `fake`";
const BESIDE_SPLITS: &str = "not in `real` or `fake` of a folder of a split";

/// Whether a folder holds folders `real` or `fake`, at once or below those of splits.
pub(super) fn is_labelled(root: &Path) -> bool {
    let has_label = |folder: &Path| folder_named(folder, &["real", "fake"]).is_some();
    has_label(root) || split_folders(root).iter().any(|(_, folder)| has_label(folder))
}

/// Videos, photographs and folders of frames below `real` and `fake`. Folders directly in `fake` name manipulations.
pub(super) fn labelled(root: &Path, dataset: &str) -> Result<Listing> {
    let mut finds = Finds::default();
    let splits = split_folders(root);
    let has_splits = !splits.is_empty();
    if !has_splits {
        labels(root, dataset, Plan::Free, &mut finds)?;
    }
    let has_validation = splits.iter().any(|(split, _)| *split == Split::Validation);
    for (split, folder) in splits {
        let plan = match split {
            Split::Train if !has_validation => Plan::TrainOrValidation,
            split => Plan::Official(split),
        };
        labels(&folder, dataset, plan, &mut finds)?;
    }
    let reason = if has_splits { BESIDE_SPLITS } else { BESIDE_LABELS };
    strays::leave_out(root, &mut finds, |_| reason.to_owned());
    source::refuse_unread(&finds)?;
    if finds.found.is_empty() {
        bail!("{} holds no folder `real` or `fake` with anything in it; give its label with --label", root.display());
    }
    settle(root, finds)
}

/// Everything below `root`, all with one label.
pub(super) fn all_of(root: &Path, dataset: &str, label: Label) -> Result<Listing> {
    let mut finds = Finds::default();
    add(root, dataset, label, Plan::Free, &mut finds)?;
    refuse_empty(root, &finds)?;
    settle(root, finds)
}

fn refuse_empty(root: &Path, finds: &Finds) -> Result<()> {
    source::refuse_unread(finds)?;
    if finds.found.is_empty() {
        bail!("{} holds no video and no image that can be used; check the path", root.display());
    }
    Ok(())
}

/// Photographs by person: every image by itself, its folder names the person. Images directly in `root` are each a
/// person of their own.
pub(super) fn photographs(root: &Path, dataset: &str, label: Label) -> Result<Listing> {
    let mut left_out = Vec::new();
    let found = source::images(root, &mut left_out)?.into_iter().map(|path| {
        let folder = path.parent().filter(|folder| *folder != root);
        let person = folder.map(|folder| source::relative(root, folder));
        let input = Input::Image(path);
        let name = name_of(root, &input);
        let manipulation = manipulation_of(label, None);
        let group = person.clone().unwrap_or_else(|| name.clone());
        Found {
            input,
            dataset: dataset.to_owned(),
            manipulation,
            name,
            label,
            plan: Plan::Free,
            group,
            person,
            ends_at_face: false,
        }
    });
    let finds = Finds { found: found.collect(), left_out };
    refuse_empty(root, &finds)?;
    settle(root, finds)
}

fn split_folders(root: &Path) -> Vec<(Split, PathBuf)> {
    SPLITS.iter().filter_map(|(split, names)| Some((*split, folder_named(root, names)?))).collect()
}

fn labels(folder: &Path, dataset: &str, plan: Plan, finds: &mut Finds) -> Result<()> {
    for (names, label) in [(&REAL, Label::Real), (&FAKE, Label::Fake)] {
        if let Some(folder) = folder_named(folder, names) {
            add(&folder, dataset, label, plan, finds)?;
        }
    }
    Ok(())
}

fn add(folder: &Path, dataset: &str, label: Label, plan: Plan, finds: &mut Finds) -> Result<()> {
    for input in inputs(folder, &mut finds.left_out)?.into_iter().flat_map(|input| apart(folder, input)) {
        let whole = name_of(folder, &input);
        let person = match &input {
            Input::Image(path) => person_of(path),
            _ => None,
        };
        let (manipulation, name) = match whole.split_once('/') {
            Some((first, rest)) if label == Label::Fake && person.as_deref() != Some(first) => {
                (manipulation_of(label, Some(first)), rest.to_owned())
            }
            _ => (manipulation_of(label, None), whole),
        };
        let group = person.clone().unwrap_or_else(|| telling_part(&name).to_owned());
        let dataset = dataset.to_owned();
        finds.found.push(Found { input, dataset, manipulation, name, label, plan, group, person, ends_at_face: false });
    }
    Ok(())
}

/// Numbered pictures that lie in the label's folder itself are of as many people: frames of a video have a folder of
/// their own.
fn apart(folder: &Path, input: Input) -> Vec<Input> {
    match input {
        Input::Frames { files, .. } if files.iter().all(|file| file.parent() == Some(folder)) => {
            files.into_iter().map(Input::Image).collect()
        }
        input => vec![input],
    }
}

fn manipulation_of(label: Label, folder: Option<&str>) -> String {
    match label {
        Label::Real => ORIGINAL.to_owned(),
        Label::Fake => folder.unwrap_or("fake").to_owned(),
    }
}

/// The name of the data set in `root` where the user gives none.
pub fn dataset_name(root: &Path) -> String {
    folder_name(root)
}
