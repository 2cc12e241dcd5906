//! Where the input of a report is now.

use std::path::{Path, PathBuf};

use crate::media::{self, Input};

/// The input that a report calls `name`: at `given`, or in that folder; else where it was; else beside the report, which lies in
/// `folder`. The error is a sentence.
pub(super) fn input(name: &str, given: Option<&Path>, folder: &Path) -> Result<Input, String> {
    let named = Path::new(name);
    let file_name = named.file_name().map(PathBuf::from).unwrap_or_default();
    let mut candidates: Vec<PathBuf> = match given {
        Some(given) => vec![given.join(&file_name), given.to_owned()],
        None => vec![named.to_owned(), folder.join(&file_name), folder.join("..").join(&file_name)],
    };
    candidates.retain(|path| !path.as_os_str().is_empty());
    if let Some(input) = candidates.iter().find_map(|path| at(path)) {
        return Ok(input);
    }
    let place = given.unwrap_or(named).display();
    Err(format!("{place} is not there any more, or nothing that can be scored; name where it is with --input"))
}

/// The one input at a path: a file, a folder of frames, or what a folder calls the frames that lie among other files.
fn at(path: &Path) -> Option<Input> {
    let is_series = || path.file_stem().is_some_and(|stem| stem.to_string_lossy().contains('-'));
    let searched = match path.exists() {
        true => path,
        // Such a name is that of no file.
        false => path.parent().filter(|parent| is_series() && parent.is_dir())?,
    };
    let mut inputs = media::expand(searched).ok()?.inputs;
    let place = inputs.iter().position(|input| input.path() == path)?;
    Some(inputs.swap_remove(place))
}
