//! A folder of reports: for each input the JSON document and a page for people, and an index of several.
//!
//! A page needs no script and no network, and says so to the browser. `words` says things in sentences, `domain` for what they
//! hold, `timeline` lays out the figure, `frame_use` counts frames by why they count, `facts` lists what can be checked,
//! `pictures` keeps what is shown, `second` sets several detectors side by side, `signed` shows content credentials, `page` and `index` fill the templates in
//! `templates/`, which escape all that they are given.

mod domain;
mod facts;
mod figures;
mod frame_use;
mod index;
mod page;
mod pictures;
mod second;
mod signed;
#[cfg(test)]
mod tests;
mod timeline;
mod words;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use askama::Template;
use jiff::Timestamp;
use unmask_core::detector::spec::DetectorSpec;

use crate::files;
use crate::media::{Input, LeftOut};
use crate::provenance::Document;

use index::{Entry, Index};
use page::{Page, Subject};
pub use pictures::Pictures;

/// Name of the index, without its ending.
const INDEX: &str = "index";

/// The folder that reports are written to.
pub struct ReportFolder {
    folder: PathBuf,
    /// Distinguishes the index from those of other programs that write to the same folder.
    part: Option<String>,
    names: Names,
    entries: Vec<Entry>,
    failures: Vec<(String, String)>,
    left_out: Vec<LeftOut>,
}

impl ReportFolder {
    /// Makes the folder. `part` names this program's share where several write to it.
    pub fn create(folder: &Path, part: Option<String>) -> Result<Self> {
        let context = || format!("{} cannot be made; choose another --report folder", folder.display());
        std::fs::create_dir_all(folder).with_context(context)?;
        let (entries, failures, left_out) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { folder: folder.to_owned(), part, names: Names::default(), entries, failures, left_out })
    }

    /// Writes the report of an input, as JSON and as a page.
    pub fn add(&mut self, input: &Input, document: &Document, spec: &DetectorSpec, pictures: &Pictures) -> Result<()> {
        let (title, name) = self.names.of(input);
        let json_name = format!("{name}.json");
        files::write_json(&self.folder.join(&json_name), document)?;
        let report = &document.report;
        let subject = Subject {
            report,
            spec,
            pictures,
            title: &title,
            credentials: document.content_credentials.as_ref(),
            provenance: document.provenance.as_ref(),
            made: &now(),
            json: &json_name,
        };
        let page_name = format!("{name}.html");
        self.write(&page_name, &Page::new(&subject))?;
        self.entries.push(Entry::new(report, spec, pictures, &title, page_name));
        Ok(())
    }

    /// Remembers for the index that an input failed.
    pub fn fail(&mut self, input: &str, error: &anyhow::Error) {
        self.failures.push((input.to_owned(), format!("{error:#}")));
    }

    /// Remembers for the index which files of a folder are no inputs.
    pub fn leave_out(&mut self, left_out: &[LeftOut]) {
        self.left_out.extend_from_slice(left_out);
    }

    /// Writes the index, where there are several inputs or something was left out, and gives the page to open first.
    pub fn finish(self, specs: &[&DetectorSpec]) -> Result<Option<PathBuf>> {
        if self.entries.len() + self.failures.len() < 2 && self.left_out.is_empty() {
            return Ok(self.entries.first().map(|entry| self.folder.join(entry.page())));
        }
        let name = match &self.part {
            Some(part) => format!("{INDEX}-{part}.html"),
            None => format!("{INDEX}.html"),
        };
        self.write(&name, &Index::new(&self.entries, &self.failures, &self.left_out, specs, &now()))?;
        Ok(Some(self.folder.join(name)))
    }

    fn write(&self, name: &str, page: &impl Template) -> Result<()> {
        let text = page.render().with_context(|| format!("{name} cannot be made of its template"))?;
        files::write_bytes(&self.folder.join(name), text.as_bytes())
    }
}

/// The date and the time for a reader anywhere.
fn now() -> String {
    Timestamp::now().strftime("%-d %B %Y, %H:%M UTC").to_string()
}

/// File names for reports: the input's own, numbered where two inputs share one or would take the index's.
#[derive(Default)]
struct Names {
    used: HashSet<String>,
}

impl Names {
    /// What the input is called, and the name of its files without their endings.
    fn of(&mut self, input: &Input) -> (String, String) {
        let name = input.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let title = if name.is_empty() { "report".to_string() } else { name };
        let is_index = title == INDEX || title.starts_with("index-");
        let mut candidate = if is_index { format!("{title}-1") } else { title.clone() };
        let mut number = 2;
        while !self.used.insert(candidate.clone()) {
            candidate = format!("{title}-{number}");
            number += 1;
        }
        (title, candidate)
    }
}
