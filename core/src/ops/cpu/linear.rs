//! Linear layers and patch embeddings: one matrix product with what follows it.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use burn::backend::flex::FlexTensor;
use pulp::{Simd, WithSimd};

use super::buffers::unwritten;
use super::flex::{contiguous, forward};
use super::kept::KeptLayout;
use super::parallel::{cores, for_each_task, processor, shares};
use super::product::{Filters, Packed, Packing, Rows, TILE, Target, product};
use crate::ops::Activation;

/// Rows of a piece of work, where there are so many: then cores that are slower or busy get fewer.
const ROWS_A_PIECE: usize = 96;

/// A linear layer's weight `[out, in]` and bias `[out]`, as products read them.
pub(in crate::ops) struct Weights<'a> {
    pub(in crate::ops) weight: &'a FlexTensor,
    pub(in crate::ops) bias: Option<&'a FlexTensor>,
}

impl Weights<'_> {
    /// The weights laid out, from `kept` where they are there.
    fn packed(&self, kept: &KeptLayout) -> Arc<Packed> {
        let source: Vec<&FlexTensor> = [self.weight].into_iter().chain(self.bias).collect();
        kept.of(&source, || self.laid_out())
    }

    fn laid_out(&self) -> Packed {
        let weight = forward(self.weight);
        let layout = weight.layout();
        let (outputs, depth) = (layout.shape()[0], layout.shape()[1]);
        let shift = match self.bias {
            Some(bias) => contiguous(bias.clone()).storage::<f32>().to_vec(),
            None => vec![0.0; outputs],
        };
        processor().dispatch(Packing(&Filters {
            weights: &weight.storage()[layout.start_offset()..],
            strides: [layout.strides()[1].unsigned_abs(), layout.strides()[0].unsigned_abs()],
            depth,
            scale: &vec![1.0; outputs],
            shift: &shift,
        }))
    }
}

/// Where the rows lie that a layer is given.
pub(in crate::ops) struct Input<'a> {
    pub(in crate::ops) values: &'a [f32],
    /// Where each row begins.
    pub(in crate::ops) origins: Vec<usize>,
    /// As [`Rows`] has them.
    pub(in crate::ops) runs: Vec<usize>,
    pub(in crate::ops) run: usize,
}

impl<'a> Input<'a> {
    /// Rows of `width` one after the other.
    pub(in crate::ops) fn rows(values: &'a [f32], width: usize) -> Self {
        let count = values.len().checked_div(width).unwrap_or(0);
        Self { values, origins: (0..count).map(|row| row * width).collect(), runs: vec![0], run: width }
    }

    /// The patches of images `[count, channels, height, width]`, row by row; each is read channel by channel.
    pub(in crate::ops) fn patches(values: &'a [f32], sizes: [usize; 4], patch: usize) -> Self {
        let [count, channels, height, width] = sizes;
        let mut origins = Vec::with_capacity(count * (height / patch) * (width / patch));
        for image in 0..count {
            for row in 0..height / patch {
                let start = (image * channels * height + row * patch) * width;
                origins.extend((0..width / patch).map(|column| start + column * patch));
            }
        }
        let runs = (0..channels * patch).map(|run| (run / patch * height + run % patch) * width).collect();
        Self { values, origins, runs, run: patch }
    }
}

/// `activation(rows · weightᵀ + bias) + residual`, `[rows, out]`; `kept` is this layer's.
pub(in crate::ops) fn linear(
    input: &Input,
    weights: &Weights,
    activation: Option<Activation>,
    residual: Option<&[f32]>,
    kept: &KeptLayout,
) -> Vec<f32> {
    multiplied(input, &weights.packed(kept), activation, residual)
}

/// [`linear`], and the activation's slopes, `[rows, out]`, where there is one. Of weights that are trained nothing is `kept`: they
/// are others in the next step.
#[cfg(feature = "autodiff")]
pub(in crate::ops) fn linear_with_slopes(
    input: &Input,
    weights: &Weights,
    activation: Option<Activation>,
    residual: Option<&[f32]>,
    kept: Option<&KeptLayout>,
) -> (Vec<f32>, Option<Vec<f32>>) {
    let packed = kept.map_or_else(|| Arc::new(weights.laid_out()), |kept| weights.packed(kept));
    let mut slopes = activation.map(|_| unwritten(input.origins.len() * packed.outputs()));
    let output = products(input, &packed, activation, residual, slopes.as_deref_mut());
    (output, slopes)
}

/// `activation(rows · weights * scale + shift) + residual`, `[rows, out]`.
pub(in crate::ops) fn multiplied(
    input: &Input,
    packed: &Packed,
    activation: Option<Activation>,
    residual: Option<&[f32]>,
) -> Vec<f32> {
    products(input, packed, activation, residual, None)
}

fn products(
    input: &Input,
    packed: &Packed,
    activation: Option<Activation>,
    residual: Option<&[f32]>,
    mut slopes: Option<&mut [f32]>,
) -> Vec<f32> {
    let (rows, outputs) = (input.origins.len(), packed.outputs());
    let mut output = unwritten(rows * outputs);
    if output.is_empty() {
        return output;
    }
    let pieces = rows.div_ceil(ROWS_A_PIECE).next_multiple_of(cores());
    let mut tasks = Vec::with_capacity(pieces);
    let mut rest = output.as_mut_slice();
    for share in shares(rows, TILE, pieces) {
        let (output, after) = rest.split_at_mut(share.len() * outputs);
        rest = after;
        let residual = residual.map(|residual| &residual[share.start * outputs..share.end * outputs]);
        let slopes = slopes.take().map(|all| {
            let (of_share, rest) = all.split_at_mut(share.len() * outputs);
            slopes = Some(rest);
            of_share
        });
        tasks.push(Piece { packed, input, origins: &input.origins[share], activation, residual, slopes, output });
    }
    for_each_task(processor(), tasks);
    output
}

/// A few rows.
struct Piece<'a> {
    packed: &'a Packed,
    input: &'a Input<'a>,
    origins: &'a [usize],
    activation: Option<Activation>,
    residual: Option<&'a [f32]>,
    slopes: Option<&'a mut [f32]>,
    output: &'a mut [f32],
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { packed, input, origins, activation, residual, slopes, output } = self;
        let places: Vec<usize> = (0..origins.len()).map(|row| row * packed.outputs()).collect();
        let rows = Rows { values: input.values, origins, runs: &input.runs, run: input.run };
        product(simd, packed, &rows, &mut Target { values: output, places: &places, activation, residual, slopes });
    }
}
