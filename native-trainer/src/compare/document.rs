//! A comparison for people: the three tables as Markdown with what they rest on, and everything beside it as files.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use unmask_core::metrics::Bootstrap;

use super::figure;
use super::results::{Comparison, Efficiency, MethodEntry};
use super::tables::{self, AucRow, MEAN, METRICS};
use crate::datasets::Label;
use crate::evaluation::MeanFigure;
use crate::evaluation::markdown::{NONE, Table, cell, escaped, mean_cell};
use crate::files;

/// Writes the tables and the figure into `folder`, each file whole or not at all, and gives the document.
pub(super) fn write(folder: &Path, comparison: &Comparison) -> Result<String> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made; choose another folder with --out", folder.display()))?;
    let rows = tables::auc_rows(comparison);
    let document = document(comparison, &rows);
    let write = |name: &str, bytes: &[u8]| files::write_bytes(&folder.join(name), bytes);
    write("state_of_the_art.csv", &tables::auc_csv(&rows)?)?;
    write("ablation.csv", &tables::ablation_csv(comparison)?)?;
    write("efficiency.csv", &tables::efficiency_csv(comparison)?)?;
    write("auc.svg", figure::draw(&rows)?.as_bytes())?;
    files::write_json(&folder.join("comparison.json"), comparison)?;
    write("comparison.md", document.as_bytes())?;
    Ok(document)
}

/// The whole document.
fn document(comparison: &Comparison, rows: &[AucRow]) -> String {
    let mut text = format!("# Comparison\n\n{}", videos(comparison));
    // Writing to a String cannot fail, here and below.
    let _ = write!(text, "\n## State of the art\n\n{}\n{}", auc_caption(), auc_table(comparison, rows));
    text.push_str("\n![AUC of each method on each data set](auc.svg)\n");
    let _ = write!(text, "\n## Ablation over data sets\n\n{}\n{}", ABLATION_CAPTION, ablation_table(comparison));
    let _ = write!(
        text,
        "\n## Parameter efficiency\n\n{}\n{}",
        efficiency_caption(comparison),
        efficiency_table(comparison)
    );
    text.push_str(&list("What is missing", &missing(comparison)));
    text.push_str(&list("Dropped videos", &dropped(comparison)));
    text.push_str(&list("How this differs from `unmask score`", &remarks(comparison)));
    text.push_str(&list("Detectors", &detectors(comparison)));
    text
}

/// On what it was measured.
fn videos(comparison: &Comparison) -> String {
    let mut text = "All methods are measured on the same data, by the scores of whole videos.\n\n".to_owned();
    for (index, set) in comparison.datasets.iter().enumerate() {
        let counts: BTreeSet<[u64; 3]> = comparison
            .methods
            .iter()
            .filter_map(|method| method.on(index).ok())
            .map(|measured| [measured.figures.reals, measured.figures.fakes, measured.figures.groups])
            .collect();
        let words = |[reals, fakes, groups]: &[u64; 3]| {
            format!("{reals} real and {fakes} fake videos of {groups} persons or source videos")
        };
        let counts: Vec<String> = counts.iter().map(words).collect();
        let differ = if counts.len() > 1 { " (it differs between methods by what they dropped)" } else { "" };
        let counts = if counts.is_empty() { "nothing was measured".to_owned() } else { counts.join(" or ") };
        let part = match set.part {
            crate::datasets::Part::All => "all of it".to_owned(),
            part => format!("split {}", format!("{part:?}").to_lowercase()),
        };
        let fakes = if set.self_blended { ", real videos with a self-blended fake of each" } else { "" };
        let _ = writeln!(text, "- {}, {part}{fakes}: {counts}{differ}", escaped(&set.name));
    }
    text.push_str(
        "\nFew videos say little: methods whose intervals overlap are not told apart by this data, and an interval over a handful \
         of persons is itself uncertain.\n",
    );
    text
}

