//! Normalisation: of a token, of a channel over a batch, of a row's length.

use burn::module::Param;
use burn::prelude::*;
use burn::tensor::DType;

use crate::ops::{self, ChannelAffine, KeptLayout, NormedConvolution};
use crate::weights::{Init, Loader, WeightsError};

/// Layer normalisation with weight and bias.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[d]`
    pub weight: Param<Tensor<1>>,
    /// `[d]`
    pub bias: Param<Tensor<1>>,
    /// What keeps the division by the deviation finite.
    #[module(skip)]
    pub epsilon: f64,
}

/// PyTorch's default, and that of every LayerNorm of CLIP.
const USUAL_EPSILON: f64 = 1e-5;

impl LayerNorm {
    /// Loads `weight` and `bias`, with an epsilon of 1e-5.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, width: usize) -> Result<Self, WeightsError> {
        Self::load_with(loader, width, USUAL_EPSILON)
    }

    /// Loads `weight` and `bias`, with this epsilon.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load_with(loader: &mut Loader, width: usize, epsilon: f64) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: loader.param("weight", [width], Init::Ones)?,
            bias: loader.param("bias", [width], Init::Zeros)?,
            epsilon,
        })
    }

    /// Normalises the last dimension; the shape stays.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        ops::layer_norm(x, self.weight.val(), self.bias.val(), self.epsilon)
    }
}

/// Batch normalisation.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// `[channels]`
    pub weight: Param<Tensor<1>>,
    /// `[channels]`
    pub bias: Param<Tensor<1>>,
    /// The mean of each channel in training, `[channels]`; has no gradient.
    pub running_mean: Param<Tensor<1>>,
    /// The variance of each channel in training, `[channels]`; has no gradient.
    pub running_var: Param<Tensor<1>>,
    /// What keeps the division by the deviation finite.
    #[module(skip)]
    pub epsilon: f64,
    #[module(skip)]
    folded: KeptLayout,
}

impl BatchNorm {
    /// Loads all four, with this epsilon.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, channels: usize, epsilon: f64) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: loader.param("weight", [channels], Init::Ones)?,
            bias: loader.param("bias", [channels], Init::Zeros)?,
            running_mean: loader.constant("running_mean", [channels], Init::Zeros)?,
            running_var: loader.constant("running_var", [channels], Init::Ones)?,
            epsilon,
            folded: KeptLayout::default(),
        })
    }

    /// [`BatchNorm::load`] whose fresh weight is zero, so that what it follows starts by changing nothing.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load_zero(loader: &mut Loader, channels: usize, epsilon: f64) -> Result<Self, WeightsError> {
        let weight = loader.param("weight", [channels], Init::Zeros)?;
        let bias = loader.param("bias", [channels], Init::Zeros)?;
        Ok(Self {
            weight,
            bias,
            running_mean: loader.constant("running_mean", [channels], Init::Zeros)?,
            running_var: loader.constant("running_var", [channels], Init::Ones)?,
            epsilon,
            folded: KeptLayout::default(),
        })
    }

    /// `(x - mean) / sqrt(variance + epsilon) * weight + bias` by the stored statistics, as a factor and a summand.
    pub fn affine(&self) -> ChannelAffine {
        let Self { weight, bias, running_mean, running_var, .. } = self;
        let parameters = [weight, bias, running_mean, running_var].map(Param::val);
        ops::folded_norm(parameters, self.epsilon, &self.folded)
    }

    /// The norm by the statistics of the batch after a convolution of this weight.
    pub fn of_batch<const D: usize>(&self, weight: Tensor<D>) -> NormedConvolution<D> {
        NormedConvolution { weight, norm_weight: self.weight.val(), norm_bias: self.bias.val() }
    }
}

/// The smallest length that vectors are divided by, PyTorch's default in `F.normalize`.
const LEAST_LENGTH: f32 = 1e-12;

/// Rows `[n, d]` divided by their Euclidean length, in f32.
pub fn l2_normalise(rows: Tensor<2>) -> Tensor<2> {
    let rows = rows.cast(DType::F32);
    let length = (rows.clone() * rows.clone()).sum_dim(1).sqrt().clamp_min(LEAST_LENGTH);
    rows / length
}
