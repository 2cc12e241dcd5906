//! What a run leaves: the calibrated detector, its adapter, and a summary for people.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use unmask_core::detector::Detector;
use unmask_core::metrics::{Bootstrap, Ranking};
use unmask_core::weights::spec::{AdapterSpec, DetectorSpec, Training, TrainingStatus};

use super::checkpoint::Best;
use super::recipe::{DataRecipe, Recipe, Share, StrategyName};
use super::watch::{self, Measure};
use crate::datasets::Video;
use crate::detector_file;
use crate::evaluation::calibration::{Calibrated, video_scores, video_scores_by_group};
use crate::files;
use crate::output::say;
use crate::predict::ClipLogits;

/// A train AUC this far above the validation's is pointed out: what was learnt does not carry over.
const WIDE_GAP: f64 = 0.1;

/// A finished run.
pub(super) struct Outcome<'a> {
    pub(super) recipe: &'a Recipe,
    /// The one with the best validation.
    pub(super) detector: &'a Detector,
    pub(super) start_sha256: &'a str,
    pub(super) best: Option<&'a Best>,
    pub(super) validation: &'a [Video],
    /// The detector's answers to them.
    pub(super) predictions: &'a [ClipLogits],
    pub(super) out: &'a Path,
}

/// Calibrates the detector on the validation data, and writes `detector.safetensors`, `adapter.safetensors` where not
/// everything was trained, and `summary.md`.
pub(super) fn write_outcome(outcome: &Outcome) -> Result<()> {
    let calibrated = Calibrated::fit(outcome.validation, outcome.predictions);
    let spec = spec(outcome, &calibrated);
    let model = outcome.detector.model();
    detector_file::write(&outcome.out.join("detector.safetensors"), &spec, model, |_| true)?;
    if outcome.recipe.model.strategy != StrategyName::Full {
        let adapter = Some(AdapterSpec { base_sha256: outcome.start_sha256.to_owned() });
        let spec = DetectorSpec { adapter, ..spec };
        let path = outcome.out.join("adapter.safetensors");
        detector_file::write(&path, &spec, model, |name| outcome.recipe.model.changes(name))?;
    }
    let summary = summary(outcome, &calibrated)?;
    files::write_bytes(&outcome.out.join("summary.md"), summary.as_bytes())?;
    say!("{summary}");
    Ok(())
}

fn spec(outcome: &Outcome, calibrated: &Calibrated) -> DetectorSpec {
    let start = outcome.detector.spec();
    let auc = outcome.best.and_then(|best| best.auc).map_or(String::new(), |auc| format!(", validation AUC {auc:.4}"));
    let base = start.base_model.clone().unwrap_or_else(|| start.name.clone());
    DetectorSpec {
        name: outcome.recipe.name.clone(),
        calibration: calibrated.calibration.clone(),
        training: Training {
            status: TrainingStatus::Trained,
            summary: format!(
                "{} from {base}, {} epochs{}{auc}",
                strategy_words(outcome.recipe.model.strategy),
                outcome.recipe.run.epochs,
                pairs_words(&outcome.recipe.data),
            ),
            reliability: Some(calibrated.reliability(None)),
        },
        base_model: Some(base),
        adapter: None,
        ..start.clone()
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

fn strategy_words(strategy: StrategyName) -> &'static str {
    match strategy {
        StrategyName::Ln => "layer norms and head trained",
        StrategyName::Full => "fully fine-tuned",
        StrategyName::Head => "head trained",
        StrategyName::Stan => "layer norms, temporal branch and head trained",
    }
}

/// The run in figures, as Markdown.
fn summary(outcome: &Outcome, calibrated: &Calibrated) -> Result<String> {
    let measures = watch::read(&outcome.out.join("metrics.jsonl"))?;
    let mut text = format!("# {}\n\n", outcome.recipe.name);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}.\n", capitalised(&spec(outcome, calibrated).training.summary));
    let _ = writeln!(text, "{}\n", start_words(outcome));
    epochs_table(&mut text, &measures, outcome);
    let _ = writeln!(text, "{}", validation_words(outcome, calibrated)?);
    if let Some(gap) = gap(&measures, outcome) {
        let _ = writeln!(
            text,
            "\nIn the chosen epoch the AUC over the training clips was {:+.4} from that over the validation videos.{}",
            gap,
            if gap > WIDE_GAP {
                " The gap is wide: what was learnt holds for the training data far better than for other data. Train fewer \
                 parameters (`model.strategy = \"ln\"`), fewer epochs, or on more and more varied data."
            } else {
                ""
            }
        );
    }
    let _ = writeln!(text, "\n{}", calibrated.words());
    Ok(text)
}

