//! One folder with everything that a page needs: the module, the JavaScript, the page and the detector.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

/// What the module is compiled for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The detector that comes with the page.
pub(crate) const MODEL: &str = "unmask-lite.safetensors";

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
    let program = ["--target", TARGET, "--profile", "wasm"];
    cmd!(shell, "cargo build {workspace...} -p unmask-wasm --lib -p unmask-web --bins {program...}").run()?;
    let built = target.join(TARGET).join("wasm");
    for module in ["unmask_wasm.wasm", "unmask-web.wasm"] {
        let module = built.join(module);
        cmd!(shell, "cargo run --quiet {workspace...} -p xtask-bindgen -- {module} {folder}").run()?;
    }
    optimise(shell, &folder.join("unmask_wasm_bg.wasm"))?;
    for source in ["wasm/js", "wasm/page", "web/static"] {
        copy_files(&shell.current_dir().join(source), &folder)?;
    }
    copy(&shell.current_dir().join("models").join(MODEL), &folder.join(MODEL))?;
    Ok(folder)
}

/// Where cargo puts what it builds.
pub(crate) fn target_folder(shell: &Shell) -> PathBuf {
    let root = shell.current_dir();
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

/// Makes the module smaller where binaryen is there.
fn optimise(shell: &Shell, module: &Path) -> Result<()> {
    if cmd!(shell, "wasm-opt --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        return Ok(());
    }
    let features = ["--enable-simd", "--enable-bulk-memory", "--enable-nontrapping-float-to-int", "--enable-sign-ext"];
    let more = ["--enable-mutable-globals", "--enable-reference-types", "--enable-multivalue"];
    let smaller = module.with_extension("smaller");
    cmd!(shell, "wasm-opt -O3 {features...} {more...} {module} -o {smaller}").run()?;
    fs::rename(&smaller, module).with_context(|| format!("{} could not be replaced", module.display()))
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
