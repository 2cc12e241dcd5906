//! `cargo xtask web`: the page with the detector, built into one folder and served on this machine.

pub(crate) mod package;
pub(crate) mod server;

use anyhow::Result;
use xshell::Shell;

/// Builds the page; serves it on `port` unless `build_only`.
///
/// # Errors
/// Something cannot be installed, built or served; the message says what to do.
pub(crate) fn run(shell: &Shell, port: u16, build_only: bool) -> Result<()> {
    let folder = package::build(shell)?;
    println!("built {}", folder.display());
    if build_only {
        return Ok(());
    }
    let server = server::Server::bind(&folder, port)?;
    println!("serving http://localhost:{}/ (Ctrl-C ends it)", server.port());
    server.serve();
    Ok(())
}
