//! Finding faces in a frame: the cascade of Zhang et al. 2016 over an image pyramid.
//!
//! P-Net proposes boxes on every level of the pyramid, R-Net refuses most of them, O-Net decides and finds the points.
//! Between the stages overlapping boxes are thinned out. Parts of a box outside the frame are black. At the end
//! [`Refiner`] corrects the points.

use alloc::vec::Vec;

use crate::image::Kernel;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::boxes::{OverlapOf, ScoredBox, suppress};
use super::mtcnn::{Mtcnn, OUTPUT_SIDE, PROPOSAL_SIDE, PROPOSAL_STRIDE, REFINE_SIDE};
use super::refiner::Refiner;
use super::window::{is_usable, look};
use super::{Face, FaceError, Landmarks, Rect};
use crate::image::RgbImage;

/// Short side of the frame that [`FindOptions::min_face`] refers to.
const REFERENCE_LINES: f32 = 1080.0;
/// No face smaller than this is looked for: O-Net's points scatter below.
const SMALLEST_FACE: f32 = 20.0;
/// Pixels of a pyramid level that go through P-Net together, as whole rows: what they become in it stays in the
/// processor's cache.
const PIXELS_AT_ONCE: usize = 32_768;
/// Fewest rows that go through together, whatever the width: most of them must be new ones.
const LEAST_ROWS_AT_ONCE: usize = 32;
/// Rows that neighbouring parts of a level share, so that every window is whole in one of them.
const SHARED_ROWS: usize = PROPOSAL_SIDE - PROPOSAL_STRIDE;
/// Boxes of one level that overlap by more than this are one proposal (published cascade: 0.5).
const LEVEL_OVERLAP: f32 = 0.5;
/// The same across levels (published: 0.7; less leaves R-Net fewer looks at the same face).
const PROPOSAL_OVERLAP: f32 = 0.6;
/// The same after R-Net (published: 0.7; less leaves O-Net, the most expensive by far, one or two looks at a face).
const REFINED_OVERLAP: f32 = 0.5;
/// Faces of which the smaller lies in the other by more than this are one face (published: 0.7).
const OUTPUT_OVERLAP: f32 = 0.7;
/// Most boxes a stage hands on, best first: bounds the time a frame full of texture takes.
const MOST_BOXES: usize = 400;

/// What counts as a face.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FindOptions {
    /// Side of the smallest face looked for, in pixels of a frame whose shorter side is 1080: 40. In other frames it
    /// scales with the shorter side, but is never below 20 pixels. Time grows with its inverse square.
    pub min_face: f32,
    /// Size of a pyramid level relative to the one before: 0.709, half the area.
    pub scale_step: f32,
    /// P(face) from which P-Net's boxes are looked at: 0.7.
    pub proposal_threshold: f32,
    /// P(face) from which R-Net's boxes are looked at: 0.7.
    pub refine_threshold: f32,
    /// P(face) from which O-Net's boxes are faces: 0.9. Hands and shirts reach 0.85 at times; faces of 40
    /// pixels or more stay above 0.9.
    pub output_threshold: f32,
    /// Frames with a longer side than this are reduced to it first: 1920 pixels. Boxes and points are in pixels of the
    /// frame all the same.
    pub max_side: usize,
}

impl Default for FindOptions {
    fn default() -> Self {
        Self {
            min_face: 40.0,
            scale_step: 0.709,
            proposal_threshold: 0.7,
            refine_threshold: 0.7,
            output_threshold: 0.9,
            max_side: 1920,
        }
    }
}

impl FindOptions {
    /// Side of the smallest face looked for in a frame of this size, in its pixels.
    pub fn smallest_face(&self, width: usize, height: usize) -> f32 {
        (self.min_face * width.min(height) as f32 / REFERENCE_LINES).max(SMALLEST_FACE)
    }
}

/// Finds faces. Can be shared between threads.
#[derive(Clone, Debug)]
pub struct FaceFinder {
    networks: Mtcnn,
    refiner: Refiner,
    device: Device,
}

