//! Stochastic depth (Huang et al., "Deep Networks with Stochastic Depth", 2016).

use alloc::vec::Vec;

use burn::prelude::*;

use super::{Chance, Pass};

/// The probability that a sample goes through layer `index` of `depth`, where the first is always gone through and the
/// last left out with the probability `drop`.
pub fn keep_probability(drop: f32, index: usize, depth: usize) -> f32 {
    let steps = depth.saturating_sub(1).max(1) as f32;
    1.0 - drop * index as f32 / steps
}

/// In training, `change` `[samples, …]` of each sample either nothing (with the probability `1 - keep`) or divided by `keep`,
/// so that its mean stays; otherwise `change` itself. One number is drawn for each sample.
pub fn pass_by<const D: usize>(change: Tensor<D>, keep: f32, pass: &mut Pass) -> Tensor<D> {
    let Some(chance) = pass.chance() else { return change };
    let mut shape = [1; D];
    shape[0] = change.dims()[0];
    masked(change, shape, keep, chance)
}

/// `x` times a mask of `shape`, which has the length of `x` or 1 on each axis: 0 with the probability `1 - keep`, else the inverse of
/// `keep`.
pub(super) fn masked<const D: usize>(x: Tensor<D>, shape: [usize; D], keep: f32, chance: &mut Chance) -> Tensor<D> {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|_| if chance.uniform() < keep { 1.0 / keep } else { 0.0 }).collect();
    let mask = Tensor::<D>::from_data(TensorData::new(values, shape), &x.device().without_autodiff());
    x.clone() * mask.cast(x.dtype())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn samples_pass_by_as_often_as_said_and_the_mean_stays() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut uniform = || rng.random::<f32>();
        let mut pass = Pass::training(Chance::new(&mut uniform, &[]));
        let ones = Tensor::<2>::ones([20_000, 2], &Device::flex());
        let masks: Vec<f32> = pass_by(ones, 0.9, &mut pass).into_data().try_into_vec().expect("f32");
        assert!(masks.chunks(2).all(|row| row[0] == row[1]), "a sample is dropped as a whole");
        let dropped = masks.iter().filter(|mask| **mask == 0.0).count() as f64 / masks.len() as f64;
        let mean = masks.iter().map(|mask| f64::from(*mask)).sum::<f64>() / masks.len() as f64;
        assert!((dropped - 0.1).abs() < 0.01 && (mean - 1.0).abs() < 0.01, "{dropped}, {mean}");
    }

    #[test]
    fn scoring_leaves_nothing_out() {
        let ones = Tensor::<2>::ones([3, 2], &Device::flex());
        let found: Vec<f32> = pass_by(ones, 0.0, &mut Pass::scoring()).into_data().try_into_vec().expect("f32");
        assert_eq!(found, [1.0; 6]);
    }

    #[test]
    fn the_first_layer_is_always_gone_through_and_the_last_left_out_most_often() {
        let keep: Vec<f32> = (0..4).map(|index| keep_probability(0.3, index, 4)).collect();
        assert!(keep.iter().zip([1.0, 0.9, 0.8, 0.7]).all(|(a, b)| (a - b).abs() < 1e-6), "{keep:?}");
        assert_eq!(keep_probability(0.5, 0, 1), 1.0);
    }
}
