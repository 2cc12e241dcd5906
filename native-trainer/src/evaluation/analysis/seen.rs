//! What a detector made of each clip, and what the clip's crop shows of the face.

use std::collections::BTreeMap;

use anyhow::Result;
use unmask_core::detector::Detector;
use unmask_core::face::quality::{CropQuality, eye_distance};
use unmask_core::image::RgbImage;

use crate::datasets::manifest::Identity;
use crate::datasets::{FaceCrop, Video};
use crate::predict::{ClipLogits, SeenClip, one_by_one, predict_each, progress_bar};

/// A clip with the detector's answer.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The answer.
    pub logits: ClipLogits,
    /// What the detector's model made of it before its head.
    pub features: Vec<f32>,
    /// What its first crop shows of the face.
    pub measures: Measures,
}

/// How large, sharp and detailed a face is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measures {
    /// Pixels between the eyes in the frame that the crop was cut from; none where that is not known.
    pub eye_distance: Option<f64>,
    /// The variance of the Laplacian of the crop at 128 pixels: the less, the more blurred.
    pub sharpness: f64,
    /// Mean level of luma, 0 to 255.
    pub brightness: f64,
    /// The finest detail in parts of coarser detail, at the face's own size: compression, enlargement and smoothing take it
    /// away. None where the face's size is not known, or it is too small to tell.
    pub fineness: Option<f64>,
}

impl Measures {
    /// Measures a crop.
    pub fn of(picture: &RgbImage, crop: &FaceCrop) -> Self {
        let side = picture.width() as f32;
        // The crop was enlarged or reduced as the eyes' distance was.
        let in_crop = crop.landmarks.map(|landmarks| eye_distance(&landmarks)).filter(|distance| *distance > 0.0);
        let frame_side = crop.eye_distance.zip(in_crop).map(|(source, crop)| side * source / crop);
        let quality = CropQuality::of(picture, frame_side.unwrap_or(side));
        let fineness = frame_side.map(|_| f64::from(quality.fineness)).filter(|fineness| fineness.is_finite());
        Self {
            eye_distance: crop.eye_distance.map(f64::from),
            sharpness: f64::from(quality.sharpness),
            brightness: f64::from(quality.brightness),
            fineness,
        }
    }
}

/// Runs the detector over videos with a progress bar, and keeps what figures need.
///
/// # Errors
/// Those of [`predict_each`].
pub fn look(
    detector: &Detector,
    videos: &[Video],
    frames: usize,
    what: &str,
    images: impl Fn(&Video, &[usize]) -> Result<Vec<RgbImage>> + Sync,
) -> Result<Vec<Seen>> {
    let bar = progress_bar(videos.len() as u64, what);
    let mut found = Vec::new();
    let keep = |SeenClip { logits, features, pictures }: SeenClip| {
        if let (Some(picture), Some(crop)) = (pictures.first(), videos[logits.video].crops.get(logits.crop)) {
            found.push(Seen { logits, features: features.to_vec(), measures: Measures::of(picture, crop) });
        }
        Ok(())
    };
    predict_each(detector, videos, frames, one_by_one(images), keep, |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    Ok(found)
}

/// What can be measured of a video, by the column's name in tables, the words of its heading, its unit and decimals.
pub(super) const MEASURES: [Measure; 3] = [
    Measure { name: "face_size", words: "face size (pixels between the eyes)", decimals: 0, of: |of| of.eye_distance },
    Measure {
        name: "sharpness",
        words: "sharpness (the less, the more blurred)",
        decimals: 0,
        of: |of| Some(of.sharpness),
    },
    Measure {
        name: "fine_detail",
        words: "fine detail (compression takes it away)",
        decimals: 2,
        of: |of| of.fineness,
    },
];

/// Something that is measured of a crop.
pub(super) struct Measure {
    pub(super) name: &'static str,
    pub(super) words: &'static str,
    pub(super) decimals: usize,
    of: fn(&Measures) -> Option<f64>,
}

impl Measure {
    /// The mean over each video's clips, where it can be measured.
    pub(super) fn by_video(&self, videos: &[Video], seen: &[Seen]) -> BTreeMap<Identity, f64> {
        let mut sums: BTreeMap<Identity, (f64, f64)> = BTreeMap::new();
        for clip in seen {
            let (video, value) = (&videos[clip.logits.video], (self.of)(&clip.measures));
            if let Some(value) = value {
                let identity = (video.dataset.clone(), video.manipulation.clone(), video.name.clone());
                let (sum, count) = sums.entry(identity).or_default();
                *sum += value;
                *count += 1.0;
            }
        }
        sums.into_iter().map(|(identity, (sum, count))| (identity, sum / count)).collect()
    }
}
