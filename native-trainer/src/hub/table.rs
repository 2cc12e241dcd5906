//! The table of known models, and how a name on the command line becomes one entry.

use std::sync::LazyLock;

use serde::Deserialize;

use super::error::HubError;

/// Where a name that is not in the table is looked for when no file is given.
const DEFAULT_FILE: &str = "model.safetensors";
/// Comes with it, if the repository has it.
const CONFIG_FILE: &str = "config.json";
/// The branch every repository on the hub has.
const DEFAULT_REVISION: &str = "main";
/// Names further from what was typed than this many edits are not worth suggesting.
const SUGGEST_WITHIN: usize = 6;

static TABLE: LazyLock<Result<Vec<Entry>, toml::de::Error>> = LazyLock::new(|| {
    let table: Table = toml::from_str(include_str!("../../../configs/models.toml"))?;
    Ok(table.model)
});

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    model: Vec<Entry>,
}

/// One model on the hub: which file of which repository, and what is known about it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What the user types.
    pub name: String,
    /// The format to import it by; `None` outside the table.
    pub kind: Option<String>,
    /// One line for a list.
    pub about: String,
    /// Of the weights.
    pub licence: String,
    /// OWNER/REPO.
    pub repo: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// The weights, as a path inside the repository.
    pub file: String,
    /// Further files; those of an entry outside the table may be missing on the hub.
    #[serde(default)]
    pub extras: Vec<String>,
    /// Length of the weights.
    pub bytes: Option<u64>,
    /// SHA-256 of the weights, in hexadecimal.
    pub sha256: Option<String>,
}

/// The models of configs/models.toml, in its order.
///
/// # Errors
/// [`HubError::Table`] if the table that was built in is malformed; a test rules that out.
pub fn known() -> Result<&'static [Entry], HubError> {
    TABLE.as_deref().map_err(|error| HubError::Table(Box::new(error.clone())))
}

/// Finds the entry for `name`: a name or repository of the table, or `OWNER/REPO[/FILE][@REVISION]`.
///
/// A revision after a table name replaces the table's, and with it the length and SHA-256 that belong to that revision.
///
/// # Errors
/// [`HubError::Unknown`] with the nearest names, [`HubError::BadName`] for a malformed repository.
pub fn resolve(name: &str) -> Result<Entry, HubError> {
    let table = known()?;
    let (path, revision) = match name.split_once('@') {
        Some((path, revision)) => (path, Some(revision)),
        None => (name, None),
    };
    if let Some(revision) = revision {
        check_revision(name, revision)?;
    }
    let listed = table.iter().find(|entry| entry.name.eq_ignore_ascii_case(path) || entry.repo == path);
    match (listed, revision) {
        (Some(entry), None) => Ok(entry.clone()),
        (Some(entry), Some(revision)) => {
            Ok(Entry { revision: revision.to_owned(), bytes: None, sha256: None, ..entry.clone() })
        }
        (None, _) if path.contains('/') => unlisted(name, path, revision.unwrap_or(DEFAULT_REVISION)),
        (None, _) => Err(unknown(name, path, table)),
    }
}

/// An entry for a repository outside the table.
fn unlisted(name: &str, path: &str, revision: &str) -> Result<Entry, HubError> {
    let mut parts = path.splitn(3, '/');
    let (owner, repo) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (file, extras) = match parts.next() {
        Some(file) => (file, Vec::new()),
        None => (DEFAULT_FILE, vec![CONFIG_FILE.to_owned()]),
    };
    for part in [owner, repo].into_iter().chain(file.split('/')) {
        check_part(name, part)?;
    }
    Ok(Entry {
        name: name.to_owned(),
        kind: None,
        about: "not in the table of known models".to_owned(),
        licence: "see its page on the hub".to_owned(),
        repo: format!("{owner}/{repo}"),
        revision: revision.to_owned(),
        file: file.to_owned(),
        extras,
        bytes: None,
        sha256: None,
    })
}

/// What the hub allows in the names of owners, repositories and files, so that none of them can leave the cache folder.
fn check_part(name: &str, part: &str) -> Result<(), HubError> {
    let reason = if part.is_empty() {
        "a part of it is empty"
    } else if part.starts_with('.') || part.ends_with('.') || part.contains("..") {
        "a part begins or ends with a dot, or has two in a row"
    } else if !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        "its parts consist of letters, digits, '-', '_' and '.'"
    } else {
        return Ok(());
    };
    Err(HubError::BadName { name: name.to_owned(), reason })
}

