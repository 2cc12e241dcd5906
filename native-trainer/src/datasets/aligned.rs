//! Folders of images that are aligned crops already, whoever made them.

use std::path::Path;

use anyhow::{Result, bail};

use super::crops::{Crops, Cut};
use super::source::Listing;
use super::{Dataset, FaceCrop, LoadOptions, Split, Video, folders};
use crate::media::Input;

/// Reads `ROOT/{real,fake}/…`, also below folders of splits; with a label given, all that is in `path`.
pub(super) fn load(path: &Path, split: Option<Split>, options: &LoadOptions) -> Result<Dataset> {
    let name = folders::dataset_name(path);
    let Listing { sources, left_out } = match options.label {
        Some(label) => folders::all_of(path, &name, label)?,
        None => folders::labelled(path, &name)?,
    };
    let mut videos = Vec::new();
    for source in sources.into_iter().filter(|source| split.is_none_or(|split| source.split == split)) {
        let files = match source.input {
            Input::Image(file) => vec![file],
            Input::Frames { files, .. } => files,
            Input::Video(file) => {
                bail!("{} is a video, not a crop; make crops of it with `unmask preprocess`", file.display())
            }
        };
        // A folder's frames say nothing of the rate at which they were taken.
        let crop = |path| FaceCrop { path, time_s: None, landmarks: None, eye_distance: None };
        videos.push(Video {
            dataset: source.dataset,
            manipulation: source.manipulation,
            name: source.name,
            label: source.label,
            split: source.split,
            person: source.person,
            group: source.group,
            crops: files.into_iter().map(crop).collect(),
        });
    }
    let crops = vec![Crops { place: path.to_owned(), cut: Cut::Vouched }];
    let unusable =
        left_out.iter().map(|left_out| format!("{} is {}", left_out.path.display(), left_out.reason)).collect();
    Ok(Dataset { name, videos, dropped: Vec::new(), crops, unusable })
}
