//! Dropout (Srivastava et al., 2014).

use burn::prelude::*;

use super::Pass;
use super::drop_path::masked;

/// In training, each number either 0 (with the probability `drop`) or divided by the probability that it stays; otherwise `x`
/// itself. One number is drawn for each of `x`.
pub fn dropout<const D: usize>(x: Tensor<D>, drop: f32, pass: &mut Pass) -> Tensor<D> {
    let Some(chance) = pass.chance().filter(|_| drop > 0.0) else { return x };
    let shape = x.dims();
    masked(x, shape, 1.0 - drop, chance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Chance;
    use alloc::vec::Vec;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_part_of_all_numbers_becomes_zero_and_the_mean_stays() {
        let ones = Tensor::<2>::ones([100, 200], &Device::flex());
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut uniform = || rng.random::<f32>();
        let mut pass = Pass::training(Chance::new(&mut uniform, &[]));
        let found: Vec<f32> = dropout(ones.clone(), 0.25, &mut pass).into_data().try_into_vec().expect("f32");
        let dropped = found.iter().filter(|value| **value == 0.0).count() as f64 / found.len() as f64;
        let mean = found.iter().map(|value| f64::from(*value)).sum::<f64>() / found.len() as f64;
        assert!((dropped - 0.25).abs() < 0.02 && (mean - 1.0).abs() < 0.02, "{dropped}, {mean}");
        let scored: Vec<f32> = dropout(ones, 0.25, &mut Pass::scoring()).into_data().try_into_vec().expect("f32");
        assert!(scored.iter().all(|value| *value == 1.0));
    }
}
