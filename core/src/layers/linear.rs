//! The linear layer, and the low-rank update that may be trained in its place.

use burn::module::Param;
use burn::prelude::*;

use crate::ops::{self, Activation, KeptLayout};
use crate::weights::{Init, Loader, LowRankSpec, WeightsError};

/// `x · weightᵀ + bias`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
    /// What is added to the weight, where the detector has low-rank updates of this layer.
    pub low_rank: Option<LowRank>,
    #[module(skip)]
    kept: KeptLayout,
}

/// A change of a weight as the product of two thin matrices (Hu et al., "LoRA", 2022).
#[derive(Module, Debug)]
pub struct LowRank {
    /// `[rank, in]`, random at first.
    pub down: Param<Tensor<2>>,
    /// `[out, rank]`, zero at first, so that training begins at the weight as it is.
    pub up: Param<Tensor<2>>,
    /// `α / rank`, which multiplies the product.
    #[module(skip)]
    pub scale: f32,
    /// Where the update takes the place of a part of the weight.
    pub residual: Option<Residual>,
}

/// What makes an update one that takes the place of a weight's smallest singular values (Yan et al., "Effort", 2025): the
/// product is `up · diag(values) · down`, and what it began as is taken off the weight, so that the file of the whole weight
/// is all that is needed beside it.
#[derive(Module, Debug)]
pub struct Residual {
    /// `[rank]`, the singular values at first.
    pub values: Param<Tensor<1>>,
    /// `[rank, in]`, right singular vectors; never trained.
    pub replaced_down: Param<Tensor<2>>,
    /// `[out, rank]`, left singular vectors times their values; never trained.
    pub replaced_up: Param<Tensor<2>>,
}

impl Residual {
    fn load(loader: &mut Loader, input: usize, output: usize, rank: usize) -> Result<Self, WeightsError> {
        Ok(Self {
            values: loader.param("values", [rank], Init::Ones)?,
            replaced_down: loader.constant("replaced_down", [rank, input], Init::Zeros)?,
            replaced_up: loader.constant("replaced_up", [output, rank], Init::Zeros)?,
        })
    }
}

impl LowRank {
    fn load(loader: &mut Loader, input: usize, output: usize, spec: &LowRankSpec) -> Result<Self, WeightsError> {
        let rank = spec.rank;
        // The variance of PEFT's start, which is uniform.
        let deviation = 1.0 / libm::sqrtf(3.0 * input as f32);
        let residual = match spec.residual {
            true => Some(loader.within("residual", |l| Residual::load(l, input, output, rank))?),
            false => None,
        };
        Ok(Self {
            down: loader.param("down", [rank, input], Init::Normal(deviation))?,
            up: loader.param("up", [output, rank], Init::Zeros)?,
            scale: spec.scale(),
            residual,
        })
    }

    /// `[…, in]` to what is added to the layer's output, `[…, out]`.
    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let product = |x: Tensor<D>, down: Tensor<2>, up: Tensor<2>| {
            ops::linear(ops::linear(x, down, None, None, None), up, None, None, None)
        };
        let (down, up) = (self.down.val(), self.up.val() * self.scale);
        let Some(Residual { values, replaced_down, replaced_up }) = &self.residual else {
            return product(x, down, up);
        };
        let replaced = product(x.clone(), replaced_down.val(), replaced_up.val());
        product(x, down, up * values.val().unsqueeze::<2>()) - replaced
    }
}

impl Linear {
    /// Loads `weight` and `bias`; fresh weights have the deviation `in^-0.5`.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, input: usize, output: usize) -> Result<Self, WeightsError> {
        Self::load_with(loader, input, output, usual(input), true)
    }

    /// Loads `weight` alone.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load_without_bias(loader: &mut Loader, input: usize, output: usize) -> Result<Self, WeightsError> {
        Self::load_with(loader, input, output, usual(input), false)
    }

    /// Loads `weight` and `bias`; fresh ones are zero, so that a new branch starts by changing nothing.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load_zero(loader: &mut Loader, input: usize, output: usize) -> Result<Self, WeightsError> {
        Self::load_with(loader, input, output, Init::Zeros, true)
    }

    fn load_with(
        loader: &mut Loader,
        input: usize,
        output: usize,
        init: Init,
        has_bias: bool,
    ) -> Result<Self, WeightsError> {
        let weight = loader.param("weight", [output, input], init)?;
        let bias = if has_bias { Some(loader.param("bias", [output], Init::Zeros)?) } else { None };
        let low_rank = match loader.low_rank() {
            Some(spec) => Some(loader.within("low_rank", |l| LowRank::load(l, input, output, &spec))?),
            None => None,
        };
        Ok(Self { weight, bias, low_rank, kept: KeptLayout::default() })
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
        let bias = self.bias.as_ref().map(Param::val);
        let Some(low_rank) = &self.low_rank else {
            return ops::linear_kept(x, self.weight.val(), bias, activation, residual, &self.kept);
        };
        let update = Some(low_rank.forward(x.clone()));
        let output = ops::linear_kept(x, self.weight.val(), bias, None, update, &self.kept);
        let output = activation.map_or(output.clone(), |activation| activation.apply(output));
        match residual {
            Some(residual) => output + residual,
            None => output,
        }
    }
}

/// How fresh weights of a layer that reads `input` numbers are.
fn usual(input: usize) -> Init {
    Init::Normal(1.0 / libm::sqrtf(input as f32))
}
