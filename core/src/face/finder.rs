//! Finding faces in a frame with [`CenterFace`].
//!
//! The network looks at the whole frame, made small: so it finds most faces in one pass. It looks again from nearer, twice if
//! need be, where it found nothing or only small faces, and from further away where it found nothing, since a face that
//! fills the frame is too large for the first look. Whatever it is not sure of, it sees once more on its own and, if need
//! be, turned by quarters. At the end [`Refiner`] corrects the points.
//!
//! A face that lies on its side or upside down is found nearly as well as an upright one, but its points are wrong then,
//! and its crop with them. What gives it away is that the points are turned or fit no face (`Detection::merit`). The turn
//! in which they fit best is the one that counts, and its points are turned back.

use alloc::vec;
use alloc::vec::Vec;

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::boxes::suppress;
use super::centerface::{CenterFace, GRID};
use super::detection::{Detection, MOST_FACES, ONE_FACE, decode};
use super::refiner::Refiner;
use super::turn::{turned, turned_back};
use super::window::{is_usable, look};
use super::{Face, FaceError};
use crate::image::{Kernel, RgbImage};

/// No face whose shorter side has fewer pixels of the frame: its points scatter.
const SMALLEST_FACE: f32 = 20.0;
/// Longest side to which small frames are enlarged, as a multiple of their own.
const LARGEST_MAGNIFICATION: usize = 4;
/// Merit from which a detection is sure, …
const SURE_MERIT: f32 = 0.6;
/// … if its points are turned by no more than this, in degrees: of faces turned by a quarter or half, hardly any seems so.
const SURE_TURN: f32 = 28.0;
/// Belief from which what is no face yet is seen once more on its own.
const WORTH_A_LOOK: f32 = 0.35;
/// Least merit of what was seen on its own: heads seen from behind have less.
const LEAST_MERIT: f32 = 0.25;
/// Points turned by more than this, in degrees, are those of a face that is not upright in its frame, …
const TURNED: f32 = 45.0;
/// … and belief in it must be greater by this much, since hands and sleeves look like faces in one turn or another.
const TURNED_SURPLUS: f32 = 0.05;
/// Most detections of a frame that are seen on their own, best first; bounds the time that crowds and textures take.
const MOST_DOUBTED: usize = 12;
/// Side of such a view in pixels, and how many times the face's longer side it shows.
const VIEW_SIDE: usize = 128;
const VIEW_OF_FACE: f32 = 2.2;
/// A detection in such a view is the face that it shows if their centres are no further apart than this, in sides of the view.
const OFF_CENTRE: f32 = 0.25;

/// What counts as a face, and how closely it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FindOptions {
    /// P(face), 0.35 at least, from which something is a face: 0.6. Below it are hands and shirts; faces from the front have 0.8.
    pub threshold: f32,
    /// Longer side of the frame, in pixels, in the first look: 320. Time grows with the square of this and the next.
    pub side: usize,
    /// The same from nearer, where nothing or only small faces were found: 640.
    pub near_side: usize,
    /// The same from nearer still, where after that look there is nothing or only smaller faces yet: 1280.
    pub close_side: usize,
    /// The same from further away, where nothing was found: 160.
    pub far_side: usize,
    /// Faces are small, and looked for from nearer, if all of them are narrower than this in the look before: 32 pixels.
    pub small: f32,
    /// Whether faces are also looked for that lie on their side or upside down: yes.
    pub turned: bool,
}

impl Default for FindOptions {
    fn default() -> Self {
        Self { threshold: 0.6, side: 320, near_side: 640, close_side: 1280, far_side: 160, small: 32.0, turned: true }
    }
}

/// Finds faces. Can be shared between threads.
#[derive(Clone, Debug)]
pub struct FaceFinder {
    network: CenterFace,
    refiner: Refiner,
    device: Device,
}

impl FaceFinder {
    /// Reads the network that finds faces from the bytes of `centerface.safetensors` and the one that corrects their
    /// points from those of `landmark_refiner.safetensors`. `device` should be a CPU device: results are read back
    /// between the looks.
    ///
    /// # Errors
    /// As [`CenterFace::from_safetensors`] and [`Refiner::from_safetensors`].
    pub fn from_safetensors(centerface: &[u8], refiner: &[u8], device: &Device) -> Result<Self, FaceError> {
        Ok(Self {
            network: CenterFace::from_safetensors(centerface, device)?,
            refiner: Refiner::from_safetensors(refiner, device)?,
            device: device.clone(),
        })
    }

    /// The faces in `frame`, largest first, 200 at most. Their points are those of the upright face wherever it is turned:
    /// the left eye is the one that is on the left where the face is upright.
    ///
    /// A look takes time in proportion to its pixels. A frame with a large, upright face takes one, at 320 pixels; a frame
    /// without any takes as much time as eight of these, of more than 640 pixels as 24, and each of up to 24 faces in doubt as
    /// much as one at most.
    pub fn find(&self, frame: &RgbImage, options: &FindOptions) -> Vec<Face> {
        let mut faces = self.coarse(frame, options);
        self.refiner.refine(frame, &mut faces, &self.device);
        faces
    }

