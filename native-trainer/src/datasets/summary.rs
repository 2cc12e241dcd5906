//! What a data set holds, as a table for people and as JSON for programs.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde_json::{Value, json};

use super::crops::Crops;
use super::{Dataset, Dropped, FaceCrop, Label, Split, Video};

/// Videos and crops by data set, manipulation and split; below that how the crops were cut, and what was dropped.
pub fn text(dataset: &Dataset) -> String {
    format!("{}\n{}{}{}", table(dataset), crops(dataset), dropped(dataset), unusable(dataset))
}

/// A line for each way in which crops were cut.
fn crops(dataset: &Dataset) -> String {
    dataset.crops.iter().map(|crops| format!("crops: {crops}\n")).collect()
}

/// Reasons that are given in full.
const SHOWN: usize = 3;

/// The number of files beside crops that could not be used, with the first of them; empty if there is none.
fn unusable(dataset: &Dataset) -> String {
    listed(dataset.unusable.iter().map(String::as_str), "unusable beside the crops")
}

fn listed<'a>(reasons: impl ExactSizeIterator<Item = &'a str>, what: &str) -> String {
    let count = reasons.len();
    let first: Vec<&str> = reasons.take(SHOWN).collect();
    match count {
        0 => String::new(),
        count if count <= SHOWN => format!("{count} {what}: {}\n", first.join("; ")),
        count => format!("{count} {what}, the first: {}\n", first.join("; ")),
    }
}

fn table(dataset: &Dataset) -> Table {
    let mut rows: BTreeMap<(&str, Label, &str), Vec<&Video>> = BTreeMap::new();
    for video in &dataset.videos {
        rows.entry((&video.dataset, video.label, &video.manipulation)).or_default().push(video);
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["data set", "manipulation", "train", "val", "test", "persons", "crops"]);
    for ((name, label, manipulation), videos) in rows {
        let of = |split| videos.iter().filter(|video| video.split == split).count().to_string();
        let persons: BTreeSet<&str> = videos.iter().filter_map(|video| video.person.as_deref()).collect();
        let crops: usize = videos.iter().map(|video| video.crops.len()).sum();
        let label = if label == Label::Real { "real" } else { "fake" };
        let what = if manipulation == label { label.to_owned() } else { format!("{label}: {manipulation}") };
        let persons = if persons.is_empty() { "?".to_owned() } else { persons.len().to_string() };
        let (train, validation, test) = (of(Split::Train), of(Split::Validation), of(Split::Test));
        table.add_row([name.to_owned(), what, train, validation, test, persons, crops.to_string()]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The number of videos without crops, with the first reasons, as a line; empty if there is none.
fn dropped(dataset: &Dataset) -> String {
    listed(dataset.dropped.iter().map(|dropped| dropped.reason.as_str()), "dropped")
}

/// Everything a data set holds, as a JSON document.
pub fn document(dataset: &Dataset) -> Value {
    let crop = |crop: &FaceCrop| json!({ "path": crop.path, "time_s": crop.time_s, "landmarks": crop.landmarks });
    let video = |video: &Video| {
        json!({
            "dataset": video.dataset, "manipulation": video.manipulation, "name": video.name, "label": video.label,
            "split": video.split, "person": video.person, "group": video.group,
            "crops": video.crops.iter().map(crop).collect::<Vec<_>>(),
        })
    };
    let dropped =
        |dropped: &Dropped| json!({ "source": dropped.source, "label": dropped.label, "reason": dropped.reason });
    json!({
        "name": dataset.name,
        "videos": dataset.videos.iter().map(video).collect::<Vec<_>>(),
        "dropped": dataset.dropped.iter().map(dropped).collect::<Vec<_>>(),
        "crops": dataset.crops.iter().map(Crops::document).collect::<Vec<_>>(),
        "unusable": dataset.unusable,
    })
}
