//! Which pictures of a folder are the frames of one video, told by their names.

use std::path::{Path, PathBuf};

use image::ImageReader;

use super::Input;

/// Pictures that a numbered series has at least to be the frames of a video where other files are beside it.
const LEAST_BESIDE_OTHERS: usize = 4;

/// How the stems of cameras' and phones' own file names begin.
const CAMERA_STEMS: [&str; 9] = ["IMG", "DSC", "PXL", "DJI", "GOPR", "PIC", "SAM", "DCIM", "P"];

/// The videos and images of one folder, with those images that are frames of a video put together, by the rule of
/// [`Input`].
pub(super) fn gather(folder: PathBuf, files: Vec<Input>) -> Vec<Input> {
    let images = files.iter().all(|file| matches!(file, Input::Image(_)));
    let paths: Vec<PathBuf> = files.iter().map(|file| file.path().to_owned()).collect();
    if images && is_series(&paths) {
        return vec![Input::Frames { folder, files: paths }];
    }
    let mut inputs = Vec::new();
    let mut series: Vec<(NumberedName, Vec<PathBuf>)> = Vec::new();
    for file in &files {
        let Some(name) =
            Some(file).filter(|file| matches!(file, Input::Image(_))).and_then(|file| numbered_name(file.path()))
        else {
            continue;
        };
        match series.iter_mut().find(|(known, _)| known.stem == name.stem && known.extension == name.extension) {
            Some((_, paths)) => paths.push(file.path().to_owned()),
            None => series.push((name, vec![file.path().to_owned()])),
        }
    }
    series.retain(|(_, paths)| paths.len() >= LEAST_BESIDE_OTHERS && is_series(paths) && are_of_one_size(paths));
    for file in files {
        match series.iter().find(|(_, paths)| paths.iter().any(|path| path == file.path())) {
            None => inputs.push(file),
            Some((_, paths)) if paths.first().is_some_and(|first| first == file.path()) => {
                inputs.push(Input::Frames { folder: name_of(&folder, paths), files: paths.clone() });
            }
            Some(_) => {}
        }
    }
    inputs
}

/// The path that names one series of several files: its first name with the last number, such as `shot_0001-0250.png`.
fn name_of(folder: &Path, files: &[PathBuf]) -> PathBuf {
    let ends =
        files.first().and_then(|first| numbered_name(first)).zip(files.last().and_then(|last| numbered_name(last)));
    ends.map_or_else(
        || folder.to_owned(),
        |(first, last)| folder.join(format!("{}{}-{}.{}", first.stem, first.digits, last.digits, first.extension)),
    )
}

/// Whether all pictures whose headers can be read have one size: frames do, photographs seldom.
fn are_of_one_size(files: &[PathBuf]) -> bool {
    let size = |path: &PathBuf| ImageReader::open(path).ok()?.with_guessed_format().ok()?.into_dimensions().ok();
    let mut sizes = files.iter().filter_map(size);
    sizes.next().is_none_or(|first| sizes.all(|size| size == first))
}

/// Whether images are named as the frames of one video are.
fn is_series(files: &[PathBuf]) -> bool {
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
    (!digits.is_empty()).then(|| NumberedName { stem: stem.to_owned(), digits: digits.to_owned(), extension })
}
