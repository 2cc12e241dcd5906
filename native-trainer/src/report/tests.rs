//! What a page says and shows, and what it must not let through.

use std::path::{Path, PathBuf};

use unmask_core::detector::clip::{ClipConfig, HeadKind};
use unmask_core::detector::spec::*;
use unmask_core::face::alignment::{CropGeometry, CropSpec};
use unmask_core::image::{Interpolation, RgbImage};
use unmask_core::pipeline::report::*;
use unmask_core::pipeline::{Caveat, CaveatCode, ClipView, Faces, Strength};

use super::*;
use crate::credentials::{Action, Credentials, State};
use crate::media::Damage;
use crate::provenance::{DetectorFacts, Gathering, Run, Settings};

pub(super) fn spec() -> DetectorSpec {
    DetectorSpec {
        version: SPEC_VERSION,
        name: "made-up".to_string(),
        architecture: Architecture::Clip(ClipConfig::vit_b_16(HeadKind::OneLayer)),
        low_rank: None,
        quantization: None,
        reference: None,
        input: InputSpec { size: 224, mean: [0.5; 3], std: [0.5; 3], interpolation: Interpolation::Bicubic },
        crop: CropSpec { geometry: CropGeometry::Dfb, size: 256, margin: 1.3 },
        sampling: SamplingSpec { frames: 32, clip_length: None },
        labels: ["real".to_string(), "fake".to_string()],
        calibration: Calibration::default(),
        training: Training {
            status: TrainingStatus::Trained,
            summary: "made up".to_string(),
            reliability: Some(Reliability { grade: Grade::Calibrated, words: "made up".to_string() }),
        },
        licence: None,
        base_model: None,
        adapter: None,
    }
}

/// The report of a video with one face, seen every half second, with these scores.
pub(super) fn report_of(scores: &[f32]) -> Report {
    let face = |score: f32| FaceReport {
        track: 0,
        bounds: [40.0, 30.0, 60.0, 80.0],
        landmarks: [[50.0; 2]; 5],
        confidence: 0.99,
        score: Some(score),
        uncertainty: None,
    };
    let frames: Vec<FrameReport> = scores
        .iter()
        .enumerate()
        .map(|(index, score)| FrameReport { time_s: index as f64 / 2.0, faces: vec![face(*score)], left_out: None })
        .collect();
    let mean = scores.iter().sum::<f32>() / scores.len() as f32;
    let length = scores.len() as f64 / 2.0;
    Report {
        version: REPORT_VERSION,
        input: "clips/clip.mp4".to_string(),
        verdict: Verdict::Uncertain,
        score: Some(mean),
        uncertainty: None,
        reason: None,
        strength: None,
        caveats: Vec::new(),
        opinions: Vec::new(),
        model: ModelInfo::new(&spec(), "ab".repeat(32)),
        video: VideoSummary {
            kind: InputKind::Video,
            width: 160,
            height: 120,
            fps: Some(25.0),
            duration_s: Some(length),
            frames_sampled: scores.len(),
            frame_count: None,
        },
        tracks: vec![TrackReport { id: 0, score: Some(mean), uncertainty: None, frames: scores.len(), left_out: None }],
        frames,
        timing_s: Timing::default(),
    }
}

/// The same without a face.
fn report_without_face() -> Report {
    let mut report = report_of(&[0.5; 4]);
    report.frames.iter_mut().for_each(|frame| frame.faces.clear());
    report.tracks.clear();
    let reason = Some("no face was found in any of the 4 frames looked at".to_string());
    Report { verdict: Verdict::NoFace, score: None, reason, ..report }
}

/// Pictures of a report's frames and faces.
fn pictures_of(report: &Report) -> Pictures {
    let grey = |side: usize, level: u8| RgbImage::new(side, side, vec![level; side * side * 3]).unwrap();
    let mut pictures = Pictures::default();
    for (index, frame) in report.frames.iter().enumerate() {
        pictures.frame(&grey(160, index as u8));
        for face in &frame.faces {
            let crop = grey(64, index as u8);
            let clip = std::slice::from_ref(&crop);
            let view = ClipView { track: face.track, frame: index, crop: &crop, clip, middle: 0 };
            pictures.face(&view, face.score.unwrap());
        }
    }
    pictures
}

