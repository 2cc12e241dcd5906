//! What bodies for the CPU are made of: vectors, cores, matrix products, weights that are kept as these read them.
//!
//! Everything works on slices of f32. [`product`] has the matrix products, [`vector`] functions of vectors, [`parallel`] shares
//! work out to the cores, and [`kept`] keeps what is computed of weights. The operations' own bodies stand
//! on these: [`linear`], [`attention`] and [`layer_norm`] here, with what training asks of them in [`gradients`], the
//! convolutions in their folder.

#[cfg(feature = "simd")]
pub(super) mod attention;
#[cfg(feature = "simd")]
pub(super) mod buffers;
pub(super) mod flex;
#[cfg(all(feature = "simd", feature = "autodiff"))]
pub(super) mod gradients;
#[cfg(feature = "simd")]
pub(super) mod kept;
#[cfg(feature = "simd")]
pub(super) mod layer_norm;
#[cfg(feature = "simd")]
pub(super) mod linear;
pub(super) mod parallel;
#[cfg(feature = "simd")]
pub(super) mod product;
#[cfg(all(test, feature = "simd"))]
mod product_tests;
#[cfg(feature = "simd")]
pub(super) mod vector;

#[cfg(feature = "simd")]
pub use kept::KeptLayout;

/// Keeps nothing: without vector instructions, weights are read as they lie.
#[cfg(not(feature = "simd"))]
#[derive(Clone, Debug, Default)]
pub struct KeptLayout(());
