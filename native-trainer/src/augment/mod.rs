//! What is done to faces before a detector is trained on them.
//!
//! [`Augmentation`] is a recipe's table of changes with their chances; [`Augmentation::draw`] decides on them from a
//! generator, and `recipe::Drawn::apply_to_all` makes them, the same for every frame of a clip; `one_of` chooses among
//! them. Each change is a function of an image and explicit numbers, beside the limits that the numbers are drawn within:
//! `colour`, `fancy_pca`, `filter`, `motion`, `denoise`, `light`, `moire`, `warp`, `jpeg`, `patch`, and
//! `distractor`, which paints with `paint`; a `video` is made of a whole batch. [`sbi`] makes fakes from real faces.
//! Masks and what deforms them are in `mask` and `elastic`, the face's outline in `mean_face`, other ways to blend in
//! `poisson` and `lab`. [`whole`] makes a fake of one face in a picture, [`degrade`] does one thing at a time, to measure with.

mod colour;
pub mod degrade;
mod denoise;
mod distractor;
mod draw;
mod elastic;
mod fancy_pca;
mod filter;
mod jpeg;
mod lab;
mod light;
mod mask;
mod mean_face;
mod moire;
mod motion;
mod one_of;
mod paint;
mod patch;
mod poisson;
mod recipe;
pub mod sbi;
#[cfg(test)]
mod tests;
mod video;
mod warp;
pub mod whole;

use unmask_core::image::RgbImage;

pub use jpeg::compressed;
pub use mask::Mask;
pub use recipe::Augmentation;
pub use video::{Filming, Shot};

/// A level rounded to the nearest whole one within 0..=255.
fn level(value: f32) -> u8 {
    // The conversion cuts off the fraction and what lies outside, and makes 0 of NaN.
    (value + 0.5) as u8
}

/// An image of the size of `image` with other pixels; the image itself where their number does not fit.
fn rebuilt(image: &RgbImage, pixels: Vec<u8>) -> RgbImage {
    RgbImage::new(image.width(), image.height(), pixels).unwrap_or_else(|| image.clone())
}

/// An image with each pixel changed for itself.
fn mapped(image: &RgbImage, new: impl Fn([u8; 3]) -> [u8; 3]) -> RgbImage {
    let mut pixels = image.pixels().to_vec();
    pixels.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| *pixel = new(*pixel));
    rebuilt(image, pixels)
}
