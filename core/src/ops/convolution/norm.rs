//! Batch normalisation by the statistics of the batch (Ioffe and Szegedy, "Batch Normalization", 2015), as convolutional
//! networks are trained with it.
//!
//! The statistics depend on every pixel of the batch, so they cannot be one operation with the convolution before. On CPUs
//! they are computed in one pass over memory; norm and activation are another, and so are the two sums and the result on the way
//! back.

#[cfg(feature = "autodiff")]
use burn::backend::Autodiff;
#[cfg(feature = "autodiff")]
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, Shape, TensorMetadata, backend_extension};
use burn::prelude::*;
use burn::tensor::DType;

use super::{Activation, norm_kernels, smooth};
use crate::ops::cpu::flex::{contiguous, dims, tensor};
use crate::ops::extension::cast;

/// The statistics of a batch, outside of autodiff.
#[derive(Clone, Debug)]
pub struct Moments {
    /// The mean over all pixels of all images, `[channels]`.
    pub mean: Tensor<1>,
    /// The mean squared distance from it, `[channels]`.
    pub variance: Tensor<1>,
    /// Of how many pixels.
    pub pixels: usize,
}

/// `activation((input - mean) / sqrt(variance + epsilon) * weight + bias)` with the statistics of the batch itself, through
/// which the gradient goes as well; and those statistics, of which a running average is kept for later.
///
/// # Shapes
/// - input and output: `[images, rows, columns, channels]`; weight and bias: `[channels]`
pub fn batch_norm(
    input: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    activation: Option<Activation>,
) -> (Tensor<4>, Moments) {
    if let Some(smooth) = smooth(activation) {
        let (output, moments) = batch_norm(input, weight, bias, epsilon, None);
        return (smooth.apply(output), moments);
    }
    let [images, rows, columns, _] = input.dims();
    let (mean, variance) = Dispatch::moments(input.clone().without_autodiff().into_dispatch());
    let (input, weight, bias) = (input.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    let output = Dispatch::fused_batch_norm(input, weight, bias, mean.clone(), variance.clone(), epsilon, activation);
    let (mean, variance) = (Tensor::from_dispatch(mean), Tensor::from_dispatch(variance));
    (Tensor::from_dispatch(output), Moments { mean, variance, pixels: images * rows * columns })
}

/// The statistics as an operation of a backend; those that are differentiated are asked for them without.
#[backend_extension(Flex, Cube: cfg(feature = "cube"), Fusion: cfg(feature = "fusion"))]
pub(super) trait BatchMoments: Backend {
    /// Mean and variance of each channel, `[channels]` each, in f32.
    #[fusion(meta = of_channels)]
    fn moments(input: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        moments::<Self>(input)
    }
}

/// What [`BatchMoments::moments`] gives.
#[cfg(feature = "fusion")]
fn of_channels(
    input: &burn::backend::fusion::custom::TensorSpec,
) -> (burn::backend::fusion::custom::TensorSpec, burn::backend::fusion::custom::TensorSpec) {
    let spec = burn::backend::fusion::custom::TensorSpec::new(Shape::from([input.shape[3]]), DType::F32);
    (spec.clone(), spec)
}

/// The norm as an operation of a backend. An activation is one that clamps.
#[backend_extension(
    Flex,
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "fusion"),
    Autodiff: cfg(feature = "autodiff")
)]
pub(super) trait BatchNorms: Backend {
    /// `activation((input - mean) / sqrt(variance + epsilon) * weight + bias)`; mean and variance are the input's, and its
    /// gradient goes through them.
    #[fusion(dtype = input, shape = input)]
    fn fused_batch_norm(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
        activation: Option<Activation>,
    ) -> FloatTensor<Self> {
        // The gradient goes through statistics that are computed here.
        let _ = (mean, variance);
        composed::<Self>(input, weight, bias, epsilon, activation)
    }
}

/// The pixels in f32, `[pixels, channels]`.
fn pixels<B: Backend>(input: FloatTensor<B>) -> FloatTensor<B> {
    let [images, rows, columns, channels] = input.shape().dims();
    B::float_reshape(cast::<B>(input, DType::F32), Shape::from([images * rows * columns, channels]))
}

/// The mean of each channel, and the squared distances from it, of `[pixels, channels]`.
fn centred<B: Backend>(values: FloatTensor<B>) -> [FloatTensor<B>; 3] {
    let mean = B::float_mean_dim(values.clone(), 0);
    let centred = B::float_sub(values, mean.clone());
    let variance = B::float_mean_dim(B::float_mul(centred.clone(), centred.clone()), 0);
    [mean, centred, variance]
}

/// [`BatchMoments::moments`] in burn's own operations.
pub(super) fn moments<B: Backend>(input: FloatTensor<B>) -> (FloatTensor<B>, FloatTensor<B>) {
    let [_, _, _, channels] = input.shape().dims();
    let [mean, _, variance] = centred::<B>(pixels::<B>(input));
    let row = |values| B::float_reshape(values, Shape::from([channels]));
    (row(mean), row(variance))
}

