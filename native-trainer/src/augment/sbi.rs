//! Self-blended images: fakes made from a real face alone (Shiohara & Yamasaki, *Detecting Deepfakes with Self-Blended
//! Images*, CVPR 2022).
//!
//! A face is blended with a slightly changed copy of itself, through a mask of the face that is deformed and soft at its
//! edge. What gives a deepfake away whatever made it is left: a boundary, and a difference in colour, sharpness and
//! place on either side of it. Written after the paper; where it does not give a number, the default is the value that
//! its authors published. The parts of the face beside the whole are our own choice, and so is what a recipe can ask for
//! besides: small parts, seamless cloning, and the face of somebody else in the place of the copy.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use unmask_core::face::Landmarks;
use unmask_core::face::alignment::Similarity;
use unmask_core::image::RgbImage;

use super::colour::{BrightnessContrast, HsvShift, RgbShift, brightness_contrast, hsv_shift, rgb_shift};
use super::draw::{Limit, Probability, Range, weighted};
use super::elastic::Displacement;
use super::filter::{decimate, sharpen};
use super::lab::transferred;
use super::mean_face;
use super::poisson::cloned;
use super::recipe::Drawn;
use super::warp::{Border, Placement, warp_by, warp_where};
use super::{Mask, level, rebuilt};

/// How fakes are made. Lengths are in pixels of a face crop of about 256.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelfBlending {
    /// How often each part of the face is replaced, in any unit.
    pub regions: RegionWeights,
    /// Colours shifted in one of the two copies (default: 3 of 10, up to 20 levels).
    pub rgb_shift: RgbShift,
    /// Hue, saturation and value shifted in one of the two copies (default: always, though hardly).
    pub hsv_shift: HsvShift,
    /// Brightness and contrast changed in one of the two copies (default: always, each up to 0.1).
    pub brightness_contrast: BrightnessContrast,
    /// Chance that the same copy loses resolution; else it is sharpened (default 0.5).
    pub downscale: Probability,
    /// How far the source is shifted to the right or left, in parts of the width (default 0.03).
    pub shift_across: Limit<1>,
    /// How far the source is shifted up or down, in parts of the height (default 0.015).
    pub shift_down: Limit<1>,
    /// How much the source is enlarged or reduced at most, across and down each, in parts of one (default 0.05).
    pub scale: Limit<1>,
    /// Strength of the mask's elastic deformation (default 50, which displaces by 1.2 pixels on average).
    pub elastic_alpha: Limit<1000>,
    /// Smoothness of the mask's elastic deformation in pixels (default 7).
    pub elastic_sigma: Range<1, 100>,
    /// Side of the square on which the mask is made to shrink (default 5 to 25).
    pub erosion: Range<1, 99>,
    /// Side of the kernel that softens the mask (default 5 to 25).
    pub blur: Range<1, 99>,
    /// Deviation of that kernel (default 5 to 45).
    pub blur_deviation: Range<1, 99>,
    /// Size of the mask while it shrinks and is softened, across and down each (default 192 to 256).
    pub canvas: Range<16, 1024>,
    /// Chance that the part is cloned seamlessly, with a hard mask, and not mixed in through a soft one (default 0).
    pub seamless: Probability,
    /// The face of somebody else in the place of the copy (default: never).
    pub donor: Donor,
}

/// Whose face is blended in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Donor {
    /// Chance that it is that of another person of the data, with the most similar pose of a few (default 0).
    pub probability: Probability,
    /// Chance that its colours are brought to those of the face, see `transferred` (default 0.8).
    pub colour: Probability,
}

impl Default for Donor {
    fn default() -> Self {
        Self { probability: Probability(0.0), colour: Probability(0.8) }
    }
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
            seamless: Probability(0.0),
            donor: Donor::default(),
        }
    }
}

