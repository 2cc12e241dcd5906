//! Animated GIF, APNG and WebP: videos whose frames the image decoders compose one after the other.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use image::codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder};
use image::{AnimationDecoder, Frame, ImageDecoder, ImageError, ImageFormat, Limits};
use unmask_core::image::RgbImage;
use unmask_core::pipeline::CaveatCode;
use unmask_core::pipeline::report::InputKind;
use unmask_core::pipeline::sampling::frame_indices;

use super::error::{MediaError, check_size};
use super::notes::Notes;
use super::still::{MAX_DECODER_BYTES, bad_image, rgb_over_black};
use super::{Damage, Frames, MediaInfo, OpenOptions, Opened, TimedFrame};

/// What browsers show a frame for, in seconds, that asks for 10 ms or less.
const USUAL_DELAY_S: f64 = 0.1;

/// The shortest delay in seconds that browsers keep.
const SHORTEST_DELAY_S: f64 = 0.011;

/// Opens an animation: its frames are counted in a first pass, and the sampled ones kept in a second. One at a time
/// is in memory.
///
/// With `Damage::Skip` the frames before the first that does not decode are all there are.
pub(super) fn open(path: &Path, format: ImageFormat, options: &OpenOptions) -> Result<Opened, MediaError> {
    let mut delays_s = Vec::new();
    let notes = Notes::default();
    let (width, height) = size(path, format)?;
    for frame in frames(path, format)? {
        match frame {
            Ok(frame) => delays_s.push(delay_s(&frame)),
            Err(_) if options.damage == Damage::Skip => {
                notes.note(CaveatCode::DamageSkipped);
                break;
            }
            Err(error) => return Err(bad_image(path, error)),
        }
    }
    if delays_s.is_empty() {
        return Err(MediaError::NoFrames { path: path.to_owned() });
    }
    let duration_s: f64 = delays_s.iter().sum();
    let info = MediaInfo {
        kind: InputKind::Video,
        width,
        height,
        fps: Some(delays_s.len() as f64 / duration_s),
        duration_s: Some(duration_s),
        frame_count: Some(delays_s.len() as u64),
        caveats: Vec::new(),
    };
    let wanted = frame_indices(delays_s.len(), options.frames);
    Ok(Opened { info, frames: Frames::new(sampled(path.to_owned(), format, wanted, delays_s), notes) })
}

/// The frames of the given numbers, decoded on a thread of its own, one ahead.
fn sampled(
    path: PathBuf,
    format: ImageFormat,
    wanted: Vec<usize>,
    delays_s: Vec<f64>,
) -> impl Iterator<Item = Result<TimedFrame, MediaError>> + Send {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let frames = match frames(&path, format) {
            Ok(frames) => frames,
            Err(error) => return drop(sender.send(Err(error))),
        };
        let mut wanted = wanted.into_iter().peekable();
        let mut time_s = 0.0;
        for ((number, frame), delay_s) in frames.enumerate().zip(delays_s) {
            if wanted.next_if_eq(&number).is_some() {
                let frame = frame.map_err(|error| bad_image(&path, error)).and_then(|frame| picture(&path, frame));
                if sender.send(frame.map(|image| TimedFrame { time_s, image })).is_err() {
                    return;
                }
            }
            if wanted.peek().is_none() {
                return;
            }
            time_s += delay_s;
        }
    });
    receiver.into_iter()
}

fn picture(path: &Path, frame: Frame) -> Result<RgbImage, MediaError> {
    let rgba = frame.into_buffer();
    let (width, height) = (rgba.width() as usize, rgba.height() as usize);
    let sizes_differ = || MediaError::BadImage { path: path.to_owned(), detail: "its size is inconsistent".to_owned() };
    RgbImage::new(width, height, rgb_over_black(&rgba)).ok_or_else(sizes_differ)
}

fn delay_s(frame: &Frame) -> f64 {
    let (numerator, denominator) = frame.delay().numer_denom_ms();
    let delay_s = f64::from(numerator) / f64::from(denominator.max(1)) / 1000.0;
    if delay_s < SHORTEST_DELAY_S { USUAL_DELAY_S } else { delay_s }
}

type Reader = BufReader<File>;

fn reader(path: &Path) -> Result<Reader, MediaError> {
    File::open(path).map(BufReader::new).map_err(|error| MediaError::io(path, error))
}

/// The size of the animation's canvas, within the limits.
fn size(path: &Path, format: ImageFormat) -> Result<(usize, usize), MediaError> {
    let reader = reader(path)?;
    let dimensions = match format {
        ImageFormat::Gif => GifDecoder::new(reader).map(|decoder| decoder.dimensions()),
        ImageFormat::WebP => WebPDecoder::new(reader).map(|decoder| decoder.dimensions()),
        _ => PngDecoder::new(reader).map(|decoder| decoder.dimensions()),
    };
    let (width, height) = dimensions.map_err(|error| bad_image(path, error))?;
    check_size(path, width.into(), height.into())?;
    Ok((width as usize, height as usize))
}

/// All frames, composed.
fn frames(path: &Path, format: ImageFormat) -> Result<image::Frames<'static>, MediaError> {
    let reader = reader(path)?;
    composed(reader, format).map_err(|error| bad_image(path, error))
}

fn composed(reader: Reader, format: ImageFormat) -> Result<image::Frames<'static>, ImageError> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    Ok(match format {
        ImageFormat::Gif => {
            let mut decoder = GifDecoder::new(reader)?;
            decoder.set_limits(limits)?;
            decoder.into_frames()
        }
        ImageFormat::WebP => {
            let mut decoder = WebPDecoder::new(reader)?;
            decoder.set_limits(limits)?;
            decoder.into_frames()
        }
        _ => {
            let mut decoder = PngDecoder::new(reader)?;
            decoder.set_limits(limits)?;
            decoder.apng()?.into_frames()
        }
    })
}
