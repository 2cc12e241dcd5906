//! A summary as Markdown tables: metrics down, data sets across, as the field's papers print them.

use std::fmt::Write as _;

use super::analysis::{Entry, FIGURES};
use super::figures::{Figure, Figures, Metric, Operating};
use super::summary::{DatasetSummary, Levels, ManipulationSummary, Mean, MeanFigure, Summary};
use super::verdicts::{Group, Outcomes, Verdicts};
use crate::datasets::Label;

/// What stands where there is no figure.
pub const NONE: &str = "–";

/// Known data sets in the order of their columns: the heading, and the names it stands for, in lower case without
/// anything but letters, digits and `+`.
const COLUMNS: [(&str, &[&str]); 7] = [
    ("DFDC", &["dfdc", "deepfakedetectionchallenge"]),
    ("DFDCP", &["dfdcp", "dfdcpreview"]),
    ("DFD", &["dfd", "deepfakedetection"]),
    ("FS", &["fs", "faceshifter"]),
    ("FF++", &["ff++", "ffpp", "faceforensics++", "faceforensicspp"]),
    ("UADFV", &["uadfv"]),
    ("CDF-v2", &["cdfv2", "celebdfv2", "celebdf2"]),
];

/// One of the two levels.
struct Level {
    title: &'static str,
    of: fn(&Levels) -> &Figures,
    mean: fn(&Mean) -> &MeanFigure,
    threshold: Option<f64>,
}

/// The whole document.
pub fn document(summary: &Summary) -> String {
    let mut text = format!("# Evaluation: {}\n\n", escaped(&summary.title));
    let percent = summary.bootstrap.level * 100.0;
    // Writing to a String cannot fail, here and below.
    if let Some(sha256) = &summary.sha256 {
        let _ = writeln!(text, "SHA-256 of the detector's file: {sha256}.\n");
    }
    let _ = writeln!(
        text,
        "Figures are in percent; {NONE} stands where the data gives none, with the reason below the tables. Intervals are \
         {percent} % bootstrap intervals over persons, or where those are not known over source videos with the fakes made from \
         them ({} resamples, seed {}). A mean is over the data sets that define \
         the figure; where that is not all of them, their number is beside it.",
        summary.bootstrap.resamples, summary.bootstrap.seed
    );
    if let Some(reason) = &summary.thresholds.undefined {
        let _ = writeln!(text, "\nThe validation data gives no threshold for frames or for videos: {reason}.");
    }
    let levels = [
        Level {
            title: "Videos",
            of: |levels| &levels.videos,
            mean: |mean| &mean.videos,
            threshold: summary.thresholds.videos,
        },
        Level {
            title: "Frames",
            of: |levels| &levels.frames,
            mean: |mean| &mean.frames,
            threshold: summary.thresholds.frames,
        },
    ];
    let datasets = in_order(&summary.datasets);
    for level in &levels {
        let _ = write!(text, "\n## {}\n\n{}", level.title, dataset_table(summary, &datasets, level));
        for (heading, dataset) in datasets.iter().filter(|(_, dataset)| dataset.manipulations.len() > 1) {
            let _ = write!(text, "\n### {heading} by manipulation\n\n{}", manipulation_table(dataset, level));
        }
    }
    if let Some(verdicts) = &summary.verdicts {
        text.push_str(&verdict_tables(verdicts));
    }
    text.push_str(&reasons(&datasets, &levels));
    text.push_str(&dropped(&datasets));
    text.push_str(&figure_list(&summary.figures));
    text.push_str(&remarks(summary));
    text
}

/// The figures with their files, and what is not in them.
fn figure_list(figures: &[Entry]) -> String {
    let mut text = String::new();
    for Entry { title, files, left_out } in figures {
        let links = files.iter().map(|file| {
            let ending = file.rsplit_once('.').map_or(file.as_str(), |(_, ending)| ending);
            format!("[{}]({FIGURES}/{file})", ending.to_uppercase())
        });
        let links = links.collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "- {title}: {}", if links.is_empty() { "not there" } else { &links });
        left_out.iter().for_each(|reason| _ = writeln!(text, "  - without {}", escaped(reason)));
    }
    if text.is_empty() { text } else { format!("\n## Figures\n\n{text}") }
}

/// The data sets with their headings: known ones first, in the order of [`COLUMNS`], then the others by name.
fn in_order(datasets: &[DatasetSummary]) -> Vec<(String, &DatasetSummary)> {
    let rank = |dataset: &DatasetSummary| {
        let name: String =
            dataset.name.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '+').collect();
        COLUMNS.iter().position(|(_, names)| names.contains(&name.as_str()))
    };
    let mut ranked: Vec<(usize, &DatasetSummary)> =
        datasets.iter().map(|dataset| (rank(dataset).unwrap_or(COLUMNS.len()), dataset)).collect();
    ranked.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    let alone = |rank: usize| ranked.iter().filter(|(other, _)| *other == rank).count() == 1;
    let heading = |rank: usize, dataset: &DatasetSummary| match COLUMNS.get(rank) {
        // Two data sets under one heading could not be told apart.
        Some((heading, _)) if alone(rank) => (*heading).to_string(),
        _ => escaped(&dataset.name),
    };
    ranked.iter().map(|(rank, dataset)| (heading(*rank, dataset), *dataset)).collect()
}

