//! The detector in a browser: what the workers of `unmask.js` call.
//!
//! JavaScript decodes, since browsers have the decoders, and shares work out among workers; everything that a result
//! depends on besides is here and in `unmask-core`, as in the native program. One worker opens a file ([`VideoFile`]),
//! decodes the samples of its plan, and has a [`Scoring`] that makes the report. Helpers, each with this module in a memory
//! of its own, find faces ([`FaceFinder`]), score crops and explain them ([`Scorer`]). Calls are short, so that each worker can hear
//! between them that it is to stop.
//!
//! A panic ends the module: another worker is started then ([`last_panic`] has the message).

mod blob;
#[cfg(test)]
mod contract;
#[cfg(feature = "checkpoints")]
mod convert;
mod device;
mod error;
mod explaining;
mod finder;
mod frame;
pub mod media;
mod panic;
#[cfg(feature = "pictures")]
mod picture_file;
mod scorer;
mod scoring;
mod video_file;

#[cfg(feature = "checkpoints")]
pub use convert::Conversion;
#[cfg(feature = "webgpu")]
pub use device::probe;
pub use explaining::{Explained, crop_face, explained_together};
pub use finder::FaceFinder;
pub use panic::{last_panic, start};
#[cfg(feature = "pictures")]
pub use picture_file::{PictureFile, media_kind, picture_refusal, refuse_large};
pub use scorer::{Scorer, read_spec, sha256};
pub use scoring::{Crops, Scoring};
pub use video_file::{VideoFile, to_rgb};
