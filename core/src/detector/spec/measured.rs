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
    /// How many of them are independent of each other: people, or what else several videos were made of. Absent where that is
    /// not known, and each counts as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<u64>,
}

impl VerdictCounts {
    /// How many there are.
    pub fn total(&self) -> u64 {
        self.likely_real.saturating_add(self.uncertain).saturating_add(self.likely_fake)
    }

    /// "about 3 (1.2 to 7.4)": what part `count` is, of 100, and between which limits; `None` where nothing was counted.
    fn of_100(&self, count: u64) -> Option<String> {
        let total = self.total();
        let [low, high] = wilson_interval(count, total, self.groups.unwrap_or(total))?.map(|part| number(100.0 * part));
        let all = 100.0 * count as f64 / total as f64;
        Some(match count {
            0 => format!("none (at most {high})"),
            count if count == total => format!("all (at least {low})"),
            _ => format!("about {} ({low} to {high})", number(all)),
        })
    }

    /// "40 real videos", and in how many groups they come if those are fewer.
    fn counted(&self, label: &str) -> String {
        let total = self.total();
        match self.groups {
            Some(groups) if groups < total => format!("{total} {label} videos of {groups} people or sources"),
            _ => format!("{total} {label} videos"),
        }
    }
}

impl Measured {
    /// How often such verdicts are wrong, as one sentence without a full stop; `None` unless real and fake videos were counted.
    ///
    /// The limits are those of [`wilson_interval`]: how far the part may be off because not more people were counted. How
    /// much other videos differ from these, no count tells.
    pub fn words(&self) -> Option<String> {
        if self.real.total() == 0 || self.fake.total() == 0 {
            return None;
        }
        Some(format!(
            "of 100 real videos like those that it was measured on it calls {} likely fake, and of 100 fakes {} likely real and {} \
             likely fake (counted on {} and {}: {})",
            self.real.of_100(self.real.likely_fake)?,
            self.fake.of_100(self.fake.likely_real)?,
            self.fake.of_100(self.fake.likely_fake)?,
            self.real.counted("real"),
            self.fake.counted("fake"),
            self.videos
        ))
    }
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
            real: VerdictCounts { likely_real: 250, uncertain: 48, likely_fake: 3, groups: None },
            fake: VerdictCounts { likely_real: 0, uncertain: 60, likely_fake: 140, groups: Some(200) },
        };
        assert_eq!(
            measured.words().unwrap(),
            "of 100 real videos like those that it was measured on it calls about 1 (0.3 to 2.9) likely fake, and of 100 \
             fakes none (at most 1.9) likely real and about 70 (63 to 76) likely fake (counted on 301 real videos and 200 fake videos: \
             phones)"
        );
        let all = VerdictCounts { likely_fake: 7, ..VerdictCounts::default() };
        assert_eq!(all.of_100(7).unwrap(), "all (at least 65)");
    }

    #[test]
    fn many_videos_of_few_people_say_less() {
        let few = VerdictCounts { likely_real: 26, uncertain: 0, likely_fake: 14, groups: Some(20) };
        let fake = VerdictCounts { likely_fake: 20, ..VerdictCounts::default() };
        let said = Measured { videos: "phones".into(), real: few, fake }.words().unwrap();
        assert!(said.contains("calls about 35 (18 to 57) likely fake"), "{said}");
        assert!(
            said.contains("counted on 40 real videos of 20 people or sources and 20 fake videos: phones"),
            "{said}"
        );
    }

    #[test]
    fn what_was_counted_on_one_class_alone_says_nothing() {
        let some = VerdictCounts { likely_real: 1, uncertain: 2, likely_fake: 3, groups: None };
        let measured = |real, fake| Measured { videos: "v".into(), real, fake };
        assert_eq!(measured(some, VerdictCounts::default()).words(), None);
        assert_eq!(measured(VerdictCounts::default(), some).words(), None);
        let most = VerdictCounts { likely_real: u64::MAX, uncertain: u64::MAX, likely_fake: 1, groups: None };
        assert!(measured(most, some).words().is_some(), "a file may say anything");
    }
}
