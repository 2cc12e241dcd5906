//! The page of one input: what the template shows, made of a report.

use askama::Template;
use unmask_core::detector::spec::{DetectorSpec, Grade};
use unmask_core::pipeline::report::{InputKind, ModelInfo, Report, TrackReport, Verdict, VideoSummary};

use super::domain;
use super::facts::{self, Facts};
use super::figures::{clock, figure, percent, spread, threshold};
use super::frame_use::{self, FrameRow};
use super::pictures::{EXTREMES, Pictures, ScoredFace};
use super::second::Opinions;
use super::signed::Signed;
use super::timeline::{Timeline, timeline};
use super::words::{self, VerdictWords, scores_of};
use crate::credentials::Credentials;
use crate::provenance::Provenance;

/// People whose faces are shown at most.
const MAX_SHOWN: usize = 4;
/// Frames shown where there is no face, so that a reader can see for themselves.
const FRAMES_WITHOUT_FACE: usize = 3;
/// How long the region at an end of the scale is, in parts of one, if a word goes below it beside the threshold.
const END_ROOM: f64 = 0.2;

/// Everything that a page is made of.
pub(super) struct Subject<'a> {
    pub(super) report: &'a Report,
    pub(super) spec: &'a DetectorSpec,
    pub(super) pictures: &'a Pictures,
    /// What the input is called in headings.
    pub(super) title: &'a str,
    /// What the file says under a signature, where somebody looked.
    pub(super) credentials: Option<&'a Credentials>,
    /// Where the report comes from, where that is known.
    pub(super) provenance: Option<&'a Provenance>,
    /// When it was judged.
    pub(super) made: &'a str,
    /// Name of the file beside the page with the same figures.
    pub(super) json: &'a str,
}

#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page<'a> {
    title: &'a str,
    made: &'a str,
    json: &'a str,
    byline: String,
    verdict: VerdictWords,
    untrained: bool,
    caveats: Vec<String>,
    scale: Option<Scale>,
    uncertainty: Option<String>,
    strength: Option<(String, String)>,
    opinions: Option<Opinions>,
    rests_on: Vec<String>,
    cannot_know: Vec<String>,
    domain: Vec<String>,
    signed: Option<Signed>,
    timeline: Option<Timeline>,
    frames: Vec<FramePicture>,
    faces: Vec<FaceRow>,
    /// Whether faces have maps.
    has_heat: bool,
    people: Vec<Person>,
    frame_use: Vec<FrameRow>,
    facts: Vec<Facts>,
}

/// The score between 0 and 1, with the thresholds.
pub(super) struct Scale {
    pub(super) score: String,
    pub(super) at: String,
    pub(super) real_below: String,
    pub(super) real_at: String,
    pub(super) fake_above: String,
    pub(super) fake_at: String,
    pub(super) band: String,
    pub(super) fake_width: String,
    /// Whether the words at the ends have room beside the thresholds.
    pub(super) has_room: [bool; 2],
}

/// A whole frame with boxes.
struct FramePicture {
    url: String,
    width: usize,
    height: usize,
    letters: usize,
    caption: String,
    boxes: Vec<FaceBox>,
}

struct FaceBox {
    bounds: [f32; 4],
    label: String,
    scored: bool,
    label_y: f32,
}

/// Faces of one person at one end of the scores.
struct FaceRow {
    title: String,
    faces: Vec<FacePicture>,
}

struct FacePicture {
    url: String,
    time: String,
    score: String,
    alt: String,
    heat: Option<HeatPicture>,
}

/// Where the detector looked in a face.
struct HeatPicture {
    url: String,
    alt: String,
}

/// A row in the table of people.
struct Person {
    name: String,
    frames: String,
    span: String,
    score: Option<[String; 3]>,
}

