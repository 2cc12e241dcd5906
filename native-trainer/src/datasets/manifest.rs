//! The manifest of a folder of crops: what `unmask preprocess` writes, line by line, and what is read to train on it.
//!
//! A folder holds one or more files `manifest*.jsonl`, which together are its manifest: one for each shard that worked on
//! it. A file's first line is a [`Header`]; every other line is the [`Entry`] of one video. A line is there whole or
//! does not count: what a killed run left behind after the last line break is passed over. Two lines may tell of the
//! same video; the one with crops counts, else the first.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use unmask_core::face::Landmarks;
use unmask_core::face::alignment::CropSpec;

use super::{Dataset, Dropped, FaceCrop, Label, Split, Video};

/// The version of the manifest that this program writes, and the only one it reads.
pub(crate) const MANIFEST_VERSION: u32 = 1;

/// The first line: what all crops of the folder have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// [`MANIFEST_VERSION`].
    pub(crate) unmask_manifest: u32,
    /// The program's version.
    pub(crate) program: String,
    /// How faces were cropped.
    pub(crate) crop: CropSpec,
    /// Frames looked at in a video.
    pub(crate) frames: usize,
    /// Whose faces were taken, as on the command line.
    pub(crate) faces: String,
    /// The image format, as on the command line.
    pub(crate) format: String,
    /// JPEG's quality; absent where nothing is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quality: Option<u8>,
}

impl Header {
    /// Whether crops under both headers can stand side by side; the program's version may differ.
    pub(crate) fn is_alike(&self, other: &Self) -> bool {
        Self { program: other.program.clone(), ..self.clone() } == *other
    }

    /// The settings, for people.
    pub(crate) fn settings(&self) -> String {
        let CropSpec { geometry, size, margin } = self.crop;
        let geometry = format!("{geometry:?}").to_lowercase();
        let quality = self.quality.map_or(String::new(), |quality| format!(" at quality {quality}"));
        let Self { frames, faces, format, .. } = self;
        format!(
            "geometry {geometry}, crop size {size}, margin {margin}, {frames} frames, faces {faces}, {format}{quality}"
        )
    }
}

/// One line: a video or photograph, with its crops or why there are none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The data set.
    pub(crate) dataset: String,
    /// The manipulation; `original` for real ones.
    pub(crate) manipulation: String,
    /// The name within data set and manipulation.
    pub(crate) name: String,
    /// Real or fake.
    pub(crate) label: Label,
    /// Its use.
    pub(crate) split: Split,
    /// Who is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) person: Option<String>,
    /// The file or folder it came from, relative to the folder that was preprocessed, with `/` between folders.
    pub(crate) source: String,
    /// The size of that file; absent for folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source_bytes: Option<u64>,
    /// Frames that were looked at.
    pub(crate) frames: usize,
    /// Frames among these in which the person was not found.
    pub(crate) frames_without_face: usize,
    /// The crops in order of time; none if `dropped`.
    pub(crate) crops: Vec<CropEntry>,
    /// Why there are no crops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dropped: Option<Drop>,
}

/// One crop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CropEntry {
    /// The image, relative to the manifest's folder, with `/` between folders.
    pub(crate) path: String,
    /// Seconds from the start of the video; absent for photographs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) time_s: Option<f64>,
    /// Left, top, width and height of the face in pixels of the source's frame.
    #[serde(rename = "box")]
    pub(crate) bounds: [f32; 4],
    /// The finder's belief that it is a face.
    pub(crate) confidence: f32,
    /// The five points in pixels of the source's frame.
    pub(crate) source_landmarks: Landmarks,
    /// The five points in pixels of the crop.
    pub(crate) landmarks: Landmarks,
}

/// Why a video has no crops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Drop {
    /// Which kind of trouble.
    pub(crate) kind: DropKind,
    /// A sentence for people.
    pub(crate) reason: String,
}

/// The kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DropKind {
    /// It was looked at, and there is no face in it.
    NoFace,
    /// It could not be read.
    Unreadable,
}

/// What tells one video from another.
pub(crate) type Identity = (String, String, String);

