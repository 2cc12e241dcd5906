//! Data to train on and to evaluate with: videos and photographs as the aligned crops of their faces.
//!
//! [`load`] reads whatever a user names into a [`Dataset`]. [`manifest`] is the form that `unmask preprocess` writes.

pub(crate) mod manifest;

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use unmask_core::face::Landmarks;

/// What a video is. In tensors `Real` is class 0 and `Fake` class 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Label {
    /// As the camera saw it.
    Real,
    /// The face was manipulated.
    Fake,
}

/// What a video is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum Split {
    /// To learn from.
    #[serde(rename = "train")]
    Train,
    /// To choose by: when to stop, which threshold.
    #[serde(rename = "val")]
    Validation,
    /// To report on, and for nothing else.
    #[serde(rename = "test")]
    Test,
}

/// One aligned face on disk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FaceCrop {
    /// The image.
    pub(crate) path: PathBuf,
    /// When the face was seen, in seconds from the start of the video; none for photographs.
    pub(crate) time_s: Option<f64>,
    /// The five points in pixels of the crop; none where only the geometry's template is known.
    pub(crate) landmarks: Option<Landmarks>,
}

/// One video, or one photograph, with the crops of its face in order of time.
///
/// Its identity is (dataset, manipulation, name).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Video {
    /// The data set it belongs to, such as `FaceForensics++`.
    pub(crate) dataset: String,
    /// How it was manipulated, such as `Deepfakes`; [`ORIGINAL`] for real ones.
    pub(crate) manipulation: String,
    /// Its name, unique within data set and manipulation.
    pub(crate) name: String,
    /// Real or fake.
    pub(crate) label: Label,
    /// What it is used for.
    pub(crate) split: Split,
    /// Who is in it, where the data set says; of a swapped face, whose head it sits on.
    pub(crate) person: Option<String>,
    /// At least one.
    pub(crate) crops: Vec<FaceCrop>,
}

/// A video of which no crop could be made. Every figure has the number of these beside it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dropped {
    /// The file or folder it came from.
    pub(crate) source: String,
    /// Real or fake.
    pub(crate) label: Label,
    /// Why, in a sentence.
    pub(crate) reason: String,
}

/// What [`load`] found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dataset {
    /// A name for people.
    pub(crate) name: String,
    /// The videos in a fixed order: by data set, manipulation and name.
    pub(crate) videos: Vec<Video>,
    /// The videos without a crop, in order of their sources.
    pub(crate) dropped: Vec<Dropped>,
}

/// The manipulation of what was not manipulated.
pub(crate) const ORIGINAL: &str = "original";

/// Reads the data at `path`, one split of it or all.
///
/// # Errors
/// One sentence that names the file: nothing there that can be read as data, or a file of it that is damaged.
pub(crate) fn load(path: &Path, split: Option<Split>) -> Result<Dataset> {
    manifest::load(path, split)
}

/// A name for the data at `path`: that of the one data set in it, else of the folder or file.
fn name_of(path: &Path, videos: &[Video]) -> String {
    let of_path = || path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match videos.first() {
        Some(first) if videos.iter().all(|video| video.dataset == first.dataset) => first.dataset.clone(),
        _ => of_path(),
    }
}
