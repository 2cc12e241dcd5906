//! The CPU's bodies against sums written out, and their gradients against those of the composed bodies.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::ops::testing::{assert_close, tensor};

/// Images, rows, columns, channels, side, stride. The channels come in wide, narrow and single runs.
const SHAPES: [[usize; 6]; 7] = [
    [1, 1, 1, 1, 3, 1],
    [2, 5, 7, 3, 3, 1],
    [2, 6, 5, 41, 3, 2],
    [3, 7, 7, 40, 5, 1],
    [2, 9, 8, 33, 5, 2],
    [1, 2, 3, 8, 5, 2],
    [2, 4, 4, 72, 3, 1],
];

/// Each shape with both paddings: images, rows, columns, channels, side, and the steps.
fn cases() -> impl Iterator<Item = ([usize; 5], Steps)> {
    SHAPES.into_iter().flat_map(|[images, rows, columns, channels, side, stride]| {
        let shape = [images, rows, columns, channels, side];
        [(shape, Steps::same(stride)), (shape, Steps::centred(stride))]
    })
}

fn finished(sum: f64, scale: f32, shift: f32, activation: Option<Activation>) -> f64 {
    let value = sum * f64::from(scale) + f64::from(shift);
    activation.map_or(value, |activation| activation.of_scalar(value))
}

#[test]
fn depthwise_convolution_equals_the_sum_written_out() {
    for ([images, rows, columns, channels, side], steps) in cases() {
        for activation in [None, Some(Activation::Relu6), Some(Activation::Relu), Some(Activation::QuickGelu)] {
            let (input, xs) = tensor([images, rows, columns, channels], 1);
            let (weight, ws) = tensor([channels, 1, side, side], 2);
            let (scale, scales) = tensor([channels], 3);
            let (shift, shifts) = tensor([channels], 4);
            let (vertical, horizontal) = (steps.axis(rows, side), steps.axis(columns, side));
            let mut expected = Vec::new();
            for (image, row, column, channel) in places(images, vertical.output, horizontal.output, channels) {
                let mut sum = 0.0;
                for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
                    let (r, c) = (row * steps.stride + y, column * steps.stride + x);
                    let inside = |at: usize, axis: Axis| at.checked_sub(axis.before).filter(|at| *at < axis.input);
                    if let (Some(r), Some(c)) = (inside(r, vertical), inside(c, horizontal)) {
                        let pixel = ((image * rows + r) * columns + c) * channels + channel;
                        sum += f64::from(xs[pixel]) * f64::from(ws[(channel * side + y) * side + x]);
                    }
                }
                expected.push(finished(sum, scales[channel], shifts[channel], activation));
            }
            let output = depthwise_convolution(input, weight, steps, ChannelAffine { scale, shift }, activation);
            assert_eq!(output.dims(), [images, vertical.output, horizontal.output, channels]);
            assert_close(output, &expected);
        }
    }
}

fn places(
    images: usize,
    rows: usize,
    columns: usize,
    channels: usize,
) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..images * rows * columns * channels).map(move |index| {
        let (pixel, channel) = (index / channels, index % channels);
        (pixel / columns / rows, pixel / columns % rows, pixel % columns, channel)
    })
}

#[test]
fn pointwise_convolution_equals_the_sum_written_out() {
    for ([images, rows, columns, inputs, ..], outputs) in SHAPES.into_iter().zip([1, 7, 16, 33, 5, 2, 130]) {
        for activation in [None, Some(Activation::Relu6), Some(Activation::Relu), Some(Activation::QuickGelu)] {
            let (input, xs) = tensor([images, rows, columns, inputs], 1);
            let (weight, ws) = tensor([outputs, inputs], 2);
            let (scale, scales) = tensor([outputs], 3);
            let (shift, shifts) = tensor([outputs], 4);
            let mut expected = Vec::new();
            for pixel in xs.chunks(inputs) {
                for (output, weights) in ws.chunks(inputs).enumerate() {
                    let sum = pixel.iter().zip(weights).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    expected.push(finished(sum, scales[output], shifts[output], activation));
                }
            }
            let output = pointwise_convolution(input, weight, ChannelAffine { scale, shift }, activation);
            assert_eq!(output.dims(), [images, rows, columns, outputs]);
            assert_close(output, &expected);
        }
    }
}

