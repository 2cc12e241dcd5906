//! Batch norms by the statistics of the batch far from zero, where the formula needs f64; the table of tests has the rest.

use alloc::vec::Vec;

use super::*;
use crate::ops::testing::{assert_close, tensor};

const EPSILON: f64 = 1e-3;
/// Images, rows, columns, channels: fewer pixels than are summed at once, exactly as many, and more.
const SHAPES: [[usize; 4]; 5] = [[1, 1, 2, 3], [2, 5, 7, 1], [1, 16, 16, 8], [3, 9, 11, 33], [2, 17, 19, 72]];
const ACTIVATIONS: [Option<Activation>; 3] = [None, Some(Activation::Relu6), Some(Activation::Relu)];

/// The values far from zero, as after a convolution without bias, so that the mean could take digits from the variance.
fn far_from_zero(shape: [usize; 4]) -> (Tensor<4>, Vec<f32>) {
    let (_, values) = tensor(shape, 1);
    let values: Vec<f32> = values.into_iter().map(|value| 300.0 + value).collect();
    (Tensor::from_data(TensorData::new(values.clone(), shape), &Device::flex()), values)
}

#[test]
fn the_norm_and_its_statistics_equal_the_formula_written_out() {
    for shape in SHAPES {
        let channels = shape[3];
        for activation in ACTIVATIONS {
            let (input, xs) = far_from_zero(shape);
            let (weight, ws) = tensor([channels], 2);
            let (bias, bs) = tensor([channels], 3);
            let pixels = (xs.len() / channels) as f64;
            let of_channel = |channel: usize| xs.iter().skip(channel).step_by(channels).map(|value| f64::from(*value));
            let means: Vec<f64> = (0..channels).map(|c| of_channel(c).sum::<f64>() / pixels).collect();
            let variances: Vec<f64> = (0..channels)
                .map(|c| of_channel(c).map(|value| (value - means[c]) * (value - means[c])).sum::<f64>() / pixels)
                .collect();
            let normed = xs.iter().enumerate().map(|(index, value)| {
                let c = index % channels;
                let value = (f64::from(*value) - means[c]) / libm::sqrt(variances[c] + EPSILON);
                let value = value * f64::from(ws[c]) + f64::from(bs[c]);
                activation.map_or(value, |activation| activation.of_scalar(value))
            });
            let (output, moments) = batch_norm(input, weight, bias, EPSILON, activation);
            assert_eq!(output.dims(), shape);
            // The shift has the size of the mean, so its rounding is what is left.
            let output: Vec<f32> = output.into_data().try_into_vec().expect("f32");
            let difference = output.iter().zip(normed).map(|(a, e)| (f64::from(*a) - e).abs()).fold(0.0, f64::max);
            assert!(difference < 1e-3, "{shape:?} {activation:?}: {difference}");
            assert_close(moments.mean, &means);
            assert_close(moments.variance, &variances);
        }
    }
}
