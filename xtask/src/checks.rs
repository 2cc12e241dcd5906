//! The checks of `cargo xtask test`, cheap ones first.
//!
//! On a cold machine nearly all time goes into dependencies, which are built for each of: metadata (clippy, which the
//! documentation then shares), metadata with CUDA, metadata for browsers, a target without std, kernels for graphics devices,
//! optimised code (tests), the unit tests of what is compiled for browsers, and the modules that browsers load.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

use crate::web::package::TARGET as WASM_TARGET;
use crate::{browser, cuda, notices, rules};

/// The workspace of the crates that are compiled for browsers.
const WASM_WORKSPACE: &str = "wasm/Cargo.toml";

/// The workspace of these commands, which shares no compiled crate with the others and is built in seconds.
const XTASK_WORKSPACE: &str = "xtask/Cargo.toml";

/// The workspace of the benches of single operations, which nothing runs but whoever wants to know.
const BENCHES_WORKSPACE: &str = "benches/operations/Cargo.toml";

/// A microcontroller without an operating system: nothing of std can slip into a build for it.
pub(crate) const NO_STD_TARGET: &str = "thumbv7em-none-eabihf";

struct Check {
    name: &'static str,
    run: fn(&Shell) -> Result<()>,
    /// Why it cannot run on this machine, if it cannot.
    unavailable: fn() -> Option<String>,
}

impl Check {
    /// A check that runs on every machine.
    const fn new(name: &'static str, run: fn(&Shell) -> Result<()>) -> Self {
        Self { name, run, unavailable: || None }
    }
}

const CHECKS: [Check; 12] = [
    Check::new("format", |shell| {
        cmd!(shell, "cargo fmt --all --check").run()?;
        cmd!(shell, "cargo fmt --manifest-path {XTASK_WORKSPACE} --all --check").run()?;
        cmd!(shell, "cargo fmt --manifest-path {BENCHES_WORKSPACE} --all --check").run()?;
        Ok(cmd!(shell, "cargo fmt --manifest-path {WASM_WORKSPACE} --all --check").run()?)
    }),
    Check::new("house-rules", rules::check),
    Check::new("notices", notices::check),
    Check::new("clippy", |shell| {
        cmd!(shell, "cargo clippy --manifest-path {XTASK_WORKSPACE} --all-targets -- -D warnings").run()?;
        cmd!(shell, "cargo clippy --manifest-path {BENCHES_WORKSPACE} --benches --locked -- -D warnings").run()?;
        Ok(cmd!(shell, "cargo clippy --workspace --all-targets -- -D warnings").run()?)
    }),
    Check::new("docs", |shell| {
        let _strict = shell.push_env("RUSTDOCFLAGS", "-D warnings");
        cmd!(shell, "cargo doc --manifest-path {XTASK_WORKSPACE} --no-deps").run()?;
        Ok(cmd!(shell, "cargo doc --no-deps --workspace").run()?)
    }),
    Check::new("wasm-clippy", check_for_browsers),
    Check { name: "cuda", run: check_with_cuda, unavailable: cuda::unavailable },
    Check::new("no-std", build_without_std),
    Check::new("graphics", test_on_a_graphics_device),
    Check::new("tests", |shell| {
        cmd!(shell, "cargo test --manifest-path {XTASK_WORKSPACE}").run()?;
        Ok(cmd!(shell, "cargo test --workspace").run()?)
    }),
    Check::new("wasm-tests", |shell| {
        Ok(cmd!(shell, "cargo test --manifest-path {WASM_WORKSPACE} --workspace --lib --bins").run()?)
    }),
    Check::new("browser", browser::test),
];

/// The lints over what is compiled for browsers: with WebGPU, whose module has all that the others have but one function, and with
/// relaxed vector instructions.
fn check_for_browsers(shell: &Shell) -> Result<()> {
    let programs = "-p unmask-wasm -p unmask-web --features unmask-wasm/webgpu,unmask-wasm/relaxed-simd".split(' ');
    cmd!(shell, "cargo clippy --manifest-path {WASM_WORKSPACE} --target {WASM_TARGET} {programs...} -- -D warnings")
        .run()?;
    Ok(cmd!(shell, "cargo clippy --manifest-path {WASM_WORKSPACE} --workspace --all-targets -- -D warnings").run()?)
}

