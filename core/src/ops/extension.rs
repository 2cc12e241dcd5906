//! What the operations' traits share.
//!
//! Each operation is a method of a trait that burn's `backend_extension` makes one of its `Dispatch`: it goes to the backend
//! that the tensors lie on, and to that backend's `Autodiff` where one of them is differentiated. The method's default body
//! is written in burn's own operations, so `impl Trait for Backend {}` gives a backend the operation, and an `impl` with the
//! method in it gives it a faster body. A build with a further backend of burn's lists it at each trait.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType, TensorMetadata};
use burn::prelude::*;
use burn::tensor::{DType, FloatDType};

/// A tensor that may be absent: burn's extensions take enums of tensors, but no `Option`.
#[derive(ExtensionType)]
pub(super) enum Optional<B: Backend> {
    Given(FloatTensor<B>),
    Absent,
}

impl Optional<Dispatch> {
    pub(super) fn new<const D: usize>(tensor: Option<Tensor<D>>) -> Self {
        tensor.map_or(Self::Absent, |tensor| Self::Given(tensor.into_dispatch()))
    }
}

impl<B: Backend> Optional<B> {
    /// The tensor, if there is one.
    pub(super) fn given(self) -> Option<FloatTensor<B>> {
        match self {
            Self::Given(tensor) => Some(tensor),
            Self::Absent => None,
        }
    }
}

#[cfg(feature = "simd")]
impl<B: Backend> Optional<B> {
    pub(super) fn of(tensor: Option<FloatTensor<B>>) -> Self {
        tensor.map_or(Self::Absent, Self::Given)
    }
}

/// A backend whose operations get their gradients from burn, which knows those of the default bodies' operations. burn's
/// backend for CPUs is none, where there are bodies with gradients of their own (`gradients`).
#[cfg(feature = "autodiff")]
pub(super) trait ComposedGradients: Backend {}

#[cfg(all(feature = "autodiff", not(feature = "simd")))]
impl ComposedGradients for burn::backend::Flex {}

#[cfg(all(feature = "autodiff", feature = "cube"))]
impl ComposedGradients for burn_cubecl::CubeBackend {}

#[cfg(all(feature = "autodiff", feature = "fusion"))]
impl<B: burn::backend::fusion::FusionBackend> ComposedGradients for burn::backend::fusion::Fusion<B> {}

/// The tensor in this type; the same tensor where it has it already.
pub(super) fn cast<B: Backend>(tensor: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    if tensor.dtype() == dtype { tensor } else { B::float_cast(tensor, FloatDType::from(dtype)) }
}
