//! From the scores of tracks to a verdict that says how much it rests on.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::report::{Unused, Verdict};
use crate::detector::spec::{Calibration, TrainingStatus};
use crate::face::quality::CropQuality;

/// Distance between the eyes below which a face has too few pixels for traces of manipulation: that of a face some 33
/// pixels wide.
pub const MIN_EYE_DISTANCE: f32 = 14.0;

/// Sharpness (see [`crate::face::quality::sharpness`]) below which a crop is too blurred to judge: the crops of 128
/// clips and 1,777 press photographs measured 18 and more; half of the clips' fell below this limit under a Gaussian blur
/// of 4 of 256 pixels, and all but one under 6.
pub const MIN_SHARPNESS: f32 = 8.0;

/// Frames of a video that a face must be seen in.
pub const MIN_FRAMES: usize = 4;

/// Mean luma of faces (see [`crate::face::quality::brightness`]) below which they are very dark: those of 128 clips and
/// 1,777 press photographs measured 46 and more, those of the same clips darkened to 8 % less than 16. A third falls below it
/// under a gamma of 0.35, which leaves light faces light.
pub const MIN_BRIGHTNESS: f32 = 40.0;

/// Fine detail of faces (see [`crate::face::fineness::fineness`]) below which they hold less than their size says. None of
/// 128 clips fell below it, and 1 of 103 when encoded once more (x264, CRF 23). Shrunk to a third, enlarged again and so
/// encoded, 79 of them had less than 0.4 of the measured width in real pixels: 89 % fell below it (bicubic; Lanczos 95 %,
/// bilinear 71 %), of those enlarged four times 93 %, twice 39 %. So did 10 % of 8,885 press photographs (LFW), which were
/// turned and resized where they were collected.
pub const MIN_FINENESS: f32 = 0.025;

/// Shading of faces (see [`crate::face::quality::shading`]) below which they look drawn: docs/caveats.md has what was measured.
pub const MIN_SHADING: f32 = 0.3;

/// Degrees by which a face may be turned in its frame and still count as upright: farther than heads are tilted.
pub const MAX_ROLL: f32 = 45.0;

/// What is remembered of a face for judging its track.
pub(super) struct Quality {
    pub(super) track: usize,
    pub(super) eye_distance: f32,
    pub(super) roll_degrees: f32,
    pub(super) crop: CropQuality,
    /// Whether another face of the same frame is far sharper.
    pub(super) is_outshone: bool,
}

/// How good the faces of a track are: medians, which single bad frames do not move.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrackQuality {
    frames: usize,
    eye_distance: f32,
    sharpness: f32,
    brightness: f32,
    fineness: f32,
    shading: f32,
    roll_degrees: f32,
    /// Whether others outshine it in most frames.
    is_outshone: bool,
}

impl TrackQuality {
    /// That of a track with these faces.
    pub(super) fn new(faces: &[&Quality]) -> Self {
        let of = |figure: fn(&Quality) -> f32| median(faces.iter().map(|quality| figure(quality)).collect());
        Self {
            frames: faces.len(),
            eye_distance: of(|quality| quality.eye_distance),
            sharpness: of(|quality| quality.crop.sharpness),
            brightness: of(|quality| quality.crop.brightness),
            fineness: of(|quality| quality.crop.fineness),
            shading: of(|quality| quality.crop.shading),
            roll_degrees: of(|quality| quality.roll_degrees.abs()),
            is_outshone: 2 * faces.iter().filter(|quality| quality.is_outshone).count() > faces.len(),
        }
    }

    /// Whether the faces are very dark.
    pub(super) fn is_dark(&self) -> bool {
        self.brightness < MIN_BRIGHTNESS
    }

    /// Whether the faces hold less detail than their size says.
    pub(super) fn is_upscaled(&self) -> bool {
        self.fineness < MIN_FINENESS
    }

    /// Whether the faces lie on their side or stand upside down.
    pub(super) fn is_turned(&self) -> bool {
        self.roll_degrees > MAX_ROLL
    }

    /// Why this track cannot be judged, if so.
    pub(super) fn left_out(&self, still: bool) -> Option<Unused> {
        if self.eye_distance < MIN_EYE_DISTANCE {
            Some(Unused::TooSmall)
        } else if self.sharpness < MIN_SHARPNESS || self.is_outshone {
            Some(Unused::TooBlurred)
        } else if self.shading < MIN_SHADING {
            Some(Unused::Drawn)
        } else if !still && self.frames < MIN_FRAMES {
            Some(Unused::TooBrief)
        } else {
            None
        }
    }

