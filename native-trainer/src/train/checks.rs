//! What is refused before a run begins, because nothing could come of it.

use anyhow::{Result, bail};
use unmask_core::detector::spec::DetectorSpec;
use unmask_core::detector::{Detector, Group, parameters as shapes};

use super::recipe::{DataRecipe, LossRecipe, ModelRecipe, StrategyName};
use crate::datasets::{Label, Video};
use crate::detector_file::BUNDLED;
use crate::hub;

/// Refuses a name by which another detector is known already, since reports could not tell the two apart: that of the
/// detector the run starts from, that of the bundled one, and those that `unmask pull` knows.
pub(super) fn check_name(name: &str, start: &DetectorSpec) -> Result<()> {
    let is = |other: &str| other.eq_ignore_ascii_case(name);
    let whose = if is(&start.name) {
        "the one that it starts from"
    } else if is(BUNDLED) || hub::known()?.iter().any(|entry| is(&entry.name)) {
        "one that this program knows by that name"
    } else {
        return Ok(());
    };
    bail!(
        "the detector would be called `{name}`, as {whose} is, and reports could not tell the two apart; give it a name \
         of its own with --set name=NAME"
    )
}

/// Refuses a strategy that trains a part that the detector does not have.
pub(super) fn check_strategy(recipe: &ModelRecipe, detector: &Detector) -> Result<()> {
    let sizes = detector.spec().architecture.sizes();
    let shapes = shapes(detector.model());
    let updated = match recipe.strategy {
        StrategyName::Lora => Some(("lora", "low_rank")),
        StrategyName::Effort => Some(("effort", "effort")),
        StrategyName::Ln | StrategyName::Full | StrategyName::Head | StrategyName::Stan => None,
    };
    let low_rank = recipe.low_rank();
    let is_updated = |(name, shape): &(String, Vec<usize>)| {
        let layer = name.strip_suffix(".weight").filter(|_| shape.len() == 2);
        layer.zip(low_rank.as_ref()).is_some_and(|(layer, low_rank)| low_rank.changes(layer))
    };
    if let Some((name, section)) = updated.filter(|_| !shapes.iter().any(is_updated)) {
        bail!(
            "model.strategy is \"{name}\", but no layer of the detector is called as model.{section}.targets say; layers of \
             transformers are query, key, value, output, fc1 and fc2"
        );
    }
    let has_new = || shapes.iter().any(|(name, _)| sizes.group(name) == Group::New);
    if recipe.strategy == StrategyName::Stan && !has_new() {
        bail!(
            "model.strategy is \"stan\", but the detector has no temporal branch that it could train; choose \"ln\", \"head\" or \
             \"full\", or start from a detector of clips"
        );
    }
    Ok(())
}

/// Refuses weights for penalties that the detector does not have.
pub(super) fn check_penalties(loss: &LossRecipe, detector: &Detector) -> Result<()> {
    let known = detector.spec().architecture.sizes().penalties();
    match loss.penalties.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) if known.is_empty() => {
            bail!("loss.penalties has {name}, but this kind of detector asks for none; leave it out")
        }
        Some(name) => bail!("loss.penalties has {name}, but this kind of detector knows {}", known.join(", ")),
        None => Ok(()),
    }
}

/// Refuses to learn to tell two classes apart where only one is there.
pub(super) fn check_classes(training: &[Video], recipe: &DataRecipe) -> Result<()> {
    let has = |label: Label| training.iter().any(|video| video.label == label);
    match (has(Label::Real), has(Label::Fake)) {
        (false, _) => bail!("all videos to train on are fake; name data with real ones as well"),
        (true, false) if recipe.self_blended.0 == 0.0 => bail!(
            "all videos to train on are real; name data with fake ones as well, or let fakes be made of them with \
             --set data.self_blended=true"
        ),
        _ => Ok(()),
    }
}
