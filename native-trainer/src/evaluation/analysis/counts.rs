//! Histograms of scores by class, and confusion matrices: a panel for each data set.

use anyhow::Result;
use plotters::style::RGBColor;
use unmask_core::metrics::{Confusion, ScoreBin};

use super::{Drawn, Level, NAME, sorted_out};
use crate::evaluation::csv_files::table;
use crate::evaluation::figures::HALF;
use crate::figures::axes::{Axes, SMALL, Scale};
use crate::figures::marks::Dashes;
use crate::figures::{Anchor, BLUE, Figure, GREY, INK, Lettering, PAPER, VERMILLION, shortened};

/// Bins of a histogram.
const BINS: usize = 20;
/// Height of a histogram's panel and of a matrix's, in points.
const PANEL: f64 = 230.0;

/// How often each score occurs: reals upwards, fakes downwards, in parts of their class.
pub(super) fn histograms(level: &Level) -> Result<Drawn> {
    let (given, left_out) = sorted_out(level, |ranking| ranking.bins(BINS));
    let title = format!("Scores of {} by class", level.name);
    let rows: Vec<_> = given.iter().flat_map(|(name, _, bins)| bins.iter().map(move |bin| (*name, bin))).collect();
    let csv = table(["dataset", "low", "high", "reals", "fakes"], &rows, |(name, bin)| {
        [(*name).to_owned(), bin.low.to_string(), bin.high.to_string(), bin.reals.to_string(), bin.fakes.to_string()]
    })?;
    let mut figure = Figure::new(760.0, 20.0 + PANEL * given.len() as f64);
    for (index, (name, _, bins)) in given.iter().enumerate() {
        let top = 44.0 + PANEL * index as f64;
        histogram(&mut figure, top, &format!("{title}: {}", shortened(name, 2 * NAME)), bins, level);
    }
    let figure = (!given.is_empty()).then_some(figure);
    Ok(Drawn { name: format!("scores-{}", level.name), title, figure, csv, left_out })
}

fn histogram(figure: &mut Figure, top: f64, title: &str, bins: &[ScoreBin], level: &Level) {
    let total = |of: fn(&ScoreBin) -> u64| bins.iter().map(of).sum::<u64>();
    let (reals, fakes) = (total(|bin| bin.reals), total(|bin| bin.fakes));
    let part = |count: u64, total: u64| count as f64 / total.max(1) as f64;
    let parts: Vec<[f64; 2]> = bins.iter().map(|bin| [part(bin.reals, reals), part(bin.fakes, fakes)]).collect();
    let highest = parts.iter().flatten().copied().fold(0.05, f64::max) * 1.05;
    let axes = Axes {
        corner: [64.0, top],
        size: [560.0, PANEL - 90.0],
        across: Scale::percent(),
        up: Scale::percent_both_ways(highest),
    };
    axes.draw(figure, title, "score: P(fake) in %", "share of a class in %");
    for (bin, [real, fake]) in bins.iter().zip(&parts) {
        for (part, colour) in [(*real, BLUE), (-fake, VERMILLION)] {
            let (left, zero) = axes.place((bin.low, 0.0));
            let (right, end) = axes.place((bin.high, part));
            if part != 0.0 {
                figure.rectangle([left + 1.0, zero.min(end)], [right - 1.0, zero.max(end)], colour);
            }
        }
    }
    let zero = [axes.place((0.0, 0.0)), axes.place((1.0, 0.0))];
    figure.stroke(zero[0], zero[1], INK, 1.0);
    if let Some(threshold) = level.threshold {
        let ends = [axes.place((threshold, -highest)), axes.place((threshold, highest))];
        figure.line(&ends, INK, 1.0, Dashes::Dashed);
    }
    let beside = axes.corner[0] + axes.size[0] + 14.0;
    let mut y = axes.corner[1] + axes.size[1] * 0.25;
    for (words, count, colour) in [("real, upwards", reals, BLUE), ("fake, downwards", fakes, VERMILLION)] {
        figure.rectangle([beside, y - 6.0], [beside + 12.0, y + 6.0], colour);
        figure.text(words, (beside + 18.0, y), Lettering::new(SMALL));
        figure.text(format!("{count} {}", level.name), (beside + 18.0, y + 15.0), Lettering::new(SMALL).coloured(GREY));
        y += axes.size[1] * 0.5;
    }
    if level.threshold.is_some() {
        let middle = axes.corner[1] + axes.size[1] * 0.5;
        figure.text("dashed: threshold", (beside, middle), Lettering::new(SMALL).coloured(GREY));
    }
}