#[test]
fn patches_hold_what_a_convolution_reads() {
    for ([images, rows, columns, channels, side], steps) in cases() {
        let (pixels, ps) = tensor([images, channels, rows, columns], 1);
        let (vertical, horizontal) = (steps.axis(rows, side), steps.axis(columns, side));
        let mut expected = Vec::new();
        for (image, row, column, tap) in places(images, vertical.output, horizontal.output, channels * side * side) {
            let (channel, y, x) = (tap / side / side, tap / side % side, tap % side);
            let (r, c) = (row * steps.stride + y, column * steps.stride + x);
            let inside = |at: usize, axis: Axis| at.checked_sub(axis.before).filter(|at| *at < axis.input);
            expected.push(match (inside(r, vertical), inside(c, horizontal)) {
                (Some(r), Some(c)) => f64::from(ps[((image * channels + channel) * rows + r) * columns + c]),
                _ => 0.0,
            });
        }
        assert_close(patches(pixels, side, steps), &expected);
    }
}

/// The tensor with NaN, infinity and minus infinity in its first places.
fn with_strange_numbers<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    let (shape, device) = (tensor.dims(), tensor.device());
    let mut values: Vec<f32> = tensor.into_data().try_into_vec().expect("f32");
    values.iter_mut().zip([f32::NAN, f32::INFINITY, f32::NEG_INFINITY]).for_each(|(value, strange)| *value = strange);
    Tensor::from_data(TensorData::new(values, shape), &device)
}

#[test]
fn numbers_that_are_none_come_through_every_body_and_activation_as_through_burns_own() {
    let activations = [None, Some(Activation::Relu6), Some(Activation::Relu), Some(Activation::QuickGelu)];
    for ([images, rows, columns, channels, side], steps) in cases() {
        for activation in activations {
            let affine = || ChannelAffine { scale: tensor([channels], 3).0, shift: tensor([channels], 4).0 };
            let input = || with_strange_numbers(tensor([images, rows, columns, channels], 1).0);
            let weight = || tensor([channels, 1, side, side], 2).0;
            let ours = depthwise_convolution(input(), weight(), steps, affine(), activation);
            let composed = composed::depthwise(input(), weight(), steps, affine(), activation);
            assert_same_strange_numbers(ours, composed);
            let weight = || tensor([channels, channels], 2).0;
            let ours = pointwise_convolution(input(), weight(), affine(), activation);
            let composed = composed::pointwise(input(), weight(), affine(), activation);
            assert_same_strange_numbers(ours, composed);
        }
    }
}

/// Asserts that NaN stands in the same places, and somewhere; infinities clamp alike.
fn assert_same_strange_numbers(ours: Tensor<4>, composed: Tensor<4>) {
    let read = |tensor: Tensor<4>| -> Vec<f32> { tensor.into_data().try_into_vec().expect("f32") };
    let (ours, composed) = (read(ours), read(composed));
    assert!(composed.iter().any(|value| value.is_nan()), "NaN went in");
    for (place, (a, b)) in ours.iter().zip(&composed).enumerate() {
        let is_same = a.is_nan() == b.is_nan() && (!a.is_infinite() || a == b);
        assert!(is_same, "place {place}: {a} is not {b}");
    }
}

#[cfg(feature = "autodiff")]
mod gradients {
    use super::*;