/// The lints over what is compiled for NVIDIA GPUs only. They need no GPU, and no LLVM either: with `DOCS_RS`, the build
/// scripts that would download one do nothing, as is made for documentation, which is not linked any more than lints are.
/// Little is shared with the other lints, since features differ far down; so nothing that only runs while building, such
/// as those scripts, is optimised.
fn check_with_cuda(shell: &Shell) -> Result<()> {
    let clippy = "--workspace --all-targets --features unmask/cuda --profile unrun -- -D warnings".split(' ');
    Ok(cmd!(shell, "cargo clippy {clippy...}").env("DOCS_RS", "1").run()?)
}

fn build_without_std(shell: &Shell) -> Result<()> {
    let build = "-p unmask-core --lib --no-default-features --profile unrun".split(' ');
    Ok(cmd!(shell, "cargo build {build...} --target {NO_STD_TARGET}").run()?)
}

/// The kernels for graphics devices with their gradients, as CUDA and WebGPU have them, on whichever device wgpu finds: a
/// machine without one has Mesa's llvmpipe, or skips. What takes time is building, so nothing is optimised.
fn test_on_a_graphics_device(shell: &Shell) -> Result<()> {
    let tests =
        "-p unmask-core --lib --features webgpu,autodiff --profile unrun a_graphics_device -- --nocapture".split(' ');
    Ok(cmd!(shell, "cargo test {tests...}").run()?)
}

/// The names of all checks, for the command line.
pub(crate) fn names() -> Vec<&'static str> {
    CHECKS.iter().map(|check| check.name).collect()
}

/// How one check ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed(Duration),
    Failed(Duration),
    Skipped,
    NotRun,
}

/// Runs the checks named in `only` (all, if it names none) and prints a table of how they ended.
///
/// # Errors
/// A check failed; the message names each that did.
pub(crate) fn run(shell: &Shell, keep_going: bool, only: &[String]) -> Result<()> {
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for check in CHECKS.iter().filter(|check| only.is_empty() || only.iter().any(|name| name == check.name)) {
        if !failed.is_empty() && !keep_going {
            rows.push((check.name, Outcome::NotRun));
            continue;
        }
        println!("\n== {}", check.name);
        if let Some(reason) = (check.unavailable)() {
            println!("skipped: {reason}");
            rows.push((check.name, Outcome::Skipped));
            continue;
        }
        let began = Instant::now();
        let result = (check.run)(shell);
        let took = began.elapsed();
        let outcome = if result.is_ok() { Outcome::Passed(took) } else { Outcome::Failed(took) };
        println!("== {} {}", check.name, describe(outcome));
        if let Err(error) = result {
            println!("{error:#}");
            failed.push(check.name);
        }
        rows.push((check.name, outcome));
    }
    print!("\n{}", table(&rows));
    if failed.is_empty() {
        return Ok(());
    }
    bail!("failed: {}; `cargo xtask test --only {}` runs it alone", failed.join(", "), failed[0])
}

/// One line per check.
fn table(rows: &[(&str, Outcome)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter().map(|(name, outcome)| format!("{name:width$}  {}\n", describe(*outcome))).collect()
}

fn describe(outcome: Outcome) -> String {
    match outcome {
        Outcome::Passed(took) => format!("passed   {:7.1} s", took.as_secs_f64()),
        Outcome::Failed(took) => format!("FAILED   {:7.1} s", took.as_secs_f64()),
        Outcome::Skipped => "skipped".to_owned(),
        Outcome::NotRun => "not run".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_one_aligned_line_per_check() {
        let rows = [
            ("format", Outcome::Passed(Duration::from_millis(340))),
            ("house-rules", Outcome::Failed(Duration::from_secs(75))),
            ("cuda", Outcome::Skipped),
            ("tests", Outcome::NotRun),
        ];
        let expected = "format       passed       0.3 s\nhouse-rules  FAILED      75.0 s\n\
            cuda         skipped\ntests        not run\n";
        assert_eq!(table(&rows), expected);
    }
}
