//! Pictures through a video codec and back, as what training images come from went: ffmpeg encodes them as the frames of one
//! short stream, once or again and again, and decodes what is left.
//!
//! Bytes go through pipes alone. Encoders run on one thread each with settings that are pinned here, so that the same build of
//! ffmpeg gives the same pixels every time; another version of an encoder may give slightly different ones.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::error::MediaError;
use super::programs::{Program, Programs};

/// A video codec, by its name in recipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// H.264, which most videos are in.
    H264,
    /// H.265, in which newer phones record.
    H265,
    /// VP9, in which web pages play.
    Vp9,
    /// AV1, in which newer ones do.
    Av1,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::H264, Self::H265, Self::Vp9, Self::Av1];

    /// Its name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
        }
    }

    /// The encoder, by ffmpeg's name.
    fn encoder(self) -> &'static str {
        match self {
            Self::H264 => "libx264",
            Self::H265 => "libx265",
            Self::Vp9 => "libvpx-vp9",
            Self::Av1 => "libsvtav1",
        }
    }

    /// Its settings beside quality and key frames: fast ones, as programs for calls and phones have them.
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::H264 => &["-preset", "medium", "-sc_threshold", "0"],
            Self::H265 => &[
                "-preset",
                "superfast",
                "-x265-params",
                "log-level=error:pools=none:frame-threads=1:scenecut=0:open-gop=0",
            ],
            Self::Vp9 => &["-deadline", "realtime", "-cpu-used", "6", "-row-mt", "0", "-b:v", "0"],
            Self::Av1 => &["-preset", "12", "-svtav1-params", "lp=1"],
        }
    }

    /// Whether its qualities go to 63, and not to 51.
    pub fn has_scale_of_63(self) -> bool {
        matches!(self, Self::Vp9 | Self::Av1)
    }
}

/// One encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// The codec.
    pub codec: Codec,
    /// Quality on the codec's scale, from 0 (lossless) on.
    pub crf: usize,
}

/// Why pictures did not come back from a codec.
#[derive(Debug, Error)]
pub enum RecodeError {
    /// ffmpeg is not there, or crashed.
    #[error(transparent)]
    Program(#[from] MediaError),
    /// ffmpeg was built without an encoder.
    #[error(
        "this ffmpeg has no encoder {encoder} for augmentation.video; install a full build of ffmpeg, or set \
         augmentation.video.codecs.{codec} to 0"
    )]
    NoEncoder {
        /// The encoder, by ffmpeg's name.
        encoder: &'static str,
        /// The codec, by its name in recipes.
        codec: &'static str,
    },
    /// It ended without all pictures.
    #[error(
        "ffmpeg does not encode for augmentation.video ({detail}); try another build of ffmpeg, or set the codec's weight to 0"
    )]
    Failed {
        /// Codecs and ffmpeg's first words.
        detail: String,
    },
}

/// Side of the smallest frame that every encoder takes.
pub const LEAST_SIDE: usize = 64;

/// Refuses what this machine's ffmpeg cannot encode with: looks for each of `codecs` and tries it on two frames.
///
/// # Errors
/// ffmpeg is missing, has no such encoder, or fails with it.
pub fn check(programs: &Programs, codecs: &[Codec]) -> Result<(), RecodeError> {
    let mut command = programs.command(Program::Ffmpeg);
    let output = command.arg("-encoders").output().map_err(|error| not_started(programs, error))?;
    let listed = String::from_utf8_lossy(&output.stdout);
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    for codec in codecs {
        if !names.contains(&codec.encoder()) {
            return Err(RecodeError::NoEncoder { encoder: codec.encoder(), codec: codec.name() });
        }
        let grey = vec![128; 2 * LEAST_SIDE * LEAST_SIDE * 3];
        recode(programs, [LEAST_SIDE; 2], 2, grey, &[Pass { codec: *codec, crf: 30 }])?;
    }
    Ok(())
}