impl FaceFinder {
    /// Reads the three networks from the bytes of `mtcnn.safetensors` and the one that corrects their points from
    /// those of `landmark_refiner.safetensors`. `device` should be a CPU device: results are read back between the
    /// stages.
    ///
    /// # Errors
    /// As [`Mtcnn::from_safetensors`] and [`Refiner::from_safetensors`].
    pub fn from_safetensors(mtcnn: &[u8], refiner: &[u8], device: &Device) -> Result<Self, FaceError> {
        Ok(Self {
            networks: Mtcnn::from_safetensors(mtcnn, device)?,
            refiner: Refiner::from_safetensors(refiner, device)?,
            device: device.clone(),
        })
    }

    /// The faces in `frame`, largest first.
    pub fn find(&self, frame: &RgbImage, options: &FindOptions) -> Vec<Face> {
        let mut faces = self.coarse(frame, options);
        self.refiner.refine(frame, &mut faces, &self.device);
        faces
    }

    /// The faces with O-Net's points, largest first.
    fn coarse(&self, frame: &RgbImage, options: &FindOptions) -> Vec<Face> {
        let longer = frame.width().max(frame.height());
        if longer <= options.max_side || options.max_side == 0 {
            return self.cascade(frame, options);
        }
        let reduce = |side: usize| (side * options.max_side / longer).max(1);
        let (width, height) = (reduce(frame.width()), reduce(frame.height()));
        let reduced = frame.resample(frame.region(), width, height, Kernel::Box);
        let scale = [frame.width() as f32 / width as f32, frame.height() as f32 / height as f32];
        self.cascade(&reduced, options).into_iter().map(|face| enlarged(face, scale)).collect()
    }

    fn cascade(&self, frame: &RgbImage, options: &FindOptions) -> Vec<Face> {
        let proposals = self.propose(frame, options);
        let refined = self.refine(frame, proposals, options.refine_threshold);
        let mut faces = self.decide(frame, refined, options.output_threshold);
        faces.sort_by(|one, other| other.bounds.area().total_cmp(&one.bounds.area()));
        faces
    }

    /// P-Net on every level of the pyramid.
    fn propose(&self, frame: &RgbImage, options: &FindOptions) -> Vec<ScoredBox> {
        let mut proposals = Vec::new();
        for (width, height) in pyramid(frame.width(), frame.height(), options) {
            let level = frame.resample(frame.region(), width, height, Kernel::Box);
            let found = self.propose_on_level(frame, &level, options.proposal_threshold);
            proposals.extend(best(suppress(found, LEVEL_OVERLAP, OverlapOf::Union, |(window, _)| window)));
        }
        let kept = best(suppress(proposals, PROPOSAL_OVERLAP, OverlapOf::Union, |(window, _)| window));
        kept.into_iter().map(|(window, offsets)| window.shifted(offsets).squared()).collect()
    }

    /// The windows that P-Net takes for faces, in pixels of the frame, with the offsets of their edges.
    fn propose_on_level(&self, frame: &RgbImage, level: &RgbImage, threshold: f32) -> Vec<(ScoredBox, [f32; 4])> {
        let across = frame.width() as f32 / level.width() as f32;
        let down = frame.height() as f32 / level.height() as f32;
        let mut found = Vec::new();
        let rows_at_once = (PIXELS_AT_ONCE / level.width() / 2 * 2).max(LEAST_ROWS_AT_ONCE);
        let mut first = 0;
        while first + PROPOSAL_SIDE <= level.height() {
            let rows = rows_at_once.min(level.height() - first);
            let bytes = &level.pixels()[first * level.width() * 3..][..rows * level.width() * 3];
            let images = self.tensor(scaled(bytes), [1, rows, level.width(), 3]);
            let (probabilities, offsets) = self.networks.pnet.forward(images);
            let [_, _, columns, _] = probabilities.dims();
            let (probabilities, offsets) = (numbers(probabilities), numbers(offsets));
            let cells = probabilities.iter().zip(offsets.as_chunks::<4>().0).enumerate();
            for (cell, (&score, &offsets)) in cells.filter(|(_, (score, _))| **score >= threshold) {
                let (x, y) = (cell % columns * PROPOSAL_STRIDE, first + cell / columns * PROPOSAL_STRIDE);
                let window = ScoredBox {
                    left: x as f32 * across,
                    top: y as f32 * down,
                    right: (x + PROPOSAL_SIDE) as f32 * across,
                    bottom: (y + PROPOSAL_SIDE) as f32 * down,
                    score,
                };
                found.push((window, offsets));
            }
            first += rows_at_once - SHARED_ROWS;
        }
        found
    }

