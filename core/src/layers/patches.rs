//! From pixels to the tokens of patches.

use burn::module::Param;
use burn::prelude::*;

use crate::ops::{self, KeptLayout};
use crate::weights::{Init, Loader, WeightsError};

/// A convolution whose kernel equals its stride.
#[derive(Module, Debug)]
pub struct PatchEmbedding {
    /// `[d, 3, patch, patch]`
    pub weight: Param<Tensor<4>>,
    /// `[d]`
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    kept: KeptLayout,
}

impl PatchEmbedding {
    /// Loads `weight`, and `bias` where there is one; fresh weights have this `deviation`.
    ///
    /// # Errors
    /// Any [`WeightsError`].
    pub fn load(
        loader: &mut Loader,
        width: usize,
        patch: usize,
        has_bias: bool,
        deviation: f32,
    ) -> Result<Self, WeightsError> {
        Ok(Self {
            weight: loader.param("weight", [width, 3, patch, patch], Init::Normal(deviation))?,
            bias: if has_bias { Some(loader.param("bias", [width], Init::Zeros)?) } else { None },
            kept: KeptLayout::default(),
        })
    }

    /// Pixels `[n, 3, h, w]` to tokens `[n, patches, d]`, row by row.
    pub fn forward(&self, pixels: Tensor<4>) -> Tensor<3> {
        let bias = self.bias.as_ref().map(Param::val);
        ops::patch_embedding_kept(pixels, self.weight.val(), bias, &self.kept)
    }
}
