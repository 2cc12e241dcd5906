//! The block's way forward: each step reads what the last one wrote, and sums up the moments of what it writes while that lies
//! in a cache near the core. What comes out of a norm is computed anew wherever it is needed, and never written.

use alloc::vec;
use alloc::vec::Vec;

use pulp::{Arch, Simd, WithSimd};

use super::super::kernels::{Bounds, Depthwise};
use super::super::norm_kernels::{Norm, Running};
use super::rows::{Met, Ring, filter_row};
use crate::ops::cpu::buffers::Buffer;
use crate::ops::cpu::parallel::{for_each_chunk, map_tasks, processor};
use crate::ops::cpu::product::{Aligned, Filters, Packed, Packing, Rows, Target, product};

/// A convolution and the norm after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layer<'a> {
    /// `[out, in]`, or `[channels, side, side]`.
    pub(super) weights: &'a [f32],
    pub(super) norm_weight: &'a [f32],
    pub(super) norm_bias: &'a [f32],
}

/// Sizes of a block and what it clamps to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) images: usize,
    pub(super) inputs: usize,
    pub(super) geometry: Depthwise,
    pub(super) outputs: usize,
    /// Whether the input is added to the output, which then has its shape.
    pub(super) residual: bool,
    /// Of the activation after expansion and filter.
    pub(super) bounds: Bounds,
    /// Keeps the division by a deviation finite.
    pub(super) epsilon: f32,
}

/// An inverted residual block with norms by the statistics of the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    pub(super) form: Form,
    pub(super) expand: Option<Layer<'a>>,
    pub(super) filter: Layer<'a>,
    pub(super) project: Layer<'a>,
}

/// What a convolution made, and the norm after it.
#[derive(Debug)]
pub(super) struct Map {
    pub(super) values: Buffer,
    pub(super) norm: Norm,
    /// Mean and variance, `[2, channels]`.
    pub(super) moments: Vec<f32>,
}

impl Map {
    /// From the values and the moments of their parts.
    pub(super) fn new(layer: &Layer, parts: Vec<Running>, values: Buffer, epsilon: f32) -> Self {
        let moments = Running::of_parts(parts, layer.norm_weight.len()).moments();
        Self { values, norm: Norm::new(layer.norm_weight, layer.norm_bias, &moments, epsilon), moments }
    }
}

/// Everything that the gradients need besides the input.
#[derive(Debug)]
pub(super) struct Maps {
    pub(super) expanded: Option<Map>,
    pub(super) filtered: Map,
    pub(super) projected: Map,
}

impl Maps {
    /// All of them, in the order of the block.
    pub(super) fn all(&self) -> impl Iterator<Item = &Map> {
        self.expanded.iter().chain([&self.filtered, &self.projected])
    }
}

/// Into so many parts the images are shared out at most. Each has sums of its own, which are added in their order: so the
/// result does not depend on the number of cores.
const MOST_PARTS: usize = 32;
/// Pixels of a part at least, where there are so many: a part's own gradient of the weights has to be worth it.
const LEAST_PIXELS_A_PART: usize = 128;
/// Floats that a step handles at a time, so that they stay in a cache near the core: a quarter of a megabyte.
const AT_ONCE: usize = 64 * 1024;
/// Most pixels that are handled at a time.
const MOST_PIXELS: usize = 256;
/// Pixels of which the moments are summed up at a time where rows are short.
const LEAST_PIXELS: usize = 64;

impl Form {
    pub(super) fn input_image(&self) -> usize {
        self.input_pixels() * self.inputs
    }

    pub(super) fn expanded_image(&self) -> usize {
        self.input_pixels() * self.geometry.channels
    }

    pub(super) fn filtered_image(&self) -> usize {
        self.output_pixels() * self.geometry.channels
    }

    pub(super) fn output_image(&self) -> usize {
        self.output_pixels() * self.outputs
    }

    pub(super) fn input_pixels(&self) -> usize {
        self.geometry.rows.input * self.geometry.columns.input
    }

    pub(super) fn output_pixels(&self) -> usize {
        self.geometry.rows.output * self.geometry.columns.output
    }

    pub(super) fn parts(&self) -> Parts {
        Parts { images: self.images, pixels: self.output_pixels(), channels: self.geometry.channels }
    }
}

/// How the work is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) images: usize,
    /// Of an image, where it has fewest.
    pub(super) pixels: usize,
    /// Where there are most.
    pub(super) channels: usize,
}

impl Parts {
    /// Images of a part; the last may have fewer.
    pub(super) fn images_a_part(&self) -> usize {
        self.images.div_ceil(MOST_PARTS).max(LEAST_PIXELS_A_PART.div_ceil(self.pixels))
    }

    /// Pixels that are handled at a time.
    pub(super) fn pixels_at_once(&self) -> usize {
        (AT_ONCE / self.channels / 8 * 8).clamp(8, MOST_PIXELS)
    }
}

