//! Whether a run goes on with what its folder holds, begins, or has to be refused.
//!
//! The folder of a run has `run.json` from its first step on, which says what the run is; so one that was killed before its
//! first checkpoint can be gone on with, too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use burn::prelude::*;
use serde_json::Value;

use super::checkpoint::{Checkpoint, Identity};
use super::outcome::DETECTOR;
use super::recipe::Recipe;
use crate::files;

/// The file that says which run a folder is of.
const RUN: &str = "run.json";
/// Changed keys of a recipe that are named.
const NAMED_KEYS: usize = 3;

/// The checkpoint in the folder `out` to go on from; `None` where the run starts at its first step, as it also does where
/// `resume` finds that nothing but that was stored.
///
/// # Errors
/// With `resume` there is nothing to go on with, or it is of another run, and the message says in what; without it there
/// is a run already.
pub(super) fn begin(out: &Path, resume: bool, identity: &Identity, device: &Device) -> Result<Option<Checkpoint>> {
    let shown = out.display();
    let warn = |problem| eprintln!("warning: {problem}");
    let newest = Checkpoint::newest(&checkpoints(out), device, warn)?;
    if !resume {
        if newest.is_some() {
            bail!("{shown} holds a run already; go on with it by --resume, or choose another folder with --out");
        }
        write(out, identity)?;
        return Ok(None);
    }
    let stored = match &newest {
        Some(checkpoint) => Some(checkpoint.identity.clone()),
        None => read(out)?,
    };
    let Some(stored) = stored else {
        bail!("{shown} holds no run to go on with; leave out --resume to begin one, or name its folder with --out")
    };
    match difference(&stored, identity) {
        None => Ok(newest),
        Some(changed) => bail!(
            "the run in {shown} cannot go on because {changed}; give the same recipe, --set and --start-from as before, or \
             start another one with --out"
        ),
    }
}

/// How far the run in a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none.
    None,
    /// It can be gone on with.
    Begun,
    /// Its detector is there.
    Finished,
}

/// How far the run in the folder `out` is that `recipe` describes.
///
/// # Errors
/// What is there is a run by another recipe, and the message says in what, or it cannot be read.
pub fn standing(out: &Path, recipe: &Recipe) -> Result<Standing> {
    let Some(stored) = read(out)? else { return Ok(Standing::None) };
    let wanted = Identity::new(recipe, stored.start.clone(), stored.data.clone())?;
    if let Some(changed) = difference(&stored, &wanted) {
        bail!("{} holds a run that differs because {changed}; undo that, or let all be done again", out.display());
    }
    Ok(if out.join(DETECTOR).exists() { Standing::Finished } else { Standing::Begun })
}

/// Removes the folder `out` of a run with all that is in it; a folder without a run stays as it is.
pub fn discard(out: &Path) -> Result<()> {
    if !out.join(RUN).exists() {
        return Ok(());
    }
    fs::remove_dir_all(out).with_context(|| format!("{} cannot be removed; check its permissions", out.display()))
}

/// The folder of a run's checkpoints.
pub(super) fn checkpoints(out: &Path) -> std::path::PathBuf {
    out.join("checkpoints")
}

fn write(out: &Path, identity: &Identity) -> Result<()> {
    let text = serde_json::to_vec_pretty(identity).context("the run cannot be described as JSON")?;
    files::write_bytes(&out.join(RUN), &text)
}

fn read(out: &Path) -> Result<Option<Identity>> {
    let path = out.join(RUN);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path).with_context(|| format!("{} cannot be read; check its permissions", path.display()))?;
    let broken = || format!("{} is damaged; begin another run with --out", path.display());
    serde_json::from_slice(&text).with_context(broken).map(Some)
}

/// What tells two runs apart, as part of a sentence; `None` if nothing does.
fn difference(stored: &Identity, wanted: &Identity) -> Option<String> {
    if stored.recipe != wanted.recipe
        && let Some(changed) = changed_recipe(stored.settings.as_ref(), wanted.settings.as_ref())
    {
        return Some(changed);
    }
    if stored.start != wanted.start {
        return Some("the detector it started from has changed".to_owned());
    }
    (stored.data != wanted.data).then(|| "its training data has changed".to_owned())
}

/// What tells two recipes apart whose texts differ; `None` where one merely lacks keys that the other has by default, as the
/// recipe of a run that an earlier version of the program began may.
fn changed_recipe(stored: Option<&Value>, wanted: Option<&Value>) -> Option<String> {
    let changed = "its recipe has changed";
    let (Some(stored), Some(wanted)) = (stored, wanted) else { return Some(changed.to_owned()) };
    let keys = changed_keys(&with_defaults(stored), &with_defaults(wanted));
    let more = match keys.len().saturating_sub(NAMED_KEYS) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let named: Vec<&str> = keys.iter().take(NAMED_KEYS).map(String::as_str).collect();
    (!keys.is_empty()).then(|| format!("{changed} ({}{more})", named.join(", ")))
}

