//! What networks are trained by: bare convolutions, and norms by the statistics of the batch.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Shape, TensorMetadata, backend_extension};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::{ones_client, zeros_client};
use burn_cubecl::ops::{permute, reshape};
use burn_cubecl::tensor::CubeTensor;

use super::inference::DeviceConvolutions;
use super::{norm, sums};
use crate::ops::convolution::Steps;

/// Convolutions with nothing after them. They have gradients where a backend is differentiated.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"), Autodiff: cfg(feature = "autodiff"))]
pub(super) trait BareConvolutions: Backend {
    /// `input · weightᵀ` at every pixel; the number of outputs is a multiple of four.
    #[fusion(dtype = input, shape = with_channels(input, weight[0]))]
    fn bare_pointwise(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Each channel convolved with a kernel of its own, `[channels, 1, side, side]`.
    #[fusion(dtype = input, shape = convolved(input, weight[2], *steps))]
    fn bare_depthwise(input: FloatTensor<Self>, weight: FloatTensor<Self>, steps: Steps) -> FloatTensor<Self>;
}

/// The statistics of a batch, outside of autodiff.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(super) trait DeviceMoments: Backend {
    /// The mean of each channel, `[channels]`.
    #[fusion(dtype = input, shape = Shape::from([input[3]]))]
    fn device_mean(input: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The mean squared distance from `mean` in each channel, `[channels]`.
    #[fusion(dtype = input, shape = mean)]
    fn device_variance(input: FloatTensor<Self>, mean: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The norm by the statistics of the batch. It has gradients where a backend is differentiated.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"), Autodiff: cfg(feature = "autodiff"))]
pub(super) trait DeviceBatchNorms: Backend {
    /// `clamp((input - mean) / sqrt(variance + epsilon) * weight + bias)`; mean and variance are the input's, and its
    /// gradient goes through them.
    #[fusion(dtype = input, shape = input)]
    fn device_batch_norm(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f32,
        bounds: Option<(f32, f32)>,
    ) -> FloatTensor<Self>;
}

/// `[images, rows, columns, …]` with so many channels.
#[cfg(feature = "fusion")]
pub(super) fn with_channels(images: &Shape, channels: usize) -> Shape {
    Shape::from([images[0], images[1], images[2], channels])
}

/// What a kernel of `side` makes of `[images, rows, columns, channels]`.
#[cfg(feature = "fusion")]
pub(super) fn convolved(images: &Shape, side: usize, steps: Steps) -> Shape {
    let output = |input| steps.axis(input, side).output;
    Shape::from([images[0], output(images[1]), output(images[2]), images[3]])
}

impl BareConvolutions for CubeBackend {
    fn bare_pointwise(input: CubeTensor, weight: CubeTensor) -> CubeTensor {
        let (scale, shift) = neutral(&input, weight.shape()[0]);
        Self::device_pointwise(input, weight, scale, shift, None)
    }

    fn bare_depthwise(input: CubeTensor, weight: CubeTensor, steps: Steps) -> CubeTensor {
        let (scale, shift) = neutral(&input, weight.shape()[0]);
        Self::device_depthwise(input, weight, scale, shift, steps, None)
    }
}

/// A scale and a shift that change nothing.
fn neutral(tensor: &CubeTensor, channels: usize) -> (CubeTensor, CubeTensor) {
    let (client, device, shape) = (&tensor.client, &tensor.device, Shape::from([channels]));
    let ones = ones_client(client.clone(), device.clone(), shape.clone(), tensor.dtype);
    (ones, zeros_client(client.clone(), device.clone(), shape, tensor.dtype))
}

/// `[channels, 1, side, side]` to `[side * side, channels]`.
pub(super) fn taps(weight: CubeTensor) -> CubeTensor {
    let [channels, _, side, _] = weight.shape().dims();
    let flat = reshape(into_contiguous(weight), Shape::from([channels, side * side]));
    into_contiguous(permute(flat, &[1, 0]))
}

impl DeviceMoments for CubeBackend {
    fn device_mean(input: CubeTensor) -> CubeTensor {
        let [images, rows, columns, channels] = input.shape().dims();
        norm::divided(sums::column_sums(into_contiguous(input), channels), images * rows * columns)
    }

    fn device_variance(input: CubeTensor, mean: CubeTensor) -> CubeTensor {
        norm::variance(into_contiguous(input), into_contiguous(mean))
    }
}

impl DeviceBatchNorms for CubeBackend {
    fn device_batch_norm(
        input: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        mean: CubeTensor,
        variance: CubeTensor,
        epsilon: f32,
        bounds: Option<(f32, f32)>,
    ) -> CubeTensor {
        let channels = [weight, bias, mean, variance].map(into_contiguous);
        norm::forward(into_contiguous(input), channels, epsilon, bounds)
    }
}
