//! The page with the detector: built into one folder, served on this machine, and made ready for others.

pub(crate) mod detectors;
pub(crate) mod dist;
pub(crate) mod headers;
pub(crate) mod package;
pub(crate) mod server;
pub(crate) mod types;

use anyhow::Result;
use clap::Args;
use xshell::Shell;

use headers::{Access, Origin};

/// How `cargo xtask web` serves the page.
#[derive(Args)]
pub(crate) struct ServeOptions {
    /// The port of this machine
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Build the folder and end
    #[arg(long)]
    build_only: bool,
    /// Where the page may fetch detectors besides its own origin, such as `https://example.com`; may be given several times
    #[arg(long, value_name = "ORIGIN")]
    model_origin: Vec<Origin>,
    /// Let pages of other origins use the files
    #[arg(long)]
    share: bool,
}

/// `cargo xtask web`: builds the page, and serves it unless only the folder is wanted.
///
/// # Errors
/// Something cannot be installed, built or served; the message says what to do.
pub(crate) fn run(shell: &Shell, options: ServeOptions) -> Result<()> {
    let folder = package::build(shell)?;
    let access = Access { model_origins: options.model_origin, shared: options.share };
    detectors::write(shell, &folder, &access)?;
    println!("built {}", folder.display());
    if options.build_only {
        return Ok(());
    }
    let server = server::Server::start(&folder, options.port, &access)?;
    println!("serving http://localhost:{}/ (Ctrl-C ends it)", server.port());
    server.wait();
    Ok(())
}
