//! The most confident errors: real videos with the highest scores and fakes with the lowest, each with the frame that misled most.

use std::path::Path;

use anyhow::Result;
use image::RgbImage as Picture;
use image::imageops::{self, FilterType};
use unmask_core::image::RgbImage;

use super::Entry;
use super::seen::Seen;
use crate::datasets::{Label, Video};
use crate::evaluation::csv_files::table;
use crate::evaluation::figures::HALF;
use crate::evaluation::{Prediction, ScoredVideo};
use crate::figures::axes::SMALL;
use crate::figures::render::png;
use crate::figures::{Figure, GREY, Lettering, shortened};
use crate::files;

/// Videos of each kind of error that are shown.
const SHOWN: usize = 12;
/// Pictures in a row.
const ACROSS: usize = 6;
/// Sides of a picture and of the cell that it and its words are in, in points.
const PICTURE: f64 = 120.0;
const CELL: [f64; 2] = [136.0, 178.0];
const MARGIN: f64 = 16.0;
const HEADING: f64 = 34.0;
/// Pixels a point.
const SCALE: f64 = 2.0;

/// A video on the wrong side of 0.5.
struct Wrong<'a> {
    video: &'a ScoredVideo<'a>,
    score: f64,
    /// The clip that misled most.
    clip: &'a Seen,
    clip_score: f64,
}

/// Writes the sheet and its data into `folder`; `seen` are the clips of `predictions`, one by one, of these videos.
pub(super) fn write(
    folder: &Path,
    scored: &[ScoredVideo],
    videos: &[Video],
    (seen, predictions): (&[Seen], &[Prediction]),
    images: impl Fn(&Video, &[usize]) -> Result<Vec<RgbImage>>,
) -> Result<Entry> {
    let title = "The most confident errors".to_owned();
    let kinds = [Label::Real, Label::Fake].map(|label| worst(scored, label, seen, predictions));
    if kinds.iter().all(Vec::is_empty) {
        let left_out = vec!["errors: at 0.5 every video is called what it is".to_owned()];
        return Ok(Entry { title, files: Vec::new(), left_out });
    }
    files::write_bytes(&folder.join("errors.png"), &png(&sheet(&kinds, videos, images)?)?)?;
    let rows: Vec<&Wrong> = kinds.iter().flatten().collect();
    let header = ["dataset", "manipulation", "video", "label", "score", "time_s", "frame_score", "crop"];
    let csv = table(header, &rows, |wrong| {
        let crop = &videos[wrong.clip.logits.video].crops[wrong.clip.logits.crop];
        let [dataset, manipulation, name] =
            [wrong.video.dataset, wrong.video.manipulation, wrong.video.name].map(str::to_owned);
        let label = if wrong.video.label == Label::Fake { "fake" } else { "real" }.to_owned();
        let time = crop.time_s.map(|time| time.to_string()).unwrap_or_default();
        let [score, frame_score] = [wrong.score, wrong.clip_score].map(|score| score.to_string());
        [dataset, manipulation, name, label, score, time, frame_score, crop.path.display().to_string()]
    })?;
    files::write_bytes(&folder.join("errors.csv"), &csv)?;
    Ok(Entry { title, files: vec!["errors.png".to_owned(), "errors.csv".to_owned()], left_out: Vec::new() })
}

/// The videos of a label that are farthest on the wrong side.
fn worst<'a>(
    scored: &'a [ScoredVideo<'a>],
    label: Label,
    seen: &'a [Seen],
    predictions: &[Prediction],
) -> Vec<Wrong<'a>> {
    // How wrong a score is.
    let wrongness = |score: f64| if label == Label::Real { score } else { 1.0 - score };
    let mut wrong: Vec<(f64, &ScoredVideo)> = scored
        .iter()
        .filter(|video| video.label == label)
        .map(|video| (video.score(), video))
        .filter(|(score, _)| (*score >= HALF) == (label == Label::Real))
        .collect();
    wrong.sort_by(|one, other| wrongness(other.0).total_cmp(&wrongness(one.0)));
    wrong.truncate(SHOWN);
    let with_clip = |(score, video): (f64, &'a ScoredVideo<'a>)| {
        let clips = predictions.iter().zip(seen).filter(|(prediction, _)| video.holds(prediction));
        let most = clips.max_by(|one, other| wrongness(one.0.score).total_cmp(&wrongness(other.0.score)));
        most.map(|(prediction, clip)| Wrong { video, score, clip, clip_score: prediction.score })
    };
    wrong.into_iter().filter_map(with_clip).collect()
}

fn sheet(
    kinds: &[Vec<Wrong>; 2],
    videos: &[Video],
    images: impl Fn(&Video, &[usize]) -> Result<Vec<RgbImage>>,
) -> Result<Picture> {
    let headings = ["Real videos with the highest scores", "Fake videos with the lowest scores"];
    let filled: Vec<(&str, &Vec<Wrong>)> = headings.into_iter().zip(kinds).filter(|(_, all)| !all.is_empty()).collect();
    let height: f64 = filled.iter().map(|(_, all)| HEADING + CELL[1] * all.len().div_ceil(ACROSS) as f64).sum();
    let mut figure = Figure::new(2.0 * MARGIN + CELL[0] * ACROSS as f64, MARGIN + height);
    let mut pictures: Vec<(Picture, [i64; 2])> = Vec::new();
    let mut top = MARGIN;
    for (heading, all) in filled {
        figure.text(heading, (MARGIN, top + 8.0), Lettering::new(14.0).bold());
        top += HEADING - 8.0;
        for (place, wrong) in all.iter().enumerate() {
            let left = MARGIN + CELL[0] * (place % ACROSS) as f64;
            let upper = top + CELL[1] * (place / ACROSS) as f64;
            let words = [
                format!("P(fake) {:.1} %", 100.0 * wrong.score),
                shortened(&format!("{}, {}", wrong.video.dataset, wrong.video.manipulation), 22),
                ending(wrong.video.name, 22),
            ];
            for (line, words) in words.into_iter().enumerate() {
                let lettering = Lettering::new(SMALL - 1.0);
                let lettering = if line == 0 { lettering.bold() } else { lettering.coloured(GREY) };
                figure.text(words, (left, upper + PICTURE + 10.0 + 14.0 * line as f64), lettering);
            }
            let (video, crop) = (&videos[wrong.clip.logits.video], wrong.clip.logits.crop);
            if let Some(picture) = images(video, &[crop])?.into_iter().next().and_then(|picture| scaled(&picture)) {
                pictures.push((picture, [left, upper].map(|place| (place * SCALE) as i64)));
            }
        }
        top += CELL[1] * all.len().div_ceil(ACROSS) as f64 + 8.0;
    }
    let mut pixels = figure.pixels()?;
    for (picture, [left, upper]) in &pictures {
        imageops::overlay(&mut pixels, picture, *left, *upper);
    }
    Ok(pixels)
}

/// The last letters of a name, by which the files of a folder differ.
fn ending(name: &str, most: usize) -> String {
    let count = name.chars().count();
    match count > most {
        true => ['…'].into_iter().chain(name.chars().skip(count + 1 - most)).collect(),
        false => name.to_owned(),
    }
}

/// A crop in the sheet's size; none where it has no pixels.
fn scaled(crop: &RgbImage) -> Option<Picture> {
    let picture = Picture::from_raw(crop.width() as u32, crop.height() as u32, crop.pixels().to_vec())?;
    let side = (PICTURE * SCALE) as u32;
    (picture.width() > 0 && picture.height() > 0)
        .then(|| imageops::resize(&picture, side, side, FilterType::CatmullRom))
}
