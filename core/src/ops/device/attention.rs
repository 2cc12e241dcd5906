//! Attention as one kernel: no scores are written, and no head is moved to lie alone.
//!
//! A thread has a query of a head, and goes through the keys a few at a time. What it has summed up so far is scaled down
//! whenever a larger score comes, so that it needs no second pass (Milakov and Gimelshein, 2018). Threads beside each other
//! have queries of the same head and read the same keys at the same time.

use burn::backend::TensorMetadata;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::{like, serves, vector_size, workgroups};
use crate::ops::attention::{self, FusedAttention};
use crate::ops::extension::{Optional, cast};

/// Queries of a workgroup, one a thread.
const QUERIES: usize = 32;
/// Keys that are looked at before what was summed up is scaled again.
const KEYS: usize = 8;
/// Numbers of a head that a thread has registers for, twice: the query and what it attends to.
const WIDEST: usize = 128;

impl FusedAttention for CubeBackend {
    fn fused_attention(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        heads: usize,
        bias: Optional<Self>,
    ) -> CubeTensor {
        if !serves(&query) || query.shape()[2] / heads > WIDEST {
            return attention::composed::<Self>(query, key, value, heads, bias);
        }
        let in_f32 = |tensor| into_contiguous(cast::<Self>(tensor, DType::F32));
        let bias = match bias {
            Optional::Given(bias) => Some(in_f32(bias)),
            Optional::Absent => None,
        };
        fused([query, key, value].map(in_f32), heads, bias)
    }
}

fn fused([query, key, value]: [CubeTensor; 3], heads: usize, bias: Option<CubeTensor>) -> CubeTensor {
    let ([batch, queries, channels], [_, keys, _]) = (query.shape().dims(), key.shape().dims());
    let width = channels / heads;
    let size = vector_size(width);
    let (output, dim) = (like(&query, [batch, queries, channels]), CubeDim::new_1d(QUERIES as u32));
    // A bias for all of the batch is read from its start by each.
    let biases = bias.as_ref().map_or(0, |bias| if bias.shape()[0] == 1 { 0 } else { heads * queries * keys });
    attention_kernel::launch(
        &output.client.clone(),
        workgroups(&output, batch * heads * queries.div_ceil(QUERIES), dim),
        dim,
        size,
        query.into_buffer_arg(),
        key.into_buffer_arg(),
        value.into_buffer_arg(),
        bias.map(CubeTensor::into_buffer_arg).into(),
        output.clone().into_buffer_arg(),
        batch,
        queries,
        keys,
        heads,
        biases,
        1.0 / (width as f32).sqrt(),
        width / size,
    );
    output
}

/// Each thread computes what a query of a head attends to. `width` counts vectors.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "the arguments of a kernel are its bindings")]
fn attention_kernel<N: Size>(
    query: &[Vector<f32, N>],
    key: &[Vector<f32, N>],
    value: &[Vector<f32, N>],
    bias: ComptimeOption<&[f32]>,
    output: &mut [Vector<f32, N>],
    batch: usize,
    queries: usize,
    keys: usize,
    heads: usize,
    biases: usize,
    scale: f32,
    #[comptime] width: usize,
) {
    let blocks = queries.div_ceil(QUERIES);
    let image = CUBE_POS / blocks / heads;
    let head = CUBE_POS / blocks % heads;
    let place = CUBE_POS % blocks * QUERIES + UNIT_POS as usize;
    if image >= batch || place >= queries {
        terminate!();
    }
    let stride = heads * width;
    let at_query = (image * queries + place) * stride + head * width;
    let at_keys = image * keys * stride + head * width;
    let mut asked = Array::<Vector<f32, N>>::new(width);
    let mut attended = Array::<Vector<f32, N>>::new(width);
    #[unroll]
    for index in 0..width {
        asked[index] = query[at_query + index] * Vector::new(scale);
        attended[index] = Vector::new(0.0f32);
    }
    // Shaders have no infinity; no score that counts is as small.
    let mut largest = f32::new(f32::MIN);
    let mut total = 0.0f32;
    let mut scores = Array::<f32>::new(KEYS);
    for first in range_stepped(0, keys, KEYS) {
        let mut next = largest;
        #[unroll]
        for offset in 0..KEYS {
            // What hangs over the end is computed for the last key again and does not count.
            let token = min(first + offset, keys - 1);
            let mut score = 0.0f32;
            #[unroll]
            for index in 0..width {
                score += asked[index].dot(key[at_keys + token * stride + index]);
            }
            let at_bias = image * biases + (head * queries + place) * keys + token;
            let before: ComptimeOption<f32> = bias.as_ref().map(|bias| bias[at_bias]);
            scores[offset] = score + before.unwrap_or(f32::new(0.0f32));
            next = max_nan(next, scores[offset]);
        }
        let smaller = (largest - next).exp();
        total *= smaller;
        #[unroll]
        for index in 0..width {
            attended[index] = attended[index] * Vector::new(smaller);
        }
        #[unroll]
        for offset in 0..KEYS {
            if first + offset < keys {
                let weight = (scores[offset] - next).exp();
                total += weight;
                let at_value = at_keys + (first + offset) * stride;
                #[unroll]
                for index in 0..width {
                    attended[index] = attended[index] + value[at_value + index] * Vector::new(weight);
                }
            }
        }
        largest = next;
    }
    #[unroll]
    for index in 0..width {
        output[at_query + index] = attended[index] / Vector::new(total);
    }
}
