//! Still images, alone and as the frames of a folder.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbaImage};
use rayon::prelude::*;
use unmask_core::image::RgbImage;
use unmask_core::pipeline::CaveatCode;
use unmask_core::pipeline::report::InputKind;
use unmask_core::pipeline::sampling::frame_indices;

use super::error::{MediaError, Medium, check_size};
use super::jpeg::Survey;
use super::notes::Notes;
use super::{Damage, Frames, MediaInfo, OpenOptions, Opened, TimedFrame, jpeg, tiff};

/// Most memory a decoder may take, in bytes: 100 megapixels of RGB and what decoding them needs.
pub(super) const MAX_DECODER_BYTES: u64 = 512 << 20;

/// What a frame of a folder lasts, in seconds, as long as nothing says otherwise: 25 frames a second.
const NOMINAL_STEP_S: f64 = 0.04;

/// Opens one image: a single frame at time zero.
///
/// With `Damage::Skip` a JPEG that is damaged or cut off is shown as far as it goes. `survey` is its file's, where that was read before.
pub(super) fn open_image(path: &Path, survey: Option<Survey>, options: &OpenOptions) -> Result<Opened, MediaError> {
    let notes = Notes::default();
    let image = decode(path, survey, options.damage, &notes)?;
    let info = still_info(InputKind::Still, image.width(), image.height(), 1);
    Ok(Opened { info, frames: Frames::new(std::iter::once(Ok(TimedFrame { time_s: 0.0, image })), notes) })
}

/// Opens the frames of a folder: `files` in order, sampled, decoded side by side and given in order.
///
/// With `Damage::Skip` frames that do not decode are left out. Sizes may differ; the first frame's is reported.
pub(super) fn open_folder(files: &[PathBuf], options: &OpenOptions) -> Result<Opened, MediaError> {
    let indices = frame_indices(files.len(), options.frames);
    let sampled: Vec<(f64, PathBuf)> =
        indices.into_iter().map(|index| (index as f64 * NOMINAL_STEP_S, files[index].clone())).collect();
    let size = |(_, path): &(f64, PathBuf)| displayed_size(path);
    let (width, height) = match (sampled.iter().find_map(|file| size(file).ok()), sampled.first()) {
        (Some(found), _) => found,
        (None, Some(first)) => size(first)?,
        (None, None) => (0, 0),
    };
    let damage = options.damage;
    let notes = Notes::default();
    let noted = notes.clone();
    let mut size_of_all = None;
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        for batch in sampled.chunks(rayon::current_num_threads()) {
            let decoded: Vec<_> = batch.par_iter().map(|(time_s, path)| timed(*time_s, path, damage, &noted)).collect();
            for frame in decoded {
                let failed = frame.is_err();
                if let Ok(TimedFrame { image, .. }) = &frame {
                    let size = (image.width(), image.height());
                    if *size_of_all.get_or_insert(size) != size {
                        noted.note(CaveatCode::SizeChanges);
                    }
                }
                if failed && damage == Damage::Skip {
                    noted.note(CaveatCode::DamageSkipped);
                } else if sender.send(frame).is_err() || failed {
                    return;
                }
            }
        }
    });
    Ok(Opened {
        info: still_info(InputKind::Frames, width, height, files.len()),
        frames: Frames::new(receiver.into_iter(), notes),
    })
}

fn timed(time_s: f64, path: &Path, damage: Damage, notes: &Notes) -> Result<TimedFrame, MediaError> {
    Ok(TimedFrame { time_s, image: decode(path, None, damage, notes)? })
}

fn still_info(kind: InputKind, width: usize, height: usize, frames: usize) -> MediaInfo {
    let frame_count = Some(frames as u64);
    MediaInfo { kind, width, height, fps: None, duration_s: None, frame_count, caveats: Vec::new() }
}

/// Decodes the image at `path`, told by its content, to what a viewer shows: turned as its EXIF says, 8 bits a channel,
/// the first of several pictures. What is transparent lies over black, which is also what crops show outside.
fn decode(path: &Path, survey: Option<Survey>, damage: Damage, notes: &Notes) -> Result<RgbImage, MediaError> {
    let (mut decoder, format) = decoder(path)?;
    examine(path, format, survey, damage, notes)?;
    let orientation = orientation(&mut decoder);
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| bad_image(path, error))?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width() as usize, image.height() as usize);
    let transparent = image.color().has_alpha();
    let pixels = if transparent { rgb_over_black(&image.into_rgba8()) } else { image.into_rgb8().into_raw() };
    let sizes_differ = || MediaError::BadImage { path: path.to_owned(), detail: "its size is inconsistent".to_owned() };
    RgbImage::new(width, height, pixels).ok_or_else(sizes_differ)
}

