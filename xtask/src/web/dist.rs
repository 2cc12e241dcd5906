//! `cargo xtask dist`: what others take along: a folder for any static host, and the npm package.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use xshell::{Shell, cmd};

use super::headers::{Access, Origin};
use super::{detectors, package};

/// What npm knows of the package, but for its version.
const MANIFEST: &str = "wasm/package.json";

/// What the package says of itself.
const README: &str = "wasm/README.md";

/// Where the page for everybody and the smallest one have their files, which the package does without.
const PAGES: [&str; 2] = ["web/static", "wasm/page"];

/// What the files of the page's own module begin with.
const PAGE_MODULE: &str = "unmask-web";

/// How `cargo xtask dist` makes its folder.
#[derive(Args)]
pub(crate) struct Options {
    /// Where the site may fetch detectors besides its own origin, such as `https://example.com`; may be given several times
    #[arg(long, value_name = "ORIGIN")]
    model_origin: Vec<Origin>,
}

/// What was made.
pub(crate) struct Dist {
    /// A folder that any static host serves.
    pub(crate) site: PathBuf,
    /// The npm package.
    pub(crate) tarball: PathBuf,
}

/// Builds the page, and makes the folder and the package.
///
/// # Errors
/// A build fails, or a file cannot be written.
pub(crate) fn run(shell: &Shell, options: Options) -> Result<()> {
    let began = SystemTime::now();
    let built = package::build(shell)?;
    remove_older(shell, &built, began)?;
    let dist = assemble(shell, &built, &Access { model_origins: options.model_origin, shared: false })?;
    println!("made {}, which any static host serves", dist.site.display());
    println!("made {}, the npm package", dist.tarball.display());
    Ok(())
}

/// Removes what a build that began then did not write: an older version left it, and it is no part of this one. Not the
/// whole folder before the build, since it may be served meanwhile.
fn remove_older(shell: &Shell, built: &Path, began: SystemTime) -> Result<()> {
    for name in names(shell, built)? {
        let path = built.join(name);
        if path.metadata()?.modified()? < began {
            shell.remove_path(path)?;
        }
    }
    Ok(())
}

/// Makes the folder and the package of what was built into `built`.
///
/// # Errors
/// A file cannot be written, or npm fails.
pub(crate) fn assemble(shell: &Shell, built: &Path, access: &Access) -> Result<Dist> {
    let folder = package::target_folder(shell).join("dist");
    shell.remove_path(&folder)?;
    let (site, contents) = (folder.join("site"), folder.join("package"));
    write_site(shell, built, &site, access)?;
    write_package(shell, built, &contents)?;
    let tarball = {
        let _folder = shell.push_dir(&contents);
        cmd!(shell, "npm pack --ignore-scripts --silent --pack-destination {folder}").read()?
    };
    Ok(Dist { site, tarball: folder.join(tarball.trim()) })
}

fn write_site(shell: &Shell, built: &Path, site: &Path, access: &Access) -> Result<()> {
    for name in names(shell, built)? {
        copy(shell, &built.join(&name), &site.join(&name))?;
    }
    detectors::write(shell, site, access)?;
    let headers: Vec<String> = access.headers().iter().map(|(name, value)| format!("  {name}: {value}\n")).collect();
    shell.write_file(site.join("_headers"), format!("/*\n{}", headers.concat()))?;
    shell.write_file(site.join("README.md"), site_readme(access))?;
    Ok(())
}

fn site_readme(access: &Access) -> String {
    let headers: Vec<String> = access.headers().iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    format!(
        "# Unmask, as files for a static host\n\n\
         Serve this folder over https, at any path. `index.html` is the page for everybody; `embed.html` is the smallest page with the \
         element. Nothing runs on the server, and no video gets there.\n\n\
         Netlify and Cloudflare Pages read `_headers`. Elsewhere, set these for every file:\n\n\
         ```\n{}```\n\n\
         - `Content-Security-Policy` is what keeps the page from sending anything anywhere. To let it fetch detectors from another \
         origin, add that to `connect-src`, with every origin that it redirects to, or make this folder with `cargo xtask dist \
         --model-origin ORIGIN`.\n\
         - `detectors.json` lists the detectors that the page offers beside its own. Edit it to offer others: `url` is relative to \
         the list or absolute, and `config`, `format`, `licence`, `bytes` and `sha256` may be left out. `allowed_origins` tells the \
         page from which other origins the policy lets it fetch; those of other origins cannot be chosen.\n\
         - `Cross-Origin-Opener-Policy` and `Cross-Origin-Embedder-Policy` isolate the page, as browsers demand for threads that share \
         memory. It works without them.\n\
         - `Cross-Origin-Resource-Policy` keeps other sites from using these files. For a page of another origin that embeds them, set it to \
         `cross-origin` and add `Access-Control-Allow-Origin: *`.\n\
         - `.js` has to be served as `text/javascript` and `.wasm` as `application/wasm`. Ranges let a broken download of a detector go on, \
         and compression (brotli) makes the first visit faster.\n",
        headers.concat()
    )
}

