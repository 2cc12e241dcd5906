//! Figures: drawn once as a list of shapes, and written as SVG, as PNG and as the data that they show.
//!
//! [`Figure`] holds the shapes, [`axes`] gives it scales, [`marks`] tells one line or point from another by more than its colour,
//! and [`intervals`] is the chart of figures with their intervals.
//!
//! plotters makes both images of the same shapes. The text of an SVG is set by whoever shows it, in its own sans-serif; a PNG has
//! the DejaVu Sans that is part of the program (`fonts/`), so that it looks alike on machines without any font. That font has
//! Latin, Greek and Cyrillic letters; others are boxes in the PNG.

pub mod axes;
pub mod intervals;
pub mod marks;
pub(crate) mod render;

use std::path::Path;

use anyhow::Result;
use plotters::style::RGBColor;

use crate::files;
use marks::{Dashes, Marker};

/// A place in points from the upper left corner.
pub type Place = (f64, f64);

/// What is written and drawn along.
pub const INK: RGBColor = RGBColor(30, 30, 30);
/// What stands back.
pub const GREY: RGBColor = RGBColor(110, 110, 110);
/// Lines of scales.
pub const PALE: RGBColor = RGBColor(215, 215, 215);
/// What figures are drawn on.
pub const PAPER: RGBColor = RGBColor(255, 255, 255);
/// Blue of the palette by Okabe and Ito, which people with any kind of colour vision tell from the others of it.
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
/// Its vermillion.
pub const VERMILLION: RGBColor = RGBColor(213, 94, 0);

/// Where a text begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end is at the place.
    Start,
    /// Its middle is.
    Middle,
    /// Its right end is.
    End,
}

/// How a text is set.
#[derive(Clone, Copy, Debug)]
pub struct Lettering {
    /// Height in points.
    pub size: f64,
    /// Colour.
    pub colour: RGBColor,
    /// Which part is at the place.
    pub anchor: Anchor,
    /// Whether it is bold.
    pub is_bold: bool,
    /// Whether it runs upwards.
    pub is_upright: bool,
}

impl Lettering {
    /// Text of a size in [`INK`] from the place on.
    pub fn new(size: f64) -> Self {
        Self { size, colour: INK, anchor: Anchor::Start, is_bold: false, is_upright: false }
    }

    /// The same in bold.
    pub fn bold(self) -> Self {
        Self { is_bold: true, ..self }
    }

    /// The same in another colour.
    pub fn coloured(self, colour: RGBColor) -> Self {
        Self { colour, ..self }
    }

    /// The same with another part at the place.
    pub fn from(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    /// The same running upwards.
    pub fn upright(self) -> Self {
        Self { is_upright: true, ..self }
    }
}

/// Something to draw.
#[derive(Clone, Debug)]
enum Shape {
    Line { points: Vec<Place>, colour: RGBColor, width: f64 },
    Area { points: Vec<Place>, colour: RGBColor },
    Disc { at: Place, radius: f64, colour: RGBColor },
    Text { text: String, at: Place, lettering: Lettering },
}

/// An image as a list of shapes, each over those before it.
#[derive(Clone, Debug)]
pub struct Figure {
    width: f64,
    height: f64,
    shapes: Vec<Shape>,
}

impl Figure {
    /// An empty one of this size in points, on [`PAPER`].
    pub fn new(width: f64, height: f64) -> Self {
        Self { width, height, shapes: Vec::new() }
    }

    /// Draws a line through points.
    pub fn line(&mut self, points: &[Place], colour: RGBColor, width: f64, dashes: Dashes) {
        for piece in dashes.pieces(points) {
            self.shapes.push(Shape::Line { points: piece, colour, width });
        }
    }

    /// Draws a straight line.
    pub fn stroke(&mut self, from: Place, to: Place, colour: RGBColor, width: f64) {
        self.line(&[from, to], colour, width, Dashes::Solid);
    }

    /// Fills the polygon with these corners.
    pub fn area(&mut self, points: &[Place], colour: RGBColor) {
        self.shapes.push(Shape::Area { points: points.to_vec(), colour });
    }

    /// Fills the rectangle between two corners.
    pub fn rectangle(&mut self, [left, top]: [f64; 2], [right, bottom]: [f64; 2], colour: RGBColor) {
        self.area(&[(left, top), (right, top), (right, bottom), (left, bottom)], colour);
    }

    /// Fills a circle.
    pub fn disc(&mut self, at: Place, radius: f64, colour: RGBColor) {
        self.shapes.push(Shape::Disc { at, radius, colour });
    }

    /// Draws a marker, filled or open.
    pub fn marker(&mut self, marker: Marker, at: Place, radius: f64, colour: RGBColor, is_filled: bool) {
        marker.draw(self, at, radius, colour);
        if !is_filled {
            marker.draw(self, at, (radius - 1.6).max(0.0), PAPER);
        }
    }

    /// Writes a line of text, its middle at the height of the place.
    pub fn text(&mut self, text: impl Into<String>, at: Place, lettering: Lettering) {
        self.shapes.push(Shape::Text { text: text.into(), at, lettering });
    }

    /// Writes the figure as SVG and PNG and its data as CSV into `folder`, under `name` and their endings; these names.
    ///
    /// # Errors
    /// The figure is larger than an image can be, or a file cannot be written.
    pub fn write(&self, folder: &Path, name: &str, csv: &[u8]) -> Result<Vec<String>> {
        let files = [("svg", self.svg()?.into_bytes()), ("png", self.png()?), ("csv", csv.to_vec())];
        let write = |(ending, bytes): (&str, Vec<u8>)| {
            let file = format!("{name}.{ending}");
            files::write_bytes(&folder.join(&file), &bytes)?;
            Ok(file)
        };
        files.into_iter().map(write).collect()
    }
}

/// A name of at most `most` letters, cut with an ellipsis.
pub fn shortened(name: &str, most: usize) -> String {
    let name = name.replace(char::is_control, " ");
    match name.chars().count() > most {
        true => name.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => name,
    }
}
