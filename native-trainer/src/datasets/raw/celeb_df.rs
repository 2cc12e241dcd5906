//! Celeb-DF, versions 1 and 2 (Li et al. 2020).
//!
//! There is an official list of test videos and none of training videos: the others train, and a tenth of their persons
//! validates.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};

use super::{FAKE_AMONG_ORIGINALS, ORIGINAL_AMONG_FAKES, Videos};
use crate::datasets::source::{Finds, Found, LeftOut, folder_name};
use crate::datasets::split::Plan;
use crate::datasets::{Label, ORIGINAL, Split};
use crate::files;

/// The list of test videos: a line is `1 YouTube-real/00170.mp4`.
const TEST_LIST: &str = "List_of_testing_videos.txt";

/// The folder of the fakes, and their manipulation.
const SYNTHESIS: &str = "Celeb-synthesis";

/// All videos.
pub(super) fn list(root: &Path, finds: &mut Finds) -> Result<()> {
    let dataset = match folder_name(root).to_ascii_lowercase().contains("v1") {
        true => "Celeb-DF-v1",
        false => "Celeb-DF-v2",
    };
    let tests = test_videos(&root.join(TEST_LIST))?;
    for (folder, label, manipulation) in [
        ("Celeb-real", Label::Real, ORIGINAL),
        ("YouTube-real", Label::Real, ORIGINAL),
        (SYNTHESIS, Label::Fake, SYNTHESIS),
    ] {
        for video in Videos::of(&root.join(folder), &mut finds.left_out)? {
            if let Err(reason) = placed(folder, &video.name) {
                finds.left_out.push(LeftOut::new(video.input.path(), reason));
                continue;
            }
            let name = format!("{folder}/{}", video.name);
            let plan = match tests.contains(&name) {
                true => Plan::Official(Split::Test),
                false => Plan::TrainOrValidation,
            };
            // `id3_id9_0001`: person 3's video with the face of person 9.
            let person = video.name.split_once('_').map(|(first, _)| first).filter(|first| first.starts_with("id"));
            let person = person.map(str::to_owned);
            let found_alone = video.found(dataset, manipulation, label, plan);
            let group = person.clone().unwrap_or_else(|| found_alone.group.clone());
            // Celeb-real and YouTube-real are one class, so the folder stays in the name.
            let name = if label == Label::Real { name } else { found_alone.name.clone() };
            finds.found.push(Found { name, group, person, ..found_alone });
        }
    }
    Ok(())
}

/// Checks that a video's name is one of its folder's: `id3_0001` of Celeb-real, `id3_id9_0001` of Celeb-synthesis, `00170` of
/// YouTube-real.
fn placed(folder: &str, name: &str) -> Result<(), &'static str> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_person = |text: &str| text.strip_prefix("id").is_some_and(is_number);
    let parts: Vec<&str> = name.split('_').collect();
    let home = match parts[..] {
        [number] if is_number(number) => "YouTube-real",
        [person, number] if is_person(person) && is_number(number) => "Celeb-real",
        [one, other, number] if is_person(one) && is_person(other) && one != other && is_number(number) => SYNTHESIS,
        _ => return Err("not named as Celeb-DF names its videos"),
    };
    match (folder == SYNTHESIS, home == SYNTHESIS) {
        (true, false) => Err(ORIGINAL_AMONG_FAKES),
        (false, true) => Err(FAKE_AMONG_ORIGINALS),
        _ => Ok(()),
    }
}

/// The names in the list, without extension.
fn test_videos(list: &Path) -> Result<HashSet<String>> {
    let text = files::read_text(list)
        .with_context(|| format!("{} cannot be read; it comes with Celeb-DF and says what tests", list.display()))?;
    let name = |line: &str| {
        let path = line.trim().split_once(char::is_whitespace)?.1.trim();
        Some(path.rsplit_once('.').map_or(path, |(name, _)| name).to_owned())
    };
    Ok(text.lines().filter_map(name).collect())
}
