//! A decoded frame as the core wants it.

use unmask_core::image::RgbImage;
use wasm_bindgen::JsError;

/// The image that four-byte pixels show once they are turned clockwise by `rotation` degrees.
///
/// # Errors
/// Bytes that do not fit the size.
pub(crate) fn upright(rgba: &[u8], width: usize, height: usize, rotation: u32) -> Result<RgbImage, JsError> {
    turned(rgba, width, height, rotation)
        .ok_or_else(|| JsError::new("the browser gave a frame of another size than it said; try another browser"))
}

/// The image, or `None` if the number of bytes does not fit the size.
fn turned(rgba: &[u8], width: usize, height: usize, rotation: u32) -> Option<RgbImage> {
    let pixels = rgba.as_chunks::<4>().0;
    if width.checked_mul(height)?.checked_mul(4)? != rgba.len() {
        return None;
    }
    let (turned_width, turned_height) = if rotation % 180 == 90 { (height, width) } else { (width, height) };
    let mut rgb = vec![0; width * height * 3];
    let targets = rgb.as_chunks_mut::<3>().0;
    let place = |target: &mut [u8; 3], source: usize| {
        let [red, green, blue, _] = pixels[source];
        *target = [red, green, blue];
    };
    if rotation == 0 {
        targets.iter_mut().enumerate().for_each(|(index, target)| place(target, index));
        return RgbImage::new(width, height, rgb);
    }
    for (index, target) in targets.iter_mut().enumerate() {
        let (x, y) = (index % turned_width, index / turned_width);
        let (column, row) = match rotation {
            90 => (y, height - 1 - x),
            180 => (width - 1 - x, height - 1 - y),
            _ => (width - 1 - y, x),
        };
        place(target, row * width + column);
    }
    RgbImage::new(turned_width, turned_height, rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three pixels beside two rows, each pixel its number.
    fn numbers(rotation: u32) -> (usize, usize, Vec<u8>) {
        let rgba: Vec<u8> = (0..6u8).flat_map(|number| [number, 0, 0, 255]).collect();
        let image = turned(&rgba, 3, 2, rotation).unwrap();
        (image.width(), image.height(), image.pixels().iter().step_by(3).copied().collect())
    }

    #[test]
    fn frames_are_turned_clockwise() {
        assert_eq!(numbers(0), (3, 2, vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(numbers(90), (2, 3, vec![3, 0, 4, 1, 5, 2]));
        assert_eq!(numbers(180), (3, 2, vec![5, 4, 3, 2, 1, 0]));
        assert_eq!(numbers(270), (2, 3, vec![2, 5, 1, 4, 0, 3]));
    }

    #[test]
    fn bytes_that_do_not_fit_the_size_are_no_image() {
        assert!(turned(&[0; 23], 3, 2, 0).is_none());
        assert!(turned(&[], usize::MAX, 2, 0).is_none());
    }
}
