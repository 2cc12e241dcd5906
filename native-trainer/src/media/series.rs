//! Which pictures of a folder are the frames of one video, told by their names.

use std::path::{Path, PathBuf};

use image::ImageReader;

use super::Input;

/// Pictures that a numbered series has at least to be the frames of a video where other files are beside it.
const LEAST_BESIDE_OTHERS: usize = 4;

/// How the names begin that cameras, phones and messengers give to photographs, a mark in front left out.
const CAMERA_NAMES: [&str; 18] = [
    "IMG",
    "MVIMG",
    "DSC",
    "PXL",
    "DJI",
    "GOPR",
    "GP",
    "G",
    "PIC",
    "SAM",
    "DCIM",
    "MG",
    "P",
    "HPIM",
    "CIMG",
    "PANO",
    "WhatsApp Image",
    "Screenshot",
];

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
    alike && (padded || plain) && !is_of_camera(first)
}

/// Whether a camera names photographs so: a known beginning and then nothing but capitals, digits and marks (`IMG_0001`,
/// `_DSC0001`, `IMG-20230101-WA0001`), a day (`20230101_123456`), or a folder of the camera (`100_0001.jpg`).
fn is_of_camera(name: &NumberedName) -> bool {
    let is_mark = |c: char| matches!(c, '_' | '-' | ' ' | '.' | '(' | ')');
    let is_rest = |rest: &str| rest.chars().all(|c| is_mark(c) || c.is_ascii_uppercase() || c.is_ascii_digit());
    let named = name.stem.trim_start_matches(is_mark);
    let mut rests = CAMERA_NAMES.iter().filter_map(|camera| named.strip_prefix(camera));
    let number = name.stem.strip_suffix(['_', '-']).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    let is_number = number.is_some_and(|number| match number.len() {
        8 => number.starts_with("19") || number.starts_with("20"),
        3 => !number.starts_with('0') && name.digits.len() == 4 && matches!(name.extension.as_str(), "jpg" | "jpeg"),
        _ => false,
    });
    is_number || rests.any(is_rest)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn are_frames(first: &str, second: &str) -> bool {
        is_series(&[PathBuf::from(first), PathBuf::from(second)])
    }

    #[test]
    fn names_that_cameras_and_messengers_give_are_no_series() {
        for (first, second) in [
            ("IMG_0001.jpg", "IMG_0002.jpg"),
            ("DSCN0001.JPG", "DSCN0002.JPG"),
            ("PXL_20230101_123456789.jpg", "PXL_20230101_123456790.jpg"),
            ("IMG_20230101_123456.jpg", "IMG_20230101_123459.jpg"),
            ("IMG-20230101-WA0001.jpg", "IMG-20230101-WA0002.jpg"),
            ("MVIMG_20230101_123456.jpg", "MVIMG_20230101_123457.jpg"),
            ("20230101_123456.jpg", "20230101_123457.jpg"),
            ("_MG_0001.JPG", "_MG_0002.JPG"),
            ("_DSC0001.JPG", "_DSC0002.JPG"),
            ("G0010001.JPG", "G0010002.JPG"),
            ("100_0001.JPG", "100_0002.JPG"),
            ("P1000001.JPG", "P1000002.JPG"),
        ] {
            assert!(!are_frames(first, second), "{first}");
        }
    }

    #[test]
    fn names_that_programs_give_to_frames_are_a_series() {
        for (first, second) in [
            ("0001.png", "0002.png"),
            ("frame_0001.png", "frame_0002.png"),
            ("img001.jpg", "img002.jpg"),
            ("Group_1.png", "Group_2.png"),
            ("Pan_0001.png", "Pan_0002.png"),
            ("shot-12-0001.png", "shot-12-0002.png"),
            ("000_0001.png", "000_0002.png"),
            ("519_00001.jpg", "519_00002.jpg"),
        ] {
            assert!(are_frames(first, second), "{first}");
        }
    }
}
