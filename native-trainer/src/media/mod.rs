//! Frames from files: videos by ffmpeg as a child process, images and folders of frames by the `image` crate.
//!
//! `inputs` turns what a user names on the command line into inputs, by what `content` finds a file to be, and `series` finds
//! frames among them;
//! [`pipe`] makes a file of what comes through one. [`open`] gives the sampled frames of an input, with their times,
//! as an iterator that decodes in the background and collects in `notes` what weakens an answer.
//!
//! Of a video, `probe` asks ffprobe what it is, `packets` lists its frames, `plan` decides which are decoded
//! and in which runs, `video` works the plan off, `decode` is one run of ffmpeg, called by `command`;
//! `messages` understands its words, `ending` finds ends that it does not miss, `children` ends it. [`facts`] is what a file says of itself, with its edit lists from
//! `edits`; [`recode`] sends pictures through video codecs and back, [`film`] makes a video of pictures. `still` decodes images with what `jpeg` and `tiff` know of their files, `animation` those that move.

mod animation;
mod children;
mod command;
mod content;
mod decode;
mod edits;
mod ending;
mod error;
pub mod facts;
pub mod film;
mod inputs;
mod jpeg;
mod messages;
mod notes;
mod packets;
pub mod pattern;
pub mod pipe;
mod plan;
mod probe;
mod programs;
pub mod recode;
mod series;
mod still;
#[cfg(test)]
mod tests;
mod tiff;
mod video;

use clap::ValueEnum;
use unmask_core::image::RgbImage;
use unmask_core::pipeline::Caveat;
use unmask_core::pipeline::report::InputKind;

use content::Content;
pub use content::is_media;
pub use error::MediaError;
#[cfg(test)]
use inputs::Found;
pub(crate) use inputs::is_around;
pub use inputs::{Input, LeftOut, expand, file_in_folder};
use notes::Notes;
pub use programs::Programs;

/// What to do about a video that is damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Damage {
    /// Report an error, since concealed damage can look like manipulation
    #[default]
    Refuse,
    /// Take the frames that decode, as ffmpeg conceals them
    Skip,
}

/// How an input is opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Frames to sample, evenly spaced from the first to the last; an input with fewer gives each once.
    pub frames: usize,
    /// What to do about damage.
    pub damage: Damage,
}

/// What is known of an input before its frames are decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct MediaInfo {
    /// What the input is.
    pub kind: InputKind,
    /// Width in pixels of the displayed frame.
    pub width: usize,
    /// Height in pixels of the displayed frame.
    pub height: usize,
    /// Frames a second; none for images and folders of frames.
    pub fps: Option<f64>,
    /// Duration in seconds; none for images and folders of frames, and for videos that do not say.
    pub duration_s: Option<f64>,
    /// Frames in the whole input, where known.
    pub frame_count: Option<u64>,
    /// What weakens whatever is concluded from the frames, as far as the header tells; [`Frames::caveats`] has the
    /// rest.
    pub caveats: Vec<Caveat>,
}

/// One sampled frame.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedFrame {
    /// Presentation time in seconds from the start of the file; a frame of a folder counts 1/25 s, and one of a video
    /// whose times cannot be right what its rate says.
    pub time_s: f64,
    /// The displayed frame: rotated and stretched as its file asks.
    pub image: RgbImage,
}

/// The sampled frames of one input, in order of time.
pub struct Frames {
    decoded: Box<dyn Iterator<Item = Result<TimedFrame, MediaError>> + Send>,
    notes: Notes,
}

impl Frames {
    fn new(decoded: impl Iterator<Item = Result<TimedFrame, MediaError>> + Send + 'static, notes: Notes) -> Self {
        Self { decoded: Box::new(decoded), notes }
    }

    /// What decoding found out so far that weakens an answer. Complete once the frames have ended.
    pub fn caveats(&self) -> Vec<Caveat> {
        self.notes.caveats()
    }
}

impl Iterator for Frames {
    type Item = Result<TimedFrame, MediaError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.decoded.next()
    }
}

/// An opened input.
pub struct Opened {
    /// What is known of it.
    pub info: MediaInfo,
    /// Its sampled frames, decoded in the background a few ahead. An error ends it. Dropping it ends the decoding.
    pub frames: Frames,
}

/// Opens `input` with the ffmpeg of the environment. Most errors come here; those of decoding come from the iterator.
pub fn open(input: &Input, options: &OpenOptions) -> Result<Opened, MediaError> {
    open_with(&Programs::from_environment(), input, options)
}

/// Opens `input` with the given programs.
pub fn open_with(programs: &Programs, input: &Input, options: &OpenOptions) -> Result<Opened, MediaError> {
    match input {
        Input::Video(path) => match content::of(path)? {
            Content::Animation(format) => animation::open(path, format, options),
            _ => video::open(programs, path, options),
        },
        // Names of still images may be those of streams. What cannot be read fails where it is decoded.
        Input::Image(path) => match jpeg::survey(path).ok() {
            Some(survey) if survey.is_motion => video::open(programs, path, options),
            survey => match still::open_image(path, survey, options) {
                Err(MediaError::BadImage { .. }) if tiff::pages(path).is_ok_and(|pages| pages.brightness.is_some()) => {
                    video::open(programs, path, options)
                }
                opened => opened,
            },
        },
        Input::Frames { files, .. } => still::open_folder(files, options),
    }
}
