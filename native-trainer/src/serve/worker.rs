//! The threads that score, one job after the other: all cores work on one video already.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Result, anyhow};

use super::jobs::{Jobs, Work};
use crate::credentials::Looking;
use crate::media;
use crate::provenance::Document;
use crate::scoring::Scorer;

/// Scores jobs until there will be none; `program` is this one, which reads credentials in a process of its own.
pub(super) fn work(jobs: &Jobs, scorer: &Scorer, program: &Path) {
    while let Some(work) = jobs.take() {
        // A fault of the program in one job must not take the others with it.
        let outcome = catch_unwind(AssertUnwindSafe(|| score(&work, scorer, program))).unwrap_or_else(|_| {
            Err(anyhow!("{}: the program failed on it by a fault of its own; please report that", work.name))
        });
        let place = work.source.path().display().to_string();
        // What an upload is called by is not where it lies.
        let outcome = outcome.map_err(|error| anyhow!("{}", format!("{error:#}").replace(&place, &work.name)));
        jobs.finish(work, outcome);
    }
}

fn score(work: &Work, scorer: &Scorer, program: &Path) -> Result<Document> {
    let name = Path::new(&work.name);
    let found = media::expand(work.source.path()).map_err(|error| error.about(name))?;
    let input = found.inputs.first().ok_or_else(|| anyhow!("{}: there is nothing to score in it", work.name))?;
    let looking = Looking::start(program, input);
    let report = scorer.score_as(input, &work.name, None, |done, expected| work.progress(done, expected));
    Document::of(report, looking)
}