    /// R-Net on every proposal.
    fn refine(&self, frame: &RgbImage, proposals: Vec<ScoredBox>, threshold: f32) -> Vec<ScoredBox> {
        let proposals: Vec<_> = proposals.into_iter().filter(|window| is_usable(frame, window)).collect();
        if proposals.is_empty() {
            return Vec::new();
        }
        let (probabilities, offsets) = self.networks.rnet.forward(self.windows(frame, &proposals, REFINE_SIDE));
        let (scores, offsets) = (numbers(probabilities), numbers(offsets));
        let (offsets, _) = offsets.as_chunks::<4>();
        let refined = proposals.iter().zip(scores).zip(offsets);
        let passed = refined
            .filter(|((_, score), _)| *score >= threshold)
            .map(|((window, score), offsets)| (ScoredBox { score, ..*window }, *offsets))
            .collect();
        let kept = suppress(passed, REFINED_OVERLAP, OverlapOf::Union, |(window, _)| window);
        kept.into_iter().map(|(window, offsets)| window.shifted(offsets).squared()).collect()
    }

    /// O-Net on what R-Net left.
    fn decide(&self, frame: &RgbImage, refined: Vec<ScoredBox>, threshold: f32) -> Vec<Face> {
        let refined: Vec<_> = refined.into_iter().filter(|window| is_usable(frame, window)).collect();
        if refined.is_empty() {
            return Vec::new();
        }
        let (probabilities, offsets, points) = self.networks.onet.forward(self.windows(frame, &refined, OUTPUT_SIDE));
        let (scores, offsets, points) = (numbers(probabilities), numbers(offsets), numbers(points));
        let ((offsets, _), (points, _)) = (offsets.as_chunks::<4>(), points.as_chunks::<10>());
        let decided = refined.iter().zip(scores).zip(offsets.iter().zip(points));
        let faces = decided
            .filter(|((_, score), _)| *score >= threshold)
            .map(|((window, score), (offsets, points))| {
                (ScoredBox { score, ..*window }.shifted(*offsets), landmarks(window, points))
            })
            .collect();
        let kept = suppress(faces, OUTPUT_OVERLAP, OverlapOf::Smaller, |(window, _)| window);
        kept.into_iter().filter_map(|(window, landmarks)| face(frame, &window, landmarks)).collect()
    }

    /// What the frame shows in each of `windows`: `[n, side, side, 3]`, scaled for the networks.
    fn windows(&self, frame: &RgbImage, windows: &[ScoredBox], side: usize) -> Tensor<4> {
        let values = windows.iter().flat_map(|window| scaled(look(frame, window, side).pixels())).collect();
        self.tensor(values, [windows.len(), side, side, 3])
    }

