//! The Unmask detector without its surroundings: models, faces, pipeline and report.
//!
//! This crate is `no_std` with `alloc`. It knows no file, no clock, no thread and no browser: frames and weights
//! are handed in, a report comes out. The same code runs natively and in a web page.
//!
//! - [`image`]: an RGB image, and resizing it
//! - [`face`]: finding, aligning, cropping and following faces
//! - [`detector`]: the models that score a face, their files and other people's checkpoints
//! - [`layers`]: what models are made of
//! - [`ops`]: the operations that the models' time goes into
//! - [`weights`]: where tensors come from
//! - [`pipeline`]: from frames to a report
//! - [`metrics`]: how good scores are, and what a detector's calibration is chosen by
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod detector;
pub mod face;
pub mod image;
pub mod layers;
pub mod metrics;
pub mod ops;
pub mod pipeline;
pub mod weights;
