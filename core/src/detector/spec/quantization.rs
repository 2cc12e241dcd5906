//! What storing a detector's weights as 8-bit integers changed, measured on faces.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

/// How a detector's weights were made small, and what its answers are beside those of before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    /// How many weights are 8-bit integers.
    pub int8: usize,
    /// The blocks whose weights are kept in f16, since as integers they changed too much: what the names of their tensors
    /// begin with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<String>,
    /// What that changed.
    pub check: QuantizationCheck,
}

/// The answers of a detector with and without integers to the same faces; a clip counts as one face.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantizationCheck {
    /// Which faces, as the end of a sentence: "FaceForensics++ (val)".
    pub faces: String,
    /// How many of them are real.
    pub real: usize,
    /// How many are fake.
    pub fake: usize,
    /// The cosine between the features of a face before and after, on average.
    pub cosine: f64,
    /// The smallest of these.
    pub least_cosine: f64,
    /// By how much scores differ, on average.
    pub score_difference: f64,
    /// How many faces have another verdict by the detector's thresholds.
    pub verdicts_changed: usize,
    /// The area under the ROC curve of these faces before and after; absent where they are all real or all fake, and where
    /// the detector is untrained, so that its scores mean nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc: Option<[f64; 2]>,
}

impl QuantizationCheck {
    /// The least cosine that the features have on average.
    pub const COSINE: f64 = 0.999;
    /// The most that scores differ by on average.
    pub const SCORE_DIFFERENCE: f64 = 0.01;
    /// The most faces of which the verdict changes, as a part of all.
    pub const VERDICTS_CHANGED: f64 = 0.005;
    /// The most that the area under the ROC curve changes by.
    pub const AUC: f64 = 0.002;

    /// How many faces there are.
    pub fn total(&self) -> usize {
        self.real.saturating_add(self.fake)
    }

    /// What is beyond a limit, each as a part of a sentence; nothing where the detector may be used in place of the other.
    pub fn failures(&self) -> Vec<String> {
        let Self { cosine, score_difference, verdicts_changed, .. } = *self;
        let changed = verdicts_changed as f64 / self.total().max(1) as f64;
        let mut failures = Vec::new();
        // NaN is beyond every limit.
        if !(Self::COSINE..=1.0 + 1e-6).contains(&cosine) {
            failures.push(format!("the features' cosine is {cosine:.4} and not {} or more", Self::COSINE));
        }
        if !(0.0..=Self::SCORE_DIFFERENCE).contains(&score_difference) {
            failures
                .push(format!("scores differ by {score_difference:.4} and not by {} or less", Self::SCORE_DIFFERENCE));
        }
        if changed > Self::VERDICTS_CHANGED {
            let most = 100.0 * Self::VERDICTS_CHANGED;
            failures.push(format!("{verdicts_changed} of {} verdicts change and not {most} % or less", self.total()));
        }
        if let Some([before, after]) =
            self.auc.filter(|[before, after]| !(0.0..=Self::AUC).contains(&(before - after).abs()))
        {
            failures.push(format!("the AUC is {after:.4} in place of {before:.4} and not within {}", Self::AUC));
        }
        failures
    }

    /// The figures for people.
    pub fn words(&self) -> String {
        let auc =
            self.auc.map_or("no AUC".to_string(), |[before, after]| format!("AUC {after:.4} (before {before:.4})"));
        format!(
            "cosine of features {:.5} (least {:.5}), scores differ by {:.5}, {} of {} verdicts changed, {auc}; on {} real and {} fake \
             faces of {}",
            self.cosine,
            self.least_cosine,
            self.score_difference,
            self.verdicts_changed,
            self.total(),
            self.real,
            self.fake,
            self.faces
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> QuantizationCheck {
        QuantizationCheck {
            faces: "phones (val)".into(),
            real: 150,
            fake: 250,
            cosine: 0.9995,
            least_cosine: 0.99,
            score_difference: 0.004,
            verdicts_changed: 2,
            auc: Some([0.912, 0.911]),
        }
    }

    #[test]
    fn each_figure_has_its_limit() {
        assert!(good().failures().is_empty());
        type Change = fn(&mut QuantizationCheck);
        let changes: [(Change, &str); 6] = [
            (|check| check.cosine = 0.9989, "cosine is 0.9989"),
            (|check| check.cosine = f64::NAN, "cosine is NaN"),
            (|check| check.score_difference = 0.0101, "differ by 0.0101"),
            (|check| check.verdicts_changed = 3, "3 of 400 verdicts change"),
            (|check| check.auc = Some([0.912, 0.909]), "AUC is 0.9090 in place of 0.9120"),
            (|check| check.auc = Some([0.912, f64::NAN]), "AUC is NaN"),
        ];
        for (change, words) in changes {
            let mut check = good();
            change(&mut check);
            let failures = check.failures();
            assert!(failures.len() == 1 && failures[0].contains(words), "{failures:?}");
        }
        assert!(QuantizationCheck { auc: None, ..good() }.failures().is_empty());
    }

    #[test]
    fn its_words_have_every_figure() {
        assert_eq!(
            good().words(),
            "cosine of features 0.99950 (least 0.99000), scores differ by 0.00400, 2 of 400 verdicts changed, AUC 0.9110 (before \
             0.9120); on 150 real and 250 fake faces of phones (val)"
        );
    }
}
