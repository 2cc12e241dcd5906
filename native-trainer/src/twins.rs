//! Self-blended fakes to measure with: each real video gets a fake twin, the same whenever it is asked for.

use anyhow::{Context, Result};
use unmask_core::face::Landmarks;
use unmask_core::face::alignment::{CropSpec, template};
use unmask_core::image::RgbImage;

use crate::augment::Augmentation;
use crate::augment::sbi::{Blend, OtherFace, SelfBlended, SelfBlending};
use crate::datasets::{FaceCrop, Label, Video};
use crate::predict::stored_crops;
use crate::random::generator;

/// The manipulation of twins.
pub const SELF_BLENDED: &str = "self-blended";

/// The real ones of `videos`, each followed by its twin.
pub fn with_twins(videos: Vec<Video>) -> Vec<Video> {
    let pair = |video: Video| {
        let twin = Video { label: Label::Fake, manipulation: SELF_BLENDED.to_owned(), ..video.clone() };
        [video, twin]
    };
    videos.into_iter().filter(|video| video.label == Label::Real).flat_map(pair).collect()
}

/// How twins are made.
pub struct Twins {
    /// What chance is drawn from.
    seed: u64,
    blending: SelfBlending,
    /// What is done to a video and its twin alike.
    augmentation: Augmentation,
    /// Where the face lies in crops without landmarks.
    crop: CropSpec,
}

impl Twins {
    /// Those that detectors are measured with, always the same: for crops of `crop`.
    pub fn to_measure(crop: CropSpec) -> Self {
        Self::new(0, SelfBlending::default(), &Augmentation::default(), crop)
    }

    /// Twins blended as `blending` says, they and their videos compressed as `augmentation` says and otherwise unchanged.
    pub fn new(seed: u64, blending: SelfBlending, augmentation: &Augmentation, crop: CropSpec) -> Self {
        Self { seed, blending, augmentation: Augmentation { jpeg: augmentation.jpeg, ..Augmentation::none() }, crop }
    }

    /// The crops of a video or of a twin. Both are compressed alike, so that compression tells nothing.
    pub fn images(&self, video: &Video, crops: &[usize]) -> Result<Vec<RgbImage>> {
        let mut rng = generator(self.seed, &format!("twins {}/{}", video.dataset, video.name), &[]);
        let (blend, drawn) = (self.blending.draw(&mut rng), self.augmentation.draw(&mut rng));
        let images = stored_crops(video, crops)?;
        let chosen = |(image, index): (&RgbImage, &usize)| {
            let (real, fake) = self_blended(image, &video.crops[*index], &blend, None, &self.crop)?.augmented(&drawn);
            Ok(if video.manipulation == SELF_BLENDED { fake } else { real })
        };
        images.iter().zip(crops).map(chosen).collect()
    }
}

/// Where the face is in a crop: at its landmarks, or without them where the template has it.
pub fn landmarks(image: &RgbImage, crop: &FaceCrop, spec: &CropSpec) -> Landmarks {
    crop.landmarks.unwrap_or_else(|| template(spec.geometry, image.width(), spec.margin))
}

/// The pair made from a crop and, where the blend wants one, a donor; its face is where its landmarks are; or, without landmarks
/// that a mask can be made of, where the template has it.
pub fn self_blended(
    image: &RgbImage,
    crop: &FaceCrop,
    blend: &Blend,
    donor: Option<&OtherFace>,
    spec: &CropSpec,
) -> Result<SelfBlended> {
    let of_template = || blend.apply_with(image, &template(spec.geometry, image.width(), spec.margin), donor);
    let pair = crop.landmarks.and_then(|landmarks| blend.apply_with(image, &landmarks, donor)).or_else(of_template);
    pair.with_context(|| format!("{} has no face that a blend could change; leave it out", crop.path.display()))
}