fn auc_caption() -> String {
    let Bootstrap { resamples, seed, level } = Bootstrap::default();
    format!(
        "AUC of videos in percent, with {} % bootstrap intervals over persons, or where those are not known over source videos \
         with the fakes made from them ({resamples} resamples, seed {seed}). The best of each column is bold. A mean is over the \
         data sets that have a figure; where that is not all of them, their number is beside it, and means over other data sets \
         than the others' are never bold.\n",
        level * 100.0
    )
}

const ABLATION_CAPTION: &str = "The same videos. AUC, average precision (AP), equal error rate (EER; lower is better) and \
    accuracy at the threshold 0.5 (ACC), all in percent.\n";

fn auc_table(comparison: &Comparison, rows: &[AucRow]) -> String {
    let mut table = table_with(&headings(comparison, &[]));
    for method in &comparison.methods {
        let of_method = rows.iter().filter(|row| row.method == method.name);
        table.row(&escaped(&method.name), of_method.map(|row| auc_cell(row, comparison.datasets.len())));
    }
    table.text
}

/// The names of the data sets and the mean, after some others.
fn headings(comparison: &Comparison, first: &[&str]) -> Vec<String> {
    let names = comparison.datasets.iter().map(|set| escaped(&set.name));
    first.iter().map(|name| (*name).to_owned()).chain(names).chain([MEAN.to_owned()]).collect()
}

fn table_with(headings: &[String]) -> Table {
    Table::new(&headings.iter().map(String::as_str).collect::<Vec<&str>>())
}

fn auc_cell(row: &AucRow, datasets: usize) -> String {
    let figure = match (row.auc, row.dataset == MEAN) {
        (None, _) => return row.state.to_owned(),
        (value, true) => mean_cell(&MeanFigure { value, datasets: row.datasets }, datasets),
        (value, false) => cell(value),
    };
    let figure = if row.is_best { format!("**{figure}**") } else { figure };
    match row.interval {
        Some([low, high]) => format!("{figure} ({:.1}–{:.1})", low * 100.0, high * 100.0),
        None => figure,
    }
}

fn ablation_table(comparison: &Comparison) -> String {
    let count = comparison.datasets.len();
    let mut table = table_with(&headings(comparison, &["figure"]));
    for method in &comparison.methods {
        for metric in METRICS {
            let on = |index| match tables::value(method, index, metric) {
                Some(value) => cell(Some(value)),
                None => tables::state(method, index, metric).to_owned(),
            };
            let mean = tables::mean(method, count, metric);
            let mean = match mean.value {
                Some(_) => mean_cell(&mean, count),
                None => tables::mean_state(method, &mean).to_owned(),
            };
            let cells = std::iter::once(metric.name().to_owned()).chain((0..count).map(on)).chain([mean]);
            table.row(&escaped(&method.name), cells);
        }
    }
    table.text
}

fn efficiency_caption(comparison: &Comparison) -> String {
    format!(
        "Parameters without the statistics of batch norms; GFLOP are billions of operations for one frame, a multiply-add \
         counting as two, of the parts that most of them are in. Images per second are measured on this machine (device {}), from \
         pixels to logits, as the median of a few repetitions, with so many images going through together as the cell says. Peak \
         memory is the main memory of the process that measured, which held nothing but the program and this detector; what lies \
         on a GPU is not in it.\n",
        comparison.device
    )
}

fn efficiency_table(comparison: &Comparison) -> String {
    let headings =
        ["parameters", "trained", "share in %", "bytes of the file", "GFLOP a frame", "images/s", "peak memory in MB"];
    let mut table = Table::new(&headings);
    for method in &comparison.methods {
        table.row(&escaped(&method.name), efficiency_cells(method).into_iter());
    }
    table.text
}

