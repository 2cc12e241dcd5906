//! What the page says where several detectors judged: `docs/second-opinion.md` has the rule.

use crate::report::{Grade, Model, Opinion, Report, Verdict};
use crate::words;

/// How several detectors come to one verdict.
pub(crate) const RULE: &str = "The joint verdict is likely fake or likely real only where every detector says so by its own \
                               thresholds, and uncertain where they do not agree.";

/// What the figure is that stands beside a joint verdict.
pub(crate) const MEAN: &str = "The figure is the mean of their scores and decides nothing.";

/// How much of a SHA-256 tells detectors of one name apart.
const DIGITS: usize = 8;

/// One detector's answer in words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// What to call the detector.
    pub(crate) detector: String,
    /// The class that colours its verdict.
    pub(crate) class: &'static str,
    pub(crate) verdict: &'static str,
    pub(crate) score: String,
    /// What it is worth, in a word.
    pub(crate) grade: &'static str,
}

/// The answers of all detectors where several judged; else none.
pub(crate) fn answers(report: &Report) -> Vec<Answer> {
    let answer = |(detector, opinion): (String, &Opinion)| {
        let unsure = opinion.uncertainty.map(|uncertainty| format!(", uncertainty {}", words::figure(uncertainty)));
        let score = opinion.score.map_or_else(|| "\u{2013}".to_owned(), words::figure);
        Answer {
            detector,
            class: words::class(opinion.verdict),
            verdict: verdict(opinion.verdict),
            score: score + &unsure.unwrap_or_default(),
            grade: grade(&opinion.model),
        }
    };
    names(report).into_iter().zip(&report.opinions).map(answer).collect()
}

/// A verdict in the words of the reasons that the core gives.
fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyFake => "likely fake",
        Verdict::LikelyReal => "likely real",
        Verdict::Uncertain => "uncertain",
        Verdict::NoFace => "no face",
    }
}

fn grade(model: &Model) -> &'static str {
    match model.reliability.grade {
        Grade::Untrained => "untrained",
        Grade::Uncalibrated => "uncalibrated",
        Grade::Weak => "weak",
        Grade::Calibrated => "calibrated",
    }
}

/// What to call the detectors: by their names, with the beginning of a file's SHA-256 where two have the same.
pub(crate) fn names(report: &Report) -> Vec<String> {
    let is_shared = |name: &str| report.opinions.iter().filter(|opinion| opinion.model.name == name).count() > 1;
    let name = |Opinion { model, .. }: &Opinion| match model.sha256.get(..DIGITS) {
        Some(digits) if is_shared(&model.name) => format!("{} ({digits}\u{2026})", model.name),
        _ => model.name.clone(),
    };
    report.opinions.iter().map(name).collect()
}

/// The detector whose scores the tracks and frames have, where several judged.
pub(crate) fn first(report: &Report) -> Option<String> {
    names(report).into_iter().next()
}

/// What stands beside the mean of several detectors' scores: how many they are, and how many of them are worth little.
pub(crate) fn caveat(report: &Report) -> Option<String> {
    if report.opinions.is_empty() {
        return None;
    }
    let count =
        |wanted: Grade| report.opinions.iter().filter(|opinion| opinion.model.reliability.grade == wanted).count();
    let grades = [(Grade::Weak, "weak"), (Grade::Uncalibrated, "uncalibrated"), (Grade::Untrained, "untrained")];
    let counted = grades.map(|(grade, word)| (count(grade), word)).into_iter().filter(|(count, _)| *count > 0);
    let counted: Vec<String> = counted.map(|(count, word)| format!("{count} {word}")).collect();
    let worth = if counted.is_empty() { String::new() } else { format!(": {}", counted.join(", ")) };
    Some(format!("mean of {} detectors{worth}", report.opinions.len()))
}

/// What the answers of each are worth where they are worth little, a sentence each.
pub(crate) fn warnings(report: &Report) -> Vec<String> {
    let weak = |opinion: &&Opinion| opinion.score.is_some() && words::grade(&opinion.model).is_some();
    said(report, |opinion| Some(opinion).filter(weak).map(|opinion| opinion.model.reliability.words.clone()))
}

/// Why the verdict of each is no plain one, where the joint verdict does not rest on the same, and how often each is wrong.
pub(crate) fn reasons(report: &Report) -> Vec<String> {
    let own = said(report, |opinion| opinion.reason.clone().filter(|reason| report.reason.as_ref() != Some(reason)));
    let rates = said(report, |opinion| opinion.score.and(opinion.model.error_rates.clone()));
    own.into_iter().chain(rates).collect()
}

