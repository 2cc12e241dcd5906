//! Where a detector looked: for every scored face of an input what in it speaks for a fake and what for a real one.
//!
//! An input is scored first, as ever, and then decoded once more: `walk` cuts the faces of its report out of the frames again and has
//! the core explain them ([`unmask_core::detector::explain`]), so that no frame is held longer than its clip takes. `heat` lays maps over
//! pictures, `sheet` sets faces side by side, `document` writes the numbers; [`faithfulness`] measures whether what a map
//! shows is what the detector's answer came from, and [`measuring`] does so over data sets.

mod document;
pub mod faithfulness;
mod heat;
pub mod measuring;
mod sheet;
mod walk;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use image::RgbImage as Canvas;
use image::imageops::{FilterType, resize};
use unmask_core::detector::Detector;
use unmask_core::layers::TapKind;
use unmask_core::pipeline::report::{FaceReport, Report};

use crate::figures::render::png;
use crate::files;
use crate::media::film::Film;
use crate::media::{Input, OpenOptions};

pub use heat::Side;
pub use walk::{ExplainedFace, ExplainedFrame, for_each_frame};

use document::Document;
use sheet::Sheet;

/// Faces on the sheet, and frames as pictures of their own.
const SHOWN: usize = 8;

/// How a detector's answers are explained, by what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// Attention weighted by its gradient; of transformers
    Attention,
    /// The last maps weighted by their gradients; of convolutional networks and Swin transformers
    #[value(name = "gradcam")]
    GradCam,
}

impl Method {
    /// The one that fits a detector.
    pub fn of(detector: &Detector) -> Self {
        match detector.spec().architecture.sizes().tapped() {
            TapKind::Attention => Self::Attention,
            TapKind::Maps => Self::GradCam,
        }
    }

    /// Its name on the command line and in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::GradCam => "gradcam",
        }
    }

    /// Its name in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Attention => "gradient-weighted attention rollout",
            Self::GradCam => "Grad-CAM",
        }
    }
}

/// What the user chose.
#[derive(Clone, Copy, Debug)]
pub struct ExplainOptions {
    /// How the input is opened, as it was when it was scored.
    pub open: OpenOptions,
    /// Whether a random map stands beside each.
    pub control: bool,
    /// Whether a video is written.
    pub film: bool,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// How many faces have maps.
    pub faces: usize,
    /// The files, the sheet first.
    pub files: Vec<PathBuf>,
}

/// Explains the faces that `report`, which is this detector's of this input, has scores for, and writes sheet, frames, video and
/// numbers into `folder`. `progress` is told how many frames are done.
pub fn explain(
    detector: &Detector,
    input: &Input,
    report: &Report,
    folder: &Path,
    options: &ExplainOptions,
    mut progress: impl FnMut(usize),
) -> Result<Written> {
    std::fs::create_dir_all(folder.join(FRAMES))
        .with_context(|| format!("{} cannot be made; choose another --output folder", folder.display()))?;
    let method = Method::of(detector);
    let side = Side::of(report.score.unwrap_or_default());
    let shown = shown(report);
    let mut sheet = Sheet::new(report, method, options.control);
    let mut document = Document::new(report, method);
    let mut film = match options.film && report.frames.len() > 1 {
        true => Some(Film::new(&folder.join("explanation.mp4"), rate(report))?),
        false => None,
    };
    let mut written = Vec::new();
    for_each_frame(detector, input, &options.open, report, |frame| {
        document.add(&frame);
        let picture = heat::frame(&frame, &detector.spec().crop, side)?;
        if shown.contains(&frame.index) {
            let place = folder.join(FRAMES).join(format!("{:05}.png", frame.index));
            files::write_bytes(&place, &png(&picture)?)?;
            written.push(place);
            sheet.add(&frame);
        }
        if let Some(film) = &mut film {
            add(film, &picture)?;
        }
        progress(frame.index + 1);
        Ok(())
    })?;
    let place = folder.join("sheet.png");
    files::write_bytes(&place, &png(&sheet.picture()?)?)?;
    let mut found = vec![place];
    found.extend(film.map(Film::finish).transpose()?.flatten());
    let place = folder.join("explanation.json");
    files::write_bytes(&place, &document.json()?)?;
    found.push(place);
    found.extend(written);
    Ok(Written { faces: document.count(), files: found })
}

/// Frames a second at least and at most: as far as that allows the video takes as long as what it shows.
const RATES: [f64; 2] = [2.0, 30.0];

/// Frames a second of a video of the report's frames.
fn rate(report: &Report) -> f64 {
    let times: Vec<f64> = report.frames.iter().map(|frame| frame.time_s).collect();
    let length = times.last().unwrap_or(&0.0) - times.first().unwrap_or(&0.0);
    ((times.len().max(2) - 1) as f64 / length.max(1e-3)).clamp(RATES[0], RATES[1])
}

/// Adds a picture to a video, in the size of the first one.
fn add(film: &mut Film, picture: &Canvas) -> Result<()> {
    let (width, height) = picture.dimensions();
    match film.size() {
        Some(size @ [to_width, to_height]) if size != [width, height] => {
            film.add(&resize(picture, to_width, to_height, FilterType::Triangle), size)
        }
        _ => film.add(picture, [width, height]),
    }
}

/// Where the frames are.
const FRAMES: &str = "frames";

/// The frames that are shown by themselves: of those in which whoever decides has a score, some that are evenly spaced.
fn shown(report: &Report) -> Vec<usize> {
    let track = report.deciding_track().map(|track| track.id);
    let decides = |face: &FaceReport| Some(face.track) == track && face.score.is_some();
    let frames = report.frames.iter().enumerate().filter(|(_, frame)| frame.faces.iter().any(decides));
    let frames: Vec<usize> = frames.map(|(index, _)| index).collect();
    let count = frames.len().min(SHOWN);
    (0..count).map(|place| frames[place * (frames.len() - 1) / (count - 1).max(1)]).collect()
}
