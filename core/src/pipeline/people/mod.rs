//! Whose face counts: follows everybody from frame to frame, weighs them against each other, and keeps their crops
//! within bounds until it is known whose are needed.
//!
//! One rule for all: scoring and preparing data to train on have the same people in front of them. A person weighs as
//! much as their faces do together. Faces too blurred to judge, and those outshone by a far sharper one in the same
//! frame, weigh nothing where anybody is sharp: the enlarged, blurred copy of a video that fills the bars beside it is
//! no person. `crops` keeps what has been cut out.

mod crops;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::cmp::Ordering;

use crops::Crops;
pub use crops::{Clip, KeptCrop, MAX_WAITING};

use super::verdict::{MIN_EYE_DISTANCE, MIN_SHARPNESS};
use crate::face::alignment::{CropSpec, Similarity, template};
use crate::face::appearance::{Appearance, FrameLook};
use crate::face::crop::crop;
use crate::face::quality::{CropQuality, eye_distance};
use crate::face::track::Tracker;
use crate::face::{Face, Rect};
use crate::image::RgbImage;

/// Faces of a frame that are followed at most, the largest.
pub const MAX_FACES: usize = 64;

/// Faces of a frame that are looked at closely, and cropped, where only one person counts: those that weigh the most.
pub const MAX_CANDIDATES: usize = 8;

/// A face with less than this part of the [detail](CropQuality::detail) of another in the same frame is outshone: blurred
/// enlarged copies beside their original had less.
const OUTSHONE: f32 = 0.2;

/// Which people of a video count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Faces {
    /// The person whose sharp face fills the most of the sampled frames.
    #[default]
    Largest,
    /// The person nearest the middle of the picture, for portraits with others in the background.
    Centre,
    /// Everybody.
    All,
}

impl Faces {
    /// How much a face in a frame of this size speaks for its person.
    fn weight(self, bounds: &Rect, image: &RgbImage) -> f64 {
        match self {
            Self::Largest | Self::All => f64::from(bounds.area()),
            Self::Centre => {
                let (middle_x, middle_y) = (image.width() as f32 / 2.0, image.height() as f32 / 2.0);
                let x = bounds.x + bounds.width / 2.0 - middle_x;
                let y = bounds.y + bounds.height / 2.0 - middle_y;
                f64::from((1.0 - libm::hypotf(x, y) / libm::hypotf(middle_x, middle_y)).max(0.0))
            }
        }
    }
}

/// A face that was followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// The track it belongs to, numbered from 0 in the order of appearance.
    pub track: usize,
    /// The face.
    pub face: Face,
    /// What its crop shows; `None` for a face that was followed and not looked at closely.
    pub quality: Option<CropQuality>,
    /// Whether another face of the frame is so much sharper that this one is a blurred copy, or out of focus.
    pub is_outshone: bool,
}

impl Sighting {
    /// Whether the face is sharp enough to speak for its person.
    fn is_sharp(&self) -> bool {
        !self.is_outshone && self.quality.is_some_and(|quality| quality.sharpness >= MIN_SHARPNESS)
    }
}

/// How much a track weighs, compared in this order: by its sharp faces, then by all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Weight {
    sharp: f64,
    any: f64,
}

impl Weight {
    fn compare(&self, other: &Self) -> Ordering {
        self.sharp.total_cmp(&other.sharp).then(self.any.total_cmp(&other.any))
    }

    fn times(self, factor: f64) -> Self {
        Self { sharp: self.sharp * factor, any: self.any * factor }
    }
}

/// What is known of the person of a track.
#[derive(Clone, Copy, Debug, Default)]
struct Person {
    weight: Weight,
    /// In how many frames they were looked at closely.
    faces: usize,
}

impl Person {
    fn add(&mut self, weight: f64, is_sharp: bool) {
        self.faces += 1;
        self.weight.any += weight;
        if is_sharp {
            self.weight.sharp += weight;
        }
    }

    /// What the person would weigh if they stayed for as long again as the video has lasted, `frames`: whoever comes
    /// late and large is not given up for those who have been there all along.
    fn prospect(&self, frames: usize) -> Weight {
        self.weight.times((self.faces + frames) as f64 / self.faces.max(1) as f64)
    }
}

/// The people of one input.
pub struct People {
    faces: Faces,
    spec: CropSpec,
    tracker: Tracker,
    frames: usize,
    /// By track.
    people: Vec<Person>,
    /// Who counts as things stand: of two who weigh alike the one who was seen first, so that the same video always
    /// gets the same answer.
    leader: Option<usize>,
    crops: Crops,
    /// The tracks that count, once that is decided.
    counted: Option<Vec<usize>>,
    crowded: bool,
}

impl People {
    /// Nobody yet. Crops are cut as `spec` says, and kept in clips of `clip_length` that follow each other.
    pub fn new(faces: Faces, spec: CropSpec, clip_length: usize) -> Self {
        Self {
            faces,
            spec,
            tracker: Tracker::default(),
            frames: 0,
            people: Vec::new(),
            leader: None,
            crops: Crops::new(clip_length),
            counted: None,
            crowded: false,
        }
    }

