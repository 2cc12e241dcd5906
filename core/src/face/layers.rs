//! The layers of the landmark refiner on images whose channels lie side by side: `[images, rows, columns, channels]`.
//!
//! In that layout the neighbours in a row that a convolution reads are one run of memory, so a sliding view of the
//! image, which costs nothing, is a matrix; its product with the weights holds the sums over a row of the kernel, for
//! each of the kernel's rows, and what is left is to add those parts shifted against each other. On a CPU this is
//! several times faster than a general convolution, which copies every pixel once for each place in the kernel.

use alloc::vec::Vec;
use core::ops::Range;

use burn::module::{Module, Param};
use burn::nn::PRelu;
use burn::tensor::Tensor;

/// An unpadded convolution of stride 1 with bias, and the PReLU after it if there is one.
#[derive(Module, Debug)]
pub(super) struct Convolution {
    /// `[columns * channels_in, rows * channels_out]`
    weight: Param<Tensor<2>>,
    /// `[1, channels_out]`
    bias: Param<Tensor<2>>,
    activation: Option<PRelu>,
    /// Side of the kernel.
    side: usize,
}

impl Convolution {
    /// A layer from `weight` `[channels_out, channels_in, side, side]` and `bias` `[channels_out]`.
    pub(super) fn new(weight: Tensor<4>, bias: Tensor<1>, activation: Option<PRelu>) -> Self {
        let [outputs, inputs, side, _] = weight.dims();
        let weight = weight.permute([3, 1, 2, 0]).reshape([side * inputs, side * outputs]);
        let bias = bias.reshape([1, outputs]);
        Self { weight: Param::from_tensor(weight), bias: Param::from_tensor(bias), activation, side }
    }

    /// A convolution of 4 × 4 and stride 2 as one of 2 × 2 and stride 1 on images folded by [`fold_pairs`]; `weight` is
    /// `[channels_out, channels_in, 4, 4]`.
    pub(super) fn halving(weight: Tensor<4>, bias: Tensor<1>, activation: Option<PRelu>) -> Self {
        let [outputs, inputs, ..] = weight.dims();
        let parts: Tensor<6> = weight.reshape([outputs, inputs, 2, 2, 2, 2]);
        let folded = parts.permute([0, 3, 5, 1, 2, 4]).reshape([outputs, 4 * inputs, 2, 2]);
        Self::new(folded, bias, activation)
    }

    /// # Shapes
    /// - x: `[images, rows, columns, channels_in]`
    /// - output: `[images, rows - side + 1, columns - side + 1, channels_out]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [images, rows, columns, _] = x.dims();
        let [_, outputs] = self.bias.dims();
        let sums = runs(x, self.side).matmul(self.weight.val());
        let sums: Tensor<4> = sums.reshape([images, rows, columns, self.side * outputs]);
        let (rows, columns) = (rows + 1 - self.side, columns + 1 - self.side);
        let part = |row: usize| {
            let range = |start: usize, length: usize| -> Range<usize> { start..start + length };
            let place = [0..images, range(row, rows), range(0, columns), range(row * outputs, outputs)];
            sums.clone().slice(place)
        };
        let sum = (1..self.side).fold(part(0), |sum, row| sum + part(row));
        let sum: Tensor<2> = sum.reshape([images * rows * columns, outputs]) + self.bias.val();
        let activated = match &self.activation {
            Some(activation) => activation.forward(sum),
            None => sum,
        };
        activated.reshape([images, rows, columns, outputs])
    }
}

/// For every pixel, it and the `length - 1` pixels after it: `[pixels, length * channels]`. The last ones run over the
/// edge into zeros, and those at the end of a row into the next row; both belong to places outside the output.
fn runs(x: Tensor<4>, length: usize) -> Tensor<2> {
    let [images, rows, columns, channels] = x.dims();
    let pixels = images * rows * columns;
    if length == 1 {
        return x.reshape([pixels, channels]);
    }
    let beyond = Tensor::zeros([(length - 1) * channels], &x.device());
    let values: Tensor<1> = x.reshape([pixels * channels]);
    Tensor::cat(Vec::from([values, beyond]), 0).unfold(0, length * channels, channels)
}

/// Puts the channels of each 2 × 2 pixels side by side: upper left, upper right, lower left, lower right.
///
/// # Shapes
/// - x: `[images, rows, columns, channels]`, rows and columns even
/// - output: `[images, rows / 2, columns / 2, 4 * channels]`
pub(super) fn fold_pairs(x: Tensor<4>) -> Tensor<4> {
    let [images, rows, columns, channels] = x.dims();
    let pairs: Tensor<5> = x.reshape([images, rows / 2, 2, columns / 2, 2 * channels]);
    pairs.swap_dims(2, 3).reshape([images, rows / 2, columns / 2, 4 * channels])
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Device, Distribution};

    use super::*;

    fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &Device::flex())
    }

    fn assert_same(found: Tensor<4>, channels_first: Tensor<4>, case: &str) {
        let expected = channels_first.permute([0, 2, 3, 1]);
        assert_eq!(found.dims(), expected.dims(), "{case}");
        let difference: f32 = (found - expected).abs().max().into_scalar();
        assert!(difference < 1e-5, "{case}: {difference}");
    }

    #[test]
    fn a_convolution_equals_the_general_one() {
        for [images, rows, columns, inputs, outputs, side] in
            [[1, 12, 15, 3, 10, 3], [3, 7, 7, 5, 4, 2], [2, 3, 3, 4, 6, 3], [2, 4, 5, 3, 2, 1], [1, 2, 2, 1, 1, 2]]
        {
            let x = random([images, rows, columns, inputs]);
            let (weight, bias) = (random([outputs, inputs, side, side]), random([outputs]));
            let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
            let expected = conv2d(x.clone().permute([0, 3, 1, 2]), weight.clone(), Some(bias.clone()), options);
            let found = Convolution::new(weight, bias, None).forward(x);
            assert_same(found, expected, &alloc::format!("{images} {rows} {columns} {inputs} {outputs} {side}"));
        }
    }

    #[test]
    fn a_halving_convolution_equals_the_general_one_of_stride_2() {
        for [images, rows, columns, inputs, outputs] in [[1, 8, 6, 3, 5], [2, 78, 10, 4, 3], [3, 4, 4, 2, 1]] {
            let x = random([images, rows, columns, inputs]);
            let (weight, bias) = (random([outputs, inputs, 4, 4]), random([outputs]));
            let options = ConvOptions::new([2, 2], [0, 0], [1, 1], 1);
            let expected = conv2d(x.clone().permute([0, 3, 1, 2]), weight.clone(), Some(bias.clone()), options);
            let found = Convolution::halving(weight, bias, None).forward(fold_pairs(x));
            assert_same(found, expected, &alloc::format!("{images} {rows} {columns} {inputs} {outputs}"));
        }
    }
}
