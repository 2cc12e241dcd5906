//! What tells one line or point from another: colour, dashes and shape together.

use plotters::style::RGBColor;

use super::{BLUE, Figure, INK, Place, VERMILLION};

/// How a line is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dashes {
    /// Not at all.
    Solid,
    /// Long pieces.
    Dashed,
    /// Short ones.
    Dotted,
    /// Long and short ones in turn.
    DashDotted,
}

impl Dashes {
    /// Lengths of what is drawn and what is left out, in turn, in points.
    fn lengths(self) -> &'static [f64] {
        match self {
            Self::Solid => &[],
            Self::Dashed => &[8.0, 4.0],
            Self::Dotted => &[2.0, 3.0],
            Self::DashDotted => &[9.0, 3.0, 2.0, 3.0],
        }
    }

    /// The pieces of the line through `points` that are drawn.
    pub(super) fn pieces(self, points: &[Place]) -> Vec<Vec<Place>> {
        let lengths = self.lengths();
        let (Some(first), [start, ..]) = (points.first(), lengths) else { return vec![points.to_vec()] };
        let (mut pieces, mut piece) = (Vec::new(), vec![*first]);
        let (mut index, mut left) = (0, *start);
        for pair in points.windows(2) {
            let [from, to] = [pair[0], pair[1]];
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let mut done = 0.0;
            while length - done > left {
                done += left;
                let part = done / length;
                let at = (from.0 + part * (to.0 - from.0), from.1 + part * (to.1 - from.1));
                // Every other length is a gap.
                match index % 2 {
                    0 => {
                        piece.push(at);
                        pieces.push(std::mem::take(&mut piece));
                    }
                    _ => piece = vec![at],
                }
                index += 1;
                left = lengths[index % lengths.len()];
            }
            left -= length - done;
            if index % 2 == 0 {
                piece.push(to);
            }
        }
        if index % 2 == 0 && piece.len() > 1 {
            pieces.push(piece);
        }
        pieces
    }
}

/// The shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// A circle.
    Circle,
    /// A square on its side.
    Square,
    /// A triangle on its side.
    Triangle,
    /// A square on its corner.
    Diamond,
    /// A triangle on its corner.
    Wedge,
    /// A cross of two bars.
    Plus,
}

impl Marker {
    const ALL: [Self; 6] = [Self::Circle, Self::Square, Self::Triangle, Self::Diamond, Self::Wedge, Self::Plus];

    /// The marker of the data set at `index`.
    pub fn of(index: usize) -> Self {
        Self::ALL[index % Self::ALL.len()]
    }

    /// Fills it: about as large as a circle of the radius.
    pub(super) fn draw(self, figure: &mut Figure, (x, y): Place, radius: f64, colour: RGBColor) {
        let around = |corners: &[[f64; 2]]| -> Vec<Place> {
            corners.iter().map(|[across, down]| (x + across * radius, y + down * radius)).collect()
        };
        match self {
            Self::Circle => figure.disc((x, y), radius, colour),
            Self::Square => figure.area(&around(&[[-0.88, -0.88], [0.88, -0.88], [0.88, 0.88], [-0.88, 0.88]]), colour),
            Self::Triangle => figure.area(&around(&[[0.0, -1.3], [1.2, 0.8], [-1.2, 0.8]]), colour),
            Self::Diamond => figure.area(&around(&[[0.0, -1.3], [1.3, 0.0], [0.0, 1.3], [-1.3, 0.0]]), colour),
            Self::Wedge => figure.area(&around(&[[0.0, 1.3], [1.2, -0.8], [-1.2, -0.8]]), colour),
            Self::Plus => {
                figure.area(&around(&[[-1.2, -0.45], [1.2, -0.45], [1.2, 0.45], [-1.2, 0.45]]), colour);
                figure.area(&around(&[[-0.45, -1.2], [0.45, -1.2], [0.45, 1.2], [-0.45, 1.2]]), colour);
            }
        }
    }
}

/// Colour, dashes and marker of one of several lines.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Of the palette by Okabe and Ito, without those too pale for lines.
    pub colour: RGBColor,
    /// How the line is broken.
    pub dashes: Dashes,
    /// The shape of its points.
    pub marker: Marker,
}

/// Ink and the palette's darker colours, neighbours far apart in lightness.
const COLOURS: [RGBColor; 6] =
    [BLUE, VERMILLION, INK, RGBColor(0, 158, 115), RGBColor(204, 121, 167), RGBColor(86, 180, 233)];
const DASHES: [Dashes; 4] = [Dashes::Solid, Dashes::Dashed, Dashes::Dotted, Dashes::DashDotted];

impl Style {
    /// The style of the line at `index`.
    pub fn of(index: usize) -> Self {
        Self { colour: COLOURS[index % COLOURS.len()], dashes: DASHES[index % DASHES.len()], marker: Marker::of(index) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(points: &[Place]) -> f64 {
        points.windows(2).map(|pair| (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1)).sum()
    }

    #[test]
    fn dashes_go_round_corners_and_cover_their_part_of_the_line() {
        let points = [(0.0, 0.0), (30.0, 0.0), (30.0, 90.0)];
        let pieces = Dashes::Dashed.pieces(&points);
        let drawn: f64 = pieces.iter().map(|piece| length(piece)).sum();
        assert!((drawn - 80.0).abs() < 1e-9 && pieces.len() == 10, "{drawn} in {} pieces", pieces.len());
        assert!(pieces.iter().any(|piece| piece.len() == 3), "one goes round the corner");
        assert_eq!(Dashes::Solid.pieces(&points), [points.to_vec()]);
        assert_eq!(Dashes::Dotted.pieces(&[]), [Vec::new()]);
    }

    #[test]
    fn neighbouring_styles_differ_in_colour_dashes_and_marker() {
        for index in 0..20 {
            let (one, next) = (Style::of(index), Style::of(index + 1));
            assert!(one.colour != next.colour && one.dashes != next.dashes && one.marker != next.marker, "{index}");
        }
    }
}
