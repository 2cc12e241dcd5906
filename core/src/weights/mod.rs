//! Where a model's tensors come from and go to.
//!
//! A model asks a [`TensorSource`] for each of its tensors by name and shape, through a [`Loader`] that checks what it
//! gets: presence, shape, finiteness, and that nothing is left over. Sources are a safetensors file ([`SafetensorsFile`]),
//! fresh seeded values ([`Seeded`]), an adapter over its base ([`Adapted`]), and low-rank updates added to their weights
//! ([`Merged`]). Weights may be stored as 8-bit integers ([`QuantizedMatrix`]), which every source gives as numbers, too; one
//! whose weights become integers is a [`Quantizing`]. A [`Layout`] is a file that is written as its tensors come. [`wrapping`] sees through what training programs put around the names of a network's tensors.
//!
//! Nothing here knows a model.

mod adapter;
mod error;
mod layout;
mod loader;
mod low_rank;
mod quantized;
mod safetensors_file;
mod seeded;
pub mod wrapping;

pub use adapter::Adapted;
pub use error::WeightsError;
pub use layout::{Layout, Placed, halved, to_f16};
pub use loader::{Init, Listed, Loader, TensorSource, Usage};
pub(crate) use low_rank::add_product;
pub use low_rank::{LowRankSpec, Merged, Started, scale_columns};
pub use quantized::{MULTIPLIED, QuantizedMatrix, Quantizing, Reduced, STORED, scale_name};
pub use safetensors_file::{ReadAt, SafetensorsFile, decode_f32};
pub use seeded::Seeded;
