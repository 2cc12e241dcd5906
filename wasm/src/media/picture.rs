//! Pictures by the `image` crate, as in the native program: JPEG, PNG, GIF, WebP and BMP, and those of them that move.

use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};
use std::time::Duration;
use std::vec;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation as Turn;
use image::{AnimationDecoder, DynamicImage, Frame, Frames, ImageDecoder, ImageFormat, ImageReader, Limits};
use unmask_core::image::jpeg;
use unmask_core::pipeline::sampling::frame_indices;
use unmask_core::pipeline::{Caveat, CaveatCode};

use super::error::check_size;
use super::{MediaError, Picture};

/// Most memory a decoder may take, in bytes: 100 megapixels of RGB and what decoding them needs.
const MAX_DECODER_BYTES: u64 = 512 << 20;

/// What browsers show a frame for, in seconds, that asks for less than they keep.
const USUAL_DELAY_S: f64 = 0.1;
const LEAST_DELAY_S: f64 = 0.011;

/// A picture as displayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Shot {
    /// Seconds from the first.
    pub time_s: f64,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Three bytes a pixel; what is transparent lies over black.
    pub pixels: Vec<u8>,
}

/// One picture, or the sampled ones of an animation.
pub struct Pictures {
    source: Source,
    /// Width in pixels as displayed.
    pub width: usize,
    /// Height in pixels as displayed.
    pub height: usize,
    /// How many pictures will come.
    pub wanted: usize,
    /// Mean pictures a second, of an animation.
    pub fps: Option<f64>,
    /// Length in seconds, of an animation.
    pub duration_s: Option<f64>,
    /// What weakens an answer.
    pub caveats: Vec<Caveat>,
}

enum Source {
    Still(Option<Shot>),
    Moving {
        frames: Frames<'static>,
        /// How many were taken of the frames.
        taken: usize,
        /// Numbers of the wanted frames, and when they are shown.
        wanted: vec::IntoIter<(usize, f64)>,
    },
}

impl Pictures {
    /// Reads a file of this kind, which `open` opens as often as it is needed, to look at up to `count` pictures of it.
    ///
    /// # Errors
    /// [`MediaError::TooLarge`], [`MediaError::BadImage`] or [`MediaError::Read`].
    pub fn open<R: Read + Seek + 'static>(
        kind: Picture,
        count: usize,
        open: impl Fn() -> io::Result<R>,
    ) -> Result<Self, MediaError> {
        let reader = || open().map(BufReader::new);
        let Some(frames) = moving(kind, reader()?)? else {
            return if kind == Picture::Jpeg { whole_jpeg(reader()?) } else { still(kind, reader()?) };
        };
        let (mut size, mut times, mut end_s) = ((0, 0), Vec::new(), 0.0);
        for frame in frames {
            let frame = frame.map_err(bad_image)?;
            size = (frame.buffer().width() as usize, frame.buffer().height() as usize);
            times.push(end_s);
            end_s += delay_s(&frame);
        }
        let frames = moving(kind, reader()?)?.filter(|_| times.len() > 1);
        let Some(frames) = frames else { return still(kind, reader()?) };
        let wanted: Vec<(usize, f64)> =
            frame_indices(times.len(), count).into_iter().map(|index| (index, times[index])).collect();
        Ok(Self {
            width: size.0,
            height: size.1,
            wanted: wanted.len(),
            fps: Some(times.len() as f64 / end_s),
            duration_s: Some(end_s),
            caveats: Vec::new(),
            source: Source::Moving { frames, taken: 0, wanted: wanted.into_iter() },
        })
    }

    /// Whether it moves.
    pub fn is_moving(&self) -> bool {
        matches!(self.source, Source::Moving { .. })
    }

    /// The next picture, until there are no more.
    ///
    /// # Errors
    /// [`MediaError::BadImage`].
    pub fn next_shot(&mut self) -> Result<Option<Shot>, MediaError> {
        match &mut self.source {
            Source::Still(shot) => Ok(shot.take()),
            Source::Moving { frames, taken, wanted } => {
                let Some((index, time_s)) = wanted.next() else { return Ok(None) };
                let frame = frames
                    .nth(index - *taken)
                    .ok_or_else(|| MediaError::BadImage("its frames end early".to_owned()))?;
                *taken = index + 1;
                let image = DynamicImage::from(frame.map_err(bad_image)?.into_buffer());
                Ok(Some(shot(&image, time_s)))
            }
        }
    }
}

