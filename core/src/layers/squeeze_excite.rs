//! Squeeze and excitation (Hu et al., 2018).

use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::activation::sigmoid;

use super::Linear;
use crate::ops::Activation;
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
        let [count, rows, columns, channels] = x.dims();
        let dtype = x.dtype();
        let means: Tensor<3> = x.clone().reshape([count, rows * columns, channels]).cast(DType::F32).mean_dim(1);
        let inside = self.reduce.forward_with(means, Some(self.activation), None);
        let gates = sigmoid(self.expand.forward(inside)).cast(dtype);
        x * gates.unsqueeze_dim::<4>(1)
    }
}
