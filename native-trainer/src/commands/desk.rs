//! One input after the other, each with everything that is said of it: its report, what it says under a signature, and where a page
//! is wanted, what the page shows.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;
use jiff::Timestamp;
use unmask_core::pipeline::report::Report;

use super::scorer::{ScorerArgs, under_bar};
use unmask::credentials::Looking;
use unmask::media::Input;
use unmask::provenance::{Document, Gathering, Run};
use unmask::report::{Pictures, ReportFolder};
use unmask::scoring::Scorer;

/// Whether pages show where the detector looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Maps {
    /// Where the verdict is likely fake or likely real
    Decided,
    /// Where it is uncertain, too
    Always,
    /// Nowhere, which saves the time
    Never,
}

impl Maps {
    /// The track whose faces are explained.
    fn track(self, report: &Report) -> Option<usize> {
        let is_wanted = match self {
            Self::Decided => report.verdict.is_decided(),
            Self::Always => true,
            Self::Never => false,
        };
        report.deciding_track().filter(|_| is_wanted).map(|track| track.id)
    }
}

/// What scores inputs, and tells what their pages say.
pub(super) struct Desk {
    pub(super) scorer: Scorer,
    /// What pages say of the run, and whether they show where the detector looked; none where no page is wanted.
    pages: Option<(Run, Maps)>,
    /// This program, which reads credentials in a process of its own.
    program: PathBuf,
}

/// What is said of one input.
pub(super) struct Said {
    /// What is printed.
    pub(super) document: Document,
    page: Option<(Document, Pictures)>,
}

impl Desk {
    /// Loads what scores; `pages` says what they show, where some are wanted.
    pub(super) fn open(args: &ScorerArgs, pages: Option<Maps>) -> Result<Self> {
        let program = std::env::current_exe().context("the program does not find its own file")?;
        Ok(match pages {
            Some(maps) => {
                let (scorer, run) = args.open_for_reports()?;
                Self { scorer, pages: Some((run, maps)), program }
            }
            None => Self { scorer: args.open()?, pages: None, program },
        })
    }

    /// Scores one input, which the report calls by `name`, under a progress bar.
    ///
    /// # Errors
    /// The input's, or the detector's.
    pub(super) fn score(&self, input: &Input, name: &str) -> Result<Said> {
        let made = Timestamp::now();
        let mut page = self.pages.as_ref().map(|pages| (pages, Pictures::default(), Gathering::start(input)));
        let looking = Looking::start(&self.program, input);
        let report = under_bar(&self.scorer, input, name, page.as_mut().map(|(_, pictures, _)| pictures));
        let document = Document::of(report, looking)?;
        let Some(((run, maps), mut pictures, gathering)) = page else { return Ok(Said { document, page: None }) };
        if let Some(track) = maps.track(&document.report) {
            pictures.explain(self.scorer.detector(), track)?;
        }
        let page = run.complete(document.clone(), gathering.finish()?, made);
        Ok(Said { document, page: Some((page, pictures)) })
    }

    /// Writes the page of what was said, where there is one.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, folder: &mut ReportFolder, input: &Input, said: &Said) -> Result<()> {
        match &said.page {
            Some((document, pictures)) => folder.add(input, document, self.scorer.spec(), pictures),
            None => Ok(()),
        }
    }
}
