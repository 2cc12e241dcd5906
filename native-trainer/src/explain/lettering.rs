//! Words on pictures.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};
use image::{Rgb, RgbImage as Canvas};

/// The weights of the letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Regular,
    Bold,
}

static REGULAR: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("../../fonts/DejaVuSans.ttf")).ok());
static BOLD: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("../../fonts/DejaVuSans-Bold.ttf")).ok());

impl Weight {
    fn font(self) -> Option<&'static FontRef<'static>> {
        match self {
            Self::Regular => REGULAR.as_ref(),
            Self::Bold => BOLD.as_ref(),
        }
    }
}

/// Writes `words` with their upper left corner at `[x, y]`, letters `size` pixels high; what lies outside is cut off.
pub(super) fn write(picture: &mut Canvas, words: &str, [x, y]: [f32; 2], size: f32, weight: Weight, Rgb(ink): Rgb<u8>) {
    let Some(font) = weight.font() else { return };
    let scaled = font.as_scaled(PxScale::from(size));
    let mut across = x;
    let mut before = None;
    for letter in words.chars() {
        let id = scaled.glyph_id(letter);
        across += before.map_or(0.0, |before| scaled.kern(before, id));
        let glyph = id.with_scale_and_position(PxScale::from(size), point(across, y + scaled.ascent()));
        across += scaled.h_advance(id);
        before = Some(id);
        let Some(outlined) = font.outline_glyph(glyph) else { continue };
        let corner = outlined.px_bounds().min;
        outlined.draw(|column, row, cover| {
            let place = [corner.x as i64 + i64::from(column), corner.y as i64 + i64::from(row)];
            if let [Ok(x), Ok(y)] = place.map(u32::try_from)
                && let Some(Rgb(pixel)) = picture.get_pixel_mut_checked(x, y)
            {
                let mix = |(level, ink): (&mut u8, u8)| {
                    *level = (f32::from(*level) * (1.0 - cover) + f32::from(ink) * cover).round() as u8;
                };
                pixel.iter_mut().zip(ink).for_each(mix);
            }
        });
    }
}

/// White letters with a dark edge, for any ground.
pub(super) fn write_outlined(picture: &mut Canvas, words: &str, [x, y]: [f32; 2], size: f32, weight: Weight) {
    let edge = (size / 14.0).max(1.0);
    for [right, down] in
        [[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0], [-0.7, -0.7], [0.7, 0.7], [-0.7, 0.7], [0.7, -0.7]]
    {
        write(picture, words, [x + right * edge, y + down * edge], size, weight, Rgb([0; 3]));
    }
    write(picture, words, [x, y], size, weight, Rgb([255; 3]));
}

/// The width of `words` in pixels.
pub(super) fn width(words: &str, size: f32, weight: Weight) -> f32 {
    let Some(font) = weight.font() else { return 0.0 };
    let scaled = font.as_scaled(PxScale::from(size));
    words.chars().map(|letter| scaled.h_advance(scaled.glyph_id(letter))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_within_their_width_and_cut_off_at_the_edge() {
        let mut picture = Canvas::from_pixel(200, 40, Rgb([255; 3]));
        write(&mut picture, "P(fake) 0.87", [10.0, 5.0], 20.0, Weight::Bold, Rgb([0; 3]));
        let end = 10.0 + width("P(fake) 0.87", 20.0, Weight::Bold);
        let inked: Vec<u32> =
            picture.enumerate_pixels().filter(|(.., pixel)| pixel.0[0] < 128).map(|(x, ..)| x).collect();
        assert!(inked.len() > 200 && inked.iter().all(|x| *x >= 10 && (*x as f32) <= end));
        write(&mut picture, "beyond", [190.0, 30.0], 20.0, Weight::Regular, Rgb([0; 3]));
        write(&mut picture, "before", [-30.0, -10.0], 20.0, Weight::Regular, Rgb([0; 3]));
    }
}
