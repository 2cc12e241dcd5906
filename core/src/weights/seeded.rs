//! Fresh weights from a seed.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Init, TensorSource, WeightsError};

/// Makes every tensor it is asked for, the same for the same seed and tensor name on every platform.
#[derive(Clone, Debug)]
pub struct Seeded {
    seed: u64,
}

impl Seeded {
    /// A source of fresh tensors.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl TensorSource for Seeded {
    fn read(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, WeightsError> {
        let count = shape.iter().product();
        Ok(match init {
            Init::Zeros => vec![0.0; count],
            Init::Ones => vec![1.0; count],
            Init::Normal(deviation) => {
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ name_hash(name));
                (0..count).map(|_| normal(&mut rng) * deviation).collect()
            }
        })
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn shape(&self, _name: &str) -> Option<Vec<usize>> {
        None
    }
}

/// A standard normal value by the Box-Muller transform.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let radius = libm::sqrtf(-2.0 * libm::logf(1.0 - rng.random::<f32>()));
    radius * libm::cosf(core::f32::consts::TAU * rng.random::<f32>())
}

/// FNV-1a, so that each tensor has its own stream and adding one does not change the others.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_name_give_the_same_values_and_others_differ() {
        let read = |seed, name| Seeded::new(seed).read(name, &[1000], Init::Normal(0.02)).expect("seeded");
        assert_eq!(read(1, "a"), read(1, "a"));
        assert_ne!(read(1, "a"), read(1, "b"));
        assert_ne!(read(1, "a"), read(2, "a"));
    }

    #[test]
    fn normal_values_have_the_mean_and_deviation_asked_for() {
        let values = Seeded::new(7).read("w", &[20_000], Init::Normal(0.5)).expect("seeded");
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 0.02 && (variance - 0.25).abs() < 0.01, "mean {mean}, variance {variance}");
    }
}
