//! The bodies for burn's CPU backend that keep what lies between a block's convolutions out of memory. They have no
//! gradients: where those are asked for, the same is computed by convolutions one after the other.

use alloc::vec::Vec;

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType, Flex, Shape, backend_extension};
use burn::prelude::*;
use burn::tensor::DType;
use pulp::Arch;

use super::direct::Direct;
use super::geometry::Steps;
use super::kernels::Depthwise;
use super::residual::{self, Block, Taps};
use super::{ChannelAffine, InvertedResidual, is_on_cpu};
use crate::ops::cpu::flex::{contiguous, dims, tensor};
use crate::ops::cpu::linear::Packing;
use crate::ops::cpu::product::{Filters, Packed};
use crate::ops::{Activation, KeptLayout};

/// How a convolution moves, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    steps: Steps,
    activation: Option<Activation>,
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
    /// `activation(convolution(input, weight) * scale + shift)`; the weight is `[out, in, side, side]`, or `[out, in]` for a side
    /// of 1.
    fn convolution(
        input: FloatTensor<Self>,
        #[extension_type] layer: Layer<Self>,
        form: Form,
        kept: KeptLayout,
    ) -> FloatTensor<Self>;

    /// What [`InvertedResidual`] says, of which `form` and `residual` are the rest.
    fn inverted_residual(
        input: FloatTensor<Self>,
        #[extension_type] layers: BlockLayers<Self>,
        form: Form,
        residual: bool,
        kept: KeptLayout,
    ) -> FloatTensor<Self>;
}

/// Whether these bodies serve.
fn is_served(input: &Tensor<4>) -> bool {
    is_on_cpu(input) && !input.device().is_autodiff()
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
    kept: &KeptLayout,
) -> Option<Tensor<4>> {
    let [_, _, _, channels] = input.dims();
    if !is_served(input) || !fits(weight, channels, affine) {
        return None;
    }
    let layer = Layer::new(weight, affine);
    let form = Form { steps, activation };
    Some(Tensor::from_dispatch(Dispatch::convolution(input.clone().into_dispatch(), layer, form, kept.clone())))
}

/// The block by these bodies, which keep its weights laid out in `kept`; `None` where they do not serve.
pub(super) fn inverted_residual(input: &Tensor<4>, block: &InvertedResidual, kept: &KeptLayout) -> Option<Tensor<4>> {
    let form = Form { steps: block.steps, activation: Some(block.activation) };
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
    if !(is_served(input) && is_expanded && is_filtered && is_projected) {
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
    fn convolution(input: FlexTensor, layer: Layer<Self>, form: Form, kept: KeptLayout) -> FlexTensor {
        let [images, rows, columns, channels] = dims(&input);
        let [outputs, _] = dims(&layer.weight);
        let side = match layer.weight.layout().num_dims() {
            2 => 1,
            _ => dims::<4>(&layer.weight)[2],
        };
        let packed = kept.of(&[&layer.weight, &layer.scale, &layer.shift], || layer.packed(form.activation));
        let input = contiguous(input);
        let convolution =
            Direct { rows: form.steps.axis(rows, side), columns: form.steps.axis(columns, side), channels };
        let shape = [images, convolution.rows.output, convolution.columns.output, outputs];
        tensor(convolution.forward(input.storage(), &packed), shape)
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
        let kept_for = layers.tensors();
        let expand = match layers.expand {
            Expansion::By(layer) => Some(layer.readable()),
            Expansion::None => None,
        };
        let (filter, project) = (layers.filter.readable(), layers.project.readable());
        let weights = contiguous(filter.weight);
        let (rows, columns) = (form.steps.axis(rows, side), form.steps.axis(columns, side));
        let block = Block {
            expand: expand.as_ref().map(|layer| layer.filters(form.activation)),
            taps: Taps {
                weights: weights.storage(),
                scale: filter.scale.storage(),
                shift: filter.shift.storage(),
                activation: form.activation,
            },
            geometry: Depthwise { rows, columns, channels },
            project: project.filters(None),
            residual,
        };
        let packed = kept.of(&kept_for.iter().collect::<Vec<_>>(), || block.packed());
        tensor(block.forward(input.storage(), &packed), [images, rows.output, columns.output, outputs])
    }
}

impl BlockLayers<Flex> {
    /// All tensors.
    fn tensors(&self) -> Vec<FlexTensor> {
        let expand = match &self.expand {
            Expansion::By(layer) => Some(layer),
            Expansion::None => None,
        };
        let layers = [Some(&self.filter), Some(&self.project), expand].into_iter().flatten();
        layers.flat_map(|layer| [&layer.weight, &layer.scale, &layer.shift]).cloned().collect()
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

    /// The weight `[out, in]` or `[out, in, side, side]`, laid out with the rest of the layer.
    fn packed(&self, activation: Option<Activation>) -> Packed {
        let weight = match self.weight.layout().num_dims() {
            2 => self.weight.clone(),
            _ => by_place(&self.weight),
        };
        let layer = Self { weight, scale: self.scale.clone(), shift: self.shift.clone() }.readable();
        Arch::new().dispatch(Packing(&layer.filters(activation)))
    }

    /// The weight `[out, in]`, whatever its layout, and the rest of the layer.
    fn filters(&self, activation: Option<Activation>) -> Filters<'_> {
        let [_, depth] = dims(&self.weight);
        let layout = self.weight.layout();
        let [by_output, by_input] = core::array::from_fn(|index| layout.strides()[index].unsigned_abs());
        Filters {
            weights: &self.weight.storage()[layout.start_offset()..],
            strides: [by_input, by_output],
            depth,
            scale: self.scale.storage(),
            shift: self.shift.storage(),
            activation,
        }
    }
}

/// A weight `[out, in, side, side]` as `[out, side * side * in]` with the outputs of each input
/// side by side in memory; without a copy where they lie so already.
fn by_place(weight: &FlexTensor) -> FlexTensor {
    let [outputs, inputs, side, _] = dims(weight);
    let places = contiguous(weight.permute(&[2, 3, 1, 0]));
    places.reshape(Shape::from([side * side * inputs, outputs])).transpose(0, 1)
}
