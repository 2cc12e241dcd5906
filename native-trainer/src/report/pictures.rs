//! What a page shows of an input: a few of its frames, and the faces with the highest and the lowest scores.
//!
//! Collected while the input is scored, so that nothing is decoded twice, and bounded whatever the input's length. Where the detector looked in
//! the faces that are kept is computed at the end, when it is known which they are.

use std::collections::BTreeMap;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use unmask_core::detector::Detector;
use unmask_core::detector::explain::heat::over;
use unmask_core::detector::explain::{explain, largest};
use unmask_core::image::{Interpolation, RgbImage};
use unmask_core::pipeline::ClipView;

use crate::augment::compressed;
use crate::explain::Side;

/// Longer side of a frame as it is shown, in pixels.
const FRAME_SIDE: usize = 640;
/// Frames kept at most; of more, every second, fourth, … is.
const MAX_FRAMES: usize = 32;
/// Side of a face as it is shown, in pixels.
const FACE_SIDE: usize = 160;
/// Faces kept at each end of a track's scores.
pub(super) const EXTREMES: usize = 4;
/// Quality of the JPEG files, of 100.
const QUALITY: u8 = 82;

/// A face that was scored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ScoredFace {
    /// The frame it is in, counted over the frames looked at.
    pub(super) frame: usize,
    /// P(fake), of its clip for a detector of clips.
    pub(super) score: f32,
    /// The crops that the detector saw together, and which of them is shown.
    clip: Vec<RgbImage>,
    middle: usize,
    /// The one that is shown under what speaks for the class that its score leans to.
    heat: Option<Heat>,
}

/// A face under what speaks for a class in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heat {
    picture: RgbImage,
    side: Side,
}

impl ScoredFace {
    /// The aligned crop as the detector saw it, as a data URL.
    pub(super) fn url(&self) -> Option<String> {
        data_url(&shrunk(self.clip.get(self.middle)?, FACE_SIDE))
    }

    /// Where the detector looked, as a data URL, and what for.
    pub(super) fn heat(&self) -> Option<(String, Side)> {
        let heat = self.heat.as_ref()?;
        Some((data_url(&heat.picture)?, heat.side))
    }

    /// Has the detector explain it.
    fn explain(&mut self, detector: &Detector) -> Result<()> {
        let explanation = explain(detector, &self.clip)?.into_iter().next();
        let Some((explanation, crop)) = explanation.zip(self.clip.get(self.middle)) else { return Ok(()) };
        let side = Side::of(self.score);
        let largest = largest(&explanation.maps);
        self.heat = explanation.maps.get(self.middle).map(|map| {
            let picture = shrunk(&over(crop, side.values(map), map.side, largest), FACE_SIDE);
            Heat { picture, side }
        });
        Ok(())
    }
}

/// The pictures of one input.
pub struct Pictures {
    seen: usize,
    /// How many frames go for one that is kept.
    step: usize,
    frames: Vec<(usize, RgbImage)>,
    /// By track, in order of score.
    faces: BTreeMap<usize, Vec<ScoredFace>>,
}

impl Default for Pictures {
    fn default() -> Self {
        Self { seen: 0, step: 1, frames: Vec::new(), faces: BTreeMap::new() }
    }
}

impl Pictures {
    /// Takes the next frame that is looked at.
    pub fn frame(&mut self, image: &RgbImage) {
        if self.seen.is_multiple_of(self.step) {
            self.frames.push((self.seen, shrunk(image, FRAME_SIDE)));
        }
        self.seen += 1;
        if self.frames.len() > MAX_FRAMES {
            self.step *= 2;
            let step = self.step;
            self.frames.retain(|(index, _)| index.is_multiple_of(step));
        }
    }

    /// Takes a clip that was scored.
    pub fn face(&mut self, view: &ClipView<'_>, score: f32) {
        let faces = self.faces.entry(view.track).or_default();
        let place = faces.partition_point(|face| (face.score, face.frame) < (score, view.frame));
        faces.insert(
            place,
            ScoredFace { frame: view.frame, score, clip: view.clip.to_vec(), middle: view.middle, heat: None },
        );
        if faces.len() > 2 * EXTREMES {
            faces.remove(EXTREMES);
        }
    }