impl<'a> Page<'a> {
    pub(super) fn new(subject: &Subject<'a>) -> Self {
        let Subject { report, spec, pictures, .. } = *subject;
        let faces = faces(report, pictures);
        Self {
            title: subject.title,
            made: subject.made,
            json: subject.json,
            byline: byline(&report.video),
            verdict: words::verdict(report, spec),
            untrained: is_untrained(report),
            caveats: report.caveats.iter().map(|caveat| words::sentence(&caveat.words)).collect(),
            scale: scale(report, spec),
            uncertainty: words::uncertainty(report, spec),
            strength: words::strength(report),
            opinions: Opinions::of(report),
            rests_on: words::rests_on(report, spec),
            cannot_know: words::cannot_know(report),
            domain: domain::words(report),
            signed: subject.credentials.map(Signed::new),
            timeline: timeline(report, &spec.calibration),
            frames: frames(report, pictures),
            has_heat: faces.iter().any(|row| row.faces.iter().any(|face| face.heat.is_some())),
            faces,
            people: report.tracks.iter().map(|track| person(report, track)).collect(),
            frame_use: subject.provenance.map_or_else(Vec::new, |provenance| frame_use::rows(&provenance.frames)),
            facts: facts::groups(subject),
        }
    }
}

/// Whether no detector that scored is trained.
fn is_untrained(report: &Report) -> bool {
    let mut models = models(report);
    models.all(|model| model.reliability.grade == Grade::Untrained)
}

/// The detectors that scored, the first that was named first.
pub(super) fn models(report: &Report) -> impl Iterator<Item = &ModelInfo> {
    let others = report.opinions.iter().skip(1).map(|opinion| &opinion.model);
    std::iter::once(&report.model).chain(others)
}

/// The score on its scale; none without a face, and none of several detectors, whose thresholds differ.
pub(super) fn scale(report: &Report, spec: &DetectorSpec) -> Option<Scale> {
    let score = report.score.filter(|_| report.opinions.is_empty())?;
    let calibration = &spec.calibration;
    let [real, fake] = [calibration.real_below, calibration.fake_above].map(f64::from);
    Some(Scale {
        score: figure(score),
        at: percent(f64::from(score)),
        real_below: threshold(calibration.real_below),
        real_at: percent(real),
        fake_above: threshold(calibration.fake_above),
        fake_at: percent(fake),
        band: percent(fake - real),
        fake_width: percent(1.0 - fake),
        has_room: [real, 1.0 - fake].map(|end| end >= END_ROOM),
    })
}

fn byline(video: &VideoSummary) -> String {
    let size = format!("{} × {} pixels", video.width, video.height);
    let length = video.duration_s.map(|seconds| format!(", {seconds:.1} seconds"));
    let rate = video.fps.map(|fps| format!(", {} frames a second", rounded(fps)));
    format!("{size}{}{}", length.unwrap_or_default(), rate.unwrap_or_default())
}

/// Up to two decimals, none where they are zeros.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The frame in which the person who decides has the highest score; without a face, a few frames spread over the input.
fn frames(report: &Report, pictures: &Pictures) -> Vec<FramePicture> {
    if report.verdict == Verdict::NoFace {
        let kept: Vec<usize> = pictures.kept_frames().collect();
        let shown = FRAMES_WITHOUT_FACE.min(kept.len());
        let spread = (0..shown).map(|index| kept[(2 * index + 1) * kept.len() / (2 * shown)]);
        return spread.filter_map(|index| frame_picture(report, pictures, index, "A frame without a face")).collect();
    }
    let Some(track) = report.deciding_track().map(|track| track.id) else { return Vec::new() };
    let score = |index: usize| {
        let faces = report.frames.get(index).map(|frame| &frame.faces[..]).unwrap_or_default();
        faces.iter().find(|face| face.track == track).and_then(|face| face.score)
    };
    let highest = pictures
        .kept_frames()
        .filter_map(|index| Some((index, score(index)?)))
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    let caption = match (report.frames.len(), pictures.kept_frames().count()) {
        _ if report.video.kind == InputKind::Still => "The picture",
        (all, kept) if all == kept => "The frame with the highest score",
        // Of a long input not every frame is kept.
        _ => "A frame with a high score",
    };
    highest.and_then(|(index, _)| frame_picture(report, pictures, index, caption)).into_iter().collect()
}