fn write_package(shell: &Shell, built: &Path, contents: &Path) -> Result<()> {
    let root = shell.current_dir();
    let mut of_pages = BTreeSet::new();
    for folder in PAGES {
        of_pages.extend(names(shell, &root.join(folder))?);
    }
    of_pages.insert(detectors::FILE.to_owned());
    let all = names(shell, built)?;
    for name in all.iter().filter(|name| !of_pages.contains(*name) && !name.starts_with(PAGE_MODULE)) {
        copy(shell, &built.join(name), &contents.join(name))?;
    }
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        copy(shell, &root.join(name), &contents.join(name))?;
    }
    for name in names(shell, &root.join("models"))?.iter().filter(|name| name.ends_with(".md")) {
        copy(shell, &root.join("models").join(name), &contents.join("licences").join(name))?;
    }
    copy(shell, &root.join(README), &contents.join("README.md"))?;
    shell.write_file(contents.join("package.json"), manifest(&shell.read_file(root.join(MANIFEST))?)?)?;
    Ok(())
}

/// The manifest with the version of everything else.
fn manifest(text: &str) -> Result<String> {
    let mut manifest: Value = serde_json::from_str(text).with_context(|| format!("{MANIFEST} is not JSON"))?;
    manifest["version"] = env!("CARGO_PKG_VERSION").into();
    Ok(serde_json::to_string_pretty(&manifest)? + "\n")
}

/// The names of the files in a folder, in order.
fn names(shell: &Shell, folder: &Path) -> Result<Vec<String>> {
    let mut paths = shell.read_dir(folder)?;
    paths.sort();
    let files = paths.iter().filter(|path| path.is_file()).filter_map(|path| path.file_name());
    Ok(files.map(|name| name.to_string_lossy().into_owned()).collect())
}

fn copy(shell: &Shell, from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        shell.create_dir(folder)?;
    }
    Ok(shell.copy_file(from, to)?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A shell in the repository, and a folder with the names of some built files in it.
    fn built() -> (Shell, xshell::TempDir) {
        let shell = Shell::new().unwrap();
        shell.change_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
        let folder = shell.create_temp_dir().unwrap();
        for name in [
            "index.html",
            "embed.html",
            "unmask-web.js",
            "unmask-web_bg.wasm",
            "unmask.js",
            "unmask.d.ts",
            "unmask_wasm_bg.wasm",
            "unmask-lite.safetensors",
            "detectors.json",
            "third-party-licences.txt",
        ] {
            shell.write_file(folder.path().join(name), name).unwrap();
        }
        (shell, folder)
    }

    #[test]
    fn what_an_older_build_left_is_removed() {
        let (shell, built) = built();
        let before = names(&shell, built.path()).unwrap();
        remove_older(&shell, built.path(), SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(names(&shell, built.path()).unwrap(), before);
        remove_older(&shell, built.path(), SystemTime::now() + Duration::from_secs(60)).unwrap();
        assert_eq!(names(&shell, built.path()).unwrap(), [""; 0]);
    }

    #[test]
    fn the_site_has_all_that_was_built_and_the_headers_to_serve_it_with() {
        let (shell, built) = built();
        let site = built.path().join("site");
        let access = Access { model_origins: vec!["https://a.example".parse().unwrap()], shared: false };
        let before = names(&shell, built.path()).unwrap();
        write_site(&shell, built.path(), &site, &access).unwrap();
        let after = names(&shell, &site).unwrap();
        assert!(before.iter().all(|name| after.contains(name)), "{after:?}");
        let headers = shell.read_file(site.join("_headers")).unwrap();
        assert!(headers.starts_with("/*\n  Content-Security-Policy: default-src 'none'; "), "{headers}");
        assert!(headers.contains("connect-src 'self' https://a.example;"), "{headers}");
        let list = shell.read_file(site.join(detectors::FILE)).unwrap();
        assert!(list.contains("\"https://a.example\"") && list.contains("gend-clip-l-14"), "{list}");
    }

    #[test]
    fn the_package_has_the_detector_its_licences_and_no_part_of_a_page() {
        let (shell, built) = built();
        let contents = built.path().join("package");
        write_package(&shell, built.path(), &contents).unwrap();
        let found = names(&shell, &contents).unwrap();
        let expected = ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "package.json", "third-party-licences.txt"];
        let of_detector = ["unmask-lite.safetensors", "unmask.d.ts", "unmask.js", "unmask_wasm_bg.wasm"];
        assert_eq!(found, [&expected[..], &of_detector].concat());
        let licences = names(&shell, &contents.join("licences")).unwrap();
        assert!(
            licences.contains(&"unmask-lite.LICENSE.md".to_owned())
                && licences.contains(&"centerface.LICENSE.md".to_owned())
        );
        let manifest: Value = serde_json::from_str(&shell.read_file(contents.join("package.json")).unwrap()).unwrap();
        assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(manifest["exports"]["."]["default"], "./unmask.js");
    }
}
