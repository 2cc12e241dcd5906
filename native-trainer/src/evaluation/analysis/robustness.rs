//! How a detector's figures change as crops get worse: one degradation at a time, several strengths each.

use anyhow::Result;
use unmask_core::detector::Detector;
use unmask_core::image::RgbImage;
use unmask_core::metrics::Ranking;
use unmask_core::pipeline::aggregate::mean_score;

use super::Drawn;
use crate::augment::degrade::Degradation;
use crate::datasets::{Label, Video};
use crate::evaluation::csv_files::table;
use crate::evaluation::{Prediction, ScoredVideo, group};
use crate::figures::axes::{Axes, Scale};
use crate::figures::marks::Style;
use crate::figures::{Figure, GREY, Lettering};
use crate::predict::{ClipCrops, SeenClip, predict_each, predictions, progress_bar};

/// What noise and movements of the camera are drawn from, always the same.
const SEED: u64 = 0;
/// A panel's size in points, and how many stand side by side.
const PANEL: [f64; 2] = [400.0, 270.0];
const ACROSS: usize = 2;

/// What is measured of one data set at one strength.
struct Point {
    dataset: String,
    degradation: Degradation,
    strength: Option<f64>,
    reals: usize,
    fakes: usize,
    auc: Option<f64>,
    mean_real: Option<f64>,
    mean_fake: Option<f64>,
}

/// Measures the detector on degraded crops, with a progress bar, and draws its figures against their strengths. `clean` are
/// the predictions on the crops as they are, and `images` brings those.
///
/// # Errors
/// Those of `images`, of the codec and of the detector.
pub fn measure(
    detector: &Detector,
    videos: &[Video],
    frames: usize,
    clean: &[Prediction],
    images: impl Fn(&[ClipCrops]) -> Result<Vec<Vec<RgbImage>>>,
) -> Result<Drawn> {
    let steps = |degradation: Degradation| degradation.strengths().iter().map(move |strength| (degradation, *strength));
    let all: Vec<(Degradation, Option<f64>)> = Degradation::ALL.into_iter().flat_map(steps).collect();
    let bar = progress_bar((all.len() * videos.len()) as u64, "degraded videos");
    let mut points = Vec::new();
    for (index, (degradation, strength)) in all.iter().enumerate() {
        let predicted = match strength {
            None => clean.to_vec(),
            Some(strength) => {
                bar.set_message(format!("videos, {} {}", degradation.words(), shown(*strength)));
                let degraded = |clips: &[ClipCrops]| {
                    let keys: Vec<String> =
                        clips.iter().map(|(video, crops)| format!("{} {crops:?}", video.identity())).collect();
                    degradation.apply(images(clips)?, &keys, *strength, SEED)
                };
                let mut logits = Vec::new();
                let keep = |clip: SeenClip| {
                    logits.push(clip.logits);
                    Ok(())
                };
                let done = |done: usize| bar.set_position((index * videos.len() + done) as u64);
                predict_each(detector, videos, frames, degraded, keep, done)?;
                predictions(videos, &logits, detector.spec().calibration.temperature)
            }
        };
        points.extend(by_dataset(&group(&predicted)?, *degradation, *strength));
    }
    bar.finish_and_clear();
    drawn(&points)
}

/// The figures of each data set.
fn by_dataset(videos: &[ScoredVideo], degradation: Degradation, strength: Option<f64>) -> Vec<Point> {
    let point = |of_set: &[ScoredVideo]| {
        let of = |label: Label| of_set.iter().filter(move |video| video.label == label).map(ScoredVideo::score);
        Point {
            dataset: of_set.first().map_or(String::new(), |video| video.dataset.to_owned()),
            degradation,
            strength,
            reals: of(Label::Real).count(),
            fakes: of(Label::Fake).count(),
            auc: Ranking::new(of_set.iter().map(ScoredVideo::scored)).and_then(|ranking| ranking.auc()).ok(),
            mean_real: mean_score(of(Label::Real)),
            mean_fake: mean_score(of(Label::Fake)),
        }
    };
    videos.chunk_by(|one, next| one.dataset == next.dataset).map(point).collect()
}

