//! Figures with their intervals, a line each: a dot on a scale from below chance to 1, and the interval as a bar.
//!
//! Each line has its name beside it and its figure at its end; nothing is told by colour alone.

use plotters::style::RGBColor;

use super::marks::Dashes;
use super::{Anchor, BLUE, Figure, GREY, INK, Lettering, PALE, PAPER, shortened};

/// The image's width and the parts of it, in points.
const WIDTH: f64 = 860.0;
/// Where the scale begins, after the names.
const LEFT: f64 = 250.0;
/// Where the scale ends, before the figures.
const RIGHT: f64 = 680.0;
const LINE: f64 = 24.0;
const HEADING: f64 = 30.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 50.0;
/// Letters of a name, and of a heading, which has the whole width.
const NAME: usize = 32;
const HEADING_LETTERS: usize = 90;

/// The AUC of a coin.
const CHANCE: f64 = 0.5;
/// The distance of the scale's lines.
const STEP: f64 = 0.1;

/// A line of the chart.
#[derive(Clone, Debug)]
pub struct Row {
    /// The heading that it stands under, with the lines before it that have the same.
    pub group: String,
    /// What stands before it.
    pub name: String,
    /// From 0 to 1.
    pub value: Option<f64>,
    /// The ends of the interval.
    pub interval: Option<[f64; 2]>,
    /// What stands at its end: the figure, or why there is none.
    pub words: String,
    /// Whether it stands out.
    pub is_best: bool,
}

/// The chart under a title, with a line of explanation below.
pub fn chart(rows: &[Row], title: &str, below: &str) -> Figure {
    let mut groups: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in rows {
        match groups.iter_mut().find(|(name, _)| *name == row.group) {
            Some((_, members)) => members.push(row),
            None => groups.push((&row.group, vec![row])),
        }
    }
    let bottom = TOP + rows.len() as f64 * LINE + groups.len() as f64 * HEADING;
    let mut chart = Chart { figure: Figure::new(WIDTH, bottom + BOTTOM), low: lowest(rows) };
    chart.figure.text(title, (16.0, 20.0), Lettering::new(16.0).bold());
    chart.grid(bottom);
    let mut y = TOP;
    for (name, rows) in groups {
        let lettering = Lettering::new(14.0).bold();
        // Headings may be long, and are not crossed by the scale's lines.
        chart.figure.rectangle([0.0, y], [WIDTH, y + HEADING], PAPER);
        chart.figure.text(shortened(name, HEADING_LETTERS), (16.0, y + HEADING / 2.0 + 2.0), lettering);
        y += HEADING;
        for row in rows {
            chart.line(row, y + LINE / 2.0);
            y += LINE;
        }
    }
    chart.figure.text(below, (16.0, bottom + 38.0), Lettering::new(12.0).coloured(GREY));
    chart.figure
}

/// Where the scale begins: a multiple of [`STEP`] that no dot or bar lies below, nor chance.
fn lowest(rows: &[Row]) -> f64 {
    let lows = rows.iter().filter_map(|row| row.interval.map_or(row.value, |[low, _]| Some(low)));
    ((lows.fold(CHANCE, f64::min) / STEP + 1e-9).floor() * STEP).clamp(0.0, CHANCE)
}

struct Chart {
    figure: Figure,
    low: f64,
}

impl Chart {
    fn x(&self, value: f64) -> f64 {
        LEFT + ((value - self.low) / (1.0 - self.low)).clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    /// The lines of the scale with their figures, that of chance dashed.
    fn grid(&mut self, bottom: f64) {
        let count = ((1.0 - self.low) / STEP).round() as u32;
        for value in (0..=count).map(|index| self.low + f64::from(index) * STEP) {
            let x = self.x(value);
            self.figure.stroke((x, TOP), (x, bottom), PALE, 1.0);
            let lettering = Lettering::new(12.0).coloured(GREY).from(Anchor::Middle);
            self.figure.text(format!("{:.0}", value * 100.0), (x, bottom + 14.0), lettering);
        }
        let x = self.x(CHANCE);
        self.figure.line(&[(x, TOP), (x, bottom)], GREY, 1.0, Dashes::Dashed);
    }

    fn line(&mut self, row: &Row, y: f64) {
        let lettering = Lettering::new(13.0);
        self.figure.text(shortened(&row.name, NAME), (LEFT - 12.0, y), lettering.from(Anchor::End));
        let Some(value) = row.value else {
            return self.figure.text(&row.words, (RIGHT + 12.0, y), lettering.coloured(GREY));
        };
        if let Some([low, high]) = row.interval {
            let [low, high] = [low, high].map(|end| self.x(end));
            self.bar((low, y), (high, y), BLUE);
            for x in [low, high] {
                self.bar((x, y - 4.0), (x, y + 4.0), BLUE);
            }
        }
        let at = (self.x(value), y);
        self.figure.disc(at, 6.0, BLUE);
        if !row.is_best {
            self.figure.disc(at, 4.0, PAPER);
        }
        let lettering = if row.is_best { lettering.bold() } else { lettering };
        self.figure.text(&row.words, (RIGHT + 12.0, y), lettering.coloured(INK));
    }

    fn bar(&mut self, from: (f64, f64), to: (f64, f64), colour: RGBColor) {
        self.figure.stroke(from, to, colour, 2.0);
    }
}
