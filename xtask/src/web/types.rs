//! The types of the JavaScript side: of the files as they are written, and of what a page sees of them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use super::package;

/// The modules that pages and workers load.
const SOURCES: &str = "wasm/js";

/// A program that uses the package, and what of it has to agree with its declarations.
const USES: &str = "tests/browser/types/uses.ts";

/// Where the compiler is, once what the tests need from npm is installed.
const COMPILER: &str = "tests/browser/node_modules/.bin/tsc";

/// What runs in one kind of place, whose globals are its own.
struct Part {
    name: &'static str,
    /// The compiler's names of the globals that are there.
    globals: &'static [&'static str],
    /// What is loaded there first, in the folder of the sources.
    begins_with: &'static [&'static str],
    /// Whether the program that uses the package is checked with it.
    with_uses: bool,
}

const PARTS: [Part; 2] = [
    Part {
        name: "page",
        globals: &["esnext", "dom", "dom.iterable", "dom.asynciterable"],
        begins_with: &["unmask.d.ts", "detector.js", "element.js"],
        with_uses: true,
    },
    Part {
        name: "workers",
        globals: &["esnext", "webworker", "webworker.iterable", "webworker.asynciterable"],
        begins_with: &["worker.js", "helper.js", "hash.js", "convert.js"],
        with_uses: false,
    },
];

/// Checks the types, once the modules are built whose exports the workers call.
///
/// # Errors
/// Some do not agree; the compiler has named them.
pub(crate) fn check(shell: &Shell) -> Result<()> {
    let declarations = package::declarations(shell);
    for part in PARTS {
        let settings = declarations.join(format!("{}.json", part.name));
        let text = serde_json::to_string_pretty(&options(&shell.current_dir(), &declarations, &part))?;
        shell.write_file(&settings, text)?;
        let compiler = shell.current_dir().join(COMPILER);
        let naming = || format!("the types of the JavaScript of the {} do not agree", part.name);
        cmd!(shell, "{compiler} --project {settings}").run().with_context(naming)?;
    }
    println!("the types of {SOURCES} agree with each other, with the modules and with unmask.d.ts");
    Ok(())
}

/// The compiler's settings: strict, but for parameters of private functions, which need no types of their own.
fn options(root: &Path, declarations: &Path, part: &Part) -> Value {
    let sources = root.join(SOURCES);
    let uses = part.with_uses.then(|| root.join(USES));
    let files: Vec<PathBuf> = part.begins_with.iter().map(|name| sources.join(name)).chain(uses).collect();
    json!({
        "compilerOptions": {
            "allowJs": true,
            "checkJs": true,
            "noEmit": true,
            "strict": true,
            "noImplicitAny": false,
            "useUnknownInCatchVariables": false,
            "skipLibCheck": true,
            "target": "esnext",
            "module": "esnext",
            "moduleResolution": "bundler",
            "allowImportingTsExtensions": true,
            "types": [],
            "lib": part.globals,
            // The modules' files are made beside the sources' copies, and their declarations in a folder of their own.
            "rootDirs": [sources, declarations],
        },
        "files": files,
    })
}
