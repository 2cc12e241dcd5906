//! What a user names on the command line, turned into inputs.

use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::content::{self, Content};
use super::error::MediaError;
use super::probe;
use super::programs::Programs;
use super::series;

/// One thing to score.
///
/// What a file is, its content says, whatever its name: an image if its first bytes are those of a JPEG, PNG, WebP,
/// BMP, GIF or TIFF that does not move; any other file is left to ffprobe as a video. A folder is searched with its
/// subfolders, hidden ones left out, in natural order (`clip2` before `clip10`). Each video and each image in it is
/// an input of its own, and so is every file whose name promises one, so that it fails by name where it is none; what
/// else there is, is listed as left out, with the reason. Only images directly in one folder can be the *frames* of one
/// video:
/// - there are at least two and nothing else in the folder, or at least four of one size, whatever is beside them;
/// - all names are one stem and a number, with the same extension: `000.png`, `frame_0001.jpg`, `shot-7.png`;
///   the numbers need not be consecutive, since data sets keep only some frames;
/// - the numbers have the same number of digits, or no leading zeros;
/// - the stem is not a camera's (`IMG_`, `DSC`, `PXL_`, `DJI_` and the like, in capitals): those are photographs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file that ffmpeg reads.
    Video(PathBuf),
    /// A still image.
    Image(PathBuf),
    /// Frames in a folder, which together are one video.
    Frames {
        /// The folder; where other files are beside them, a path in it made of the first and last of their names.
        folder: PathBuf,
        /// Its frames in order.
        files: Vec<PathBuf>,
    },
}

impl Input {
    /// The path that names the input: the file, or what [`Self::Frames`] are called.
    pub fn path(&self) -> &Path {
        match self {
            Self::Video(path) | Self::Image(path) => path,
            Self::Frames { folder, .. } => folder,
        }
    }
}

/// What a path stands for.
#[derive(Debug, Default)]
pub struct Found {
    /// What can be scored.
    pub inputs: Vec<Input>,
    /// Files of a folder that are no inputs.
    pub left_out: Vec<LeftOut>,
    /// What of a folder could not be looked into.
    pub failures: Vec<MediaError>,
}

/// A file in a folder that is no input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The file, or a whole folder.
    pub path: PathBuf,
    /// Why, in a few words.
    pub reason: &'static str,
}

/// Extensions of files that are meant to be videos, or images that ffmpeg reads: in a folder they are inputs whatever
/// their content.
const VIDEO_EXTENSIONS: [&str; 36] = [
    "3g2", "3gp", "apng", "asf", "avi", "avif", "divx", "dv", "f4v", "flv", "h264", "h265", "heic", "heif", "hevc",
    "ivf", "jxl", "m2ts", "m2v", "m4v", "mjpeg", "mjpg", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf", "nut",
    "ogv", "ts", "vob", "webm", "wmv", "y4m",
];

/// Extensions of files that are meant to be images which this program decodes itself.
const IMAGE_EXTENSIONS: [&str; 10] = ["bmp", "gif", "jfif", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// The inputs that `path` stands for: one for a file, as many as it holds for a folder.
///
/// Errors: a missing path, a link to a page, an unreadable or empty file, a pipe, a folder with nothing to score.
pub fn expand(path: &Path) -> Result<Found, MediaError> {
    let metadata = std::fs::metadata(path).map_err(|error| missing(path, error))?;
    if metadata.is_file() {
        return Ok(Found { inputs: vec![file_input(path)?], ..Found::default() });
    }
    if !metadata.is_dir() {
        return Err(MediaError::Device { path: path.to_owned() });
    }
    let mut found = Found::default();
    for (folder, files) in media_by_folder(path, &mut found) {
        found.inputs.extend(series::gather(folder, files));
    }
    if !found.inputs.is_empty() || !found.failures.is_empty() {
        return Ok(found);
    }
    Err(MediaError::EmptyFolder { path: path.to_owned() })
}

/// The error for a path that leads nowhere; a link to a page never does.
fn missing(path: &Path, error: std::io::Error) -> MediaError {
    let text = path.to_string_lossy();
    let is_scheme = |scheme: &str| scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+');
    match text.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) {
        Some(_) => MediaError::Link { link: text.into_owned() },
        None => MediaError::io(path, error),
    }
}

/// The input for a single file.
fn file_input(path: &Path) -> Result<Input, MediaError> {
    Ok(match content::of(path)? {
        Content::Picture(_) => Input::Image(path.to_owned()),
        _ => Input::Video(path.to_owned()),
    })
}