    /// The same in words.
    pub(super) fn weakness(&self, still: bool) -> Option<String> {
        match self.left_out(still)? {
            Unused::TooSmall => {
                Some(format!("the face is too small to judge (its eyes are {:.0} pixels apart)", self.eye_distance))
            }
            Unused::TooBlurred => Some("the face is too blurred to judge".to_string()),
            Unused::Drawn => Some(
                "the face has even surfaces between sharp lines, as drawings have, or filmed faces after very strong compression \
                 or in glaring light"
                    .to_string(),
            ),
            Unused::TooBrief => {
                let frames = if self.frames == 1 { "1 frame".to_string() } else { format!("{} frames", self.frames) };
                Some(format!("the face is seen in only {frames}, which is too few to judge"))
            }
            Unused::NoFace | Unused::OtherPerson => None,
        }
    }
}

/// What one track says.
pub(super) struct Evidence {
    pub(super) score: f32,
    /// How little the detector knows of it, if it says so.
    pub(super) uncertainty: Option<f32>,
    pub(super) quality: TrackQuality,
}

impl Evidence {
    /// No verdict, because of this track.
    fn uncertain(&self, reason: String) -> Judgement {
        let Self { score, uncertainty, .. } = *self;
        Judgement { verdict: Verdict::Uncertain, score: Some(score), uncertainty, reason: Some(reason) }
    }
}

/// The verdict with its figure and reason.
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) score: Option<f32>,
    /// That of the track whose score it is.
    pub(super) uncertainty: Option<f32>,
    pub(super) reason: Option<String>,
}

/// Judges a video by its tracks: one manipulated person makes a manipulated video, so the highest score among the
/// tracks that can be judged counts. Where a detector says that it knows too little of one of those, that person may be
/// the manipulated one, so only another's high score decides.
pub(super) fn judge(
    tracks: &[Evidence],
    calibration: &Calibration,
    training: TrainingStatus,
    frames: usize,
    still: bool,
) -> Judgement {
    let Some(any) = highest(tracks) else {
        let reason = match frames {
            0 => "no frame could be looked at".to_string(),
            1 => "no face was found".to_string(),
            _ => format!("no face was found in any of the {frames} frames looked at"),
        };
        return Judgement { verdict: Verdict::NoFace, score: None, uncertainty: None, reason: Some(reason) };
    };
    // Sessions refuse such scores; should one come all the same, every comparison below would be false.
    if tracks.iter().any(|track| !(0.0..=1.0).contains(&track.score)) {
        let reason = "the detector gave something else than a score from 0 to 1".to_string();
        return Judgement { verdict: Verdict::Uncertain, score: None, uncertainty: None, reason: Some(reason) };
    }
    let (weak, judged): (Vec<&Evidence>, Vec<&Evidence>) =
        tracks.iter().partition(|track| track.quality.weakness(still).is_some());
    let best = highest(judged.iter().copied());
    if training == TrainingStatus::Untrained {
        return best.unwrap_or(any).uncertain("the detector is untrained, so its score means nothing".to_string());
    }
    let Some(best) = best else { return any.uncertain(any.quality.weakness(still).unwrap_or_default()) };
    let Calibration { real_below, fake_above, .. } = *calibration;
    let (unknown, known): (Vec<&Evidence>, Vec<&Evidence>) =
        judged.into_iter().partition(|track| knows_too_little(track.uncertainty, calibration));
    let suspect = highest(known).filter(|track| track.score >= fake_above);
    if let (None, Some(unknown)) = (suspect, highest(unknown)) {
        let limit = calibration.uncertainty_limit();
        let uncertainty = above(unknown.uncertainty.unwrap_or_default(), limit);
        return unknown.uncertain(format!(
            "the detector has too little evidence to judge the face (its uncertainty of {uncertainty} is above {limit})"
        ));
    }
    let decides = suspect.unwrap_or(best);
    let verdict = by_score(decides.score, decides.uncertainty, calibration);
    if verdict == Verdict::Uncertain {
        return decides
            .uncertain(format!("the score lies between {real_below} and {fake_above}, where it decides nothing"));
    }
    let reason = (!weak.is_empty()).then(|| match weak.len() {
        1 => "one more face was too small, too blurred, drawn or seen too briefly to judge".to_string(),
        left_out => format!("{left_out} more faces were too small, too blurred, drawn or seen too briefly to judge"),
    });
    Judgement { verdict, score: Some(decides.score), uncertainty: decides.uncertainty, reason }
}