/// How often each part of the face is replaced, in any unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegionWeights {
    /// From hairline to chin (default 3).
    pub whole: Limit<1000>,
    /// From brows to chin (default 3).
    pub face: Limit<1000>,
    /// Brows, eyes, nose and mouth (default 1).
    pub features: Limit<1000>,
    /// Below the eyes: nose, mouth and jaw, as where only the lips are made to move (default 1).
    pub lower: Limit<1000>,
    /// From hairline to the eyes, as where eyes are replaced or a forehead is smoothed (default 0).
    pub upper: Limit<1000>,
    /// The mouth alone (default 0).
    pub mouth: Limit<1000>,
    /// Eyes and brows alone (default 0).
    pub eyes: Limit<1000>,
    /// The nose alone (default 0).
    pub nose: Limit<1000>,
}

impl Default for RegionWeights {
    fn default() -> Self {
        let never = Limit(0.0);
        Self {
            whole: Limit(3.0),
            face: Limit(3.0),
            features: Limit(1.0),
            lower: Limit(1.0),
            upper: never,
            mouth: never,
            eyes: never,
            nose: never,
        }
    }
}

impl RegionWeights {
    fn draw(&self, rng: &mut ChaCha8Rng) -> Region {
        let weights = [
            (Region::Whole, self.whole),
            (Region::Face, self.face),
            (Region::Features, self.features),
            (Region::Lower, self.lower),
            (Region::Upper, self.upper),
            (Region::Mouth, self.mouth),
            (Region::Eyes, self.eyes),
            (Region::Nose, self.nose),
        ];
        weighted(&weights, rng).unwrap_or(Region::Whole)
    }
}

/// A part of the face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// From hairline to chin.
    Whole,
    /// From brows to chin.
    Face,
    /// Brows, eyes, nose and mouth.
    Features,
    /// Nose, mouth and jaw.
    Lower,
    /// Forehead, brows and eyes.
    Upper,
    /// Mouth.
    Mouth,
    /// Brows and eyes.
    Eyes,
    /// Nose.
    Nose,
}

/// How much larger than the points' hull a small part is: the skin around it goes with it, and a mask shrinks.
const SMALL_PART_MARGIN: f64 = 1.5;
/// By which part of its shorter side a small part's mask may shrink at most, all around together.
const SMALL_PART_EROSION: f64 = 0.3;

impl Region {
    /// The points whose hull the part is.
    fn outline(self, points: &[[f64; 2]]) -> Vec<[f64; 2]> {
        match self {
            Self::Whole => points.to_vec(),
            Self::Face => points[..68].to_vec(),
            Self::Features => points[17..68].to_vec(),
            Self::Lower => [&points[2..15], &points[28..36], &points[48..68]].concat(),
            Self::Upper => [&points[17..28], &points[36..48], &points[68..81]].concat(),
            Self::Mouth => widened(&points[48..68]),
            Self::Eyes => widened(&[&points[17..27], &points[36..48]].concat()),
            Self::Nose => widened(&points[27..36]),
        }
    }

    /// Whether a mask that shrinks as that of the whole face does could vanish.
    fn is_small(self) -> bool {
        matches!(self, Self::Mouth | Self::Eyes | Self::Nose)
    }
}

/// Points farther from their mean.
fn widened(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mean = [0, 1].map(|axis| points.iter().map(|point| point[axis]).sum::<f64>() / points.len() as f64);
    points.iter().map(|point| [0, 1].map(|axis| mean[axis] + SMALL_PART_MARGIN * (point[axis] - mean[axis]))).collect()
}

/// The shorter side of the upright rectangle around points.
fn shorter_side(points: &[[f64; 2]]) -> f64 {
    let extent = |axis: usize| {
        let of = |choose: fn(f64, f64) -> f64, start| points.iter().map(|point| point[axis]).fold(start, choose);
        of(f64::max, f64::NEG_INFINITY) - of(f64::min, f64::INFINITY)
    };
    extent(0).min(extent(1))
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
pub struct Blend {
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
    is_seamless: bool,
    /// Whether somebody else's face is wanted, and if so, whether in the face's own colours.
    donor: Option<bool>,
}

/// Somebody else's face, and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherFace {
    /// The picture.
    pub image: RgbImage,
    /// Its five points, in pixels.
    pub landmarks: Landmarks,
}

