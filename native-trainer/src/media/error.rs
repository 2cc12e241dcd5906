//! What can be wrong with an input, one sentence each: which file, what, and the way out.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use thiserror::Error;

/// Why frames could not be had from an input.
#[derive(Debug, Error)]
pub enum MediaError {
    /// The path leads nowhere.
    #[error("{}: there is no such file or folder; check the path", path.display())]
    NotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// A file of no bytes.
    #[error("{}: the file is empty; download or copy it again", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A folder in which nothing can be scored.
    #[error("{}: the folder holds no video and no image; name a folder that does", path.display())]
    EmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Content that is no video container and no image, whatever the name says.
    #[error("{}: this is neither a video nor an image of a kind that is read; give a media file, or convert it to MP4, JPEG or PNG if it is one of another kind", path.display())]
    NotMedia {
        /// The file.
        path: PathBuf,
    },
    /// A media file with sound only.
    #[error("{}: the file holds no video, only {kinds}; give a file with pictures", path.display())]
    NoVideo {
        /// The file.
        path: PathBuf,
        /// The kinds of streams in it, such as `audio`.
        kinds: String,
    },
    /// A video stream of zero duration, or one of which nothing decodes.
    #[error("{}: not a single frame could be read from it; export or download it again", path.display())]
    NoFrames {
        /// The file.
        path: PathBuf,
    },
    /// A file whose content is damaged or cut off.
    #[error("{}: the {what} is damaged{} ({detail}); {}", path.display(), near(*near_s), what.way_out(*skippable))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: Medium,
        /// About where, in seconds from the start, where that is known.
        near_s: Option<f64>,
        /// The sign of it, in ffmpeg's words where they are ffmpeg's.
        detail: String,
        /// Whether something may be left where damage is passed over.
        skippable: bool,
    },
    /// An image whose end is missing, where its decoder would make one up.
    #[error(
        "{}: the image is cut off; copy or download it again, or pass --damaged skip to score what there is of it",
        path.display()
    )]
    CutOff {
        /// The file.
        path: PathBuf,
    },
    /// An image of a format that is left to ffmpeg, which does not read it.
    #[error("{}: this is a picture in the format {format}, which this ffmpeg does not read; save it as JPEG or PNG", path.display())]
    UnreadPicture {
        /// The file.
        path: PathBuf,
        /// The format's name.
        format: &'static str,
    },
    /// An address where a path is needed.
    #[error("{link}: links are not read; download the video and give the file")]
    Link {
        /// What was given.
        link: String,
    },
    /// A link in a folder whose target is gone.
    #[error("{}: this is a link to a file that is not there; remove it or restore the file", path.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
    },
    /// A device, which is no file and may never end, or a pipe where none is read.
    #[error("{}: this is a device or a pipe and no media file; save what comes from it and give the file", path.display())]
    Device {
        /// The path as given.
        path: PathBuf,
    },
    /// More bytes from a pipe than are kept.
    #[error("{}: more than {} GiB came through the pipe; save it as a file and give that", path.display(), MAX_PIPED >> 30)]
    PipeTooLong {
        /// The path as given.
        path: PathBuf,
    },
    /// An image file of a known kind that does not decode.
    #[error("{}: the image does not decode ({detail}); save it again as PNG or JPEG", path.display())]
    BadImage {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        detail: String,
    },
    /// More pixels than are decoded into memory.
    #[error("{}: {width}x{height} pixels are more than the limit of {} megapixels; scale it down first", path.display(), MAX_PIXELS / 1_000_000)]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
    },
    /// A codec this ffmpeg was built without.
    #[error("{}: this ffmpeg cannot decode the codec {codec}; re-encode the video as H.264, or install a full build of ffmpeg", path.display())]
    UnsupportedCodec {
        /// The file.
        path: PathBuf,
        /// The codec's name.
        codec: String,
    },
    /// One of the two programs could not be started because it is not there.
    #[error(
        "{program} was not found: install ffmpeg (Debian: apt install ffmpeg; macOS: brew install ffmpeg; Windows: winget install ffmpeg) or set {variable} to its path"
    )]
    FfmpegMissing {
        /// The program as it was called.
        program: String,
        /// The environment variable that overrides it.
        variable: &'static str,
    },
    /// One of the two programs ended by a fault of its own.
    #[error(
        "{}: {program} crashed on it (signal {signal}); install another version of ffmpeg, or set {variable} to one",
        path.display()
    )]
    Crashed {
        /// The file.
        path: PathBuf,
        /// The program as it was called.
        program: String,
        /// The signal that ended it.
        signal: i32,
        /// The environment variable that names another.
        variable: &'static str,
    },
    /// What was set as one of the two programs is another.
    #[error("{program} does not answer as {expected} does; set {variable} to the path of {expected}, or unset it")]
    WrongProgram {
        /// The program as it was called.
        program: String,
        /// The program it stands for.
        expected: &'static str,
        /// The environment variable that names it.
        variable: &'static str,
    },
    /// ffmpeg gave up for a reason of its own.
    #[error("{}: ffmpeg stopped without a frame ({detail}); check that the file plays, or re-encode it", path.display())]
    Ffmpeg {
        /// The file.
        path: PathBuf,
        /// Its last message.
        detail: String,
    },
    /// The system would not read the file or run the program.
    #[error("{}: {reason}; check the file and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason. It is part of the sentence, and so no source that is said once more.
        reason: io::Error,
    },
}

