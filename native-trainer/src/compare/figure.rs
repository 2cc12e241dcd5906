//! The first table as a chart: for each data set a line for each method, the best of a data set as a filled dot.

use anyhow::Result;

use super::tables::{AucRow, MEAN};
use crate::evaluation::markdown::cell;
use crate::figures::intervals::{Row, chart};

/// The chart as SVG.
pub(super) fn draw(rows: &[AucRow]) -> Result<String> {
    let rows: Vec<Row> = rows.iter().map(row).collect();
    let below = "bars: 95 % bootstrap intervals; filled: the best of its data set; dashed: chance";
    chart(&rows, "AUC of videos in percent", below).svg()
}

fn row(row: &AucRow) -> Row {
    let of_sets = if row.dataset == MEAN { format!(" (of {})", row.datasets) } else { String::new() };
    Row {
        group: row.dataset.to_owned(),
        name: row.method.to_owned(),
        value: row.auc,
        interval: row.interval,
        words: if row.auc.is_some() { format!("{}{of_sets}", cell(row.auc)) } else { row.state.to_owned() },
        is_best: row.is_best,
    }
}
