//! Which clips an epoch has, in which order: a pure function of the seed and the epoch's number, so that a resumed run
//! sees what an uninterrupted one would have seen. For a model of single frames a clip is one face.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::recipe::{Balance, DataRecipe};
use super::shares::clips_of_each;
use crate::datasets::{Label, Video};
use crate::random::generator;

/// Consecutive faces of one video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Clip {
    /// Index of the video.
    pub(super) video: usize,
    /// Index of the first crop.
    pub(super) start: usize,
}

impl Clip {
    /// The indices of its crops; a video that is too short repeats its last one.
    pub(super) fn crops(self, length: usize, crops: usize) -> impl Iterator<Item = usize> {
        (self.start..self.start + length).map(move |crop| crop.min(crops.saturating_sub(1)))
    }
}

/// The clips of `length` crops of epoch `epoch`, shuffled.
pub(super) fn epoch_clips(videos: &[Video], recipe: &DataRecipe, length: usize, seed: u64, epoch: usize) -> Vec<Clip> {
    let mut rng = generator(seed, "epoch", &[epoch as u64]);
    let mut groups: BTreeMap<(Label, &str), Vec<Clip>> = BTreeMap::new();
    let available = videos.iter().map(|video| places(video.crops.len(), length)).map(|places| {
        let wanted = (recipe.frames_per_video / length).max(1);
        wanted.min(places)
    });
    let counts = clips_of_each(videos, &available.collect::<Vec<_>>(), &recipe.shares, &mut rng);
    for (index, (video, count)) in videos.iter().zip(counts).enumerate() {
        let group = match recipe.balance {
            Balance::Manipulation => (video.label, video.manipulation.as_str()),
            Balance::None | Balance::Label => (video.label, ""),
        };
        let starts = starts(video.crops.len(), length, count, &mut rng);
        groups.entry(group).or_default().extend(starts.into_iter().map(|start| Clip { video: index, start }));
    }
    groups.retain(|_, clips| !clips.is_empty());
    let mut clips = match recipe.balance {
        Balance::None => groups.into_values().flatten().collect(),
        Balance::Label | Balance::Manipulation => balanced(groups, &mut rng),
    };
    clips.shuffle(&mut rng);
    clips
}

/// In how many places of a video with `crops` faces a clip of `length` can begin. One that is too short is a clip, too.
fn places(crops: usize, length: usize) -> usize {
    if crops == 0 { 0 } else { crops.saturating_sub(length) + 1 }
}

/// `count` places in a video where clips of `length` begin, all different unless there are fewer, which then come equally
/// often to within one.
fn starts(crops: usize, length: usize, count: usize, rng: &mut impl Rng) -> Vec<usize> {
    let places = places(crops, length);
    let (rounds, rest) = if count <= places { (0, count) } else { (count / places.max(1), count % places.max(1)) };
    let mut chosen = rand::seq::index::sample(rng, places, rest).into_vec();
    chosen.extend((0..rounds).flat_map(|_| 0..places));
    chosen.sort_unstable();
    chosen
}