/// What the run started from, and what had been done to that before.
fn start_words(outcome: &Outcome) -> String {
    let start = outcome.detector.spec();
    let before = match start.training.status {
        TrainingStatus::Trained => format!("which had been trained before ({})", start.training.summary),
        TrainingStatus::Imported => "which was trained elsewhere".to_owned(),
        TrainingStatus::Untrained => "which had not been trained to detect anything".to_owned(),
    };
    format!(
        "It started from {}, {before}; optimizer, learning rate and averages began anew. SHA-256 of that file: {}.",
        start.name, outcome.start_sha256
    )
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn epochs_table(text: &mut String, measures: &[Measure], outcome: &Outcome) {
    text.push_str("| epoch | train loss | train AUC | validation loss | validation AUC |\n|--:|--:|--:|--:|--:|\n");
    let shown = |auc: &Option<f64>| auc.map_or("–".to_string(), |auc| format!("{auc:.4}"));
    for measure in measures {
        if let Measure::Epoch { step, epoch, train_loss, train_auc, validation_loss, validation_auc } = measure {
            let chosen = if is_best(*step, outcome) { " ←" } else { "" };
            let _ = writeln!(
                text,
                "| {epoch} | {train_loss:.4} | {} | {validation_loss:.4} | {}{chosen} |",
                shown(train_auc),
                shown(validation_auc),
            );
        }
    }
    text.push('\n');
}

fn is_best(step: usize, outcome: &Outcome) -> bool {
    outcome.best.is_some_and(|best| best.step == step)
}

/// Train AUC minus validation AUC of the chosen epoch.
fn gap(measures: &[Measure], outcome: &Outcome) -> Option<f64> {
    measures.iter().find_map(|measure| match measure {
        Measure::Epoch { step, train_auc: Some(train), validation_auc: Some(validation), .. }
            if is_best(*step, outcome) =>
        {
            Some(train - validation)
        }
        _ => None,
    })
}

fn validation_words(outcome: &Outcome, calibrated: &Calibrated) -> Result<String> {
    let scores = video_scores(outcome.validation, outcome.predictions, calibrated.calibration.temperature);
    let (fakes, reals) = (scores.iter().filter(|s| s.fake).count(), scores.iter().filter(|s| !s.fake).count());
    let videos = format!("{reals} real and {fakes} fake validation videos");
    let auc = match Ranking::new(scores.iter().copied()).and_then(|ranking| ranking.auc()) {
        Ok(auc) => auc,
        Err(reason) => return Ok(format!("On {videos} no AUC can be given: {reason}.")),
    };
    let groups = video_scores_by_group(outcome.validation, outcome.predictions, calibrated.calibration.temperature);
    let interval = Bootstrap::default()
        .intervals(&groups, |ranking: &Ranking| [ranking.auc()])
        .context("the interval of the AUC cannot be computed")?;
    let [interval] = interval;
    let interval = interval
        .map_or(String::new(), |interval| format!(" (95 % interval {:.4} to {:.4})", interval.low, interval.high));
    Ok(format!(
        "On {videos} the chosen detector has AUC {auc:.4}{interval}. The epoch was chosen by these videos, so the figure \
         flatters it; `unmask eval` on test data tells how good it is."
    ))
}
