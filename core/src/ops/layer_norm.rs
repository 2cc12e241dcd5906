//! Layer normalisation over the last dimension.

use burn::prelude::*;
use burn::tensor::{DType, module};

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias`, mean and biased variance over the last dimension. It is
/// computed in f32, whatever the input's type, which the output has again.
///
/// # Shapes
/// - input and output: `[…, d]`; weight and bias: `[d]`
///
/// # Panics
/// Where the shapes are others.
///
/// ```
/// use burn::prelude::*;
/// use unmask_core::ops::layer_norm;
/// let device = Device::flex();
/// let (one, zero) = (Tensor::<1>::ones([2], &device), Tensor::<1>::zeros([2], &device));
/// let x = Tensor::<2>::from_data([[3.0, 5.0]], &device);
/// let y: Vec<f32> = layer_norm(x, one, zero, 0.0).into_data().try_into_vec().unwrap();
/// assert_eq!(y, [-1.0, 1.0]);
/// ```
pub fn layer_norm<const D: usize>(input: Tensor<D>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let (dtype, width) = (input.dtype(), input.dims()[D - 1]);
    assert_eq!((weight.dims(), bias.dims()), ([width], [width]), "a weight and a bias for each channel");
    let (weight, bias) = (weight.cast(DType::F32), bias.cast(DType::F32));
    module::layer_norm(input.cast(DType::F32), weight, Some(bias), epsilon).cast(dtype)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, tensor};
    use alloc::vec::Vec;

    #[test]
    fn layer_norm_equals_the_formula_written_out() {
        for (rows, width) in [(1, 2), (3, 7), (5, 64)] {
            let (x, xs) = tensor([1, rows, width], 1);
            let (weight, ws) = tensor([width], 2);
            let (bias, bs) = tensor([width], 3);
            let expected: Vec<f64> = xs
                .chunks(width)
                .flat_map(|row| {
                    let mean = row.iter().map(|v| f64::from(*v)).sum::<f64>() / width as f64;
                    let variance =
                        row.iter().map(|v| (f64::from(*v) - mean) * (f64::from(*v) - mean)).sum::<f64>() / width as f64;
                    let scale = 1.0 / libm::sqrt(variance + 1e-5);
                    row.iter()
                        .enumerate()
                        .map(|(i, v)| (f64::from(*v) - mean) * scale * f64::from(ws[i]) + f64::from(bs[i]))
                        .collect::<Vec<_>>()
                })
                .collect();
            assert_close(layer_norm(x, weight, bias, 1e-5), &expected);
        }
    }
}
