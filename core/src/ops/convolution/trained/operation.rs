//! The block as an operation of burn's CPU backend, with its gradients.

use alloc::sync::Arc;
use alloc::vec::Vec;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, ExtensionType, Flex, backend_extension};
use burn::prelude::*;
use burn::tensor::DType;

use super::super::kernels::{Bounds, Depthwise};
use super::super::{Moments, Steps, clamp_on_cpu};
use super::backward::{LayerGradients, Wanted};
use super::forward::{self, Block, Maps};
use super::{InvertedResidualOfBatch, NormedConvolution, rows};
use crate::ops::cpu::flex::{contiguous, dims, tensor};

/// What a block is besides its tensors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    steps: Steps,
    bounds: Bounds,
    residual: bool,
    epsilon: f32,
}

/// The tensors of a [`NormedConvolution`].
#[derive(Clone, Debug, ExtensionType)]
pub(super) struct Layer<B: Backend> {
    pub(super) weight: FloatTensor<B>,
    pub(super) norm_weight: FloatTensor<B>,
    pub(super) norm_bias: FloatTensor<B>,
}

/// A block's first convolution, where it has one.
#[derive(Clone, Debug, ExtensionType)]
pub(super) enum Expansion<B: Backend> {
    By(#[extension_type] Layer<B>),
    None,
}

/// The tensors of an [`InvertedResidualOfBatch`].
#[derive(Clone, Debug, ExtensionType)]
pub(super) struct Layers<B: Backend> {
    #[extension_type]
    expand: Expansion<B>,
    #[extension_type]
    filter: Layer<B>,
    #[extension_type]
    project: Layer<B>,
}

/// The block as an operation of a backend.
#[backend_extension(Flex, Autodiff)]
pub(super) trait TrainedBlocks: Backend {
    /// The output, and the moments of every norm, `[2, channels]` each, one after the other.
    fn inverted_residual_of_batch(
        input: FloatTensor<Self>,
        #[extension_type] layers: Layers<Self>,
        kind: Kind,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// The block by these bodies; `None` where they do not serve.
pub(super) fn inverted_residual(
    input: &Tensor<4>,
    block: &InvertedResidualOfBatch,
) -> Option<(Tensor<4>, Vec<Moments>)> {
    let bounds = clamp_on_cpu(input, Some(block.activation))??;
    if !serves(input, block) {
        return None;
    }
    let layers = Layers {
        expand: block.expand.as_ref().map_or(Expansion::None, |layer| Expansion::By(Layer::new(layer))),
        filter: Layer::new(&block.filter),
        project: Layer::new(&block.project),
    };
    let InvertedResidualOfBatch { steps, residual, epsilon, .. } = *block;
    let kind = Kind { steps, bounds, residual, epsilon: epsilon as f32 };
    let input = input.clone();
    let [images, rows, columns, _] = input.dims();
    let (output, found) = Dispatch::inverted_residual_of_batch(input.into_dispatch(), layers, kind);
    let (output, found) = (Tensor::from_dispatch(output), Tensor::<1>::from_dispatch(found).without_autodiff());
    let [_, output_rows, output_columns, outputs] = Tensor::<4>::dims(&output);
    let [inside, ..] = block.filter.weight.dims();
    let (before, after) = (images * rows * columns, images * output_rows * output_columns);
    let expanded = block.expand.is_some().then_some((inside, before));
    let norms = expanded.into_iter().chain([(inside, after), (outputs, after)]);
    let mut place = 0;
    let mut next = |channels: usize| {
        let row = found.clone().narrow(0, place, channels);
        place += channels;
        row
    };
    let moments = norms.map(|(channels, pixels)| Moments { mean: next(channels), variance: next(channels), pixels });
    Some((output, moments.collect()))
}

/// Whether there is a body for these sizes and types.
fn serves(input: &Tensor<4>, block: &InvertedResidualOfBatch) -> bool {
    let ([images, _, _, channels], [inside, of_each, side, _]) = (input.dims(), block.filter.weight.dims());
    let [outputs, projected] = block.project.weight.dims();
    let is_expanded = match &block.expand {
        Some(layer) => layer.weight.dims() == [inside, channels] && fits(layer),
        None => channels == inside,
    };
    let keeps_shape = block.steps.stride == 1 && outputs == channels;
    images > 0
        && (of_each, projected) == (1, inside)
        && is_expanded
        && fits(&block.filter)
        && fits(&block.project)
        && (keeps_shape || !block.residual)
        && rows::serves(side, block.steps.stride)
}

/// Whether the norm has the convolution's channels, and all is f32.
pub(super) fn fits<const D: usize>(layer: &NormedConvolution<D>) -> bool {
    let NormedConvolution { weight, norm_weight, norm_bias } = layer;
    let channels = [norm_weight.dims(), norm_bias.dims()];
    channels == [[weight.dims()[0]]; 2] && [weight.dtype(), norm_weight.dtype(), norm_bias.dtype()] == [DType::F32; 3]
}

impl Layer<Dispatch> {
    pub(super) fn new<const D: usize>(layer: &NormedConvolution<D>) -> Self {
        Self {
            weight: layer.weight.clone().into_dispatch(),
            norm_weight: layer.norm_weight.clone().into_dispatch(),
            norm_bias: layer.norm_bias.clone().into_dispatch(),
        }
    }
}

impl Layer<Flex> {
    /// The same, lying in memory as it is read.
    pub(super) fn readable(self) -> Self {
        Self {
            weight: contiguous(self.weight),
            norm_weight: contiguous(self.norm_weight),
            norm_bias: contiguous(self.norm_bias),
        }
    }

    pub(super) fn slices(&self) -> forward::Layer<'_> {
        forward::Layer {
            weights: self.weight.storage(),
            norm_weight: self.norm_weight.storage(),
            norm_bias: self.norm_bias.storage(),
        }
    }
}

/// A block's input and weights as they are read.
#[derive(Clone, Debug)]
struct Given {
    input: FlexTensor,
    layers: Layers<Flex>,
    kind: Kind,
}

impl Given {
    fn new(input: FlexTensor, layers: Layers<Flex>, kind: Kind) -> Self {
        let Layers { expand, filter, project } = layers;
        let expand = match expand {
            Expansion::By(layer) => Expansion::By(layer.readable()),
            Expansion::None => Expansion::None,
        };
        let layers = Layers { expand, filter: filter.readable(), project: project.readable() };
        Self { input: contiguous(input), layers, kind }
    }

