//! LAV-DF, Localized Audio Visual DeepFake (Cai et al. 2022): talking heads in which a few words were replaced, in the
//! picture (Wav2Lip), in the sound, or in both.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Deserialize;

use super::{MADE_FROM_ITSELF, MADE_ORIGINAL, Videos, read_json, without_extension};
use crate::datasets::source::{Finds, Found, LeftOut, OUTSIDE, stays_inside, stem};
use crate::datasets::split::Plan;
use crate::datasets::{Label, ORIGINAL, Split};
use crate::media;

const DATASET: &str = "LAV-DF";
/// The folders of videos with their official use.
const SPLITS: [(&str, Split); 3] = [("train", Split::Train), ("dev", Split::Validation), ("test", Split::Test)];
/// The lists it comes with; the second has less to each video.
const LISTS: [&str; 2] = ["metadata.json", "metadata.min.json"];

/// A video in the list.
#[derive(Deserialize)]
struct Listed {
    /// `train/000001.mp4`.
    file: String,
    split: String,
    /// The file that it was made from.
    original: Option<String>,
    modify_video: bool,
    modify_audio: bool,
}

/// Whether a folder is the data set.
pub(super) fn is_lav_df(root: &Path) -> bool {
    list_in(root).is_some() && SPLITS.iter().any(|(folder, _)| root.join(folder).is_dir())
}

fn list_in(root: &Path) -> Option<PathBuf> {
    LISTS.iter().map(|name| root.join(name)).find(|path| path.is_file())
}

/// All videos whose picture is original or changed; of those whose sound alone was changed the faces are real, and they
/// are left out, as is what the list does not know.
pub(super) fn list(root: &Path, finds: &mut Finds) -> Result<()> {
    let Some(list) = list_in(root) else { bail!("{} has no metadata.json; it comes with LAV-DF", root.display()) };
    let videos: Vec<Listed> = read_json(&list)?;
    let mut known = BTreeSet::new();
    for video in videos {
        let file = root.join(&video.file);
        if !stays_inside(&video.file) {
            finds.left_out.push(LeftOut::new(file, OUTSIDE));
            continue;
        }
        known.insert(file.clone());
        let Some((_, split)) = SPLITS.iter().find(|(name, _)| *name == video.split) else {
            bail!(
                "{}: {} is in the split `{}`, none of train, dev and test; get it again",
                list.display(),
                video.file,
                video.split
            )
        };
        if !file.is_file() {
            finds.left_out.push(LeftOut::new(file, "listed in metadata.json and not there"));
            continue;
        }
        let (label, manipulation) = match (video.modify_video, video.modify_audio) {
            (true, _) => (Label::Fake, DATASET),
            (false, false) => (Label::Real, ORIGINAL),
            (false, true) => {
                finds.left_out.push(LeftOut::new(file, "changed in its sound alone"));
                continue;
            }
        };
        let contradiction = match (label, video.original.as_deref()) {
            (Label::Fake, Some(original)) if original == video.file => Some(MADE_FROM_ITSELF),
            (Label::Real, Some(original)) if original != video.file => Some(MADE_ORIGINAL),
            _ => None,
        };
        if let Some(reason) = contradiction {
            finds.left_out.push(LeftOut::new(file, reason));
            continue;
        }
        let name = without_extension(&video.file).to_owned();
        let alone = Videos { input: media::Input::Video(file), name };
        let alone = alone.found(DATASET, manipulation, label, Plan::Official(*split));
        let group =
            video.original.as_deref().map_or(alone.group.as_str(), |file| stem(without_extension(file))).to_owned();
        finds.found.push(Found { group, ..alone });
    }
    for (folder, _) in SPLITS {
        for video in Videos::of(&root.join(folder), &mut finds.left_out)? {
            if !known.contains(video.input.path()) {
                finds.left_out.push(LeftOut::new(video.input.path(), "not listed in metadata.json"));
            }
        }
    }
    Ok(())
}
