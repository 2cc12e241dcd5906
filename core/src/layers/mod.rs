//! The layers models are made of: parameters with their names, and the operations they go through.
//!
//! A layer loads its tensors by name through a [`Loader`](crate::weights::Loader) and computes by [`ops`](crate::ops). What
//! changes from one forward pass to the next (chance in training, the statistics of a batch, what is to be kept of it) is
//! in the [`Pass`] that goes through all of them.

mod attention;
mod convolution;
mod drop_path;
mod dropout;
mod head;
mod linear;
mod mlp;
mod norm;
mod pass;
mod patches;
mod pooling;
mod squeeze_excite;

pub use attention::Attention;
pub use convolution::{BiasedConvolution, Convolution, ConvolutionSizes};
pub use drop_path::{keep_probability, pass_by};
pub use dropout::dropout;
pub use head::{HEAD_HIDDEN, Head, HeadKind};
pub use linear::{Linear, LowRank, Residual};
pub use mlp::Mlp;
pub use norm::{BatchNorm, LayerNorm, l2_normalise};
pub use pass::{Chance, Pass, TapKind, Tapped, Taps};
pub use patches::PatchEmbedding;
pub use pooling::mean_over_places;
pub use squeeze_excite::SqueezeExcite;
