//! What a page says in words: the verdict, what it rests on, what it cannot know.

use unmask_core::detector::spec::DetectorSpec;
use unmask_core::pipeline::report::{InputKind, Report, TrackReport, Verdict};
use unmask_core::pipeline::strength::StrengthLevel;

use super::figures::{clock, count, figure, spread, threshold};
use super::second;
use crate::opinions;

/// A verdict for people.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct VerdictWords {
    /// Names its colour and its mark.
    pub(super) class: &'static str,
    /// In two words.
    pub(super) title: &'static str,
    /// In a sentence or two.
    pub(super) lead: String,
    /// A reservation.
    pub(super) note: Option<String>,
}

/// The verdict of a report in words.
pub(super) fn verdict(report: &Report, spec: &DetectorSpec) -> VerdictWords {
    let (class, title) = heading(report.verdict);
    let subject = subject(report);
    let reason = report.reason.as_deref();
    let why = reason.map_or_else(|| "it gives no reason".to_owned(), str::to_owned);
    let lead = match (report.verdict, report.score) {
        _ if report.verdict.is_decided() && !report.opinions.is_empty() => second::lead(report, subject),
        (Verdict::LikelyFake, Some(score)) => format!(
            "The detector believes that the face was manipulated: its score of {} is at or above {}, from where it \
             calls {subject} likely fake.",
            figure(score),
            threshold(spec.calibration.fake_above),
        ),
        (Verdict::LikelyReal, Some(score)) => format!(
            "The detector found no trace of a manipulation that it knows: its score of {} is at or below {}, up to where \
             it calls {subject} likely real.",
            figure(score),
            threshold(spec.calibration.real_below),
        ),
        (Verdict::NoFace, _) => {
            format!("There was nothing to judge: {why}. That does not mean that {subject} is real.")
        }
        _ => format!("This report decides nothing: {why}."),
    };
    let note = reason.filter(|_| report.verdict.is_decided()).map(|reason| format!("Note: {reason}."));
    VerdictWords { class, title, lead, note }
}

/// The class and the title of a verdict.
pub(super) fn heading(verdict: Verdict) -> (&'static str, &'static str) {
    match verdict {
        Verdict::LikelyFake => ("fake", "Likely fake"),
        Verdict::LikelyReal => ("real", "Likely real"),
        Verdict::Uncertain => ("uncertain", "Uncertain"),
        Verdict::NoFace => ("none", "No face"),
    }
}

/// What the verdict rests on, a sentence or two each.
pub(super) fn rests_on(report: &Report, spec: &DetectorSpec) -> Vec<String> {
    let mut points = vec![looked_at(report)];
    points.extend(report.deciding_track().and_then(|track| {
        let scores = scores_of(report, track.id);
        (scores.len() > 1).then(|| agreement(report, track, &scores))
    }));
    points.extend(others(report));
    let clip = spec.clip_length();
    let first = opinions::first(report);
    if clip > 1 && !report.tracks.is_empty() {
        let who = first.as_ref().map_or("The detector".to_owned(), |name| format!("The detector {name}"));
        points.push(format!("{who} judges {clip} frames together, so the frames of one such clip share a score."));
    }
    if report.score.is_some() && first.is_none() {
        points.push(sentence(&report.model.reliability.words));
        points.extend(report.model.error_rates.as_deref().map(sentence));
    } else if report.score.is_some() {
        let said = opinions::worth(report).into_iter().chain(opinions::error_rates(report));
        points.extend(said.map(|words| sentence(&words)));
    }
    points
}

/// How little the detector knows, in a sentence, where it says so.
pub(super) fn uncertainty(report: &Report, spec: &DetectorSpec) -> Option<String> {
    let uncertainty = report.uncertainty.filter(|_| report.opinions.is_empty())?;
    Some(format!(
        "Uncertainty {}: how little evidence the detector has, from 0 to 1. Above {} it judges nobody, whatever the score.",
        figure(uncertainty),
        threshold(spec.calibration.uncertainty_limit()),
    ))
}

/// How strong the answer is, in a word or two and in a sentence; of several detectors what is known of them together.
pub(super) fn strength(report: &Report) -> Option<(String, String)> {
    let strength = report.strength.as_ref()?;
    let level = match strength.level {
        StrengthLevel::Unknown => "not known".to_owned(),
        StrengthLevel::None => "not shown".to_owned(),
        level => format!("{} support", level.words()),
    };
    Some((level, sentence(&strength.words)))
}