/// Videos and images under `root`, grouped by the folder they are in, all in natural order. What else is there goes
/// to `found`.
fn media_by_folder(root: &Path, found: &mut Found) -> Vec<(PathBuf, Vec<Input>)> {
    let walk = WalkDir::new(root).follow_links(true).sort_by(|a, b| {
        natord::compare(&a.file_name().to_string_lossy(), &b.file_name().to_string_lossy())
            .then_with(|| a.file_name().cmp(b.file_name()))
    });
    let mut folders: Vec<(PathBuf, Vec<Input>)> = Vec::new();
    let mut walk = walk.into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                not_walked(root, error, found);
                continue;
            }
        };
        if entry.depth() > 0 && is_hidden(&entry) {
            if entry.file_type().is_dir() {
                walk.skip_current_dir();
            }
            found.left_out.push(LeftOut { path: entry.into_path(), reason: "hidden" });
            continue;
        }
        if entry.depth() > 0 && entry.path_is_symlink() && is_around(entry.path()) {
            walk.skip_current_dir();
            found.left_out.push(LeftOut { path: entry.into_path(), reason: LOOP });
            continue;
        }
        let input = match entry.file_type() {
            kind if kind.is_dir() => continue,
            kind if kind.is_file() => media_file(entry.path()),
            _ => Err(Rejected::LeftOut("a pipe or a device")),
        };
        let path = entry.into_path();
        match input {
            Ok(input) => {
                let folder = path.parent().unwrap_or(root);
                match folders.iter_mut().rev().find(|(known, _)| known == folder) {
                    Some((_, files)) => files.push(input),
                    None => folders.push((folder.to_owned(), vec![input])),
                }
            }
            Err(Rejected::LeftOut(reason)) => found.left_out.push(LeftOut { path, reason }),
            Err(Rejected::Failed(error)) => found.failures.push(error),
        }
    }
    folders
}

/// Why a link is not followed that would lead to where it lies, and to all that is beside that.
const LOOP: &str = "a link to a folder around it";

/// Whether a link leads to a folder that it lies in itself, also above where the search began.
pub(crate) fn is_around(link: &Path) -> bool {
    let place = link.parent().and_then(|parent| parent.canonicalize().ok());
    link.canonicalize().ok().zip(place).is_some_and(|(target, place)| target.is_dir() && place.starts_with(target))
}

/// Why a file of a folder is no input.
enum Rejected {
    LeftOut(&'static str),
    Failed(MediaError),
}

/// The input that one file of a folder is, whatever lies beside it; none where it is no input, with the reason.
///
/// # Errors
/// The file cannot be read.
pub fn file_in_folder(path: &Path) -> Result<Result<Input, &'static str>, MediaError> {
    match media_file(path) {
        Ok(input) => Ok(Ok(input)),
        Err(Rejected::LeftOut(reason)) => Ok(Err(reason)),
        Err(Rejected::Failed(error)) => Err(error),
    }
}

/// The input that a file of a folder is.
fn media_file(path: &Path) -> Result<Input, Rejected> {
    let promised = has_media_extension(path);
    // Among frames of a video, one that is broken is still one of them.
    let broken = || match has_extension(path, &IMAGE_EXTENSIONS) {
        true => Input::Image(path.to_owned()),
        false => Input::Video(path.to_owned()),
    };
    let input = |content| match content {
        Content::Picture(_) => Input::Image(path.to_owned()),
        _ => Input::Video(path.to_owned()),
    };
    match content::of(path) {
        Ok(content @ (Content::Picture(_) | Content::Animation(_) | Content::Unread(_))) => Ok(input(content)),
        // It fails where it is scored, with the same error.
        Ok(Content::Text | Content::Unknown) | Err(MediaError::Empty { .. }) if promised => Ok(broken()),
        Ok(content) if promised => Ok(input(content)),
        Ok(content @ (Content::IsoMedia | Content::Container | Content::MotionJpeg)) => {
            match probe::probe(&Programs::from_environment(), path) {
                Err(MediaError::NoVideo { .. }) => Err(Rejected::LeftOut("no video in it, only sound or the like")),
                Err(MediaError::NotMedia { .. }) => Err(Rejected::LeftOut("no known kind of video or image")),
                // What it is, and what is wrong with it, is said where it is scored.
                Ok(_) | Err(_) => Ok(input(content)),
            }
        }
        Ok(Content::Text) => Err(Rejected::LeftOut("text")),
        Ok(Content::Unknown) => Err(Rejected::LeftOut("no known kind of video or image")),
        Err(MediaError::Empty { .. }) => Err(Rejected::LeftOut("empty")),
        Err(error) => Err(Rejected::Failed(error)),
    }
}

/// Sorts what the walk could not enter: a loop loses nothing, and neither does a link that leads nowhere, unless it
/// is named as a video.
fn not_walked(root: &Path, error: walkdir::Error, found: &mut Found) {
    let path = error.path().unwrap_or(root).to_owned();
    match error.into_io_error() {
        None => found.left_out.push(LeftOut { path, reason: LOOP }),
        Some(error) if error.kind() != std::io::ErrorKind::NotFound => {
            found.failures.push(MediaError::io(&path, error))
        }
        Some(_) if has_media_extension(&path) => found.failures.push(MediaError::DanglingLink { path }),
        Some(_) => found.left_out.push(LeftOut { path, reason: "a link that leads nowhere" }),
    }
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn has_media_extension(path: &Path) -> bool {
    has_extension(path, &VIDEO_EXTENSIONS) || has_extension(path, &IMAGE_EXTENSIONS)
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|extension| extensions.contains(&extension.as_str()))
}