    /// Has `detector`, whose scores these are, explain the faces of a track.
    ///
    /// # Errors
    /// The detector's.
    pub fn explain(&mut self, detector: &Detector, track: usize) -> Result<()> {
        self.faces.get_mut(&track).into_iter().flatten().try_for_each(|face| face.explain(detector))
    }

    /// The faces of a track that are kept, the lowest score first.
    pub(super) fn faces(&self, track: usize) -> &[ScoredFace] {
        self.faces.get(&track).map_or(&[], Vec::as_slice)
    }

    /// The indices of the frames that are kept.
    pub(super) fn kept_frames(&self) -> impl Iterator<Item = usize> {
        self.frames.iter().map(|(index, _)| *index)
    }

    /// A frame that is kept, as a data URL.
    pub(super) fn frame_url(&self, index: usize) -> Option<String> {
        self.frames.iter().find(|(kept, _)| *kept == index).and_then(|(_, image)| data_url(image))
    }

    /// The same frame, small.
    pub(super) fn thumbnail_url(&self, index: usize) -> Option<String> {
        let frame = self.frames.iter().find(|(kept, _)| *kept == index);
        frame.and_then(|(_, image)| data_url(&shrunk(image, FACE_SIDE)))
    }
}

/// The image with its longer side at most `side`.
fn shrunk(image: &RgbImage, side: usize) -> RgbImage {
    let longest = image.width().max(image.height());
    if longest <= side {
        return image.clone();
    }
    let scaled = |length: usize| (length * side).div_ceil(longest);
    image.resize(scaled(image.width()), scaled(image.height()), Interpolation::Bilinear)
}

fn data_url(image: &RgbImage) -> Option<String> {
    compressed(image, QUALITY).map(|bytes| format!("data:image/jpeg;base64,{}", STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, height: usize, level: u8) -> RgbImage {
        RgbImage::new(width, height, vec![level; width * height * 3]).unwrap()
    }

    #[test]
    fn a_long_input_keeps_few_frames_spread_over_all_of_it() {
        let mut pictures = Pictures::default();
        (0..1000).for_each(|_| pictures.frame(&grey(8, 6, 100)));
        let kept: Vec<usize> = pictures.kept_frames().collect();
        assert!(kept.len() <= MAX_FRAMES && kept.len() > MAX_FRAMES / 3, "{kept:?}");
        assert!(kept[0] == 0 && *kept.last().unwrap() > 900, "{kept:?}");
        assert!(pictures.frame_url(kept[1]).unwrap().starts_with("data:image/jpeg;base64,/9j/"));
        assert_eq!(pictures.frame_url(kept[1] + 1), None);
    }

    #[test]
    fn the_faces_at_both_ends_of_the_scores_are_kept_in_order_track_by_track() {
        let mut pictures = Pictures::default();
        let crop = grey(256, 256, 50);
        for frame in 0..100 {
            let clip = std::slice::from_ref(&crop);
            let view = ClipView { track: frame % 2, frame, crop: &crop, clip, middle: 0 };
            // A score for each frame, in no order.
            pictures.face(&view, (frame * 37 % 100) as f32 / 100.0);
        }
        let scores: Vec<f32> = pictures.faces(1).iter().map(|face| (face.score * 100.0).round()).collect();
        assert_eq!(scores, [1.0, 3.0, 5.0, 7.0, 93.0, 95.0, 97.0, 99.0]);
        assert!(pictures.faces(1).iter().all(|face| face.url().is_some() && face.heat().is_none()));
        assert!(pictures.faces(2).is_empty());
    }

    #[test]
    fn pictures_shrink_in_proportion_and_never_grow() {
        let size = |width, height| {
            let image = shrunk(&grey(width, height, 0), 640);
            (image.width(), image.height())
        };
        assert_eq!(size(1920, 1080), (640, 360));
        assert_eq!(size(1080, 1920), (360, 640));
        assert_eq!(size(320, 240), (320, 240));
    }
}
