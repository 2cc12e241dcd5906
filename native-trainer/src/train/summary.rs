//! A finished run in figures and sentences, as Markdown for people.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use unmask_core::detector::Strategy;
use unmask_core::detector::spec::{Architecture, DetectorSpec, TrainingStatus};
use unmask_core::metrics::{Bootstrap, Interval, Ranking, Undefined};

use super::outcome::Outcome;
use super::recipe::{LossRecipe, StrategyName};
use super::watch::Measure;
use crate::evaluation::calibration::{Calibrated, in_words, video_scores, video_scores_by_group};

/// A train AUC this far above the validation's is pointed out: what was learnt does not carry over.
const WIDE_GAP: f64 = 0.1;

/// The AUC of scores that say nothing.
const GUESSING: f64 = 0.5;

/// What was measured in an epoch.
#[derive(Clone, Copy)]
struct Aucs {
    train: f64,
    validation: f64,
}

/// The run of which `spec` describes the detector, with what was measured in it.
pub(super) fn summary(
    outcome: &Outcome,
    spec: &DetectorSpec,
    calibrated: &Calibrated,
    measures: &[Measure],
) -> Result<String> {
    let recipe = outcome.recipe;
    let mut text = format!("# {}\n\n", spec.name);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}.\n", capitalised(&spec.training.summary));
    let _ = writeln!(text, "{}\n", start_words(outcome.start, outcome.start_sha256));
    epochs_table(&mut text, measures, outcome);
    if recipe.run.epochs > 1 {
        let _ = writeln!(
            text,
            "The arrow is at the epoch that was chosen: the highest validation AUC, and where that does not decide, \
             the lowest validation loss.\n"
        );
    }
    if let Some(words) = loss_words(&recipe.loss) {
        let _ = writeln!(text, "{words}\n");
    }
    let _ = writeln!(text, "{}", validation_words(outcome, calibrated)?);
    if let Some(aucs) = chosen_aucs(measures, outcome) {
        let fewer = fewer_parameters(recipe.model.strategy, &outcome.start.architecture);
        let _ = writeln!(text, "\n{}", gap_words(aucs, fewer));
    }
    let _ = writeln!(text, "\n{}", calibrated.words());
    Ok(text)
}

