//! The bodies for burn's CPU backend that keep what lies between a block's convolutions out of memory. They have no
//! gradients: where those are asked for, the same is computed by convolutions one after the other.

use alloc::vec::Vec;

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType, Flex, Shape, backend_extension};
use burn::prelude::*;
use burn::tensor::DType;

use super::direct::Direct;
use super::geometry::Steps;
use super::kernels::Depthwise;
use super::residual::{self, Block, Taps};
use super::{ChannelAffine, is_on_cpu};
use crate::ops::cpu::buffers::put_back_tensors;
use crate::ops::cpu::flex::{contiguous, dims, forward, tensor};
use crate::ops::cpu::parallel::processor;
use crate::ops::cpu::product::{Filters, Packed, Packing};
use crate::ops::{Activation, KeptLayout};

/// How a convolution moves, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    steps: Steps,
    activation: Option<Activation>,
}

/// How a block's filter moves, and what follows its convolutions.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockForm {
    steps: Steps,
    inside: Option<Activation>,
    after: Option<Activation>,
    residual: bool,
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

/// A convolution of 1 × 1, where a block has one.
#[derive(ExtensionType)]
pub(super) enum Pointwise<B: Backend> {
    By(#[extension_type] Layer<B>),
    None,
}

impl Pointwise<Dispatch> {
    fn new(layer: Option<(&Tensor<2>, &ChannelAffine)>) -> Self {
        layer.map_or(Self::None, |(weight, affine)| Self::By(Layer::new(weight, affine)))
    }
}

impl<B: Backend> Pointwise<B> {
    fn given(&self) -> Option<&Layer<B>> {
        match self {
            Self::By(layer) => Some(layer),
            Self::None => None,
        }
    }
}

/// The tensors of a [`Filtering`].
#[derive(ExtensionType)]
pub(super) struct BlockLayers<B: Backend> {
    #[extension_type]
    expand: Pointwise<B>,
    #[extension_type]
    filter: Layer<B>,
    #[extension_type]
    project: Pointwise<B>,
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

    /// What [`Filtering`] says, of which `form` is the rest.
    fn filtering(
        input: FloatTensor<Self>,
        #[extension_type] layers: BlockLayers<Self>,
        form: BlockForm,
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

/// Whether these bodies serve this convolution, whose weight is `[out, in, side, side]`, or `[out, in]` for a side of 1.
pub(super) fn serve<const D: usize>(input: &Tensor<4>, weight: &Tensor<D>, affine: &ChannelAffine) -> bool {
    is_served(input) && fits(weight, input.dims()[3], affine)
}

/// A convolution that these bodies [`serve`]. The input is given up, so that its memory can be used again.
pub(super) fn convolution<const D: usize>(
    input: Tensor<4>,
    weight: &Tensor<D>,
    steps: Steps,
    affine: &ChannelAffine,
    activation: Option<Activation>,
    kept: &KeptLayout,
) -> Tensor<4> {
    let (layer, form) = (Layer::new(weight, affine), Form { steps, activation });
    Tensor::from_dispatch(Dispatch::convolution(input.into_dispatch(), layer, form, kept.clone()))
}

/// A filter for each channel, with convolutions of 1 × 1 before and after it where there are any.
pub(super) struct Filtering<'a> {
    pub(super) expand: Option<(&'a Tensor<2>, &'a ChannelAffine)>,
    pub(super) filter: (&'a Tensor<4>, &'a ChannelAffine),
    pub(super) steps: Steps,
    /// After expansion and filter.
    pub(super) inside: Option<Activation>,
    pub(super) project: Option<(&'a Tensor<2>, &'a ChannelAffine)>,
    /// After the projection.
    pub(super) after: Option<Activation>,
    /// Whether the input is added to the output, which then has its shape.
    pub(super) residual: bool,
}

impl Filtering<'_> {
    /// Whether these bodies serve.
    pub(super) fn serves(&self, input: &Tensor<4>) -> bool {
        let [_, rows, columns, channels] = input.dims();
        is_served(input) && self.fits(channels) && (!self.residual || self.keeps([rows, columns]))
    }

    /// The output, where these bodies serve. The input is given up, so that its memory can be used again.
    pub(super) fn forward(&self, input: Tensor<4>, kept: &KeptLayout) -> Tensor<4> {
        let Self { steps, inside, after, residual, .. } = *self;
        let layers = BlockLayers {
            expand: Pointwise::new(self.expand),
            filter: Layer::new(self.filter.0, self.filter.1),
            project: Pointwise::new(self.project),
        };
        let form = BlockForm { steps, inside, after, residual };
        Tensor::from_dispatch(Dispatch::filtering(input.into_dispatch(), layers, form, kept.clone()))
    }

