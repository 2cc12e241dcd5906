//! What is compared: one TOML file. `configs/compare/` has an example with every key explained.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::datasets::Part;
use crate::files;
use crate::train::recipe::StrategyName;

/// The folder of what was measured, within that of the comparison.
pub(super) const RESULTS: &str = "results";
/// The folder of crops, within that of the comparison.
pub(super) const FACES: &str = "faces";

/// What is compared on what.
#[derive(Debug)]
pub struct Config {
    /// At least one.
    pub(super) methods: Vec<Method>,
    /// At least one.
    pub(super) datasets: Vec<DataSet>,
}

/// One row of the tables.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) name: String,
    /// Its name as that of a folder.
    pub(super) folder: String,
    pub(super) origin: Origin,
}

/// Where a detector comes from.
#[derive(Debug, PartialEq)]
pub(super) enum Origin {
    /// It is trained.
    Trained {
        recipe: PathBuf,
        changes: Vec<String>,
        start: Option<String>,
        /// The data of a recipe that names none.
        roots: Vec<PathBuf>,
    },
    /// It is there.
    Loaded {
        /// A name or a file.
        model: String,
        /// What was trained when it was made, if that is said.
        strategy: Option<StrategyName>,
    },
}

/// One column of the tables.
#[derive(Debug)]
pub(super) struct DataSet {
    pub(super) name: String,
    /// Its name as that of a file.
    pub(super) folder: String,
    pub(super) path: PathBuf,
    pub(super) part: Part,
    /// Whether of the real videos each gets a self-blended fake, and no other fakes count.
    pub(super) self_blended: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    #[serde(default)]
    data: DataTable,
    #[serde(default)]
    method: Vec<MethodTable>,
    #[serde(default)]
    evaluate: Vec<EvaluateTable>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DataTable {
    train: Vec<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MethodTable {
    name: String,
    recipe: Option<PathBuf>,
    #[serde(default)]
    set: Vec<String>,
    start: Option<String>,
    model: Option<String>,
    strategy: Option<StrategyName>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EvaluateTable {
    name: String,
    path: PathBuf,
    #[serde(default)]
    split: Part,
    #[serde(default)]
    self_blended: bool,
}

/// Reads the configuration in `path`; the paths in it start from its folder.
///
/// # Errors
/// One sentence that names the file and what in it is wrong.
pub fn read(path: &Path) -> Result<Config> {
    let text = files::read_text(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, folder).with_context(|| path.display().to_string())
}

fn parse(text: &str, folder: &Path) -> Result<Config> {
    let file: ConfigFile = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        anyhow!("line {line}: {}; configs/compare has an example", error.message().replace('\n', " "))
    })?;
    let roots: Vec<PathBuf> = file.data.train.iter().map(|root| beside(folder, root)).collect();
    let methods =
        file.method.into_iter().map(|table| method(table, folder, &roots)).collect::<Result<Vec<Method>>>()?;
    let datasets = file
        .evaluate
        .into_iter()
        .map(|EvaluateTable { name, path, split, self_blended }| {
            Ok(DataSet { folder: folder_name(&name)?, path: beside(folder, &path), part: split, self_blended, name })
        })
        .collect::<Result<Vec<DataSet>>>()?;
    if methods.is_empty() {
        bail!("there is no [[method]] to compare; name each with its recipe or model");
    }
    if datasets.is_empty() {
        bail!("there is no [[evaluate]] to compare on; name each data set with its path");
    }
    refuse_equal("methods", methods.iter().map(|method| (&*method.name, &*method.folder)))?;
    refuse_equal("data sets", datasets.iter().map(|set| (&*set.name, &*set.folder)))?;
    if let Some(taken) = methods.iter().find(|method| [RESULTS, FACES].contains(&method.folder.as_str())) {
        bail!("no method can be called {}, as a folder of every comparison is; give it another name", taken.name);
    }
    Ok(Config { methods, datasets })
}

fn method(table: MethodTable, folder: &Path, roots: &[PathBuf]) -> Result<Method> {
    let MethodTable { name, recipe, set, start, model, strategy } = table;
    let origin = match (recipe, model) {
        (Some(recipe), None) if strategy.is_none() => Origin::Trained {
            recipe: beside(folder, &recipe),
            changes: set,
            start: start.map(|start| model_beside(folder, &start)),
            roots: roots.to_vec(),
        },
        (None, Some(model)) if set.is_empty() && start.is_none() => {
            Origin::Loaded { model: model_beside(folder, &model), strategy }
        }
        (Some(_), None) => bail!("the method {name} has a strategy beside its recipe, which says it; leave it out"),
        (None, Some(_)) => bail!("the method {name} is loaded, so `set` and `start` have no use; leave them out"),
        _ => bail!("the method {name} needs either a recipe, by which it is trained, or a model, which is loaded"),
    };
    Ok(Method { folder: folder_name(&name)?, name, origin })
}

/// A path of the configuration. What is there is named without detours, so that a run knows its data wherever it is called from.
fn beside(folder: &Path, path: &Path) -> PathBuf {
    let path = folder.join(path);
    path.canonicalize().unwrap_or(path)
}

/// A file beside the configuration, or the name of a detector.
fn model_beside(folder: &Path, model: &str) -> String {
    let path = Path::new(model);
    let is_path = model.contains(std::path::is_separator) || path.extension().is_some() || folder.join(path).exists();
    if is_path { beside(folder, path).to_string_lossy().into_owned() } else { model.to_owned() }
}

/// A name as that of a file on every system: letters, digits and `-_+` with single hyphens for the rest.
fn folder_name(name: &str) -> Result<String> {
    let kept = |c: char| if c.is_alphanumeric() || "_+".contains(c) { c } else { '-' };
    let name_of_file: String = name.to_lowercase().chars().map(kept).collect();
    let parts: Vec<&str> = name_of_file.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        bail!("the name \"{name}\" has no letter or digit; give another");
    }
    Ok(parts.join("-"))
}

