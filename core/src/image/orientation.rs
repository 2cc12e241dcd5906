//! How a stored picture is turned and mirrored for display.

use alloc::vec::Vec;

use super::RgbImage;

/// One of the eight ways to lay a picture, by its number in TIFF and EXIF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation(u8);

impl Default for Orientation {
    fn default() -> Self {
        Self::UPRIGHT
    }
}

impl Orientation {
    /// As it is stored.
    pub const UPRIGHT: Self = Self(1);
    const MIRRORED: Self = Self(2);
    const UPSIDE_DOWN: Self = Self(3);
    const FLIPPED: Self = Self(4);
    const TRANSPOSED: Self = Self(5);
    const CLOCKWISE: Self = Self(6);
    const TRANSVERSE: Self = Self(7);
    const COUNTERCLOCKWISE: Self = Self(8);

    /// The one with this number, if it is one from 1 to 8.
    pub fn numbered(number: u32) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=8).contains(number)).map(Self)
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0.into()
    }

    /// A clockwise turn by so many quarters.
    pub fn turned(quarters: usize) -> Self {
        [Self::UPRIGHT, Self::CLOCKWISE, Self::UPSIDE_DOWN, Self::COUNTERCLOCKWISE][quarters % 4]
    }

    /// A turn by clockwise degrees, to the nearest quarter.
    pub fn of_degrees(degrees: f64) -> Self {
        let (sine, cosine) = libm::sincos(degrees.to_radians());
        Self::of_matrix([cosine, sine, -sine, cosine])
    }

    /// The nearest to what a display matrix asks for (ISO/IEC 14496-12, 8.3.2), given its elements a, b, c and d, with
    /// which a point (x, y) is shown at (a·x + c·y, b·x + d·y), y pointing down.
    pub fn of_matrix([a, b, c, d]: [f64; 4]) -> Self {
        if b.abs() + c.abs() > a.abs() + d.abs() {
            return match (c < 0.0, b < 0.0) {
                (false, false) => Self::TRANSPOSED,
                (true, false) => Self::CLOCKWISE,
                (true, true) => Self::TRANSVERSE,
                (false, true) => Self::COUNTERCLOCKWISE,
            };
        }
        match (a < 0.0, d < 0.0) {
            (false, false) => Self::UPRIGHT,
            (true, false) => Self::MIRRORED,
            (true, true) => Self::UPSIDE_DOWN,
            (false, true) => Self::FLIPPED,
        }
    }

    /// Whether rows become columns, so that width and height change places.
    pub fn is_sideways(self) -> bool {
        self.0 >= Self::TRANSPOSED.0
    }

    /// The picture as displayed.
    ///
    /// ```
    /// use unmask_core::image::{Orientation, RgbImage};
    /// let stored = RgbImage::new(2, 1, vec![1, 1, 1, 2, 2, 2]).unwrap();
    /// let shown = Orientation::turned(1).apply(stored);
    /// assert_eq!((shown.width(), shown.height()), (1, 2));
    /// assert_eq!(Orientation::turned(2).apply(shown).pixels(), [2, 2, 2, 1, 1, 1]);
    /// ```
    pub fn apply(self, image: RgbImage) -> RgbImage {
        if self == Self::UPRIGHT { image } else { self.laid(&image) }
    }

    /// A copy of the picture as displayed.
    pub(crate) fn laid(self, image: &RgbImage) -> RgbImage {
        let (width, height) = (image.width, image.height);
        let (across, down) = if self.is_sideways() { (height, width) } else { (width, height) };
        let from_right = [Self::MIRRORED, Self::UPSIDE_DOWN, Self::TRANSVERSE, Self::COUNTERCLOCKWISE].contains(&self);
        let from_bottom = [Self::UPSIDE_DOWN, Self::FLIPPED, Self::CLOCKWISE, Self::TRANSVERSE].contains(&self);
        let (source, _) = image.pixels.as_chunks::<3>();
        let mut pixels = Vec::with_capacity(image.pixels.len());
        for y in 0..down {
            for x in 0..across {
                let (column, row) = if self.is_sideways() { (y, x) } else { (x, y) };
                let column = if from_right { width - 1 - column } else { column };
                let row = if from_bottom { height - 1 - row } else { row };
                pixels.extend(source[row * width + column]);
            }
        }
        RgbImage { width: across, height: down, pixels }
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
        let turned = |degrees| levels(&Orientation::of_degrees(degrees).apply(picture()));
        assert_eq!(turned(0.0), [[1, 2, 3], [4, 5, 6]]);
        assert_eq!(turned(90.0), [[4, 1], [5, 2], [6, 3]]);
        assert_eq!(turned(180.0), [[6, 5, 4], [3, 2, 1]]);
        assert_eq!(turned(-90.0), [[3, 6], [2, 5], [1, 4]]);
        assert_eq!(turned(89.0), turned(90.0));
        for quarters in 0..8u32 {
            assert_eq!(Orientation::turned(quarters as usize), Orientation::of_degrees(f64::from(90 * quarters)));
        }
    }

    #[test]
    fn a_matrix_mirrors_as_well() {
        let mapped = |matrix| levels(&Orientation::of_matrix(matrix).apply(picture()));
        assert_eq!(mapped([-1.0, 0.0, 0.0, 1.0]), [[3, 2, 1], [6, 5, 4]]);
        assert_eq!(mapped([1.0, 0.0, 0.0, -1.0]), [[4, 5, 6], [1, 2, 3]]);
        assert_eq!(mapped([0.0, 1.0, 1.0, 0.0]), [[1, 4], [2, 5], [3, 6]]);
        assert_eq!(mapped([0.0, -1.0, -1.0, 0.0]), [[6, 3], [5, 2], [4, 1]]);
    }

    #[test]
    fn a_display_matrix_has_the_number_of_its_orientation() {
        let one = f64::from(1 << 16);
        for (matrix, number) in [
            ([one, 0.0, 0.0, one], 1),
            ([-one, 0.0, 0.0, one], 2),
            ([-one, 0.0, 0.0, -one], 3),
            ([one, 0.0, 0.0, -one], 4),
            ([0.0, one, one, 0.0], 5),
            ([0.0, one, -one, 0.0], 6),
            ([0.0, -one, -one, 0.0], 7),
            ([0.0, -one, one, 0.0], 8),
            ([2.0 * one, 0.0, 0.0, one], 1),
            ([0.0, 0.0, 0.0, 0.0], 1),
        ] {
            assert_eq!(Orientation::of_matrix(matrix).number(), number, "{matrix:?}");
        }
    }

    #[test]
    fn only_the_numbers_from_one_to_eight_are_orientations() {
        assert_eq!((1..=8).filter_map(Orientation::numbered).count(), 8);
        assert_eq!([0, 9, 257].map(Orientation::numbered), [None; 3]);
    }
}
