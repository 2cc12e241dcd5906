//! Batch normalisation by the statistics of the batch (Ioffe and Szegedy, "Batch Normalization", 2015), as convolutional
//! networks are trained with it.
//!
//! The statistics depend on every pixel of the batch, so they cannot be one operation with the convolution before. On CPUs
//! they are computed in one pass over memory; norm and activation are another, and so are the two sums and the result on the way
//! back.

use alloc::vec::Vec;

#[cfg(feature = "autodiff")]
use burn::backend::Autodiff;
#[cfg(feature = "autodiff")]
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::prelude::*;
use burn::tensor::DType;

use super::flex::{contiguous, dims, tensor};
use super::kernels::Bounds;
use super::{Activation, Body, fast_body, norm_kernels, smooth};

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
    match fast_body(&input, activation) {
        Some((Body::Flex, bounds)) => {
            let [images, rows, columns, channels] = input.dims();
            let moments =
                Tensor::<2>::from_dispatch(Dispatch::moments(input.clone().without_autodiff().into_dispatch()));
            let row = |index| moments.clone().narrow(0, index, 1).reshape([channels]);
            let (mean, variance) = (row(0), row(1));
            let output = Dispatch::batch_norm(
                input.into_dispatch(),
                weight.into_dispatch(),
                bias.into_dispatch(),
                moments.into_dispatch(),
                epsilon as f32,
                bounds,
            );
            (Tensor::from_dispatch(output), Moments { mean, variance, pixels: images * rows * columns })
        }
        #[cfg(feature = "cube")]
        Some((Body::Cube, bounds)) => super::device::batch_norm(input, weight, bias, epsilon, bounds),
        None => composed(input, weight, bias, epsilon, activation),
    }
}

/// [`batch_norm`] in burn's own operations.
pub(super) fn composed(
    input: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    activation: Option<Activation>,
) -> (Tensor<4>, Moments) {
    let (shape, dtype) = (input.dims(), input.dtype());
    let [images, rows, columns, channels] = shape;
    let pixels = images * rows * columns;
    let values: Tensor<2> = input.cast(DType::F32).reshape([pixels, channels]);
    let mean = values.clone().mean_dim(0);
    let centred = values - mean.clone();
    let variance = (centred.clone() * centred.clone()).mean_dim(0);
    let output = centred / (variance.clone() + epsilon).sqrt() * weight.unsqueeze() + bias.unsqueeze();
    let output = match activation {
        Some(activation) => activation.apply(output),
        None => output,
    };
    let statistic = |row: Tensor<2>| row.without_autodiff().reshape([channels]);
    (output.reshape(shape).cast(dtype), Moments { mean: statistic(mean), variance: statistic(variance), pixels })
}

/// The statistics as an operation of a backend; those that are differentiated are asked for them without.
#[backend_extension(Flex)]
pub(super) trait BatchMoments: Backend {
    /// Mean and variance of each channel, `[2, channels]`.
    fn moments(input: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl BatchMoments for Flex {
    fn moments(input: FlexTensor) -> FlexTensor {
        let input = contiguous(input);
        let [_, _, _, channels] = dims(&input);
        tensor(norm_kernels::moments(input.storage(), channels), [2, channels])
    }
}

/// The norm as an operation of a backend.
#[backend_extension(Flex, Autodiff: cfg(feature = "autodiff"))]
pub(super) trait BatchNorms: Backend {
    /// `clamp((input - mean) / sqrt(variance + epsilon) * weight + bias)`; `moments` are the input's, and its gradient goes
    /// through them.
    fn batch_norm(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        epsilon: f32,
        bounds: Option<(f32, f32)>,
    ) -> FloatTensor<Self>;
}

impl BatchNorms for Flex {
    fn batch_norm(
        input: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        moments: FlexTensor,
        epsilon: f32,
        bounds: Option<Bounds>,
    ) -> FlexTensor {
        let norm = norm(&contiguous(weight), &contiguous(bias), &contiguous(moments), epsilon);
        forward(&contiguous(input), &norm, bounds)
    }
}

/// The norm's numbers, channel by channel.
fn norm(weight: &FlexTensor, bias: &FlexTensor, moments: &FlexTensor, epsilon: f32) -> norm_kernels::Norm {
    norm_kernels::Norm::new(weight.storage(), bias.storage(), moments.storage(), epsilon)
}

fn forward(input: &FlexTensor, norm: &norm_kernels::Norm, bounds: Option<Bounds>) -> FlexTensor {
    let shape: [usize; 4] = dims(input);
    let output: Vec<f32> = norm.forward(input.storage(), bounds);
    tensor(output, shape)
}

#[cfg(feature = "autodiff")]
mod gradients {
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};

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
        fn batch_norm(
            input: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            moments: FloatTensor<Self>,
            epsilon: f32,
            bounds: Option<Bounds>,
        ) -> FloatTensor<Self> {
            let guards = [input.node(), weight.node(), bias.node()];
            let (input, weight) = (contiguous(input.into_primitive()), contiguous(weight.into_primitive()));
            let (bias, moments) = (contiguous(bias.into_primitive()), contiguous(moments.into_primitive()));
            let norm = norm(&weight, &bias, &moments, epsilon);
            let output = forward(&input, &norm, bounds);
            match BatchNormStep.prepare::<C>(guards).compute_bound().stateful() {
                OpsKind::Tracked(step) => {
                    let saved = Saved { input, norm, output: bounds.map(|bounds| (output.clone(), bounds)) };
                    step.finish(saved, output)
                }
                OpsKind::UnTracked(step) => step.finish(output),
            }
        }
    }
}
