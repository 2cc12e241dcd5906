//! Squeeze and excitation (Hu et al., 2018).

use burn::prelude::*;
use burn::tensor::activation::sigmoid;

use super::{Linear, mean_over_places};
use crate::ops::{self, Activation};
use crate::weights::{Loader, WeightsError};

/// Each channel times a number from 0 to 1 that follows from the means of all.
#[derive(Module, Debug)]
pub struct SqueezeExcite {
    reduce: Linear,
    expand: Linear,
    #[module(skip)]
    activation: Activation,
}

impl SqueezeExcite {
    /// Loads `reduce` from `channels` to `inside` and `expand` back; `activation` is between.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(
        loader: &mut Loader,
        channels: usize,
        inside: usize,
        activation: Activation,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            reduce: loader.within("reduce", |l| Linear::load(l, channels, inside))?,
            expand: loader.within("expand", |l| Linear::load(l, inside, channels))?,
            activation,
        })
    }

    /// `[n, h, w, channels]` to the same shape.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let dtype = x.dtype();
        let inside = self.reduce.forward_with(mean_over_places(x.clone()), Some(self.activation), None);
        let gates = sigmoid(self.expand.forward(inside)).cast(dtype);
        ops::scale_channels(x, gates)
    }
}
