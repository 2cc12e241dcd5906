//! Data to train on and to evaluate with: videos and photographs as the aligned crops of their faces.
//!
//! [`load`] reads whatever a user names into a [`Dataset`]: [`manifest`] is what `unmask preprocess` writes,
//! `deepfakebench` what that benchmark does (`dlib_points` its landmarks), `aligned` a plain folder of crops.
//! [`sources`] lists what there is to preprocess: `raw` knows the data sets of the field, [`folders`] any other folder, [`list`] a table;
//! [`source`] is what both find, `split` decides what trains and what tests where nobody says. [`crops`] says how crops were
//! cut, and refuses those that a detector would cut otherwise.

mod aligned;
pub mod crops;
mod deepfakebench;
mod dlib_points;
pub mod folders;
pub mod list;
pub mod manifest;
mod raw;
pub mod source;
mod split;
mod strays;
pub mod summary;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use unmask_core::face::Landmarks;
use unmask_core::face::alignment::CropSpec;

use crops::Crops;

use crate::files;

/// What a video is. In tensors `Real` is class 0 and `Fake` class 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// As the camera saw it.
    Real,
    /// The face was manipulated.
    Fake,
}

/// What a video is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Split {
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

impl std::fmt::Display for Split {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Train => "train",
            Self::Validation => "val",
            Self::Test => "test",
        })
    }
}

/// The part of the data that figures are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What is trained on
    Train,
    /// What choices are made on
    Val,
    /// What is measured on
    #[default]
    Test,
    /// All of it
    All,
}

impl Part {
    /// Whether a video of this split belongs to it.
    pub fn takes(self, split: Split) -> bool {
        match self {
            Self::Train => split == Split::Train,
            Self::Val => split == Split::Validation,
            Self::Test => split == Split::Test,
            Self::All => true,
        }
    }
}

/// One aligned face on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct FaceCrop {
    /// The image.
    pub path: PathBuf,
    /// When the face was seen, in seconds from the start of the video; none for photographs.
    pub time_s: Option<f64>,
    /// The five points in pixels of the crop; none where only the geometry's template is known.
    pub landmarks: Option<Landmarks>,
    /// How far the eyes are apart in pixels of the frame that the crop was cut from; none where that is not known.
    pub eye_distance: Option<f32>,
}

/// One video, or one photograph, with the crops of its face in order of time.
///
/// Its identity is (dataset, manipulation, name).
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// The data set it belongs to, such as `FaceForensics++`.
    pub dataset: String,
    /// How it was manipulated, such as `Deepfakes`; [`ORIGINAL`] for real ones.
    pub manipulation: String,
    /// Its name, unique within data set and manipulation.
    pub name: String,
    /// Real or fake.
    pub label: Label,
    /// What it is used for.
    pub split: Split,
    /// Who is in it, where the data set says; of a swapped face, whose head it sits on.
    pub person: Option<String>,
    /// What it shares with others of its data set that it is not independent of: the person, where that is known, else the
    /// video that it and others were made from. Alone it is a group by itself.
    pub group: String,
    /// At least one.
    pub crops: Vec<FaceCrop>,
}

impl Video {
    /// Its identity for people: `data set/manipulation/name`.
    pub fn identity(&self) -> String {
        format!("{}/{}/{}", self.dataset, self.manipulation, self.name)
    }
}

/// A video of which no crop could be made. Every figure has the number of these beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropped {
    /// The data set it belongs to.
    pub dataset: String,
    /// What it would have been used for.
    pub split: Split,
    /// The file or folder it came from.
    pub source: String,
    /// Real or fake.
    pub label: Label,
    /// What kind of trouble it was, in a sentence that names no file, so that equal ones are counted together.
    pub kind: &'static str,
    /// Why, in a sentence.
    pub reason: String,
}

/// What [`load`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// A name for people.
    pub name: String,
    /// The videos in a fixed order: by data set, manipulation and name.
    pub videos: Vec<Video>,
    /// The videos without a crop, in order of their sources.
    pub dropped: Vec<Dropped>,
    /// How the crops were cut.
    pub crops: Vec<Crops>,
    /// Files beside the crops that could not be used, in sentences that name them.
    pub unusable: Vec<String>,
}

