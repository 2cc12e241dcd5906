//! The gradients of the bodies for burn's CPU backend.
//!
//! An operation remembers its input and its output, both of which its neighbours remember too; what lies between them,
//! before the scale and before the clamp, is never kept and never needed. With `G` the gradient of the product before it
//! is scaled, over `scale`: the weight's gradient is `scale * Gᵀ·input`, and the scale's is the sum of
//! `weight * Gᵀ·input` over each output channel.

use alloc::vec::Vec;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, DType, Flex, Shape, TensorMetadata};

use super::composed::{self, Convolutions};
use super::flex::{depthwise, geometry, pointwise, taps};
use super::geometry::Steps;
use super::kernels::{self, Bounds};
use crate::ops::Activation;
use crate::ops::cpu::flex::{contiguous, dims, tensor};

/// What both operations remember for their gradients.
#[derive(Clone, Debug)]
struct Saved {
    input: FlexTensor,
    weight: FlexTensor,
    scale: FlexTensor,
    /// The output, where it was clamped.
    output: Option<(FlexTensor, Bounds)>,
}

impl Saved {
    /// The gradient of the output before it was clamped, and its sums over all pixels, the gradient of the shift; none where
    /// that is not `wanted` and nothing was clamped.
    fn unclamped(&self, gradient: FlexTensor, wanted: bool) -> (FlexTensor, Vec<f32>) {
        let mut gradient = contiguous(gradient);
        if self.output.is_none() && !wanted {
            return (gradient, Vec::new());
        }
        let output = self.output.as_ref().map(|(output, bounds)| (output.storage(), *bounds));
        let [_, _, _, channels] = dims(&gradient);
        let sums = kernels::clamp_gradient(gradient.storage_mut(), output, channels);
        (gradient, sums)
    }
}

#[derive(Debug)]
struct Pointwise;

impl Backward<Flex, 4> for Pointwise {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [input, weight, scale, shift] = ops.parents;
        let saved = ops.state;
        let (gradient, sums) = saved.unclamped(gradients.consume::<Flex>(&ops.node), shift.is_some());
        let [outputs, inputs] = dims(&saved.weight);
        let weights: FlexTensor = contiguous(saved.weight.clone());
        if let Some(shift) = shift {
            gradients.register::<Flex>(shift.id, tensor(sums, [outputs]));
        }
        if weight.is_some() || scale.is_some() {
            let products = image_products(&gradient, &saved.input);
            if let Some(scale) = scale {
                let rows = products.chunks_exact(inputs).zip(weights.storage::<f32>().chunks_exact(inputs));
                let sums = rows.map(|(products, weights)| products.iter().zip(weights).map(|(p, w)| p * w).sum());
                gradients.register::<Flex>(scale.id, tensor(sums.collect(), [outputs]));
            }
            if let Some(weight) = weight {
                let scaled = scale_rows(products, saved.scale.storage());
                gradients.register::<Flex>(weight.id, tensor(scaled, [outputs, inputs]));
            }
        }
        if let Some(input) = input {
            let [images, rows, columns, _] = dims(&saved.input);
            let scaled = scale_rows(weights.storage().to_vec(), saved.scale.storage());
            let pixels = gradient.reshape(Shape::from([images * rows * columns, outputs]));
            let result = Flex::float_matmul(pixels, tensor(scaled, [outputs, inputs]));
            gradients.register::<Flex>(input.id, result.reshape(Shape::from([images, rows, columns, inputs])));
        }
    }
}

/// Each row of `[scale.len(), …]` times its scale.
fn scale_rows(mut values: Vec<f32>, scale: &[f32]) -> Vec<f32> {
    let width = values.len() / scale.len();
    for (row, scale) in values.chunks_exact_mut(width).zip(scale) {
        row.iter_mut().for_each(|value| *value *= scale);
    }
    values
}

/// Output channels times input channels from which on one product over all images keeps every core busy.
const LARGE: usize = 128 * 128;

/// `gradientᵀ · input` over all pixels, `[channels of gradient, channels of input]`.
fn image_products(gradient: &FlexTensor, input: &FlexTensor) -> Vec<f32> {
    let [images, rows, columns, outputs] = dims(gradient);
    let [_, _, _, inputs] = dims(input);
    let pixels = rows * columns;
    // A small product of long sums is shared out by image, since a matrix product is only shared out by its output.
    let parts = if outputs * inputs >= LARGE { 1 } else { images };
    let cut = |tensor: &FlexTensor, channels| tensor.reshape(Shape::from([parts, images * pixels / parts, channels]));
    let (gradient, input) = (cut(gradient, outputs), cut(input, inputs));
    let products = Flex::float_matmul(gradient.transpose(1, 2), input);
    kernels::sum_parts(products.storage(), outputs * inputs)
}

