//! Where a model's tensors come from and go to.
//!
//! A model asks a [`TensorSource`] for each of its tensors by name and shape, through a [`Loader`] that checks what it
//! gets: presence, shape, finiteness, and that nothing is left over. Sources are a safetensors file ([`SafetensorsFile`]),
//! fresh seeded values ([`Seeded`]), an adapter over its base ([`Adapted`]), a CLIP detector that a branch is put beside
//! ([`Branched`]) and other people's checkpoints under our names ([`keys`]), whatever
//! training programs put around theirs (`wrapping`). [`spec`] is the document in a detector file's header.

mod adapter;
mod branched;
mod error;
pub mod keys;
mod loader;
mod safetensors_file;
mod seeded;
pub mod spec;
mod wrapping;

pub use adapter::Adapted;
pub use branched::Branched;
pub use error::WeightsError;
pub use loader::{Init, Loader, TensorSource};
pub use safetensors_file::{ReadAt, SafetensorsFile, decode_f32};
pub use seeded::Seeded;
