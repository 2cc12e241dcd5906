//! The page at `/`: how to use the server, with commands to copy. It has no script.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use askama::Template;
use unmask_core::detector::spec::DetectorSpec;

use super::jobs::Limits;
use crate::output::grade;

#[derive(Template)]
#[template(path = "serve.html")]
struct Page {
    address: String,
    version: &'static str,
    /// Name, grade and what its answers are worth, of each detector.
    detectors: Vec<(String, &'static str, String)>,
    max_upload: String,
    queue: usize,
    kept: usize,
    kept_minutes: u64,
    allows_paths: bool,
    /// What curl needs to show the token, or nothing.
    token: &'static str,
}

/// The page of a server.
///
/// # Errors
/// The template cannot be filled.
pub(super) fn render(
    specs: &[&DetectorSpec],
    address: SocketAddr,
    max_upload: u64,
    limits: &Limits,
    allows_paths: bool,
    needs_token: bool,
) -> Result<String> {
    let detectors = specs.iter().map(|spec| {
        let worth = spec.training.reliability();
        (spec.name.clone(), grade(worth.grade), worth.words.to_string())
    });
    let page = Page {
        address: format!("http://{address}"),
        version: env!("CARGO_PKG_VERSION"),
        detectors: detectors.collect(),
        max_upload: format!("{} MiB", max_upload >> 20),
        queue: limits.queue,
        kept: limits.kept,
        kept_minutes: limits.kept_for.as_secs() / 60,
        allows_paths,
        token: if needs_token { "-H \"Authorization: Bearer $(cat token)\" " } else { "" },
    };
    page.render().context("the page cannot be made of its template")
}
