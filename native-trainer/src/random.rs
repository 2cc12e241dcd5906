//! Generators whose numbers are a function of where they are used, so that nothing random has a state to store.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// A generator for one purpose at one place of a run.
///
/// Those of different purposes and places are independent: all is mixed into the key, not added to the seed.
pub(crate) fn generator(seed: u64, purpose: &str, place: &[u64]) -> ChaCha8Rng {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update((purpose.len() as u64).to_le_bytes());
    hasher.update(purpose.as_bytes());
    for number in place {
        hasher.update(number.to_le_bytes());
    }
    ChaCha8Rng::from_seed(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn numbers_are_the_same_at_the_same_place_and_others_elsewhere() {
        let number = |seed, purpose: &str, place: &[u64]| generator(seed, purpose, place).random::<u64>();
        assert_eq!(number(1, "a", &[2]), number(1, "a", &[2]));
        let all = [number(1, "a", &[2]), number(2, "a", &[2]), number(1, "b", &[2]), number(1, "a", &[3])];
        assert!(all.iter().enumerate().all(|(index, one)| !all[index + 1..].contains(one)), "{all:?}");
    }
}
