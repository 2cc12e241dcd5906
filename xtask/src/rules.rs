//! House rules that a compiler does not know.

use std::fs;

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

/// Longer files have more than one concern.
const MAX_LINES: usize = 500;

/// Checks every source file that git tracks or would track.
///
/// # Errors
/// Names each file that is too long, with its length.
pub(crate) fn check(shell: &Shell) -> Result<()> {
    let listing =
        cmd!(shell, "git ls-files -z --cached --others --exclude-standard -- *.rs *.py *.js *.ts").quiet().read()?;
    let mut too_long = Vec::new();
    let mut files = 0;
    for name in listing.split('\0').filter(|name| !name.is_empty()) {
        // A file that was removed and is still in the index has nothing to check.
        let Ok(text) = fs::read_to_string(shell.current_dir().join(name)) else { continue };
        files += 1;
        too_long.extend(excess(name, &text));
    }
    if !too_long.is_empty() {
        bail!("files over {MAX_LINES} lines have to be split:\n{}", too_long.join("\n"));
    }
    println!("{files} source files, none over {MAX_LINES} lines");
    Ok(())
}

/// `name` with its number of lines, if those are too many.
fn excess(name: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > MAX_LINES).then(|| format!("  {name}: {lines} lines"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_over_the_limit_are_named() {
        assert_eq!(excess("a.rs", &"line\n".repeat(MAX_LINES)), None);
        assert_eq!(excess("b.rs", &"line\n".repeat(MAX_LINES + 1)), Some("  b.rs: 501 lines".to_owned()));
    }
}
