//! ROC, precision-recall and reliability: a line for each data set, told by colour, dashes and marker, with its name beside it.

use anyhow::Result;
use unmask_core::metrics::{CALIBRATION_BINS, ScoreBin};

use super::{Drawn, Level, NAME, sorted_out};
use crate::evaluation::csv_files::table;
use crate::evaluation::markdown::cell;
use crate::figures::axes::{Axes, SMALL, Scale};
use crate::figures::marks::{Dashes, Style};
use crate::figures::{Figure, GREY, Lettering, shortened};

/// Bins of a reliability diagram with fewer samples than this are drawn open.
const FEW: u64 = 10;

/// The true positive rate against the false positive rate.
pub(super) fn roc(level: &Level) -> Result<Drawn> {
    let (given, left_out) = sorted_out(level, |ranking| Ok((ranking.roc()?, ranking.auc()?)));
    let title = format!("ROC curve of {}", level.name);
    let rows: Vec<_> =
        given.iter().flat_map(|(name, _, (points, _))| points.iter().map(move |at| (*name, at))).collect();
    let header = ["dataset", "threshold", "false_positive_rate", "true_positive_rate"];
    let csv = table(header, &rows, |(name, at)| {
        [
            (*name).to_owned(),
            at.threshold.map(|threshold| threshold.to_string()).unwrap_or_default(),
            at.false_positive_rate.to_string(),
            at.true_positive_rate.to_string(),
        ]
    })?;
    let figure =
        plotted(&title, ["false positive rate in %", "true positive rate in %"], given.len(), |figure, axes| {
            diagonal(figure, axes);
            for (index, (name, _, (points, auc))) in given.iter().enumerate() {
                let values = points.iter().map(|at| (at.false_positive_rate, at.true_positive_rate));
                axes.curve(figure, values, Style::of(index));
                axes.legend(
                    figure,
                    index,
                    Style::of(index),
                    false,
                    &[shortened(name, NAME), format!("AUC {}", cell(Some(*auc)))],
                );
            }
        });
    Ok(Drawn { name: format!("roc-{}", level.name), title, figure, csv, left_out })
}

/// Precision against recall.
pub(super) fn precision_recall(level: &Level) -> Result<Drawn> {
    let (given, left_out) =
        sorted_out(level, |ranking| Ok((ranking.precision_recall()?, ranking.average_precision()?)));
    let title = format!("Precision and recall of {}", level.name);
    let rows: Vec<_> =
        given.iter().flat_map(|(name, _, (points, _))| points.iter().map(move |at| (*name, at))).collect();
    let csv = table(["dataset", "threshold", "precision", "recall"], &rows, |(name, at)| {
        [
            (*name).to_owned(),
            at.threshold.map(|threshold| threshold.to_string()).unwrap_or_default(),
            at.precision.to_string(),
            at.recall.to_string(),
        ]
    })?;
    let figure = plotted(&title, ["recall in %", "precision in %"], given.len(), |figure, axes| {
        for (index, (name, ranking, (points, average))) in given.iter().enumerate() {
            let values = points.iter().map(|at| (at.recall, at.precision));
            axes.curve(figure, values, Style::of(index));
            let share = ranking.fakes() as f64 / (ranking.fakes() + ranking.reals()) as f64;
            axes.legend(
                figure,
                index,
                Style::of(index),
                false,
                &[shortened(name, NAME), format!("AP {}, {:.0} % fake", cell(Some(*average)), 100.0 * share)],
            );
        }
    });
    Ok(Drawn { name: format!("precision-recall-{}", level.name), title, figure, csv, left_out })
}

/// How many of the samples of about one score are fake, against that score.
pub(super) fn reliability(level: &Level) -> Result<Drawn> {
    let (given, left_out) =
        sorted_out(level, |ranking| Ok((ranking.expected_calibration_error()?, ranking.bins(CALIBRATION_BINS)?)));
    let title = format!("Reliability of {}", level.name);
    let rows: Vec<_> = given.iter().flat_map(|(name, _, (_, bins))| bins.iter().map(move |bin| (*name, bin))).collect();
    let csv = table(["dataset", "low", "high", "reals", "fakes", "mean_score", "fake_part"], &rows, |(name, bin)| {
        let or_empty = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        [
            (*name).to_owned(),
            bin.low.to_string(),
            bin.high.to_string(),
            bin.reals.to_string(),
            bin.fakes.to_string(),
            or_empty(bin.mean_score),
            or_empty(bin.fake_part()),
        ]
    })?;
    let names = ["mean score of a bin in %", "fakes among them in %"];
    let figure = plotted(&title, names, given.len(), |figure, axes| {
        diagonal(figure, axes);
        for (index, (name, ranking, (error, bins))) in given.iter().enumerate() {
            let style = Style::of(index);
            let at = |bin: &ScoreBin| Some((bin.mean_score?, bin.fake_part()?));
            axes.curve(figure, bins.iter().filter_map(at), style);
            for bin in bins {
                if let Some(value) = at(bin) {
                    figure.marker(style.marker, axes.place(value), 4.5, style.colour, bin.count() >= FEW);
                }
            }
            axes.legend(
                figure,
                index,
                style,
                true,
                &[
                    shortened(name, NAME),
                    format!("ECE {} of {} {}", cell(Some(*error)), ranking.reals() + ranking.fakes(), level.name),
                ],
            );
        }
        let below = format!("open: fewer than {FEW} in the bin; dashed: as many fakes as the score says");
        note(figure, axes, &below);
    });
    Ok(Drawn { name: format!("reliability-{}", level.name), title, figure, csv, left_out })
}

/// A square plot of percent against percent with room for `lines` names beside it; nothing without lines.
fn plotted(
    title: &str,
    [across, up]: [&str; 2],
    lines: usize,
    draw: impl FnOnce(&mut Figure, &Axes),
) -> Option<Figure> {
    if lines == 0 {
        return None;
    }
    let axes = Axes { corner: [64.0, 44.0], size: [400.0, 400.0], across: Scale::percent(), up: Scale::percent() };
    let mut figure = Figure::new(760.0, 520f64.max(60.0 + 40.0 * lines as f64));
    axes.draw(&mut figure, title, across, up);
    draw(&mut figure, &axes);
    Some(figure)
}

/// The dashed line on which both values are equal.
fn diagonal(figure: &mut Figure, axes: &Axes) {
    figure.line(&[axes.place((0.0, 0.0)), axes.place((1.0, 1.0))], GREY, 1.0, Dashes::Dashed);
}

/// A line of explanation below a plot.
fn note(figure: &mut Figure, axes: &Axes, words: &str) {
    let lettering = Lettering::new(SMALL).coloured(GREY);
    figure.text(words, (axes.corner[0], axes.corner[1] + axes.size[1] + 56.0), lettering);
}
