//! `cargo xtask demo`: the program built, the sample clips scored, and a report to look at.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

/// The folder of sample clips.
const SAMPLES: &str = "demo";
/// The folder that the report is written to.
const REPORT: &str = "demo/report";

/// Scores the sample clips with the bundled detector, or with `model`.
///
/// # Errors
/// The program could not be built, or a clip could not be scored.
pub(crate) fn run(shell: &Shell, model: Option<&str>) -> Result<()> {
    let clips = clips(shell)?;
    println!("== building unmask; the first time this takes about ten minutes, later ones seconds");
    cmd!(shell, "cargo build --release --bin unmask").run()?;
    println!("\n== scoring {} clips", clips.len());
    // By cargo, which knows where it put the program.
    let program = "run --release --quiet --bin unmask --".split(' ');
    let model = model.map(|model| ["--model", model]);
    let options = model.iter().flatten();
    cmd!(shell, "cargo {program...} score {clips...} {options...} --report {REPORT}").run()?;
    println!("\n{}", farewell(&shell.current_dir()));
    Ok(())
}

/// The sample clips, in order of name.
fn clips(shell: &Shell) -> Result<Vec<PathBuf>> {
    let folder = shell.read_dir(SAMPLES).with_context(|| format!("the folder {SAMPLES} cannot be read"))?;
    let mut clips: Vec<PathBuf> = folder.into_iter().filter(|path| path.extension() == Some("mp4".as_ref())).collect();
    if clips.is_empty() {
        bail!("{SAMPLES} holds no clips; get them back with `git checkout {SAMPLES}`");
    }
    clips.sort();
    // Relative, as a user would write them.
    let root = shell.current_dir();
    Ok(clips.into_iter().map(|clip| clip.strip_prefix(&root).map(Path::to_owned).unwrap_or(clip)).collect())
}

/// Where the report is, and what to do next.
fn farewell(root: &Path) -> String {
    let index = root.join(REPORT).join("index.html");
    format!(
        "The report is {}; open it in a browser:\n  {}\n\n\
         {SAMPLES}/README.md says what the clips are. With videos of your own:\n  \
         cargo run --release --bin unmask -- score VIDEO... --report FOLDER\n  \
         cargo run --release --bin unmask -- --help",
        index.display(),
        open_command(&index),
    )
}

/// The command that opens a page on this system.
fn open_command(page: &Path) -> String {
    let opener = match std::env::consts::OS {
        "macos" => "open",
        "windows" => "explorer",
        _ => "xdg-open",
    };
    format!("{opener} \"{}\"", page.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Shell {
        let shell = Shell::new().unwrap();
        shell.change_dir(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
        shell
    }

    #[test]
    fn the_sample_clips_are_there_and_small_enough_for_git() {
        let shell = shell();
        let clips = clips(&shell).unwrap();
        let names: Vec<&str> = clips.iter().filter_map(|clip| clip.to_str()).collect();
        assert_eq!(names, ["demo/fake.mp4", "demo/no_face.mp4", "demo/real.mp4"]);
        let size: u64 = clips.iter().map(|clip| shell.current_dir().join(clip).metadata().unwrap().len()).sum();
        assert!(size < 600_000, "{size} bytes");
    }

    #[test]
    fn a_folder_without_clips_is_named_with_the_way_to_get_them_back() {
        let shell = Shell::new().unwrap();
        let place = shell.create_temp_dir().unwrap();
        shell.create_dir(place.path().join(SAMPLES)).unwrap();
        shell.change_dir(place.path());
        assert!(clips(&shell).unwrap_err().to_string().contains("git checkout demo"));
    }

    #[test]
    fn the_last_words_name_the_page_in_full() {
        let said = farewell(Path::new("/home/ada/unmask"));
        assert!(said.contains("/home/ada/unmask/demo/report/index.html"), "{said}");
    }
}