fn page_of(report: &Report, spec: &DetectorSpec, title: &str) -> String {
    let pictures = pictures_of(report);
    let json = format!("{title}.json");
    let subject = Subject {
        report,
        spec,
        pictures: &pictures,
        title,
        credentials: None,
        provenance: None,
        made: "24 November 2026",
        json: &json,
    };
    Page::new(&subject).render().unwrap()
}

/// A report with its provenance, of which the files alone are real.
fn document_of(input: &Input, report: &Report) -> Document {
    let detector = DetectorFacts {
        argument: "made-up.safetensors".to_string(),
        name: "made-up".to_string(),
        sha256: report.model.sha256.clone(),
        bytes: 7,
        base: None,
        real_below: 0.35,
        fake_above: 0.65,
        temperature: 1.0,
        training: "made up".to_string(),
    };
    let settings = Settings::new(report.frames.len(), Faces::Largest, Damage::Refuse, "cpu".to_string());
    let facts = Gathering::start(input).finish().unwrap();
    let content_credentials = Some(Credentials::default());
    let document = Document { report: report.clone(), content_credentials, provenance: None };
    Run::new(vec![detector], settings).complete(document, facts, Timestamp::UNIX_EPOCH)
}

/// A folder of reports with what was given to it, and its place.
fn folder_of(reports: &[(&str, Report)]) -> (tempfile::TempDir, Option<PathBuf>) {
    let place = tempfile::tempdir().unwrap();
    let mut folder = ReportFolder::create(&place.path().join("reports"), None).unwrap();
    for (name, report) in reports {
        let path = place.path().join(name);
        std::fs::write(&path, b"a video").unwrap();
        let input = Input::Video(path);
        let document = document_of(&input, report);
        folder.add(&input, &document, &spec(), &pictures_of(report)).unwrap();
    }
    let first = folder.finish(&[&spec()]).unwrap();
    (place, first)
}

fn read(place: &Path, name: &str) -> String {
    std::fs::read_to_string(place.join("reports").join(name)).unwrap()
}

#[test]
fn every_verdict_has_a_page_that_says_it_in_words() {
    let sure = |verdict, scores: &[f32]| Report { verdict, ..report_of(scores) };
    let unsure = Report { reason: Some("the face is too blurred to judge".to_string()), ..report_of(&[0.5; 4]) };
    for (report, title, words) in [
        (sure(Verdict::LikelyFake, &[0.9; 4]), "Likely fake", "score of 0.90 is at or above 0.65"),
        (sure(Verdict::LikelyReal, &[0.1; 4]), "Likely real", "score of 0.10 is at or below 0.35"),
        (unsure, "Uncertain", "the face is too blurred to judge"),
        (report_without_face(), "No face", "That does not mean that the video is real"),
    ] {
        let page = page_of(&report, &spec(), "clip.mp4");
        assert!(page.contains(&format!("</svg>{title}</h2>")) && page.contains(words), "{title}: {page}");
        assert_eq!(page.contains("The score over time"), report.score.is_some(), "{title}");
        assert!(page.contains("data:image/jpeg;base64,"), "{title} shows what was looked at");
        assert!(!page.contains("This detector is untrained"), "{title}");
    }
}

#[test]
fn how_uncertain_a_detector_is_stands_beside_its_score_where_it_says_so() {
    let mut report = report_of(&[0.9; 4]);
    assert!(!page_of(&report, &spec(), "clip.mp4").to_lowercase().contains("uncertainty"));
    (report.uncertainty, report.tracks[0].uncertainty) = (Some(0.25), Some(0.25));
    let page = page_of(&report, &spec(), "clip.mp4");
    assert!(page.contains("Uncertainty 0.25: how little evidence") && page.contains("Above 0.5 it"), "{page}");
    assert!(page.contains("0.90, uncertainty 0.25</td>"), "{page}");
}

