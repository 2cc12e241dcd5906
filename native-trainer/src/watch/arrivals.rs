//! Which files are whole: those that were the same for a while, by the clock of this machine alone. Clocks of file servers
//! are others, and copies may keep the time of what they are copies of.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::listing::Stamp;

/// Files of the folder as they were last seen.
#[derive(Debug)]
pub(super) struct Arrivals {
    settle: Duration,
    seen: HashMap<PathBuf, Seen>,
    /// When the first look ended: what is written to after it is not waited for by a run that ends by itself.
    first_look: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    stamp: Stamp,
    /// Since when it is so.
    since: Instant,
    /// Whether it is to be waited for: its name does not say that it is unfinished, and it holds something.
    counts: bool,
    /// Whether it was given out, or is known from a line.
    is_seen_to: bool,
}

impl Arrivals {
    pub(super) fn new(settle: Duration) -> Self {
        Self { settle, seen: HashMap::new(), first_look: None }
    }

    /// Takes note of what a look found that took from `begun` to `ended`; gives what has become whole, first what was written first. `is_known`
    /// tells what needs no more doing.
    pub(super) fn update(
        &mut self,
        files: Vec<(PathBuf, Stamp)>,
        aside: Vec<(PathBuf, Stamp)>,
        (begun, ended): (Instant, Instant),
        is_known: impl Fn(&Path, Stamp) -> bool,
    ) -> Vec<(PathBuf, Stamp)> {
        let mut before = std::mem::take(&mut self.seen);
        let still: Vec<Option<Seen>> = files.iter().chain(&aside).map(|(path, _)| before.remove(path)).collect();
        // What is left is gone, or has another name now.
        let gone: HashMap<Stamp, Seen> =
            before.into_values().filter(|seen| seen.stamp.bytes > 0).map(|seen| (seen.stamp, seen)).collect();
        self.first_look.get_or_insert(ended);
        let mut whole = Vec::new();
        let counted = files.into_iter().map(|file| (file, true)).chain(aside.into_iter().map(|file| (file, false)));
        for (((path, stamp), counts), was) in counted.zip(still) {
            let mut seen = match was.filter(|was| was.stamp == stamp) {
                Some(seen) => seen,
                None => {
                    let since = gone.get(&stamp).map_or(ended, |renamed| renamed.since);
                    let counts = counts && stamp.bytes > 0;
                    Seen { stamp, since, counts, is_seen_to: counts && is_known(&path, stamp) }
                }
            };
            let is_whole = begun.checked_duration_since(seen.since).is_some_and(|age| age >= self.settle);
            if seen.counts && !seen.is_seen_to && is_whole {
                seen.is_seen_to = true;
                whole.push((path.clone(), stamp));
            }
            self.seen.insert(path, seen);
        }
        whole.sort_by_key(|(_, stamp)| stamp.modified_ms);
        whole
    }

    /// Has a file arrive once more when it is whole: it changed while it was scored.
    pub(super) fn again(&mut self, path: &Path) {
        if let Some(seen) = self.seen.get_mut(path) {
            *seen = Seen { is_seen_to: false, since: Instant::now(), ..*seen };
        }
    }

    /// Whether nothing is left to be waited for of what lay there at the first look.
    pub(super) fn is_all_seen_to(&self) -> bool {
        self.first_look
            .is_some_and(|first| !self.seen.values().any(|seen| seen.counts && !seen.is_seen_to && seen.since <= first))
    }

    /// Files that were written to since the first look and are not seen to.
    pub(super) fn unsettled(&self) -> usize {
        self.seen.values().filter(|seen| seen.counts && !seen.is_seen_to).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(5);

    fn file(name: &str, bytes: u64, modified_ms: u64) -> (PathBuf, Stamp) {
        (name.into(), Stamp { bytes, modified_ms })
    }

    /// What is whole after a look at `files` and `aside` that many seconds after `start`.
    fn look(
        arrivals: &mut Arrivals,
        start: Instant,
        seconds: u64,
        files: &[(PathBuf, Stamp)],
        aside: &[(PathBuf, Stamp)],
    ) -> Vec<String> {
        let at = start + Duration::from_secs(seconds);
        let whole = arrivals.update(files.to_vec(), aside.to_vec(), (at, at), |path, _| path == Path::new("known.mp4"));
        whole.into_iter().map(|(path, _)| path.display().to_string()).collect()
    }

    #[test]
    fn a_file_is_whole_once_it_stayed_the_same_for_a_while_and_then_only_once() {
        let (mut arrivals, start) = (Arrivals::new(SETTLE), Instant::now());
        let growing = |bytes| [file("a.mp4", bytes, 7), file("known.mp4", 1, 1)];
        for (seconds, bytes) in [(0, 10), (4, 20), (8, 20)] {
            assert!(look(&mut arrivals, start, seconds, &growing(bytes), &[]).is_empty(), "after {seconds} s");
        }
        assert_eq!(look(&mut arrivals, start, 9, &growing(20), &[]), ["a.mp4"]);
        assert!(look(&mut arrivals, start, 20, &growing(20), &[]).is_empty());
        assert!(look(&mut arrivals, start, 21, &growing(30), &[]).is_empty());
        assert_eq!(look(&mut arrivals, start, 26, &growing(30), &[]), ["a.mp4"], "it was replaced");
    }

    #[test]
    fn what_is_renamed_when_it_is_whole_is_whole_at_once() {
        let (mut arrivals, start) = (Arrivals::new(SETTLE), Instant::now());
        assert!(look(&mut arrivals, start, 0, &[], &[file("a.mp4.part", 9, 5)]).is_empty());
        assert!(
            look(&mut arrivals, start, 9, &[], &[file("a.mp4.part", 9, 5)]).is_empty(),
            "by its name it is unfinished"
        );
        assert_eq!(look(&mut arrivals, start, 11, &[file("a.mp4", 9, 5)], &[]), ["a.mp4"]);
        assert!(look(&mut arrivals, start, 12, &[file("a.mp4", 9, 5), file("new.mp4", 8, 5)], &[]).is_empty());
    }

    #[test]
    fn empty_files_are_waited_for_and_those_that_were_written_first_come_first() {
        let (mut arrivals, start) = (Arrivals::new(SETTLE), Instant::now());
        let files = [file("a.mp4", 1, 9), file("b.mp4", 1, 8), file("empty.mp4", 0, 1)];
        look(&mut arrivals, start, 0, &files, &[]);
        assert_eq!(look(&mut arrivals, start, 5, &files, &[]), ["b.mp4", "a.mp4"]);
    }

    #[test]
    fn a_run_that_ends_by_itself_waits_for_what_lay_there_and_not_for_what_still_grows() {
        let (mut arrivals, start) = (Arrivals::new(SETTLE), Instant::now());
        assert!(!arrivals.is_all_seen_to(), "nothing was looked at");
        look(&mut arrivals, start, 0, &[file("a.mp4", 1, 1), file("b.mp4", 1, 1)], &[]);
        look(&mut arrivals, start, 2, &[file("a.mp4", 1, 1), file("b.mp4", 2, 2)], &[]);
        assert!(!arrivals.is_all_seen_to());
        assert_eq!(look(&mut arrivals, start, 5, &[file("a.mp4", 1, 1), file("b.mp4", 2, 2)], &[]), ["a.mp4"]);
        assert!(arrivals.is_all_seen_to());
        assert_eq!(arrivals.unsettled(), 1);
        arrivals.again(Path::new("a.mp4"));
        assert_eq!((arrivals.is_all_seen_to(), arrivals.unsettled()), (true, 2));
    }
}
