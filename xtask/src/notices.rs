//! The licences of the crates that are compiled into the modules for browsers: `cargo xtask notices` writes them into one file,
//! which goes along with every copy, and a check tells when it no longer names what is built.
//!
//! The texts are those that the crates bring. Where one brings none, the usual text of its licence stands in, with its authors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::web::package::TARGET;

/// The file, from the root of the repository.
pub(crate) const FILE: &str = "wasm/third-party-licences.txt";

/// What the modules are built of: both of the detector's, and the page's.
const BUILT: &str = "-p unmask-wasm -p unmask-web --features unmask-wasm/webgpu";

/// What precedes each crate in the list at the beginning of the file.
const BULLET: &str = "- ";

/// A crate by its name and version.
type Crate = (String, String);

/// Writes the file anew.
///
/// # Errors
/// A crate's licence is not known.
pub(crate) fn write(shell: &Shell) -> Result<()> {
    let manifest = "wasm/Cargo.toml";
    let metadata =
        cmd!(shell, "cargo metadata --manifest-path {manifest} --locked --format-version 1 --filter-platform {TARGET}")
            .quiet()
            .read()?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo's metadata is not JSON")?;
    let packages = metadata["packages"].as_array().context("cargo's metadata names no packages")?;
    let mut listed = Vec::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, version) in built(shell)? {
        let is_it = |package: &&Value| package["name"] == *name && package["version"] == *version;
        let package = packages.iter().find(is_it).with_context(|| format!("cargo knows no {name} {version}"))?;
        let licence = licence(package);
        listed.push(format!("{BULLET}{name} {version}, {licence}, {}", address(package)));
        for text in licence_texts(shell, package, &licence)? {
            texts.entry(text).or_default().push(format!("{name} {version}"));
        }
    }
    let sections =
        texts.iter().map(|(text, crates)| format!("\n{}\n{}\n\n{text}\n", "=".repeat(80), crates.join(", ")));
    let head = "The modules of Unmask for browsers are compiled from Unmask's own code, Rust's standard library (MIT OR Apache-2.0, \
                https://github.com/rust-lang/rust)\nand these crates, each under the licence beside it. Their texts follow. Made by \
                `cargo xtask notices`.\n\n";
    let file = format!("{head}{}\n{}", listed.join("\n"), sections.collect::<String>());
    shell.write_file(FILE, file)?;
    println!("wrote {FILE}: {} crates, {} texts", listed.len(), texts.len());
    Ok(())
}

/// Checks that the file names exactly the crates that are built, in their versions.
///
/// # Errors
/// It does not; the message names the differences.
pub(crate) fn check(shell: &Shell) -> Result<()> {
    let built: BTreeSet<Crate> = built(shell)?.into_iter().collect();
    let named = named(&shell.read_file(FILE)?);
    let differences = differences(&built, &named);
    if !differences.is_empty() {
        bail!("{FILE} is not what is built ({}); run `cargo xtask notices`", differences.join(", "));
    }
    println!("{FILE} names all {} crates that the modules for browsers are built of", built.len());
    Ok(())
}

/// The crates of others that are compiled into the modules: neither what runs while building nor what only tests need.
fn built(shell: &Shell) -> Result<Vec<Crate>> {
    let options = BUILT.split(' ');
    let tree =
        "--manifest-path wasm/Cargo.toml --locked --edges normal,no-proc-macro --prefix none --format {p}".split(' ');
    let listing = cmd!(shell, "cargo tree {tree...} --target {TARGET} {options...}").quiet().read()?;
    Ok(crates(&listing))
}

/// The crates in what `cargo tree` prints, `name vVERSION`, but for our own, behind which stands their folder.
fn crates(listing: &str) -> Vec<Crate> {
    let crates = listing.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        let is_ours = words.next().is_some_and(|word| word.starts_with("(/") || word.contains(":\\"));
        (!is_ours).then(|| (name.to_owned(), version.to_owned()))
    });
    crates.collect::<BTreeSet<Crate>>().into_iter().collect()
}

