//! Several detectors on one input: what each of them says, and what they say together.
//!
//! Each detector has a session of its own, which is pushed the same frames and faces and makes a report. [`join`] makes
//! one report of those. The joint verdict is that of all detectors where they agree, and else `uncertain`: agreement of
//! detectors that were trained apart says more than any one of them, and where one contradicts the others nobody knows
//! which is right.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::caveat::{Caveat, CaveatCode};
use super::report::{ModelInfo, Report, Verdict};
use super::strength::Strength;
use crate::detector::spec::TrainingStatus;

/// What one of several detectors says of an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opinion {
    /// The detector.
    pub model: ModelInfo,
    /// What it makes of its score, by its own thresholds.
    pub verdict: Verdict,
    /// Its P(fake) of the video, 0..1; `None` if there was no face.
    pub score: Option<f32>,
    /// How little it knows of the person whose score that is, 0..1, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f32>,
    /// Why its verdict is not a plain one, in one sentence.
    pub reason: Option<String>,
    /// How strongly its own verdict speaks for what it says, where it decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strength: Option<Strength>,
    /// What weakens this detector's answer and not the others'.
    pub caveats: Vec<CaveatCode>,
}

impl From<&Report> for Opinion {
    /// The opinion of the one detector that the report is of.
    fn from(report: &Report) -> Self {
        Self {
            model: report.model.clone(),
            verdict: report.verdict,
            score: report.score,
            uncertainty: report.uncertainty,
            reason: report.reason.clone(),
            strength: report.strength.clone(),
            caveats: report.caveats.iter().map(|caveat| caveat.code).filter(|code| is_own(*code)).collect(),
        }
    }
}

/// Whether a caveat follows from the detector, or from what it made of the faces, and not from the input alone.
fn is_own(code: CaveatCode) -> bool {
    code.is_of_detector() || code == CaveatCode::PartLikelyFake
}

/// One report of several detectors' reports on the same frames and faces. Without `others` it is the first as it is.
///
/// Verdict and reason are those of [`joint_verdict`], and `uncertain` where the detectors did not score the same people.
/// The score is the mean of the detectors' scores, for sorting: it has no thresholds and decides nothing. How uncertain one
/// of them is stands in its opinion. Model, tracks
/// and frames remain those of the first. Caveats are those of all; the detectors' own say whose they are.
pub fn join(first: Report, others: &[Report]) -> Report {
    if others.is_empty() {
        return first;
    }
    let opinions: Vec<Opinion> = core::iter::once(&first).chain(others).map(Opinion::from).collect();
    let (mut verdict, mut reason) = joint_verdict(&opinions);
    if verdict.is_decided() && others.iter().any(|other| scored(other).ne(scored(&first))) {
        verdict = Verdict::Uncertain;
        reason = Some(format!("the detectors scored different people: {}", said(&opinions)));
    } else if verdict == Verdict::LikelyFake && others.iter().any(|other| suspect(other) != suspect(&first)) {
        reason = Some("the detectors suspect different people the most".to_string());
    }
    let score = mean(opinions.iter().filter_map(|opinion| opinion.score));
    let caveats = joint_caveats(&first, others, &names(&opinions));
    let strength = verdict.is_decided().then(Strength::of_several);
    Report { verdict, score, uncertainty: None, reason, strength, caveats, opinions, ..first }
}

/// What several detectors say together, and why where that is not plain.
///
/// All `likely_fake`: `likely_fake`. All `likely_real`: `likely_real`. All `no_face`: `no_face`. Anything else is
/// `uncertain`, and the reason says who said what. An untrained detector's own verdict is never another than `uncertain`
/// or `no_face`, so none is decided by it.
pub fn joint_verdict(opinions: &[Opinion]) -> (Verdict, Option<String>) {
    let Some(first) = opinions.first() else {
        return (Verdict::Uncertain, Some("no detector was asked".to_string()));
    };
    if opinions.iter().any(|opinion| opinion.verdict != first.verdict) {
        return (Verdict::Uncertain, Some(format!("the detectors disagree: {}", said(opinions))));
    }
    let is_shared = opinions.iter().all(|opinion| opinion.reason == first.reason);
    if first.verdict == Verdict::Uncertain && !is_shared {
        return (Verdict::Uncertain, Some(format!("no detector decides: {}", said(opinions))));
    }
    (first.verdict, opinions.iter().find_map(|opinion| opinion.reason.clone()))
}