    /// The faces with the first network's points, largest first.
    fn coarse(&self, frame: &RgbImage, options: &FindOptions) -> Vec<Face> {
        if frame.width() == 0 || frame.height() == 0 {
            return Vec::new();
        }
        let reduced = Reduced::of(frame, options.side);
        let mut found = self.decide(frame, self.upright(frame, &reduced, options), options);
        if options.turned {
            let quarters = match found.first() {
                None => vec![1, 2, 3],
                Some(best) => Vec::from_iter(best.quarters()),
            };
            let detections = quarters.into_iter().flat_map(|quarters| reduced.detections(self, quarters));
            found.extend(self.decide(frame, detections.collect(), options));
        }
        let found = suppress(found, &ONE_FACE, MOST_FACES, |detection| &detection.window);
        let faces = found.iter().filter_map(|detection| detection.face(frame.width(), frame.height()));
        let mut faces: Vec<Face> =
            faces.filter(|face| face.bounds.width.min(face.bounds.height) >= SMALLEST_FACE).collect();
        faces.sort_by(|one, other| other.bounds.area().total_cmp(&one.bounds.area()));
        faces
    }

    /// What may be a face in the frame as it is, from as many distances as it takes; `reduced` is the first of them.
    fn upright(&self, frame: &RgbImage, reduced: &Reduced, options: &FindOptions) -> Vec<Detection> {
        let mut found = reduced.detections(self, 0);
        let faces = |found: &[Detection]| -> Vec<f32> {
            let certain = found.iter().filter(|detection| detection.window.score >= options.threshold);
            certain.map(|detection| detection.window.width().min(detection.window.height())).collect()
        };
        if faces(&found).is_empty() {
            found.extend(Reduced::of(frame, options.far_side).detections(self, 0));
        }
        let longer = frame.width().max(frame.height());
        let mut seen_at = options.side;
        for side in [options.near_side, options.close_side] {
            let small = options.small * longer as f32 / seen_at.max(1) as f32;
            let is_worth_it = side > seen_at && longer > seen_at;
            if is_worth_it && faces(&found).iter().all(|side| *side < small) {
                found.extend(Reduced::of(frame, side).detections(self, 0));
                seen_at = side;
            }
        }
        found
    }

    /// Keeps what is sure, and of the rest what is a face when seen on its own; best first.
    fn decide(&self, frame: &RgbImage, detections: Vec<Detection>, options: &FindOptions) -> Vec<Detection> {
        let is_sure = |found: &Detection| {
            found.window.score >= options.threshold && found.merit() >= SURE_MERIT && found.turn() <= SURE_TURN
        };
        let candidates = suppress(detections, &ONE_FACE, MOST_FACES, |detection| &detection.window);
        let mut doubted = 0;
        let decided = candidates.into_iter().filter_map(|found| {
            if is_sure(&found) {
                return Some(found);
            }
            doubted += 1;
            if doubted > MOST_DOUBTED {
                return None;
            }
            let is_face = |found: &Detection| {
                let surplus = if found.turn() > TURNED { TURNED_SURPLUS } else { 0.0 };
                found.window.score >= options.threshold + surplus && found.merit() >= LEAST_MERIT
            };
            self.seen_alone(frame, &found, options).filter(is_face)
        });
        suppress(decided.collect(), &ONE_FACE, MOST_FACES, |detection| &detection.window)
    }

    /// The detection as it is seen in a view of its own, in the turn in which the points fit best.
    fn seen_alone(&self, frame: &RgbImage, found: &Detection, options: &FindOptions) -> Option<Detection> {
        let window = found.window.squared(VIEW_OF_FACE);
        if !is_usable(frame, &window) {
            return None;
        }
        let view = look(frame, &window, VIEW_SIDE);
        let side = VIEW_SIDE as f32;
        let is_centred = |detection: &Detection| {
            let [x, y] = detection.window.centre();
            libm::hypotf(x / side - 0.5, y / side - 0.5) <= OFF_CENTRE
        };
        let in_turn = |quarters: usize| {
            let seen = self.look(&turned(&view, quarters)).into_iter().filter(is_centred);
            let best = seen.max_by(|one, other| one.merit().total_cmp(&other.merit()))?;
            Some((best.merit(), best.moved(|place| turned_back(place, quarters, VIEW_SIDE, VIEW_SIDE))))
        };
        let upright = in_turn(0);
        let is_sure = upright.is_some_and(|(merit, found)| merit >= SURE_MERIT && found.turn() <= SURE_TURN);
        let turns = if is_sure || !options.turned { 1..1 } else { 1..4 };
        let all = upright.into_iter().chain(turns.filter_map(in_turn));
        let (_, best) = all.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
        let scale = window.width() / side;
        Some(best.moved(|[x, y]| [window.left + x * scale, window.top + y * scale]))
    }