impl Dataset {
    /// Checks that all crops are cut as a detector with these settings cuts them.
    ///
    /// # Errors
    /// Those of [`Crops::check`].
    pub fn check_crops(&self, wanted: &CropSpec) -> Result<()> {
        self.crops.iter().try_for_each(|crops| crops.check(wanted))
    }
}

/// The manipulation of what was not manipulated.
pub const ORIGINAL: &str = "original";

/// How videos of FaceForensics++ and DeepFakeDetection were compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Not at all
    Raw,
    /// Lightly
    #[default]
    C23,
    /// Strongly
    C40,
}

impl Compression {
    /// All of them.
    const ALL: [Self; 3] = [Self::Raw, Self::C23, Self::C40];

    /// The name in paths and files.
    fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::C23 => "c23",
            Self::C40 => "c40",
        }
    }
}

/// How data is read, for every command that reads some.
#[derive(Args, Clone, Debug, Default)]
pub struct LoadOptions {
    /// Which compression of FaceForensics++ to take, where a DeepfakeBench JSON lists several
    #[arg(long, value_enum, default_value = "c23")]
    pub compression: Compression,
    /// The folder that the paths in a DeepfakeBench JSON start from [default: looked for around the file]
    #[arg(long = "data-root", value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Take the images of folders as crops that are aligned already
    #[arg(long)]
    pub aligned: bool,
    /// With --aligned: all images are of this label [default: the folders `real` and `fake` say]
    #[arg(long, value_enum, requires = "aligned")]
    pub label: Option<Label>,
}

/// Reads the data at `path`, one split of it or all: a folder that `unmask preprocess` wrote, or one file of its manifest
/// (`.jsonl`); a data set's JSON of DeepfakeBench; a folder of aligned crops, if `options` say so.
///
/// # Errors
/// One sentence that names the file: nothing there that can be read as data, or a file of it that is damaged.
pub fn load(path: &Path, split: Option<Split>, options: &LoadOptions) -> Result<Dataset> {
    let shown = path.display();
    if !path.exists() {
        bail!("{shown}: there is no such file or folder; check the path");
    }
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let dataset = if path.is_file() && is_json {
        deepfakebench::load(path, split, options)?
    } else if path.is_dir() && options.aligned {
        aligned::load(path, split, options)?
    } else {
        manifest::load(path, split)?
    };
    if dataset.videos.is_empty() && dataset.dropped.is_empty() {
        let of_split = split.map_or(String::new(), |split| format!(" of the split {split}"));
        bail!("{shown} holds no video{of_split}; check the path, the split and --compression");
    }
    Ok(dataset)
}

/// Reads all the data that a detector which crops as `wanted` says is trained on or measured with. A video that several of
/// `roots` list is there once, as are the real videos of FaceForensics++, which stand in each of DeepfakeBench's files of it.
///
/// # Errors
/// Those of [`load`] and of [`Dataset::check_crops`]; and a video that two roots tell different things about.
pub fn load_all<'a>(
    roots: impl IntoIterator<Item = &'a PathBuf>,
    options: &LoadOptions,
    wanted: &CropSpec,
) -> Result<Vec<Dataset>> {
    // Where the video of an identity is.
    let mut seen: BTreeMap<manifest::Identity, (usize, usize)> = BTreeMap::new();
    let mut datasets: Vec<Dataset> = Vec::new();
    let mut places: Vec<&Path> = Vec::new();
    for root in roots {
        let mut dataset = load(root, None, options)?;
        dataset.check_crops(wanted)?;
        let mut videos: Vec<Video> = Vec::with_capacity(dataset.videos.len());
        for video in std::mem::take(&mut dataset.videos) {
            let identity = (video.dataset.clone(), video.manipulation.clone(), video.name.clone());
            match seen.get(&identity) {
                None => {
                    seen.insert(identity, (datasets.len(), videos.len()));
                    videos.push(video);
                }
                Some((set, place)) if datasets.get(*set).is_some_and(|set| set.videos[*place] == video) => {}
                Some((set, _)) => bail!(
                    "{} is in {} and, with other crops or for another use, in {}; name it once",
                    video.identity(),
                    places.get(*set).unwrap_or(&root.as_path()).display(),
                    root.display()
                ),
            }
        }
        datasets.push(Dataset { videos, ..dataset });
        places.push(root);
    }
    Ok(datasets)
}

