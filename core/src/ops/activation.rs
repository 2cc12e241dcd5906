//! What is applied to a linear layer's output.

use burn::prelude::*;
use burn::tensor::activation::{relu, sigmoid};

/// An element-wise function after a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `x * sigmoid(1.702 x)`, the approximation of GELU that CLIP was trained with.
    QuickGelu,
}

impl Activation {
    /// Applies the function to every element; the shape stays.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Relu => relu(x),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::QuickGelu => x.clone() * sigmoid(x * 1.702),
        }
    }

    #[cfg(test)]
    pub(crate) fn of_scalar(self, x: f64) -> f64 {
        match self {
            Self::Relu => x.max(0.0),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::QuickGelu => x / (1.0 + libm::exp(-1.702 * x)),
        }
    }
}
