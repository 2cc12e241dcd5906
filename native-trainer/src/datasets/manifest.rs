//! The manifest of a folder of crops: what `unmask preprocess` writes, line by line, and what is read to train on it.
//!
//! A folder holds one or more files `manifest*.jsonl`, which together are its manifest: one for each shard that worked on
//! it. A file's first line is a [`Header`]; every other line is the [`Entry`] of one video. A line is there whole or
//! does not count: what a killed run left behind after the last line break is passed over. Two lines may tell of the
//! same video: the one of the later revision counts, where its file was replaced or the input says something else of it; else the one with crops, else the first.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use unmask_core::face::Landmarks;
use unmask_core::face::alignment::CropSpec;
use unmask_core::face::quality::eye_distance;

use super::crops::{self, Words};
use super::source::{Source, stem};
use super::split::{self, Member};
use super::{Dataset, Dropped, FaceCrop, Label, Split, Video};
use crate::files;

/// The version of the manifest that this program writes, and the only one it reads.
pub const MANIFEST_VERSION: u32 = 1;

/// The first line: what all crops of the folder have in common.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`MANIFEST_VERSION`].
    pub unmask_manifest: u32,
    /// The program's version.
    pub program: String,
    /// How faces were cropped.
    pub crop: CropSpec,
    /// Frames looked at in a video.
    pub frames: usize,
    /// Whose faces were taken, as on the command line.
    pub faces: String,
    /// The image format, as on the command line.
    pub format: String,
    /// JPEG's quality; absent where nothing is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<u8>,
}

impl Header {
    /// Whether crops under both headers can stand side by side; the program's version may differ.
    pub fn is_alike(&self, other: &Self) -> bool {
        Self { program: other.program.clone(), ..self.clone() } == *other
    }

    /// The settings, for people.
    pub fn settings(&self) -> String {
        let crop = Words(&self.crop);
        let quality = self.quality.map_or(String::new(), |quality| format!(" at quality {quality}"));
        let Self { frames, faces, format, .. } = self;
        format!("{crop}, {frames} frames, faces {faces}, {format}{quality}")
    }
}

/// One line: a video or photograph, with its crops or why there are none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The data set.
    pub dataset: String,
    /// The manipulation; `original` for real ones.
    pub manipulation: String,
    /// The name within data set and manipulation.
    pub name: String,
    /// Real or fake.
    pub label: Label,
    /// Its use.
    pub split: Split,
    /// Who is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// As [`Video::group`]; told by person and name where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The file or folder it came from, relative to the folder that was preprocessed, with `/` between folders.
    pub source: String,
    /// The size of that file; absent for folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_bytes: Option<u64>,
    /// What else tells whether the source is still the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_print: Option<SourcePrint>,
    /// How many lines this one takes the place of: about earlier contents of the source, or with what was said of it before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revision: u32,
    /// Frames that were looked at.
    pub frames: usize,
    /// Frames among these in which the person was not found.
    pub frames_without_face: usize,
    /// The crops in order of time; none if `dropped`.
    pub crops: Vec<CropEntry>,
    /// Why there are no crops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Drop>,
}

/// What tells a source from another file of its name and size, or from itself as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePrint {
    /// The folder that was preprocessed: the first 16 digits of the SHA-256 of its path.
    pub root: String,
    /// When the source was last written to, in milliseconds since 1970.
    pub modified_ms: u64,
    /// The first 16 digits of the SHA-256 of parts of its bytes.
    pub sample: String,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// One crop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CropEntry {
    /// The image, relative to the manifest's folder, with `/` between folders.
    pub path: String,
    /// Seconds from the start of the video; absent for photographs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_s: Option<f64>,
    /// Left, top, width and height of the face in pixels of the source's frame.
    #[serde(rename = "box")]
    pub bounds: [f32; 4],
    /// The finder's belief that it is a face.
    pub confidence: f32,
    /// The five points in pixels of the source's frame.
    pub source_landmarks: Landmarks,
    /// The five points in pixels of the crop.
    pub landmarks: Landmarks,
}

/// Why a video has no crops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drop {
    /// Which kind of trouble.
    pub kind: DropKind,
    /// A sentence for people.
    pub reason: String,
}