    fn block(&self) -> Block<'_> {
        let Layers { expand, filter, project } = &self.layers;
        let [images, rows, columns, inputs] = dims(&self.input);
        let [channels, _, side, _] = dims(&filter.weight);
        let [outputs, _] = dims(&project.weight);
        let Kind { steps, bounds, residual, epsilon } = self.kind;
        let geometry = Depthwise { rows: steps.axis(rows, side), columns: steps.axis(columns, side), channels };
        let expand = match expand {
            Expansion::By(layer) => Some(layer.slices()),
            Expansion::None => None,
        };
        let form = forward::Form { images, inputs, geometry, outputs, residual, bounds, epsilon };
        Block { form, expand, filter: filter.slices(), project: project.slices() }
    }

    /// The output, the moments, and what the gradients need.
    fn forward(&self) -> (FlexTensor, FlexTensor, Maps) {
        let block = self.block();
        let (output, maps) = block.forward(self.input.storage());
        let forward::Form { images, geometry, outputs, .. } = block.form;
        let moments: Vec<f32> = maps.all().flat_map(|map| map.moments.iter().copied()).collect();
        let count = moments.len();
        let output = tensor(output, [images, geometry.rows.output, geometry.columns.output, outputs]);
        (output, tensor(moments, [count]), maps)
    }
}

impl TrainedBlocks for Flex {
    fn inverted_residual_of_batch(input: FlexTensor, layers: Layers<Self>, kind: Kind) -> (FlexTensor, FlexTensor) {
        let (output, moments, _) = Given::new(input, layers, kind).forward();
        (output, moments)
    }
}

impl<C: CheckpointStrategy> TrainedBlocks for Autodiff<Flex, C> {
    fn inverted_residual_of_batch(
        input: FloatTensor<Self>,
        layers: Layers<Self>,
        kind: Kind,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let of_input = input.node();
        let ([f0, f1, f2], filter) = apart(layers.filter);
        let ([p0, p1, p2], project) = apart(layers.project);
        let given = |expand| Given::new(input.into_primitive(), Layers { expand, filter, project }, kind);
        match layers.expand {
            Expansion::By(layer) => {
                let ([e0, e1, e2], layer) = apart(layer);
                tracked::<C, 10>(given(Expansion::By(layer)), [of_input, f0, f1, f2, p0, p1, p2, e0, e1, e2])
            }
            Expansion::None => tracked::<C, 7>(given(Expansion::None), [of_input, f0, f1, f2, p0, p1, p2]),
        }
    }
}

/// A layer's nodes and what they hold.
pub(super) fn apart<C: CheckpointStrategy>(layer: Layer<Autodiff<Flex, C>>) -> ([NodeGuard; 3], Layer<Flex>) {
    let Layer { weight, norm_weight, norm_bias } = layer;
    let nodes = [weight.node(), norm_weight.node(), norm_bias.node()];
    let layer = Layer {
        weight: weight.into_primitive(),
        norm_weight: norm_weight.into_primitive(),
        norm_bias: norm_bias.into_primitive(),
    };
    (nodes, layer)
}

type TrackedPair<C> = (FloatTensor<Autodiff<Flex, C>>, FloatTensor<Autodiff<Flex, C>>);

/// Output and moments, of which the first remembers where it came from.
fn tracked<C: CheckpointStrategy, const N: usize>(given: Given, guards: [NodeGuard; N]) -> TrackedPair<C> {
    let (output, moments, maps) = given.forward();
    let output = match BlockStep.prepare::<C>(guards).compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(Saved { given, maps: Arc::new(maps) }, output),
        OpsKind::UnTracked(step) => step.finish(output),
    };
    (output, Autodiff::<Flex, C>::from_inner(moments))
}

