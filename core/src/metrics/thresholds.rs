//! Thresholds chosen on validation data: one between real and fake, and the two between which nothing is decided.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Point, Ranking, Scored, Undefined};

/// The threshold with the highest balanced accuracy, in the middle between two neighbouring scores. Of several equally
/// good ones it is the one with the widest gap around it, which new videos are least likely to fall on the wrong side of,
/// and of these the lowest.
///
/// # Errors
/// [`Undefined`] unless there are reals and fakes, or where no threshold is better than guessing.
pub fn balanced_threshold(ranking: &Ranking) -> Result<f64, Undefined> {
    super::both_classes(ranking.fakes(), ranking.reals())?;
    // Integers compare exactly: TPR − FPR over the common denominator.
    let gain = |point: &Point| {
        i128::from(point.fakes) * i128::from(ranking.reals()) - i128::from(point.reals) * i128::from(ranking.fakes())
    };
    let mut best: Option<(i128, f64, f64)> = None;
    for pair in ranking.points().windows(2) {
        let (gain, gap) = (gain(&pair[0]), pair[0].threshold - pair[1].threshold);
        if gain > 0 && best.is_none_or(|(most, widest, _)| (gain, gap) >= (most, widest)) {
            best = Some((gain, gap, between(pair[1].threshold, pair[0].threshold)));
        }
    }
    best.map(|(_, _, threshold)| threshold).ok_or(Undefined::NoBetterThanGuessing)
}

/// The middle of two numbers, or the upper one where no number lies between: what is at or above it stays the same.
fn between(low: f64, high: f64) -> f64 {
    let middle = low + (high - low) / 2.0;
    if middle > low { middle } else { high }
}

/// What part of the videos of either class may be called the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Misses {
    /// Of the reals, the part that may be called fake.
    pub reals: f64,
    /// Of the fakes, the part that may be called real.
    pub fakes: f64,
}

impl Default for Misses {
    fn default() -> Self {
        Self { reals: 0.05, fakes: 0.05 }
    }
}

/// What a pair of verdict thresholds rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictBasis {
    /// The validation videos.
    Fitted,
    /// The defaults: with fewer reals or fakes than this, one mistake is more than the part that is allowed.
    TooFewVideos {
        /// How many reals are needed.
        reals: u64,
        /// How many fakes are needed.
        fakes: u64,
    },
    /// The defaults: too many scores are exactly 0 or 1, so no threshold keeps the mistakes in bounds.
    Saturated,
}

/// The verdict thresholds, and what they do to the videos they were fitted on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictFit {
    /// A video score at or below this is `likely_real`.
    pub real_below: f32,
    /// A video score at or above this is `likely_fake`.
    pub fake_above: f32,
    /// What they rest on.
    pub basis: VerdictBasis,
    /// How many videos there were.
    pub videos: u64,
    /// How many of them get a verdict.
    pub decided: u64,
    /// How many reals are called fake.
    pub reals_called_fake: u64,
    /// How many fakes are called real.
    pub fakes_called_real: u64,
}

/// `real_below` and `fake_above` of a detector whose thresholds nobody fitted: a wide band around one half is uncertain.
pub const UNCALIBRATED: [f32; 2] = [0.35, 0.65];