/// Sends frames of `[width, height]`, three bytes a pixel, even numbers of pixels, through each of `passes` in turn and gives
/// them back. Every `group`th frame, from the first on, is a key frame that nothing before it enters into.
///
/// # Errors
/// ffmpeg is missing, or ends without all frames.
pub fn recode(
    programs: &Programs,
    [width, height]: [usize; 2],
    group: usize,
    frames: Vec<u8>,
    passes: &[Pass],
) -> Result<Vec<u8>, RecodeError> {
    let raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size"].map(str::to_owned);
    let size = [format!("{width}x{height}"), "-framerate".to_owned(), "25".to_owned()];
    let mut source: Vec<String> = raw.into_iter().chain(size).collect();
    let mut commands = Vec::new();
    for pass in passes {
        let mut command = piped(programs, &source);
        let codec = pass.codec;
        command.args(["-pix_fmt", "yuv420p", "-c:v", codec.encoder(), "-crf", &pass.crf.to_string()]);
        command.args(["-g", &group.to_string(), "-keyint_min", &group.to_string()]).args(codec.settings());
        command.args(["-threads", "1", "-f", "nut", "pipe:1"]).env("SVT_LOG", "1");
        commands.push(command);
        source = vec!["-f".into(), "nut".into()];
    }
    let mut decoder = piped(programs, &source);
    decoder.args(["-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1"]);
    commands.push(decoder);
    let length = frames.len();
    let (decoded, complaint) = chain(programs, commands, frames)?;
    if complaint.is_none() && decoded.len() == length {
        return Ok(decoded);
    }
    let codecs: Vec<&str> = passes.iter().map(|pass| pass.codec.name()).collect();
    let said = complaint.unwrap_or_else(|| format!("{} of {length} bytes came back", decoded.len()));
    Err(RecodeError::Failed { detail: format!("{}: {said}", codecs.join(", ")) })
}

/// A run of ffmpeg that reads `source` from its standard input, on one thread, neither drops nor doubles frames, and converts
/// colours by pinned filters.
fn piped(programs: &Programs, source: &[String]) -> Command {
    let mut command = programs.command(Program::Ffmpeg);
    command.stdin(Stdio::piped()).args(["-nostdin", "-nostats", "-loglevel", "error", "-filter_threads", "1"]);
    command.args(["-protocol_whitelist", "pipe", "-threads", "1"]).args(source).args(["-i", "pipe:0"]);
    command.args(["-an", "-sn", "-dn", "-fps_mode", "passthrough"]);
    command.args(["-sws_flags", "bicubic+accurate_rnd+full_chroma_int+bitexact"]);
    out_of_reach(&mut command);
    command
}

