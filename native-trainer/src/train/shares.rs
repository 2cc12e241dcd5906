//! How many clips an epoch takes of each video, where a recipe says how large a part of it each data set is.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use rand::Rng;

use crate::datasets::Video;

/// How large a part of an epoch a data set is, by its name: above 0, together 1 at most.
pub(super) type Shares = BTreeMap<String, f64>;

/// Refuses shares of data sets that are not there, and those that leave nothing for one that is.
pub(super) fn check(shares: &Shares, videos: &[Video]) -> Result<()> {
    let present: Vec<&str> = {
        let mut names: Vec<&str> = videos.iter().map(|video| video.dataset.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    if let Some(name) = shares.keys().find(|name| !present.contains(&name.as_str())) {
        bail!("data.shares names {name}, of which there is nothing to train on; the data has {}", present.join(", "));
    }
    let other = present.iter().find(|name| !shares.contains_key(**name));
    if let Some(other) = other.filter(|_| is_whole(shares.values().sum())) {
        bail!("data.shares come to 1 and leave nothing for {other}; name it there, or lower another share");
    }
    Ok(())
}

/// Whether shares leave nothing worth speaking of for others.
fn is_whole(sum: f64) -> bool {
    sum > 0.999
}

/// The clips of each video in an epoch, of which each has `available` without shares. A data set that no share names keeps
/// its own; the others are repeated, or left out in part, until they are as large a part of the whole as asked for, each of
/// their videos as often as any other, to within one clip. Where every data set has a share, the shares count in proportion,
/// and the epoch is as long as without them.
pub(super) fn clips_of_each(videos: &[Video], available: &[usize], shares: &Shares, rng: &mut impl Rng) -> Vec<usize> {
    let mut counts = available.to_vec();
    let unnamed = |video: &Video| !shares.contains_key(&video.dataset);
    let kept: usize = videos.iter().zip(available).filter(|(video, _)| unnamed(video)).map(|(_, clips)| clips).sum();
    let named: f64 = shares.values().sum();
    let whole = if kept == 0 { available.iter().sum::<usize>() as f64 / named } else { kept as f64 / (1.0 - named) };
    for (name, share) in shares {
        let of_it: Vec<usize> = (0..videos.len()).filter(|&index| videos[index].dataset == *name).collect();
        if of_it.is_empty() {
            continue;
        }
        let target = (share * whole).round() as usize;
        of_it.iter().for_each(|&index| counts[index] = target / of_it.len());
        for place in rand::seq::index::sample(rng, of_it.len(), target % of_it.len()) {
            counts[of_it[place]] += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::{FaceCrop, Label, Split};
    use crate::random::generator;

    fn videos(counts: &[(&str, usize)]) -> Vec<Video> {
        let crop = FaceCrop { path: "crop.png".into(), time_s: None, landmarks: None, eye_distance: None };
        let video = |dataset: &str| Video {
            dataset: dataset.into(),
            manipulation: "m".into(),
            name: "v".into(),
            label: Label::Real,
            split: Split::Train,
            person: None,
            group: "v".into(),
            crops: vec![crop.clone(); 4],
        };
        counts.iter().flat_map(|&(dataset, count)| (0..count).map(move |_| video(dataset))).collect()
    }

    fn shares(of: &[(&str, f64)]) -> Shares {
        of.iter().map(|&(name, share)| (name.to_owned(), share)).collect()
    }

    /// The clips of each data set, and the fewest and most of one video.
    fn counted(videos: &[Video], of: &[(&str, f64)]) -> BTreeMap<String, (usize, usize, usize)> {
        let counts = clips_of_each(videos, &vec![2; videos.len()], &shares(of), &mut generator(1, "test", &[0]));
        let mut counted = BTreeMap::new();
        for (video, count) in videos.iter().zip(counts) {
            let (sum, least, most) = counted.entry(video.dataset.clone()).or_insert((0, usize::MAX, 0));
            (*sum, *least, *most) = (*sum + count, (*least).min(count), (*most).max(count));
        }
        counted
    }

    #[test]
    fn a_small_data_set_is_repeated_and_a_large_one_thinned_until_each_has_its_share() {
        let videos = videos(&[("large", 100), ("photographs", 400), ("swaps", 7)]);
        let counted = counted(&videos, &[("swaps", 0.3), ("photographs", 0.2)]);
        assert_eq!(counted["large"], (200, 2, 2), "what is not named stays as it was");
        assert_eq!(counted["swaps"], (120, 17, 18));
        assert_eq!(counted["photographs"], (80, 0, 1));
    }

    #[test]
    fn with_a_share_for_everything_an_epoch_keeps_its_length() {
        for share in [0.5, 0.3] {
            let counted = counted(&videos(&[("one", 30), ("other", 10)]), &[("one", share), ("other", share)]);
            assert_eq!((counted["one"].0, counted["other"].0), (40, 40), "shares of {share}");
        }
    }

    #[test]
    fn shares_of_what_is_not_there_or_that_leave_nothing_are_refused() {
        let videos = videos(&[("one", 1), ("other", 1)]);
        let said = |of: &[(&str, f64)]| check(&shares(of), &videos).unwrap_err().to_string();
        assert!(said(&[("two", 0.5)]).contains("the data has one, other"));
        assert!(said(&[("one", 1.0)]).contains("nothing for other"));
        check(&shares(&[("one", 0.9)]), &videos).unwrap();
        check(&shares(&[("one", 0.9), ("other", 0.1)]), &videos).unwrap();
    }
}
