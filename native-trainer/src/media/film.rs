//! A video written frame by frame, in H.264, which every player shows.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempPath;

use super::programs::{Program, Programs};
use crate::files::allow_reading;

/// A video that is being written, under another name until it is whole.
pub struct Film {
    path: PathBuf,
    unfinished: TempPath,
    programs: Programs,
    /// Frames a second.
    rate: f64,
    /// Begun by the first frame, whose size all have.
    encoder: Option<Encoder>,
}

struct Encoder {
    child: Child,
    stdin: Option<ChildStdin>,
    size: [u32; 2],
}

impl Film {
    /// A video at `path`, a name that ends in `.mp4`, of so many frames a second.
    ///
    /// # Errors
    /// A folder that cannot be written to.
    pub fn new(path: &Path, rate: f64) -> Result<Self> {
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unfinished = tempfile::Builder::new().prefix(".unmask-").suffix(".mp4").tempfile_in(folder);
        let unfinished = unfinished
            .with_context(|| format!("{} cannot be written; check the folder's permissions", path.display()))?
            .into_temp_path();
        let programs = Programs::from_environment();
        Ok(Self { path: path.to_owned(), unfinished, programs, rate, encoder: None })
    }

    /// The size of its frames, once it has one.
    pub fn size(&self) -> Option<[u32; 2]> {
        self.encoder.as_ref().map(|encoder| encoder.size)
    }

    /// Adds a frame of `size`, width and height in pixels, by its pixels in rows, red, green and blue a byte each.
    ///
    /// # Errors
    /// ffmpeg is missing, or has ended; and a frame of another size than the first.
    pub fn add(&mut self, pixels: &[u8], size: [u32; 2]) -> Result<()> {
        if self.encoder.is_none() {
            let child = self.command(size).spawn();
            let mut child = child.map_err(|error| self.programs.not_started(Program::Ffmpeg, &self.path, error))?;
            let stdin = child.stdin.take();
            self.encoder = Some(Encoder { child, stdin, size });
        }
        let Some(Encoder { stdin: Some(stdin), size: first, .. }) = &mut self.encoder else { return self.failed() };
        if *first != size || pixels.len() != 3 * size[0] as usize * size[1] as usize {
            bail!("{} cannot have frames of several sizes", self.path.display());
        }
        // Where ffmpeg has ended, it says why itself.
        if stdin.write_all(pixels).is_err() { self.failed() } else { Ok(()) }
    }

    /// Ends the video and gives its name; none where it has no frame.
    ///
    /// # Errors
    /// ffmpeg's.
    pub fn finish(mut self) -> Result<Option<PathBuf>> {
        let Some(Encoder { child, stdin, .. }) = self.encoder.take() else { return Ok(None) };
        drop(stdin);
        let shown = self.path.display().to_string();
        let output = child.wait_with_output().with_context(|| format!("{shown} cannot be written"))?;
        if !output.status.success() {
            bail!(refusal(&shown, &output.stderr));
        }
        allow_reading(&self.unfinished);
        let context = || format!("{shown} cannot be written; check the folder's permissions");
        self.unfinished.persist(&self.path).with_context(context)?;
        Ok(Some(self.path))
    }

    /// Why ffmpeg ended before its time.
    fn failed(&mut self) -> Result<()> {
        let said = self.encoder.take().and_then(|Encoder { mut child, stdin, .. }| {
            drop(stdin);
            child.kill().ok();
            child.wait_with_output().ok()
        });
        bail!(refusal(&self.path.display().to_string(), &said.map(|output| output.stderr).unwrap_or_default()))
    }

    fn command(&self, [width, height]: [u32; 2]) -> Command {
        let mut command = self.programs.command(Program::Ffmpeg);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).args(["-nostats", "-loglevel", "error", "-y"]);
        command.args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", &format!("{width}x{height}")]);
        command.args(["-framerate", &format!("{:.4}", self.rate), "-i", "pipe:0"]);
        // Half the colours' resolution asks for even sides.
        command.args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p"]);
        command.args(["-movflags", "+faststart"]).arg(self.unfinished.as_os_str());
        command
    }
}

fn refusal(shown: &str, said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let first = said.lines().next().unwrap_or("no message");
    format!(
        "{shown} cannot be written, since ffmpeg refuses to ({first}); install a full build of ffmpeg, or go on without the video"
    )
}
