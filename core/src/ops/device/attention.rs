//! Attention as one kernel: no scores are written to the device's memory, and no head is moved to lie alone.
//!
//! A workgroup has some queries of a head, and goes through the keys some at a time: its threads compute the scores of all pairs
//! into memory they share, then weights of those, a row a thread, then what is attended to, each thread some channels of some
//! queries. What was summed up so far is scaled down whenever a larger score comes, so that no second pass is needed (Milakov
//! and Gimelshein, 2018).

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

/// Threads of a workgroup, across keys or channels and down the queries.
const ACROSS: usize = 8;
const DOWN: usize = 4;
/// Queries and keys of which a thread computes the scores together. The scores of four queries for a key are one vector: devices
/// take as long to compile as shared memory has elements.
const QUERIES_EACH: usize = 4;
const KEYS_EACH: usize = 4;
/// Those of a workgroup.
const QUERIES: usize = DOWN * QUERIES_EACH;
const KEYS: usize = ACROSS * KEYS_EACH;
/// Vectors of a head, as many as a thread has registers for its part of.
const WIDEST: usize = 32;

/// Numbers of [`QUERIES_EACH`] queries.
type Scores = Vector<f32, Const<QUERIES_EACH>>;

impl FusedAttention for CubeBackend {
    fn fused_attention(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        heads: usize,
        bias: Optional<Self>,
    ) -> CubeTensor {
        let width = query.shape()[2] / heads;
        if !serves(&query) || width / vector_size(width) > WIDEST {
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
    let (output, dim) = (like(&query, [batch, queries, channels]), CubeDim::new_2d(ACROSS as u32, DOWN as u32));
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

/// Each workgroup computes what [`QUERIES`] queries of a head attend to. `width` counts vectors. What hangs over the end is
/// computed for the last query or channel again and not written, since all threads have to come to the barriers.
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
    let block = min(CUBE_POS, batch * heads * blocks - 1);
    let image = block / blocks / heads;
    let head = block / blocks % heads;
    let (across, down) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    let first_query = block % blocks * QUERIES + down * QUERIES_EACH;
    let stride = heads * width;
    let at_queries = image * queries * stride + head * width;
    let at_keys = image * keys * stride + head * width;
    let at_biases = image * biases + head * queries * keys;

    let each = comptime!(width.div_ceil(ACROSS));
    let mut attended = Array::<Vector<f32, N>>::new(comptime!(QUERIES_EACH * each));
    #[unroll]
    for index in 0..comptime!(QUERIES_EACH * each) {
        attended[index] = Vector::new(0.0f32);
    }
    let mut scores = Shared::<[Scores]>::new_slice(KEYS * DOWN);
    let mut factors = Shared::<[Scores]>::new_slice(DOWN);
    // Shaders have no infinity; no score that counts is as small.
    let mut largest = Vector::new(f32::MIN);
    let mut total = Vector::new(0.0f32);
    let row = UNIT_POS as usize;

    for first_key in range_stepped(0, keys, KEYS) {
        let count = min(keys - first_key, KEYS);
        let mut products = Array::<f32>::new(QUERIES_EACH * KEYS_EACH);
        #[unroll]
        for index in 0..QUERIES_EACH * KEYS_EACH {
            products[index] = 0.0f32;
        }
        let mut asked = Array::<Vector<f32, N>>::new(QUERIES_EACH);
        for channel in 0..width {
            #[unroll]
            for index in 0..QUERIES_EACH {
                asked[index] = query[at_queries + min(first_query + index, queries - 1) * stride + channel];
            }
            #[unroll]
            for place in 0..KEYS_EACH {
                let token = min(first_key + across + place * ACROSS, keys - 1);
                let offered = key[at_keys + token * stride + channel];
                #[unroll]
                for index in 0..QUERIES_EACH {
                    products[index * KEYS_EACH + place] += asked[index].dot(offered);
                }
            }
        }
        #[unroll]
        for place in 0..KEYS_EACH {
            let token = first_key + across + place * ACROSS;
            let mut found = Vector::new(0.0f32);
            #[unroll]
            for index in 0..QUERIES_EACH {
                let at_bias = at_biases + min(first_query + index, queries - 1) * keys + min(token, keys - 1);
                let before: ComptimeOption<f32> = bias.as_ref().map(|bias| bias[at_bias]);
                let score = products[index * KEYS_EACH + place] * scale + before.unwrap_or(f32::new(0.0f32));
                found.insert(index, score);
            }
            scores[(across + place * ACROSS) * DOWN + down] = found;
        }
        sync_cube();
        if row < DOWN {
            let mut next = largest;
            for place in 0..count {
                next = max_nan(next, scores[place * DOWN + row]);
            }
            let smaller = (largest - next).exp();
            total *= smaller;
            for place in 0..count {
                let weights = (scores[place * DOWN + row] - next).exp();
                scores[place * DOWN + row] = weights;
                total += weights;
            }
            factors[row] = smaller;
            largest = next;
        }
        sync_cube();
        let smaller = factors[down];
        #[unroll]
        for index in 0..QUERIES_EACH {
            #[unroll]
            for part in 0..each {
                attended[index * each + part] = attended[index * each + part] * Vector::new(smaller.extract(index));
            }
        }
        for place in 0..count {
            let from_key = at_keys + (first_key + place) * stride;
            let weights = scores[place * DOWN + down];
            #[unroll]
            for part in 0..each {
                let offered = value[from_key + min(across + part * ACROSS, width - 1)];
                #[unroll]
                for index in 0..QUERIES_EACH {
                    attended[index * each + part] =
                        attended[index * each + part] + offered * Vector::new(weights.extract(index));
                }
            }
        }
        sync_cube();
    }
    if row < DOWN {
        factors[row] = total;
    }
    sync_cube();
    let totals = factors[down];
    #[unroll]
    for index in 0..QUERIES_EACH {
        let sum = Vector::new(totals.extract(index));
        #[unroll]
        for part in 0..each {
            let channel = across + part * ACROSS;
            if CUBE_POS == block && first_query + index < queries && channel < width {
                output[at_queries + (first_query + index) * stride + channel] = attended[index * each + part] / sum;
            }
        }
    }
}