/// What to call the detectors: by their names, with the beginning of a file's SHA-256 where two have the same.
pub fn names(opinions: &[Opinion]) -> Vec<String> {
    const DIGITS: usize = 8;
    let is_shared = |name: &str| opinions.iter().filter(|opinion| opinion.model.name == name).count() > 1;
    let name = |Opinion { model, .. }: &Opinion| match model.sha256.get(..DIGITS) {
        Some(digits) if is_shared(&model.name) => format!("{} ({digits}…)", model.name),
        _ => model.name.clone(),
    };
    opinions.iter().map(name).collect()
}

/// Who said what, as the rest of a sentence: "one says likely fake (0.91), other uncertain (0.52)".
fn said(opinions: &[Opinion]) -> String {
    let part = |(index, (opinion, name)): (usize, (&Opinion, String))| {
        let says = if index == 0 { " says" } else { "" };
        let score = opinion.score.map_or("no score".to_string(), |score| format!("{score:.2}"));
        let untrained = if opinion.model.training == TrainingStatus::Untrained { ", untrained" } else { "" };
        format!("{name}{says} {} ({score}{untrained})", opinion.verdict.words())
    };
    let parts: Vec<String> = opinions.iter().zip(names(opinions)).enumerate().map(part).collect();
    parts.join(", ")
}

/// The people whom a report scores.
fn scored(report: &Report) -> impl Iterator<Item = usize> + '_ {
    report.tracks.iter().filter(|track| track.score.is_some()).map(|track| track.id)
}

/// Whose score is the report's.
fn suspect(report: &Report) -> Option<usize> {
    report.deciding_track().map(|track| track.id)
}

fn mean(scores: impl Iterator<Item = f32>) -> Option<f32> {
    let (sum, count) = scores.fold((0.0, 0), |(sum, count), score| (sum + f64::from(score), count + 1));
    (count > 0).then(|| (sum / f64::from(count)) as f32)
}

