//! From the places of a map to one row of features.

use burn::prelude::*;
use burn::tensor::DType;

use crate::ops;

/// The mean over all places of each map `[n, h, w, d]`, in f32: `[n, d]`.
pub fn mean_over_places(maps: Tensor<4>) -> Tensor<2> {
    ops::channel_means(maps.cast(DType::F32))
}
