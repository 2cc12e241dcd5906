//! The block's way back: a gradient is written before a norm, where that waits for two sums over the whole batch, and read once
//! after it. What the norms gave is computed anew from what went into them.

use alloc::vec;
use alloc::vec::Vec;

use pulp::{Arch, Simd, WithSimd};

use super::super::kernels::Depthwise;
use super::super::norm_kernels::{Norm, NormBack, Sums};
use super::forward::{Block, Form, Layer, Map, Maps, Places, Taps, fill, pack};
use super::outer::{Run, add_outer};
use super::rows::{GradientRow, Met, Ring, add_tap_products, filter_row};
use crate::ops::cpu::buffers::Buffer;
use crate::ops::cpu::parallel::{map_tasks, processor};
use crate::ops::cpu::product::{Aligned, Packed};

/// Which gradients are asked for; those of the norms cost nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) input: bool,
    pub(super) expand: bool,
    pub(super) filter: bool,
    pub(super) project: bool,
}

/// The gradients of a convolution and the norm after it.
#[derive(Debug)]
pub(super) struct LayerGradients {
    /// In the shape of the weights; `None` where it is not wanted.
    pub(super) weights: Option<Vec<f32>>,
    pub(super) norm_weight: Vec<f32>,
    pub(super) norm_bias: Vec<f32>,
}

/// The gradients of a block.
#[derive(Debug)]
pub(super) struct BlockGradients {
    /// `None` where it is not wanted.
    pub(super) input: Option<Vec<f32>>,
    pub(super) expand: Option<LayerGradients>,
    pub(super) filter: LayerGradients,
    pub(super) project: LayerGradients,
}

/// What a part of the images adds.
pub(super) struct Added {
    /// For each piece of its pixels the sums that a norm waits for, `[2, channels]`.
    pub(super) sums: Vec<f32>,
    /// To the gradient of the weights; empty where that is not wanted.
    pub(super) weights: Vec<f32>,
}

/// The sums of all parts.
pub(super) fn all_sums(parts: &[Added], channels: usize, pixels: usize) -> Sums {
    Sums::of_parts(parts.iter().flat_map(|part| part.sums.chunks_exact(2 * channels)), channels, pixels)
}

/// A matrix `[rows, columns]` from the parts of its sum, whose rows may be longer; or `[columns, rows]`, if `turned`.
pub(super) fn matrix(parts: &[Added], [rows, columns]: [usize; 2], turned: bool) -> Option<Vec<f32>> {
    let mut total = vec![0.0; parts.first()?.weights.len()];
    for part in parts {
        total.iter_mut().zip(&part.weights).for_each(|(sum, value)| *sum += value);
    }
    let width = total.len() / rows;
    if width == 0 {
        return None;
    }
    let matrix = if turned {
        (0..columns).flat_map(|column| total[column..].iter().step_by(width).copied()).collect()
    } else {
        total.chunks_exact(width).flat_map(|row| row[..columns].iter().copied()).collect()
    };
    Some(matrix)
}

pub(super) fn layer_gradients(norm: &Norm, sums: &Sums, weights: Option<Vec<f32>>) -> LayerGradients {
    LayerGradients { weights, norm_weight: norm.weight_gradient(sums), norm_bias: sums.gradient.clone() }
}

