//! From a frame to aligned faces: [`finder`] finds faces and five points in a frame with the network of [`centerface`] and
//! has [`refiner`] correct the points, [`alignment`] places the points on a template, [`crop`] cuts the face out
//! accordingly, [`quality`] says whether the crop is worth scoring, and [`track`] follows faces from one sampled frame to
//! the next, by their places and by how they look ([`appearance`]).

pub mod alignment;
pub mod appearance;
mod boxes;
pub mod centerface;
pub mod crop;
mod detection;
mod error;
pub mod finder;
pub mod fineness;
mod layers;
mod parameters;
pub mod quality;
pub mod refiner;
pub mod track;
mod turn;
mod window;

use serde::{Deserialize, Serialize};

pub use error::FaceError;

/// Five points of a face as they appear in the image, in pixels `[x, y]`: left eye, right eye, nose, left and right
/// corner of the mouth; left and right as where the face is upright. Whole numbers are the centres of pixels.
pub type Landmarks = [[f32; 2]; 5];

/// An upright rectangle in pixels of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width, not negative.
    pub width: f32,
    /// Height, not negative.
    pub height: f32,
}

impl Rect {
    /// The area in square pixels.
    pub fn area(&self) -> f32 {
        self.width * self.height
    }

    /// Intersection over union: 1 for equal rectangles, 0 for rectangles that do not touch or have no area.
    ///
    /// ```
    /// use unmask_core::face::Rect;
    /// let left = Rect { x: 0.0, y: 0.0, width: 2.0, height: 1.0 };
    /// let right = Rect { x: 1.0, ..left };
    /// assert!((left.overlap(&right) - 1.0 / 3.0).abs() < 1e-6);
    /// ```
    pub fn overlap(&self, other: &Rect) -> f32 {
        let width = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let height = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        let common = width.max(0.0) * height.max(0.0);
        let union = self.area() + other.area() - common;
        if union > 0.0 { common / union } else { 0.0 }
    }
}

/// A face in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// Where the face is, inside the frame.
    pub bounds: Rect,
    /// Its five points; they may lie outside the frame when the face is cut off.
    pub landmarks: Landmarks,
    /// The finder's belief that this is a face, 0 to 1.
    pub confidence: f32,
}
