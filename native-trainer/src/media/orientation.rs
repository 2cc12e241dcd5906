//! How a stored picture is turned and mirrored for display, by its file's display matrix.

use unmask_core::image::RgbImage;

/// One of the eight ways in which a picture can lie: rows and columns exchanged first, then mirrored along either side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orientation {
    /// Rows become columns.
    exchanged: bool,
    /// The displayed picture is mirrored left to right.
    mirrored_across: bool,
    /// The displayed picture is mirrored top to bottom.
    mirrored_down: bool,
}

impl Orientation {
    /// The nearest to a display matrix's upper left part, `[[a, b], [c, d]]`: a point (x, y) is displayed at
    /// (a·x + c·y, b·x + d·y), y pointing down (ISO/IEC 14496-12, 8.3.2).
    pub(super) fn from_matrix([[a, b], [c, d]]: [[f64; 2]; 2]) -> Self {
        match b.abs() + c.abs() > a.abs() + d.abs() {
            true => Self { exchanged: true, mirrored_across: c < 0.0, mirrored_down: b < 0.0 },
            false => Self { exchanged: false, mirrored_across: a < 0.0, mirrored_down: d < 0.0 },
        }
    }

    /// A turn by clockwise degrees, to the nearest quarter.
    pub(super) fn from_degrees(degrees: f64) -> Self {
        let (sine, cosine) = degrees.to_radians().sin_cos();
        Self::from_matrix([[cosine, sine], [-sine, cosine]])
    }

    /// Whether width and height change places.
    pub(super) fn exchanges_sides(self) -> bool {
        self.exchanged
    }

    /// The picture as displayed.
    pub(super) fn apply(self, image: RgbImage) -> RgbImage {
        if self == Self::default() {
            return image;
        }
        let (width, height) = (image.width(), image.height());
        let (shown_width, shown_height) = if self.exchanged { (height, width) } else { (width, height) };
        let pixels = image.pixels().as_chunks::<3>().0;
        let mut shown = Vec::with_capacity(image.pixels().len());
        for y in 0..shown_height {
            let y = if self.mirrored_down { shown_height - 1 - y } else { y };
            for x in 0..shown_width {
                let x = if self.mirrored_across { shown_width - 1 - x } else { x };
                let (column, row) = if self.exchanged { (y, x) } else { (x, y) };
                shown.extend(pixels[row * width + column]);
            }
        }
        // The number of pixels is the same, so this is always an image.
        RgbImage::new(shown_width, shown_height, shown).unwrap_or(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows of three pixels, each of one level.
    fn picture() -> RgbImage {
        RgbImage::new(3, 2, (1..=6).flat_map(|level| [level; 3]).collect()).unwrap()
    }

    fn levels(image: &RgbImage) -> Vec<Vec<u8>> {
        let levels: Vec<u8> = image.pixels().iter().step_by(3).copied().collect();
        levels.chunks(image.width()).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn quarter_turns_go_clockwise() {
        let turned = |degrees| levels(&Orientation::from_degrees(degrees).apply(picture()));
        assert_eq!(turned(0.0), [[1, 2, 3], [4, 5, 6]]);
        assert_eq!(turned(90.0), [[4, 1], [5, 2], [6, 3]]);
        assert_eq!(turned(180.0), [[6, 5, 4], [3, 2, 1]]);
        assert_eq!(turned(-90.0), [[3, 6], [2, 5], [1, 4]]);
        assert_eq!(turned(89.0), turned(90.0));
    }

    #[test]
    fn a_matrix_mirrors_as_well() {
        let mapped = |matrix| levels(&Orientation::from_matrix(matrix).apply(picture()));
        assert_eq!(mapped([[-1.0, 0.0], [0.0, 1.0]]), [[3, 2, 1], [6, 5, 4]]);
        assert_eq!(mapped([[1.0, 0.0], [0.0, -1.0]]), [[4, 5, 6], [1, 2, 3]]);
        assert_eq!(mapped([[0.0, 1.0], [1.0, 0.0]]), [[1, 4], [2, 5], [3, 6]]);
        assert_eq!(mapped([[0.0, -1.0], [-1.0, 0.0]]), [[6, 3], [5, 2], [4, 1]]);
    }
}