/// SHA-256 over what tells one choice of videos from another: their identities, labels and numbers of crops.
pub fn fingerprint<'a>(videos: impl IntoIterator<Item = &'a Video>) -> String {
    let mut hasher = Sha256::new();
    for Video { label, dataset, manipulation, name, crops, .. } in videos {
        hasher.update(format!("{label:?}\t{dataset}\t{manipulation}\t{name}\t{}\n", crops.len()));
    }
    files::hex(hasher)
}

/// In what the data differs from what scoring the same videos sees.
pub fn remarks(data: &[Dataset], frames: usize) -> Vec<String> {
    let of_crops = data.iter().flat_map(|set| &set.crops).flat_map(|crops| crops.remarks(frames));
    let unusable = data.iter().flat_map(|set| &set.unusable).cloned();
    of_crops.chain(unusable).collect()
}

/// How a folder of videos and photographs is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// The data sets of the field, as handed out and as DeepfakeBench places them
    Dfb,
    /// ROOT/{real,fake}/…, or ROOT/{train,val,test}/{real,fake}/…; with --label, everything in ROOT
    Folders,
    /// Photographs by person: ROOT/PERSON/*.jpg, all real unless --label says otherwise
    Faces,
}

/// What a folder's listing depends on.
#[derive(Clone, Debug)]
pub struct ListOptions {
    /// The order of the folder; told by its contents where not given.
    pub layout: Option<Layout>,
    /// The label of everything.
    pub label: Option<Label>,
    /// The compression of FaceForensics++.
    pub compression: Compression,
    /// The name of the data set, where its layout does not give one; the folder's where not given.
    pub dataset: Option<String>,
}

/// Lists the videos and photographs in the folder `root`, in order of their identities, and what was left out.
///
/// # Errors
/// One sentence that names what is missing, or two files that cannot be told apart.
pub fn sources(root: &Path, options: &ListOptions) -> Result<source::Listing> {
    let shown = root.display();
    if list::is_list(root) && options.layout.is_none() && options.label.is_none() {
        let name = options.dataset.clone().unwrap_or_else(|| folders::dataset_name(&root.with_extension("")));
        return list::list(root, &name).map(|(listing, _)| listing);
    }
    match std::fs::read_dir(root) {
        Err(error) if root.is_dir() || error.kind() == ErrorKind::PermissionDenied => {
            bail!("{shown} cannot be read ({error}); check the permissions of the folder")
        }
        Err(_) => {
            bail!("{shown} is no folder; name the folder that holds the data set, or a .tsv or .csv that lists videos")
        }
        Ok(_) => {}
    }
    let name = options.dataset.clone().unwrap_or_else(|| folders::dataset_name(root));
    let layout = match options.layout {
        Some(layout) => layout,
        None if options.label.is_none() && raw::is_known(root) => Layout::Dfb,
        None if options.label.is_some() || folders::is_labelled(root) => Layout::Folders,
        None => bail!(
            "{shown} is no data set that is known and holds no folder `real` or `fake`; for photographs by person give \
             --layout faces, for data of one label --label real or --label fake"
        ),
    };
    match (layout, options.label) {
        (Layout::Dfb, _) => raw::list(root, options.compression),
        (Layout::Folders, Some(label)) => folders::all_of(root, &name, label),
        (Layout::Folders, None) => folders::labelled(root, &name),
        (Layout::Faces, label) => folders::photographs(root, &name, label.unwrap_or(Label::Real)),
    }
}

/// A name for the data at `path`: that of the one data set in it, else of the folder or file.
fn name_of(path: &Path, videos: &[Video]) -> String {
    let of_path = || path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match videos.first() {
        Some(first) if videos.iter().all(|video| video.dataset == first.dataset) => first.dataset.clone(),
        _ => of_path(),
    }
}
