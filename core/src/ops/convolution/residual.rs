//! A filter for each channel, and convolutions of 1 × 1 before and after it where there are any, in bands of rows: each band is expanded, filtered and projected while it lies in a cache
//! near the core, so that the expanded map, several times as large as input and output, is never written to memory.
//!
//! Expanded rows lie in a ring with zeros at both ends of each: what the next band needs of the last is still there.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use pulp::{Simd, WithSimd};

use super::geometry::Axis;
use super::kernels::Depthwise;
use crate::ops::Activation;
use crate::ops::cpu::buffers::{put_back, unwritten};
use crate::ops::cpu::linear::{Input, multiplied};
use crate::ops::cpu::parallel::{cores, for_each_task, processor};
use crate::ops::cpu::product::{Filters, Packed, Rows, Scratch, Target, padded, product};
use crate::ops::cpu::vector::activated;

/// Floats of a band, expanded and filtered: half a megabyte.
const BAND: usize = 128 * 1024;
/// Least rows of a piece of work where an image is shared out to cores: at a piece's edges, rows are expanded twice.
const LEAST_ROWS: usize = 16;
/// The same where nothing is expanded, and rows are only copied twice.
const FEW_ROWS: usize = 2;
/// Places of a row that are filtered together.
const PLACES: usize = 4;
/// Largest side of the depthwise kernel.
const LARGEST_SIDE: usize = 5;

/// Whether there is a body for a depthwise kernel of this side and stride.
pub(super) fn serves(side: usize, stride: usize) -> bool {
    matches!((side, stride), (3 | LARGEST_SIDE, 1 | 2))
}

/// The depthwise convolution's weight `[channels, side, side]`, and what follows it.
#[derive(Clone, Copy)]
pub(super) struct Taps<'a> {
    pub(super) weights: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) shift: &'a [f32],
}

/// A block whose kernel [`serves`] allows.
pub(super) struct Block<'a> {
    pub(super) expand: Option<Filters<'a>>,
    pub(super) taps: Taps<'a>,
    pub(super) geometry: Depthwise,
    /// What lies between the convolutions goes through it.
    pub(super) inside: Option<Activation>,
    pub(super) project: Option<Filters<'a>>,
    /// What comes out goes through it.
    pub(super) after: Option<Activation>,
    /// Whether the input is added to the output, which then has its shape.
    pub(super) residual: bool,
}

impl Block<'_> {
    /// `[images, rows, columns, in]` to `[images, rows, columns, out]`; `packed` are this block's weights.
    pub(super) fn forward(&self, input: &[f32], packed: &PackedBlock) -> Vec<f32> {
        let Depthwise { rows, columns, .. } = self.geometry;
        let image_length = rows.input * columns.input * self.inputs();
        let images = input.len().checked_div(image_length).unwrap_or(0);
        if images * rows.output * columns.output * packed.outputs() == 0 {
            return Vec::new();
        }
        let has_few_pieces = images * (rows.output / LEAST_ROWS).max(1) < cores();
        if let Some(expand) = packed.expand.as_ref().filter(|_| has_few_pieces) {
            return self.step_by_step(input, expand, packed);
        }
        self.in_bands(input, packed)
    }

    /// [`Block::forward`] in bands.
    fn in_bands(&self, input: &[f32], packed: &PackedBlock) -> Vec<f32> {
        let Depthwise { rows, columns, .. } = self.geometry;
        let image_length = rows.input * columns.input * self.inputs();
        let row_length = columns.output * packed.outputs();
        let output_length = rows.output * row_length;
        let images = input.len().checked_div(image_length).unwrap_or(0);
        let mut output = unwritten(images * output_length);
        let least = if packed.expand.is_some() { LEAST_ROWS } else { FEW_ROWS };
        let processor = processor();
        let pieces_an_image = cores().div_ceil(images).min(rows.output / least).max(1);
        let piece_rows = rows.output.div_ceil(pieces_an_image);
        let mut pieces = Vec::new();
        for (image, output) in input.chunks_exact(image_length).zip(output.chunks_exact_mut(output_length)) {
            for (index, output) in output.chunks_mut(piece_rows * row_length).enumerate() {
                pieces.push(Piece { block: self, packed, image, first_row: index * piece_rows, output });
            }
        }
        for_each_task(processor, pieces);
        output
    }

    /// One step after the other, each shared out to all cores: for maps so small that they stay in a cache as they are.
    fn step_by_step(&self, input: &[f32], expand: &Packed, packed: &PackedBlock) -> Vec<f32> {
        let expanded = multiplied(&Input::rows(input, self.inputs()), expand, self.inside, None);
        let filter = Self { expand: None, project: None, after: None, residual: false, ..*self };
        let filtered = filter.forward(&expanded, &packed.filter_alone());
        put_back(expanded);
        let Some(project) = &packed.project else { return filtered };
        let rows = Input::rows(&filtered, self.geometry.channels);
        let projected = multiplied(&rows, project, self.after, self.residual.then_some(input));
        put_back(filtered);
        projected
    }

    /// The block's weights laid out.
    pub(super) fn packed(&self) -> PackedBlock {
        processor().dispatch(Packing(self))
    }

    fn inputs(&self) -> usize {
        self.expand.map_or(self.geometry.channels, |filters| filters.depth)
    }
}

