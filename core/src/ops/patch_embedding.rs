//! Cutting an image into patches and projecting each.

use burn::prelude::*;

use super::linear;

/// A convolution whose kernel equals its stride, without bias, as one matrix product over the patches.
///
/// # Shapes
/// - pixels: `[n, channels, height, width]`, height and width multiples of the patch's
/// - weight: `[d, channels, patch, patch]`
/// - output: `[n, patches, d]`, patches row by row
///
/// # Panics
/// Where the shapes are others.
///
/// ```
/// use burn::prelude::*;
/// use unmask_core::ops::patch_embedding;
/// let device = Device::flex();
/// let (pixels, weight) = (Tensor::ones([1, 3, 4, 6], &device), Tensor::ones([5, 3, 2, 2], &device));
/// let tokens = patch_embedding(pixels, weight);
/// assert_eq!(tokens.dims(), [1, 6, 5]);
/// assert_eq!(tokens.max().into_scalar::<f32>(), 12.0);
/// ```
pub fn patch_embedding(pixels: Tensor<4>, weight: Tensor<4>) -> Tensor<3> {
    let [count, channels, height, width] = pixels.dims();
    let [dim, _, patch, _] = weight.dims();
    assert_eq!(weight.dims(), [dim, channels, patch, patch], "a weight for each channel of a square patch");
    assert!(height.is_multiple_of(patch) && width.is_multiple_of(patch), "{height}×{width} pixels in whole patches");
    let (rows, columns) = (height / patch, width / patch);
    let inner = channels * patch * patch;
    let patches = pixels.reshape([count, channels, rows, patch, columns, patch]).permute([0, 2, 4, 1, 3, 5]).reshape([
        count,
        rows * columns,
        inner,
    ]);
    linear(patches, weight.reshape([dim, inner]), None, None, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{assert_close, tensor};
    use alloc::vec::Vec;

    #[test]
    fn patch_embedding_equals_the_strided_convolution_written_out() {
        let (count, channels, rows, columns, patch, dim) = (2, 3, 2, 3, 4, 5);
        let (height, width) = (rows * patch, columns * patch);
        let (pixels, ps) = tensor([count, channels, height, width], 1);
        let (weight, ws) = tensor([dim, channels, patch, patch], 2);
        let mut expected = Vec::new();
        for n in 0..count {
            for (row, column) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
                for d in 0..dim {
                    let mut sum = 0.0;
                    for c in 0..channels {
                        for (y, x) in (0..patch).flat_map(|y| (0..patch).map(move |x| (y, x))) {
                            let pixel = ((n * channels + c) * height + row * patch + y) * width + column * patch + x;
                            let tap = ((d * channels + c) * patch + y) * patch + x;
                            sum += f64::from(ps[pixel]) * f64::from(ws[tap]);
                        }
                    }
                    expected.push(sum);
                }
            }
        }
        assert_close(patch_embedding(pixels, weight), &expected);
    }
}
