//! A plot's two scales, with their lines, figures and names.

use super::marks::{Dashes, Style};
use super::{Anchor, Figure, GREY, INK, Lettering, PALE, Place};

/// From values to places along one direction.
#[derive(Clone, Debug)]
pub struct Scale {
    low: f64,
    high: f64,
    /// Values with a line, and what is written at it.
    ticks: Vec<(f64, String)>,
}

impl Scale {
    /// Parts of a whole in percent, from 0 to 100.
    pub fn percent() -> Self {
        Self::percent_between(0.0, 1.0)
    }

    /// Parts of a whole in percent between two of them, with some five lines.
    pub fn percent_between(low: f64, high: f64) -> Self {
        let step = step(high - low);
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let decimals = usize::from(step < 0.0099);
        let tick = |index: i64| (index as f64 * step, format!("{:.decimals$}", index as f64 * step * 100.0));
        Self { low, high, ticks: (first..=last).map(tick).collect() }
    }

    /// Parts of a whole in percent from 0 both upwards and downwards, figures without sign.
    pub fn percent_both_ways(highest: f64) -> Self {
        let upwards = Self::percent_between(0.0, highest).ticks;
        let downwards = upwards.iter().skip(1).map(|(value, words)| (-value, words.clone())).collect::<Vec<_>>();
        Self { low: -highest, high: highest, ticks: upwards.into_iter().chain(downwards).collect() }
    }

    /// Places 0, 1, … with these names.
    pub fn named(names: &[String]) -> Self {
        let ticks = names.iter().enumerate().map(|(index, name)| (index as f64, name.clone())).collect();
        Self { low: -0.4, high: names.len() as f64 - 0.6, ticks }
    }

    /// A range without figures, for values that mean nothing by themselves.
    pub fn bare(low: f64, high: f64) -> Self {
        Self { low, high, ticks: Vec::new() }
    }

    /// Where a value lies, in parts of the scale.
    fn part(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// The distance of lines on a scale of this length: 1, 2 or 5 times a power of ten, for five lines or a few more.
fn step(length: f64) -> f64 {
    let rough = (length / 5.0).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough * 0.999).unwrap_or(10.0);
    factor * power
}

/// A plot within a figure.
#[derive(Clone, Debug)]
pub struct Axes {
    /// Left and upper edge in points.
    pub corner: [f64; 2],
    /// Width and height in points.
    pub size: [f64; 2],
    /// Along the bottom.
    pub across: Scale,
    /// Along the left side, upwards.
    pub up: Scale,
}

/// Sizes of letters in points.
pub const TITLE: f64 = 14.0;
/// Of the names of scales.
pub const NAME: f64 = 12.0;
/// Of figures and legends.
pub const SMALL: f64 = 11.0;

impl Axes {
    /// The place of a value on both scales.
    pub fn place(&self, (x, y): (f64, f64)) -> Place {
        let [left, top] = self.corner;
        let [width, height] = self.size;
        (left + self.across.part(x) * width, top + (1.0 - self.up.part(y)) * height)
    }

    /// Draws the lines of the scales, their figures and names, and a title above.
    pub fn draw(&self, figure: &mut Figure, title: &str, across: &str, up: &str) {
        let ([left, top], [width, height]) = (self.corner, self.size);
        let (right, bottom) = (left + width, top + height);
        let small = Lettering::new(SMALL).coloured(GREY);
        for (value, words) in &self.across.ticks {
            let (x, _) = self.place((*value, self.up.low));
            figure.stroke((x, top), (x, bottom), PALE, 1.0);
            figure.text(words, (x, bottom + 12.0), small.from(Anchor::Middle));
        }
        for (value, words) in &self.up.ticks {
            let (_, y) = self.place((self.across.low, *value));
            figure.stroke((left, y), (right, y), PALE, 1.0);
            figure.text(words, (left - 6.0, y), small.from(Anchor::End));
        }
        let frame = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
        figure.line(&frame, GREY, 1.0, Dashes::Solid);
        figure.text(title, (left, top - 14.0), Lettering::new(TITLE).bold());
        let name = Lettering::new(NAME).coloured(INK).from(Anchor::Middle);
        figure.text(across, (left + width / 2.0, bottom + 32.0), name);
        figure.text(up, (left - 42.0, top + height / 2.0), name.upright());
    }

    /// Draws a line through values.
    pub fn curve(&self, figure: &mut Figure, values: impl IntoIterator<Item = (f64, f64)>, style: Style) {
        let points: Vec<Place> = values.into_iter().map(|value| self.place(value)).collect();
        figure.line(&points, style.colour, 2.0, style.dashes);
    }

    /// Names the line of a style beside the plot, as the one at `index`, with its marker where it has points.
    pub fn legend(&self, figure: &mut Figure, index: usize, style: Style, has_markers: bool, words: &[String]) {
        let x = self.corner[0] + self.size[0] + 16.0;
        let mut y = self.corner[1] + 8.0 + index as f64 * 40.0;
        figure.line(&[(x, y), (x + 34.0, y)], style.colour, 2.0, style.dashes);
        if has_markers {
            figure.marker(style.marker, (x + 17.0, y), 4.5, style.colour, true);
        }
        for (line, words) in words.iter().enumerate() {
            let lettering = Lettering::new(SMALL).coloured(if line == 0 { INK } else { GREY });
            figure.text(words, (x + 42.0, y), lettering);
            y += 15.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_round_figures_and_values_lie_between_their_ends() {
        let words = |scale: &Scale| scale.ticks.iter().map(|(_, words)| words.clone()).collect::<Vec<_>>();
        assert_eq!(words(&Scale::percent()), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(words(&Scale::percent_between(0.0, 0.31)), ["0", "10", "20", "30"]);
        assert_eq!(words(&Scale::percent_between(0.0, 0.02)), ["0.0", "0.5", "1.0", "1.5", "2.0"]);
        let axes = Axes { corner: [10.0, 20.0], size: [100.0, 50.0], across: Scale::percent(), up: Scale::percent() };
        assert_eq!(axes.place((0.0, 0.0)), (10.0, 70.0));
        assert_eq!(axes.place((1.0, 0.5)), (110.0, 45.0));
        assert_eq!(axes.place((2.0, -1.0)), (110.0, 70.0), "what lies outside is drawn at the edge");
    }
}
