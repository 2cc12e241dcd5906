//! What is needed beyond a Rust toolchain: seen if it is there, installed if it is not.

use std::env::consts::OS;

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell, cmd};

use crate::browser;
use crate::checks::NO_STD_TARGET;
use crate::web::package::TARGET as WASM_TARGET;

/// What is going to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Running the program.
    Demo,
    /// Every check and test.
    Checks,
    /// Building the page.
    Page,
    /// Building the page and the npm package.
    Package,
}

/// Something that is needed.
struct Need {
    name: &'static str,
    /// What it is needed for.
    purposes: &'static [Purpose],
    is_there: fn(&Shell) -> bool,
    /// The commands that install it, or what the developer has to do where none can.
    install: fn(&Shell) -> Result<Vec<Cmd<'_>>>,
}

/// ffmpeg first: it is what most often has to be installed by hand.
const NEEDS: [Need; 8] = [
    Need {
        name: "ffmpeg",
        purposes: &[Purpose::Demo, Purpose::Checks],
        is_there: |shell| succeeds(cmd!(shell, "ffmpeg -version")) && succeeds(cmd!(shell, "ffprobe -version")),
        install: install_ffmpeg,
    },
    Need {
        name: "rustfmt",
        purposes: &[Purpose::Checks],
        is_there: |shell| succeeds(cmd!(shell, "cargo fmt --version")),
        install: |shell| rustup(shell, cmd!(shell, "rustup component add rustfmt")),
    },
    Need {
        name: "clippy",
        purposes: &[Purpose::Checks],
        is_there: |shell| succeeds(cmd!(shell, "cargo clippy --version")),
        install: |shell| rustup(shell, cmd!(shell, "rustup component add clippy")),
    },
    Need {
        name: NO_STD_TARGET,
        purposes: &[Purpose::Checks],
        is_there: |shell| has_target(shell, NO_STD_TARGET),
        install: |shell| rustup(shell, cmd!(shell, "rustup target add {NO_STD_TARGET}")),
    },
    Need {
        name: WASM_TARGET,
        purposes: &[Purpose::Page, Purpose::Package, Purpose::Checks],
        is_there: |shell| has_target(shell, WASM_TARGET),
        install: |shell| rustup(shell, cmd!(shell, "rustup target add {WASM_TARGET}")),
    },
    Need {
        name: "node and npm",
        purposes: &[Purpose::Package, Purpose::Checks],
        is_there: |shell| succeeds(cmd!(shell, "node --version")) && succeeds(cmd!(shell, "npm --version")),
        install: |shell| packages(shell, "Node.js with npm", &["nodejs", "npm"]),
    },
    Need {
        name: "chromium",
        purposes: &[Purpose::Checks],
        is_there: |shell| browser::chromium(shell).is_some(),
        install: |shell| packages(shell, "Chromium (or name another browser in UNMASK_CHROMIUM)", &["chromium"]),
    },
    Need {
        name: "a Vulkan driver",
        purposes: &[Purpose::Checks],
        // Shaders are tested on whatever there is, and skipped aloud where there is nothing.
        is_there: |shell| OS != "linux" || has_vulkan(shell) || !succeeds(cmd!(shell, "apt-get --version")),
        install: |shell| packages(shell, "a Vulkan driver", &["mesa-vulkan-drivers"]),
    },
];

/// Installs what `purpose` needs and is missing; each command is printed before it runs.
///
/// # Errors
/// Something is missing and cannot be installed from here; the message says what to do.
pub(crate) fn run(shell: &Shell, purpose: Purpose) -> Result<()> {
    for need in needs(purpose).filter(|need| !(need.is_there)(shell)) {
        let commands = (need.install)(shell)?;
        println!("{} is missing; installing it:", need.name);
        for command in commands {
            println!("  {command}");
            let hint = || format!("{} could not be installed; install it and run this again", need.name);
            command.quiet().run().with_context(hint)?;
        }
        if !(need.is_there)(shell) {
            bail!("{} was installed and is still not found; check PATH and the active toolchain", need.name);
        }
    }
    Ok(())
}

fn needs(purpose: Purpose) -> impl Iterator<Item = &'static Need> {
    NEEDS.iter().filter(move |need| need.purposes.contains(&purpose))
}

fn succeeds(command: Cmd<'_>) -> bool {
    command.quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

/// Asks the compiler, not rustup: toolchains of distributions bring targets in other ways.
fn has_target(shell: &Shell, target: &str) -> bool {
    let libraries = cmd!(shell, "rustc --print target-libdir --target {target}").quiet().ignore_stderr().read();
    libraries.is_ok_and(|folder| shell.path_exists(folder))
}

/// Whether the Vulkan loader has a driver to load, on Linux.
fn has_vulkan(shell: &Shell) -> bool {
    let folders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
    folders.iter().any(|folder| shell.read_dir(folder).is_ok_and(|files| !files.is_empty()))
}

fn rustup<'a>(shell: &'a Shell, command: Cmd<'a>) -> Result<Vec<Cmd<'a>>> {
    if !succeeds(cmd!(shell, "rustup --version")) {
        bail!(
            "this toolchain has no rustup to run `{command}` with: install rustup from https://rustup.rs, or the same by your system's packages"
        );
    }
    Ok(vec![command])
}

/// The commands that install packages of Debian and its descendants; `None` where that cannot be done from here.
pub(crate) fn apt<'a>(shell: &'a Shell, packages: &[&str]) -> Result<Option<Vec<Cmd<'a>>>> {
    if OS != "linux" || !succeeds(cmd!(shell, "apt-get --version")) {
        return Ok(None);
    }
    let sudo: &[&str] = if cmd!(shell, "id -u").quiet().read()?.trim() == "0" {
        &[]
    } else if succeeds(cmd!(shell, "sudo -n true")) {
        &["sudo", "-n"]
    } else {
        return Ok(None);
    };
    // `env` runs what follows it, with or without sudo.
    Ok(Some(vec![
        cmd!(shell, "env {sudo...} apt-get update"),
        cmd!(shell, "env {sudo...} apt-get install -y {packages...}"),
    ]))
}

/// The commands that install Debian's `names`, which together are `what`.
fn packages<'a>(shell: &'a Shell, what: &str, names: &[&str]) -> Result<Vec<Cmd<'a>>> {
    apt(shell, names)?.with_context(|| format!("this cannot be installed from here: install {what} and run this again"))
}

fn install_ffmpeg(shell: &Shell) -> Result<Vec<Cmd<'_>>> {
    if OS == "macos" && succeeds(cmd!(shell, "brew --version")) {
        return Ok(vec![cmd!(shell, "brew install ffmpeg")]);
    }
    if let Some(commands) = apt(shell, &["ffmpeg"])? {
        return Ok(commands);
    }
    bail!(
        "ffmpeg is missing and cannot be installed from here; install it (`sudo apt-get install ffmpeg`, \
         `brew install ffmpeg`, `winget install ffmpeg`, or https://ffmpeg.org) and run this again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_needs_what_it_needs_and_nothing_else() {
        let names = |purpose| needs(purpose).map(|need| need.name).collect::<Vec<_>>();
        assert_eq!(names(Purpose::Demo), ["ffmpeg"]);
        assert_eq!(names(Purpose::Page), [WASM_TARGET]);
        assert_eq!(names(Purpose::Package), [WASM_TARGET, "node and npm"]);
        let all =
            ["ffmpeg", "rustfmt", "clippy", NO_STD_TARGET, WASM_TARGET, "node and npm", "chromium", "a Vulkan driver"];
        assert_eq!(names(Purpose::Checks), all);
    }
}
