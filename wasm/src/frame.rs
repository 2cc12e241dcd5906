//! A decoded frame as the core wants it.

use unmask_core::image::{Orientation, RgbImage};
use wasm_bindgen::JsValue;

use crate::error::coded;

/// The image that `pixels` show, of three bytes each or of four whose last is ignored, once they are laid as the orientation
/// with this number asks.
///
/// # Errors
/// Bytes that do not fit the size, or a number that is none.
pub(crate) fn upright(pixels: &[u8], width: usize, height: usize, orientation: u32) -> Result<RgbImage, JsValue> {
    let misfit = || coded("the browser gave a frame of another size than it said; try another browser", "internal");
    Orientation::numbered(orientation)
        .and_then(|orientation| laid(pixels, width, height, orientation))
        .ok_or_else(misfit)
}

/// The image, or `None` if the number of bytes does not fit the size.
fn laid(pixels: &[u8], width: usize, height: usize, orientation: Orientation) -> Option<RgbImage> {
    let count = width.checked_mul(height).filter(|count| *count > 0)?;
    let rgb = match pixels.len() / count {
        _ if !pixels.len().is_multiple_of(count) => return None,
        3 => pixels.to_vec(),
        4 => without_fourth(pixels),
        _ => return None,
    };
    RgbImage::new(width, height, rgb).map(|image| orientation.apply(image))
}

/// The first three of every four bytes.
fn without_fourth(pixels: &[u8]) -> Vec<u8> {
    let mut rgb = vec![0; pixels.len() / 4 * 3];
    let pairs = rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels.as_chunks::<4>().0);
    pairs.for_each(|(target, [red, green, blue, _])| *target = [*red, *green, *blue]);
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three pixels beside two rows, each pixel its number, of this many bytes.
    fn numbers(orientation: u32, bytes: usize) -> (usize, usize, Vec<u8>) {
        let pixels: Vec<u8> = (0..6u8).flat_map(|number| [number, 0, 0, 255].into_iter().take(bytes)).collect();
        let image = laid(&pixels, 3, 2, Orientation::numbered(orientation).unwrap()).unwrap();
        (image.width(), image.height(), image.pixels().iter().step_by(3).copied().collect())
    }

    #[test]
    fn frames_are_laid_as_their_orientation_says() {
        for bytes in [3, 4] {
            assert_eq!(numbers(1, bytes), (3, 2, vec![0, 1, 2, 3, 4, 5]));
            assert_eq!(numbers(2, bytes), (3, 2, vec![2, 1, 0, 5, 4, 3]));
            assert_eq!(numbers(3, bytes), (3, 2, vec![5, 4, 3, 2, 1, 0]));
            assert_eq!(numbers(4, bytes), (3, 2, vec![3, 4, 5, 0, 1, 2]));
            assert_eq!(numbers(5, bytes), (2, 3, vec![0, 3, 1, 4, 2, 5]));
            assert_eq!(numbers(6, bytes), (2, 3, vec![3, 0, 4, 1, 5, 2]));
            assert_eq!(numbers(7, bytes), (2, 3, vec![5, 2, 4, 1, 3, 0]));
            assert_eq!(numbers(8, bytes), (2, 3, vec![2, 5, 1, 4, 0, 3]));
        }
    }

    #[test]
    fn bytes_that_do_not_fit_the_size_are_no_image() {
        assert!(laid(&[0; 23], 3, 2, Orientation::UPRIGHT).is_none());
        assert!(laid(&[0; 12], 3, 2, Orientation::UPRIGHT).is_none());
        assert!(laid(&[], usize::MAX, 2, Orientation::UPRIGHT).is_none());
        assert!(laid(&[], 0, 2, Orientation::UPRIGHT).is_none());
    }
}
