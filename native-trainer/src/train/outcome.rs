//! What a run leaves: the calibrated detector, its adapter, and a summary for people.

use std::path::Path;

use anyhow::Result;
use unmask_core::detector::Detector;
use unmask_core::detector::spec::{
    AdapterSpec, Architecture, Calibration, DetectorSpec, Grade, Reliability, Training, TrainingStatus,
};
use unmask_core::metrics::Misses;

use super::best::Best;
use super::recipe::{DataRecipe, ModelRecipe, Recipe, Share, StatisticsName, StrategyName};
use super::summary::summary;
use super::watch;
use crate::datasets::Video;
use crate::detector_file;
use crate::evaluation::calibration::Calibrated;
use crate::files;
use crate::output::say;
use crate::predict::ClipLogits;

/// The file of the detector that a run leaves in its folder.
pub const DETECTOR: &str = "detector.safetensors";
/// The file that holds only what was trained, where that is not everything.
pub const ADAPTER: &str = "adapter.safetensors";

/// A finished run.
pub(super) struct Outcome<'a> {
    pub(super) recipe: &'a Recipe,
    /// What the detector that it started from says of itself.
    pub(super) start: &'a DetectorSpec,
    pub(super) start_sha256: &'a str,
    /// The one with the best validation.
    pub(super) detector: &'a Detector,
    pub(super) best: Option<&'a Best>,
    pub(super) steps_per_epoch: usize,
    pub(super) validation: &'a [Video],
    /// The detector's answers to them.
    pub(super) predictions: &'a [ClipLogits],
    pub(super) out: &'a Path,
}

/// Calibrates the detector on the validation data, and writes `detector.safetensors`, `adapter.safetensors` where not
/// everything was trained, and `summary.md`.
pub(super) fn write_outcome(outcome: &Outcome) -> Result<()> {
    let Outcome { recipe, start, best, steps_per_epoch, out, .. } = *outcome;
    let calibrated = Calibrated::fit(outcome.validation, outcome.predictions, Misses::default());
    let spec = trained(recipe, start, best, steps_per_epoch);
    let training = Training { reliability: Some(calibrated.reliability(None)), ..spec.training };
    let calibration = calibrated.calibration.clone().with_limit_of(&spec.calibration);
    let spec = DetectorSpec { calibration, training, ..spec };
    let model = outcome.detector.model();
    detector_file::write_merged(&out.join(DETECTOR), &spec, model, recipe.model.low_rank().as_ref())?;
    if recipe.model.strategy != StrategyName::Full {
        let adapter = Some(AdapterSpec { base_sha256: outcome.start_sha256.to_owned() });
        let spec = DetectorSpec { adapter, low_rank: recipe.model.low_rank(), ..spec.clone() };
        let is_kept = |name: &str| recipe.model.changes(&spec.architecture, name);
        detector_file::write(&out.join(ADAPTER), &spec, model, is_kept)?;
    }
    let measures = watch::read(&out.join("metrics.jsonl"))?;
    let summary = summary(outcome, &spec, &calibrated, &measures)?;
    files::write_bytes(&out.join("summary.md"), summary.as_bytes())?;
    say!("{summary}");
    Ok(())
}

/// How a detector describes itself that came out of a run from `start` at the step `best` and was not calibrated.
pub(super) fn trained(
    recipe: &Recipe,
    start: &DetectorSpec,
    best: Option<&Best>,
    steps_per_epoch: usize,
) -> DetectorSpec {
    let auc = best.and_then(|best| best.auc).map_or(String::new(), |auc| format!(", validation AUC {auc:.4}"));
    let summary = format!(
        "{} from {}, {}{}{auc}",
        strategy_words(&recipe.model, &start.architecture),
        start.name,
        epochs_words(best.map(|best| best.step / steps_per_epoch), recipe.run.epochs),
        pairs_words(&recipe.data),
    );
    let words = "the detector's thresholds are the defaults, because its run has fitted none so far".to_owned();
    let reliability = Some(Reliability { grade: Grade::Uncalibrated, words });
    let made_from = start.base_model.as_ref().map_or(String::new(), |base| format!(", made from {base}"));
    DetectorSpec {
        name: recipe.name.clone(),
        calibration: Calibration::default().with_limit_of(&start.calibration),
        training: Training { status: TrainingStatus::Trained, summary, reliability },
        base_model: Some(format!("{}{made_from}", start.name)),
        adapter: None,
        ..start.clone()
    }
}

/// How many epochs there were, and which of them the weights are of.
fn epochs_words(chosen: Option<usize>, epochs: usize) -> String {
    match chosen {
        _ if epochs == 1 => "1 epoch".to_owned(),
        Some(chosen) if chosen < epochs => format!("epoch {chosen} of {epochs}"),
        _ => format!("{epochs} epochs"),
    }
}

fn pairs_words(data: &DataRecipe) -> String {
    match data.self_blended {
        share if share.is_all() => " on self-blended images".to_owned(),
        Share(share) if share > 0.0 => format!(" on pairs, {:.0} % of them self-blended", 100.0 * share),
        _ if data.pairs => " on pairs".to_owned(),
        _ => String::new(),
    }
}

fn strategy_words(model: &ModelRecipe, architecture: &Architecture) -> String {
    let has_batch_norms = architecture.sizes().has_batch_norms();
    let norms = if has_batch_norms { "norms" } else { "layer norms" };
    let statistics = match model.statistics {
        StatisticsName::Batch if has_batch_norms => ", with the norms' statistics of its own data",
        _ => "",
    };
    let trained = match model.strategy {
        StrategyName::Ln => format!("{norms} and head trained"),
        StrategyName::Full => "fully fine-tuned".to_owned(),
        StrategyName::Head => "head trained".to_owned(),
        StrategyName::Stan => format!("{norms}, new layers and head trained"),
        StrategyName::Effort => match model.effort.residual {
            1 => "the smallest singular value of weights and head trained".to_owned(),
            values => format!("the smallest {values} singular values of weights and head trained"),
        },
        StrategyName::Lora => format!("low-rank updates (rank {}) and head trained", model.low_rank.rank),
    };
    format!("{trained}{statistics}")
}

#[cfg(test)]
mod tests {
    use unmask_core::detector::clip::{ClipConfig, HeadKind};
    use unmask_core::detector::efficientnet::EfficientNetConfig;

    use super::*;

    #[test]
    fn epochs_are_counted_in_words_and_the_chosen_one_is_named_where_it_is_not_the_last() {
        let words = [(Some(1), 1), (None, 1), (Some(2), 14), (Some(14), 14), (None, 14)];
        let words = words.map(|(chosen, epochs)| epochs_words(chosen, epochs));
        assert_eq!(words, ["1 epoch", "1 epoch", "epoch 2 of 14", "14 epochs", "14 epochs"]);
    }

    #[test]
    fn what_was_trained_is_called_by_what_the_architecture_has() {
        let clip = Architecture::Clip(ClipConfig::vit_b_16(HeadKind::OneLayer));
        let lite = Architecture::EfficientNet(EfficientNetConfig::lite0(HeadKind::OneLayer));
        let batch = ModelRecipe { statistics: StatisticsName::Batch, ..ModelRecipe::default() };
        assert_eq!(strategy_words(&ModelRecipe::default(), &clip), "layer norms and head trained");
        assert_eq!(strategy_words(&ModelRecipe::default(), &lite), "norms and head trained");
        assert_eq!(strategy_words(&batch, &clip), "layer norms and head trained");
        assert!(strategy_words(&batch, &lite).ends_with("statistics of its own data"));
    }
}
