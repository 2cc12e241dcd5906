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
    if stored.recipe != wanted.recipe {
        let keys = match (&stored.settings, &wanted.settings) {
            (Some(stored), Some(wanted)) => changed_keys(stored, wanted),
            _ => Vec::new(),
        };
        let more = match keys.len().saturating_sub(NAMED_KEYS) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let named: Vec<&str> = keys.iter().take(NAMED_KEYS).map(String::as_str).collect();
        let detail = if named.is_empty() { String::new() } else { format!(" ({}{more})", named.join(", ")) };
        return Some(format!("its recipe has changed{detail}"));
    }
    if stored.start != wanted.start {
        return Some("the detector it started from has changed".to_owned());
    }
    (stored.data != wanted.data).then(|| "its training data has changed".to_owned())
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