#[test]
fn an_untrained_detector_is_called_so_loudly() {
    let mut report = report_of(&[0.9; 4]);
    report.model.reliability = Reliability { grade: Grade::Untrained, words: "random".to_string() };
    let page = page_of(&report, &spec(), "clip.mp4");
    assert!(page.contains("role=\"note\"><strong>This detector is untrained.</strong>"), "{page}");
}

#[test]
fn names_and_texts_with_markup_in_them_are_escaped_everywhere() {
    let nasty = "<img src=x onerror=alert(1)>\"'&.mp4";
    let mut report = Report { input: nasty.to_string(), reason: Some(nasty.to_string()), ..report_of(&[0.5; 4]) };
    report.model.name = nasty.to_string();
    report.model.reliability.words = nasty.to_string();
    report.caveats = vec![Caveat::with_words(CaveatCode::Dark, nasty)];
    let spec = DetectorSpec {
        name: nasty.to_string(),
        training: Training {
            summary: nasty.to_string(),
            reliability: Some(Reliability { grade: Grade::Weak, words: nasty.to_string() }),
            ..spec().training
        },
        licence: Some(nasty.to_string()),
        base_model: Some(nasty.to_string()),
        ..spec()
    };
    let entries = [Entry::new(&report, &spec, &pictures_of(&report), nasty, format!("{nasty}.html"))];
    let failures = [(nasty.to_string(), nasty.to_string())];
    let index = Index::new(&entries, &failures, &[], &[&spec], nasty).render().unwrap();
    for page in [page_of(&report, &spec, nasty), index] {
        assert!(!page.contains("<img src=x") && !page.contains("onerror=alert(1)>"), "{page}");
        assert!(page.contains("&#60;img src=x onerror=alert(1)&#62;&#34;&#39;&#38;.mp4"), "{page}");
        assert!(page.contains("href=\"%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%22%27%26.mp4."), "{page}");
    }
}