fn efficiency_cells(method: &MethodEntry) -> [String; 7] {
    let efficiency = match (method.detector.found(), &method.efficiency) {
        (Err(missing), _) => return std::array::from_fn(|_| missing.kind.words().to_owned()),
        (Ok(_), None) => return std::array::from_fn(|_| NONE.to_owned()),
        (Ok(_), Some(efficiency)) => efficiency,
    };
    let Efficiency { parameters, trained, bytes, flops, speed } = efficiency;
    let [images, peak] = match speed.found() {
        Err(missing) => [missing.kind.words().to_owned(), missing.kind.words().to_owned()],
        Ok(speed) => [
            format!("{:.1} (batch {})", speed.images_per_second, speed.batch),
            speed.peak_memory.map_or(NONE.to_owned(), |bytes| format!("{:.0}", bytes as f64 / 1e6)),
        ],
    };
    [
        parameters.to_string(),
        trained.map_or(NONE.to_owned(), |trained| trained.to_string()),
        efficiency.share().map_or(NONE.to_owned(), |share| format!("{:.4}", share * 100.0)),
        bytes.to_string(),
        format!("{:.2}", *flops as f64 / 1e9),
        images,
        peak,
    ]
}

/// Why a cell has no figure: once for a whole data set, where all that is measured lacks it for the same reason.
fn missing(comparison: &Comparison) -> Vec<String> {
    let mut lines = Vec::new();
    let mut present = Vec::new();
    for method in &comparison.methods {
        match method.detector.found() {
            Ok(_) => present.push(method),
            Err(missing) => lines.push(format!("{}: {}: {}", method.name, missing.kind.words(), missing.reason)),
        }
    }
    for (index, set) in comparison.datasets.iter().enumerate() {
        let reason = |method: &MethodEntry| match method.on(index) {
            Err(missing) => Some(format!("{}: {}", missing.kind.words(), missing.reason)),
            Ok(measured) => measured.figures.auc.undefined.as_ref().map(|reason| format!("no AUC: {reason}")),
        };
        let reasons: Vec<Option<String>> = present.iter().map(|method| reason(method)).collect();
        match &reasons[..] {
            [Some(first), others @ ..] if others.iter().all(|other| other.as_ref() == Some(first)) => {
                lines.push(format!("{}: {first}", set.name));
            }
            _ => {
                lines.extend(present.iter().zip(&reasons).filter_map(|(method, reason)| {
                    Some(format!("{} on {}: {}", method.name, set.name, reason.as_ref()?))
                }))
            }
        }
    }
    for method in present {
        let Some(efficiency) = &method.efficiency else { continue };
        if let Err(missing) = efficiency.speed.found() {
            lines.push(format!("{}, images/s: {}: {}", method.name, missing.kind.words(), missing.reason));
        }
        if efficiency.trained.is_none() {
            lines.push(format!(
                "{}, trained parameters: a detector's file does not say what was trained; `strategy` in its [[method]] does",
                method.name
            ));
        }
    }
    lines
}

/// Videos that figures are without.
fn dropped(comparison: &Comparison) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, set) in comparison.datasets.iter().enumerate() {
        for method in &comparison.methods {
            let Ok(measured) = method.on(index) else { continue };
            lines.extend(measured.dropped.iter().map(|dropped| {
                let label = if dropped.label == Label::Real { "real" } else { "fake" };
                format!("{} on {}: {} {label}: {}", method.name, set.name, dropped.count, dropped.reason)
            }));
        }
    }
    lines
}

fn remarks(comparison: &Comparison) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, set) in comparison.datasets.iter().enumerate() {
        let said: BTreeSet<&str> = comparison
            .methods
            .iter()
            .filter_map(|method| method.on(index).ok())
            .flat_map(|measured| measured.remarks.iter().map(String::as_str))
            .collect();
        lines.extend(said.into_iter().map(|remark| format!("{}: {remark}", set.name)));
    }
    lines
}

/// Which file each method is.
fn detectors(comparison: &Comparison) -> Vec<String> {
    let line = |method: &MethodEntry| {
        let detector = method.detector.found().ok()?;
        Some(format!("{}: {}, SHA-256 {}, {}", method.name, detector.name, detector.sha256, detector.file))
    };
    comparison.methods.iter().filter_map(line).collect()
}

/// A section with a list, or nothing.
fn list(heading: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines.iter().map(|line| format!("- {}\n", escaped(line))).collect();
    format!("\n## {heading}\n\n{lines}")
}
