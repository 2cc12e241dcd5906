//! How far figures would vary with other videos of other people.

use alloc::vec;
use alloc::vec::Vec;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Ranking, Scored, Undefined};

/// The percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).
///
/// What is drawn are whole *groups* of samples that are not independent of each other: all videos of one person, or a video
/// with the fakes made from it, each with all its frames (the cluster bootstrap; Davison and Hinkley, "Bootstrap Methods
/// and their Application", 1997, section 3.8). Drawing them one by one would make the intervals far too narrow.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// How often as many groups as there are are drawn from them, with replacement.
    pub resamples: u32,
    /// Resample `i` is a function of the seed and `i` alone.
    pub seed: u64,
    /// The part of the resamples' figures that lies in the interval.
    pub level: f64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 1000, seed: 0, level: 0.95 }
    }
}

/// Where a figure lies in the given part of the resamples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Resamples that the interval rests on.
    pub resamples: u32,
    /// Resamples left out because the figure is undefined there, as where one class was not drawn.
    pub skipped: u32,
}

/// A sample with the group it is from.
struct Drawn {
    sample: Scored,
    group: usize,
}

impl Bootstrap {
    /// The intervals of `N` figures, all from the same resamples. Each of `groups` is the samples of one group: one a video
    /// at the level of videos, one a frame at the level of frames.
    ///
    /// # Errors
    /// [`Undefined::NotFinite`] as a whole; for each figure the reason why it is undefined in all resamples, or
    /// [`Undefined::OneGroup`] where a single group leaves nothing to vary.
    pub fn intervals<const N: usize>(
        &self,
        groups: &[Vec<Scored>],
        figures: impl Fn(&Ranking) -> [Result<f64, Undefined>; N],
    ) -> Result<[Result<Interval, Undefined>; N], Undefined> {
        // Sorted once; a resample only changes how often each sample counts.
        let mut samples: Vec<Drawn> = Vec::new();
        for (group, of_group) in groups.iter().enumerate() {
            samples.extend(of_group.iter().map(|sample| Drawn { sample: *sample, group }));
        }
        if samples.iter().any(|drawn| !drawn.sample.score.is_finite()) {
            return Err(Undefined::NotFinite);
        }
        samples.sort_by(|a, b| b.sample.score.total_cmp(&a.sample.score));
        let mut values: [Vec<f64>; N] = core::array::from_fn(|_| Vec::new());
        let mut reasons = [Undefined::Empty; N];
        for resample in 0..self.resamples {
            let times = self.draw(resample, groups.len());
            let ranking = Ranking::of_descending(samples.iter().map(|drawn| (drawn.sample, times[drawn.group])));
            for (index, figure) in figures(&ranking).into_iter().enumerate() {
                match figure {
                    Ok(_) if groups.len() == 1 => reasons[index] = Undefined::OneGroup,
                    Ok(value) => values[index].push(value),
                    Err(reason) => reasons[index] = reason,
                }
            }
        }
        let mut reasons = reasons.into_iter();
        Ok(values.map(|values| self.interval(values).ok_or(reasons.next().unwrap_or(Undefined::Empty))))
    }

    /// How often resample `index` has each of `count` groups.
    fn draw(&self, index: u32, count: usize) -> Vec<u64> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(index));
        let mut times = vec![0; count];
        for _ in 0..count {
            // Through u64 so that the same groups are drawn where usize has 32 bits.
            times[rng.random_range(0..count as u64) as usize] += 1;
        }
        times
    }

    /// The interval of the values of the resamples in which the figure is defined.
    fn interval(&self, mut values: Vec<f64>) -> Option<Interval> {
        values.sort_by(f64::total_cmp);
        let outside = (1.0 - self.level) / 2.0;
        Some(Interval {
            low: quantile(&values, outside)?,
            high: quantile(&values, 1.0 - outside)?,
            resamples: values.len() as u32,
            skipped: self.resamples - values.len() as u32,
        })
    }
}