/// How far apart two poses are: the sum of the squared distances of their landmarks, in pixels.
pub fn pose_distance(one: &Landmarks, other: &Landmarks) -> f32 {
    one.iter().flatten().zip(other.iter().flatten()).map(|(one, other)| (one - other).powi(2)).sum()
}

/// A real face and the fake made from it.
#[derive(Clone, Debug, PartialEq)]
pub struct SelfBlended {
    /// The target: the face itself, or its changed copy.
    pub real: RgbImage,
    /// The target with the source blended in; equal to it wherever the mask is 0.
    pub fake: RgbImage,
    /// How much of the source each pixel has.
    pub mask: Mask,
    /// Where the face is that both show.
    pub landmarks: Landmarks,
}

impl SelfBlending {
    /// Decides on a blend.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> Blend {
        let is_lost = self.downscale.draw(rng);
        let lost = Sharpness::Lost(REDUCTIONS[usize::from(rng.random::<bool>())]);
        let gained = Sharpness::Gained(STRENGTHS.draw(rng) as f32, LIGHTNESSES.draw(rng) as f32);
        let placement = Placement {
            degrees: 0.0,
            scale: [self.scale, self.scale].map(|limit| scale(limit.draw(rng))),
            shift: [self.shift_across.draw(rng), self.shift_down.draw(rng)],
        };
        let region = self.regions.draw(rng);
        let mut blend = Blend {
            region,
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
            is_seamless: false,
            donor: None,
        };
        // From a generator of their own, so that what is drawn after a blend does not depend on what a blend can be.
        let mut rng = ChaCha8Rng::seed_from_u64(blend.elastic_seed);
        rng.set_stream(1);
        blend.is_seamless = self.seamless.draw(&mut rng);
        let (has_donor, is_matched) = (self.donor.probability.draw(&mut rng), self.donor.colour.draw(&mut rng));
        blend.donor = has_donor.then_some(is_matched);
        blend
    }
}

/// `1 + step` upwards, and its inverse downwards, so that 0.05 stands for 0.95 as well as for 1/0.95.
fn scale(step: f64) -> f64 {
    // Limits reach 1, where a face would have no size.
    let smaller = (1.0 - step.abs()).max(0.1);
    if step < 0.0 { smaller } else { 1.0 / smaller }
}

impl Blend {
    /// Side of the square by which the mask of a part with these points shrinks, in an image of `size`.
    fn erosion_of(&self, points: &[[f64; 2]], size: [usize; 2]) -> usize {
        if !self.region.is_small() {
            return self.erosion;
        }
        let scale = self.canvas[0] as f64 / size[0].max(1) as f64;
        let scale = scale.min(self.canvas[1] as f64 / size[1].max(1) as f64);
        self.erosion.min((SMALL_PART_EROSION * scale * shorter_side(points)) as usize / 2 * 2 + 1)
    }

    /// The same blend with the target left as it is: only the copy that is blended in is changed.
    pub fn of_unchanged_target(self) -> Self {
        Self { source_is_changed: true, ..self }
    }

    /// Whether it is made with the face of somebody else.
    pub fn wants_donor(&self) -> bool {
        self.donor.is_some()
    }

    /// The pair made from an aligned face with these landmarks, in pixels of the image. `None` where the landmarks leave
    /// nothing to blend, since what is not changed must not be called fake: they are not finite, in one place, or outside.
    pub fn apply(&self, image: &RgbImage, landmarks: &Landmarks) -> Option<SelfBlended> {
        self.apply_with(image, landmarks, None)
    }

