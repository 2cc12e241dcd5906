//! The landmark refiner's layers, on images whose channels lie side by side: `[images, rows, columns, channels]`.

use burn::module::{Module, Param};
use burn::nn::PRelu;
use burn::tensor::Tensor;

use crate::layers::{BiasedConvolution, ConvolutionSizes};
use crate::ops::Steps;
use crate::weights::{Init, Loader, WeightsError};

/// An unpadded convolution of 4 × 4 and stride 2 with bias, and the PReLU after it.
#[derive(Module, Debug)]
pub(super) struct Halving {
    convolution: BiasedConvolution,
    activation: PRelu,
}

impl Halving {
    /// Loads the convolution called `layer`, from `inputs` channels to `outputs`, and the PReLU called `activation`.
    pub(super) fn load(
        loader: &mut Loader,
        layer: &str,
        inputs: usize,
        outputs: usize,
        activation: &str,
    ) -> Result<Self, WeightsError> {
        let sizes = ConvolutionSizes { inputs, outputs, side: 4 };
        let convolution = loader.within(layer, |l| BiasedConvolution::load(l, sizes))?;
        Ok(Self { convolution, activation: prelu(loader, activation, outputs)? })
    }

    /// # Shapes
    /// - x: `[images, rows, columns, inputs]`, rows and columns even
    /// - output: `[images, rows / 2 - 1, columns / 2 - 1, outputs]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let sums = self.convolution.forward(x, Steps::unpadded(2), None);
        let [images, rows, columns, outputs] = sums.dims();
        // burn's PReLU has its channels second.
        let activated = self.activation.forward(sums.reshape([images * rows * columns, outputs]));
        activated.reshape([images, rows, columns, outputs])
    }
}

/// A PReLU with one slope for each of `channels`.
pub(super) fn prelu(loader: &mut Loader, layer: &str, channels: usize) -> Result<PRelu, WeightsError> {
    let alpha: Param<Tensor<1>> = loader.within(layer, |l| l.param("weight", [channels], Init::Zeros))?;
    Ok(PRelu { alpha: Param::from_tensor(alpha.val()), alpha_value: 0.25 })
}
