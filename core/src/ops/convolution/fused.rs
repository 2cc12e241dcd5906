//! The bodies for burn's CPU backend that keep what lies between a block's convolutions out of memory. They have no
//! gradients: where those are asked for, the same is computed by convolutions one after the other.

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType, Flex, Shape, backend_extension};
use burn::prelude::*;
use burn::tensor::DType;

use super::direct::Direct;
use super::flex::{contiguous, dims, tensor};
use super::geometry::Steps;
use super::kernels::{Bounds, Depthwise};
use super::product::Filters;
use super::residual::{self, Block, KeptLayout, Taps};
use super::{ChannelAffine, InvertedResidual, clamp_on_cpu};
use crate::ops::Activation;

/// How a convolution moves, and what it clamps to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    steps: Steps,
    bounds: Option<Bounds>,
}

/// A convolution's weight, and the factor and summand after it.
#[derive(ExtensionType)]
pub(super) struct Layer<B: Backend> {
    weight: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
}

impl Layer<Dispatch> {
    fn new<const D: usize>(weight: &Tensor<D>, affine: &ChannelAffine) -> Self {
        Self {
            weight: weight.clone().into_dispatch(),
            scale: affine.scale.clone().into_dispatch(),
            shift: affine.shift.clone().into_dispatch(),
        }
    }
}

/// A block's first convolution, where it has one.
#[derive(ExtensionType)]
pub(super) enum Expansion<B: Backend> {
    By(#[extension_type] Layer<B>),
    None,
}

/// The tensors of an [`InvertedResidual`].
#[derive(ExtensionType)]
pub(super) struct BlockLayers<B: Backend> {
    #[extension_type]
    expand: Expansion<B>,
    #[extension_type]
    filter: Layer<B>,
    #[extension_type]
    project: Layer<B>,
}

/// The convolutions as operations of a backend.
#[backend_extension(Flex)]
pub(super) trait FusedConvolutions: Backend {
    /// `clamp(convolution(input, weight) * scale + shift)`; the weight is `[out, in, side, side]`, or `[out, in]` for a side
    /// of 1.
    fn convolution(input: FloatTensor<Self>, #[extension_type] layer: Layer<Self>, form: Form) -> FloatTensor<Self>;

    /// What [`InvertedResidual`] says, of which `form` and `residual` are the rest.
    fn inverted_residual(
        input: FloatTensor<Self>,
        #[extension_type] layers: BlockLayers<Self>,
        form: Form,
        residual: bool,
        kept: KeptLayout,
    ) -> FloatTensor<Self>;
}

/// What these bodies clamp to; `None` where they do not serve.
fn served(input: &Tensor<4>, activation: Option<Activation>) -> Option<Option<Bounds>> {
    clamp_on_cpu(input, activation).filter(|_| !input.device().is_autodiff())
}

/// Whether a weight is one of f32 for so many channels, and no gradients are asked for of it and what follows, as they are in
/// a network's first layer, whose input needs none.
fn fits<const D: usize>(weight: &Tensor<D>, inputs: usize, affine: &ChannelAffine) -> bool {
    let sizes = weight.dims();
    let outputs = [affine.scale.dims(), affine.shift.dims()];
    let devices = [weight.device(), affine.scale.device(), affine.shift.device()];
    let is_plain = devices.iter().all(|device| !device.is_autodiff());
    let types = [weight.dtype(), affine.scale.dtype(), affine.shift.dtype()];
    is_plain && types == [DType::F32; 3] && sizes[1] == inputs && outputs == [[sizes[0]]; 2]
}

/// The convolution by these bodies; `None` where they do not serve. The weight is `[out, in, side, side]`, or `[out, in]`
/// for a side of 1.
pub(super) fn convolution<const D: usize>(
    input: &Tensor<4>,
    weight: &Tensor<D>,
    steps: Steps,
    affine: &ChannelAffine,
    activation: Option<Activation>,
) -> Option<Tensor<4>> {
    let form = Form { steps, bounds: served(input, activation)? };
    let [_, _, _, channels] = input.dims();
    if !fits(weight, channels, affine) {
        return None;
    }
    let layer = Layer::new(weight, affine);
    Some(Tensor::from_dispatch(Dispatch::convolution(input.clone().into_dispatch(), layer, form)))
}

/// The block by these bodies, which keep its weights laid out in `kept`; `None` where they do not serve.
pub(super) fn inverted_residual(input: &Tensor<4>, block: &InvertedResidual, kept: &KeptLayout) -> Option<Tensor<4>> {
    let form = Form { steps: block.steps, bounds: served(input, Some(block.activation))? };
    let ([_, _, _, channels], [inside, _, side, _]) = (input.dims(), block.filter.dims());
    let is_expanded = match &block.expand {
        Some((weight, affine)) => fits(weight, channels, affine) && weight.dims()[0] == inside,
        None => channels == inside,
    };
    let is_projected = fits(&block.project, inside, &block.project_affine);
    if block.residual && (block.steps.stride != 1 || block.project.dims()[0] != channels) {
        return None;
    }
    let is_filtered = fits(&block.filter, 1, &block.filter_affine) && residual::serves(side, block.steps.stride);
    if !(is_expanded && is_filtered && is_projected) {
        return None;
    }
    let layers = BlockLayers {
        expand: match &block.expand {
            Some((weight, affine)) => Expansion::By(Layer::new(weight, affine)),
            None => Expansion::None,
        },
        filter: Layer::new(&block.filter, &block.filter_affine),
        project: Layer::new(&block.project, &block.project_affine),
    };
    let input = input.clone().into_dispatch();
    let output = Dispatch::inverted_residual(input, layers, form, block.residual, kept.clone());
    Some(Tensor::from_dispatch(output))
}

impl FusedConvolutions for Flex {
    fn convolution(input: FlexTensor, layer: Layer<Self>, form: Form) -> FlexTensor {
        let [images, rows, columns, channels] = dims(&input);
        let [outputs, _] = dims(&layer.weight);
        let (side, weight) = match layer.weight.layout().num_dims() {
            2 => (1, layer.weight),
            _ => by_place(&layer.weight),
        };
        let layer = Layer { weight, ..layer }.readable();
        let input = contiguous(input);
        let convolution = Direct {
            filters: layer.filters(form.bounds),
            rows: form.steps.axis(rows, side),
            columns: form.steps.axis(columns, side),
            channels,
        };
        let shape = [images, convolution.rows.output, convolution.columns.output, outputs];
        tensor(convolution.forward(input.storage()), shape)
    }