/// Fits the two verdict thresholds on the scores, 0..1, of validation *videos*: the widest decided region in which at most
/// the allowed part of the reals is called fake and of the fakes real; what scores between is `uncertain`.
///
/// Let `R` be the highest real score when the allowed number of highest ones is left out, and `F` the lowest fake score
/// likewise. `fake_above` must lie above `R`, `real_below` below `F`.
/// - Where the classes overlap, `F ≤ R`, the thresholds go about half-way from `R` and `F` to the next score outside, to a
///   number with few decimals: everything from `F` to `R` is uncertain.
/// - Where they do not, `R < F`, any threshold between would do for these videos. The middle third of the gap stays
///   uncertain: what no video has shown is not decided, and each class keeps a third of the gap as room for new videos.
///
/// [`UNCALIBRATED`] stands where the data cannot tell; [`VerdictFit::basis`] says so.
///
/// # Errors
/// [`Undefined::NotFinite`] for a score that is not a number in 0..1.
pub fn fit_verdict_thresholds(videos: &[Scored], allowed: &Misses) -> Result<VerdictFit, Undefined> {
    // Verdicts compare in f32, so the thresholds are chosen there.
    let scores: Vec<(f32, bool)> = videos.iter().map(|video| (video.score as f32, video.fake)).collect();
    if scores.iter().any(|(score, _)| !(0.0..=1.0).contains(score)) {
        return Err(Undefined::NotFinite);
    }
    let fit = Scores::new(&scores).fit(allowed);
    let ([real_below, fake_above], basis) = match fit {
        Ok(thresholds) => (thresholds, VerdictBasis::Fitted),
        Err(basis) => (UNCALIBRATED, basis),
    };
    let count = |counts: &dyn Fn(f32, bool) -> bool| scores.iter().filter(|(s, fake)| counts(*s, *fake)).count() as u64;
    Ok(VerdictFit {
        real_below,
        fake_above,
        basis,
        videos: scores.len() as u64,
        decided: count(&|score, _| score <= real_below || score >= fake_above),
        reals_called_fake: count(&|score, fake| !fake && score >= fake_above),
        fakes_called_real: count(&|score, fake| fake && score <= real_below),
    })
}

/// Ascending scores of each class, and of both.
struct Scores {
    reals: Vec<f32>,
    fakes: Vec<f32>,
    all: Vec<f32>,
}

impl Scores {
    fn new(scores: &[(f32, bool)]) -> Self {
        let ascending = |keep: &dyn Fn(bool) -> bool| {
            let mut of_class: Vec<f32> = scores.iter().filter(|(_, fake)| keep(*fake)).map(|(s, _)| *s).collect();
            of_class.sort_by(f32::total_cmp);
            of_class
        };
        Self { reals: ascending(&|fake| !fake), fakes: ascending(&|fake| fake), all: ascending(&|_| true) }
    }

    /// `real_below` and `fake_above`, or why there are none.
    fn fit(&self, allowed: &Misses) -> Result<[f32; 2], VerdictBasis> {
        let (reals, fakes) = (needed(allowed.reals), needed(allowed.fakes));
        if (self.reals.len() as u64) < reals || (self.fakes.len() as u64) < fakes {
            return Err(VerdictBasis::TooFewVideos { reals, fakes });
        }
        let highest_real = self.reals[self.reals.len() - 1 - misses(allowed.reals, self.reals.len())];
        let lowest_fake = self.fakes[misses(allowed.fakes, self.fakes.len())];
        if highest_real < lowest_fake {
            let third = (lowest_fake - highest_real) / 3.0;
            return Ok([
                (highest_real + third).min(lowest_fake.next_down()),
                (lowest_fake - third).max(highest_real.next_up()),
            ]);
        }
        let below = self.all.iter().rev().find(|score| **score < lowest_fake).copied().unwrap_or(0.0);
        let above = self.all.iter().find(|score| **score > highest_real).copied().unwrap_or(1.0);
        let real_below = near_the_middle(below, lowest_fake).min(lowest_fake.next_down());
        let fake_above = near_the_middle(highest_real, above).max(highest_real.next_up());
        if real_below < 0.0 || fake_above > 1.0 {
            return Err(VerdictBasis::Saturated);
        }
        Ok([real_below, fake_above])
    }
}

/// The number of fewest decimals in the middle half of the gap between two numbers, or its middle where that is too narrow
/// for seven decimals: no score lies there, so that a number that is easily read does as well as any.
fn near_the_middle(low: f32, high: f32) -> f32 {
    let (low, high) = (f64::from(low), f64::from(high));
    let middle = low + (high - low) / 2.0;
    let mut short = (1..=7).map(|decimals| {
        let units = libm::pow(10.0, f64::from(decimals));
        libm::round(middle * units) / units
    });
    let quarter = (high - low) / 4.0;
    short.find(|number| (number - middle).abs() < quarter).unwrap_or(middle) as f32
}

