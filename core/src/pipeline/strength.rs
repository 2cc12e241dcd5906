//! How strongly a verdict speaks for what it says: by how often it was given to fakes and to real videos where that was counted.
//!
//! The measure is the likelihood ratio, as forensic science has it: how many times as often such a verdict is given where what it
//! says is true as where it is not. It is no probability that a video is a fake, for which one would have to know how many are.

use alloc::format;
use alloc::string::{String, ToString};

use serde::{Deserialize, Serialize};

use super::report::{InputKind, Verdict};
use crate::detector::spec::{Measured, VerdictCounts};
use crate::metrics::wilson_interval;

/// How strongly a verdict speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strength {
    /// For programs.
    pub level: StrengthLevel,
    /// For people: one sentence without a full stop.
    pub words: String,
    /// The likelihood ratio that was counted, with its limits; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likelihood_ratio: Option<LikelihoodRatio>,
}

/// How many times as often a verdict is given where it is true as where it is not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LikelihoodRatio {
    /// The limit below: the lower limit of the one part by the upper limit of the other.
    pub low: f64,
    /// As counted; absent where the verdict was never wrong, of which no number follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<f64>,
    /// The limit above; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
}

/// The levels of [`Strength`], by the *lower* limit of the likelihood ratio: those of the ENFSI guideline for evaluative
/// reporting in forensic science (version 3.0, 2015, its example of verbal equivalents).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrengthLevel {
    /// Nobody counted it, or not for inputs of this kind.
    Unknown,
    /// Below 2.
    None,
    /// From 2.
    Weak,
    /// From 10.
    Moderate,
    /// From 100.
    ModeratelyStrong,
    /// From 1,000.
    Strong,
    /// From 10,000.
    VeryStrong,
}

impl StrengthLevel {
    fn of(ratio: f64) -> Self {
        match ratio {
            ratio if ratio >= 10_000.0 => Self::VeryStrong,
            ratio if ratio >= 1_000.0 => Self::Strong,
            ratio if ratio >= 100.0 => Self::ModeratelyStrong,
            ratio if ratio >= 10.0 => Self::Moderate,
            ratio if ratio >= 2.0 => Self::Weak,
            _ => Self::None,
        }
    }

    /// The words of the guideline, before "support".
    pub fn words(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::None => "no",
            Self::Weak => "weak",
            Self::Moderate => "moderate",
            Self::ModeratelyStrong => "moderately strong",
            Self::Strong => "strong",
            Self::VeryStrong => "very strong",
        }
    }
}

impl Strength {
    /// That of one detector's verdict on an input of this kind, in which it judged so many people; `None` where it decided nothing.
    pub fn of(verdict: Verdict, measured: Option<&Measured>, kind: InputKind, judged: usize) -> Option<Self> {
        if !verdict.is_decided() {
            return None;
        }
        let counted = measured.filter(|measured| measured.real.total() > 0 && measured.fake.total() > 0);
        Some(match (counted, kind) {
            (None, _) => Self::unknown("nobody counted how often this detector's verdicts are right"),
            (_, InputKind::Still | InputKind::Live) => {
                Self::unknown("the detector's verdicts were counted on videos, and this is none")
            }
            (_, _) if judged > 1 => Self::unknown(
                "the detector's verdicts were counted on one person a video, and here several were judged",
            ),
            (Some(measured), _) => Self::counted(verdict, measured),
        })
    }

    /// That of a verdict that several detectors share.
    pub fn of_several() -> Self {
        Self::unknown("nobody counted how often these detectors are wrong together")
    }

    fn unknown(why: &str) -> Self {
        let words = format!("how strong this answer is is not known: {why}");
        Self { level: StrengthLevel::Unknown, words, likelihood_ratio: None }
    }

