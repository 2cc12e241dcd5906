//! The bodies for graphics devices, by CubeCL: CUDA, and WebGPU, in a browser and natively.
//!
//! burn's own operations are several launches a layer. Its convolution of many groups has no fast way where it may not try
//! out which is fastest, as in a browser, and its gradient is one convolution a channel; a sum over all pixels of a batch is
//! left to as many threads as there are channels. `inference` has convolutions with the affine and the activation after
//! them; `training` has bare ones and norms by the statistics of the batch, `gradients` and `norm_gradients` what their
//! gradients are made of, and `autodiff` says how.

#[cfg(feature = "autodiff")]
mod autodiff;
#[cfg(feature = "autodiff")]
mod gradients;
mod inference;
mod norm;
#[cfg(feature = "autodiff")]
mod norm_gradients;
mod sums;
mod training;

use burn::backend::{Dispatch, Shape};
use burn::tensor::{DType, Tensor};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::kernels::Bounds;
use super::{Activation, Body, ChannelAffine, Moments, Steps, composed, fast_body};
use inference::{DeviceConvolutions, serves_outputs};
use training::{BareConvolutions, DeviceBatchNorms, DeviceMoments};

/// `clamp((input · weightᵀ) * scale + shift)`, which `activation` stands for as well as `bounds`.
pub(super) fn pointwise(
    input: Tensor<4>,
    weight: Tensor<2>,
    affine: ChannelAffine,
    activation: Option<Activation>,
    bounds: Option<Bounds>,
) -> Tensor<4> {
    if !serves_outputs(weight.dims()[0]) {
        return composed::pointwise(input, weight, affine, activation);
    }
    if input.device().is_autodiff() {
        return composed::finish(bare_pointwise(input, weight), affine, activation);
    }
    let ChannelAffine { scale, shift } = affine;
    in_f32(input, |input| {
        let (input, weight) = (input.into_dispatch(), weight.cast(DType::F32).into_dispatch());
        let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
        Tensor::from_dispatch(Dispatch::device_pointwise(input, weight, scale, shift, bounds))
    })
}

/// What `body` makes of `input` in f32, which is what the kernels compute in, in the type of `input`.
fn in_f32(input: Tensor<4>, body: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let dtype = input.dtype();
    body(input.cast(DType::F32)).cast(dtype)
}

/// `clamp(depthwise(input, weight) * scale + shift)`, which `activation` stands for as well as `bounds`.
pub(super) fn depthwise(
    input: Tensor<4>,
    weight: Tensor<4>,
    steps: Steps,
    affine: ChannelAffine,
    activation: Option<Activation>,
    bounds: Option<Bounds>,
) -> Tensor<4> {
    if input.device().is_autodiff() {
        return composed::finish(bare_depthwise(input, weight, steps), affine, activation);
    }
    let ChannelAffine { scale, shift } = affine;
    in_f32(input, |input| {
        let (input, weight) = (input.into_dispatch(), weight.cast(DType::F32).into_dispatch());
        let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
        Tensor::from_dispatch(Dispatch::device_depthwise(input, weight, scale, shift, steps, bounds))
    })
}

/// Whether the bare convolutions have bodies here: on a graphics device, in the types that networks are trained in, and
/// with gradients where these are asked for.
pub(super) fn serves(input: &Tensor<4>) -> bool {
    matches!(fast_body(input, None), Some((Body::Cube, _)))
}

/// The types of input that there are bodies for.
pub(super) const SERVED: [DType; 2] = [DType::F32, DType::BF16];

/// Whether [`bare_pointwise`] can be computed.
pub(super) fn serves_pointwise(input: &Tensor<4>, weight: &Tensor<2>) -> bool {
    serves(input) && serves_outputs(weight.dims()[0])
}

/// `input · weightᵀ` at every pixel, `[images, rows, columns, out]`.
pub(super) fn bare_pointwise(input: Tensor<4>, weight: Tensor<2>) -> Tensor<4> {
    in_f32(input, |input| {
        let weight = weight.cast(DType::F32).into_dispatch();
        Tensor::from_dispatch(Dispatch::bare_pointwise(input.into_dispatch(), weight))
    })
}

/// Each channel convolved with a kernel of its own, `[channels, 1, side, side]`.
pub(super) fn bare_depthwise(input: Tensor<4>, weight: Tensor<4>, steps: Steps) -> Tensor<4> {
    in_f32(input, |input| {
        let weight = weight.cast(DType::F32).into_dispatch();
        Tensor::from_dispatch(Dispatch::bare_depthwise(input.into_dispatch(), weight, steps))
    })
}

/// [`batch_norm`](super::batch_norm) and the statistics.
pub(super) fn batch_norm(
    input: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    bounds: Option<Bounds>,
) -> (Tensor<4>, Moments) {
    let [images, rows, columns, _] = input.dims();
    let dtype = input.dtype();
    let input = input.cast(DType::F32);
    let values = input.clone().without_autodiff();
    let mean = Dispatch::device_mean(values.clone().into_dispatch());
    let variance = Dispatch::device_variance(values.into_dispatch(), mean.clone());
    let output = Dispatch::device_batch_norm(
        input.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        mean.clone(),
        variance.clone(),
        epsilon as f32,
        bounds,
    );
    let moments = Moments {
        mean: Tensor::from_dispatch(mean),
        variance: Tensor::from_dispatch(variance),
        pixels: images * rows * columns,
    };
    (Tensor::<4>::from_dispatch(output).cast(dtype), moments)
}

/// An uninitialised tensor beside `tensor`, of its type.
fn like(tensor: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    empty_device_contiguous_dtype(tensor.client.clone(), tensor.device.clone(), shape.into(), tensor.dtype)
}

/// How many workgroups of which size compute `threads` things.
fn launch_size(output: &CubeTensor, threads: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(&output.client, threads);
    (calculate_cube_count_elemwise(&output.client, threads, dim), dim)
}

/// What is clamped to, and whether it is at all: shaders have no infinity that would stand for no limit.
struct Limits {
    low: f32,
    high: f32,
    has_low: bool,
    has_high: bool,
}

impl Limits {
    fn new(bounds: Option<Bounds>) -> Self {
        let (low, high) = bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let finite = |value: f32| if value.is_finite() { value } else { 0.0 };
        Self { low: finite(low), high: finite(high), has_low: low.is_finite(), has_high: high.is_finite() }
    }
}

/// The value within the limits there are. NaN stays NaN: a wrong number must not look like a right one.
#[cube]
fn clamped<C: CubePrimitive<Scalar: Float>>(
    value: C,
    low: C,
    high: C,
    #[comptime] has_low: bool,
    #[comptime] has_high: bool,
) -> C {
    let above = if comptime!(has_low) { max_nan(value, low) } else { value };
    if comptime!(has_high) { min_nan(above, high) } else { above }
}

/// Sizes of a depthwise convolution.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct DepthwiseSizes {
    channels: usize,
    rows: usize,
    columns: usize,
    output_rows: usize,
    output_columns: usize,
    rows_before: usize,
    columns_before: usize,
}

/// The sizes of a convolution by `steps` with a kernel of `side` over `input`, `[images, rows, columns, channels]`.
fn depthwise_sizes([_, rows, columns, channels]: [usize; 4], side: usize, steps: Steps) -> DepthwiseSizesLaunch {
    let (rows, columns) = (steps.axis(rows, side), steps.axis(columns, side));
    DepthwiseSizesLaunch::new(
        channels,
        rows.input,
        columns.input,
        rows.output,
        columns.output,
        rows.before,
        columns.before,
    )
}
