//! Where a detector looked: maps of what in a face speaks for a fake, and what for a real one.
//!
//! Both come from one backward pass of the margin, the logit of fake less that of real, which alone decides the probability. Where
//! a detector is a transformer, its attention is weighted by the margin's gradient and followed from what is read of the last layer
//! to the patches of the image ([`rollout`]); where it is a convolutional network or a Swin transformer, the last feature maps
//! are weighted by their mean gradient: Grad-CAM (Selvaraju et al., 2017). What makes the margin larger speaks for a fake, what makes
//! it smaller for a real face.
//!
//! Grad-CAM needs no backward pass: the features are the mean over the last maps, and a head's gradient is written down
//! ([`Head::margin_gradient`](crate::layers::Head::margin_gradient)). Attention needs one, and a build with gradients.
//!
//! A map says what the answer came from, not what is wrong with the face: it is about the detector.

mod asked;
pub mod heat;
pub mod rollout;
#[cfg(all(test, feature = "autodiff"))]
mod tests;

use alloc::vec::Vec;

use super::Architecture;
use crate::layers::TapKind;

pub use asked::{Asked, explain};

/// Whether this build can explain a detector of this architecture.
pub fn can_explain(architecture: &Architecture) -> bool {
    cfg!(feature = "autodiff") || architecture.sizes().tapped() == TapKind::Maps
}

/// The largest value of a clip's maps, of both classes, by which all of them can be compared; 0 where nothing speaks for any.
pub fn largest(maps: &[EvidenceMap]) -> f32 {
    maps.iter().flat_map(|map| map.fake.iter().chain(&map.real)).copied().fold(0.0, f32::max)
}

/// What a clip's score came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Calibrated P(fake) of the clip.
    pub score: f32,
    /// A map for each frame of the clip.
    pub maps: Vec<EvidenceMap>,
}

/// How much each part of a frame's crop speaks for either class: squares in rows from the upper left corner, no value negative. The
/// values of one clip can be compared with each other, across its frames and classes, and with no other's.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceMap {
    /// Rows, and columns.
    pub side: usize,
    /// For a fake.
    pub fake: Vec<f32>,
    /// For a real face.
    pub real: Vec<f32>,
}

impl EvidenceMap {
    /// One class's values at `size` × `size` points, between the middles of squares bilinearly and beyond them as at the nearest.
    pub fn enlarged(values: &[f32], side: usize, size: usize) -> Vec<f32> {
        let axis = |place: usize| {
            let at = ((place as f32 + 0.5) * side as f32 / size as f32 - 0.5).clamp(0.0, (side.max(1) - 1) as f32);
            let low = at as usize;
            (low, (low + 1).min(side.max(1) - 1), at - low as f32)
        };
        let value = |row: usize, column: usize| values.get(row * side + column).copied().unwrap_or(0.0);
        let mut enlarged = Vec::with_capacity(size * size);
        for (top, bottom, down) in (0..size).map(axis) {
            for (left, right, across) in (0..size).map(axis) {
                let between = |row: usize| value(row, left) * (1.0 - across) + value(row, right) * across;
                enlarged.push(between(top) * (1.0 - down) + between(bottom) * down);
            }
        }
        enlarged
    }
}
