//! The two programs, ffmpeg and ffprobe, and the arguments that keep them to the one file they are given.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};

use super::error::MediaError;

/// The programs to call.
#[derive(Clone, Debug)]
pub struct Programs {
    ffmpeg: OsString,
    ffprobe: OsString,
}

/// Which of the two.
#[derive(Clone, Copy)]
pub(super) enum Program {
    /// Decodes.
    Ffmpeg,
    /// Describes.
    Ffprobe,
}

/// Demuxers a file may be opened with, by ffmpeg's names: containers and raw streams that hold their data themselves.
///
/// Left out are those that open what they name (hls, dash, concat, imf, sdp, rtsp, image sequences, scripts), so that
/// a file from a stranger reaches neither the network nor other files of this machine.
const DEMUXERS: &str = "3dostr,4xm,aac,ac3,aiff,amr,anm,ape,apng,asf,asf_o,au,av1,avi,avs,avs2,avs3,bethsoftvid,bfi,\
    bink,bmp_pipe,c93,caf,cavsvideo,cdxl,cine,daud,dds_pipe,dhav,dirac,dnxhd,dpx_pipe,dsf,dsicin,dts,dv,dvbsub,ea,\
    eac3,exr_pipe,evc,film_cpk,flac,flic,flv,gdv,gif,gif_pipe,gxf,h261,h263,h264,hdr_pipe,hevc,iff,ifv,ingenient,\
    ipmovie,ipu,iv8,ivf,ivr,j2k_pipe,jpeg_pipe,jpegls_pipe,jpegxl_anim,jpegxl_pipe,jv,kux,live_flv,lmlm4,lxf,m4v,\
    matroska,webm,mjpeg,mjpeg_2000,mlv,mm,moflex,mov,mp4,m4a,3gp,3g2,mj2,mp3,mpeg,mpegts,mpegtsraw,mpegvideo,mpjpeg,\
    mtv,mv,mvi,mxf,mxg,nsv,nut,nuv,obu,ogg,osq,pam_pipe,pbm_pipe,pcx_pipe,pgm_pipe,png_pipe,pp_bnk,ppm_pipe,pva,qoi_pipe,\
    r3d,rl2,rm,roq,rpl,sga,siff,smjpeg,smk,smush,svag,swf,tak,tgq,thp,tiff_pipe,tmv,truehd,tta,ty,vc1,vc1test,vividas,\
    vivo,vmd,vobsub,voc,vqf,vvc,w64,wav,wc3movie,webp_pipe,wsvqa,wtv,wv,xa,xmv,yop,yuv4mpegpipe";

impl Programs {
    /// `UNMASK_FFMPEG` and `UNMASK_FFPROBE` where set, else the programs of the search path.
    pub fn from_environment() -> Self {
        let named = |variable, default: &str| {
            std::env::var_os(variable).filter(|value| !value.is_empty()).unwrap_or_else(|| default.into())
        };
        Self {
            ffmpeg: named(Program::Ffmpeg.variable(), "ffmpeg"),
            ffprobe: named(Program::Ffprobe.variable(), "ffprobe"),
        }
    }

    /// Programs at the given places.
    #[cfg(test)]
    pub fn at(ffmpeg: &str, ffprobe: &str) -> Self {
        Self { ffmpeg: ffmpeg.into(), ffprobe: ffprobe.into() }
    }

    /// What decodes and encodes, as it is called.
    #[cfg(test)]
    pub(super) fn ffmpeg(&self) -> &OsString {
        &self.ffmpeg
    }

    /// The first line of what ffmpeg says of its version; none where it does not start.
    pub fn version(&self) -> Option<String> {
        let output = Command::new(&self.ffmpeg).arg("-version").stdin(Stdio::null()).output().ok()?;
        String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
    }