/// Both labels as often as the more frequent one, and each group of a label equally often: a smaller group is repeated
/// whole before any of its clips comes once more.
fn balanced(groups: BTreeMap<(Label, &str), Vec<Clip>>, rng: &mut impl Rng) -> Vec<Clip> {
    let of_label = |label: Label| groups.iter().filter(move |((other, _), _)| *other == label);
    let size = |label: Label| of_label(label).map(|(_, clips)| clips.len()).sum::<usize>();
    let target = size(Label::Real).max(size(Label::Fake));
    let mut clips = Vec::with_capacity(2 * target);
    for label in [Label::Real, Label::Fake] {
        let count = of_label(label).count();
        for (index, (_, group)) in of_label(label).enumerate() {
            let share = target / count + usize::from(index < target % count);
            clips.extend(group.iter().cycle().take(share / group.len() * group.len()));
            clips.extend(group.sample(rng, share % group.len()));
        }
    }
    clips
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::{FaceCrop, Split};

    fn video(label: Label, manipulation: &str, crops: usize) -> Video {
        let crop = FaceCrop { path: "crop.png".into(), time_s: None, landmarks: None, eye_distance: None };
        Video {
            dataset: "d".into(),
            manipulation: manipulation.into(),
            name: "v".into(),
            label,
            split: Split::Train,
            person: None,
            group: "v".into(),
            crops: vec![crop; crops],
        }
    }

    fn videos() -> Vec<Video> {
        let mut videos: Vec<Video> = (0..3).map(|_| video(Label::Real, "original", 10)).collect();
        videos.extend((0..9).map(|_| video(Label::Fake, "one", 10)));
        videos.push(video(Label::Fake, "other", 10));
        videos
    }

    fn recipe(balance: Balance) -> DataRecipe {
        DataRecipe { frames_per_video: 4, balance, ..DataRecipe::default() }
    }

    fn count(faces: &[Clip], videos: &[Video], which: impl Fn(&Video) -> bool) -> usize {
        faces.iter().filter(|face| which(&videos[face.video])).count()
    }

    #[test]
    fn an_epoch_is_the_same_every_time_and_differs_from_the_next() {
        let videos = videos();
        let faces = |epoch| epoch_clips(&videos, &recipe(Balance::Label), 1, 7, epoch);
        assert_eq!(faces(3), faces(3));
        assert_ne!(faces(3), faces(4));
        assert_ne!(faces(3), epoch_clips(&videos, &recipe(Balance::Label), 1, 8, 3));
    }

    #[test]
    fn without_balance_every_video_gives_its_share_once() {
        let videos = videos();
        let mut faces = epoch_clips(&videos, &recipe(Balance::None), 1, 1, 0);
        assert_eq!(faces.len(), videos.len() * 4);
        faces.sort_unstable();
        faces.dedup();
        assert_eq!(faces.len(), videos.len() * 4, "a face occurs twice");
    }

    #[test]
    fn a_data_set_with_a_share_is_repeated_with_all_its_faces() {
        let mut videos = videos();
        videos[12].dataset = "small".into();
        let shares = [("small".to_owned(), 0.5)].into();
        let faces = epoch_clips(&videos, &DataRecipe { shares, ..recipe(Balance::None) }, 1, 1, 0);
        assert_eq!(faces.len(), 2 * 12 * 4);
        let mut times = BTreeMap::new();
        faces.iter().filter(|face| face.video == 12).for_each(|face| *times.entry(face.start).or_insert(0) += 1);
        assert_eq!(times.values().sum::<usize>(), 48);
        assert!(times.len() == 10 && times.values().all(|times| (4..=5).contains(times)), "{times:?}");
    }

    #[test]
    fn balanced_epochs_have_as_many_real_faces_as_fake_ones() {
        let videos = videos();
        let faces = epoch_clips(&videos, &recipe(Balance::Label), 1, 1, 0);
        assert_eq!(count(&faces, &videos, |video| video.label == Label::Real), 40);
        assert_eq!(count(&faces, &videos, |video| video.label == Label::Fake), 40);
        let faces = epoch_clips(&videos, &recipe(Balance::Manipulation), 1, 1, 0);
        assert_eq!(count(&faces, &videos, |video| video.manipulation == "one"), 20);
        assert_eq!(count(&faces, &videos, |video| video.manipulation == "other"), 20);
        // 40 of the 12 real faces that were drawn: none more than one time oftener than another.
        let mut times = BTreeMap::new();
        for face in faces.iter().filter(|face| videos[face.video].label == Label::Real) {
            *times.entry(*face).or_insert(0) += 1;
        }
        assert!(times.values().all(|times| (3..=4).contains(times)), "{times:?}");
    }

    #[test]
    fn clips_are_consecutive_and_short_videos_repeat_their_last_face() {
        let videos = [video(Label::Real, "original", 10), video(Label::Real, "original", 3)];
        for clip in epoch_clips(&videos, &recipe(Balance::None), 4, 1, 0) {
            let crops: Vec<usize> = clip.crops(4, videos[clip.video].crops.len()).collect();
            match clip.video {
                0 => assert!(crops.windows(2).all(|pair| pair[1] == pair[0] + 1), "{crops:?}"),
                _ => assert_eq!(crops, [0, 1, 2, 2]),
            }
        }
    }
}
