//! From a frame to an aligned, resized, normalised crop on the GPU that holds the frame.
//!
//! Three steps, each a WGSL compute shader with the file that says what it is given:
//!
//! 1. [`warp`](mod@warp): the face, turned and scaled, out of a frame in a buffer or a texture
//! 2. [`resize`](mod@resize): the crop in the size of the model's input, rows first, then columns
//! 3. [`normalise`](mod@normalise): levels as the model's numbers, in its place of a batch
//!
//! They equal the core's `crop`, `RgbImage::resize` and normalisation to one level of 255 in every pixel, but know nothing of the core, nor
//! of any other crate of ours: sizes and transforms come as plain numbers. Every shader is plain WGSL without optional features, in workgroups
//! of [`WORKGROUP`] × [`WORKGROUP`] invocations, and its parameters are a uniform buffer, little-endian as WGSL prescribes.
//!
//! With the feature `runner`, `CropPipeline` encodes them on a device of wgpu that is handed in, such as burn's.

pub mod normalise;
pub mod resize;
#[cfg(any(test, feature = "runner"))]
pub mod runner;
pub mod warp;

#[cfg(test)]
mod tests;

/// Invocations of a workgroup along each of two axes, in every shader.
pub const WORKGROUP: u32 = 8;

/// How many workgroups to dispatch so that there is an invocation for each of `columns` × `rows`.
///
/// ```
/// assert_eq!(unmask_shaders::workgroups(224, 225), [28, 29, 1]);
/// ```
pub fn workgroups(columns: u32, rows: u32) -> [u32; 3] {
    [columns.div_ceil(WORKGROUP), rows.div_ceil(WORKGROUP), 1]
}

/// The words as a uniform buffer holds them.
fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