impl Block<'_> {
    /// All gradients, from that of the output.
    pub(super) fn backward(&self, gradient: &[f32], input: &[f32], maps: &Maps, wanted: Wanted) -> BlockGradients {
        let (processor, form) = (processor(), &self.form);
        let Maps { expanded, filtered, projected } = maps;
        let parts = self.output_sums(processor, gradient, projected);
        let pixels = form.images * form.output_pixels();
        let sums = all_sums(&parts, form.outputs, pixels);

        let back = projected.norm.back(&sums);
        let (before_filtered, parts) = self.project_back(processor, gradient, maps, &back, wanted.project);
        let project = matrix(&parts, [form.outputs, form.geometry.channels], false);
        let project = layer_gradients(&projected.norm, &sums, project);

        let sums = all_sums(&parts, form.geometry.channels, pixels);
        let back = filtered.norm.back(&sums);
        let (before_expanded, parts) = self.filter_back(processor, &before_filtered, input, maps, &back, wanted.filter);
        drop(before_filtered);
        let places = form.geometry.rows.side * form.geometry.columns.side;
        let filter = matrix(&parts, [places, form.geometry.channels], true);
        let filter = layer_gradients(&filtered.norm, &sums, filter);

        let (Some(map), Some(layer)) = (expanded, &self.expand) else {
            let input = wanted.input.then(|| self.with_residual(&before_expanded, gradient));
            return BlockGradients { input, expand: None, filter, project };
        };
        let sums = all_sums(&parts, form.geometry.channels, form.images * form.input_pixels());
        let back = map.norm.back(&sums);
        let expand_back = ExpandBack { layer, before: &before_expanded, map, back: &back, input, gradient };
        let (input, parts) = self.expand_back(processor, &expand_back, wanted);
        let expand = matrix(&parts, [form.inputs, form.geometry.channels], true);
        let expand = Some(layer_gradients(&map.norm, &sums, expand));
        BlockGradients { input, expand, filter, project }
    }

    fn with_residual(&self, gradient: &[f32], output: &[f32]) -> Vec<f32> {
        let mut gradient = gradient.to_vec();
        if self.form.residual {
            gradient.iter_mut().zip(output).for_each(|(sum, value)| *sum += value);
        }
        gradient
    }

    fn output_sums(&self, processor: Arch, gradient: &[f32], projected: &Map) -> Vec<Added> {
        let form = &self.form;
        let length = form.parts().images_a_part() * form.output_image();
        let parts = gradient.chunks(length).zip(projected.values.chunks(length));
        let tasks = parts.map(|(gradient, values)| OutputSums { form, norm: &projected.norm, gradient, values });
        map_tasks(processor, tasks.collect())
    }

    /// The gradient of what the filter's norm gives, before that, from the output's.
    fn project_back(
        &self,
        processor: Arch,
        gradient: &[f32],
        maps: &Maps,
        back: &NormBack,
        wanted: bool,
    ) -> (Buffer, Vec<Added>) {
        let (form, channels) = (&self.form, self.form.geometry.channels);
        let packed = &pack(processor, self.project.weights, [form.outputs, channels], [channels, 1]);
        let (outer, inner) =
            (form.parts().images_a_part() * form.output_image(), form.parts().images_a_part() * form.filtered_image());
        let mut result = Buffer::unwritten(form.images * form.filtered_image());
        let outputs = gradient.chunks(outer).zip(maps.projected.values.chunks(outer));
        let inside = maps.filtered.values.chunks(inner).zip(result.chunks_mut(inner));
        let tasks = outputs.zip(inside).map(|((gradient, projected), (filtered, result))| {
            let norm = &maps.filtered.norm;
            ProjectBackPart { form, packed, back, norm, wanted, gradient, projected, filtered, result }
        });
        let parts = map_tasks(processor, tasks.collect());
        (result, parts)
    }

    /// The gradient of what the first norm gives, before that, from that before the filter's; that of the input where there is
    /// no expansion.
    fn filter_back(
        &self,
        processor: Arch,
        gradient: &[f32],
        input: &[f32],
        maps: &Maps,
        back: &NormBack,
        wanted: bool,
    ) -> (Buffer, Vec<Added>) {
        let form = &self.form;
        let taps = &processor.dispatch(Taps { form, weights: self.filter.weights, turned: true });
        let (outer, inner) = (
            form.parts().images_a_part() * form.filtered_image(),
            form.parts().images_a_part() * form.expanded_image(),
        );
        let (read, norm) = match &maps.expanded {
            Some(map) => (&*map.values, Some(&map.norm)),
            None => (input, None),
        };
        let mut result = Buffer::unwritten(form.images * form.expanded_image());
        let outputs = gradient.chunks(outer).zip(maps.filtered.values.chunks(outer));
        let inside = read.chunks(inner).zip(result.chunks_mut(inner));
        let tasks = outputs.zip(inside).map(|((gradient, filtered), (read, result))| FilterBackPart {
            form,
            taps,
            back,
            norm,
            wanted,
            gradient,
            filtered,
            read,
            result,
        });
        let parts = map_tasks(processor, tasks.collect());
        (result, parts)
    }

    /// The gradient of the input.
    fn expand_back(&self, processor: Arch, from: &ExpandBack, wanted: Wanted) -> (Option<Vec<f32>>, Vec<Added>) {
        let (form, channels) = (&self.form, self.form.geometry.channels);
        let packed = &pack(processor, from.layer.weights, [channels, form.inputs], [form.inputs, 1]);
        let (outer, inner) =
            (form.parts().images_a_part() * form.expanded_image(), form.parts().images_a_part() * form.input_image());
        let mut result = wanted.input.then(|| vec![0.0; form.images * form.input_image()]);
        let mut results = result.as_deref_mut().map(|values| values.chunks_mut(inner));
        let mut residuals = form.residual.then(|| from.gradient.chunks(inner));
        let inside = from.before.chunks(outer).zip(from.map.values.chunks(outer));
        let tasks = inside.zip(from.input.chunks(inner)).map(|((gradient, expanded), input)| ExpandBackPart {
            form,
            packed,
            back: from.back,
            wanted: wanted.expand,
            gradient,
            expanded,
            input,
            result: results.as_mut().and_then(Iterator::next),
            residual: residuals.as_mut().and_then(Iterator::next),
        });
        let parts = map_tasks(processor, tasks.collect());
        (result, parts)
    }
}

