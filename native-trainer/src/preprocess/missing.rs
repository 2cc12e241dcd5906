//! What of an input is still to be done, and what of the manifest is no longer true of it.

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Result, bail};

use super::Tally;
use super::standing::{self, Standing};
use super::store::Store;
use crate::datasets::manifest::{self, Drop, DropKind, Entry, Identity, Known, Manifest};
use crate::datasets::source::Source;

/// Whose the folder of crops is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Crops of other inputs, too: what is not in this one stays.
    Others,
    /// Crops of this input alone: what is not in it any more is taken off the manifest.
    ThisAlone,
}

/// The folder that is preprocessed.
#[derive(Clone, Copy)]
pub(super) struct Root<'a> {
    /// As [`standing::root_print`] gives it.
    pub(super) print: &'a str,
    /// From where its files are named.
    pub(super) place: &'a Path,
}

/// A video to see to.
pub(super) struct Task {
    pub(super) source: Source,
    /// As [`Entry::revision`].
    pub(super) revision: u32,
}

/// What there is to do.
#[derive(Default)]
pub(super) struct Missing {
    /// Videos without a line, or with one about a file that was replaced since.
    pub(super) tasks: Vec<Task>,
    /// Videos of whose lines the crops are still true, and what the input says of them is not.
    retold: Vec<Source>,
    /// Videos that the input no longer has, or has under another label.
    withdrawn: Vec<Identity>,
    /// Everything else.
    pub(super) tally: Tally,
}

impl Missing {
    /// Compares `sources`, found in `root`, with what is `done`; with `retry` what was dropped is
    /// to be done again.
    pub(super) fn of(
        sources: Vec<Source>,
        done: &Manifest<Known>,
        root: Root<'_>,
        retry: bool,
        holds: Holds,
    ) -> Result<Self> {
        let mut missing = Self::default();
        missing.find_withdrawn(&sources, done, root, holds);
        for source in sources {
            let Some(known) = done.lines.get(&source.identity()) else {
                missing.tasks.push(Task { source, revision: 0 });
                continue;
            };
            if known.is_withdrawn() {
                missing.tasks.push(Task { source, revision: known.revision + 1 });
                continue;
            }
            match standing::standing(known, &source, root.print) {
                Standing::Other if is_moved(known, &source, root) => {
                    missing.tally.before += 1;
                    missing.tally.retold.push(source.path.clone());
                    missing.retold.push(source);
                }
                Standing::Other => bail!(
                    "{} and the file that `{}` of {} was made from ({}) are different ones; give one data set another name \
                     with --dataset, or choose another --output folder",
                    source.input.path().display(),
                    source.name,
                    source.dataset,
                    known.source
                ),
                Standing::Replaced => {
                    missing.tally.replaced.push(source.path.clone());
                    missing.tasks.push(Task { source, revision: known.revision + 1 });
                }
                Standing::Same if retry && known.dropped.is_some() => {
                    missing.tasks.push(Task { source, revision: known.revision });
                }
                Standing::Same => {
                    missing.tally.before += 1;
                    if let Some(Drop { kind: DropKind::Unreadable, reason }) = &known.dropped {
                        missing.tally.still_unreadable.push(reason.clone());
                    }
                    if !known.says_the_same(&source) {
                        missing.tally.retold.push(source.path.clone());
                        missing.retold.push(source);
                    }
                }
            }
        }
        Ok(missing)
    }

    /// A file that is listed under another identity of its data set now, as one whose label was corrected, is no longer what
    /// its line says, and neither is one that was moved, as from `real` to `fake`; one that is gone is worth a word.
    fn find_withdrawn(&mut self, sources: &[Source], done: &Manifest<Known>, root: Root<'_>, holds: Holds) {
        let identities: HashSet<Identity> = sources.iter().map(Source::identity).collect();
        let by_path: HashMap<&str, &Source> = sources.iter().map(|source| (source.path.as_str(), source)).collect();
        // Asked for where something is gone.
        let new_by_size = LazyCell::new(|| {
            let mut new: HashMap<Option<u64>, Vec<&Source>> = HashMap::new();
            for source in sources.iter().filter(|source| !done.lines.contains_key(&source.identity())) {
                new.entry(source.size()).or_default().push(source);
            }
            new
        });
        for (identity, known) in &done.lines {
            let is_of_root = known.source_print.as_ref().is_some_and(|print| print.root == root.print);
            if identities.contains(identity) || known.is_withdrawn() || !(is_of_root || holds == Holds::ThisAlone) {
                continue;
            }
            let is_relabelled = by_path.get(known.source.as_str()).is_some_and(|source| source.dataset == identity.0);
            let is_gone = !root.place.join(&known.source).exists();
            let alike = || new_by_size.get(&known.source_bytes).into_iter().flatten();
            let reappears = || is_gone && alike().any(|source| is_moved(known, source, root));
            if is_relabelled || holds == Holds::ThisAlone || reappears() {
                self.tally.withdrawn.push(known.source.clone());
                self.withdrawn.push(identity.clone());
            } else if is_gone {
                self.tally.gone.push(known.source.clone());
            }
        }
    }

    /// Writes the lines that take the places of those that are no longer true.
    pub(super) fn correct(&mut self, folder: &Path, root: &str, store: &Store) -> Result<()> {
        if self.retold.is_empty() && self.withdrawn.is_empty() {
            return Ok(());
        }
        let lines = manifest::read::<Entry>(&manifest::list(folder)?)?.lines;
        for source in self.retold.drain(..) {
            let Some(entry) = lines.get(&source.identity()) else { continue };
            store.record(&Entry {
                source: source.path.clone(),
                source_print: standing::print(&source, root),
                label: source.label,
                split: source.split,
                person: source.person.clone(),
                group: Some(source.group.clone()),
                revision: entry.revision + 1,
                ..entry.clone()
            })?;
        }
        for identity in self.withdrawn.drain(..) {
            let Some(entry) = lines.get(&identity) else { continue };
            let reason = format!("{}: it is no longer in the input, or under another label", entry.source);
            let dropped = Some(Drop { kind: DropKind::Withdrawn, reason });
            store.record(&Entry { revision: entry.revision + 1, crops: Vec::new(), dropped, ..entry.clone() })?;
        }
        Ok(())
    }
}

/// Whether `source` is the file that `known` is about, in another place of `root`.
fn is_moved(known: &Known, source: &Source, root: Root<'_>) -> bool {
    let Some(before) = known.source_print.as_ref().filter(|print| print.root == root.print) else { return false };
    let is_alike = known.source_bytes == source.size() && !root.place.join(&known.source).exists();
    is_alike && standing::print(source, root.print).is_some_and(|now| now.sample == before.sample)
}
