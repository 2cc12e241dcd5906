//! The detectors that the page offers beside its own: those of `configs/models.toml` that a page can load, as the list that
//! is served with it and as `known` of the JavaScript API.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use xshell::Shell;

use super::headers::Access;

/// The list, beside the page. A host may edit it.
pub(crate) const FILE: &str = "detectors.json";

/// What it is made of.
const TABLE: &str = "configs/models.toml";

/// Where the table's repositories are.
const HUB: &str = "https://huggingface.co";

/// Formats of backbones, which score nothing until they are trained.
const BACKBONES: [&str; 2] = ["hf-clip", "timm-pe"];

/// What a page reads; PyTorch's archives it does not.
const READABLE: &str = ".safetensors";

/// The description of an architecture, which some formats need.
const CONFIG: &str = "config.json";

#[derive(Deserialize)]
struct Table {
    model: Vec<Entry>,
}

/// A model of the table, as far as it matters here.
#[derive(Deserialize)]
struct Entry {
    name: String,
    kind: String,
    about: String,
    licence: String,
    repo: String,
    revision: String,
    file: String,
    #[serde(default)]
    extras: Vec<String>,
    bytes: Option<u64>,
    sha256: Option<String>,
}

impl Entry {
    fn is_offered(&self) -> bool {
        self.file.ends_with(READABLE) && !BACKBONES.contains(&self.kind.as_str())
    }

    fn address(&self, file: &str) -> String {
        format!("{HUB}/{}/resolve/{}/{file}", self.repo, self.revision.replace('/', "%2F"))
    }
}

/// A detector as the page and the API know it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Known {
    name: String,
    url: String,
    /// The address of what describes the file, where its format needs that.
    config: Option<String>,
    /// What `unmask import --from` calls the format of the file.
    format: String,
    about: String,
    licence: String,
    bytes: Option<u64>,
    sha256: Option<String>,
}

impl From<Entry> for Known {
    fn from(entry: Entry) -> Self {
        let config = entry.extras.iter().find(|extra| *extra == CONFIG);
        Self {
            url: entry.address(&entry.file),
            config: config.map(|extra| entry.address(extra)),
            name: entry.name,
            format: entry.kind,
            about: entry.about,
            licence: entry.licence,
            bytes: entry.bytes,
            sha256: entry.sha256,
        }
    }
}

/// What the list says: the detectors, and where else than from its own origin the page may fetch them.
#[derive(Serialize)]
struct List {
    allowed_origins: Vec<String>,
    detectors: Vec<Known>,
}

/// The detectors of the table that a page can load.
///
/// # Errors
/// The table cannot be read.
pub(crate) fn known(root: &Path) -> Result<Vec<Known>> {
    let path = root.join(TABLE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} could not be read", path.display()))?;
    let table: Table = toml::from_str(&text).with_context(|| format!("{} is no table of models", path.display()))?;
    Ok(table.model.into_iter().filter(Entry::is_offered).map(Known::from).collect())
}

/// Writes the list into `folder`, for a page that may fetch what `access` says.
///
/// # Errors
/// The table cannot be read, or the list not be written.
pub(crate) fn write(shell: &Shell, folder: &Path, access: &Access) -> Result<()> {
    let allowed_origins = access.model_origins.iter().map(ToString::to_string).collect();
    let list = List { allowed_origins, detectors: known(&shell.current_dir())? };
    Ok(shell.write_file(folder.join(FILE), serde_json::to_string_pretty(&list)? + "\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    #[test]
    fn the_detectors_of_the_table_that_a_page_can_read_are_offered_and_no_backbone() {
        let known = known(root()).unwrap();
        let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
        assert_eq!(names, ["gend-clip-l-14", "gend-pe-l", "gend-dinov3-l", "commfor-vit-s-384"]);
        let [clip, .., commfor] = &known[..] else { unreachable!() };
        let place = "https://huggingface.co/yermandy/GenD_CLIP_L_14/resolve/891ce014a0308386c4d7d25b3dcf436a22db5504";
        assert_eq!(clip.url, format!("{place}/model.safetensors"));
        assert_eq!(clip.config, Some(format!("{place}/config.json")));
        assert_eq!(
            (commfor.format.as_str(), commfor.config.as_ref(), commfor.bytes),
            ("commfor", None, Some(87_262_324))
        );
    }

    #[test]
    fn the_known_detectors_of_the_api_are_those_of_the_table() {
        let script = root().join("wasm/js/known.js");
        let text = std::fs::read_to_string(&script).unwrap();
        let (_, list) = text.split_once("export const known = ").unwrap();
        let written: Vec<Known> = serde_json::from_str(list.trim_end().trim_end_matches(';')).unwrap();
        let expected = known(root()).unwrap();
        let list = serde_json::to_string_pretty(&expected).unwrap();
        assert!(written == expected, "write this list into {}:\n{list}", script.display());
    }

    #[test]
    fn the_list_says_which_origins_the_page_may_fetch_from() {
        let shell = Shell::new().unwrap();
        shell.change_dir(root());
        let folder = tempfile::tempdir().unwrap();
        let access = Access { model_origins: vec!["https://a.example/".parse().unwrap()], shared: false };
        write(&shell, folder.path(), &access).unwrap();
        let list: serde_json::Value =
            serde_json::from_str(&shell.read_file(folder.path().join(FILE)).unwrap()).unwrap();
        assert_eq!(list["allowed_origins"], serde_json::json!(["https://a.example"]));
        assert_eq!(list["detectors"].as_array().map(Vec::len), Some(known(root()).unwrap().len()));
    }
}
