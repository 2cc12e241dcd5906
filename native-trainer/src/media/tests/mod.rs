//! Tests of the media code, with clips that ffmpeg makes on the fly; where it is missing, or has not the encoders, they
//! are left out.

mod animations;
mod colours;
mod containers;
mod damage;
mod folders;
mod stills;
mod video;

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use unmask_core::pipeline::CaveatCode;

use super::*;
use crate::encoders::has_encoders;

/// The program that makes the clips.
const FFMPEG: &str = "ffmpeg";

/// A folder for the clips of one test.
struct Workshop {
    folder: TempDir,
    encoders: &'static [&'static str],
}

impl Deref for Workshop {
    type Target = TempDir;

    fn deref(&self) -> &TempDir {
        &self.folder
    }
}

/// A folder for clips that are made with `encoders`; none, said aloud, where ffmpeg or one of them is missing.
fn workshop(encoders: &'static [&'static str]) -> Option<Workshop> {
    has_encoders(FFMPEG, encoders).then(|| Workshop { folder: tempfile::tempdir().unwrap(), encoders })
}

/// Makes `name` in `folder` by ffmpeg with `arguments`, given as one line. The encoders that it names are among the
/// folder's.
fn make(folder: &Workshop, name: &str, arguments: &str) -> PathBuf {
    let words: Vec<&str> = arguments.split_whitespace().collect();
    let encoders = words.windows(2).filter(|pair| pair[0] == "-c" || pair[0].starts_with("-c:")).map(|pair| pair[1]);
    for encoder in encoders.filter(|name| *name != "copy") {
        assert!(folder.encoders.contains(&encoder), "{encoder} is not named where the folder is made");
    }
    let path = folder.path().join(name);
    let mut command = Command::new(FFMPEG);
    command.current_dir(folder.path()).args(["-nostdin", "-v", "error", "-y"]).args(words);
    let output = command.arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

fn options(frames: usize) -> OpenOptions {
    OpenOptions { frames, damage: Damage::Refuse }
}

/// The single input that `path` is.
fn input(path: &Path) -> Result<Input, MediaError> {
    expand(path).map(|mut found| found.inputs.remove(0))
}

/// All sampled frames of `path`, or the first error.
fn frames(path: &Path, options: OpenOptions) -> Result<Vec<TimedFrame>, MediaError> {
    open(&input(path)?, &options)?.frames.collect()
}

/// What is known of `path`, its sampled frames, and the codes of all caveats.
fn looked_at(path: &Path, options: OpenOptions) -> Result<(MediaInfo, Vec<TimedFrame>, Vec<CaveatCode>), MediaError> {
    let Opened { info, mut frames } = open(&input(path)?, &options)?;
    let decoded = frames.by_ref().collect::<Result<_, _>>()?;
    let caveats = info.caveats.iter().cloned().chain(frames.caveats());
    let codes = caveats.map(|caveat| caveat.code).collect();
    Ok((info, decoded, codes))
}

/// The sentence of the error that `path` must give.
fn sentence(path: &Path) -> String {
    frames(path, options(8)).map(|frames| frames.len()).unwrap_err().to_string()
}

fn pixel(frame: &TimedFrame, x: usize, y: usize) -> [u8; 3] {
    let start = (y * frame.image.width() + x) * 3;
    frame.image.pixels()[start..start + 3].try_into().unwrap()
}

/// Whether two colours differ by at most `levels` in each channel.
fn close(a: [u8; 3], b: [u8; 3], levels: u8) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= levels)
}
