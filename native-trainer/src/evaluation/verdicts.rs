//! What the detector's thresholds make of the videos' scores: of all, and broken down by what a table says of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use unmask_core::detector::spec::{Calibration, VerdictCounts};
use unmask_core::metrics::{Ranking, Scored};
use unmask_core::pipeline::report::Verdict;
use unmask_core::pipeline::verdict::by_score;

use super::ScoredVideo;
use crate::datasets::Label;
use crate::datasets::list::Attributes;

/// The most groups that a column is broken down into without being asked for; more are names and not groups.
const MOST_GROUPS: usize = 12;

/// How many videos get which verdict by their score, and by how uncertain the detector is, alone. Scoring a file answers `uncertain` more often: where there are few
/// frames, or the face is small or blurred.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    /// A score up to this is `likely_real`.
    pub real_below: f32,
    /// A score from this on is `likely_fake`.
    pub fake_above: f32,
    /// Of a detector that says how uncertain it is: above this a video is `uncertain` whatever its score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertain_above: Option<f32>,
    /// All videos.
    pub all: Outcomes,
    /// The same by each column.
    pub by: Vec<Breakdown>,
}

/// The videos by the value of one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breakdown {
    /// The column.
    pub column: String,
    /// Its values in their order.
    pub groups: Vec<Group>,
}

/// The videos of one value of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The column's value.
    pub value: String,
    /// The verdicts on those videos.
    #[serde(flatten)]
    pub outcomes: Outcomes,
}

/// The verdicts on some videos.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcomes {
    /// On real videos.
    pub real: VerdictCounts,
    /// On fake ones.
    pub fake: VerdictCounts,
    /// The AUC over these videos; none where they are all real or all fake.
    pub auc: Option<f64>,
}

impl Verdicts {
    /// The verdicts on `videos`, broken down by the columns of `attributes` that `wanted` names, or, where it names none, by
    /// all that have few values.
    pub fn of(videos: &[ScoredVideo], calibration: &Calibration, attributes: &Attributes, wanted: &[String]) -> Self {
        let Calibration { real_below, fake_above, .. } = *calibration;
        let outcomes = |videos: &[&ScoredVideo]| {
            let mut found = Outcomes { auc: auc(videos), ..Outcomes::default() };
            let groups = |label: Label| {
                let of_label = videos.iter().filter(|video| video.label == label);
                Some(of_label.map(|video| (video.dataset, video.group)).collect::<BTreeSet<_>>().len() as u64)
            };
            (found.real.groups, found.fake.groups) = (groups(Label::Real), groups(Label::Fake));
            for video in videos {
                let counts = if video.label == Label::Real { &mut found.real } else { &mut found.fake };
                let uncertainty = video.uncertainty().map(|uncertainty| uncertainty as f32);
                match by_score(video.score() as f32, uncertainty, calibration) {
                    Verdict::LikelyReal => counts.likely_real += 1,
                    Verdict::LikelyFake => counts.likely_fake += 1,
                    Verdict::Uncertain | Verdict::NoFace => counts.uncertain += 1,
                }
            }
            found
        };
        let breakdown = |column: &String| {
            let mut groups: BTreeMap<&str, Vec<&ScoredVideo>> = BTreeMap::new();
            for video in videos {
                let value = attributes.get(&identity(video)).and_then(|of_video| of_video.get(column));
                groups.entry(value.map_or("(not said)", String::as_str)).or_default().push(video);
            }
            let group =
                |(value, videos): (&str, Vec<_>)| Group { value: value.to_owned(), outcomes: outcomes(&videos) };
            let groups = groups.into_iter().map(group).collect();
            Breakdown { column: column.clone(), groups }
        };
        let columns = if wanted.is_empty() { grouping_columns(videos, attributes) } else { wanted.to_vec() };
        let all: Vec<&ScoredVideo> = videos.iter().collect();
        let says_uncertainty = videos.iter().any(|video| !video.uncertainties.is_empty());
        let uncertain_above = says_uncertainty.then(|| calibration.uncertainty_limit());
        Self {
            real_below,
            fake_above,
            uncertain_above,
            all: outcomes(&all),
            by: columns.iter().map(breakdown).collect(),
        }
    }
}

fn identity(video: &ScoredVideo) -> (String, String, String) {
    (video.dataset.to_owned(), video.manipulation.to_owned(), video.name.to_owned())
}

fn auc(videos: &[&ScoredVideo]) -> Option<f64> {
    let scored: Vec<Scored> = videos.iter().map(|video| video.scored()).collect();
    Ranking::new(scored).and_then(|ranking| ranking.auc()).ok()
}

