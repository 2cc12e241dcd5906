//! The bodies for graphics devices, by CubeCL: CUDA, and WebGPU, in a browser and natively.
//!
//! burn's own operations are several launches a layer. Its convolution of many groups has no fast way where it may not try
//! out which is fastest, as in a browser, and its gradient is one convolution a channel; a sum over all pixels of a batch is
//! left to as many threads as there are channels. `inference` has the convolutions, `norm` norms by the statistics of the
//! batch, `gradients` and `norm_gradients` what the gradients of both are made of, and `autodiff` says how.

#[cfg(feature = "autodiff")]
mod autodiff;
#[cfg(feature = "autodiff")]
mod gradients;
mod inference;
mod norm;
#[cfg(feature = "autodiff")]
mod norm_gradients;
mod sums;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Shape, TensorMetadata};
use burn::tensor::DType;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::{permute, reshape};
use burn_cubecl::tensor::CubeTensor;

use super::Steps;
use super::kernels::Bounds;
use crate::ops::device::{launch_size, like};
use crate::ops::extension::cast;

/// The types of input that there are bodies for.
const SERVED: [DType; 2] = [DType::F32, DType::BF16];

/// What `body` makes of `input` in f32, which is what the kernels compute in, in the type of `input`.
fn in_f32<B: Backend>(input: FloatTensor<B>, body: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>) -> FloatTensor<B> {
    let dtype = input.dtype();
    cast::<B>(body(cast::<B>(input, DType::F32)), dtype)
}

/// `[channels, 1, side, side]` to `[side * side, channels]`.
fn taps(weight: CubeTensor) -> CubeTensor {
    let [channels, _, side, _] = weight.shape().dims();
    let flat = reshape(into_contiguous(weight), Shape::from([channels, side * side]));
    into_contiguous(permute(flat, &[1, 0]))
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
