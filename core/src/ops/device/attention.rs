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

/// Where a thread's part lies; places count vectors.
#[derive(CubeType)]
struct Part {
    across: usize,
    down: usize,
    first_query: usize,
    queries: usize,
    keys: usize,
    /// From a token to the next.
    stride: usize,
    at_queries: usize,
    at_keys: usize,
    at_biases: usize,
}

/// What the threads of a workgroup share, of each query.
#[derive(CubeType)]
struct Softmax {
    /// The scores of some keys, and then their weights.
    scores: Shared<[Scores]>,
    largest: Shared<[Scores]>,
    total: Shared<[Scores]>,
    /// What is to be done to sums made before these keys came.
    factor: Shared<[Scores]>,
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
    let (image, head) = (block / blocks / heads, block / blocks % heads);
    let (stride, down) = (heads * width, UNIT_POS_Y as usize);
    let part = Part {
        across: UNIT_POS_X as usize,
        down,
        first_query: block % blocks * QUERIES + down * QUERIES_EACH,
        queries,
        keys,
        stride,
        at_queries: image * queries * stride + head * width,
        at_keys: image * keys * stride + head * width,
        at_biases: image * biases + head * queries * keys,
    };
    let each = comptime!(width.div_ceil(ACROSS));
    let mut attended = Array::<Vector<f32, N>>::new(comptime!(QUERIES_EACH * each));
    #[unroll]
    for index in 0..comptime!(QUERIES_EACH * each) {
        attended[index] = Vector::new(0.0f32);
    }
    let mut softmax = Softmax {
        scores: Shared::new_slice(KEYS * DOWN),
        largest: Shared::new_slice(DOWN),
        total: Shared::new_slice(DOWN),
        factor: Shared::new_slice(DOWN),
    };
    let row = UNIT_POS as usize;
    if row < DOWN {
        // Shaders have no infinity; no score that counts is as small.
        softmax.largest[row] = Vector::new(f32::MIN);
        softmax.total[row] = Vector::new(0.0f32);
    }
    for first_key in range_stepped(0, keys, KEYS) {
        let count = min(keys - first_key, KEYS);
        let products = multiply::<N>(query, key, &part, first_key, width);
        score(&products, &bias, &mut softmax, &part, first_key, scale);
        sync_cube();
        weigh(&mut softmax, count);
        sync_cube();
        attend::<N>(value, &softmax, &mut attended, &part, first_key, count, width);
        sync_cube();
    }
    let totals = softmax.total[down];
    #[unroll]
    for index in 0..QUERIES_EACH {
        let total = Vector::new(totals.extract(index));
        #[unroll]
        for piece in 0..each {
            let channel = part.across + piece * ACROSS;
            if CUBE_POS == block && part.first_query + index < queries && channel < width {
                output[part.at_queries + (part.first_query + index) * stride + channel] =
                    attended[index * each + piece] / total;
            }
        }
    }
}

/// The products of a thread's queries and keys, `[queries, keys]`.
#[cube]
fn multiply<N: Size>(
    query: &[Vector<f32, N>],
    key: &[Vector<f32, N>],
    part: &Part,
    first_key: usize,
    #[comptime] width: usize,
) -> Array<f32> {
    let mut products = Array::<f32>::new(QUERIES_EACH * KEYS_EACH);
    #[unroll]
    for index in 0..QUERIES_EACH * KEYS_EACH {
        products[index] = 0.0f32;
    }
    let mut asked = Array::<Vector<f32, N>>::new(QUERIES_EACH);
    for channel in 0..width {
        #[unroll]
        for index in 0..QUERIES_EACH {
            let token = min(part.first_query + index, part.queries - 1);
            asked[index] = query[part.at_queries + token * part.stride + channel];
        }
        #[unroll]
        for place in 0..KEYS_EACH {
            let token = min(first_key + part.across + place * ACROSS, part.keys - 1);
            let offered = key[part.at_keys + token * part.stride + channel];
            #[unroll]
            for index in 0..QUERIES_EACH {
                products[index * KEYS_EACH + place] += asked[index].dot(offered);
            }
        }
    }
    products
}

/// Shares a thread's scores.
#[cube]
fn score(
    products: &Array<f32>,
    bias: &ComptimeOption<&[f32]>,
    softmax: &mut Softmax,
    part: &Part,
    first_key: usize,
    scale: f32,
) {
    #[unroll]
    for place in 0..KEYS_EACH {
        let among = part.across + place * ACROSS;
        let mut scores = Vector::new(0.0f32);
        #[unroll]
        for index in 0..QUERIES_EACH {
            let row = part.at_biases + min(part.first_query + index, part.queries - 1) * part.keys;
            let at_bias = row + min(first_key + among, part.keys - 1);
            let before: ComptimeOption<f32> = bias.as_ref().map(|bias| bias[at_bias]);
            let score = products[index * KEYS_EACH + place] * scale + before.unwrap_or(f32::new(0.0f32));
            scores.insert(index, score);
        }
        softmax.scores[among * DOWN + part.down] = scores;
    }
}

/// Makes weights of the scores of `count` keys, which sum to the total over all keys that came.
#[cube]
fn weigh(softmax: &mut Softmax, count: usize) {
    let row = UNIT_POS as usize;
    if row < DOWN {
        let before = softmax.largest[row];
        let mut largest = before;
        for place in 0..count {
            largest = max_nan(largest, softmax.scores[place * DOWN + row]);
        }
        let factor = (before - largest).exp();
        let mut total = softmax.total[row] * factor;
        for place in 0..count {
            let weights = (softmax.scores[place * DOWN + row] - largest).exp();
            softmax.scores[place * DOWN + row] = weights;
            total += weights;
        }
        softmax.largest[row] = largest;
        softmax.total[row] = total;
        softmax.factor[row] = factor;
    }
}

/// Adds the values of `count` keys to what is attended to, by their weights.
#[cube]
fn attend<N: Size>(
    value: &[Vector<f32, N>],
    softmax: &Softmax,
    attended: &mut Array<Vector<f32, N>>,
    part: &Part,
    first_key: usize,
    count: usize,
    #[comptime] width: usize,
) {
    let each = comptime!(width.div_ceil(ACROSS));
    let factors = softmax.factor[part.down];
    #[unroll]
    for index in 0..QUERIES_EACH {
        #[unroll]
        for piece in 0..each {
            attended[index * each + piece] *= Vector::new(factors.extract(index));
        }
    }
    for place in 0..count {
        let at_value = part.at_keys + (first_key + place) * part.stride;
        let weights = softmax.scores[place * DOWN + part.down];
        #[unroll]
        for piece in 0..each {
            let offered = value[at_value + min(part.across + piece * ACROSS, width - 1)];
            #[unroll]
            for index in 0..QUERIES_EACH {
                attended[index * each + piece] += offered * Vector::new(weights.extract(index));
            }
        }
    }
}
