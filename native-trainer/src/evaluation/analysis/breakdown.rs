//! The AUC of videos by what they are: manipulation, size of the face, blur, compression, and every column of a table.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use unmask_core::metrics::{Bootstrap, Ranking, Scored, Undefined};

use super::seen::{MEASURES, Measure, Seen};
use super::{Drawn, NAME};
use crate::datasets::list::Attributes;
use crate::datasets::manifest::Identity;
use crate::datasets::{Label, Video};
use crate::evaluation::ScoredVideo;
use crate::evaluation::csv_files::table;
use crate::evaluation::markdown::cell;
use crate::figures::intervals::{Row, chart};
use crate::figures::shortened;

/// Parts of about as many videos that a measure is broken down into.
const PARTS: usize = 3;
/// Videos of a part, without which a measure is not broken down.
const LEAST: usize = 4;

/// Some videos of a data set with their AUC.
struct Part {
    dataset: String,
    /// The column's name, and its words in the chart.
    column: String,
    words: String,
    value: String,
    reals: usize,
    fakes: usize,
    groups: usize,
    auc: Result<f64, Undefined>,
    interval: Option<[f64; 2]>,
}

/// The AUC by all that is known of `videos`, which are sorted by data set; by these columns of `attributes`.
pub(super) fn draw(
    videos: &[ScoredVideo],
    columns: &[&str],
    attributes: &Attributes,
    seen: (&[Video], &[Seen]),
    bootstrap: &Bootstrap,
) -> Result<Drawn> {
    let (mut parts, mut left_out) = (Vec::new(), Vec::new());
    for of_set in videos.chunk_by(|one, next| one.dataset == next.dataset) {
        let mut add = |column: &str, words: &str, groups: Vec<(String, Vec<&ScoredVideo>)>| {
            // One part is all of it.
            if groups.len() > 1 {
                parts.extend(
                    groups.into_iter().map(|(value, videos)| Part::of(column, words, value, &videos, bootstrap)),
                );
            }
        };
        add("manipulation", "manipulation", by_manipulation(of_set));
        for column in columns {
            add(column, column, by_attribute(of_set, column, attributes));
        }
        for measure in &MEASURES {
            match by_measure(of_set, measure, &measure.by_video(seen.0, seen.1)) {
                Ok(groups) => add(measure.name, measure.words, groups),
                Err(reason) => left_out.extend(of_set.first().map(|first| format!("{}: {reason}", first.dataset))),
            }
        }
    }
    left_out.extend(parts.iter().filter_map(|part| {
        let reason = part.auc.as_ref().err()?;
        Some(format!("{}, {} {}: {reason}", part.dataset, part.column, part.value))
    }));
    let header = ["dataset", "column", "value", "reals", "fakes", "groups", "auc", "low", "high"];
    let csv = table(header, &parts, |part| {
        let or_empty = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        let [reals, fakes, groups] = [part.reals, part.fakes, part.groups].map(|count| count.to_string());
        let [dataset, column, value] = [&part.dataset, &part.column, &part.value].map(Clone::clone);
        let [low, high] = [0, 1].map(|end| or_empty(part.interval.map(|interval| interval[end])));
        [dataset, column, value, reals, fakes, groups, or_empty(part.auc.ok()), low, high]
    })?;
    let rows: Vec<Row> = parts.iter().map(Part::row).collect();
    let below = "bars: 95 % bootstrap intervals; dashed: chance; behind the figure: real and fake videos";
    let title = "AUC of videos by what they are".to_owned();
    let figure = (!rows.is_empty()).then(|| chart(&rows, &format!("{title}, in percent"), below));
    Ok(Drawn { name: "auc-by".to_owned(), title, figure, csv, left_out })
}