/// What is to be said of detectors, as sentences that begin with their names.
fn said(report: &Report, words: impl Fn(&Opinion) -> Option<String>) -> Vec<String> {
    let sentence =
        |(name, opinion): (String, &Opinion)| Some(format!("With {name}: {}.", words(opinion)?.trim_end_matches('.')));
    names(report).into_iter().zip(&report.opinions).filter_map(sentence).collect()
}

/// What a joint verdict means for the reader.
pub(crate) fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyFake => {
            "Each detector sees traces that it learnt to take for manipulation. They can be wrong together: look at the \
             frames, find the source, and ask somebody who knows the scene."
        }
        Verdict::LikelyReal => {
            "No detector sees any of the traces that it knows. There are manipulations that none of them knows, and they did \
             not look at the sound, the scene or the claim."
        }
        Verdict::Uncertain => "The detectors together support no verdict in either direction. Treat this as unchecked.",
        Verdict::NoFace => words::meaning(verdict),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{model, two_people};

    fn opinion(name: &str, grade: Grade, verdict: Verdict, score: f64) -> Opinion {
        let model = Model { name: name.to_owned(), sha256: format!("{name:0>64}"), ..model(grade) };
        Opinion { model, verdict, score: Some(score), uncertainty: None, reason: None }
    }

    fn two_opinions() -> Report {
        let mut report = two_people();
        report.opinions = vec![
            opinion("one", Grade::Weak, Verdict::LikelyFake, 0.9),
            opinion("other", Grade::Calibrated, Verdict::Uncertain, 0.5),
        ];
        report
    }

    #[test]
    fn each_detector_has_its_verdict_its_score_and_what_it_is_worth() {
        let mut report = two_opinions();
        report.opinions[1].uncertainty = Some(0.25);
        let answers = answers(&report);
        let said: Vec<[&str; 4]> = answers
            .iter()
            .map(|answer| [answer.detector.as_str(), answer.verdict, answer.score.as_str(), answer.grade])
            .collect();
        assert_eq!(
            said,
            [["one", "likely fake", "0.90", "weak"], ["other", "uncertain", "0.50, uncertainty 0.25", "calibrated"]]
        );
        report.opinions[1].score = None;
        report.opinions[1].uncertainty = None;
        assert_eq!(self::answers(&report)[1].score, "\u{2013}");
    }

    #[test]
    fn detectors_of_one_name_are_told_apart_by_their_files() {
        let mut report = two_opinions();
        report.opinions[1].model.name = "one".to_owned();
        assert_eq!(names(&report), ["one (00000000\u{2026})", "one (00000000\u{2026})"]);
        assert_eq!(first(&two_opinions()).as_deref(), Some("one"));
        assert_eq!(first(&two_people()), None);
    }

    #[test]
    fn a_mean_is_called_one_with_how_many_of_its_detectors_are_worth_little() {
        let mut report = two_opinions();
        assert_eq!(caveat(&report).as_deref(), Some("mean of 2 detectors: 1 weak"));
        report.opinions.push(opinion("third", Grade::Untrained, Verdict::Uncertain, 0.4));
        assert_eq!(caveat(&report).as_deref(), Some("mean of 3 detectors: 1 weak, 1 untrained"));
        assert_eq!(caveat(&two_people()), None);
        assert_eq!(warnings(&report), ["With one: the detector was made up.", "With third: the detector was made up."]);
    }

    #[test]
    fn what_one_says_of_itself_is_said_once_and_with_its_name() {
        let mut report = two_opinions();
        report.reason = Some("the face is small".to_owned());
        report.opinions[0].reason = Some("the face is small".to_owned());
        report.opinions[1].reason = Some("it decides nothing".to_owned());
        report.opinions[1].model.error_rates = Some("of 100 real videos about 1 is called fake".to_owned());
        assert_eq!(
            reasons(&report),
            ["With other: it decides nothing.", "With other: of 100 real videos about 1 is called fake."]
        );
    }

    #[test]
    fn no_joint_verdict_claims_certainty() {
        for verdict in [Verdict::LikelyFake, Verdict::LikelyReal, Verdict::Uncertain, Verdict::NoFace] {
            let text = meaning(verdict).to_lowercase();
            assert!(!text.contains("is fake") && !text.contains("is real") && !text.contains("authentic"), "{text}");
        }
    }
}
