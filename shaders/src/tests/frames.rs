//! Frames to crop faces from.

use unmask_core::image::RgbImage;

/// Noise in blocks of 3 × 3 pixels with single pixels in between: edges in every direction, black to white.
pub(super) fn noise(width: usize, height: usize) -> RgbImage {
    let level = |column: usize, row: usize, channel: usize| {
        let (column, row) =
            if (column + row).is_multiple_of(7) { (column, row) } else { (column / 3 * 3, row / 3 * 3) };
        let mixed =
            (column as u32).wrapping_mul(0x9E37_79B1) ^ (row as u32 + 7 * channel as u32).wrapping_mul(0x85EB_CA77);
        match (mixed ^ (mixed >> 15)).wrapping_mul(0xC2B2_AE3D) >> 24 {
            0..64 => 0,
            level @ 64..192 => level as u8,
            _ => 255,
        }
    };
    let pixels = (0..width * height)
        .flat_map(|pixel| [0, 1, 2].map(|channel| level(pixel % width, pixel / width, channel)))
        .collect();
    RgbImage::new(width, height, pixels).unwrap()
}

/// The photograph of this repository's documentation.
pub(super) fn photograph() -> RgbImage {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/images/sbi.webp");
    let decoded = image::open(file).unwrap().into_rgb8();
    let (width, height) = decoded.dimensions();
    RgbImage::new(width as usize, height as usize, decoded.into_raw()).unwrap()
}

/// Pixels as the shaders have them: 4 bytes each.
pub(super) fn padded(image: &RgbImage) -> Vec<u8> {
    image.pixels().as_chunks::<3>().0.iter().flat_map(|&[red, green, blue]| [red, green, blue, 255]).collect()
}

/// Width and height.
pub(super) fn size(image: &RgbImage) -> [u32; 2] {
    [image.width() as u32, image.height() as u32]
}