    /// Takes the next frame in order of time and the faces found in it, and says whose they are, the largest first. A
    /// face without a place, or whose landmarks give no crop (all points in one place), is passed over.
    pub fn push(&mut self, time_s: f64, image: &RgbImage, faces: &[Face]) -> Vec<Sighting> {
        let target = template(self.spec.geometry, self.spec.size, self.spec.margin);
        let to_crop = |face: &Face| Similarity::estimate(&face.landmarks, &target);
        let is_sound = |face: &&Face| face.bounds.area().is_finite() && to_crop(face).is_some();
        let mut followed: Vec<Face> = faces.iter().filter(is_sound).copied().collect();
        followed.sort_by(|a, b| b.bounds.area().total_cmp(&a.bounds.area()));
        self.crowded |= followed.len() > MAX_FACES;
        followed.truncate(MAX_FACES);
        let frame = FrameLook::new(image);
        let looks: Vec<Option<Appearance>> =
            followed.iter().map(|face| Appearance::new(image, &face.landmarks, &frame)).collect();
        let tracks = self.tracker.assign(time_s, &followed, &looks);
        let sighting = |(face, track)| Sighting { track, face, quality: None, is_outshone: false };
        let mut sightings: Vec<Sighting> = followed.into_iter().zip(tracks).map(sighting).collect();
        let crops: Vec<(usize, RgbImage)> = self
            .candidates(image, &sightings)
            .into_iter()
            .filter_map(|place| Some((place, crop(image, &sightings[place].face.landmarks, &self.spec)?)))
            .collect();
        for (place, crop) in &crops {
            let growth = to_crop(&sightings[*place].face).map_or(1.0, |to_crop| to_crop.scale());
            let frame_side = (self.spec.size as f64 / growth) as f32;
            sightings[*place].quality = Some(CropQuality::of(crop, frame_side));
        }
        mark_outshone(&mut sightings);
        for (place, crop) in crops {
            self.weigh(image, &sightings[place]);
            let is_wanted = self.is_wanted(sightings[place].track);
            self.crops.keep(
                sightings[place].track,
                is_wanted,
                KeptCrop { frame: self.frames, face: place, image: crop },
            );
        }
        self.frames += 1;
        self.forget_surplus();
        sightings
    }

    /// How many frames were pushed.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Whether faces that should have counted were left out, because there were too many.
    pub fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Ends the frames: decides who counts, and lets the crops of all others go.
    pub fn seal(&mut self) {
        let counted: Vec<usize> = match self.faces {
            Faces::All => (0..self.people.len()).collect(),
            Faces::Largest | Faces::Centre => self.leader.into_iter().collect(),
        };
        self.crops.retain(|track| counted.binary_search(&track).is_ok());
        self.counted = Some(counted);
    }

    /// The tracks of those who count, ascending; `None` before [`People::seal`].
    pub fn counted(&self) -> Option<&[usize]> {
        self.counted.as_deref()
    }

    /// How many clips can be taken: those of people who count, as far as that is known, with all their crops or all
    /// there will be.
    pub fn ready(&self) -> usize {
        self.ready_clips().count()
    }

    /// Takes up to so many of the clips that are ready, in the order of their first crops.
    pub fn take(&mut self, most: usize) -> Vec<Clip> {
        let places: Vec<usize> = self.ready_clips().take(most).collect();
        self.crops.take(&places)
    }

    /// The places in the frame of the faces that are looked at closely.
    fn candidates(&self, image: &RgbImage, sightings: &[Sighting]) -> Vec<usize> {
        let mut places: Vec<usize> = (0..sightings.len()).collect();
        if self.faces != Faces::All {
            let weight = |place: &usize| self.faces.weight(&sightings[*place].face.bounds, image);
            places.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
            places.truncate(MAX_CANDIDATES);
            places.sort_unstable();
        }
        places
    }

    /// Has a face speak for its person.
    fn weigh(&mut self, image: &RgbImage, sighting: &Sighting) {
        let track = sighting.track;
        if self.people.len() <= track {
            self.people.resize(track + 1, Person::default());
        }
        self.people[track].add(self.faces.weight(&sighting.face.bounds, image), sighting.is_sharp());
        self.update_leader(track);
    }

    /// Weights only grow, so nobody but whoever was just weighed can take the lead.
    fn update_leader(&mut self, track: usize) {
        let weight = |track: usize| self.people[track].weight;
        let is_ahead = self.leader.is_none_or(|leader| match weight(track).compare(&weight(leader)) {
            Ordering::Greater => true,
            Ordering::Equal => track < leader,
            Ordering::Less => false,
        });
        if is_ahead {
            self.leader = Some(track);
        }
    }

    /// Whether the track counts, as far as that is known.
    fn is_wanted(&self, track: usize) -> bool {
        match &self.counted {
            Some(counted) => counted.binary_search(&track).is_ok(),
            None => self.faces == Faces::All || self.leader == Some(track),
        }
    }

    fn ready_clips(&self) -> impl Iterator<Item = usize> {
        let is_over = |track| self.counted.is_some() || !self.tracker.follows(track);
        self.crops.complete(is_over).filter(|(_, track)| self.is_wanted(*track)).map(|(place, _)| place)
    }

    /// Keeps the crops within bounds: what is dropped first are the crops of those who weigh the least.
    fn forget_surplus(&mut self) {
        // The crops of whoever leads are taken as they come, or are what was asked for.
        let spared = self.leader.filter(|_| self.faces != Faces::All);
        let prospect = |track: usize| self.people[track].prospect(self.frames);
        let has_dropped = self.crops.bound(spared, |a, b| prospect(a).compare(&prospect(b)));
        self.crowded |= has_dropped && self.faces == Faces::All;
    }
}

/// Marks the faces that are outshone by another of the same frame.
fn mark_outshone(sightings: &mut [Sighting]) {
    let detail = |sighting: &Sighting| sighting.quality.map(|quality| quality.detail);
    // A face too small to judge outshines nobody.
    let large = |sighting: &&Sighting| eye_distance(&sighting.face.landmarks) >= MIN_EYE_DISTANCE;
    let most = sightings.iter().filter(large).filter_map(detail).fold(0.0, f32::max);
    for sighting in sightings {
        sighting.is_outshone = detail(sighting).is_some_and(|detail| detail < OUTSHONE * most);
    }
}
