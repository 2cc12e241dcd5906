//! The Unmask detector without its surroundings: models, faces, pipeline and report.
//!
//! This crate is `no_std` with `alloc`. It knows no file, no clock, no thread and no browser: frames and weights
//! are handed in, a report comes out. The same code runs natively and in a web page.
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod face;
pub mod image;
