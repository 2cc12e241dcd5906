//! The layers models are made of: parameters with their names, and the operation they go through.

use burn::module::Param;
use burn::prelude::*;

use crate::ops::{self, Activation};
use crate::weights::{Init, Loader, WeightsError};

/// `x · weightᵀ + bias`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Param<Tensor<1>>,
}

impl Linear {
    /// Loads `weight` and `bias`; fresh weights have the deviation `in^-0.5`.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, input: usize, output: usize) -> Result<Self, WeightsError> {
        let deviation = 1.0 / libm::sqrtf(input as f32);
        Ok(Self {
            weight: loader.param("weight", [output, input], Init::Normal(deviation))?,
            bias: loader.param("bias", [output], Init::Zeros)?,
        })
    }

    /// Loads `weight` and `bias`; fresh ones are zero, so that a new branch starts by changing nothing.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load_zero(loader: &mut Loader, input: usize, output: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: loader.param("weight", [output, input], Init::Zeros)?,
            bias: loader.param("bias", [output], Init::Zeros)?,
        })
    }

    /// `[…, in]` to `[…, out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_with(x, None, None)
    }

    /// `activation(linear(x)) + residual`, `[…, in]` to `[…, out]`.
    pub fn forward_with<const D: usize>(
        &self,
        x: Tensor<D>,
        activation: Option<Activation>,
        residual: Option<Tensor<D>>,
    ) -> Tensor<D> {
        ops::linear(x, self.weight.val(), Some(self.bias.val()), activation, residual)
    }
}

/// Layer normalisation with weight and bias.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[d]`
    pub weight: Param<Tensor<1>>,
    /// `[d]`
    pub bias: Param<Tensor<1>>,
}

/// What keeps the division by the deviation finite, in every LayerNorm of CLIP.
const EPSILON: f64 = 1e-5;

impl LayerNorm {
    /// Loads `weight` and `bias`.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, width: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: loader.param("weight", [width], Init::Ones)?,
            bias: loader.param("bias", [width], Init::Zeros)?,
        })
    }

    /// Normalises the last dimension; the shape stays.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        ops::layer_norm(x, self.weight.val(), self.bias.val(), EPSILON)
    }
}