    fn tensor(&self, values: Vec<f32>, shape: [usize; 4]) -> Tensor<4> {
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}

/// Sizes of the pyramid's levels, largest first: on the first one the smallest face is as large as P-Net's window, on
/// the last one the window no longer fits.
fn pyramid(width: usize, height: usize, options: &FindOptions) -> Vec<(usize, usize)> {
    let step = if options.scale_step.is_finite() { options.scale_step.clamp(0.1, 0.95) } else { 0.709 };
    let mut scale = PROPOSAL_SIDE as f32 / options.smallest_face(width, height);
    let mut levels = Vec::new();
    loop {
        let (columns, rows) = (even(width as f32 * scale), even(height as f32 * scale));
        if columns.min(rows) < PROPOSAL_SIDE {
            return levels;
        }
        levels.push((columns, rows));
        scale *= step;
    }
}

/// The nearest even length: no cell of P-Net hangs over the edge.
fn even(length: f32) -> usize {
    (length / 2.0 + 0.5) as usize * 2
}

/// Levels of 0..255 as the networks want them.
fn scaled(levels: &[u8]) -> Vec<f32> {
    levels.iter().map(|&level| (f32::from(level) - 127.5) / 128.0).collect()
}

/// Reads a tensor back.
fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// The best of what [`suppress`] sorted.
fn best<T>(mut sorted: Vec<T>) -> Vec<T> {
    sorted.truncate(MOST_BOXES);
    sorted
}

/// O-Net's points, given in parts of the window, in pixels of the frame.
fn landmarks(window: &ScoredBox, points: &[f32; 10]) -> Landmarks {
    [0, 1, 2, 3, 4]
        .map(|point| [window.left + points[point] * window.width(), window.top + points[point + 5] * window.height()])
}

/// A face with its box cut at the edges of the frame; `None` if nothing of it is inside.
fn face(frame: &RgbImage, window: &ScoredBox, landmarks: Landmarks) -> Option<Face> {
    let (x, y) = (window.left.max(0.0), window.top.max(0.0));
    let width = window.right.min(frame.width() as f32) - x;
    let height = window.bottom.min(frame.height() as f32) - y;
    let bounds = Rect { x, y, width, height };
    (width > 0.0 && height > 0.0).then_some(Face { bounds, landmarks, confidence: window.score })
}

/// A face of a reduced frame in pixels of the whole frame; `scale` is whole over reduced, across and down. Points name
/// centres of pixels, so half a pixel is added before and taken off after.
fn enlarged(face: Face, [across, down]: [f32; 2]) -> Face {
    let Rect { x, y, width, height } = face.bounds;
    Face {
        bounds: Rect { x: x * across, y: y * down, width: width * across, height: height * down },
        landmarks: face.landmarks.map(|[x, y]| [(x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5]),
        confidence: face.confidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finder() -> FaceFinder {
        let models = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/");
        let file = |name| std::fs::read(std::string::String::from(models) + name).unwrap();
        let (mtcnn, refiner) = (file("mtcnn.safetensors"), file("landmark_refiner.safetensors"));
        FaceFinder::from_safetensors(&mtcnn, &refiner, &Device::flex()).unwrap()
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
            min_face: -1.0,
            scale_step: f32::NAN,
            proposal_threshold: 0.0,
            refine_threshold: 0.0,
            output_threshold: 0.0,
            max_side: 50,
        };
        finder().find(&frame, &foolish);
        finder().find(&frame, &FindOptions { max_side: 0, min_face: f32::NAN, ..foolish });
    }

    #[test]
    fn the_smallest_face_scales_with_the_frame_down_to_20_pixels() {
        let options = FindOptions::default();
        assert_eq!(options.smallest_face(1920, 1080), 40.0);
        assert_eq!(options.smallest_face(3840, 2160), 80.0);
        assert_eq!(options.smallest_face(640, 360), 20.0);
    }

    #[test]
    fn pyramid_levels_are_even_shrink_and_hold_a_window() {
        let levels = pyramid(640, 480, &FindOptions::default());
        assert_eq!(levels.first(), Some(&(384, 288)));
        assert!(levels.iter().all(|&(width, height)| width % 2 == 0 && height % 2 == 0 && width.min(height) >= 12));
        assert!(levels.is_sorted_by(|one, next| one > next));
    }

    #[test]
    fn a_face_of_a_reduced_frame_is_given_in_pixels_of_the_whole() {
        let bounds = Rect { x: 1.0, y: 2.0, width: 3.0, height: 4.0 };
        let found = enlarged(Face { bounds, landmarks: [[0.0, 1.5]; 5], confidence: 0.9 }, [2.0, 4.0]);
        assert_eq!(found.bounds, Rect { x: 2.0, y: 8.0, width: 6.0, height: 16.0 });
        assert_eq!(found.landmarks[0], [0.5, 7.5]);
    }
}