/// What a block remembers for its gradients.
#[derive(Clone, Debug)]
struct Saved {
    given: Given,
    maps: Arc<Maps>,
}

#[derive(Debug)]
struct BlockStep;

impl<const N: usize> Backward<Flex, N> for BlockStep {
    type State = Saved;

    /// The parents are the input, and weight, norm's weight and norm's bias of filter, projection and, where there is one,
    /// expansion.
    fn backward(self, ops: Ops<Saved, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let Saved { given, maps } = ops.state;
        let gradient = contiguous(gradients.consume::<Flex>(&ops.node));
        let is_wanted = |place: usize| ops.parents.get(place).is_some_and(Option::is_some);
        let wanted = Wanted { input: is_wanted(0), filter: is_wanted(1), project: is_wanted(4), expand: is_wanted(7) };
        let found = given.block().backward(gradient.storage(), given.input.storage(), &maps, wanted);
        let shape = |tensor: &FlexTensor| tensor.layout().shape().clone();
        let expand = match &given.layers.expand {
            Expansion::By(layer) => Some(layer),
            Expansion::None => None,
        };
        let layers = [Some(&given.layers.filter), Some(&given.layers.project), expand];
        let of_layers = [Some(found.filter), Some(found.project), found.expand];
        let pairs = layers.into_iter().zip(of_layers).filter_map(|(layer, found)| Some((layer?, found?)));
        let of_layers = pairs.flat_map(|(layer, found)| {
            let LayerGradients { weights, norm_weight, norm_bias } = found;
            let weights = weights.map(|values| tensor(values, shape(&layer.weight)));
            let norm = [norm_weight, norm_bias].map(|values| {
                let count = values.len();
                Some(tensor(values, [count]))
            });
            [weights].into_iter().chain(norm)
        });
        let all = [found.input.map(|values| tensor(values, shape(&given.input)))].into_iter().chain(of_layers);
        for (parent, found) in ops.parents.into_iter().zip(all) {
            if let (Some(parent), Some(found)) = (parent, found) {
                gradients.register::<Flex>(parent.id, found);
            }
        }
    }
}