/// The frames of a file that moves.
fn moving<R: BufRead + Seek + 'static>(kind: Picture, reader: R) -> Result<Option<Frames<'static>>, MediaError> {
    match kind {
        Picture::Gif => Ok(Some(limited(GifDecoder::new(reader).map_err(bad_image)?)?.into_frames())),
        Picture::Png => {
            let decoder = limited(PngDecoder::new(reader).map_err(bad_image)?)?;
            let moves = decoder.is_apng().map_err(bad_image)?;
            moves.then(|| decoder.apng().map(AnimationDecoder::into_frames).map_err(bad_image)).transpose()
        }
        Picture::WebP => {
            let decoder = limited(WebPDecoder::new(reader).map_err(bad_image)?)?;
            Ok(decoder.has_animation().then(|| decoder.into_frames()))
        }
        Picture::Jpeg | Picture::Bmp => Ok(None),
    }
}

/// A JPEG of which nothing is missing.
fn whole_jpeg(mut reader: impl Read) -> Result<Pictures, MediaError> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    let jpeg::Survey { complete, flaw, is_motion, views } = jpeg::survey(bytes.as_slice())?;
    let mut pictures = still(Picture::Jpeg, Cursor::new(bytes))?;
    if !complete {
        return Err(MediaError::BadImage("it is cut off".to_owned()));
    }
    if let Some(flaw) = flaw {
        return Err(MediaError::BadImage(flaw.to_owned()));
    }
    pictures.caveats.extend((is_motion || views > 1).then(|| CaveatCode::FirstPictureOnly.into()));
    Ok(pictures)
}

fn still<R: BufRead + Seek>(kind: Picture, reader: R) -> Result<Pictures, MediaError> {
    let format = match kind {
        Picture::Jpeg => ImageFormat::Jpeg,
        Picture::Png => ImageFormat::Png,
        Picture::Gif => ImageFormat::Gif,
        Picture::WebP => ImageFormat::WebP,
        Picture::Bmp => ImageFormat::Bmp,
    };
    let mut reader = ImageReader::with_format(reader, format);
    // The limit comes after the size is known, so that the error can name it.
    reader.no_limits();
    let mut decoder = limited(reader.into_decoder().map_err(bad_image)?)?;
    let orientation = decoder.orientation().unwrap_or(Turn::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(bad_image)?;
    image.apply_orientation(orientation);
    let shot = shot(&image, 0.0);
    let (width, height) = (shot.width, shot.height);
    let source = Source::Still(Some(shot));
    Ok(Pictures { source, width, height, wanted: 1, fps: None, duration_s: None, caveats: Vec::new() })
}

/// The decoder, if the size is within the limits.
fn limited<D: ImageDecoder>(mut decoder: D) -> Result<D, MediaError> {
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into())?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    decoder.set_limits(limits).map_err(bad_image)?;
    // The crate counts the decoder's own buffers; the output is counted here, for 16 bits a channel double.
    match decoder.total_bytes() > MAX_DECODER_BYTES {
        true => Err(MediaError::TooLarge { width: width.into(), height: height.into() }),
        false => Ok(decoder),
    }
}

fn shot(image: &DynamicImage, time_s: f64) -> Shot {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let pixels = match image {
        DynamicImage::ImageRgb8(pixels) => pixels.as_raw().clone(),
        image if image.color().has_alpha() => over_black(image),
        image => image.to_rgb8().into_raw(),
    };
    Shot { time_s, width, height, pixels }
}

fn over_black(image: &DynamicImage) -> Vec<u8> {
    let over = |[red, green, blue, alpha]: [u8; 4]| {
        [red, green, blue].map(|channel| ((u16::from(channel) * u16::from(alpha) + 127) / 255) as u8)
    };
    image.to_rgba8().pixels().flat_map(|pixel| over(pixel.0)).collect()
}

fn delay_s(frame: &Frame) -> f64 {
    let delay_s = Duration::from(frame.delay()).as_secs_f64();
    if delay_s < LEAST_DELAY_S { USUAL_DELAY_S } else { delay_s }
}

fn bad_image(error: image::ImageError) -> MediaError {
    use io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        image::ImageError::IoError(error) if !matches!(error.kind(), UnexpectedEof | InvalidData) => error.into(),
        error => MediaError::BadImage(error.to_string()),
    }
}