/// What the first convolution's way back begins with.
struct ExpandBack<'a> {
    layer: &'a Layer<'a>,
    /// The gradient before the norm.
    before: &'a [f32],
    map: &'a Map,
    back: &'a NormBack<'a>,
    input: &'a [f32],
    /// Of the block's output.
    gradient: &'a [f32],
}

struct OutputSums<'a> {
    form: &'a Form,
    norm: &'a Norm,
    gradient: &'a [f32],
    values: &'a [f32],
}

impl WithSimd for OutputSums<'_> {
    type Output = Added;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Added {
        let length = self.form.parts().pixels_at_once() * self.form.outputs;
        let mut sums = vec![0.0; self.gradient.len().div_ceil(length) * 2 * self.form.outputs];
        let pieces = self.gradient.chunks(length).zip(self.values.chunks(length));
        for ((gradient, values), sums) in pieces.zip(sums.chunks_exact_mut(2 * self.form.outputs)) {
            self.norm.add_sums(gradient, values, sums);
        }
        Added { sums, weights: Vec::new() }
    }
}

struct ProjectBackPart<'a> {
    form: &'a Form,
    packed: &'a Packed,
    back: &'a NormBack<'a>,
    /// After the filter.
    norm: &'a Norm,
    wanted: bool,
    gradient: &'a [f32],
    projected: &'a [f32],
    filtered: &'a [f32],
    result: &'a mut [f32],
}

impl WithSimd for ProjectBackPart<'_> {
    type Output = Added;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Added {
        let (channels, outputs) = (self.form.geometry.channels, self.form.outputs);
        let pixels = self.form.parts().pixels_at_once();
        let pixel = channels.next_multiple_of(S::F32_LANES);
        let places = Places::new(pixels, outputs, channels);
        let (mut before, mut normed) = (Aligned::zeros(pixels * outputs), Aligned::zeros(pixels * pixel));
        let mut sums = vec![0.0; self.result.len().div_ceil(pixels * channels) * 2 * channels];
        let mut weights = vec![0.0; if self.wanted { outputs * pixel } else { 0 }];
        let outer = self.gradient.chunks(pixels * outputs).zip(self.projected.chunks(pixels * outputs));
        let inner = self.filtered.chunks(pixels * channels).zip(self.result.chunks_mut(pixels * channels));
        let pieces = outer.zip(inner).zip(sums.chunks_exact_mut(2 * channels));
        for (((gradient, projected), (filtered, result)), sums) in pieces {
            self.back.spread(gradient, projected, before.values_mut(), outputs);
            if self.wanted {
                self.norm.spread(filtered, self.form.bounds, normed.values_mut(), pixel);
                let left = Run { values: before.values(), pixel: outputs };
                let right = Run { values: normed.values(), pixel };
                add_outer(simd, left, outputs, right, gradient.len() / outputs, &mut weights);
            }
            places.multiply(simd, self.packed, (before.values(), outputs), result, None);
            self.norm.mask_and_sum(result, filtered, self.form.bounds, sums);
        }
        Added { sums, weights }
    }
}

struct FilterBackPart<'a> {
    form: &'a Form,
    taps: &'a [f32],
    /// After the filter.
    back: &'a NormBack<'a>,
    /// Before the filter, with the activation; none where the input is filtered as it is.
    norm: Option<&'a Norm>,
    wanted: bool,
    gradient: &'a [f32],
    filtered: &'a [f32],
    /// What the norm before the filter reads.
    read: &'a [f32],
    result: &'a mut [f32],
}

impl WithSimd for FilterBackPart<'_> {
    type Output = Added;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Added {
        let Depthwise { rows, columns, channels } = self.form.geometry;
        let pixel = channels.next_multiple_of(S::F32_LANES);
        let mut values = Ring::new(rows.side, (columns.before + columns.input + columns.after) * pixel);
        let mut gradients = Ring::new(rows.side, (columns.input + columns.side - 1) * pixel);
        let images = self.read.len() / self.form.expanded_image();
        let mut sums = vec![0.0; images * rows.input * 2 * channels];
        let mut weights = vec![0.0; if self.wanted { rows.side * columns.side * pixel } else { 0 }];
        for image in 0..images {
            let mut filled = 0;
            let mut finished = 0;
            for row in 0..rows.output {
                let first = row * rows.stride;
                self.put_gradient(image, row, &mut gradients, pixel);
                if self.wanted {
                    let needed = (first + rows.side).saturating_sub(rows.before).min(rows.input);
                    for row in filled..needed {
                        self.put_values(image, row, &mut values, pixel);
                    }
                    filled = filled.max(needed);
                    let met = Met::new(rows.side, |tap| {
                        (first + tap).checked_sub(rows.before).filter(|row| *row < rows.input)
                    });
                    let start = (columns.side - 1 - columns.before) * pixel;
                    let values_of_row = &gradients.values_of(row)[start..];
                    let gradient =
                        GradientRow { values: values_of_row, places: columns.output, stride: columns.stride };
                    add_tap_products(simd, gradient, &values, met, &mut weights);
                }
                let is_last = row + 1 == rows.output;
                let end = if is_last { rows.input } else { (first + rows.stride).saturating_sub(rows.before) };
                for row in finished..end {
                    self.finish_row(simd, image, row, &gradients, &mut sums);
                }
                finished = finished.max(end);
            }
        }
        Added { sums, weights }
    }
}