    /// Whether what comes out has as many rows and columns as what goes in.
    fn keeps(&self, sizes: [usize; 2]) -> bool {
        let side = self.filter.0.dims()[2];
        self.steps.stride == 1 && sizes.iter().all(|size| self.steps.axis(*size, side).output == *size)
    }

    fn fits(&self, channels: usize) -> bool {
        let [inside, _, side, across] = self.filter.0.dims();
        let is_expanded = match self.expand {
            Some((weight, affine)) => fits(weight, channels, affine) && weight.dims()[0] == inside,
            None => channels == inside,
        };
        let is_projected = self.project.is_none_or(|(weight, affine)| fits(weight, inside, affine));
        let outputs = self.project.map_or(inside, |(weight, _)| weight.dims()[0]);
        let is_added = !self.residual || outputs == channels;
        let is_filtered = fits(self.filter.0, 1, self.filter.1) && residual::serves(side, self.steps.stride);
        is_expanded && is_filtered && is_projected && is_added && side == across
    }
}

impl FusedConvolutions for Flex {
    fn convolution(input: FlexTensor, layer: Layer<Self>, form: Form, kept: KeptLayout) -> FlexTensor {
        let [images, rows, columns, channels] = dims(&input);
        let [outputs, _] = dims(&layer.weight);
        let side = match layer.weight.layout().num_dims() {
            2 => 1,
            _ => dims::<4>(&layer.weight)[2],
        };
        let packed = kept.of(&[&layer.weight, &layer.scale, &layer.shift], || layer.packed());
        let input = contiguous(input);
        let Form { steps, activation } = form;
        let convolution =
            Direct { rows: steps.axis(rows, side), columns: steps.axis(columns, side), channels, activation };
        let shape = [images, convolution.rows.output, convolution.columns.output, outputs];
        let output = convolution.forward(input.storage(), &packed);
        put_back_tensors([input]);
        tensor(output, shape)
    }

    fn filtering(input: FlexTensor, layers: BlockLayers<Self>, form: BlockForm, kept: KeptLayout) -> FlexTensor {
        let BlockForm { steps, inside, after, residual } = form;
        let [images, rows, columns, _] = dims(&input);
        let [channels, _, side, _] = dims(&layers.filter.weight);
        let input = contiguous(input);
        let source = layers.tensors();
        let (filter, project) = (layers.filter.readable(), layers.project.given().map(Layer::readable));
        let expand = layers.expand.given().map(Layer::readable);
        let weights = contiguous(filter.weight);
        let (rows, columns) = (steps.axis(rows, side), steps.axis(columns, side));
        let taps = Taps { weights: weights.storage(), scale: filter.scale.storage(), shift: filter.shift.storage() };
        let block = Block {
            expand: expand.as_ref().map(Layer::filters),
            taps,
            geometry: Depthwise { rows, columns, channels },
            inside,
            project: project.as_ref().map(Layer::filters),
            after,
            residual,
        };
        let packed = kept.of(&source.iter().collect::<Vec<_>>(), || block.packed());
        let outputs = project.as_ref().map_or(channels, |layer| dims::<2>(&layer.weight)[0]);
        let output = block.forward(input.storage(), &packed);
        put_back_tensors([input]);
        tensor(output, [images, rows.output, columns.output, outputs])
    }
}

impl BlockLayers<Flex> {
    /// All tensors.
    fn tensors(&self) -> Vec<FlexTensor> {
        let layers = [Some(&self.filter), self.expand.given(), self.project.given()].into_iter().flatten();
        layers.flat_map(|layer| [&layer.weight, &layer.scale, &layer.shift]).cloned().collect()
    }
}

impl Layer<Flex> {
    /// The layer with scale and shift as they are read, and a weight whose steps are positive.
    fn readable(&self) -> Self {
        Self {
            weight: forward(&self.weight),
            scale: contiguous(self.scale.clone()),
            shift: contiguous(self.shift.clone()),
        }
    }

    /// The weight `[out, in]` or `[out, in, side, side]`, laid out with the rest of the layer.
    fn packed(&self) -> Packed {
        let weight = match self.weight.layout().num_dims() {
            2 => self.weight.clone(),
            _ => by_place(&self.weight),
        };
        let layer = Self { weight, scale: self.scale.clone(), shift: self.shift.clone() }.readable();
        processor().dispatch(Packing(&layer.filters()))
    }

    /// The weight `[out, in]`, whatever its layout, and the rest of the layer.
    fn filters(&self) -> Filters<'_> {
        let [_, depth] = dims(&self.weight);
        let layout = self.weight.layout();
        let [by_output, by_input] = core::array::from_fn(|index| layout.strides()[index].unsigned_abs());
        Filters {
            weights: &self.weight.storage()[layout.start_offset()..],
            strides: [by_input, by_output],
            depth,
            scale: self.scale.storage(),
            shift: self.shift.storage(),
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
