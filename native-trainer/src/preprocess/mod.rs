//! From videos and photographs to aligned crops and a manifest, on all cores: what `unmask preprocess` does.
//!
//! [`person`] follows the one person whose faces are kept, [`picture`] makes files of the crops, `store` is the folder
//! that can be returned to, `border` continues pictures that end at the face, `missing` tells what is to be done and `standing` what of the folder is still true. What there is to do comes from [`crate::datasets::sources`].

mod border;
mod missing;
pub mod person;
pub mod picture;
mod standing;
mod store;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use unmask_core::face::Face;
use unmask_core::face::alignment::CropSpec;
use unmask_core::face::finder::{FaceFinder, FindOptions};

use crate::ahead::on_all_cores;
use crate::datasets::manifest::{
    CropEntry, Drop, DropKind, Entry, Header, Identity, Known, MANIFEST_VERSION, Manifest,
};
use crate::datasets::source::Source;
use crate::media::{self, Damage, Input, MediaError, OpenOptions};
use crate::progress::Progress;
use crate::scoring;
pub use missing::Holds;
use missing::{Missing, Root, Task};
use person::{CroppedFace, Followed, Whose};
use picture::PictureFormat;
use store::Store;

/// Videos that are decoded while the cores are busy with others.
const AHEAD: usize = 1;
/// Frames of one video that are looked at side by side, so that the last few videos still keep the cores busy. Each waits
/// in memory.
const FRAMES_AT_ONCE: usize = 4;

/// What the user chose.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How faces are cropped.
    pub crop: CropSpec,
    /// Frames of a video that are looked at.
    pub frames: usize,
    /// Whose faces.
    pub whose: Whose,
    /// The format of the crops.
    pub format: PictureFormat,
    /// JPEG's quality.
    pub quality: u8,
    /// What to do with damaged videos.
    pub damage: Damage,
    /// Whether to try again what an earlier run dropped.
    pub retry: bool,
}

impl Settings {
    fn header(&self) -> Header {
        Header {
            unmask_manifest: MANIFEST_VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            crop: self.crop,
            frames: self.frames,
            faces: self.whose.as_str().to_owned(),
            format: self.format.as_str().to_owned(),
            quality: (self.format == PictureFormat::Jpeg).then_some(self.quality),
        }
    }
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Tally {
    /// Videos with crops.
    pub done: usize,
    /// Videos that an earlier run had seen to.
    pub before: usize,
    /// Videos without a face.
    pub without_face: usize,
    /// Videos that could not be read.
    pub unreadable: usize,
    /// Files that were replaced since an earlier run, and were seen to again.
    pub replaced: Vec<String>,
    /// Files of which the manifest said another label, split or person, and says what the input says now.
    pub retold: Vec<String>,
    /// Files that the input no longer has, or has under another label: their lines count no more.
    pub withdrawn: Vec<String>,
    /// Files that are gone, and whose crops still count.
    pub gone: Vec<String>,
    /// Why videos could not be read in an earlier run, and were not tried again.
    pub still_unreadable: Vec<String>,
}

/// Videos that a list leaves out.
pub struct Excluded {
    /// The list.
    pub list: PathBuf,
    /// What it names.
    pub videos: HashSet<Identity>,
}

impl Excluded {
    /// Refuses an output that has crops of what is excluded, since these would be trained on all the same.
    fn refuse_known(&self, done: &Manifest<Known>, folder: &Path) -> Result<()> {
        let has_crops = |identity: &&Identity| done.lines.get(*identity).is_some_and(|known| known.dropped.is_none());
        // The first by name, so that the sentence is always the same.
        match self.videos.iter().filter(has_crops).min() {
            None => Ok(()),
            Some((dataset, manipulation, name)) => bail!(
                "{} holds crops of {dataset}/{manipulation}/{name} from an earlier run, which {} leaves out; choose \
                 another --output",
                folder.display(),
                self.list.display()
            ),
        }
    }
}

/// Preprocesses what is not done yet of `sources`, found in `root`, into `folder`, and has its manifest say what they say now. `suffix` tells this shard's files from
/// others'.
///
/// # Errors
/// What concerns all videos: the folder cannot be written to or holds something else, such as crops of what is `excluded`,
/// or ffmpeg is missing. A video that cannot be read is said, recorded and counted, and stops nothing.
pub fn run(
    root: &Path,
    sources: Vec<Source>,
    excluded: Option<&Excluded>,
    folder: &Path,
    suffix: &str,
    settings: &Settings,
    holds: Holds,
) -> Result<Tally> {
    let (store, done) = Store::open(folder, suffix, &settings.header())?;
    if let Some(excluded) = excluded {
        excluded.refuse_known(&done, folder)?;
    }
    // Sources of a table are named from its folder on.
    let place = if root.is_file() { root.parent().unwrap_or(root) } else { root };
    let root = standing::root_print(root);
    let found_in = Root { print: &root, place };
    let mut missing = Missing::of(sources, &done, found_in, settings.retry, holds)?;
    missing.correct(folder, &root, &store)?;
    let Missing { tasks: missing, tally, .. } = missing;
    let tally = Mutex::new(tally);
    let finder = scoring::face_finder()?;
    let progress = Progress::new(missing.len(), "done");
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || -> Result<()> {
        while let Some(source) = missing.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let entry = preprocess(source, &root, &finder, &store, settings)
                .inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            store.record(&entry).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            if let Some(Drop { kind: DropKind::Unreadable, reason }) = &entry.dropped {
                progress.say(&format!("error: {reason}"));
            }
            tally.lock().unwrap_or_else(PoisonError::into_inner).count(&entry);
            progress.step();
        }
        Ok(())
    };
    // Threads of their own wait for decoders; what is computed runs on rayon's, one a core.
    let threads = (rayon::current_num_threads() + AHEAD).min(missing.len());
    let worked: Result<()> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ended = |thread: std::thread::ScopedJoinHandle<Result<()>>| match thread.join() {
            Ok(result) => result,
            Err(_) => bail!("a thread ended unexpectedly; start again to go on where it stopped"),
        };
        threads.into_iter().map(ended).collect::<Vec<_>>().into_iter().collect()
    });
    progress.finish();
    worked?;
    store.close()?;
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