    /// A tensor that gradients are asked for, with values in -2..2.
    fn tracked<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
        let values: Vec<f32> = tensor(shape, seed).1.into_iter().map(|value| 2.0 * value).collect();
        Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
    }

    /// The gradients of `Σ output * w` with seeded `w`, for input, weight, scale and shift.
    fn gradients<const W: usize>(
        input: [usize; 4],
        weight: [usize; W],
        body: impl Fn(Tensor<4>, Tensor<W>, ChannelAffine) -> Tensor<4>,
    ) -> Vec<Vec<f32>> {
        let (input, weight) = (tracked(input, 1), tracked(weight, 2));
        let channels = weight.dims()[0];
        let (scale, shift) = (tracked([channels], 3), tracked([channels], 4));
        let affine = ChannelAffine { scale: scale.clone(), shift: shift.clone() };
        let output = body(input.clone(), weight.clone(), affine);
        let factors = tensor(output.dims(), 5).0;
        let factors = Tensor::from_data(factors.into_data(), &output.device());
        let found = (output * factors).sum().backward();
        let read = |data: Option<TensorData>| data.expect("a gradient").try_into_vec().expect("f32");
        vec![
            read(input.grad(&found).map(Tensor::into_data)),
            read(weight.grad(&found).map(Tensor::into_data)),
            read(scale.grad(&found).map(Tensor::into_data)),
            read(shift.grad(&found).map(Tensor::into_data)),
        ]
    }

    fn assert_same(ours: &[Vec<f32>], composed: &[Vec<f32>], case: &str) {
        for (index, (ours, composed)) in ours.iter().zip(composed).enumerate() {
            let largest = composed.iter().fold(1e-3, |largest: f32, value| largest.max(value.abs()));
            assert_eq!(ours.len(), composed.len());
            for (a, b) in ours.iter().zip(composed) {
                assert!((a - b).abs() <= 1e-4 * largest, "{case}: gradient {index}: {a} is not {b}");
            }
        }
    }

    #[test]
    fn of_the_depthwise_convolution_equal_those_of_burns_own() {
        for ([images, rows, columns, channels, side], steps) in cases() {
            for activation in [None, Some(Activation::Relu6), Some(Activation::Relu)] {
                let (input, weight) = ([images, rows, columns, channels], [channels, 1, side, side]);
                let ours = gradients(input, weight, |x, w, a| depthwise_convolution(x, w, steps, a, activation));
                let composed = gradients(input, weight, |x, w, a| composed::depthwise(x, w, steps, a, activation));
                assert_same(&ours, &composed, &alloc::format!("{input:?} {weight:?} {steps:?} {activation:?}"));
            }
        }
    }

    #[test]
    fn of_the_pointwise_convolution_equal_those_of_burns_own() {
        for ([images, rows, columns, inputs, ..], outputs) in SHAPES.into_iter().zip([1, 7, 16, 33, 5, 2, 260]) {
            for activation in [None, Some(Activation::Relu6), Some(Activation::Relu)] {
                let (input, weight) = ([images, rows, columns, inputs], [outputs, inputs]);
                let ours = gradients(input, weight, |x, w, a| pointwise_convolution(x, w, a, activation));
                let composed = gradients(input, weight, |x, w, a| composed::pointwise(x, w, a, activation));
                assert_same(&ours, &composed, &alloc::format!("{input:?} {weight:?} {activation:?}"));
            }
        }
    }

    #[test]
    fn are_given_for_what_is_trained_and_for_nothing_else() {
        let device = Device::flex().autodiff();
        let constant = |tensor: Tensor<4>| Tensor::<4>::from_data(tensor.into_data(), &device);
        let (input, weight) = (constant(tensor([1, 4, 4, 8], 1).0), constant(tensor([8, 1, 3, 3], 2).0));
        let (scale, shift) = (tracked([8], 3), tracked([8], 4));
        let affine = ChannelAffine { scale: scale.clone(), shift: shift.clone() };
        let output = depthwise_convolution(input.clone(), weight.clone(), Steps::same(1), affine, None);
        let found = output.sum().backward();
        assert!(input.grad(&found).is_none() && weight.grad(&found).is_none());
        assert!(scale.grad(&found).is_some() && shift.grad(&found).is_some());
    }
}

#[cfg(all(feature = "webgpu", feature = "autodiff"))]
mod on_a_graphics_device {
    use alloc::format;

    use super::*;
    use crate::ops::testing::graphics_device;

    fn moved<const D: usize>(tensor: Tensor<D>, device: &Device) -> Tensor<D> {
        Tensor::from_data(tensor.into_data(), device)
    }

