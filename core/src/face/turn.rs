//! Turning images by quarters, and points back.

use crate::image::{Orientation, RgbImage};

/// The image turned clockwise by so many quarters, 0 to 3.
pub(super) fn turned(image: &RgbImage, quarters: usize) -> RgbImage {
    Orientation::turned(quarters).laid(image)
}

/// Where a place of the turned image is in the image itself, which has this size; both count from upper left corners.
pub(super) fn turned_back([x, y]: [f32; 2], quarters: usize, width: usize, height: usize) -> [f32; 2] {
    match quarters {
        0 => [x, y],
        1 => [y, height as f32 - x],
        2 => [width as f32 - x, height as f32 - y],
        _ => [width as f32 - y, x],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_takes_the_lower_left_to_the_upper_left() {
        // 3 × 2, numbered row by row.
        let image = RgbImage::new(3, 2, (0..6).flat_map(|level| [level; 3]).collect()).unwrap();
        let levels = |quarters| -> alloc::vec::Vec<u8> {
            turned(&image, quarters).pixels().iter().step_by(3).copied().collect()
        };
        assert_eq!(levels(0), [0, 1, 2, 3, 4, 5]);
        assert_eq!(levels(1), [3, 0, 4, 1, 5, 2]);
        assert_eq!(levels(2), [5, 4, 3, 2, 1, 0]);
        assert_eq!(levels(3), [2, 5, 1, 4, 0, 3]);
        assert_eq!((turned(&image, 1).width(), turned(&image, 1).height()), (2, 3));
    }

    #[test]
    fn places_are_turned_back_to_where_their_pixels_came_from() {
        let image = RgbImage::new(5, 3, (0..45).collect()).unwrap();
        for quarters in 0..4 {
            let result = turned(&image, quarters);
            for (index, pixel) in result.pixels().as_chunks::<3>().0.iter().enumerate() {
                let middle = [(index % result.width()) as f32 + 0.5, (index / result.width()) as f32 + 0.5];
                let [x, y] = turned_back(middle, quarters, 5, 3);
                assert_eq!(
                    *pixel,
                    image.pixels().as_chunks::<3>().0[y as usize * 5 + x as usize],
                    "{quarters} {index}"
                );
            }
        }
    }
}
