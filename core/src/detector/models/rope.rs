//! Rotary position embeddings of patches (Su et al., 2021; in two dimensions as the Perception Encoder and DINOv3 have them).
//!
//! Pairs of channels of queries and keys are turned by angles that grow with a patch's row and column, so that their product
//! depends on how far apart two patches are. Tokens that stand for no patch are not turned.

use alloc::vec::Vec;

use burn::prelude::*;
use burn::tensor::DType;

use super::vit::{VitConfig, VitFamily};

/// The turning of all tokens of an image.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    heads: usize,
    pairing: Pairing,
    /// `[1, L, 1, d / heads]`
    cosines: Tensor<4>,
    sines: Tensor<4>,
}

/// Which channels are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pairing {
    /// Neighbours.
    Neighbours,
    /// Those half a head apart.
    Halves,
}

impl Rotation {
    /// The turning that a family has; `None` where it has none.
    pub(super) fn of(family: VitFamily, config: &VitConfig, device: &Device) -> Option<Self> {
        let side = config.image_size / config.patch_size;
        let width = config.width / config.heads;
        let (pairing, others, angles) = match family {
            VitFamily::Plain | VitFamily::PlainMean => return None,
            VitFamily::Perception { reference, .. } => {
                (Pairing::Neighbours, 1, perception_angles(side, reference, width))
            }
            VitFamily::Dino { registers, .. } => (Pairing::Halves, 1 + registers, dino_angles(side, width)),
        };
        let mut all = alloc::vec![0.0; others * width];
        all.extend(angles);
        let shape = [1, others + side * side, 1, width];
        let of = |function: fn(f32) -> f32| {
            let values: Vec<f32> = all.iter().map(|angle| function(*angle)).collect();
            Tensor::from_data(TensorData::new(values, shape), &device.clone().without_autodiff())
        };
        Some(Self { heads: config.heads, pairing, cosines: of(libm::cosf), sines: of(libm::sinf) })
    }

    /// Queries or keys `[n, L, d]`, turned.
    pub(super) fn apply(&self, x: Tensor<3>) -> Tensor<3> {
        let (shape @ [count, tokens, width], dtype) = (x.dims(), x.dtype());
        let each = width / self.heads;
        let x: Tensor<4> = x.cast(DType::F32).reshape([count, tokens, self.heads, each]);
        let quarter_turn = match self.pairing {
            Pairing::Halves => {
                let half = each / 2;
                Tensor::cat([x.clone().narrow(3, half, half).neg(), x.clone().narrow(3, 0, half)].to_vec(), 3)
            }
            Pairing::Neighbours => {
                let pairs: Tensor<5> = x.clone().reshape([count, tokens, self.heads, each / 2, 2]);
                let turned = Tensor::cat([pairs.clone().narrow(4, 1, 1).neg(), pairs.narrow(4, 0, 1)].to_vec(), 4);
                turned.reshape([count, tokens, self.heads, each])
            }
        };
        (x * self.cosines.clone() + quarter_turn * self.sines.clone()).reshape(shape).cast(dtype)
    }
}

/// timm's for the Perception Encoder: the first half of the channels by the column, the second by the row, each frequency for
/// two neighbours; places count from 1, in parts of the grid of pretraining.
fn perception_angles(side: usize, reference: usize, width: usize) -> Vec<f32> {
    const THETA: f32 = 10_000.0;
    let bands = width / 4;
    let place = |index: usize| (index as f32 + 1.0) / side as f32 * reference as f32;
    let turned = |place: f32| {
        (0..bands).flat_map(move |band| {
            let angle = place * libm::powf(THETA, -(band as f32) / bands as f32);
            [angle, angle]
        })
    };
    let patch = |row: usize, column: usize| turned(place(column)).chain(turned(place(row)));
    (0..side * side).flat_map(|index| patch(index / side, index % side)).collect()
}

/// transformers' for DINOv3: a quarter of the channels by the row, the next by the column, and the same again; places are the
/// middles of patches from -1 to 1.
fn dino_angles(side: usize, width: usize) -> Vec<f32> {
    const THETA: f32 = 100.0;
    let bands = width / 4;
    let place = |index: usize| 2.0 * (index as f32 + 0.5) / side as f32 - 1.0;
    let turned = |place: f32| {
        (0..bands).map(move |band| core::f32::consts::TAU * place * libm::powf(THETA, -(band as f32) / bands as f32))
    };
    let half = |row: usize, column: usize| turned(place(row)).chain(turned(place(column)));
    let patch = |row: usize, column: usize| half(row, column).chain(half(row, column));
    (0..side * side).flat_map(|index| patch(index / side, index % side)).collect()
}