/// A block's weights laid out for vectors of one length.
#[derive(Debug)]
pub(super) struct PackedBlock {
    expand: Option<Packed>,
    filter: Arc<PackedFilter>,
    project: Option<Packed>,
}

/// A filter's weights laid out for vectors of one length, to which the channels are padded.
#[derive(Debug)]
struct PackedFilter {
    channels: usize,
    /// `[side, side, channels]`
    taps: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl PackedBlock {
    fn outputs(&self) -> usize {
        self.project.as_ref().map_or(self.filter.channels, Packed::outputs)
    }

    /// Without the convolutions around the filter.
    fn filter_alone(&self) -> Self {
        Self { expand: None, filter: Arc::clone(&self.filter), project: None }
    }
}

struct Packing<'a>(&'a Block<'a>);

impl WithSimd for Packing<'_> {
    type Output = PackedBlock;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> PackedBlock {
        let Block { expand, taps, geometry, project, .. } = self.0;
        let [scale, shift] = [taps.scale, taps.shift].map(|values| padded(values, S::F32_LANES));
        let places = geometry.rows.side * geometry.columns.side;
        let mut by_place = vec![0.0; places * scale.len()];
        for (place, row) in by_place.chunks_exact_mut(scale.len()).enumerate() {
            let weights = taps.weights[place..].iter().step_by(places);
            row.iter_mut().zip(weights).for_each(|(tap, weight)| *tap = *weight);
        }
        PackedBlock {
            expand: expand.as_ref().map(|filters| Packed::new::<S>(filters)),
            filter: Arc::new(PackedFilter { channels: geometry.channels, taps: by_place, scale, shift }),
            project: project.as_ref().map(|filters| Packed::new::<S>(filters)),
        }
    }
}

/// A few rows of an output image.
struct Piece<'a> {
    block: &'a Block<'a>,
    packed: &'a PackedBlock,
    image: &'a [f32],
    first_row: usize,
    output: &'a mut [f32],
}

/// Expanded rows, the ones that were needed last.
struct Ring {
    values: Scratch,
    /// Rows that fit in.
    rows: usize,
    /// Floats of a pixel and of a row.
    pixel: usize,
    row: usize,
}

impl Ring {
    fn start(&self, row: usize) -> usize {
        row % self.rows * self.row
    }