    /// What the network may take for faces in `image`, in its pixels. The image is black beyond its right and lower edge.
    fn look(&self, image: &RgbImage) -> Vec<Detection> {
        let (width, height) = (image.width().next_multiple_of(GRID), image.height().next_multiple_of(GRID));
        let mut values = vec![0.0; height * width * 3];
        let rows = image.pixels().chunks_exact((3 * image.width()).max(1)).zip(values.chunks_exact_mut(3 * width));
        for (levels, row) in rows {
            levels.iter().zip(row).for_each(|(level, value)| *value = f32::from(*level));
        }
        let images = Tensor::<4>::from_data(TensorData::new(values, [1, height, width, 3]), &self.device);
        let answer = self.network.forward(images);
        let [_, _, columns, _] = answer.dims();
        let numbers: Vec<f32> = answer.into_data().iter::<f32>().collect();
        decode(&numbers, columns, WORTH_A_LOOK)
    }
}

/// A frame in another size.
struct Reduced {
    image: RgbImage,
    /// Pixels of the frame a pixel, across and down.
    scale: [f32; 2],
}

impl Reduced {
    /// The frame with a longer side of `side` pixels. `frame` has pixels.
    fn of(frame: &RgbImage, side: usize) -> Self {
        let longer = frame.width().max(frame.height());
        let side = side.min(LARGEST_MAGNIFICATION * longer).max(1);
        let reduce = |length: usize| ((length * side + longer / 2) / longer).max(1);
        let (width, height) = (reduce(frame.width()), reduce(frame.height()));
        let kernel = if side < longer { Kernel::Box } else { Kernel::Triangle };
        Self {
            image: frame.resample(frame.region(), width, height, kernel),
            scale: [frame.width() as f32 / width as f32, frame.height() as f32 / height as f32],
        }
    }

    /// What may be a face when the image is turned clockwise by `quarters`, in pixels of the frame.
    fn detections(&self, finder: &FaceFinder, quarters: usize) -> Vec<Detection> {
        let (width, height) = (self.image.width(), self.image.height());
        let found = match quarters {
            0 => finder.look(&self.image),
            _ => finder.look(&turned(&self.image, quarters)),
        };
        let [across, down] = self.scale;
        let in_frame = |place| {
            let [x, y] = turned_back(place, quarters, width, height);
            [x * across, y * down]
        };
        found.iter().map(|detection| detection.moved(in_frame)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finder() -> FaceFinder {
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/");
        let file = |name| std::fs::read(std::string::String::from(models) + name).unwrap();
        let (centerface, refiner) = (file("centerface.safetensors"), file("landmark_refiner.safetensors"));
        FaceFinder::from_safetensors(&centerface, &refiner, &Device::flex()).unwrap()
    }

    fn grey(width: usize, height: usize, level: u8) -> RgbImage {
        RgbImage::new(width, height, [level].repeat(width * height * 3)).unwrap()
    }

    #[test]
    fn a_finder_is_shared_between_threads() {
        fn is_shared<T: Send + Sync>() {}
        is_shared::<FaceFinder>();
    }

    #[test]
    fn frames_without_anything_in_them_have_no_faces() {
        let (finder, options) = (finder(), FindOptions::default());
        for (width, height) in [(0, 0), (0, 9), (1, 1), (12, 5000), (5000, 12), (19, 21), (160, 120), (2500, 60)] {
            for level in [0, 128, 255] {
                assert!(finder.find(&grey(width, height, level), &options).is_empty(), "{width}x{height} of {level}");
            }
        }
    }

    #[test]
    fn noise_and_foolish_options_do_not_panic() {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let pixels = (0..90 * 70 * 3).map(|_| noise()).collect();
        let frame = RgbImage::new(90, 70, pixels).unwrap();
        let foolish = FindOptions {
            threshold: -1.0,
            side: 0,
            near_side: 0,
            close_side: 0,
            far_side: 0,
            small: f32::NAN,
            turned: true,
        };
        finder().find(&frame, &foolish);
        let foolish = FindOptions { threshold: f32::NAN, side: 300, near_side: 60, small: -1.0, ..foolish };
        finder().find(&frame, &foolish);
    }

    #[test]
    fn a_frame_keeps_its_shape_when_it_is_reduced() {
        for (width, height, expected) in
            [(1920, 1080, (320, 180)), (480, 640, (240, 320)), (9, 5000, (1, 320)), (30, 20, (120, 80))]
        {
            let Reduced { image, scale } = Reduced::of(&grey(width, height, 7), 320);
            assert_eq!((image.width(), image.height()), expected);
            assert_eq!(scale, [width as f32 / expected.0 as f32, height as f32 / expected.1 as f32]);
        }
    }
}
