//! The bodies for burn's CPU backend: matrix products and [`kernels`].

use super::composed::{self, Convolutions};
use super::geometry::Steps;
use super::kernels::{self, Bounds, Depthwise};
use crate::ops::Activation;
use crate::ops::cpu::flex::{contiguous, dims, tensor};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::{DType, Flex, Shape};

impl Convolutions for Flex {
    fn pointwise(
        input: FlexTensor,
        weight: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        activation: Option<Activation>,
    ) -> FlexTensor {
        if input.dtype() != DType::F32 {
            return composed::pointwise::<Self>(input, weight, scale, shift, activation);
        }
        let bounds = activation.and_then(Activation::bounds);
        pointwise(&contiguous(input), weight, &contiguous(scale), &contiguous(shift), bounds)
    }

    fn depthwise(
        input: FlexTensor,
        weight: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        steps: Steps,
        activation: Option<Activation>,
    ) -> FlexTensor {
        if input.dtype() != DType::F32 {
            return composed::depthwise::<Self>(input, weight, scale, shift, steps, activation);
        }
        let (weight, bounds) = (taps(&weight), activation.and_then(Activation::bounds));
        depthwise(&contiguous(input), &weight, &contiguous(scale), &contiguous(shift), steps, bounds)
    }
}

/// `[channels, 1, side, side]` to the values of `[side, side, channels]`.
pub(super) fn taps(weight: &FlexTensor) -> FlexTensor {
    let [channels, _, side, _] = dims(weight);
    weight.reshape(Shape::from([channels, side * side])).transpose(0, 1).to_contiguous()
}

pub(super) fn geometry(input: &FlexTensor, taps: &FlexTensor, steps: Steps) -> Depthwise {
    let [_, rows, columns, channels] = dims(input);
    let [places, _] = dims(taps);
    let side = places.isqrt();
    Depthwise { rows: steps.axis(rows, side), columns: steps.axis(columns, side), channels }
}

pub(super) fn pointwise(
    input: &FlexTensor,
    weight: FlexTensor,
    scale: &FlexTensor,
    shift: &FlexTensor,
    bounds: Option<Bounds>,
) -> FlexTensor {
    let [images, rows, columns, inputs] = dims(input);
    let [outputs, _] = dims(&weight);
    let pixels = input.reshape(Shape::from([images * rows * columns, inputs]));
    let mut output = Flex::float_matmul(pixels, weight.transpose(0, 1));
    kernels::scale_shift_clamp(output.storage_mut(), scale.storage(), shift.storage(), bounds);
    output.reshape(Shape::from([images, rows, columns, outputs]))
}

pub(super) fn depthwise(
    input: &FlexTensor,
    taps: &FlexTensor,
    scale: &FlexTensor,
    shift: &FlexTensor,
    steps: Steps,
    bounds: Option<Bounds>,
) -> FlexTensor {
    let geometry = geometry(input, taps, steps);
    let [images, _, _, channels] = dims(input);
    let output = geometry.forward(input.storage(), taps.storage(), scale.storage(), shift.storage(), bounds);
    tensor(output, [images, geometry.rows.output, geometry.columns.output, channels])
}