/// The kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropKind {
    /// It was looked at, and there is no face in it.
    NoFace,
    /// It could not be read.
    Unreadable,
    /// The input no longer has it, or has it under another label.
    Withdrawn,
}

impl DropKind {
    /// The kind in a sentence.
    fn words(self) -> &'static str {
        match self {
            Self::NoFace => "no face was found",
            Self::Unreadable => "it could not be read",
            Self::Withdrawn => "it was taken off the input",
        }
    }
}

/// What of a line decides whether its video is done: the rest is passed over in reading, which keeps memory small.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Known {
    dataset: String,
    manipulation: String,
    name: String,
    label: Label,
    split: Split,
    #[serde(default)]
    person: Option<String>,
    #[serde(default)]
    group: Option<String>,
    /// As [`Entry::source`].
    pub source: String,
    /// As [`Entry::source_bytes`].
    pub source_bytes: Option<u64>,
    /// As [`Entry::source_print`].
    #[serde(default)]
    pub source_print: Option<SourcePrint>,
    /// As [`Entry::revision`].
    #[serde(default)]
    pub revision: u32,
    /// As [`Entry::dropped`].
    pub dropped: Option<Drop>,
}

impl Known {
    /// Whether the line says of its video what `source` says.
    pub fn says_the_same(&self, source: &Source) -> bool {
        let is_same_group = self.group.as_ref().is_none_or(|group| *group == source.group);
        self.label == source.label && self.split == source.split && self.person == source.person && is_same_group
    }

    /// Whether the line says that its video counts no more.
    pub fn is_withdrawn(&self) -> bool {
        self.dropped.as_ref().is_some_and(|dropped| dropped.kind == DropKind::Withdrawn)
    }
}

/// What tells one video from another: data set, manipulation and name.
pub type Identity = (String, String, String);

/// A line in as much detail as its reader wants.
pub trait Line: DeserializeOwned {
    /// The video's identity.
    fn identity(&self) -> Identity;
    /// Whether there are no crops.
    fn is_dropped(&self) -> bool;
    /// As [`Entry::revision`].
    fn revision(&self) -> u32;
}

impl Line for Entry {
    fn identity(&self) -> Identity {
        (self.dataset.clone(), self.manipulation.clone(), self.name.clone())
    }

    fn is_dropped(&self) -> bool {
        self.dropped.is_some()
    }

    fn revision(&self) -> u32 {
        self.revision
    }
}

impl Line for Known {
    fn identity(&self) -> Identity {
        (self.dataset.clone(), self.manipulation.clone(), self.name.clone())
    }

    fn is_dropped(&self) -> bool {
        self.dropped.is_some()
    }

    fn revision(&self) -> u32 {
        self.revision
    }
}

/// A manifest that was read.
#[derive(Debug)]
pub struct Manifest<L> {
    /// The header of each file, with the file.
    pub headers: Vec<(PathBuf, Header)>,
    /// One line for each video.
    pub lines: BTreeMap<Identity, L>,
}

/// The manifest's files in `folder`, in order of their names; none if it is no folder of crops.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
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

/// Reads files of one manifest.
///
/// # Errors
/// A file cannot be read, is of another version, or has a line that tells of no video: its number is named.
pub fn read<L: Line>(files: &[PathBuf]) -> Result<Manifest<L>> {
    let mut manifest = Manifest { headers: Vec::new(), lines: BTreeMap::new() };
    for file in files {
        manifest.read_file(file)?;
    }
    Ok(manifest)
}

impl<L: Line> Manifest<L> {
    fn read_file(&mut self, path: &Path) -> Result<()> {
        let mut reader = BufReader::new(files::open(path)?);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            reader.read_until(b'\n', &mut line).with_context(|| format!("{} cannot be read", path.display()))?;
            if !line.ends_with(b"\n") {
                break;
            }
            if number == 1 {
                self.headers.push((path.to_owned(), header(path, &line)?));
                continue;
            }
            let damaged = || format!("{}: line {number} is damaged; remove it and preprocess again", path.display());
            self.add(serde_json::from_slice(&line).with_context(damaged)?);
        }
        Ok(())
    }

    /// Adds a line. Of two for one video the one about the later contents stays; of two about the same contents the one
    /// with crops, else the first.
    fn add(&mut self, line: L) {
        match self.lines.entry(line.identity()) {
            btree_map::Entry::Vacant(place) => {
                place.insert(line);
            }
            btree_map::Entry::Occupied(mut place) => {
                let known = place.get();
                let is_better = known.is_dropped() && !line.is_dropped();
                if line.revision() > known.revision() || (line.revision() == known.revision() && is_better) {
                    place.insert(line);
                }
            }
        }
    }
}