fn frame_picture(report: &Report, pictures: &Pictures, index: usize, what: &str) -> Option<FramePicture> {
    let (frame, video) = (report.frames.get(index)?, &report.video);
    let time = if report.frames.len() > 1 { format!(", at {}", clock(frame.time_s)) } else { String::new() };
    // Letters of about 16 pixels where the figure has its full width.
    let letters = (video.width.max(video.height) / 30).max(8);
    let boxed = |face: &unmask_core::pipeline::report::FaceReport| FaceBox {
        bounds: face.bounds,
        label: face.score.map_or_else(|| format!("person {}", face.track + 1), figure),
        scored: face.score.is_some(),
        label_y: (face.bounds[1] - letters as f32 * 0.4).max(letters as f32),
    };
    Some(FramePicture {
        url: pictures.frame_url(index)?,
        width: video.width,
        height: video.height,
        letters,
        caption: format!("{what}{time}"),
        boxes: frame.faces.iter().map(boxed).collect(),
    })
}

/// The faces at both ends of the scores, person by person, as [`words::scored`] has them.
fn faces(report: &Report, pictures: &Pictures) -> Vec<FaceRow> {
    let mut scored = words::scored(report);
    scored.truncate(MAX_SHOWN);
    let several = scored.len() > 1;
    scored.iter().flat_map(|(track, _)| face_rows(report, pictures.faces(*track), *track, several)).collect()
}

fn face_rows(report: &Report, faces: &[ScoredFace], track: usize, several: bool) -> Vec<FaceRow> {
    let title = |rest: &str| if several { format!("Person {}: {rest}", track + 1) } else { capitalised(rest) };
    let shown = |face: &ScoredFace| {
        let time = clock(report.frames.get(face.frame).map_or(0.0, |frame| frame.time_s));
        let score = figure(face.score);
        let alt = format!("The face of person {} at {time}, score {score}", track + 1);
        let heat = face.heat().map(|(url, side)| {
            let alt = format!("What {} in it, by the detector: the lighter, the more", side.words());
            HeatPicture { url, alt }
        });
        Some(FacePicture { url: face.url()?, time, score, alt, heat })
    };
    let row = |title: String, faces: Vec<&ScoredFace>| FaceRow {
        title,
        faces: faces.into_iter().filter_map(shown).collect(),
    };
    if faces.len() <= EXTREMES {
        return vec![row(title("all faces, the highest score first"), faces.iter().rev().collect())];
    }
    let (low, high) = faces.split_at(faces.len() / 2);
    vec![
        row(title("the highest scores"), high.iter().rev().collect()),
        row(title("the lowest scores"), low.iter().collect()),
    ]
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn person(report: &Report, track: &TrackReport) -> Person {
    let TrackReport { id: track, score, uncertainty, .. } = *track;
    let unsure = uncertainty.map_or(String::new(), |uncertainty| format!(", uncertainty {}", figure(uncertainty)));
    let times: Vec<f64> = report
        .frames
        .iter()
        .filter(|frame| frame.faces.iter().any(|face| face.track == track))
        .map(|frame| frame.time_s)
        .collect();
    let [first, last] = [times.first(), times.last()].map(|time| clock(time.copied().unwrap_or(0.0)));
    let [least, _, _, most] = spread(&scores_of(report, track));
    Person {
        name: (track + 1).to_string(),
        frames: format!("{} of {}", times.len(), report.frames.len()),
        span: format!("{first} to {last}"),
        score: score.map(|score| [figure(score) + &unsure, figure(least), figure(most)]),
    }
}
