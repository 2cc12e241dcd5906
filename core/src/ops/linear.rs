//! The linear layer with what usually follows it.

use burn::prelude::*;

use super::Activation;

/// `activation(x · weightᵀ + bias) + residual`, computed in the input's type: weight and bias are cast to it.
///
/// # Shapes
/// - input: `[…, in]`, weight: `[out, in]`, bias: `[out]`, residual: `[…, out]`
/// - output: `[…, out]`
///
/// # Panics
/// Where the shapes are others.
///
/// ```
/// use burn::prelude::*;
/// use unmask_core::ops::{Activation, linear};
/// let device = Device::flex();
/// let x = Tensor::<2>::from_data([[1.0, 2.0]], &device);
/// let weight = Tensor::<2>::from_data([[1.0, 1.0], [-1.0, 0.0], [0.0, 3.0]], &device);
/// let y: Vec<f32> = linear(x, weight, None, Some(Activation::Relu), None).into_data().try_into_vec().unwrap();
/// assert_eq!(y, [3.0, 0.0, 6.0]);
/// ```
pub fn linear<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Option<Activation>,
    residual: Option<Tensor<D>>,
) -> Tensor<D> {
    let (mut shape, dtype) = (input.dims(), input.dtype());
    let [out, inner] = weight.dims();
    assert_eq!(shape[D - 1], inner, "the input's last axis is what the weight reads");
    assert!(bias.as_ref().is_none_or(|bias| bias.dims() == [out]), "a bias for each of {out} outputs");
    let rows = shape.iter().product::<usize>() / inner;
    // One matrix product over all rows keeps every core busy, where a batched one would split by batch.
    let mut output = input.reshape([rows, inner]).matmul(weight.cast(dtype).transpose());
    if let Some(bias) = bias {
        output = output + bias.cast(dtype).unsqueeze::<2>();
    }
    if let Some(activation) = activation {
        output = activation.apply(output);
    }
    shape[D - 1] = out;
    let output = output.reshape(shape);
    match residual {
        Some(residual) => output + residual,
        None => output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, tensor};
    use alloc::vec::Vec;

    #[test]
    fn linear_equals_the_sum_written_out() {
        for (batch, rows, inner, out, activation) in
            [(1, 1, 1, 1, None), (2, 3, 5, 7, Some(Activation::Relu)), (3, 17, 33, 20, Some(Activation::QuickGelu))]
        {
            let (x, xs) = tensor([batch, rows, inner], 1);
            let (weight, ws) = tensor([out, inner], 2);
            let (bias, bs) = tensor([out], 3);
            let (residual, rs) = tensor([batch, rows, out], 4);
            let expected: Vec<f64> = (0..batch * rows * out)
                .map(|index| {
                    let (row, column) = (index / out, index % out);
                    let sum: f64 = (0..inner)
                        .map(|k| f64::from(xs[row * inner + k]) * f64::from(ws[column * inner + k]))
                        .sum::<f64>()
                        + f64::from(bs[column]);
                    activation.map_or(sum, |a| a.of_scalar(sum)) + f64::from(rs[index])
                })
                .collect();
            assert_close(linear(x, weight, Some(bias), activation, Some(residual)), &expected);
        }
    }
}
