//! The data sets of the field as their authors hand them out, which is also how DeepfakeBench wants them placed.
//!
//! A root is one of these data sets or a folder of several. Each file here lists one family; splits are the official
//! ones. Where videos stand in a folder `videos`, that is meant; where there is none, the folder itself.

mod celeb_df;
mod dfdc;
mod dfdc_faces;
mod faceforensics;
mod lav_df;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use super::source::{Finds, Found, LeftOut, Listing, folder_name, folders, inputs_below, name_of, settle, stem};
use super::split::Plan;
use super::{Compression, Label, Split, source, strays};
use crate::{files, media};

/// A data set that is known by its folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    FaceForensics,
    CelebDf,
    Dfdc,
    DfdcFaces,
    DfdcPreview,
    LavDf,
    Uadfv,
}

impl Known {
    /// What `folder` is, told by its contents.
    fn of(folder: &Path) -> Option<Self> {
        let has = |name: &str| folder.join(name).exists();
        let is = |name: &str| folder_name(folder).eq_ignore_ascii_case(name);
        if has("original_sequences") || has("manipulated_sequences") {
            Some(Self::FaceForensics)
        } else if has("Celeb-real") || has("Celeb-synthesis") {
            Some(Self::CelebDf)
        } else if has("dataset.json") && (has("original_videos") || has("method_A") || has("method_B")) {
            Some(Self::DfdcPreview)
        } else if dfdc::is_dfdc(folder) {
            Some(Self::Dfdc)
        } else if dfdc_faces::is_dfdc_faces(folder) {
            Some(Self::DfdcFaces)
        } else if lav_df::is_lav_df(folder) {
            Some(Self::LavDf)
        } else if is("UADFV") && has("real") && has("fake") {
            Some(Self::Uadfv)
        } else {
            None
        }
    }

    /// Why `path`, which none of its videos are at, is left out of the data set in `root`.
    fn stray(self, root: &Path, path: &Path, compression: Compression) -> String {
        match self {
            Self::FaceForensics => faceforensics::stray(root, path, compression),
            Self::CelebDf => "in no folder of Celeb-DF's videos".to_owned(),
            Self::Dfdc => "not among the videos of a folder of DFDC with a metadata.json or labels.csv".to_owned(),
            Self::DfdcFaces => "not listed in metadata.csv".to_owned(),
            Self::DfdcPreview => "not listed in dataset.json".to_owned(),
            Self::LavDf => "in no folder of LAV-DF's videos".to_owned(),
            Self::Uadfv => "in no folder of UADFV's videos".to_owned(),
        }
    }
}

/// Whether `root` is, or holds, a data set that is known.
pub(super) fn is_known(root: &Path) -> bool {
    !known_in(root).is_empty()
}

/// The videos of all known data sets in `root`.
pub(super) fn list(root: &Path, compression: Compression) -> Result<Listing> {
    let mut finds = Finds::default();
    let data_sets = known_in(root);
    for (folder, known) in &data_sets {
        let (folder, finds) = (folder.as_path(), &mut finds);
        match known {
            Known::FaceForensics => faceforensics::list(folder, compression, finds)?,
            Known::CelebDf => celeb_df::list(folder, finds)?,
            Known::Dfdc => dfdc::list(folder, finds)?,
            Known::DfdcFaces => dfdc_faces::list(folder, finds)?,
            Known::DfdcPreview => dfdc::list_preview(folder, finds)?,
            Known::LavDf => lav_df::list(folder, finds)?,
            Known::Uadfv => uadfv(folder, finds)?,
        }
    }
    strays::leave_out(root, &mut finds, |path| {
        let data_set = data_sets.iter().find(|(folder, _)| path.starts_with(folder));
        data_set.map_or_else(|| NO_DATA_SET.to_owned(), |(folder, known)| known.stray(folder, path, compression))
    });
    source::refuse_unread(&finds)?;
    if finds.found.is_empty() {
        bail!(
            "{} holds no video of FaceForensics++, DeepFakeDetection, Celeb-DF, DFDC, DFDCP, LAV-DF or UADFV, and no face of DFDC, that can be used \
             (of FaceForensics++, in the compression asked for){}; choose another --layout",
            root.display(),
            first_reason(&finds.left_out)
        );
    }
    settle(root, finds)
}

/// Why a file beside the data sets of a folder is left out.
const NO_DATA_SET: &str = "in no data set that is known";

/// Why the first file was left out, in brackets.
fn first_reason(left_out: &[LeftOut]) -> String {
    left_out.first().map_or(String::new(), |first| format!(" ({} is {})", first.path.display(), first.reason))
}

fn known_in(root: &Path) -> Vec<(PathBuf, Known)> {
    if let Some(known) = Known::of(root) {
        return vec![(root.to_owned(), known)];
    }
    folders(root).into_iter().filter_map(|folder| Some((folder.clone(), Known::of(&folder)?))).collect()
}

/// Yang et al. 2019: 49 videos and as many made with FakeApp. All of it tests.
fn uadfv(root: &Path, finds: &mut Finds) -> Result<()> {
    for (folder, label, manipulation) in [("real", Label::Real, super::ORIGINAL), ("fake", Label::Fake, "FakeApp")] {
        for video in Videos::of(&root.join(folder), &mut finds.left_out)? {
            // `0000_fake` was made from `0000`.
            let misplaced = match (label, video.name.ends_with("_fake")) {
                (Label::Real, true) => Some(FAKE_AMONG_ORIGINALS),
                (Label::Fake, false) => Some(ORIGINAL_AMONG_FAKES),
                _ => None,
            };
            if let Some(reason) = misplaced {
                finds.left_out.push(LeftOut::new(video.input.path(), reason));
                continue;
            }
            finds.found.push(video.found("UADFV", manipulation, label, Plan::Official(Split::Test)));
        }
    }
    Ok(())
}

/// Why a file is left out whose name says something else than its folder: its label would be wrong.
const ORIGINAL_AMONG_FAKES: &str = "among the fakes and named as an original";
const FAKE_AMONG_ORIGINALS: &str = "among the originals and named as a fake";
/// Why a fake is left out that a list says was made from itself.
const MADE_FROM_ITSELF: &str = "called a fake made from itself";
/// Why a file is left out that a list calls original and made from another.
const MADE_ORIGINAL: &str = "called an original that was made from another";

/// A video in one of the folders.
struct Videos {
    input: media::Input,
    name: String,
}

impl Videos {
    /// The videos in `folder/videos`, else in `folder`; none where there is no such folder. What cannot be looked
    /// into is left out.
    fn of(folder: &Path, left_out: &mut Vec<LeftOut>) -> Result<Vec<Self>> {
        let below = folder.join("videos");
        let folder = if below.is_dir() { below } else { folder.to_owned() };
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let inputs = inputs_below(&folder, left_out)?;
        Ok(inputs.into_iter().map(|input| Self { name: name_of(&folder, &input), input }).collect())
    }

    /// As a source that is used as `plan` says and is a group by itself.
    fn found(self, dataset: &str, manipulation: &str, label: Label, plan: Plan) -> Found {
        let Self { input, name } = self;
        let group = stem(&name).to_owned();
        let (dataset, manipulation) = (dataset.to_owned(), manipulation.to_owned());
        Found { input, dataset, manipulation, name, label, plan, group, person: None, ends_at_face: false }
    }
}

/// The name of a file without its ending.
fn without_extension(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(name, _)| name)
}

/// Reads a data set's own JSON.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let shown = path.display();
    let text = files::read_text(path).with_context(|| format!("{shown} cannot be read; it comes with the data set"))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{shown} is not as the data set's authors wrote it; get it again"))
}
