//! Tensors of burn's CPU backend as slices, and back.

use alloc::vec::Vec;

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::{DType, Shape};
use burn::tensor::Bytes;

/// A tensor of `values` in `shape`.
pub(in crate::ops) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape.into()), DType::F32)
}

/// The tensor with its values row by row and nothing else in its storage; the same tensor where it is so already.
pub(in crate::ops) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    // The parameter is given up on return, so that a tensor nobody else holds stays the only one.
    tensor.to_contiguous()
}

/// The tensor with steps that are positive: where it is not so already, as where it is flipped or stands for many like it, a
/// copy.
#[cfg(feature = "simd")]
pub(in crate::ops) fn forward(tensor: &FlexTensor) -> FlexTensor {
    let is_forward = tensor.layout().strides().iter().all(|stride| *stride > 0);
    if is_forward { tensor.clone() } else { contiguous(tensor.clone()) }
}

pub(in crate::ops) fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    core::array::from_fn(|index| tensor.layout().shape()[index])
}