/// Most bytes that are read from a pipe, into a temporary file.
pub(super) const MAX_PIPED: u64 = 32 << 30;

/// Most pixels an image or a video frame may have: its RGB form then takes at most 300 MB.
pub(super) const MAX_PIXELS: u64 = 100_000_000;

impl MediaError {
    /// Wraps a system error about `path`, telling a missing file from others.
    pub(super) fn io(path: &Path, reason: io::Error) -> Self {
        match reason.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), reason },
        }
    }

    /// Whether this is about the programs that read videos and would be said of any file.
    pub fn is_of_programs(&self) -> bool {
        matches!(self, Self::FfmpegMissing { .. } | Self::WrongProgram { .. })
    }

    /// The same about `name`: what was given, where the file is only a copy of it.
    pub fn about(mut self, name: &Path) -> Self {
        match &mut self {
            Self::NotFound { path }
            | Self::Empty { path }
            | Self::EmptyFolder { path }
            | Self::NotMedia { path }
            | Self::NoVideo { path, .. }
            | Self::NoFrames { path }
            | Self::Damaged { path, .. }
            | Self::CutOff { path }
            | Self::UnreadPicture { path, .. }
            | Self::DanglingLink { path }
            | Self::Device { path }
            | Self::PipeTooLong { path }
            | Self::BadImage { path, .. }
            | Self::TooLarge { path, .. }
            | Self::UnsupportedCodec { path, .. }
            | Self::Ffmpeg { path, .. }
            | Self::Crashed { path, .. }
            | Self::Io { path, .. } => *path = name.to_owned(),
            Self::Link { .. } | Self::FfmpegMissing { .. } | Self::WrongProgram { .. } => {}
        }
        self
    }
}

/// What a file is to whoever gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A video.
    Video,
    /// A single picture.
    Picture,
}

impl fmt::Display for Medium {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Video => "video",
            Self::Picture => "picture",
        })
    }
}

impl Medium {
    /// What to do about damage, which may be passed over where it is `skippable`.
    fn way_out(self, skippable: bool) -> &'static str {
        match (self, skippable) {
            (Self::Video, true) => {
                "re-encode or re-download it, or pass --damaged skip to score the frames that decode"
            }
            (Self::Video, false) => "export or download it again",
            (Self::Picture, true) => "copy or download it again, or pass --damaged skip to score what there is of it",
            (Self::Picture, false) => "copy or download it again",
        }
    }
}

/// The words for "near this time", or none where the time is unknown.
fn near(seconds: Option<f64>) -> String {
    seconds.map(|s| format!(" near {s:.1} s")).unwrap_or_default()
}

/// Refuses sizes over [`MAX_PIXELS`].
pub(super) fn check_size(path: &Path, width: u64, height: u64) -> Result<(), MediaError> {
    match width.checked_mul(height) {
        Some(pixels) if pixels <= MAX_PIXELS => Ok(()),
        _ => Err(MediaError::TooLarge { path: path.to_owned(), width, height }),
    }
}