/// How many of `count` videos are at most `part` of them; the last one is never left out.
fn misses(part: f64, count: usize) -> usize {
    // 5 % of 20 is 1, although 0.05 is not exactly a twentieth.
    (libm::floor(part * count as f64 + 1e-9) as usize).min(count - 1)
}

/// How many videos it takes for one mistake to be no more than `part` of them; one where no mistake is allowed.
fn needed(part: f64) -> u64 {
    if part > 0.0 { libm::ceil(1.0 / part - 1e-9) as u64 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(reals: impl IntoIterator<Item = f64>, fakes: impl IntoIterator<Item = f64>) -> Vec<Scored> {
        let reals = reals.into_iter().map(|score| Scored { score, fake: false });
        reals.chain(fakes.into_iter().map(|score| Scored { score, fake: true })).collect()
    }

    fn verdicts(reals: impl IntoIterator<Item = f64>, fakes: impl IntoIterator<Item = f64>) -> VerdictFit {
        fit_verdict_thresholds(&scored(reals, fakes), &Misses::default()).expect("scores in 0..1")
    }

    fn spread(low: f64, high: f64, count: u32) -> impl Iterator<Item = f64> {
        (0..count).map(move |i| low + (high - low) * f64::from(i) / f64::from(count - 1))
    }

    #[test]
    fn the_threshold_lies_in_the_widest_gap_between_separated_classes() {
        let ranking = Ranking::new(scored([0.1, 0.2], [0.6, 0.9])).expect("finite");
        assert_eq!(balanced_threshold(&ranking), Ok(0.4));
        // Either of two thresholds gets three of four right; the wider gap is the upper one.
        let ranking = Ranking::new(scored([0.1, 0.5], [0.4, 0.9])).expect("finite");
        assert_eq!(balanced_threshold(&ranking), Ok(0.7));
    }

    #[test]
    fn scores_that_say_nothing_give_no_threshold() {
        let ranking = Ranking::new(scored([0.5, 0.5], [0.5])).expect("finite");
        assert_eq!(balanced_threshold(&ranking), Err(Undefined::NoBetterThanGuessing));
        let reversed = Ranking::new(scored([0.9], [0.1])).expect("finite");
        assert_eq!(balanced_threshold(&reversed), Err(Undefined::NoBetterThanGuessing));
        let one_class = Ranking::new(scored([0.9], [])).expect("finite");
        assert_eq!(balanced_threshold(&one_class), Err(Undefined::NoFake));
    }

    #[test]
    fn neighbouring_numbers_are_still_told_apart() {
        let ranking = Ranking::new(scored([0.5], [0.5f64.next_up()])).expect("finite");
        assert_eq!(balanced_threshold(&ranking), Ok(0.5f64.next_up()));
    }

    #[test]
    fn perfectly_separated_classes_keep_a_band_in_the_middle_of_the_gap() {
        let fit = verdicts(spread(0.0, 0.2, 20), spread(0.8, 1.0, 20));
        // One real and one fake of twenty may be left out.
        let (highest, lowest) = (0.2 * 18.0 / 19.0, 0.8 + 0.2 / 19.0);
        let third = (lowest - highest) / 3.0;
        assert!((f64::from(fit.real_below) - highest - third).abs() < 1e-6, "{fit:?}");
        assert!((f64::from(fit.fake_above) - lowest + third).abs() < 1e-6, "{fit:?}");
        assert_eq!((fit.basis, fit.decided, fit.reals_called_fake), (VerdictBasis::Fitted, 40, 0));
    }

    #[test]
    fn overlapping_classes_leave_their_overlap_undecided() {
        let fit = verdicts(spread(0.0, 0.6, 40), spread(0.4, 1.0, 40));
        assert!(fit.real_below < 0.45 && fit.fake_above > 0.55, "{fit:?}");
        assert_eq!((fit.reals_called_fake, fit.fakes_called_real, fit.basis), (2, 2, VerdictBasis::Fitted));
        assert!(fit.decided < fit.videos);
    }

    #[test]
    fn thresholds_have_as_few_decimals_as_the_gap_that_they_lie_in_allows() {
        assert_eq!(near_the_middle(0.28, 0.304_7), 0.29);
        assert_eq!(near_the_middle(0.1, 0.9), 0.5);
        assert_eq!(near_the_middle(0.291_2, 0.293_1), 0.292);
        assert_eq!(near_the_middle(0.5, 0.5f32.next_up()), 0.5);
        let fit = verdicts(spread(0.0, 0.6, 40), spread(0.4, 1.0, 40));
        assert_eq!((fit.real_below, fit.fake_above), (0.42, 0.58));
    }

    #[test]
    fn mistakes_stay_in_bounds_and_the_thresholds_in_order_whatever_the_scores() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from((state >> 40) as u32) / f64::from(1u32 << 24)
        };
        for round in 0..200 {
            // Rounded to a few levels, so that there are ties; the classes move from reversed to separated.
            let (levels, shift) = (f64::from(2 + round % 19), f64::from(round) / 100.0 - 1.0);
            let mut score = |fake: f64| libm::round((next() + shift * fake).clamp(0.0, 1.0) * levels) / levels;
            let reals: Vec<f64> = (0..35).map(|_| score(0.0)).collect();
            let fakes: Vec<f64> = (0..50).map(|_| score(1.0)).collect();
            let fit = verdicts(reals, fakes);
            assert!(0.0 <= fit.real_below && fit.real_below < fit.fake_above && fit.fake_above <= 1.0, "{fit:?}");
            if fit.basis == VerdictBasis::Fitted {
                assert!(fit.reals_called_fake <= 1 && fit.fakes_called_real <= 2, "{fit:?}");
            }
        }
    }

    #[test]
    fn too_few_videos_give_the_defaults_and_say_how_many_are_needed() {
        let fit = verdicts(spread(0.0, 0.1, 19), spread(0.9, 1.0, 100));
        assert_eq!([fit.real_below, fit.fake_above], UNCALIBRATED);
        assert_eq!(fit.basis, VerdictBasis::TooFewVideos { reals: 20, fakes: 20 });
        let strict = Misses { reals: 0.01, fakes: 0.05 };
        let basis = |reals| {
            fit_verdict_thresholds(&scored(spread(0.0, 0.1, reals), spread(0.9, 1.0, 20)), &strict).unwrap().basis
        };
        assert_eq!(basis(99), VerdictBasis::TooFewVideos { reals: 100, fakes: 20 });
        assert_eq!(basis(100), VerdictBasis::Fitted);
        assert_eq!(verdicts([], []).decided, 0);
    }

    #[test]
    fn scores_stuck_at_the_ends_give_the_defaults_and_say_so() {
        let stuck = |ones: usize| core::iter::repeat_n(1.0, ones).chain(core::iter::repeat_n(0.1, 30 - ones));
        assert_eq!(verdicts(stuck(10), spread(0.5, 1.0, 30)).basis, VerdictBasis::Saturated);
        assert_eq!(verdicts(stuck(1), spread(0.5, 1.0, 30)).basis, VerdictBasis::Fitted);
    }

    #[test]
    fn nearly_equal_scores_are_still_told_apart() {
        let high = 0.5f32.next_up();
        let fit = verdicts(core::iter::repeat_n(0.5, 20), core::iter::repeat_n(f64::from(high), 20));
        assert!(fit.real_below >= 0.5 && fit.real_below < fit.fake_above && fit.fake_above <= high, "{fit:?}");
        assert_eq!((fit.decided, fit.fakes_called_real, fit.reals_called_fake), (40, 0, 0));
    }

    #[test]
    fn a_score_outside_0_to_1_is_refused() {
        for score in [f64::NAN, -0.1, 1.1] {
            let fit = fit_verdict_thresholds(&scored([score], []), &Misses::default());
            assert_eq!(fit, Err(Undefined::NotFinite));
        }
    }
}