impl FilterBackPart<'_> {
    /// The gradient before the norm, its places as far apart as the kernel's.
    #[inline(always)]
    fn put_gradient(&self, image: usize, row: usize, ring: &mut Ring, pixel: usize) {
        let Depthwise { rows, columns, channels } = self.form.geometry;
        let length = columns.output * channels;
        let place = (image * rows.output + row) * length;
        let start = (columns.side - 1 - columns.before) * pixel;
        let target = &mut ring.row_mut(row)[start..];
        let (gradient, filtered) = (&self.gradient[place..][..length], &self.filtered[place..][..length]);
        self.back.spread(gradient, filtered, target, columns.stride * pixel);
    }

    #[inline(always)]
    fn put_values(&self, image: usize, row: usize, ring: &mut Ring, pixel: usize) {
        let Depthwise { rows, columns, channels } = self.form.geometry;
        let values = &self.read[(image * rows.input + row) * columns.input * channels..][..columns.input * channels];
        let target = &mut ring.row_mut(row)[columns.before * pixel..][..columns.input * pixel];
        fill(self.norm, self.form.bounds, values, channels, target, pixel);
    }

    /// Writes a row of the result, from all rows of the gradient that reach it.
    #[inline(always)]
    fn finish_row<S: Simd>(&mut self, simd: S, image: usize, row: usize, gradients: &Ring, sums: &mut [f32]) {
        let Depthwise { rows, columns, channels } = self.form.geometry;
        let place = image * rows.input + row;
        let length = columns.input * channels;
        let result = &mut self.result[place * length..][..length];
        let met = Met::new(rows.side, |turned| {
            let first = (row + rows.before).checked_sub(rows.side - 1 - turned)?;
            (first % rows.stride == 0).then_some(first / rows.stride).filter(|row| *row < rows.output)
        });
        filter_row(simd, gradients, met, 1, self.taps, channels, result);
        if let Some(norm) = self.norm {
            let values = &self.read[place * length..][..length];
            let sums = &mut sums[place * 2 * channels..][..2 * channels];
            norm.mask_and_sum(result, values, self.form.bounds, sums);
        }
    }
}

struct ExpandBackPart<'a> {
    form: &'a Form,
    packed: &'a Packed,
    back: &'a NormBack<'a>,
    wanted: bool,
    gradient: &'a [f32],
    expanded: &'a [f32],
    input: &'a [f32],
    /// None where the input's gradient is not wanted.
    result: Option<&'a mut [f32]>,
    residual: Option<&'a [f32]>,
}

impl WithSimd for ExpandBackPart<'_> {
    type Output = Added;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Added {
        let (channels, inputs) = (self.form.geometry.channels, self.form.inputs);
        let pixels = self.form.parts().pixels_at_once();
        let pixel = channels.next_multiple_of(S::F32_LANES);
        let places = Places::new(pixels, pixel, inputs);
        let mut before = Aligned::zeros(pixels * pixel);
        let mut weights = vec![0.0; if self.wanted { inputs * pixel } else { 0 }];
        let inside = self.gradient.chunks(pixels * channels).zip(self.expanded.chunks(pixels * channels));
        for (index, ((gradient, expanded), input)) in inside.zip(self.input.chunks(pixels * inputs)).enumerate() {
            self.back.spread(gradient, expanded, before.values_mut(), pixel);
            if self.wanted {
                let (left, right) = (Run { values: input, pixel: inputs }, Run { values: before.values(), pixel });
                add_outer(simd, left, inputs, right, input.len() / inputs, &mut weights);
            }
            if let Some(result) = &mut self.result {
                let place = index * pixels * inputs..index * pixels * inputs + input.len();
                let residual = self.residual.map(|values| &values[place.clone()]);
                places.multiply(simd, self.packed, (before.values(), channels), &mut result[place], residual);
            }
        }
        Added { sums: Vec::new(), weights }
    }
}