    fn inverted_residual(
        input: FlexTensor,
        layers: BlockLayers<Self>,
        form: Form,
        residual: bool,
        kept: KeptLayout,
    ) -> FlexTensor {
        let [images, rows, columns, _] = dims(&input);
        let [channels, _, side, _] = dims(&layers.filter.weight);
        let [outputs, _] = dims(&layers.project.weight);
        let input = contiguous(input);
        let expand = match layers.expand {
            Expansion::By(layer) => Some(layer.readable()),
            Expansion::None => None,
        };
        let (filter, project) = (layers.filter.readable(), layers.project.readable());
        let weights = contiguous(filter.weight);
        let (rows, columns) = (form.steps.axis(rows, side), form.steps.axis(columns, side));
        let block = Block {
            expand: expand.as_ref().map(|layer| layer.filters(form.bounds)),
            taps: Taps {
                weights: weights.storage(),
                scale: filter.scale.storage(),
                shift: filter.shift.storage(),
                bounds: form.bounds,
            },
            geometry: Depthwise { rows, columns, channels },
            project: project.filters(None),
            residual,
        };
        tensor(block.forward(input.storage(), &kept), [images, rows.output, columns.output, outputs])
    }
}

impl Layer<Flex> {
    /// The layer with scale and shift as they are read, and a weight whose steps are positive: where it is not so already, as
    /// where it is flipped or stands for many like it, a copy.
    fn readable(self) -> Self {
        let is_forward = self.weight.layout().strides().iter().all(|stride| *stride > 0);
        Self {
            weight: if is_forward { self.weight } else { contiguous(self.weight) },
            scale: contiguous(self.scale),
            shift: contiguous(self.shift),
        }
    }

    /// The weight `[out, in]`, whatever its layout, and the rest of the layer.
    fn filters(&self, bounds: Option<Bounds>) -> Filters<'_> {
        let [_, depth] = dims(&self.weight);
        let layout = self.weight.layout();
        let [by_output, by_input] = core::array::from_fn(|index| layout.strides()[index].unsigned_abs());
        Filters {
            weights: &self.weight.storage()[layout.start_offset()..],
            strides: [by_input, by_output],
            depth,
            scale: self.scale.storage(),
            shift: self.shift.storage(),
            bounds,
        }
    }
}

/// The side of a weight `[out, in, side, side]`, and the weight as `[out, side * side * in]` with the outputs of each input
/// side by side in memory; without a copy where they lie so already.
fn by_place(weight: &FlexTensor) -> (usize, FlexTensor) {
    let [outputs, inputs, side, _] = dims(weight);
    let places = contiguous(weight.permute(&[2, 3, 1, 0]));
    (side, places.reshape(Shape::from([side * side * inputs, outputs])).transpose(0, 1))
}