/// A strength as it is written.
fn shown(strength: f64) -> String {
    strength.to_string()
}

fn drawn(points: &[Point]) -> Result<Drawn> {
    let header =
        ["dataset", "degradation", "strength", "reals", "fakes", "auc", "mean_score_of_reals", "mean_score_of_fakes"];
    let or_empty = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let csv = table(header, points, |point| {
        [
            point.dataset.clone(),
            point.degradation.name().to_owned(),
            or_empty(point.strength),
            point.reals.to_string(),
            point.fakes.to_string(),
            or_empty(point.auc),
            or_empty(point.mean_real),
            or_empty(point.mean_fake),
        ]
    })?;
    let title = "AUC and mean scores of videos on degraded crops".to_owned();
    let rows = Degradation::ALL.len().div_ceil(ACROSS) as f64;
    let mut figure = Figure::new(PANEL[0] * ACROSS as f64, PANEL[1] * rows + 56.0);
    for (index, degradation) in Degradation::ALL.into_iter().enumerate() {
        let corner = [60.0 + PANEL[0] * (index % ACROSS) as f64, 40.0 + PANEL[1] * (index / ACROSS) as f64];
        panel(&mut figure, corner, degradation, points);
    }
    let mut sets: Vec<&str> = points.iter().map(|point| point.dataset.as_str()).collect();
    sets.sort_unstable();
    sets.dedup();
    legend(&mut figure, PANEL[1] * rows + 18.0, sets.len());
    Ok(Drawn { name: "robustness".to_owned(), title, figure: Some(figure), csv, left_out: Vec::new() })
}

/// One of the lines: its words, and what it shows of a point.
type Line = (&'static str, fn(&Point) -> Option<f64>);

/// What is drawn, in the order of the styles; of several data sets their mean.
const LINES: [Line; 3] = [
    ("AUC", |point| point.auc),
    ("mean score of fakes", |point| point.mean_fake),
    ("mean score of reals", |point| point.mean_real),
];

fn panel(figure: &mut Figure, corner: [f64; 2], degradation: Degradation, points: &[Point]) {
    let strengths = degradation.strengths();
    let names: Vec<String> = strengths.iter().map(|strength| strength.map_or("none".to_owned(), shown)).collect();
    let axes =
        Axes { corner, size: [PANEL[0] - 90.0, PANEL[1] - 90.0], across: Scale::named(&names), up: Scale::percent() };
    axes.draw(figure, degradation.words(), "", "in %");
    for (index, (_, of)) in LINES.iter().enumerate() {
        let style = Style::of(index);
        let at = |(place, strength): (usize, &Option<f64>)| {
            let here = points.iter().filter(|point| (point.degradation, point.strength) == (degradation, *strength));
            Some((place as f64, mean_score(here.filter_map(of))?))
        };
        let values: Vec<(f64, f64)> = strengths.iter().enumerate().filter_map(at).collect();
        axes.curve(figure, values.iter().copied(), style);
        for value in values {
            figure.marker(style.marker, axes.place(value), 4.0, style.colour, true);
        }
    }
}

fn legend(figure: &mut Figure, y: f64, sets: usize) {
    for (index, (words, _)) in LINES.iter().enumerate() {
        let (style, x) = (Style::of(index), 60.0 + 220.0 * index as f64);
        figure.line(&[(x, y), (x + 34.0, y)], style.colour, 2.0, style.dashes);
        figure.marker(style.marker, (x + 17.0, y), 4.0, style.colour, true);
        figure.text(*words, (x + 42.0, y), Lettering::new(12.0));
    }
    if sets > 1 {
        let words = format!("each the mean of {sets} data sets; the CSV has them one by one");
        figure.text(words, (60.0, y + 22.0), Lettering::new(11.0).coloured(GREY));
    }
}