/// Refuses names that would be one folder.
fn refuse_equal<'a>(what: &str, names: impl Iterator<Item = (&'a str, &'a str)>) -> Result<()> {
    let mut seen = BTreeMap::new();
    for (name, folder) in names {
        if let Some(other) = seen.insert(folder, name) {
            bail!("two {what} are called {other} and {name}, which cannot be told apart; rename one of them");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
        [data]
        train = ['crops/ff']
        [[method]]
        name = 'CLIP B/16 (LN)'
        recipe = '../clip_b16_ln.toml'
        start = 'clip-vit-b-16'
        set = ['run.epochs=1']
        [[method]]
        name = 'Lite'
        model = 'unmask-lite'
        strategy = 'full'
        [[evaluate]]
        name = 'CDF-v2'
        path = 'crops/cdf'
        [[evaluate]]
        name = 'DFDC'
        path = 'dfdc.tsv'
        split = 'all'
        self_blended = true
    ";

    fn problem(text: &str) -> String {
        format!("{:#}", parse(text, Path::new("")).unwrap_err())
    }

    #[test]
    fn methods_and_data_are_read_with_paths_beside_the_file() {
        let config = parse(TEXT, Path::new("here")).unwrap();
        let [clip, lite] = &config.methods[..] else { panic!("{config:?}") };
        assert_eq!(clip.folder, "clip-b-16-ln");
        let trained = Origin::Trained {
            recipe: "here/../clip_b16_ln.toml".into(),
            changes: vec!["run.epochs=1".into()],
            start: Some("clip-vit-b-16".into()),
            roots: vec!["here/crops/ff".into()],
        };
        assert_eq!(clip.origin, trained);
        assert_eq!(lite.origin, Origin::Loaded { model: "unmask-lite".into(), strategy: Some(StrategyName::Full) });
        assert_eq!(config.datasets[0].part, Part::Test);
        assert_eq!((config.datasets[1].part, &*config.datasets[1].path), (Part::All, Path::new("here/dfdc.tsv")));
        assert!(config.datasets[1].self_blended && !config.datasets[0].self_blended);
        assert_eq!(model_beside(Path::new("here"), "mine.safetensors"), "here/mine.safetensors");
    }

    #[test]
    fn what_is_wrong_is_said_in_one_sentence_with_its_name() {
        let line = problem(&TEXT.replace("recipe =", "recipee ="));
        assert!(line.contains("line 6") && line.contains("recipee") && !line.contains('\n'), "{line}");
        assert!(problem(&TEXT.replace("'Lite'", "'clip b/16 LN'")).contains("told apart"));
        assert!(problem(&TEXT.replace("'Lite'", "'Results'")).contains("Results"));
        assert!(problem(&TEXT.replace("'Lite'", "'()'")).contains("no letter"));
        assert!(problem(&TEXT.replace("'all'", "'some'")).contains("some"));
        assert!(problem(&TEXT.replace("model = 'unmask-lite'", "")).contains("Lite needs either"));
        assert!(problem(&TEXT.replace("strategy = 'full'", "start = 'a'")).contains("Lite is loaded"));
        assert!(problem("[[method]]\nname = 'a'\nmodel = 'b'").contains("[[evaluate]]"));
        assert!(problem("").contains("[[method]]"));
    }

    #[test]
    fn the_example_of_the_project_can_be_read() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/compare/thesis.toml");
        let config = read(&example).unwrap();
        for method in &config.methods {
            if let Origin::Trained { recipe, changes, start, .. } = &method.origin {
                crate::train::read_recipe(recipe, changes, start.as_deref().map(Path::new)).unwrap();
            }
        }
    }
}
