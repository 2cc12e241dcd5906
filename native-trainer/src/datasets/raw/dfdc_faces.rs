//! Faces of the Deepfake Detection Challenge Dataset, one picture a video of its training parts, as a public repository of
//! that name hands them out: a folder `faces_224` and a `metadata.csv` beside it that says what each was made from.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{MADE_FROM_ITSELF, without_extension};
use crate::datasets::source::{Finds, Found, LeftOut, OUTSIDE, stays_inside};
use crate::datasets::split::Plan;
use crate::datasets::{Label, ORIGINAL};
use crate::{files, media};

const DATASET: &str = "DFDC-faces";
/// The manipulation, which the data set does not tell apart.
const FAKE: &str = "DFDC";
const PICTURES: &str = "faces_224";
const LIST: &str = "metadata.csv";
/// Faces that were smaller than this in pixels before they were enlarged have no traces left to learn from.
const LEAST_SIDE: u32 = 64;

/// A line of the list.
#[derive(Deserialize)]
struct Row {
    videoname: String,
    original_width: u32,
    original_height: u32,
    label: String,
    original: Option<String>,
}

/// Whether a folder is the data set.
pub(super) fn is_dfdc_faces(root: &Path) -> bool {
    root.join(PICTURES).is_dir() && root.join(LIST).is_file()
}

/// Every picture of the list that is large enough. Fakes go with what they were made from.
pub(super) fn list(root: &Path, finds: &mut Finds) -> Result<()> {
    let list = root.join(LIST);
    let damaged = || format!("{} is not as the data set's authors wrote it; get it again", list.display());
    let text = files::read_text(&list)?;
    for row in csv::Reader::from_reader(text.as_bytes()).into_deserialize() {
        let row: Row = row.with_context(damaged)?;
        let (name, picture) = place(root, &row.videoname);
        if !stays_inside(&row.videoname) || row.videoname.contains('/') {
            finds.left_out.push(LeftOut::new(picture, OUTSIDE));
            continue;
        }
        if !picture.is_file() {
            finds.left_out.push(LeftOut::new(picture, format!("listed in {LIST} and not there")));
            continue;
        }
        if row.original_width.min(row.original_height) < LEAST_SIDE {
            let reason = format!("of a face of fewer than {LEAST_SIDE} pixels, enlarged");
            finds.left_out.push(LeftOut::new(picture, reason));
            continue;
        }
        let (label, manipulation) = match row.label.as_str() {
            "REAL" => (Label::Real, ORIGINAL),
            "FAKE" => (Label::Fake, FAKE),
            other => {
                bail!("{} says `{other}` of {}, neither REAL nor FAKE; get it again", list.display(), row.videoname)
            }
        };
        if label == Label::Fake && row.original.as_deref() == Some(&*row.videoname) {
            finds.left_out.push(LeftOut::new(picture, MADE_FROM_ITSELF));
            continue;
        }
        let original = row.original.filter(|original| label == Label::Fake && !original.is_empty());
        let group = original.map_or_else(|| name.clone(), |original| without_extension(&original).to_owned());
        finds.found.push(Found {
            input: media::Input::Image(picture),
            dataset: DATASET.to_owned(),
            manipulation: manipulation.to_owned(),
            name,
            label,
            plan: Plan::Free,
            group,
            person: None,
            ends_at_face: true,
        });
    }
    Ok(())
}

/// The name of a video without its extension, and where its picture is.
fn place(root: &Path, video: &str) -> (String, PathBuf) {
    let name = without_extension(video).to_owned();
    let picture = root.join(PICTURES).join(format!("{name}.jpg"));
    (name, picture)
}