/// Keeps what a terminal sends for Ctrl-C from a program that is about to start: a run that is asked to stop still ends its step.
#[cfg(unix)]
fn out_of_reach(command: &mut Command) {
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// As on Unix: a process group of its own.
#[cfg(windows)]
fn out_of_reach(command: &mut Command) {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    std::os::windows::process::CommandExt::creation_flags(command, CREATE_NEW_PROCESS_GROUP);
}

/// Elsewhere nothing is sent to groups of processes.
#[cfg(not(any(unix, windows)))]
fn out_of_reach(_: &mut Command) {}

fn not_started(programs: &Programs, error: std::io::Error) -> RecodeError {
    programs.not_started(Program::Ffmpeg, "ffmpeg".as_ref(), error).into()
}

/// Runs the commands, each reading what the one before writes; the first gets `input`. Gives what the last one wrote, and the
/// first words of the first one that failed.
fn chain(
    programs: &Programs,
    commands: Vec<Command>,
    input: Vec<u8>,
) -> Result<(Vec<u8>, Option<String>), RecodeError> {
    let mut children: Vec<Child> = Vec::new();
    let mut written = None;
    for mut command in commands {
        if let Some(output) = written.take() {
            command.stdin(Stdio::from(output));
        }
        match command.spawn() {
            Ok(mut child) => {
                written = child.stdout.take();
                children.push(child);
            }
            Err(error) => {
                children.iter_mut().for_each(end);
                return Err(not_started(programs, error));
            }
        }
    }
    let stdin = children.first_mut().and_then(|child| child.stdin.take());
    let messages: Vec<_> = children.iter_mut().map(|child| child.stderr.take()).collect();
    let mut decoded = Vec::new();
    let (read, said) = thread::scope(|scope| {
        // A program that ended early closes its pipe; why it did, it says itself.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        let messages: Vec<_> = messages.into_iter().map(|pipe| scope.spawn(|| pipe.map(words))).collect();
        let read = written.map(|mut output| output.read_to_end(&mut decoded));
        let said: Vec<String> =
            messages.into_iter().map(|words| words.join().ok().flatten().unwrap_or_default()).collect();
        (read, said)
    });
    let mut complaint = None;
    for (child, said) in children.iter_mut().zip(said) {
        let succeeded = child.wait().is_ok_and(|status| status.success());
        let first = said.lines().next().unwrap_or("no message");
        // One whose reader has ended complains, too, and is not what went wrong.
        let is_better = complaint.as_ref().is_none_or(|other: &String| other.contains("Broken pipe"));
        if !succeeded && is_better {
            complaint = Some(first.to_owned());
        }
    }
    match read {
        Some(Err(error)) => Ok((decoded, complaint.or(Some(error.to_string())))),
        _ => Ok((decoded, complaint)),
    }
}

/// All that a program says.
fn words(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // What was read before an error still says something.
    pipe.read_to_end(&mut bytes).ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Ends a child whose input will not come.
fn end(child: &mut Child) {
    child.kill().ok();
    child.wait().ok();
}

#[cfg(test)]
impl Codec {
    /// Whether this machine's ffmpeg encodes it; said aloud where it does not.
    pub fn is_here(self) -> bool {
        crate::encoders::has_encoders(Programs::from_environment().ffmpeg(), &[self.encoder()])
    }

    /// Whether it encodes all of them.
    pub fn are_here() -> bool {
        Self::ALL.into_iter().all(Self::is_here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A smooth picture that moves to the right, and from frame `group` on another.
    fn clip(side: usize, frames: usize, group: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in 0..frames {
            for index in 0..side * side {
                let (x, y) = ((index % side + 2 * frame) as f64, (index / side) as f64);
                let shift = if frame < group { 0.0 } else { 2.0 };
                let wave = |period: f64| (128.0 + 80.0 * ((x + 0.7 * y) / period + shift).sin()) as u8;
                bytes.extend([wave(4.0), wave(7.0), wave(11.0)]);
            }
        }
        bytes
    }

    fn distance(one: &[u8], other: &[u8]) -> f64 {
        assert_eq!(one.len(), other.len());
        one.iter().zip(other).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / one.len() as f64
    }

    #[test]
    fn every_codec_loses_something_more_of_it_at_a_worse_quality_and_the_same_every_time() {
        let (programs, frames) = (Programs::from_environment(), clip(96, 8, 4));
        for codec in Codec::ALL.into_iter().filter(|codec| codec.is_here()) {
            let coded = |crf| recode(&programs, [96, 96], 4, frames.clone(), &[Pass { codec, crf }]).unwrap();
            let losses = [23, 48].map(|crf| distance(&frames, &coded(crf)));
            assert!(losses[0] > 0.2 && losses[0] < losses[1] && losses[1] < 30.0, "{codec:?}: {losses:?}");
            assert_eq!(coded(30), coded(30), "{codec:?}");
        }
    }

    #[test]
    fn a_second_pass_loses_more_than_the_first_alone() {
        let (programs, frames) = (Programs::from_environment(), clip(96, 6, 3));
        let (first, second) = (Pass { codec: Codec::H264, crf: 33 }, Pass { codec: Codec::Vp9, crf: 45 });
        if !(first.codec.is_here() && second.codec.is_here()) {
            return;
        }
        let coded = |passes: &[Pass]| recode(&programs, [96, 96], 3, frames.clone(), passes).unwrap();
        assert!(distance(&frames, &coded(&[first, second])) > distance(&frames, &coded(&[first])));
    }

    #[test]
    fn a_missing_ffmpeg_and_a_missing_encoder_are_named() {
        let missing = check(&Programs::at("no-such-ffmpeg", "ffprobe"), &[Codec::H264]).unwrap_err().to_string();
        assert!(missing.contains("no-such-ffmpeg") && missing.contains("UNMASK_FFMPEG"), "{missing}");
        if Codec::are_here() {
            check(&Programs::from_environment(), &Codec::ALL).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_ffmpeg_without_an_encoder_or_that_fails_is_refused_in_a_sentence() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("ffmpeg");
        let programs = |text: &str| {
            std::fs::write(&script, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
            Programs::at(script.to_str().unwrap(), "ffprobe")
        };
        let listed = programs("echo ' V....D libx264  H.264'");
        let said = check(&listed, &[Codec::H264, Codec::Av1]).unwrap_err().to_string();
        assert!(said.contains("H264") || said.contains("h264"), "it gives no frames: {said}");
        let said = check(&listed, &[Codec::Av1]).unwrap_err().to_string();
        assert!(said.contains("libsvtav1") && said.contains("augmentation.video.codecs.av1"), "{said}");
        let failing =
            programs("case \"$*\" in *-encoders*) echo ' V libx264 x';; *) echo 'out of order' >&2; exit 3;; esac");
        let said = check(&failing, &[Codec::H264]).unwrap_err().to_string();
        assert!(said.contains("out of order") && said.contains("h264"), "{said}");
    }
}