impl Block<'_> {
    /// `[images, rows, columns, in]` to `[images, rows, columns, out]`, and what lies between.
    pub(super) fn forward(&self, input: &[f32]) -> (Vec<f32>, Maps) {
        let processor = processor();
        let expanded = self.expand.as_ref().map(|layer| self.expand(processor, layer, input));
        let filtered = self.filter(processor, expanded.as_ref(), input);
        let projected = self.project(processor, &filtered);
        let output = self.finish(&projected, input);
        (output, Maps { expanded, filtered, projected })
    }

    fn expand(&self, processor: Arch, layer: &Layer, input: &[f32]) -> Map {
        let form = &self.form;
        let packed = pack(processor, layer.weights, [form.inputs, form.geometry.channels], [1, form.inputs]);
        let images = form.parts().images_a_part();
        let mut values = Buffer::unwritten(form.images * form.expanded_image());
        let inputs = input.chunks(images * form.input_image());
        let outputs = values.chunks_mut(images * form.expanded_image());
        let tasks =
            inputs.zip(outputs).map(|(input, output)| Expand { form, packed: &packed, input, output }).collect();
        Map::new(layer, map_tasks(processor, tasks), values, form.epsilon)
    }

    fn filter(&self, processor: Arch, expanded: Option<&Map>, input: &[f32]) -> Map {
        let form = &self.form;
        let taps = processor.dispatch(Taps { form, weights: self.filter.weights, turned: false });
        let images = form.parts().images_a_part();
        let (read, norm) = match expanded {
            Some(map) => (&*map.values, Some(&map.norm)),
            None => (input, None),
        };
        let mut values = Buffer::unwritten(form.images * form.filtered_image());
        let inputs = read.chunks(images * form.expanded_image());
        let outputs = values.chunks_mut(images * form.filtered_image());
        let tasks = inputs.zip(outputs).map(|(input, output)| Filter { form, taps: &taps, norm, input, output });
        let parts = map_tasks(processor, tasks.collect());
        Map::new(&self.filter, parts, values, form.epsilon)
    }

    fn project(&self, processor: Arch, filtered: &Map) -> Map {
        let (form, layer) = (&self.form, &self.project);
        let channels = form.geometry.channels;
        let packed = pack(processor, layer.weights, [channels, form.outputs], [1, channels]);
        let images = form.parts().images_a_part();
        let mut values = Buffer::unwritten(form.images * form.output_image());
        let inputs = filtered.values.chunks(images * form.filtered_image());
        let outputs = values.chunks_mut(images * form.output_image());
        let norm = &filtered.norm;
        let tasks = inputs.zip(outputs).map(|(input, output)| Project { form, packed: &packed, norm, input, output });
        let parts = map_tasks(processor, tasks.collect());
        Map::new(layer, parts, values, form.epsilon)
    }

    fn finish(&self, projected: &Map, input: &[f32]) -> Vec<f32> {
        let mut output = projected.norm.forward(&projected.values, None);
        if self.form.residual {
            let length = self.form.outputs * MOST_PIXELS;
            for_each_chunk(
                &mut output,
                length,
                #[inline(always)]
                |index, piece| {
                    let input = &input[index * length..][..piece.len()];
                    for (sum, value) in piece.iter_mut().zip(input) {
                        *sum += value;
                    }
                },
            );
        }
        output
    }
}

/// The weights of a product of `[depth, outputs]`, with so many floats from one to the next in each direction.
pub(super) fn pack(processor: Arch, weights: &[f32], [depth, outputs]: [usize; 2], strides: [usize; 2]) -> Packed {
    let (ones, zeros) = (vec![1.0; outputs], vec![0.0; outputs]);
    let filters = Filters { weights, strides, depth, scale: &ones, shift: &zeros };
    processor.dispatch(Packing(&filters))
}

/// Lays the kernels out as `[side, side, channels]`, the channels filled up to whole vectors; `turned`, they are those of the
/// way back.
pub(super) struct Taps<'a> {
    pub(super) form: &'a Form,
    pub(super) weights: &'a [f32],
    pub(super) turned: bool,
}

impl WithSimd for Taps<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Vec<f32> {
        let Depthwise { rows, columns, channels } = self.form.geometry;
        let places = rows.side * columns.side;
        let length = channels.next_multiple_of(S::F32_LANES);
        let mut taps = vec![0.0; places * length];
        for (place, taps) in taps.chunks_exact_mut(length).enumerate() {
            let place = if self.turned { places - 1 - place } else { place };
            taps.iter_mut().zip(self.weights[place..].iter().step_by(places)).for_each(|(tap, weight)| *tap = *weight);
        }
        taps
    }
}

/// Where pixels lie that are read and written side by side.
pub(super) struct Places {
    origins: Vec<usize>,
    targets: Vec<usize>,
}

