//! A border around pictures that end at the face, so that the face is found and cropped as one amid a picture is.

use unmask_core::image::RgbImage;

/// The border on each side, in parts of the picture's longer side.
const BORDER: f64 = 0.3;

/// How many pixels wide the border around a picture is.
pub(super) fn width(image: &RgbImage) -> usize {
    let longer = image.width().max(image.height());
    let least = image.width().min(image.height());
    // What is mirrored cannot be wider than what there is.
    ((longer as f64 * BORDER).round() as usize).min(least.saturating_sub(1))
}

/// The picture with a border of `border` pixels in which it goes on as in a mirror; the pixels at its edge are not repeated.
pub(super) fn mirrored(image: &RgbImage, border: usize) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    let source = |place: usize, length: usize| {
        let place = place.abs_diff(border);
        if place < length { place } else { 2 * (length - 1) - place }
    };
    let columns: Vec<usize> = (0..width + 2 * border).map(|column| source(column, width)).collect();
    let mut pixels = Vec::with_capacity(columns.len() * (height + 2 * border) * 3);
    for row in 0..height + 2 * border {
        let row = &image.pixels()[source(row, height) * width * 3..][..width * 3];
        columns.iter().for_each(|column| pixels.extend_from_slice(&row[column * 3..column * 3 + 3]));
    }
    RgbImage::new(columns.len(), height + 2 * border, pixels).unwrap_or_else(|| image.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, levels: &[u8]) -> RgbImage {
        RgbImage::new(width, levels.len() / width, levels.iter().flat_map(|level| [*level; 3]).collect()).unwrap()
    }

    #[test]
    fn a_picture_goes_on_beyond_its_edges_as_in_a_mirror() {
        let image = picture(3, &[1, 2, 3, 4, 5, 6]);
        let expected = [5, 4, 5, 6, 5, 2, 1, 2, 3, 2, 5, 4, 5, 6, 5, 2, 1, 2, 3, 2];
        assert_eq!(mirrored(&image, 1), picture(5, &expected));
        assert_eq!(mirrored(&image, 0), image);
    }

    #[test]
    fn the_border_is_never_wider_than_the_mirror_reaches() {
        for (width, height) in [(1, 1), (1, 50), (50, 1), (2, 9), (224, 224)] {
            let image = picture(width, &vec![7; width * height]);
            let border = self::width(&image);
            assert!(border < width.min(height));
            let bordered = mirrored(&image, border);
            assert_eq!((bordered.width(), bordered.height()), (width + 2 * border, height + 2 * border));
        }
    }
}
