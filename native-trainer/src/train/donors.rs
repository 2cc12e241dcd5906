//! Whose face is blended into another: that of another person of the data, in a similar pose.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::partners::at_the_same_time;
use crate::augment::sbi::pose_distance;
use crate::datasets::{FaceCrop, Video};

/// Videos that are drawn for each face; the one whose landmarks are nearest is taken.
const CANDIDATES: usize = 24;

/// The crops to blend in for the crops `indices` of `video`, one for each, of one other video of `videos`: of several drawn ones, of
/// other people and other sources, that whose landmarks are nearest to those of the first. `None` where nobody else was drawn.
pub(super) fn donor<'a>(
    videos: &'a [Video],
    video: &Video,
    indices: &[usize],
    rng: &mut ChaCha8Rng,
) -> Option<(&'a Video, Vec<usize>)> {
    if videos.is_empty() {
        return None;
    }
    let mut drawn = [0; CANDIDATES];
    drawn.iter_mut().for_each(|place| *place = rng.random_range(0..videos.len()));
    let others = drawn.into_iter().map(|place| &videos[place]).filter(|other| is_somebody_else(other, video));
    let crops = others.map(|other| (other, at_the_same_time(video, indices, other)));
    let wanted = video.crops.get(*indices.first()?)?;
    let far = |(other, crops): &(&Video, Vec<usize>)| {
        crops.first().and_then(|crop| other.crops.get(*crop)).map_or(f32::INFINITY, |crop| distance(wanted, crop))
    };
    crops.min_by(|one, other| far(one).total_cmp(&far(other)))
}

/// Whether two videos show different people, as far as the data says.
fn is_somebody_else(one: &Video, other: &Video) -> bool {
    let is_same_source = one.dataset == other.dataset && one.group == other.group;
    !is_same_source && (one.person.is_none() || one.person != other.person)
}

/// As [`pose_distance`]; 0 where landmarks are not known, since nothing speaks against such a crop.
fn distance(one: &FaceCrop, other: &FaceCrop) -> f32 {
    one.landmarks.zip(other.landmarks).map_or(0.0, |(one, other)| pose_distance(&one, &other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::{Label, Split};
    use crate::random::generator;

    fn video(name: &str, turn: f32) -> Video {
        let landmarks = [[20.0, 20.0], [40.0, 20.0], [30.0 + turn, 30.0], [22.0, 40.0], [38.0, 40.0]];
        Video {
            dataset: "d".into(),
            manipulation: "m".into(),
            name: name.into(),
            label: Label::Real,
            split: Split::Train,
            person: None,
            group: name.into(),
            crops: vec![
                FaceCrop {
                    path: "crop.png".into(),
                    time_s: None,
                    landmarks: Some(landmarks),
                    eye_distance: None
                };
                3
            ],
        }
    }

    #[test]
    fn the_most_similar_pose_of_somebody_else_is_lent() {
        let videos = [video("own", 0.0), video("straight", 0.5), video("left", -6.0), video("right", 7.0)];
        for place in 0..20 {
            let (chosen, crops) = donor(&videos, &videos[0], &[0, 2], &mut generator(1, "test", &[place])).unwrap();
            assert_eq!((chosen.name.as_str(), crops), ("straight", vec![0, 2]));
        }
    }

    #[test]
    fn nobody_lends_a_face_to_themselves_or_to_the_same_person() {
        let mut videos = [video("own", 0.0), video("again", 0.0)];
        videos.iter_mut().for_each(|video| video.person = Some("one".into()));
        let drawn = |videos: &[Video]| donor(videos, &videos[0], &[0], &mut generator(1, "test", &[1])).is_some();
        assert!(!drawn(&videos) && !drawn(&videos[..1]));
        videos[1].person = Some("other".into());
        assert!(drawn(&videos));
        assert!(donor(&[], &videos[0], &[0], &mut generator(1, "test", &[1])).is_none());
    }
}