/// What no such report can know.
pub(super) fn cannot_know(report: &Report) -> Vec<String> {
    let of_scores = [
        "Manipulations unlike those the detector was trained on. It may pass over them, above all what newer generators make.",
        "Whether what it reacts to is a forgery. Strong compression, filters, retouching, poor light, and faces unlike those \
         it was trained on mislead it, in either direction.",
    ];
    let of_nobody = ["Faces that were not found: small ones, turned away, covered or in the dark."];
    let others = "Anything but faces: voices, words, the scene, and where the recording comes from. Real footage can be told \
                  with a false story.";
    let own: &[&str] = if report.verdict == Verdict::NoFace { &of_nobody } else { &of_scores };
    let mut points: Vec<String> = own.iter().chain([&others]).map(|point| (*point).to_owned()).collect();
    if report.video.kind != InputKind::Still {
        points.push("The frames between those that were looked at.".to_owned());
    }
    points
}

/// What was judged, as the rest of a sentence names it.
fn subject(report: &Report) -> &'static str {
    match report.video.kind {
        InputKind::Still => "the picture",
        InputKind::Frames | InputKind::Video => "the video",
        InputKind::Live => "the live picture",
    }
}

fn looked_at(report: &Report) -> String {
    let (frames, seen) = (report.frames.len(), report.frames.iter().filter(|frame| !frame.faces.is_empty()).count());
    let (Some(first), Some(last)) = (report.frames.first(), report.frames.last()) else {
        return "No frame could be looked at.".to_owned();
    };
    if report.video.kind == InputKind::Still {
        return if seen == 0 { "The picture; no face was found in it." } else { "The picture, with a face in it." }
            .to_owned();
    }
    let spread = match report.video.kind {
        InputKind::Live => "as they came",
        _ => "evenly spread",
    };
    match (frames, seen) {
        (1, 0) => "One frame; no face was found in it.".to_owned(),
        (1, _) => "One frame, with a face in it.".to_owned(),
        _ => format!(
            "{} from {} to {}, {spread}; a face was found in {}.",
            count(frames, "frame"),
            clock(first.time_s),
            clock(last.time_s),
            match seen {
                0 => "none".to_owned(),
                seen if seen == frames => "each".to_owned(),
                seen => format!("{seen} of them"),
            },
        ),
    }
}

/// Words that begin a sentence and end it.
pub(super) fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// How well the scores of a track agree with each other.
fn agreement(report: &Report, track: &TrackReport, scores: &[f32]) -> String {
    let [least, low, high, most] = spread(scores);
    let person = if report.tracks.len() > 1 { format!(" of person {}", track.id + 1) } else { String::new() };
    let by = opinions::first(report).map_or(String::new(), |name| format!(" by {name}"));
    format!(
        "{}{person}{by}. Their mean counts; they run from {} to {}, the middle half of them from {} to {}.",
        count(scores.len(), "scored face"),
        figure(least),
        figure(most),
        figure(low),
        figure(high),
    )
}

/// Who else is in the picture.
fn others(report: &Report) -> Option<String> {
    let scored = report.tracks.iter().filter(|track| track.score.is_some()).count();
    match (scored, report.tracks.len() - scored) {
        (2.., 0) => Some("Everybody was scored; of those who are large, sharp and frequent enough to be judged, the most suspicious decides.".to_owned()),
        (_, 0) => None,
        (_, others) => Some(format!(
            "{} more {} followed and not scored: the person whose sharp face fills most of the frames counts.",
            others,
            if others == 1 { "face was" } else { "faces were" },
        )),
    }
}

/// The scores of a track's faces in order of time.
pub(super) fn scores_of(report: &Report, track: usize) -> Vec<f32> {
    let faces = report.frames.iter().flat_map(|frame| &frame.faces);
    faces.filter(|face| face.track == track).filter_map(|face| face.score).collect()
}

/// The tracks that have scores, with these: whoever decides first, then by their scores.
pub(super) fn scored(report: &Report) -> Vec<(usize, f32)> {
    let decides = report.deciding_track().map(|track| track.id);
    let mut scored: Vec<_> = report.tracks.iter().filter_map(|track| Some((track.id, track.score?))).collect();
    scored.sort_by(|(a, one), (b, other)| {
        (Some(*b) == decides).cmp(&(Some(*a) == decides)).then_with(|| other.total_cmp(one))
    });
    scored
}
