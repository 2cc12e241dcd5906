//! The tests in a browser: the page as `cargo xtask web` serves it, in a real browser, beside the native program.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::web::headers::Access;
use crate::web::server::Server;
use crate::web::{dist, package, types};

/// Where the tests are, with the lock file of what they need from npm.
const TESTS: &str = "tests/browser";

/// The project of somebody who bundles the npm package, with a lock file of its own.
const BUNDLING: &str = "tests/browser/vite";

/// Names that Chromium and Chrome go by.
const CHROMIUMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Chrome on macOS, which is on no path.
const CHROME_OF_MACOS: &str = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";

/// Builds and serves the page, and runs the tests against it.
///
/// # Errors
/// A build or a test fails.
pub(crate) fn test(shell: &Shell) -> Result<()> {
    let chromium = chromium(shell).context("there is no Chromium; install it, or name a browser in UNMASK_CHROMIUM")?;
    let folder = package::build(shell)?;
    // The program as the other tests build it.
    cmd!(shell, "cargo test --workspace --no-run").run()?;
    install_packages(shell, TESTS)?;
    install_packages(shell, BUNDLING)?;
    types::check(shell)?;
    let package = dist::assemble(shell, &folder, &Access::default())?.tarball;
    let server = Server::start(&folder, 0, &Access::default())?;
    let page = format!("http://localhost:{}/", server.port());
    let program = package::target_folder(shell).join("debug").join("unmask");
    let tests = shell.read_dir(TESTS).context("the tests in a browser could not be listed")?;
    let tests: Vec<PathBuf> = tests.into_iter().filter(|path| path.to_string_lossy().ends_with(".test.js")).collect();
    cmd!(shell, "node --test --test-concurrency=1 {tests...}")
        .env("UNMASK_PAGE", page)
        .env("UNMASK_PROGRAM", program)
        .env("UNMASK_MODEL", folder.join(package::MODEL))
        .env("UNMASK_PACKAGE", package)
        .env("UNMASK_CHROMIUM", chromium)
        .run()?;
    Ok(())
}

/// Installs what the lock file in `folder` names, where that has not been done since it changed.
fn install_packages(shell: &Shell, folder: &str) -> Result<()> {
    let folder = shell.push_dir(folder);
    let lock = shell.read_file("package-lock.json")?;
    let installed = shell.read_file("node_modules/.installed").unwrap_or_default();
    if lock != installed {
        cmd!(shell, "npm ci --ignore-scripts --no-audit --no-fund").run()?;
        shell.write_file("node_modules/.installed", lock)?;
    }
    drop(folder);
    Ok(())
}

/// The browser to test in: `UNMASK_CHROMIUM`, or one that is installed.
pub(crate) fn chromium(shell: &Shell) -> Option<PathBuf> {
    let named = env::var_os("UNMASK_CHROMIUM").map(PathBuf::from);
    let folders: Vec<PathBuf> = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let installed = CHROMIUMS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    named.into_iter().chain(installed).chain([PathBuf::from(CHROME_OF_MACOS)]).find(|path| shell.path_exists(path))
}