    /// Zeros where the kernel meets no pixel, and where a pixel has no channel.
    fn clear_padding(&mut self, columns: Axis, channels: usize) {
        let Self { pixel, row, .. } = *self;
        for row in self.values.values_mut().chunks_exact_mut(row).take(self.rows) {
            if pixel != channels {
                row.fill(0.0);
                continue;
            }
            row[..columns.before * pixel].fill(0.0);
            row[(columns.before + columns.input) * pixel..].fill(0.0);
        }
    }
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Depthwise { rows, columns, channels } = self.block.geometry;
        let outputs = self.packed.outputs();
        let pixel = channels.next_multiple_of(S::F32_LANES);
        let row = (columns.before + columns.input + columns.after) * pixel;
        let halo = rows.side - rows.stride;
        let end = self.first_row + self.output.len() / (columns.output * outputs);
        let in_band = BAND.saturating_sub(halo * row) / (row * rows.stride + columns.output * pixel);
        let in_band = in_band.clamp(1, end - self.first_row);
        let ring_rows = in_band * rows.stride + halo;
        let mut ring = Ring { values: Scratch::unwritten(ring_rows * row), rows: ring_rows, pixel, row };
        ring.clear_padding(columns, channels);
        let mut filtered = Scratch::unwritten(in_band * columns.output * pixel);
        let mut expanded = (self.first_row * rows.stride).saturating_sub(rows.before);
        for (index, output) in self.output.chunks_mut(in_band * columns.output * outputs).enumerate() {
            let first = self.first_row + index * in_band;
            let band = first..(first + in_band).min(end);
            let needed = ((band.end - 1) * rows.stride + rows.side).saturating_sub(rows.before).min(rows.input);
            expand(simd, self.block, self.packed, self.image, expanded..needed.max(expanded), &mut ring);
            expanded = needed.max(expanded);
            let target = match &self.packed.project {
                None if pixel == channels => &mut *output,
                _ => filtered.values_mut(),
            };
            for (row, target) in band.clone().zip(target.chunks_exact_mut(columns.output * pixel)) {
                filter_row(simd, self.block, self.packed, &ring, row, target);
            }
            let Some(project) = &self.packed.project else {
                if pixel != channels {
                    let pixels = filtered.values().chunks_exact(pixel);
                    for (target, pixel) in output.chunks_exact_mut(channels).zip(pixels) {
                        target.copy_from_slice(&pixel[..channels]);
                    }
                }
                continue;
            };
            let places: Vec<usize> = (0..band.len() * columns.output).collect();
            let origins: Vec<usize> = places.iter().map(|place| place * pixel).collect();
            let places: Vec<usize> = places.iter().map(|place| place * outputs).collect();
            let pixels = Rows { values: filtered.values(), origins: &origins, runs: &[0], run: channels };
            let residual = self.block.residual.then(|| &self.image[first * columns.output * outputs..]);
            let activation = self.block.after;
            product(
                simd,
                project,
                &pixels,
                &mut Target { values: output, places: &places, activation, residual, slopes: None },
            );
        }
    }
}

/// Puts `rows` of the image into the ring, expanded if the block does so.
#[inline(always)]
fn expand<S: Simd>(simd: S, block: &Block, packed: &PackedBlock, image: &[f32], rows: Range<usize>, ring: &mut Ring) {
    let (columns, inputs) = (block.geometry.columns, block.inputs());
    let image = &image[rows.start * columns.input * inputs..];
    let mut places = Vec::new();
    for row in rows {
        let start = ring.start(row) + columns.before * ring.pixel;
        places.extend((0..columns.input).map(|column| start + column * ring.pixel));
    }
    match &packed.expand {
        Some(filters) => {
            let origins: Vec<usize> = (0..places.len()).map(|pixel| pixel * inputs).collect();
            let pixels = Rows { values: image, origins: &origins, runs: &[0], run: inputs };
            let target = &mut Target {
                values: ring.values.values_mut(),
                places: &places,
                activation: block.inside,
                residual: None,
                slopes: None,
            };
            if !places.is_empty() {
                product(simd, filters, &pixels, target);
            }
        }
        None => {
            for (place, pixel) in places.iter().zip(image.chunks_exact(inputs)) {
                ring.values.values_mut()[*place..][..inputs].copy_from_slice(pixel);
            }
        }
    }
}

