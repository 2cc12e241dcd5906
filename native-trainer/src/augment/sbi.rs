//! Self-blended images: fakes made from a real face alone (Shiohara & Yamasaki, *Detecting Deepfakes with Self-Blended
//! Images*, CVPR 2022).
//!
//! A face is blended with a slightly changed copy of itself, through a mask of the face that is deformed and soft at its
//! edge. What gives a deepfake away whatever made it is left: a boundary, and a difference in colour, sharpness and
//! place on either side of it. Written after the paper; where it does not give a number, the default is the value that
//! its authors published. The parts of the face beside the whole are our own choice.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmask_core::face::Landmarks;
use unmask_core::image::RgbImage;

use super::colour::{BrightnessContrast, HsvShift, RgbShift, brightness_contrast, hsv_shift, rgb_shift};
use super::draw::{Limit, Probability, Range};
use super::elastic::Displacement;
use super::filter::{decimate, sharpen};
use super::mean_face;
use super::recipe::Drawn;
use super::warp::{Border, Placement, warp_where};
use super::{Mask, level, rebuilt};

/// How fakes are made. Lengths are in pixels of a face crop of about 256.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SelfBlending {
    /// How often each part of the face is replaced, in any unit.
    pub(crate) regions: RegionWeights,
    /// Colours shifted in one of the two copies (default: 3 of 10, up to 20 levels).
    pub(crate) rgb_shift: RgbShift,
    /// Hue, saturation and value shifted in one of the two copies (default: always, though hardly).
    pub(crate) hsv_shift: HsvShift,
    /// Brightness and contrast changed in one of the two copies (default: always, each up to 0.1).
    pub(crate) brightness_contrast: BrightnessContrast,
    /// Chance that the same copy loses resolution; else it is sharpened (default 0.5).
    pub(crate) downscale: Probability,
    /// How far the source is shifted to the right or left, in parts of the width (default 0.03).
    pub(crate) shift_across: Limit<1>,
    /// How far the source is shifted up or down, in parts of the height (default 0.015).
    pub(crate) shift_down: Limit<1>,
    /// How much the source is enlarged or reduced at most, across and down each, in parts of one (default 0.05).
    pub(crate) scale: Limit<1>,
    /// Strength of the mask's elastic deformation (default 50, which displaces by 1.2 pixels on average).
    pub(crate) elastic_alpha: Limit<1000>,
    /// Smoothness of the mask's elastic deformation in pixels (default 7).
    pub(crate) elastic_sigma: Range<1, 100>,
    /// Side of the square on which the mask is made to shrink (default 5 to 25).
    pub(crate) erosion: Range<1, 99>,
    /// Side of the kernel that softens the mask (default 5 to 25).
    pub(crate) blur: Range<1, 99>,
    /// Deviation of that kernel (default 5 to 45).
    pub(crate) blur_deviation: Range<1, 99>,
    /// Size of the mask while it shrinks and is softened, across and down each (default 192 to 256).
    pub(crate) canvas: Range<16, 1024>,
}

impl Default for SelfBlending {
    fn default() -> Self {
        let always = Probability(1.0);
        Self {
            regions: RegionWeights::default(),
            rgb_shift: RgbShift { probability: Probability(0.3), ..RgbShift::default() },
            hsv_shift: HsvShift { probability: always, ..HsvShift::default() },
            brightness_contrast: BrightnessContrast { probability: always, ..BrightnessContrast::default() },
            downscale: Probability(0.5),
            shift_across: Limit(0.03),
            shift_down: Limit(0.015),
            scale: Limit(0.05),
            elastic_alpha: Limit(50.0),
            elastic_sigma: Range(7.0, 7.0),
            erosion: Range(5.0, 25.0),
            blur: Range(5.0, 25.0),
            blur_deviation: Range(5.0, 45.0),
            canvas: Range(192.0, 256.0),
        }
    }
}

/// How often each part of the face is replaced, in any unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RegionWeights {
    /// From hairline to chin (default 3).
    pub(crate) whole: Limit<1000>,
    /// From brows to chin (default 3).
    pub(crate) face: Limit<1000>,
    /// Brows, eyes, nose and mouth (default 1).
    pub(crate) features: Limit<1000>,
    /// Below the eyes: nose, mouth and jaw, as where only the lips are made to move (default 1).
    pub(crate) lower: Limit<1000>,
}

