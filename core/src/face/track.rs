//! Following faces from one sampled frame to the next.
//!
//! Samples may be a second apart, so a face may have moved by more than its own width: the farther apart two samples
//! are, the farther a face may have moved. A track knows where a face stood, how large it was, where it was heading and,
//! where that is given, how it looked lately: another person in the same place after a cut begins a track. Who comes back
//! to their place within a few samples continues theirs, if they look as before; after longer, or elsewhere, they begin
//! another.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::appearance::Appearance;
use super::{Face, Landmarks, Rect};

/// Faces of a track never change their side by more than this factor between two samples.
const LARGEST_GROWTH: f32 = 2.0;
/// A track's movement is carried on by half a face at most: heads turn back.
const LONGEST_PREDICTION: f32 = 0.5;

/// A face is compared with how the track looked in so many samples: lights flicker, and heads turn back.
const LOOKS: usize = 6;

/// When a face continues a track.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrackOptions {
    /// A track ends when it was missing in more samples than this in a row: 5.
    pub max_missed: usize,
    /// Boxes that overlap by this (intersection over union) may belong together: 0.3.
    pub min_overlap: f32,
    /// Faces whose landmarks are this far apart on average, in parts of the face's side, may belong together: 0.3, …
    pub reach: f32,
    /// … plus this for every second between the samples: 0.7, …
    pub reach_per_second: f32,
    /// … up to this: 1.
    pub max_reach: f32,
}

impl Default for TrackOptions {
    fn default() -> Self {
        Self { max_missed: 5, min_overlap: 0.3, reach: 0.3, reach_per_second: 0.7, max_reach: 1.0 }
    }
}

/// Gives the faces of successive frames the numbers of tracks. The outcome depends on the faces, not on their order.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    options: TrackOptions,
    tracks: Vec<Track>,
    next: usize,
}

/// A face being followed.
#[derive(Clone, Debug)]
struct Track {
    id: usize,
    bounds: Rect,
    landmarks: Landmarks,
    time_s: f64,
    missed: usize,
    /// Pixels a second; zero until the face was seen twice.
    velocity: [f32; 2],
    seen: usize,
    /// The latest, the oldest first; none where looks are not given.
    looks: VecDeque<Appearance>,
}

/// A face that may continue a track, and how well it fits.
struct Candidate {
    track: usize,
    face: usize,
    affinity: f32,
}

impl Tracker {
    /// A tracker without tracks; the first face gets number 0.
    pub fn new(options: TrackOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// The numbers of the tracks to which the faces of the frame at `time_s` belong, in the order of `faces`. Frames
    /// come in the order of time. Each track takes one face at most, the best fitting pairs first; every face left over
    /// begins a track, the largest first. `looks` are those of the faces; a face beyond their end fits any look.
    pub fn assign(&mut self, time_s: f64, faces: &[Face], looks: &[Option<Appearance>]) -> Vec<usize> {
        // Equal pairs are told apart by size and place, so that the order in which faces are given does not matter.
        let mut sorted: Vec<usize> = (0..faces.len()).collect();
        sorted.sort_by(|&one, &other| by_size_and_place(&faces[one], &faces[other]));

        let mut tracks_of_faces: Vec<Option<usize>> = vec![None; faces.len()];
        let mut is_continued = vec![false; self.tracks.len()];
        for Candidate { track, face, .. } in self.candidates(time_s, faces, looks, &sorted) {
            if !is_continued[track] && tracks_of_faces[face].is_none() {
                is_continued[track] = true;
                tracks_of_faces[face] = Some(self.tracks[track].id);
                self.tracks[track].continue_with(time_s, &faces[face]);
                self.tracks[track].remember(look(looks, face));
            }
        }
        for (track, _) in self.tracks.iter_mut().zip(&is_continued).filter(|(_, is_continued)| !**is_continued) {
            track.missed += 1;
        }
        self.tracks.retain(|track| track.missed <= self.options.max_missed);
        for &face in &sorted {
            if tracks_of_faces[face].is_none() {
                tracks_of_faces[face] = Some(self.begin(time_s, &faces[face], look(looks, face)));
            }
        }
        tracks_of_faces.into_iter().flatten().collect()
    }

    /// Whether a later face may still continue the track with this number.
    pub fn follows(&self, id: usize) -> bool {
        self.tracks.iter().any(|track| track.id == id)
    }

    /// All pairs of a track and a face that may belong together, best first.
    fn candidates(
        &self,
        time_s: f64,
        faces: &[Face],
        looks: &[Option<Appearance>],
        sorted: &[usize],
    ) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        for (track, known) in self.tracks.iter().enumerate() {
            for &face in sorted {
                let place = known.affinity(time_s, &faces[face], &self.options);
                let affinity = place.and_then(|place| Some(place + known.likeness(time_s, look(looks, face))?));
                candidates.extend(affinity.map(|affinity| Candidate { track, face, affinity }));
            }
        }
        candidates.sort_by(|one, other| other.affinity.total_cmp(&one.affinity));
        candidates
    }