/// Whether a detector knows too little of a person to judge them.
fn knows_too_little(uncertainty: Option<f32>, calibration: &Calibration) -> bool {
    uncertainty.is_some_and(|uncertainty| uncertainty > calibration.uncertainty_limit())
}

/// The verdict on one person of whom nothing is known but what the detector says: by its thresholds, and uncertain where its
/// uncertainty is above its limit.
///
/// ```
/// use unmask_core::detector::spec::Calibration;
/// use unmask_core::pipeline::report::Verdict;
/// use unmask_core::pipeline::verdict::by_score;
/// let calibration = Calibration { uncertain_above: Some(0.3), ..Calibration::default() };
/// assert_eq!(by_score(0.9, Some(0.3), &calibration), Verdict::LikelyFake);
/// assert_eq!(by_score(0.9, Some(0.4), &calibration), Verdict::Uncertain);
/// assert_eq!(by_score(0.5, None, &calibration), Verdict::Uncertain);
/// ```
pub fn by_score(score: f32, uncertainty: Option<f32>, calibration: &Calibration) -> Verdict {
    match score {
        _ if knows_too_little(uncertainty, calibration) => Verdict::Uncertain,
        score if score >= calibration.fake_above => Verdict::LikelyFake,
        score if score <= calibration.real_below => Verdict::LikelyReal,
        _ => Verdict::Uncertain,
    }
}

/// `value`, which is above `limit`, with as many decimals as tell the two apart, and three at least.
fn above(value: f32, limit: f32) -> String {
    let tells = |text: &String| text.parse::<f32>().is_ok_and(|shown| shown > limit);
    // So many digits tell any two numbers of 32 bits apart; the shortest text that is this very number does, too.
    (3..=9).map(|digits| format!("{value:.digits$}")).find(tells).unwrap_or_else(|| value.to_string())
}

/// The track with the highest score.
fn highest<'a>(tracks: impl IntoIterator<Item = &'a Evidence>) -> Option<&'a Evidence> {
    tracks.into_iter().max_by(|a, b| a.score.total_cmp(&b.score))
}

