//! Which videos are for training, validation and test where the data set does not say.
//!
//! The choice is a pure function of a *group*'s name, so that it is the same on every machine and for every shard, and
//! stays when videos are added: the first eight bytes of SHA-256("unmask split 1\0" + group), as a fraction of one.
//! A group is a person where persons are known, else a video with all fakes that are made from it.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::source::{Found, is_number, stem};
use super::{Label, Split};

/// Parts of the groups that train and that validate where nothing is given; the rest tests.
const TRAIN_PART: f64 = 0.8;
const VALIDATION_PART: f64 = 0.1;

/// How the use of a source is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The data set says.
    Official(Split),
    /// The data set says that it is for training and has nothing for validation: a tenth of the groups is set apart.
    TrainOrValidation,
    /// Nothing is said: 80 % of the groups train, 10 % validate, 10 % test.
    Free,
}

/// A video as far as groups depend on it.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) label: Label,
    /// The last part of its name.
    pub(super) stem: &'a str,
    /// Its own group: the person's, where that is known, else the stem.
    pub(super) group: &'a str,
    /// Whether the person is known, so that names need not be looked at.
    pub(super) has_person: bool,
}

impl<'a> Member<'a> {
    fn of(found: &'a Found) -> Self {
        let Found { label, name, group, person, .. } = found;
        // A number tells which picture of its folder it is; where it is the video's own name, the group has it, too.
        let last = stem(name);
        let stem = if is_number(last) { group } else { last };
        Self { label: *label, stem, group, has_person: person.is_some() }
    }
}

/// The use of each source, and its group.
pub(super) fn decide(found: &[Found]) -> Vec<(Split, String)> {
    let members: Vec<Member> = found.iter().map(Member::of).collect();
    let decide = |(found, group): (&Found, &str)| {
        let split = match found.plan {
            Plan::Official(split) => split,
            Plan::TrainOrValidation => train_or_validation(group),
            Plan::Free => by_hash(group),
        };
        (split, group.to_owned())
    };
    found.iter().zip(groups(&members)).map(decide).collect()
}

/// The use of a group in a training set that has nothing to validate with.
pub(super) fn train_or_validation(group: &str) -> Split {
    if fraction(group) < VALIDATION_PART { Split::Validation } else { Split::Train }
}

/// The use of a group about which nothing is said.
fn by_hash(group: &str) -> Split {
    match fraction(group) {
        part if part < TRAIN_PART => Split::Train,
        part if part < TRAIN_PART + VALIDATION_PART => Split::Validation,
        _ => Split::Test,
    }
}

/// A number in 0..1 that depends on nothing but the name.
fn fraction(group: &str) -> f64 {
    let hash = Sha256::new().chain_update(b"unmask split 1\0").chain_update(group).finalize();
    let mut start = [0; 8];
    start.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(start) as f64 / 2f64.powi(64)
}

/// The group of each source: its own, or the least of those that fakes join, because they are named after both.
///
/// A fake is made from a real video where a part of its name, between marks, is the real one's: `000_003` and `000`,
/// `talk_fake` and `talk`. It may be made from several, which then stay together.
pub(super) fn groups<'a>(members: &[Member<'a>]) -> Vec<&'a str> {
    let unknown_reals = members.iter().filter(|member| member.label == Label::Real && !member.has_person);
    let reals: BTreeMap<&str, &str> = unknown_reals.map(|member| (member.stem, member.group)).collect();
    let mut joined = Joined::default();
    let mut origin = |member: &Member<'a>| {
        let is_unknown_fake = member.label == Label::Fake && !member.has_person;
        let names = is_unknown_fake.then(|| parts(member.stem)).into_iter().flatten();
        let made_from: BTreeSet<&str> = names.filter_map(|part| reals.get(part).copied()).collect();
        let first = made_from.first().copied();
        made_from.iter().for_each(|other| joined.join(first.unwrap_or(other), other));
        first.unwrap_or(member.group)
    };
    let origins: Vec<&str> = members.iter().map(&mut origin).collect();
    origins.into_iter().map(|origin| joined.least(origin)).collect()
}

