//! Over the places of maps `[images, rows, columns, channels]`: the mean of each channel, a factor for each, the largest of
//! neighbours.

#[cfg(feature = "simd")]
use alloc::vec;
#[cfg(feature = "simd")]
use alloc::vec::Vec;

#[cfg(feature = "autodiff")]
use burn::backend::Autodiff;
#[cfg(feature = "autodiff")]
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
#[cfg(feature = "simd")]
use burn::backend::flex::FlexTensor;
#[cfg(feature = "simd")]
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, Shape, TensorMetadata, backend_extension};
use burn::prelude::*;
#[cfg(feature = "simd")]
use burn::tensor::DType;
#[cfg(feature = "cube")]
use burn_cubecl::CubeBackend;

#[cfg(feature = "simd")]
use super::cpu::parallel::for_each_chunk;
#[cfg(feature = "simd")]
use super::cpu::{
    buffers::{put_back_tensors, unwritten},
    flex::{contiguous, dims, tensor},
};
#[cfg(feature = "simd")]
use super::{Axis, Steps};

/// The mean of each channel over all places, in the input's type.
///
/// # Shapes
/// - input: `[images, rows, columns, channels]`
/// - output: `[images, channels]`
pub fn channel_means(maps: Tensor<4>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::channel_means(maps.into_dispatch()))
}

/// Each channel times a factor of its image's.
///
/// # Shapes
/// - maps: `[images, rows, columns, channels]`, factors: `[images, channels]`
/// - output: that of the maps
///
/// # Panics
/// Where the shapes are others.
pub fn scale_channels(maps: Tensor<4>, factors: Tensor<2>) -> Tensor<4> {
    let [images, _, _, channels] = maps.dims();
    assert_eq!(factors.dims(), [images, channels], "a factor for each channel of each image");
    Tensor::from_dispatch(Dispatch::scale_channels(maps.into_dispatch(), factors.into_dispatch()))
}

/// The largest number of each channel that a square of `side`, an odd number, meets around every `stride`th place; beyond the
/// edge is nothing.
///
/// # Shapes
/// - input: `[images, rows, columns, channels]`
/// - output: `[images, ⌈rows / stride⌉, ⌈columns / stride⌉, channels]`
///
/// # Panics
/// Where the side is even or the stride 0.
pub fn max_pool(maps: Tensor<4>, side: usize, stride: usize) -> Tensor<4> {
    assert!(!side.is_multiple_of(2) && stride > 0, "an odd side of {side}, a stride of {stride}");
    Tensor::from_dispatch(Dispatch::max_pool(maps.into_dispatch(), side, stride))
}

/// These operations of a backend.
#[backend_extension(
    Flex,
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "fusion"),
    Autodiff: cfg(feature = "autodiff")
)]
pub(super) trait Places: Backend {
    /// [`channel_means`]
    #[fusion(default)]
    fn channel_means(maps: FloatTensor<Self>) -> FloatTensor<Self> {
        let [images, rows, columns, channels] = maps.shape().dims();
        let maps = Self::float_reshape(maps, Shape::from([images, rows * columns, channels]));
        Self::float_reshape(Self::float_mean_dim(maps, 1), Shape::from([images, channels]))
    }

    /// [`scale_channels`], whose shapes are as they should be.
    #[fusion(default)]
    fn scale_channels(maps: FloatTensor<Self>, factors: FloatTensor<Self>) -> FloatTensor<Self> {
        let [images, _, _, channels] = maps.shape().dims();
        Self::float_mul(maps, Self::float_reshape(factors, Shape::from([images, 1, 1, channels])))
    }

    /// [`max_pool`]
    #[fusion(default)]
    fn max_pool(maps: FloatTensor<Self>, side: usize, stride: usize) -> FloatTensor<Self> {
        pooled::<Self>(maps, side, stride)
    }
}

/// By burn's own operation, which has channels first. What is padded there counts as the least number.
fn pooled<B: Backend>(maps: FloatTensor<B>, side: usize, stride: usize) -> FloatTensor<B> {
    let first = B::float_permute(maps, &[0, 3, 1, 2]);
    let pooled = B::max_pool2d(first, [side; 2], [stride; 2], [side / 2; 2], [1; 2], false);
    B::float_permute(pooled, &[0, 2, 3, 1])
}

#[cfg(not(feature = "simd"))]
impl Places for Flex {}

#[cfg(feature = "simd")]
impl Places for Flex {
    fn channel_means(maps: FlexTensor) -> FlexTensor {
        let ([images, rows, columns, channels], dtype) = (dims(&maps), maps.dtype());
        let maps = contiguous(super::extension::cast::<Self>(maps, DType::F32));
        let means = means(maps.storage(), [images, rows, columns, channels]);
        super::extension::cast::<Self>(tensor(means, [images, channels]), dtype)
    }

