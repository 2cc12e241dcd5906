//! One convolution and the norm by the statistics of the batch after it: of one pixel as a block's are, and of any other side by
//! first writing what each place reads beside each other, a few places at a time.

use alloc::vec;
use alloc::vec::Vec;

use pulp::{Simd, WithSimd};

use super::super::geometry::Axis;
use super::super::kernels::Bounds;
use super::super::norm_kernels::{Norm, NormBack, Running};
use super::backward::{Added, LayerGradients, all_sums, layer_gradients, matrix};
use super::forward::{Layer, Map, Parts, Places, pack};
use super::outer::{Run, add_outer};
use crate::ops::cpu::buffers::Buffer;
use crate::ops::cpu::parallel::{map_tasks, processor};
use crate::ops::cpu::product::{Aligned, Packed};

/// A convolution, its norm and its activation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Single<'a> {
    pub(super) form: SingleForm,
    /// The weights are `[out, side, side, in]`.
    pub(super) layer: Layer<'a>,
}

/// Sizes of a convolution, and what it clamps to.
#[derive(Clone, Copy, Debug)]
pub(super) struct SingleForm {
    pub(super) images: usize,
    pub(super) rows: Axis,
    pub(super) columns: Axis,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) bounds: Option<Bounds>,
    /// Keeps the division by a deviation finite.
    pub(super) epsilon: f32,
}

impl SingleForm {
    fn input_image(&self) -> usize {
        self.rows.input * self.columns.input * self.inputs
    }

    fn output_pixels(&self) -> usize {
        self.rows.output * self.columns.output
    }

    fn output_image(&self) -> usize {
        self.output_pixels() * self.outputs
    }

    /// Floats that a place reads.
    fn depth(&self) -> usize {
        self.rows.side * self.columns.side * self.inputs
    }

    /// Whether what the places read lies beside each other in the input.
    fn reads_in_place(&self) -> bool {
        [self.rows, self.columns].iter().all(|axis| (axis.side, axis.stride) == (1, 1))
    }

    fn parts(&self) -> Parts {
        Parts { images: self.images, pixels: self.output_pixels(), channels: self.depth().max(self.outputs) }
    }

    /// What a place of a few images reads: runs of the patch, where each begins in the images, and how long it is.
    #[inline(always)]
    fn runs(&self, place: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let Self { rows, columns, inputs, .. } = *self;
        let (line, column) = (place / columns.output, place % columns.output);
        let (image, row) = (line / rows.output, line % rows.output);
        let left = columns.before.saturating_sub(column * columns.stride);
        let first = (column * columns.stride).saturating_sub(columns.before);
        let end = (column * columns.stride + columns.side).saturating_sub(columns.before).min(columns.input);
        let length = end.saturating_sub(first) * inputs;
        (0..rows.side).filter_map(move |tap| {
            let read = (row * rows.stride + tap).checked_sub(rows.before).filter(|read| *read < rows.input)?;
            let start = ((image * rows.input + read) * columns.input + first) * inputs;
            Some(((tap * columns.side + left) * inputs, start, length))
        })
    }

    /// What the places from `first` on read of a few images, as many as fit.
    #[inline(always)]
    fn gather(&self, input: &[f32], first: usize, patches: &mut [f32]) {
        patches.fill(0.0);
        for (index, patch) in patches.chunks_exact_mut(self.depth()).enumerate() {
            for (place, start, length) in self.runs(first + index) {
                patch[place..place + length].copy_from_slice(&input[start..start + length]);
            }
        }
    }

    /// Adds to what the places from `first` on read.
    #[inline(always)]
    fn scatter(&self, patches: &[f32], first: usize, input: &mut [f32]) {
        for (index, patch) in patches.chunks_exact(self.depth()).enumerate() {
            for (place, start, length) in self.runs(first + index) {
                for (sum, value) in input[start..start + length].iter_mut().zip(&patch[place..]) {
                    *sum += value;
                }
            }
        }
    }
}

impl Single<'_> {
    /// `[images, rows, columns, in]` to `[images, rows, columns, out]`, and what the convolution made.
    pub(super) fn forward(&self, input: &[f32]) -> (Vec<f32>, Map) {
        let (processor, form, layer) = (processor(), &self.form, &self.layer);
        let packed = pack(processor, layer.weights, [form.depth(), form.outputs], [1, form.depth()]);
        let images = form.parts().images_a_part();
        let mut values = Buffer::unwritten(form.images * form.output_image());
        let inputs = input.chunks(images * form.input_image());
        let outputs = values.chunks_mut(images * form.output_image());
        let tasks =
            inputs.zip(outputs).map(|(input, output)| Forward { form, packed: &packed, input, output }).collect();
        let map = Map::new(layer, map_tasks(processor, tasks), values, form.epsilon);
        (map.norm.forward(&map.values, form.bounds), map)
    }

    /// The gradients of the input, where it is `wanted.0`, and of the layer, its weights where they are `wanted.1`; that of the
    /// output is set to zero where the output was clamped.
    pub(super) fn backward(
        &self,
        gradient: &mut [f32],
        input: &[f32],
        map: &Map,
        wanted: (bool, bool),
    ) -> (Option<Vec<f32>>, LayerGradients) {
        let (processor, form) = (processor(), &self.form);
        let (images, outputs) = (form.parts().images_a_part(), form.outputs);
        let (outer, inner) = (images * form.output_image(), images * form.input_image());
        let norm = &map.norm;
        let parts = gradient.chunks_mut(outer).zip(map.values.chunks(outer));
        let tasks = parts.map(|(gradient, values)| MaskedSums { form, norm, gradient, values }).collect();
        let sums = all_sums(&map_tasks(processor, tasks), outputs, form.images * form.output_pixels());
        let back = &map.norm.back(&sums);
        let packed = &pack(processor, self.layer.weights, [outputs, form.depth()], [form.depth(), 1]);
        let mut result = wanted.0.then(|| vec![0.0; form.images * form.input_image()]);
        let mut results = result.as_deref_mut().map(|values| values.chunks_mut(inner));
        let parts = gradient.chunks(outer).zip(map.values.chunks(outer)).zip(input.chunks(inner));
        let tasks = parts.map(|((gradient, values), input)| Back {
            form,
            packed,
            back,
            wanted: wanted.1,
            gradient,
            values,
            input,
            result: results.as_mut().and_then(Iterator::next),
        });
        let parts = map_tasks(processor, tasks.collect());
        let weights = matrix(&parts, [form.depth(), outputs], true);
        (result, layer_gradients(norm, &sums, weights))
    }
}