/// Looks for what the decoder passes over: damage, an end that is missing, further pictures, a preview in place of the picture.
fn examine(
    path: &Path,
    format: Option<ImageFormat>,
    survey: Option<Survey>,
    damage: Damage,
    notes: &Notes,
) -> Result<(), MediaError> {
    let failed = |error| MediaError::io(path, error);
    match format {
        Some(ImageFormat::Jpeg) => {
            let survey = survey.map_or_else(|| jpeg::survey(path).map_err(failed), Ok)?;
            if survey.views > 1 {
                notes.note(CaveatCode::FirstPictureOnly);
            }
            if survey.complete && survey.flaw.is_none() {
                return Ok(());
            }
            if damage == Damage::Skip {
                notes.note(CaveatCode::DamageSkipped);
                return Ok(());
            }
            let path = path.to_owned();
            Err(match survey.flaw.filter(|_| survey.complete) {
                Some(flaw) => {
                    let (what, detail) = (Medium::Picture, flaw.to_owned());
                    MediaError::Damaged { path, what, near_s: None, detail, skippable: true }
                }
                None => MediaError::CutOff { path },
            })
        }
        Some(ImageFormat::Tiff) => {
            let pages = tiff::pages(path).map_err(|error| bad_image(path, ImageError::IoError(error)))?;
            if pages.begins_with_preview {
                let detail = "it is a camera's raw file, whose first picture is only a preview".to_owned();
                return Err(MediaError::BadImage { path: path.to_owned(), detail });
            }
            if pages.pictures > 1 {
                notes.note(CaveatCode::FirstPictureOnly);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A decoder that has read the header and found the size within the limits, and what it decodes.
fn decoder(path: &Path) -> Result<(impl ImageDecoder + use<>, Option<ImageFormat>), MediaError> {
    let reader = ImageReader::open(path).map_err(|error| MediaError::io(path, error))?;
    if path.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        return Err(MediaError::Empty { path: path.to_owned() });
    }
    let mut reader: ImageReader<BufReader<File>> =
        reader.with_guessed_format().map_err(|error| MediaError::io(path, error))?;
    // The limit comes after the size is known, so that the error can name it.
    reader.no_limits();
    let format = reader.format();
    let mut decoder = reader.into_decoder().map_err(|error| bad_image(path, error))?;
    let (width, height) = decoder.dimensions();
    check_size(path, width.into(), height.into())?;
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    decoder.set_limits(limits).map_err(|error| bad_image(path, error))?;
    // The image crate counts the decoder's own buffers; the output is counted here, for 16 bits a channel double.
    match decoder.total_bytes() > MAX_DECODER_BYTES {
        true => Err(MediaError::TooLarge { path: path.to_owned(), width: width.into(), height: height.into() }),
        false => Ok((decoder, format)),
    }
}

/// The size after rotation, from the header alone.
fn displayed_size(path: &Path) -> Result<(usize, usize), MediaError> {
    let (mut decoder, _) = decoder(path)?;
    let (width, height) = decoder.dimensions();
    let turned = matches!(
        orientation(&mut decoder),
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    );
    let (width, height) = if turned { (height, width) } else { (width, height) };
    Ok((width as usize, height as usize))
}

/// EXIF orientation; an unreadable one counts as upright, as in viewers.
fn orientation(decoder: &mut impl ImageDecoder) -> Orientation {
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

/// The image over black, as RGB bytes.
pub(super) fn rgb_over_black(rgba: &RgbaImage) -> Vec<u8> {
    let blended = |pixel: &image::Rgba<u8>| {
        let [red, green, blue, alpha] = pixel.0.map(u16::from);
        [red, green, blue].map(|channel| ((channel * alpha + 127) / 255) as u8)
    };
    rgba.pixels().flat_map(blended).collect()
}

/// The error for an image that does not decode; the system's own errors stay those.
pub(super) fn bad_image(path: &Path, error: ImageError) -> MediaError {
    match error {
        ImageError::IoError(source)
            if !matches!(source.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData) =>
        {
            MediaError::io(path, source)
        }
        error => {
            // Some decoders end theirs with a line break.
            let detail = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            MediaError::BadImage { path: path.to_owned(), detail }
        }
    }
}
