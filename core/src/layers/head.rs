//! What makes logits of features.

use alloc::format;
use alloc::vec::Vec;
use core::fmt;

use burn::prelude::*;
use serde::{Deserialize, Serialize};

use super::Linear;
use crate::ops::Activation;
use crate::weights::{Loader, WeightsError};

/// The classification heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeadKind {
    /// `Linear(d, 2)`
    #[serde(rename = "1mlp")]
    OneLayer,
    /// `Linear(d, 512)`, ReLU, `Linear(512, 2)`
    #[serde(rename = "2mlp")]
    TwoLayers,
}

impl fmt::Display for HeadKind {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::OneLayer => "1mlp",
            Self::TwoLayers => "2mlp",
        })
    }
}

/// Width between the layers of the two-layer head.
pub const HEAD_HIDDEN: usize = 512;

/// One linear layer, or several with ReLU between.
#[derive(Module, Debug)]
pub struct Head {
    layers: Vec<Linear>,
}

impl Head {
    /// A head of `kind` on features of `width`.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, width: usize, kind: HeadKind) -> Result<Self, WeightsError> {
        let sizes: &[usize] = match kind {
            HeadKind::OneLayer => &[width, 2],
            HeadKind::TwoLayers => &[width, HEAD_HIDDEN, 2],
        };
        Self::load_layers(loader, sizes)
    }

    /// A head whose layers have these widths, from the features' to the outputs'.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load_layers(loader: &mut Loader, sizes: &[usize]) -> Result<Self, WeightsError> {
        let layers = sizes
            .windows(2)
            .enumerate()
            .map(|(index, pair)| loader.within(&format!("layers.{index}"), |l| Linear::load(l, pair[0], pair[1])))
            .collect::<Result<_, _>>()?;
        Ok(Self { layers })
    }

    /// Features `[n, d]` to outputs, of a detector the logits `[n, 2]`.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        let last = self.layers.len().saturating_sub(1);
        self.layers
            .iter()
            .enumerate()
            .fold(features, |x, (index, layer)| layer.forward_with(x, (index < last).then_some(Activation::Relu), None))
    }

    /// The gradient of the margin, the logit of fake less that of real, at features `[n, d]`: `[n, d]`.
    pub fn margin_gradient(&self, features: Tensor<2>) -> Tensor<2> {
        let Some((last, hidden)) = self.layers.split_last() else { return features.zeros_like() };
        let [count, _] = features.dims();
        let (mut x, mut active) = (features, Vec::with_capacity(hidden.len()));
        for layer in hidden {
            x = layer.forward_with(x, Some(Activation::Relu), None);
            active.push(x.clone().greater_elem(0.0).float());
        }
        let weight = last.whole_weight();
        let [_, width] = weight.dims();
        let margin = weight.clone().narrow(0, 1, 1) - weight.narrow(0, 0, 1);
        let through = |gradient: Tensor<2>, (layer, active): (&Linear, Tensor<2>)| {
            (gradient * active).matmul(layer.whole_weight())
        };
        hidden.iter().zip(active).rev().fold(margin.expand([count, width]), through)
    }
}