#[derive(Debug)]
struct DepthwiseStep {
    steps: Steps,
}

impl Backward<Flex, 4> for DepthwiseStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [input, weight, scale, shift] = ops.parents;
        let saved = ops.state;
        let (gradient, sums) = saved.unclamped(gradients.consume::<Flex>(&ops.node), shift.is_some());
        let geometry = geometry(&saved.input, &saved.weight, self.steps);
        let [places, channels] = dims(&saved.weight);
        let scales: &[f32] = saved.scale.storage();
        if let Some(shift) = shift {
            gradients.register::<Flex>(shift.id, tensor(sums, [channels]));
        }
        if weight.is_some() || scale.is_some() {
            let products = geometry.weight_gradient(saved.input.storage(), gradient.storage());
            if let Some(scale) = scale {
                let weighted: Vec<f32> =
                    products.iter().zip(saved.weight.storage::<f32>()).map(|(p, w)| p * w).collect();
                gradients.register::<Flex>(scale.id, tensor(kernels::sum_parts(&weighted, channels), [channels]));
            }
            if let Some(weight) = weight {
                let side = geometry.rows.side;
                let scaled = tensor(scale_columns(products, scales), [places, channels]);
                let scaled = scaled.transpose(0, 1).to_contiguous().reshape(Shape::from([channels, 1, side, side]));
                gradients.register::<Flex>(weight.id, scaled);
            }
        }
        if let Some(input) = input {
            let [images, rows, columns, _] = dims(&saved.input);
            let scaled = scale_columns(saved.weight.storage().to_vec(), scales);
            let result = geometry.input_gradient(gradient.storage(), &scaled);
            gradients.register::<Flex>(input.id, tensor(result, [images, rows, columns, channels]));
        }
    }
}

/// Each column of `[…, scale.len()]` times its scale.
fn scale_columns(mut values: Vec<f32>, scale: &[f32]) -> Vec<f32> {
    for row in values.chunks_exact_mut(scale.len()) {
        row.iter_mut().zip(scale).for_each(|(value, scale)| *value *= scale);
    }
    values
}

impl<C: CheckpointStrategy> Convolutions for Autodiff<Flex, C> {
    fn pointwise(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        activation: Option<Activation>,
    ) -> FloatTensor<Self> {
        if input.dtype() != DType::F32 {
            return composed::pointwise::<Self>(input, weight, scale, shift, activation);
        }
        let bounds = activation.and_then(Activation::bounds);
        let guards = [input.node(), weight.node(), scale.node(), shift.node()];
        let (input, scale) = (contiguous(input.into_primitive()), contiguous(scale.into_primitive()));
        let (weight, shift) = (weight.into_primitive(), contiguous(shift.into_primitive()));
        let output = pointwise(&input, weight.clone(), &scale, &shift, bounds);
        match Pointwise.prepare::<C>(guards).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let saved = Saved { input, weight, scale, output: bounds.map(|bounds| (output.clone(), bounds)) };
                step.finish(saved, output)
            }
            OpsKind::UnTracked(step) => step.finish(output),
        }
    }

    fn depthwise(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        steps: Steps,
        activation: Option<Activation>,
    ) -> FloatTensor<Self> {
        if input.dtype() != DType::F32 {
            return composed::depthwise::<Self>(input, weight, scale, shift, steps, activation);
        }
        let bounds = activation.and_then(Activation::bounds);
        let guards = [input.node(), weight.node(), scale.node(), shift.node()];
        let (input, scale) = (contiguous(input.into_primitive()), contiguous(scale.into_primitive()));
        let (weight, shift) = (taps(&weight.into_primitive()), contiguous(shift.into_primitive()));
        let output = depthwise(&input, &weight, &scale, &shift, steps, bounds);
        match (DepthwiseStep { steps }).prepare::<C>(guards).compute_bound().stateful() {
            OpsKind::Tracked(step) => {
                let saved = Saved { input, weight, scale, output: bounds.map(|bounds| (output.clone(), bounds)) };
                step.finish(saved, output)
            }
            OpsKind::UnTracked(step) => step.finish(output),
        }
    }
}
