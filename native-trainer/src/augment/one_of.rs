//! A choice among changes of colour, of which exactly one is made.

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::draw::{Limit, Probability, weighted};

/// Changes of which exactly one is made, as often as their weights say (albumentations' `OneOf`, which normalises the chances of
/// its members to such weights). A change with a weight is made by this choice alone; how strong it is says its own table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OneOf {
    /// Chance that one is made at all (default 0).
    pub probability: Probability,
    /// How often each is chosen (default: none ever).
    pub weights: Weights,
}

/// The weight of each change in a choice; all 0 by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    pub rgb_shift: Limit<1000>,
    pub hsv_shift: Limit<1000>,
    pub brightness_contrast: Limit<1000>,
    pub fancy_pca: Limit<1000>,
    pub gamma: Limit<1000>,
}

/// A change that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    RgbShift,
    HsvShift,
    BrightnessContrast,
    FancyPca,
    Gamma,
}

impl Weights {
    fn all(&self) -> [(Colour, Limit<1000>); 5] {
        [
            (Colour::RgbShift, self.rgb_shift),
            (Colour::HsvShift, self.hsv_shift),
            (Colour::BrightnessContrast, self.brightness_contrast),
            (Colour::FancyPca, self.fancy_pca),
            (Colour::Gamma, self.gamma),
        ]
    }
}

impl OneOf {
    /// The change to make, if any.
    pub(super) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<Colour> {
        let is_done = self.probability.draw(rng);
        let chosen = weighted(&self.weights.all(), rng);
        chosen.filter(|_| is_done)
    }

    /// What is done of a change: where it has a weight, `anew` if it was chosen; without one, what its `own` chance said.
    pub(super) fn decided<T>(
        &self,
        change: Colour,
        chosen: Option<Colour>,
        own: Option<T>,
        anew: Option<T>,
    ) -> Option<T> {
        let has_weight = self.weights.all().iter().any(|(member, weight)| *member == change && weight.0 > 0.0);
        if has_weight { anew.filter(|_| chosen == Some(change)) } else { own }
    }

    /// Whether a change is to be chosen, but there is none to choose.
    pub fn has_no_choice(&self) -> bool {
        self.probability.0 > 0.0 && self.weights.all().iter().all(|(_, weight)| weight.0 == 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn changes_are_chosen_as_often_as_their_weights_over_all_say() {
        let written = "probability = 0.5\nweights = { brightness_contrast = 1, fancy_pca = 1, hsv_shift = 2 }";
        let one_of: OneOf = toml::from_str(written).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let drawn: Vec<Option<Colour>> = (0..16_000).map(|_| one_of.draw(&mut rng)).collect();
        let count = |change| drawn.iter().filter(|drawn| **drawn == change).count();
        assert!((7750..8250).contains(&count(None)), "{}", count(None));
        for (change, expected) in
            [(Colour::BrightnessContrast, 2000), (Colour::FancyPca, 2000), (Colour::HsvShift, 4000)]
        {
            assert!(count(Some(change)).abs_diff(expected) < 200, "{change:?}: {}", count(Some(change)));
        }
        assert_eq!(count(Some(Colour::RgbShift)) + count(Some(Colour::Gamma)), 0);
    }

    #[test]
    fn a_choice_without_a_weight_is_none() {
        let nothing = OneOf { probability: Probability(1.0), ..OneOf::default() };
        assert!(nothing.has_no_choice() && !OneOf::default().has_no_choice());
        assert_eq!(nothing.draw(&mut ChaCha8Rng::seed_from_u64(1)), None);
    }
}