impl Places {
    /// So many pixels, and how many floats there are from one to the next.
    pub(super) fn new(pixels: usize, read: usize, written: usize) -> Self {
        let every = |length: usize| (0..pixels).map(|pixel| pixel * length).collect();
        Self { origins: every(read), targets: every(written) }
    }

    /// Writes the products of `depth` floats of each pixel, of as many as fit into `output`.
    #[inline(always)]
    pub(super) fn multiply<S: Simd>(
        &self,
        simd: S,
        packed: &Packed,
        (input, depth): (&[f32], usize),
        output: &mut [f32],
        residual: Option<&[f32]>,
    ) {
        let count = output.len() / packed.outputs();
        let pixels = Rows { values: input, origins: &self.origins[..count], runs: &[0], run: depth };
        let places = &self.targets[..count];
        product(
            simd,
            packed,
            &pixels,
            &mut Target { values: output, places, activation: None, residual, slopes: None },
        );
    }
}

/// The first convolution of a few images.
struct Expand<'a> {
    form: &'a Form,
    packed: &'a Packed,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl WithSimd for Expand<'_> {
    type Output = Running;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Running {
        let (inputs, channels) = (self.form.inputs, self.form.geometry.channels);
        let pixels = self.form.parts().pixels_at_once();
        let places = Places::new(pixels, inputs, channels);
        let mut moments = Running::new(channels);
        let pieces = self.input.chunks(pixels * inputs).zip(self.output.chunks_mut(pixels * channels));
        for (input, output) in pieces {
            places.multiply(simd, self.packed, (input, inputs), output, None);
            moments.add(output);
        }
        moments
    }
}

/// The depthwise convolution of a few images.
struct Filter<'a> {
    form: &'a Form,
    taps: &'a [f32],
    /// Before it, with the activation; none where the input is filtered as it is.
    norm: Option<&'a Norm>,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl WithSimd for Filter<'_> {
    type Output = Running;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Running {
        let Depthwise { rows, columns, channels } = self.form.geometry;
        let pixel = channels.next_multiple_of(S::F32_LANES);
        let mut ring = Ring::new(rows.side, (columns.before + columns.input + columns.after) * pixel);
        let (row_length, output_length) = (columns.input * channels, columns.output * channels);
        let summed_rows = LEAST_PIXELS.div_ceil(columns.output);
        let mut moments = Running::new(channels);
        let images = self.input.chunks_exact(self.form.expanded_image());
        for (image, output) in images.zip(self.output.chunks_exact_mut(self.form.filtered_image())) {
            let mut filled = 0;
            for (index, output) in output.chunks_mut(summed_rows * output_length).enumerate() {
                for (row, target) in output.chunks_exact_mut(output_length).enumerate() {
                    let first = (index * summed_rows + row) * rows.stride;
                    let needed = (first + rows.side).saturating_sub(rows.before).min(rows.input);
                    for row in filled..needed {
                        let values = &image[row * row_length..][..row_length];
                        let place = &mut ring.row_mut(row)[columns.before * pixel..][..columns.input * pixel];
                        fill(self.norm, self.form.bounds, values, channels, place, pixel);
                    }
                    filled = filled.max(needed);
                    let met = Met::new(rows.side, |tap| {
                        (first + tap).checked_sub(rows.before).filter(|row| *row < rows.input)
                    });
                    filter_row(simd, &ring, met, rows.stride, self.taps, channels, target);
                }
                moments.add(output);
            }
        }
        moments
    }
}

/// Puts a row into a ring: after norm and activation, where there are any.
#[inline(always)]
pub(super) fn fill(
    norm: Option<&Norm>,
    bounds: Bounds,
    values: &[f32],
    channels: usize,
    target: &mut [f32],
    pixel: usize,
) {
    match norm {
        Some(norm) => norm.spread(values, bounds, target, pixel),
        None => {
            for (values, target) in values.chunks_exact(channels).zip(target.chunks_exact_mut(pixel)) {
                target[..channels].copy_from_slice(values);
            }
        }
    }
}

/// The last convolution of a few images.
struct Project<'a> {
    form: &'a Form,
    packed: &'a Packed,
    norm: &'a Norm,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl WithSimd for Project<'_> {
    type Output = Running;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Running {
        let (channels, outputs) = (self.form.geometry.channels, self.form.outputs);
        let pixels = self.form.parts().pixels_at_once();
        let pixel = channels.next_multiple_of(S::F32_LANES);
        let places = Places::new(pixels, pixel, outputs);
        let mut normed = Aligned::zeros(pixels * pixel);
        let mut moments = Running::new(outputs);
        for (input, output) in self.input.chunks(pixels * channels).zip(self.output.chunks_mut(pixels * outputs)) {
            self.norm.spread(input, self.form.bounds, normed.values_mut(), pixel);
            places.multiply(simd, self.packed, (normed.values(), channels), output, None);
            moments.add(output);
        }
        moments
    }
}
