//! Patches beside the face, cut from elsewhere in the same picture: a border of a blend that says nothing of the face, so that a
//! detector has to look whether the face itself is within one.

use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmask_core::face::Landmarks;
use unmask_core::image::RgbImage;

use super::colour::rgb_shift;
use super::draw::{Limit, Probability, Range};
use super::filter::mirrored;
use super::paint::{Cover, Shape};
use super::{Mask, level, mean_face, rebuilt};

/// Pasting over what is beside the face.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patch {
    /// Chance that it is done (default 0).
    pub probability: Probability,
    /// How many patches (default 1 to 3).
    pub count: Range<1, 4>,
    /// How long and how wide a patch is, in hundredths of the image's side (default 8 to 25).
    pub percent: Range<1, 100>,
    /// Most levels that each of its channels is shifted (default 12).
    pub levels: Limit<255>,
}

impl Default for Patch {
    fn default() -> Self {
        Self { probability: Probability(0.0), count: Range(1.0, 3.0), percent: Range(8.0, 25.0), levels: Limit(12.0) }
    }
}

/// A patch that was decided on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pasted {
    /// Half of its length and width, in parts of the image's side.
    halves: [f32; 2],
    /// Levels added to red, green and blue.
    shift: [f32; 3],
    /// What its turn, its place and the place it is cut from are drawn from.
    seed: u64,
}

/// The most patches there can be.
const MOST_PATCHES: usize = 4;

impl Patch {
    /// The patches, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<Vec<Pasted>> {
        let is_done = self.probability.draw(rng);
        let count = self.count.draw_whole(rng);
        let pasted = |rng: &mut ChaCha8Rng| Pasted {
            halves: [(); 2].map(|()| self.percent.draw(rng) as f32 / 200.0),
            shift: [(); 3].map(|()| self.levels.draw(rng) as f32),
            seed: rng.random(),
        };
        let mut patches: Vec<Pasted> = (0..MOST_PATCHES).map(|_| pasted(rng)).collect();
        patches.truncate(count);
        is_done.then_some(patches)
    }
}

/// Places that are tried for a patch, and for what is pasted there.
const PLACES: usize = 16;
/// How much of a patch, and of what it is cut from, may lie on the face or outside of the image, in ninths.
const MOST_ASTRAY: usize = 3;

/// The image with the patches pasted beside the face at `landmarks`, whose own pixels stay as they are. A patch for which no place
/// is found is left out.
pub(super) fn paste(image: &RgbImage, patches: &[Pasted], landmarks: &Landmarks) -> RgbImage {
    let size = [image.width(), image.height()];
    let face = Mask::hull(size, &mean_face::points(landmarks));
    patches.iter().fold(image.clone(), |image, patch| match patch.place(&face) {
        Some((to, from, shape)) => pasted(&image, &face, patch, [to, from], &shape),
        None => image,
    })
}

impl Pasted {
    /// Where the patch goes, where it comes from, and its shape there; none where there is no room beside the face.
    fn place(&self, face: &Mask) -> Option<([f32; 2], [f32; 2], Shape)> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let [width, height] = [face.width() as f32, face.height() as f32];
        let axes = self.halves.map(|half| half * width.min(height));
        let turn = std::f32::consts::PI * rng.random::<f32>();
        let is_round = rng.random::<bool>();
        let mut places = [[0.0; 2]; 2 * PLACES];
        places.iter_mut().for_each(|place| *place = [width * rng.random::<f32>(), height * rng.random::<f32>()]);
        let corners = corners(axes, turn);
        let astray = |[x, y]: &[f32; 2]| {
            // The centre and eight places around, on the edge of the shape and halfway.
            let around =
                corners.iter().flat_map(|[right, down]| [1.0, 0.5].map(|part| [x + part * right, y + part * down]));
            around.chain([[*x, *y]]).filter(|place| is_taken(face, *place)).count()
        };
        let (goals, sources) = places.split_at(PLACES);
        let to = goals.iter().min_by_key(|place| astray(place))?;
        // Not from where it goes: that would be no other piece.
        let is_elsewhere = |from: &&[f32; 2]| (from[0] - to[0]).hypot(from[1] - to[1]) > axes[0].min(axes[1]);
        let from = sources.iter().filter(is_elsewhere).min_by_key(|place| astray(place))?;
        if astray(to).max(astray(from)) > MOST_ASTRAY {
            return None;
        }
        let shape = if is_round {
            Shape::Ellipse { centre: *to, axes, turn }
        } else {
            Shape::Polygon(corners.map(|[right, down]| [to[0] + right, to[1] + down]).to_vec())
        };
        Some((*to, *from, shape))
    }
}

/// The ends of the two axes of a shape, clockwise from that of the first.
fn corners(axes: [f32; 2], turn: f32) -> [[f32; 2]; 4] {
    let (sine, cosine) = turn.sin_cos();
    let (first, second) = ([axes[0] * cosine, axes[0] * sine], [-axes[1] * sine, axes[1] * cosine]);
    [first, second, first.map(|value| -value), second.map(|value| -value)]
}

