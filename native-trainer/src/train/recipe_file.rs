//! Reading a recipe: the file, then what `--set` changes, then the checks that name a wrong key.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::recipe::Recipe;
use crate::files;

/// Names this near to a known key are suggested in its place (Jaro-Winkler similarity, 0..1).
const SIMILAR: f64 = 0.7;

/// The recipe in `path` with each `key=value` of `changes` in place, and with `start` for its `model.start` where there is one.
pub fn read(path: &Path, changes: &[String], start: Option<&Path>) -> Result<Recipe> {
    let mut recipe = read_unchecked(path, changes)?;
    if let Some(start) = start {
        recipe.model.start = start.to_owned();
    }
    check(&recipe).map_err(|problem| anyhow!("{}: {problem:#}", path.display()))?;
    Ok(recipe)
}

/// As [`read`], for other purposes than a run: keys are known and values of the right kind, but something may be missing.
pub fn read_unchecked(path: &Path, changes: &[String]) -> Result<Recipe> {
    let shown = path.display();
    let text = files::read_text(path)
        .with_context(|| format!("{shown} cannot be read; name a recipe such as those in configs/"))?;
    parse_unchecked(&text, changes).map_err(|problem| anyhow!("{shown}: {problem:#}"))
}

/// A recipe from TOML text with each `key=value` of `changes` in place.
fn parse_unchecked(text: &str, changes: &[String]) -> Result<Recipe> {
    let mut table: Table = toml::from_str(text).map_err(|error| anyhow!("is no TOML: {}", error.message()))?;
    for change in changes {
        set(&mut table, change)?;
    }
    let known = Table::try_from(Recipe::default()).context("the known keys cannot be listed")?;
    refuse_unknown(&table, &known, "")?;
    let written = Value::Table(table);
    serde_path_to_error::deserialize(written.clone()).map_err(|error| wrong_value(&written, &error))
}

/// The sentence about a value that its key cannot have: the key, what was given, what is accepted.
fn wrong_value(recipe: &Value, error: &serde_path_to_error::Error<toml::de::Error>) -> anyhow::Error {
    let key = error.path().to_string();
    let given = error.path().iter().try_fold(recipe, |value, segment| match segment {
        Segment::Map { key } => value.get(key),
        Segment::Seq { index } => value.get(*index),
        _ => None,
    });
    let given = match given {
        Some(Value::Table(_)) => "a table".to_owned(),
        Some(value) => value.to_string(),
        None => "missing".to_owned(),
    };
    let reason = accepted(error.inner().message().lines().next().unwrap_or_default());
    anyhow!("{key} is {given}, but {reason}; configs/README.md lists what each key can be")
}

/// What a message of serde's says to be accepted, in words for somebody who writes a recipe. A message of ours says it itself.
fn accepted(message: &str) -> String {
    let Some((_, expected)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let number_of = |count: &str| format!("{count} numbers in brackets are needed");
    match expected {
        "f32" | "f64" => "a number is needed".into(),
        "u64" | "usize" => "a whole number that is not negative is needed".into(),
        "a boolean" => "true or false is needed".into(),
        "a string" | "path string" => "text in quotes is needed".into(),
        "a sequence" => "a list in brackets is needed".into(),
        _ if expected.starts_with("struct ") => "it is a table of further keys".into(),
        _ => match expected.strip_prefix("an array of length ") {
            Some(count) => number_of(count),
            None => format!("{expected} is needed"),
        },
    }
}

fn check(recipe: &Recipe) -> Result<()> {
    recipe.check().map_err(|problem| anyhow!("{problem}; change it in the recipe or with --set"))
}

/// Puts `a.b=value` into the table; a value that is no TOML is text.
fn set(table: &mut Table, change: &str) -> Result<()> {
    let Some((key, value)) = change.split_once('=') else {
        bail!("`--set {change}` has no `=`; write it as --set run.epochs=3")
    };
    let value = toml::from_str::<Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| Value::String(value.into()));
    let mut parts: Vec<&str> = key.trim().split('.').collect();
    let last = parts.pop().unwrap_or_default();
    let mut place = table;
    for part in parts {
        let next = place.entry(part).or_insert_with(|| Value::Table(Table::new()));
        place = next.as_table_mut().ok_or_else(|| anyhow!("`--set {change}`: {part} is no section of a recipe"))?;
    }
    place.insert(last.into(), value);
    Ok(())
}