impl Default for RegionWeights {
    fn default() -> Self {
        Self { whole: Limit(3.0), face: Limit(3.0), features: Limit(1.0), lower: Limit(1.0) }
    }
}

impl RegionWeights {
    fn draw(&self, rng: &mut ChaCha8Rng) -> Region {
        let weights = [
            (Region::Whole, self.whole),
            (Region::Face, self.face),
            (Region::Features, self.features),
            (Region::Lower, self.lower),
        ];
        let sum: f64 = weights.iter().map(|(_, weight)| weight.0).sum();
        let mut left = rng.random::<f64>() * sum;
        let drawn = weights.into_iter().find(|(_, weight)| {
            left -= weight.0;
            left < 0.0
        });
        drawn.map_or(Region::Whole, |(region, _)| region)
    }
}

/// A part of the face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    /// From hairline to chin.
    Whole,
    /// From brows to chin.
    Face,
    /// Brows, eyes, nose and mouth.
    Features,
    /// Nose, mouth and jaw.
    Lower,
}

impl Region {
    /// The points whose hull the part is.
    fn outline(self, points: &[[f64; 2]]) -> Vec<[f64; 2]> {
        match self {
            Self::Whole => points.to_vec(),
            Self::Face => points[..68].to_vec(),
            Self::Features => points[17..68].to_vec(),
            Self::Lower => [&points[2..15], &points[28..36], &points[48..68]].concat(),
        }
    }
}

/// What makes the two copies differ in sharpness.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sharpness {
    /// Every so many pixels are kept.
    Lost(f64),
    /// Strength and lightness, see [`sharpen`].
    Gained(f32, f32),
}

/// How many times fewer pixels across and down a copy has that loses resolution.
const REDUCTIONS: [f64; 2] = [2.0, 4.0];
/// How strongly a copy is sharpened that does not.
const STRENGTHS: Range<0, 1> = Range(0.2, 0.5);
/// How light it stays, 1 being as light as before.
const LIGHTNESSES: Range<0, 1> = Range(0.5, 1.0);

/// The share of the source that a blend has at most: a half of them have all of it.
const RATIOS: [f32; 6] = [0.25, 0.5, 0.75, 1.0, 1.0, 1.0];

/// A blend that was decided on, for one face or for all faces of a clip.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Blend {
    region: Region,
    /// Whether the source, and not the target, is the copy that is changed.
    source_is_changed: bool,
    rgb_shift: Option<[f32; 3]>,
    hsv_shift: Option<[f32; 3]>,
    brightness_contrast: Option<[f32; 2]>,
    sharpness: Sharpness,
    placement: Placement,
    elastic: [f64; 2],
    elastic_seed: u64,
    erosion: usize,
    blur: usize,
    blur_deviation: f64,
    canvas: [usize; 2],
    ratio: f32,
}

/// A real face and the fake made from it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SelfBlended {
    /// The target: the face itself, or its changed copy.
    pub(crate) real: RgbImage,
    /// The target with the source blended in; equal to it wherever the mask is 0.
    pub(crate) fake: RgbImage,
    /// How much of the source each pixel has.
    pub(crate) mask: Mask,
}

impl SelfBlending {
    /// Decides on a blend.
    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> Blend {
        let is_lost = self.downscale.draw(rng);
        let lost = Sharpness::Lost(REDUCTIONS[usize::from(rng.random::<bool>())]);
        let gained = Sharpness::Gained(STRENGTHS.draw(rng) as f32, LIGHTNESSES.draw(rng) as f32);
        let placement = Placement {
            degrees: 0.0,
            scale: [self.scale, self.scale].map(|limit| scale(limit.draw(rng))),
            shift: [self.shift_across.draw(rng), self.shift_down.draw(rng)],
        };
        Blend {
            region: self.regions.draw(rng),
            source_is_changed: rng.random(),
            rgb_shift: self.rgb_shift.draw(rng),
            hsv_shift: self.hsv_shift.draw(rng),
            brightness_contrast: self.brightness_contrast.draw(rng),
            sharpness: if is_lost { lost } else { gained },
            placement,
            elastic: [self.elastic_alpha.0, self.elastic_sigma.draw(rng)],
            elastic_seed: rng.random(),
            erosion: self.erosion.draw_odd(rng),
            blur: self.blur.draw_odd(rng),
            blur_deviation: self.blur_deviation.draw_whole(rng) as f64,
            canvas: [self.canvas.draw_whole(rng), self.canvas.draw_whole(rng)],
            ratio: RATIOS[Range::<0, 5>(0.0, 5.0).draw_whole(rng)],
        }
    }
}