/// Fills `target` with row `row` of the depthwise convolution.
#[inline(always)]
fn filter_row<S: Simd>(simd: S, block: &Block, packed: &PackedBlock, ring: &Ring, row: usize, target: &mut [f32]) {
    let Depthwise { rows, columns, .. } = block.geometry;
    let mut met = [Met::default(); LARGEST_SIDE];
    let mut count = 0;
    for tap in 0..rows.side {
        let pixel = (row * rows.stride + tap).checked_sub(rows.before);
        if let Some(pixel) = pixel.filter(|pixel| *pixel < rows.input) {
            met[count] = Met { tap, values: &ring.values.values()[ring.start(pixel)..][..ring.row] };
            count += 1;
        }
    }
    let filter = RowFilter { packed: &packed.filter, met: &met[..count], activation: block.inside };
    match (rows.side, rows.stride, columns.output >= PLACES) {
        (3, 1, true) => filter.run::<S, PLACES, 3, 1>(simd, target),
        (3, 1, false) => filter.run::<S, 1, 3, 1>(simd, target),
        (3, _, true) => filter.run::<S, PLACES, 3, 2>(simd, target),
        (3, _, false) => filter.run::<S, 1, 3, 2>(simd, target),
        (_, 1, true) => filter.run::<S, PLACES, LARGEST_SIDE, 1>(simd, target),
        (_, 1, false) => filter.run::<S, 1, LARGEST_SIDE, 1>(simd, target),
        (_, _, true) => filter.run::<S, PLACES, LARGEST_SIDE, 2>(simd, target),
        (_, _, false) => filter.run::<S, 1, LARGEST_SIDE, 2>(simd, target),
    }
}

/// A row of the kernel, and the row of the ring that it meets.
#[derive(Clone, Copy, Default)]
struct Met<'a> {
    tap: usize,
    values: &'a [f32],
}

/// What a row of the depthwise convolution is made of.
struct RowFilter<'a> {
    packed: &'a PackedFilter,
    met: &'a [Met<'a>],
    activation: Option<Activation>,
}

impl RowFilter<'_> {
    /// Fills `target`, at least `P` places of all channels.
    #[inline(always)]
    fn run<S: Simd, const P: usize, const SIDE: usize, const STRIDE: usize>(&self, simd: S, target: &mut [f32]) {
        let (taps, _) = S::as_simd_f32s(&self.packed.taps);
        let (scale, _) = S::as_simd_f32s(&self.packed.scale);
        let (shift, _) = S::as_simd_f32s(&self.packed.shift);
        let (target, _) = S::as_mut_simd_f32s(target);
        let vectors = scale.len();
        let places = target.len() / vectors;
        for block in 0..places.div_ceil(P) {
            // The last places may overlap those before, and become the same again.
            let first = (block * P).min(places - P);
            for vector in 0..vectors {
                let mut sums = [simd.splat_f32s(0.0); P];
                for met in self.met {
                    let row = &S::as_simd_f32s(met.values).0[first * STRIDE * vectors + vector..];
                    let row = &row[..((P - 1) * STRIDE + SIDE - 1) * vectors + 1];
                    for tap in 0..SIDE {
                        let weight = taps[(met.tap * SIDE + tap) * vectors + vector];
                        for (place, sum) in sums.iter_mut().enumerate() {
                            *sum = simd.mul_add_e_f32s(row[(place * STRIDE + tap) * vectors], weight, *sum);
                        }
                    }
                }
                for (place, sum) in sums.iter().enumerate() {
                    let value = simd.mul_add_e_f32s(*sum, scale[vector], shift[vector]);
                    target[(first + place) * vectors + vector] = activated(simd, value, self.activation);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Steps;
    use crate::ops::testing::values;

    #[test]
    fn a_block_is_the_same_to_the_bit_in_bands_and_step_by_step() {
        let (rows, columns, inputs, inside, side) = (21, 19, 20, 33, 3);
        let input = values(2 * rows * columns * inputs, 1);
        let weights = [inside * inputs, inside * side * side, inputs * inside].map(|count| values(count, count as u64));
        let [scale, shift] = [3, 4].map(|seed| values(inside, seed));
        let filters = |weights, depth, outputs: usize| Filters {
            weights,
            strides: [1, depth],
            depth,
            scale: &scale[..outputs],
            shift: &shift[..outputs],
        };
        let block = Block {
            expand: Some(filters(&weights[0], inputs, inside)),
            taps: Taps { weights: &weights[1], scale: &scale, shift: &shift },
            geometry: Depthwise {
                rows: Steps::same(1).axis(rows, side),
                columns: Steps::same(1).axis(columns, side),
                channels: inside,
            },
            inside: Some(Activation::Silu),
            project: Some(filters(&weights[2], inside, inputs)),
            after: Some(Activation::Relu6),
            residual: true,
        };
        let packed = block.packed();
        let expand = packed.expand.as_ref().expect("it expands");
        assert_eq!(block.in_bands(&input, &packed), block.step_by_step(&input, expand, &packed));
    }
}
