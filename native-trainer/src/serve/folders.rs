//! Files that requests may name: those in folders that the user allowed, wherever links lead.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use axum::http::StatusCode;

use super::problem::Problem;

/// The folders, without links in their paths; none unless the user names some.
#[derive(Clone, Debug, Default)]
pub struct Folders(Vec<PathBuf>);

impl Folders {
    /// Folders that were named.
    ///
    /// # Errors
    /// One is not there, or is no folder.
    pub fn new(named: &[PathBuf]) -> Result<Self> {
        let whole = |path: &PathBuf| {
            let shown = path.display();
            let whole = path.canonicalize().with_context(|| format!("{shown} cannot be allowed; name a folder"))?;
            if !whole.is_dir() {
                bail!("{shown} is no folder; name the folder that it lies in");
            }
            Ok(whole)
        };
        Ok(Self(named.iter().map(whole).collect::<Result<_>>()?))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The file that a request names, without links in its path. Whether there is a file elsewhere is not told.
    pub(super) fn find(&self, named: &str) -> Result<PathBuf, Problem> {
        let path = Path::new(named);
        let is_plain = |part: Component| !matches!(part, Component::ParentDir | Component::CurDir);
        if !path.is_absolute() || named.contains('\0') || !path.components().all(is_plain) {
            return Err(Problem::bad("bad_path", "the path has to be absolute and without `..`; send the whole path"));
        }
        let forbidden = || {
            let words = "the path lies in no folder that is allowed; start the server with --allow and its folder";
            Problem::new(StatusCode::FORBIDDEN, "path_not_allowed", words)
        };
        match path.canonicalize() {
            Ok(whole) if !self.holds(&whole) => Err(forbidden()),
            Ok(whole) if whole.is_file() => Ok(whole),
            Ok(_) => Err(Problem::bad("not_a_file", "the path is that of no file; name a video or an image")),
            Err(_) if !self.holds(path) => Err(forbidden()),
            Err(_) => {
                let words = "there is no such file in the allowed folder, or it cannot be read; check the path";
                Err(Problem::new(StatusCode::NOT_FOUND, "no_such_file", words))
            }
        }
    }

    fn holds(&self, path: &Path) -> bool {
        self.0.iter().any(|folder| path.starts_with(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(found: Result<PathBuf, Problem>) -> String {
        found.map_or_else(|problem| format!("{problem:?}"), |path| path.display().to_string())
    }

    #[cfg(unix)]
    #[test]
    fn only_files_in_allowed_folders_are_found_wherever_a_path_or_a_link_leads() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (inside, outside) = (inside.path().canonicalize().unwrap(), outside.path().canonicalize().unwrap());
        for file in [inside.join("a.mp4"), outside.join("b.mp4")] {
            std::fs::write(file, "video").unwrap();
        }
        std::os::unix::fs::symlink(outside.join("b.mp4"), inside.join("link.mp4")).unwrap();
        let folders = Folders::new(std::slice::from_ref(&inside)).unwrap();
        let find = |path: PathBuf| code(folders.find(path.to_str().unwrap()));
        assert_eq!(find(inside.join("a.mp4")), inside.join("a.mp4").display().to_string());
        for (path, expected) in [
            (outside.join("b.mp4"), "path_not_allowed"),
            (outside.join("missing.mp4"), "path_not_allowed"),
            (inside.join("link.mp4"), "path_not_allowed"),
            (inside.join("missing.mp4"), "no_such_file"),
            (inside.join("../b.mp4"), "bad_path"),
            (inside.clone(), "not_a_file"),
            ("a.mp4".into(), "bad_path"),
        ] {
            assert!(find(path.clone()).contains(expected), "{path:?}: {}", find(path.clone()));
        }
        assert!(code(Folders::default().find(inside.join("a.mp4").to_str().unwrap())).contains("path_not_allowed"));
    }
}