fn dataset_table(summary: &Summary, datasets: &[(String, &DatasetSummary)], level: &Level) -> String {
    let columns: Vec<(&str, &Figures)> =
        datasets.iter().map(|(heading, dataset)| (heading.as_str(), (level.of)(&dataset.levels))).collect();
    let mut headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    headings.push("Avg");
    let mut table = Table::new(&headings);
    for (metric, name) in rows(level) {
        let mean = summary
            .mean
            .iter()
            .find(|mean| mean.metric == metric)
            .map(|mean| mean_cell((level.mean)(mean), datasets.len()));
        table.row(&name, figures(&columns, metric).chain([mean.unwrap_or_else(|| NONE.to_string())]));
    }
    let blank = || [String::new()];
    for (metric, name) in rows(level).filter(|(metric, _)| metric.has_interval()) {
        table.row(&format!("{name}, interval"), intervals(&columns, metric).chain(blank()));
    }
    for (name, cells) in counts(&columns, level) {
        table.row(&name, cells.into_iter().chain(blank()));
    }
    let dropped = datasets.iter().map(|(_, dataset)| {
        let [reals, fakes] = [Label::Real, Label::Fake].map(|label| {
            dataset.dropped.iter().filter(|dropped| dropped.label == label).map(|dropped| dropped.count).sum::<usize>()
        });
        format!("{reals} / {fakes}")
    });
    table.row("videos dropped, real / fake", dropped.chain(blank()));
    table.text
}

/// The verdicts that the detector's thresholds give, over all videos and by each column of a table.
fn verdict_tables(verdicts: &Verdicts) -> String {
    let Verdicts { real_below, fake_above, uncertain_above, all, by } = verdicts;
    let unsure = uncertain_above.map_or(String::new(), |limit| {
        format!(" Where the detector's own uncertainty is above {limit} a video is uncertain whatever its score.")
    });
    let mut text = format!(
        "\n## Verdicts\n\nBy the score of a video alone: up to {real_below} it is likely real, from {fake_above} on likely fake, \
         between them uncertain.{unsure} Shares are of the real, or of the fake videos.\n"
    );
    let whole = [Group { value: "all".to_owned(), outcomes: all.clone() }];
    let tables = std::iter::once((None, whole.as_slice()))
        .chain(by.iter().map(|breakdown| (Some(breakdown.column.as_str()), breakdown.groups.as_slice())));
    for (column, groups) in tables {
        if let Some(column) = column {
            let _ = write!(text, "\n### Verdicts by {}\n", escaped(column));
        }
        let headings = ["real", "likely real", "likely fake", "fake", "likely fake", "likely real", "AUC"];
        let mut table = Table::new(&headings);
        for Group { value, outcomes: Outcomes { real, fake, auc } } in groups {
            let share = |count: u64, total: u64| match total {
                0 => NONE.to_owned(),
                _ => format!("{:.1}", 100.0 * count as f64 / total as f64),
            };
            let cells = [
                real.total().to_string(),
                share(real.likely_real, real.total()),
                share(real.likely_fake, real.total()),
                fake.total().to_string(),
                share(fake.likely_fake, fake.total()),
                share(fake.likely_real, fake.total()),
                auc.map_or(NONE.to_owned(), |auc| format!("{:.1}", 100.0 * auc)),
            ];
            table.row(&escaped(value), cells.into_iter());
        }
        let _ = write!(text, "\n{}", table.text);
    }
    text
}

fn manipulation_table(dataset: &DatasetSummary, level: &Level) -> String {
    let columns: Vec<(String, &Figures)> = dataset
        .manipulations
        .iter()
        .map(|ManipulationSummary { name, levels }| (escaped(name), (level.of)(levels)))
        .collect();
    let columns: Vec<(&str, &Figures)> = columns.iter().map(|(name, figures)| (name.as_str(), *figures)).collect();
    let mut table = Table::new(&columns.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (metric, name) in rows(level) {
        table.row(&name, figures(&columns, metric));
    }
    for (metric, name) in rows(level).filter(|(metric, _)| metric.has_interval()) {
        table.row(&format!("{name}, interval"), intervals(&columns, metric));
    }
    for (name, cells) in counts(&columns, level) {
        table.row(&name, cells.into_iter());
    }
    table.text
}

/// The metrics that are shown at a level, with the names of their rows.
fn rows(level: &Level) -> impl Iterator<Item = (Metric, String)> {
    Metric::ALL.into_iter().filter_map(|metric| {
        let name = match metric {
            Metric::Accuracy | Metric::F1 => format!("{} at 0.5", metric.name()),
            Metric::AccuracyAtValidation | Metric::F1AtValidation => {
                format!("{} at {:.4} (validation)", metric.name(), level.threshold?)
            }
            _ => metric.name().to_string(),
        };
        Some((metric, name))
    })
}

fn figures<'a>(columns: &'a [(&str, &Figures)], metric: Metric) -> impl Iterator<Item = String> + 'a {
    columns.iter().map(move |(_, figures)| cell(figures.get(metric).and_then(|figure| figure.value)))
}

