//! What a user names on the command line, turned into inputs.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use image::ImageFormat;
use walkdir::{DirEntry, WalkDir};

use super::error::MediaError;

/// One thing to score.
///
/// A file is an image if its first bytes are those of a JPEG, PNG, WebP, BMP, GIF or TIFF, whatever its name; any
/// other file is left to ffprobe as a video. A folder is searched with its subfolders, hidden ones left out, in natural
/// order (`clip2` before `clip10`), by the usual file extensions; each video and each image in it is an input of
/// its own, except where the images directly in one folder are the *frames* of one video:
/// - there are at least two, and no video beside them;
/// - all names are one stem and a number, with the same extension: `000.png`, `frame_0001.jpg`, `shot-7.png`;
///   the numbers need not be consecutive, since data sets keep only some frames;
/// - the numbers have the same number of digits, or no leading zeros;
/// - the stem is not a camera's (`IMG_`, `DSC`, `PXL_`, `DJI_` and the like, in capitals): those are photographs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A file that ffmpeg reads.
    Video(PathBuf),
    /// A still image.
    Image(PathBuf),
    /// A folder of frames, which together are one video.
    Frames {
        /// The folder.
        folder: PathBuf,
        /// Its frames in order.
        files: Vec<PathBuf>,
    },
}

impl Input {
    /// The path that names the input: the file, or the folder of frames.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Video(path) | Self::Image(path) => path,
            Self::Frames { folder, .. } => folder,
        }
    }
}

/// Extensions that mark a video in a folder. A file named directly needs none.
const VIDEO_EXTENSIONS: [&str; 21] = [
    "3gp", "asf", "avi", "flv", "h264", "hevc", "ivf", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts", "mxf",
    "ogv", "ts", "vob", "webm", "wmv",
];

/// Extensions that mark an image in a folder.
const IMAGE_EXTENSIONS: [&str; 8] = ["bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp"];

/// Formats the image decoder of this program reads; others are tried with ffmpeg.
const IMAGE_FORMATS: [ImageFormat; 6] =
    [ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Tiff, ImageFormat::WebP];

/// How the stems of cameras' and phones' own file names begin.
const CAMERA_STEMS: [&str; 9] = ["IMG", "DSC", "PXL", "DJI", "GOPR", "PIC", "SAM", "DCIM", "P"];

/// The inputs that `path` stands for: one for a file, as many as it holds for a folder.
///
/// Errors: a missing path, an unreadable or empty file, a folder with nothing to score.
pub(crate) fn expand(path: &Path) -> Result<Vec<Input>, MediaError> {
    let metadata = std::fs::metadata(path).map_err(|error| MediaError::io(path, error))?;
    if !metadata.is_dir() {
        return Ok(vec![file_input(path)?]);
    }
    let mut inputs = Vec::new();
    for (folder, files) in media_by_folder(path)? {
        if is_frame_sequence(&files) {
            inputs.push(Input::Frames { folder, files });
        } else {
            inputs.extend(files.into_iter().map(|file| match has_extension(&file, &IMAGE_EXTENSIONS) {
                true => Input::Image(file),
                false => Input::Video(file),
            }));
        }
    }
    match inputs.is_empty() {
        true => Err(MediaError::EmptyFolder { path: path.to_owned() }),
        false => Ok(inputs),
    }
}

/// The input for a single file, told by its content.
fn file_input(path: &Path) -> Result<Input, MediaError> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(|error| MediaError::io(path, error))?;
    file.take(64).read_to_end(&mut start).map_err(|error| MediaError::io(path, error))?;
    if start.is_empty() {
        return Err(MediaError::Empty { path: path.to_owned() });
    }
    let known = image::guess_format(&start).is_ok_and(|format| IMAGE_FORMATS.contains(&format));
    Ok(if known { Input::Image(path.to_owned()) } else { Input::Video(path.to_owned()) })
}

/// Videos and images under `root`, grouped by the folder they are in, all in natural order.
fn media_by_folder(root: &Path) -> Result<Vec<(PathBuf, Vec<PathBuf>)>, MediaError> {
    let walk = WalkDir::new(root).follow_links(true).sort_by(|a, b| {
        natord::compare(&a.file_name().to_string_lossy(), &b.file_name().to_string_lossy())
            .then_with(|| a.file_name().cmp(b.file_name()))
    });
    let mut folders: Vec<(PathBuf, Vec<PathBuf>)> = Vec::new();
    for entry in walk.into_iter().filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
        let entry = entry.map_err(|error| {
            let place = error.path().unwrap_or(root).to_owned();
            MediaError::io(&place, error.into())
        })?;
        let file = entry.path();
        let media = has_extension(file, &VIDEO_EXTENSIONS) || has_extension(file, &IMAGE_EXTENSIONS);
        if !entry.file_type().is_file() || !media {
            continue;
        }
        let folder = file.parent().unwrap_or(root);
        match folders.iter_mut().rev().find(|(known, _)| known == folder) {
            Some((_, files)) => files.push(file.to_owned()),
            None => folders.push((folder.to_owned(), vec![file.to_owned()])),
        }
    }
    Ok(folders)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|extension| extensions.contains(&extension.as_str()))
}

/// Whether the media files of one folder are the frames of one video, by the rule of [`Input`].
fn is_frame_sequence(files: &[PathBuf]) -> bool {
    let Some(names) = files.iter().map(|file| numbered_name(file)).collect::<Option<Vec<_>>>() else {
        return false;
    };
    let Some(first) = names.first().filter(|_| names.len() >= 2) else {
        return false;
    };
    let alike = names.iter().all(|name| name.stem == first.stem && name.extension == first.extension);
    let padded = names.iter().all(|name| name.digits.len() == first.digits.len());
    let plain = names.iter().all(|name| name.digits == "0" || !name.digits.starts_with('0'));
    alike && (padded || plain) && !CAMERA_STEMS.iter().any(|camera| is_camera_stem(&first.stem, camera))
}

/// Whether `stem` is `camera` and then nothing but capitals and marks: `IMG_`, `DSCN`, `P`.
fn is_camera_stem(stem: &str, camera: &str) -> bool {
    let rest = stem.strip_prefix(camera);
    rest.is_some_and(|rest| rest.len() <= 2 && rest.chars().all(|c| c == '_' || c == '-' || c.is_ascii_uppercase()))
}

/// A file name taken apart: `frame_0012.PNG` is `frame_`, `0012`, `png`.
struct NumberedName {
    stem: String,
    digits: String,
    extension: String,
}

/// The parts of an image's name that ends in a number; none for other names.
fn numbered_name(path: &Path) -> Option<NumberedName> {
    let name = path.file_stem()?.to_str()?;
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &name[stem.len()..];
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let usable = !digits.is_empty() && IMAGE_EXTENSIONS.contains(&extension.as_str());
    usable.then(|| NumberedName { stem: stem.to_owned(), digits: digits.to_owned(), extension })
}