    /// A command that calls `program` with nothing on its standard input and both outputs piped.
    pub(super) fn command(&self, program: Program) -> Command {
        let mut command = Command::new(self.name(program));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).arg("-hide_banner");
        command
    }

    /// Runs ffprobe on `path`, opened with `demuxer` if one is named, with `arguments`, and gives all it said.
    pub(super) fn ffprobe(&self, path: &Path, demuxer: Option<&str>, arguments: &[&str]) -> Result<Output, MediaError> {
        let mut command = self.command(Program::Ffprobe);
        command.args(["-loglevel", "level+error"]).args(arguments).args(input_arguments(path, demuxer, None));
        let output = command.output().map_err(|error| self.not_started(Program::Ffprobe, path, error))?;
        match self.crash(Program::Ffprobe, path, output.status) {
            Some(crash) => Err(crash),
            None => Ok(output),
        }
    }

    /// The error for a program that ended by a fault of its own, if it did: then nothing is said about the file.
    pub(super) fn crash(&self, program: Program, path: &Path, status: ExitStatus) -> Option<MediaError> {
        let signal = fault(status)?;
        let called = self.name(program).to_string_lossy().into_owned();
        Some(MediaError::Crashed { path: path.to_owned(), program: called, signal, variable: program.variable() })
    }

    /// The error for an ffprobe whose output is none of ffprobe's.
    pub(super) fn no_ffprobe(&self) -> MediaError {
        let (program, expected) = (self.ffprobe.to_string_lossy().into_owned(), "ffprobe");
        MediaError::WrongProgram { program, expected, variable: Program::Ffprobe.variable() }
    }

    /// The error for a program that did not start.
    pub(super) fn not_started(&self, program: Program, path: &Path, error: io::Error) -> MediaError {
        match error.kind() {
            io::ErrorKind::NotFound => MediaError::FfmpegMissing {
                program: self.name(program).to_string_lossy().into_owned(),
                variable: program.variable(),
            },
            _ => MediaError::Io { path: path.to_owned(), reason: error },
        }
    }

    fn name(&self, program: Program) -> &OsString {
        match program {
            Program::Ffmpeg => &self.ffmpeg,
            Program::Ffprobe => &self.ffprobe,
        }
    }
}

/// The signal that a fault ended a program with: an illegal instruction, an abort, a wrong address or number. One that
/// was killed has none.
#[cfg(unix)]
fn fault(status: ExitStatus) -> Option<i32> {
    const FAULTS: [i32; 5] = [4, 6, 7, 8, 11];
    std::os::unix::process::ExitStatusExt::signal(&status).filter(|signal| FAULTS.contains(signal))
}

/// Elsewhere a fault is an exit status like any other.
#[cfg(not(unix))]
fn fault(_: ExitStatus) -> Option<i32> {
    None
}

impl Program {
    fn variable(self) -> &'static str {
        match self {
            Self::Ffmpeg => "UNMASK_FFMPEG",
            Self::Ffprobe => "UNMASK_FFPROBE",
        }
    }
}

/// The arguments that name `path`, `until` a byte or to its end, as the input: as a file, whatever its name looks like, and that
/// file alone.
pub(super) fn input_arguments(path: &Path, demuxer: Option<&str>, until: Option<u64>) -> Vec<OsString> {
    let part = until.map(|end| format!("subfile,,start,0,end,{end},,:"));
    let mut url = OsString::from(part.unwrap_or_default());
    url.push("file:");
    url.push(path);
    let demuxers = DEMUXERS.replace(char::is_whitespace, "");
    let mut arguments: Vec<OsString> =
        vec!["-protocol_whitelist".into(), "file,pipe,subfile".into(), "-format_whitelist".into(), demuxers.into()];
    if let Some(demuxer) = demuxer {
        arguments.extend(["-f".into(), demuxer.into()]);
    }
    arguments.extend(["-i".into(), url]);
    arguments
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_that_is_no_ffprobe_is_blamed_and_not_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [b"\0\0\0\x14ftypisom\0\0\0\0isom", &[0; 40][..]].concat()).unwrap();
        for program in ["/bin/true", "/bin/false"] {
            let error =
                super::super::probe::probe(&Programs::at("ffmpeg", program), file.path()).unwrap_err().to_string();
            assert!(error.contains(program) && error.contains("UNMASK_FFPROBE"), "{error}");
        }
    }

    #[test]
    fn a_program_that_crashes_is_blamed_and_not_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("ffprobe");
        std::fs::write(&script, "#!/bin/sh\nkill -SEGV $$\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let programs = Programs::at("ffmpeg", script.to_str().unwrap());
        let error = programs.ffprobe(Path::new("clip.mp4"), None, &[]).unwrap_err().to_string();
        assert!(
            error.contains("clip.mp4: ") && error.contains("crashed") && error.contains("UNMASK_FFPROBE"),
            "{error}"
        );
    }
}