#[test]
fn a_page_needs_no_script_and_no_network() {
    let page = page_of(&report_of(&[0.2, 0.9]), &spec(), "clip.mp4");
    assert!(page.contains("default-src 'none'; img-src data:; style-src 'unsafe-inline'"));
    for outside in ["<script", "http://", "https://", "@import", "url(", "<link"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn the_highest_and_the_lowest_faces_are_shown_with_their_times() {
    let page = page_of(&report_of(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]), &spec(), "clip.mp4");
    let at = |words: &str| page.find(words).unwrap_or_else(|| panic!("no {words} in {page}"));
    assert!(at("The highest scores") < at("The face of person 1 at 0:04.0, score 0.90"));
    assert!(at("The lowest scores") < at("The face of person 1 at 0:00.0, score 0.10"));
    assert!(!page.contains("The face of person 1 at 0:02.0"), "the middle one is left out");
    assert!(page.contains("aria-label=\"The frame with the highest score, at 0:04.0\""), "{page}");
}

#[test]
fn what_weakens_an_answer_stands_on_its_page_and_in_the_index() {
    let weak = Reliability { grade: Grade::Weak, words: "the detector learnt from photographs".to_string() };
    let mut report = report_of(&[0.9; 4]);
    report.caveats = vec![CaveatCode::Dark.into(), Caveat::with_words(CaveatCode::WeakDetector, weak.words.as_str())];
    report.model.reliability = weak.clone();
    let spec = DetectorSpec { training: Training { reliability: Some(weak), ..spec().training }, ..spec() };
    let page = page_of(&report, &spec, "clip.mp4");
    for words in [
        "<h3>What weakens this answer</h3>",
        "<li>The face is very dark, so traces of manipulation may be hidden.</li>",
        "<li>The detector learnt from photographs.</li>",
        "weak: the detector learnt from photographs</td>",
    ] {
        assert!(page.contains(words), "no {words} in {page}");
    }
    let entries = [Entry::new(&report, &spec, &pictures_of(&report), "clip.mp4", "clip.mp4.html".to_string())];
    let index = Index::new(&entries, &[], &[], &[&spec], "today").render().unwrap();
    assert!(index.contains("Judged by the detector made-up. The detector learnt from photographs.</p>"), "{index}");
    assert!(index.contains("<p class=\"small caveat\">the face is very dark"), "{index}");
    assert_eq!(index.matches("learnt from photographs").count(), 1, "of the detector the index speaks once");
    let without = page_of(&report_of(&[0.9; 4]), &super::tests::spec(), "clip.mp4");
    assert!(!without.contains("What weakens this answer"), "{without}");
}

#[test]
fn words_say_picture_or_video_by_what_the_input_is() {
    for (kind, judged, frames) in [
        (InputKind::Still, "calls the picture likely fake", "The picture, with a face in it."),
        (InputKind::Frames, "calls the video likely fake", "One frame, with a face in it."),
        (InputKind::Video, "calls the video likely fake", "One frame, with a face in it."),
        (InputKind::Live, "calls the live picture likely fake", "One frame, with a face in it."),
    ] {
        for fps in [None, Some(25.0)] {
            let mut report = Report { verdict: Verdict::LikelyFake, ..report_of(&[0.9]) };
            report.video = VideoSummary { kind, fps, ..report.video };
            let page = page_of(&report, &spec(), "input");
            assert!(page.contains(judged) && page.contains(frames), "{kind:?}: {page}");
            assert_eq!(page.contains("The frames between those"), kind != InputKind::Still, "{kind:?}");
        }
    }
}

#[test]
fn people_who_were_not_scored_are_named_as_such() {
    let mut report = report_of(&[0.9; 4]);
    let other = FaceReport { track: 1, score: None, ..report.frames[0].faces[0].clone() };
    let mut shown = report.clone();
    report.tracks.push(TrackReport {
        id: 1,
        score: None,
        uncertainty: None,
        frames: 1,
        left_out: Some(Unused::OtherPerson),
    });
    report.frames[0].faces.push(other);
    shown.frames = report.frames.clone();
    let pictures = pictures_of(&report_of(&[0.9; 4]));
    let spec = spec();
    let subject = Subject {
        report: &report,
        spec: &spec,
        pictures: &pictures,
        title: "clip.mp4",
        credentials: None,
        provenance: None,
        made: "today",
        json: "clip.mp4.json",
    };
    let page = Page::new(&subject).render().unwrap();
    assert!(page.contains("1 more face was followed and not scored") && page.contains(">not scored<"), "{page}");
    assert!(page.contains(">person 2</text>") && page.contains("class=\"other\""), "{page}");
}

#[test]
fn one_input_gets_a_page_and_several_an_index_with_links() {
    let (place, first) = folder_of(&[("a.mp4", report_of(&[0.5; 4]))]);
    assert_eq!(first, Some(place.path().join("reports/a.mp4.html")));
    assert!(!place.path().join("reports/index.html").exists());
    let (place, first) = folder_of(&[("a b#.mp4", report_of(&[0.5; 4])), ("index", report_without_face())]);
    assert_eq!(first, Some(place.path().join("reports/index.html")));
    let index = read(place.path(), "index.html");
    assert!(index.contains("href=\"a%20b%23.mp4.html\"") && index.contains("href=\"index-1.html\""), "{index}");
    assert!(index.contains("<h1>Report on 2 inputs</h1>\n<p class=\"byline\">1 uncertain · 1 no face"), "{index}");
    assert!(read(place.path(), "index-1.html").contains("<h1>index</h1>"));
}

#[test]
fn the_json_beside_a_page_is_the_report_and_the_page_links_to_it() {
    let report = report_of(&[0.2, 0.4]);
    let (place, _) = folder_of(&[("a.mp4", report.clone())]);
    let written = read(place.path(), "a.mp4.json");
    assert_eq!(serde_json::from_str::<Report>(&written).unwrap(), report);
    let document: Document = serde_json::from_str(&written).unwrap();
    assert_eq!(document, document_of(&Input::Video(place.path().join("a.mp4")), &report));
    let page = read(place.path(), "a.mp4.html");
    assert!(page.contains("href=\"a.mp4.json\""));
    // SHA-256 of "a video", by sha256sum.
    assert!(page.contains("3dbe53a2de431feaea25139a6ea5eb705629d3fb419181298046d78d55acb055"), "{page}");
}

#[test]
fn programs_that_share_a_folder_write_an_index_each() {
    let place = tempfile::tempdir().unwrap();
    let mut folder = ReportFolder::create(place.path(), Some("1-of-2".to_string())).unwrap();
    folder.fail("a.mp4", &anyhow::anyhow!("a.mp4 is no video"));
    folder.fail("b.mp4", &anyhow::anyhow!("b.mp4 is no video"));
    assert_eq!(folder.finish(&[&spec()]).unwrap(), Some(place.path().join("index-1-of-2.html")));
    let index = std::fs::read_to_string(place.path().join("index-1-of-2.html")).unwrap();
    assert!(index.contains("2 failed") && index.contains("b.mp4 is no video"), "{index}");
}

/// The joint report of two detectors, of which the second has this score, verdict and name.
fn joint(first: Verdict, second: (Verdict, f32, &str)) -> Report {
    let one = Report { verdict: first, ..report_of(&[0.9; 4]) };
    let mut other = Report { verdict: second.0, ..report_of(&[second.1; 4]) };
    second.2.clone_into(&mut other.model.name);
    unmask_core::pipeline::join(one, &[other])
}

#[test]
fn several_detectors_stand_side_by_side_with_the_rule_and_without_a_scale_that_is_none_of_theirs() {
    let agreed = page_of(&joint(Verdict::LikelyFake, (Verdict::LikelyFake, 0.8, "other")), &spec(), "clip.mp4");
    for words in [
        "All 2 detectors believe that the face was manipulated: each by its own thresholds calls the video likely fake.",
        "<th scope=\"row\">made-up</th><td>likely fake</td><td class=\"number\">0.90</td><td>calibrated</td>",
        "<th scope=\"row\">other</th><td>likely fake</td><td class=\"number\">0.80</td><td>calibrated</td>",
        "The joint verdict is likely fake or likely real only where every detector says so",
        "The mean of the scores is 0.85:",
        "below are those of made-up, which was named first.",
        "<h3>Another detector</h3>",
        "4 scored faces by made-up. Their mean counts",
    ] {
        assert!(agreed.contains(words), "no {words} in {agreed}");
    }
    assert!(!agreed.contains("class=\"scale\""), "{agreed}");
    let real = page_of(&joint(Verdict::LikelyReal, (Verdict::LikelyReal, 0.1, "other")), &spec(), "clip.mp4");
    assert!(real.contains("None of the 2 detectors found a trace"), "{real}");
    let torn = page_of(&joint(Verdict::LikelyFake, (Verdict::LikelyReal, 0.1, "other")), &spec(), "clip.mp4");
    let words = "decides nothing: the detectors disagree: made-up says likely fake (0.90), other likely real (0.10).";
    assert!(torn.contains("</svg>Uncertain</h2>") && torn.contains(words), "{torn}");
    let alone = page_of(&report_of(&[0.9; 4]), &spec(), "clip.mp4");
    assert!(alone.contains("class=\"scale\"") && !alone.contains("What each detector says"), "{alone}");
}

#[test]
fn the_index_names_all_detectors_and_what_each_says() {
    let report = joint(Verdict::LikelyFake, (Verdict::LikelyReal, 0.1, "<other>"));
    let (first, second) = (spec(), DetectorSpec { name: "<other>".to_string(), ..spec() });
    let entries = [Entry::new(&report, &first, &pictures_of(&report), "clip.mp4", "clip.mp4.html".to_string())];
    let index = Index::new(&entries, &[], &[], &[&first, &second], "today").render().unwrap();
    assert!(index.contains("Judged by 2 detectors together: made-up, &#60;other&#62;."), "{index}");
    assert!(index.contains("made-up: likely fake, 0.90 · &#60;other&#62;: likely real, 0.10"), "{index}");
}

#[test]
fn the_page_says_how_strong_the_answer_is_and_for_what_it_holds() {
    let counts = |likely_real, likely_fake| VerdictCounts { likely_real, uncertain: 0, likely_fake, groups: Some(50) };
    let measured = Measured { videos: "phones".to_string(), real: counts(99, 1), fake: counts(10, 90) };
    let mut report = Report { verdict: Verdict::LikelyFake, ..report_of(&[0.9; 4]) };
    for (measured, level, holds) in [
        (None, "not known", "counted on no videos, so nobody knows"),
        (Some(measured), "weak support", "counted on 100 real videos of 50 people or sources and 100 fakes of 50"),
    ] {
        report.strength = Strength::of(report.verdict, measured.as_ref(), InputKind::Video, 1);
        report.model.measured = measured;
        let page = page_of(&report, &spec(), "clip.mp4");
        assert!(page.contains(&format!("<b>Strength of this answer: {level}.</b>")), "{page}");
        assert!(page.contains(holds), "{page}");
    }
    let undecided = page_of(&report_of(&[0.5; 4]), &spec(), "clip.mp4");
    assert!(!undecided.contains("Strength of this answer"), "{undecided}");
}

#[test]
fn the_page_counts_the_frames_that_count_and_the_others_by_their_reason() {
    let mut report = report_of(&[0.9, 0.9, 0.9, 0.9, 0.9, 0.9]);
    report.video.frame_count = Some(200);
    report.frames[4].left_out = Some(Unused::OtherPerson);
    report.frames[5].left_out = Some(Unused::NoFace);
    let (place, _) = folder_of(&[("a.mp4", report)]);
    let page = read(place.path(), "a.mp4.html");
    for (what, frames) in [
        ("In the whole input", 200),
        ("Not looked at: between those that were", 194),
        ("Left out: no face found", 1),
        ("Left out: only people who were not asked for", 1),
        ("Used for the verdict", 4),
    ] {
        assert!(page.contains(&format!("{what}</th><td class=\"number\">{frames}</td>")), "{what}: {page}");
    }
    assert!(!page.contains("not decoded"), "{page}");
}

#[test]
fn content_credentials_are_shown_as_what_they_are_and_escaped() {
    let report = report_of(&[0.5; 4]);
    let pictures = pictures_of(&report);
    let page = |credentials: &Credentials| {
        let spec = spec();
        let subject = Subject {
            report: &report,
            spec: &spec,
            pictures: &pictures,
            title: "clip.mp4",
            credentials: Some(credentials),
            provenance: None,
            made: "today",
            json: "clip.mp4.json",
        };
        Page::new(&subject).render().unwrap()
    };
    let none = page(&Credentials::default());
    assert!(none.contains("There are none. Most files have none"), "{none}");
    let action = Action {
        action: "c2pa.created".to_string(),
        software: Some("<script>".to_string()),
        source_type: Some("trainedAlgorithmicMedia".to_string()),
        ..Action::default()
    };
    let signed = Credentials {
        state: State::Valid,
        signer: Some("<b>A Camera</b>".to_string()),
        actions: vec![action],
        source_types: vec!["trainedAlgorithmicMedia".to_string()],
        ..Credentials::default()
    };
    let valid = page(&signed);
    for words in [
        "as it was signed by &#60;b&#62;A Camera&#60;/b&#62;",
        "anybody can sign under any name",
        "made by a trained model (AI)",
        "<th scope=\"row\">created</th><td></td><td>&#60;script&#62;</td>",
        "They have no part in the verdict above",
    ] {
        assert!(valid.contains(words), "no {words} in {valid}");
    }
    let broken = page(&Credentials { state: State::Broken, ..signed });
    assert!(broken.contains("not as they were signed") && !broken.contains("The file is as it was signed"), "{broken}");
}
