//! What lies in a folder, with its subfolders and links: names and stamps, without a look into any file.

use std::io;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::file_print;
use crate::media::is_around;

/// Endings of names, in lower case, that programs give to what they have not yet written to its end: browsers, FTP and other
/// clients, download managers.
const TEMPORARY: [&str; 16] = [
    ".!qb",
    ".!ut",
    ".aria2",
    ".bc!",
    ".crdownload",
    ".download",
    ".filepart",
    ".opdownload",
    ".part",
    ".partial",
    ".temp",
    ".tmp",
    ".upload",
    ".uploading",
    ".ytdl",
    "~",
];

/// What is seen of a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    /// Its size.
    pub(super) bytes: u64,
    /// When it was last written to, in milliseconds since 1970.
    pub(super) modified_ms: u64,
}

impl Stamp {
    /// That of the file at `path` now; none where there is no file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some(Self { bytes: metadata.len(), modified_ms: file_print::modified_ms(&metadata) })
    }
}

/// A folder's contents. Paths are within it.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Files that may be inputs, in natural order.
    pub(super) files: Vec<(PathBuf, Stamp)>,
    /// Files whose names say that they are not whole, or hidden: by them what is renamed is known.
    pub(super) aside: Vec<(PathBuf, Stamp)>,
    /// Subfolders that could not be listed, in a sentence each.
    pub(super) troubles: Vec<String>,
}

/// Lists `root`, without what lies at or in one of `passed_over`.
///
/// # Errors
/// The folder itself cannot be listed.
pub(super) fn list(root: &Path, passed_over: &[&Path]) -> io::Result<Listing> {
    // Where it is a file, walking it would give that file.
    std::fs::read_dir(root)?;
    let passed_over: Vec<PathBuf> = passed_over.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let is_passed_over = |entry: &DirEntry| {
        let has_name = |path: &PathBuf| path.file_name() == Some(entry.file_name());
        passed_over.iter().any(|path| has_name(path) && entry.path().canonicalize().is_ok_and(|whole| whole == *path))
    };
    let mut listing = Listing::default();
    let mut walk = WalkDir::new(root)
        .follow_links(true)
        .min_depth(1)
        .sort_by(|a, b| {
            natord::compare(&a.file_name().to_string_lossy(), &b.file_name().to_string_lossy())
                .then_with(|| a.file_name().cmp(b.file_name()))
        })
        .into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                listing.troubles.extend(trouble(&error));
                continue;
            }
        };
        let is_folder = entry.file_type().is_dir();
        let is_aside = is_unfinished(&entry.file_name().to_string_lossy());
        if (is_folder && (is_aside || entry.path_is_symlink() && is_around(entry.path()))) || is_passed_over(&entry) {
            if is_folder {
                walk.skip_current_dir();
            }
            continue;
        }
        if let (Some(stamp), Ok(within)) = (Stamp::of(entry.path()), entry.path().strip_prefix(root)) {
            let files = if is_aside { &mut listing.aside } else { &mut listing.files };
            files.push((within.to_owned(), stamp));
        }
    }
    Ok(listing)
}

/// Whether a name is hidden or that of something which is still being written.
fn is_unfinished(name: &str) -> bool {
    let lower = name.to_lowercase();
    name.starts_with('.') || name.starts_with("~$") || TEMPORARY.iter().any(|ending| lower.ends_with(ending))
}

/// What could not be entered: loops and links that lead nowhere lose nothing, nor does what was deleted meanwhile.
fn trouble(error: &walkdir::Error) -> Option<String> {
    let reason = error.io_error().filter(|reason| reason.kind() != io::ErrorKind::NotFound)?;
    let path = error.path()?.display();
    Some(format!("{path} cannot be read ({reason}); check its permissions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_what_is_being_written_are_known() {
        let unfinished = [".clip.mp4.Xy12", "clip.mp4.part", "clip.MP4.CrDownload", "~$clip.mp4", "clip.mp4~", "a.!qB"];
        assert!(unfinished.iter().all(|name| is_unfinished(name)));
        assert!(["clip.mp4", "part.mp4", "tmp", "a.part.mkv"].iter().all(|name| !is_unfinished(name)));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_but_not_around_and_not_into_nothing() {
        use std::os::unix::fs::symlink;
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::create_dir(at("clip.mp4.download")).unwrap();
        for file in [at("sub/b.mp4"), at("clip.mp4.download/c.mp4"), at("out.jsonl"), elsewhere.path().join("d.mp4")] {
            std::fs::write(file, "video").unwrap();
        }
        symlink(folder.path(), at("sub/loop")).unwrap();
        symlink("nowhere", at("gone.mp4")).unwrap();
        symlink(elsewhere.path(), at("linked")).unwrap();
        symlink(at("sub/b.mp4"), at("a.mp4")).unwrap();
        let listing = list(folder.path(), &[&at("out.jsonl")]).unwrap();
        let names: Vec<&str> = listing.files.iter().filter_map(|(path, _)| path.to_str()).collect();
        assert_eq!(names, ["a.mp4", "linked/d.mp4", "sub/b.mp4"]);
        assert!(listing.aside.is_empty() && listing.troubles.is_empty(), "{listing:?}");
        assert!(list(&at("sub/b.mp4"), &[]).is_err());
    }
}
