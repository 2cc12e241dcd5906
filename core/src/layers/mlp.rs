//! The two-layer perceptron of a transformer's layer.

use burn::prelude::*;

use super::Linear;
use crate::ops::Activation;
use crate::weights::{Loader, WeightsError};

/// Two linear layers with an activation between.
#[derive(Module, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    /// Loads `fc1` from `width` to `inside` and `fc2` back.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(
        loader: &mut Loader,
        width: usize,
        inside: usize,
        activation: Activation,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            fc1: loader.within("fc1", |l| Linear::load(l, width, inside))?,
            fc2: loader.within("fc2", |l| Linear::load(l, inside, width))?,
            activation,
        })
    }

    /// Tokens `[…, d]` to the same shape, plus `residual`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, residual: Option<Tensor<D>>) -> Tensor<D> {
        self.fc2.forward_with(self.fc1.forward_with(x, Some(self.activation), None), None, residual)
    }
}