/// [`BatchNorms::fused_batch_norm`] in burn's own operations.
pub(super) fn composed<B: Backend>(
    input: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    epsilon: f64,
    activation: Option<Activation>,
) -> FloatTensor<B> {
    let (shape, dtype) = (input.shape(), input.dtype());
    let channels = shape[3];
    let [_, centred, variance] = centred::<B>(pixels::<B>(input));
    let [weight, bias] = [weight, bias].map(|row| B::float_reshape(row, Shape::from([1, channels])));
    let deviation = B::float_sqrt(B::float_add_scalar(variance, epsilon.into()));
    let normed = B::float_add(B::float_mul(B::float_div(centred, deviation), weight), bias);
    let output = match activation {
        Some(activation) => activation.apply_on::<B>(normed),
        None => normed,
    };
    cast::<B>(B::float_reshape(output, shape), dtype)
}

impl BatchMoments for Flex {
    fn moments(input: FlexTensor) -> (FlexTensor, FlexTensor) {
        if input.dtype() != DType::F32 {
            return moments::<Self>(input);
        }
        let input = contiguous(input);
        let [_, _, _, channels] = dims(&input);
        let mut mean = norm_kernels::moments(input.storage(), channels);
        let variance = mean.split_off(channels);
        (tensor(mean, [channels]), tensor(variance, [channels]))
    }
}

impl BatchNorms for Flex {
    fn fused_batch_norm(
        input: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        epsilon: f64,
        activation: Option<Activation>,
    ) -> FlexTensor {
        if input.dtype() != DType::F32 {
            return composed::<Self>(input, weight, bias, epsilon, activation);
        }
        let norm = norm([weight, bias, mean, variance], epsilon);
        forward(&contiguous(input), &norm, activation)
    }
}

/// The norm's numbers, channel by channel.
fn norm(rows: [FlexTensor; 4], epsilon: f64) -> norm_kernels::Norm {
    let [weight, bias, mean, variance] = rows.map(contiguous);
    let moments = [mean.storage::<f32>(), variance.storage()].concat();
    norm_kernels::Norm::new(weight.storage(), bias.storage(), &moments, epsilon as f32)
}

fn forward(input: &FlexTensor, norm: &norm_kernels::Norm, activation: Option<Activation>) -> FlexTensor {
    let shape: [usize; 4] = dims(input);
    tensor(norm.forward(input.storage(), activation.and_then(Activation::bounds)), shape)
}

#[cfg(feature = "autodiff")]
mod gradients {
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

    use super::super::kernels::Bounds;
    use super::*;

    /// What the norm remembers for its gradients.
    #[derive(Clone, Debug)]
    struct Saved {
        input: FlexTensor,
        norm: norm_kernels::Norm,
        /// The output, where it was clamped.
        output: Option<(FlexTensor, Bounds)>,
    }

    #[derive(Debug)]
    struct BatchNormStep;

    impl Backward<Flex, 3> for BatchNormStep {
        type State = Saved;

        fn backward(self, ops: Ops<Saved, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
            let [input, weight, bias] = ops.parents;
            let Saved { input: values, norm, output } = ops.state;
            let shape: [usize; 4] = dims(&values);
            let mut gradient = contiguous(gradients.consume::<Flex>(&ops.node));
            let output = output.as_ref().map(|(output, bounds)| (output.storage(), *bounds));
            let sums = norm.gradient_sums(gradient.storage_mut(), values.storage(), output);
            if let Some(weight) = weight {
                gradients.register::<Flex>(weight.id, tensor(norm.weight_gradient(&sums), [shape[3]]));
            }
            if let Some(bias) = bias {
                gradients.register::<Flex>(bias.id, tensor(sums.gradient.clone(), [shape[3]]));
            }
            if let Some(input) = input {
                norm.input_gradient(gradient.storage_mut(), values.storage(), &sums);
                gradients.register::<Flex>(input.id, gradient.reshape(Shape::from(shape)));
            }
        }
    }

    impl<C: CheckpointStrategy> BatchNorms for Autodiff<Flex, C> {
        fn fused_batch_norm(
            input: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            mean: FloatTensor<Self>,
            variance: FloatTensor<Self>,
            epsilon: f64,
            activation: Option<Activation>,
        ) -> FloatTensor<Self> {
            if input.dtype() != DType::F32 {
                return composed::<Self>(input, weight, bias, epsilon, activation);
            }
            let guards = [input.node(), weight.node(), bias.node()];
            let norm = norm([weight, bias, mean, variance].map(|row| row.into_primitive()), epsilon);
            let input = contiguous(input.into_primitive());
            let output = forward(&input, &norm, activation);
            match BatchNormStep.prepare::<C>(guards).compute_bound().stateful() {
                OpsKind::Tracked(step) => {
                    let bounds = activation.and_then(Activation::bounds);
                    let saved = Saved { input, norm, output: bounds.map(|bounds| (output.clone(), bounds)) };
                    step.finish(saved, output)
                }
                OpsKind::UnTracked(step) => step.finish(output),
            }
        }
    }
}