struct Forward<'a> {
    form: &'a SingleForm,
    packed: &'a Packed,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = Running;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Running {
        let (form, depth, outputs) = (self.form, self.form.depth(), self.form.outputs);
        let pixels = form.parts().pixels_at_once();
        let places = Places::new(pixels, depth, outputs);
        let mut patches = Aligned::zeros(if form.reads_in_place() { 0 } else { pixels * depth });
        let mut moments = Running::new(outputs);
        for (index, output) in self.output.chunks_mut(pixels * outputs).enumerate() {
            let count = output.len() / outputs;
            let read = if form.reads_in_place() {
                &self.input[index * pixels * depth..][..count * depth]
            } else {
                form.gather(self.input, index * pixels, &mut patches.values_mut()[..count * depth]);
                patches.values()
            };
            places.multiply(simd, self.packed, (read, depth), output, None);
            moments.add(output);
        }
        moments
    }
}

/// The sums that the norm waits for.
struct MaskedSums<'a> {
    form: &'a SingleForm,
    norm: &'a Norm,
    gradient: &'a mut [f32],
    values: &'a [f32],
}

impl WithSimd for MaskedSums<'_> {
    type Output = Added;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Added {
        let outputs = self.form.outputs;
        let length = self.form.parts().pixels_at_once() * outputs;
        let mut sums = vec![0.0; self.gradient.len().div_ceil(length) * 2 * outputs];
        let pieces = self.gradient.chunks_mut(length).zip(self.values.chunks(length));
        for ((gradient, values), sums) in pieces.zip(sums.chunks_exact_mut(2 * outputs)) {
            match self.form.bounds {
                Some(bounds) => self.norm.mask_and_sum(gradient, values, bounds, sums),
                None => self.norm.add_sums(gradient, values, sums),
            }
        }
        Added { sums, weights: Vec::new() }
    }
}

struct Back<'a> {
    form: &'a SingleForm,
    packed: &'a Packed,
    back: &'a NormBack<'a>,
    wanted: bool,
    gradient: &'a [f32],
    values: &'a [f32],
    input: &'a [f32],
    /// Zeros; none where the input's gradient is not wanted.
    result: Option<&'a mut [f32]>,
}

impl WithSimd for Back<'_> {
    type Output = Added;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Added {
        let (form, depth, outputs) = (self.form, self.form.depth(), self.form.outputs);
        let in_place = form.reads_in_place();
        let pixels = form.parts().pixels_at_once();
        let pixel = outputs.next_multiple_of(S::F32_LANES);
        let places = Places::new(pixels, pixel, depth);
        let mut before = Aligned::zeros(pixels * pixel);
        let mut patches = Aligned::zeros(if in_place { 0 } else { pixels * depth });
        let mut weights = vec![0.0; if self.wanted { depth * pixel } else { 0 }];
        let pieces = self.gradient.chunks(pixels * outputs).zip(self.values.chunks(pixels * outputs));
        for (index, (gradient, values)) in pieces.enumerate() {
            let (first, count) = (index * pixels, gradient.len() / outputs);
            self.back.spread(gradient, values, before.values_mut(), pixel);
            if self.wanted {
                let read = if in_place {
                    &self.input[first * depth..][..count * depth]
                } else {
                    form.gather(self.input, first, &mut patches.values_mut()[..count * depth]);
                    patches.values()
                };
                let (left, right) = (Run { values: read, pixel: depth }, Run { values: before.values(), pixel });
                add_outer(simd, left, depth, right, count, &mut weights);
            }
            let Some(result) = &mut self.result else { continue };
            let read = (before.values(), outputs);
            if in_place {
                places.multiply(simd, self.packed, read, &mut result[first * depth..][..count * depth], None);
            } else {
                let patches = &mut patches.values_mut()[..count * depth];
                places.multiply(simd, self.packed, read, patches, None);
                form.scatter(patches, first, result);
            }
        }
        Added { sums: Vec::new(), weights }
    }
}
