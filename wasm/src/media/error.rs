//! What can be wrong with a file, one sentence each. Whoever knows the file's name puts it in front.

use thiserror::Error;

/// Most pixels a frame may have, as in the native program.
const MAX_PIXELS: u64 = 100_000_000;

/// Why frames could not be had from a file.
#[derive(Debug, Error)]
pub enum MediaError {
    /// A file of no bytes.
    #[error("the file is empty; download or copy it again")]
    Empty,
    /// Content that is no container and no image, whatever the name says.
    #[error("this is neither a video nor an image that can be read; give a media file, not a text or a playlist")]
    NotMedia,
    /// A container whose index is not read here. A browser's own player may.
    #[error(
        "this is {0}, which this browser does not read; convert it (`ffmpeg -i in -c:v libx264 out.mp4`), or use the program `unmask`"
    )]
    OtherContainer(&'static str),
    /// An image of a kind that neither is decoded here nor by this browser.
    #[error("this is {0}, which this browser does not decode; save it as PNG or JPEG, or try another browser")]
    OtherImage(&'static str),
    /// An image that does not decode.
    #[error("the image does not decode ({0}); save it again as PNG or JPEG")]
    BadImage(String),
    /// A media file without a video stream.
    #[error("the file holds no video; give a file with pictures")]
    NoVideo,
    /// A video stream of which nothing can be shown.
    #[error("not a single frame could be read from it; export or download it again")]
    NoFrames,
    /// A file whose content is damaged or cut off.
    #[error("the video is damaged ({0}); re-encode or re-download it")]
    Damaged(String),
    /// More pixels than are decoded into memory.
    #[error("{width}x{height} pixels are more than the limit of {} megapixels; scale it down first", MAX_PIXELS / 1_000_000)]
    TooLarge {
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
    },
    /// A codec that the browser does not decode.
    #[error(
        "this browser cannot decode its codec, {0}; convert the video (`ffmpeg -i in -c:v libx264 out.mp4`), try another browser, or use the program `unmask`"
    )]
    UnsupportedCodec(String),
    /// The bytes could not be read.
    #[error("the file could not be read ({0}); choose it again")]
    Read(#[from] std::io::Error),
}

impl MediaError {
    /// What went wrong, for programs; it stays the same where sentences change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotMedia => "not_media",
            Self::OtherContainer(_) => "unsupported_container",
            Self::OtherImage(_) => "unsupported_image",
            Self::NoVideo => "no_video",
            Self::NoFrames => "no_frames",
            Self::Damaged(_) | Self::BadImage(_) => "damaged",
            Self::TooLarge { .. } => "too_large",
            Self::UnsupportedCodec(_) => "unsupported_codec",
            Self::Read(_) => "unreadable",
        }
    }
}

/// Refuses sizes without pixels, and those of more than [`MAX_PIXELS`].
///
/// # Errors
/// [`MediaError::NoFrames`] or [`MediaError::TooLarge`].
pub fn check_size(width: u64, height: u64) -> Result<(), MediaError> {
    match width.checked_mul(height) {
        Some(0) => Err(MediaError::NoFrames),
        Some(pixels) if pixels <= MAX_PIXELS => Ok(()),
        _ => Err(MediaError::TooLarge { width, height }),
    }
}