/// The crates that the file lists.
fn named(file: &str) -> BTreeSet<Crate> {
    let listed = file.lines().skip_while(|line| !line.starts_with(BULLET)).map_while(|line| line.strip_prefix(BULLET));
    let named = listed.filter_map(|line| line.split(',').next()?.split_once(' '));
    named.map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

fn differences(built: &BTreeSet<Crate>, named: &BTreeSet<Crate>) -> Vec<String> {
    let lacking = built.difference(named).map(|(name, version)| format!("it lacks {name} {version}"));
    let needless = named.difference(built).map(|(name, version)| format!("{name} {version} is not built"));
    lacking.chain(needless).collect()
}

fn licence(package: &Value) -> String {
    package["license"].as_str().unwrap_or("a licence of its own").replace('/', " OR ").replace("  ", " ")
}

fn address(package: &Value) -> String {
    let (repository, homepage) = (package["repository"].as_str(), package["homepage"].as_str());
    repository.or(homepage).unwrap_or("no address").to_owned()
}

/// The texts to pass on for a crate: where there is a choice of licences, those of the first that it brings a text of, MIT
/// before others since that is shortest; everything that it brings otherwise.
fn licence_texts(shell: &Shell, package: &Value, licence: &str) -> Result<Vec<String>> {
    let manifest = package["manifest_path"].as_str().context("a package has no manifest")?;
    let folder = Path::new(manifest).parent().context("a manifest lies in no folder")?;
    let mut files = licence_files(folder)?;
    let is_choice = licence.contains(" OR ") && !licence.contains(" AND ");
    if is_choice && let Some(mit) = files.iter().position(|name| name.to_uppercase().contains("MIT")) {
        files = vec![files.swap_remove(mit)];
    }
    let read = |name: &String| {
        let bytes = fs::read(folder.join(name)).with_context(|| format!("{name} of {manifest} cannot be read"))?;
        Ok(String::from_utf8_lossy(&bytes).replace('\r', "").trim_end().to_owned())
    };
    let texts = files.iter().map(read).collect::<Result<Vec<String>>>()?;
    if !texts.is_empty() {
        return Ok(texts);
    }
    Ok(vec![usual_text(shell, package, licence)?])
}

/// The names of the files in a folder that hold licences or notices.
fn licence_files(folder: &Path) -> Result<Vec<String>> {
    let listing = fs::read_dir(folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    let files = listing.filter_map(|entry| entry.ok().filter(|entry| entry.path().is_file()));
    let mut names: Vec<String> = files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let beginnings = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT", "UNLICENSE"];
    names.retain(|name| beginnings.iter().any(|beginning| name.to_uppercase().starts_with(beginning)));
    names.sort();
    Ok(names)
}

/// The text of a crate's licence where the crate brings none.
fn usual_text(shell: &Shell, package: &Value, licence: &str) -> Result<String> {
    let ours = |name: &str| Ok(shell.read_file(name)?.trim_end().to_owned());
    if licence.contains("MIT") {
        let authors = package["authors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let authors: Vec<&str> = authors.collect();
        let holders = if authors.is_empty() { "its authors".to_owned() } else { authors.join(", ") };
        let text = ours("LICENSE-MIT")?;
        let copyright =
            text.lines().find(|line| line.starts_with("Copyright")).context("LICENSE-MIT names no holder")?;
        return Ok(text.replace(copyright, &format!("Copyright (c) {holders}")));
    }
    if licence.contains("Apache-2.0") {
        return ours("LICENSE-APACHE");
    }
    if licence == "MPL-2.0" {
        // The notice that the licence itself gives for this, and where the source is.
        return Ok(format!(
            "This Source Code Form is subject to the terms of the Mozilla Public\nLicense, v. 2.0. If a copy of the MPL was not \
             distributed with this\nfile, You can obtain one at https://mozilla.org/MPL/2.0/.\n\nThe source: {}",
            address(package)
        ));
    }
    let name = package["name"].as_str().unwrap_or_default();
    bail!("{name} brings no text of its licence, {licence}; add the text to xtask/src/notices.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, version: &str) -> Crate {
        (name.to_owned(), version.to_owned())
    }

    #[test]
    fn crates_of_others_are_told_from_our_own() {
        let listing = "unmask-wasm v0.1.0 (/repository/wasm)\nburn v0.22.1\nserde v1.0.229 (*)\nserde v1.0.229\n";
        assert_eq!(crates(listing), [one("burn", "0.22.1"), one("serde", "1.0.229")]);
    }

    #[test]
    fn what_is_built_and_not_listed_is_named_and_so_is_what_is_listed_and_not_built() {
        let file = "They follow.\n\n- burn 0.22.1, MIT OR Apache-2.0, https://a.example\n- old 1.0.0, MIT, no address\n\n====\n- no crate";
        let built = BTreeSet::from([one("burn", "0.22.1"), one("new", "2.0.0")]);
        assert_eq!(differences(&built, &named(file)), ["it lacks new 2.0.0", "old 1.0.0 is not built"]);
        assert_eq!(differences(&built, &built), [""; 0]);
    }
}
