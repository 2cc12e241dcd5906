//! Videos that a table names, evaluated without being preprocessed first.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use unmask_core::face::alignment::CropSpec;

use crate::datasets::folders;
use crate::datasets::list::{self, Attributes};
use crate::datasets::source::Listing;
use crate::media::Damage;
use crate::preprocess::person::Whose;
use crate::preprocess::picture::PictureFormat;
use crate::preprocess::{self, Holds, Settings};

/// The folder for crops beside an evaluation's results.
const CROPS: &str = "crops";

/// The data to evaluate on, with a folder of crops in the place of each table of videos, and what the tables say of them.
pub struct Prepared {
    /// Folders of crops, in the tables' places.
    pub data: Vec<PathBuf>,
    /// What the tables' columns say of each video.
    pub attributes: Attributes,
}

/// Looks for faces in the videos of each table among `data`, as scoring does, and keeps the crops in `out`, where another run
/// finds them; what the table says now counts, whatever an earlier one of its name said. What cannot be read is named and counts as dropped. `columns` are those that are asked for.
///
/// # Errors
/// Those of [`list::list`] and of preprocessing; a column that no table has; crops in `out` that were cut otherwise.
pub fn prepare(data: &[PathBuf], columns: &[String], out: &Path, crop: CropSpec, frames: usize) -> Result<Prepared> {
    let mut prepared = Prepared { data: Vec::new(), attributes: Attributes::new() };
    let mut tables: Vec<(&PathBuf, Listing, PathBuf)> = Vec::new();
    for path in data {
        if !list::is_list(path) {
            prepared.data.push(path.clone());
            continue;
        }
        let name = folders::dataset_name(&path.with_extension(""));
        let (listing, attributes) = list::list(path, &name)?;
        let folder = out.join(CROPS).join(&name);
        if prepared.data.contains(&folder) {
            bail!("{} and another table are both named {name}; rename one of them", path.display());
        }
        prepared.attributes.extend(attributes);
        prepared.data.push(folder.clone());
        tables.push((path, listing, folder));
    }
    check_columns(columns, &prepared.attributes)?;
    for (path, listing, folder) in tables {
        for left_out in &listing.left_out {
            eprintln!("warning: {} is left out: it is {}", left_out.path.display(), left_out.reason);
        }
        let settings = Settings {
            crop,
            frames,
            whose: Whose::Largest,
            format: PictureFormat::Png,
            quality: 100,
            damage: Damage::Refuse,
            retry: false,
        };
        let (root, holds) = (list::folder_of(path), Holds::ThisAlone);
        let tally = preprocess::run(&root, listing.sources, None, &folder, "", &settings, holds)?;
        tally.still_unreadable.iter().for_each(|reason| eprintln!("warning: {reason}"));
    }
    Ok(prepared)
}

/// Refuses a column that no table has.
fn check_columns(wanted: &[String], attributes: &Attributes) -> Result<()> {
    let known: BTreeSet<&str> = attributes.values().flat_map(|of_video| of_video.keys().map(String::as_str)).collect();
    match wanted.iter().find(|column| !known.contains(column.as_str())) {
        None => Ok(()),
        Some(column) => bail!(
            "--by {column} is no column to break down by; the tables have {}",
            if known.is_empty() { "none".to_owned() } else { known.into_iter().collect::<Vec<_>>().join(", ") }
        ),
    }
}
