//! What the page says in plain words.

use crate::report::{Report, Verdict};

/// The verdict in a few words; never without the figure beside it.
pub(crate) fn headline(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyFake => "Probably manipulated",
        Verdict::LikelyReal => "No sign of manipulation",
        Verdict::Uncertain => "Cannot tell",
        Verdict::NoFace => "No face to judge",
    }
}

/// What the verdict means for the reader.
pub(crate) fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyFake => {
            "The detector sees traces that it learnt to take for manipulation. It can be wrong: look at the frames below, \
             find the source, and ask somebody who knows the scene."
        }
        Verdict::LikelyReal => {
            "The detector sees none of the traces that it knows. It does not know all manipulations, and it did not look \
             at the sound, the scene or the claim."
        }
        Verdict::Uncertain => "The score does not support a verdict in either direction. Treat the video as unchecked.",
        Verdict::NoFace => {
            "Nothing was judged, because no face was found in the frames that were looked at. That does not make the video real."
        }
    }
}

/// The class that colours the verdict; words and an icon say the same without colour.
pub(crate) fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::LikelyFake => "fake",
        Verdict::LikelyReal => "real",
        Verdict::Uncertain => "uncertain",
        Verdict::NoFace => "none",
    }
}

/// A score with two digits.
pub(crate) fn figure(score: f64) -> String {
    format!("{score:.2}")
}

/// `m:ss.t` of a time in seconds.
pub(crate) fn clock(seconds: f64) -> String {
    let tenths = (seconds * 10.0).round() as u64;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

/// What a report rests on, as one sentence.
pub(crate) fn basis(report: &Report) -> String {
    let scored = report.frames.iter().filter(|frame| frame.faces.iter().any(|face| face.score.is_some())).count();
    let of = match report.video.duration_s {
        Some(duration) => format!("{} frames spread over {}", report.video.frames_sampled, clock(duration)),
        None => "the picture".to_owned(),
    };
    let people = match report.tracks.len() {
        0 => "nobody was seen".to_owned(),
        1 => format!("one person was seen, with a face to score in {scored}"),
        count => format!("{count} people were seen, with a face to score in {scored}"),
    };
    format!("Of {of}, {people}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_minutes_seconds_and_tenths() {
        assert_eq!(clock(0.0), "0:00.0");
        assert_eq!(clock(59.96), "1:00.0");
        assert_eq!(clock(754.32), "12:34.3");
    }

    #[test]
    fn no_verdict_claims_certainty() {
        for verdict in [Verdict::LikelyFake, Verdict::LikelyReal, Verdict::Uncertain, Verdict::NoFace] {
            let text = format!("{} {}", headline(verdict), meaning(verdict)).to_lowercase();
            assert!(!text.contains("is fake") && !text.contains("is real") && !text.contains("authentic"), "{text}");
        }
    }
}