    /// As [`apply`](Self::apply), with `donor` in the place of the copy if the blend wants one and there is one.
    pub fn apply_with(
        &self,
        image: &RgbImage,
        landmarks: &Landmarks,
        donor: Option<&OtherFace>,
    ) -> Option<SelfBlended> {
        let mut mask = self.mask([image.width(), image.height()], landmarks);
        if mask.is_empty() {
            return None;
        }
        let lent = self.donor.zip(donor).and_then(|(is_matched, donor)| {
            let moved = donor.moved([image.width(), image.height()], landmarks)?;
            Some(if is_matched { transferred(&moved, image, &mask) } else { moved })
        });
        let copy = lent.as_ref().unwrap_or(image);
        let changed = self.changed(if self.source_is_changed { copy } else { image });
        let (source, real) = if self.source_is_changed { (&changed, image) } else { (copy, &changed) };
        // Most of the image is not within the mask, and the source is not looked at there but beside it.
        let is_blended = |pixel: usize| self.is_seamless || mask.values()[pixel] > 0.0;
        let source = warp_where(source, &self.placement, Border::Mirrored, is_blended);
        let fake = if self.is_seamless {
            mask = mask.hardened();
            let is_within: Vec<bool> = mask.values().iter().map(|share| *share > 0.0).collect();
            blended(&cloned(&source, real, &is_within), real, &mask)
        } else {
            blended(&source, real, &mask)
        };
        Some(SelfBlended { fake, real: real.clone(), mask, landmarks: *landmarks })
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
    pub fn mask(&self, size: [usize; 2], landmarks: &Landmarks) -> Mask {
        let outline = self.region.outline(&mean_face::points(landmarks));
        let moved: Vec<[f64; 2]> = outline.into_iter().map(|point| self.placement.apply(size, point)).collect();
        let [alpha, sigma] = self.elastic;
        let mut rng = ChaCha8Rng::seed_from_u64(self.elastic_seed);
        let displacement = Displacement::draw(&mut rng, size, alpha, sigma);
        let deformed = Mask::hull(size, &moved).displaced(&displacement).resized(self.canvas[0], self.canvas[1]);
        // The paper blurs, then keeps only what is still 1: what has nothing but face around it on the kernel's square.
        let soft = deformed
            .eroded(self.erosion_of(&moved, size))
            .blurred(self.blur, self.blur_deviation)
            .scaled_to(self.ratio);
        soft.resized(size[0], size[1])
    }
}

impl OtherFace {
    /// The image of `size` in which the face lies as one with `landmarks` does; what is beyond its edge is mirrored. `None` where
    /// landmarks are in one place or not finite.
    fn moved(&self, size: [usize; 2], landmarks: &Landmarks) -> Option<RgbImage> {
        let to_donor = Similarity::estimate(landmarks, &self.landmarks).filter(|_| !self.image.pixels().is_empty())?;
        let [[c, f], [x, y], [u, v]] = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]].map(|point| to_donor.apply(point));
        let matrix = [x - c, u - c, c, y - f, v - f, f];
        matrix.iter().all(|value| value.is_finite()).then(|| warp_by(&self.image, size, matrix))
    }
}

impl SelfBlended {
    /// The real faces and the fakes of several frames with the same changes, so that a clip holds still and nothing but the blend
    /// tells the two apart.
    pub fn all_augmented(pairs: &[Self], drawn: &Drawn) -> (Vec<RgbImage>, Vec<RgbImage>) {
        let reals = pairs.iter().map(|pair| (&pair.real, &pair.landmarks));
        let fakes = pairs.iter().map(|pair| (&pair.fake, &pair.landmarks));
        let mut reals = drawn.apply_to_all(reals.chain(fakes));
        let fakes = reals.split_off(pairs.len());
        (reals, fakes)
    }

    /// Both images with the same changes, so that nothing but the blend tells them apart.
    pub fn augmented(&self, drawn: &Drawn) -> (RgbImage, RgbImage) {
        let both = [&self.real, &self.fake].map(|image| (image, &self.landmarks));
        let mut changed = drawn.apply_to_all(both).into_iter();
        let mut next = |image: &RgbImage| changed.next().unwrap_or_else(|| image.clone());
        (next(&self.real), next(&self.fake))
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
