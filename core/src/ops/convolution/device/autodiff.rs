//! The gradients of what networks are trained by.

use core::fmt::Debug;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Shape, TensorMetadata};

use super::gradients::ConvolutionGradients;
use super::inference::serves_outputs;
use super::norm_gradients::BatchNormGradients;
use super::{SERVED, in_f32};
use crate::ops::convolution::Steps;
use crate::ops::convolution::composed::{self, Convolutions};
use crate::ops::convolution::kernels::Bounds;
use crate::ops::convolution::norm::{self, BatchNorms};
use crate::ops::extension::{ComposedGradients, Optional};
use crate::ops::linear::FusedLinear;
use crate::ops::{Activation, KeptLayout};

/// What a convolution remembers: its input and its weight.
type Saved<B> = (FloatTensor<B>, FloatTensor<B>);

#[derive(Debug)]
struct Pointwise;

impl<B: Convolutions + ConvolutionGradients> Backward<B, 2> for Pointwise {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let ([input, weight], (values, weights)) = (ops.parents, ops.state);
        let gradient = gradients.consume::<B>(&ops.node);
        if let Some(input) = input {
            gradients.register::<B>(input.id, pointwise_input_gradient::<B>(gradient.clone(), weights));
        }
        if let Some(weight) = weight {
            gradients.register::<B>(weight.id, B::pointwise_weight_gradient(values, gradient));
        }
    }
}

/// `gradient · weight` at every pixel.
fn pointwise_input_gradient<B: Convolutions>(gradient: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
    let [outputs, inputs] = weight.shape().dims();
    if serves_outputs(inputs) {
        return B::bare_pointwise(gradient, B::float_transpose(weight));
    }
    let [images, rows, columns, _] = gradient.shape().dims();
    let pixels = B::float_reshape(gradient, Shape::from([images * rows * columns, outputs]));
    B::float_reshape(B::float_matmul(pixels, weight), Shape::from([images, rows, columns, inputs]))
}

#[derive(Debug)]
struct Depthwise(Steps);

impl<B: ConvolutionGradients> Backward<B, 2> for Depthwise {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Saved<B>, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let ([input, weight], (values, weights)) = (ops.parents, ops.state);
        let gradient = gradients.consume::<B>(&ops.node);
        let [_, rows, columns, _] = values.shape().dims();
        let [_, _, side, _] = weights.shape().dims();
        if let Some(input) = input {
            let found = B::depthwise_input_gradient(gradient.clone(), weights, rows, columns, self.0);
            gradients.register::<B>(input.id, found);
        }
        if let Some(weight) = weight {
            gradients.register::<B>(weight.id, B::depthwise_weight_gradient(values, gradient, side, self.0));
        }
    }
}

/// A kernel has a gradient where nothing follows it; the affine and the activation are operations of burn's.
impl<B: ComposedGradients + Convolutions + ConvolutionGradients, C: CheckpointStrategy> Convolutions
    for Autodiff<B, C>
{
    fn pointwise(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Option<Activation>,
    ) -> FloatTensor<Self> {
        composed::finish::<Self>(Self::bare_pointwise(input, weight), scale, shift, activation)
    }

    fn depthwise(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        steps: Steps,
        activation: Option<Activation>,
    ) -> FloatTensor<Self> {
        composed::finish::<Self>(Self::bare_depthwise(input, weight, steps), scale, shift, activation)
    }

    fn bare_pointwise(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        if !(SERVED.contains(&input.dtype()) && serves_outputs(weight.shape()[0])) {
            return Self::fused_linear(input, weight, Optional::Absent, None, Optional::Absent, KeptLayout::default());
        }
        in_f32::<Self>(input, |input| {
            let guards = [input.node(), weight.node()];
            let (input, weight) = (input.into_primitive(), weight.into_primitive());
            let output = B::bare_pointwise(input.clone(), weight.clone());
            match Backward::<B, 2>::prepare::<C>(Pointwise, guards).compute_bound().stateful() {
                OpsKind::Tracked(step) => step.finish((input, weight), output),
                OpsKind::UnTracked(step) => step.finish(output),
            }
        })
    }

    fn bare_depthwise(input: FloatTensor<Self>, weight: FloatTensor<Self>, steps: Steps) -> FloatTensor<Self> {
        if !SERVED.contains(&input.dtype()) {
            return composed::bare_depthwise::<Self>(input, weight, steps);
        }
        in_f32::<Self>(input, |input| {
            let guards = [input.node(), weight.node()];
            let (input, weight) = (input.into_primitive(), weight.into_primitive());
            let output = B::bare_depthwise(input.clone(), weight.clone(), steps);
            match Backward::<B, 2>::prepare::<C>(Depthwise(steps), guards).compute_bound().stateful() {
                OpsKind::Tracked(step) => step.finish((input, weight), output),
                OpsKind::UnTracked(step) => step.finish(output),
            }
        })
    }
}