impl Part {
    fn of(column: &str, words: &str, value: String, videos: &[&ScoredVideo], bootstrap: &Bootstrap) -> Self {
        let mut groups: BTreeMap<&str, Vec<Scored>> = BTreeMap::new();
        for video in videos {
            groups.entry(video.group).or_default().push(video.scored());
        }
        let groups: Vec<Vec<Scored>> = groups.into_values().collect();
        let auc = Ranking::new(groups.iter().flatten().copied()).and_then(|ranking| ranking.auc());
        let interval = bootstrap.intervals(&groups, |ranking| [ranking.auc()]);
        let interval = interval.ok().and_then(|[interval]| interval.ok()).filter(|_| auc.is_ok());
        let fakes = videos.iter().filter(|video| video.label == Label::Fake).count();
        Self {
            dataset: videos.first().map_or(String::new(), |video| video.dataset.to_owned()),
            column: column.to_owned(),
            words: words.to_owned(),
            value,
            reals: videos.len() - fakes,
            fakes,
            groups: groups.len(),
            auc,
            interval: interval.map(|interval| [interval.low, interval.high]),
        }
    }

    fn row(&self) -> Row {
        let counts = format!("({} / {})", self.reals, self.fakes);
        Row {
            group: format!("{} by {}", shortened(&self.dataset, NAME), shortened(&self.words, 2 * NAME)),
            name: self.value.clone(),
            value: self.auc.ok(),
            interval: self.interval,
            words: match self.auc {
                Ok(auc) => format!("{} {counts}", cell(Some(auc))),
                Err(_) => format!("– {counts}"),
            },
            is_best: false,
        }
    }
}

/// The fakes of each manipulation with all reals.
fn by_manipulation<'a>(videos: &'a [ScoredVideo<'a>]) -> Vec<(String, Vec<&'a ScoredVideo<'a>>)> {
    let fakes = videos.iter().filter(|video| video.label == Label::Fake);
    let names: BTreeSet<&str> = fakes.map(|video| video.manipulation).collect();
    let with_reals = |name: &str| {
        videos.iter().filter(|video| video.label == Label::Real || video.manipulation == name).collect::<Vec<_>>()
    };
    names.into_iter().map(|name| (name.to_owned(), with_reals(name))).collect()
}

fn by_attribute<'a>(
    videos: &'a [ScoredVideo<'a>],
    column: &str,
    attributes: &Attributes,
) -> Vec<(String, Vec<&'a ScoredVideo<'a>>)> {
    let mut groups: BTreeMap<String, Vec<&ScoredVideo>> = BTreeMap::new();
    for video in videos {
        let value = attributes.get(&identity(video)).and_then(|of_video| of_video.get(column));
        groups.entry(value.map_or("(not said)", String::as_str).to_owned()).or_default().push(video);
    }
    groups.into_iter().collect()
}

/// The videos in parts of about as many each, from those with the least to those with the most.
fn by_measure<'a>(
    videos: &'a [ScoredVideo<'a>],
    measure: &Measure,
    values: &BTreeMap<Identity, f64>,
) -> Result<Vec<(String, Vec<&'a ScoredVideo<'a>>)>, String> {
    let mut measured: Vec<(f64, &ScoredVideo)> =
        videos.iter().filter_map(|video| Some((*values.get(&identity(video))?, video))).collect();
    if measured.is_empty() {
        return Err(format!("{} is not known of the crops", measure.name));
    }
    if measured.len() < PARTS * LEAST {
        return Err(format!("{} of {} videos is too little to break down by", measure.name, measured.len()));
    }
    measured.sort_by(|one, other| one.0.total_cmp(&other.0));
    let length = measured.len().div_ceil(PARTS);
    let shown = |value: f64| format!("{value:.*}", measure.decimals);
    let part = |part: &[(f64, &'a ScoredVideo<'a>)]| {
        let ends = [part.first(), part.last()].map(|end| end.map_or(String::new(), |(value, _)| shown(*value)));
        (format!("{} to {}", ends[0], ends[1]), part.iter().map(|(_, video)| *video).collect())
    };
    Ok(measured.chunks(length).map(part).collect())
}

fn identity(video: &ScoredVideo) -> Identity {
    (video.dataset.to_owned(), video.manipulation.to_owned(), video.name.to_owned())
}
