//! Random numbers within limits, as configurations write the limits. Every draw takes the same number of values from
//! the generator whatever comes out, so that changing one limit leaves all other draws as they are.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The chance that something is done, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(pub(super) f64);

impl TryFrom<f64> for Probability {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        let is_probability = (0.0..=1.0).contains(&value);
        is_probability.then_some(Self(value)).ok_or_else(|| format!("a probability is from 0 to 1, not {value}"))
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> Self {
        probability.0
    }
}

impl Probability {
    /// Whether it is done this time.
    pub(super) fn draw(self, rng: &mut ChaCha8Rng) -> bool {
        rng.random::<f64>() < self.0
    }
}

/// How far a number may be from 0 to either side; at most `MOST`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Limit<const MOST: u32>(pub(super) f64);

impl<const MOST: u32> TryFrom<f64> for Limit<MOST> {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        let is_within = (0.0..=f64::from(MOST)).contains(&value);
        is_within.then_some(Self(value)).ok_or_else(|| format!("a number from 0 to {MOST} is needed here, not {value}"))
    }
}

impl<const MOST: u32> From<Limit<MOST>> for f64 {
    fn from(limit: Limit<MOST>) -> Self {
        limit.0
    }
}

impl<const MOST: u32> Limit<MOST> {
    /// A number as far as this or less from 0, all equally likely.
    pub(super) fn draw(self, rng: &mut ChaCha8Rng) -> f64 {
        (2.0 * rng.random::<f64>() - 1.0) * self.0
    }
}

/// The smallest and the largest number, written `[low, high]`; both within `LEAST..=MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 2]", into = "[f64; 2]")]
pub struct Range<const LEAST: u32, const MOST: u32>(pub(super) f64, pub(super) f64);

impl<const LEAST: u32, const MOST: u32> TryFrom<[f64; 2]> for Range<LEAST, MOST> {
    type Error = String;

    fn try_from([low, high]: [f64; 2]) -> Result<Self, String> {
        let is_sound = f64::from(LEAST) <= low && low <= high && high <= f64::from(MOST);
        is_sound.then_some(Self(low, high)).ok_or_else(|| {
            format!("two numbers from {LEAST} to {MOST} are needed here, the smaller first, not [{low}, {high}]")
        })
    }
}

impl<const LEAST: u32, const MOST: u32> From<Range<LEAST, MOST>> for [f64; 2] {
    fn from(range: Range<LEAST, MOST>) -> Self {
        [range.0, range.1]
    }
}

impl<const LEAST: u32, const MOST: u32> Range<LEAST, MOST> {
    /// Any number of the range, all equally likely.
    pub(super) fn draw(self, rng: &mut ChaCha8Rng) -> f64 {
        self.0 + rng.random::<f64>() * (self.1 - self.0)
    }

    /// One of the whole numbers of the range.
    pub(super) fn draw_whole(self, rng: &mut ChaCha8Rng) -> usize {
        let (low, high) = (self.0.ceil(), self.1.floor());
        // Below 1, so the product stays below the count.
        low as usize + (rng.random::<f64>() * (high - low + 1.0).max(1.0)) as usize
    }

    /// One of the odd numbers of the range, such as the side of a kernel; the next above where there is none.
    pub(super) fn draw_odd(self, rng: &mut ChaCha8Rng) -> usize {
        let low = self.0.ceil() as usize / 2 * 2 + 1;
        let count = ((self.1 as usize).saturating_sub(low) / 2 + 1) as f64;
        low + 2 * (rng.random::<f64>() * count) as usize
    }
}

/// One of the things, as often as their weights say; none where all weights are 0.
pub(super) fn weighted<T: Copy, const MOST: u32>(things: &[(T, Limit<MOST>)], rng: &mut ChaCha8Rng) -> Option<T> {
    let mut left = rng.random::<f64>() * things.iter().map(|(_, weight)| weight.0).sum::<f64>();
    let drawn = things.iter().find(|(_, weight)| {
        left -= weight.0;
        left < 0.0
    });
    drawn.map(|(thing, _)| *thing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn limits_out_of_bounds_are_refused_with_the_bounds() {
        let error = serde_json::from_str::<Probability>("1.5").unwrap_err().to_string();
        assert!(error.contains("from 0 to 1, not 1.5"), "{error}");
        let error = serde_json::from_str::<Limit<180>>("-3").unwrap_err().to_string();
        assert!(error.contains("from 0 to 180"), "{error}");
        for wrong in ["[50, 40]", "[0, 40]", "[40, 101]"] {
            let error = serde_json::from_str::<Range<1, 100>>(wrong).unwrap_err().to_string();
            assert!(error.contains("the smaller first"), "{error}");
        }
        assert_eq!(serde_json::from_str::<Range<1, 100>>("[40, 100]").unwrap(), Range(40.0, 100.0));
    }

    #[test]
    fn whole_and_odd_numbers_of_a_range_all_come_and_no_others() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut whole, mut odd) = ([0; 12], [0; 12]);
        for _ in 0..3000 {
            whole[Range::<0, 99>(4.0, 9.0).draw_whole(&mut rng)] += 1;
            odd[Range::<0, 99>(4.0, 9.0).draw_odd(&mut rng)] += 1;
        }
        assert!(whole[4..=9].iter().all(|count| (400..600).contains(count)), "{whole:?}");
        assert!([5, 7, 9].iter().all(|&side| (900..1100).contains(&odd[side])), "{odd:?}");
        assert_eq!((whole.iter().sum::<i32>(), odd.iter().sum::<i32>()), (3000, 3000));
    }

    #[test]
    fn things_come_as_often_as_their_weights_say_and_none_without_any() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let weights = [1.0, 0.0, 3.0].map(Limit::<10>);
        let mut counts = [0; 3];
        for _ in 0..4000 {
            counts[weighted(&[(0, weights[0]), (1, weights[1]), (2, weights[2])], &mut rng).unwrap()] += 1;
        }
        assert!((900..1100).contains(&counts[0]) && counts[1] == 0, "{counts:?}");
        assert_eq!(weighted(&[(0, weights[1])], &mut rng), None);
    }

    #[test]
    fn a_limit_reaches_to_both_sides() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let drawn: Vec<f64> = (0..1000).map(|_| Limit::<10>(3.0).draw(&mut rng)).collect();
        assert!(drawn.iter().all(|number| number.abs() <= 3.0));
        assert!(drawn.iter().any(|number| *number < -2.5) && drawn.iter().any(|number| *number > 2.5));
    }
}
