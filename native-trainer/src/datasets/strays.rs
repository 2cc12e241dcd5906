//! What lies in a data set's folder and belongs to no video of it: every file that is neither taken nor left out by name
//! already, a folder of which nothing is taken once, with how many files it holds.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::source::{self, Finds, LeftOut, Outputs};
use crate::media::Input;

/// Adds to what was left out the rest below `root`, where `reason` says of a file why it is none of the data set's. A
/// folder is left out for the reason of its first file.
pub(super) fn leave_out(root: &Path, finds: &mut Finds, reason: impl Fn(&Path) -> String) {
    let seen = Seen::new(root, finds);
    let mut outputs = Outputs::default();
    let mut strays: Vec<LeftOut> = Vec::new();
    let mut unreadable: Vec<LeftOut> = Vec::new();
    // The folder of which nothing is taken that the walk is in.
    let mut whole: Option<PathBuf> = None;
    let mut walk = WalkDir::new(root).min_depth(1).follow_links(true).sort_by_file_name().into_iter();
    while let Some(entry) = walk.next() {
        let path = match &entry {
            Ok(entry) => entry.path(),
            Err(error) => error.path().unwrap_or(root),
        };
        let is_folder = entry.as_ref().is_ok_and(|entry| entry.file_type().is_dir());
        if entry.is_err() && seen.tells_unreadable(path) {
            continue;
        }
        if let Some(error) = entry.as_ref().err().and_then(refusal) {
            let reason = format!("not readable ({error}; check its permissions)");
            unreadable.push(LeftOut { is_unreadable: true, ..LeftOut::new(path, reason) });
            continue;
        }
        if seen.tells(path) {
            if is_folder && !seen.goes_into(path) {
                walk.skip_current_dir();
            }
            continue;
        }
        whole = whole.filter(|folder| path.starts_with(folder));
        if is_folder {
            if whole.is_none() && !seen.goes_into(path) {
                whole = Some(path.to_owned());
            }
            continue;
        }
        if source::is_description(path) {
            continue;
        }
        let is_made_here = outputs.hold(root, path);
        let reason = || match (is_made_here, &entry) {
            (true, _) => source::MADE_HERE.to_owned(),
            (false, Ok(_)) => reason(path),
            (false, Err(_)) => format!("a link that leads nowhere or to a folder around it, and {}", reason(path)),
        };
        match (&whole, strays.last_mut()) {
            (Some(folder), Some(last)) if last.path == *folder => last.files += 1,
            (whole, _) => strays.push(LeftOut::new(whole.as_deref().unwrap_or(path), reason())),
        }
    }
    finds.left_out.extend(strays);
    finds.left_out.extend(unreadable);
}

/// Why the system refuses to go into something that may hold what is wanted; none for a link around in a circle, which
/// loses nothing, and for one that leads nowhere.
fn refusal(error: &walkdir::Error) -> Option<&io::Error> {
    error.io_error().filter(|error| error.kind() != io::ErrorKind::NotFound)
}

/// Which paths are taken or told, and which folders hold such.
struct Seen {
    told: HashSet<PathBuf>,
    folders: HashSet<PathBuf>,
    partly_read: Vec<PathBuf>,
}

impl Seen {
    fn new(root: &Path, finds: &Finds) -> Self {
        let mut told: HashSet<PathBuf> = HashSet::new();
        for found in &finds.found {
            match &found.input {
                Input::Frames { files, .. } => told.extend(files.iter().cloned()),
                Input::Video(path) | Input::Image(path) => {
                    told.insert(path.clone());
                }
            }
        }
        // A folder that could not be read everywhere holds what was; what could not is told with it.
        let unreadable = finds.left_out.iter().filter(|left_out| left_out.is_unreadable);
        let partly_read = unreadable.map(|one| one.path.clone()).collect();
        told.extend(finds.left_out.iter().filter(|left_out| !left_out.is_unreadable).map(|one| one.path.clone()));
        let above = |path: &'_ PathBuf| -> Vec<PathBuf> {
            path.ancestors().skip(1).take_while(|folder| *folder != root).map(Path::to_owned).collect()
        };
        let folders = told.iter().flat_map(above).collect();
        Self { told, folders, partly_read }
    }

    fn tells(&self, path: &Path) -> bool {
        self.told.contains(path)
    }

    /// Whether a path that cannot be read lies where that is told.
    fn tells_unreadable(&self, path: &Path) -> bool {
        self.partly_read.iter().any(|folder| path.starts_with(folder))
    }

    fn goes_into(&self, folder: &Path) -> bool {
        self.folders.contains(folder)
    }
}