/// `1 + step` upwards, and its inverse downwards, so that 0.05 stands for 0.95 as well as for 1/0.95.
fn scale(step: f64) -> f64 {
    // Limits reach 1, where a face would have no size.
    let smaller = (1.0 - step.abs()).max(0.1);
    if step < 0.0 { smaller } else { 1.0 / smaller }
}

impl Blend {
    /// The same blend with the target left as it is: only the copy that is blended in is changed.
    pub(crate) fn of_unchanged_target(self) -> Self {
        Self { source_is_changed: true, ..self }
    }

    /// The pair made from an aligned face with these landmarks, in pixels of the image. `None` where the landmarks leave
    /// nothing to blend, since what is not changed must not be called fake: they are not finite, in one place, or outside.
    pub(crate) fn apply(&self, image: &RgbImage, landmarks: &Landmarks) -> Option<SelfBlended> {
        let mask = self.mask([image.width(), image.height()], landmarks);
        if mask.is_empty() {
            return None;
        }
        let changed = self.changed(image);
        let (source, real) = if self.source_is_changed { (&changed, image) } else { (image, &changed) };
        // Most of the image is not within the mask, and the source is not looked at there.
        let is_blended = |pixel: usize| mask.values()[pixel] > 0.0;
        let source = warp_where(source, &self.placement, Border::Mirrored, is_blended);
        Some(SelfBlended { fake: blended(&source, real, &mask), real: real.clone(), mask })
    }

    /// The copy that differs in colour and sharpness.
    fn changed(&self, image: &RgbImage) -> RgbImage {
        let image = self.rgb_shift.map_or_else(|| image.clone(), |shift| rgb_shift(image, shift));
        let image = self.hsv_shift.map_or_else(|| image.clone(), |shift| hsv_shift(&image, shift));
        let image = self.brightness_contrast.map_or_else(|| image.clone(), |by| brightness_contrast(&image, by));
        match self.sharpness {
            Sharpness::Lost(factor) => decimate(&image, factor),
            Sharpness::Gained(strength, lightness) => sharpen(&image, strength, lightness),
        }
    }

    /// The mask of a face with these landmarks in an image of `[width, height]`: its part of the face, moved with the source,
    /// deformed, made smaller, softened, and weakened by the blend's ratio.
    pub(crate) fn mask(&self, size: [usize; 2], landmarks: &Landmarks) -> Mask {
        let outline = self.region.outline(&mean_face::points(landmarks));
        let moved: Vec<[f64; 2]> = outline.into_iter().map(|point| self.placement.apply(size, point)).collect();
        let [alpha, sigma] = self.elastic;
        let mut rng = ChaCha8Rng::seed_from_u64(self.elastic_seed);
        let displacement = Displacement::draw(&mut rng, size, alpha, sigma);
        let deformed = Mask::hull(size, &moved).displaced(&displacement).resized(self.canvas[0], self.canvas[1]);
        // The paper blurs, then keeps only what is still 1: what has nothing but face around it on the kernel's square.
        let soft = deformed.eroded(self.erosion).blurred(self.blur, self.blur_deviation).scaled_to(self.ratio);
        soft.resized(size[0], size[1])
    }
}

impl SelfBlended {
    /// Both images with the same changes, so that nothing but the blend tells them apart.
    pub(crate) fn augmented(&self, drawn: &Drawn) -> (RgbImage, RgbImage) {
        (drawn.apply(&self.real), drawn.apply(&self.fake))
    }
}

/// `mask·source + (1 - mask)·target`.
fn blended(source: &RgbImage, target: &RgbImage, mask: &Mask) -> RgbImage {
    let mut pixels = target.pixels().to_vec();
    let (colours, _) = pixels.as_chunks_mut::<3>();
    let (sources, _) = source.pixels().as_chunks::<3>();
    for ((colour, source), &share) in colours.iter_mut().zip(sources).zip(mask.values()) {
        if share > 0.0 {
            colour.iter_mut().zip(source).for_each(|(target, source)| {
                let (from, to) = (f32::from(*target), f32::from(*source));
                *target = level(from + share * (to - from));
            });
        }
    }
    rebuilt(target, pixels)
}