fn intervals<'a>(columns: &'a [(&str, &Figures)], metric: Metric) -> impl Iterator<Item = String> + 'a {
    columns.iter().map(move |(_, figures)| {
        let interval = figures.get(metric).and_then(|figure| figure.interval);
        interval.map_or(NONE.to_string(), |interval| {
            let skipped = if interval.skipped > 0 { format!(" ({} skipped)", interval.skipped) } else { String::new() };
            format!("{:.1}–{:.1}{skipped}", interval.low * 100.0, interval.high * 100.0)
        })
    })
}

/// The rows of the confusion and of how many samples there are.
fn counts(columns: &[(&str, &Figures)], level: &Level) -> Vec<(String, Vec<String>)> {
    let confusion = |operating: &Operating| {
        let table = operating.confusion;
        let counts = [table.true_positives, table.false_positives, table.true_negatives, table.false_negatives];
        counts.map(|count| count.to_string()).join(" / ")
    };
    let half = columns.iter().map(|(_, figures)| confusion(&figures.at_half)).collect();
    let mut rows = vec![("TP / FP / TN / FN at 0.5".to_string(), half)];
    if let Some(threshold) = level.threshold {
        let there = columns
            .iter()
            .map(|(_, figures)| figures.at_validation.as_ref().map_or(NONE.to_string(), confusion))
            .collect();
        rows.push((format!("TP / FP / TN / FN at {threshold:.4}"), there));
    }
    let samples = columns.iter().map(|(_, figures)| format!("{} / {}", figures.reals, figures.fakes)).collect();
    rows.push((format!("{}, real / fake", level.title.to_lowercase()), samples));
    let groups = columns.iter().map(|(_, figures)| figures.groups.to_string()).collect();
    rows.push(("persons or source videos".to_string(), groups));
    rows
}

/// A figure in percent.
pub fn cell(value: Option<f64>) -> String {
    value.map_or(NONE.to_string(), |value| format!("{:.2}", value * 100.0))
}

/// A mean in percent, with the number of data sets that it is of where that is not all.
pub fn mean_cell(mean: &MeanFigure, datasets: usize) -> String {
    let value = cell(mean.value);
    if mean.value.is_none() || mean.datasets == datasets {
        return value;
    }
    format!("{value} ({} of {datasets})", mean.datasets)
}

/// Why figures have no value.
fn reasons(datasets: &[(String, &DatasetSummary)], levels: &[Level]) -> String {
    let mut lines = Vec::new();
    for level in levels {
        for (heading, dataset) in datasets {
            let whole = [(heading.clone(), (level.of)(&dataset.levels))];
            let parts = dataset
                .manipulations
                .iter()
                .filter(|_| dataset.manipulations.len() > 1)
                .map(|part| (format!("{heading}, {}", escaped(&part.name)), (level.of)(&part.levels)));
            for (heading, figures) in whole.into_iter().chain(parts) {
                lines.extend(rows(level).filter_map(|(metric, name)| {
                    let Figure { undefined, .. } = figures.get(metric)?;
                    Some(format!("- {heading}, {}, {name}: {}\n", level.title.to_lowercase(), undefined.as_ref()?))
                }));
            }
        }
    }
    if lines.is_empty() { String::new() } else { format!("\n## Figures without a value\n\n{}", lines.concat()) }
}

/// What was dropped, and why.
fn dropped(datasets: &[(String, &DatasetSummary)]) -> String {
    let mut text = String::new();
    for (heading, dataset) in datasets {
        for dropped in &dataset.dropped {
            let label = match dropped.label {
                Label::Real => "real",
                Label::Fake => "fake",
            };
            let _ = writeln!(text, "- {heading}: {} {label}: {}", dropped.count, escaped(&dropped.reason));
        }
    }
    if text.is_empty() { text } else { format!("\n## Dropped videos\n\n{text}") }
}

/// In what the data differs from what scoring sees.
fn remarks(summary: &Summary) -> String {
    let lines: String = summary.remarks.iter().map(|remark| format!("- {}\n", escaped(remark))).collect();
    if lines.is_empty() { lines } else { format!("\n## How this differs from `unmask score`\n\n{lines}") }
}

/// A Markdown table that grows by rows.
pub struct Table {
    /// The lines so far.
    pub text: String,
}

impl Table {
    /// One with a column for the rows' names before these.
    pub fn new(headings: &[&str]) -> Self {
        let line = headings.iter().map(|_| "---:|").collect::<String>();
        Self { text: format!("| | {} |\n|---|{line}\n", headings.join(" | ")) }
    }

    /// Adds a line.
    pub fn row(&mut self, name: &str, cells: impl Iterator<Item = String>) {
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(self.text, "| {name} | {} |", cells.join(" | "));
    }
}

/// A name that cannot end a cell or a line.
pub fn escaped(name: &str) -> String {
    name.replace('|', "\\|").replace(['\n', '\r'], " ")
}