    fn counted(verdict: Verdict, measured: &Measured) -> Self {
        let of_fake = Part::of(verdict, &measured.fake);
        let of_real = Part::of(verdict, &measured.real);
        let (right, wrong, trues, falses) = match verdict {
            Verdict::LikelyReal => (of_real, of_fake, "real videos", "fakes"),
            _ => (of_fake, of_real, "fakes", "real videos"),
        };
        let ratio = |above: f64, below: f64| (below > 0.0).then(|| above / below);
        // Nothing is divided by zero here: no upper limit is 0.
        let low = ratio(right.low, wrong.high).unwrap_or(0.0);
        let likelihood_ratio =
            LikelihoodRatio { low, counted: ratio(right.part, wrong.part), high: ratio(right.high, wrong.low) };
        let level = StrengthLevel::of(low);
        let given = match (likelihood_ratio.counted, likelihood_ratio.high) {
            (None, _) => format!(
                "to {trues}, and to none of the {falses}, so at least {} times as often",
                figure(low, libm::floor)
            ),
            (Some(counted), Some(high)) => format!(
                "{} times as often to {trues} as to {falses} ({} to {} with so few counted)",
                figure(counted, libm::round),
                figure(low, libm::floor),
                figure(high, libm::ceil)
            ),
            (Some(counted), None) => format!(
                "{} times as often to {trues} as to {falses} (at least {} with so few counted)",
                figure(counted, libm::round),
                figure(low, libm::floor)
            ),
        };
        let support = match level {
            StrengthLevel::None => "at its lower limit too little to be called support".to_string(),
            _ => format!("{} support for it", level.words()),
        };
        let words = format!("where it was counted ({}), this verdict was given {given}: {support}", measured.videos);
        Self { level, words, likelihood_ratio: Some(likelihood_ratio) }
    }
}

/// What part of the videos got a verdict, with its limits.
struct Part {
    part: f64,
    low: f64,
    high: f64,
}

impl Part {
    fn of(verdict: Verdict, counts: &VerdictCounts) -> Self {
        let count = match verdict {
            Verdict::LikelyFake => counts.likely_fake,
            Verdict::LikelyReal => counts.likely_real,
            Verdict::Uncertain | Verdict::NoFace => counts.uncertain,
        };
        let total = counts.total();
        // Without an interval nothing is known: the widest.
        let [low, high] = wilson_interval(count, total, counts.groups.unwrap_or(total)).unwrap_or([0.0, 1.0]);
        Self { part: count as f64 / total.max(1) as f64, low, high }
    }
}

/// How a figure is rounded: limits outwards.
type Rounding = fn(f64) -> f64;