/// Whether a place is the face's or outside of the image.
fn is_taken(face: &Mask, [x, y]: [f32; 2]) -> bool {
    let is_inside = x >= 0.0 && y >= 0.0 && x < face.width() as f32 && y < face.height() as f32;
    !is_inside || face.values()[y as usize * face.width() + x as usize] > 0.0
}

/// The image with one patch pasted.
fn pasted(image: &RgbImage, face: &Mask, patch: &Pasted, [to, from]: [[f32; 2]; 2], shape: &Shape) -> RgbImage {
    let (width, height) = (image.width(), image.height());
    // As soft as the borders of blends are, from a sharp cut on.
    let softness = 1.0 + (patch.seed % 8) as f32;
    let cover = Cover::of([width, height], std::slice::from_ref(shape), softness);
    let source = rgb_shift(image, patch.shift);
    let [right, down] = [0, 1].map(|axis| (from[axis] - to[axis]).round() as i64);
    let mut pixels = image.pixels().to_vec();
    let shares = cover.shares().iter().zip(face.values());
    for (pixel, (colour, (share, face))) in pixels.as_chunks_mut::<3>().0.iter_mut().zip(shares).enumerate() {
        let share = share * (1.0 - face);
        if share > 0.0 {
            let column = mirrored((pixel % width) as i64 + right, width);
            let row = mirrored((pixel / width) as i64 + down, height);
            let new = &source.pixels()[(row * width + column) * 3..][..3];
            colour.iter_mut().zip(new).for_each(|(value, new)| {
                let before = f32::from(*value);
                *value = level(before + share * (f32::from(*new) - before));
            });
        }
    }
    rebuilt(image, pixels)
}

#[cfg(test)]
mod tests {
    use unmask_core::face::alignment::{CropGeometry, template};

    use super::*;

    fn picture(side: usize) -> RgbImage {
        let pixels = (0..side * side * 3).map(|i| ((i * 7919 + (i * i) % 9173) % 256) as u8).collect();
        RgbImage::new(side, side, pixels).unwrap()
    }

    fn patches(seed: u64) -> Vec<Pasted> {
        let always = Patch { probability: Probability(1.0), ..Patch::default() };
        always.draw(&mut ChaCha8Rng::seed_from_u64(seed)).unwrap()
    }

    fn changed(one: &RgbImage, other: &RgbImage) -> Vec<bool> {
        let (one, other) = (one.pixels().as_chunks::<3>().0, other.pixels().as_chunks::<3>().0);
        one.iter().zip(other).map(|(one, other)| one != other).collect()
    }

    #[test]
    fn patches_lie_beside_the_face_and_leave_every_pixel_of_it() {
        let (image, mut shown) = (picture(192), 0);
        for margin in [0.8, 1.3] {
            let landmarks = template(CropGeometry::Dfb, 192, margin);
            let face = Mask::hull([192; 2], &mean_face::points(&landmarks));
            for seed in 0..60 {
                let changed = changed(&image, &paste(&image, &patches(seed), &landmarks));
                assert!(changed.iter().zip(face.values()).all(|(changed, face)| !changed || *face == 0.0), "{seed}");
                let part = changed.iter().filter(|changed| **changed).count() as f64 / changed.len() as f64;
                assert!(part < 0.25, "seed {seed}: {part}");
                shown += usize::from(part > 0.002);
            }
        }
        assert!(shown > 60, "{shown} of 120");
    }

    #[test]
    fn what_differs_on_the_face_alone_gets_the_same_patches() {
        let landmarks = template(CropGeometry::Dfb, 128, 1.3);
        let face = Mask::hull([128; 2], &mean_face::points(&landmarks));
        let real = picture(128);
        let mut pixels = real.pixels().to_vec();
        let eroded = face.eroded(5);
        pixels.as_chunks_mut::<3>().0.iter_mut().zip(eroded.values()).for_each(|(colour, is_face)| {
            if *is_face > 0.0 {
                *colour = colour.map(|value| value ^ 64);
            }
        });
        let fake = RgbImage::new(128, 128, pixels).unwrap();
        for seed in 0..40 {
            let [one, other] = [&real, &fake].map(|image| paste(image, &patches(seed), &landmarks));
            // What was cut from the edge of the face could differ; what is pasted without, not.
            let beside =
                changed(&one, &other).iter().zip(eroded.values()).filter(|(is, face)| **is && **face == 0.0).count();
            assert!(beside < 128 * 128 / 20, "seed {seed}: {beside}");
            assert_eq!(paste(&real, &patches(seed), &landmarks), one);
        }
    }

    #[test]
    fn where_the_face_fills_the_picture_or_there_is_none_nothing_panics() {
        let filling =
            template(CropGeometry::Dfb, 96, 1.3).map(|[x, y]| [(x - 48.0) * 4.0 + 48.0, (y - 48.0) * 4.0 + 48.0]);
        assert_eq!(paste(&picture(96), &patches(1), &filling), picture(96));
        let empty = RgbImage::new(0, 0, Vec::new()).unwrap();
        assert_eq!(paste(&empty, &patches(1), &filling), empty);
        assert_eq!(paste(&picture(1), &patches(1), &[[f32::NAN; 2]; 5]).width(), 1);
    }
}
