//! What is applied to a linear layer's output.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch};
use burn::prelude::*;

/// An element-wise function after a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `x * sigmoid(1.702 x)`, the approximation of GELU that CLIP was trained with.
    QuickGelu,
    /// `x * Φ(x)` with the distribution function of the normal distribution (Hendrycks & Gimpel, 2016), to within f32's rounding.
    Gelu,
    /// `x * sigmoid(x)`, also called swish.
    Silu,
}

impl Activation {
    /// What the function clamps to, where it does nothing else.
    pub(super) fn bounds(self) -> Option<(f32, f32)> {
        match self {
            Self::Relu => Some((0.0, f32::INFINITY)),
            Self::Relu6 => Some((0.0, 6.0)),
            Self::QuickGelu | Self::Gelu | Self::Silu => None,
        }
    }

    /// Applies the function to every element; the shape stays.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        Tensor::from_dispatch(self.apply_on::<Dispatch>(x.into_dispatch()))
    }

    /// [`Activation::apply`] on a backend's own tensor.
    pub(super) fn apply_on<B: Backend>(self, x: FloatTensor<B>) -> FloatTensor<B> {
        match self {
            Self::Relu => B::relu(x),
            Self::Relu6 => B::float_clamp(x, 0.0.into(), 6.0.into()),
            Self::QuickGelu => B::float_mul(x.clone(), B::sigmoid(B::float_mul_scalar(x, 1.702.into()))),
            Self::Gelu => B::gelu(x),
            Self::Silu => B::float_mul(x.clone(), B::sigmoid(x)),
        }
    }

    /// None, and each of them.
    #[cfg(test)]
    pub(super) const NONE_OR_ANY: [Option<Self>; 6] =
        [None, Some(Self::Relu), Some(Self::QuickGelu), Some(Self::Gelu), Some(Self::Silu), Some(Self::Relu6)];

    #[cfg(test)]
    pub(crate) fn of_scalar(self, x: f64) -> f64 {
        match self {
            Self::Relu => x.max(0.0),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::QuickGelu => x / (1.0 + libm::exp(-1.702 * x)),
            Self::Gelu => 0.5 * x * libm::erfc(-x * core::f64::consts::FRAC_1_SQRT_2),
            Self::Silu => x / (1.0 + libm::exp(-x)),
        }
    }
}
