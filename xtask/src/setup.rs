//! What the checks need beyond a Rust toolchain: seen if it is there, installed if it is not.

use std::env::consts::OS;

use anyhow::{Context, Result, bail};
use xshell::{Cmd, Shell, cmd};

use crate::checks::NO_STD_TARGET;

/// Something a check needs.
struct Need {
    name: &'static str,
    is_there: fn(&Shell) -> bool,
    /// The commands that install it, or what the developer has to do where none can.
    install: fn(&Shell) -> Result<Vec<Cmd<'_>>>,
}

/// ffmpeg first: it is what most often has to be installed by hand.
const NEEDS: [Need; 4] = [
    Need { name: "ffmpeg", is_there: |shell| succeeds(cmd!(shell, "ffmpeg -version")), install: install_ffmpeg },
    Need {
        name: "rustfmt",
        is_there: |shell| succeeds(cmd!(shell, "cargo fmt --version")),
        install: |shell| rustup(shell, cmd!(shell, "rustup component add rustfmt")),
    },
    Need {
        name: "clippy",
        is_there: |shell| succeeds(cmd!(shell, "cargo clippy --version")),
        install: |shell| rustup(shell, cmd!(shell, "rustup component add clippy")),
    },
    Need {
        name: NO_STD_TARGET,
        is_there: has_target,
        install: |shell| rustup(shell, cmd!(shell, "rustup target add {NO_STD_TARGET}")),
    },
];

/// Installs what is missing; each command is printed before it runs.
///
/// # Errors
/// Something is missing and cannot be installed from here; the message says what to do.
pub(crate) fn run(shell: &Shell) -> Result<()> {
    for need in NEEDS.iter().filter(|need| !(need.is_there)(shell)) {
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

fn succeeds(command: Cmd<'_>) -> bool {
    command.quiet().ignore_stdout().ignore_stderr().run().is_ok()
}

/// Asks the compiler, not rustup: toolchains of distributions bring targets in other ways.
fn has_target(shell: &Shell) -> bool {
    let libraries = cmd!(shell, "rustc --print target-libdir --target {NO_STD_TARGET}").quiet().ignore_stderr().read();
    libraries.is_ok_and(|folder| shell.path_exists(folder))
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
