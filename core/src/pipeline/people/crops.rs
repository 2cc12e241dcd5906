//! Crops that wait, in clips, for what becomes of them: bounded, however long the video and however many its people.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::image::RgbImage;
use crate::pipeline::aggregate::clip_of;

/// Crops of people who may not count that are kept at most: 100 MB at 256 pixels. It is enough for everybody in 32
/// frames with [`MAX_CANDIDATES`](super::MAX_CANDIDATES) faces and as many again.
pub const MAX_WAITING: usize = 512;

/// People whose crops are thinned out, rather than given up, when there are too many, …
const MAX_THINNED: usize = 8;
/// … to no fewer than so many, which is what most detectors ask of a whole video.
const FEWEST_THINNED: usize = 32;

/// An aligned crop, and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptCrop {
    /// The frame it was cut from, counted as they were pushed.
    pub frame: usize,
    /// The face's place among those of its frame.
    pub face: usize,
    /// The pixels.
    pub image: RgbImage,
}

/// Crops of one track that follow each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// The track.
    pub track: usize,
    /// Which of the track's clips it is, from 0. Where crops were thinned out, numbers are missing.
    pub index: usize,
    /// At least one crop, and the detector's clip length at most.
    pub crops: Vec<KeptCrop>,
}

/// How far a track's crops have come.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// How many crops there were, kept or not.
    seen: usize,
    /// Of so many clips one is kept.
    step: usize,
}

/// The crops that wait.
pub(super) struct Crops {
    clip_length: usize,
    /// In the order of their first crops.
    clips: Vec<Clip>,
    progress: BTreeMap<usize, Progress>,
}

impl Crops {
    /// No crops, to be kept in clips of `clip_length`.
    pub(super) fn new(clip_length: usize) -> Self {
        Self { clip_length: clip_length.max(1), clips: Vec::new(), progress: BTreeMap::new() }
    }

    /// Keeps the next crop of a track, unless the track's crops are thinned out and this is none of those that stay.
    pub(super) fn keep(&mut self, track: usize, is_wanted: bool, crop: KeptCrop) {
        let progress = self.progress.entry(track).or_insert(Progress { seen: 0, step: 1 });
        let (index, place) = (clip_of(progress.seen, self.clip_length), progress.seen % self.clip_length);
        progress.seen += 1;
        if let Some(clip) = self.clips.iter_mut().rfind(|clip| clip.track == track && clip.index == index) {
            clip.crops.push(crop);
        } else if place == 0 && (is_wanted || index.is_multiple_of(progress.step)) {
            self.clips.push(Clip { track, index, crops: Vec::from([crop]) });
        }
    }

    /// The places and tracks of the clips that have all their crops, or all there will be where the track is over.
    pub(super) fn complete(&self, is_over: impl Fn(usize) -> bool) -> impl Iterator<Item = (usize, usize)> {
        let clips = self.clips.iter().enumerate();
        let is_complete = move |clip: &Clip| clip.crops.len() == self.clip_length || is_over(clip.track);
        clips.filter(move |(_, clip)| is_complete(clip)).map(|(place, clip)| (place, clip.track))
    }

    /// Takes the clips at `places`, which ascend.
    pub(super) fn take(&mut self, places: &[usize]) -> Vec<Clip> {
        let mut taken: Vec<Clip> = places.iter().rev().map(|place| self.clips.remove(*place)).collect();
        taken.reverse();
        taken
    }

    /// Keeps the clips of those tracks alone.
    pub(super) fn retain(&mut self, keep: impl Fn(usize) -> bool) {
        self.clips.retain(|clip| keep(clip.track));
    }

    /// How many crops there are.
    pub(super) fn len(&self) -> usize {
        self.clips.iter().map(|clip| clip.crops.len()).sum()
    }

    /// Drops crops until no more than [`MAX_WAITING`] are left beside those of `spared`, and says whether it had to. The
    /// tracks that `compare` puts lower go first: all of their crops while there are many such tracks, then every other
    /// clip, so that what stays is spread over the track's time.
    pub(super) fn bound(&mut self, spared: Option<usize>, compare: impl Fn(usize, usize) -> Ordering) -> bool {
        let mut has_dropped = false;
        while self.len() > MAX_WAITING {
            let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
            for clip in self.clips.iter().filter(|clip| Some(clip.track) != spared) {
                *counts.entry(clip.track).or_default() += clip.crops.len();
            }
            if counts.values().sum::<usize>() <= MAX_WAITING {
                break;
            }
            has_dropped = true;
            let least = |fewest: usize| {
                let tracks = counts.iter().filter(|(_, count)| **count > fewest).map(|(track, _)| *track);
                tracks.min_by(|a, b| compare(*a, *b))
            };
            let is_thinned =
                counts.len() <= MAX_THINNED && least(FEWEST_THINNED).is_some_and(|track| self.thin_out(track));
            if !is_thinned {
                let least = least(0);
                self.clips.retain(|clip| Some(clip.track) != least);
            }
        }
        has_dropped
    }

    /// Drops every other clip of the track, now and from now on; says whether that was of use.
    fn thin_out(&mut self, track: usize) -> bool {
        let Some(progress) = self.progress.get_mut(&track) else { return false };
        progress.step = progress.step.saturating_mul(2);
        let (step, before) = (progress.step, self.clips.len());
        self.clips.retain(|clip| clip.track != track || clip.index.is_multiple_of(step));
        self.clips.len() < before
    }
}