    fn begin(&mut self, time_s: f64, face: &Face, look: Option<&Appearance>) -> usize {
        let id = self.next;
        self.next += 1;
        let Face { bounds, landmarks, .. } = *face;
        let looks = look.into_iter().cloned().collect();
        self.tracks.push(Track { id, bounds, landmarks, time_s, missed: 0, velocity: [0.0; 2], seen: 1, looks });
        id
    }
}

impl Track {
    /// How well the face fits where the track should be now, 0 to 2; `None` if it cannot be the same face.
    fn affinity(&self, time_s: f64, face: &Face, options: &TrackOptions) -> Option<f32> {
        let (known, seen) = (side(&self.bounds), side(&face.bounds));
        if !(known > 0.0 && seen > 0.0) || known.max(seen) > LARGEST_GROWTH * known.min(seen) {
            return None;
        }
        let seconds = self.seconds_until(time_s);
        let reach = (options.reach + options.reach_per_second * seconds).min(options.max_reach);
        let shift = self.predicted_shift(seconds);
        let distance = self.distance(shift, &face.landmarks) / libm::sqrtf(known * seen);
        let expected = Rect { x: self.bounds.x + shift[0], y: self.bounds.y + shift[1], ..self.bounds };
        let overlap = expected.overlap(&face.bounds);
        (distance <= reach || overlap >= options.min_overlap)
            .then(|| overlap + (1.0 - distance / options.max_reach).max(0.0))
    }

    /// How much a look is like the track's, 0 to 1; `None` if it is another shot's or another person's.
    fn likeness(&self, time_s: f64, look: Option<&Appearance>) -> Option<f32> {
        let seconds = self.seconds_until(time_s);
        let differences =
            look.into_iter().flat_map(|look| self.looks.iter().map(|known| look.difference(known, seconds)));
        let likeness = 1.0 - differences.min_by(f32::total_cmp).unwrap_or(0.0);
        (likeness >= 0.0).then_some(likeness)
    }

    fn remember(&mut self, look: Option<&Appearance>) {
        if self.looks.len() == LOOKS && look.is_some() {
            self.looks.pop_front();
        }
        self.looks.extend(look.cloned());
    }

    fn seconds_until(&self, time_s: f64) -> f32 {
        (time_s - self.time_s).max(0.0) as f32
    }

    /// Where the face should have moved since it was last seen, in pixels.
    fn predicted_shift(&self, seconds: f32) -> [f32; 2] {
        let [x, y] = self.velocity.map(|speed| speed * seconds);
        let (length, longest) = (libm::hypotf(x, y), LONGEST_PREDICTION * side(&self.bounds));
        let damping = if length > longest { longest / length } else { 1.0 };
        [x * damping, y * damping]
    }

    /// Mean distance in pixels between the shifted landmarks of the track and `landmarks`.
    fn distance(&self, shift: [f32; 2], landmarks: &Landmarks) -> f32 {
        let pairs = self.landmarks.iter().zip(landmarks);
        let total: f32 =
            pairs.map(|(old, new)| libm::hypotf(new[0] - old[0] - shift[0], new[1] - old[1] - shift[1])).sum();
        total / landmarks.len() as f32
    }

    fn continue_with(&mut self, time_s: f64, face: &Face) {
        let seconds = self.seconds_until(time_s);
        if seconds > 0.0 {
            let (old, new) = (centre(&self.bounds), centre(&face.bounds));
            let latest = [0, 1].map(|axis| (new[axis] - old[axis]) / seconds);
            let weight = if self.seen > 1 { 0.5 } else { 1.0 };
            self.velocity = [0, 1].map(|axis| weight * latest[axis] + (1.0 - weight) * self.velocity[axis]);
        }
        (self.bounds, self.landmarks, self.time_s) = (face.bounds, face.landmarks, time_s);
        self.missed = 0;
        self.seen += 1;
    }
}

/// The look of a face, where it is given.
fn look(looks: &[Option<Appearance>], face: usize) -> Option<&Appearance> {
    looks.get(face).and_then(Option::as_ref)
}

fn centre(bounds: &Rect) -> [f32; 2] {
    [bounds.x + bounds.width / 2.0, bounds.y + bounds.height / 2.0]
}

/// Side of the square with the same area.
fn side(bounds: &Rect) -> f32 {
    libm::sqrtf(bounds.area())
}