/// All parts of a name that begin and end at marks, the whole included.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    let is_mark = |character: char| !character.is_alphanumeric();
    let starts = std::iter::once(0).chain(name.match_indices(is_mark).map(|(at, mark)| at + mark.len()));
    starts.flat_map(move |start| {
        let rest = &name[start..];
        let ends = rest.match_indices(is_mark).map(|(at, _)| at).chain(std::iter::once(rest.len()));
        ends.map(move |end| &rest[..end])
    })
}

/// Sets of names, each known by its least.
#[derive(Default)]
struct Joined<'a> {
    lesser: BTreeMap<&'a str, &'a str>,
}

impl<'a> Joined<'a> {
    fn least(&self, name: &'a str) -> &'a str {
        let mut name = name;
        while let Some(lesser) = self.lesser.get(name) {
            name = lesser;
        }
        name
    }

    fn join(&mut self, one: &'a str, other: &'a str) {
        let (one, other) = (self.least(one), self.least(other));
        if one != other {
            self.lesser.insert(one.max(other), one.min(other));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Input;

    fn found(label: Label, name: &str) -> Found {
        Found {
            input: Input::Video(name.into()),
            dataset: "test".to_owned(),
            manipulation: "any".to_owned(),
            name: name.to_owned(),
            label,
            plan: Plan::Free,
            group: stem(name).to_owned(),
            person: None,
            ends_at_face: false,
        }
    }

    fn named_groups(found: &[Found]) -> Vec<&str> {
        groups(&found.iter().map(Member::of).collect::<Vec<_>>())
    }

    #[test]
    fn splits_are_eighty_ten_ten_to_a_percent_over_many_names() {
        let splits: Vec<Split> = (0..20_000).map(|number| by_hash(&format!("person {number}"))).collect();
        for (split, part) in [(Split::Train, 0.8), (Split::Validation, 0.1), (Split::Test, 0.1)] {
            let share = splits.iter().filter(|other| **other == split).count() as f64 / 20_000.0;
            assert!((share - part).abs() < 0.01, "{split:?}: {share}");
        }
    }

    #[test]
    fn the_split_of_a_name_never_changes() {
        // From Python: int.from_bytes(hashlib.sha256(b"unmask split 1\0" + name).digest()[:8], "big") / 2**64.
        for (name, expected) in [("Ada_Lovelace", 0.568_930_155_777_324_8), ("000", 0.034_440_896_365_711_22)] {
            assert!((fraction(name) - expected).abs() < 1e-12, "{name}: {}", fraction(name));
        }
    }

    #[test]
    fn fakes_are_used_as_the_videos_they_are_made_from() {
        let names = ["000", "003", "talk", "walk"];
        let fakes = ["000_003", "003_000", "x/talk_fake", "walk-v2", "other_talks", "a_talk"];
        let all: Vec<Found> = names
            .iter()
            .map(|name| found(Label::Real, name))
            .chain(fakes.iter().map(|name| found(Label::Fake, name)))
            .collect();
        assert_eq!(
            named_groups(&all),
            ["000", "000", "talk", "walk", "000", "000", "talk", "walk", "other_talks", "talk"]
        );
    }

    #[test]
    fn a_training_set_without_validation_gives_a_tenth_of_its_groups_and_no_test() {
        let all: Vec<Found> = (0..3000)
            .map(|number| Found { plan: Plan::TrainOrValidation, ..found(Label::Real, &format!("v{number}")) })
            .collect();
        let decided = decide(&all);
        let validation = decided.iter().filter(|(split, _)| *split == Split::Validation).count();
        assert!((250..350).contains(&validation), "{validation}");
        assert!(decided.iter().all(|(split, _)| *split != Split::Test));
    }

    #[test]
    fn official_splits_stay() {
        for split in [Split::Train, Split::Validation, Split::Test] {
            let one = Found { plan: Plan::Official(split), ..found(Label::Fake, "a") };
            assert_eq!(decide(&[one]), [(split, "a".to_owned())]);
        }
    }
}