/// Refuses a key that no recipe has, with the known one it may have meant.
fn refuse_unknown(table: &Table, known: &Table, path: &str) -> Result<()> {
    for (key, value) in table {
        match (known.get(key), value) {
            // A table of names that the user gives.
            (Some(Value::Table(known)), Value::Table(_)) if known.is_empty() => {}
            (Some(Value::Table(known)), Value::Table(inner)) => {
                refuse_unknown(inner, known, &format!("{path}{key}."))?;
            }
            (Some(_), _) => {}
            (None, _) => {
                let nearest = known
                    .keys()
                    .map(|candidate| (strsim::jaro_winkler(candidate, key), candidate))
                    .filter(|(similarity, _)| *similarity >= SIMILAR)
                    .max_by(|one, other| one.0.total_cmp(&other.0));
                match nearest {
                    Some((_, nearest)) => bail!("there is no key {path}{key}; did you mean {path}{nearest}?"),
                    None => {
                        let names: Vec<&str> = known.keys().map(String::as_str).collect();
                        bail!("there is no key {path}{key}; known here: {}", names.join(", "))
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::Augmentation;
    use crate::train::recipe::StrategyName;
    use crate::train::schedule::ScheduleKind;

    const TEXT: &str = "
        name = 'small'
        [model]
        start = 'start.safetensors'
        strategy = 'full'
        [run]
        epochs = 3
    ";

    fn parse(text: &str, changes: &[String]) -> Result<Recipe> {
        let recipe = parse_unchecked(text, changes)?;
        check(&recipe)?;
        Ok(recipe)
    }

    fn problem(text: &str, changes: &[&str]) -> String {
        let changes: Vec<String> = changes.iter().map(|change| (*change).into()).collect();
        format!("{:#}", parse(text, &changes).unwrap_err())
    }

    #[test]
    fn keys_of_the_file_and_of_set_replace_the_defaults() {
        let changes = ["run.epochs=7", "schedule.kind=restarts", "data.roots=['a','b']"].map(String::from);
        let recipe = parse(TEXT, &changes).unwrap();
        assert_eq!(recipe.name, "small");
        assert_eq!(recipe.model.strategy, StrategyName::Full);
        assert_eq!(recipe.run.epochs, 7);
        assert_eq!(recipe.schedule.kind, ScheduleKind::Restarts);
        assert_eq!(recipe.data.roots.len(), 2);
        assert_eq!(recipe.run.batch, Recipe::default().run.batch);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let said = problem(TEXT, &["run.epoch=7"]);
        assert!(said.contains("run.epoch;") && said.contains("did you mean run.epochs?"), "{said}");
        let said = problem(&format!("{TEXT}\nbach = 3"), &[]);
        assert!(said.contains("did you mean run.batch?"), "{said}");
        let said = problem(TEXT, &["optimizer.zzz=7"]);
        assert!(said.contains("known here: ") && said.contains("learning_rate"), "{said}");
        for (wrong, meant) in
            [("weights.fancypca", "weights.fancy_pca"), ("weight", "weights"), ("probabilty", "probability")]
        {
            let said = problem(TEXT, &[&format!("augmentation.one_of.{wrong}=1")]);
            let meant = format!("no key augmentation.one_of.{wrong}; did you mean augmentation.one_of.{meant}?");
            assert!(said.contains(&meant), "{said}");
        }
    }

    /// A key of each kind of value, with a wrong one and the words for what is accepted.
    const WRONG: [(&str, &str, &str, &str); 27] = [
        ("seed", "{ one = 1 }", "a table", "a whole number that is not negative"),
        ("data.self_blended", "1.5", "1.5", "true, false or a number from 0 to 1"),
        ("data.self_blended", "\"half\"", "\"half\"", "true, false or a number from 0 to 1"),
        ("data.self_blended", "[1]", "[1]", "true, false or a number from 0 to 1"),
        ("seed", "-1", "-1", "a whole number that is not negative"),
        ("seed", "1.5", "1.5", "a whole number that is not negative"),
        ("run.epochs", "\"three\"", "\"three\"", "a whole number that is not negative"),
        ("augmentation.flip", "2", "2", "from 0 to 1"),
        ("augmentation.flip", "\"often\"", "\"often\"", "a number is needed"),
        ("augmentation.jpeg.quality", "[90, 40]", "[90, 40]", "two numbers from 1 to 100"),
        ("augmentation.jpeg.quality", "90", "90", "2 numbers in brackets"),
        ("augmentation.jpeg.quality", "[90]", "[90]", "2 numbers in brackets"),
        ("augmentation.rotate.degrees", "700", "700", "from 0 to 180"),
        ("augmentation.denoise", "0.5", "0.5", "a table of further keys"),
        ("augmentation.one_of.weights.gamma", "-1", "-1", "from 0 to 1000"),
        ("augmentation.one_of.probability", "2", "2", "from 0 to 1"),
        ("augmentation.video.crf", "[20, 60]", "[20, 60]", "two numbers from 0 to 51"),
        ("augmentation.motion_blur.length", "[0, 5]", "[0, 5]", "two numbers from 1 to 99"),
        ("augmentation.distractor.kinds.hand", "-1", "-1", "from 0 to 1000"),
        ("self_blending.donor.colour", "3", "3", "from 0 to 1"),
        ("self_blending.regions.lower", "-1", "-1", "from 0 to 1000"),
        ("optimizer.betas", "[0.9, \"b\"]", "\"b\"", "a number is needed"),
        ("run.best", "\"loss\"", "\"loss\"", "`auc` or `average_precision`"),
        ("optimizer.kind", "\"sgd\"", "\"sgd\"", "`adam` or `adamw`"),
        ("data.pairs", "1", "1", "true or false"),
        ("data.roots", "\"a\"", "\"a\"", "a list in brackets"),
        ("name", "3", "3", "text in quotes"),
    ];

    #[test]
    fn a_wrong_value_is_refused_by_its_key_with_what_was_given_and_what_is_accepted() {
        for (key, value, given, accepted) in WRONG {
            let in_file = format!("{key} = {value}");
            let found = [parse_unchecked(&in_file, &[]), parse_unchecked("", &[format!("{key}={value}")])];
            for said in found.map(|found| format!("{:#}", found.unwrap_err())) {
                assert!(said.starts_with(key) && said.contains(&format!(" is {given}, but ")), "{in_file}: {said}");
                assert!(said.contains(accepted) && !said.contains('\n'), "{in_file}: {said}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_its_key() {
        for (change, key) in [
            ("run.epochs=0", "run.epochs"),
            ("optimizer.learning_rate=-1.0", "optimizer.learning_rate"),
            ("optimizer.betas=[0.9, 1.5]", "optimizer.betas"),
            ("run.accumulate=5", "run.accumulate"),
            ("model.strategy=all", "all"),
            ("data.shares={ LFW = 1.5 }", "data.shares.LFW"),
            ("data.shares={ one = 0.6, two = 0.6 }", "data.shares"),
            ("data.shares.LFW=0.5", "data.balance"),
            ("run.precision=f16", "f16"),
            ("model.start=", "model.start"),
            ("augmentation.one_of.probability=0.5", "augmentation.one_of.weights are all 0"),
        ] {
            let said = problem(TEXT, &[change]);
            assert!(said.contains(key), "{change}: {said}");
        }
        assert!(problem(TEXT, &["run.epochs"]).contains("no `=`"));
        assert!(problem("name = ", &[]).contains("TOML"));
        assert!(problem(&TEXT.replace("'small'", "\"sm\\nall\""), &[]).contains("control characters"));
    }

    /// The paths of all keys that hold a value.
    fn leaves(table: &Table, path: &str) -> Vec<String> {
        let of = |(key, value): (&String, &Value)| match value {
            Value::Table(inner) if !inner.is_empty() => leaves(inner, &format!("{path}{key}.")),
            _ => vec![format!("{path}{key}")],
        };
        table.iter().flat_map(of).collect()
    }

    fn configs() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs")
    }

    #[test]
    fn every_key_is_explained_beside_the_recipes() {
        let text = std::fs::read_to_string(configs().join("README.md")).unwrap();
        let keys = leaves(&Table::try_from(Recipe::default()).unwrap(), "");
        assert!(keys.len() > 40, "{keys:?}");
        let missing: Vec<&String> = keys.iter().filter(|key| !text.contains(&format!("`{key}`"))).collect();
        assert!(missing.is_empty(), "not in configs/README.md: {missing:?}");
    }

    #[test]
    fn a_detector_to_start_from_takes_the_place_of_the_recipes_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipe.toml");
        std::fs::write(&path, "model.start = \"one.safetensors\"").unwrap();
        let start = |instead: Option<&str>| read(&path, &[], instead.map(Path::new)).unwrap().model.start;
        assert_eq!((start(None), start(Some("two"))), ("one.safetensors".into(), "two".into()));
        std::fs::write(&path, "seed = 2").unwrap();
        assert!(read(&path, &[], None).is_err());
        assert_eq!(start(Some("two")), Path::new("two"));
    }

    #[test]
    fn a_recipe_that_would_learn_nothing_or_has_no_name_is_refused_by_its_key() {
        let refused = |change: &str| {
            let start = ["model.start = \"one\"", "optimizer.learning_rate = 1e-3", "name = \"a\""].join("\n");
            let recipe = parse_unchecked(&start, &[change.to_owned()]).unwrap();
            check(&recipe).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refused("seed=2"), "");
        for (change, key) in [
            ("loss.cross_entropy=0", "loss"),
            ("optimizer.learning_rate=0", "optimizer.learning_rate"),
            ("schedule.minimum=1", "schedule.minimum"),
            ("name=''", "name"),
            ("name='a/b'", "name"),
        ] {
            assert!(refused(change).contains(key), "{change}: {}", refused(change));
        }
    }

    #[test]
    fn a_share_is_a_number_or_all_or_nothing() {
        let share =
            |text: &str| parse_unchecked(&format!("data.self_blended = {text}"), &[]).map(|r| r.data.self_blended.0);
        assert_eq!((share("true").unwrap(), share("false").unwrap(), share("0.25").unwrap()), (1.0, 0.0, 0.25));
        assert!(format!("{:#}", share("1.5").unwrap_err()).contains("from 0 to 1"));
        for written in ["true", "false", "0.25"] {
            let recipe = parse_unchecked(&format!("data.self_blended = {written}"), &[]).unwrap();
            let text = toml::to_string(&recipe).unwrap();
            assert!(text.contains(&format!("self_blended = {written}")), "{text}");
        }
    }

    #[test]
    fn every_recipe_of_the_project_can_be_read() {
        let files = std::fs::read_dir(configs()).unwrap().map(|entry| entry.unwrap().path());
        let recipes: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|e| e == "toml") && !path.ends_with("models.toml"))
            .collect();
        assert!(recipes.len() >= 6, "{recipes:?}");
        for path in recipes {
            read(&path, &[], None).unwrap();
        }
    }
    #[test]
    fn the_recipes_that_say_so_have_deepfakebenchs_augmentation() {
        let written = "hsv_shift = { hue = 40, saturation = 30, value = 20 }\n\
                       one_of.probability = 0.5\n\
                       one_of.weights = { brightness_contrast = 1, fancy_pca = 1, hsv_shift = 1 }";
        let expected: Augmentation = toml::from_str(written).unwrap();
        for name in
            ["xception", "effnb4", "tall", "tallpp", "clip_b16_ln", "clip_b16_full", "clip_l14_ln", "stan", "effort"]
        {
            let mut found = read(&configs().join(format!("{name}.toml")), &[], None).unwrap().augmentation;
            if name == "xception" {
                assert_eq!(f64::from(found.rotate.probability), 0.0);
                found.rotate = expected.rotate;
            }
            assert_eq!(found, expected, "{name}");
        }
    }
}
