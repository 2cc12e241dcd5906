//! The one person of a video whose faces are kept: chosen by the rule that scoring goes by.

use clap::ValueEnum;
use unmask_core::face::alignment::{CropSpec, Similarity, template};
use unmask_core::face::{Face, Landmarks};
use unmask_core::image::RgbImage;
use unmask_core::pipeline::people::{Faces, KeptCrop, People};

/// Whose faces are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Whose {
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

    fn rule(self) -> Faces {
        match self {
            Self::Largest => Faces::Largest,
            Self::Centre => Faces::Centre,
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

/// The faces of a video so far. Of the person who counts as things stand every crop is kept, of all others together as
/// many as [`People`] keeps in waiting.
pub(super) struct Followed {
    spec: CropSpec,
    people: People,
    /// The time and the faces of each frame.
    frames: Vec<(f64, Vec<Face>)>,
}

impl Followed {
    /// Nobody yet.
    pub(super) fn new(whose: Whose, spec: CropSpec) -> Self {
        Self { spec, people: People::new(whose.rule(), spec, 1), frames: Vec::new() }
    }

    /// Takes the next frame in order of time, and its faces. A face whose points give no crop is passed over.
    pub(super) fn push(&mut self, time_s: f64, image: &RgbImage, faces: &[Face]) {
        let seen = self.people.push(time_s, image, faces);
        self.frames.push((time_s, seen.into_iter().map(|sighting| sighting.face).collect()));
    }

    /// How many frames were looked at.
    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// The faces of the person who counts, in order of time; none if nobody was seen.
    pub(super) fn chosen(mut self) -> Vec<CroppedFace> {
        self.people.seal();
        let target = template(self.spec.geometry, self.spec.size, self.spec.margin);
        let clips = self.people.take(usize::MAX);
        let cropped = |KeptCrop { frame, face, image }: KeptCrop| {
            let (time_s, faces) = self.frames.get(frame)?;
            let face = *faces.get(face)?;
            let to_crop = Similarity::estimate(&face.landmarks, &target)?;
            let landmarks =
                face.landmarks.map(|point| to_crop.apply(point.map(f64::from)).map(|coordinate| coordinate as f32));
            Some(CroppedFace { frame, time_s: *time_s, face, image, landmarks })
        };
        clips.into_iter().flat_map(|clip| clip.crops).filter_map(cropped).collect()
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

    /// A picture full of edges, so that no crop of it is blurred.
    fn picture(width: usize, height: usize) -> RgbImage {
        let pixels = (0..width * height * 3).map(|index| (index / 3 * 7919 % 251) as u8).collect();
        RgbImage::new(width, height, pixels).unwrap()
    }

    fn chosen(whose: Whose, frames: &[&[Face]]) -> Vec<CroppedFace> {
        let image = picture(300, 200);
        let mut people = Followed::new(whose, SPEC);
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

    #[test]
    fn a_crowd_takes_no_more_memory_than_is_kept_in_waiting_and_the_person_loses_no_crop() {
        let (small, frames) = (CropSpec { size: 8, ..SPEC }, 200);
        let image = picture(600, 200);
        let mut people = Followed::new(Whose::Largest, small);
        for index in 0..frames {
            let crowd = (0..6).map(|place| face(100.0 + 80.0 * place as f32, 120.0, 40.0));
            let faces: Vec<Face> = crowd.chain([face(0.0, 20.0, 90.0)]).collect();
            people.push(f64::from(index), &image, &faces);
        }
        let kept = people.chosen();
        assert_eq!(kept.len(), 200);
        assert!(kept.iter().all(|kept| kept.face.bounds.width == 90.0));
    }
}
