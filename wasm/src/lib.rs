//! The detector in a browser: what the worker of `unmask.js` calls.
//!
//! JavaScript decodes, since browsers have the decoders; everything that a result depends on besides is here and in
//! `unmask-core`, as in the native program. The worker opens a file ([`VideoFile`]), decodes the samples of its plan,
//! hands each frame to a [`Scoring`], and takes the report. Calls are short, so that the worker can tell how far it is and
//! hear that it is to stop between them.
//!
//! A panic ends the module: the page then starts another worker ([`last_panic`] has the message).

mod blob;
pub mod media;
mod panic;
mod scoring;
mod video_file;

pub use panic::{last_panic, start};
pub use scoring::{Detector, Scoring};
pub use video_file::{VideoFile, is_image};
