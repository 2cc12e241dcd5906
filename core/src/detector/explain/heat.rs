//! Maps over faces. Heat is light on a picture without colours, so that it is seen by any eye and on paper: its colours grow lighter with every
//! step (magma, of matplotlib), up to nearly white.

use alloc::vec::Vec;

use super::EvidenceMap;
use crate::image::RgbImage;

/// How much of a picture heat hides at most.
const COVER: f32 = 0.8;

/// A square crop under `values` of a map of `side` × `side` squares, of which `largest` is the hottest
/// ([`largest`](super::largest)).
pub fn over(crop: &RgbImage, values: &[f32], side: usize, largest: f32) -> RgbImage {
    let heat = EvidenceMap::enlarged(values, side, crop.width());
    let pixels = crop.pixels().as_chunks::<3>().0.iter().zip(heat);
    let pixels: Vec<u8> = pixels.flat_map(|(pixel, heat)| heated(*pixel, part(heat, largest))).collect();
    RgbImage::new(crop.width(), crop.height(), pixels).unwrap_or_else(|| crop.clone())
}

/// A value in parts of the largest.
pub fn part(value: f32, largest: f32) -> f32 {
    if largest > 0.0 { (value / largest).clamp(0.0, 1.0) } else { 0.0 }
}

/// A pixel under heat from 0 to 1: without its colour (BT.601) and a little darker, so that heat is lighter than it.
pub fn heated([red, green, blue]: [u8; 3], heat: f32) -> [u8; 3] {
    let grey = 0.75 * (0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue));
    let colour = colorous::MAGMA.eval_continuous(f64::from(0.25 + 0.75 * heat));
    let cover = COVER * libm::sqrtf(heat);
    [colour.r, colour.g, colour.b].map(|level| (grey * (1.0 - cover) + f32::from(level) * cover + 0.5) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance([red, green, blue]: [u8; 3]) -> f32 {
        0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)
    }

    #[test]
    fn the_hottest_is_the_lightest_on_any_picture_and_what_is_cold_is_grey() {
        for level in [0, 80, 160, 255] {
            let heated = |heat: f32| heated([level; 3], heat);
            assert_eq!(heated(0.0), [(0.75 * f32::from(level) + 0.5) as u8; 3]);
            let hottest = luminance(heated(1.0));
            assert!((0..10).all(|step| luminance(heated(step as f32 / 10.0)) < hottest) && hottest > 150.0);
        }
        let [red, green, blue] = heated([200, 30, 30], 0.0);
        assert!(red == green && green == blue);
    }

    #[test]
    fn heat_lies_where_the_map_has_it() {
        let crop = RgbImage::new(8, 8, [100; 8 * 8 * 3].to_vec()).expect("an image");
        let picture = over(&crop, &[0.0, 0.0, 0.0, 2.0], 2, 2.0);
        let level = |x: usize, y: usize| picture.pixels()[(y * 8 + x) * 3];
        assert_eq!(level(0, 0), 75);
        assert!(level(7, 7) > 150, "{}", level(7, 7));
        assert_eq!(over(&crop, &[0.0; 4], 2, 0.0), over(&crop, &[], 0, 1.0), "without heat");
    }
}