fn header(path: &Path, line: &[u8]) -> Result<Header> {
    let foreign = || format!("{} is no manifest of this program; make it with `unmask preprocess`", path.display());
    // A manifest that was opened and saved by an editor may begin with a byte order mark.
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let header: Header = serde_json::from_slice(line).with_context(foreign)?;
    if header.unmask_manifest != MANIFEST_VERSION {
        let version = header.unmask_manifest;
        bail!("{} is of version {version}, not {MANIFEST_VERSION}; use the program that made it", path.display());
    }
    Ok(header)
}

/// Reads a folder of crops, or one file of its manifest.
pub(super) fn load(path: &Path, split: Option<Split>) -> Result<Dataset> {
    let (folder, files) = match path.is_dir() {
        true => (path, list(path)?),
        false => (path.parent().unwrap_or(Path::new("")), vec![path.to_owned()]),
    };
    if files.is_empty() {
        bail!(
            "{} holds no manifest; make one with `unmask preprocess`, or give --aligned if its images are aligned crops",
            path.display()
        );
    }
    let manifest = read::<Entry>(&files)?;
    let (mut videos, mut dropped) = (Vec::new(), Vec::new());
    let groups = groups(&manifest.lines);
    for (entry, group) in manifest.lines.into_values().zip(groups) {
        if split.is_some_and(|split| entry.split != split) {
            continue;
        }
        match entry.dropped {
            Some(Drop { kind: DropKind::Withdrawn, .. }) => {}
            Some(Drop { reason, kind }) => {
                let Entry { dataset, split, source, label, .. } = entry;
                dropped.push(Dropped { dataset, split, source, label, kind: kind.words(), reason });
            }
            None => videos.push(video(folder, entry, group)?),
        }
    }
    dropped.sort_by(|one, other| one.source.cmp(&other.source));
    let (name, crops) = (super::name_of(path, &videos), crops::stated(manifest.headers, path));
    Ok(Dataset { name, videos, dropped, crops, unusable: Vec::new() })
}

/// The group of each line, in their order: as it says, else told by persons and names within its data set.
fn groups(lines: &BTreeMap<Identity, Entry>) -> Vec<String> {
    let mut groups = Vec::with_capacity(lines.len());
    // Lines are in order of their data sets.
    let lines: Vec<&Entry> = lines.values().collect();
    for of_dataset in lines.chunk_by(|one, other| one.dataset == other.dataset) {
        let members: Vec<Member> = of_dataset.iter().map(|entry| member(entry)).collect();
        let told = split::groups(&members);
        groups.extend(of_dataset.iter().zip(told).map(|(entry, told)| match &entry.group {
            Some(group) => group.clone(),
            None => told.to_owned(),
        }));
    }
    groups
}

fn member(entry: &Entry) -> Member<'_> {
    let stem = stem(&entry.name);
    let group = entry.person.as_deref().unwrap_or(stem);
    Member { label: entry.label, stem, group, has_person: entry.person.is_some() }
}

fn video(folder: &Path, entry: Entry, group: String) -> Result<Video> {
    let Entry { dataset, manipulation, name, label, split, person, crops, .. } = entry;
    if crops.is_empty() {
        bail!("{}: the manifest has no crops for {name} and no reason why; preprocess again", folder.display());
    }
    let crop = |crop: CropEntry| {
        let path = Path::new(&crop.path);
        if !path.components().all(|part| matches!(part, Component::Normal(_))) {
            bail!("{}: the manifest leads out of the folder ({}); preprocess again", folder.display(), crop.path);
        }
        let eye_distance = Some(eye_distance(&crop.source_landmarks)).filter(|distance| *distance > 0.0);
        Ok(FaceCrop { path: folder.join(path), time_s: crop.time_s, landmarks: Some(crop.landmarks), eye_distance })
    };
    let crops = crops.into_iter().map(crop).collect::<Result<_>>()?;
    Ok(Video { dataset, manipulation, name, label, split, person, group, crops })
}
