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
use super::{Compression, Label, Split};
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
}

/// Whether `root` is, or holds, a data set that is known.
pub(super) fn is_known(root: &Path) -> bool {
    !known_in(root).is_empty()
}

/// The videos of all known data sets in `root`.
pub(super) fn list(root: &Path, compression: Compression) -> Result<Listing> {
    let mut finds = Finds::default();
    for (folder, known) in known_in(root) {
        match known {
            Known::FaceForensics => faceforensics::list(&folder, compression, &mut finds)?,
            Known::CelebDf => celeb_df::list(&folder, &mut finds)?,
            Known::Dfdc => dfdc::list(&folder, &mut finds)?,
            Known::DfdcFaces => dfdc_faces::list(&folder, &mut finds)?,
            Known::DfdcPreview => dfdc::list_preview(&folder, &mut finds)?,
            Known::LavDf => lav_df::list(&folder, &mut finds)?,
            Known::Uadfv => uadfv(&folder, &mut finds)?,
        }
    }
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
            finds.found.push(video.found("UADFV", manipulation, label, Plan::Official(Split::Test)));
        }
    }
    Ok(())
}

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