/// The caveats of all, each code once: of the input in the words of whoever has it first, of detectors in those of each
/// with its name in front.
fn joint_caveats(first: &Report, others: &[Report], names: &[String]) -> Vec<Caveat> {
    let mut joint: Vec<Caveat> = Vec::new();
    for (report, name) in core::iter::once(first).chain(others).zip(names) {
        for Caveat { code, words } in &report.caveats {
            let words = if is_own(*code) { format!("with {name}: {words}") } else { words.clone() };
            match joint.iter_mut().find(|caveat| caveat.code == *code) {
                Some(known) if is_own(*code) => known.words = format!("{}; {words}", known.words),
                Some(_) => {}
                None => joint.push(Caveat::with_words(*code, words)),
            }
        }
    }
    joint.sort_by_key(|caveat| caveat.code);
    joint
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::report::{InputKind, REPORT_VERSION, Timing, TrackReport, VideoSummary};
    use super::*;
    use crate::detector::spec::{Grade, Reliability};

    fn model(name: &str) -> ModelInfo {
        ModelInfo {
            name: name.to_string(),
            sha256: format!("{name:0>64}"),
            training: TrainingStatus::Trained,
            reliability: Reliability { grade: Grade::Weak, words: format!("{name} is weak") },
            error_rates: None,
            measured: None,
        }
    }

    fn opinion(name: &str, verdict: Verdict, score: f32) -> Opinion {
        let score = (verdict != Verdict::NoFace).then_some(score);
        Opinion {
            model: model(name),
            verdict,
            score,
            uncertainty: None,
            reason: None,
            strength: None,
            caveats: Vec::new(),
        }
    }

    fn because(name: &str, reason: &str) -> Opinion {
        Opinion { reason: Some(reason.to_string()), ..opinion(name, Verdict::Uncertain, 0.5) }
    }

    fn untrained(name: &str) -> Opinion {
        let mut opinion = because(name, "the detector is untrained, so its score means nothing");
        opinion.model.training = TrainingStatus::Untrained;
        opinion
    }

    /// The report of one detector on two people, with these scores.
    fn report(name: &str, verdict: Verdict, tracks: [Option<f32>; 2]) -> Report {
        let score = tracks.into_iter().flatten().reduce(f32::max);
        let track = |(id, score)| TrackReport { id, score, uncertainty: None, frames: 8, left_out: None };
        let tracks = tracks.into_iter().enumerate().map(track).collect();
        let caveats =
            vec![CaveatCode::Dark.into(), Caveat::with_words(CaveatCode::WeakDetector, model(name).reliability.words)];
        let (width, height, fps, duration_s) = (64, 48, None, None);
        Report {
            version: REPORT_VERSION,
            input: "clip.mp4".to_string(),
            verdict,
            score,
            uncertainty: None,
            reason: None,
            strength: None,
            caveats,
            opinions: Vec::new(),
            model: model(name),
            video: VideoSummary {
                kind: InputKind::Video,
                width,
                height,
                fps,
                duration_s,
                frames_sampled: 8,
                frame_count: None,
            },
            tracks,
            frames: Vec::new(),
            timing_s: Timing::default(),
        }
    }

    #[test]
    fn detectors_that_all_say_the_same_are_believed() {
        use Verdict::{LikelyFake, LikelyReal, NoFace};
        for verdict in [LikelyFake, LikelyReal, NoFace] {
            let opinions = ["a", "b", "c"].map(|name| opinion(name, verdict, 0.9));
            assert_eq!(joint_verdict(&opinions), (verdict, None));
            assert_eq!(joint_verdict(&opinions[..1]), (verdict, None), "one detector is its own majority");
        }
    }

    #[test]
    fn any_disagreement_is_uncertain_and_the_reason_says_who_said_what() {
        use Verdict::{LikelyFake, LikelyReal, NoFace, Uncertain};
        let verdicts = [LikelyFake, LikelyReal, Uncertain, NoFace];
        for (one, other) in verdicts.iter().flat_map(|one| verdicts.iter().map(move |other| (*one, *other))) {
            let (verdict, _) = joint_verdict(&[opinion("a", one, 0.9), opinion("b", other, 0.9)]);
            assert_eq!(verdict, if one == other { one } else { Uncertain }, "{one:?} and {other:?}");
        }
        let opinions = [opinion("lite", LikelyFake, 0.914), opinion("large", Uncertain, 0.52)];
        let words = "the detectors disagree: lite says likely fake (0.91), large uncertain (0.52)";
        assert_eq!(joint_verdict(&opinions), (Uncertain, Some(words.to_string())));
        let outvoted = ["a", "b", "c"].map(|name| opinion(name, LikelyFake, 0.9));
        let outvoted = [&outvoted[..], &[opinion("d", LikelyReal, 0.1)]].concat();
        assert_eq!(joint_verdict(&outvoted).0, Uncertain, "no majority outvotes anybody");
    }

    #[test]
    fn detectors_without_a_verdict_share_their_reason_or_are_listed() {
        let small = "the face is too small to judge";
        let shared = joint_verdict(&[because("a", small), because("b", small)]);
        assert_eq!(shared, (Verdict::Uncertain, Some(small.to_string())));
        let (verdict, reason) = joint_verdict(&[because("a", "the score lies between"), untrained("b")]);
        let words = "no detector decides: a says uncertain (0.50), b uncertain (0.50, untrained)";
        assert_eq!((verdict, reason.as_deref()), (Verdict::Uncertain, Some(words)));
    }

    #[test]
    fn beside_an_untrained_detector_nothing_is_decided_and_it_is_named_as_such() {
        let (verdict, reason) = joint_verdict(&[opinion("a", Verdict::LikelyFake, 0.99), untrained("fresh")]);
        assert_eq!(verdict, Verdict::Uncertain);
        assert!(
            reason.as_deref().is_some_and(|words| words.ends_with("fresh uncertain (0.50, untrained)")),
            "{reason:?}"
        );
    }

    #[test]
    fn a_note_on_a_plain_verdict_is_kept_and_no_detector_is_no_verdict() {
        let note = Some("one more face was too small".to_string());
        let noted = Opinion { reason: note.clone(), ..opinion("b", Verdict::LikelyReal, 0.1) };
        assert_eq!(joint_verdict(&[opinion("a", Verdict::LikelyReal, 0.1), noted]), (Verdict::LikelyReal, note));
        assert_eq!(joint_verdict(&[]).0, Verdict::Uncertain);
    }

    #[test]
    fn two_detectors_of_one_name_are_told_apart_by_their_files() {
        let mut opinions = ["a", "a", "b"].map(|name| opinion(name, Verdict::LikelyReal, 0.1));
        opinions[0].model.sha256 = "0123456789".to_string();
        assert_eq!(names(&opinions), ["a (01234567…)", "a (00000000…)", "b"]);
    }

    #[test]
    fn one_report_alone_stays_as_it_is_and_writes_no_opinions() {
        let alone = report("a", Verdict::LikelyReal, [Some(0.1), None]);
        assert_eq!(join(alone.clone(), &[]), alone);
        let json = serde_json::to_string(&alone).expect("JSON");
        assert!(!json.contains("opinions"), "{json}");
        assert_eq!(serde_json::from_str::<Report>(&json).expect("a report"), alone);
    }

    #[test]
    fn the_joint_report_has_the_mean_score_all_opinions_and_the_first_ones_tracks() {
        let [one, other] = [("a", 0.75), ("b", 0.875)].map(|(name, score)| {
            let mut report = report(name, Verdict::LikelyFake, [Some(score), None]);
            report.caveats.push(CaveatCode::PartLikelyFake.into());
            report
        });
        let joint = join(one.clone(), core::slice::from_ref(&other));
        assert_eq!((joint.verdict, joint.score, joint.reason), (Verdict::LikelyFake, Some(0.8125), None));
        assert_eq!((&joint.model, &joint.tracks), (&one.model, &one.tracks));
        assert_eq!(joint.opinions, [Opinion::from(&one), Opinion::from(&other)]);
        assert_eq!(joint.opinions[1].caveats, [CaveatCode::WeakDetector, CaveatCode::PartLikelyFake]);
        let words: Vec<&str> = joint.caveats.iter().map(|caveat| caveat.words.as_str()).collect();
        assert_eq!(words[0], CaveatCode::Dark.words(), "what is the input's stands once");
        assert!(
            words[1].starts_with("with a: a part of it") && words[1].contains("; with b: a part of it"),
            "{words:?}"
        );
        assert_eq!(words[2], "with a: a is weak; with b: b is weak");
        assert_eq!(join(one, &[other]).deciding_track().map(|track| track.id), Some(0), "by the first one's score");
    }

    #[test]
    fn detectors_that_scored_different_people_decide_nothing() {
        let one = report("a", Verdict::LikelyFake, [Some(0.9), None]);
        let joint = join(one, &[report("b", Verdict::LikelyFake, [None, Some(0.9)])]);
        assert_eq!(joint.verdict, Verdict::Uncertain);
        assert!(
            joint.reason.as_deref().is_some_and(|words| words.starts_with("the detectors scored different people"))
        );
    }

    #[test]
    fn detectors_that_suspect_different_people_of_one_video_say_so() {
        let one = report("a", Verdict::LikelyFake, [Some(0.9), Some(0.8)]);
        let joint = join(one, &[report("b", Verdict::LikelyFake, [Some(0.1), Some(0.9)])]);
        assert_eq!(joint.verdict, Verdict::LikelyFake);
        assert_eq!(joint.reason.as_deref(), Some("the detectors suspect different people the most"));
    }
}