/// One digit behind the point below 10, and none above.
fn figure(value: f64, round: Rounding) -> String {
    if value < 10.0 {
        format!("{:.1}", round(value * 10.0) / 10.0).trim_end_matches(".0").to_string()
    } else {
        format!("{:.0}", round(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(real: [u64; 3], fake: [u64; 3]) -> Measured {
        let counts = |[likely_real, uncertain, likely_fake]: [u64; 3]| VerdictCounts {
            likely_real,
            uncertain,
            likely_fake,
            groups: None,
        };
        Measured { videos: "phones".to_string(), real: counts(real), fake: counts(fake) }
    }

    fn strength(verdict: Verdict, measured: &Measured) -> Strength {
        Strength::of(verdict, Some(measured), InputKind::Video, 1).unwrap()
    }

    /// The limits of the parts are SciPy 1.17.1's, `binomtest(count, total).proportion_ci(method="wilson")`: of 140 of 200
    /// 0.6332093162728073 to 0.7592525531762860, of 3 of 301 0.0033952818 to 0.0288885776, of 0 of 301 0 to 0.0126014973.
    #[test]
    fn the_level_is_by_the_lower_limit_and_never_by_what_was_counted() {
        let found = strength(Verdict::LikelyFake, &measured([250, 48, 3], [0, 60, 140]));
        let ratio = found.likelihood_ratio.unwrap();
        assert!((ratio.counted.unwrap() - 0.7 / (3.0 / 301.0)).abs() < 1e-9, "{ratio:?}");
        assert!((ratio.low - 0.633_209_316_273 / 0.028_888_577_708).abs() < 1e-6, "{ratio:?}");
        assert!((ratio.high.unwrap() - 0.759_252_553_176 / 0.003_395_281_774).abs() < 1e-6, "{ratio:?}");
        assert_eq!(found.level, StrengthLevel::Moderate);
        let words = "where it was counted (phones), this verdict was given 70 times as often to fakes as to real videos (21 to \
                     224 with so few counted): moderate support for it";
        assert_eq!(found.words, words);
    }

    #[test]
    fn a_verdict_that_was_never_wrong_is_no_stronger_than_the_number_counted_lets_it_be() {
        let found = strength(Verdict::LikelyFake, &measured([301, 0, 0], [0, 60, 140]));
        let ratio = found.likelihood_ratio.unwrap();
        assert_eq!((ratio.counted, ratio.high), (None, None));
        assert!((ratio.low - 0.633_209_316_273 / 0.012_601_497_301).abs() < 1e-6, "{ratio:?}");
        assert!(
            found.words.contains("to fakes, and to none of the real videos, so at least 50 times as often"),
            "{found:?}"
        );
        // Seven videos without an error say next to nothing.
        let few = strength(Verdict::LikelyReal, &measured([7, 0, 0], [0, 0, 7]));
        assert_eq!(few.level, StrengthLevel::None, "{few:?}");
        assert!(
            few.words.ends_with("so at least 1.8 times as often: at its lower limit too little to be called support"),
            "{few:?}"
        );
    }

    #[test]
    fn a_verdict_that_fakes_and_real_videos_get_alike_supports_nothing() {
        let found = strength(Verdict::LikelyFake, &measured([50, 0, 50], [50, 0, 50]));
        assert_eq!((found.level, found.likelihood_ratio.unwrap().counted), (StrengthLevel::None, Some(1.0)));
        let against = strength(Verdict::LikelyReal, &measured([1, 0, 99], [99, 0, 1]));
        assert_eq!(against.level, StrengthLevel::None);
    }

    #[test]
    fn where_nothing_was_counted_the_strength_is_unknown_and_where_nothing_is_decided_there_is_none() {
        let counted = measured([25, 162, 8], [6, 90, 26]);
        let of = |verdict, measured, kind, judged| Strength::of(verdict, measured, kind, judged);
        assert_eq!(of(Verdict::Uncertain, Some(&counted), InputKind::Video, 1), None);
        assert_eq!(of(Verdict::NoFace, Some(&counted), InputKind::Video, 0), None);
        let one_class = measured([25, 162, 8], [0; 3]);
        for (measured, kind, judged, word) in [
            (None, InputKind::Video, 1, "nobody counted"),
            (Some(&one_class), InputKind::Video, 1, "nobody counted"),
            (Some(&counted), InputKind::Still, 1, "on videos"),
            (Some(&counted), InputKind::Live, 1, "on videos"),
            (Some(&counted), InputKind::Video, 2, "one person"),
        ] {
            let found = of(Verdict::LikelyFake, measured, kind, judged).unwrap();
            assert_eq!((found.level, found.likelihood_ratio), (StrengthLevel::Unknown, None));
            assert!(found.words.contains(word), "{found:?}");
        }
    }

    #[test]
    fn levels_are_those_of_the_guideline() {
        use StrengthLevel::{Moderate, ModeratelyStrong, None, Strong, VeryStrong, Weak};
        let levels = [0.0, 1.99, 2.0, 9.9, 10.0, 99.9, 100.0, 1_000.0, 10_000.0, f64::INFINITY].map(StrengthLevel::of);
        assert_eq!(
            levels,
            [None, None, Weak, Weak, Moderate, Moderate, ModeratelyStrong, Strong, VeryStrong, VeryStrong]
        );
    }
}
