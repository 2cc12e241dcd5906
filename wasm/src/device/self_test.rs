//! What a graphics device has to get right before it scores: small runs of every operation that models are made of, with
//! the kernels that score, against the CPU's answers.

use burn::prelude::*;
use unmask_core::ops::{
    Activation, ChannelAffine, Steps, attention, depthwise_convolution, layer_norm, linear, patch_embedding, patches,
    pointwise_convolution,
};

/// How far a device's numbers may lie from the CPU's, relative to the operation's largest: f32 adds up in another order.
const TOLERANCE: f32 = 1e-4;

/// The results of one operation.
#[derive(Debug)]
pub(crate) struct Answer {
    operation: &'static str,
    values: Tensor<1>,
}

/// Every operation once or twice, in sizes that fill no workgroup exactly.
pub(crate) fn answers(device: &Device) -> Vec<Answer> {
    let image = || numbers([1, 9, 7, 24], 1, device);
    let affine = |channels: usize| ChannelAffine {
        scale: numbers([channels], 2, device),
        shift: numbers([channels], 3, device),
    };
    let tokens = |seed| numbers([1, 13, 24], seed, device);
    // More than are looked at together.
    let many = |seed| numbers([1, 41, 24], seed, device);
    let relu6 = Some(Activation::Relu6);
    let depthwise = |side, steps, activation| {
        depthwise_convolution(image(), numbers([24, 1, side, side], 4, device), steps, affine(24), activation)
    };
    vec![
        answer(
            "pointwise convolution",
            pointwise_convolution(image(), numbers([40, 24], 5, device), affine(40), relu6),
        ),
        answer("pointwise convolution", pointwise_convolution(image(), numbers([6, 24], 6, device), affine(6), None)),
        answer("depthwise convolution", depthwise(3, Steps::same(1), relu6)),
        answer("depthwise convolution", depthwise(5, Steps::same(2), None)),
        answer("patches", patches(numbers([1, 3, 9, 7], 7, device), 3, Steps::same(2))),
        answer("layer norm", layer_norm(tokens(8), numbers([24], 9, device), numbers([24], 10, device), 1e-5)),
        answer("attention", attention(many(11), many(12), many(13), 3, None)),
        answer(
            "linear layer",
            linear(
                tokens(14),
                numbers([40, 24], 15, device),
                Some(numbers([40], 16, device)),
                Some(Activation::QuickGelu),
                None,
            ),
        ),
        answer(
            "patch embedding",
            patch_embedding(numbers([1, 3, 8, 8], 17, device), numbers([24, 3, 4, 4], 18, device), None),
        ),
    ]
}

/// Reads all results in one go: for each operation its name and its numbers.
///
/// # Errors
/// The device does not give them, in words.
pub(crate) async fn read(answers: Vec<Answer>) -> Result<Vec<(&'static str, Vec<f32>)>, String> {
    let lengths: Vec<(&'static str, usize)> =
        answers.iter().map(|answer| (answer.operation, answer.values.dims()[0])).collect();
    let all = Tensor::cat(answers.into_iter().map(|answer| answer.values).collect(), 0);
    let failed = |error: &dyn std::fmt::Debug| format!("its results cannot be read back: {error:?}");
    let data = all.into_data_async().await.map_err(|error| failed(&error))?;
    let mut values = data.try_into_vec::<f32>().map_err(|error| failed(&error))?.into_iter();
    Ok(lengths.into_iter().map(|(name, length)| (name, values.by_ref().take(length).collect())).collect())
}

/// Compares a device's numbers with the CPU's.
///
/// # Errors
/// The first operation that the device gets wrong, in words.
pub(crate) fn compare(found: &[(&str, Vec<f32>)], expected: &[(&str, Vec<f32>)]) -> Result<(), String> {
    for ((_, found), (operation, expected)) in found.iter().zip(expected) {
        let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        // A number that is none is near nothing.
        let is_near = |(found, expected): (&f32, &f32)| (found - expected).abs() <= TOLERANCE * largest;
        if found.len() != expected.len() || !found.iter().zip(expected).all(is_near) {
            return Err(format!("it computes a {operation} wrongly"));
        }
    }
    Ok(())
}

fn answer<const D: usize>(operation: &'static str, result: Tensor<D>) -> Answer {
    let length = result.dims().iter().product::<usize>();
    Answer { operation, values: result.reshape([length]) }
}

/// Numbers in -0.5..0.5 without a pattern that an error in counting could hide in.
fn numbers<const D: usize>(shape: [usize; D], seed: u32, device: &Device) -> Tensor<D> {
    let count = shape.iter().product::<usize>() as u32;
    // Knuth's multiplicative hash.
    let number = |index: u32| (index + seed * 7919).wrapping_mul(2_654_435_761) as f32 / u32::MAX as f32 - 0.5;
    Tensor::from_data(TensorData::new::<f32, _>((0..count).map(number).collect(), shape), device)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "this is how a test fails")]
mod tests {
    use std::time::Instant;

    use super::*;

    fn cpu() -> Vec<(&'static str, Vec<f32>)> {
        pollster::block_on(read(answers(&Device::flex()))).unwrap()
    }

    #[test]
    fn a_device_that_computes_as_the_cpu_does_passes_within_a_second() {
        let opened = pollster::block_on(Device::wgpu_options().init_async());
        let Ok(device) = opened else {
            eprintln!("skipped: there is no graphics device");
            return;
        };
        let expected = cpu();
        let start = Instant::now();
        let found = pollster::block_on(read(answers(&device))).unwrap();
        eprintln!("self-test: {} ms", start.elapsed().as_millis());
        compare(&found, &expected).unwrap();
    }

    #[test]
    fn what_is_no_number_comes_out_of_the_convolutions_as_such() {
        let Ok(device) = pollster::block_on(Device::wgpu_options().init_async()) else {
            eprintln!("skipped: there is no graphics device");
            return;
        };
        let input = || Tensor::<4>::full([1, 3, 3, 8], f32::NAN, &device);
        let affine = || ChannelAffine { scale: numbers([8], 1, &device), shift: numbers([8], 2, &device) };
        for activation in [None, Some(Activation::Relu), Some(Activation::Relu6)] {
            let pointwise = pointwise_convolution(input(), numbers([8, 8], 3, &device), affine(), activation);
            let depthwise =
                depthwise_convolution(input(), numbers([8, 1, 3, 3], 4, &device), Steps::same(1), affine(), activation);
            for result in [pointwise, depthwise] {
                let (_, values) = pollster::block_on(read(vec![answer("", result)])).unwrap().remove(0);
                assert!(values.iter().all(|value| value.is_nan()), "{activation:?}: {values:?}");
            }
        }
    }

    #[test]
    fn every_operation_that_is_computed_wrongly_is_noticed_and_named() {
        let expected = cpu();
        for place in 0..expected.len() {
            for wrong in [f32::NAN, f32::INFINITY, 0.37] {
                let mut found = expected.clone();
                let middle = found[place].1.len() / 2;
                found[place].1[middle] = found[place].1[middle] * 0.9 + wrong;
                let problem = compare(&found, &expected).unwrap_err();
                assert!(problem.contains(expected[place].0), "{problem}");
            }
            let mut found = expected.clone();
            found[place].1.pop();
            assert!(compare(&found, &expected).is_err(), "a number is missing");
        }
    }

    #[test]
    fn no_operation_gives_the_same_number_everywhere() {
        for (operation, values) in cpu() {
            assert!(values.iter().any(|value| (value - values[0]).abs() > 1e-3), "{operation}");
        }
    }
}
