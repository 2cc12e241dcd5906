//! Multi-head attention.

use burn::prelude::*;

use super::{Linear, Pass, TapKind};
use crate::ops;
use crate::weights::{Loader, WeightsError};

/// Attention of tokens to tokens, with projections before and after.
#[derive(Module, Debug)]
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    #[module(skip)]
    heads: usize,
}

impl Attention {
    /// Loads `query`, `key`, `value` and `output`, each with bias.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(loader: &mut Loader, width: usize, heads: usize) -> Result<Self, WeightsError> {
        Self::load_with(loader, width, heads, true)
    }

    /// [`Attention::load`], where `key_bias` says whether the key has a bias.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load_with(loader: &mut Loader, width: usize, heads: usize, key_bias: bool) -> Result<Self, WeightsError> {
        let mut linear = |name: &str| loader.within(name, |l| Linear::load(l, width, width));
        let (query, value, output) = (linear("query")?, linear("value")?, linear("output")?);
        let key = match key_bias {
            true => linear("key")?,
            false => loader.within("key", |l| Linear::load_without_bias(l, width, width))?,
        };
        Ok(Self { query, key, value, output, heads })
    }

    /// Tokens `[n, L, d]` that attend to themselves, to tokens of the same shape, plus `residual`.
    pub fn forward(&self, x: Tensor<3>, residual: Option<Tensor<3>>, pass: &mut Pass) -> Tensor<3> {
        let (query, key) = (self.query.forward(x.clone()), self.key.forward(x.clone()));
        self.attend(query, key, self.value.forward(x), None, residual, pass)
    }

    /// [`Attention::forward`] with queries and keys changed by their place: `rotate` is given each as `[n, L, d]`.
    pub fn forward_rotated(
        &self,
        x: Tensor<3>,
        rotate: impl Fn(Tensor<3>) -> Tensor<3>,
        residual: Option<Tensor<3>>,
        pass: &mut Pass,
    ) -> Tensor<3> {
        let (query, key) = (rotate(self.query.forward(x.clone())), rotate(self.key.forward(x.clone())));
        self.attend(query, key, self.value.forward(x), None, residual, pass)
    }

    /// [`Attention::forward`] with `bias` added to the scores before the softmax: `[1 or n, heads, L, L]`.
    pub fn forward_biased(&self, x: Tensor<3>, bias: Tensor<4>, pass: &mut Pass) -> Tensor<3> {
        let (query, key) = (self.query.forward(x.clone()), self.key.forward(x.clone()));
        self.attend(query, key, self.value.forward(x), Some(bias), None, pass)
    }

    /// `query` `[n, K, d]`, not yet projected, that attends to tokens `[n, L, d]`: `[n, K, d]`, plus `residual` of that shape.
    pub fn forward_from(
        &self,
        query: Tensor<3>,
        x: Tensor<3>,
        residual: Option<Tensor<3>>,
        pass: &mut Pass,
    ) -> Tensor<3> {
        let (query, key) = (self.query.forward(query), self.key.forward(x.clone()));
        self.attend(query, key, self.value.forward(x), None, residual, pass)
    }

    fn attend(
        &self,
        query: Tensor<3>,
        key: Tensor<3>,
        value: Tensor<3>,
        bias: Option<Tensor<4>>,
        residual: Option<Tensor<3>>,
        pass: &mut Pass,
    ) -> Tensor<3> {
        let attended = match pass.taps(TapKind::Attention) {
            None => ops::attention(query, key, value, self.heads, bias),
            Some(taps) => {
                let (_, weights) = ops::attention_with_weights(query, key, value.clone(), self.heads, bias);
                ops::attended(taps.keep_attention(weights), value)
            }
        };
        self.output.forward_with(attended, None, residual)
    }
}