/// The value below which `part` of the ascending `values` lie, on the straight line between neighbours
/// (`numpy.quantile`).
fn quantile(values: &[f64], part: f64) -> Option<f64> {
    let position = part.clamp(0.0, 1.0) * values.len().checked_sub(1)? as f64;
    let below = libm::floor(position);
    let (low, high) = (values[below as usize], values[(below as usize + 1).min(values.len() - 1)]);
    Some(low + (position - below) * (high - low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn videos(scores: &[(f64, bool)]) -> Vec<Vec<Scored>> {
        scores.iter().map(|(score, fake)| vec![Scored { score: *score, fake: *fake }]).collect()
    }

    fn auc(bootstrap: &Bootstrap, videos: &[Vec<Scored>]) -> Result<Interval, Undefined> {
        let [interval] = bootstrap.intervals(videos, |ranking| [ranking.auc()]).expect("finite");
        interval
    }

    #[test]
    fn quantiles_are_those_of_numpy() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.25), Some(1.5));
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.975), Some(3.9));
        assert_eq!(quantile(&[7.0], 0.3), Some(7.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval_and_another_seed_another() {
        let scores: Vec<(f64, bool)> = (0..40).map(|i| (f64::from(i * 7 % 40), i % 3 == 0)).collect();
        let bootstrap = Bootstrap::default();
        assert_eq!(auc(&bootstrap, &videos(&scores)), auc(&bootstrap, &videos(&scores)));
        assert_ne!(auc(&bootstrap, &videos(&scores)), auc(&Bootstrap { seed: 1, ..bootstrap }, &videos(&scores)));
    }

    #[test]
    fn the_first_resamples_are_the_same_however_many_follow() {
        let few = Bootstrap { resamples: 3, ..Bootstrap::default() };
        assert_eq!((0..3).map(|i| few.draw(i, 9)).collect::<Vec<_>>(), {
            let many = Bootstrap::default();
            (0..3).map(|i| many.draw(i, 9)).collect::<Vec<_>>()
        });
        assert!((0..20).all(|i| few.draw(i, 9).iter().sum::<u64>() == 9));
    }

    #[test]
    fn resamples_without_one_class_are_skipped_and_counted() {
        let bootstrap = Bootstrap::default();
        let interval = auc(&bootstrap, &videos(&[(0.9, true), (0.1, false)])).expect("defined in some resamples");
        assert_eq!((interval.low, interval.high), (1.0, 1.0));
        assert_eq!(interval.resamples + interval.skipped, 1000);
        // Two draws of two miss one of them half the time.
        assert!((400..600).contains(&interval.skipped), "{}", interval.skipped);
        assert_eq!(auc(&bootstrap, &videos(&[(0.9, true)])), Err(Undefined::NoReal));
        assert_eq!(auc(&bootstrap, &[]), Err(Undefined::Empty));
    }

    #[test]
    fn one_group_alone_has_no_interval_however_many_samples_it_has() {
        let both = [Scored { score: 0.9, fake: true }, Scored { score: 0.1, fake: false }];
        assert_eq!(auc(&Bootstrap::default(), &[both.to_vec()]), Err(Undefined::OneGroup));
    }

    #[test]
    fn videos_of_one_person_are_drawn_together_which_makes_the_interval_wider_where_they_are_alike() {
        // Sixteen people of eight videos each, which score alike.
        let score = |person: u32, video: u32| f64::from(person * 7 % 16) + f64::from(video) / 100.0;
        let people: Vec<Vec<Scored>> = (0..16)
            .map(|person| (0..8).map(|video| Scored { score: score(person, video), fake: person % 2 == 0 }).collect())
            .collect();
        let alone: Vec<Vec<Scored>> = people.iter().flatten().map(|video| vec![*video]).collect();
        let width = |groups: &[Vec<Scored>]| {
            let interval = auc(&Bootstrap::default(), groups).expect("defined");
            interval.high - interval.low
        };
        assert!(width(&people) > 1.5 * width(&alone), "{} and {}", width(&people), width(&alone));
    }

    #[test]
    fn frames_of_one_video_are_drawn_together() {
        // Each video's frames agree, so drawing whole videos leaves the interval as wide as with one frame each.
        let scores: Vec<(f64, bool)> = (0..30).map(|i| (f64::from(i * 11 % 30), i % 2 == 0)).collect();
        let frames: Vec<Vec<Scored>> = videos(&scores).iter().map(|video| vec![video[0]; 8]).collect();
        let bootstrap = Bootstrap::default();
        assert_eq!(auc(&bootstrap, &frames), auc(&bootstrap, &videos(&scores)));
    }
}