    fn assert_same(found: &[f32], expected: &[f32], case: &str) {
        assert_eq!(found.len(), expected.len(), "{case}");
        let finite = expected.iter().filter(|value| value.is_finite());
        let largest = finite.fold(1e-3, |largest: f32, value| largest.max(value.abs()));
        for (place, (a, b)) in found.iter().zip(expected).enumerate() {
            let is_same = if b.is_finite() { (a - b).abs() <= 1e-4 * largest } else { a.is_nan() == b.is_nan() };
            assert!(is_same, "{case}, place {place}: {a} is not {b}");
        }
    }

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec().expect("f32")
    }

    #[test]
    fn convolutions_equal_burns_own_operations() {
        let Some(device) = graphics_device() else { return };
        // With gradients the affine is an operation of its own.
        for device in [device.clone().without_autodiff(), device] {
            for (([images, rows, columns, channels, side], steps), outputs) in
                cases().zip([1, 7, 16, 33, 32, 4, 132].into_iter().cycle())
            {
                for activation in [None, Some(Activation::Relu6), Some(Activation::Relu), Some(Activation::QuickGelu)] {
                    let case =
                        format!("{images} {rows} {columns} {channels} {side} {steps:?} {outputs} {activation:?}");
                    let input = || with_strange_numbers(tensor([images, rows, columns, channels], 1).0);
                    let affine = |channels: usize| (tensor([channels], 3).0, tensor([channels], 4).0);
                    let on = |(scale, shift): (Tensor<1>, Tensor<1>), device: &Device| ChannelAffine {
                        scale: moved(scale, device),
                        shift: moved(shift, device),
                    };
                    let cpu = Device::flex();
                    let weight = tensor([channels, 1, side, side], 2).0;
                    let expected =
                        composed::depthwise(input(), weight.clone(), steps, on(affine(channels), &cpu), activation);
                    let (there, weight) = (moved(input(), &device), moved(weight, &device));
                    let found = depthwise_convolution(there, weight, steps, on(affine(channels), &device), activation);
                    assert_same(&read(found), &read(expected), &case);
                    let weight = tensor([outputs, channels], 2).0;
                    let expected = composed::pointwise(input(), weight.clone(), on(affine(outputs), &cpu), activation);
                    let (there, weight) = (moved(input(), &device), moved(weight, &device));
                    let found = pointwise_convolution(there, weight, on(affine(outputs), &device), activation);
                    assert_same(&read(found), &read(expected), &case);
                }
            }
        }
    }

    #[test]
    fn a_convolution_of_any_side_with_its_norm_equals_the_cpus_and_so_do_the_gradients() {
        let Some(device) = graphics_device() else { return };
        for activation in [None, Some(Activation::Relu6), Some(Activation::Relu)] {
            let found = |device: &Device| {
                let weight = moved(tensor([8, 3, 3, 3], 2).0, device).require_grad();
                let norm = |seed| moved(tensor([8], seed).0 + 1.0, device).require_grad();
                let layer = NormedConvolution { weight, norm_weight: norm(3), norm_bias: norm(4) };
                let input = moved(tensor([2, 9, 8, 3], 1).0, device);
                let (output, moments) = convolution_of_batch(input, layer.clone(), Steps::same(2), activation, 1e-3);
                let factors = moved(tensor(output.dims(), 5).0, device);
                let gradients = (output.clone() * factors).sum().backward();
                let gradient = |of: &Tensor<1>| read(of.grad(&gradients).expect("a gradient"));
                [
                    read(output),
                    read(moments.mean),
                    read(moments.variance),
                    read(layer.weight.grad(&gradients).expect("a gradient")),
                    gradient(&layer.norm_weight),
                    gradient(&layer.norm_bias),
                ]
            };
            let expected = found(&Device::flex().autodiff());
            for (index, (found, expected)) in found(&device).iter().zip(&expected).enumerate() {
                assert_same(found, expected, &format!("{activation:?}: {index}"));
            }
        }
    }
}