/// The middle value (the upper of two); 0 for none.
fn median(mut values: Vec<f32>) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn good(score: f32) -> Evidence {
        Evidence { score, uncertainty: None, quality: GOOD }
    }

    const GOOD: TrackQuality = TrackQuality {
        frames: 32,
        eye_distance: 60.0,
        sharpness: 1000.0,
        brightness: 120.0,
        fineness: 0.2,
        shading: 0.5,
        roll_degrees: 5.0,
        is_outshone: false,
    };

    fn verdict(tracks: &[Evidence]) -> (Verdict, Option<f32>, String) {
        let judged = judge(tracks, &Calibration::default(), TrainingStatus::Trained, 32, false);
        (judged.verdict, judged.score, judged.reason.unwrap_or_default())
    }

    #[test]
    fn clear_scores_of_good_faces_give_plain_verdicts() {
        assert_eq!(verdict(&[good(0.9)]), (Verdict::LikelyFake, Some(0.9), String::new()));
        assert_eq!(verdict(&[good(0.1)]), (Verdict::LikelyReal, Some(0.1), String::new()));
    }

    #[test]
    fn one_fake_face_among_real_ones_makes_the_video_fake() {
        assert_eq!(verdict(&[good(0.1), good(0.9), good(0.2)]).0, Verdict::LikelyFake);
    }

    #[test]
    fn a_score_between_the_thresholds_is_uncertain_and_says_so() {
        let (verdict, score, reason) = verdict(&[good(0.5)]);
        assert_eq!((verdict, score), (Verdict::Uncertain, Some(0.5)));
        assert!(reason.contains("between"), "{reason}");
    }

    #[test]
    fn small_blurred_drawn_and_brief_faces_are_uncertain_each_with_its_reason() {
        let weak = [
            (TrackQuality { eye_distance: 10.0, ..GOOD }, "small"),
            (TrackQuality { sharpness: 0.0, ..GOOD }, "blurred"),
            (TrackQuality { is_outshone: true, ..GOOD }, "blurred"),
            (TrackQuality { shading: 0.2, ..GOOD }, "drawings"),
            (TrackQuality { frames: 1, ..GOOD }, "only 1 frame"),
        ];
        for (quality, word) in weak {
            let (verdict, score, reason) = verdict(&[Evidence { score: 0.9, uncertainty: None, quality }]);
            assert_eq!((verdict, score), (Verdict::Uncertain, Some(0.9)));
            assert!(reason.contains(word), "{reason}");
        }
    }

    #[test]
    fn one_frame_is_enough_for_a_still_image() {
        let track = [Evidence { score: 0.9, uncertainty: None, quality: TrackQuality { frames: 1, ..GOOD } }];
        let judged = judge(&track, &Calibration::default(), TrainingStatus::Trained, 1, true);
        assert_eq!(judged.verdict, Verdict::LikelyFake);
    }

    #[test]
    fn what_is_no_score_from_0_to_1_never_becomes_a_verdict() {
        for score in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.5, -0.1] {
            for tracks in [vec![good(score)], vec![good(0.1), good(score)], vec![good(score), good(0.9)]] {
                let (verdict, score, reason) = verdict(&tracks);
                assert_eq!((verdict, score), (Verdict::Uncertain, None));
                assert!(reason.contains("something else"), "{reason}");
            }
        }
    }

    #[test]
    fn no_face_is_not_real() {
        assert_eq!(verdict(&[]).0, Verdict::NoFace);
        assert_eq!(verdict(&[]).1, None);
    }

    #[test]
    fn an_untrained_detector_never_decides() {
        let judged = judge(&[good(0.99)], &Calibration::default(), TrainingStatus::Untrained, 32, false);
        assert_eq!(judged.verdict, Verdict::Uncertain);
        assert!(judged.reason.unwrap_or_default().contains("untrained"));
    }

    #[test]
    fn a_face_of_which_the_detector_knows_too_little_is_uncertain_whatever_its_score() {
        let unsure = |score, uncertainty| Evidence { uncertainty: Some(uncertainty), ..good(score) };
        let calibration = Calibration { uncertain_above: Some(0.3), ..Calibration::default() };
        let judged = |tracks: &[Evidence]| judge(tracks, &calibration, TrainingStatus::Trained, 32, false);
        for score in [0.1, 0.5, 0.9] {
            let judgement = judged(&[unsure(score, 0.4)]);
            assert_eq!((judgement.verdict, judgement.score), (Verdict::Uncertain, Some(score)));
            assert_eq!(judgement.uncertainty, Some(0.4));
            let reason = judgement.reason.unwrap_or_default();
            assert!(reason.contains("(its uncertainty of 0.400 is above 0.3)"), "{reason}");
        }
        // At the limit it is judged, and without a limit in the file one half is the limit.
        assert_eq!(judged(&[unsure(0.9, 0.3)]).verdict, Verdict::LikelyFake);
        assert_eq!(verdict(&[unsure(0.9, 0.5)]).0, Verdict::LikelyFake);
        assert_eq!(verdict(&[unsure(0.9, 0.51)]).0, Verdict::Uncertain);
    }

    #[test]
    fn an_uncertainty_just_above_the_limit_is_shown_with_the_digits_that_tell_it_apart() {
        for (uncertainty, limit, shown) in [
            (0.4, 0.3, "0.400"),
            (0.5003, 0.5, "0.5003"),
            (0.50003, 0.5, "0.50003"),
            (0.5_f32.next_up(), 0.5, "0.5000001"),
            (0.3_f32.next_up(), 0.3, "0.30000004"),
        ] {
            assert_eq!(above(uncertainty, limit), shown);
        }
    }

    #[test]
    fn beside_a_face_that_is_not_known_enough_another_can_be_likely_fake_and_none_makes_the_video_likely_real() {
        let unsure = |score| Evidence { uncertainty: Some(0.8), ..good(score) };
        let sure = |score| Evidence { uncertainty: Some(0.1), ..good(score) };
        assert_eq!(verdict(&[sure(0.9), unsure(0.95)]), (Verdict::LikelyFake, Some(0.9), String::new()));
        for other in [0.05, 0.2] {
            let (verdict, score, reason) = verdict(&[sure(0.1), unsure(other)]);
            assert_eq!((verdict, score), (Verdict::Uncertain, Some(other)));
            assert!(reason.contains("too little evidence"), "{reason}");
        }
        // Whoever is too small to judge is left out whatever is known of them.
        let small = Evidence { quality: TrackQuality { eye_distance: 10.0, ..GOOD }, ..unsure(0.9) };
        assert_eq!(verdict(&[sure(0.1), small]).0, Verdict::LikelyReal);
    }
}
