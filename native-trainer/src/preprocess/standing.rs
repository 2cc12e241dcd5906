//! How a source stands to what the manifest says of its video: seen to, replaced since, or another file altogether.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::datasets::manifest::{Known, SourcePrint};
use crate::datasets::source::Source;
use crate::file_print::{self, shortened};
use crate::media::Input;

/// How a source stands to a line of the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The line is about it.
    Same,
    /// The line is about an earlier file in its place.
    Replaced,
    /// The line is about another file of the same identity.
    Other,
}

/// How `source`, found in a folder with the print `root`, stands to `known`.
pub(super) fn standing(known: &Known, source: &Source, root: &str) -> Standing {
    let is_same_size = known.source_bytes.is_none_or(|bytes| source.size().is_none_or(|size| size == bytes));
    let differs = match &known.source_print {
        _ if known.source != source.path => Standing::Other,
        Some(print) if print.root == root => Standing::Replaced,
        _ => Standing::Other,
    };
    let is_same = known.source == source.path
        && is_same_size
        && known.source_print.as_ref().is_none_or(|print| {
            modified_ms(source) == Some(print.modified_ms) || sample(source).is_none_or(|sample| sample == print.sample)
        });
    match (is_same, differs) {
        (true, _) => Standing::Same,
        // What could not be used is worth nothing, whichever file it was.
        (false, Standing::Other) if known.dropped.is_some() => Standing::Replaced,
        (false, differs) => differs,
    }
}

/// The print of `source`; none where its file cannot be read.
pub(super) fn print(source: &Source, root: &str) -> Option<SourcePrint> {
    let (modified_ms, sample) = (modified_ms(source)?, sample(source)?);
    Some(SourcePrint { root: root.to_owned(), modified_ms, sample })
}

/// The print of the folder that is preprocessed.
pub(super) fn root_print(root: &Path) -> String {
    let whole = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    shortened(Sha256::new_with_prefix(whole.as_os_str().as_encoded_bytes()))
}

/// When the file, or the last of a folder's frames, was written to.
fn modified_ms(source: &Source) -> Option<u64> {
    let of_file = |path: &Path| Some(file_print::modified_ms(&path.metadata().ok()?));
    match &source.input {
        Input::Frames { files, .. } => files.iter().filter_map(|file| of_file(file)).max(),
        input => of_file(input.path()),
    }
}

/// The hash of a file's size and some of its bytes, or of the names and sizes of a folder's frames.
fn sample(source: &Source) -> Option<String> {
    match &source.input {
        Input::Frames { files, .. } => {
            let mut hasher = Sha256::new();
            for file in files {
                hasher.update(file.file_name()?.as_encoded_bytes());
                hasher.update(file.metadata().ok()?.len().to_le_bytes());
            }
            Some(shortened(hasher))
        }
        input => file_print::sample(input.path()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::manifest::{Drop, DropKind};
    use crate::datasets::{Label, Split};

    fn source(folder: &Path, bytes: &[u8]) -> Source {
        let path = folder.join("a.mp4");
        std::fs::write(&path, bytes).unwrap();
        Source {
            input: Input::Video(path),
            path: "a.mp4".into(),
            dataset: "d".into(),
            manipulation: "m".into(),
            name: "a".into(),
            label: Label::Real,
            split: Split::Train,
            person: None,
            group: "a".into(),
            ends_at_face: false,
        }
    }

    fn known(source: &Source, root: &str) -> Known {
        let line = serde_json::json!({
            "dataset": "d", "manipulation": "m", "name": "a", "label": "real", "split": "train", "source": source.path, "source_bytes": source.size(),
            "source_print": print(source, root), "dropped": null,
        });
        serde_json::from_value(line).unwrap()
    }

    /// As if the file had been written at another time.
    fn at_another_time(mut known: Known) -> Known {
        known.source_print.as_mut().unwrap().modified_ms -= 100_000;
        known
    }

    #[test]
    fn a_file_is_the_same_by_its_time_or_by_its_bytes_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), &[7; 300_000]);
        assert_eq!(standing(&known(&source, "here"), &source, "here"), Standing::Same);
        assert_eq!(standing(&at_another_time(known(&source, "there")), &source, "here"), Standing::Same);
    }

    #[test]
    fn other_bytes_in_the_same_place_are_a_replaced_file_and_elsewhere_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let before = at_another_time(known(&source(folder.path(), &[7; 300_000]), "here"));
        let mut bytes = [7; 300_000];
        bytes[150_000] = 8;
        for changed in [&bytes[..], &bytes[..99]] {
            let source = source(folder.path(), changed);
            assert_eq!(standing(&before, &source, "here"), Standing::Replaced);
            assert_eq!(standing(&before, &source, "there"), Standing::Other);
            let mut unreadable = before.clone();
            unreadable.dropped = Some(Drop { kind: DropKind::Unreadable, reason: "damaged".into() });
            assert_eq!(standing(&unreadable, &source, "there"), Standing::Replaced);
        }
    }

    #[test]
    fn another_path_under_the_same_name_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), b"video");
        let mut elsewhere = known(&source, "here");
        elsewhere.source = "b/a.mp4".into();
        assert_eq!(standing(&elsewhere, &source, "here"), Standing::Other);
    }

    #[test]
    fn a_line_without_a_print_is_told_by_its_size_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut before = known(&source(folder.path(), b"video"), "here");
        before.source_print = None;
        assert_eq!(standing(&before, &source(folder.path(), b"other"), "here"), Standing::Same);
        assert_eq!(standing(&before, &source(folder.path(), b"longer"), "here"), Standing::Other);
    }
}