/// A recipe with every key that today's have; one that today's do not understand stays as it is.
fn with_defaults(settings: &Value) -> Value {
    let filled = || {
        let recipe: Recipe = serde_json::from_value(settings.clone()).ok()?;
        // By way of a text, as a stored one came about: numbers of 32 bits are other numbers there.
        serde_json::from_str(&serde_json::to_string(&recipe).ok()?).ok()
    };
    filled().unwrap_or_else(|| settings.clone())
}

/// The keys in which two recipes differ, each with its value there and here, such as `seed was 1 and is 2`.
fn changed_keys(stored: &Value, wanted: &Value) -> Vec<String> {
    let (stored, wanted) = (leaves(stored), leaves(wanted));
    let shown = |value: Option<&Value>| value.map_or("unknown".to_owned(), Value::to_string);
    let mut keys: Vec<&String> = stored.keys().chain(wanted.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .filter(|key| !is_same(stored.get(*key), wanted.get(*key)))
        .map(|key| format!("{key} was {} and is {}", shown(stored.get(key)), shown(wanted.get(key))))
        .collect()
}

/// Whether two values are the same, numbers up to what writing and reading them again may change.
fn is_same(one: Option<&Value>, other: Option<&Value>) -> bool {
    match (one, other) {
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(Some(one), Some(other)))
        }
        (Some(Value::Number(one)), Some(Value::Number(other))) => match (one.as_f64(), other.as_f64()) {
            (Some(one), Some(other)) => (one - other).abs() <= 1e-9 * one.abs().max(other.abs()),
            _ => one == other,
        },
        _ => one == other,
    }
}

