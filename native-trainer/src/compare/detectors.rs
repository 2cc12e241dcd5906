//! The detectors that are compared: each is trained, or found.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use unmask_core::detector::Strategy;
use unmask_core::detector::spec::DetectorSpec;

use super::config::{Method, Origin};
use super::results::MissingKind;
use super::{Halt, Options};
use crate::datasets::LoadOptions;
use crate::detector_file::{self, Source};
use crate::train::{self, Ended, Standing};

/// A detector that can be measured.
pub(super) struct Ready {
    pub(super) source: Source,
    pub(super) sha256: String,
    pub(super) spec: DetectorSpec,
    /// What was trained, if that is known.
    pub(super) strategy: Option<Strategy>,
    /// The file that holds what was trained, where it is another.
    pub(super) adapter: Option<PathBuf>,
}

/// The detector of a method, which is trained first if that is how it is made and it was not yet.
pub(super) fn ready(method: &Method, options: &Options, stop: &AtomicBool) -> Result<Ready, Halt> {
    match &method.origin {
        Origin::Loaded { model, strategy } => described(found(model)?, strategy.map(Strategy::from), None),
        Origin::Trained { recipe, changes, start, roots } => {
            let start = start.as_deref().map(Path::new);
            let mut recipe = train::read_recipe(recipe, changes, start)?;
            if recipe.data.roots.is_empty() {
                recipe.data.roots.clone_from(roots);
            }
            let strategy = recipe.model.strategy.into();
            let out = options.out.join(&method.folder);
            train_unless_done(recipe, &out, options, stop)?;
            let adapter = Some(out.join(train::ADAPTER)).filter(|path| path.exists());
            described(Source::File(out.join(train::DETECTOR)), Some(strategy), adapter)
        }
    }
}

/// Trains, or goes on with training, into `out`; a run that is done stays as it is.
fn train_unless_done(
    recipe: train::recipe::Recipe,
    out: &Path,
    options: &Options,
    stop: &AtomicBool,
) -> Result<(), Halt> {
    if options.fresh {
        train::discard(out)?;
    }
    let standing = train::standing(out, &recipe)?;
    if standing == Standing::Finished {
        return Ok(());
    }
    found(&recipe.model.start.to_string_lossy())?;
    if let Some(root) = recipe.data.roots.iter().find(|root| !root.exists()) {
        let reason = format!("{}, which it is trained on, is not there; check the path", root.display());
        return Err(Halt::missing(MissingKind::NoData, reason));
    }
    let options = train::Options {
        recipe,
        data: Vec::new(),
        load: LoadOptions::default(),
        out: out.to_owned(),
        resume: standing == Standing::Begun,
        device: options.device.open()?,
    };
    match train::run(&options, stop)? {
        Ended::Finished => Ok(()),
        Ended::Stopped => Err(Halt::Stopped),
    }
}

/// The detector by a name or in a file, if it is there.
fn found(model: &str) -> Result<Source, Halt> {
    let not_there = |reason| Halt::missing(MissingKind::NotThere, reason);
    match detector_file::resolve(model).map_err(|error| not_there(format!("{error:#}")))? {
        Source::File(path) if !path.exists() => {
            Err(not_there(format!("{}: there is no such file; check the path", path.display())))
        }
        source => Ok(source),
    }
}

fn described(source: Source, strategy: Option<Strategy>, adapter: Option<PathBuf>) -> Result<Ready, Halt> {
    let file = source.open()?;
    let spec = detector_file::describe(&source, &file)?;
    let sha256 = source.sha256()?;
    Ok(Ready { source, sha256, spec, strategy, adapter })
}
