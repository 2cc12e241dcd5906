//! Transformers' operations on graphics devices, by CubeCL, and what kernels of ours share.
//!
//! burn's matrix product and attention are written for tensor cores and for trying out which of many kernels is the fastest.
//! Where a device has them, as CUDA's do, they are better than anything here. A browser has neither: what burn takes there
//! without trying writes scores out, transposes copies and is fifty times as slow as [`linear`] in Chromium's imitation of a
//! device. So [`serves`] decides by what the device has.
//!
//! No kernel here needs subgroups, whose size differs between devices and which Chromium accepts in few places only.

mod attention;
mod layer_norm;
mod linear;

use burn::backend::Shape;
use burn::tensor::DType;
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

/// Whether our kernels compute this tensor: numbers in f32, on a device without tensor cores.
fn serves(tensor: &CubeTensor) -> bool {
    tensor.dtype == DType::F32 && tensor.client.features().matmul.cmma.is_empty()
}

/// An uninitialised tensor beside `tensor`, of its type.
pub(super) fn like(tensor: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    empty_device_contiguous_dtype(tensor.client.clone(), tensor.device.clone(), shape.into(), tensor.dtype)
}

/// How many workgroups of which size compute `threads` things.
pub(super) fn launch_size(output: &CubeTensor, threads: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(&output.client, threads);
    (calculate_cube_count_elemwise(&output.client, threads, dim), dim)
}

/// At least so many workgroups, in as many directions as they need: a browser allows 65,535 in one.
fn workgroups(output: &CubeTensor, count: usize, dim: CubeDim) -> CubeCount {
    calculate_cube_count_elemwise(&output.client, count * dim.num_elems() as usize, dim)
}

/// Numbers that are read at once, where `length` numbers lie side by side: WGSL has vectors of four.
fn vector_size(length: usize) -> usize {
    if length.is_multiple_of(4) { 4 } else { 1 }
}