/// Everything in a document that is no object, by its path.
fn leaves(document: &Value) -> BTreeMap<String, Value> {
    fn walk(value: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(inner) => inner.iter().for_each(|(key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(value, &path, found);
            }),
            other => drop(found.insert(path.to_owned(), other.clone())),
        }
    }
    let mut found = BTreeMap::new();
    walk(document, "", &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn identity(settings: Value) -> Identity {
        let recipe = settings.to_string();
        Identity { recipe, start: "s".into(), data: "d".into(), settings: Some(settings) }
    }

    fn begun(out: &Path, resume: bool, identity: &Identity) -> Result<bool, String> {
        let begun = begin(out, resume, identity, &Device::flex());
        begun.map(|checkpoint| checkpoint.is_some()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_run_that_was_killed_before_its_first_checkpoint_goes_on_at_its_first_step() {
        let out = tempfile::tempdir().unwrap();
        let run = identity(json!({ "seed": 1 }));
        let refusal = begun(out.path(), true, &run).unwrap_err();
        assert!(refusal.contains("no run to go on with") && refusal.contains("--resume"), "{refusal}");
        assert_eq!(begun(out.path(), false, &run), Ok(false));
        assert_eq!(begun(out.path(), true, &run), Ok(false));
    }

    #[test]
    fn a_changed_recipe_is_refused_by_its_keys_with_both_values() {
        let out = tempfile::tempdir().unwrap();
        begun(out.path(), false, &identity(json!({ "seed": 1, "run": { "batch": 8, "epochs": 3 }, "name": "a" })))
            .unwrap();
        let other = identity(json!({ "seed": 1, "run": { "batch": 16, "epochs": 3 }, "name": "b" }));
        let refusal = begun(out.path(), true, &other).unwrap_err();
        assert!(refusal.contains("name was \"a\" and is \"b\", run.batch was 8 and is 16"), "{refusal}");
        assert!(!refusal.contains("epochs") && !refusal.contains("seed"), "{refusal}");
    }

    /// The identity of a run by `recipe`, as a version of the program stored it that knew nothing of `keys`.
    fn stored_without(recipe: &Recipe, keys: &[&str]) -> Identity {
        let mut run = Identity::new(recipe, "s".into(), "d".into()).unwrap();
        let mut settings = run.settings.take().unwrap();
        for key in keys {
            let (section, last) =
                key.rsplit_once('.').map_or((vec![], *key), |(s, last)| (s.split('.').collect(), last));
            let section = section.iter().fold(&mut settings, |inner, name| &mut inner[*name]);
            assert!(section.as_object_mut().unwrap().remove(last).is_some(), "{key} is no key");
        }
        Identity { recipe: settings.to_string(), settings: Some(settings), ..run }
    }

    #[test]
    fn a_run_of_an_earlier_version_goes_on_where_the_keys_that_it_lacks_have_their_defaults() {
        let recipe = Recipe { name: "one".into(), ..Recipe::default() };
        let lacking = ["model.effort", "augmentation.one_of", "optimizer.average", "loss.label_smoothing", "run.best"];
        let out = tempfile::tempdir().unwrap();
        begun(out.path(), false, &stored_without(&recipe, &lacking)).unwrap();
        assert_eq!(begun(out.path(), true, &Identity::new(&recipe, "s".into(), "d".into()).unwrap()), Ok(false));
        assert_eq!(standing(out.path(), &recipe).unwrap(), Standing::Begun, "compare takes it over as well");

        let mut other = recipe.clone();
        other.loss.label_smoothing = 0.1;
        let refusal = begun(out.path(), true, &Identity::new(&other, "s".into(), "d".into()).unwrap()).unwrap_err();
        assert!(refusal.contains("(loss.label_smoothing was 0.0 and is 0.1)"), "{refusal}");
        let refusal = standing(out.path(), &other).unwrap_err().to_string();
        assert!(refusal.contains("loss.label_smoothing was 0.0 and is 0.1"), "{refusal}");

        // A key that was there with another value than the default is not filled in.
        let out = tempfile::tempdir().unwrap();
        begun(out.path(), false, &stored_without(&other, &lacking[..3])).unwrap();
        let refusal = standing(out.path(), &recipe).unwrap_err().to_string();
        assert!(refusal.contains("loss.label_smoothing was 0.1 and is 0.0"), "{refusal}");
    }

    #[test]
    fn a_key_that_no_recipe_has_any_more_is_named() {
        let recipe = Recipe::default();
        let mut run = stored_without(&recipe, &[]);
        let settings = run.settings.as_mut().unwrap();
        settings["loss"]["forgotten"] = json!(2);
        run.recipe = settings.to_string();
        let out = tempfile::tempdir().unwrap();
        begun(out.path(), false, &run).unwrap();
        let refusal = standing(out.path(), &recipe).unwrap_err().to_string();
        assert!(refusal.contains("(loss.forgotten was 2 and is unknown)"), "{refusal}");
    }

    #[test]
    fn a_number_that_was_written_and_read_again_has_not_changed() {
        let numbers = |last: f64| json!({ "betas": [0.9f32, 0.999f32], "rate": last });
        assert_eq!(changed_keys(&numbers(3e-3), &numbers(0.003f64.next_up())), Vec::<String>::new());
        let read = serde_json::from_str(&numbers(3e-3).to_string()).unwrap();
        assert_eq!(changed_keys(&numbers(3e-3), &read), Vec::<String>::new());
        assert_eq!(changed_keys(&numbers(3e-3), &numbers(3.1e-3)).len(), 1);
    }

    #[test]
    fn a_run_stands_where_its_files_say_and_one_by_another_recipe_is_refused() {
        let out = tempfile::tempdir().unwrap();
        let recipe = Recipe { name: "one".into(), ..Recipe::default() };
        assert_eq!(standing(out.path(), &recipe).unwrap(), Standing::None);
        let run = Identity::new(&recipe, "s".into(), "d".into()).unwrap();
        begun(out.path(), false, &run).unwrap();
        assert_eq!(standing(out.path(), &recipe).unwrap(), Standing::Begun);
        fs::write(out.path().join(DETECTOR), "weights").unwrap();
        assert_eq!(standing(out.path(), &recipe).unwrap(), Standing::Finished);
        let other = Recipe { seed: recipe.seed + 1, ..recipe };
        let refusal = standing(out.path(), &other).unwrap_err().to_string();
        assert!(refusal.contains("its recipe has changed (seed was"), "{refusal}");
        let stranger = out.path().join("stranger");
        fs::create_dir(&stranger).unwrap();
        discard(&stranger).unwrap();
        assert!(stranger.exists(), "a folder without a run is somebody else's");
        discard(out.path()).unwrap();
        assert!(!out.path().exists());
    }

    #[test]
    fn other_data_or_another_start_is_refused_by_its_name() {
        let out = tempfile::tempdir().unwrap();
        let run = identity(json!({}));
        begun(out.path(), false, &run).unwrap();
        let data = Identity { data: "e".into(), ..run.clone() };
        assert!(begun(out.path(), true, &data).unwrap_err().contains("training data"));
        let start = Identity { start: "t".into(), ..run };
        assert!(begun(out.path(), true, &start).unwrap_err().contains("started from"));
    }
}