/// What the norm remembers.
#[derive(Clone, Debug)]
struct Normed<T> {
    input: T,
    output: T,
    weight: T,
    mean: T,
    variance: T,
}

#[derive(Debug)]
struct BatchNorm {
    epsilon: f32,
    bounds: Option<Bounds>,
}

impl<B: BatchNormGradients> Backward<B, 3> for BatchNorm {
    type State = Normed<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let ([input, weight, bias], Self { epsilon, bounds }) = (ops.parents, self);
        let Normed { input: values, output, weight: weights, mean, variance } = ops.state;
        let gradient = gradients.consume::<B>(&ops.node);
        let (g, x, y) = (gradient.clone(), values.clone(), output.clone());
        let sums = B::norm_gradient_sums(g, x, y, mean.clone(), variance.clone(), epsilon, bounds);
        let row = |index: usize| {
            let [_, channels] = sums.shape().dims();
            let cut = B::float_slice(sums.clone(), &[(index..index + 1).into(), (0..channels).into()]);
            B::float_reshape(cut, Shape::from([channels]))
        };
        if let Some(bias) = bias {
            gradients.register::<B>(bias.id, row(0));
        }
        if let Some(weight) = weight {
            gradients.register::<B>(weight.id, row(1));
        }
        if let Some(input) = input {
            let found =
                B::norm_input_gradient(gradient, values, output, weights, mean, variance, sums, epsilon, bounds);
            gradients.register::<B>(input.id, found);
        }
    }
}

impl<B: BatchNorms + BatchNormGradients, C: CheckpointStrategy> BatchNorms for Autodiff<B, C> {
    fn fused_batch_norm(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
        activation: Option<Activation>,
    ) -> FloatTensor<Self> {
        if !SERVED.contains(&input.dtype()) {
            return norm::composed::<Self>(input, weight, bias, epsilon, activation);
        }
        let step = BatchNorm { epsilon: epsilon as f32, bounds: activation.and_then(Activation::bounds) };
        in_f32::<Self>(input, |input| {
            let guards = [input.node(), weight.node(), bias.node()];
            let (input, weight, bias) = (input.into_primitive(), weight.into_primitive(), bias.into_primitive());
            let (mean, variance) = (mean.into_primitive(), variance.into_primitive());
            let (x, w) = (input.clone(), weight.clone());
            let output = B::fused_batch_norm(x, w, bias, mean.clone(), variance.clone(), epsilon, activation);
            // Without a clamp nobody looks at the output, and the input is kept anyway.
            let kept = if step.bounds.is_some() { output.clone() } else { input.clone() };
            match Backward::<B, 3>::prepare::<C>(step, guards).compute_bound().stateful() {
                OpsKind::Tracked(step) => step.finish(Normed { input, output: kept, weight, mean, variance }, output),
                OpsKind::UnTracked(step) => step.finish(output),
            }
        })
    }
}
