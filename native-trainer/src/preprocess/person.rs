//! The one person of a video whose faces are kept, followed from frame to frame.

use std::collections::BTreeMap;

use clap::ValueEnum;
use unmask_core::face::alignment::{CropSpec, Similarity, template};
use unmask_core::face::crop::crop;
use unmask_core::face::track::Tracker;
use unmask_core::face::{Face, Landmarks};
use unmask_core::image::RgbImage;

/// Faces of a frame that are cropped while it is not known yet whose count: bounds the memory a crowd takes.
const MOST_FACES: usize = 8;

/// Whose faces are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Whose {
    /// The person whose face fills the most of the frames, as `unmask score` does
    Largest,
    /// The person nearest the middle of the picture, for portraits with others in the background
    Centre,
}

impl Whose {
    /// The name on the command line.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Largest => "largest",
            Self::Centre => "centre",
        }
    }

    /// How much a face in a frame of this size speaks for its person.
    fn weight(self, face: &Face, image: &RgbImage) -> f64 {
        let bounds = &face.bounds;
        match self {
            Self::Largest => f64::from(bounds.area()),
            Self::Centre => {
                let (middle_x, middle_y) = (image.width() as f32 / 2.0, image.height() as f32 / 2.0);
                let x = bounds.x + bounds.width / 2.0 - middle_x;
                let y = bounds.y + bounds.height / 2.0 - middle_y;
                f64::from((1.0 - x.hypot(y) / middle_x.hypot(middle_y)).max(0.0))
            }
        }
    }
}

/// A face with its crop.
#[derive(Debug)]
pub(super) struct CroppedFace {
    /// Which of the frames that were looked at it is in, from 0.
    pub(super) frame: usize,
    /// When that is, in seconds.
    pub(super) time_s: f64,
    /// The face in the frame.
    pub(super) face: Face,
    /// The aligned crop.
    pub(super) image: RgbImage,
    /// The five points in the crop.
    pub(super) landmarks: Landmarks,
}

/// The faces of a video so far.
pub(super) struct People {
    whose: Whose,
    spec: CropSpec,
    tracker: Tracker,
    frames: usize,
    /// Every track's weight and faces.
    tracks: BTreeMap<usize, (f64, Vec<CroppedFace>)>,
}

impl People {
    /// Nobody yet.
    pub(super) fn new(whose: Whose, spec: CropSpec) -> Self {
        Self { whose, spec, tracker: Tracker::default(), frames: 0, tracks: BTreeMap::new() }
    }

    /// Takes the next frame in order of time, and its faces. A face whose points give no crop is passed over.
    pub(super) fn push(&mut self, time_s: f64, image: &RgbImage, faces: &[Face]) {
        let frame = self.frames;
        self.frames += 1;
        let target = template(self.spec.geometry, self.spec.size, self.spec.margin);
        let aligned: Vec<(Face, Similarity)> =
            faces.iter().filter_map(|face| Some((*face, Similarity::estimate(&face.landmarks, &target)?))).collect();
        let faces: Vec<Face> = aligned.iter().map(|(face, _)| *face).collect();
        let tracks = self.tracker.assign(time_s, &faces);
        let mut weighed: Vec<_> = aligned
            .into_iter()
            .zip(tracks)
            .map(|((face, to_crop), track)| (self.whose.weight(&face, image), track, face, to_crop))
            .collect();
        weighed.sort_by(|(one, ..), (other, ..)| other.total_cmp(one));
        for (weight, track, face, to_crop) in weighed.into_iter().take(MOST_FACES) {
            let Some(cropped) = crop(image, &face.landmarks, &self.spec) else { continue };
            let landmarks =
                face.landmarks.map(|point| to_crop.apply(point.map(f64::from)).map(|coordinate| coordinate as f32));
            let (total, seen) = self.tracks.entry(track).or_default();
            *total += weight;
            seen.push(CroppedFace { frame, time_s, face, image: cropped, landmarks });
        }
    }

    /// How many frames were looked at.
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// The faces of the person who counts, in order of time; none if nobody was seen. Of two who count alike it is the
    /// one who was seen first.
    pub(super) fn chosen(self) -> Vec<CroppedFace> {
        let best = self.tracks.into_values().rev().max_by(|(one, _), (other, _)| one.total_cmp(other));
        best.map(|(_, faces)| faces).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unmask_core::face::Rect;
    use unmask_core::face::alignment::CropGeometry;

    const SPEC: CropSpec = CropSpec { geometry: CropGeometry::Dfb, size: 32, margin: 1.3 };

    fn face(x: f32, y: f32, side: f32) -> Face {
        let places = [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]];
        Face {
            bounds: Rect { x, y, width: side, height: side },
            landmarks: places.map(|[across, down]| [x + across * side, y + down * side]),
            confidence: 0.99,
        }
    }

    fn chosen(whose: Whose, frames: &[&[Face]]) -> Vec<CroppedFace> {
        let image = RgbImage::new(300, 200, vec![90; 300 * 200 * 3]).unwrap();
        let mut people = People::new(whose, SPEC);
        for (index, faces) in frames.iter().enumerate() {
            people.push(index as f64, &image, faces);
        }
        assert_eq!(people.frames(), frames.len());
        people.chosen()
    }

    #[test]
    fn the_largest_face_and_the_one_in_the_middle_are_different_people() {
        let (large, middle) = (face(0.0, 0.0, 100.0), face(120.0, 70.0, 60.0));
        assert_eq!(chosen(Whose::Largest, &[&[middle, large]])[0].face, large);
        assert_eq!(chosen(Whose::Centre, &[&[large, middle]])[0].face, middle);
    }

    #[test]
    fn the_same_person_is_kept_in_frames_where_another_is_larger() {
        let steady = face(150.0, 50.0, 100.0);
        let frames: [&[Face]; 3] = [&[steady], &[steady, face(0.0, 0.0, 120.0)], &[steady]];
        let kept = chosen(Whose::Largest, &frames);
        assert_eq!(
            kept.iter().map(|kept| (kept.frame, kept.face)).collect::<Vec<_>>(),
            [(0, steady), (1, steady), (2, steady)]
        );
    }

    #[test]
    fn frames_without_the_person_leave_gaps() {
        let steady = face(150.0, 50.0, 100.0);
        let kept = chosen(Whose::Largest, &[&[steady], &[], &[steady]]);
        assert_eq!(kept.iter().map(|kept| kept.frame).collect::<Vec<_>>(), [0, 2]);
        assert!(chosen(Whose::Largest, &[&[], &[]]).is_empty());
    }

    #[test]
    fn points_in_the_crop_lie_where_the_crop_shows_them() {
        let kept = chosen(Whose::Largest, &[&[face(100.0, 60.0, 80.0)]]);
        let target = template(SPEC.geometry, SPEC.size, SPEC.margin);
        for (point, target) in kept[0].landmarks.iter().zip(&target) {
            assert!((point[0] - target[0]).hypot(point[1] - target[1]) < 3.0, "{point:?} is not near {target:?}");
        }
    }

    #[test]
    fn points_in_one_place_give_no_crop_and_do_not_panic() {
        let broken = Face { landmarks: [[5.0, 5.0]; 5], ..face(0.0, 0.0, 50.0) };
        assert!(chosen(Whose::Largest, &[&[broken]]).is_empty());
    }
}