/// Largest first, then from left to right and from top to bottom.
fn by_size_and_place(one: &Face, other: &Face) -> Ordering {
    let (a, b) = (&one.bounds, &other.bounds);
    b.area().total_cmp(&a.area()).then(a.x.total_cmp(&b.x)).then(a.y.total_cmp(&b.y))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A face whose box has its upper left corner at `(x, y)`.
    fn face(x: f32, y: f32, side: f32) -> Face {
        let places = [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]];
        Face {
            bounds: Rect { x, y, width: side, height: side },
            landmarks: places.map(|[across, down]| [x + across * side, y + down * side]),
            confidence: 0.99,
        }
    }

    #[test]
    fn faces_that_hardly_move_keep_their_tracks() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.assign(0.0, &[face(0.0, 0.0, 80.0), face(200.0, 0.0, 60.0)], &[]), [0, 1]);
        assert_eq!(tracker.assign(0.04, &[face(3.0, 1.0, 81.0), face(198.0, 2.0, 60.0)], &[]), [0, 1]);
    }

    #[test]
    fn a_second_later_a_face_may_have_moved_by_most_of_its_width() {
        let mut tracker = Tracker::default();
        tracker.assign(0.0, &[face(100.0, 100.0, 80.0)], &[]);
        assert_eq!(tracker.assign(1.0, &[face(170.0, 100.0, 80.0)], &[]), [0]);
        let mut tracker = Tracker::default();
        tracker.assign(0.0, &[face(100.0, 100.0, 80.0)], &[]);
        assert_eq!(tracker.assign(0.04, &[face(170.0, 100.0, 80.0)], &[]), [1]);
    }

    #[test]
    fn two_faces_crossing_slowly_keep_their_tracks() {
        let mut tracker = Tracker::default();
        for step in 0..60 {
            let way = step as f32 * 6.0;
            let faces = [face(20.0 + way, 100.0, 80.0), face(380.0 - way, 108.0, 76.0)];
            assert_eq!(tracker.assign(f64::from(step) * 0.1, &faces, &[]), [0, 1], "step {step}");
        }
    }

    #[test]
    fn a_face_that_vanishes_and_returns_soon_continues_its_track() {
        let mut tracker = Tracker::default();
        let stays = face(300.0, 50.0, 70.0);
        assert_eq!(tracker.assign(0.0, &[face(20.0, 50.0, 90.0), stays], &[]), [0, 1]);
        for step in 1..=5 {
            assert_eq!(tracker.assign(f64::from(step), &[stays], &[]), [1]);
        }
        assert_eq!(tracker.assign(6.0, &[stays, face(26.0, 50.0, 90.0)], &[]), [1, 0]);
    }

    #[test]
    fn a_track_ends_after_too_many_missed_frames() {
        let mut tracker = Tracker::new(TrackOptions { max_missed: 2, ..TrackOptions::default() });
        let same = face(20.0, 50.0, 90.0);
        assert_eq!(tracker.assign(0.0, &[same], &[]), [0]);
        for step in 1..=3 {
            assert!(tracker.assign(f64::from(step), &[], &[]).is_empty());
        }
        assert_eq!(tracker.assign(4.0, &[same], &[]), [1]);
    }

    #[test]
    fn a_scene_cut_begins_new_tracks() {
        let mut tracker = Tracker::default();
        assert_eq!(tracker.assign(0.0, &[face(20.0, 40.0, 90.0), face(200.0, 40.0, 80.0)], &[]), [0, 1]);
        // One face where nobody was, one close-up over a former face.
        assert_eq!(tracker.assign(0.5, &[face(420.0, 240.0, 90.0), face(10.0, 0.0, 220.0)], &[]), [3, 2]);
    }

    #[test]
    fn the_order_of_the_faces_does_not_matter() {
        let frames: [[Face; 3]; 3] = [
            [face(0.0, 0.0, 80.0), face(120.0, 0.0, 80.0), face(240.0, 0.0, 60.0)],
            [face(10.0, 4.0, 80.0), face(126.0, 4.0, 80.0), face(236.0, 8.0, 62.0)],
            [face(20.0, 8.0, 80.0), face(132.0, 8.0, 80.0), face(600.0, 8.0, 62.0)],
        ];
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let runs = orders.map(|order| {
            let mut tracker = Tracker::default();
            let mut numbers = Vec::new();
            for (step, frame) in frames.iter().enumerate() {
                let assigned = tracker.assign(step as f64 * 0.5, &order.map(|place| frame[place]), &[]);
                let mut by_face = [usize::MAX; 3];
                order.iter().zip(assigned).for_each(|(&place, track)| by_face[place] = track);
                numbers.push(by_face);
            }
            numbers
        });
        assert_eq!(runs[0], [[0, 1, 2], [0, 1, 2], [0, 1, 3]]);
        assert!(runs.iter().all(|run| *run == runs[0]));
    }

    #[test]
    fn one_track_takes_one_face() {
        let mut tracker = Tracker::default();
        tracker.assign(0.0, &[face(100.0, 100.0, 80.0)], &[]);
        assert_eq!(tracker.assign(0.1, &[face(110.0, 100.0, 80.0), face(101.0, 100.0, 80.0)], &[]), [1, 0]);
    }

    #[test]
    fn faces_without_area_or_with_nan_begin_tracks_of_their_own() {
        let mut tracker = Tracker::default();
        let broken = face(f32::NAN, 0.0, 50.0);
        assert_eq!(tracker.assign(0.0, &[face(5.0, 5.0, 0.0), broken], &[]).len(), 2);
        assert_eq!(tracker.assign(f64::NAN, &[face(5.0, 5.0, 0.0)], &[]).len(), 1);
    }
}
