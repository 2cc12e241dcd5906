//! The first table as a chart: for each data set a line for each method, with its AUC as a dot and the interval as a bar.
//!
//! Each line has its name beside it and its figure at its end, and the best of a data set is a filled dot where the others are
//! open: nothing is told by colour alone. The text is set by whoever shows the file, in its own sans-serif.

use std::fmt::Display;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::tables::{AucRow, MEAN};
use crate::evaluation::markdown::cell;

/// The image's width and the parts of it, in pixels.
const WIDTH: i32 = 860;
/// Where the scale begins, after the names.
const LEFT: i32 = 250;
/// Where the scale ends, before the figures.
const RIGHT: i32 = 680;
const LINE: i32 = 24;
const HEADING: i32 = 30;
const TOP: i32 = 44;
const BOTTOM: i32 = 50;
/// Longer names are cut, with an ellipsis.
const NAME: usize = 32;

/// Blue of the palette by Okabe and Ito, which people with any kind of colour vision tell from grey.
const BLUE: RGBColor = RGBColor(0, 114, 178);
const INK: RGBColor = RGBColor(30, 30, 30);
const GREY: RGBColor = RGBColor(110, 110, 110);
const PALE: RGBColor = RGBColor(215, 215, 215);

/// The AUC of a coin.
const CHANCE: f64 = 0.5;
/// The distance of the scale's lines.
const STEP: f64 = 0.1;

/// The chart as SVG.
pub(super) fn draw(rows: &[AucRow]) -> Result<String> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.dataset) {
            names.push(row.dataset);
        }
    }
    let groups: Vec<(&str, Vec<&AucRow>)> =
        names.into_iter().map(|name| (name, rows.iter().filter(|row| row.dataset == name).collect())).collect();
    let lines = i32::try_from(rows.len())? * LINE + i32::try_from(groups.len())? * HEADING;
    let (scale, bottom) = (Scale::of(rows), TOP + lines);
    let mut svg = String::new();
    {
        let size = (WIDTH.unsigned_abs(), (bottom + BOTTOM).unsigned_abs());
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE).map_err(undrawn)?;
        let canvas = Canvas { area: &area, scale };
        canvas.write("AUC of videos in percent", (16, 20), 20, INK, HPos::Left, true)?;
        canvas.grid(bottom)?;
        let mut y = TOP;
        for (name, rows) in &groups {
            canvas.write(&shortened(name), (16, y + HEADING / 2 + 2), 18, INK, HPos::Left, true)?;
            y += HEADING;
            for row in rows {
                canvas.line(row, y + LINE / 2)?;
                y += LINE;
            }
        }
        let below = "bars: 95 % bootstrap intervals; filled: the best of its data set; dashed: chance";
        canvas.write(below, (16, bottom + 38), 15, GREY, HPos::Left, false)?;
        area.present().map_err(undrawn)?;
    }
    Ok(svg)
}

fn undrawn(error: impl Display) -> anyhow::Error {
    anyhow!("the figure cannot be drawn ({error})")
}

fn shortened(name: &str) -> String {
    match name.chars().count() > NAME {
        true => name.chars().take(NAME - 1).chain(['…']).collect(),
        false => name.to_owned(),
    }
}

/// From AUCs to places.
#[derive(Clone, Copy)]
struct Scale {
    /// The AUC at its beginning, a multiple of [`STEP`]; it ends at 1.
    low: f64,
}

impl Scale {
    /// One that holds every dot and bar, and chance.
    fn of(rows: &[AucRow]) -> Self {
        let lows = rows.iter().filter_map(|row| row.interval.map_or(row.auc, |[low, _]| Some(low)));
        let lowest = lows.fold(CHANCE, f64::min);
        Self { low: ((lowest / STEP + 1e-9).floor() * STEP).clamp(0.0, CHANCE) }
    }

    fn x(self, auc: f64) -> i32 {
        let part = ((auc - self.low) / (1.0 - self.low)).clamp(0.0, 1.0);
        LEFT + (part * f64::from(RIGHT - LEFT)).round() as i32
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        let count = ((1.0 - self.low) / STEP).round() as u32;
        (0..=count).map(move |index| self.low + f64::from(index) * STEP)
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

struct Canvas<'a, 'b> {
    area: &'a Area<'b>,
    scale: Scale,
}

impl Canvas<'_, '_> {
    fn write(&self, text: &str, at: (i32, i32), size: i32, colour: RGBColor, from: HPos, bold: bool) -> Result<()> {
        let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
        let font = FontDesc::new(FontFamily::SansSerif, f64::from(size), style);
        let style = TextStyle::from(font).color(&colour).pos(Pos::new(from, VPos::Center));
        self.area.draw(&Text::new(text.to_owned(), at, style)).map_err(undrawn)
    }

    fn stroke(&self, from: (i32, i32), to: (i32, i32), style: ShapeStyle) -> Result<()> {
        self.area.draw(&PathElement::new(vec![from, to], style)).map_err(undrawn)
    }

    /// The lines of the scale with their figures, that of chance dashed.
    fn grid(&self, bottom: i32) -> Result<()> {
        for auc in self.scale.ticks() {
            let x = self.scale.x(auc);
            self.stroke((x, TOP), (x, bottom), PALE.stroke_width(1))?;
            self.write(&format!("{:.0}", auc * 100.0), (x, bottom + 14), 15, GREY, HPos::Center, false)?;
        }
        let x = self.scale.x(CHANCE);
        (TOP..bottom).step_by(8).try_for_each(|y| self.stroke((x, y), (x, (y + 4).min(bottom)), GREY.stroke_width(1)))
    }

    /// A method's line.
    fn line(&self, row: &AucRow, y: i32) -> Result<()> {
        self.write(&shortened(row.method), (LEFT - 12, y), 16, INK, HPos::Right, false)?;
        let Some(auc) = row.auc else {
            return self.write(row.state, (RIGHT + 12, y), 16, GREY, HPos::Left, false);
        };
        if let Some([low, high]) = row.interval {
            let [low, high] = [low, high].map(|end| self.scale.x(end));
            self.stroke((low, y), (high, y), BLUE.stroke_width(2))?;
            for x in [low, high] {
                self.stroke((x, y - 4), (x, y + 4), BLUE.stroke_width(2))?;
            }
        }
        let at = (self.scale.x(auc), y);
        self.area.draw(&Circle::new(at, 6, BLUE.filled())).map_err(undrawn)?;
        if !row.is_best {
            self.area.draw(&Circle::new(at, 4, WHITE.filled())).map_err(undrawn)?;
        }
        let of_sets = if row.dataset == MEAN { format!(" (of {})", row.datasets) } else { String::new() };
        let figure = format!("{}{of_sets}", cell(row.auc));
        self.write(&figure, (RIGHT + 12, y), 16, INK, HPos::Left, row.is_best)
    }
}