/// Branches and tags may have slashes (`refs/pr/15`).
fn check_revision(name: &str, revision: &str) -> Result<(), HubError> {
    revision.split('/').try_for_each(|part| check_part(name, part))
}

fn unknown(name: &str, typed: &str, table: &[Entry]) -> HubError {
    let typed = typed.to_ascii_lowercase();
    let mut near: Vec<(usize, &str)> =
        table.iter().map(|entry| (edits(&typed, &entry.name), entry.name.as_str())).collect();
    near.retain(|(distance, _)| *distance <= SUGGEST_WITHIN);
    near.sort_unstable();
    HubError::Unknown {
        name: name.to_owned(),
        nearest: near.into_iter().take(2).map(|(_, name)| name.to_owned()).collect(),
        known: table.iter().map(|entry| entry.name.clone()).collect(),
    }
}

/// Levenshtein distance: insertions, deletions and replacements of bytes that turn `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use unmask_core::detector::formats;

    use super::*;

    #[test]
    fn the_built_in_table_is_well_formed() {
        let table = known().unwrap();
        assert!(table.len() >= 4);
        for entry in table {
            let file = format!("{}/{}@{}", entry.repo, entry.file, entry.revision);
            check_revision(&file, &entry.revision).unwrap();
            unlisted(&file, &format!("{}/{}", entry.repo, entry.file), &entry.revision).unwrap();
            assert!(entry.extras.iter().all(|extra| check_part(&file, extra).is_ok()), "{file}");
            assert!(
                entry.kind.as_deref().and_then(formats::by_name).is_some()
                    && !entry.about.is_empty()
                    && !entry.licence.is_empty(),
                "{file}"
            );
            assert_eq!(entry.name, entry.name.to_ascii_lowercase());
            assert_eq!(table.iter().filter(|other| other.name == entry.name).count(), 1, "{} is unique", entry.name);
            if let Some(sha256) = &entry.sha256 {
                assert!(sha256.len() == 64 && sha256.bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{file}");
            }
        }
    }

    #[test]
    fn a_model_is_found_by_its_name_and_by_its_repository() {
        let by_name = resolve("GenD-CLIP-L-14").unwrap();
        assert_eq!(by_name, resolve("yermandy/GenD_CLIP_L_14").unwrap());
        assert_eq!(by_name.kind.as_deref(), Some("gend"));
    }

    #[test]
    fn another_revision_drops_the_checksum_of_the_listed_one() {
        let entry = resolve("clip-vit-l-14@refs/pr/3").unwrap();
        assert_eq!((entry.revision.as_str(), entry.sha256, entry.bytes), ("refs/pr/3", None, None));
        assert_eq!(entry.kind.as_deref(), Some("hf-clip"));
    }

    #[test]
    fn any_repository_and_file_of_the_hub_can_be_named() {
        let entry = resolve("someone/detector/runs/best.safetensors@v2").unwrap();
        assert_eq!((entry.repo.as_str(), entry.file.as_str()), ("someone/detector", "runs/best.safetensors"));
        assert_eq!((entry.revision.as_str(), entry.kind), ("v2", None));
        let entry = resolve("someone/detector").unwrap();
        assert_eq!((entry.file.as_str(), entry.revision.as_str()), ("model.safetensors", "main"));
        assert_eq!(entry.extras, ["config.json"]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_and_all_known_names() {
        let message = resolve("clip-vit-b16").unwrap_err().to_string();
        assert!(message.contains("did you mean clip-vit-b-16"), "{message}");
        assert!(message.contains("gend-clip-l-14") && message.contains("OWNER/REPO"), "{message}");
        let message = resolve("something-else-entirely").unwrap_err().to_string();
        assert!(!message.contains("did you mean"), "{message}");
    }

    #[test]
    fn names_that_would_leave_the_cache_folder_are_refused() {
        for name in ["../x", "a/../b", "a/b/../../c", "/a/b", "a//b", "a/b/", "a/b@../x", "a/b@", "a/b\\c", "a/b/.x"] {
            assert!(matches!(resolve(name), Err(HubError::BadName { .. })), "{name}");
        }
    }

    #[test]
    fn edits_counts_insertions_deletions_and_replacements() {
        for (a, b, distance) in [("", "", 0), ("abc", "", 3), ("abc", "abc", 0), ("kitten", "sitting", 3)] {
            assert_eq!(edits(a, b), distance, "{a} {b}");
        }
    }
}
