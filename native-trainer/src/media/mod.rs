//! Frames from files: videos by ffmpeg as a child process, images and folders of frames by the `image` crate.
//!
//! [`inputs`] turns what a user names on the command line into inputs; [`open`] gives the sampled frames of one, with
//! their times, as an iterator that decodes in the background. [`probe`] asks ffprobe what a video is, [`plan`] decides
//! which frames and by which way (one pass, or a seek for each), [`video`] works the plan off, [`decode`] is one run of
//! ffmpeg, [`messages`] understands its words, [`children`] ends it, [`still`] decodes images.

mod children;
mod decode;
mod error;
mod inputs;
mod messages;
pub(crate) mod pattern;
mod plan;
mod probe;
mod programs;
mod still;
#[cfg(test)]
mod tests;
mod video;

use clap::ValueEnum;
use unmask_core::image::RgbImage;
use unmask_core::pipeline::Caveat;
use unmask_core::pipeline::report::InputKind;

pub(crate) use error::MediaError;
pub(crate) use inputs::{Input, expand};
pub(crate) use programs::Programs;

/// What to do about a video that is damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Damage {
    /// Report an error, since concealed damage can look like manipulation
    #[default]
    Refuse,
    /// Take the frames that decode, as ffmpeg conceals them
    Skip,
}

/// How an input is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenOptions {
    /// Frames to sample, evenly spaced from the first to the last; an input with fewer gives each once.
    pub(crate) frames: usize,
    /// What to do about damage.
    pub(crate) damage: Damage,
}

/// What is known of an input before its frames are decoded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MediaInfo {
    /// What the input is.
    pub(crate) kind: InputKind,
    /// Width in pixels of the displayed frame.
    pub(crate) width: usize,
    /// Height in pixels of the displayed frame.
    pub(crate) height: usize,
    /// Frames a second; none for images and folders of frames.
    pub(crate) fps: Option<f64>,
    /// Duration in seconds; none for images and folders of frames, and for videos that do not say.
    pub(crate) duration_s: Option<f64>,
    /// Frames in the whole input, where known.
    pub(crate) frame_count: Option<u64>,
    /// What weakens whatever is concluded from the frames.
    pub(crate) caveats: Vec<Caveat>,
}

/// One sampled frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TimedFrame {
    /// Presentation time in seconds from the start of the file; a frame of a folder counts 1/25 s.
    pub(crate) time_s: f64,
    /// The displayed frame: rotated and stretched as its file asks.
    pub(crate) image: RgbImage,
}

/// The sampled frames of one input, in order of time.
pub(crate) type Frames = Box<dyn Iterator<Item = Result<TimedFrame, MediaError>> + Send>;

/// An opened input.
pub(crate) struct Opened {
    /// What is known of it.
    pub(crate) info: MediaInfo,
    /// Its sampled frames, decoded in the background a few ahead. An error ends it. Dropping it ends the decoding.
    pub(crate) frames: Frames,
}

/// Opens `input` with the ffmpeg of the environment. Most errors come here; those of decoding come from the iterator.
pub(crate) fn open(input: &Input, options: &OpenOptions) -> Result<Opened, MediaError> {
    open_with(&Programs::from_environment(), input, options)
}

/// Opens `input` with the given programs.
pub(crate) fn open_with(programs: &Programs, input: &Input, options: &OpenOptions) -> Result<Opened, MediaError> {
    match input {
        Input::Video(path) => video::open(programs, path, options),
        Input::Image(path) => still::open_image(path),
        Input::Frames { files, .. } => still::open_folder(files, options),
    }
}
