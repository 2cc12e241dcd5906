//! `cargo xtask cuda`: the release program with NVIDIA GPUs.

use std::env::consts::OS;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::cuda_llvm;

/// Builds the program and says where it is and how large.
///
/// # Errors
/// There is no LLVM and none can be had, or the build fails.
pub(crate) fn build(shell: &Shell) -> Result<()> {
    if let Some(reason) = unavailable() {
        bail!("{reason}");
    }
    cuda_llvm::prepare(shell)?;
    println!("building unmask with CUDA");
    let options = "--release -p unmask --features cuda --message-format json-render-diagnostics".split(' ');
    let messages = cmd!(shell, "cargo build {options...}").env_remove("DOCS_RS").quiet().read()?;
    let program = executable(&messages).context("cargo built the program and did not say where it is")?;
    let bytes = program.metadata().with_context(|| format!("{} cannot be read", program.display()))?.len();
    println!(
        "{} ({:.0} MB) runs on NVIDIA GPUs by `--device cuda` and without one on the CPU. On a GPU it needs NVIDIA's driver \
         and nvvm/libdevice/libdevice.10.bc of the CUDA toolkit, whose folder CUDA_PATH names if it is no usual one",
        program.display(),
        bytes as f64 / 1e6
    );
    Ok(())
}

/// Why no program for NVIDIA GPUs can be built for this machine, if none can.
pub(crate) fn unavailable() -> Option<String> {
    let has_driver = ["linux", "windows"].contains(&OS);
    (!has_driver).then(|| format!("NVIDIA has no driver for {OS}, so there is no CUDA here"))
}

/// The program among cargo's messages, one JSON document a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let documents = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    documents.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?))).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_among_the_messages_of_cargo() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"executable\":\"/t/release/unmask\"}\n{\"reason\":\"build-finished\"}";
        assert_eq!(executable(messages), Some(PathBuf::from("/t/release/unmask")));
        assert_eq!(executable("{\"reason\":\"build-finished\"}"), None);
    }
}