    fn scale_channels(maps: FlexTensor, factors: FlexTensor) -> FlexTensor {
        let [images, rows, columns, channels] = dims(&maps);
        if maps.dtype() != DType::F32 || factors.dtype() != DType::F32 {
            return Self::float_mul(maps, factors.reshape(Shape::from([images, 1, 1, channels])));
        }
        let (mut maps, factors) = (contiguous(maps), contiguous(factors));
        let factors = factors.storage::<f32>();
        if rows * columns * channels > 0 {
            for_each_chunk(
                maps.storage_mut(),
                columns * channels,
                #[inline(always)]
                |row, values| {
                    let factors = &factors[row / rows * channels..][..channels];
                    for place in values.chunks_exact_mut(channels) {
                        for (value, factor) in place.iter_mut().zip(factors) {
                            *value *= factor;
                        }
                    }
                },
            );
        }
        maps
    }

    fn max_pool(maps: FlexTensor, side: usize, stride: usize) -> FlexTensor {
        if maps.dtype() != DType::F32 {
            return pooled::<Self>(maps, side, stride);
        }
        let [images, rows, columns, channels] = dims(&maps);
        let maps = contiguous(maps);
        let [rows, columns] = [rows, columns].map(|input| Steps::centred(stride).axis(input, side));
        let mut output = unwritten(images * rows.output * columns.output * channels);
        if !output.is_empty() {
            let (met, values) = (Met::of(rows, columns), maps.storage::<f32>());
            for_each_chunk(
                &mut output,
                columns.output * channels,
                #[inline(always)]
                |row, output| {
                    met.largest(
                        &values[row / rows.output * rows.input * columns.input * channels..],
                        row % rows.output,
                        channels,
                        output,
                    );
                },
            );
        }
        put_back_tensors([maps]);
        tensor(output, [images, rows.output, columns.output, channels])
    }
}

/// Rows whose sums are one part of a mean's: the same parts on every machine, so that sums do not depend on its cores.
#[cfg(feature = "simd")]
const ROWS_A_PART: usize = 8;

/// The mean of each channel of `[images, rows, columns, channels]`.
#[cfg(feature = "simd")]
fn means(values: &[f32], [images, rows, columns, channels]: [usize; 4]) -> Vec<f32> {
    let mut means = vec![0.0; images * channels];
    if means.is_empty() {
        return means;
    }
    let parts = rows.div_ceil(ROWS_A_PART).max(1);
    let mut sums = vec![0.0; images * parts * channels];
    for_each_chunk(
        &mut sums,
        channels,
        #[inline(always)]
        |index, sums| {
            let first = index % parts * ROWS_A_PART;
            let length = ROWS_A_PART.min(rows - first) * columns * channels;
            let start = (index / parts * rows + first) * columns * channels;
            for place in values[start..start + length].chunks_exact(channels) {
                for (sum, value) in sums.iter_mut().zip(place) {
                    *sum += value;
                }
            }
        },
    );
    for (means, parts) in means.chunks_exact_mut(channels).zip(sums.chunks_exact(parts * channels)) {
        for part in parts.chunks_exact(channels) {
            means.iter_mut().zip(part).for_each(|(mean, sum)| *mean += sum);
        }
        means.iter_mut().for_each(|mean| *mean /= (rows * columns) as f32);
    }
    means
}

/// Which pixels each place of an output meets.
#[cfg(feature = "simd")]
struct Met {
    /// The width of the input.
    width: usize,
    rows: Vec<core::ops::Range<usize>>,
    columns: Vec<core::ops::Range<usize>>,
}

#[cfg(feature = "simd")]
impl Met {
    fn of(rows: Axis, columns: Axis) -> Self {
        let met = |axis: Axis| {
            let of = |output: usize| {
                let first = output * axis.stride;
                let end = (first + axis.side).saturating_sub(axis.before).min(axis.input);
                first.saturating_sub(axis.before)..end
            };
            (0..axis.output).map(of).collect()
        };
        Self { width: columns.input, rows: met(rows), columns: met(columns) }
    }

    /// Makes each number of `output`, a row of it, the largest that it meets; NaN is larger than all.
    #[inline(always)]
    fn largest(&self, image: &[f32], row: usize, channels: usize, output: &mut [f32]) {
        output.fill(f32::NEG_INFINITY);
        for (place, columns) in output.chunks_exact_mut(channels).zip(&self.columns) {
            for row in self.rows[row].clone() {
                for column in columns.clone() {
                    let pixel = &image[(row * self.width + column) * channels..][..channels];
                    for (largest, value) in place.iter_mut().zip(pixel) {
                        *largest = if *value > *largest || value.is_nan() { *value } else { *largest };
                    }
                }
            }
        }
    }
}

#[cfg(feature = "cube")]
impl Places for CubeBackend {}

#[cfg(feature = "autodiff")]
impl<B: Backend, C: CheckpointStrategy> Places for Autodiff<B, C> {}