impl Tally {
    fn count(&mut self, entry: &Entry) {
        match entry.dropped.as_ref().map(|dropped| dropped.kind) {
            None => self.done += 1,
            Some(DropKind::NoFace) => self.without_face += 1,
            Some(DropKind::Unreadable) => self.unreadable += 1,
            Some(DropKind::Withdrawn) => {}
        }
    }
}

/// Sees to one video: its crops are written, its line is given.
fn preprocess(task: &Task, root: &str, finder: &FaceFinder, store: &Store, settings: &Settings) -> Result<Entry> {
    let Task { source, revision } = task;
    let mut entry = Entry {
        dataset: source.dataset.clone(),
        manipulation: source.manipulation.clone(),
        name: source.name.clone(),
        label: source.label,
        split: source.split,
        person: source.person.clone(),
        group: Some(source.group.clone()),
        source: source.path.clone(),
        source_bytes: source.size(),
        source_print: standing::print(source, root),
        revision: *revision,
        frames: 0,
        frames_without_face: 0,
        crops: Vec::new(),
        dropped: None,
    };
    let people = match look(source, finder, settings) {
        Ok(people) => people,
        Err(error @ MediaError::FfmpegMissing { .. }) => return Err(error.into()),
        Err(error) => {
            entry.dropped = Some(Drop { kind: DropKind::Unreadable, reason: error.to_string() });
            return Ok(entry);
        }
    };
    let Looked { people, border } = people;
    entry.frames = people.frames();
    let faces = people.chosen();
    entry.frames_without_face = entry.frames - faces.len();
    if faces.is_empty() {
        let frames = if entry.frames == 1 { "it".to_owned() } else { format!("any of {} frames", entry.frames) };
        let reason = format!("{}: no face was found in {frames}", source.path);
        entry.dropped = Some(Drop { kind: DropKind::NoFace, reason });
        return Ok(entry);
    }
    entry.crops =
        on_all_cores(|| faces.iter().map(|face| keep(task, face, border, store, settings)).collect::<Result<_>>())?;
    Ok(entry)
}

/// What was seen of a video.
struct Looked {
    people: Followed,
    /// Pixels that were put around each frame.
    border: usize,
}

/// Finds the faces of the sampled frames and follows them.
fn look(source: &Source, finder: &FaceFinder, settings: &Settings) -> Result<Looked, MediaError> {
    let opened = media::open(&source.input, &OpenOptions { frames: settings.frames, damage: settings.damage })?;
    let mut people = Followed::new(settings.whose, settings.crop);
    let options = FindOptions::default();
    let mut frames = opened.frames;
    let mut border = 0;
    loop {
        let mut group = frames.by_ref().take(FRAMES_AT_ONCE).collect::<Result<Vec<_>, _>>()?;
        if group.is_empty() {
            break;
        }
        if source.ends_at_face {
            for frame in &mut group {
                border = border::width(&frame.image);
                frame.image = border::mirrored(&frame.image, border);
            }
        }
        on_all_cores(|| {
            let faces: Vec<Vec<Face>> = group.par_iter().map(|frame| finder.find(&frame.image, &options)).collect();
            group.iter().zip(&faces).for_each(|(frame, faces)| people.push(frame.time_s, &frame.image, faces));
        });
    }
    Ok(Looked { people, border })
}

/// Writes a crop and describes it. Those of a file that took another's place do not overwrite that one's, which count until
/// all are there.
fn keep(task: &Task, face: &CroppedFace, border: usize, store: &Store, settings: &Settings) -> Result<CropEntry> {
    let Task { source, revision } = task;
    let Source { dataset, manipulation, name, .. } = source;
    let name = if *revision == 0 { name.clone() } else { format!("{name}~{revision}") };
    let extension = settings.format.as_str();
    let is_still = matches!(source.input, Input::Image(_));
    let path = match is_still {
        true => format!("crops/{dataset}/{manipulation}/{name}.{extension}"),
        false => format!("crops/{dataset}/{manipulation}/{name}/{:03}.{extension}", face.frame),
    };
    let bytes = settings.format.encode(&face.image, settings.quality);
    store.write(&path, &bytes.with_context(|| format!("{path} cannot be written as an image"))?)?;
    let bounds = &face.face.bounds;
    let in_source = |coordinate: f32| to_hundredths(coordinate - border as f32);
    Ok(CropEntry {
        path,
        time_s: (!is_still).then_some(face.time_s),
        bounds: [in_source(bounds.x), in_source(bounds.y), to_hundredths(bounds.width), to_hundredths(bounds.height)],
        confidence: (face.face.confidence * 1e4).round() / 1e4,
        source_landmarks: face.face.landmarks.map(|point| point.map(in_source)),
        landmarks: face.landmarks.map(|point| point.map(to_hundredths)),
    })
}

/// Hundredths of a pixel are finer than any landmark is known.
fn to_hundredths(coordinate: f32) -> f32 {
    (coordinate * 100.0).round() / 100.0
}
