//! From the places of a map to one row of features.

use burn::prelude::*;
use burn::tensor::DType;

/// The mean over all places of each map `[n, h, w, d]`, in f32: `[n, d]`.
pub fn mean_over_places(maps: Tensor<4>) -> Tensor<2> {
    let [count, rows, columns, width] = maps.dims();
    maps.cast(DType::F32).reshape([count, rows * columns, width]).mean_dim(1).squeeze_dim(1)
}