/// What the run started from, and what had been done to that before.
fn start_words(start: &DetectorSpec, sha256: &str) -> String {
    let before = match start.training.status {
        TrainingStatus::Trained => format!("which had been trained before ({})", start.training.summary),
        TrainingStatus::Imported => "which was trained elsewhere".to_owned(),
        TrainingStatus::Untrained => "which had not been trained to detect anything".to_owned(),
    };
    format!(
        "It started from {}, {before}; optimizer and learning rate began anew. SHA-256 of that file: {sha256}.",
        start.name
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
            let chosen = if outcome.recipe.run.epochs > 1 && is_best(*step, outcome) { " ←" } else { "" };
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

/// Says so where the two losses of the table are not of one kind.
fn loss_words(loss: &LossRecipe) -> Option<String> {
    let LossRecipe { cross_entropy, label_smoothing, uniformity, alignment, .. } = *loss;
    let is_plain = cross_entropy == 1.0
        && label_smoothing == 0.0
        && uniformity == 0.0
        && alignment == 0.0
        && loss.penalties.is_empty();
    (!is_plain).then(|| {
        "The train loss is the recipe's, the validation loss the cross-entropy alone: the two cannot be compared."
            .to_owned()
    })
}

/// How good the detector is on the validation videos, and what that figure is worth.
fn validation_words(outcome: &Outcome, calibrated: &Calibrated) -> Result<String> {
    let temperature = calibrated.calibration.temperature;
    let scores = video_scores(outcome.validation, outcome.predictions, temperature);
    let videos = in_words(outcome.validation);
    let was_chosen = outcome.recipe.run.epochs > 1;
    let auc = match Ranking::new(scores).and_then(|ranking| ranking.auc()) {
        Ok(auc) => auc,
        Err(reason) => return Ok(format!("On {videos} no AUC can be given: {reason}.")),
    };
    let groups = video_scores_by_group(outcome.validation, outcome.predictions, temperature);
    let interval = Bootstrap::default()
        .intervals(&groups, |ranking: &Ranking| [ranking.auc()])
        .context("the interval of the AUC cannot be computed")?;
    let interval = interval_words(&interval[0]);
    let at = if temperature == 1.0 { "" } else { ", at the temperature below," };
    let worth = if was_chosen {
        "The epoch was chosen by these videos, so the figure flatters it; `unmask eval` on test data tells how good it \
         is."
    } else {
        "`unmask eval` tells how good it is on test data that nobody looked at while choosing the recipe."
    };
    Ok(format!("On {videos} the detector{at} has AUC {auc:.4} ({interval}). {worth}"))
}

/// The interval of an AUC, and what it means where guessing lies in it.
fn interval_words(interval: &Result<Interval, Undefined>) -> String {
    match interval {
        Ok(Interval { low, high, .. }) if *low <= GUESSING => format!(
            "95 % interval {low:.4} to {high:.4}, so these videos do not show it to be better than guessing, which has \
             {GUESSING}"
        ),
        Ok(Interval { low, high, .. }) => format!("95 % interval {low:.4} to {high:.4}"),
        Err(reason) => format!("no interval can be given: {reason}"),
    }
}

/// The AUCs of the epoch whose weights the detector has, where there are both.
fn chosen_aucs(measures: &[Measure], outcome: &Outcome) -> Option<Aucs> {
    measures.iter().find_map(|measure| match *measure {
        Measure::Epoch { step, train_auc: Some(train), validation_auc: Some(validation), .. }
            if is_best(step, outcome) =>
        {
            Some(Aucs { train, validation })
        }
        _ => None,
    })
}

/// How far the figure on the training clips is from that on the validation videos, and what may help where it is far
/// above. `fewer` is what to set to train fewer parameters, where there is a way.
fn gap_words(Aucs { train, validation }: Aucs, fewer: Option<&str>) -> String {
    let gap = train - validation;
    let compared = match format!("{:.4}", gap.abs()) {
        none if none == "0.0000" => "the same as".to_owned(),
        apart if gap > 0.0 => format!("{apart} above"),
        apart => format!("{apart} below"),
    };
    let mut text = format!(
        "In the epoch that ended with these weights the AUC over the training clips was {train:.4}, {compared} the \
         {validation:.4} over the validation videos. Training clips are augmented, count one by one, and were scored \
         while the weights still changed."
    );
    if gap > WIDE_GAP {
        text.push_str(
            " The gap is wide: what was learnt holds for the training data far better than for other data. What may \
             narrow it: more and more varied data, stronger augmentation (`augmentation` in the recipe)",
        );
        match fewer {
            Some(setting) => {
                let _ = write!(text, ", or training fewer parameters (`{setting}`).");
            }
            None => text.push_str(", or a lower `optimizer.learning_rate`."),
        }
    }
    text
}

/// What to set so that fewer parameters are trained than by `strategy`, where there is a way.
fn fewer_parameters(strategy: StrategyName, architecture: &Architecture) -> Option<&'static str> {
    match strategy {
        StrategyName::Full if architecture.sizes().usual_strategy() == Strategy::Stan => {
            Some("model.strategy = \"stan\"")
        }
        StrategyName::Full | StrategyName::Stan => Some("model.strategy = \"ln\""),
        StrategyName::Ln | StrategyName::Lora | StrategyName::Effort => Some("model.strategy = \"head\""),
        StrategyName::Head => None,
    }
}

#[cfg(test)]
mod tests {
    use unmask_core::detector::clip::{ClipConfig, HeadKind};
    use unmask_core::detector::stan::StanConfig;

    use super::*;

    fn words(train: f64, validation: f64, fewer: Option<&str>) -> String {
        gap_words(Aucs { train, validation }, fewer)
    }

    #[test]
    fn a_gap_is_told_by_its_side_and_without_a_sign() {
        for (train, validation, compared) in [
            (0.9123, 0.85, "0.9123, 0.0623 above the 0.8500 over the validation"),
            (0.85, 0.91, "0.8500, 0.0600 below the 0.9100 over the validation"),
            (0.5, 0.500_01, "0.5000, the same as the 0.5000 over the validation"),
        ] {
            let said = words(train, validation, Some("x"));
            assert!(said.contains(compared) && !said.contains('-') && !said.contains('+'), "{said}");
            assert!(!said.contains("wide"), "{said}");
        }
    }

    #[test]
    fn what_may_narrow_a_wide_gap_is_never_what_was_done_already() {
        let clip = Architecture::Clip(ClipConfig::vit_b_16(HeadKind::OneLayer));
        let stan = Architecture::Stan(StanConfig::new(ClipConfig::vit_b_16(HeadKind::OneLayer)));
        for (strategy, name) in [
            (StrategyName::Full, "full"),
            (StrategyName::Ln, "ln"),
            (StrategyName::Stan, "stan"),
            (StrategyName::Head, "head"),
        ] {
            for architecture in [&clip, &stan] {
                let said = words(0.99, 0.6, fewer_parameters(strategy, architecture));
                assert!(said.contains("The gap is wide") && said.contains("varied data"), "{said}");
                assert!(!said.contains(&format!("\"{name}\"")), "{name}: {said}");
                assert_eq!(said.contains("model.strategy"), strategy != StrategyName::Head, "{said}");
            }
        }
        assert!(words(0.99, 0.6, fewer_parameters(StrategyName::Full, &clip)).contains("\"ln\""));
        assert!(words(0.99, 0.6, fewer_parameters(StrategyName::Full, &stan)).contains("\"stan\""));
    }

    #[test]
    fn an_interval_that_holds_one_half_is_said_to_show_nothing() {
        let words = |low: f64| interval_words(&Ok(Interval { low, high: 0.75, resamples: 1000, skipped: 0 }));
        assert!(
            words(0.5).contains("0.5000 to 0.7500, so these videos do not show") && words(0.4).contains("guessing")
        );
        assert_eq!(words(0.6), "95 % interval 0.6000 to 0.7500");
        let none = interval_words(&Err(Undefined::OneGroup));
        assert!(none.contains("no interval can be given: everything belongs to one person"), "{none}");
    }

    #[test]
    fn losses_of_two_kinds_are_not_left_to_be_compared() {
        assert_eq!(loss_words(&LossRecipe::default()), None);
        for other in [
            LossRecipe { label_smoothing: 0.1, ..LossRecipe::default() },
            LossRecipe { uniformity: 0.5, ..LossRecipe::default() },
        ] {
            assert!(loss_words(&other).is_some_and(|words| words.contains("cannot be compared")));
        }
    }
}
