//! The linear layer, and the low-rank update that may be trained in its place.

use burn::module::{Param, ParamId};
use burn::prelude::*;

use crate::ops::{self, Activation, KeptLayout, QuantizedWeight};
use crate::weights::{Init, Loader, LowRankSpec, Usage, WeightsError};

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
    /// The weight as integers, where it is stored so and never changes; `weight` then takes no memory until it is read.
    #[module(skip)]
    quantized: Option<QuantizedWeight>,
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
        let (weight, quantized) = load_weight(loader, [output, input], init)?;
        let bias = if has_bias { Some(loader.param("bias", [output], Init::Zeros)?) } else { None };
        let low_rank = match loader.low_rank() {
            Some(spec) => Some(loader.within("low_rank", |l| LowRank::load(l, input, output, &spec))?),
            None => None,
        };
        Ok(Self { weight, bias, low_rank, kept: KeptLayout::default(), quantized })
    }

    /// The weight with its update, `[out, in]`.
    pub fn whole_weight(&self) -> Tensor<2> {
        let weight = self.weight.val();
        let [_, input] = weight.dims();
        match &self.low_rank {
            Some(low_rank) => {
                let each = Tensor::<2>::eye(input, &weight.device().without_autodiff());
                weight + low_rank.forward(each).transpose()
            }
            None => weight,
        }
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
        if let Some(weight) = self.quantized.as_ref().filter(|weight| weight.serves(&x)) {
            return ops::quantized_linear(x, weight, bias, activation, residual);
        }
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

/// The layer's weight, and the same as integers where the source has them and this device multiplies them.
fn load_weight(
    loader: &mut Loader,
    shape: [usize; 2],
    init: Init,
) -> Result<(Param<Tensor<2>>, Option<QuantizedWeight>), WeightsError> {
    let Some(matrix) = loader.quantized("weight", shape, init)? else {
        return Ok((loader.param_for(Usage::Product, "weight", shape, init)?, None));
    };
    let Some(quantized) = QuantizedWeight::new(&matrix.values, &matrix.scales, shape) else {
        return Ok((Param::from_data(TensorData::new(matrix.dequantized(), shape), loader.device()), None));
    };
    let kept = quantized.clone();
    let read = move |device: &Device, is_trained| {
        let weight = Tensor::from_data(TensorData::new(kept.dequantized(), shape), device);
        if is_trained { weight.require_grad() } else { weight }
    };
    let weight = Param::uninitialized(ParamId::new(), read, loader.device().clone(), true, shape.into());
    Ok((weight, Some(quantized)))
}

/// How fresh weights of a layer that reads `input` numbers are.
fn usual(input: usize) -> Init {
    Init::Normal(1.0 / libm::sqrtf(input as f32))
}
