//! A self-blended face within a whole picture, for looking at and for trying a detector on.

use unmask_core::face::Landmarks;
use unmask_core::face::alignment::{CropGeometry, Similarity, template};
use unmask_core::image::RgbImage;

use super::rebuilt;
use super::sbi::Blend;

/// Margin of the square that is blended: more than a training crop's 1.3, so that the mask ends within it.
const MARGIN: f32 = 1.6;

/// The picture with the face at `landmarks` blended with a changed copy of itself. Everything outside the blend's mask stays
/// as it is. `None` where the landmarks leave nothing to blend.
pub fn blended_in_place(picture: &RgbImage, landmarks: &Landmarks, blend: &Blend) -> Option<RgbImage> {
    let square = Square::around(picture, landmarks)?;
    let moved = landmarks.map(|[x, y]| [x - square.left as f32, y - square.top as f32]);
    let pair = blend.clone().of_unchanged_target().apply(&square.cut(picture)?, &moved)?;
    Some(square.paste(picture, &pair.fake))
}

/// Whole pixels of a picture, cut off where the picture ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Square {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Square {
    /// What a crop with [`MARGIN`] would show of the picture, upright.
    fn around(picture: &RgbImage, landmarks: &Landmarks) -> Option<Self> {
        // The crop's own size does not matter here: only where its centre and its corners come from.
        let size = 256;
        let from_crop = Similarity::estimate(landmarks, &template(CropGeometry::Dfb, size, MARGIN))?.inverse();
        let [x, y] = from_crop.apply([size as f64 / 2.0; 2]);
        let half = from_crop.scale() * size as f64 / 2.0;
        let within = |value: f64, most: usize| value.round().clamp(0.0, most as f64) as usize;
        let [left, right] = [x - half, x + half].map(|edge| within(edge, picture.width()));
        let [top, bottom] = [y - half, y + half].map(|edge| within(edge, picture.height()));
        (right > left && bottom > top).then(|| Self { left, top, width: right - left, height: bottom - top })
    }

    /// Where each row of the square lies in the pixels of a picture so many wide.
    fn rows(self, width: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        (self.top..self.top + self.height).map(move |row| {
            let start = (row * width + self.left) * 3;
            start..start + self.width * 3
        })
    }

    fn cut(self, picture: &RgbImage) -> Option<RgbImage> {
        let pixels = self.rows(picture.width()).flat_map(|row| picture.pixels()[row].iter().copied()).collect();
        RgbImage::new(self.width, self.height, pixels)
    }

    fn paste(self, picture: &RgbImage, part: &RgbImage) -> RgbImage {
        let mut pixels = picture.pixels().to_vec();
        for (row, new) in self.rows(picture.width()).zip(part.pixels().chunks_exact(self.width * 3)) {
            pixels[row].copy_from_slice(new);
        }
        rebuilt(picture, pixels)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::augment::sbi::SelfBlending;

    /// A picture of slanted stripes, no two neighbouring pixels alike.
    fn stripes(width: usize, height: usize) -> RgbImage {
        let pixel = |index: usize| [index * 37 % 251, index * 91 % 241, (index / width) * 53 % 239].map(|v| v as u8);
        RgbImage::new(width, height, (0..width * height).flat_map(pixel).collect()).unwrap()
    }

    /// A face of about 100 pixels, turned a little, its template's centre near `x`, `y`.
    fn face(x: f32, y: f32) -> Landmarks {
        [[-19.0, -14.0], [20.0, -11.0], [1.0, 9.0], [-17.0, 27.0], [15.0, 29.0]].map(|[dx, dy]| [x + dx, y + dy])
    }

    #[test]
    fn only_the_face_changes_and_no_edge_of_the_square_shows() {
        let picture = stripes(400, 300);
        for seed in 0..40 {
            let blend = SelfBlending::default().draw(&mut ChaCha8Rng::seed_from_u64(seed));
            let fake = blended_in_place(&picture, &face(250.0, 120.0), &blend).unwrap();
            let changed: Vec<[usize; 2]> = (0..400 * 300)
                .filter(|pixel| picture.pixels()[pixel * 3..][..3] != fake.pixels()[pixel * 3..][..3])
                .map(|pixel| [pixel % 400, pixel / 400])
                .collect();
            assert!(changed.len() > 200, "seed {seed}: {} pixels", changed.len());
            let square = Square::around(&picture, &face(250.0, 120.0)).unwrap();
            assert!(
                changed.iter().all(|[x, y]| {
                    (square.left + 1..square.left + square.width - 1).contains(x)
                        && (square.top + 1..square.top + square.height - 1).contains(y)
                }),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn a_face_at_the_edge_of_its_picture_is_blended_as_far_as_it_goes() {
        let picture = stripes(200, 160);
        let blend = SelfBlending::default().draw(&mut ChaCha8Rng::seed_from_u64(1));
        let fake = blended_in_place(&picture, &face(20.0, 20.0), &blend).unwrap();
        assert_ne!(fake, picture);
        assert_eq!((fake.width(), fake.height()), (200, 160));
    }

    #[test]
    fn landmarks_in_one_place_or_outside_are_no_face() {
        let picture = stripes(100, 100);
        let blend = SelfBlending::default().draw(&mut ChaCha8Rng::seed_from_u64(1));
        assert_eq!(blended_in_place(&picture, &[[50.0; 2]; 5], &blend), None);
        assert_eq!(blended_in_place(&picture, &face(900.0, 900.0), &blend), None);
    }
}
