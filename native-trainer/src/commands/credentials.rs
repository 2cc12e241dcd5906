//! The process that reads content credentials, within bounds; started by `unmask score`, not by people.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use unmask::credentials;
use unmask::output::say;

/// Read the content credentials of a file, for `unmask score`.
#[derive(Args, Debug)]
pub(crate) struct ReadCredentialsArgs {
    /// The file
    file: PathBuf,
}

/// Prints them as JSON. A process that needs too much memory is ended by the system.
pub(crate) fn run(args: &ReadCredentialsArgs) -> Result<()> {
    limit_memory();
    let found = credentials::read(&args.file);
    say!("{}", serde_json::to_string(&found).context("the credentials cannot be written as JSON")?);
    Ok(())
}

#[cfg(target_os = "linux")]
fn limit_memory() {
    use nix::sys::resource::{Resource, setrlimit};
    // Where the system refuses, the bounds of time and of what is read remain.
    setrlimit(Resource::RLIMIT_AS, credentials::MAX_MEMORY, credentials::MAX_MEMORY).ok();
}

/// Elsewhere the bounds of time and of what is read have to do.
#[cfg(not(target_os = "linux"))]
fn limit_memory() {}