/// The columns with two values or more, and not so many that they are names.
fn grouping_columns(videos: &[ScoredVideo], attributes: &Attributes) -> Vec<String> {
    let mut values: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for of_video in videos.iter().filter_map(|video| attributes.get(&identity(video))) {
        for (column, value) in of_video {
            values.entry(column).or_default().insert(value);
        }
    }
    let groups = values.into_iter().filter(|(_, values)| (2..=MOST_GROUPS).contains(&values.len()));
    groups.map(|(column, _)| column.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(name: &'static str, label: Label, score: f64) -> ScoredVideo<'static> {
        ScoredVideo {
            dataset: "d",
            manipulation: "m",
            name,
            label,
            group: name,
            frames: vec![score],
            uncertainties: Vec::new(),
        }
    }

    fn attributes(said: &[(&str, &str, &str)]) -> Attributes {
        let mut attributes = Attributes::new();
        for (name, column, value) in said {
            let of_video = attributes.entry(("d".into(), "m".into(), (*name).into())).or_default();
            of_video.insert((*column).into(), (*value).into());
        }
        attributes
    }

    #[test]
    fn scores_at_the_thresholds_are_beyond_them_and_groups_add_up() {
        let videos = [
            video("a", Label::Real, 0.2),
            video("b", Label::Real, 0.5),
            video("c", Label::Real, 0.9),
            video("e", Label::Fake, 0.95),
        ];
        let calibration = Calibration { real_below: 0.2, fake_above: 0.9, ..Calibration::default() };
        let said = attributes(&[("a", "light", "dim"), ("b", "light", "bright"), ("c", "light", "bright")]);
        let verdicts = Verdicts::of(&videos, &calibration, &said, &[]);
        assert_eq!(verdicts.all.real, VerdictCounts { likely_real: 1, uncertain: 1, likely_fake: 1, groups: Some(3) });
        assert_eq!((verdicts.all.fake.likely_fake, verdicts.all.auc), (1, Some(1.0)));
        let [light] = verdicts.by.as_slice() else { panic!("{:?}", verdicts.by) };
        let groups: Vec<(&str, u64)> = light
            .groups
            .iter()
            .map(|group| (group.value.as_str(), group.outcomes.real.total() + group.outcomes.fake.total()))
            .collect();
        assert_eq!(groups, [("(not said)", 1), ("bright", 2), ("dim", 1)]);
        assert_eq!(light.groups[1].outcomes.auc, None, "they are all real");
    }

    #[test]
    fn of_whom_the_detector_knows_too_little_is_uncertain_and_the_auc_is_that_of_all_scores() {
        let unsure = |name, label, score, uncertainties: &[f64]| ScoredVideo {
            uncertainties: uncertainties.to_vec(),
            frames: vec![score; uncertainties.len()],
            ..video(name, label, score)
        };
        let videos = [
            unsure("a", Label::Real, 0.1, &[0.1, 0.5]),
            unsure("b", Label::Real, 0.1, &[0.2, 0.6]),
            unsure("c", Label::Fake, 0.9, &[0.9]),
            unsure("d", Label::Fake, 0.9, &[0.0]),
        ];
        let counted = |limit| {
            let calibration = Calibration { uncertain_above: Some(limit), ..Calibration::default() };
            Verdicts::of(&videos, &calibration, &Attributes::new(), &[])
        };
        let verdicts = counted(0.35);
        let of = |likely_real, uncertain, likely_fake| VerdictCounts {
            likely_real,
            uncertain,
            likely_fake,
            groups: Some(2),
        };
        assert_eq!((verdicts.all.real, verdicts.all.fake), (of(1, 1, 0), of(0, 1, 1)));
        assert_eq!((verdicts.uncertain_above, verdicts.all.auc), (Some(0.35), Some(1.0)));
        let open = counted(1.0);
        assert_eq!((open.all.real, open.all.fake), (of(2, 0, 0), of(0, 0, 2)));
    }

    #[test]
    fn a_column_of_names_is_broken_down_only_where_it_is_asked_for() {
        let names: Vec<String> = (0..20).map(|index| format!("v{index}")).collect();
        let videos: Vec<ScoredVideo> =
            names.iter().map(|name| ScoredVideo { name, ..video("", Label::Real, 0.5) }).collect();
        let said: Vec<(&str, &str, &str)> = names.iter().map(|name| (name.as_str(), "source", name.as_str())).collect();
        let said = attributes(&said);
        assert!(Verdicts::of(&videos, &Calibration::default(), &said, &[]).by.is_empty());
        let asked = Verdicts::of(&videos, &Calibration::default(), &said, &["source".to_owned()]);
        assert_eq!(asked.by[0].groups.len(), 20);
    }
}
