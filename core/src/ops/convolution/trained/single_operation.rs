//! One convolution and its norm as an operation of burn's CPU backend, with its gradients.

use alloc::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::prelude::*;

use super::super::kernels::Bounds;
use super::super::{Moments, Steps, clamp_on_cpu};
use super::NormedConvolution;
use super::backward::LayerGradients;
use super::forward::Map;
use super::operation::{Layer, apart, fits};
use super::single::{Single, SingleForm};
use crate::ops::Activation;
use crate::ops::cpu::flex::{contiguous, dims, tensor};

/// What a convolution is besides its tensors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    steps: Steps,
    bounds: Option<Bounds>,
    epsilon: f32,
}

/// The convolution as an operation of a backend.
#[backend_extension(Flex, Autodiff)]
pub(super) trait TrainedConvolutions: Backend {
    /// The output, and the moments, `[2, channels]`.
    fn convolution_of_batch(
        input: FloatTensor<Self>,
        #[extension_type] layer: Layer<Self>,
        kind: Kind,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The convolution by these bodies; `None` where they do not serve.
pub(super) fn convolution(
    input: &Tensor<4>,
    layer: &NormedConvolution<4>,
    steps: Steps,
    activation: Option<Activation>,
    epsilon: f64,
) -> Option<(Tensor<4>, Moments)> {
    let bounds = clamp_on_cpu(input, activation)?;
    let ([images, _, _, channels], [outputs, inputs, side, other]) = (input.dims(), layer.weight.dims());
    if images == 0 || inputs != channels || side != other || !fits(layer) {
        return None;
    }
    let kind = Kind { steps, bounds, epsilon: epsilon as f32 };
    let (output, found) = Dispatch::convolution_of_batch(input.clone().into_dispatch(), Layer::new(layer), kind);
    let (output, found) = (Tensor::<4>::from_dispatch(output), Tensor::<2>::from_dispatch(found).without_autodiff());
    let [_, rows, columns, _] = output.dims();
    let row = |index| found.clone().narrow(0, index, 1).reshape([outputs]);
    Some((output, Moments { mean: row(0), variance: row(1), pixels: images * rows * columns }))
}

/// A convolution's input and weights as they are read; the weight is `[out, side, side, in]`.
#[derive(Clone, Debug)]
struct Given {
    input: FlexTensor,
    layer: Layer<Flex>,
    kind: Kind,
}

impl Given {
    fn new(input: FlexTensor, layer: Layer<Flex>, kind: Kind) -> Self {
        let layer = Layer { weight: layer.weight.permute(&[0, 2, 3, 1]), ..layer };
        Self { input: contiguous(input), layer: layer.readable(), kind }
    }

    fn single(&self) -> Single<'_> {
        let [images, rows, columns, inputs] = dims(&self.input);
        let [outputs, side, _, _] = dims(&self.layer.weight);
        let Kind { steps, bounds, epsilon } = self.kind;
        let (rows, columns) = (steps.axis(rows, side), steps.axis(columns, side));
        let form = SingleForm { images, rows, columns, inputs, outputs, bounds, epsilon };
        Single { form, layer: self.layer.slices() }
    }

    /// The output, the moments, and what the gradients need.
    fn forward(&self) -> (FlexTensor, FlexTensor, Map) {
        let single = self.single();
        let (output, map) = single.forward(self.input.storage());
        let SingleForm { images, rows, columns, outputs, .. } = single.form;
        let output = tensor(output, [images, rows.output, columns.output, outputs]);
        (output, tensor(map.moments.clone(), [2, outputs]), map)
    }
}

impl TrainedConvolutions for Flex {
    fn convolution_of_batch(input: FlexTensor, layer: Layer<Self>, kind: Kind) -> (FlexTensor, FlexTensor) {
        let (output, moments, _) = Given::new(input, layer, kind).forward();
        (output, moments)
    }
}

impl<C: CheckpointStrategy> TrainedConvolutions for Autodiff<Flex, C> {
    fn convolution_of_batch(
        input: FloatTensor<Self>,
        layer: Layer<Self>,
        kind: Kind,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let of_input = input.node();
        let ([weight, norm_weight, norm_bias], layer) = apart(layer);
        let given = Given::new(input.into_primitive(), layer, kind);
        let (output, moments, map) = given.forward();
        let guards = [of_input, weight, norm_weight, norm_bias];
        let output = match ConvolutionStep.prepare::<C>(guards).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(Saved { given, map: Arc::new(map) }, output),
            OpsKind::UnTracked(step) => step.finish(output),
        };
        (output, Self::from_inner(moments))
    }
}

/// What a convolution remembers for its gradients.
#[derive(Clone, Debug)]
struct Saved {
    given: Given,
    map: Arc<Map>,
}

#[derive(Debug)]
struct ConvolutionStep;

impl Backward<Flex, 4> for ConvolutionStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 4>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let Saved { given, map } = ops.state;
        let mut gradient = contiguous(gradients.consume::<Flex>(&ops.node));
        let [input, weight, norm_weight, norm_bias] = ops.parents;
        let wanted = (input.is_some(), weight.is_some());
        let (of_input, of_layer) = given.single().backward(gradient.storage_mut(), given.input.storage(), &map, wanted);
        let shape = |tensor: &FlexTensor| tensor.layout().shape().clone();
        let LayerGradients { weights, norm_weight: of_norm_weight, norm_bias: of_norm_bias } = of_layer;
        let channels = of_norm_bias.len();
        let weights = weights.map(|values| {
            let turned = tensor(values, shape(&given.layer.weight));
            contiguous(turned.permute(&[0, 3, 1, 2]))
        });
        let all = [
            (input, of_input.map(|values| tensor(values, shape(&given.input)))),
            (weight, weights),
            (norm_weight, Some(tensor(of_norm_weight, [channels]))),
            (norm_bias, Some(tensor(of_norm_bias, [channels]))),
        ];
        for (parent, found) in all {
            if let (Some(parent), Some(found)) = (parent, found) {
                gradients.register::<Flex>(parent.id, found);
            }
        }
    }
}
