//! LLVM for burn's CUDA backend, which compiles kernels with it when the program runs.
//!
//! The build script of `tracel-llvm-bundler` downloads a bundle of LLVM into the user's data folder and fails where it cannot.
//! There, Debian's LLVM can take the bundle's place: the same folder with links to it. It is one version older than the
//! bundle. The program compiles and links with it; what it emits has not been run on a GPU.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

use crate::setup;

/// The crate whose build script downloads the bundle; its version is the bundle's.
const BUNDLER: &str = "tracel-llvm-bundler";

/// What tells the build script that the bundle is complete.
const SENTINEL: &str = ".tracel-llvm-installed";

/// Where Debian's LLVM lies, and its packages with what the static link needs.
const DEBIAN: &str = "/usr/lib/llvm-22";
const DEBIAN_PACKAGES: [&str; 6] =
    ["llvm-22-dev", "libpolly-22-dev", "libz3-dev", "libzstd-dev", "zlib1g-dev", "libxml2-dev"];

/// Debian's `llvm-config`, less what a static link cannot use: it names z3 by its file, and Polly is not needed.
const LLVM_CONFIG: &str = r#"#!/bin/sh
real=/usr/lib/llvm-22/bin/llvm-config
case "$*" in
  *--system-libs*) "$real" "$@" | sed 's#[^ ]*libz3[^ ]*#-lz3#' ;;
  *--libs*) "$real" "$@" | tr ' ' '\n' | grep -vi polly | tr '\n' ' ' ;;
  *) exec "$real" "$@" ;;
esac
"#;

/// Sees to it that the build finds an LLVM: the one installed, else the bundle, else Debian's. Says what it does first.
///
/// # Errors
/// None of them can be had; the message says what to do.
pub(crate) fn prepare(shell: &Shell) -> Result<()> {
    // Elsewhere than on Linux the bundle is all there is, and the build itself downloads it.
    let Some(folder) = data_folder() else { return Ok(()) };
    let metadata = cmd!(shell, "cargo metadata --format-version 1 --all-features").quiet().read()?;
    let bundler = Bundler::among(&metadata).with_context(|| format!("no {BUNDLER} is among the dependencies"))?;
    let prefix = folder.join("tracel").join(format!("tracel-llvm-{}", bundler.version));
    if shell.path_exists(prefix.join(SENTINEL)) {
        return Ok(());
    }
    println!("burn's CUDA backend needs LLVM; its own bundle is downloaded to {}:", prefix.display());
    // Built by itself, so that its failure can only mean that there is no bundle.
    let Bundler { manifest, target, .. } = &bundler;
    let download = cmd!(shell, "cargo build --locked --manifest-path {manifest} --target-dir {target}/llvm-bundle")
        .env_remove("DOCS_RS");
    println!("  {download}");
    if download.quiet().run().is_ok() && shell.path_exists(prefix.join(SENTINEL)) {
        return Ok(());
    }
    println!("the bundle cannot be downloaded; Debian's LLVM 22 takes its place:");
    for command in install_debian(shell)? {
        println!("  {command}");
        command.quiet().run().context("Debian's LLVM 22 could not be installed; install it and run this again")?;
    }
    println!("  links to {DEBIAN} in {}", prefix.display());
    link_debian(shell, &prefix)
}

/// Where the build script keeps its bundle: the user's data folder, as the `dirs` crate finds it on Linux.
fn data_folder() -> Option<PathBuf> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))
}

/// What cargo says of the crate that downloads the bundle.
#[derive(Debug, PartialEq)]
struct Bundler {
    version: String,
    manifest: PathBuf,
    /// The workspace's target folder.
    target: PathBuf,
}

impl Bundler {
    /// The crate among cargo's metadata, a JSON document.
    fn among(metadata: &str) -> Option<Self> {
        let metadata: Value = serde_json::from_str(metadata).ok()?;
        let package = metadata["packages"].as_array()?.iter().find(|package| package["name"] == BUNDLER)?;
        Some(Self {
            version: package["version"].as_str()?.to_owned(),
            manifest: package["manifest_path"].as_str()?.into(),
            target: metadata["target_directory"].as_str()?.into(),
        })
    }
}

/// The commands that install it; none where it is there already.
fn install_debian(shell: &Shell) -> Result<Vec<Cmd<'_>>> {
    if shell.path_exists(Path::new(DEBIAN).join("bin/llvm-config")) {
        return Ok(Vec::new());
    }
    match setup::apt(shell, &DEBIAN_PACKAGES)? {
        Some(commands) => Ok(commands),
        None => bail!(
            "LLVM can neither be downloaded nor be installed from here; run this where github.com can be reached, or \
             install Debian's packages {} and run it again",
            DEBIAN_PACKAGES.join(", ")
        ),
    }
}

/// Makes `prefix` look like the bundle. The sentinel comes last, so that what was interrupted is done again.
fn link_debian(shell: &Shell, prefix: &Path) -> Result<()> {
    let programs = prefix.join("bin");
    shell.create_dir(&programs)?;
    for part in ["lib", "include", "share"] {
        let source = Path::new(DEBIAN).join(part);
        cmd!(shell, "ln -sfn {source} {prefix}/{part}").quiet().run()?;
    }
    let config = programs.join("llvm-config");
    shell.write_file(&config, LLVM_CONFIG)?;
    cmd!(shell, "chmod +x {config}").quiet().run()?;
    Ok(shell.write_file(prefix.join(SENTINEL), "")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_s_crate_is_found_by_its_name() {
        let metadata = r#"{ "target_directory": "/t", "packages": [
            { "name": "burn", "version": "0.22.1", "manifest_path": "/r/burn/Cargo.toml" },
            { "name": "tracel-llvm-bundler", "version": "23.1.0-4", "manifest_path": "/r/bundler/Cargo.toml" }] }"#;
        let expected =
            Bundler { version: "23.1.0-4".into(), manifest: "/r/bundler/Cargo.toml".into(), target: "/t".into() };
        assert_eq!(Bundler::among(metadata), Some(expected));
        assert_eq!(Bundler::among(r#"{ "target_directory": "/t", "packages": [] }"#), None);
    }
}
