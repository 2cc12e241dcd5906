//! Fakes beside the real faces they were made of.

use std::collections::HashMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::recipe::DataRecipe;
use crate::datasets::{Label, Video};

/// The fakes of a run that trains in pairs, by the source that they were made of.
#[derive(Default)]
pub(super) struct Partners {
    fakes: HashMap<(String, String), Vec<Video>>,
    /// The share of pairs whose fake is made of the real face although there would be another.
    self_blended: f64,
}

/// Where the fake of a pair comes from.
pub(super) enum Partner<'a> {
    /// It is made of the real face.
    SelfBlended,
    /// It is one of the data's.
    Of(&'a Video),
}

impl Partners {
    /// Takes the fakes out of `videos` and leaves the real ones that a pair can be made of.
    pub(super) fn split(videos: Vec<Video>, recipe: &DataRecipe) -> (Vec<Video>, Self) {
        let (real, fake): (Vec<Video>, Vec<Video>) = videos.into_iter().partition(|video| video.label == Label::Real);
        let self_blended = recipe.self_blended;
        let mut partners = Self { fakes: HashMap::new(), self_blended: self_blended.0 };
        if !self_blended.is_all() {
            for video in fake {
                partners.fakes.entry(source(&video)).or_default().push(video);
            }
        }
        let real = real.into_iter().filter(|video| self_blended.0 > 0.0 || partners.fakes.contains_key(&source(video)));
        (real.collect(), partners)
    }

    /// What stands beside `real` this time.
    pub(super) fn draw(&self, real: &Video, rng: &mut ChaCha8Rng) -> Partner<'_> {
        let (blends, place) = (rng.random::<f64>() < self.self_blended, rng.random::<f64>());
        match self.fakes.get(&source(real)) {
            Some(fakes) if !blends => Partner::Of(&fakes[(place * fakes.len() as f64) as usize]),
            _ => Partner::SelfBlended,
        }
    }
}

/// What a real video and the fakes made of it have in common.
fn source(video: &Video) -> (String, String) {
    (video.dataset.clone(), video.group.clone())
}

/// The crops of `fake` that were seen when those of `real` were: as far from the first, in parts of the whole.
pub(super) fn at_the_same_time(real: &Video, indices: &[usize], fake: &Video) -> Vec<usize> {
    let (of, among) = (real.crops.len().saturating_sub(1).max(1), fake.crops.len().saturating_sub(1));
    indices.iter().map(|index| (index * among + of / 2) / of).map(|index| index.min(among)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::{FaceCrop, Split};
    use crate::random::generator;
    use crate::train::recipe::Share;

    fn video(label: Label, name: &str, group: &str, crops: usize) -> Video {
        let crop = FaceCrop { path: "crop.png".into(), time_s: None, landmarks: None, eye_distance: None };
        Video {
            dataset: "d".into(),
            manipulation: "m".into(),
            name: name.into(),
            label,
            split: Split::Train,
            person: None,
            group: group.into(),
            crops: vec![crop; crops],
        }
    }

    fn videos() -> Vec<Video> {
        vec![
            video(Label::Real, "one", "one", 1),
            video(Label::Fake, "a", "one", 1),
            video(Label::Fake, "b", "one", 1),
            video(Label::Real, "alone", "alone", 1),
            video(Label::Fake, "of nobody here", "elsewhere", 1),
        ]
    }

    fn recipe(share: f64) -> DataRecipe {
        DataRecipe { pairs: true, self_blended: Share(share), ..DataRecipe::default() }
    }

    /// How often each fake came in 2000 draws; the self-blended ones under no name.
    fn drawn(real: usize, share: f64) -> HashMap<String, usize> {
        let (reals, partners) = Partners::split(videos(), &recipe(share));
        let mut counts = HashMap::new();
        for place in 0..2000 {
            let name = match partners.draw(&reals[real], &mut generator(1, "test", &[place])) {
                Partner::SelfBlended => "",
                Partner::Of(video) => &video.name,
            };
            *counts.entry(name.to_owned()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn a_real_face_stands_beside_each_of_its_own_fakes_and_in_the_share_asked_for_beside_a_blend() {
        let counts = drawn(0, 0.5);
        assert_eq!(counts.len(), 3, "{counts:?}");
        assert!((900..1100).contains(&counts[""]), "{counts:?}");
        assert!((400..600).contains(&counts["a"]) && (400..600).contains(&counts["b"]), "{counts:?}");
        assert_eq!(drawn(1, 0.25), HashMap::from([(String::new(), 2000)]), "it has no fake");
        assert_eq!(drawn(0, 1.0), HashMap::from([(String::new(), 2000)]));
    }

    #[test]
    fn without_blends_real_faces_that_have_no_fake_are_left_out() {
        let (reals, _) = Partners::split(videos(), &recipe(0.0));
        assert_eq!(reals.iter().map(|video| video.name.as_str()).collect::<Vec<_>>(), ["one"]);
        assert_eq!(drawn(0, 0.0).get(""), None);
    }

    #[test]
    fn the_fake_is_seen_when_the_real_face_is() {
        let (real, fake) = (video(Label::Real, "r", "r", 11), video(Label::Fake, "f", "r", 6));
        assert_eq!(at_the_same_time(&real, &[0, 4, 10], &fake), [0, 2, 5]);
        assert_eq!(at_the_same_time(&fake, &[0, 5], &video(Label::Fake, "x", "r", 1)), [0, 0]);
        assert_eq!(at_the_same_time(&video(Label::Real, "x", "r", 1), &[0], &fake), [0]);
    }
}