impl Entry {
    /// The video's identity: data set, manipulation and name.
    pub(crate) fn identity(&self) -> Identity {
        (self.dataset.clone(), self.manipulation.clone(), self.name.clone())
    }
}

/// A manifest that was read.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    /// The header of each file, with the file.
    pub(crate) headers: Vec<(PathBuf, Header)>,
    /// One entry for each video.
    pub(crate) entries: BTreeMap<Identity, Entry>,
}

/// The manifest's files in `folder`, in order of their names; none if it is no folder of crops.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("{} cannot be listed; check its permissions", folder.display());
    let mut found = Vec::new();
    for item in fs::read_dir(folder).with_context(context)? {
        let path = item.with_context(context)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("manifest") && name.ends_with(".jsonl") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

impl Manifest {
    /// Reads one more file.
    ///
    /// # Errors
    /// The file cannot be read, is of another version, or has a line that is no entry: its number is named.
    pub(crate) fn read(&mut self, path: &Path) -> Result<()> {
        let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read as text", path.display()))?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut lines = whole.lines().enumerate();
        let Some((_, first)) = lines.next() else { return Ok(()) };
        let foreign = || format!("{} is no manifest of this program; make it with `unmask preprocess`", path.display());
        let header: Header = serde_json::from_str(first).with_context(foreign)?;
        if header.unmask_manifest != MANIFEST_VERSION {
            let version = header.unmask_manifest;
            bail!("{} is of version {version}, not {MANIFEST_VERSION}; use the program that made it", path.display());
        }
        self.headers.push((path.to_owned(), header));
        for (index, line) in lines {
            let damaged =
                || format!("{}: line {} is damaged; remove it and preprocess again", path.display(), index + 1);
            let entry: Entry = serde_json::from_str(line).with_context(damaged)?;
            self.add(entry);
        }
        Ok(())
    }

    /// Adds an entry; of two for one video the one with crops stays, else the first.
    pub(crate) fn add(&mut self, entry: Entry) {
        match self.entries.entry(entry.identity()) {
            btree_map::Entry::Vacant(place) => {
                place.insert(entry);
            }
            btree_map::Entry::Occupied(mut place) => {
                if place.get().dropped.is_some() && entry.dropped.is_none() {
                    place.insert(entry);
                }
            }
        }
    }
}

/// Reads a folder of crops, or one file of its manifest.
pub(super) fn load(path: &Path, split: Option<Split>) -> Result<Dataset> {
    let (folder, files) = match path.is_dir() {
        true => (path, files(path)?),
        false => (path.parent().unwrap_or(Path::new("")), vec![path.to_owned()]),
    };
    if files.is_empty() {
        bail!(
            "{} holds no manifest; make one with `unmask preprocess`, or give --aligned if its images are aligned crops",
            path.display()
        );
    }
    let mut manifest = Manifest::default();
    for file in &files {
        manifest.read(file)?;
    }
    let (mut videos, mut dropped) = (Vec::new(), Vec::new());
    for entry in manifest.entries.into_values().filter(|entry| split.is_none_or(|split| entry.split == split)) {
        match entry.dropped {
            Some(Drop { reason, .. }) => dropped.push(Dropped { source: entry.source, label: entry.label, reason }),
            None => videos.push(video(folder, entry)?),
        }
    }
    dropped.sort_by(|one, other| one.source.cmp(&other.source));
    Ok(Dataset { name: super::name_of(path, &videos), videos, dropped })
}

fn video(folder: &Path, entry: Entry) -> Result<Video> {
    let Entry { dataset, manipulation, name, label, split, person, crops, .. } = entry;
    if crops.is_empty() {
        bail!("{}: the manifest has no crops for {name} and no reason why; preprocess again", folder.display());
    }
    let crop = |crop: CropEntry| {
        let path = Path::new(&crop.path);
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            bail!("{}: the manifest leads out of the folder ({}); preprocess again", folder.display(), crop.path);
        }
        Ok(FaceCrop { path: folder.join(path), time_s: crop.time_s, landmarks: Some(crop.landmarks) })
    };
    let crops = crops.into_iter().map(crop).collect::<Result<_>>()?;
    Ok(Video { dataset, manipulation, name, label, split, person, crops })
}
