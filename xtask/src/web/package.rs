//! One folder with everything that a page needs: the module, the JavaScript, the page, the detector and a list of others.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::detectors;
use super::headers::Access;
use crate::notices;

/// What the module is compiled for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The detector that comes with the page.
pub(crate) const MODEL: &str = "unmask-lite.safetensors";

/// The weights that come with the page: its detector, and the networks that find faces.
const WEIGHTS: [&str; 3] = [MODEL, "centerface.safetensors", "landmark_refiner.safetensors"];

/// What else goes along, from the root of the repository: notices of what is in the modules.
const NOTICES: &str = notices::FILE;

/// A module that browsers load.
struct Module {
    /// What is built, as arguments for cargo, and by which profile.
    build: &'static str,
    profile: &'static str,
    /// What cargo calls it.
    file: &'static str,
    /// What the page's files begin with.
    name: &'static str,
}

const MODULES: [Module; 4] = [
    Module { build: "-p unmask-web --bins", profile: "wasm", file: "unmask-web.wasm", name: "unmask-web" },
    Module { build: "-p unmask-wasm --lib", profile: "wasm", file: "unmask_wasm.wasm", name: "unmask_wasm" },
    Module {
        build: "-p unmask-wasm --lib --features relaxed-simd",
        profile: "wasm",
        file: "unmask_wasm.wasm",
        name: "unmask_relaxed",
    },
    Module {
        build: "-p unmask-wasm --lib --no-default-features --features webgpu",
        profile: "wasm-gpu",
        file: "unmask_wasm.wasm",
        name: "unmask_gpu",
    },
];

/// Builds the modules and puts the folder together.
///
/// # Errors
/// A build fails, or a file cannot be written.
pub(crate) fn build(shell: &Shell) -> Result<PathBuf> {
    let target = target_folder(shell);
    let folder = target.join("web");
    // One folder for all that is built, though these crates are a workspace of their own.
    let _target = shell.push_env("CARGO_TARGET_DIR", &target);
    let workspace = ["--manifest-path", "wasm/Cargo.toml"];
    for Module { build, profile, file, name } in MODULES {
        let build = build.split(' ');
        cmd!(shell, "cargo build {workspace...} {build...} --target {TARGET} --profile {profile}").run()?;
        let built = target.join(TARGET).join(profile).join(file);
        cmd!(shell, "cargo run --quiet {workspace...} -p xtask-bindgen -- {built} {folder} {name}").run()?;
        shell.create_dir(declarations(shell))?;
        for declared in [format!("{name}.d.ts"), format!("{name}_bg.wasm.d.ts")] {
            copy(&folder.join(&declared), &declarations(shell).join(&declared))?;
            shell.remove_path(folder.join(declared))?;
        }
    }
    for source in ["wasm/js", "wasm/page", "web/static"] {
        copy_files(&shell.current_dir().join(source), &folder)?;
    }
    for weights in WEIGHTS {
        copy(&shell.current_dir().join("models").join(weights), &folder.join(weights))?;
    }
    let notices = shell.current_dir().join(NOTICES);
    copy(&notices, &folder.join(notices.file_name().unwrap_or_default()))?;
    // Whoever lets the page fetch from other origins writes it again.
    detectors::write(shell, &folder, &Access::default())?;
    Ok(folder)
}

/// Where the declarations of the modules' exports are, which pages need none of.
pub(crate) fn declarations(shell: &Shell) -> PathBuf {
    target_folder(shell).join("web-types")
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder(shell: &Shell) -> PathBuf {
    let root = shell.current_dir();
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    let listing = fs::read_dir(from).with_context(|| format!("{} could not be listed", from.display()))?;
    for entry in listing {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let naming = || format!("{} could not be copied to {}", from.display(), to.display());
    fs::copy(from, to).map(drop).with_context(naming)
}
