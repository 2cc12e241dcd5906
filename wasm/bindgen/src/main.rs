//! `xtask-bindgen INPUT.wasm FOLDER NAME`: what `wasm-bindgen --target web --out-name NAME` does, in the version that Cargo.lock names.
//!
//! A program of its own, so that `cargo xtask` starts without having built it.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [input, folder, name] = arguments.as_slice() else {
        bail!("usage: xtask-bindgen INPUT.wasm FOLDER NAME");
    };
    let naming = || format!("{} could not be made into a module for the browser", input.display());
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(input)
        .out_name(&name.to_string_lossy())
        .remove_name_section(true)
        .typescript(true)
        .web(true)
        .with_context(naming)?;
    bindgen.generate(folder).with_context(naming)
}