/// What is called real and fake of the reals and of the fakes, at 0.5 and at the threshold chosen on validation data.
pub(super) fn confusions(level: &Level) -> Result<Drawn> {
    let thresholds: Vec<(&str, f64)> =
        std::iter::once(("half", HALF)).chain(level.threshold.map(|threshold| ("validation", threshold))).collect();
    let (given, left_out) = sorted_out(level, |ranking| {
        Ok(thresholds.iter().map(|(_, threshold)| ranking.confusion_at(*threshold)).collect::<Vec<Confusion>>())
    });
    let title = format!("Confusion of {}", level.name);
    let rows: Vec<_> = given
        .iter()
        .flat_map(|(name, _, all)| {
            all.iter().zip(&thresholds).map(move |(confusion, threshold)| (*name, confusion, threshold))
        })
        .collect();
    let header =
        ["dataset", "chosen_by", "threshold", "true_positives", "false_positives", "true_negatives", "false_negatives"];
    let csv = table(header, &rows, |(name, confusion, (chosen_by, threshold))| {
        let Confusion { true_positives, false_positives, true_negatives, false_negatives } = confusion;
        let counts = [true_positives, false_positives, true_negatives, false_negatives].map(u64::to_string);
        let [first, second, third, fourth] = counts;
        [(*name).to_owned(), (*chosen_by).to_owned(), threshold.to_string(), first, second, third, fourth]
    })?;
    let mut figure = Figure::new(20.0 + 360.0 * thresholds.len() as f64, 20.0 + PANEL * given.len() as f64);
    for (row, (name, _, all)) in given.iter().enumerate() {
        for (column, (confusion, (chosen_by, threshold))) in all.iter().zip(&thresholds).enumerate() {
            let corner = [100.0 + 360.0 * column as f64, 64.0 + PANEL * row as f64];
            let at = match *chosen_by {
                "half" => "at 0.5".to_owned(),
                _ => format!("at {threshold:.4} (validation)"),
            };
            let heading = format!("{}, {at}", shortened(name, 22));
            matrix(&mut figure, corner, &heading, confusion, level);
        }
    }
    let figure = (!given.is_empty()).then_some(figure);
    Ok(Drawn { name: format!("confusion-{}", level.name), title, figure, csv, left_out })
}

/// One matrix: a row for what is true, a column for what it is called, each cell with its count and its part of the row.
fn matrix(figure: &mut Figure, [left, top]: [f64; 2], heading: &str, confusion: &Confusion, level: &Level) {
    const CELL: [f64; 2] = [110.0, 56.0];
    let Confusion { true_positives, false_positives, true_negatives, false_negatives } = *confusion;
    let rows = [("real", [true_negatives, false_positives]), ("fake", [false_negatives, true_positives])];
    figure.text(heading, (left - 64.0, top - 38.0), Lettering::new(13.0).bold());
    let small = Lettering::new(SMALL).coloured(GREY);
    for (column, called) in ["called real", "called fake"].into_iter().enumerate() {
        let x = left + CELL[0] * (column as f64 + 0.5);
        figure.text(called, (x, top - 12.0), small.from(Anchor::Middle));
    }
    for (row, (truth, counts)) in rows.into_iter().enumerate() {
        let (y, total) = (top + CELL[1] * row as f64, counts.iter().sum::<u64>());
        let beside = (left - 10.0, y + CELL[1] / 2.0 - 8.0);
        figure.text(truth, beside, Lettering::new(13.0).from(Anchor::End));
        figure.text(format!("{total} {}", level.name), (beside.0, beside.1 + 17.0), small.from(Anchor::End));
        for (column, count) in counts.into_iter().enumerate() {
            let x = left + CELL[0] * column as f64;
            let part = count as f64 / total.max(1) as f64;
            figure.rectangle([x + 1.0, y + 1.0], [x + CELL[0] - 1.0, y + CELL[1] - 1.0], shade(part));
            let colour = if part > 0.55 { PAPER } else { INK };
            let middle = (x + CELL[0] / 2.0, y + CELL[1] / 2.0 - 9.0);
            figure.text(count.to_string(), middle, Lettering::new(15.0).bold().coloured(colour).from(Anchor::Middle));
            let percent = if total == 0 { "none".to_owned() } else { format!("{:.1} %", 100.0 * part) };
            let below = (middle.0, middle.1 + 19.0);
            figure.text(percent, below, Lettering::new(SMALL).coloured(colour).from(Anchor::Middle));
        }
    }
}

/// From a pale grey for nothing to blue for everything.
fn shade(part: f64) -> RGBColor {
    let mix = |from: u8, to: u8| (f64::from(from) + part * (f64::from(to) - f64::from(from))).round() as u8;
    RGBColor(mix(238, BLUE.0), mix(240, BLUE.1), mix(242, BLUE.2))
}
