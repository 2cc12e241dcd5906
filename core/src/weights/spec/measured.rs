//! How often a detector's verdicts are right, counted on videos.

use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use crate::metrics::wilson_interval;

/// The verdicts of a detector's thresholds on videos of which it is known whether they are real, and which had no part in
/// its training or in the choice of the thresholds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Which videos, as the end of a sentence: "DFDC and Celeb-DF-v2".
    pub videos: String,
    /// The verdicts on real ones.
    pub real: VerdictCounts,
    /// The verdicts on fakes.
    pub fake: VerdictCounts,
}

/// How many videos got which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictCounts {
    /// Whose score is at or below `real_below`.
    pub likely_real: u64,
    /// Whose score lies between the thresholds.
    pub uncertain: u64,
    /// Whose score is at or above `fake_above`.
    pub likely_fake: u64,
}

impl VerdictCounts {
    /// How many there are.
    pub fn total(&self) -> u64 {
        self.likely_real.saturating_add(self.uncertain).saturating_add(self.likely_fake)
    }
}

impl Measured {
    /// How often such verdicts are wrong, as one sentence without a full stop; `None` unless real and fake videos were counted.
    ///
    /// The limits are those of [`wilson_interval`]: how far the part may be off because not more videos were counted. How
    /// much other videos differ from these, no count tells.
    pub fn words(&self) -> Option<String> {
        let (real, fake) = (self.real.total(), self.fake.total());
        if real == 0 || fake == 0 {
            return None;
        }
        Some(format!(
            "of 100 real videos like those that it was measured on it calls {} likely fake, and of 100 fakes {} likely real and {} \
             likely fake (counted on {real} real and {fake} fake videos of {})",
            of_100(self.real.likely_fake, real)?,
            of_100(self.fake.likely_real, fake)?,
            of_100(self.fake.likely_fake, fake)?,
            self.videos
        ))
    }
}

/// "about 3 (1.2 to 7.4)": how many of 100, and between which limits; `None` for none of none.
fn of_100(count: u64, total: u64) -> Option<String> {
    let [low, high] = wilson_interval(count, total)?.map(|part| number(100.0 * part));
    let all = 100.0 * count as f64 / total as f64;
    Some(match count {
        0 => format!("none (at most {high})"),
        count if count == total => format!("all (at least {low})"),
        _ => format!("about {} ({low} to {high})", number(all)),
    })
}

/// A number of 0 to 100 with one digit behind the point below 10, and none above.
fn number(value: f64) -> String {
    let tenths = libm::round(value * 10.0) / 10.0;
    if tenths < 10.0 { format!("{tenths:.1}").trim_end_matches(".0").to_string() } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_rates_are_said_of_100_videos_with_what_few_videos_leave_open() {
        let measured = Measured {
            videos: "phones".into(),
            real: VerdictCounts { likely_real: 250, uncertain: 48, likely_fake: 3 },
            fake: VerdictCounts { likely_real: 0, uncertain: 60, likely_fake: 140 },
        };
        assert_eq!(
            measured.words().unwrap(),
            "of 100 real videos like those that it was measured on it calls about 1 (0.3 to 2.9) likely fake, and of 100 \
             fakes none (at most 1.9) likely real and about 70 (63 to 76) likely fake (counted on 301 real and 200 fake videos of \
             phones)"
        );
        assert_eq!(of_100(7, 7).unwrap(), "all (at least 65)");
    }

    #[test]
    fn what_was_counted_on_one_class_alone_says_nothing() {
        let some = VerdictCounts { likely_real: 1, uncertain: 2, likely_fake: 3 };
        let measured = |real, fake| Measured { videos: "v".into(), real, fake };
        assert_eq!(measured(some, VerdictCounts::default()).words(), None);
        assert_eq!(measured(VerdictCounts::default(), some).words(), None);
        let most = VerdictCounts { likely_real: u64::MAX, uncertain: u64::MAX, likely_fake: 1 };
        assert!(measured(most, some).words().is_some(), "a file may say anything");
    }
}
