//! How a coded frame is turned and mirrored for display.

/// One of the eight ways to lay a picture, by its number in TIFF and EXIF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation(u8);

impl Default for Orientation {
    fn default() -> Self {
        Self::UPRIGHT
    }
}

impl Orientation {
    /// As it is coded.
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

    /// Whether rows become columns.
    pub fn is_sideways(self) -> bool {
        self.0 >= Self::TRANSPOSED.0
    }

    /// The nearest to what a display matrix asks for (ISO/IEC 14496-12, 8.3.2), given its elements a, b, c and d, with which a
    /// point (x, y) is shown at (a·x + c·y, b·x + d·y).
    pub(super) fn of_matrix([a, b, c, d]: [i32; 4]) -> Self {
        let sizes = [a, b, c, d].map(|element| u64::from(element.unsigned_abs()));
        if sizes[1] + sizes[2] > sizes[0] + sizes[3] {
            return match (c < 0, b < 0) {
                (false, false) => Self::TRANSPOSED,
                (true, false) => Self::CLOCKWISE,
                (true, true) => Self::TRANSVERSE,
                (false, true) => Self::COUNTERCLOCKWISE,
            };
        }
        match (a < 0, d < 0) {
            (false, false) => Self::UPRIGHT,
            (true, false) => Self::MIRRORED,
            (true, true) => Self::UPSIDE_DOWN,
            (false, true) => Self::FLIPPED,
        }
    }

    /// Column and row in the coded frame, of this width and height, of what is displayed at (x, y).
    pub(crate) fn source(self, (x, y): (usize, usize), (width, height): (usize, usize)) -> (usize, usize) {
        let (column, row) = if self.is_sideways() { (y, x) } else { (x, y) };
        let from_right = [Self::MIRRORED, Self::UPSIDE_DOWN, Self::TRANSVERSE, Self::COUNTERCLOCKWISE].contains(&self);
        let from_bottom = [Self::UPSIDE_DOWN, Self::FLIPPED, Self::CLOCKWISE, Self::TRANSVERSE].contains(&self);
        (if from_right { width - 1 - column } else { column }, if from_bottom { height - 1 - row } else { row })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_matrix_turns_and_mirrors() {
        let one = 1 << 16;
        for (matrix, number) in [
            ([one, 0, 0, one], 1),
            ([-one, 0, 0, one], 2),
            ([-one, 0, 0, -one], 3),
            ([one, 0, 0, -one], 4),
            ([0, one, one, 0], 5),
            ([0, one, -one, 0], 6),
            ([0, -one, -one, 0], 7),
            ([0, -one, one, 0], 8),
            ([2 * one, 0, 0, one], 1),
            ([0, 0, 0, 0], 1),
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
