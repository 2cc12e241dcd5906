//! The two-layer perceptron of a transformer's layer.

use burn::prelude::*;

use super::{Linear, Pass, dropout};
use crate::ops::Activation;
use crate::weights::{Loader, WeightsError};

/// Two linear layers with an activation between, and perhaps a gate (Shazeer, "GLU Variants Improve Transformer", 2020).
#[derive(Module, Debug)]
pub struct Mlp {
    fc1: Linear,
    /// What the activation is applied to where there is one; the first layer's output is then what it weighs.
    gate: Option<Linear>,
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
            gate: None,
            fc2: loader.within("fc2", |l| Linear::load(l, inside, width))?,
            activation,
        })
    }

    /// [`Mlp::load`] with a `gate` beside `fc1`.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load_gated(
        loader: &mut Loader,
        width: usize,
        inside: usize,
        activation: Activation,
    ) -> Result<Self, WeightsError> {
        let gate = loader.within("gate", |l| Linear::load(l, width, inside))?;
        Ok(Self { gate: Some(gate), ..Self::load(loader, width, inside, activation)? })
    }

    /// Tokens `[…, d]` to the same shape, plus `residual`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>, residual: Option<Tensor<D>>) -> Tensor<D> {
        self.fc2.forward_with(self.inside(x), None, residual)
    }

    /// Tokens `[…, d]` to the same shape; in training a part `drop` of the numbers is dropped between the layers and of those
    /// that come out ([`dropout`]).
    pub fn forward_dropping<const D: usize>(&self, x: Tensor<D>, drop: f32, pass: &mut Pass) -> Tensor<D> {
        let inside = dropout(self.inside(x), drop, pass);
        dropout(self.fc2.forward(inside), drop, pass)
    }

    /// Tokens `[…, d]` to `[…, inside]`, what the second layer is given.
    fn inside<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let activation = Some(self.activation);
        match &self.gate {
            None => self.fc1.forward_with(x, activation, None),
            Some(gate) => gate.forward_with(x.clone(), activation, None) * self.fc1.forward(x),
        }
    }
}
